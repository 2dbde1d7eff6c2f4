/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/io/files.h"
#include "common/io/x509.h"

static char root[64];
static char one[80];
static char two[80];

static void path_of(const char *dir, const char *file, char path[192])
{
    int n = snprintf(path, 192, "%s/%s", dir, file);
    assert_true(n > 0 && n < 192);
}

static int setup(void **state)
{
    (void)state;
    memcpy(root, "/tmp/hf-x509-XXXXXX", sizeof "/tmp/hf-x509-XXXXXX");
    if (mkdtemp(root) == NULL) {
        return 1;
    }
    (void)snprintf(one, sizeof one, "%s/one", root);
    (void)snprintf(two, sizeof two, "%s/two", root);
    struct hf_err err = {0};
    bool made = hf_ok(hf_x509_ca_init(one, "hf.local", 0, &err)) &&
                hf_ok(hf_x509_ca_init(two, "hf.local", 0, &err));
    if (!made) {
        print_error("%s\n", err.text);
    }
    return made ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    return hf_ok(hf_dir_remove_tree(root, NULL)) ? 0 : 1;
}

static void authority_is_made_once(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char path[192];
    struct stat st;
    path_of(one, "ca.key", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(one, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(hf_x509_ca_init(one, "hf.local", 0, &err).code, HF_E_EXISTS);
    assert_int_equal(hf_x509_ca_init(root, "HF", 0, &err).code, HF_E_INVALID);
    char domain[HF_TRUST_DOMAIN_SIZE];
    assert_true(hf_ok(hf_x509_ca_trust_domain(one, domain, &err)));
    assert_string_equal(domain, "hf.local");
    assert_int_equal(hf_x509_ca_trust_domain(root, domain, &err).code, HF_E_NOT_FOUND);
}

static void issued_certificates_verify(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char ca[192];
    char other[192];
    char cert[192];
    char key[192];
    path_of(one, "ca.pem", ca);
    path_of(two, "ca.pem", other);
    const char *const hosts[] = {"127.0.1.1", "::1", "eu.example"};
    struct hf_x509_request request = {.file = "agent-eu-1",
                                      .common_name = "eu-1",
                                      .uri = "spiffe://hf.local/tenant/demo/region/eu/agent/eu-1",
                                      .hosts = hosts,
                                      .host_count = 3,
                                      .client = true};
    if (!hf_ok(hf_x509_issue(one, &request, &err))) {
        fail_msg("%s", err.text);
    }
    path_of(one, "agent-eu-1.pem", cert);
    path_of(one, "agent-eu-1.key", key);
    struct stat st;
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    if (!hf_ok(hf_x509_verify(ca, cert, false, &err))) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(hf_x509_verify(ca, cert, true, &err).code, HF_E_DENIED);
    assert_int_equal(hf_x509_verify(other, cert, false, &err).code, HF_E_DENIED);
    assert_true(hf_ok(hf_x509_matches(cert, key, &err)));
    path_of(one, "ca.key", key);
    assert_int_equal(hf_x509_matches(cert, key, &err).code, HF_E_INVALID);
    struct hf_x509_info info;
    assert_true(hf_ok(hf_x509_read(cert, &info, &err)));
    assert_string_equal(info.uri, request.uri);
    assert_string_equal(info.common_name, "eu-1");
    assert_string_equal(info.hosts, "127.0.1.1 ::1 eu.example");
    assert_true(info.client);
    assert_false(info.server);
    int64_t now_us = (int64_t)time(NULL) * 1000000;
    assert_true(info.not_before.us <= now_us && info.not_after.us > now_us);
}

static void nothing_is_replaced_by_accident(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char ca[192];
    char cert[192];
    char key[192];
    struct hf_x509_request request = {
        .file = "etcd-eu", .common_name = "eu", .server = true, .client = true};
    assert_true(hf_ok(hf_x509_issue(one, &request, &err)));
    assert_int_equal(hf_x509_issue(one, &request, &err).code, HF_E_EXISTS);
    assert_non_null(strstr(err.text, "--renew"));
    request.renew = true;
    assert_true(hf_ok(hf_x509_issue(one, &request, &err)));
    path_of(one, "ca.pem", ca);
    path_of(one, "etcd-eu.pem", cert);
    path_of(one, "etcd-eu.key", key);
    assert_true(hf_ok(hf_x509_matches(cert, key, &err)));
    assert_true(hf_ok(hf_x509_verify(ca, cert, true, &err)));
    assert_true(hf_ok(hf_x509_verify(ca, cert, false, &err)));
}

static void bad_requests(void **state)
{
    (void)state;
    static const char *const bad_host[] = {"a b"};
    static const char *const injected[] = {"x,URI:spiffe://hf.local/coordinator/eu"};
    static const struct {
        struct hf_x509_request request;
        enum hf_code code;
    } cases[] = {
        {{.file = "ca", .common_name = "x", .client = true}, HF_E_INVALID},
        {{.file = "../x", .common_name = "x", .client = true}, HF_E_INVALID},
        {{.file = "", .common_name = "x", .client = true}, HF_E_INVALID},
        {{.file = "x", .common_name = "x"}, HF_E_INVALID},
        {{.file = "x", .common_name = "x", .client = true, .hosts = bad_host, .host_count = 1},
         HF_E_INVALID},
        {{.file = "x", .common_name = "x", .client = true, .hosts = injected, .host_count = 1},
         HF_E_INVALID},
        {{.file = "x", .common_name = "x", .client = true, .hosts = bad_host, .host_count = 99},
         HF_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_err err = {0};
        assert_int_equal(hf_x509_issue(one, &cases[i].request, &err).code, cases[i].code);
    }
    struct hf_x509_request request = {.file = "x", .common_name = "x", .client = true};
    assert_int_equal(hf_x509_issue(root, &request, NULL).code, HF_E_NOT_FOUND);
    char path[192];
    struct hf_x509_info info;
    path_of(one, "trust-domain", path);
    assert_int_equal(hf_x509_read(path, &info, NULL).code, HF_E_INVALID);
    path_of(one, "absent.pem", path);
    assert_int_equal(hf_x509_read(path, &info, NULL).code, HF_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authority_is_made_once),
        cmocka_unit_test(issued_certificates_verify),
        cmocka_unit_test(nothing_is_replaced_by_accident),
        cmocka_unit_test(bad_requests),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
