/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: parsing table, help, files made by `ca`, configuration reference.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/io/files.h"
#include "common/io/x509.h"
#include "coordinator/ctl/ctl.h"

enum { MAX_ARGS = 24 };

struct outcome {
    int exit;
    char *out;
    char *diagnostics;
};

static void outcome_free(struct outcome *o)
{
    free(o->out);
    free(o->diagnostics);
}

/* Runs the whole program; words end with NULL. */
static struct outcome run(const char *const *words)
{
    const char *argv[MAX_ARGS] = {"holdfast"};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        argv[argc] = words[argc - 1];
    }
    struct outcome o = {0};
    size_t n = 0;
    size_t m = 0;
    FILE *out = open_memstream(&o.out, &n);
    FILE *diagnostics = open_memstream(&o.diagnostics, &m);
    assert_non_null(out);
    assert_non_null(diagnostics);
    o.exit = hf_ctl_main(argc, argv, out, diagnostics);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(fclose(diagnostics), 0);
    return o;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static hf_result parse(const char *const *words, struct hf_ctl_args *ret, struct hf_err *err)
{
    int n = 0;
    while (words[n] != NULL) {
        n++;
    }
    return hf_ctl_args_parse(HF_CTL_COMMANDS, HF_CTL_GLOBALS, n, words, ret, err);
}

static void what_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *words[12];
        const char *command;
        const char *option;
        const char *value; /* NULL: must not be there */
        size_t word_count;
    } cases[] = {
        {{"status"}, "status", "output", NULL, 0},
        {{"status", "demo/main", "-o", "json"}, "status", "output", "json", 1},
        {{"-o", "json", "status", "demo/main"}, "status", "output", "json", 1},
        {{"-ojson", "status"}, "status", "output", "json", 0},
        {{"--output=json", "status"}, "status", "output", "json", 0},
        {{"status", "--coordinators", "https://a", "--certificate", "c"},
         "status",
         "api",
         "https://a",
         0},
        {{"--ca", "x", "cluster", "--key", "k", "apply", "-f", "c.yaml"},
         "cluster apply",
         "file",
         "c.yaml",
         0},
        {{"failover", "run", "demo/main", "--wait"}, "failover run", "wait", "", 1},
        {{"failover", "run", "--wait", "demo/main"}, "failover run", "wait", "", 1},
        {{"failover", "run", "--wait", "30s", "demo/main"}, "failover run", "wait", "30s", 1},
        {{"failover", "run", "--wait=30s"}, "failover run", "wait", "30s", 0},
        {{"config", "check", "--", "-odd.yaml"}, "config check", "files", NULL, 1},
        {{"ca", "issue", "agent", "--host", "a", "--host", "b"}, "ca issue", "host", "b", 1},
        {{"pause", "demo/main", "--reason", "x"}, "pause", "reason", "x", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_ctl_args args;
        struct hf_err err = {0};
        if (!hf_ok(parse(cases[i].words, &args, &err))) {
            fail_msg("case %zu: %s", i, err.text);
        }
        assert_string_equal(args.command->name, cases[i].command);
        assert_int_equal(args.word_count, cases[i].word_count);
        const char *value = hf_ctl_arg(&args, cases[i].option);
        if (cases[i].value == NULL) {
            assert_null(value);
        } else {
            assert_non_null(value);
            assert_string_equal(value, cases[i].value);
        }
    }
}

