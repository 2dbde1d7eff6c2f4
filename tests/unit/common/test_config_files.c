/* SPDX-License-Identifier: Apache-2.0
 *
 * The three files as samples have them, and what is wrong in variants of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/config_agent.h"
#include "common/io/config_cluster.h"
#include "common/io/config_coordinator.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    memcpy(directory, "/tmp/hf-config-XXXXXX", sizeof "/tmp/hf-config-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static void in_directory(const char *name, char path[128])
{
    int n = snprintf(path, 128, "%s/%s", directory, name);
    assert_true(n > 0 && n < 128);
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"v.yaml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        in_directory(names[i], path);
        (void)unlink(path);
    }
    return rmdir(directory);
}

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

/* The file with one piece (NULL: none) replaced; returns the path. */
static void variant(const char *sample, const char *piece, const char *instead, char path[128])
{
    static char text[16384];
    FILE *f = fopen(sample, "re");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    assert_int_equal(fclose(f), 0);
    text[n] = '\0';
    HF_BUF(out, 32768);
    char *at = strstr(text, piece);
    if (at == NULL) {
        fail_msg("no \"%s\" in %s", piece, sample);
        return;
    }
    assert_true(hf_ok(hf_buf_append(&out, text, (size_t)(at - text), NULL)));
    assert_true(hf_ok(hf_buf_append_str(&out, instead, NULL)));
    assert_true(hf_ok(hf_buf_append_str(&out, at + strlen(piece), NULL)));
    in_directory("v.yaml", path);
    write_file(path, hf_buf_text(&out), out.len, 0600);
}

static struct hf_config_agent agent;
static struct hf_config_coordinator coordinator;

