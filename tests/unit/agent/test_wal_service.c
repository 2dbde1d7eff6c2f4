/* SPDX-License-Identifier: Apache-2.0
 *
 * The WAL service on a real loop and real worker threads.
 */
#include "wal_rig.h"

#include "agent/wal/wal_internal.h"
#include "agent/wal/wal_service.h"
#include "common/io/clock.h"
#include "manifest_sample.h"

struct scene {
    struct wal_rig g;
    struct hf_loop *loop;
    struct hf_pool *pool;
    struct hf_wal_service *service;
};

struct reply {
    int times;
    enum hf_code code;
    char text[512];
    char durable[32];
};

static void start(struct scene *s)
{
    struct hf_err err = {0};
    OK(hf_wal_service_new(s->g.config, s->loop, s->pool, &s->service, &err));
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(0), HF_TLI(1));
}

static int setup(void **state)
{
    struct scene *s = hf_alloc(sizeof *s);
    struct hf_err err = {0};
    rig_make(&s->g, 2);
    OK(hf_loop_new(&s->loop, &err));
    OK(hf_pool_new(s->loop, 4, 64, &s->pool, &err));
    start(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    hf_wal_service_free(s->service);
    hf_pool_free(s->pool);
    hf_loop_free(s->loop);
    rig_end(&s->g);
    hf_free(s);
    return 0;
}

/* --- waiting: by what is seen, not by time --- */

typedef bool (*condition)(struct scene *s, const void *arg);

static void until(struct scene *s, condition met, const void *arg, const char *what)
{
    struct hf_err err = {0};
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_MS(30000));
    while (!met(s, arg)) {
        if (hf_clock_lease().us > end.us) {
            fail_msg("never: %s", what);
        }
        OK(hf_loop_step(s->loop, HF_MS(20), &err));
    }
}
#define UNTIL(s, met, arg) until((s), (met), (arg), #met)

static bool opened(struct scene *s, const void *arg)
{
    (void)arg;
    return s->service->site != NULL && hf_wal_own(s->service->site) != NULL;
}

static bool answered(struct scene *s, const void *arg)
{
    (void)s;
    return ((const struct reply *)arg)->times > 0;
}

static bool wal_to(struct scene *s, const void *arg)
{
    struct hf_wal_facts f;
    hf_wal_service_facts(s->service, &f);
    return f.repository_ok && f.wal_to.v == *(const uint64_t *)arg;
}

static bool in_us(struct scene *s, const void *name)
{
    return object_there(&s->g, "us", name);
}

static bool queue_is(struct scene *s, const void *arg)
{
    struct hf_wal_facts f;
    hf_wal_service_facts(s->service, &f);
    return (f.archive_queue > 0) == *(const bool *)arg;
}

static void on_answer(void *arg, hf_result r, const hf_json *json, const struct hf_err *err)
{
    struct reply *a = arg;
    const hf_json *durable = NULL;
    a->times++;
    a->code = r.code;
    (void)snprintf(a->text, sizeof a->text, "%s", hf_ok(r) ? "" : err->text);
    if (json != NULL && hf_ok(hf_json_get_array(json, "durable", 8, &durable, NULL))) {
        (void)snprintf(a->durable, sizeof a->durable, "%s", hf_json_text(hf_json_at(durable, 0)));
    }
}

static void request(struct scene *s, const char *verb, const char *name, const char *path,
                    uint64_t system, struct reply *ret)
{
    HF_AUTOJSON hf_json *o = hf_json_object();
    memset(ret, 0, sizeof *ret);
    hf_json_put_int(o, "v", 1);
    hf_json_put_text(o, "do", verb);
    hf_json_put_text(o, "name", name);
    hf_json_put_text(o, "path", path);
    if (system != 0) {
        hf_json_put_u64(o, "system", system);
    }
    hf_wal_service_request(s->service, o, on_answer, ret);
}

static enum hf_code push(struct scene *s, uint64_t number, struct reply *ret)
{
    char path[HF_PATH_SIZE];
    char name[HF_WAL_NAME_SIZE];
    write_segment(&s->g, 1, number, 'a', path);
    request(s, "archive-push", segment_name(1, number, name), path, SYSTEM, ret);
    UNTIL(s, answered, ret);
    return ret->code;
}

/* --- the tests --- */

