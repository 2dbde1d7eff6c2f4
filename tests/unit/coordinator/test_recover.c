/* SPDX-License-Identifier: Apache-2.0
 *
 * Restored etcd (L12): what a recovery writes, and what it is refused for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/coordinator/cluster_scene.h"

static struct hf_err err;

static void settle(void)
{
    hf_cluster_view_settle(&v, false);
}

/* Everybody went on to epoch 3 under us-1, whose timeline is 2; etcd is at epoch 1 under eu-1. */
static void restored(void)
{
    healthy();
    v.term = 40;
    for (int i = 0; i < 3; i++) {
        struct hf_heartbeat *b = &v.nodes[i].beat;
        b->epoch = HF_EPOCH(3);
        b->timeline = HF_TLI(2);
        b->state = i == US ? HF_NODE_PRIMARY : HF_NODE_STANDBY;
        b->want_lease = i == US;
        b->lease_epoch = HF_EPOCH(i == US ? 3 : 0);
        b->lease_remaining = HF_SEC(i == US ? 4 : 0);
        b->candidates_acked = i == US ? 7 : 0;
        b->candidates_known = 7;
        b->streaming = i != US;
    }
    v.nodes[EU].beat.surrendered = HF_EPOCH(1);
    v.outstanding.until = (hf_lclk){0};
}

static bool asked_for_recovery(const char *named)
{
    hf_cluster_view_settle(&v, true);
    return hf_ok(hf_cluster_recover_request(&v, named, "ops: the disk was lost", &out, &err));
}

static void refused_with(const char *named, const char *rule)
{
    assert_false(asked_for_recovery(named));
    assert_int_equal(err.code, HF_E_REFUSED);
    if (strncmp(err.text, rule, strlen(rule)) != 0) {
        fail_msg("%s instead of %s", err.text, rule);
    }
}

static void the_primary_goes_on(void **state_)
{
    (void)state_;
    restored();
    assert_true(asked_for_recovery(""));
    assert_true(out.write && out.write_plan);
    assert_int_equal(out.state.generation.v, 2);
    assert_int_equal(out.begin.v, 2);
    assert_int_equal(out.state.epoch.v, 4);
    assert_int_equal(out.state.primary_epoch.v, 4);
    assert_string_equal(out.state.primary.s, "us-1");
    assert_int_equal(out.state.timeline.v, 2);
    assert_int_equal(out.state.parent.v, 0);
    assert_int_equal(out.state.candidates.count, 0); /* its own set is in force, unknown to etcd */
    assert_true(out.state.candidates.version > 7);
    assert_int_equal(out.state.follow.count, 3);
    assert_string_equal(out.state.doubt, "");
    assert_string_equal(out.plan.id, "r-1001"); /* no id of a plan that was forgotten */
    assert_int_equal(out.plan.step, HF_STEP_LEAD);
    assert_non_null(strstr(out.plan.reason[0], "ops: the disk was lost"));
    written();
    settle();
    decide();
    for (int i = 0; i < 3; i++) {
        const struct hf_command *c = command_to(i, HF_COMMAND_ADOPT);
        assert_non_null(c);
        assert_int_equal(c->from_generation.v, 1);
        assert_int_equal(c->epoch.v, 4);
        assert_string_equal(c->node.s, nodes[i]);
        assert_true((strstr(c->body, "\"lead\":true") != NULL) == (i == US));
    }
    assert_int_equal(out.commands, 3);
    for (int i = 0; i < 3; i++) { /* they follow */
        struct hf_heartbeat *b = &v.nodes[i].beat;
        hf_cluster_view_settle(&v, true);
        v.nodes[i].seen = v.nodes[i].connected = true;
        *b = (struct hf_heartbeat){.generation = {2},
                                   .epoch = {4},
                                   .state = i == US ? HF_NODE_PRIMARY : HF_NODE_STANDBY,
                                   .system_id = 42,
                                   .timeline = {2},
                                   .streaming = i != US,
                                   .guard = true,
                                   .want_lease = i == US,
                                   .lease_epoch = {i == US ? 4 : 0},
                                   .lease_remaining = HF_SEC(i == US ? 5 : 0)};
    }
    settle();
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_ROUTE);
}

