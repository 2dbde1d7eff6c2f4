/* SPDX-License-Identifier: Apache-2.0
 *
 * Archiving and fetching on real directories: one name one content, absent only when proven, never
 * past a fork.
 */
#include "wal_rig.h"

#include "agent/replicate/copy.h"
#include "agent/wal/control_file.h"
#include "agent/wal/wal_direct.h"
#include "common/io/fault.h"
#include "common/io/files.h"

static const char FORK[] = "1\t0/380000\tno recovery target\n"; /* within segment 3 */

struct scene {
    struct wal_rig g;
    struct hf_site site;
    char target[HF_PATH_SIZE];
};

static int setup(void **state)
{
    struct scene *s = hf_alloc(sizeof *s);
    rig_make(&s->g, 3);
    rig_site(&s->g, &s->site);
    path_in(&s->g, s->target, "pg/pg_wal/RECOVERYXLOG");
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

static hf_result fetch_as(struct scene *s, const char *name, uint32_t target, uint32_t hint,
                          struct hf_err *err)
{
    const struct hf_wal_fetch f = {
        .name = name, .path = s->target, .target = HF_TLI(target), .hint = HF_TLI(hint)};
    (void)unlink(s->target);
    hf_result r = hf_wal_fetch(&s->site, &f, err);
    assert_int_equal(hf_file_exists(s->target), hf_ok(r)); /* whole or not there */
    return r;
}

static enum hf_code fetch(struct scene *s, uint32_t timeline, uint64_t number, uint32_t target,
                          uint32_t hint)
{
    struct hf_err err = {0};
    char name[HF_WAL_NAME_SIZE];
    return fetch_as(s, segment_name(timeline, number, name), target, hint, &err).code;
}

static void reopen(struct scene *s)
{
    hf_site_close(&s->site);
    struct hf_err err = {0};
    OK(hf_site_open_any(s->g.config, SYSTEM, &s->site, &err));
}

static void assert_fetched(struct scene *s, uint32_t timeline, uint64_t number, int fill)
{
    struct hf_err err = {0};
    HF_BUF(got, SEGMENT);
    OK(hf_file_read(s->target, &got, &err));
    HF_AUTOFREE uint8_t *b = segment_new(SEGMENT, timeline, number, SYSTEM, fill);
    assert_int_equal(got.len, SEGMENT);
    assert_memory_equal(got.data, b, SEGMENT);
}

static hf_result count_one(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    (void)e;
    (void)err;
    ++*(size_t *)arg;
    return hf_done();
}

static size_t objects_below(struct scene *s, size_t region, const char *folder)
{
    struct hf_err err = {0};
    char key[HF_STORE_KEY_SIZE];
    size_t n = 0;
    OK(hf_object_key(&RIG_ID, folder, key, &err));
    OK(hf_store_list(s->site.stores[region], key, NULL, false, count_one, &n, &err));
    return n;
}

/* --- W2 --- */

static void one_name_one_content(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    char path[HF_PATH_SIZE];
    char object[HF_PATH_SIZE];
    write_segment(&s->g, 1, 1, 'a', path);
    OK(archive(&s->site, 0, path, &err));
    OK(archive(&s->site, 0, path, &err)); /* again: another sealing, the same content */
    HF_BUF(before, 4 << 20);
    HF_BUF(after, 4 << 20);
    object_path(&s->g, "eu", "wal/00000001/000000010000000000000001", object);
    OK(hf_file_read(object, &before, &err));

    write_segment(&s->g, 1, 1, 'b', path);
    REFUSED(HF_E_CONFLICT, archive(&s->site, 0, path, &err));
    assert_non_null(strstr(err.text, "kept apart as conflict/0000000000000001/"));
    REFUSED(HF_E_CONFLICT, archive(&s->site, 0, path, &err)); /* PostgreSQL tries again */
    OK(hf_file_read(object, &after, &err));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    assert_int_equal(objects_below(s, 0, "conflict/"), 1);
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_OK);
    assert_fetched(s, 1, 1, 'a');
}

