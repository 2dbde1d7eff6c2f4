/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hex.h"
#include "common/io/crypto.h"

/* Decodes into a static place, good until the call after the next seven. */
static const uint8_t *H(const char *hex)
{
    static uint8_t places[8][256];
    static unsigned turn;
    uint8_t *place = places[turn++ % 8];
    struct hf_err err = {0};
    assert_true(strlen(hex) / 2 <= sizeof places[0]);
    assert_true(hf_ok(hf_hex_decode(hex, place, strlen(hex) / 2, &err)));
    return place;
}

static void assert_hex(const void *bytes, const char *hex)
{
    assert_memory_equal(bytes, H(hex), strlen(hex) / 2);
}

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16. */
static void gcm_vectors(void **state)
{
    (void)state;
    uint8_t out[128];
    uint8_t zero[32] = {0};
    HF_AUTOAEAD struct hf_aead *a = hf_aead_new(zero);
    hf_aead_seal(a, zero, NULL, 0, NULL, 0, out);
    assert_hex(out, "530f8afbc74536b9a963b4f1c4cb738b");
    hf_aead_seal(a, zero, NULL, 0, zero, 16, out);
    assert_hex(out, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");

    hf_aead_rekey(a, H("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
    const uint8_t *nonce = H("cafebabefacedbaddecaf888");
    const uint8_t *plain = H("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c"
                             "0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    const uint8_t *aad = H("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    hf_aead_seal(a, nonce, aad, 20, plain, 60, out);
    assert_hex(out, "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb"
                    "3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
    uint8_t opened[60];
    struct hf_err err = {0};
    assert_true(hf_ok(hf_aead_open(a, nonce, aad, 20, out, 76, opened, &err)));
    assert_memory_equal(opened, plain, 60);
}

static void gcm_refuses_every_flipped_bit_and_stays_usable(void **state)
{
    (void)state;
    uint8_t key[32], nonce[12] = {7}, sealed[40], opened[24];
    hf_random(key, sizeof key);
    HF_AUTOAEAD struct hf_aead *a = hf_aead_new(key);
    hf_aead_seal(a, nonce, "aad", 3, "twenty-four bytes exact", 24, sealed);
    struct hf_err err = {0};
    for (size_t bit = 0; bit < sizeof sealed * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1U << bit % 8);
        memset(opened, 0x55, sizeof opened);
        assert_int_equal(hf_aead_open(a, nonce, "aad", 3, sealed, sizeof sealed, opened, &err).code,
                         HF_E_CORRUPT);
        for (size_t i = 0; i < sizeof opened; i++) {
            assert_int_equal(opened[i], 0);
        }
        sealed[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_int_equal(hf_aead_open(a, nonce, "aaX", 3, sealed, sizeof sealed, opened, &err).code,
                     HF_E_CORRUPT);
    assert_int_equal(hf_aead_open(a, nonce, "aad", 3, sealed, 15, opened, &err).code, HF_E_CORRUPT);
    assert_int_equal(hf_aead_open(a, nonce, "aad", 3, sealed, 39, opened, &err).code, HF_E_CORRUPT);
    assert_true(hf_ok(hf_aead_open(a, nonce, "aad", 3, sealed, sizeof sealed, opened, &err)));
    assert_string_equal((char *)opened, "twenty-four bytes exact");
    /* in place, both ways */
    uint8_t place[40];
    memcpy(place, opened, sizeof opened);
    hf_aead_seal(a, nonce, "aad", 3, place, 24, place);
    assert_memory_equal(place, sealed, sizeof sealed);
    assert_true(hf_ok(hf_aead_open(a, nonce, "aad", 3, place, sizeof place, place, &err)));
    assert_string_equal((char *)place, "twenty-four bytes exact");
}

/* RFC 5869, test cases 1 and 3. */
static void hkdf_vectors(void **state)
{
    (void)state;
    uint8_t out[HF_HKDF_MAX];
    const uint8_t *key = H("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");
    hf_hkdf_sha256(key, 22, H("000102030405060708090a0b0c"), 13, H("f0f1f2f3f4f5f6f7f8f9"), 10, out,
                   42);
    assert_hex(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887"
                    "185865");
    hf_hkdf_sha256(key, 22, NULL, 0, NULL, 0, out, 42);
    assert_hex(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b6"
                    "1a96c8");
    uint8_t longest[HF_HKDF_MAX];
    hf_hkdf_sha256(key, 22, NULL, 0, NULL, 0, longest, sizeof longest);
    assert_memory_equal(longest, out, 42);
}

/* RFC 4231 cases 1, 2 and 6; FIPS 180-4; RFC 1321. */
static void digest_vectors(void **state)
{
    (void)state;
    uint8_t out[32];
    hf_hmac_sha256(H("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), 20, "Hi There", 8, out);
    assert_hex(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hf_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t long_key[131];
    memset(long_key, 0xaa, sizeof long_key);
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    hf_hmac_sha256(long_key, sizeof long_key, text, strlen(text), out);
    assert_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");

    hf_sha256("abc", 3, out);
    assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct hf_sha256_stream *s = hf_sha256_new();
    for (int round = 0; round < 2; round++) {
        hf_sha256_update(s, "a", 1);
        hf_sha256_update(s, "bc", 2);
        hf_sha256_end(s, out);
        assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
    hf_sha256_end(s, out);
    assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hf_sha256_free(s);

    struct hf_err err = {0};
    assert_true(hf_ok(hf_md5("abc", 3, out, &err)));
    assert_hex(out, "900150983cd24fb0d6963f7d28e17f72");
}

/* RFC 8032, 7.1, tests 1 and 2. */
static void ed25519_vectors(void **state)
{
    (void)state;
    struct hf_err err = {0};
    uint8_t out[64], public_key[32];
    const uint8_t *seed = H("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    hf_ed25519_public(seed, public_key);
    assert_hex(public_key, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    hf_ed25519_sign(seed, "", 0, out);
    assert_hex(out, "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33b"
                    "acc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");
    assert_true(hf_ok(hf_ed25519_verify(public_key, "", 0, out, &err)));
    assert_int_equal(hf_ed25519_verify(public_key, "x", 1, out, &err).code, HF_E_CORRUPT);

    seed = H("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    hf_ed25519_sign(seed, "\x72", 1, out);
    assert_hex(out, "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e1599"
                    "6e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    assert_int_equal(hf_ed25519_verify(public_key, "\x72", 1, out, &err).code, HF_E_CORRUPT);
}

static void key_wrap_binds_names(void **state)
{
    (void)state;
    struct hf_err err = {0};
    uint8_t kek[32], key[32], wrapped[HF_WRAPPED_KEY_SIZE], again[HF_WRAPPED_KEY_SIZE], out[32];
    hf_random(kek, sizeof kek);
    hf_random(key, sizeof key);
    hf_key_wrap(kek, "d1/k1", 5, key, wrapped);
    hf_key_wrap(kek, "d1/k1", 5, key, again);
    assert_memory_not_equal(wrapped, again, sizeof wrapped);
    assert_true(hf_ok(hf_key_unwrap(kek, "d1/k1", 5, wrapped, out, &err)));
    assert_memory_equal(out, key, sizeof key);
    memset(out, 0x11, sizeof out);
    assert_int_equal(hf_key_unwrap(kek, "d1/k2", 5, wrapped, out, &err).code, HF_E_CORRUPT);
    assert_int_equal(out[0], 0x11);
    kek[31] ^= 1;
    assert_int_equal(hf_key_unwrap(kek, "d1/k1", 5, wrapped, out, &err).code, HF_E_CORRUPT);
}

static void equal_compares(void **state)
{
    (void)state;
    assert_true(hf_crypto_equal("abcd", "abcd", 4));
    assert_false(hf_crypto_equal("abcd", "abce", 4));
    assert_true(hf_crypto_equal("abcd", "abce", 3));
}

static void text_forms(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char text[64];
    uint8_t bytes[16];
    size_t n = 0;
    /* RFC 4648, chapter 10 */
    const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    const char *const coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        hf_base64_encode(plain[i], i, text);
        assert_string_equal(text, coded[i]);
        assert_true(hf_ok(hf_base64_decode(coded[i], bytes, sizeof bytes, &n, &err)));
        assert_int_equal(n, i);
        assert_memory_equal(bytes, plain[i], i);
    }
    const char *const wrong[] = {"Zg=", "Zg", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "===="};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(hf_base64_decode(wrong[i], bytes, sizeof bytes, &n, &err).code,
                         HF_E_INVALID);
    }
    assert_int_equal(hf_base64_decode("Zm9vYmFy", bytes, 5, &n, &err).code, HF_E_LIMIT);
    hf_hex_encode("\x00\x7f\xff", 3, text);
    assert_string_equal(text, "007fff");
    assert_int_equal(hf_hex_decode("007ff", bytes, 3, &err).code, HF_E_INVALID);
    assert_int_equal(hf_hex_decode("007fgf", bytes, 3, &err).code, HF_E_INVALID);
    assert_int_equal(hf_hex_decode("007fff00", bytes, 3, &err).code, HF_E_INVALID);
}

static void secret_files_are_private(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char dir[] = "/tmp/holdfast-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    (void)snprintf(path, sizeof path, "%s/secret", dir);
    HF_AUTOSECRET struct hf_secret s = {0};
    assert_int_equal(hf_secret_read_file(path, 100, &s, &err).code, HF_E_NOT_FOUND);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs("top secret\n", f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
    const mode_t refused[] = {0644, 0660, 0604, 0601, 0620};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(chmod(path, refused[i]), 0);
        assert_int_equal(hf_secret_read_file(path, 100, &s, &err).code, HF_E_DENIED);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "0600"));
        assert_null(strstr(err.text, "top secret"));
    }
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(hf_secret_read_file(path, 100, &s, &err).code,
                     geteuid() == 0 ? HF_OK : HF_E_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(hf_ok(hf_secret_read_file(path, 11, &s, &err)));
    assert_int_equal(s.len, 11);
    hf_secret_trim(&s);
    assert_string_equal(hf_secret_text(&s), "top secret");
    assert_int_equal(hf_secret_read_file(path, 10, &s, &err).code, HF_E_LIMIT);
    assert_string_equal(hf_secret_text(&s), "top secret");
    assert_int_equal(hf_secret_read_file(dir, 10, &s, &err).code, HF_E_DENIED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(hf_secret_read_file(path, 10, &s, &err).code, HF_E_DENIED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcm_vectors),
        cmocka_unit_test(gcm_refuses_every_flipped_bit_and_stays_usable),
        cmocka_unit_test(hkdf_vectors),
        cmocka_unit_test(digest_vectors),
        cmocka_unit_test(ed25519_vectors),
        cmocka_unit_test(key_wrap_binds_names),
        cmocka_unit_test(equal_compares),
        cmocka_unit_test(text_forms),
        cmocka_unit_test(secret_files_are_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
