/* SPDX-License-Identifier: Apache-2.0
 *
 * What sealing and opening share: the prefix of a frame, its nonce, its associated data.
 * Invariant: a nonce is used once under one object's key: the frame's number, counted from 0, and
 * whether it is the last frame.
 */
#ifndef HF_AGENT_REPO_FRAME_H
#define HF_AGENT_REPO_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/repo/object.h"
#include "common/io/crypto.h"

struct hf_frame_prefix {
    uint32_t cipher_len; /* without the tag */
    uint32_t plain_len;
    bool final;
    bool compressed;
};

void hf_frame_prefix_encode(const struct hf_frame_prefix *p, uint8_t ret[HF_FRAME_PREFIX_SIZE]);
/* HF_E_CORRUPT: beyond frame_size, or a raw frame whose lengths differ. */
hf_result hf_frame_prefix_decode(const uint8_t bytes[HF_FRAME_PREFIX_SIZE], uint32_t frame_size,
                                 struct hf_frame_prefix *ret, struct hf_err *err) HF_MUST_USE;

void hf_frame_nonce(uint64_t index, bool final, uint8_t ret[HF_AEAD_NONCE_SIZE]);

enum { HF_FRAME_AAD_SIZE = HF_OBJECT_DIGEST_SIZE + HF_FRAME_PREFIX_SIZE };
void hf_frame_aad(const uint8_t digest[HF_OBJECT_DIGEST_SIZE],
                  const uint8_t prefix[HF_FRAME_PREFIX_SIZE], uint8_t ret[HF_FRAME_AAD_SIZE]);

/* The code that follows the header. */
void hf_header_mac(const uint8_t mac_key[32], const uint8_t *header, size_t len,
                   uint8_t ret[HF_OBJECT_MAC_SIZE]);

/* Decodes and authenticates header bytes and the code after them, and compares them with what was
 * asked for. Gives the frames' key and the header's digest. HF_E_DENIED: foreign key. */
hf_result hf_header_open(const struct hf_keyring *ring, const struct hf_open_params *params,
                         const uint8_t *bytes, size_t header_len, struct hf_object_header *ret,
                         uint8_t ret_frame_key[32], uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE],
                         struct hf_err *err) HF_MUST_USE;

/* One frame's ciphertext and tag into out (room plain_len); scratch has room for cipher_len. */
struct hf_decompressor;
hf_result hf_frame_open(struct hf_aead *aead, struct hf_decompressor *decompressor,
                        const uint8_t digest[HF_OBJECT_DIGEST_SIZE], uint64_t index,
                        const struct hf_frame_prefix *p, const uint8_t *sealed, uint8_t *scratch,
                        uint8_t *out, struct hf_err *err) HF_MUST_USE;

#endif
