/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/core/json.h"
#include "common/core/policy.h"

/* The sample of docs/api.md. */
#define SAMPLE                                                                                     \
    "{\"version\":1,\"tenant\":\"demo\",\"name\":\"main\",\"nodes\":{\"eu-1\":{\"region\":\"eu\"}" \
    ","                                                                                            \
    "\"us-1\":{\"region\":\"us\"},\"ap-1\":{\"region\":\"ap\"}},\"level\":\"manage\","             \
    "\"bootstrap\":{\"kind\":\"adopt\",\"name\":\"eu-1\"},\"rpo\":{\"target_ms\":\"5000\","        \
    "\"enforcement\":\"alert\",\"unknown\":\"alert\"},\"rto\":{\"target_ms\":\"60000\"},"          \
    "\"failover\":{\"mode\":\"automatic\",\"prefer\":[\"us\",\"ap\"],\"exclude\":[],\"max_loss\":" \
    "{\"time_ms\":\"30000\",\"wal_bytes\":\"67108864\"},\"on_excess_loss\":\"wait\"},"             \
    "\"wal\":{\"acknowledge\":\"own\",\"others\":0},\"route\":{\"provider\":\"pdns\",\"name\":"    \
    "\"db.main.hf.test.\",\"type\":\"A\",\"ttl_ms\":\"2000\"},\"backups\":[{\"name\":\"nightly\"," \
    "\"type\":\"full\",\"cron\":\"0 2 * * *\",\"zone\":\"UTC\",\"from\":\"standby\",\"keep\":"     \
    "{\"last\":7}}]}"

static hf_result from_text(const char *text, struct hf_policy *ret, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = NULL;
    HF_TRY(hf_json_parse(text, strlen(text), HF_POLICY_JSON_MAX, &v, err));
    return hf_policy_from_json(v, ret, err);
}

static void to_text(const struct hf_policy *p, struct hf_buf *out)
{
    HF_AUTOJSON hf_json *v = hf_policy_to_json(p);
    assert_true(hf_ok(hf_json_write(v, out, NULL)));
}

