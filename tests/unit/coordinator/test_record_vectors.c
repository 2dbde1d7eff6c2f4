/* SPDX-License-Identifier: Apache-2.0
 *
 * The committed records of tests/data/protocol: what coordinators keep in etcd (docs/protocol.md,
 * sections 4 and 5), one value a file. Ours must write the same bytes and read them back.
 * With HF_UPDATE_DOCS=1 the files are written anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "coordinator/core/cluster.h"
#include "coordinator/core/leadership.h"

static hf_name name(const char *text)
{
    hf_name n = {0};
    (void)snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

static struct hf_candidates candidates(uint64_t version)
{
    return (struct hf_candidates){
        .version = version, .count = 2, .members = {name("us-1"), name("ap-1")}};
}

/* Every member has a value of its own, so that two that are mixed up are noticed. */
static struct hf_cluster_state a_state(void)
{
    struct hf_cluster_state s = {.generation = {1},
                                 .epoch = {3},
                                 .primary = name("us-1"),
                                 .primary_epoch = {2},
                                 .timeline = {4},
                                 .fork = {0x7019D18},
                                 .parent = {5},
                                 .reserved = {6},
                                 .system_id = 7300000000000000001,
                                 .fenced = {1},
                                 .owes = true,
                                 .owed = {.known = true, .bytes = 31744, .time = {400000}},
                                 .candidates = candidates(8),
                                 .acked = candidates(7),
                                 .plan = "f-0009",
                                 .plans = 9,
                                 .paused = true,
                                 .doubt = "RESTORED: us-1 is at epoch 3, etcd says 1",
                                 .follow = candidates(10)};
    return s;
}

static struct hf_plan a_plan(void)
{
    struct hf_plan p = {.id = "f-0009",
                        .kind = HF_PLAN_FAILOVER,
                        .step = HF_STEP_LEAD,
                        .epoch = {3},
                        .from = name("eu-1"),
                        .from_epoch = {2},
                        .to = name("us-1"),
                        .wish = "us",
                        .requested = true,
                        .confirmed = true,
                        .timeline = {6},
                        .parent = {5},
                        .fork = {0x7019D18},
                        .loss = {.known = true, .bytes = 31744, .time = {400000}},
                        .reasons = 2,
                        .reason = {"NODE_SILENT: eu-1 for 6.5 s > 6.1 s",
                                   "FURTHEST: us-1 ends at 0/7019D18 on timeline 5"},
                        .detected_us = 1795221072250000,
                        .heard_us = 1795221065750000,
                        .writable_us = 1795221073000000};
    p.entered_us[HF_STEP_PREPARE] = 1795221072250001;
    p.entered_us[HF_STEP_LEAD] = 1795221072800000;
    return p;
}

static struct hf_lead_claim a_claim(void)
{
    struct hf_lead_claim c = {.coordinator = name("us"), .ttl = {6000000}, .remainder = {2500000}};
    (void)snprintf(c.url, sizeof c.url, "https://127.0.2.1:7444");
    return c;
}

static void is_committed(const char *file, const struct hf_buf *bytes)
{
    char path[128];
    char text[16384];
    (void)snprintf(path, sizeof path, "data/protocol/%s", file);
    const char *update = getenv("HF_UPDATE_DOCS");
    if (update != NULL && strcmp(update, "1") == 0) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(bytes->data, 1, bytes->len, out), bytes->len);
        assert_int_equal(fputc('\n', out), '\n');
        assert_int_equal(fclose(out), 0);
    }
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    size_t n = fread(text, 1, sizeof text, in);
    (void)fclose(in);
    assert_int_equal(n, bytes->len + 1); /* a newline ends the file, not the value */
    assert_memory_equal(text, bytes->data, bytes->len);
}

static void the_state_is_the_committed_one(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_cluster_state s = a_state();
    struct hf_cluster_state got;
    HF_BUF(bytes, 16384);
    HF_BUF(again, 16384);
    assert_true(hf_ok(hf_cluster_state_encode(&s, &bytes, &err)));
    is_committed("state.json", &bytes);
    assert_true(hf_ok(hf_cluster_state_decode((const char *)bytes.data, bytes.len, &got, &err)));
    assert_true(hf_ok(hf_cluster_state_encode(&got, &again, &err)));
    assert_string_equal(hf_buf_text(&again), hf_buf_text(&bytes));
    assert_int_equal(got.owed.time.us, 400000);
    assert_int_equal(got.acked.version, 7);
}

static void the_plan_is_the_committed_one(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_plan p = a_plan();
    struct hf_plan got;
    HF_BUF(bytes, 16384);
    HF_BUF(again, 16384);
    assert_true(hf_ok(hf_plan_encode(&p, &bytes, &err)));
    is_committed("plan.json", &bytes);
    assert_true(hf_ok(hf_plan_decode((const char *)bytes.data, bytes.len, &got, &err)));
    assert_true(hf_ok(hf_plan_encode(&got, &again, &err)));
    assert_string_equal(hf_buf_text(&again), hf_buf_text(&bytes));
    assert_int_equal(got.step, HF_STEP_LEAD);
    assert_int_equal(got.entered_us[HF_STEP_LEAD], 1795221072800000);
}

static void the_claim_and_the_renewal_are_the_committed_ones(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_lead_claim c = a_claim();
    struct hf_lead_claim got;
    hf_dur ttl = {0};
    HF_BUF(claim, 4096);
    HF_BUF(renewal, 4096);
    assert_true(hf_ok(hf_lead_claim_encode(&c, &claim, &err)));
    is_committed("claim.json", &claim);
    assert_true(hf_ok(hf_lead_claim_decode((const char *)claim.data, claim.len, &got, &err)));
    assert_string_equal(got.coordinator.s, "us");
    assert_string_equal(got.url, c.url);
    assert_int_equal(got.ttl.us, 6000000);
    assert_int_equal(got.remainder.us, 2500000);
    assert_true(hf_ok(hf_lead_renewal_encode(HF_SEC(6), &renewal, &err)));
    is_committed("renewal.json", &renewal);
    assert_true(hf_ok(hf_lead_renewal_decode((const char *)renewal.data, renewal.len, &ttl, &err)));
    assert_int_equal(ttl.us, 6000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_is_the_committed_one),
        cmocka_unit_test(the_plan_is_the_committed_one),
        cmocka_unit_test(the_claim_and_the_renewal_are_the_committed_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
