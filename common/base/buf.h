/* SPDX-License-Identifier: Apache-2.0
 *
 * A growable byte buffer that declares its maximum when it is made (after curl's dynbuf).
 * Invariant: `len <= max`; data[len] is always a NUL that does not count, so that a text can be
 * read as a C string. Not thread safe; the owner frees.
 */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct hf_buf {
    char *data; /* NULL until the first append */
    size_t len;
    size_t capacity;
    size_t max; /* bytes of content allowed */
};

#define HF_BUF_INIT(maximum) ((struct hf_buf){.max = (maximum)})

/* Declares a buffer that is freed when its scope ends. */
#define HF_BUF(name, maximum)                                                                      \
    __attribute__((cleanup(hf_buf_free))) struct hf_buf name = HF_BUF_INIT(maximum)

/* Appends n bytes. HF_E_LIMIT past the maximum (buffer unchanged). Out of memory aborts. */
hf_result hf_buf_append(struct hf_buf *b, const void *bytes, size_t n,
                        struct hf_err *err) HF_MUST_USE;
hf_result hf_buf_append_str(struct hf_buf *b, const char *text, struct hf_err *err) HF_MUST_USE;
hf_result hf_buf_printf(struct hf_buf *b, struct hf_err *err, const char *format, ...)
    HF_PRINTF(3, 4) HF_MUST_USE;
/* Makes room for n more bytes and returns where to write them; then add to len. */
hf_result hf_buf_reserve(struct hf_buf *b, size_t n, char **ret_room,
                         struct hf_err *err) HF_MUST_USE;
/* Removes the first n bytes (n <= len). */
void hf_buf_consume(struct hf_buf *b, size_t n);
/* Empties, keeps the memory. */
void hf_buf_reset(struct hf_buf *b);
void hf_buf_free(struct hf_buf *b);
/* "" when nothing was appended. */
const char *hf_buf_text(const struct hf_buf *b);

#endif
