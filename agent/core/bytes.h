/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounded little-endian reading and writing for the binary formats of the repository.
 * Invariant: a reader or writer that once ran out of room stays failed and touches nothing more;
 * what it then returns is 0. Ask `ok` once, at the end.
 */
#ifndef HF_AGENT_CORE_BYTES_H
#define HF_AGENT_CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hf_reader {
    const uint8_t *p;
    size_t left;
    bool ok;
};

struct hf_writer {
    uint8_t *p;
    size_t left;
    size_t len; /* written so far */
    bool ok;
};

static inline struct hf_reader hf_reader_of(const void *bytes, size_t len)
{
    return (struct hf_reader){.p = bytes, .left = len, .ok = true};
}
/* The next n bytes in place, or NULL. */
static inline const uint8_t *hf_read_bytes(struct hf_reader *r, size_t n)
{
    if (!r->ok || r->left < n) {
        r->ok = false;
        return NULL;
    }
    const uint8_t *at = r->p;
    r->p += n;
    r->left -= n;
    return at;
}
static inline void hf_read_copy(struct hf_reader *r, void *ret, size_t n)
{
    const uint8_t *at = hf_read_bytes(r, n);
    if (at != NULL) {
        memcpy(ret, at, n);
    }
}
static inline uint64_t hf_read_le(struct hf_reader *r, size_t n)
{
    const uint8_t *at = hf_read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; at != NULL && i < n; i++) {
        v |= (uint64_t)at[i] << (8 * i);
    }
    return v;
}
static inline uint8_t hf_read_u8(struct hf_reader *r)
{
    return (uint8_t)hf_read_le(r, 1);
}
static inline uint16_t hf_read_u16(struct hf_reader *r)
{
    return (uint16_t)hf_read_le(r, 2);
}
static inline uint32_t hf_read_u32(struct hf_reader *r)
{
    return (uint32_t)hf_read_le(r, 4);
}
static inline uint64_t hf_read_u64(struct hf_reader *r)
{
    return hf_read_le(r, 8);
}
/* A text with its length in two bytes; fails when it does not fit into size with the NUL, or
 * contains a NUL itself. */
static inline void hf_read_text(struct hf_reader *r, char *ret, size_t size)
{
    size_t n = hf_read_u16(r);
    const uint8_t *at = n < size ? hf_read_bytes(r, n) : NULL;
    if (at == NULL || memchr(at, 0, n) != NULL) {
        r->ok = false;
        return;
    }
    memcpy(ret, at, n);
    ret[n] = '\0';
}

static inline struct hf_writer hf_writer_of(void *bytes, size_t room)
{
    return (struct hf_writer){.p = bytes, .left = room, .ok = true};
}
static inline void hf_write_bytes(struct hf_writer *w, const void *bytes, size_t n)
{
    if (!w->ok || w->left < n) {
        w->ok = false;
        return;
    }
    if (n == 0) {
        return; /* bytes may be NULL */
    }
    memcpy(w->p, bytes, n);
    w->p += n;
    w->left -= n;
    w->len += n;
}
static inline void hf_write_le(struct hf_writer *w, uint64_t v, size_t n)
{
    uint8_t b[8];
    for (size_t i = 0; i < n; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
    hf_write_bytes(w, b, n);
}
static inline void hf_write_text(struct hf_writer *w, const char *text)
{
    size_t n = strlen(text);
    if (n > UINT16_MAX) {
        w->ok = false;
        return;
    }
    hf_write_le(w, n, 2);
    hf_write_bytes(w, text, n);
}

#endif
