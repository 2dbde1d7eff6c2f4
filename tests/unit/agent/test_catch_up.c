/* SPDX-License-Identifier: Apache-2.0
 *
 * Catching up a region from another one's ciphertext (rule W9), on real directories.
 */
#include "wal_rig.h"

#include <stdatomic.h>

#include "agent/backup/publish.h"
#include "agent/replicate/copy.h"
#include "common/io/fault.h"
#include "manifest_sample.h"

static const char LABEL[] = "20261121T002100Z-F";
static const char NEEDED[] = "wal/00000001/000000010000000000000002";
static const char MANIFEST[] = "backup/20261121T002100Z-F/manifest";
static const char PENDING[] = "backup/20261121T002100Z-F/pending";

struct scene {
    struct wal_rig g;
    struct hf_site site;
    struct hf_repository *from;
    struct hf_repository *to;
};

static int setup(void **state)
{
    struct scene *s = hf_alloc(sizeof *s);
    struct hf_err err = {0};
    rig_make(&s->g, 2);
    OK(hf_site_open_any(s->g.config, SYSTEM, &s->site, &err));
    OK(hf_keyring_prepare(s->site.ring, s->site.stores[0], &err));
    s->from = s->site.repositories[0];
    s->to = s->site.repositories[1];
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    hf_site_close(&s->site);
    rig_end(&s->g);
    hf_free(s);
    return 0;
}

static void put_raw(struct scene *s, size_t region, const char *name, const char *text)
{
    struct hf_err err = {0};
    char key[HF_STORE_KEY_SIZE];
    OK(hf_object_key(&RIG_ID, name, key, &err));
    OK(hf_store_put(s->site.stores[region], key, text, strlen(text),
                    (struct hf_store_put_options){0}, &err));
}

static void remove_raw(struct scene *s, size_t region, const char *name)
{
    struct hf_err err = {0};
    char key[HF_STORE_KEY_SIZE];
    OK(hf_object_key(&RIG_ID, name, key, &err));
    OK(hf_store_delete(s->site.stores[region], key, &err));
}

/* A published backup that needs segment 2. */
static void make_backup(struct scene *s)
{
    struct hf_err err = {0};
    HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
    HF_BUF(text, HF_MANIFEST_MAX_BYTES);
    m->segment_size = SEGMENT;
    m->start = HF_LSN(0x200028);
    m->stop = HF_LSN(0x200100);
    OK(hf_manifest_encode(m, &text, &err));
    put_raw(s, 0, "backup/20261121T002100Z-F/begin", "begin");
    put_raw(s, 0, "backup/20261121T002100Z-F/pack-00000001", "first pack");
    put_raw(s, 0, "backup/20261121T002100Z-F/pack-00000002", "second pack");
    put_raw(s, 0, "backup/20261121T002100Z-F/map-00000001", "map");
    struct hf_seal_params p = {.kind = HF_OBJECT_MANIFEST, .name = MANIFEST};
    OK(hf_object_put(s->site.ring, s->site.stores[0], &p, text.data, text.len, &err));
}

static hf_result catch_up(struct scene *s, struct hf_catch_up *ret, struct hf_err *err)
{
    return hf_replicate_catch_up(s->from, s->to, NULL, ret, err);
}

static bool in_us(struct scene *s, const char *name)
{
    return object_there(&s->g, "us", name);
}

/* B5: whatever is there at any moment is usable. */
static void assert_usable(struct scene *s)
{
    if (in_us(s, MANIFEST)) {
        assert_true(in_us(s, NEEDED));
        assert_true(in_us(s, "backup/20261121T002100Z-F/pack-00000001"));
        assert_true(in_us(s, "backup/20261121T002100Z-F/pack-00000002"));
        assert_true(in_us(s, "backup/20261121T002100Z-F/map-00000001"));
        assert_false(in_us(s, PENDING));
    }
}

static hf_result list_one(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    return hf_buf_printf(arg, err, "%s %llu\n", e->key, (unsigned long long)e->size);
}

static void assert_same_lists(struct scene *s)
{
    struct hf_err err = {0};
    HF_BUF(a, 1 << 20);
    HF_BUF(b, 1 << 20);
    OK(hf_store_list(s->site.stores[0], "", NULL, false, list_one, &a, &err));
    OK(hf_store_list(s->site.stores[1], "", NULL, false, list_one, &b, &err));
    assert_string_equal(hf_buf_text(&a), hf_buf_text(&b));
}

