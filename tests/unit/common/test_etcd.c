/* SPDX-License-Identifier: Apache-2.0
 *
 * The etcd client against a real cluster of three members on loopback ports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/etcd.h"
#include "common/io/etcd_internal.h"
#include "common/io/files.h"
#include "common/io/process.h"

enum { MEMBERS = 3 };

static struct hf_loop *loop;
static struct hf_process *members[MEMBERS];
static int client_ports[MEMBERS], peer_ports[MEMBERS];
static char dir[64];
static char urls[MEMBERS][64];
static struct hf_etcd *etcd;

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void member_ended(void *arg, const struct hf_process_exit *result)
{
    (void)arg;
    (void)result;
}

static void start_member(int i)
{
    char name[16], data[128], client[64], peer[64], initial[256];
    snprintf(name, sizeof(name), "m%d", i);
    snprintf(data, sizeof(data), "%s/m%d", dir, i);
    snprintf(client, sizeof(client), "http://127.0.0.1:%d", client_ports[i]);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%d", peer_ports[i]);
    snprintf(initial, sizeof(initial),
             "m0=http://127.0.0.1:%d,m1=http://127.0.0.1:%d,m2=http://127.0.0.1:%d", peer_ports[0],
             peer_ports[1], peer_ports[2]);
    const char *argv[] = {"/usr/bin/etcd",
                          "--name",
                          name,
                          "--data-dir",
                          data,
                          "--listen-client-urls",
                          client,
                          "--advertise-client-urls",
                          client,
                          "--listen-peer-urls",
                          peer,
                          "--initial-advertise-peer-urls",
                          peer,
                          "--initial-cluster",
                          initial,
                          "--heartbeat-interval",
                          "50",
                          "--election-timeout",
                          "500",
                          NULL};
    struct hf_process_spec spec = {.argv = argv};
    assert_true(hf_ok(hf_process_start(loop, &spec, member_ended, NULL, &members[i], NULL)));
}

/* --- one reply, copied --- */
static struct {
    int calls;
    enum hf_code code;
    char text[512];
    int64_t revision, lease_id, lease_ttl_s;
    bool succeeded;
    size_t op_count;
    size_t kv_count[4];
    int64_t count[4];
    char key[64], value[64];
    int64_t mod_revision, create_revision, version;
    char endpoint[64];
} got;

static void on_reply(void *arg, const struct hf_etcd_reply *r)
{
    (void)arg;
    got.calls++;
    got.code = r->result.code;
    snprintf(got.text, sizeof(got.text), "%s", hf_ok(r->result) ? "" : r->err->text);
    got.revision = r->revision;
    got.lease_id = r->lease_id;
    got.lease_ttl_s = r->lease_ttl_s;
    got.succeeded = r->succeeded;
    got.op_count = r->op_count;
    snprintf(got.endpoint, sizeof(got.endpoint), "%s", r->endpoint);
    for (size_t i = 0; i < r->op_count && i < 4; i++) {
        got.kv_count[i] = r->ops[i].kv_count;
        got.count[i] = r->ops[i].count;
        if (r->ops[i].kv_count > 0) {
            const struct hf_etcd_kv *kv = &r->ops[i].kvs[0];
            snprintf(got.key, sizeof(got.key), "%s", kv->key);
            snprintf(got.value, sizeof(got.value), "%s", kv->value);
            got.mod_revision = kv->mod_revision;
            got.create_revision = kv->create_revision;
            got.version = kv->version;
        }
    }
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        hf_lclk end_ = hf_lclk_add(hf_clock_lease(), HF_SEC(30));                                  \
        while (!(condition) && !hf_lclk_reached(hf_clock_lease(), end_)) {                         \
            assert_true(hf_ok(hf_loop_step(loop, HF_MS(50), NULL)));                               \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void get(const char *key, bool prefix)
{
    memset(&got, 0, sizeof(got));
    struct hf_etcd_range range = {.key = key, .prefix = prefix};
    assert_true(hf_ok(hf_etcd_get(etcd, &range, on_reply, NULL, NULL)));
    UNTIL(got.calls == 1);
}

static void txn(const struct hf_etcd_txn *t)
{
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_etcd_txn(etcd, t, on_reply, NULL, NULL)));
    UNTIL(got.calls == 1);
}

