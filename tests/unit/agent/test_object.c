/* SPDX-License-Identifier: Apache-2.0 */
#include "repository_rig.h"

#include "agent/repo/wal_object.h"
#include "common/base/hex.h"

/* --- sealing and opening -------------------------------------------------------------------- */

static void fill(uint8_t *bytes, size_t len, bool random)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = random ? (uint8_t)(x >> 24) : (uint8_t)(i / 97);
    }
}

static void every_length_comes_back(void **state)
{
    static const size_t LENGTHS[] = {0, 1, 4095, 4096, 4097, 8192, 3 * 4096 + 5, 300000};
    struct rig g = {0};
    struct hf_err err = {0};
    (void)state;
    rig_open(&g);
    uint8_t *plain = hf_alloc(300000);
    for (int random = 0; random < 2; random++) {
        fill(plain, 300000, random == 1);
        for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
            HF_BUF(sealed, 400000);
            HF_BUF(opened, 300000);
            struct hf_seal_params p = {
                .kind = HF_OBJECT_RECORD, .name = "x/y", .frame_size = 4096, .epoch = {7}};
            struct hf_open_params o = {.kind = HF_OBJECT_RECORD, .name = "x/y"};
            OK(hf_object_seal(g.ring, &p, plain, LENGTHS[i], &sealed, &err));
            OK(hf_object_open(g.ring, &o, sealed.data, sealed.len, &opened, &err));
            assert_int_equal(opened.len, LENGTHS[i]);
            if (opened.len > 0) {
                assert_memory_equal(opened.data, plain, opened.len);
            }
            if (random == 0 && LENGTHS[i] > 8192) {
                assert_true(sealed.len < LENGTHS[i]); /* compressed */
            }
        }
    }
    hf_free(plain);
    rig_close(&g);
}

static void sealing_twice_gives_other_bytes(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    (void)state;
    rig_open(&g);
    HF_BUF(a, 4096);
    HF_BUF(b, 4096);
    struct hf_seal_params p = {.kind = HF_OBJECT_RECORD, .name = "x", .frame_size = 4096};
    OK(hf_object_seal(g.ring, &p, "same", 4, &a, &err));
    OK(hf_object_seal(g.ring, &p, "same", 4, &b, &err));
    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(a.data, b.data, a.len);
    rig_close(&g);
}

/* --- tampering ------------------------------------------------------------------------------ */

static hf_result open_bytes(struct hf_keyring *ring, const char *name, enum hf_object_kind kind,
                            const void *bytes, size_t len, struct hf_err *err)
{
    HF_BUF(out, 65536);
    struct hf_open_params o = {.kind = kind, .name = name};
    return hf_object_open(ring, &o, bytes, len, &out, err);
}

static void every_flipped_bit_is_refused(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    uint8_t plain[9000];
    (void)state;
    rig_open(&g);
    fill(plain, sizeof(plain), true);
    HF_BUF(sealed, 65536);
    struct hf_seal_params p = {.kind = HF_OBJECT_WAL, .name = "w", .frame_size = 4096};
    OK(hf_object_seal(g.ring, &p, plain, sizeof(plain), &sealed, &err));
    OK(open_bytes(g.ring, "w", HF_OBJECT_WAL, sealed.data, sealed.len, &err));
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= (char)(1 << (i % 8));
        hf_result r = open_bytes(g.ring, "w", HF_OBJECT_WAL, sealed.data, sealed.len, &err);
        if (hf_ok(r)) {
            print_error("flip at %zu of %zu was accepted\n", i, sealed.len);
        }
        /* A flipped key name cannot be told from a foreign key. */
        assert_true(r.code == HF_E_CORRUPT || r.code == HF_E_DENIED);
        sealed.data[i] ^= (char)(1 << (i % 8));
    }
    rig_close(&g);
}

static void every_truncation_is_refused(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    uint8_t plain[9000];
    (void)state;
    rig_open(&g);
    fill(plain, sizeof(plain), true);
    HF_BUF(sealed, 65536);
    struct hf_seal_params p = {.kind = HF_OBJECT_MANIFEST, .name = "m", .frame_size = 4096};
    OK(hf_object_seal(g.ring, &p, plain, sizeof(plain), &sealed, &err));
    for (size_t len = 0; len < sealed.len; len++) {
        REFUSED(HF_E_CORRUPT, open_bytes(g.ring, "m", HF_OBJECT_MANIFEST, sealed.data, len, &err));
    }
    OK(hf_buf_append(&sealed, "x", 1, &err));
    REFUSED(HF_E_CORRUPT,
            open_bytes(g.ring, "m", HF_OBJECT_MANIFEST, sealed.data, sealed.len, &err));
    assert_non_null(strstr(err.text, "goes on"));
    rig_close(&g);
}

