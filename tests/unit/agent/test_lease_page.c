/* SPDX-License-Identifier: Apache-2.0
 *
 * The lease page: layout, refusals, torn reads, one writer a half; and what the keeper makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/fence/fencer.h"
#include "agent/fence/page.h"
#include "agent/node/page_keeper.h"
#include "common/io/clock.h"

static char directory[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/hf-page-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/lease.page", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    rmdir(directory);
    return 0;
}

static void ok(hf_result r, const struct hf_err *err)
{
    if (!hf_ok(r)) {
        fail_msg("%s", err->text);
    }
}

static struct hf_page_state sample(void)
{
    struct hf_page_state s = {.generation = HF_GENERATION(2),
                              .epoch = HF_EPOCH(7),
                              .serial = 3,
                              .deadline = {1000},
                              .commits_until = {INT64_MAX},
                              .open = true,
                              .newest_epoch = HF_EPOCH(7),
                              .armed = true,
                              .postmaster_pid = 42,
                              .postmaster_start = 99,
                              .grace = {5}};
    snprintf(s.data_dir, sizeof(s.data_dir), "/data");
    return s;
}

static void test_written_is_read(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = sample();
    struct hf_page_state got;
    ok(hf_page_open(path, true, &map, &err), &err);
    assert_int_equal(hf_page_read(&map, &got, &err).code, HF_E_INVALID); /* nothing there yet */
    hf_page_write(&map, &s);
    ok(hf_page_read(&map, &got, &err), &err);
    assert_int_equal(got.epoch.v, 7);
    assert_int_equal(got.serial, 3);
    assert_int_equal(got.deadline.us, 1000);
    assert_true(got.open && got.armed && !got.guard);
    assert_string_equal(got.data_dir, "/data");
    /* The bytes are where another implementation looks for them. */
    unsigned char raw[HF_PAGE_SIZE];
    assert_int_equal(pread(map.fd, raw, sizeof(raw), 0), HF_PAGE_SIZE);
    assert_memory_equal(raw, "HFPAGE1\0\1\0\0\0", 12);
    assert_int_equal(raw[72], 7);
    assert_int_equal(raw[80], 3);
    assert_int_equal(raw[104], 1);
    assert_int_equal(raw[120], 42);
    assert_memory_equal(raw + 144, "/data", 6);
    hf_page_close(&map);
}

/* What the commit guard does: its own mapping, and the small part of the page. */
static void test_a_reader_sees_the_lease(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_map reader;
    struct hf_page_state s = sample();
    struct hf_page_state got;
    struct hf_page_lease lease;
    assert_int_equal(hf_page_open_reader("/nonexistent/page", &reader, &err).code, HF_E_NOT_FOUND);
    ok(hf_page_open(path, true, &map, &err), &err);
    ok(hf_page_open_reader(path, &reader, &err), &err);
    s.commits_until = (hf_lclk){555};
    s.newest_epoch = HF_EPOCH(8);
    s.synchronous = true;
    snprintf(s.primary, sizeof(s.primary), "db-us:5432");
    hf_page_write(&map, &s);
    ok(hf_page_read_lease(&reader, &lease, &err), &err);
    assert_int_equal(lease.epoch.v, 7);
    assert_int_equal(lease.newest_epoch.v, 8);
    assert_int_equal(lease.deadline.us, 1000);
    assert_int_equal(lease.commits_until.us, 555);
    assert_true(lease.open && lease.synchronous);
    ok(hf_page_read(&reader, &got, &err), &err);
    assert_string_equal(got.primary, "db-us:5432");
    assert_true(got.synchronous);
    /* Byte for byte where docs/protocol.md has them. */
    unsigned char raw[HF_PAGE_SIZE];
    assert_int_equal(pread(map.fd, raw, sizeof(raw), 0), HF_PAGE_SIZE);
    assert_memory_equal(raw + 1168, "db-us:5432", 11);
    assert_int_equal(raw[1440], 1);
    /* The lease needs the same checks as the whole. */
    raw[1440] = 2;
    assert_int_equal(pwrite(map.fd, raw, sizeof(raw), 0), HF_PAGE_SIZE);
    assert_int_equal(hf_page_read_lease(&reader, &lease, &err).code, HF_E_INVALID);
    raw[1440] = 1;
    raw[16] ^= 1;
    assert_int_equal(pwrite(map.fd, raw, sizeof(raw), 0), HF_PAGE_SIZE);
    assert_int_equal(hf_page_read_lease(&reader, &lease, &err).code, HF_E_STALE);
    hf_page_close(&reader);
    hf_page_close(&map);
}