/* Keys that were made after a reader's were loaded: a new primary's first segment. */
static void keys_of_a_later_writer_are_found(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct wal_rig other = s->g;
    struct hf_site site = {0};
    char path[HF_PATH_SIZE];
    other.config = hf_alloc(sizeof *other.config);
    *other.config = *s->g.config;
    set_name(&other.config->region, "us");
    set_name(&other.config->name, "us-1");
    rig_site(&other, &site); /* makes us-1's key; the scene's ring does not know it */
    write_segment(&s->g, 1, 1, 'a', path);
    OK(archive(&site, 0, path, &err)); /* its index 0 is us */
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_OK);
    assert_fetched(s, 1, 1, 'a');
    write_segment(&s->g, 1, 2, 'a', path);
    OK(archive(&site, 1, path, &err)); /* eu */
    hf_site_close(&s->site);
    rig_site(&s->g, &s->site);
    OK(archive(&s->site, 0, path, &err)); /* the same content, sealed by another */
    hf_site_close(&site);
    hf_free(other.config);
}

static void what_is_no_wal_is_not_archived(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    char path[HF_PATH_SIZE];
    HF_AUTOFREE uint8_t *b = segment_new(SEGMENT, 1, 9, SYSTEM, 0);
    write_wal(&s->g, "000000010000000000000001", b, SEGMENT, path);
    REFUSED(HF_E_CORRUPT, archive(&s->site, 0, path, &err));
    write_wal(&s->g, "000000010000000000000009", b, SEGMENT - 8192, path);
    REFUSED(HF_E_CORRUPT, archive(&s->site, 0, path, &err));
    write_wal(&s->g, "000000010000000000000009", b, SEGMENT / 2, path);
    REFUSED(HF_E_CORRUPT, archive(&s->site, 0, path, &err));
    write_wal(&s->g, "xlogtemp.4711", b, SEGMENT, path);
    REFUSED(HF_E_INVALID, archive(&s->site, 0, path, &err));
    HF_AUTOFREE uint8_t *foreign = segment_new(SEGMENT, 1, 9, 77, 0);
    write_wal(&s->g, "000000010000000000000009", foreign, SEGMENT, path);
    REFUSED(HF_E_CORRUPT, archive(&s->site, 0, path, &err));
    assert_false(object_there(&s->g, "eu", "wal/00000001/000000010000000000000009"));
}

static void every_kind_of_name_is_archived(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    static const char *const names[] = {"0000000100000000000001A3.00000028.backup",
                                        "000000010000000000000003.00000028.backup",
                                        "00000002.history"};
    for (size_t i = 0; i < 3; i++) {
        archive_text(&s->g, &s->site, 0, names[i], FORK);
        OK(fetch_as(s, names[i], 0, 0, &err));
    }
    char path[HF_PATH_SIZE];
    HF_AUTOFREE uint8_t *b = segment_new(SEGMENT, 1, 3, SYSTEM, 'p');
    write_wal(&s->g, "000000010000000000000003.partial", b, SEGMENT, path);
    OK(archive(&s->site, 0, path, &err));
    OK(fetch_as(s, "000000010000000000000003.partial", 0, 0, &err));
    assert_int_equal(fetch(s, 1, 3, 1, 0), HF_E_NOT_FOUND); /* not under the segment's name */
}

/* --- W3 --- */

static void absent_only_when_all_said_so(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    char us[HF_PATH_SIZE];
    char away[HF_PATH_SIZE];
    archive_segment(&s->g, &s->site, 1, 1, 1, 'a');
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_OK); /* only us has it */
    assert_int_equal(fetch(s, 1, 2, 1, 0), HF_E_NOT_FOUND);
    path_in(&s->g, us, "us");
    path_in(&s->g, away, "away");
    assert_int_equal(rename(us, away), 0);
    assert_int_equal(fetch(s, 1, 2, 1, 0), HF_E_AGAIN); /* though it is still open */
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_E_AGAIN);
    reopen(s);
    assert_null(s->site.repositories[1]);
    assert_string_equal(hf_site_region(&s->site, 1), "us");
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_E_AGAIN);
    OK(hf_dir_make(us, 0700, &err)); /* there, but empty: not mounted */
    reopen(s);
    assert_non_null(s->site.repositories[1]);
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_E_AGAIN);
    assert_int_equal(fetch(s, 1, 2, 1, 0), HF_E_AGAIN);
    assert_int_equal(rmdir(us), 0);
    assert_int_equal(rename(away, us), 0);
    reopen(s);
    assert_int_equal(fetch(s, 1, 2, 1, 0), HF_E_NOT_FOUND);
}