/* Two sealings of one name: their frames do not mix. */
static void frames_of_another_sealing_are_refused(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    uint8_t plain[9000];
    (void)state;
    rig_open(&g);
    fill(plain, sizeof(plain), true);
    HF_BUF(a, 65536);
    HF_BUF(b, 65536);
    struct hf_seal_params p = {.kind = HF_OBJECT_PACK, .name = "p", .frame_size = 4096};
    OK(hf_object_seal(g.ring, &p, plain, sizeof(plain), &a, &err));
    OK(hf_object_seal(g.ring, &p, plain, sizeof(plain), &b, &err));
    size_t tail = a.len - 1000;
    memcpy(a.data + tail, b.data + tail, 1000);
    REFUSED(HF_E_CORRUPT, open_bytes(g.ring, "p", HF_OBJECT_PACK, a.data, a.len, &err));
    /* Two equal frames of one object changing places. */
    size_t frame = 4096 + HF_FRAME_OVERHEAD;
    size_t first = b.len - (9000 - 8192) - HF_FRAME_OVERHEAD - 2 * frame;
    HF_BUF(c, 65536);
    OK(hf_buf_append(&c, b.data, first, &err));
    OK(hf_buf_append(&c, b.data + first + frame, frame, &err));
    OK(hf_buf_append(&c, b.data + first, frame, &err));
    OK(hf_buf_append(&c, b.data + first + 2 * frame, b.len - first - 2 * frame, &err));
    assert_int_equal(c.len, b.len);
    REFUSED(HF_E_CORRUPT, open_bytes(g.ring, "p", HF_OBJECT_PACK, c.data, c.len, &err));
    rig_close(&g);
}

static void swapped_foreign_and_replayed_objects_are_named(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    uint8_t other[HF_OBJECT_DIGEST_SIZE];
    (void)state;
    rig_open(&g);
    HF_BUF(a, 65536);
    HF_BUF(b, 65536);
    struct hf_seal_params p = {.kind = HF_OBJECT_MAP, .name = "map-1", .frame_size = 4096};
    OK(hf_object_seal_digest(g.ring, &p, "old", 3, &a, digest, &err));
    OK(hf_object_seal_digest(g.ring, &p, "new", 3, &b, other, &err));
    REFUSED(HF_E_CORRUPT, open_bytes(g.ring, "map-2", HF_OBJECT_MAP, a.data, a.len, &err));
    assert_non_null(strstr(err.text, "swapped"));
    REFUSED(HF_E_CORRUPT, open_bytes(g.ring, "map-1", HF_OBJECT_PACK, a.data, a.len, &err));
    assert_non_null(strstr(err.text, "is a map, not a pack"));
    HF_BUF(out, 4096);
    struct hf_open_params o = {.kind = HF_OBJECT_MAP, .name = "map-1", .digest = other};
    REFUSED(HF_E_CORRUPT, hf_object_open(g.ring, &o, a.data, a.len, &out, &err));
    assert_non_null(strstr(err.text, "replaced"));
    assert_int_equal(out.len, 0);

    struct hf_cluster_id foreign = RIG_ID;
    foreign.system_id++;
    struct hf_keyring *ring = rig_ring(&foreign, "eu-1", 0);
    REFUSED(HF_E_CORRUPT, open_bytes(ring, "map-1", HF_OBJECT_MAP, a.data, a.len, &err));
    assert_non_null(strstr(err.text, "foreign object"));
    hf_keyring_free(ring);
    ring = rig_ring(&RIG_ID, "eu-1", 0); /* has not loaded the data key */
    REFUSED(HF_E_DENIED, open_bytes(ring, "map-1", HF_OBJECT_MAP, a.data, a.len, &err));
    assert_non_null(strstr(err.text, "foreign key"));
    hf_keyring_free(ring);
    rig_close(&g);
}

/* --- frames at random, WAL ------------------------------------------------------------------ */

