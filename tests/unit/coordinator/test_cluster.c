/* SPDX-License-Identifier: Apache-2.0
 *
 * The leader's decisions about a cluster: each test builds a view and looks at the decision.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/coordinator/cluster_scene.h"

static void healthy_cluster_is_left_alone(void **state_)
{
    (void)state_;
    healthy();
    decide();
    assert_false(out.write);
    assert_int_equal(out.commands, 0);
    assert_int_equal(out.warnings, 0);
}

static void a_primary_without_the_guard_is_named(void **state_)
{
    (void)state_;
    healthy();
    v.nodes[EU].beat.guard = false;
    decide();
    assert_int_equal(out.warnings, 1);
    assert_int_equal(strncmp(out.warning[0], "LESSER_GUARANTEE: eu-1", 22), 0);
}

static void a_node_without_room_is_named(void **state_)
{
    (void)state_;
    healthy();
    v.nodes[EU].beat.disk_free = 0; /* not known: nothing is said */
    decide();
    assert_int_equal(out.warnings, 0);
    v.nodes[EU].beat.disk_known = true;
    v.nodes[EU].beat.disk_free = HF_DISK_LOW_BYTES;
    decide();
    assert_int_equal(out.warnings, 0);
    v.nodes[EU].beat.disk_free--;
    decide();
    assert_int_equal(out.warnings, 1);
    assert_int_equal(strncmp(out.warning[0], "DISK_FULL: eu-1 has 64.0 MB", 27), 0);
    assert_false(out.write); /* it is said, and nothing is done about it */
    assert_int_equal(out.commands, 0);
}

static void a_primary_that_does_not_answer_is_named(void **state_)
{
    (void)state_;
    healthy();
    v.nodes[US].beat.pg_silent = true; /* a standby that has just started */
    decide();
    assert_int_equal(out.warnings, 0);
    v.nodes[EU].beat.pg_silent = true;
    decide();
    assert_int_equal(out.warnings, 1);
    assert_int_equal(strncmp(out.warning[0], "PG_SILENT: PostgreSQL of eu-1", 29), 0);
    assert_false(out.write); /* its lease is held: nothing is decided by it */
    assert_int_equal(out.commands, 0);
}

static void silence_alone_is_not_enough(void **state_)
{
    (void)state_;
    healthy();
    silence(EU, 7000000);
    decide(); /* a grant may still run */
    assert_false(out.write);
    v.outstanding.until = (hf_lclk){v.now.us - 1};
    v.floor = (hf_lclk){v.now.us + 1};
    decide(); /* an earlier leader's grant may still run */
    assert_false(out.write);
    v.floor = (hf_lclk){0};
    v.listening_since = (hf_lclk){v.now.us - 100000};
    decide(); /* this leader was away: listen first */
    assert_false(out.write);
    v.listening_since = (hf_lclk){v.now.us - 1000000};
    v.leader_since = (hf_lclk){v.now.us - 1000}; /* new, but it listened as a follower */
    decide();
    assert_true(out.write);
    assert_int_equal(out.state.epoch.v, 2);
    assert_int_equal(out.plan.step, HF_STEP_PREPARE);
    assert_string_equal(out.state.primary.s, "eu-1"); /* no choice yet */
}

static void short_absence_does_nothing(void **state_)
{
    (void)state_;
    healthy();
    silence(EU, 2900000);
    v.outstanding.until = (hf_lclk){v.now.us - 1};
    decide();
    assert_false(out.write);
}

static void below_manage_only_says_so(void **state_)
{
    (void)state_;
    healthy();
    policy.level = HF_LEVEL_ROUTE;
    eu_lost();
    decide();
    assert_false(out.write);
    assert_int_equal(out.commands, 0);
    assert_non_null(strstr(out.warning[0], "OBSERVE"));
}

static void candidates_change_one_version_at_a_time(void **state_)
{
    (void)state_;
    healthy();
    state.candidates.count = state.acked.count = 1; /* ap-1 is new */
    decide();
    written();
    assert_int_equal(state.candidates.version, 3);
    assert_int_equal(state.candidates.count, 2);
    assert_int_equal(state.acked.version, 2);
    decide();
    assert_false(out.write); /* until the primary acknowledges */
    v.nodes[EU].beat.candidates_acked = 3;
    decide();
    written();
    assert_int_equal(state.acked.version, 3);
    /* A dead one goes early, the last one never. */
    silence(AP, 2 * L_US + 1);
    decide();
    written();
    assert_int_equal(state.candidates.count, 1);
    v.nodes[EU].beat.candidates_acked = 4;
    decide();
    written();
    silence(US, 2 * L_US + 1);
    decide();
    assert_false(out.write);
}