static void an_error_is_not_absence(void **state)
{
    struct scene *s = *state;
    char object[HF_PATH_SIZE];
    archive_segment(&s->g, &s->site, 1, 1, 1, 'a');
    object_path(&s->g, "us", "wal/00000001/000000010000000000000002", object);
    assert_int_equal(symlink("/etc/hostname", object), 0); /* answered by an error */
    assert_int_equal(fetch(s, 1, 2, 1, 0), HF_E_AGAIN);
    assert_int_equal(hf_wal_fetch_status((hf_result){HF_E_AGAIN}, false), 255);
    assert_int_equal(hf_wal_fetch_status((hf_result){HF_E_AGAIN}, true), 1);
}

static void the_own_region_may_be_gone(void **state)
{
    struct scene *s = *state;
    char eu[HF_PATH_SIZE];
    char away[HF_PATH_SIZE];
    archive_segment(&s->g, &s->site, 2, 1, 1, 'a');
    path_in(&s->g, eu, "eu");
    path_in(&s->g, away, "away");
    assert_int_equal(rename(eu, away), 0);
    reopen(s);
    assert_null(s->site.repositories[0]);
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_OK);
    assert_int_equal(fetch(s, 1, 2, 1, 0), HF_E_AGAIN);
}

static void a_foreign_key_is_not_absence(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_kek kek = rig_kek("k2", 99);
    struct hf_keyring *ring = NULL;
    struct hf_repository *r = NULL;
    /* Another key's writer, and its wrap taken away: this host can never open it. */
    OK(hf_keyring_new(&RIG_ID, "us-1", &kek, 1, "k2", &ring, &err));
    OK(hf_keyring_prepare(ring, s->site.stores[0], &err));
    OK(hf_repository_open(s->site.stores[0], ring, &r, &err));
    struct hf_site theirs = s->site;
    theirs.ring = ring;
    theirs.repositories[0] = r;
    archive_segment(&s->g, &theirs, 0, 1, 1, 'a');
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_E_AGAIN);
    hf_repository_close(r);
    hf_keyring_free(ring);
}

static void damage_is_served_from_elsewhere(void **state)
{
    struct scene *s = *state;
    static const char name[] = "wal/00000001/000000010000000000000001";
    char object[HF_PATH_SIZE];
    archive_segment(&s->g, &s->site, 0, 1, 1, 'a');
    archive_segment(&s->g, &s->site, 1, 1, 1, 'a');
    object_path(&s->g, "eu", name, object);
    damage(object, 20);
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_OK);
    assert_fetched(s, 1, 1, 'a');
    object_path(&s->g, "us", name, object);
    damage(object, 1);
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_E_CORRUPT);
    assert_int_equal(hf_wal_fetch_status((hf_result){HF_E_CORRUPT}, false), 255);
}

static void statuses(void **state)
{
    (void)state;
    for (int c = HF_OK; c <= HF_E_INTERNAL; c++) {
        hf_result r = {(enum hf_code)c};
        int strict = c == HF_OK ? 0 : c == HF_E_NOT_FOUND ? 1 : 255;
        assert_int_equal(hf_wal_fetch_status(r, false), strict);
        assert_int_equal(hf_wal_fetch_status(r, true), c == HF_OK ? 0 : 1);
    }
}

static void names_that_are_no_wal(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    REFUSED(HF_E_NOT_FOUND, fetch_as(s, "00000001.history", 0, 0, &err));
    REFUSED(HF_E_INVALID, fetch_as(s, "../keys", 0, 0, &err));
    archive_segment(&s->g, &s->site, 0, 1, 1, 'a');
    path_in(&s->g, s->target, "nowhere/RECOVERYXLOG");
    assert_int_equal(fetch(s, 1, 1, 1, 0), HF_E_IO); /* and not "absent" */
}

