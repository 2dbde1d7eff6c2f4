/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "coordinator/api/target.h"

static void requests_name_operations(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *path;
        enum hf_code code;
        enum hf_api_op op;
    } rows[] = {
        {"GET", "/v1/version", HF_OK, HF_API_VERSION},
        {"HEAD", "/v1/version", HF_OK, HF_API_VERSION},
        {"GET", "/metrics", HF_OK, HF_API_METRICS},
        {"GET", "/v1/clusters", HF_OK, HF_API_CLUSTERS},
        {"GET", "/v1/clusters/t/c", HF_OK, HF_API_CLUSTER},
        {"PUT", "/v1/clusters/t/c", HF_OK, HF_API_CLUSTER_PUT},
        {"POST", "/v1/clusters/t/c/pause", HF_OK, HF_API_PAUSE},
        {"POST", "/v1/clusters/t/c/resume", HF_OK, HF_API_RESUME},
        {"GET", "/v1/clusters/t/c/status", HF_OK, HF_API_STATUS},
        {"GET", "/v1/clusters/t/c/backups", HF_OK, HF_API_BACKUPS},
        {"POST", "/v1/clusters/t/c/backups", HF_OK, HF_API_BACKUP_CREATE},
        {"POST", "/v1/clusters/t/c/failover/plan", HF_OK, HF_API_FAILOVER_PLAN},
        {"POST", "/v1/clusters/t/c/failover/run", HF_OK, HF_API_FAILOVER_RUN},
        {"GET", "/v1/clusters/t/c/operations", HF_OK, HF_API_OPERATIONS},
        {"GET", "/v1/clusters/t/c/operations/f-0001", HF_OK, HF_API_OPERATION},
        {"DELETE", "/v1/clusters/t/c", HF_E_UNSUPPORTED, 0},
        {"GET", "/v1/clusters/t/c/pause", HF_E_UNSUPPORTED, 0},
        {"GET", "/v1/clusters/t", HF_E_NOT_FOUND, 0},
        {"GET", "/v1/clusters/t/c/", HF_E_NOT_FOUND, 0},
        {"GET", "/v1/clusters/T/c", HF_E_NOT_FOUND, 0},
        {"GET", "/v1/clusters//c", HF_E_NOT_FOUND, 0},
        {"GET", "/v1/clusters/t/c/operations/", HF_E_NOT_FOUND, 0},
        {"GET", "/v1/clusters/t/c/operations/a/b", HF_E_NOT_FOUND, 0},
        {"GET", "/v1/clusters/t/c/operations/..%2f", HF_E_NOT_FOUND, 0},
        {"GET", "/", HF_E_NOT_FOUND, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hf_api_target t = {.op = HF_API_OPS};
        struct hf_err err = {0};
        hf_result r = hf_api_target_parse(rows[i].method, rows[i].path, &t, &err);
        if (r.code != rows[i].code) {
            fail_msg("%s %s: %s", rows[i].method, rows[i].path, hf_code_name(r.code));
        }
        if (hf_ok(r)) {
            assert_int_equal(t.op, rows[i].op);
        }
    }
}

