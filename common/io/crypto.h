/* SPDX-License-Identifier: Apache-2.0
 *
 * Cryptography, over OpenSSL's EVP (crypto*.c are the only users of it besides x509*.c).
 * Primitives with fixed choices only: AES-256-GCM, HKDF/HMAC/SHA-256, HMAC-SHA-512 (TSIG),
 * Ed25519, MD5 for Content-MD5.
 *
 * Invariants: sealed bytes are opened whole or not at all (on failure the output is wiped); the
 * caller guarantees that a nonce is never used twice with one key (rule C1: a key per object, the
 * nonce is a counter). Hashes of valid memory cannot fail: a library that cannot compute SHA-256
 * aborts, as one out of memory does. Contexts belong to one thread at a time.
 */
#ifndef HF_IO_CRYPTO_H
#define HF_IO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/secret.h"

enum {
    HF_AEAD_KEY_SIZE = 32,
    HF_AEAD_NONCE_SIZE = 12,
    HF_AEAD_TAG_SIZE = 16,
    HF_SHA256_SIZE = 32,
    HF_SHA512_SIZE = 64,
    HF_MD5_SIZE = 16,
    HF_WRAPPED_KEY_SIZE = HF_AEAD_NONCE_SIZE + HF_AEAD_KEY_SIZE + HF_AEAD_TAG_SIZE,
    HF_ED25519_SEED_SIZE = 32,
    HF_ED25519_PUBLIC_SIZE = 32,
    HF_ED25519_SIGNATURE_SIZE = 64,
    HF_HKDF_MAX = 255 * HF_SHA256_SIZE
};

/* AES-256-GCM (NIST SP 800-38D) with a reusable context: key schedule and memory are kept. */
struct hf_aead;
struct hf_aead *hf_aead_new(const uint8_t key[HF_AEAD_KEY_SIZE]);
/* Another key for the same context. */
void hf_aead_rekey(struct hf_aead *a, const uint8_t key[HF_AEAD_KEY_SIZE]);
void hf_aead_free(struct hf_aead *a); /* NULL allowed; wipes the key */
void hf_aead_cleanup(struct hf_aead **a);
#define HF_AUTOAEAD __attribute__((cleanup(hf_aead_cleanup)))

/* Seals len bytes (at most INT32_MAX) into out, which has room for len + HF_AEAD_TAG_SIZE: the
 * ciphertext, then the tag. out may be plain itself, not overlap otherwise. aad may be NULL when
 * aad_len is 0. */
void hf_aead_seal(struct hf_aead *a, const uint8_t nonce[HF_AEAD_NONCE_SIZE], const void *aad,
                  size_t aad_len, const void *plain, size_t len, uint8_t *out);
/* Opens sealed_len bytes (ciphertext and tag) into out, which has room for
 * sealed_len - HF_AEAD_TAG_SIZE. HF_E_CORRUPT when key, nonce, aad or any byte differ; out is then
 * zeroed. out may be sealed itself. */
hf_result hf_aead_open(struct hf_aead *a, const uint8_t nonce[HF_AEAD_NONCE_SIZE], const void *aad,
                       size_t aad_len, const void *sealed, size_t sealed_len, uint8_t *out,
                       struct hf_err *err) HF_MUST_USE;

/* A data key under a key-encryption key: a random nonce, then AES-256-GCM with aad bound to it
 * (names of both keys). Every call gives other bytes. */
void hf_key_wrap(const uint8_t kek[HF_AEAD_KEY_SIZE], const void *aad, size_t aad_len,
                 const uint8_t key[HF_AEAD_KEY_SIZE], uint8_t ret[HF_WRAPPED_KEY_SIZE]);
/* HF_E_CORRUPT: another kek, other aad, or altered bytes; ret stays untouched. */
hf_result hf_key_unwrap(const uint8_t kek[HF_AEAD_KEY_SIZE], const void *aad, size_t aad_len,
                        const uint8_t wrapped[HF_WRAPPED_KEY_SIZE], uint8_t ret[HF_AEAD_KEY_SIZE],
                        struct hf_err *err) HF_MUST_USE;

/* RFC 5869, extract and expand; len <= HF_HKDF_MAX. */
void hf_hkdf_sha256(const void *key, size_t key_len, const void *salt, size_t salt_len,
                    const void *info, size_t info_len, uint8_t *ret, size_t len);
/* RFC 2104. */
void hf_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
                    uint8_t ret[HF_SHA256_SIZE]);
void hf_hmac_sha512(const void *key, size_t key_len, const void *bytes, size_t len,
                    uint8_t ret[HF_SHA512_SIZE]);
void hf_sha256(const void *bytes, size_t len, uint8_t ret[HF_SHA256_SIZE]);

/* SHA-256 in pieces. hf_sha256_end gives the digest and begins anew. */
struct hf_sha256_stream;
struct hf_sha256_stream *hf_sha256_new(void);
void hf_sha256_update(struct hf_sha256_stream *s, const void *bytes, size_t len);
void hf_sha256_end(struct hf_sha256_stream *s, uint8_t ret[HF_SHA256_SIZE]);
void hf_sha256_free(struct hf_sha256_stream *s);

/* Transport integrity only (Content-MD5). HF_E_UNSUPPORTED where policy forbids MD5. */
hf_result hf_md5(const void *bytes, size_t len, uint8_t ret[HF_MD5_SIZE],
                 struct hf_err *err) HF_MUST_USE;

/* From the system's generator; aborts when there is none. */
void hf_random(void *ret, size_t len);

/* Equal or not in a time that does not depend on where they differ. */
bool hf_crypto_equal(const void *a, const void *b, size_t len);

/* Ed25519 (RFC 8032). The private key is its 32-byte seed. */
void hf_ed25519_public(const uint8_t seed[HF_ED25519_SEED_SIZE],
                       uint8_t ret[HF_ED25519_PUBLIC_SIZE]);
void hf_ed25519_sign(const uint8_t seed[HF_ED25519_SEED_SIZE], const void *bytes, size_t len,
                     uint8_t ret[HF_ED25519_SIGNATURE_SIZE]);
/* HF_E_CORRUPT when the signature is not this key's over these bytes. */
hf_result hf_ed25519_verify(const uint8_t public_key[HF_ED25519_PUBLIC_SIZE], const void *bytes,
                            size_t len, const uint8_t signature[HF_ED25519_SIGNATURE_SIZE],
                            struct hf_err *err) HF_MUST_USE;

#endif