/* --- W4 --- */

static void forked(struct scene *s)
{
    for (uint64_t i = 1; i <= 4; i++) {
        archive_segment(&s->g, &s->site, 0, 1, i, 'a');
    }
    archive_segment(&s->g, &s->site, 0, 2, 3, 'b');
    archive_segment(&s->g, &s->site, 0, 2, 4, 'b');
    archive_segment(&s->g, &s->site, 0, 3, 2, 'c'); /* a line that is no ancestor */
}

static void assert_line_two(struct scene *s, uint32_t target, uint32_t hint)
{
    assert_int_equal(fetch(s, 1, 2, target, hint), HF_OK);
    assert_int_equal(fetch(s, 1, 3, target, hint), HF_E_NOT_FOUND); /* around the fork */
    assert_int_equal(fetch(s, 1, 4, target, hint), HF_E_NOT_FOUND);
    assert_int_equal(fetch(s, 2, 3, target, hint), HF_OK);
    assert_int_equal(fetch(s, 2, 4, target, hint), HF_OK);
}

static void never_past_the_fork(void **state)
{
    struct scene *s = *state;
    forked(s);
    assert_int_equal(fetch(s, 1, 2, 2, 0), HF_E_AGAIN); /* its history is not archived yet */
    assert_int_equal(fetch(s, 2, 3, 2, 0), HF_OK);
    archive_text(&s->g, &s->site, 2, "00000002.history", FORK); /* in one region only */
    assert_line_two(s, 2, 0);
    assert_line_two(s, 0, 2);
    assert_line_two(s, 0, 0);                      /* by the archived history alone */
    assert_int_equal(fetch(s, 1, 4, 1, 0), HF_OK); /* recovery to the old line is explicit */
}

static void the_newest_epoch_names_the_line(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    forked(s);
    struct hf_epoch_record one = {.epoch = HF_EPOCH(1), .timeline = HF_TLI(1), .primary = "eu-1"};
    struct hf_epoch_record two = {.epoch = HF_EPOCH(2),
                                  .parent_epoch = HF_EPOCH(1),
                                  .timeline = HF_TLI(2),
                                  .fork = HF_LSN(0x380000),
                                  .primary = "us-1"};
    OK(hf_repository_epoch_put(s->site.repositories[0], &one, &err));
    assert_int_equal(fetch(s, 1, 4, 0, 0), HF_OK);
    OK(hf_repository_epoch_put(s->site.repositories[2], &two, &err)); /* in one region only */
    archive_text(&s->g, &s->site, 0, "00000002.history", FORK);
    assert_line_two(s, 0, 0);
    assert_line_two(s, 0, 1); /* the leader's word is older than the record */
    assert_int_equal(fetch(s, 3, 2, 0, 2), HF_E_AGAIN); /* 3's past is not known */
    archive_text(&s->g, &s->site, 0, "00000003.history", "1\t0/280000\tx\n");
    assert_int_equal(fetch(s, 3, 2, 0, 2), HF_E_NOT_FOUND); /* 3 does not descend from 2 */
}

static void assert_history(struct scene *s, const char *name, uint32_t target, uint32_t hint,
                           const char *expected)
{
    struct hf_err err = {0};
    HF_BUF(text, 4096);
    OK(fetch_as(s, name, target, hint, &err));
    OK(hf_file_read(s->target, &text, &err));
    assert_string_equal(hf_buf_text(&text), expected);
}

/* A standby counts up to the first history that is missing: a number that was never used, or whose
 * history is lost with a region, must not end its search below the cluster's line. */
static void a_number_below_the_line_has_a_history(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    archive_text(&s->g, &s->site, 0, "00000003.history", FORK);
    REFUSED(HF_E_NOT_FOUND, fetch_as(s, "00000002.history", 2, 0, &err)); /* the line itself */
    REFUSED(HF_E_NOT_FOUND, fetch_as(s, "00000004.history", 0, 3, &err)); /* above it */
    assert_history(s, "00000002.history", 0, 3, HF_HISTORY_UNUSED);
    assert_history(s, "00000003.history", 0, 3, FORK);
}

