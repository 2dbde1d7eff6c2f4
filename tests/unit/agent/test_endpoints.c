/* SPDX-License-Identifier: Apache-2.0
 *
 * What load balancers are told, as tables: each question against each state of a node, the limits
 * that may be asked for, and how far behind a standby is said to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/health/lag.h"
#include "agent/node/endpoints.h"

static void every_question_of_every_node(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct hf_endpoint_facts facts;
        bool yes[HF_ENDPOINTS]; /* primary, read-write, replica, read-only, health */
    } cases[] = {
        {"primary with a lease",
         {.has_postgresql = true, .answers = true, .lease = true},
         {true, true, false, true, true}},
        {"writable, and the lease is over",
         {.has_postgresql = true, .answers = true},
         {false, false, false, false, true}},
        {"standby",
         {.has_postgresql = true, .answers = true, .in_recovery = true},
         {false, false, true, true, true}},
        {"about to be promoted: the lease is there first",
         {.has_postgresql = true, .answers = true, .in_recovery = true, .lease = true},
         {false, false, true, true, true}},
        {"down, its lease still good",
         {.has_postgresql = true, .lease = true},
         {false, false, false, false, false}},
        {"archive region", {.has_postgresql = false}, {false, false, false, false, true}},
    };
    static const struct hf_endpoint_limit none = {.has_bytes = false};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int e = 0; e < HF_ENDPOINTS; e++) {
            if (hf_endpoint_answer((enum hf_endpoint)e, &cases[i].facts, &none) !=
                cases[i].yes[e]) {
                fail_msg("%s: %s", cases[i].what, HF_ENDPOINT_PATHS[e]);
            }
        }
    }
}

static void a_limit_is_for_standbys(void **state)
{
    (void)state;
    static const struct hf_endpoint_limit bytes = {.has_bytes = true, .bytes = 1000};
    static const struct hf_endpoint_limit time = {.has_time = true, .time = {5000000}};
    struct hf_endpoint_facts f = {.has_postgresql = true, .answers = true, .in_recovery = true};
    assert_false(hf_endpoint_answer(HF_ENDPOINT_REPLICA, &f, &bytes)); /* not known */
    assert_false(hf_endpoint_answer(HF_ENDPOINT_READ_ONLY, &f, &time));
    assert_true(hf_endpoint_answer(HF_ENDPOINT_HEALTH, &f, &time));
    f.lag_bytes_known = true;
    f.lag_bytes = 1000;
    assert_true(hf_endpoint_answer(HF_ENDPOINT_REPLICA, &f, &bytes));
    assert_false(hf_endpoint_answer(HF_ENDPOINT_REPLICA, &f, &time));
    f.lag_bytes = 1001;
    assert_false(hf_endpoint_answer(HF_ENDPOINT_REPLICA, &f, &bytes));
    f.lag_time_known = true;
    f.lag_time = HF_SEC(5);
    assert_true(hf_endpoint_answer(HF_ENDPOINT_READ_ONLY, &f, &time));
    f.lag_time = HF_US(5000001);
    assert_false(hf_endpoint_answer(HF_ENDPOINT_READ_ONLY, &f, &time));
    f.in_recovery = false;
    f.lease = true; /* a primary is not behind anybody */
    assert_true(hf_endpoint_answer(HF_ENDPOINT_READ_ONLY, &f, &time));
}

static void limits_as_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
        int64_t us;
    } good[] = {
        {"10MB", 10 << 20, 0}, {"0", 0, 0},          {"16777216", 16777216, 0}, {"1kB", 1024, 0},
        {"5s", 0, 5000000},    {"500ms", 0, 500000}, {"2m", 0, 120000000},
    };
    static const char *const bad[] = {"",
                                      "B",
                                      "-1",
                                      "10 MB",
                                      "5 apples",
                                      "10mb",
                                      "-5s",
                                      "MB5",
                                      "s",
                                      "1e3",
                                      "99999999999999999999",
                                      "99999999999TB"};
    struct hf_endpoint_limit limit;
    struct hf_err err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!hf_ok(hf_endpoint_limit_parse(good[i].text, &limit, &err))) {
            fail_msg("%s: %s", good[i].text, err.text);
        }
        assert_int_equal(limit.bytes, good[i].bytes);
        assert_int_equal(limit.time.us, good[i].us);
        assert_int_equal(limit.has_time, good[i].us != 0);
        assert_int_equal(limit.has_bytes, good[i].us == 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (hf_endpoint_limit_parse(bad[i], &limit, &err).code != HF_E_INVALID) {
            fail_msg("\"%s\" is taken", bad[i]);
        }
    }
    enum hf_endpoint e;
    assert_true(hf_ok(hf_endpoint_find("/read-only", &e)));
    assert_int_equal(e, HF_ENDPOINT_READ_ONLY);
    assert_false(hf_ok(hf_endpoint_find("/primary/", &e)));
    assert_false(hf_ok(hf_endpoint_find("/", &e)));
}

