/* SPDX-License-Identifier: Apache-2.0
 *
 * Failover: its steps in order, what proves the fence, who may be chosen, what waits for a person.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/coordinator/cluster_scene.h"

static void whole_failover(void **state_)
{
    (void)state_;
    healthy();
    eu_lost();
    decide();
    written();
    decide();
    assert_non_null(command_to(US, HF_COMMAND_PREPARE));
    assert_non_null(command_to(AP, HF_COMMAND_PREPARE));
    prepare_answers(US, 0x6000);
    decide();
    assert_false(out.write); /* ap answers heartbeats and may be further */
    prepare_answers(AP, 0x7000);
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FENCE);
    v.nodes[AP].promise_until = (hf_lclk){v.now.us + 1000};
    decide();
    assert_false(out.write); /* a promise keeps the old lease alive */
    v.nodes[AP].promise_until = v.now;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_SELECT);
    assert_int_equal(state.fenced.v, 1);
    decide();
    written();
    assert_string_equal(plan.to.s, "ap-1"); /* the furthest, not the preferred */
    assert_string_equal(state.primary.s, "ap-1");
    assert_int_equal(state.acked.version, 0);
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_LOSS);
    policy.failover.max_loss_time = HF_POLICY_NO_TIME_LIMIT;
    policy.failover.max_loss_wal = HF_POLICY_NO_WAL_LIMIT;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_RESERVE);
    decide();
    assert_int_equal(out.reserve.v, 2);
    written();
    decide();
    const struct hf_command *lead = command_to(AP, HF_COMMAND_LEAD);
    assert_non_null(lead);
    assert_int_equal(lead->timeline.v, 2);
    assert_int_equal(lead->epoch.v, 2);
    node(AP, HF_NODE_PRIMARY);
    v.nodes[AP].beat.lease_epoch = HF_EPOCH(2);
    v.nodes[AP].beat.lease_remaining = HF_SEC(5);
    v.nodes[AP].beat.timeline = HF_TLI(2);
    policy.route.present = true;
    v.route_done = false;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_ROUTE);
    assert_int_equal(state.timeline.v, 2);
    assert_int_equal(state.fork.v, 0x7000);
    decide();
    assert_true(out.route);
    assert_string_equal(out.route_address, "127.0.3.1:5432");
    v.route_done = true;
    decide();
    written();
    decide();
    assert_non_null(command_to(US, HF_COMMAND_FOLLOW));
    node(US, HF_NODE_STANDBY);
    v.nodes[US].beat.streaming = true;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_VERIFY);
    decide();
    const struct hf_command *probe = command_to(US, HF_COMMAND_PROBE);
    assert_non_null(probe);
    (void)snprintf(v.nodes[US].beat.op, sizeof v.nodes[US].beat.op, "%s", probe->id);
    v.nodes[US].beat.op_status = HF_OP_DONE;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_DONE);
    assert_null(v.plan);
}

static void surrender_is_proof_at_once(void **state_)
{
    (void)state_;
    healthy();
    struct hf_heartbeat *b = &v.nodes[EU].beat;
    b->surrendered = HF_EPOCH(1);
    b->surrendered_serial = 1;
    b->want_lease = false;
    node(EU, HF_NODE_DOWN);
    decide(); /* its last grant still runs: the surrender is better than waiting */
    written();
    prepare_answers(EU, 0x8000);
    prepare_answers(US, 0x7000);
    prepare_answers(AP, 0x6000);
    v.nodes[US].promise_until = (hf_lclk){v.now.us + 3000000};
    v.nodes[US].beat.promise_epoch = HF_EPOCH(1);
    v.nodes[US].beat.promise_serial = 1;
    decide();
    written();
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_SELECT);
    decide();
    written();
    assert_string_equal(plan.to.s, "eu-1"); /* restart in place: nothing is lost */
    assert_true(plan.loss.known && plan.loss.bytes == 0);
}

static void equal_ends_lose_nothing_whatever_was_measured(void **state_)
{
    (void)state_;
    healthy();
    struct hf_heartbeat *b = &v.nodes[EU].beat;
    b->surrendered = HF_EPOCH(1);
    b->surrendered_serial = 1;
    b->want_lease = false;
    node(EU, HF_NODE_DOWN);
    v.ring = NULL; /* the leader is new and has seen nothing */
    decide();
    written();
    prepare_answers(EU, 0x7000);
    prepare_answers(US, 0x7000);
    prepare_answers(AP, 0x6000);
    for (int i = 0; i < 3; i++) {
        decide();
        written();
    }
    assert_string_equal(plan.to.s, "us-1"); /* of equals not the crashed one */
    assert_true(plan.loss.known && plan.loss.bytes == 0 && plan.loss.time.us == 0);
}

static void only_acknowledged_members_are_promotable(void **state_)
{
    (void)state_;
    healthy();
    state.candidates.version = 3; /* ap-1 was removed, the primary was not heard since */
    state.candidates.count = 1;
    eu_lost();
    decide();
    written();
    prepare_answers(US, 0x6000);
    prepare_answers(AP, 0x9000);
    decide();
    written();
    decide();
    written();
    decide();
    written();
    assert_string_equal(plan.to.s, "us-1");
}