/* ap-1 is no candidate: the set does not change when it is attached. */
static void without_ap(void)
{
    state.candidates.count = state.acked.count = 1;
}

static void nodes_are_attached_by_what_they_hold(void **state_)
{
    (void)state_;
    static const struct {
        enum hf_node_state state;
        uint32_t timeline;
        uint64_t end;
        enum hf_command_kind command;
    } table[] = {
        {HF_NODE_EMPTY, 0, 0, HF_COMMAND_COPY},
        {HF_NODE_DOWN, 0, 0, HF_COMMAND_PREPARE},
        {HF_NODE_PREPARED, 2, 0x9000, HF_COMMAND_FOLLOW},
        {HF_NODE_PREPARED, 1, 0x7000, HF_COMMAND_FOLLOW}, /* up to the fork */
        {HF_NODE_PREPARED, 1, 0x7001, HF_COMMAND_COPY},   /* beyond it */
        {HF_NODE_PRIMARY, 1, 0x7000, HF_COMMAND_PREPARE}, /* of an old epoch */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        healthy();
        without_ap();
        state.epoch = state.primary_epoch = HF_EPOCH(2);
        state.timeline = HF_TLI(2);
        state.parent = HF_TLI(1);
        state.fork = HF_LSN(0x7000);
        v.nodes[EU].beat.lease_epoch = v.nodes[EU].beat.epoch = HF_EPOCH(2);
        struct hf_heartbeat *b = &v.nodes[AP].beat;
        b->state = table[i].state;
        b->streaming = false;
        b->prepared = HF_EPOCH(2);
        b->final_known = true;
        b->final_timeline = HF_TLI(table[i].timeline);
        b->final = HF_LSN(table[i].end);
        decide();
        assert_non_null(command_to(AP, table[i].command));
        assert_int_equal(out.commands, 1);
        /* Data of another or an unknown system is never touched. */
        b->system_id = 43;
        decide();
        assert_int_equal(out.commands, 0);
        if (table[i].state == HF_NODE_DOWN || table[i].state == HF_NODE_PREPARED) {
            b->system_id = 0;
            decide();
            assert_int_equal(out.commands, 0);
        }
    }
}

static void a_second_copy_is_a_new_command(void **state_)
{
    (void)state_;
    healthy();
    without_ap();
    node(AP, HF_NODE_EMPTY);
    decide();
    assert_string_equal(command_to(AP, HF_COMMAND_COPY)->id, "copy.1.ap-1.1");
    (void)snprintf(v.nodes[AP].beat.op, HF_LABEL_SIZE, "copy.1.ap-1.1");
    v.nodes[AP].beat.op_status = HF_OP_RUNNING;
    decide();
    assert_string_equal(command_to(AP, HF_COMMAND_COPY)->id, "copy.1.ap-1.1");
    v.nodes[AP].beat.op_status = HF_OP_FAILED;
    decide();
    assert_string_equal(command_to(AP, HF_COMMAND_COPY)->id, "copy.1.ap-1.2");
}

static void bootstrap_adopts_the_named_node(void **state_)
{
    (void)state_;
    healthy();
    memset(&state, 0, sizeof state);
    state.generation = HF_GENERATION(1);
    for (int i = 0; i < 3; i++) {
        v.nodes[i].beat.epoch = HF_EPOCH(0);
        node(i, HF_NODE_UNMANAGED);
    }
    v.nodes[AP].connected = false;
    decide();
    written();
    assert_string_equal(state.primary.s, "eu-1");
    assert_int_equal(state.epoch.v, 1);
    decide();
    assert_non_null(command_to(EU, HF_COMMAND_LEAD));
    assert_int_equal(out.commands, 1);
}