/* Who may do what: a row an operation, a column a certificate. */
static void roles_and_tenants(void **state)
{
    (void)state;
    const struct hf_identity viewer = {
        .kind = HF_IDENTITY_USER, .name = {"v"}, .role = HF_ROLE_VIEWER};
    const struct hf_identity operator= {
        .kind = HF_IDENTITY_USER, .name = {"o"}, .role = HF_ROLE_OPERATOR};
    const struct hf_identity admin = {
        .kind = HF_IDENTITY_USER, .name = {"a"}, .role = HF_ROLE_ADMIN};
    const struct hf_identity other = {
        .kind = HF_IDENTITY_USER, .tenant = {"t2"}, .name = {"x"}, .role = HF_ROLE_ADMIN};
    const struct hf_identity own = {
        .kind = HF_IDENTITY_USER, .tenant = {"t"}, .name = {"y"}, .role = HF_ROLE_ADMIN};
    const struct hf_identity agent = {
        .kind = HF_IDENTITY_AGENT, .tenant = {"t"}, .region = {"eu"}, .name = {"eu-1"}};
    static const enum hf_role needs[HF_API_OPS] = {
        [HF_API_PAUSE] = HF_ROLE_OPERATOR,         [HF_API_RESUME] = HF_ROLE_OPERATOR,
        [HF_API_BACKUP_CREATE] = HF_ROLE_OPERATOR, [HF_API_FAILOVER_PLAN] = HF_ROLE_OPERATOR,
        [HF_API_FAILOVER_RUN] = HF_ROLE_OPERATOR,  [HF_API_SWITCH_PLAN] = HF_ROLE_OPERATOR,
        [HF_API_SWITCH_RUN] = HF_ROLE_OPERATOR,    [HF_API_CLUSTER_PUT] = HF_ROLE_ADMIN,
        [HF_API_RECOVERY_PLAN] = HF_ROLE_ADMIN,    [HF_API_RECOVERY_RUN] = HF_ROLE_ADMIN,
    };
    for (int op = 0; op < HF_API_OPS; op++) {
        bool scoped = op > HF_API_CLUSTERS;
        struct hf_api_target t = {.op = (enum hf_api_op)op};
        if (scoped) {
            (void)snprintf(t.tenant.s, sizeof t.tenant.s, "t");
            (void)snprintf(t.cluster.s, sizeof t.cluster.s, "c");
        }
        assert_int_equal(hf_api_role(t.op), needs[op]);
        assert_int_equal(hf_ok(hf_api_authorize(&viewer, &t, NULL)), needs[op] == HF_ROLE_VIEWER);
        assert_int_equal(hf_ok(hf_api_authorize(&operator, & t, NULL)),
                         needs[op] <= HF_ROLE_OPERATOR);
        assert_true(hf_ok(hf_api_authorize(&admin, &t, NULL)));
        assert_true(hf_ok(hf_api_authorize(&own, &t, NULL)));
        assert_int_equal(hf_api_authorize(&other, &t, NULL).code, scoped ? HF_E_NOT_FOUND : HF_OK);
        assert_int_equal(hf_api_authorize(&agent, &t, NULL).code, HF_E_DENIED);
    }
}

static void failures_have_status_and_code(void **state)
{
    (void)state;
    static const struct {
        enum hf_code code;
        const char *text;
        int status;
        const char *name;
        const char *rule;
        const char *value;
    } rows[] = {
        {HF_E_INVALID, "x", 400, "invalid", "", ""},
        {HF_E_DENIED, "x", 403, "denied", "", ""},
        {HF_E_NOT_FOUND, "x", 404, "not_found", "", ""},
        {HF_E_EXISTS, "f-0001", 409, "in_progress", "", "f-0001"},
        {HF_E_STALE, "x", 412, "stale", "", ""},
        {HF_E_REFUSED, "NO_CANDIDATE: nobody", 422, "refused", "NO_CANDIDATE", ""},
        {HF_E_REFUSED, "no rule here", 422, "refused", "", ""},
        {HF_E_UNREACHABLE, "x", 503, "unreachable", "", ""},
        {HF_E_TIMEOUT, "x", 503, "unreachable", "", ""},
        {HF_E_IO, "x", 500, "failure", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hf_api_failure f;
        struct hf_err err = {.code = rows[i].code};
        snprintf(err.text, sizeof err.text, "%s", rows[i].text);
        hf_api_failure_of((hf_result){rows[i].code}, &err, &f);
        assert_int_equal(f.status, rows[i].status);
        assert_string_equal(f.code, rows[i].name);
        assert_string_equal(f.rule, rows[i].rule);
        assert_string_equal(f.value, rows[i].value);
        HF_BUF(text, 4096);
        HF_AUTOJSON hf_json *v = hf_api_failure_json(&f, err.text);
        assert_true(hf_ok(hf_json_write(v, &text, NULL)));
        assert_non_null(strstr(hf_buf_text(&text), rows[i].name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_name_operations),
        cmocka_unit_test(roles_and_tenants),
        cmocka_unit_test(failures_have_status_and_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
