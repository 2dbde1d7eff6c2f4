/* SPDX-License-Identifier: Apache-2.0
 *
 * WAL positions and segment arithmetic (PostgreSQL: access/xlogdefs.h, access/xlog_internal.h).
 * Pure. Invariant: a parsed value formats back to the same text, upper case, without leading
 * zeros in an LSN.
 */
#ifndef HF_CORE_LSN_H
#define HF_CORE_LSN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_LSN_SIZE = 18 }; /* "FFFFFFFF/FFFFFFFF" and NUL */

/* "16/B374D848"; at most 8 hexadecimal digits on each side. HF_E_INVALID. */
hf_result hf_lsn_parse(const char *text, hf_lsn *ret, struct hf_err *err) HF_MUST_USE;
/* Writes into text (HF_LSN_SIZE bytes) and returns it. */
const char *hf_lsn_format(hf_lsn lsn, char text[HF_LSN_SIZE]);

/* Segment sizes are powers of two from 1 MiB to 1 GiB (initdb --wal-segsize). */
bool hf_segment_size_valid(uint64_t segment_size);
static inline uint64_t hf_lsn_segment(hf_lsn lsn, uint64_t segment_size)
{
    return lsn.v / segment_size;
}
static inline hf_lsn hf_lsn_segment_start(hf_lsn lsn, uint64_t segment_size)
{
    return (hf_lsn){lsn.v - lsn.v % segment_size};
}
static inline hf_lsn hf_lsn_max(hf_lsn a, hf_lsn b)
{
    return a.v > b.v ? a : b;
}
/* a - b, 0 when b is ahead. */
static inline uint64_t hf_lsn_lag(hf_lsn a, hf_lsn b)
{
    return a.v > b.v ? a.v - b.v : 0;
}

#endif