static void a_push_is_answered_once(void **state)
{
    struct scene *s = *state;
    struct reply a;
    struct reply early;
    request(s, "archive-push", "000000010000000000000001", "/nowhere", 0, &early);
    assert_int_equal(early.times, 1); /* nothing is open yet: said at once */
    assert_int_equal(early.code, HF_E_AGAIN);
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 1, &a), HF_OK);
    assert_string_equal(a.durable, "eu");
    assert_true(object_there(&s->g, "eu", "wal/00000001/000000010000000000000001"));
    UNTIL(s, in_us, "wal/00000001/000000010000000000000001");
    uint64_t end = 2 * SEGMENT;
    UNTIL(s, wal_to, &end);
    assert_int_equal(push(s, 1, &a), HF_OK);
    assert_int_equal(a.times, 1);
    assert_int_equal(early.times, 1);
}

static void requests_that_are_refused(void **state)
{
    struct scene *s = *state;
    struct reply a;
    UNTIL(s, opened, NULL);
    request(s, "archive-push", "000000010000000000000001", "pg_wal/x", 0, &a);
    assert_int_equal(a.code, HF_E_INVALID);
    request(s, "archive-push", "000000010000000000000001", "/x", 77, &a);
    assert_int_equal(a.code, HF_E_REFUSED);
    assert_non_null(strstr(a.text, "OTHER_SYSTEM"));
    request(s, "archive-get", "000000010000000000000001", "/x", 77, &a);
    assert_int_equal(a.code, HF_E_REFUSED);
    request(s, "remove", "000000010000000000000001", "/x", 0, &a);
    assert_int_equal(a.code, HF_E_INVALID);
    request(s, "archive-push", "passwd", "/etc/passwd", 0, &a);
    UNTIL(s, answered, &a);
    assert_int_equal(a.code, HF_E_INVALID);
    char long_name[200];
    memset(long_name, 'A', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    request(s, "archive-get", long_name, "/x", 0, &a);
    assert_int_equal(a.times, 1);
    assert_false(a.code == HF_OK);
}

static void only_the_leader_archives(void **state)
{
    struct scene *s = *state;
    struct reply a;
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 1, &a), HF_OK); /* stand-alone: no leases */
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(3), HF_TLI(1));
    assert_int_equal(push(s, 2, &a), HF_OK);
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(0), HF_TLI(2)); /* superseded */
    assert_int_equal(push(s, 3, &a), HF_E_REFUSED);
    assert_non_null(strstr(a.text, "NO_LEASE"));
    assert_false(object_there(&s->g, "eu", "wal/00000001/000000010000000000000003"));
    /* A managed node that has not led since its agent began: the same. */
    hf_wal_service_free(s->service);
    s->g.config->coordinator_count = 1;
    s->g.config->postgresql.manage = HF_MANAGE_PROCESS;
    start(s);
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 3, &a), HF_E_REFUSED);
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(4), HF_TLI(1));
    assert_int_equal(push(s, 3, &a), HF_OK);
    /* One that is only watched has no lease to show. */
    hf_wal_service_free(s->service);
    s->g.config->postgresql.manage = HF_MANAGE_OBSERVE;
    start(s);
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 4, &a), HF_OK);
}

static void a_gets_answer(void **state)
{
    struct scene *s = *state;
    struct reply a;
    char target[HF_PATH_SIZE];
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 1, &a), HF_OK);
    path_in(&s->g, target, "pg/pg_wal/RECOVERYXLOG");
    request(s, "archive-get", "000000010000000000000001", target, SYSTEM, &a);
    UNTIL(s, answered, &a);
    assert_int_equal(a.code, HF_OK);
    assert_true(hf_file_exists(target));
    request(s, "archive-get", "000000010000000000000002", target, SYSTEM, &a);
    UNTIL(s, answered, &a);
    assert_int_equal(a.code, HF_E_NOT_FOUND);
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(0), HF_TLI(2)); /* the leader's word */
    request(s, "archive-get", "000000010000000000000001", target, SYSTEM, &a);
    UNTIL(s, answered, &a);
    assert_int_equal(a.code, HF_E_AGAIN); /* 2's history is not archived */
}

static void a_lagging_region_is_caught_up(void **state)
{
    struct scene *s = *state;
    struct reply a;
    bool yes = true;
    bool no = false;
    char block[HF_PATH_SIZE];
    UNTIL(s, opened, NULL);
    UNTIL(s, queue_is, &no);
    object_path(&s->g, "us", "wal", block);
    int fd = open(block, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* no directory can be made there */
    assert_true(fd >= 0);
    close(fd);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(push(s, i, &a), HF_OK); /* the own region is enough */
    }
    UNTIL(s, queue_is, &yes);
    assert_int_equal(unlink(block), 0);
    s->service->caught_up_ms = 0; /* the periodic round, now */
    UNTIL(s, in_us, "wal/00000001/000000010000000000000005");
    UNTIL(s, queue_is, &no);
    for (uint64_t i = 1; i <= 5; i++) {
        char name[HF_WAL_NAME_SIZE];
        char logical[HF_OBJECT_NAME_SIZE];
        (void)snprintf(logical, sizeof logical, "wal/00000001/%s", segment_name(1, i, name));
        assert_true(object_there(&s->g, "us", logical));
    }
    assert_int_equal(push(s, 6, &a), HF_OK); /* at once again */
    UNTIL(s, in_us, "wal/00000001/000000010000000000000006");
}

