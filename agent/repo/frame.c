/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/repo/frame.h"

#include <string.h>

#include "agent/core/bytes.h"
#include "common/base/mem.h"
#include "common/io/compress.h"

/* Flags in the upper bits of the second length. */
#define FRAME_FINAL      (UINT32_C(1) << 31)
#define FRAME_COMPRESSED (UINT32_C(1) << 30)

void hf_frame_prefix_encode(const struct hf_frame_prefix *p, uint8_t ret[HF_FRAME_PREFIX_SIZE])
{
    struct hf_writer w = hf_writer_of(ret, HF_FRAME_PREFIX_SIZE);
    hf_write_le(&w, p->cipher_len, 4);
    hf_write_le(
        &w, p->plain_len | (p->final ? FRAME_FINAL : 0) | (p->compressed ? FRAME_COMPRESSED : 0),
        4);
}

hf_result hf_frame_prefix_decode(const uint8_t bytes[HF_FRAME_PREFIX_SIZE], uint32_t frame_size,
                                 struct hf_frame_prefix *ret, struct hf_err *err)
{
    struct hf_reader r = hf_reader_of(bytes, HF_FRAME_PREFIX_SIZE);
    struct hf_frame_prefix p = {.cipher_len = hf_read_u32(&r)};
    uint32_t word = hf_read_u32(&r);
    p.final = (word & FRAME_FINAL) != 0;
    p.compressed = (word & FRAME_COMPRESSED) != 0;
    p.plain_len = word & ~(FRAME_FINAL | FRAME_COMPRESSED);
    bool fits = p.plain_len <= frame_size && p.cipher_len <= p.plain_len &&
                (p.compressed || p.cipher_len == p.plain_len);
    if (!fits) {
        return hf_fail(err, HF_E_CORRUPT, "frame lengths %u and %u do not fit frames of %u bytes",
                       p.cipher_len, p.plain_len, frame_size);
    }
    *ret = p;
    return hf_done();
}

void hf_frame_nonce(uint64_t index, bool final, uint8_t ret[HF_AEAD_NONCE_SIZE])
{
    memset(ret, 0, HF_AEAD_NONCE_SIZE);
    struct hf_writer w = hf_writer_of(ret, HF_AEAD_NONCE_SIZE);
    hf_write_le(&w, index, 8);
    hf_write_le(&w, final ? 1 : 0, 1);
}

void hf_frame_aad(const uint8_t digest[HF_OBJECT_DIGEST_SIZE],
                  const uint8_t prefix[HF_FRAME_PREFIX_SIZE], uint8_t ret[HF_FRAME_AAD_SIZE])
{
    memcpy(ret, digest, HF_OBJECT_DIGEST_SIZE);
    memcpy(ret + HF_OBJECT_DIGEST_SIZE, prefix, HF_FRAME_PREFIX_SIZE);
}

void hf_header_mac(const uint8_t mac_key[32], const uint8_t *header, size_t len,
                   uint8_t ret[HF_OBJECT_MAC_SIZE])
{
    uint8_t full[HF_SHA256_SIZE];
    hf_hmac_sha256(mac_key, 32, header, len, full);
    memcpy(ret, full, HF_OBJECT_MAC_SIZE);
}

static hf_result compare_header(const struct hf_keyring *ring, const struct hf_open_params *params,
                                const struct hf_object_header *h, struct hf_err *err)
{
    const struct hf_cluster_id *id = hf_keyring_cluster(ring);
    if (strcmp(h->tenant, id->tenant) != 0 || strcmp(h->cluster, id->cluster) != 0 ||
        h->system_id != id->system_id) {
        return hf_fail(err, HF_E_CORRUPT,
                       "%s: foreign object, of %s/%s/%llu instead of %s/%s/%llu (rule C1)",
                       params->name, h->tenant, h->cluster, (unsigned long long)h->system_id,
                       id->tenant, id->cluster, (unsigned long long)id->system_id);
    }
    if (strcmp(h->name, params->name) != 0) {
        return hf_fail(err, HF_E_CORRUPT, "%s: swapped object, its header names %s (rule C1)",
                       params->name, h->name);
    }
    if (params->kind != 0 && h->kind != params->kind) {
        return hf_fail(err, HF_E_CORRUPT, "%s: is a %s, not a %s", params->name,
                       hf_object_kind_name(h->kind), hf_object_kind_name(params->kind));
    }
    return hf_done();
}

hf_result hf_header_open(const struct hf_keyring *ring, const struct hf_open_params *params,
                         const uint8_t *bytes, size_t header_len, struct hf_object_header *ret,
                         uint8_t ret_frame_key[32], uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE],
                         struct hf_err *err)
{
    struct hf_object_header h;
    hf_result decoded = hf_object_header_decode(bytes, header_len, &h, err);
    if (!hf_ok(decoded)) {
        return hf_fail_context(err, "%s", params->name);
    }
    HF_TRY(compare_header(ring, params, &h, err));
    uint8_t mac_key[32];
    uint8_t mac[HF_OBJECT_MAC_SIZE];
    uint8_t frame_key[32];
    HF_TRY(hf_keyring_object_keys(ring, h.dek_id, h.salt, h.name, frame_key, mac_key, err));
    hf_header_mac(mac_key, bytes, header_len, mac);
    hf_wipe(mac_key, sizeof(mac_key));
    if (!hf_crypto_equal(mac, bytes + header_len, sizeof(mac))) {
        hf_wipe(frame_key, sizeof(frame_key));
        return hf_fail(err, HF_E_CORRUPT, "%s: header does not authenticate (altered)",
                       params->name);
    }
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    hf_sha256(bytes, header_len, digest);
    if (params->digest != NULL && memcmp(digest, params->digest, sizeof(digest)) != 0) {
        hf_wipe(frame_key, sizeof(frame_key));
        return hf_fail(err, HF_E_CORRUPT,
                       "%s: replaced, it is not the object that the manifest names (rule B9)",
                       params->name);
    }
    *ret = h;
    memcpy(ret_frame_key, frame_key, 32);
    memcpy(ret_digest, digest, sizeof(digest));
    hf_wipe(frame_key, sizeof(frame_key));
    return hf_done();
}

hf_result hf_frame_open(struct hf_aead *aead, struct hf_decompressor *decompressor,
                        const uint8_t digest[HF_OBJECT_DIGEST_SIZE], uint64_t index,
                        const struct hf_frame_prefix *p, const uint8_t *sealed, uint8_t *scratch,
                        uint8_t *out, struct hf_err *err)
{
    uint8_t prefix[HF_FRAME_PREFIX_SIZE];
    uint8_t nonce[HF_AEAD_NONCE_SIZE];
    uint8_t aad[HF_FRAME_AAD_SIZE];
    hf_frame_prefix_encode(p, prefix);
    hf_frame_nonce(index, p->final, nonce);
    hf_frame_aad(digest, prefix, aad);
    uint8_t *to = p->compressed ? scratch : out;
    HF_TRY(hf_aead_open(aead, nonce, aad, sizeof(aad), sealed, p->cipher_len + HF_AEAD_TAG_SIZE, to,
                        err));
    if (!p->compressed) {
        return hf_done();
    }
    return hf_decompress_frame(decompressor, scratch, p->cipher_len, out, p->plain_len, err);
}
