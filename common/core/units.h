/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts with units, as people write and read them: durations (500ms, 5s, 2m, 1h, 7d), sizes (kB,
 * MB, GB, TB: powers of 1024, as PostgreSQL's configuration has them) and percents.
 * Invariant: parse(format(x)) == x for every value that format prints exactly; nothing overflows
 * silently. Pure.
 */
#ifndef HF_CORE_UNITS_H
#define HF_CORE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

#define HF_UNITS_DURATION_ALLOWED "a number with us, ms, s, m, h or d, as 500ms or 5s"
#define HF_UNITS_SIZE_ALLOWED     "a number with B, kB, MB, GB or TB, as 64MB"
#define HF_UNITS_PERCENT_ALLOWED  "a number with %, at most six decimals, as 1%"

enum { HF_UNITS_SIZE = 32 }; /* room for any formatted value, with the NUL */

/* "0" needs no unit; decimals are allowed ("1.5s"). HF_E_INVALID. */
hf_result hf_units_parse_duration(const char *text, hf_dur *ret, struct hf_err *err) HF_MUST_USE;
hf_result hf_units_parse_size(const char *text, uint64_t *ret, struct hf_err *err) HF_MUST_USE;
/* In parts per million: "1%" = 10000. */
hf_result hf_units_parse_percent(const char *text, int32_t *ret_ppm,
                                 struct hf_err *err) HF_MUST_USE;

/* Exact, in the largest unit that divides it: "6s", "1500ms", "64MB". */
void hf_units_format_duration(hf_dur d, char out[HF_UNITS_SIZE]);
void hf_units_format_size(uint64_t bytes, char out[HF_UNITS_SIZE]);
void hf_units_format_percent(int32_t ppm, char out[HF_UNITS_SIZE]);

/* For people, rounded: "0.2s", "41s", "3m12s", "48kB", "1.5GB". */
void hf_units_human_duration(hf_dur d, char out[HF_UNITS_SIZE]);
void hf_units_human_size(uint64_t bytes, char out[HF_UNITS_SIZE]);

#endif