/* --- lag --- */

static struct hf_pg_observation standby(int64_t clock_s, uint64_t upstream, uint64_t replayed)
{
    return (struct hf_pg_observation){.running = true,
                                      .known = true,
                                      .in_recovery = true,
                                      .streaming = upstream != 0,
                                      .timeline = HF_TLI(1),
                                      .written = HF_LSN(replayed),
                                      .replayed = HF_LSN(replayed),
                                      .upstream = HF_LSN(upstream),
                                      .clock_us = clock_s * 1000000};
}

static hf_lclk at(int64_t s)
{
    return (hf_lclk){s * 1000000};
}

static void assert_lag(const struct hf_lag *lag, int64_t now_s, int64_t bytes, int64_t seconds)
{
    uint64_t b = 0;
    hf_dur t = {0};
    assert_int_equal(hf_lag_bytes(lag, at(now_s), &b), bytes >= 0);
    assert_int_equal(hf_lag_time(lag, at(now_s), &t), seconds >= 0);
    assert_int_equal(b, bytes >= 0 ? bytes : 0);
    assert_int_equal(t.us, seconds >= 0 ? seconds * 1000000 : 0);
}

static void note(struct hf_lag *lag, struct hf_pg_observation o)
{
    hf_lag_note(lag, &o);
}

static void lag_is_counted_from_what_was_heard(void **state)
{
    (void)state;
    struct hf_lag lag = {.count = 0};
    assert_lag(&lag, 100, -1, -1);
    note(&lag, standby(100, 5000, 4000)); /* behind from the start: since when is not known */
    assert_lag(&lag, 100, 1000, -1);
    note(&lag, standby(102, 6000, 5000)); /* has what it heard of at 100 */
    assert_lag(&lag, 102, 1000, 2);
    assert_lag(&lag, 103, 1000, 3);
    note(&lag, standby(104, 7000, 5999));
    assert_lag(&lag, 104, 1001, 4);
    note(&lag, standby(105, 7000, 7000));
    assert_lag(&lag, 105, 0, 0);
}

static void silence_is_not_taken_for_nearness(void **state)
{
    (void)state;
    struct hf_lag lag = {.count = 0};
    struct hf_pg_observation o = standby(100, 5000, 5000);
    note(&lag, o);
    for (int64_t s = 101; s <= 140; s++) { /* streaming, as far as the receiver knows */
        o.clock_us = s * 1000000;
        o.heard_ago = HF_SEC(s - 100);
        note(&lag, o);
        assert_lag(&lag, s, s <= 135 ? 0 : -1, s - 100);
    }
    o.streaming = false; /* it noticed */
    o.upstream = HF_LSN(0);
    note(&lag, o);
    assert_lag(&lag, 141, -1, 41);
    note(&lag, standby(142, 9000, 5000)); /* back, behind */
    assert_lag(&lag, 142, 4000, 42);
    note(&lag, standby(143, 9000, 9000));
    assert_lag(&lag, 143, 0, 0);
}

static void another_timeline_or_role_begins_anew(void **state)
{
    (void)state;
    struct hf_lag lag = {.count = 0};
    note(&lag, standby(100, 5000, 5000));
    struct hf_pg_observation o = standby(101, 9000, 5000);
    o.timeline = HF_TLI(2);
    note(&lag, o);
    assert_lag(&lag, 101, 4000, -1);
    note(&lag, standby(102, 5000, 5000));
    o.in_recovery = false;
    note(&lag, o);
    assert_lag(&lag, 103, -1, -1);
}

static void many_marks_only_widen_the_bound(void **state)
{
    (void)state;
    struct hf_lag lag = {.count = 0};
    note(&lag, standby(1000, 1000, 1000));
    for (int64_t i = 1; i <= 1000; i++) { /* replay stands still */
        note(&lag, standby(1000 + i, (uint64_t)(1000 + i), 1000));
        assert_true(lag.count <= HF_LAG_MARKS);
    }
    assert_lag(&lag, 2000, 1000, 1000);
    note(&lag, standby(2001, 2001, 1500));
    hf_dur t = {0};
    assert_true(hf_lag_time(&lag, at(2001), &t));
    assert_in_range(t.us, 501 * INT64_C(1000000), 1001 * INT64_C(1000000));
    note(&lag, standby(2002, 2002, 2002));
    assert_lag(&lag, 2002, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_question_of_every_node),
        cmocka_unit_test(a_limit_is_for_standbys),
        cmocka_unit_test(limits_as_written),
        cmocka_unit_test(lag_is_counted_from_what_was_heard),
        cmocka_unit_test(silence_is_not_taken_for_nearness),
        cmocka_unit_test(another_timeline_or_role_begins_anew),
        cmocka_unit_test(many_marks_only_widen_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
