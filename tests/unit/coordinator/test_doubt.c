/* SPDX-License-Identifier: Apache-2.0
 *
 * Restored etcd (L12): when records are not believed, and what happens then.
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

static void a_healthy_cluster_is_believed(void **state_)
{
    (void)state_;
    healthy();
    v.term = 40;
    v.control = HF_GENERATION(1);
    v.nodes[US].beat.term = 40;
    v.nodes[US].beat.candidates_known = 2;
    settle();
    assert_string_equal(v.doubt, "");
    decide();
    assert_false(out.write);
}

enum evidence {
    GENERATION,
    EPOCH,
    LED,
    LEADS_LATER,
    LEADS_TOO,
    ACKED,
    KNOWN,
    TERM,
    ANOTHER_ETCD,
    OTHER_CONTROL,
    EVIDENCES
};

static void show(enum evidence e)
{
    struct hf_heartbeat *us = &v.nodes[US].beat;
    switch (e) {
    case GENERATION:
        us->generation = HF_GENERATION(2);
        break;
    case EPOCH:
        us->epoch = HF_EPOCH(2);
        break;
    case LED:
        us->surrendered = HF_EPOCH(2);
        break;
    case LEADS_LATER:
        state.epoch = us->epoch = HF_EPOCH(2); /* a plan was under way in the snapshot */
        us->want_lease = true;
        us->lease_epoch = HF_EPOCH(2);
        break;
    case LEADS_TOO:
        us->want_lease = true;
        us->lease_epoch = HF_EPOCH(1);
        break;
    case ACKED:
        v.nodes[EU].beat.candidates_acked = 3;
        break;
    case KNOWN:
        us->candidates_known = 3;
        break;
    case TERM:
        us->term = 41;
        break;
    case ANOTHER_ETCD:
        v.control_doubt = "RESTORED: etcd is 2, generation 1 was begun in 1";
        break;
    case OTHER_CONTROL:
        v.control = HF_GENERATION(2);
        break;
    case EVIDENCES:
        break;
    }
}

static void any_evidence_stops_everything_for_good(void **state_)
{
    (void)state_;
    for (int e = 0; e < EVIDENCES; e++) {
        healthy();
        v.term = 40;
        v.control = HF_GENERATION(1);
        eu_lost(); /* a failover would begin */
        v.nodes[EU].seen = true;
        show((enum evidence)e);
        settle();
        if (strncmp(v.doubt, "RESTORED: ", 10) != 0) {
            fail_msg("evidence %d is not seen", e);
        }
        decide();
        assert_true(out.write); /* what is written is only that nothing is believed */
        assert_false(out.write_plan);
        assert_string_equal(out.state.doubt, v.doubt);
        assert_int_equal(out.state.epoch.v, state.epoch.v);
        assert_string_equal(out.warning[0], v.doubt);
        written();
        for (int i = 0; i < 3; i++) { /* the evidence goes away; the doubt does not */
            v.nodes[i].seen = false;
        }
        v.control_doubt = NULL;
        v.control = state.generation;
        settle();
        decide();
        assert_false(out.write);
        assert_int_equal(out.commands, 0);
        assert_string_equal(out.warning[0], state.doubt);
    }
}

static void what_an_earlier_generation_knew_is_no_evidence(void **state_)
{
    (void)state_;
    healthy();
    state.generation = HF_GENERATION(2);
    for (int i = 0; i < 3; i++) {
        v.nodes[i].beat.generation = HF_GENERATION(i == AP ? 1 : 2);
    }
    v.nodes[AP].beat.epoch = HF_EPOCH(9);
    v.nodes[AP].beat.candidates_known = 90;
    state.candidates.count = state.acked.count = 1; /* us-1 */
    settle();
    assert_string_equal(v.doubt, "");
    assert_false(v.nodes[AP].seen); /* it counts for nothing */
    decide();
    assert_int_equal(out.commands, 0);
    assert_non_null(strstr(out.warning[out.warnings - 1], "OLD_GENERATION: ap-1"));
}

static void a_running_plan_is_void(void **state_)
{
    (void)state_;
    static const enum hf_step steps[] = {
        HF_STEP_PREPARE, HF_STEP_FENCE,   HF_STEP_SELECT, HF_STEP_GAP,   HF_STEP_LOSS,
        HF_STEP_CONFIRM, HF_STEP_RESERVE, HF_STEP_LEAD,   HF_STEP_ROUTE, HF_STEP_REPOINT,
        HF_STEP_VERIFY,  HF_STEP_DRAIN,   HF_STEP_STOP};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        healthy();
        eu_lost();
        decide();
        written();
        plan.step = steps[i];
        plan.reasons = HF_REASONS_MAX;
        v.nodes[US].beat.epoch = HF_EPOCH(7);
        settle();
        decide();
        assert_true(out.write && out.write_plan);
        assert_int_equal(out.plan.step, HF_STEP_FAILED);
        assert_string_equal(out.plan.reason[out.plan.reasons - 1], v.doubt);
        assert_string_equal(out.state.plan, "");
        assert_string_equal(out.state.doubt, v.doubt);
    }
}

static void nothing_is_granted_or_begun_by_hand(void **state_)
{
    (void)state_;
    struct hf_grant_wait wait = {0};
    struct hf_plan p;
    healthy();
    assert_true(hf_grant_ask(&wait, &state, &v.nodes[EU].name, &v.nodes[EU].beat, v.now));
    (void)snprintf(state.doubt, sizeof state.doubt, "RESTORED: as a test");
    struct hf_grant grant;
    struct hf_outstanding outstanding = {0};
    assert_false(
        hf_grant_give(&wait, &state, v.ttl, v.margin_ppm, 40, v.now, v.now, &outstanding, &grant));
    assert_false(hf_grant_ask(&wait, &state, &v.nodes[EU].name, &v.nodes[EU].beat, v.now));
    settle();
    assert_false(hf_ok(hf_cluster_plan_preview(&v, "", &p, &err)));
    assert_int_equal(strncmp(err.text, "RESTORED", 8), 0);
    assert_false(hf_ok(hf_cluster_plan_request(&v, "", &out, &err)));
    assert_false(hf_ok(hf_cluster_switch_request(&v, "", &out, &err)));
    assert_int_equal(strncmp(err.text, "RESTORED", 8), 0);
}

static void who_knows_more_is_evidence_out_of_the_policy_too(void **state_)
{
    (void)state_;
    healthy();
    policy.node_count = 2;
    v.node_count = 2; /* ap-1 joined after the snapshot */
    v.outside_count = 1;
    v.outside[0] = v.nodes[AP];
    settle();
    assert_string_equal(v.doubt, "");
    v.outside[0].beat.epoch = HF_EPOCH(2);
    settle();
    assert_non_null(strstr(v.doubt, "ap-1 is at epoch 2"));
    v.outside[0].beat.system_id = 43;
    settle();
    assert_string_equal(v.doubt, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_cluster_is_believed),
        cmocka_unit_test(any_evidence_stops_everything_for_good),
        cmocka_unit_test(what_an_earlier_generation_knew_is_no_evidence),
        cmocka_unit_test(a_running_plan_is_void),
        cmocka_unit_test(nothing_is_granted_or_begun_by_hand),
        cmocka_unit_test(who_knows_more_is_evidence_out_of_the_policy_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