static void put(const char *key, const char *value)
{
    struct hf_etcd_op op = {
        .kind = HF_ETCD_PUT, .key = key, .value = value, .value_len = strlen(value)};
    /* After a member was stopped the cluster may be without leader for a while. */
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(30));
    do {
        txn(&(struct hf_etcd_txn){.success = &op, .success_count = 1});
    } while ((got.code == HF_E_AGAIN || got.code == HF_E_TIMEOUT) &&
             !hf_lclk_reached(hf_clock_lease(), end));
    if (got.code != HF_OK) {
        fail_msg("put %s: %s", key, got.text);
    }
    assert_true(got.succeeded);
}

static struct hf_etcd *client_of(size_t count, hf_dur timeout)
{
    const char *endpoints[MEMBERS];
    for (size_t i = 0; i < count; i++) {
        endpoints[i] = urls[i];
    }
    struct hf_etcd_config config = {.endpoints = endpoints,
                                    .endpoint_count = count,
                                    .connect_timeout = HF_MS(500),
                                    .timeout = timeout};
    struct hf_etcd *e = NULL;
    assert_true(hf_ok(hf_etcd_new(loop, &config, &e, NULL)));
    return e;
}

static int start_cluster(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "%s", "/tmp/hf-etcd-XXXXXX");
    if (mkdtemp(dir) == NULL || !hf_ok(hf_loop_new(&loop, NULL))) {
        return -1;
    }
    for (int i = 0; i < MEMBERS; i++) {
        client_ports[i] = free_port();
        peer_ports[i] = free_port();
        snprintf(urls[i], sizeof(urls[i]), "http://127.0.0.1:%d", client_ports[i]);
    }
    for (int i = 0; i < MEMBERS; i++) {
        start_member(i);
    }
    etcd = client_of(MEMBERS, HF_SEC(5));
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(60));
    do {
        get("/ready", false);
    } while (got.code != HF_OK && !hf_lclk_reached(hf_clock_lease(), end));
    if (got.code != HF_OK) {
        fprintf(stderr, "etcd does not start: %s\n", got.text);
    }
    return got.code == HF_OK ? 0 : -1;
}

static int stop_cluster(void **state)
{
    (void)state;
    hf_etcd_free(etcd);
    for (int i = 0; i < MEMBERS; i++) {
        HF_IGNORE(hf_process_signal(members[i], SIGKILL, NULL), "it may have ended");
    }
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(10));
    for (int i = 0; i < MEMBERS; i++) {
        while (hf_process_running(members[i]) && !hf_lclk_reached(hf_clock_lease(), end)) {
            HF_IGNORE(hf_loop_step(loop, HF_MS(50), NULL), "only waits");
        }
        hf_process_free(members[i]);
    }
    hf_loop_free(loop);
    return hf_ok(hf_dir_remove_tree(dir, NULL)) ? 0 : -1;
}

static void values_come_back_as_written(void **state)
{
    (void)state;
    put("/a/x", "value \"1\"");
    get("/a/x", false);
    assert_string_equal(got.key, "/a/x");
    assert_string_equal(got.value, "value \"1\"");
    assert_int_equal(got.version, 1);
    assert_true(got.mod_revision > 0 && got.mod_revision == got.create_revision);
    assert_int_equal(got.revision, got.mod_revision);
    put("/a/x", "");
    get("/a/x", false);
    assert_string_equal(got.value, "");
    assert_int_equal(got.version, 2);
    put("/a/y", "2");
    put("/b", "3");
    get("/a/", true);
    assert_int_equal(got.kv_count[0], 2);
    assert_int_equal(got.count[0], 2);
    assert_string_equal(got.key, "/a/x"); /* in key order */
    get("/none", false);
    assert_int_equal(got.code, HF_OK);
    assert_int_equal(got.kv_count[0], 0);
}