/* Counting up would end at such a number, and a server that starts with it as its goal finds no
 * checkpoint: it waits until somebody starts it again. */
static void nothing_below_a_line_without_a_history_is_answered(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    archive_text(&s->g, &s->site, 0, "00000002.history", FORK);
    REFUSED(HF_E_AGAIN, fetch_as(s, "00000002.history", 0, 4, &err)); /* there, but of the past? */
    REFUSED(HF_E_AGAIN, fetch_as(s, "00000003.history", 0, 4, &err)); /* reserved, never used */
    REFUSED(HF_E_NOT_FOUND, fetch_as(s, "00000004.history", 0, 4, &err));
    archive_text(&s->g, &s->site, 0, "00000004.history", "1\t0/380000\tx\n2\t0/580000\tx\n");
    assert_history(s, "00000002.history", 0, 4, FORK);
    assert_history(s, "00000003.history", 0, 4, HF_HISTORY_UNUSED);
}

/* The history of a promotion that was lost, whose WAL the line does not contain. */
static void who_is_no_ancestor_of_the_line_is_no_goal(void **state)
{
    struct scene *s = *state;
    archive_text(&s->g, &s->site, 0, "00000002.history", "1\t0/380000\tlost\n");
    archive_text(&s->g, &s->site, 0, "00000003.history", FORK);
    assert_history(s, "00000002.history", 0, 3, HF_HISTORY_UNUSED);
    assert_history(s, "00000002.history", 2, 3, "1\t0/380000\tlost\n"); /* asked for expressly */
}

static void a_line_needs_every_repository_or_the_leader(void **state)
{
    struct scene *s = *state;
    char us[HF_PATH_SIZE];
    char away[HF_PATH_SIZE];
    forked(s);
    archive_text(&s->g, &s->site, 0, "00000002.history", FORK);
    path_in(&s->g, us, "us");
    path_in(&s->g, away, "away");
    assert_int_equal(rename(us, away), 0);
    reopen(s);
    assert_int_equal(fetch(s, 1, 2, 0, 0), HF_E_AGAIN);
    assert_line_two(s, 2, 0);
}

/* --- half of nothing --- */

static void a_failing_step_leaves_nothing_half(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    const char *names[256];
    size_t n = hf_fault_list(names, 256);
    size_t hit = 0;
    if (n == 0) {
        skip();
    }
    uint64_t number = 1;
    for (size_t i = 0; i < n; i++) {
        char config[128];
        char path[HF_PATH_SIZE];
        if (strncmp(names[i], "posix.", 6) != 0 && strcmp(names[i], "wal.put") != 0 &&
            strcmp(names[i], "store.put") != 0) {
            continue;
        }
        write_segment(&s->g, 1, ++number, 'a', path);
        (void)snprintf(config, sizeof config, "%s=error:9", names[i]);
        OK(hf_fault_configure(config, &err));
        hf_result put = archive(&s->site, 0, path, &err);
        OK(hf_fault_configure(NULL, &err));
        hit += hf_ok(put) ? 0 : 1;
        enum hf_code there = fetch(s, 1, number, 1, 0);
        assert_true(there == HF_OK || there == HF_E_NOT_FOUND);
        assert_true(!hf_ok(put) || there == HF_OK);
        OK(archive(&s->site, 0, path, &err)); /* PostgreSQL's next try */
        assert_int_equal(fetch(s, 1, number, 1, 0), HF_OK);
        assert_fetched(s, 1, number, 'a');
    }
    assert_true(hit >= 4);
}

/* --- with no agent --- */

