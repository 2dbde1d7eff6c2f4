/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes as text: lower-case hexadecimal and base64 (RFC 4648, padded).
 * Invariant: decoding accepts only what encoding gives (hex: either case), nothing else.
 */
#ifndef HF_BASE_HEX_H
#define HF_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* Room for the texts of n bytes, with the NUL. */
#define HF_HEX_SIZE(n)    ((size_t)(n)*2 + 1)
#define HF_BASE64_SIZE(n) (((size_t)(n) + 2) / 3 * 4 + 1)

/* ret has room for HF_HEX_SIZE(n). */
void hf_hex_encode(const void *bytes, size_t n, char *ret);
/* Exactly n bytes from exactly 2n digits. HF_E_INVALID. */
hf_result hf_hex_decode(const char *text, uint8_t *ret, size_t n, struct hf_err *err) HF_MUST_USE;
/* ret has room for HF_BASE64_SIZE(n). */
void hf_base64_encode(const void *bytes, size_t n, char *ret);
/* At most room bytes. HF_E_INVALID, HF_E_LIMIT. */
hf_result hf_base64_decode(const char *text, uint8_t *ret, size_t room, size_t *ret_len,
                           struct hf_err *err) HF_MUST_USE;

#endif
