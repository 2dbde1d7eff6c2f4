/* SPDX-License-Identifier: Apache-2.0
 *
 * Leadership: tables of what etcd answers, and when a contender may claim.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "coordinator/core/leadership.h"

#define L_US 6000000

static struct hf_leadership s;
static struct hf_lead_out out;
static int64_t now_us;

static void begin(void)
{
    struct hf_lead_config config = {.ttl = {L_US}, .margin_ppm = 10000};
    (void)snprintf(config.self.s, sizeof config.self.s, "eu");
    now_us = 1000000000;
    hf_leadership_init(&s, &config, (hf_lclk){now_us});
}

static void step(struct hf_lead_event e)
{
    e.request = e.request != 0 ? e.request : s.request;
    hf_leadership_step(&s, &e, (hf_lclk){now_us}, &out);
}

static void tick_after(int64_t us)
{
    now_us += us;
    step((struct hf_lead_event){.kind = HF_LEAD_TICK});
}

static void answer_read(int64_t claim, int64_t renewal, const char *who, int64_t remainder)
{
    struct hf_lead_event e = {.kind = HF_LEAD_READ,
                              .claim_revision = claim,
                              .renewal_revision = renewal,
                              .claim = {.ttl = {L_US}, .remainder = {remainder}}};
    (void)snprintf(e.claim.coordinator.s, sizeof e.claim.coordinator.s, "%s", who);
    step(e);
}

/* Ticks every poll until a claim is sent, answering reads with the same revisions. */
static int64_t until_claim(int64_t claim, int64_t renewal, const char *who, int64_t remainder)
{
    int64_t from = now_us;
    for (int i = 0; i < 1000; i++) {
        if (out.action.kind == HF_LEAD_DO_CLAIM) {
            return now_us - from;
        }
        if (out.action.kind == HF_LEAD_DO_READ) {
            answer_read(claim, renewal, who, remainder);
            continue;
        }
        tick_after(10000);
    }
    fail();
    return 0;
}

static void contender_waits_a_whole_lease_from_first_sight(void **state)
{
    (void)state;
    begin();
    tick_after(0);
    assert_int_equal(out.action.kind, HF_LEAD_DO_READ);
    answer_read(5, 9, "us", 0);
    int64_t waited = until_claim(5, 9, "us", 0);
    assert_true(waited >= hf_lease_wait(HF_US(L_US), 10000).us);
    assert_true(waited < hf_lease_wait(HF_US(L_US), 10000).us + 50000);
    assert_int_equal(out.action.claim_revision, 5);
    assert_int_equal(out.action.renewal_revision, 9);
}

static void a_renewal_starts_the_wait_again(void **state)
{
    (void)state;
    begin();
    tick_after(0);
    answer_read(5, 9, "us", 0);
    tick_after(5900000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_READ);
    answer_read(5, 10, "us", 0);
    int64_t waited = until_claim(5, 10, "us", 0);
    assert_true(waited >= hf_lease_wait(HF_US(L_US), 10000).us);
    assert_int_equal(out.action.renewal_revision, 10);
}

static void missing_and_regressed_keys_wait_too(void **state)
{
    (void)state;
    begin();
    tick_after(0);
    answer_read(5, 9, "us", 0);
    tick_after(6000000);
    answer_read(0, 0, "", 0); /* deleted by hand */
    assert_true(until_claim(0, 0, "", 0) >= L_US);
    begin();
    tick_after(0);
    answer_read(5, 9, "us", 0);
    tick_after(6000000);
    answer_read(3, 4, "ap", 0); /* restored from an older snapshot */
    assert_true(until_claim(3, 4, "ap", 0) >= L_US);
}

static void the_longer_lease_counts(void **state)
{
    (void)state;
    begin();
    tick_after(0);
    struct hf_lead_event e = {.kind = HF_LEAD_READ,
                              .claim_revision = 5,
                              .renewal_revision = 9,
                              .claim = {.ttl = {20000000}}};
    (void)snprintf(e.claim.coordinator.s, sizeof e.claim.coordinator.s, "us");
    step(e);
    int64_t from = now_us;
    while (now_us - from < 20000000) {
        assert_int_not_equal(out.action.kind, HF_LEAD_DO_CLAIM);
        if (out.action.kind == HF_LEAD_DO_READ) {
            step(e);
        } else {
            tick_after(50000);
        }
    }
}

static void release_hands_over_at_once_but_not_the_past(void **state)
{
    (void)state;
    begin();
    tick_after(0);
    answer_read(7, 9, "", 4000000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_CLAIM);
    step((struct hf_lead_event){.kind = HF_LEAD_WON, .revision = 12});
    assert_true(out.became_leader && out.renewed);
    assert_int_equal(s.term, 12);
    assert_true(s.floor.us >= now_us + 4000000);
}

static void leader_renews_on_demand_and_by_itself(void **state)
{
    (void)state;
    release_hands_over_at_once_but_not_the_past(state);
    now_us += 10000;
    step((struct hf_lead_event){.kind = HF_LEAD_DEMAND});
    assert_int_equal(out.action.kind, HF_LEAD_DO_NOTHING); /* not more often than renew_min */
    tick_after(200000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_RENEW);
    int64_t sent = now_us;
    now_us += 300000;
    step((struct hf_lead_event){.kind = HF_LEAD_WON, .revision = 15});
    assert_true(out.renewed);
    assert_int_equal(out.renewal_sent.us, sent); /* not its answer's time (L2) */
    assert_int_equal(s.valid_until.us, sent + L_US);
    tick_after(500000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_NOTHING);
    tick_after(500000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_RENEW);
}

