/* SPDX-License-Identifier: Apache-2.0
 *
 * Switchover: what refuses it, the order of its steps, and that it is lossless or goes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/coordinator/cluster_scene.h"

static void refused(const char *wish, const char *rule)
{
    struct hf_err err = {0};
    struct hf_plan p;
    assert_int_equal(hf_cluster_switch_preview(&v, wish, &p, &err).code, HF_E_REFUSED);
    if (strncmp(err.text, rule, strlen(rule)) != 0) {
        fail_msg("\"%s\" instead of %s", err.text, rule);
    }
    memset(&out, 0, sizeof out);
    assert_int_equal(hf_cluster_switch_request(&v, wish, &out, &err).code, HF_E_REFUSED);
    assert_false(out.write);
}

static void ask(const char *wish)
{
    struct hf_err err = {0};
    memset(&out, 0, sizeof out);
    if (!hf_ok(hf_cluster_switch_request(&v, wish, &out, &err))) {
        fail_msg("%s", err.text);
    }
    written();
}

/* The primary's agent says what became of a command. */
static void op(const char *id, enum hf_op_status status, const char *error)
{
    struct hf_heartbeat *b = &v.nodes[EU].beat;
    (void)snprintf(b->op, sizeof b->op, "%s", id);
    b->op_status = status;
    (void)snprintf(b->op_error, sizeof b->op_error, "%s", error);
}

static void what_refuses_it(void **state_)
{
    (void)state_;
    healthy();
    refused("mars", "NO_TARGET");
    refused("eu-1", "NO_TARGET"); /* it leads already */
    v.nodes[US].beat.streaming = false;
    refused("us", "NO_TARGET: us-1 does not stream");
    healthy();
    v.nodes[EU].beat.flushed = HF_LSN(0x5000 + (17 << 20));
    refused("", "NO_TARGET");
    healthy();
    state.acked.count = 1; /* ap-1 is not acknowledged yet */
    refused("ap", "NO_TARGET: ap-1 is no acknowledged candidate");
    healthy();
    policy.failover.exclude.count = 1;
    policy.failover.exclude.v[0] = name("us");
    refused("us-1", "NO_TARGET: us-1 is in an excluded region");
    healthy();
    v.nodes[EU].beat.lease_remaining = HF_US(0);
    refused("", "NO_PRIMARY");
    healthy();
    silence(EU, 4000000);
    refused("", "NO_PRIMARY");
    healthy();
    v.nodes[EU].beat.repository_known = true;
    refused("", "ARCHIVE");
    healthy();
    state.paused = true;
    refused("", "PAUSED");
    healthy();
    (void)snprintf(state.plan, sizeof state.plan, "f-0001");
    refused("", "PLAN_RUNS: f-0001");
    healthy();
    policy.level = HF_LEVEL_ROUTE;
    refused("", "LEVEL");
}

static void the_nearest_or_the_preferred_is_the_target(void **state_)
{
    (void)state_;
    struct hf_err err = {0};
    struct hf_plan p;
    healthy();
    v.nodes[EU].beat.flushed = HF_LSN(0x6000);
    assert_true(hf_ok(hf_cluster_switch_preview(&v, "", &p, &err)));
    assert_string_equal(p.to.s, "us-1"); /* equal: preferred */
    v.nodes[AP].beat.flushed = HF_LSN(0x5800);
    assert_true(hf_ok(hf_cluster_switch_preview(&v, "", &p, &err)));
    assert_string_equal(p.to.s, "ap-1");
    assert_true(hf_ok(hf_cluster_switch_preview(&v, "us", &p, &err)));
    assert_string_equal(p.to.s, "us-1");
    assert_true(p.loss.known && p.loss.bytes == 0);
}

static void clients_are_left_alone_until_it_is_drained(void **state_)
{
    (void)state_;
    healthy();
    ask("us");
    assert_int_equal(plan.kind, HF_PLAN_SWITCHOVER);
    assert_int_equal(plan.step, HF_STEP_DRAIN);
    assert_int_equal(state.epoch.v, 1); /* grants go on */
    assert_string_equal(state.primary.s, "eu-1");
    decide();
    const struct hf_command *c = command_to(EU, HF_COMMAND_DRAIN);
    assert_non_null(c);
    assert_int_equal(c->epoch.v, 1);
    assert_int_equal(out.commands, 1);
    op(c->id, HF_OP_RUNNING, "");
    decide();
    assert_false(out.write);
    op(c->id, HF_OP_DONE, "");
    v.nodes[US].beat.streaming = false; /* the target is away just now */
    decide();
    assert_false(out.write);
    v.nodes[US].beat.streaming = true;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_STOP);
    assert_int_equal(state.epoch.v, 1);
}

static void what_is_not_drained_ends_without_effect(void **state_)
{
    (void)state_;
    healthy();
    ask("us");
    op("drain.s-0001", HF_OP_FAILED, "ARCHIVE: 000000010000000000000007 is not archived");
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FAILED);
    assert_string_equal(state.plan, "");
    assert_int_equal(state.epoch.v, 1);
    decide();
    assert_false(out.write); /* the primary leads on */

    healthy();
    ask("us");
    v.now.us += 91000000;
    for (int i = 0; i < 3; i++) {
        v.nodes[i].seen_at = v.now;
    }
    v.outstanding.until = (hf_lclk){v.now.us + 5000000};
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FAILED);
}