static void what_is_wrong_usage(void **state)
{
    (void)state;
    static const struct {
        const char *words[8];
        const char *message;
    } cases[] = {
        {{"statsu"}, "unknown command \"statsu\"; allowed: status, cluster list"},
        {{"cluster"}, "unknown command \"cluster\"; allowed: cluster list, cluster show"},
        {{"cluster", "aply"}, "unknown command \"cluster aply\"; allowed: cluster list"},
        {{"status", "--wait"}, "unknown option \"--wait\"; allowed: --output, --api"},
        {{"status", "-x"}, "unknown option \"-x\""},
        {{"status", "-o"}, "option --output needs table|json"},
        {{"status", "-o", "json", "-o", "json"}, "option --output is given twice"},
        {{"status", "a/b", "c/d"}, "2 arguments; allowed: holdfast status [TENANT/CLUSTER]"},
        {{"config", "show"}, "0 arguments; allowed: holdfast config show FILE"},
        {{"ca", "issue", "agent", "--renew=yes"}, "option --renew takes no value"},
        {{"-o", "json"}, "no command"},
        {{"status", "-o", "xml"}, "allowed: table, json"},
        {{"status", "demo"}, "allowed: TENANT/CLUSTER"},
        {{"status", "demo/main/x"}, "allowed: TENANT/CLUSTER"},
        {{"status", "Demo/main"}, "allowed: TENANT/CLUSTER"},
        {{"status", "demo/main"}, "no coordinator is known"},
        {{"status", "demo/main", "--api", "http://example.org"}, "allowed: https"},
        {{"status", "demo/main", "--api", "https://a,,https://b"}, "URLs with commas between"},
        {{"status", "demo/main", "--api", "https://a", "--cert", "x"}, "belong together"},
        {{"cluster", "apply"}, "needs -f FILE"},
        {{"ca", "init"}, "--dir DIR is missing"},
        {{"ca", "issue", "king", "--dir", "x"}, "allowed: agent, coordinator"},
        {{"ca", "issue", "agent", "--dir", "x"}, "--tenant is missing"},
        {{"ca", "issue", "user", "--dir", "x", "--name", "a"}, "--role is missing"},
        {{"ca", "init", "--dir", "x", "--days", "0"}, "allowed: 1 to 36500"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o = run(cases[i].words);
        if (o.exit != HF_CTL_EXIT_USAGE || strstr(o.diagnostics, cases[i].message) == NULL) {
            fail_msg("case %zu: exit %d, \"%s\"", i, o.exit, o.diagnostics);
        }
        assert_string_equal(o.out, "");
        outcome_free(&o);
    }
}

static void help_comes_from_the_table(void **state)
{
    (void)state;
    struct outcome o = RUN("--help");
    assert_int_equal(o.exit, 0);
    for (const struct hf_ctl_command *c = HF_CTL_COMMANDS; c->name != NULL; c++) {
        char line[64];
        (void)snprintf(line, sizeof line, "\n  %s ", c->name);
        assert_int_equal(strstr(o.out, line) == NULL, c->hidden);
    }
    outcome_free(&o);
    o = RUN("cluster", "apply", "--help");
    assert_int_equal(o.exit, 0);
    assert_non_null(strstr(o.out, "usage: holdfast cluster apply -f FILE"));
    assert_non_null(strstr(o.out, "-f, --file FILE"));
    outcome_free(&o);
    o = RUN("version");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "holdfast " HF_VERSION "\n");
    outcome_free(&o);
}

static void reference_is_up_to_date(void **state)
{
    (void)state;
    struct outcome o = RUN("config", "docs");
    assert_int_equal(o.exit, 0);
    HF_BUF(committed, 1024 * 1024);
    assert_true(hf_ok(hf_file_read("../docs/configuration.md", &committed, NULL)));
    if (strcmp(o.out, hf_buf_text(&committed)) != 0) {
        fail_msg("docs/configuration.md is not what `holdfast config docs` prints");
    }
    outcome_free(&o);
}

static void configuration_commands(void **state)
{
    (void)state;
    struct outcome o =
        RUN("config", "check", "data/agent.yaml", "data/coordinator.yaml", "data/cluster.yaml");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "data/agent.yaml: right (agent)\n"
                               "data/coordinator.yaml: right (coordinator)\n"
                               "data/cluster.yaml: right (cluster)\n");
    outcome_free(&o);
    o = RUN("config", "check", "data/agent.yaml", "--kind", "cluster");
    assert_int_equal(o.exit, 1);
    assert_non_null(strstr(o.diagnostics, "data/agent.yaml:5:1: unknown key \"cluster\""));
    outcome_free(&o);
    o = RUN("config", "check", "data/absent.yaml");
    assert_int_equal(o.exit, 1);
    outcome_free(&o);
    o = RUN("config", "check", "data/agent.yaml", "--files");
    assert_int_equal(o.exit, 1); /* its keys are not here */
    assert_non_null(strstr(o.diagnostics, "k1.key"));
    outcome_free(&o);
    o = RUN("config", "show", "data/coordinator.yaml");
    assert_int_equal(o.exit, 0);
    assert_non_null(strstr(o.out, "lease.ttl: 6s"));
    assert_non_null(strstr(o.out, "# default"));
    outcome_free(&o);
}

