/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/core/filemap.h"
#include "common/base/mem.h"

#define OK(e) assert_true(hf_ok(e))

static const struct hf_map_pack PACK_1 = {.name = "backup/20261121T002100Z-F/pack-00000001",
                                          .digest = {1, 2, 3}};
static const struct hf_map_pack PACK_2 = {.name = "backup/20261121T002100Z-F/pack-00000002",
                                          .digest = {4, 5, 6}};

static struct hf_map_entry entry(const char *path, uint64_t size)
{
    static const uint8_t HASHES[HF_MAP_HASH_SIZE * 64] = {9};
    struct hf_map_entry e = {.kind = HF_MAP_FILE,
                             .mode = 0600,
                             .mtime_us = 17,
                             .file_size = size,
                             .part_len = (uint32_t)size,
                             .hashes = HASHES,
                             .hash_count = (size + HF_MAP_PAGE - 1) / HF_MAP_PAGE};
    snprintf(e.path, sizeof(e.path), "%s", path);
    return e;
}

static struct hf_map_source source(const struct hf_map_pack *pack, uint32_t index, uint32_t offset,
                                   uint32_t len)
{
    return (struct hf_map_source){.offset = offset,
                                  .len = len,
                                  .frame_offset = 0,
                                  .pack = pack,
                                  .index = index,
                                  .pack_offset = 400 + index * 1000,
                                  .stored_len = 1000,
                                  .plain_len = 131072};
}

static void what_is_built_is_read(void **state)
{
    struct hf_err err = {0};
    struct hf_map_builder *b = hf_map_builder_new();
    struct hf_map_entry a = entry("base/1/1259", 16384);
    struct hf_map_entry c = entry("base/1-x", 0);
    struct hf_map_source two[] = {source(&PACK_1, 0, 0, 8192), source(&PACK_2, 3, 8192, 8192)};
    struct hf_map_entry d = {.kind = HF_MAP_DIR, .path = "base", .mode = 0700};
    struct hf_map_entry l = {.kind = HF_MAP_LINK, .path = "link", .link = "/else", .mode = 0777};
    (void)state;
    OK(hf_map_builder_add(b, &d, NULL, 0, &err));
    OK(hf_map_builder_add(b, &a, two, 2, &err));
    OK(hf_map_builder_add(b, &c, NULL, 0, &err));
    OK(hf_map_builder_add(b, &l, NULL, 0, &err));
    assert_int_equal(hf_map_builder_add(b, &a, two, 2, &err).code, HF_E_INVALID); /* order */
    HF_BUF(bytes, HF_MAP_SHARD_MAX);
    OK(hf_map_builder_encode(b, &bytes, &err));

    struct hf_map_shard *s = NULL;
    struct hf_map_entry e;
    bool more = false;
    OK(hf_map_shard_open(bytes.data, bytes.len, &s, &err));
    assert_int_equal(hf_map_shard_entries(s), 4);
    OK(hf_map_shard_next(s, &e, &more, &err));
    assert_string_equal(e.path, "base");
    OK(hf_map_shard_next(s, &e, &more, &err));
    assert_string_equal(e.path, "base/1/1259");
    assert_int_equal(e.extent_count, 2);
    assert_int_equal(e.hash_count, 2);
    assert_int_equal(e.extents[1].offset, 8192);
    const struct hf_map_frame *f = hf_map_shard_frame(s, e.extents[1].frame);
    assert_int_equal(f->index, 3);
    assert_string_equal(hf_map_shard_pack(s, f->pack)->name, PACK_2.name);
    OK(hf_map_shard_next(s, &e, &more, &err));
    OK(hf_map_shard_next(s, &e, &more, &err));
    assert_string_equal(e.link, "/else");
    OK(hf_map_shard_next(s, &e, &more, &err));
    assert_false(more);
    hf_map_shard_free(s);

    /* No cut and no flipped byte makes it read beyond itself; a cut is always noticed. */
    for (size_t len = 0; len < bytes.len; len++) {
        hf_result r = hf_map_shard_open(bytes.data, len, &s, &err);
        if (!hf_ok(r)) {
            continue;
        }
        for (more = true; hf_ok(r) && more;) {
            r = hf_map_shard_next(s, &e, &more, &err);
        }
        assert_int_equal(r.code, HF_E_CORRUPT);
        hf_map_shard_free(s);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.data[i] ^= 0x41;
        s = NULL;
        hf_result r = hf_map_shard_open(bytes.data, bytes.len, &s, &err);
        for (more = hf_ok(r); hf_ok(r) && more;) {
            r = hf_map_shard_next(s, &e, &more, &err);
        }
        hf_map_shard_free(s);
        bytes.data[i] ^= 0x41;
    }
    hf_map_builder_free(b);
}