static void who_holds_nothing_waits_less(void **state)
{
    release_hands_over_at_once_but_not_the_past(state);
    tick_after(10000);
    step((struct hf_lead_event){.kind = HF_LEAD_DEMAND, .urgent = true});
    assert_int_equal(out.action.kind, HF_LEAD_DO_NOTHING);
    tick_after(25000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_RENEW);
    /* Arrived after that one was sent: it answers it not (L2), the next follows at once. */
    now_us += 1000;
    step((struct hf_lead_event){.kind = HF_LEAD_DEMAND, .urgent = true});
    now_us += 30000;
    step((struct hf_lead_event){.kind = HF_LEAD_WON, .revision = 15});
    assert_true(out.renewed);
    assert_int_equal(out.action.kind, HF_LEAD_DO_RENEW);
    now_us += 5000;
    step((struct hf_lead_event){.kind = HF_LEAD_WON, .revision = 16});
    tick_after(199999);
    assert_int_equal(out.action.kind, HF_LEAD_DO_NOTHING); /* nobody waits any more */
}

static void unknown_renewal_is_read_back(void **state)
{
    (void)state;
    release_hands_over_at_once_but_not_the_past(state);
    tick_after(1000000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_RENEW);
    step((struct hf_lead_event){.kind = HF_LEAD_UNKNOWN});
    assert_false(out.renewed);
    tick_after(100000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_READ);
    answer_read(12, 20, "eu", 0); /* it had happened */
    assert_int_equal(s.role, HF_LEAD_LEADER);
    tick_after(1000000);
    assert_int_equal(out.action.kind, HF_LEAD_DO_RENEW);
    assert_int_equal(out.action.renewal_revision, 20);
    /* And one that a contender overtook. */
    step((struct hf_lead_event){.kind = HF_LEAD_LOST});
    tick_after(100000);
    answer_read(30, 30, "us", 0);
    assert_true(out.lost_leadership);
    assert_int_equal(s.role, HF_LEAD_FOLLOWER);
}

static void unanswered_leader_stops_acting_by_its_own_clock(void **state)
{
    (void)state;
    release_hands_over_at_once_but_not_the_past(state);
    assert_true(hf_leadership_active(&s, (hf_lclk){now_us}));
    tick_after(1000000);
    now_us += L_US;
    assert_false(hf_leadership_active(&s, (hf_lclk){now_us}));
}

static void late_answers_of_other_requests_are_ignored(void **state)
{
    (void)state;
    release_hands_over_at_once_but_not_the_past(state);
    uint64_t old = s.requests;
    tick_after(1000000);
    step((struct hf_lead_event){.kind = HF_LEAD_WON, .request = old, .revision = 99});
    assert_false(out.renewed);
    assert_int_not_equal(s.renewal_revision, 99);
}

static void a_store_that_went_back_is_noticed_once(void **state)
{
    (void)state;
    begin();
    tick_after(0);
    step((struct hf_lead_event){.kind = HF_LEAD_READ, .claim_revision = 5, .revision = 900});
    assert_false(out.went_back);
    tick_after(1000000);
    step((struct hf_lead_event){.kind = HF_LEAD_UNKNOWN, .revision = 1});
    assert_false(out.went_back); /* an answer that is none says nothing */
    tick_after(1000000);
    step((struct hf_lead_event){.kind = HF_LEAD_READ, .claim_revision = 5, .revision = 900});
    assert_false(out.went_back);
    tick_after(1000000);
    step((struct hf_lead_event){.kind = HF_LEAD_READ, .claim_revision = 3, .revision = 400});
    assert_true(out.went_back);
    assert_int_equal(out.went_back_from, 900);
    assert_int_equal(s.newest, 400);
    tick_after(1000000);
    step((struct hf_lead_event){.kind = HF_LEAD_READ, .claim_revision = 3, .revision = 401});
    assert_false(out.went_back);
}

static void resigning_leaves_what_still_runs(void **state)
{
    (void)state;
    release_hands_over_at_once_but_not_the_past(state);
    now_us += 1000000;
    step((struct hf_lead_event){.kind = HF_LEAD_RESIGN, .remainder = {500000}});
    assert_int_equal(out.action.kind, HF_LEAD_DO_RELEASE);
    /* The inherited remainder (4 s, less one) is longer than its own grants. */
    assert_true(out.action.claim.remainder.us >= 2900000);
    assert_true(hf_name_empty(&out.action.claim.coordinator));
    step((struct hf_lead_event){.kind = HF_LEAD_WON, .revision = 40});
    assert_int_equal(s.role, HF_LEAD_RESIGNED);
    assert_true(out.lost_leadership);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contender_waits_a_whole_lease_from_first_sight),
        cmocka_unit_test(a_renewal_starts_the_wait_again),
        cmocka_unit_test(missing_and_regressed_keys_wait_too),
        cmocka_unit_test(the_longer_lease_counts),
        cmocka_unit_test(release_hands_over_at_once_but_not_the_past),
        cmocka_unit_test(leader_renews_on_demand_and_by_itself),
        cmocka_unit_test(who_holds_nothing_waits_less),
        cmocka_unit_test(unknown_renewal_is_read_back),
        cmocka_unit_test(unanswered_leader_stops_acting_by_its_own_clock),
        cmocka_unit_test(late_answers_of_other_requests_are_ignored),
        cmocka_unit_test(a_store_that_went_back_is_noticed_once),
        cmocka_unit_test(resigning_leaves_what_still_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