static void a_region_may_come_later(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct reply a;
    char us[HF_PATH_SIZE];
    bool yes = true;
    bool no = false;
    hf_wal_service_free(s->service);
    path_in(&s->g, us, "us");
    OK(hf_dir_remove_tree(us, &err));
    start(s);
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 1, &a), HF_OK);
    assert_true(queue_is(s, &yes));
    OK(hf_dir_make(us, 0700, &err));
    s->service->opened_ms = 0; /* its turn to be opened again */
    UNTIL(s, in_us, "wal/00000001/000000010000000000000001");
    UNTIL(s, queue_is, &no);
}

static void without_the_own_region_others_serve(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct reply a;
    struct hf_wal_facts f;
    char eu[HF_PATH_SIZE];
    char away[HF_PATH_SIZE];
    char target[HF_PATH_SIZE];
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 1, &a), HF_OK);
    UNTIL(s, in_us, "wal/00000001/000000010000000000000001");
    hf_wal_service_free(s->service);
    path_in(&s->g, eu, "eu");
    path_in(&s->g, away, "away");
    path_in(&s->g, target, "pg/pg_wal/RECOVERYXLOG");
    assert_int_equal(rename(eu, away), 0);
    start(s);
    while (s->service->site == NULL) {
        OK(hf_loop_step(s->loop, HF_MS(20), &err));
    }
    hf_wal_service_facts(s->service, &f);
    assert_true(f.repository_known && !f.repository_ok);
    request(s, "archive-get", "000000010000000000000001", target, SYSTEM, &a);
    UNTIL(s, answered, &a);
    assert_int_equal(a.code, HF_OK);
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(0), HF_TLI(0));
    request(s, "archive-get", "000000010000000000000001", target, SYSTEM, &a);
    UNTIL(s, answered, &a);
    assert_int_equal(a.code,
                     HF_E_AGAIN); /* without the leader's word every one must say its lines */
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(0), HF_TLI(1));
    assert_int_equal(push(s, 2, &a), HF_E_AGAIN);
    assert_int_equal(rename(away, eu), 0);
    s->service->opened_ms = 0;
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 2, &a), HF_OK);
}

static void the_end_of_the_archive_stops_at_a_hole(void **state)
{
    struct scene *s = *state;
    struct reply a;
    uint64_t hole = 3 * SEGMENT;
    uint64_t whole = 6 * SEGMENT;
    UNTIL(s, opened, NULL);
    static const uint64_t order[] = {1, 2, 4, 5};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(push(s, order[i], &a), HF_OK);
    }
    UNTIL(s, wal_to, &hole);
    assert_int_equal(push(s, 3, &a), HF_OK);
    UNTIL(s, wal_to, &whole);
    /* What is expired below changes nothing; a hole in it neither, once a backup is beyond it. */
    char object[HF_PATH_SIZE];
    object_path(&s->g, "eu", "wal/00000001/000000010000000000000002", object);
    assert_int_equal(unlink(object), 0);
    assert_int_equal(push(s, 6, &a), HF_OK);
    whole = 7 * SEGMENT;
    UNTIL(s, wal_to, &whole);
}

static bool newest_is(struct scene *s, const void *label)
{
    struct hf_wal_facts f;
    hf_wal_service_facts(s->service, &f);
    return strcmp(f.newest_backup, label) == 0;
}

