/* SPDX-License-Identifier: Apache-2.0
 *
 * Sealing: plaintext in, header and frames out.
 */
#include "agent/repo/object.h"

#include <stdio.h>
#include <string.h>

#include "agent/repo/frame.h"
#include "common/base/mem.h"
#include "common/io/compress.h"
#include "common/io/crypto.h"

struct hf_sealer {
    hf_object_sink sink;
    void *arg;
    struct hf_aead *aead;
    struct hf_compressor *compressor; /* NULL: never compress */
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    uint32_t frame_size;
    uint32_t index; /* of the next frame */
    uint64_t offset;
    uint8_t *pending; /* plaintext of the frame that is being filled */
    size_t pending_len;
    uint8_t *frame; /* prefix, ciphertext, tag */
    bool finished;
};

static hf_result fill_header(const struct hf_keyring *ring, const struct hf_seal_params *params,
                             struct hf_object_header *h, struct hf_err *err)
{
    const struct hf_cluster_id *id = hf_keyring_cluster(ring);
    const struct hf_hash_key *hash_key = NULL;
    *h = (struct hf_object_header){
        .kind = params->kind,
        .flags = params->has_content ? HF_OBJECT_HAS_CONTENT : 0,
        .frame_size = params->frame_size == 0 ? HF_FRAME_SIZE_DEFAULT : params->frame_size,
        .system_id = id->system_id,
        .epoch = params->epoch,
    };
    if (strlen(params->name) >= sizeof(h->name)) {
        return hf_fail(err, HF_E_LIMIT, "object name of %zu bytes, allowed are %zu",
                       strlen(params->name), sizeof(h->name) - 1);
    }
    HF_TRY(hf_keyring_active(ring, h->dek_id, params->has_content ? &hash_key : NULL, h->secret_id,
                             err));
    if (params->has_content) {
        memcpy(h->content_hash, params->content_hash.b, sizeof(h->content_hash));
        h->plain_len = params->plain_len;
    }
    snprintf(h->tenant, sizeof(h->tenant), "%s", id->tenant);
    snprintf(h->cluster, sizeof(h->cluster), "%s", id->cluster);
    snprintf(h->writer, sizeof(h->writer), "%s", hf_keyring_writer(ring));
    snprintf(h->name, sizeof(h->name), "%s", params->name);
    hf_random(h->salt, sizeof(h->salt));
    return hf_done();
}

static hf_result emit(struct hf_sealer *s, const void *bytes, size_t len, struct hf_err *err)
{
    HF_TRY(s->sink(s->arg, bytes, len, err));
    s->offset += len;
    return hf_done();
}

hf_result hf_sealer_new(const struct hf_keyring *ring, const struct hf_seal_params *params,
                        hf_object_sink sink, void *arg, struct hf_sealer **ret, struct hf_err *err)
{
    struct hf_object_header h;
    uint8_t bytes[HF_OBJECT_HEADER_MAX + HF_OBJECT_MAC_SIZE];
    uint8_t frame_key[32];
    uint8_t mac_key[32];
    size_t len = 0;
    HF_TRY(fill_header(ring, params, &h, err));
    HF_TRY(hf_object_header_encode(&h, bytes, HF_OBJECT_HEADER_MAX, &len, err));
    HF_TRY(hf_keyring_object_keys(ring, h.dek_id, h.salt, h.name, frame_key, mac_key, err));
    hf_header_mac(mac_key, bytes, len, bytes + len);

    struct hf_sealer *s = hf_alloc(sizeof(*s));
    s->sink = sink;
    s->arg = arg;
    s->frame_size = h.frame_size;
    s->aead = hf_aead_new(frame_key);
    if (params->zstd_level >= 0) {
        s->compressor = hf_compressor_new(params->zstd_level == 0 ? HF_COMPRESS_LEVEL_DEFAULT
                                                                  : params->zstd_level);
    }
    s->pending = hf_alloc(h.frame_size);
    s->frame = hf_alloc((size_t)h.frame_size + HF_FRAME_OVERHEAD);
    hf_sha256(bytes, len, s->digest);
    hf_wipe(frame_key, sizeof(frame_key));
    hf_wipe(mac_key, sizeof(mac_key));
    hf_result r = emit(s, bytes, len + HF_OBJECT_MAC_SIZE, err);
    if (!hf_ok(r)) {
        hf_sealer_free(s);
        return r;
    }
    *ret = s;
    return hf_done();
}