static void transactions_compare(void **state)
{
    (void)state;
    struct hf_etcd_op create = {.kind = HF_ETCD_PUT, .key = "/t", .value = "1", .value_len = 1};
    struct hf_etcd_op look = {.kind = HF_ETCD_RANGE, .key = "/t"};
    struct hf_etcd_compare absent = {
        .key = "/t", .target = HF_ETCD_CREATE_REVISION, .relation = HF_ETCD_EQUAL, .number = 0};
    struct hf_etcd_txn t = {.compares = &absent,
                            .compare_count = 1,
                            .success = &create,
                            .success_count = 1,
                            .failure = &look,
                            .failure_count = 1};
    txn(&t);
    assert_true(got.succeeded);
    int64_t revision = got.revision;
    txn(&t);
    assert_int_equal(got.code, HF_OK);
    assert_false(got.succeeded);
    assert_string_equal(got.value, "1");
    assert_int_equal(got.mod_revision, revision);
    /* compare and swap by mod_revision: right once, then lost */
    struct hf_etcd_compare mod = {.key = "/t", .number = revision};
    struct hf_etcd_op ops[] = {
        {.kind = HF_ETCD_PUT, .key = "/t", .value = "2", .value_len = 1},
        {.kind = HF_ETCD_RANGE, .key = "/t"},
        {.kind = HF_ETCD_DELETE, .key = "/a/", .prefix = true},
    };
    put("/a/z", "1");
    t = (struct hf_etcd_txn){
        .compares = &mod, .compare_count = 1, .success = ops, .success_count = 3};
    txn(&t);
    assert_true(got.succeeded);
    assert_int_equal(got.op_count, 3);
    assert_string_equal(got.value, "2");
    assert_true(got.count[2] >= 1);
    txn(&t);
    assert_false(got.succeeded);
    struct hf_etcd_compare value = {
        .key = "/t", .target = HF_ETCD_VALUE, .value = "2", .value_len = 1};
    struct hf_etcd_compare version = {
        .key = "/t", .target = HF_ETCD_VERSION, .relation = HF_ETCD_GREATER, .number = 1};
    struct hf_etcd_compare both[] = {value, version};
    t = (struct hf_etcd_txn){
        .compares = both, .compare_count = 2, .success = &look, .success_count = 1};
    txn(&t);
    assert_true(got.succeeded);
    both[1].number = 2;
    txn(&t);
    assert_false(got.succeeded);
    struct hf_err err = {0};
    t.compare_count = HF_ETCD_OPS_MAX + 1;
    assert_int_equal(hf_etcd_txn(etcd, &t, on_reply, NULL, &err).code, HF_E_LIMIT);
}

static void leases_end(void **state)
{
    (void)state;
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_etcd_lease_grant(etcd, 0, 60, on_reply, NULL, NULL)));
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_OK);
    assert_int_equal(got.lease_ttl_s, 60);
    int64_t id = got.lease_id;
    assert_true(id != 0);
    struct hf_etcd_op op = {
        .kind = HF_ETCD_PUT, .key = "/leased", .value = "1", .value_len = 1, .lease = id};
    txn(&(struct hf_etcd_txn){.success = &op, .success_count = 1});
    assert_int_equal(got.code, HF_OK);
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_etcd_lease_keepalive(etcd, id, on_reply, NULL, NULL)));
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_OK);
    assert_int_equal(got.lease_ttl_s, 60);
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_etcd_lease_revoke(etcd, id, on_reply, NULL, NULL)));
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_OK);
    get("/leased", false);
    assert_int_equal(got.kv_count[0], 0);
    /* a keepalive of a dead lease answers 200 without a TTL: that means lost */
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_etcd_lease_keepalive(etcd, id, on_reply, NULL, NULL)));
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_E_NOT_FOUND);
}

/* --- watch --- */
static struct {
    int events, deletes, compacted, up, down;
    int64_t last_revision;
    char last_key[64], last_value[64];
    bool disorder;
    struct hf_etcd_watch *watch;
    bool free_on_event;
} seen;

static void on_events(void *arg, const struct hf_etcd_event *events, size_t count, int64_t revision)
{
    (void)arg;
    (void)revision;
    for (size_t i = 0; i < count; i++) {
        seen.disorder = seen.disorder || events[i].kv.mod_revision < seen.last_revision;
        seen.last_revision = events[i].kv.mod_revision;
        seen.events++;
        seen.deletes += events[i].kind == HF_ETCD_EVENT_DELETE;
        snprintf(seen.last_key, sizeof(seen.last_key), "%s", events[i].kv.key);
        snprintf(seen.last_value, sizeof(seen.last_value), "%s", events[i].kv.value);
    }
    if (seen.free_on_event) {
        hf_etcd_watch_free(seen.watch);
        seen.watch = NULL;
    }
}
static void on_compacted(void *arg, int64_t revision)
{
    (void)arg;
    seen.compacted++;
    assert_true(revision > 0);
}
static void on_health(void *arg, bool connected, const char *why)
{
    (void)arg;
    (void)why;
    seen.up += connected;
    seen.down += !connected;
}
static const struct hf_etcd_watch_callbacks watch_callbacks = {on_events, on_compacted, on_health};