static void frames_open_at_random(void **state)
{
    enum { FRAMES = 5 };
    struct rig g = {0};
    struct hf_err err = {0};
    struct hf_frame_ref refs[FRAMES];
    uint8_t plain[FRAMES][4096];
    uint8_t out[4096];
    struct hf_sealer *s = NULL;
    struct hf_frame_reader *reader = NULL;
    char key[HF_STORE_KEY_SIZE];
    (void)state;
    rig_open(&g);
    HF_BUF(sealed, 65536);
    struct hf_seal_params p = {.kind = HF_OBJECT_PACK, .name = "pack", .frame_size = 4096};
    OK(hf_sealer_new(g.ring, &p, rig_append, &sealed, &s, &err));
    for (int i = 0; i < FRAMES; i++) {
        fill(plain[i], sizeof(plain[i]), i % 2 == 0);
        plain[i][0] = (uint8_t)i;
        OK(hf_sealer_frame(s, plain[i], sizeof(plain[i]), &refs[i], &err));
    }
    OK(hf_sealer_finish(s, &err));
    hf_sealer_free(s);
    OK(hf_object_key(&RIG_ID, "pack", key, &err));
    OK(hf_store_put(g.store, key, sealed.data, sealed.len, (struct hf_store_put_options){0}, &err));
    struct hf_open_params o = {.kind = HF_OBJECT_PACK, .name = "pack"};
    OK(hf_frame_reader_new(g.ring, g.store, &o, &reader, &err));
    for (int i = FRAMES - 1; i >= 0; i--) {
        const uint8_t *stored = (const uint8_t *)sealed.data + refs[i].offset;
        OK(hf_frame_reader_open(reader, &refs[i], false, stored, out, &err));
        assert_memory_equal(out, plain[i], sizeof(out));
        REFUSED(HF_E_CORRUPT, hf_frame_reader_open(reader, &refs[i], true, stored, out, &err));
        struct hf_frame_ref wrong = refs[i];
        wrong.index++;
        REFUSED(HF_E_CORRUPT, hf_frame_reader_open(reader, &wrong, false, stored, out, &err));
    }
    hf_frame_reader_free(reader);
    rig_close(&g);
}

static void records_are_written_once(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    struct hf_epoch_record e = {
        .epoch = {2}, .parent_epoch = {1}, .timeline = {2}, .fork = {0x3000000}, .primary = "us-1"};
    struct hf_epoch_record all[4];
    struct hf_system_identity id = {.system_id = RIG_ID.system_id,
                                    .pg_version_num = 150020,
                                    .segment_size = 16 << 20,
                                    .block_size = 8192,
                                    .data_checksums = true};
    struct hf_system_identity got;
    size_t n = 0;
    hf_tli highest;
    (void)state;
    rig_open(&g);
    OK(hf_repository_epoch_put(g.repository, &e, &err));
    OK(hf_repository_epoch_put(g.repository, &e, &err)); /* the same one: again is well */
    e.fork = HF_LSN(0x4000000);
    REFUSED(HF_E_CONFLICT, hf_repository_epoch_put(g.repository, &e, &err));
    OK(hf_repository_epochs(g.repository, all, 4, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(all[0].fork.v, 0x3000000);
    OK(hf_repository_timeline_reserve(g.repository, HF_TLI(3), HF_EPOCH(2), "us-1", &err));
    OK(hf_repository_timeline_reserve(g.repository, HF_TLI(3), HF_EPOCH(2), "us-1", &err));
    REFUSED(HF_E_CONFLICT,
            hf_repository_timeline_reserve(g.repository, HF_TLI(3), HF_EPOCH(3), "ap-1", &err));
    OK(hf_repository_timeline_highest(g.repository, &highest, &err));
    assert_int_equal(highest.v, 3);
    OK(hf_repository_identity_ensure(g.repository, &id, HF_EPOCH(1), &err));
    OK(hf_repository_identity_ensure(g.repository, &id, HF_EPOCH(2), &err));
    OK(hf_repository_identity(g.repository, &got, &err));
    assert_int_equal(got.pg_version_num, 150020);
    id.segment_size = 1 << 20;
    REFUSED(HF_E_CONFLICT, hf_repository_identity_ensure(g.repository, &id, HF_EPOCH(2), &err));
    rig_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(sealing_twice_gives_other_bytes),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(frames_of_another_sealing_are_refused),
        cmocka_unit_test(swapped_foreign_and_replayed_objects_are_named),
        cmocka_unit_test(frames_open_at_random),
        cmocka_unit_test(records_are_written_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
