/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening: a stream of ciphertext in, authenticated plaintext out, frame by frame; and single
 * frames at random.
 */
#include "agent/repo/object.h"

#include <stdio.h>
#include <string.h>

#include "agent/repo/frame.h"
#include "common/base/mem.h"
#include "common/io/compress.h"
#include "common/io/crypto.h"

enum opener_state { IN_HEADER, IN_PREFIX, IN_FRAME, AT_END };

struct hf_opener {
    const struct hf_keyring *ring;
    char name[HF_OBJECT_NAME_SIZE];
    struct hf_open_params params;
    uint8_t wanted_digest[HF_OBJECT_DIGEST_SIZE];
    hf_object_sink sink;
    void *arg;
    enum opener_state state;
    size_t need; /* bytes of the part that is being gathered */
    size_t have;
    uint8_t *gather; /* header, then frames */
    size_t gather_size;
    struct hf_object_header header;
    bool has_header;
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    struct hf_aead *aead;
    struct hf_decompressor *decompressor;
    struct hf_frame_prefix prefix;
    uint64_t index;
    uint64_t plain_bytes;
    uint8_t *scratch;
    uint8_t *plain;
};

enum { HEADER_START = 16 }; /* enough to learn the header's length */

hf_result hf_opener_new(const struct hf_keyring *ring, const struct hf_open_params *params,
                        hf_object_sink sink, void *arg, struct hf_opener **ret, struct hf_err *err)
{
    if (strlen(params->name) >= HF_OBJECT_NAME_SIZE) {
        return hf_fail(err, HF_E_LIMIT, "object name of %zu bytes, allowed are %d",
                       strlen(params->name), HF_OBJECT_NAME_SIZE - 1);
    }
    struct hf_opener *o = hf_alloc(sizeof(*o));
    o->ring = ring;
    snprintf(o->name, sizeof(o->name), "%s", params->name);
    o->params = *params;
    o->params.name = o->name;
    if (params->digest != NULL) {
        memcpy(o->wanted_digest, params->digest, sizeof(o->wanted_digest));
        o->params.digest = o->wanted_digest;
    }
    o->sink = sink;
    o->arg = arg;
    o->need = HEADER_START;
    o->gather_size = HF_OBJECT_HEADER_MAX + HF_OBJECT_MAC_SIZE;
    o->gather = hf_alloc(o->gather_size);
    o->decompressor = hf_decompressor_new();
    *ret = o;
    return hf_done();
}

void hf_opener_free(struct hf_opener *o)
{
    if (o == NULL) {
        return;
    }
    hf_aead_free(o->aead);
    hf_decompressor_free(o->decompressor);
    hf_free(o->gather);
    hf_free(o->scratch);
    hf_free(o->plain);
    hf_free(o);
}

const struct hf_object_header *hf_opener_header(const struct hf_opener *o)
{
    return o->has_header ? &o->header : NULL;
}

void hf_opener_digest(const struct hf_opener *o, uint8_t ret[HF_OBJECT_DIGEST_SIZE])
{
    memcpy(ret, o->digest, HF_OBJECT_DIGEST_SIZE);
}

static void expect(struct hf_opener *o, enum opener_state state, size_t need)
{
    o->state = state;
    o->need = need;
    o->have = 0;
}

static hf_result header_complete(struct hf_opener *o, struct hf_err *err)
{
    size_t total = 0;
    hf_result r = hf_object_header_peek(o->gather, o->have, &total, err);
    if (!hf_ok(r)) {
        return hf_fail_context(err, "%s", o->name);
    }
    if (o->have < total + HF_OBJECT_MAC_SIZE) {
        o->need = total + HF_OBJECT_MAC_SIZE; /* the rest of it */
        return hf_done();
    }
    uint8_t key[32];
    HF_TRY(hf_header_open(o->ring, &o->params, o->gather, total, &o->header, key, o->digest, err));
    o->has_header = true;
    o->aead = hf_aead_new(key);
    hf_wipe(key, sizeof(key));
    size_t frame_room = (size_t)o->header.frame_size + HF_AEAD_TAG_SIZE;
    if (o->gather_size < frame_room) {
        o->gather = hf_realloc(o->gather, frame_room);
        o->gather_size = frame_room;
    }
    o->scratch = hf_alloc(frame_room);
    o->plain = hf_alloc(frame_room);
    expect(o, IN_PREFIX, HF_FRAME_PREFIX_SIZE);
    return hf_done();
}

