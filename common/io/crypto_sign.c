/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/crypto.h"

#include <openssl/evp.h>

static EVP_PKEY *private_key(const uint8_t seed[HF_ED25519_SEED_SIZE])
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, HF_ED25519_SEED_SIZE);
    HF_ASSERT(key != NULL);
    return key;
}

void hf_ed25519_public(const uint8_t seed[HF_ED25519_SEED_SIZE],
                       uint8_t ret[HF_ED25519_PUBLIC_SIZE])
{
    EVP_PKEY *key = private_key(seed);
    size_t n = HF_ED25519_PUBLIC_SIZE;
    HF_ASSERT(EVP_PKEY_get_raw_public_key(key, ret, &n) == 1 && n == HF_ED25519_PUBLIC_SIZE);
    EVP_PKEY_free(key);
}

void hf_ed25519_sign(const uint8_t seed[HF_ED25519_SEED_SIZE], const void *bytes, size_t len,
                     uint8_t ret[HF_ED25519_SIGNATURE_SIZE])
{
    EVP_PKEY *key = private_key(seed);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    HF_ASSERT(context != NULL);
    size_t n = HF_ED25519_SIGNATURE_SIZE;
    HF_ASSERT(EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1);
    HF_ASSERT(EVP_DigestSign(context, ret, &n, bytes, len) == 1);
    HF_ASSERT(n == HF_ED25519_SIGNATURE_SIZE);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

hf_result hf_ed25519_verify(const uint8_t public_key[HF_ED25519_PUBLIC_SIZE], const void *bytes,
                            size_t len, const uint8_t signature[HF_ED25519_SIGNATURE_SIZE],
                            struct hf_err *err)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, HF_ED25519_PUBLIC_SIZE);
    if (key == NULL) {
        return hf_fail(err, HF_E_CORRUPT, "not an Ed25519 public key");
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    HF_ASSERT(context != NULL);
    HF_ASSERT(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1);
    int valid = EVP_DigestVerify(context, signature, HF_ED25519_SIGNATURE_SIZE, bytes, len);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    if (valid != 1) {
        return hf_fail(err, HF_E_CORRUPT, "the signature is not this key's");
    }
    return hf_done();
}