static void the_epoch_is_above_what_anybody_knows(void **state_)
{
    (void)state_;
    for (int which = 0; which < 6; which++) {
        restored();
        struct hf_heartbeat *ap = &v.nodes[AP].beat;
        uint64_t expected = 12;
        hf_epoch *const known[] = {&ap->epoch,       &ap->prepared,      &ap->surrendered,
                                   &ap->lease_epoch, &ap->promise_epoch, &state.epoch};
        *known[which] = HF_EPOCH(11);
        assert_true(asked_for_recovery(""));
        assert_int_equal(out.state.epoch.v, expected);
        assert_int_equal(out.state.primary_epoch.v, expected);
    }
}

static void the_generation_is_above_every_one(void **state_)
{
    (void)state_;
    restored();
    v.nodes[AP].beat.generation = HF_GENERATION(5);
    assert_true(asked_for_recovery(""));
    assert_int_equal(out.state.generation.v, 6);
    assert_int_equal(out.begin.v, 6);
    restored();
    v.control = HF_GENERATION(2); /* another cluster's recovery began it */
    assert_true(asked_for_recovery(""));
    assert_int_equal(out.state.generation.v, 2);
    assert_int_equal(out.begin.v, 0);
    restored();
    v.control = HF_GENERATION(2);
    v.control_doubt = "RESTORED: etcd is another one"; /* ... and then etcd was restored again */
    assert_true(asked_for_recovery(""));
    assert_int_equal(out.state.generation.v, 3);
    assert_int_equal(out.begin.v, 3);
}

static void what_a_recovery_is_refused_for(void **state_)
{
    (void)state_;
    healthy();
    v.outstanding.until = (hf_lclk){0};
    refused_with("", "NOT_RESTORED");
    restored();
    v.leader_since = (hf_lclk){v.now.us - 1000000};
    refused_with("", "LISTENING");
    restored();
    state.paused = true;
    refused_with("", "PAUSED");
    restored();
    refused_with("ap-1", "AMBIGUOUS"); /* another one holds a lease */
    restored();
    node(EU, HF_NODE_PRIMARY);
    refused_with("", "AMBIGUOUS");
    restored();
    node(US, HF_NODE_STARTING);
    refused_with("", "BUSY");
    restored();
    node(US, HF_NODE_FENCING);
    refused_with("", "BUSY");
    restored();
    node(AP, HF_NODE_UNMANAGED);
    refused_with("", "UNMANAGED");
    restored();
    silence(US, 3500000); /* whom nobody hears may lead */
    refused_with("", "NODE_SILENT");
    refused_with("ap-1", "NODE_SILENT");
    restored();
    silence(AP, 3500000);
    v.nodes[US].beat.lease_remaining = HF_US(0);
    refused_with("", "NODE_SILENT");
    restored();
    silence(AP, 3500000); /* ... but not while somebody else's lease runs */
    assert_true(asked_for_recovery("us-1"));
    restored();
    node(US, HF_NODE_DOWN);
    v.nodes[US].beat.want_lease = false;
    v.outstanding.until = (hf_lclk){v.now.us + 1000000};
    refused_with("", "LISTENING");
}

static void nobody_leads(void)
{
    restored();
    struct hf_heartbeat *us = &v.nodes[US].beat;
    us->state = HF_NODE_DOWN;
    us->want_lease = false;
    us->lease_epoch = HF_EPOCH(0);
    us->lease_remaining = HF_US(0);
    us->surrendered = HF_EPOCH(3);
    us->timeline = HF_TLI(0);
    v.nodes[EU].beat.timeline = HF_TLI(1);
}

static void follows(int i)
{
    v.nodes[i].seen = v.nodes[i].connected = true;
    v.nodes[i].beat.generation = state.generation;
    v.nodes[i].beat.system_id = 42;
}