static void watch_from(int64_t revision, hf_dur stall)
{
    memset(&seen, 0, sizeof(seen));
    assert_true(hf_ok(hf_etcd_watch_prefix(etcd, "/w/", revision, stall, &watch_callbacks, NULL,
                                           &seen.watch, NULL)));
}

static void watch_delivers_every_change_once(void **state)
{
    (void)state;
    put("/w/1", "before");
    int64_t revision = got.revision;
    watch_from(revision, HF_SEC(30)); /* includes that one */
    UNTIL(seen.up == 1 && seen.events == 1);
    char value[16];
    for (int i = 0; i < 50; i++) {
        snprintf(value, sizeof(value), "%d", i);
        put("/w/2", value);
    }
    struct hf_etcd_op del = {.kind = HF_ETCD_DELETE, .key = "/w/", .prefix = true};
    txn(&(struct hf_etcd_txn){.success = &del, .success_count = 1});
    put("/other", "not seen");
    UNTIL(seen.deletes == 2);
    assert_int_equal(seen.events, 53);
    assert_false(seen.disorder);
    seen.free_on_event = true;
    put("/w/3", "x");
    UNTIL(seen.watch == NULL);
}

static void watch_survives_its_member(void **state)
{
    (void)state;
    watch_from(0, HF_SEC(30));
    UNTIL(seen.up == 1);
    char used[64];
    get("/ready", false);
    snprintf(used, sizeof(used), "%s", got.endpoint);
    int victim = 0;
    for (int i = 0; i < MEMBERS; i++) {
        victim = strcmp(urls[i], used) == 0 ? i : victim;
    }
    put("/w/a", "1");
    UNTIL(seen.events == 1);
    assert_true(hf_ok(hf_process_signal(members[victim], SIGKILL, NULL)));
    /* reads go to the next endpoint by themselves */
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    do {
        get("/w/a", false);
    } while (got.code != HF_OK && !hf_lclk_reached(hf_clock_lease(), end));
    assert_int_equal(got.code, HF_OK);
    assert_string_not_equal(got.endpoint, used);
    put("/w/b", "2");
    UNTIL(seen.events == 2);
    assert_string_equal(seen.last_value, "2");
    UNTIL(!hf_process_running(members[victim]));
    hf_process_free(members[victim]);
    start_member(victim);
    hf_etcd_watch_free(seen.watch);
}

static void watch_leaves_a_frozen_member(void **state)
{
    (void)state;
    watch_from(0, HF_SEC(1));
    UNTIL(seen.up == 1);
    char used[64];
    get("/ready", false);
    snprintf(used, sizeof(used), "%s", got.endpoint);
    int victim = 0;
    for (int i = 0; i < MEMBERS; i++) {
        victim = strcmp(urls[i], used) == 0 ? i : victim;
    }
    assert_true(hf_ok(hf_process_signal(members[victim], SIGSTOP, NULL)));
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    do { /* a new etcd leader may have to be elected */
        struct hf_etcd_op op = {.kind = HF_ETCD_PUT, .key = "/w/c", .value = "3", .value_len = 1};
        txn(&(struct hf_etcd_txn){.success = &op, .success_count = 1});
    } while (got.code != HF_OK && !hf_lclk_reached(hf_clock_lease(), end));
    assert_int_equal(got.code, HF_OK);
    UNTIL(seen.events >= 1);
    assert_string_equal(seen.last_key, "/w/c");
    assert_true(hf_ok(hf_process_signal(members[victim], SIGCONT, NULL)));
    hf_etcd_watch_free(seen.watch);
}