static void test_halves_do_not_touch_each_other(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = sample();
    struct hf_page_state got;
    struct hf_page_fencer f = {.pid = 5, .fenced_epoch = HF_EPOCH(6), .fenced_serial = 2};
    struct hf_page_fencer f_got;
    ok(hf_page_open(path, true, &map, &err), &err);
    hf_page_write(&map, &s);
    hf_page_write_fencer(&map, &f);
    s.serial = 4;
    hf_page_write(&map, &s);
    ok(hf_page_read_fencer(&map, &f_got, &err), &err);
    assert_int_equal(f_got.pid, 5);
    assert_int_equal(f_got.fenced_epoch.v, 6);
    hf_page_write_fencer(&map, &f);
    ok(hf_page_read(&map, &got, &err), &err);
    assert_int_equal(got.serial, 4);
    hf_page_close(&map);
}

static void test_foreign_pages_are_refused(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = sample();
    struct hf_page_state got;
    ok(hf_page_open(path, true, &map, &err), &err);
    hf_page_write(&map, &s);
    struct hf_page_map other = map;
    other.identity.boot[0] = other.identity.boot[0] == 'x' ? 'y' : 'x';
    assert_int_equal(hf_page_read(&other, &got, &err).code, HF_E_STALE);
    other = map;
    other.identity.time_namespace++;
    assert_int_equal(hf_page_read(&other, &got, &err).code, HF_E_STALE);
    assert_false(hf_page_is_open(&other, HF_EPOCH(7), (hf_lclk){0}));
    map.page->version = 2;
    assert_int_equal(hf_page_read(&map, &got, &err).code, HF_E_INVALID);
    map.page->version = HF_PAGE_VERSION;
    map.page->armed = 2;
    assert_int_equal(hf_page_read(&map, &got, &err).code, HF_E_INVALID);
    hf_page_close(&map);
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(hf_page_open(path, true, &map, &err).code, HF_E_INVALID);
}

static void test_a_writer_that_died_within_is_noticed_and_taken_over(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = sample();
    struct hf_page_state got;
    ok(hf_page_open(path, true, &map, &err), &err);
    hf_page_write(&map, &s);
    map.page->sequence |= 1;
    assert_int_equal(hf_page_read(&map, &got, &err).code, HF_E_AGAIN);
    assert_false(hf_page_is_open(&map, HF_EPOCH(7), (hf_lclk){0}));
    hf_page_write(&map, &s);
    ok(hf_page_read(&map, &got, &err), &err);
    hf_page_close(&map);
}

static atomic_bool stop_writer;

static void *write_on(void *arg)
{
    struct hf_page_map *map = arg;
    struct hf_page_state s = sample();
    for (uint64_t i = 1; !atomic_load(&stop_writer); i++) {
        s.epoch = HF_EPOCH(i);
        s.serial = i;
        s.deadline.us = (int64_t)i;
        s.newest_epoch = HF_EPOCH(i);
        memset(s.data_dir, 'a' + (int)(i % 26), 64);
        s.data_dir[64] = '\0';
        hf_page_write(map, &s);
        if (i % 16 == 0) {
            sched_yield(); /* a reader on a busy machine must get between two writes */
        }
    }
    return NULL;
}

static void test_no_reader_sees_a_mixture(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = sample();
    pthread_t writer;
    int read_ok = 0;
    ok(hf_page_open(path, true, &map, &err), &err);
    hf_page_write(&map, &s);
    atomic_store(&stop_writer, false);
    assert_int_equal(pthread_create(&writer, NULL, write_on, &map), 0);
    for (int i = 0; read_ok < 2000 && i < 20000000; i++) {
        struct hf_page_state got;
        if (!hf_ok(hf_page_read(&map, &got, NULL)) || got.data_dir[0] == '/') {
            continue;
        }
        read_ok++;
        assert_int_equal(got.epoch.v, got.serial);
        assert_int_equal((uint64_t)got.deadline.us, got.serial);
        assert_int_equal(got.newest_epoch.v, got.serial);
        for (int n = 0; n < 64; n++) {
            assert_int_equal(got.data_dir[n], 'a' + (int)(got.serial % 26));
        }
    }
    atomic_store(&stop_writer, true);
    pthread_join(writer, NULL);
    assert_true(read_ok > 0);
    hf_page_close(&map);
}

static void test_open_means_this_epoch_before_the_deadline(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = sample();
    ok(hf_page_open(path, true, &map, &err), &err);
    hf_page_write(&map, &s);
    assert_true(hf_page_is_open(&map, HF_EPOCH(7), (hf_lclk){999}));
    assert_false(hf_page_is_open(&map, HF_EPOCH(7), (hf_lclk){1000}));
    assert_false(hf_page_is_open(&map, HF_EPOCH(6), (hf_lclk){0}));
    s.newest_epoch = HF_EPOCH(8);
    hf_page_write(&map, &s);
    assert_false(hf_page_is_open(&map, HF_EPOCH(7), (hf_lclk){0}));
    hf_page_close(&map);
}