static void paths_that_lead_elsewhere_are_refused(void **state)
{
    static const char *const BAD[] = {"",   "/etc/passwd", "../x", "a/../b", "a//b",
                                      "a/", ".",           "a/.",  "..",     "a\nb"};
    struct hf_err err = {0};
    struct hf_map_builder *b = hf_map_builder_new();
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct hf_map_entry e = entry(BAD[i], 0);
        assert_int_equal(hf_map_builder_add(b, &e, NULL, 0, &err).code, HF_E_INVALID);
    }
    struct hf_map_entry e = entry("x", 8192);
    struct hf_map_source beyond = source(&PACK_1, 0, 4096, 8192);
    assert_int_equal(hf_map_builder_add(b, &e, &beyond, 1, &err).code, HF_E_INVALID);
    struct hf_map_source outside = source(&PACK_1, 0, 0, 8192);
    outside.frame_offset = 131072 - 100;
    assert_int_equal(hf_map_builder_add(b, &e, &outside, 1, &err).code, HF_E_INVALID);
    hf_map_builder_free(b);
}

static void a_shard_stays_below_its_bound(void **state)
{
    struct hf_err err = {0};
    struct hf_map_builder *b = hf_map_builder_new();
    size_t n = 0;
    hf_result r = hf_done();
    (void)state;
    while (hf_ok(r)) {
        char path[64];
        snprintf(path, sizeof(path), "base/1/%08zu", n);
        struct hf_map_entry e = entry(path, 8192);
        struct hf_map_source s = source(&PACK_1, (uint32_t)n, 0, 8192);
        r = hf_map_builder_add(b, &e, &s, 1, &err);
        n += hf_ok(r) ? 1 : 0;
    }
    assert_int_equal(r.code, HF_E_LIMIT);
    assert_true(n > 10000);
    HF_BUF(bytes, HF_MAP_SHARD_BYTES);
    OK(hf_map_builder_encode(b, &bytes, &err));
    hf_map_builder_reset(b);
    assert_int_equal(hf_map_builder_entries(b), 0);
    hf_map_builder_free(b);
}

/* --- merge-join ----------------------------------------------------------------------------- */

struct list {
    const char *const *paths;
    size_t next;
};

static hf_result next_path(void *arg, struct hf_map_entry *ret, bool *ret_more, struct hf_err *err)
{
    struct list *l = arg;
    (void)err;
    *ret_more = l->paths[l->next] != NULL;
    if (*ret_more) {
        *ret = entry(l->paths[l->next++], 0);
    }
    return hf_done();
}

static void streams_join_in_order(void **state)
{
    static const char *const LEFT[] = {"a", "b", "b/x", "b-x", "d", NULL};
    static const char *const RIGHT[] = {"b", "b/x", "b/y", "c", "d", "e", NULL};
    static const char EXPECT[] = "<a =b =b/x >b/y <b-x >c =d >e ";
    struct list l = {LEFT, 0};
    struct list r = {RIGHT, 0};
    struct hf_map_join *j = hf_alloc(sizeof(*j));
    struct hf_err err = {0};
    char got[256] = "";
    (void)state;
    *j = (struct hf_map_join){
        .left = next_path, .left_arg = &l, .right = next_path, .right_arg = &r};
    for (;;) {
        const struct hf_map_entry *a = NULL;
        const struct hf_map_entry *b = NULL;
        OK(hf_map_join_next(j, &a, &b, &err));
        if (a == NULL && b == NULL) {
            break;
        }
        size_t len = strlen(got);
        snprintf(got + len, sizeof(got) - len, "%s%.20s ",
                 b == NULL   ? "<"
                 : a == NULL ? ">"
                             : "=",
                 a != NULL ? a->path : b->path);
    }
    assert_string_equal(got, EXPECT);
    hf_free(j);
}

static void a_stream_out_of_order_is_refused(void **state)
{
    static const char *const LEFT[] = {"b", "a", NULL};
    static const char *const RIGHT[] = {NULL};
    struct list l = {LEFT, 0};
    struct list r = {RIGHT, 0};
    struct hf_map_join *j = hf_alloc(sizeof(*j));
    struct hf_err err = {0};
    const struct hf_map_entry *a = NULL;
    const struct hf_map_entry *b = NULL;
    (void)state;
    *j = (struct hf_map_join){
        .left = next_path, .left_arg = &l, .right = next_path, .right_arg = &r};
    OK(hf_map_join_next(j, &a, &b, &err));
    assert_int_equal(hf_map_join_next(j, &a, &b, &err).code, HF_E_CORRUPT);
    hf_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_built_is_read),
        cmocka_unit_test(paths_that_lead_elsewhere_are_refused),
        cmocka_unit_test(a_shard_stays_below_its_bound),
        cmocka_unit_test(streams_join_in_order),
        cmocka_unit_test(a_stream_out_of_order_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