static void silent_candidate_does_not_stop_the_rest(void **state_)
{
    (void)state_;
    healthy();
    eu_lost();
    silence(AP, 4000000);
    decide();
    written();
    prepare_answers(US, 0x6000);
    decide();
    written();
    decide();
    written();
    decide();
    written();
    assert_string_equal(plan.to.s, "us-1");
    bool said = false;
    for (int i = 0; i < plan.reasons; i++) {
        said |= strstr(plan.reason[i], "CANDIDATE_UNKNOWN: ap-1") != NULL;
    }
    assert_true(said);
}

static void nobody_prepared_nobody_chosen(void **state_)
{
    (void)state_;
    healthy();
    eu_lost();
    silence(US, 9000000);
    silence(AP, 9000000);
    decide();
    written();
    for (int i = 0; i < 100; i++) {
        v.now.us += 1000000;
        decide();
        assert_false(out.write);
    }
    assert_true(out.warnings > 0);
}

static void excess_loss_waits_for_a_person(void **state_)
{
    (void)state_;
    healthy();
    plan.step = HF_STEP_LOSS;
    plan.kind = HF_PLAN_FAILOVER;
    plan.epoch = state.epoch = HF_EPOCH(2);
    plan.from = name("eu-1");
    plan.to = name("us-1");
    plan.loss = (struct hf_loss){true, 100, HF_SEC(31)};
    (void)snprintf(state.plan, sizeof state.plan, "f-0001");
    policy.failover.max_loss_time = HF_SEC(30);
    policy.failover.max_loss_wal = 64000000;
    v.plan = &plan;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_CONFIRM);
    decide();
    assert_false(out.write);
    struct hf_err err = {0};
    assert_true(hf_ok(hf_cluster_plan_request(&v, "", &out, &err)));
    written();
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_RESERVE);
    /* Unknown is not within. */
    plan.step = HF_STEP_LOSS;
    plan.confirmed = false;
    plan.loss.known = false;
    decide();
    assert_int_equal(out.plan.step, HF_STEP_CONFIRM);
    policy.failover.on_excess_loss = HF_EXCESS_PROMOTE;
    decide();
    assert_int_equal(out.plan.step, HF_STEP_RESERVE);
}

static void failed_choice_burns_another_epoch(void **state_)
{
    (void)state_;
    healthy();
    plan.step = HF_STEP_LEAD;
    plan.kind = HF_PLAN_FAILOVER;
    plan.epoch = state.epoch = state.primary_epoch = HF_EPOCH(2);
    plan.from = name("eu-1");
    plan.from_epoch = HF_EPOCH(1);
    plan.to = state.primary = name("us-1");
    (void)snprintf(state.plan, sizeof state.plan, "f-0001");
    v.plan = &plan;
    v.nodes[US].beat.surrendered = HF_EPOCH(2);
    node(US, HF_NODE_DOWN);
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FAILED);
    assert_int_equal(state.epoch.v, 3); /* the choice is void: nobody is granted epoch 2 now */
    decide();
    assert_true(out.write);
    assert_int_equal(out.state.epoch.v, 4);
    assert_int_equal(out.plan.from_epoch.v, 2);
    assert_string_equal(out.plan.from.s, "us-1");
}

/* A choice that never was writable takes a timeline of its own: the holder before it wrote on
 * beyond its end, on the same one. */
static void only_who_was_writable_restarts_in_place(void **state_)
{
    (void)state_;
    for (int owes = 0; owes < 2; owes++) {
        healthy();
        state.epoch = HF_EPOCH(3);
        state.primary = name("us-1");
        state.primary_epoch = HF_EPOCH(3);
        state.owes = owes == 1;
        plan = (struct hf_plan){.id = "f-0003",
                                .kind = HF_PLAN_FAILOVER,
                                .step = HF_STEP_LEAD,
                                .epoch = {3},
                                .from = name("us-1"),
                                .to = name("us-1"),
                                .from_epoch = {2},
                                .timeline = {4},
                                .parent = {1}};
        (void)snprintf(state.plan, sizeof state.plan, "f-0003");
        v.plan = &plan;
        v.step_since = v.now;
        decide();
        const struct hf_command *c = command_to(US, HF_COMMAND_LEAD);
        assert_non_null(c);
        assert_int_equal(c->timeline.v, 4);
        assert_true((strstr(c->body, "in_place") == NULL) == (owes == 1));
        struct hf_heartbeat *b = &v.nodes[US].beat;
        b->state = HF_NODE_PRIMARY;
        b->lease_epoch = HF_EPOCH(3);
        b->lease_remaining = HF_SEC(5);
        b->timeline = HF_TLI(1);
        decide();
        assert_true(out.write == (owes == 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_failover),
        cmocka_unit_test(surrender_is_proof_at_once),
        cmocka_unit_test(equal_ends_lose_nothing_whatever_was_measured),
        cmocka_unit_test(only_acknowledged_members_are_promotable),
        cmocka_unit_test(silent_candidate_does_not_stop_the_rest),
        cmocka_unit_test(nobody_prepared_nobody_chosen),
        cmocka_unit_test(excess_loss_waits_for_a_person),
        cmocka_unit_test(failed_choice_burns_another_epoch),
        cmocka_unit_test(only_who_was_writable_restarts_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
