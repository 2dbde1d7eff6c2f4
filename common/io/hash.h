/* SPDX-License-Identifier: Apache-2.0
 *
 * Keyed hashing for change detection and for comparing contents, over xxhash (hash.c alone
 * includes it): XXH3 128 bits with a secret of its own.
 * Invariant: the key is random and secret (rule C4), so that nobody who writes data can craft
 * "unchanged" content; digests are in canonical (big-endian) bytes, the same on every machine.
 * It is no authentication: that is AES-256-GCM's work.
 */
#ifndef HF_IO_HASH_H
#define HF_IO_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { HF_HASH_KEY_SIZE = 192, HF_HASH_SIZE = 16 };

/* Used in place by every call: must stay valid and unchanged. Fill with hf_random or from the
 * wrapped key; wipe with hf_wipe. */
struct hf_hash_key {
    uint8_t b[HF_HASH_KEY_SIZE];
};

typedef struct {
    uint8_t b[HF_HASH_SIZE];
} hf_hash128;

static inline bool hf_hash_equal(hf_hash128 a, hf_hash128 b)
{
    return memcmp(a.b, b.b, HF_HASH_SIZE) == 0;
}

/* One shot; any thread. */
hf_hash128 hf_hash(const struct hf_hash_key *key, const void *bytes, size_t len);

/* The same digest in pieces. One thread at a time; the key is borrowed until free. */
struct hf_hash_stream;
struct hf_hash_stream *hf_hash_stream_new(const struct hf_hash_key *key);
void hf_hash_stream_reset(struct hf_hash_stream *s);
void hf_hash_stream_update(struct hf_hash_stream *s, const void *bytes, size_t len);
/* Of all bytes since new or reset; more may follow. */
hf_hash128 hf_hash_stream_digest(const struct hf_hash_stream *s);
void hf_hash_stream_free(struct hf_hash_stream *s);

#endif