static void everything_arrives_once(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    archive_segment(&s->g, &s->site, 0, 1, 2, 'a');
    archive_text(&s->g, &s->site, 0, "00000002.history", "1\t0/380000\tx\n");
    struct hf_epoch_record r = {.epoch = HF_EPOCH(1), .timeline = HF_TLI(1), .primary = "eu-1"};
    OK(hf_repository_epoch_put(s->from, &r, &err));
    make_backup(s);
    OK(catch_up(s, &done, &err));
    assert_true(done.copied >= 10 && done.bytes > 0);
    assert_int_equal(done.missing, 0);
    assert_int_equal(done.conflicts, 0);
    assert_same_lists(s);
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    OK(hf_backup_manifest(s->to, LABEL, "manifest", &m, NULL, &err));
    OK(catch_up(s, &done, &err));
    assert_int_equal(done.copied, 0);
    assert_same_lists(s);
    /* A reader of that region alone opens it with nothing but the host's key. */
    hf_site_close(&s->site);
    OK(hf_site_open(s->g.config, "us", SYSTEM, &s->site, &err));
    HF_BUF(text, 65536);
    OK(hf_repository_history(s->site.repositories[0], HF_TLI(2), &text, &err));
}

static void a_manifest_waits_for_its_wal(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    make_backup(s); /* its WAL is gone from the source */
    OK(catch_up(s, &done, &err));
    assert_false(in_us(s, MANIFEST));
    assert_true(in_us(s, PENDING));
    assert_int_equal(done.missing, 1);
    archive_segment(&s->g, &s->site, 0, 1, 2, 'a');
    OK(catch_up(s, &done, &err));
    assert_int_equal(done.missing, 0);
    assert_true(in_us(s, MANIFEST));
    assert_usable(s);
}

static void a_running_backup_stays_at_home(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    put_raw(s, 0, "backup/20261121T002200Z-F/begin", "begin");
    put_raw(s, 0, "backup/20261121T002200Z-F/pack-00000001", "pack");
    put_raw(s, 0, "backup/20261121T002200Z-F/pending", "pending");
    OK(catch_up(s, &done, &err));
    assert_false(in_us(s, "backup/20261121T002200Z-F/pack-00000001"));
    assert_false(in_us(s, "backup/20261121T002200Z-F/pending"));
}

static void expiry_is_a_regions_own_matter(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    archive_segment(&s->g, &s->site, 0, 1, 2, 'a');
    make_backup(s);
    put_raw(s, 0, "backup/20261121T002100Z-F/expiring", "mark");
    OK(catch_up(s, &done, &err));
    assert_false(in_us(s, "backup/20261121T002100Z-F/expiring"));
    remove_raw(s, 1, MANIFEST);
    put_raw(s, 1, "backup/20261121T002100Z-F/expiring", "mark");
    OK(catch_up(s, &done, &err)); /* being deleted there: no error, not published again */
    assert_false(in_us(s, MANIFEST));
}

static void a_pack_of_other_content_keeps_the_manifest_away(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    char key[HF_STORE_KEY_SIZE];
    uint64_t bytes = 0;
    make_backup(s);
    put_raw(s, 1, "backup/20261121T002100Z-F/pack-00000001", "other pack");
    OK(hf_object_key(&RIG_ID, "backup/20261121T002100Z-F/pack-00000001", key, &err));
    REFUSED(HF_E_CONFLICT, hf_replicate_object(s->from, s->to, key, &bytes, &err));
    HF_BUF(there, 64);
    OK(hf_store_get(s->site.stores[1], key, 0, UINT64_MAX, rig_append, &there, &err));
    assert_string_equal(hf_buf_text(&there), "other pack");
}

static hf_result copy(struct scene *s, const char *name, struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    uint64_t bytes = 0;
    HF_TRY(hf_object_key(&RIG_ID, name, key, err));
    return hf_replicate_object(s->from, s->to, key, &bytes, err);
}

static void contents_decide_where_sealings_differ(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    OK(hf_keyring_prepare(s->site.ring, s->site.stores[1], &err));
    archive_segment(&s->g, &s->site, 0, 1, 2, 'a');
    archive_segment(&s->g, &s->site, 1, 1, 2, 'a'); /* sealed a second time */
    OK(copy(s, NEEDED, &err));
    archive_segment(&s->g, &s->site, 0, 1, 3, 'a');
    archive_segment(&s->g, &s->site, 1, 1, 3, 'b');
    REFUSED(HF_E_CONFLICT, copy(s, "wal/00000001/000000010000000000000003", &err));
    struct hf_epoch_record r = {.epoch = HF_EPOCH(1), .timeline = HF_TLI(1), .primary = "eu-1"};
    OK(hf_repository_epoch_put(s->from, &r, &err));
    OK(hf_repository_epoch_put(s->to, &r, &err));
    OK(copy(s, "epoch/0000000000000001", &err));
    r.epoch = HF_EPOCH(2);
    OK(hf_repository_epoch_put(s->from, &r, &err));
    (void)snprintf(r.primary, sizeof r.primary, "us-1"); /* as long as the other */
    OK(hf_repository_epoch_put(s->to, &r, &err));
    REFUSED(HF_E_CONFLICT, copy(s, "epoch/0000000000000002", &err));
}

