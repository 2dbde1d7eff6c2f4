/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "common/base/mem.h"

struct hf_aead {
    EVP_CIPHER_CTX *seal;
    EVP_CIPHER_CTX *open;
};

static EVP_CIPHER_CTX *new_context(void)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    HF_ASSERT(context != NULL);
    return context;
}

struct hf_aead *hf_aead_new(const uint8_t key[HF_AEAD_KEY_SIZE])
{
    struct hf_aead *a = hf_alloc(sizeof *a);
    a->seal = new_context();
    a->open = new_context();
    HF_ASSERT(EVP_EncryptInit_ex(a->seal, EVP_aes_256_gcm(), NULL, key, NULL) == 1);
    HF_ASSERT(EVP_DecryptInit_ex(a->open, EVP_aes_256_gcm(), NULL, key, NULL) == 1);
    return a;
}

void hf_aead_rekey(struct hf_aead *a, const uint8_t key[HF_AEAD_KEY_SIZE])
{
    HF_ASSERT(EVP_EncryptInit_ex(a->seal, NULL, NULL, key, NULL) == 1);
    HF_ASSERT(EVP_DecryptInit_ex(a->open, NULL, NULL, key, NULL) == 1);
}

void hf_aead_free(struct hf_aead *a)
{
    if (a != NULL) {
        EVP_CIPHER_CTX_free(a->seal);
        EVP_CIPHER_CTX_free(a->open);
        hf_free(a);
    }
}

void hf_aead_cleanup(struct hf_aead **a)
{
    hf_aead_free(*a);
    *a = NULL;
}

void hf_aead_seal(struct hf_aead *a, const uint8_t nonce[HF_AEAD_NONCE_SIZE], const void *aad,
                  size_t aad_len, const void *plain, size_t len, uint8_t *out)
{
    HF_ASSERT(len <= INT32_MAX && aad_len <= INT32_MAX);
    int n = 0;
    HF_ASSERT(EVP_EncryptInit_ex(a->seal, NULL, NULL, NULL, nonce) == 1);
    if (aad_len > 0) {
        HF_ASSERT(EVP_EncryptUpdate(a->seal, NULL, &n, aad, (int)aad_len) == 1);
    }
    if (len > 0) {
        HF_ASSERT(EVP_EncryptUpdate(a->seal, out, &n, plain, (int)len) == 1 && n == (int)len);
    }
    HF_ASSERT(EVP_EncryptFinal_ex(a->seal, out + len, &n) == 1);
    HF_ASSERT(EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_GCM_GET_TAG, HF_AEAD_TAG_SIZE, out + len) == 1);
}

hf_result hf_aead_open(struct hf_aead *a, const uint8_t nonce[HF_AEAD_NONCE_SIZE], const void *aad,
                       size_t aad_len, const void *sealed, size_t sealed_len, uint8_t *out,
                       struct hf_err *err)
{
    if (sealed_len < HF_AEAD_TAG_SIZE) {
        return hf_fail(err, HF_E_CORRUPT, "sealed bytes are shorter than their tag");
    }
    size_t len = sealed_len - HF_AEAD_TAG_SIZE;
    HF_ASSERT(len <= INT32_MAX && aad_len <= INT32_MAX);
    uint8_t tag[HF_AEAD_TAG_SIZE];
    memcpy(tag, (const uint8_t *)sealed + len, sizeof tag);
    int n = 0;
    HF_ASSERT(EVP_DecryptInit_ex(a->open, NULL, NULL, NULL, nonce) == 1);
    HF_ASSERT(EVP_CIPHER_CTX_ctrl(a->open, EVP_CTRL_GCM_SET_TAG, HF_AEAD_TAG_SIZE, tag) == 1);
    if (aad_len > 0) {
        HF_ASSERT(EVP_DecryptUpdate(a->open, NULL, &n, aad, (int)aad_len) == 1);
    }
    if (len > 0) {
        HF_ASSERT(EVP_DecryptUpdate(a->open, out, &n, sealed, (int)len) == 1 && n == (int)len);
    }
    uint8_t rest[HF_AEAD_TAG_SIZE];
    if (EVP_DecryptFinal_ex(a->open, rest, &n) != 1) {
        if (len > 0) {
            memset(out, 0, len);
        }
        return hf_fail(err, HF_E_CORRUPT, "sealed bytes fail authentication");
    }
    return hf_done();
}

void hf_key_wrap(const uint8_t kek[HF_AEAD_KEY_SIZE], const void *aad, size_t aad_len,
                 const uint8_t key[HF_AEAD_KEY_SIZE], uint8_t ret[HF_WRAPPED_KEY_SIZE])
{
    HF_AUTOAEAD struct hf_aead *a = hf_aead_new(kek);
    uint8_t nonce[HF_AEAD_NONCE_SIZE];
    hf_random(nonce, sizeof nonce);
    uint8_t sealed[HF_AEAD_KEY_SIZE + HF_AEAD_TAG_SIZE];
    hf_aead_seal(a, nonce, aad, aad_len, key, HF_AEAD_KEY_SIZE, sealed);
    memcpy(ret, nonce, sizeof nonce);
    memcpy(ret + sizeof nonce, sealed, sizeof sealed);
}