static void round_trip(void **state)
{
    (void)state;
    struct hf_policy p = {0};
    struct hf_err err = {0};
    if (!hf_ok(from_text(SAMPLE, &p, &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(p.node_count, 3);
    assert_string_equal(hf_policy_node(&p, "us-1")->region.s, "us");
    assert_int_equal(p.level, HF_LEVEL_MANAGE);
    assert_int_equal(p.rpo.target.us, 5000000);
    assert_int_equal(p.failover.max_loss_wal, 64 << 20);
    assert_int_equal(p.failover.max_loss_time.us, 30000000);
    assert_true(p.route.present);
    assert_int_equal(p.backups[0].keep_last, 7);
    HF_BUF(out, HF_POLICY_JSON_MAX);
    to_text(&p, &out);
    assert_string_equal(hf_buf_text(&out), SAMPLE);
}

static void defaults_and_no_limits(void **state)
{
    (void)state;
    struct hf_policy p;
    struct hf_policy again;
    memset(&p, 0, sizeof p);
    memset(&again, 0, sizeof again);
    assert_true(hf_ok(from_text("{\"version\":1,\"tenant\":\"t\",\"name\":\"c\",\"nodes\":{\"n\":"
                                "{\"region\":\"r\"}},\"bootstrap\":{\"kind\":\"init\",\"name\":"
                                "\"n\"}}",
                                &p, NULL)));
    assert_int_equal(p.version, HF_POLICY_VERSION);
    assert_int_equal(p.level, HF_LEVEL_OBSERVE);
    assert_true(p.failover.max_loss_time.us == INT64_MAX);
    assert_true(p.failover.max_loss_wal == UINT64_MAX);
    assert_false(p.route.present);
    assert_int_equal(p.rto_target.us, 60000000);
    HF_BUF(out, HF_POLICY_JSON_MAX);
    to_text(&p, &out);
    assert_non_null(strstr(hf_buf_text(&out), "\"time_ms\":null,\"wal_bytes\":null"));
    assert_true(hf_ok(from_text(hf_buf_text(&out), &again, NULL)));
    assert_memory_equal(&p, &again, sizeof p);
}

/* Each replaces a piece of the sample. */
static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        const char *instead;
        const char *message;
    } cases[] = {
        {"\"version\":1", "\"version\":2", "policy version 2"},
        {"\"version\":1,", "", "\"version\" is missing"},
        {"\"tenant\":\"demo\"", "\"tenant\":\"De\"", "not a name"},
        {"\"level\":\"manage\"", "\"level\":\"rule\"", "unknown value \"rule\""},
        {"\"level\"", "\"lvl\"", "unknown member \"lvl\""},
        {"\"us-1\":{\"region\":\"us\"}", "\"us-1\":{}", "\"region\" is missing"},
        {"\"us-1\":{\"region\":\"us\"}", "\"us-1\":{\"region\":\"us\",\"x\":1}", "unknown member"},
        {"\"name\":\"eu-1\"", "\"name\":\"eu-9\"", "bootstrap: \"eu-9\" is not one of the nodes"},
        {"\"prefer\":[\"us\",\"ap\"]", "\"prefer\":[\"us\",\"xx\"]", "failover.prefer: no node"},
        {"\"prefer\":[\"us\",\"ap\"]", "\"prefer\":[\"us\",\"us\"]", "given twice"},
        {"\"exclude\":[]", "\"exclude\":[\"us\"]", "both preferred and excluded"},
        {"\"exclude\":[]", "\"exclude\":[7]", "not a name"},
        {"\"target_ms\":\"5000\"", "\"target_ms\":\"-1\"", "out of bounds"},
        {"\"target_ms\":\"5000\"", "\"target_ms\":\"x\"", "target_ms"},
        {"\"target_ms\":\"5000\"", "\"target_ms\":\"9223372036854775807\"", "out of bounds"},
        {"\"acknowledge\":\"own\"", "\"acknowledge\":\"other\"", "other:0"},
        {"\"others\":0", "\"others\":8", "allowed: 0 to 7"},
        {"\"db.main.hf.test.\"", "\"db.main.hf.test\"", "route.name"},
        {"\"db.main.hf.test.\"", "\"db..test.\"", "route.name"},
        {"\"ttl_ms\":\"2000\"", "\"ttl_ms\":\"1500\"", "route.ttl"},
        {"\"provider\":\"pdns\",", "", "\"provider\" is missing"},
        {"0 2 * * *", "0 2 * *", "backups[0].cron"},
        {"0 2 * * *", "@never", "backups[0].cron"},
        {"0 2 * * *", "0 2 * * $", "backups[0].cron"},
        {"\"last\":7", "\"last\":-7", "allowed: 0 to 10000"},
        {"\"bootstrap\":{\"kind\":\"adopt\",", "\"bootstrap\":{", "\"kind\" is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *at = strstr(SAMPLE, cases[i].piece);
        assert_non_null(at);
        HF_BUF(text, HF_POLICY_JSON_MAX);
        assert_true(hf_ok(hf_buf_append(&text, SAMPLE, (size_t)(at - SAMPLE), NULL)));
        assert_true(hf_ok(hf_buf_append_str(&text, cases[i].instead, NULL)));
        assert_true(hf_ok(hf_buf_append_str(&text, at + strlen(cases[i].piece), NULL)));
        struct hf_policy p = {.node_count = 99};
        struct hf_err err = {0};
        hf_result r = from_text(hf_buf_text(&text), &p, &err);
        if (hf_ok(r) || strstr(err.text, cases[i].message) == NULL) {
            fail_msg("%s -> %s: \"%s\"", cases[i].piece, cases[i].instead, err.text);
        }
        assert_int_equal(p.node_count, 99);
    }
}

static void promises_that_nobody_keeps_are_refused(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_policy p;
    hf_policy_init(&p);
    p.bootstrap.kind = HF_BOOTSTRAP_ADOPT;
    assert_true(hf_ok(hf_policy_check_enforced(&p, &err)));
    p.rpo.enforcement = HF_ENFORCE_BLOCK;
    assert_int_equal(hf_policy_check_enforced(&p, &err).code, HF_E_REFUSED);
    p.rpo.enforcement = HF_ENFORCE_ALERT;
    p.rpo.unknown = HF_ENFORCE_THROTTLE;
    assert_int_equal(hf_policy_check_enforced(&p, &err).code, HF_E_REFUSED);
    p.rpo.unknown = HF_ENFORCE_ALERT;
    p.acknowledge.kind = HF_ACKNOWLEDGE_ALL;
    assert_int_equal(hf_policy_check_enforced(&p, &err).code, HF_E_REFUSED);
    p.acknowledge.kind = HF_ACKNOWLEDGE_OWN;
    p.bootstrap.kind = HF_BOOTSTRAP_INIT;
    assert_int_equal(hf_policy_check_enforced(&p, &err).code, HF_E_REFUSED);
    p.bootstrap.kind = HF_BOOTSTRAP_ADOPT;
    p.level = HF_LEVEL_ROUTE;
    assert_int_equal(hf_policy_check_enforced(&p, &err).code, HF_E_REFUSED);
    assert_non_null(strstr(err.text, "NOT_ENFORCED: level"));
}

static void a_level_is_raised_but_never_lowered_from_manage(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_policy from;
    struct hf_policy to;
    hf_policy_init(&from);
    hf_policy_init(&to);
    for (int a = HF_LEVEL_OBSERVE; a <= HF_LEVEL_MANAGE; a++) {
        for (int b = HF_LEVEL_OBSERVE; b <= HF_LEVEL_MANAGE; b++) {
            from.level = (enum hf_level)a;
            to.level = (enum hf_level)b;
            bool lowered = a == HF_LEVEL_MANAGE && b < HF_LEVEL_MANAGE;
            assert_int_equal(hf_policy_check_change(&from, &to, &err).code,
                             lowered ? HF_E_REFUSED : HF_OK);
            if (lowered) {
                assert_memory_equal(err.text, "LEVEL_LOWERED: ", 15);
            }
        }
    }
}

static void preferences(void **state)
{
    (void)state;
    struct hf_policy p = {0};
    assert_true(hf_ok(from_text(SAMPLE, &p, NULL)));
    assert_int_equal(hf_policy_preference(&p, &(hf_name){"us"}), 0);
    assert_int_equal(hf_policy_preference(&p, &(hf_name){"ap"}), 1);
    assert_int_equal(hf_policy_preference(&p, &(hf_name){"eu"}), 2);
    p.failover.exclude.v[p.failover.exclude.count++] = (hf_name){"eu"};
    assert_true(hf_policy_excluded(&p, &(hf_name){"eu"}));
    assert_false(hf_policy_excluded(&p, &(hf_name){"us"}));
    struct hf_policy_regions regions;
    hf_policy_node_regions(&p, &regions);
    assert_int_equal(regions.count, 3);
    assert_string_equal(regions.v[0].s, "eu");
}

static void schedules(void **state)
{
    (void)state;
    static const char *const good[] = {"", "@daily", "0 2 * * *", "*/5  1-3 1,15 jan MON#1",
                                       "0 0 L * 6#1"};
    static const char *const bad[] = {"daily", "@", "* * * *", "* * * * * *", "0 2 * * ;"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(hf_ok(hf_policy_check_cron(good[i], NULL)));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(hf_policy_check_cron(bad[i], NULL).code, HF_E_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(defaults_and_no_limits),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(preferences),
        cmocka_unit_test(schedules),
        cmocka_unit_test(promises_that_nobody_keeps_are_refused),
        cmocka_unit_test(a_level_is_raised_but_never_lowered_from_manage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
