/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

hf_result hf_buf_reserve(struct hf_buf *b, size_t n, char **ret_room, struct hf_err *err)
{
    if (n > b->max - b->len) {
        return hf_fail(err, HF_E_LIMIT, "buffer of at most %zu bytes cannot take %zu more", b->max,
                       n);
    }
    size_t need = b->len + n + 1;
    if (need > b->capacity) {
        size_t grown = b->capacity < 64 ? 64 : b->capacity;
        while (grown < need) {
            grown *= 2;
        }
        if (grown > b->max + 1) {
            grown = b->max + 1;
        }
        b->data = hf_realloc(b->data, grown);
        b->capacity = grown;
        b->data[b->len] = '\0';
    }
    *ret_room = b->data + b->len;
    return hf_done();
}

hf_result hf_buf_append(struct hf_buf *b, const void *bytes, size_t n, struct hf_err *err)
{
    char *room = NULL;
    HF_TRY(hf_buf_reserve(b, n, &room, err));
    if (n > 0) {
        memcpy(room, bytes, n);
    }
    b->len += n;
    b->data[b->len] = '\0';
    return hf_done();
}

hf_result hf_buf_append_str(struct hf_buf *b, const char *text, struct hf_err *err)
{
    return hf_buf_append(b, text, strlen(text), err);
}

hf_result hf_buf_printf(struct hf_buf *b, struct hf_err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        va_end(again);
        return hf_fail(err, HF_E_INVALID, "cannot format a text");
    }
    char *room = NULL;
    hf_result r = hf_buf_reserve(b, (size_t)n, &room, err);
    if (hf_ok(r)) {
        (void)vsnprintf(room, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return r;
}

void hf_buf_consume(struct hf_buf *b, size_t n)
{
    HF_ASSERT(n <= b->len);
    if (n == 0) {
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
    b->data[b->len] = '\0';
}

void hf_buf_reset(struct hf_buf *b)
{
    b->len = 0;
    if (b->data != NULL) {
        b->data[0] = '\0';
    }
}

void hf_buf_free(struct hf_buf *b)
{
    hf_free(b->data);
    b->data = NULL;
    b->len = 0;
    b->capacity = 0;
}

const char *hf_buf_text(const struct hf_buf *b)
{
    return b->data == NULL ? "" : b->data;
}
