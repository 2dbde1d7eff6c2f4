/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/hash.h"

#include <xxhash.h>

#include "common/base/err.h"
#include "common/base/mem.h"

_Static_assert((int)HF_HASH_KEY_SIZE >= (int)XXH3_SECRET_SIZE_MIN, "xxhash wants a longer secret");
_Static_assert(sizeof(XXH128_canonical_t) == HF_HASH_SIZE, "size of a digest");

struct hf_hash_stream {
    XXH3_state_t *state;
    const struct hf_hash_key *key;
};

static hf_hash128 canonical(XXH128_hash_t h)
{
    XXH128_canonical_t c;
    XXH128_canonicalFromHash(&c, h);
    hf_hash128 ret;
    memcpy(ret.b, c.digest, HF_HASH_SIZE);
    return ret;
}

hf_hash128 hf_hash(const struct hf_hash_key *key, const void *bytes, size_t len)
{
    return canonical(XXH3_128bits_withSecret(bytes, len, key->b, HF_HASH_KEY_SIZE));
}

struct hf_hash_stream *hf_hash_stream_new(const struct hf_hash_key *key)
{
    struct hf_hash_stream *s = hf_alloc(sizeof *s);
    s->state = XXH3_createState();
    HF_ASSERT(s->state != NULL);
    s->key = key;
    hf_hash_stream_reset(s);
    return s;
}

void hf_hash_stream_reset(struct hf_hash_stream *s)
{
    HF_ASSERT(XXH3_128bits_reset_withSecret(s->state, s->key->b, HF_HASH_KEY_SIZE) == XXH_OK);
}

void hf_hash_stream_update(struct hf_hash_stream *s, const void *bytes, size_t len)
{
    if (len > 0) {
        HF_ASSERT(XXH3_128bits_update(s->state, bytes, len) == XXH_OK);
    }
}

hf_hash128 hf_hash_stream_digest(const struct hf_hash_stream *s)
{
    return canonical(XXH3_128bits_digest(s->state));
}

void hf_hash_stream_free(struct hf_hash_stream *s)
{
    if (s != NULL) {
        XXH3_freeState(s->state);
        hf_free(s);
    }
}