static hf_result frame_complete(struct hf_opener *o, struct hf_err *err)
{
    hf_result r = hf_frame_open(o->aead, o->decompressor, o->digest, o->index, &o->prefix,
                                o->gather, o->scratch, o->plain, err);
    if (!hf_ok(r)) {
        return hf_fail(err, HF_E_CORRUPT, "%s: frame %llu does not authenticate (altered)", o->name,
                       (unsigned long long)o->index);
    }
    o->index++;
    o->plain_bytes += o->prefix.plain_len;
    if (o->prefix.plain_len > 0) {
        HF_TRY(o->sink(o->arg, o->plain, o->prefix.plain_len, err));
    }
    if (o->prefix.final) {
        expect(o, AT_END, 0);
    } else {
        expect(o, IN_PREFIX, HF_FRAME_PREFIX_SIZE);
    }
    return hf_done();
}

static hf_result part_complete(struct hf_opener *o, struct hf_err *err)
{
    switch (o->state) {
    case IN_HEADER:
        return header_complete(o, err);
    case IN_PREFIX: {
        hf_result r = hf_frame_prefix_decode(o->gather, o->header.frame_size, &o->prefix, err);
        if (!hf_ok(r)) {
            return hf_fail_context(err, "%s: frame %llu", o->name, (unsigned long long)o->index);
        }
        expect(o, IN_FRAME, (size_t)o->prefix.cipher_len + HF_AEAD_TAG_SIZE);
        return hf_done();
    }
    case IN_FRAME:
        return frame_complete(o, err);
    case AT_END:
        break;
    }
    return hf_done();
}

hf_result hf_opener_feed(void *opener, const void *bytes, size_t len, struct hf_err *err)
{
    struct hf_opener *o = opener;
    const uint8_t *from = bytes;
    while (len > 0) {
        if (o->state == AT_END) {
            return hf_fail(err, HF_E_CORRUPT, "%s: goes on after its last frame", o->name);
        }
        size_t n = o->need - o->have;
        n = n < len ? n : len;
        memcpy(o->gather + o->have, from, n);
        o->have += n;
        from += n;
        len -= n;
        while (o->state != AT_END && o->have == o->need) {
            HF_TRY(part_complete(o, err));
        }
    }
    return hf_done();
}

hf_result hf_opener_finish(struct hf_opener *o, struct hf_err *err)
{
    if (o->state != AT_END) {
        return hf_fail(err, HF_E_CORRUPT, "%s: cut short (%s)", o->name,
                       o->state == IN_HEADER ? "within its header" : "its last frame is missing");
    }
    if ((o->header.flags & HF_OBJECT_HAS_CONTENT) != 0 && o->header.plain_len != o->plain_bytes) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %llu bytes of content, its header says %llu",
                       o->name, (unsigned long long)o->plain_bytes,
                       (unsigned long long)o->header.plain_len);
    }
    return hf_done();
}

/* --- frames at random ----------------------------------------------------------------------- */

struct hf_frame_reader {
    char name[HF_OBJECT_NAME_SIZE];
    struct hf_object_header header;
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    struct hf_aead *aead;
    struct hf_decompressor *decompressor;
    uint8_t *scratch;
};

struct header_bytes {
    uint8_t b[HF_OBJECT_HEADER_MAX + HF_OBJECT_MAC_SIZE];
    size_t len;
};

