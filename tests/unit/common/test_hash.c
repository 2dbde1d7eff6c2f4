/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/hash.h"

enum { SIZE = 100000 };

/* The algorithm's published default secret: under it the keyed hash is plain XXH3_128bits, whose
 * values are known. */
static const struct hf_hash_key published = {{
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
}};

static const struct {
    size_t len;
    const char *digest;
} known[] = {
    {0, "99aa06d3014798d86001c324468d497f"},      {3, "656e81c56e41fe02c3489259e968ad9e"},
    {16, "ddf6c1254d70f76794eaa17b20756f46"},     {17, "263f67af63088041735fe434ded90c3c"},
    {128, "381610c474b8adfb2dfb73305de1f91a"},    {129, "4e05eed4427255d51f8b5092c9ba3be8"},
    {240, "17ffe035d71c1ec8e6bf81617aad6c4a"},    {241, "29bc1e9cffb6d79bc614c8c3575348c1"},
    {1024, "07fe8eadab1cf098f22ef3dc84ff47ea"},   {8192, "06211c2e72e99c1c2fa4e4e3bf8f3bf7"},
    {100000, "70227b16fd5f74ef17a701075a95b432"},
};

static uint8_t *sample(void)
{
    uint8_t *bytes = hf_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * 7 % 251);
    }
    return bytes;
}

static void known_values(void **state)
{
    (void)state;
    HF_AUTOFREE uint8_t *bytes = sample();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        hf_hash128 h = hf_hash(&published, bytes, known[i].len);
        char text[HF_HEX_SIZE(HF_HASH_SIZE)];
        hf_hex_encode(h.b, HF_HASH_SIZE, text);
        assert_string_equal(text, known[i].digest);
    }
}

static void pieces_give_the_same(void **state)
{
    (void)state;
    HF_AUTOFREE uint8_t *bytes = sample();
    struct hf_hash_key key;
    hf_random(key.b, sizeof key.b);
    struct hf_hash_stream *s = hf_hash_stream_new(&key);
    const size_t pieces[] = {1, 63, 64, 255, 256, 257, 1000, 8192, SIZE};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        hf_hash128 whole = hf_hash(&key, bytes, known[i].len);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            hf_hash_stream_reset(s);
            hf_hash_stream_update(s, bytes, 0);
            for (size_t at = 0; at < known[i].len; at += pieces[p]) {
                size_t left = known[i].len - at;
                hf_hash_stream_update(s, bytes + at, left < pieces[p] ? left : pieces[p]);
            }
            assert_true(hf_hash_equal(whole, hf_hash_stream_digest(s)));
        }
    }
    hf_hash_stream_free(s);
}

static void the_key_matters_everywhere(void **state)
{
    (void)state;
    HF_AUTOFREE uint8_t *bytes = sample();
    struct hf_hash_key key;
    hf_random(key.b, sizeof key.b);
    hf_hash128 page = hf_hash(&key, bytes, 8192);
    assert_false(hf_hash_equal(page, hf_hash(&published, bytes, 8192)));
    for (size_t i = 0; i < HF_HASH_KEY_SIZE; i++) {
        key.b[i] ^= 1;
        assert_false(hf_hash_equal(page, hf_hash(&key, bytes, 8192)));
        key.b[i] ^= 1;
    }
    for (size_t bit = 0; bit < 8192 * 8; bit += 97) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(hf_hash_equal(page, hf_hash(&key, bytes, 8192)));
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(pieces_give_the_same),
        cmocka_unit_test(the_key_matters_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
