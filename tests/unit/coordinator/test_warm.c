/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "coordinator/hub/hub.h"
#include "coordinator/state/measure.h"
#include "coordinator/state/warm.h"

static hf_name name(const char *text)
{
    hf_name n = {""};
    snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

/* --- keys --- */

static void keys_round_trip(void **state)
{
    (void)state;
    static const struct {
        struct hf_key key;
        const char *text;
    } rows[] = {
        {{.kind = HF_KEY_GENERATION}, "/p/v1/generation"},
        {{.kind = HF_KEY_CLAIM}, "/p/v1/leader/claim"},
        {{.kind = HF_KEY_RENEWAL}, "/p/v1/leader/renewal"},
        {{HF_KEY_POLICY, {"t"}, {"c"}, ""}, "/p/v1/clusters/t/c/policy"},
        {{HF_KEY_STATE, {"t"}, {"c"}, ""}, "/p/v1/clusters/t/c/state"},
        {{HF_KEY_PLAN, {"t"}, {"c"}, "f-0001"}, "/p/v1/clusters/t/c/plans/f-0001"},
        {{HF_KEY_TIMELINE, {"t"}, {"c"}, "7"}, "/p/v1/clusters/t/c/timelines/7"},
        {{HF_KEY_NODE, {"t"}, {"c"}, "eu-1"}, "/p/v1/clusters/t/c/nodes/eu-1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[HF_KEY_SIZE];
        struct hf_key back;
        hf_key_format("/p/v1", &rows[i].key, text);
        assert_string_equal(text, rows[i].text);
        hf_key_parse("/p/v1", text, &back);
        assert_int_equal(back.kind, rows[i].key.kind);
        assert_string_equal(back.tenant.s, rows[i].key.tenant.s);
        assert_string_equal(back.cluster.s, rows[i].key.cluster.s);
        assert_string_equal(back.id, rows[i].key.id);
    }
}

static void foreign_keys_are_left_alone(void **state)
{
    (void)state;
    static const char *const texts[] = {"/p/v1",
                                        "/p/v1/",
                                        "/p/v10/generation",
                                        "/p/v1/clusters/t/c",
                                        "/p/v1/clusters/",
                                        "/q/v1/generation",
                                        "/p/v1/clusters//c/policy",
                                        "/p/v1/clusters/T/c/policy",
                                        "/p/v1/clusters/t/c/plans/",
                                        "/p/v1/clusters/t/c/plans/a/b",
                                        "/p/v1/clusters/t/c/other"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct hf_key back;
        hf_key_parse("/p/v1", texts[i], &back);
        assert_int_equal(back.kind, HF_KEY_OTHER);
    }
}

/* --- records --- */

static const char POLICY[] = "{\"version\":1,\"tenant\":\"t\",\"name\":\"c\",\"nodes\":{"
                             "\"eu-1\":{\"region\":\"eu\"},\"us-1\":{\"region\":\"us\"}},"
                             "\"bootstrap\":{\"kind\":\"adopt\",\"name\":\"eu-1\"}}";

static struct hf_warm_cluster *apply(struct hf_warm *w, enum hf_key_kind kind, const char *id,
                                     const char *value, int64_t created, int64_t revision)
{
    struct hf_key key = {.kind = kind, .tenant = {"t"}, .cluster = {"c"}};
    struct hf_warm_cluster *c = NULL;
    struct hf_err err = {0};
    snprintf(key.id, sizeof key.id, "%s", id);
    hf_result r = hf_warm_apply(w, &key, value, value != NULL ? strlen(value) : 0, created,
                                revision, &c, &err);
    if (!hf_ok(r)) {
        print_error("%s\n", err.text);
    }
    return hf_ok(r) ? c : NULL;
}

static struct hf_warm_cluster *apply_state(struct hf_warm *w, const struct hf_cluster_state *s,
                                           int64_t revision)
{
    HF_BUF(text, 65536);
    assert_true(hf_ok(hf_cluster_state_encode(s, &text, NULL)));
    return apply(w, HF_KEY_STATE, "", hf_buf_text(&text), 1, revision);
}

static void apply_plan(struct hf_warm *w, const char *id, enum hf_step step, int64_t created,
                       int64_t revision)
{
    HF_BUF(text, 65536);
    struct hf_plan p = {.kind = HF_PLAN_FAILOVER, .step = step, .epoch = HF_EPOCH(2)};
    snprintf(p.id, sizeof p.id, "%s", id);
    assert_true(hf_ok(hf_plan_encode(&p, &text, NULL)));
    assert_non_null(apply(w, HF_KEY_PLAN, id, hf_buf_text(&text), created, revision));
}

static void records_only_move_forward(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_cluster_state s = {.generation = HF_GENERATION(1), .epoch = HF_EPOCH(5)};
    struct hf_warm_cluster *c = apply_state(&w, &s, 10);
    assert_non_null(c);
    s.epoch = HF_EPOCH(4);
    assert_ptr_equal(apply_state(&w, &s, 9), c);
    assert_int_equal(c->state.epoch.v, 5);
    s.epoch = HF_EPOCH(6);
    assert_ptr_equal(apply_state(&w, &s, 11), c);
    assert_int_equal(c->state.epoch.v, 6);
    assert_int_equal(c->state_revision, 11);
    hf_warm_free(&w);
}

static void a_bad_record_leaves_the_good_one(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    assert_non_null(c);
    struct hf_key key = {.kind = HF_KEY_POLICY, .tenant = {"t"}, .cluster = {"c"}};
    struct hf_warm_cluster *changed = NULL;
    struct hf_err err = {0};
    assert_false(hf_ok(hf_warm_apply(&w, &key, "{", 1, 1, 6, &changed, &err)));
    assert_int_equal(c->policy_revision, 5);
    assert_int_equal(c->policy->node_count, 2);
    hf_warm_free(&w);
}

static void plans_are_kept_by_creation_and_found(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_cluster_state s = {.generation = HF_GENERATION(1), .plan = "f-0002"};
    apply_plan(&w, "f-0002", HF_STEP_LEAD, 20, 25);
    apply_plan(&w, "b-0001", HF_STEP_DONE, 10, 12);
    struct hf_warm_cluster *c = apply_state(&w, &s, 25);
    assert_int_equal(c->plan_count, 2);
    assert_string_equal(c->plans[0]->plan.id, "b-0001");
    assert_string_equal(hf_warm_running(c)->plan.id, "f-0002");
    apply_plan(&w, "f-0002", HF_STEP_PREPARE, 20, 21); /* late: older */
    assert_int_equal(hf_warm_running(c)->plan.step, HF_STEP_LEAD);
    assert_ptr_equal(apply(&w, HF_KEY_PLAN, "b-0001", NULL, 0, 30), c);
    assert_int_equal(c->plan_count, 1);
    for (int i = 0; i < HF_WARM_PLANS + 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "f-1%03d", i);
        apply_plan(&w, id, HF_STEP_DONE, 100 + i, 100 + i);
    }
    assert_int_equal(c->plan_count, HF_WARM_PLANS);
    hf_warm_free(&w);
}

/* --- nodes --- */

static struct hf_warm_node *add_node(struct hf_warm_cluster *c, const char *text,
                                     const char *region)
{
    struct hf_warm_node *n = NULL;
    hf_name node = name(text);
    assert_true(hf_ok(hf_warm_node_get(c, &node, &n, NULL)));
    n->view.region = name(region);
    n->view.connected = true;
    n->session = n; /* anything */
    return n;
}

static void beat(struct hf_warm_node *n, enum hf_node_state state, uint64_t seq, uint32_t timeline,
                 uint64_t flushed, int64_t clock_us, int64_t now_us)
{
    struct hf_heartbeat b = {.seq = seq,
                             .life = 7,
                             .state = state,
                             .streaming = state == HF_NODE_STANDBY,
                             .timeline = HF_TLI(timeline),
                             .flushed = HF_LSN(flushed),
                             .written = HF_LSN(flushed),
                             .clock_us = clock_us};
    hf_warm_beat(n, &b, (hf_lclk){now_us}, (hf_wall){1}, 10000);
}

static void late_heartbeats_are_ignored(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_node *n = add_node(c, "eu-1", "eu");
    beat(n, HF_NODE_PRIMARY, 5, 1, 100, 0, 1000);
    beat(n, HF_NODE_STANDBY, 4, 1, 90, 0, 2000);
    assert_int_equal(n->view.beat.state, HF_NODE_PRIMARY);
    assert_int_equal(n->view.seen_at.us, 1000);
    struct hf_heartbeat fresh = {.seq = 1, .life = 8, .state = HF_NODE_DOWN};
    assert_true(hf_warm_beat(n, &fresh, (hf_lclk){3000}, (hf_wall){1}, 10000));
    assert_int_equal(n->view.beat.state, HF_NODE_DOWN);
    hf_warm_free(&w);
}

static void a_promise_is_waited_for_with_the_margin(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_node *n = add_node(c, "us-1", "us");
    struct hf_heartbeat b = {.seq = 1,
                             .life = 8,
                             .state = HF_NODE_STANDBY,
                             .promise_epoch = HF_EPOCH(3),
                             .promise_remaining = HF_SEC(6)};
    assert_true(hf_warm_beat(n, &b, (hf_lclk){1000}, (hf_wall){1}, 10000));
    assert_true(n->view.promise_until.us > 1000 + 6060000);
    b.seq = 2;
    b.promise_epoch = HF_EPOCH(0);
    b.promise_remaining = HF_US(0);
    assert_true(hf_warm_beat(n, &b, (hf_lclk){2000}, (hf_wall){1}, 10000));
    assert_int_equal(n->view.promise_until.us, 0);
    hf_warm_free(&w);
}

static void places_for_nodes_are_bounded(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_node *n = NULL;
    add_node(c, "eu-1", "eu");
    for (int i = 1; i < HF_MAX_NODES; i++) {
        char text[16];
        snprintf(text, sizeof text, "x-%d", i);
        add_node(c, text, "eu");
    }
    hf_name more = name("y-1");
    assert_int_equal(hf_warm_node_get(c, &more, &n, NULL).code, HF_E_LIMIT);
    hf_warm_node(c, "eu-1")->session = NULL; /* of the policy: keeps its place */
    assert_int_equal(hf_warm_node_get(c, &more, &n, NULL).code, HF_E_LIMIT);
    hf_warm_node(c, "x-3")->session = NULL;
    assert_true(hf_ok(hf_warm_node_get(c, &more, &n, NULL)));
    assert_null(hf_warm_node(c, "x-3"));
    hf_warm_free(&w);
}

static void the_view_has_the_policy_s_nodes(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_cluster_state s = {.generation = HF_GENERATION(1), .epoch = HF_EPOCH(1)};
    apply_state(&w, &s, 6);
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    add_node(c, "stranger", "eu");
    beat(add_node(c, "us-1", "us"), HF_NODE_STANDBY, 1, 1, 5, 0, 10);
    HF_AUTOFREE struct hf_cluster_view *v = hf_alloc(sizeof *v);
    hf_warm_view(c, v);
    assert_int_equal(v->node_count, 2);
    assert_string_equal(v->nodes[0].name.s, "eu-1");
    assert_string_equal(v->nodes[0].region.s, "eu");
    assert_false(v->nodes[0].seen);
    assert_true(v->nodes[1].seen);
    hf_warm_free(&w);
}

/* --- backups' operations --- */

static void a_backup_is_followed_by_heartbeats(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_node *n = add_node(c, "us-1", "us");
    struct hf_heartbeat b = {.seq = 1, .life = 8, .op = "backup-1f", .op_status = HF_OP_RUNNING};
    hf_warm_beat(n, &b, (hf_lclk){1}, (hf_wall){100}, 0);
    assert_int_equal(c->backup_count, 1);
    assert_true(c->backups[0].begun);
    assert_false(c->backups[0].finished);
    b.seq = 2;
    b.op_status = HF_OP_FAILED;
    snprintf(b.op_error, sizeof b.op_error, "disk full");
    hf_warm_beat(n, &b, (hf_lclk){2}, (hf_wall){200}, 0);
    assert_true(c->backups[0].finished && c->backups[0].failed);
    assert_string_equal(c->backups[0].error, "disk full");
    assert_int_equal(c->backups[0].finished_us, 200);
    hf_warm_free(&w);
}

/* --- exposure --- */

static void exposure_follows_the_furthest_copy_elsewhere(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_cluster_state s = {.generation = HF_GENERATION(1),
                                 .epoch = HF_EPOCH(1),
                                 .primary = {"eu-1"},
                                 .primary_epoch = HF_EPOCH(1),
                                 .timeline = HF_TLI(2),
                                 .fork = HF_LSN(1500)};
    apply_state(&w, &s, 6);
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_node *p = add_node(c, "eu-1", "eu");
    struct hf_warm_node *r = add_node(c, "us-1", "us");
    struct hf_measure m;
    beat(p, HF_NODE_PRIMARY, 1, 2, 1000, 1000000, 1000000);
    beat(r, HF_NODE_STANDBY, 1, 2, 1000, 0, 1000000);
    beat(p, HF_NODE_PRIMARY, 2, 2, 2000, 2000000, 2000000);
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_ptr_equal(m.primary, p);
    assert_ptr_equal(m.best, r);
    assert_true(m.exposure.known);
    assert_int_equal(m.exposure.bytes, 1000);
    beat(r, HF_NODE_STANDBY, 2, 2, 2000, 0, 2000000);
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_int_equal(m.exposure.bytes, 0);
    assert_int_equal(m.exposure.age.us, 0);
    /* On the line before the fork nothing beyond it counts. */
    beat(r, HF_NODE_STANDBY, 3, 1, 1900, 0, 2000000);
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_int_equal(m.best_lsn.v, 1500);
    /* A silent region counts for nothing, and then nothing is known. */
    hf_measure_cluster(c, (hf_lclk){2000000 + 6100000}, HF_SEC(6), &m);
    assert_null(m.primary);
    assert_null(m.best);
    assert_false(m.exposure.known);
    hf_warm_free(&w);
}

static void the_archive_counts_when_it_is_furthest(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_cluster_state s = {.generation = HF_GENERATION(1),
                                 .epoch = HF_EPOCH(1),
                                 .primary = {"eu-1"},
                                 .primary_epoch = HF_EPOCH(1),
                                 .timeline = HF_TLI(2),
                                 .fork = HF_LSN(1200)};
    apply_state(&w, &s, 6);
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_node *p = add_node(c, "eu-1", "eu");
    struct hf_warm_node *r = add_node(c, "us-1", "us");
    struct hf_measure m;
    beat(p, HF_NODE_PRIMARY, 1, 2, 1000, 1000000, 1000000);
    beat(p, HF_NODE_PRIMARY, 2, 2, 2000, 2000000, 2000000);
    beat(r, HF_NODE_STANDBY, 1, 2, 1000, 0, 2000000);
    struct hf_heartbeat *b = &r->view.beat;
    b->repository_known = true;
    b->repository_ok = true;
    b->wal_timeline = HF_TLI(2);
    b->wal_to = HF_LSN(1700);
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_ptr_equal(m.best, r);
    assert_true(m.best_archived);
    assert_int_equal(m.best_lsn.v, 1700);
    assert_true(m.exposure.known);
    assert_int_equal(m.exposure.bytes, 300);
    /* On the line before the fork it counts up to there; out of reach it does not count. */
    b->wal_timeline = HF_TLI(1);
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_true(m.best_archived);
    assert_int_equal(m.best_lsn.v, 1200);
    b->repository_ok = false;
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_false(m.best_archived);
    assert_int_equal(m.exposure.bytes, 1000);
    /* A PostgreSQL that does not answer: its last position says nothing of now. */
    p->view.beat.pg_silent = true;
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_false(m.exposure.known);
    p->view.beat.pg_silent = false;
    /* The own region's archive is lost with it. */
    b->repository_ok = true;
    b->wal_timeline = HF_TLI(2);
    r->view.region = p->view.region;
    hf_measure_cluster(c, (hf_lclk){2000000}, HF_SEC(6), &m);
    assert_null(m.best);
    assert_false(m.exposure.known);
    hf_warm_free(&w);
}

static void copies_in_the_primary_s_region_do_not_count(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_cluster_state s = {.generation = HF_GENERATION(1),
                                 .epoch = HF_EPOCH(1),
                                 .primary = {"eu-1"},
                                 .primary_epoch = HF_EPOCH(1),
                                 .timeline = HF_TLI(1)};
    apply_state(&w, &s, 6);
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_measure m;
    beat(add_node(c, "eu-1", "eu"), HF_NODE_PRIMARY, 1, 1, 1000, 5, 1000);
    beat(add_node(c, "us-1", "eu"), HF_NODE_STANDBY, 1, 1, 1000, 5, 1000);
    hf_measure_cluster(c, (hf_lclk){1000}, HF_SEC(6), &m);
    assert_non_null(m.primary);
    assert_null(m.best);
    assert_false(m.exposure.known);
    hf_warm_free(&w);
}

/* --- relay and hello --- */

static void promises_go_to_their_node_in_the_sender_s_name_only(void **state)
{
    (void)state;
    struct hf_warm w = {0};
    struct hf_warm_cluster *c = apply(&w, HF_KEY_POLICY, "", POLICY, 1, 5);
    struct hf_warm_cluster *other = NULL;
    hf_name t2 = name("t2");
    hf_name c2 = name("c");
    assert_true(hf_ok(hf_warm_get(&w, &t2, &c2, &other, NULL)));
    struct hf_warm_node *eu = add_node(c, "eu-1", "eu");
    struct hf_warm_node *us = add_node(c, "us-1", "us");
    add_node(other, "ap-1", "ap");
    HF_AUTOFREE struct hf_message *m = hf_alloc(sizeof *m);
    const char *why = NULL;
    m->type = HF_MESSAGE_PROMISE_REQUEST;
    m->promise_request.holder = name("eu-1");
    m->promise_request.to = name("us-1");
    assert_ptr_equal(hf_hub_relay_target(eu, m, &why), us);
    assert_null(hf_hub_relay_target(us, m, &why)); /* not its own name */
    m->promise_request.to = name("ap-1");          /* another tenant's */
    assert_null(hf_hub_relay_target(eu, m, &why));
    m->promise_request.to = name("eu-1"); /* itself */
    assert_null(hf_hub_relay_target(eu, m, &why));
    *m = (struct hf_message){.type = HF_MESSAGE_PROMISE_REPLY};
    m->promise_reply.from = name("us-1");
    m->promise_reply.holder = name("eu-1");
    assert_ptr_equal(hf_hub_relay_target(us, m, &why), eu);
    assert_null(hf_hub_relay_target(eu, m, &why));
    m->type = HF_MESSAGE_VIEW;
    assert_null(hf_hub_relay_target(eu, m, &why));
    hf_warm_free(&w);
}

static void hello_must_agree_with_the_certificate(void **state)
{
    (void)state;
    const struct hf_identity id = {
        .kind = HF_IDENTITY_AGENT, .tenant = {"t"}, .region = {"eu"}, .name = {"eu-1"}};
    const struct hf_hello good = {
        .tenant = {"t"}, .cluster = {"c"}, .region = {"eu"}, .node = {"eu-1"}};
    struct hf_err err = {0};
    assert_true(hf_ok(hf_hub_check_hello(&id, &good, &err)));
    struct hf_hello bad = good;
    bad.tenant = name("t2");
    assert_int_equal(hf_hub_check_hello(&id, &bad, &err).code, HF_E_DENIED);
    bad = good;
    bad.region = name("us");
    assert_int_equal(hf_hub_check_hello(&id, &bad, &err).code, HF_E_DENIED);
    bad = good;
    bad.node = name("us-1");
    assert_int_equal(hf_hub_check_hello(&id, &bad, &err).code, HF_E_DENIED);
    struct hf_identity user = id;
    user.kind = HF_IDENTITY_USER;
    assert_int_equal(hf_hub_check_hello(&user, &good, &err).code, HF_E_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_round_trip),
        cmocka_unit_test(foreign_keys_are_left_alone),
        cmocka_unit_test(records_only_move_forward),
        cmocka_unit_test(a_bad_record_leaves_the_good_one),
        cmocka_unit_test(plans_are_kept_by_creation_and_found),
        cmocka_unit_test(late_heartbeats_are_ignored),
        cmocka_unit_test(a_promise_is_waited_for_with_the_margin),
        cmocka_unit_test(places_for_nodes_are_bounded),
        cmocka_unit_test(the_view_has_the_policy_s_nodes),
        cmocka_unit_test(a_backup_is_followed_by_heartbeats),
        cmocka_unit_test(exposure_follows_the_furthest_copy_elsewhere),
        cmocka_unit_test(the_archive_counts_when_it_is_furthest),
        cmocka_unit_test(copies_in_the_primary_s_region_do_not_count),
        cmocka_unit_test(promises_go_to_their_node_in_the_sender_s_name_only),
        cmocka_unit_test(hello_must_agree_with_the_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