static enum hf_fence_why decide(const struct hf_page_state *s, const struct hf_page_fencer *own,
                                int64_t now, int64_t *wait)
{
    hf_dur w;
    enum hf_fence_why why = hf_fencer_decide(true, true, s, own, (hf_lclk){now}, &w);
    *wait = w.us;
    return why;
}

static void test_when_the_fencer_acts(void **state)
{
    (void)state;
    struct hf_page_state s = sample();
    struct hf_page_fencer own = {.pid = 1};
    int64_t wait;
    s.deadline.us = 100000;
    assert_int_equal(decide(&s, &own, 0, &wait), HF_FENCE_NOT);
    assert_int_equal(wait, HF_FENCER_STEP_US);
    assert_int_equal(decide(&s, &own, 99000, &wait), HF_FENCE_NOT);
    assert_int_equal(wait, 1000); /* it wakes at the deadline, not a step later */
    assert_int_equal(decide(&s, &own, 100000, &wait), HF_FENCE_DEADLINE);
    s.guard = true; /* the guard refuses commits; the hard fence comes a grace later */
    s.grace = HF_US(50000);
    assert_int_equal(decide(&s, &own, 149999, &wait), HF_FENCE_NOT);
    assert_int_equal(decide(&s, &own, 150000, &wait), HF_FENCE_DEADLINE);
    s.newest_epoch = HF_EPOCH(8); /* no grace for that */
    assert_int_equal(decide(&s, &own, 0, &wait), HF_FENCE_NEWER_EPOCH);
    s.armed = false;
    assert_int_equal(decide(&s, &own, 200000, &wait), HF_FENCE_NOT);
    s.armed = true;
    s.open = false; /* closing alone leaves the deadline to the fencer */
    s.newest_epoch = s.epoch;
    assert_int_equal(decide(&s, &own, 0, &wait), HF_FENCE_NOT);
    own.fenced_epoch = s.epoch;
    own.fenced_serial = s.serial;
    assert_int_equal(decide(&s, &own, 200000, &wait), HF_FENCE_NOT); /* done already */
    s.serial++;
    assert_int_equal(decide(&s, &own, 200000, &wait), HF_FENCE_DEADLINE);
    hf_dur w;
    assert_int_equal(hf_fencer_decide(false, false, &s, &own, (hf_lclk){0}, &w),
                     HF_FENCE_UNREADABLE);
    assert_int_equal(hf_fencer_decide(false, true, &s, &own, (hf_lclk){200000}, &w),
                     HF_FENCE_DEADLINE); /* the last page that could be read */
}

static void test_the_keeper_arms_and_disarms(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_keeper k;
    struct hf_postmaster pm = {.pid = 77, .start = 5};
    struct hf_pg_observation seen = {.running = true, .known = true, .in_recovery = true};
    struct hf_agent_effect page = {.kind = HF_EFFECT_PAGE,
                                   .open = true,
                                   .epoch = HF_EPOCH(4),
                                   .serial = 2,
                                   .deadline = {5000}};
    ok(hf_page_keeper_open(&k, path, "/data", HF_SEC(15), &err), &err);
    assert_false(k.state.armed);
    hf_page_keeper_apply(&k, &page, HF_GENERATION(1));
    hf_page_keeper_seen(&k, &seen, &pm); /* promotion under way: open, so it stays armed */
    assert_true(k.state.armed);
    assert_int_equal(k.state.postmaster_pid, 77);
    page.open = false;
    page.deadline.us = 0;
    hf_page_keeper_apply(&k, &page, HF_GENERATION(1));
    assert_true(k.state.armed && !k.state.open);
    assert_int_equal(k.state.deadline.us, 5000); /* kept for the fencer */

    struct hf_page_fencer done = {.fenced_epoch = HF_EPOCH(4), .fenced_serial = 2};
    struct hf_page_fencer got;
    assert_false(hf_page_keeper_fenced(&k, &got));
    hf_page_write_fencer(&k.map, &done);
    assert_true(hf_page_keeper_fenced(&k, &got));
    assert_false(hf_page_keeper_fenced(&k, &got)); /* once */

    /* A new agent takes over what the page of this boot says. */
    hf_page_keeper_close(&k);
    ok(hf_page_keeper_open(&k, path, "/data", HF_SEC(15), &err), &err);
    assert_true(k.state.armed);
    assert_int_equal(k.state.epoch.v, 4);
    hf_page_keeper_epoch(&k, HF_EPOCH(9));
    hf_page_keeper_epoch(&k, HF_EPOCH(3));
    assert_int_equal(k.state.newest_epoch.v, 9);
    hf_page_keeper_primary(&k, "127.0.2.1:5432");
    assert_string_equal(k.state.primary, "127.0.2.1:5432");
    hf_page_keeper_primary(&k, "");
    assert_string_equal(k.state.primary, "");
    /* The guard counts for the postmaster that was asked; an unknown answer changes nothing. */
    seen.guard = true;
    seen.in_recovery = false;
    hf_page_keeper_seen(&k, &seen, &pm);
    assert_true(k.state.guard);
    seen.known = false;
    seen.guard = false;
    hf_page_keeper_seen(&k, &seen, &pm);
    assert_true(k.state.guard);
    pm.pid = 78;
    hf_page_keeper_seen(&k, &seen, &pm);
    assert_false(k.state.guard); /* another one: not asked yet */
    seen.known = seen.in_recovery = true;
    hf_page_keeper_seen(&k, &seen, &pm); /* in recovery, closed: nothing to guard any more */
    assert_false(k.state.armed);
    hf_page_keeper_close(&k);
}