static void a_primary_lost_while_draining_is_a_failover(void **state_)
{
    (void)state_;
    healthy();
    ask("us");
    eu_lost();
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FAILED);
    decide();
    written();
    assert_int_equal(plan.kind, HF_PLAN_FAILOVER);
    assert_int_equal(state.epoch.v, 2);
}

/* Up to the selection: the primary stopped and reports `old_end`. */
static void stopped(uint64_t old_end)
{
    healthy();
    ask("us");
    op("drain.s-0001", HF_OP_DONE, "");
    decide();
    written();
    decide();
    const struct hf_command *c = command_to(EU, HF_COMMAND_STOP);
    assert_non_null(c);
    assert_int_equal(c->epoch.v, 1);
    op(c->id, HF_OP_RUNNING, "");
    node(EU, HF_NODE_STOPPING);
    decide();
    assert_false(out.write);
    assert_int_equal(out.commands, 0);
    node(EU, HF_NODE_DOWN);
    v.nodes[EU].beat.want_lease = false;
    v.nodes[EU].beat.surrendered = HF_EPOCH(1);
    v.nodes[EU].beat.surrendered_serial = 1;
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_PREPARE);
    assert_int_equal(state.epoch.v, 2); /* burnt only now */
    assert_int_equal(plan.epoch.v, 2);
    prepare_answers(EU, old_end);
}

static void to_the_choice(void)
{
    for (int i = 0; i < 4 && plan.step != HF_STEP_LEAD && plan.step != HF_STEP_CONFIRM; i++) {
        decide();
        written();
    }
    for (int i = 0; i < 4 && plan.step != HF_STEP_LEAD && plan.step != HF_STEP_CONFIRM; i++) {
        decide();
        written();
    }
}

static void the_target_that_has_the_last_checkpoint_leads(void **state_)
{
    (void)state_;
    stopped(0x7000);
    prepare_answers(US, 0x7000);
    prepare_answers(AP, 0x7000);
    to_the_choice();
    assert_int_equal(plan.step, HF_STEP_LEAD);
    assert_string_equal(plan.to.s, "us-1");
    assert_true(plan.loss.known && plan.loss.bytes == 0);
    assert_int_equal(plan.timeline.v, 2);
}

static void without_it_the_old_one_leads_again(void **state_)
{
    (void)state_;
    stopped(0x7000);
    prepare_answers(US, 0x6ff8);
    prepare_answers(AP, 0x7000); /* has it, but nobody asked for that one */
    to_the_choice();
    assert_int_equal(plan.step, HF_STEP_LEAD);
    assert_string_equal(plan.to.s, "eu-1");
    decide();
    const struct hf_command *c = command_to(EU, HF_COMMAND_LEAD);
    assert_non_null(c);
    assert_int_equal(c->epoch.v, 2);
    assert_non_null(strstr(c->body, "in_place"));
}

static void an_end_that_is_not_known_is_a_failover_within_the_policy(void **state_)
{
    (void)state_;
    stopped(0x7000);
    v.nodes[EU].beat.state = HF_NODE_DOWN;
    v.nodes[EU].beat.final_known = false;
    v.nodes[EU].beat.prepared = HF_EPOCH(0);
    prepare_answers(US, 0x6000);
    prepare_answers(AP, 0x6800);
    silence(EU, 7000000);
    policy.failover.max_loss_wal = 0;
    policy.failover.max_loss_time = HF_US(0);
    policy.failover.on_excess_loss = HF_EXCESS_WAIT;
    to_the_choice();
    assert_int_equal(plan.step, HF_STEP_CONFIRM); /* unknown loss: a person, asked for or not */
    assert_string_equal(plan.to.s, "ap-1");       /* the furthest */
}

static void a_refused_stop_leaves_the_primary_leading(void **state_)
{
    (void)state_;
    healthy();
    ask("us");
    op("drain.s-0001", HF_OP_DONE, "");
    decide();
    written();
    op("stop.s-0001", HF_OP_FAILED, "NOT_LEADING: no");
    decide();
    written();
    assert_int_equal(plan.step, HF_STEP_FAILED);
    assert_int_equal(state.epoch.v, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_refuses_it),
        cmocka_unit_test(the_nearest_or_the_preferred_is_the_target),
        cmocka_unit_test(clients_are_left_alone_until_it_is_drained),
        cmocka_unit_test(what_is_not_drained_ends_without_effect),
        cmocka_unit_test(a_primary_lost_while_draining_is_a_failover),
        cmocka_unit_test(the_target_that_has_the_last_checkpoint_leads),
        cmocka_unit_test(without_it_the_old_one_leads_again),
        cmocka_unit_test(an_end_that_is_not_known_is_a_failover_within_the_policy),
        cmocka_unit_test(a_refused_stop_leaves_the_primary_leading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
