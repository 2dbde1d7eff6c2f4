/* SPDX-License-Identifier: Apache-2.0
 *
 * Records and leadership against a real etcd member.
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
#include "common/io/files.h"
#include "common/io/log.h"
#include "common/io/process.h"
#include "coordinator/lead/leader.h"
#include "coordinator/state/tree.h"

static const char PREFIX[] = "/test/v1";
static char dir[64];
static char url[64];
static struct hf_loop *loop;
static struct hf_process *member;

/* One coordinator's part: its own client, memory, tree and leadership. */
struct side {
    struct hf_etcd *etcd;
    struct hf_warm warm;
    struct hf_tree *tree;
    struct hf_leader *leader;
    int loaded, changed, won, lost, renewed, released;
    int written;
    enum hf_write_result result;
    int64_t revision;
};

static void on_loaded(void *arg)
{
    ((struct side *)arg)->loaded++;
}
static void on_changed(void *arg, struct hf_warm_cluster *c)
{
    (void)c;
    ((struct side *)arg)->changed++;
}
static void on_won(void *arg)
{
    ((struct side *)arg)->won++;
}
static void on_lost(void *arg)
{
    ((struct side *)arg)->lost++;
}
static void on_renewed(void *arg, hf_lclk sent, hf_lclk now)
{
    (void)sent;
    (void)now;
    ((struct side *)arg)->renewed++;
}
static void on_released(void *arg)
{
    ((struct side *)arg)->released++;
}
static void on_latency(void *arg, hf_dur took)
{
    (void)arg;
    (void)took;
}
static void on_written(void *arg, enum hf_write_result result, int64_t revision,
                       const struct hf_err *err)
{
    struct side *s = arg;
    (void)err;
    s->written++;
    s->result = result;
    s->revision = revision;
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        hf_lclk end_ = hf_lclk_add(hf_clock_lease(), HF_SEC(30));                                  \
        while (!(condition) && !hf_lclk_reached(hf_clock_lease(), end_)) {                         \
            assert_true(hf_ok(hf_loop_step(loop, HF_MS(20), NULL)));                               \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void member_ended(void *arg, const struct hf_process_exit *result)
{
    (void)arg;
    (void)result;
}

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    if (bind(fd, (struct sockaddr *)&a, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        return 0;
    }
    close(fd);
    return ntohs(a.sin_port);
}

static int start_etcd(void **state)
{
    char peer[64];
    char data[80];
    char initial[96];
    (void)state;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    (void)snprintf(dir, sizeof dir, "/tmp/hf-tree-XXXXXX");
    if (mkdtemp(dir) == NULL || !hf_ok(hf_loop_new(&loop, NULL))) {
        return -1;
    }
    snprintf(url, sizeof url, "http://127.0.0.1:%d", free_port());
    snprintf(peer, sizeof peer, "http://127.0.0.1:%d", free_port());
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(initial, sizeof initial, "m=%s", peer);
    const char *argv[] = {"/usr/bin/etcd",
                          "--name",
                          "m",
                          "--data-dir",
                          data,
                          "--listen-client-urls",
                          url,
                          "--advertise-client-urls",
                          url,
                          "--listen-peer-urls",
                          peer,
                          "--initial-advertise-peer-urls",
                          peer,
                          "--initial-cluster",
                          initial,
                          NULL};
    const struct hf_process_spec spec = {.argv = argv};
    return hf_ok(hf_process_start(loop, &spec, member_ended, NULL, &member, NULL)) ? 0 : -1;
}

static int stop_etcd(void **state)
{
    (void)state;
    HF_IGNORE(hf_process_signal(member, SIGKILL, NULL), "it may have ended");
    for (int i = 0; i < 500 && hf_process_running(member); i++) {
        HF_IGNORE(hf_loop_step(loop, HF_MS(10), NULL), "looked at by the condition");
    }
    hf_process_free(member);
    hf_loop_free(loop);
    return hf_ok(hf_dir_remove_tree(dir, NULL)) ? 0 : -1;
}

static void open_side(struct side *s, const char *name, bool contend)
{
    static const struct hf_tree_callbacks tree = {.loaded = on_loaded, .changed = on_changed};
    static const struct hf_leader_callbacks leader = {.won = on_won,
                                                      .lost = on_lost,
                                                      .renewed = on_renewed,
                                                      .released = on_released,
                                                      .latency = on_latency};
    const char *endpoints[] = {url};
    const struct hf_etcd_config config = {.endpoints = endpoints, .endpoint_count = 1};
    struct hf_lead_config lead = {.ttl = HF_SEC(1), .margin_ppm = 10000};
    *s = (struct side){0};
    snprintf(lead.self.s, sizeof lead.self.s, "%s", name);
    assert_true(hf_ok(hf_etcd_new(loop, &config, &s->etcd, NULL)));
    assert_true(hf_ok(hf_tree_new(loop, s->etcd, PREFIX, &s->warm, &tree, s, &s->tree, NULL)));
    if (contend) {
        assert_true(
            hf_ok(hf_leader_new(loop, s->etcd, PREFIX, &lead, &leader, s, &s->leader, NULL)));
    }
    hf_tree_load(s->tree);
    UNTIL(s->loaded == 1);
}

static void close_side(struct side *s)
{
    hf_etcd_free(s->etcd);
    hf_tree_free(s->tree);
    hf_leader_free(s->leader);
    hf_warm_free(&s->warm);
}

static void a_policy(struct hf_policy *p, const char *cluster)
{
    char text[256];
    HF_AUTOJSON hf_json *v = NULL;
    snprintf(text, sizeof text,
             "{\"version\":1,\"tenant\":\"t\",\"name\":\"%s\",\"nodes\":{\"eu-1\":{\"region\":"
             "\"eu\"}},\"bootstrap\":{\"kind\":\"adopt\",\"name\":\"eu-1\"}}",
             cluster);
    assert_true(hf_ok(hf_json_parse(text, strlen(text), 4096, &v, NULL)));
    assert_true(hf_ok(hf_policy_from_json(v, p, NULL)));
}

static struct hf_warm_cluster *make_cluster(struct side *s, const char *name)
{
    HF_AUTOFREE struct hf_policy *policy = hf_alloc(sizeof *policy);
    struct hf_warm_cluster *c = NULL;
    const struct hf_cluster_state first = {.generation = HF_GENERATION(1)};
    a_policy(policy, name);
    assert_true(hf_ok(hf_warm_get(&s->warm, &policy->tenant, &policy->cluster, &c, NULL)));
    const struct hf_tree_write w = {
        .term = hf_leader_term(s->leader), .cluster = c, .policy = policy, .state = &first};
    int before = s->written;
    assert_true(hf_ok(hf_tree_write(s->tree, &w, on_written, s, NULL)));
    UNTIL(s->written == before + 1);
    assert_int_equal(s->result, HF_WRITE_DONE);
    assert_int_equal(c->state_revision, s->revision); /* in memory at once */
    return c;
}

static enum hf_write_result write_epoch(struct side *s, struct hf_warm_cluster *c, uint64_t term,
                                        uint64_t epoch)
{
    struct hf_cluster_state next = c->state;
    next.epoch = HF_EPOCH(epoch);
    const struct hf_tree_write w = {.term = term, .cluster = c, .state = &next};
    int before = s->written;
    assert_true(hf_ok(hf_tree_write(s->tree, &w, on_written, s, NULL)));
    UNTIL(s->written == before + 1);
    return s->result;
}

/* Two contend: one leads; the other follows its records; a release in good order is taken over at
 * once; the earlier leader's writes fail from then on. */
static void one_leads_and_a_stale_term_writes_nothing(void **state)
{
    (void)state;
    struct side a;
    struct side b;
    open_side(&a, "a", true);
    UNTIL(a.won == 1);
    open_side(&b, "b", true);
    struct hf_warm_cluster *at_a = make_cluster(&a, "c");
    UNTIL(hf_warm_find(&b.warm, "t", "c") != NULL && hf_warm_find(&b.warm, "t", "c")->has_state);
    struct hf_warm_cluster *at_b = hf_warm_find(&b.warm, "t", "c");
    uint64_t old_term = hf_leader_term(a.leader);
    assert_int_equal(write_epoch(&a, at_a, old_term, 5), HF_WRITE_DONE);
    UNTIL(at_b->state.epoch.v == 5);
    int renewed = a.renewed;
    UNTIL(a.renewed >= renewed + 8); /* more than a lease: the follower never claims */
    assert_int_equal(b.won, 0);
    assert_int_equal(a.lost, 0);

    hf_leader_resign(a.leader, HF_MS(300));
    UNTIL(a.released == 1);
    assert_int_equal(a.lost, 1);
    UNTIL(b.won == 1);
    const struct hf_leadership *core = hf_leader_core(b.leader);
    assert_true(core->floor.us > 0);
    assert_true(hf_leader_term(b.leader) > old_term);
    assert_int_equal(write_epoch(&a, at_a, old_term, 6), HF_WRITE_LOST);
    assert_int_equal(at_a->state.epoch.v, 5);
    assert_int_equal(write_epoch(&b, at_b, hf_leader_term(b.leader), 7), HF_WRITE_DONE);
    UNTIL(at_a->state.epoch.v == 7); /* the earlier leader goes on following */
    close_side(&a);
    close_side(&b);
}

/* A record that changed since it was read, a timeline that is taken, a plan that is there. */
static void a_write_compares_every_record(void **state)
{
    (void)state;
    struct side a;
    struct side reader;
    open_side(&a, "a", true);
    UNTIL(a.won == 1);
    uint64_t term = hf_leader_term(a.leader);
    struct hf_warm_cluster *c = make_cluster(&a, "d");
    int64_t known = c->state_revision;
    assert_int_equal(write_epoch(&a, c, term, 2), HF_WRITE_DONE);
    int64_t newest = c->state_revision;
    c->state_revision = known; /* as if the newer one had not been seen */
    assert_int_equal(write_epoch(&a, c, term, 3), HF_WRITE_LOST);
    int before = a.written;
    assert_true(hf_ok(hf_tree_read_back(a.tree, c, on_written, &a, NULL)));
    UNTIL(a.written == before + 1);
    assert_int_equal(c->state_revision, newest);
    assert_int_equal(c->state.epoch.v, 2);

    struct hf_cluster_state next = c->state;
    struct hf_plan plan = {
        .id = "f-0001", .kind = HF_PLAN_FAILOVER, .epoch = HF_EPOCH(2), .to = {"eu-1"}};
    snprintf(next.plan, sizeof next.plan, "f-0001");
    const struct hf_tree_write w = {
        .term = term, .cluster = c, .state = &next, .plan = &plan, .reserve = HF_TLI(2)};
    before = a.written;
    assert_true(hf_ok(hf_tree_write(a.tree, &w, on_written, &a, NULL)));
    UNTIL(a.written == before + 1);
    assert_int_equal(a.result, HF_WRITE_DONE);
    assert_non_null(hf_warm_running(c));
    before = a.written;
    assert_true(hf_ok(hf_tree_write(a.tree, &w, on_written, &a, NULL))); /* timeline 2 is taken */
    UNTIL(a.written == before + 1);
    assert_int_equal(a.result, HF_WRITE_LOST);

    open_side(&reader, "r", false); /* what was written is what anybody reads */
    struct hf_warm_cluster *seen = hf_warm_find(&reader.warm, "t", "d");
    assert_non_null(seen);
    assert_int_equal(seen->state.epoch.v, 2);
    assert_string_equal(hf_warm_running(seen)->plan.id, "f-0001");
    assert_int_equal(seen->policy->node_count, 1);
    hf_leader_resign(a.leader, HF_US(0));
    UNTIL(a.released == 1);
    close_side(&a);
    close_side(&reader);
}

/* The newest fifty finished plans stay; the running one always does. */
static void old_plans_are_removed(void **state)
{
    (void)state;
    struct side a;
    open_side(&a, "a", true);
    UNTIL(a.won == 1);
    struct hf_warm_cluster *c = make_cluster(&a, "e");
    for (int i = 1; i <= HF_PLANS_KEPT + 4; i++) {
        struct hf_cluster_state next = c->state;
        struct hf_plan plan = {.kind = HF_PLAN_FAILOVER, .step = HF_STEP_DONE};
        snprintf(plan.id, sizeof plan.id, "f-%04d", i);
        const struct hf_tree_write w = {.term = hf_leader_term(a.leader),
                                        .cluster = c,
                                        .state = &next,
                                        .plan = &plan,
                                        .prune = true};
        int before = a.written;
        assert_true(hf_ok(hf_tree_write(a.tree, &w, on_written, &a, NULL)));
        UNTIL(a.written == before + 1);
        assert_int_equal(a.result, HF_WRITE_DONE);
    }
    UNTIL(c->plan_count <= HF_PLANS_KEPT + 1);
    assert_null(hf_warm_plan(c, "f-0001"));
    assert_non_null(hf_warm_plan(c, "f-0054"));
    hf_leader_resign(a.leader, HF_US(0));
    UNTIL(a.released == 1);
    close_side(&a);
}

static void generation_is_made_once(void **state)
{
    (void)state;
    struct side a;
    open_side(&a, "a", true);
    UNTIL(a.won == 1);
    for (int i = 0; i < 2; i++) {
        assert_true(hf_ok(
            hf_tree_write_generation(a.tree, hf_leader_term(a.leader), on_written, &a, NULL)));
        UNTIL(a.written == i + 1);
        assert_int_equal(a.result, i == 0 ? HF_WRITE_DONE : HF_WRITE_LOST);
        assert_int_equal(a.warm.generation.v, 1);
    }
    hf_leader_resign(a.leader, HF_US(0));
    UNTIL(a.released == 1);
    close_side(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leads_and_a_stale_term_writes_nothing),
        cmocka_unit_test(a_write_compares_every_record),
        cmocka_unit_test(old_plans_are_removed),
        cmocka_unit_test(generation_is_made_once),
    };
    return cmocka_run_group_tests(tests, start_etcd, stop_etcd);
}