static void with_nobody_leading_the_furthest_of_all_is_promoted(void **state_)
{
    (void)state_;
    nobody_leads();
    refused_with("xx-1", "NO_CANDIDATE");
    assert_true(asked_for_recovery(""));
    assert_int_equal(out.plan.step, HF_STEP_PREPARE);
    assert_int_equal(out.state.epoch.v, 4);
    assert_int_equal(out.state.fenced.v, 0); /* nothing is proven yet */
    assert_int_equal(out.plan.from_epoch.v, 3);
    assert_int_equal(out.state.candidates.count, 3);
    written();
    for (int i = 0; i < 3; i++) {
        follows(i);
        prepare_answers(i, 0x5000 + 0x100 * (uint64_t)i);
        v.nodes[i].beat.final_timeline = HF_TLI(i == EU ? 1 : 2);
    }
    v.nodes[AP].beat.state = HF_NODE_PREPARING;
    v.now.us += 60000000;
    for (int i = 0; i < 3; i++) {
        v.nodes[i].seen_at = v.now;
    }
    settle();
    decide();
    assert_false(out.write); /* only all of them together know what was forgotten */
    v.nodes[AP].beat.state = HF_NODE_PREPARED;
    v.nodes[US].beat.surrendered = HF_EPOCH(3);
    settle();
    assert_string_equal(v.doubt, "");
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FENCE);
    settle();
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_SELECT);
    assert_int_equal(state.fenced.v, 3);
    settle();
    decide();
    written();
    assert_string_equal(state.primary.s, "ap-1"); /* the furthest on the newest timeline */
    assert_int_equal(state.timeline.v, 2);
    assert_false(plan.loss.known); /* who led last is forgotten, and what it had */
}

/* ap-1 is not in the policy (a person took it out, or it joined after the snapshot). */
static void take_out_ap(enum hf_node_state s)
{
    v.node_count = 2;
    policy.node_count = 2;
    v.outside_count = 1;
    v.outside[0] = v.nodes[AP];
    v.outside[0].beat.state = s;
}

static void who_is_heard_out_of_the_policy_stops_a_recovery(void **state_)
{
    (void)state_;
    nobody_leads();
    take_out_ap(HF_NODE_PRIMARY);
    refused_with("", "OUTSIDE: ap-1 is primary");
    refused_with("us-1", "OUTSIDE: ap-1 is primary");
    v.outside[0].connected = false; /* cut off, it may go on by promises */
    v.outside[0].seen_at = (hf_lclk){v.now.us - 50000000};
    refused_with("", "OUTSIDE: ap-1 is primary");
    v.now.us += 20000000; /* the person says that it is off, and nobody heard otherwise */
    for (int i = 0; i < 2; i++) {
        v.nodes[i].seen_at = v.now;
    }
    assert_true(asked_for_recovery(""));

    nobody_leads();
    take_out_ap(HF_NODE_UNMANAGED);
    refused_with("", "OUTSIDE: ap-1");
    nobody_leads();
    take_out_ap(HF_NODE_STANDBY); /* it may hold what nobody else has */
    refused_with("", "OUTSIDE: ap-1");
    v.outside[0].connected = false;
    assert_true(asked_for_recovery(""));
    nobody_leads();
    take_out_ap(HF_NODE_EMPTY);
    assert_true(asked_for_recovery(""));
    nobody_leads();
    take_out_ap(HF_NODE_PRIMARY);
    v.outside[0].beat.system_id = 43; /* another cluster's */
    assert_true(asked_for_recovery(""));

    restored(); /* us-1 leads under a lease: nobody else does */
    take_out_ap(HF_NODE_STANDBY);
    v.outside[0].beat.epoch = HF_EPOCH(8);
    assert_true(asked_for_recovery(""));
    assert_int_equal(out.state.epoch.v, 9);
    assert_string_equal(out.state.primary.s, "us-1");
    restored();
    take_out_ap(HF_NODE_STANDBY);
    v.nodes[US].beat.lease_remaining = HF_US(0);
    refused_with("", "OUTSIDE: ap-1");
    restored();
    take_out_ap(HF_NODE_PRIMARY);
    refused_with("", "OUTSIDE: ap-1");
}

static void a_primary_without_a_lease_waits_for_promises_to_another(void **state_)
{
    (void)state_;
    restored();
    v.nodes[US].beat.lease_remaining = HF_US(0);
    assert_true(asked_for_recovery(""));
    v.nodes[EU].beat.promise_epoch = HF_EPOCH(3); /* to us-1 itself, by a life before */
    v.nodes[EU].promise_until = (hf_lclk){v.now.us + 1000000};
    assert_true(asked_for_recovery(""));
    v.nodes[EU].beat.promise_epoch = HF_EPOCH(4);
    refused_with("", "PROMISED: us-1 has no lease, and eu-1");
    v.now.us += 1000000;
    assert_true(asked_for_recovery(""));
}