/* tests/data/protocol/page.bin: a page as the agent and the fencer write it. Another implementation
 * can be checked against it; ours must write the same bytes and read them. With HF_UPDATE_DOCS=1 it
 * is written anew. */
static void test_the_page_is_the_committed_one(void **state)
{
    (void)state;
    static const char committed[] = "data/protocol/page.bin";
    struct hf_err err;
    struct hf_page_map map;
    struct hf_page_state s = {.generation = HF_GENERATION(1),
                              .epoch = HF_EPOCH(2),
                              .serial = 5,
                              .deadline = {9005900001},
                              .commits_until = {INT64_MAX},
                              .open = true,
                              .guard = true,
                              .newest_epoch = HF_EPOCH(3),
                              .armed = true,
                              .postmaster_pid = 4711,
                              .postmaster_start = 123456789,
                              .grace = {250000},
                              .data_dir = "/var/lib/postgresql/15/main"};
    const struct hf_page_fencer fencer = {.pid = 4712,
                                          .alive = {9000000001},
                                          .fenced_epoch = HF_EPOCH(1),
                                          .fenced_serial = 4,
                                          .began = {8000000001},
                                          .ended = {8000020001}};
    const struct hf_page_identity identity = {.boot = "f8b1c1d2-0000-4000-8000-0123456789ab",
                                              .time_namespace = 4026531834};
    char is[HF_PAGE_SIZE + 1];
    char want[HF_PAGE_SIZE + 1];
    ok(hf_page_open(path, true, &map, &err), &err);
    map.identity = identity;
    hf_page_write(&map, &s);
    hf_page_write_fencer(&map, &fencer);
    hf_page_close(&map);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(is, 1, sizeof(is), f), HF_PAGE_SIZE);
    (void)fclose(f);
    const char *update = getenv("HF_UPDATE_DOCS");
    if (update != NULL && strcmp(update, "1") == 0) {
        f = fopen(committed, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(is, 1, HF_PAGE_SIZE, f), HF_PAGE_SIZE);
        assert_int_equal(fclose(f), 0);
    }
    f = fopen(committed, "r");
    assert_non_null(f);
    assert_int_equal(fread(want, 1, sizeof(want), f), HF_PAGE_SIZE);
    (void)fclose(f);
    assert_memory_equal(is, want, HF_PAGE_SIZE);
    /* And the committed bytes are read. */
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(want, 1, HF_PAGE_SIZE, f), HF_PAGE_SIZE);
    assert_int_equal(fclose(f), 0);
    struct hf_page_state got;
    struct hf_page_fencer got_fencer;
    ok(hf_page_open(path, false, &map, &err), &err);
    map.identity = identity;
    ok(hf_page_read(&map, &got, &err), &err);
    ok(hf_page_read_fencer(&map, &got_fencer, &err), &err);
    hf_page_close(&map);
    assert_int_equal(got.deadline.us, s.deadline.us);
    assert_int_equal(got.newest_epoch.v, 3);
    assert_int_equal(got.postmaster_start, 123456789);
    assert_string_equal(got.data_dir, s.data_dir);
    assert_int_equal(got_fencer.pid, 4712);
    assert_int_equal(got_fencer.ended.us, 8000020001);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_written_is_read),
        T(test_a_reader_sees_the_lease),
        T(test_halves_do_not_touch_each_other),
        T(test_foreign_pages_are_refused),
        T(test_a_writer_that_died_within_is_noticed_and_taken_over),
        T(test_no_reader_sees_a_mixture),
        T(test_open_means_this_epoch_before_the_deadline),
        cmocka_unit_test(test_when_the_fencer_acts),
        T(test_the_keeper_arms_and_disarms),
        T(test_the_page_is_the_committed_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