void hf_sealer_free(struct hf_sealer *s)
{
    if (s == NULL) {
        return;
    }
    hf_aead_free(s->aead);
    hf_compressor_free(s->compressor);
    hf_free(s->pending);
    hf_free(s->frame);
    hf_free(s);
}

/* Compresses into place when that saves at least 3 %, else copies. */
static size_t pack_plain(struct hf_sealer *s, const void *bytes, size_t len, uint8_t *to,
                         bool *ret_compressed)
{
    size_t packed = 0;
    size_t room = len - len / 32 - (len > 0 ? 1 : 0);
    if (s->compressor != NULL && len > 64 &&
        hf_ok(hf_compress_frame(s->compressor, bytes, len, to, room, &packed, NULL))) {
        *ret_compressed = true;
        return packed;
    }
    *ret_compressed = false;
    if (len > 0) {
        memcpy(to, bytes, len);
    }
    return len;
}

static hf_result seal_one(struct hf_sealer *s, const void *bytes, size_t len, bool final,
                          struct hf_frame_ref *ret, struct hf_err *err)
{
    uint8_t nonce[HF_AEAD_NONCE_SIZE];
    uint8_t aad[HF_FRAME_AAD_SIZE];
    uint8_t *cipher = s->frame + HF_FRAME_PREFIX_SIZE;
    struct hf_frame_prefix p = {.plain_len = (uint32_t)len, .final = final};
    HF_ASSERT(!s->finished && len <= s->frame_size);
    if (s->index == UINT32_MAX) {
        return hf_fail(err, HF_E_LIMIT, "object has more than %u frames", UINT32_MAX);
    }
    p.cipher_len = (uint32_t)pack_plain(s, bytes, len, cipher, &p.compressed);
    hf_frame_prefix_encode(&p, s->frame);
    hf_frame_nonce(s->index, final, nonce);
    hf_frame_aad(s->digest, s->frame, aad);
    hf_aead_seal(s->aead, nonce, aad, sizeof(aad), cipher, p.cipher_len, cipher);
    struct hf_frame_ref ref = {.index = s->index,
                               .offset = s->offset,
                               .stored_len = p.cipher_len + HF_FRAME_OVERHEAD,
                               .plain_len = p.plain_len};
    /* The number is spent even when the sink fails: no nonce is ever used twice. */
    s->index++;
    s->finished = final;
    HF_TRY(emit(s, s->frame, ref.stored_len, err));
    if (ret != NULL) {
        *ret = ref;
    }
    return hf_done();
}

static hf_result flush(struct hf_sealer *s, struct hf_err *err)
{
    size_t len = s->pending_len;
    s->pending_len = 0;
    return len == 0 ? hf_done() : seal_one(s, s->pending, len, false, NULL, err);
}

hf_result hf_sealer_write(struct hf_sealer *s, const void *bytes, size_t len, struct hf_err *err)
{
    const uint8_t *from = bytes;
    while (len > 0) {
        /* A full frame waits until more comes: the last one must be known as such. */
        if (s->pending_len == s->frame_size) {
            HF_TRY(flush(s, err));
        }
        size_t n = s->frame_size - s->pending_len;
        n = n < len ? n : len;
        memcpy(s->pending + s->pending_len, from, n);
        s->pending_len += n;
        from += n;
        len -= n;
    }
    return hf_done();
}

hf_result hf_sealer_frame(struct hf_sealer *s, const void *bytes, size_t len,
                          struct hf_frame_ref *ret, struct hf_err *err)
{
    HF_TRY(flush(s, err));
    return seal_one(s, bytes, len, false, ret, err);
}

hf_result hf_sealer_finish(struct hf_sealer *s, struct hf_err *err)
{
    size_t len = s->pending_len;
    s->pending_len = 0;
    return seal_one(s, s->pending, len, true, NULL, err);
}

void hf_sealer_digest(const struct hf_sealer *s, uint8_t ret[HF_OBJECT_DIGEST_SIZE])
{
    memcpy(ret, s->digest, HF_OBJECT_DIGEST_SIZE);
}

uint64_t hf_sealer_offset(const struct hf_sealer *s)
{
    return s->offset;
}