static void direct_work(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    size_t late = 0;
    char path[HF_PATH_SIZE];
    char us[HF_PATH_SIZE];
    path_in(&s->g, us, "us");
    write_segment(&s->g, 1, 1, 'a', path);
    OK(hf_wal_direct_push(s->g.config, SYSTEM, "000000010000000000000001", path, HF_MS(10000),
                          &late, &err));
    assert_int_equal(late, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_true(object_there(&s->g, REGIONS[i], "wal/00000001/000000010000000000000001"));
    }
    OK(hf_dir_remove_tree(us, &err)); /* another region is no condition */
    write_segment(&s->g, 1, 2, 'a', path);
    OK(hf_wal_direct_push(s->g.config, SYSTEM, "000000010000000000000002", path, HF_MS(10000),
                          &late, &err));
    assert_true(object_there(&s->g, "ap", "wal/00000001/000000010000000000000002"));
    struct hf_wal_fetch f = {
        .name = "000000010000000000000002", .path = s->target, .target = HF_TLI(1)};
    OK(hf_wal_direct_get(s->g.config, 0, &f, HF_MS(0), &err));
    assert_fetched(s, 1, 2, 'a');
    f.name = "000000010000000000000003";
    REFUSED(HF_E_AGAIN, hf_wal_direct_get(s->g.config, SYSTEM, &f, HF_MS(300), &err));
    path_in(&s->g, us, "eu");
    OK(hf_dir_remove_tree(us, &err)); /* the own one is */
    assert_false(hf_ok(hf_wal_direct_push(s->g.config, SYSTEM, "000000010000000000000002", path,
                                          HF_MS(10000), &late, &err)));
}

static void a_cluster_that_nobody_knows_is_not_an_empty_archive(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    const struct hf_wal_fetch f = {
        .name = "000000010000000000000003", .path = s->target, .target = HF_TLI(1)};
    set_name(&s->g.config->cluster, "other");
    REFUSED(HF_E_AGAIN, hf_wal_direct_get(s->g.config, 0, &f, HF_MS(0), &err));
    REFUSED(HF_E_AGAIN, hf_wal_direct_get(s->g.config, SYSTEM, &f, HF_MS(0), &err));
}

static void control_files(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    uint64_t id = 5;
    uint8_t bytes[8192] = {0};
    char dir[HF_PATH_SIZE];
    char path[HF_PATH_SIZE];
    path_in(&s->g, dir, "pg/global");
    OK(hf_dir_make(dir, 0700, &err));
    path_in(&s->g, path, "pg/global/pg_control");
    path_in(&s->g, dir, "pg");
    REFUSED(HF_E_NOT_FOUND, hf_control_file_system(dir, &id, &err));
    put_number(bytes, SYSTEM, 8);
    put_number(bytes + 8, 1300, 4);
    OK(hf_file_write_durable(path, bytes, sizeof bytes, 0600, &err));
    OK(hf_control_file_system(dir, &id, &err));
    assert_true(id == SYSTEM);
    id = 5;
    put_number(bytes + 8, 7, 4);
    OK(hf_file_write_durable(path, bytes, sizeof bytes, 0600, &err));
    REFUSED(HF_E_CORRUPT, hf_control_file_system(dir, &id, &err));
    OK(hf_file_write_durable(path, bytes, 40, 0600, &err));
    REFUSED(HF_E_CORRUPT, hf_control_file_system(dir, &id, &err));
    assert_true(id == 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_name_one_content),
        TEST(keys_of_a_later_writer_are_found),
        TEST(what_is_no_wal_is_not_archived),
        TEST(every_kind_of_name_is_archived),
        TEST(absent_only_when_all_said_so),
        TEST(an_error_is_not_absence),
        TEST(the_own_region_may_be_gone),
        TEST(a_foreign_key_is_not_absence),
        TEST(damage_is_served_from_elsewhere),
        cmocka_unit_test(statuses),
        TEST(names_that_are_no_wal),
        TEST(never_past_the_fork),
        TEST(the_newest_epoch_names_the_line),
        TEST(a_number_below_the_line_has_a_history),
        TEST(nothing_below_a_line_without_a_history_is_answered),
        TEST(who_is_no_ancestor_of_the_line_is_no_goal),
        TEST(a_line_needs_every_repository_or_the_leader),
        TEST(a_failing_step_leaves_nothing_half),
        TEST(direct_work),
        TEST(a_cluster_that_nobody_knows_is_not_an_empty_archive),
        TEST(control_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