static void write_to_a_frozen_member_is_ambiguous(void **state)
{
    (void)state;
    struct hf_etcd *three = etcd;
    etcd = client_of(1, HF_MS(700));
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    do { /* also opens the connection that the write will use */
        get("/f", false);
    } while (got.code != HF_OK && !hf_lclk_reached(hf_clock_lease(), end));
    assert_int_equal(got.code, HF_OK);
    assert_true(hf_ok(hf_process_signal(members[0], SIGSTOP, NULL)));
    struct hf_etcd_op op = {.kind = HF_ETCD_PUT, .key = "/f", .value = "1", .value_len = 1};
    hf_lclk start = hf_clock_lease();
    txn(&(struct hf_etcd_txn){.success = &op, .success_count = 1});
    assert_int_equal(got.code, HF_E_TIMEOUT);
    assert_true(hf_lclk_sub(hf_clock_lease(), start).us < 5000000);
    assert_true(hf_ok(hf_process_signal(members[0], SIGCONT, NULL)));
    hf_etcd_free(etcd);
    etcd = three;
}

static void nobody_there_is_unreachable(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", free_port());
    const char *endpoints[] = {url};
    struct hf_etcd_config config = {
        .endpoints = endpoints, .endpoint_count = 1, .timeout = HF_SEC(2)};
    struct hf_etcd *cluster = etcd;
    assert_true(hf_ok(hf_etcd_new(loop, &config, &etcd, NULL)));
    struct hf_etcd_op op = {.kind = HF_ETCD_PUT, .key = "/u", .value = "1", .value_len = 1};
    txn(&(struct hf_etcd_txn){.success = &op, .success_count = 1});
    assert_int_equal(got.code, HF_E_UNREACHABLE);
    hf_etcd_free(etcd);
    etcd = cluster;
}

static void compaction_tells_to_list_anew(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        put("/w/k", "x");
    }
    char revision[32];
    snprintf(revision, sizeof(revision), "%lld", (long long)got.revision);
    const char *argv[] = {"/usr/bin/etcdctl", "--endpoints", urls[0], "compact", revision, NULL};
    const char *env[] = {"ETCDCTL_API=3", NULL};
    struct hf_process_spec spec = {.argv = argv, .env = env, .capture = true};
    struct hf_process_output out = {0};
    assert_true(hf_ok(hf_process_run(&spec, HF_SEC(20), &out, NULL)));
    assert_int_equal(out.status, 0);
    hf_process_output_free(&out);
    watch_from(1, HF_SEC(30));
    UNTIL(seen.compacted == 1);
    assert_int_equal(seen.events, 0);
    hf_etcd_watch_free(seen.watch);
}

static void answers_that_are_not_etcds_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "<html>",
                                      "{\"header\":5}",
                                      "{\"header\":{\"revision\":\"x\"}}",
                                      "{\"header\":{},\"kvs\":[{\"key\":\"?\"}]}",
                                      "{\"header\":{},\"kvs\":[{}]}",
                                      "{\"header\":{},\"kvs\":5}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        HF_AUTOPARSED struct hf_etcd_parsed hold = {0};
        struct hf_etcd_reply reply = {0};
        struct hf_err err = {0};
        assert_int_equal(
            hf_etcd_parse_reply(HF_ETCD_CALL_RANGE, bad[i], strlen(bad[i]), &hold, &reply, &err)
                .code,
            HF_E_CORRUPT);
    }
    HF_AUTOPARSED struct hf_etcd_parsed hold = {0};
    struct hf_etcd_watch_line line = {0};
    struct hf_err err = {0};
    const char *stream = "{\"error\":{\"grpc_code\":14,\"message\":\"etcdserver: no leader\"}}";
    assert_int_equal(hf_etcd_parse_watch(stream, strlen(stream), &hold, &line, &err).code,
                     HF_E_AGAIN);
    assert_non_null(strstr(err.text, "no leader"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back_as_written),
        cmocka_unit_test(transactions_compare),
        cmocka_unit_test(leases_end),
        cmocka_unit_test(watch_delivers_every_change_once),
        cmocka_unit_test(watch_survives_its_member),
        cmocka_unit_test(watch_leaves_a_frozen_member),
        cmocka_unit_test(write_to_a_frozen_member_is_ambiguous),
        cmocka_unit_test(nobody_there_is_unreachable),
        cmocka_unit_test(compaction_tells_to_list_anew),
        cmocka_unit_test(answers_that_are_not_etcds_are_refused),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
