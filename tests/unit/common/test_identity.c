/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/core/identity.h"

static void known_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        struct hf_identity id;
    } cases[] = {
        {"spiffe://hf.local/tenant/demo/region/eu/agent/eu-1",
         {.kind = HF_IDENTITY_AGENT, .tenant = {"demo"}, .region = {"eu"}, .name = {"eu-1"}}},
        {"spiffe://hf.local/coordinator/eu", {.kind = HF_IDENTITY_COORDINATOR, .name = {"eu"}}},
        {"spiffe://hf.local/user/alice/role/admin",
         {.kind = HF_IDENTITY_USER, .name = {"alice"}, .role = HF_ROLE_ADMIN}},
        {"spiffe://hf.local/user/bob/role/viewer/tenant/demo",
         {.kind = HF_IDENTITY_USER, .name = {"bob"}, .role = HF_ROLE_VIEWER, .tenant = {"demo"}}},
        {"spiffe://hf.local/tenant/tenant/region/region/agent/agent",
         {.kind = HF_IDENTITY_AGENT,
          .tenant = {"tenant"},
          .region = {"region"},
          .name = {"agent"}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_identity id = {0};
        struct hf_err err = {0};
        assert_true(hf_ok(hf_identity_parse(cases[i].uri, "hf.local", &id, &err)));
        assert_int_equal(id.kind, cases[i].id.kind);
        assert_string_equal(id.tenant.s, cases[i].id.tenant.s);
        assert_string_equal(id.region.s, cases[i].id.region.s);
        assert_string_equal(id.name.s, cases[i].id.name.s);
        assert_int_equal(id.role, cases[i].id.role);
        char uri[HF_IDENTITY_URI_SIZE];
        assert_true(hf_ok(hf_identity_format(&id, "hf.local", uri, sizeof uri, &err)));
        assert_string_equal(uri, cases[i].uri);
    }
}

static void anything_else_is_denied(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "spiffe://hf.local",
        "spiffe://hf.local/",
        "spiffe://hf.local.evil/coordinator/eu",
        "spiffe://hf.loca/coordinator/eu",
        "spiffe://other/coordinator/eu",
        "SPIFFE://hf.local/coordinator/eu",
        "https://hf.local/coordinator/eu",
        "spiffe://hf.local/coordinator",
        "spiffe://hf.local/coordinator/",
        "spiffe://hf.local/coordinator/eu/",
        "spiffe://hf.local//coordinator/eu",
        "spiffe://hf.local/coordinator/EU",
        "spiffe://hf.local/coordinator/e%75",
        "spiffe://hf.local/coordinator/eu?x=1",
        "spiffe://hf.local/coordinator/eu#x",
        "spiffe://hf.local/coordinator/../eu",
        "spiffe://hf.local/tenant/demo/region/eu/agent",
        "spiffe://hf.local/tenant/demo/region/eu/agent/eu-1/x",
        "spiffe://hf.local/tenant/demo/agent/eu-1/region/eu",
        "spiffe://hf.local/tenant/demo/region//agent/eu-1",
        "spiffe://hf.local/user/alice",
        "spiffe://hf.local/user/alice/role/root",
        "spiffe://hf.local/user/alice/role/admin/tenant",
        "spiffe://hf.local/user/alice/role/admin/region/eu",
        "spiffe://hf.local/a/b/c/d/e/f/g",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_identity id = {.kind = HF_IDENTITY_USER, .name = {"kept"}};
        struct hf_err err = {0};
        hf_result r = hf_identity_parse(cases[i], "hf.local", &id, &err);
        if (r.code != HF_E_DENIED) {
            fail_msg("\"%s\" was not denied", cases[i]);
        }
        assert_string_equal(id.name.s, "kept");
    }
    char longer[1024];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer, "spiffe://hf.local/", 18);
    assert_int_equal(hf_identity_parse(longer, "hf.local", &(struct hf_identity){0}, NULL).code,
                     HF_E_DENIED);
}

static void only_valid_names_are_formatted(void **state)
{
    (void)state;
    struct hf_identity id = {.kind = HF_IDENTITY_COORDINATOR, .name = {"a/b"}};
    char uri[HF_IDENTITY_URI_SIZE] = "kept";
    assert_int_equal(hf_identity_format(&id, "hf.local", uri, sizeof uri, NULL).code, HF_E_INVALID);
    assert_string_equal(uri, "kept");
    id = (struct hf_identity){.kind = HF_IDENTITY_COORDINATOR, .name = {"eu"}};
    assert_int_equal(hf_identity_format(&id, "hf/local", uri, sizeof uri, NULL).code, HF_E_INVALID);
    assert_int_equal(hf_identity_format(&id, "hf.local", uri, 10, NULL).code, HF_E_LIMIT);
}

static void roles(void **state)
{
    (void)state;
    const hf_name demo = {"demo"};
    const hf_name other = {"other"};
    struct hf_identity all = {.kind = HF_IDENTITY_USER, .role = HF_ROLE_OPERATOR};
    struct hf_identity one = {.kind = HF_IDENTITY_USER, .role = HF_ROLE_ADMIN, .tenant = demo};
    struct hf_identity agent = {.kind = HF_IDENTITY_AGENT, .tenant = demo, .role = HF_ROLE_ADMIN};
    assert_true(hf_identity_may(&all, &demo, HF_ROLE_VIEWER));
    assert_true(hf_identity_may(&all, &other, HF_ROLE_OPERATOR));
    assert_false(hf_identity_may(&all, &demo, HF_ROLE_ADMIN));
    assert_true(hf_identity_may(&one, &demo, HF_ROLE_ADMIN));
    assert_false(hf_identity_may(&one, &other, HF_ROLE_VIEWER));
    assert_false(hf_identity_may(&agent, &demo, HF_ROLE_VIEWER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_shapes),
        cmocka_unit_test(anything_else_is_denied),
        cmocka_unit_test(only_valid_names_are_formatted),
        cmocka_unit_test(roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