static void certificates(void **state)
{
    (void)state;
    char root[] = "/tmp/hf-ctl-XXXXXX";
    assert_non_null(mkdtemp(root));
    char dir[64];
    char path[128];
    char ca[128];
    (void)snprintf(dir, sizeof dir, "%s/ca", root);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    struct outcome o = RUN("ca", "init", "--dir", dir, "--trust-domain", "hf.test");
    assert_int_equal(o.exit, 0);
    outcome_free(&o);
    o = RUN("ca", "init", "--dir", dir);
    assert_int_equal(o.exit, 1);
    outcome_free(&o);
    static const struct {
        const char *words[14];
        const char *file;
        const char *uri;
        bool server;
    } cases[] = {
        {{"agent", "--tenant", "demo", "--region", "eu", "--name", "eu-1", "--host", "127.0.1.1"},
         "agent-eu-1",
         "spiffe://hf.test/tenant/demo/region/eu/agent/eu-1",
         true},
        {{"coordinator", "--name", "eu", "--host", "127.0.1.1"},
         "coordinator-eu",
         "spiffe://hf.test/coordinator/eu",
         true},
        {{"etcd", "--name", "eu", "--host", "127.0.1.1"}, "etcd-eu", "", true},
        {{"etcd-client"}, "etcd-client", "", false},
        {{"user", "--name", "alice", "--role", "admin"},
         "user-alice",
         "spiffe://hf.test/user/alice/role/admin",
         false},
        {{"user", "--name", "bob", "--role", "viewer", "--tenant", "demo"},
         "user-bob",
         "spiffe://hf.test/user/bob/role/viewer/tenant/demo",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *words[MAX_ARGS] = {"ca", "issue"};
        size_t n = 2;
        for (size_t k = 0; cases[i].words[k] != NULL; k++) {
            words[n++] = cases[i].words[k];
        }
        words[n++] = "--dir";
        words[n] = dir;
        o = run(words);
        if (o.exit != 0) {
            fail_msg("%s: %s", cases[i].file, o.diagnostics);
        }
        outcome_free(&o);
        struct hf_x509_info info;
        (void)snprintf(path, sizeof path, "%s/%s.pem", dir, cases[i].file);
        assert_true(hf_ok(hf_x509_read(path, &info, NULL)));
        assert_string_equal(info.uri, cases[i].uri);
        assert_int_equal(info.server, cases[i].server);
        assert_true(info.client);
        assert_true(hf_ok(hf_x509_verify(ca, path, cases[i].server, NULL)));
        o = run(words);
        assert_int_equal(o.exit, 1); /* never replaced without --renew */
        outcome_free(&o);
    }
    o = RUN("ca", "issue", "etcd-client", "--dir", dir, "--renew", "-o", "json");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "{\"file\":\"etcd-client\",\"identity\":\"\"}\n");
    outcome_free(&o);
    o = RUN("ca", "issue", "coordinator", "--name", "eu", "--tenant", "demo", "--dir", dir);
    assert_int_equal(o.exit, HF_CTL_EXIT_USAGE);
    outcome_free(&o);
    assert_true(hf_ok(hf_dir_remove_tree(root, NULL)));
}

static int no_configuration(void **state)
{
    (void)state;
    /* whoever runs the tests may have a configuration of their own */
    return setenv("XDG_CONFIG_HOME", "/nonexistent", 1) + unsetenv("HOLDFAST_CONFIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_understood),        cmocka_unit_test(what_is_wrong_usage),
        cmocka_unit_test(help_comes_from_the_table), cmocka_unit_test(reference_is_up_to_date),
        cmocka_unit_test(configuration_commands),    cmocka_unit_test(certificates),
    };
    return cmocka_run_group_tests(tests, no_configuration, NULL);
}