/* Two writers that did not know of each other have two hash secrets. */
static void contents_decide_where_secrets_differ(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct wal_rig other = s->g;
    struct hf_site us = {0};
    other.config = hf_alloc(sizeof *other.config);
    *other.config = *s->g.config;
    set_name(&other.config->region, "us");
    set_name(&other.config->name, "us-1");
    OK(hf_site_open(other.config, "us", SYSTEM, &us, &err));
    OK(hf_keyring_prepare(us.ring, us.stores[0], &err));
    archive_segment(&s->g, &us, 0, 1, 2, 'a');
    archive_segment(&s->g, &us, 0, 1, 3, 'b');
    archive_segment(&s->g, &s->site, 0, 1, 2, 'a');
    archive_segment(&s->g, &s->site, 0, 1, 3, 'a');
    OK(copy(s, NEEDED, &err));
    REFUSED(HF_E_CONFLICT, copy(s, "wal/00000001/000000010000000000000003", &err));
    hf_site_close(&us);
    hf_free(other.config);
}

static void what_the_source_lost_is_no_error(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    REFUSED(HF_E_NOT_FOUND, copy(s, "wal/00000001/000000010000000000000007", &err));
    assert_false(in_us(s, "wal/00000001/000000010000000000000007"));
}

static void many_pages(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    for (uint64_t i = 1; i <= 650; i++) {
        char name[HF_WAL_NAME_SIZE];
        char logical[HF_OBJECT_NAME_SIZE];
        (void)snprintf(logical, sizeof logical, "wal/00000001/%s", segment_name(1, i, name));
        put_raw(s, 0, logical, "sealed");
        if (i % 3 == 0) {
            put_raw(s, 1, logical, "sealed");
        }
    }
    put_raw(s, 1, "wal/00000009/0000000900000000000000AA", "only there");
    OK(catch_up(s, &done, &err));
    assert_int_equal(done.conflicts, 0);
    assert_true(done.copied >= 650 - 650 / 3);
    remove_raw(s, 1, "wal/00000009/0000000900000000000000AA");
    assert_same_lists(s);
}

static void it_can_be_stopped(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    atomic_bool cancel = true;
    make_backup(s);
    REFUSED(HF_E_CANCELED, hf_replicate_catch_up(s->from, s->to, &cancel, &done, &err));
    assert_int_equal(done.copied, 0);
    cancel = false;
    OK(hf_replicate_catch_up(s->from, s->to, &cancel, &done, &err));
}

/* Stopped by a failure after every single step, it goes on where it was. */
static void any_step_may_fail(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_catch_up done;
    static const char *const points[] = {"replicate.copy",      "posix.link", "posix.fsync",
                                         "backup.manifest",     "store.get",  "store.list",
                                         "store.writer.commit", "store.head", "store.put"};
    const char *known[256];
    size_t n = hf_fault_list(known, 256);
    if (n == 0) {
        skip();
    }
    archive_segment(&s->g, &s->site, 0, 1, 2, 'a');
    make_backup(s);
    size_t failed = 0;
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        bool there = false;
        for (size_t i = 0; i < n; i++) {
            there = there || strcmp(known[i], points[p]) == 0;
        }
        for (int k = 1; there && k <= 12; k++) {
            char config[64];
            (void)snprintf(config, sizeof config, "%s=error@%d:9", points[p], k);
            OK(hf_fault_configure(config, &err));
            hf_result r = catch_up(s, &done, &err);
            OK(hf_fault_configure(NULL, &err));
            assert_usable(s);
            failed += hf_ok(r) ? 0 : 1;
        }
        OK(catch_up(s, &done, &err));
        assert_same_lists(s);
        char dir[HF_PATH_SIZE];
        object_path(&s->g, "us", "wal", dir);
        OK(hf_dir_remove_tree(dir, &err));
        object_path(&s->g, "us", "backup", dir);
        OK(hf_dir_remove_tree(dir, &err));
    }
    assert_true(failed >= 8);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_arrives_once),
        TEST(a_manifest_waits_for_its_wal),
        TEST(a_running_backup_stays_at_home),
        TEST(expiry_is_a_regions_own_matter),
        TEST(a_pack_of_other_content_keeps_the_manifest_away),
        TEST(contents_decide_where_sealings_differ),
        TEST(contents_decide_where_secrets_differ),
        TEST(what_the_source_lost_is_no_error),
        TEST(many_pages),
        TEST(it_can_be_stopped),
        TEST(any_step_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