/* Keeps the beginning and stops the transfer when it is complete. */
static hf_result keep_header(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    struct header_bytes *h = arg;
    size_t n = sizeof(h->b) - h->len;
    n = n < len ? n : len;
    memcpy(h->b + h->len, bytes, n);
    h->len += n;
    if (h->len == sizeof(h->b)) {
        return hf_fail(err, HF_E_CANCELED, "header complete");
    }
    return hf_done();
}

static hf_result read_header(const struct hf_keyring *ring, struct hf_store *store,
                             const struct hf_open_params *params, struct hf_object_header *ret,
                             uint8_t ret_key[32], uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE],
                             struct hf_err *err)
{
    struct header_bytes h = {.len = 0};
    char key[HF_STORE_KEY_SIZE];
    size_t total = 0;
    HF_TRY(hf_object_key(hf_keyring_cluster(ring), params->name, key, err));
    hf_result r = hf_store_get(store, key, 0, UINT64_MAX, keep_header, &h, err);
    if (!hf_ok(r) && r.code != HF_E_CANCELED) {
        return r;
    }
    r = hf_object_header_peek(h.b, h.len, &total, err);
    if (!hf_ok(r)) {
        return hf_fail_context(err, "%s", params->name);
    }
    if (h.len < total + HF_OBJECT_MAC_SIZE) {
        return hf_fail(err, HF_E_CORRUPT, "%s: cut short (within its header)", params->name);
    }
    return hf_header_open(ring, params, h.b, total, ret, ret_key, ret_digest, err);
}

hf_result hf_object_head(const struct hf_keyring *ring, struct hf_store *store,
                         const struct hf_open_params *params, struct hf_object_header *ret,
                         struct hf_err *err)
{
    uint8_t key[32];
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    HF_TRY(read_header(ring, store, params, ret, key, digest, err));
    hf_wipe(key, sizeof(key));
    return hf_done();
}

hf_result hf_frame_reader_new(const struct hf_keyring *ring, struct hf_store *store,
                              const struct hf_open_params *params, struct hf_frame_reader **ret,
                              struct hf_err *err)
{
    struct hf_object_header header;
    uint8_t key[32];
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    HF_TRY(read_header(ring, store, params, &header, key, digest, err));
    struct hf_frame_reader *r = hf_alloc(sizeof(*r));
    snprintf(r->name, sizeof(r->name), "%s", params->name);
    r->header = header;
    memcpy(r->digest, digest, sizeof(digest));
    r->aead = hf_aead_new(key);
    hf_wipe(key, sizeof(key));
    r->decompressor = hf_decompressor_new();
    r->scratch = hf_alloc(header.frame_size);
    *ret = r;
    return hf_done();
}

hf_result hf_frame_reader_open(struct hf_frame_reader *r, const struct hf_frame_ref *ref,
                               bool final, const uint8_t *stored, uint8_t *out, struct hf_err *err)
{
    struct hf_frame_prefix p;
    if (ref->stored_len < HF_FRAME_OVERHEAD) {
        return hf_fail(err, HF_E_CORRUPT, "%s: frame %u of %u bytes", r->name, ref->index,
                       ref->stored_len);
    }
    hf_result decoded = hf_frame_prefix_decode(stored, r->header.frame_size, &p, err);
    if (!hf_ok(decoded) || p.final != final || p.plain_len != ref->plain_len ||
        p.cipher_len + HF_FRAME_OVERHEAD != ref->stored_len ||
        !hf_ok(hf_frame_open(r->aead, r->decompressor, r->digest, ref->index, &p,
                             stored + HF_FRAME_PREFIX_SIZE, r->scratch, out, err))) {
        return hf_fail(err, HF_E_CORRUPT, "%s: frame %u does not authenticate (altered)", r->name,
                       ref->index);
    }
    return hf_done();
}

void hf_frame_reader_free(struct hf_frame_reader *r)
{
    if (r == NULL) {
        return;
    }
    hf_aead_free(r->aead);
    hf_decompressor_free(r->decompressor);
    hf_free(r->scratch);
    hf_free(r);
}