/* Somebody leads out of sight, by promises: only when they are over, somebody is chosen. */
static void a_promise_that_runs_keeps_the_recovery_from_choosing(void **state_)
{
    (void)state_;
    nobody_leads();
    assert_true(asked_for_recovery(""));
    written();
    for (int i = 0; i < 3; i++) {
        follows(i);
        prepare_answers(i, 0x5000);
        v.nodes[i].beat.final_timeline = HF_TLI(2);
    }
    v.nodes[EU].beat.promise_epoch = HF_EPOCH(3);
    v.nodes[EU].promise_until = (hf_lclk){v.now.us + 6000000};
    settle();
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FENCE);
    v.now.us += 5500000;
    settle();
    decide();
    assert_false(out.write);
    assert_non_null(strstr(out.warning[0], "AWAITED: eu-1"));
    v.now.us += 500000;
    struct hf_heartbeat ap = v.nodes[AP].beat;
    v.nodes[AP].beat.generation = HF_GENERATION(1); /* it may promise to one of that generation */
    settle();
    decide();
    assert_false(out.write);
    assert_non_null(strstr(out.warning[0], "AWAITED: ap-1"));
    follows(AP);
    v.nodes[AP].beat = ap;
    settle();
    assert_string_equal(v.doubt, "");
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_SELECT);
    assert_int_equal(state.fenced.v, 3);
}

static void a_second_recovery_at_once_loses(void **state_)
{
    (void)state_;
    restored();
    assert_true(asked_for_recovery(""));
    struct hf_cluster_state first = out.state;
    assert_true(asked_for_recovery("")); /* by another coordinator, from the same records */
    assert_int_equal(out.state.generation.v,
                     first.generation.v); /* etcd compares: one is written */
    state = first;
    plan = out.plan;
    v.plan = &plan;
    for (int i = 0; i < 3; i++) {
        v.nodes[i].beat.generation = first.generation;
        v.nodes[i].beat.epoch = first.epoch;
        v.nodes[i].beat.candidates_acked = v.nodes[i].beat.candidates_known = 0;
    }
    v.nodes[US].beat.lease_epoch = first.epoch;
    refused_with("", "NOT_RESTORED"); /* and the other finds nothing to recover from */
}

static void who_knows_a_later_epoch_needs_another_recovery(void **state_)
{
    (void)state_;
    restored();
    silence(AP, 3500000);
    assert_true(asked_for_recovery(""));
    written();
    v.nodes[AP].connected = true;
    v.nodes[AP].seen_at = v.now;
    v.nodes[AP].beat.epoch = HF_EPOCH(9);
    for (int i = 0; i < 2; i++) {
        follows(i);
        v.nodes[i].beat.epoch = state.epoch;
        v.nodes[i].beat.candidates_acked = v.nodes[i].beat.candidates_known = 0;
    }
    v.nodes[US].beat.lease_epoch = state.epoch;
    settle();
    assert_string_equal(v.doubt, "");
    assert_false(v.nodes[AP].seen);
    decide();
    assert_null(command_to(AP, HF_COMMAND_ADOPT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primary_goes_on),
        cmocka_unit_test(the_epoch_is_above_what_anybody_knows),
        cmocka_unit_test(the_generation_is_above_every_one),
        cmocka_unit_test(what_a_recovery_is_refused_for),
        cmocka_unit_test(with_nobody_leading_the_furthest_of_all_is_promoted),
        cmocka_unit_test(who_is_heard_out_of_the_policy_stops_a_recovery),
        cmocka_unit_test(a_primary_without_a_lease_waits_for_promises_to_another),
        cmocka_unit_test(a_promise_that_runs_keeps_the_recovery_from_choosing),
        cmocka_unit_test(a_second_recovery_at_once_loses),
        cmocka_unit_test(who_knows_a_later_epoch_needs_another_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