static void agent_sample(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_AUTOCONFIG struct hf_config *c = NULL;
    if (!hf_ok(hf_config_agent_load("data/agent.yaml", &agent, &c, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(agent.name.s, "eu-1");
    assert_int_equal(agent.coordinator_count, 3);
    assert_string_equal(agent.coordinators[2], "wss://127.0.3.1:7443");
    assert_true(agent.has_postgresql);
    assert_int_equal(agent.postgresql.manage, HF_MANAGE_PROCESS);
    assert_string_equal(agent.postgresql.database, "postgres");
    assert_int_equal(agent.repository_count, 3);
    assert_string_equal(hf_config_agent_local(&agent)->bucket, "holdfast");
    assert_int_equal(agent.repositories[2].type, HF_CONFIG_POSIX);
    assert_string_equal(agent.repositories[2].path, "/srv/holdfast-ap");
    assert_int_equal(agent.backup.memory, 96 << 20);
    assert_true(agent.wal.queue_max == UINT64_C(2) << 30);
    char expected[PATH_MAX + 32];
    char *here = realpath("data", NULL);
    assert_non_null(here);
    int n = snprintf(expected, sizeof expected, "%s/k1.key", here);
    assert_true(n > 0 && (size_t)n < sizeof expected);
    assert_string_equal(hf_config_agent_key(&agent, "k1")->file, expected);
    n = snprintf(expected, sizeof expected, "%s/eu-1.pem", here);
    assert_true(n > 0 && (size_t)n < sizeof expected);
    assert_string_equal(agent.tls.certificate, expected);
    free(here);
    assert_null(hf_config_agent_key(&agent, "k2"));
    HF_BUF(out, 65536);
    assert_true(hf_ok(hf_config_show(c, &agent, &out, &err)));
    assert_non_null(strstr(hf_buf_text(&out), "backup.workers: 2"));
    assert_non_null(strstr(hf_buf_text(&out), "# data/agent.yaml:"));
}

static void agent_variants(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        const char *instead;
        const char *message; /* NULL: allowed */
    } cases[] = {
        {"coordinators: [\"wss://127.0.1.1:7443\", \"wss://127.0.2.1:7443\", "
         "\"wss://127.0.3.1:7443\"]",
         "coordinators: []", NULL},
        {"manage: process", "manage: systemd:postgresql@15-main.service", NULL},
        {"keys: {k1: {file: k1.key}}", "keys: {k1: {credential: k1}}", NULL},
        {"keys: {k1: {file: k1.key}}", "keys: {k1: {command: [/usr/bin/pass, show, k1]}}", NULL},
        {"standalone: {}", "standalone: {backups: [{name: n, cron: \"@daily\", keep: {last: 2}}]}",
         NULL},
        {"version: 1", "version: 2",
         "v.yaml:3:10: version: value \"2\" is not allowed; allowed: a whole"},
        {"region: eu", "region: xx", "repositories: the own region's \"xx\" is not among"},
        {"type: posix, path: /srv/holdfast-ap", "type: posix", "repositories.ap: a posix"},
        {"type: posix, path: /srv/holdfast-ap", "type: posix, path: x, bucket: b", "belong to"},
        {"bucket: holdfast, ", "", "repositories.eu: an s3 repository needs"},
        {"type: s3, ", "type: s3, path: /x, ", "path belongs to type posix"},
        {"prefix: lab", "prefix: a/../b", "repositories.eu.prefix: value \"a/../b\""},
        {"prefix: lab", "prefix: /lab", "repositories.eu.prefix"},
        {"prefix: lab", "prefix: lab/", "repositories.eu.prefix"},
        {"active: k1", "active: k2", "encryption.active: \"k2\" is not one of the keys"},
        {"active: k1, ", "", "encryption: active is missing"},
        {"{file: k1.key}", "{file: k1.key, credential: k1}", "2 ways to get the key"},
        {"{file: k1.key}", "{}", "0 ways to get the key"},
        {"{file: k1.key}", "{command: [pass]}", "absolute path"},
        {"{file: k1.key}", "{credential: a/b}", "plain file name"},
        {"wss://127.0.1.1:7443", "ws://127.0.1.1:7443", "coordinators[0]: value"},
        {"tls: {ca: ca.pem, certificate: eu-1.pem, key: eu-1.key}", "", "need the section tls"},
        {"key: eu-1.key}", "key: eu-1.key, trust_domain: A/b}", "tls.trust_domain"},
        {"manage: process", "manage: systemd", "observe, process, systemd:UNIT"},
        {"workers: 2", "workers: 0", "backup.workers: value \"0\""},
        {"queue_max: 2GB", "queue_max: 2", "wal.queue_max"},
        {"log: {level: info", "log: {level: loud", "debug, info, warning, error"},
        {"socket: /run/holdfast/agent.sock",
         "socket: "
         "/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaa",
         "socket: longer than 107"},
        {"standalone: {}", "standalone: {backups: [{name: n, cron: \"never\"}]}",
         "standalone.backups[0].cron"},
        {"standalone: {}", "standalone: {backups: [{name: n}, {name: n}]}", "given twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
        struct hf_err err = {0};
        variant("data/agent.yaml", cases[i].piece, cases[i].instead, path);
        hf_result r = hf_config_agent_load(path, &agent, NULL, &err);
        bool right = cases[i].message == NULL
                         ? hf_ok(r)
                         : r.code == HF_E_INVALID && strstr(err.text, cases[i].message) != NULL &&
                               strncmp(err.text, path, strlen(path)) == 0;
        if (!right) {
            fail_msg("%s: \"%s\"", cases[i].instead, err.text);
        }
    }
}

static void archive_region(void **state)
{
    (void)state;
    static const char text[] = "version: 1\ntenant: demo\ncluster: main\nregion: ar\nname: ar-1\n"
                               "repositories: {ar: {type: posix, path: /srv/r}}\n"
                               "encryption: {active: k1, keys: {k1: {file: /k}}}\n";
    char path[128];
    struct hf_err err = {0};
    in_directory("v.yaml", path);
    write_file(path, text, sizeof text - 1, 0600);
    if (!hf_ok(hf_config_agent_load(path, &agent, NULL, &err))) {
        fail_msg("%s", err.text);
    }
    assert_false(agent.has_postgresql);
    assert_int_equal(agent.coordinator_count, 0);
    assert_string_equal(agent.state_dir, "/var/lib/holdfast");
    static const char none[] = "version: 1\ntenant: demo\ncluster: main\nregion: ar\nname: ar-1\n";
    write_file(path, none, sizeof none - 1, 0600);
    assert_int_equal(hf_config_agent_load(path, &agent, NULL, &err).code, HF_E_INVALID);
    assert_non_null(strstr(err.text, "an archive region needs its repository"));
}

static void coordinator_sample(void **state)
{
    (void)state;
    struct hf_err err = {0};
    if (!hf_ok(hf_config_coordinator_load("data/coordinator.yaml", &coordinator, NULL, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(coordinator.agents.listen, "127.0.1.1:7443");
    assert_int_equal(coordinator.etcd.endpoint_count, 3);
    assert_true(coordinator.etcd.has_tls);
    assert_int_equal(coordinator.etcd.timeout.us, 500000);
    assert_int_equal(coordinator.lease.ttl.us, 6000000);
    assert_int_equal(coordinator.lease.rate_margin_ppm, 10000);
    assert_true(coordinator.history.present);
    assert_int_equal(coordinator.history.spool_max, 256 << 20);
    const struct hf_config_dns *dns = hf_config_coordinator_dns(&coordinator, "pdns");
    assert_non_null(dns);
    assert_string_equal(dns->zone, "hf.test.");
    assert_string_equal(dns->server_id, "localhost");
    assert_string_equal(dns->authoritative[0], "127.0.0.8:5300");
    dns = hf_config_coordinator_dns(&coordinator, "knot");
    assert_non_null(dns);
    assert_int_equal(dns->type, HF_CONFIG_DNS_RFC2136);
    assert_string_equal(dns->server, "127.0.0.8:5301");
    assert_int_equal(dns->authoritative_count, 2);
    dns = hf_config_coordinator_dns(&coordinator, "aws");
    assert_int_equal(dns->type, HF_CONFIG_DNS_ROUTE53);
    assert_string_equal(dns->signing_region, "us-east-1");
    assert_int_equal(dns->sync_timeout.us, 60000000);
    dns = hf_config_coordinator_dns(&coordinator, "own");
    assert_int_equal(dns->command_count, 2);
    assert_string_equal(dns->command[1], "--quiet");
    assert_int_equal(dns->timeout.us, 10000000);
}

static void coordinator_variants(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        const char *instead;
        const char *message;
    } cases[] = {
        {"ttl: 6s", "ttl: 3s", NULL},
        {"ttl: 6s", "ttl: 500ms", "lease.ttl: value \"500ms\""},
        {"rate_margin: 1%", "rate_margin: 50%", "lease.rate_margin"},
        {"7444\"", "7443\"", "users.listen: must not be"},
        {"auth: certificate", "auth: password", "users.auth"},
        {"user=holdfast\"", "user=holdfast password=geheim\"", "history.dsn: a password is not"},
        {"\"host=127.0.0.9 port=5439 dbname=holdfast user=holdfast\"",
         "\"postgresql://u:geheim@h/d\"", "history.dsn: a password is not"},
        {"zone: hf.test.", "zone: hf.test", "dns.pdns.zone: value \"hf.test\" does not end"},
        {"url: \"http://127.0.0.8:8081\", ", "",
         "dns.pdns.url: is missing: type powerdns needs it"},
        {"type: powerdns", "type: rfc2136", "dns.pdns.url: is not an option of type rfc2136"},
        {"key_file: ddns.key, ", "", "dns.knot.key_file: is missing: type rfc2136 needs it"},
        {"key_file: ddns.key", "key_file: ddns.key, server_id: x",
         "dns.knot.server_id: is not an option of type rfc2136"},
        {"type: powerdns", "type: bind", "powerdns, rfc2136"},
        {"token_file: cloudflare.token, ", "",
         "dns.cf.token_file: is missing: type cloudflare needs it"},
        {"zone_id: Z0EXAMPLE1, ", "", "dns.aws.zone_id: is missing: type route53 needs it"},
        {"zone_id: Z0EXAMPLE1", "zone_id: /hostedzone/Z0", "allowed are A-Z, a-z and 0-9"},
        {"credentials: route53.credentials, ", "", NULL},
        {"token_file: cloudflare.token", "token_file: t, sync_timeout: 1m",
         "dns.cf.sync_timeout: is not an option of type cloudflare"},
        {"/usr/local/bin/set-name", "set-name", "dns.own.command: value \"set-name\""},
        {"command: [/usr/local/bin/set-name, \"--quiet\"]", "command: []",
         "dns.own.command: is missing: type exec needs it"},
        {"authoritative: [\"127.0.0.8:5300\"]", "authoritative: []", "0 given; allowed: 1 to 8"},
        {"prefix: /holdfast/v1", "prefix: holdfast", "etcd.prefix"},
        {"prefix: /holdfast/v1", "prefix: /", "etcd.prefix"},
        {"  tls: {ca: ca.pem, certificate: etcd-client.pem, key: etcd-client.key}\n", "",
         "https needs the section etcd.tls"},
        {"region: eu\n", "", "region: is missing"},
        {"agents: {listen: \"127.0.1.1:7443\"}", "agents: {}", "agents.listen: is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
        struct hf_err err = {0};
        variant("data/coordinator.yaml", cases[i].piece, cases[i].instead, path);
        hf_result r = hf_config_coordinator_load(path, &coordinator, NULL, &err);
        bool right = cases[i].message == NULL
                         ? hf_ok(r)
                         : r.code == HF_E_INVALID && strstr(err.text, cases[i].message) != NULL;
        if (!right) {
            fail_msg("%s: \"%s\"", cases[i].instead, err.text);
        }
        assert_null(strstr(err.text, "geheim"));
    }
}

static void cluster_sample(void **state)
{
    (void)state;
    struct hf_policy p;
    struct hf_err err = {0};
    HF_AUTOCONFIG struct hf_config *c = NULL;
    if (!hf_ok(hf_config_cluster_load("data/cluster.yaml", &p, &c, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(p.cluster.s, "main");
    assert_int_equal(p.node_count, 3);
    assert_string_equal(p.nodes[1].name.s, "us-1");
    assert_int_equal(p.bootstrap.kind, HF_BOOTSTRAP_ADOPT);
    assert_string_equal(p.bootstrap.name.s, "eu-1");
    assert_int_equal(p.failover.prefer.count, 2);
    assert_int_equal(p.failover.max_loss_wal, 64 << 20);
    assert_string_equal(p.backups[0].cron, "0 2 * * *");
    assert_int_equal(p.backups[0].keep_last, 7);
    /* what goes to etcd is the same policy */
    HF_AUTOJSON hf_json *v = hf_policy_to_json(&p);
    struct hf_policy again;
    assert_true(hf_ok(hf_policy_from_json(v, &again, &err)));
    assert_true(again.route.ttl.us == p.route.ttl.us);
    HF_BUF(out, 65536);
    assert_true(hf_ok(hf_config_show(c, &p, &out, &err)));
    assert_non_null(strstr(hf_buf_text(&out), "bootstrap: adopt:eu-1"));
}

static void cluster_variants(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        const char *instead;
        const char *message;
    } cases[] = {
        {"acknowledge: own", "acknowledge: other:2", NULL},
        {"acknowledge: own", "acknowledge: all", NULL},
        {"max_loss: {time: 30s, wal: 64MB}, ", "", NULL},
        {"target: 5s", "target: 0", NULL},
        {"route: {provider: pdns, name: db.main.hf.test., type: A, ttl: 2s}\n", "", NULL},
        {"acknowledge: own", "acknowledge: other:0", "wal.acknowledge: value \"other:0\""},
        {"acknowledge: own", "acknowledge: other", "allowed: own, other:N, all"},
        {"adopt:eu-1", "adopt:eu-2", "bootstrap: \"eu-2\" is not one of the nodes"},
        {"adopt:eu-1", "adopt:EU", "adopt:NODE, init:NODE, restore:REGION"},
        {"adopt:eu-1", "restore:ar", NULL},
        {"prefer: [us, ap]", "prefer: [us, mars]", "failover.prefer: no node of the cluster"},
        {"prefer: [us, ap]", "prefer: [us], exclude: [us]", "failover.exclude"},
        {"ttl: 2s", "ttl: 1500ms", "route.ttl: a TTL is a whole number of seconds"},
        {"target: 5s", "target: 1500us", "rpo.target: allowed: a whole number of milliseconds"},
        {"name: db.main.hf.test.", "name: db.main.hf.test", "route.name"},
        {"0 2 * * *", "every day", "backups[0].cron: \"every day\" is not a schedule"},
        {"mode: automatic", "mode: always", "automatic, ask, manual"},
        {"nodes: {eu-1: {region: eu}, us-1: {region: us}, ap-1: {region: ap}}", "nodes: {}",
         "nodes: 0 given; allowed: 1 to 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[128];
        struct hf_policy p;
        struct hf_err err = {0};
        variant("data/cluster.yaml", cases[i].piece, cases[i].instead, path);
        hf_result r = hf_config_cluster_load(path, &p, NULL, &err);
        bool right = cases[i].message == NULL
                         ? hf_ok(r)
                         : r.code == HF_E_INVALID && strstr(err.text, cases[i].message) != NULL &&
                               strncmp(err.text, path, strlen(path)) == 0;
        if (!right) {
            fail_msg("%s: \"%s\"", cases[i].instead, err.text);
        }
        if (i == 2) {
            assert_true(p.failover.max_loss_wal == HF_POLICY_NO_WAL_LIMIT);
            assert_true(p.failover.max_loss_time.us == HF_POLICY_NO_TIME_LIMIT.us);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agent_sample),         cmocka_unit_test(agent_variants),
        cmocka_unit_test(archive_region),       cmocka_unit_test(coordinator_sample),
        cmocka_unit_test(coordinator_variants), cmocka_unit_test(cluster_sample),
        cmocka_unit_test(cluster_variants),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