hf_result hf_key_unwrap(const uint8_t kek[HF_AEAD_KEY_SIZE], const void *aad, size_t aad_len,
                        const uint8_t wrapped[HF_WRAPPED_KEY_SIZE], uint8_t ret[HF_AEAD_KEY_SIZE],
                        struct hf_err *err)
{
    HF_AUTOAEAD struct hf_aead *a = hf_aead_new(kek);
    uint8_t key[HF_AEAD_KEY_SIZE];
    hf_result r = hf_aead_open(a, wrapped, aad, aad_len, wrapped + HF_AEAD_NONCE_SIZE,
                               HF_AEAD_KEY_SIZE + HF_AEAD_TAG_SIZE, key, err);
    if (!hf_ok(r)) {
        return hf_fail(err, HF_E_CORRUPT,
                       "wrapped key: another key-encryption key, another name, or damaged");
    }
    memcpy(ret, key, sizeof key);
    hf_wipe(key, sizeof key);
    return hf_done();
}

void hf_hmac_sha256(const void *key, size_t key_len, const void *bytes, size_t len,
                    uint8_t ret[HF_SHA256_SIZE])
{
    static const uint8_t empty[1];
    HF_ASSERT(key_len <= INT32_MAX);
    unsigned n = 0;
    HF_ASSERT(HMAC(EVP_sha256(), key_len > 0 ? key : empty, (int)key_len, len > 0 ? bytes : empty,
                   len, ret, &n) != NULL);
    HF_ASSERT(n == HF_SHA256_SIZE);
}

void hf_hmac_sha512(const void *key, size_t key_len, const void *bytes, size_t len,
                    uint8_t ret[HF_SHA512_SIZE])
{
    static const uint8_t empty[1];
    HF_ASSERT(key_len <= INT32_MAX);
    unsigned n = 0;
    HF_ASSERT(HMAC(EVP_sha512(), key_len > 0 ? key : empty, (int)key_len, len > 0 ? bytes : empty,
                   len, ret, &n) != NULL);
    HF_ASSERT(n == HF_SHA512_SIZE);
}

void hf_hkdf_sha256(const void *key, size_t key_len, const void *salt, size_t salt_len,
                    const void *info, size_t info_len, uint8_t *ret, size_t len)
{
    HF_ASSERT(len <= HF_HKDF_MAX && info_len <= 4096);
    static const uint8_t zero[HF_SHA256_SIZE];
    uint8_t prk[HF_SHA256_SIZE];
    hf_hmac_sha256(salt_len > 0 ? salt : zero, salt_len > 0 ? salt_len : sizeof zero, key, key_len,
                   prk);
    uint8_t t[HF_SHA256_SIZE] = {0};
    size_t t_len = 0;
    uint8_t block[HF_SHA256_SIZE + 4096 + 1];
    size_t done = 0;
    for (uint8_t i = 1; done < len; i++) {
        memcpy(block, t, t_len);
        if (info_len > 0) {
            memcpy(block + t_len, info, info_len);
        }
        block[t_len + info_len] = i;
        hf_hmac_sha256(prk, sizeof prk, block, t_len + info_len + 1, t);
        t_len = sizeof t;
        size_t n = len - done < sizeof t ? len - done : sizeof t;
        memcpy(ret + done, t, n);
        done += n;
    }
    hf_wipe(prk, sizeof prk);
    hf_wipe(t, sizeof t);
    hf_wipe(block, sizeof block);
}

void hf_sha256(const void *bytes, size_t len, uint8_t ret[HF_SHA256_SIZE])
{
    HF_ASSERT(EVP_Digest(bytes, len, ret, NULL, EVP_sha256(), NULL) == 1);
}

struct hf_sha256_stream {
    EVP_MD_CTX *context;
};

struct hf_sha256_stream *hf_sha256_new(void)
{
    struct hf_sha256_stream *s = hf_alloc(sizeof *s);
    s->context = EVP_MD_CTX_new();
    HF_ASSERT(s->context != NULL);
    HF_ASSERT(EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) == 1);
    return s;
}

void hf_sha256_update(struct hf_sha256_stream *s, const void *bytes, size_t len)
{
    HF_ASSERT(EVP_DigestUpdate(s->context, bytes, len) == 1);
}

void hf_sha256_end(struct hf_sha256_stream *s, uint8_t ret[HF_SHA256_SIZE])
{
    HF_ASSERT(EVP_DigestFinal_ex(s->context, ret, NULL) == 1);
    HF_ASSERT(EVP_DigestInit_ex(s->context, NULL, NULL) == 1);
}

void hf_sha256_free(struct hf_sha256_stream *s)
{
    if (s != NULL) {
        EVP_MD_CTX_free(s->context);
        hf_free(s);
    }
}

hf_result hf_md5(const void *bytes, size_t len, uint8_t ret[HF_MD5_SIZE], struct hf_err *err)
{
    uint8_t digest[HF_MD5_SIZE];
    if (EVP_Digest(bytes, len, digest, NULL, EVP_md5(), NULL) != 1) {
        return hf_fail(err, HF_E_UNSUPPORTED, "MD5 is forbidden by this system's OpenSSL policy");
    }
    memcpy(ret, digest, sizeof digest);
    return hf_done();
}

void hf_random(void *ret, size_t len)
{
    HF_ASSERT(len <= INT32_MAX);
    HF_ASSERT(RAND_bytes(ret, (int)len) == 1);
}

bool hf_crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
