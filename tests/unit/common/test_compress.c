/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/compress.h"
#include "common/io/crypto.h"

enum { SIZE = 100000 };

static void frames_go_both_ways(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_compressor *c = hf_compressor_new(3);
    struct hf_decompressor *d = hf_decompressor_new();
    HF_AUTOFREE uint8_t *bytes = hf_alloc(SIZE);
    HF_AUTOFREE uint8_t *frame = hf_alloc(hf_compress_bound(SIZE));
    HF_AUTOFREE uint8_t *back = hf_alloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i / 100);
    }
    const size_t sizes[] = {0, 1, 8192, 65536, SIZE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = 0;
        assert_true(
            hf_ok(hf_compress_frame(c, bytes, sizes[i], frame, hf_compress_bound(SIZE), &n, &err)));
        memset(back, 0xee, SIZE);
        assert_true(hf_ok(hf_decompress_frame(d, frame, n, back, sizes[i], &err)));
        assert_memory_equal(back, bytes, sizes[i]);
        if (sizes[i] < SIZE) {
            assert_int_equal(back[sizes[i]], 0xee);
        }
    }
    hf_decompressor_free(d);
    hf_compressor_free(c);
}

static void what_does_not_shrink_is_said(void **state)
{
    (void)state;
    struct hf_err err = {0};
    uint8_t noise[4096], out[8192];
    hf_random(noise, sizeof noise);
    struct hf_compressor *c = hf_compressor_new(99);
    size_t n = 7;
    assert_int_equal(
        hf_compress_frame(c, noise, sizeof noise, out, sizeof noise - 1, &n, &err).code,
        HF_E_LIMIT);
    assert_int_equal(n, 7);
    assert_true(hf_ok(hf_compress_frame(c, noise, sizeof noise, out, sizeof out, &n, &err)));
    hf_compressor_free(c);
}

static void wrong_sizes_and_damage_are_refused(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_compressor *c = hf_compressor_new(1);
    struct hf_decompressor *d = hf_decompressor_new();
    HF_AUTOFREE uint8_t *bytes = hf_alloc(SIZE);
    HF_AUTOFREE uint8_t *back = hf_alloc(SIZE + 1);
    uint8_t frame[2048];
    size_t n = 0;
    /* a bomb: 100 kB of zeros in a few bytes, expected to be less or more */
    assert_true(hf_ok(hf_compress_frame(c, bytes, SIZE, frame, sizeof frame, &n, &err)));
    assert_int_equal(hf_decompress_frame(d, frame, n, back, SIZE - 1, &err).code, HF_E_CORRUPT);
    assert_int_equal(hf_decompress_frame(d, frame, n, back, SIZE + 1, &err).code, HF_E_CORRUPT);
    assert_int_equal(hf_decompress_frame(d, frame, n, back, 0, &err).code, HF_E_CORRUPT);
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(hf_decompress_frame(d, frame, cut, back, SIZE, &err).code, HF_E_CORRUPT);
    }
    frame[n] = 0;
    assert_int_equal(hf_decompress_frame(d, frame, n + 1, back, SIZE, &err).code, HF_E_CORRUPT);
    /* two frames in a row are not one */
    memcpy(frame + n, frame, n);
    assert_int_equal(hf_decompress_frame(d, frame, 2 * n, back, SIZE, &err).code, HF_E_CORRUPT);
    /* a skippable frame holds no content */
    const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'a', 'b', 'c', 'd'};
    assert_int_equal(hf_decompress_frame(d, skippable, sizeof skippable, back, 4, &err).code,
                     HF_E_CORRUPT);
    /* arbitrary bytes never write beyond the expected size (seen by the address sanitiser) */
    for (int i = 0; i < 2000; i++) {
        uint8_t mangled[2048];
        memcpy(mangled, frame, n);
        hf_random(mangled + 4, 1 + (size_t)i % 8);
        HF_AUTOFREE uint8_t *room = hf_alloc(64);
        HF_IGNORE(hf_decompress_frame(d, mangled, n, room, 64, &err), "only its writes matter");
    }
    assert_true(hf_ok(hf_decompress_frame(d, frame, n, back, SIZE, &err)));
    hf_decompressor_free(d);
    hf_compressor_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_go_both_ways),
        cmocka_unit_test(what_does_not_shrink_is_said),
        cmocka_unit_test(wrong_sizes_and_damage_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