/* A backup that waits for its WAL is published when the WAL has come (B5), and is a new start. */
static void a_waiting_backup_is_published(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct reply a;
    char key[HF_STORE_KEY_SIZE];
    UNTIL(s, opened, NULL);
    HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
    HF_BUF(text, HF_MANIFEST_MAX_BYTES);
    HF_BUF(sealed, 1 << 20);
    m->segment_size = SEGMENT;
    m->start = HF_LSN(0x400028);
    m->stop = HF_LSN(0x500100);
    OK(hf_manifest_encode(m, &text, &err));
    struct hf_seal_params p = {.kind = HF_OBJECT_MANIFEST,
                               .name = "backup/20261121T002100Z-F/manifest"};
    struct hf_site *site = &s->service->site->site;
    OK(hf_object_seal(site->ring, &p, text.data, text.len, &sealed, &err));
    OK(hf_object_key(&RIG_ID, "backup/20261121T002100Z-F/pending", key, &err));
    OK(hf_store_put(site->stores[0], key, sealed.data, sealed.len,
                    (struct hf_store_put_options){.create_once = true}, &err));
    assert_int_equal(push(s, 1, &a), HF_OK);
    assert_int_equal(push(s, 4, &a), HF_OK);
    uint64_t end = 2 * SEGMENT;
    UNTIL(s, wal_to, &end); /* 2 and 3 are missing */
    assert_true(newest_is(s, ""));
    assert_int_equal(push(s, 5, &a), HF_OK);
    UNTIL(s, newest_is, "20261121T002100Z-F");
    end = 6 * SEGMENT;
    UNTIL(s, wal_to, &end);
    s->service->caught_up_ms = 0;
    UNTIL(s, in_us, "backup/20261121T002100Z-F/manifest");
}

static bool epoch_two(struct scene *s, const void *region)
{
    return object_there(&s->g, region, "epoch/0000000000000002");
}

static void the_epoch_is_recorded(void **state)
{
    struct scene *s = *state;
    struct hf_err err = {0};
    struct hf_epoch_record one = {.epoch = HF_EPOCH(1), .timeline = HF_TLI(1), .primary = "us-1"};
    struct hf_epoch_record got[4];
    size_t n = 0;
    char path[HF_PATH_SIZE];
    static const char history[] = "1\t0/380000\tno recovery target\n";
    UNTIL(s, opened, NULL);
    OK(hf_repository_epoch_put(s->service->site->site.repositories[0], &one, &err));
    /* Leading, but its new timeline does not show yet: the record would be wrong for ever. */
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(2), HF_TLI(1));
    for (int i = 0; i < 40; i++) {
        OK(hf_loop_step(s->loop, HF_MS(20), &err));
    }
    assert_false(epoch_two(s, "eu"));
    write_wal(&s->g, "00000002.history", history, strlen(history), path);
    hf_wal_service_update(s->service, SYSTEM, HF_EPOCH(2), HF_TLI(2));
    UNTIL(s, epoch_two, "eu");
    UNTIL(s, epoch_two, "us");
    OK(hf_repository_epochs(s->service->site->site.repositories[1], got, 4, &n, &err));
    assert_true(got[n - 1].epoch.v == 2);
    assert_int_equal(got[n - 1].parent_epoch.v, 1);
    assert_int_equal(got[n - 1].timeline.v, 2);
    assert_true(got[n - 1].fork.v == 0x380000);
    assert_string_equal(got[n - 1].primary, "eu-1");
}

static void ending_answers_everyone(void **state)
{
    struct scene *s = *state;
    struct reply a[8];
    char path[HF_PATH_SIZE];
    UNTIL(s, opened, NULL);
    write_segment(&s->g, 1, 1, 'a', path);
    for (size_t i = 0; i < 8; i++) {
        request(s, "archive-push", "000000010000000000000001", path, SYSTEM, &a[i]);
    }
    hf_wal_service_free(s->service);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(a[i].times, 1);
    }
    start(s);
}

static bool serves_other(struct scene *s, const void *arg)
{
    const struct hf_wal_site *site = s->service->site;
    return site != NULL && hf_keyring_cluster(site->site.ring)->system_id == *(const uint64_t *)arg;
}

static void another_incarnation_is_another_archive(void **state)
{
    struct scene *s = *state;
    struct reply a;
    struct hf_wal_facts f;
    uint64_t other = SYSTEM + 1;
    uint64_t end = 2 * SEGMENT;
    UNTIL(s, opened, NULL);
    assert_int_equal(push(s, 1, &a), HF_OK);
    UNTIL(s, wal_to, &end);
    hf_wal_service_update(s->service, other, HF_EPOCH(0), HF_TLI(1));
    hf_wal_service_facts(s->service, &f);
    assert_true(f.wal_to.v == 0 && !f.repository_known);
    UNTIL(s, serves_other, &other);
    assert_int_equal(push(s, 1, &a), HF_E_REFUSED); /* it says that it is of the old one */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_push_is_answered_once),
        TEST(requests_that_are_refused),
        TEST(only_the_leader_archives),
        TEST(a_gets_answer),
        TEST(a_lagging_region_is_caught_up),
        TEST(a_region_may_come_later),
        TEST(without_the_own_region_others_serve),
        TEST(the_end_of_the_archive_stops_at_a_hole),
        TEST(a_waiting_backup_is_published),
        TEST(the_epoch_is_recorded),
        TEST(ending_answers_everyone),
        TEST(another_incarnation_is_another_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