static void grants_go_to_etcds_node_and_epoch_only(void **state_)
{
    (void)state_;
    healthy();
    struct hf_grant_wait w = {0};
    struct hf_outstanding o = {0};
    struct hf_grant g;
    hf_name eu = name("eu-1");
    hf_name us = name("us-1");
    struct hf_heartbeat b = v.nodes[EU].beat;
    b.seq = 9;
    b.life = 7;
    assert_false(hf_grant_ask(&w, &state, &us, &b, v.now));
    b.lease_epoch = HF_EPOCH(2);
    assert_false(hf_grant_ask(&w, &state, &eu, &b, v.now));
    b.lease_epoch = HF_EPOCH(1);
    b.surrendered = HF_EPOCH(1);
    assert_false(hf_grant_ask(&w, &state, &eu, &b, v.now));
    b.surrendered = HF_EPOCH(0);
    b.generation = HF_GENERATION(2);
    assert_false(hf_grant_ask(&w, &state, &eu, &b, v.now));
    b.generation = HF_GENERATION(1);
    assert_true(hf_grant_ask(&w, &state, &eu, &b, v.now));
    hf_lclk before = {v.now.us - 1};
    assert_false(hf_grant_give(&w, &state, v.ttl, 10000, 5, before, v.now, &o, &g));
    hf_lclk after = {v.now.us + 1};
    assert_true(hf_grant_give(&w, &state, v.ttl, 10000, 5, after, v.now, &o, &g));
    assert_int_equal(g.seq, 9);
    assert_true(o.until.us > v.now.us + L_US);
    assert_false(hf_grant_give(&w, &state, v.ttl, 10000, 5, after, v.now, &o, &g)); /* once */
    /* The choice changed between the heartbeat and the renewal. */
    assert_true(hf_grant_ask(&w, &state, &eu, &b, v.now));
    state.epoch = HF_EPOCH(2);
    assert_false(hf_grant_give(&w, &state, v.ttl, 10000, 5, after, v.now, &o, &g));
}

static void requests_are_refused_with_a_rule(void **state_)
{
    (void)state_;
    struct hf_err err = {0};
    struct hf_plan p;
    healthy();
    assert_true(hf_ok(hf_cluster_plan_preview(&v, "us", &p, &err)));
    assert_string_equal(p.to.s, "us-1");
    assert_int_equal(hf_cluster_plan_preview(&v, "mars", &p, &err).code, HF_E_REFUSED);
    assert_non_null(strstr(err.text, "NO_CANDIDATE"));
    state.paused = true;
    assert_int_equal(hf_cluster_plan_request(&v, "", &out, &err).code, HF_E_REFUSED);
    assert_non_null(strstr(err.text, "PAUSED"));
    state.paused = false;
    policy.level = HF_LEVEL_MEASURE;
    assert_int_equal(hf_cluster_plan_preview(&v, "", &p, &err).code, HF_E_REFUSED);
}

static void records_round_trip(void **state_)
{
    (void)state_;
    healthy();
    eu_lost();
    decide();
    struct hf_err err = {0};
    HF_BUF(a, 65536);
    HF_BUF(b, 65536);
    struct hf_plan p;
    assert_true(hf_ok(hf_plan_encode(&out.plan, &a, &err)));
    assert_true(hf_ok(hf_plan_decode(a.data, a.len, &p, &err)));
    assert_true(hf_ok(hf_plan_encode(&p, &b, &err)));
    assert_string_equal(a.data, b.data);
    hf_buf_reset(&a);
    hf_buf_reset(&b);
    struct hf_cluster_state s;
    assert_true(hf_ok(hf_cluster_state_encode(&out.state, &a, &err)));
    assert_true(hf_ok(hf_cluster_state_decode(a.data, a.len, &s, &err)));
    assert_true(hf_ok(hf_cluster_state_encode(&s, &b, &err)));
    assert_string_equal(a.data, b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(healthy_cluster_is_left_alone),
        cmocka_unit_test(a_primary_without_the_guard_is_named),
        cmocka_unit_test(a_node_without_room_is_named),
        cmocka_unit_test(a_primary_that_does_not_answer_is_named),
        cmocka_unit_test(silence_alone_is_not_enough),
        cmocka_unit_test(short_absence_does_nothing),
        cmocka_unit_test(below_manage_only_says_so),
        cmocka_unit_test(candidates_change_one_version_at_a_time),
        cmocka_unit_test(nodes_are_attached_by_what_they_hold),
        cmocka_unit_test(a_second_copy_is_a_new_command),
        cmocka_unit_test(bootstrap_adopts_the_named_node),
        cmocka_unit_test(grants_go_to_etcds_node_and_epoch_only),
        cmocka_unit_test(requests_are_refused_with_a_rule),
        cmocka_unit_test(records_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
