/* SPDX-License-Identifier: Apache-2.0
 *
 * The command against scripted coordinators: what it sends, whom it asks next, its exit codes, and
 * what it prints.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "coordinator/ctl/ctl.h"

enum { MAX_ARGS = 24, MAX_EXCHANGES = 16, REQUEST_MAX = 32768 };

/* --- a scripted coordinator: answers one request a connection, in order, and keeps them --- */

struct answer {
    int status; /* 0: close without an answer */
    const char *body;
};

struct peer {
    int fd;
    int port;
    pthread_t thread;
    const struct answer *script;
    size_t script_count;
    char *requests[MAX_EXCHANGES]; /* read after peer_stop */
    size_t request_count;
};

/* Reads the head, and the body that it announces. */
static bool read_request(int fd, struct hf_buf *ret)
{
    for (;;) {
        char chunk[4096];
        const char *end = strstr(hf_buf_text(ret), "\r\n\r\n");
        if (end != NULL) {
            const char *length = strcasestr(hf_buf_text(ret), "\r\ncontent-length:");
            size_t body = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
            if (ret->len >= (size_t)(end + 4 - hf_buf_text(ret)) + body) {
                return true;
            }
        }
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n <= 0 || !hf_ok(hf_buf_append(ret, chunk, (size_t)n, NULL))) {
            return false;
        }
    }
}

static void write_answer(int fd, const struct answer *a)
{
    HF_BUF(text, 1024 * 1024);
    assert_true(hf_ok(hf_buf_printf(&text, NULL,
                                    "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                                    "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                                    a->status, strlen(a->body), a->body)));
    size_t at = 0;
    while (at < text.len) {
        ssize_t n = write(fd, text.data + at, text.len - at);
        if (n <= 0) {
            return;
        }
        at += (size_t)n;
    }
}

static void *serve(void *arg)
{
    struct peer *p = arg;
    for (size_t i = 0; i < MAX_EXCHANGES; i++) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            break;
        }
        HF_BUF(request, REQUEST_MAX);
        if (read_request(fd, &request)) {
            p->requests[p->request_count++] = hf_strdup(hf_buf_text(&request));
            /* the last answer is given again and again */
            size_t k = i < p->script_count ? i : p->script_count - 1;
            if (p->script[k].status != 0) {
                write_answer(fd, &p->script[k]);
            }
        }
        (void)close(fd);
    }
    return NULL;
}

static void peer_start(struct peer *p, const struct answer *script, size_t count)
{
    memset(p, 0, sizeof *p);
    p->script = script;
    p->script_count = count;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(p->fd >= 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof address;
    assert_int_equal(bind(p->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(p->fd, 16), 0);
    assert_int_equal(getsockname(p->fd, (struct sockaddr *)&address, &len), 0);
    p->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void peer_stop(struct peer *p)
{
    (void)shutdown(p->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    (void)close(p->fd);
}

static void peer_free(struct peer *p)
{
    for (size_t i = 0; i < p->request_count; i++) {
        hf_free(p->requests[i]);
    }
}

/* A port that nothing listens on: taken and given back. */
static int closed_port(void)
{
    static const struct answer none = {500, "{}"};
    struct peer p;
    peer_start(&p, &none, 1);
    peer_stop(&p);
    peer_free(&p);
    return p.port;
}

/* --- the program --- */

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

static struct outcome run(const char *api, const char *const *words)
{
    const char *argv[MAX_ARGS] = {"holdfast", "--api", api};
    int argc = 3;
    for (; words[argc - 3] != NULL; argc++) {
        argv[argc] = words[argc - 3];
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

#define RUN(api, ...) run((api), (const char *const[]){__VA_ARGS__, NULL})

static void url_of(int port, char ret[64])
{
    (void)snprintf(ret, 64, "http://127.0.0.1:%d", port);
}

static void exit_codes(void **state)
{
    (void)state;
    static const struct {
        struct answer answer;
        int exit;
        const char *message;
    } cases[] = {
        {{200, "{\"paused\":true}"}, 0, ""},
        {{400, "{\"error\":{\"code\":\"invalid\",\"message\":\"no\"}}"}, 1, "no"},
        {{401, "{}"}, 12, "HTTP 401"},
        {{403, "{\"error\":{\"code\":\"denied\",\"message\":\"role viewer\"}}"}, 12, "role viewer"},
        {{404, "{\"error\":{\"code\":\"not_found\",\"message\":\"no cluster\"}}"},
         10,
         "no cluster"},
        {{409, "{\"error\":{\"code\":\"in_progress\",\"message\":\"f-1 runs\"}}"}, 11, "f-1 runs"},
        {{412, "{\"error\":{\"code\":\"stale\",\"message\":\"m\",\"rule\":\"REVISION\",\"value\":"
               "\"17\",\"limit\":\"12\"}}"},
         13,
         "m (rule REVISION: 17, limit 12)"},
        {{422, "{\"error\":{\"code\":\"refused\",\"message\":\"r\",\"rule\":\"L4\"}}"},
         1,
         "r (rule L4: ?, limit ?)"},
        {{500, "oops"}, 1, "HTTP 500"},
        {{503, "{\"error\":{\"code\":\"unreachable\",\"message\":\"no leader\"}}"},
         14,
         "no leader"},
        {{421, "{\"leader\":null}"}, 14, "knows no leader"},
        {{200, "not json"}, 1, "not JSON"},
        {{200, "[1]"}, 1, "not a JSON object"},
        {{0, ""}, 14, "not known whether it was done"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer p;
        char api[64];
        peer_start(&p, &cases[i].answer, 1);
        url_of(p.port, api);
        struct outcome o = RUN(api, "cluster", "pause", "demo/main", "--reason", "x\"y");
        peer_stop(&p);
        if (o.exit != cases[i].exit || strstr(o.diagnostics, cases[i].message) == NULL) {
            fail_msg("HTTP %d: exit %d, \"%s\"", cases[i].answer.status, o.exit, o.diagnostics);
        }
        assert_true(p.request_count >= 1);
        assert_non_null(strstr(p.requests[0], "POST /v1/clusters/demo/main/pause HTTP/1.1\r\n"));
        assert_non_null(strstr(p.requests[0], "{\"reason\":\"x\\\"y\"}"));
        outcome_free(&o);
        peer_free(&p);
    }
}

static void coordinators_are_asked_in_order(void **state)
{
    (void)state;
    static const struct answer paused = {200, "{\"paused\":true}"};
    static const struct answer away = {503, "{}"};
    static const struct answer cut = {0, ""};
    struct peer good;
    struct peer bad;
    char api[256];
    /* one that does not listen, one without a leader, then one that does it */
    peer_start(&good, &paused, 1);
    peer_start(&bad, &away, 1);
    (void)snprintf(api, sizeof api, "http://127.0.0.1:%d,http://127.0.0.1:%d,http://127.0.0.1:%d/",
                   closed_port(), bad.port, good.port);
    struct outcome o = RUN(api, "cluster", "pause", "demo/main");
    peer_stop(&good);
    peer_stop(&bad);
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "demo/main is paused\n");
    assert_int_equal(good.request_count, 1);
    outcome_free(&o);
    peer_free(&good);
    peer_free(&bad);
    /* the outcome of a change is not known: nobody else may be asked to do it again */
    peer_start(&good, &paused, 1);
    peer_start(&bad, &cut, 1);
    (void)snprintf(api, sizeof api, "http://127.0.0.1:%d,http://127.0.0.1:%d", bad.port, good.port);
    o = RUN(api, "cluster", "pause", "demo/main");
    peer_stop(&good);
    peer_stop(&bad);
    assert_int_equal(o.exit, 14);
    assert_int_equal(good.request_count, 0);
    outcome_free(&o);
    peer_free(&good);
    peer_free(&bad);
    (void)snprintf(api, sizeof api, "http://127.0.0.1:%d", closed_port());
    o = RUN(api, "status", "demo/main");
    assert_int_equal(o.exit, 14);
    outcome_free(&o);
}

static void leader_is_followed(void **state)
{
    (void)state;
    static const struct answer paused = {200, "{\"paused\":true}"};
    static const struct answer cut_scheme = {421, "{\"leader\":\"ftp://127.0.0.1:1\"}"};
    struct peer leader;
    struct peer follower;
    struct answer to_leader = {421, NULL};
    char text[96];
    char api[64];
    peer_start(&leader, &paused, 1);
    (void)snprintf(text, sizeof text, "{\"leader\":\"http://127.0.0.1:%d\"}", leader.port);
    to_leader.body = text;
    peer_start(&follower, &to_leader, 1);
    url_of(follower.port, api);
    struct outcome o = RUN(api, "cluster", "pause", "demo/main");
    peer_stop(&leader);
    peer_stop(&follower);
    assert_int_equal(o.exit, 0);
    assert_int_equal(leader.request_count, 1);
    assert_non_null(strstr(leader.requests[0], "POST /v1/clusters/demo/main/pause"));
    outcome_free(&o);
    peer_free(&leader);
    peer_free(&follower);
    /* one that names itself for ever */
    struct answer itself = {421, NULL};
    char self[96];
    itself.body = self;
    peer_start(&follower, &itself, 1);
    (void)snprintf(self, sizeof self, "{\"leader\":\"http://127.0.0.1:%d\"}", follower.port);
    url_of(follower.port, api);
    o = RUN(api, "cluster", "pause", "demo/main");
    peer_stop(&follower);
    assert_int_equal(o.exit, 14);
    assert_int_equal(follower.request_count, HF_CTL_MAX_HOPS + 1);
    outcome_free(&o);
    peer_free(&follower);
    peer_start(&follower, &cut_scheme, 1);
    url_of(follower.port, api);
    o = RUN(api, "cluster", "pause", "demo/main");
    peer_stop(&follower);
    assert_int_equal(o.exit, 14);
    outcome_free(&o);
    peer_free(&follower);
}

/* One peer, one script, one command. */
static struct outcome against(const struct answer *script, size_t count, struct peer *p,
                              const char *const *words)
{
    char api[64];
    peer_start(p, script, count);
    url_of(p->port, api);
    struct outcome o = run(api, words);
    peer_stop(p);
    return o;
}
#define AGAINST(script, peer, ...)                                                                 \
    against((script), sizeof(script) / sizeof((script)[0]), (peer),                                \
            (const char *const[]){__VA_ARGS__, NULL})

static void policy_is_applied_with_a_precondition(void **state)
{
    (void)state;
    static const struct answer fresh[] = {{404, "{\"error\":{\"message\":\"none\"}}"},
                                          {201, "{\"revision\":\"1\"}"}};
    struct peer p;
    struct outcome o = AGAINST(fresh, &p, "cluster", "apply", "-f", "data/cluster.yaml");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "demo/main applied, revision 1\n");
    assert_int_equal(p.request_count, 2);
    assert_non_null(strstr(p.requests[1], "PUT /v1/clusters/demo/main HTTP/1.1\r\n"));
    assert_non_null(strstr(p.requests[1], "If-None-Match: *\r\n"));
    assert_non_null(strstr(p.requests[1], "\"bootstrap\":{\"kind\":\"adopt\",\"name\":\"eu-1\"}"));
    const char *body = strstr(p.requests[1], "\r\n\r\n") + 4;
    HF_BUF(current, 65536);
    assert_true(hf_ok(hf_buf_printf(&current, NULL, "{\"revision\":\"17\",\"policy\":%s}", body)));
    outcome_free(&o);
    peer_free(&p);
    const struct answer same[] = {{200, hf_buf_text(&current)}};
    o = AGAINST(same, &p, "cluster", "apply", "-f", "data/cluster.yaml");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "demo/main is unchanged\n");
    assert_int_equal(p.request_count, 1);
    outcome_free(&o);
    peer_free(&p);
    static const struct answer changed[] = {{200, "{\"revision\":\"17\",\"policy\":{}}"},
                                            {412, "{\"error\":{\"message\":\"now 18\"}}"}};
    o = AGAINST(changed, &p, "cluster", "apply", "-f", "data/cluster.yaml");
    assert_int_equal(o.exit, 13);
    assert_non_null(strstr(p.requests[1], "If-Match: 17\r\n"));
    outcome_free(&o);
    peer_free(&p);
    static const struct answer named[] = {{200, "{\"revision\":\"6\"}"}};
    o = AGAINST(named, &p, "cluster", "apply", "-f", "data/cluster.yaml", "--revision", "5");
    assert_int_equal(o.exit, 0);
    assert_int_equal(p.request_count, 1);
    assert_non_null(strstr(p.requests[0], "If-Match: 5\r\n"));
    outcome_free(&o);
    peer_free(&p);
    o = AGAINST(named, &p, "cluster", "apply", "-f", "data/agent.yaml");
    assert_int_equal(o.exit, 1);
    assert_int_equal(p.request_count, 0);
    assert_non_null(strstr(o.diagnostics, "data/agent.yaml:5:1: unknown key"));
    outcome_free(&o);
    peer_free(&p);
}

#define PLAN "{\"epoch\":\"2\",\"kind\":\"failover\",\"from\":\"eu-1\",\"to\":\"us-1\","
#define REASONS                                                                                    \
    "\"reasons\":[{\"rule\":\"R\",\"text\":\"because\"}],\"predicted_bytes\":\"1024\","            \
    "\"predicted_ms\":\"400\",\"steps\":[{\"name\":\"prepare\",\"text\":\"all\"}]}"

static void operations_are_waited_for(void **state)
{
    (void)state;
    static const struct answer done[] = {{200, PLAN "\"allowed\":true," REASONS},
                                         {202, "{\"operation\":\"f-0001\"}"},
                                         {200, "{\"id\":\"f-0001\",\"state\":\"running\"}"},
                                         {503, "{}"},
                                         {200, "{\"id\":\"f-0001\",\"state\":\"finished\","
                                               "\"result\":\"done\"}"}};
    struct peer p;
    struct outcome o =
        AGAINST(done, &p, "failover", "run", "demo/main", "--to", "us", "--wait", "30s");
    if (o.exit != 0) {
        fail_msg("%s", o.diagnostics);
    }
    assert_int_equal(p.request_count, 5);
    assert_non_null(strstr(p.requests[0], "{\"to\":\"us\"}"));
    assert_non_null(strstr(p.requests[1], "{\"to\":\"us\",\"epoch\":\"2\"}"));
    assert_non_null(strstr(p.requests[2], "GET /v1/clusters/demo/main/operations/f-0001 HTTP"));
    assert_non_null(strstr(o.out, "failover from eu-1 to us-1: allowed, predicted loss ≤1kB/0.4s"));
    outcome_free(&o);
    peer_free(&p);
    static const struct answer refused[] = {{200, PLAN "\"allowed\":false," REASONS}};
    o = AGAINST(refused, &p, "failover", "run", "demo/main");
    assert_int_equal(o.exit, 1);
    assert_int_equal(p.request_count, 1);
    assert_non_null(strstr(o.out, "REFUSED"));
    outcome_free(&o);
    peer_free(&p);
    static const struct answer failed[] = {{202, "{\"operation\":\"b-1\"}"},
                                           {200,
                                            "{\"id\":\"b-1\",\"state\":\"finished\","
                                            "\"result\":\"failed\",\"message\":\"disk full\"}"}};
    o = AGAINST(failed, &p, "backup", "create", "demo/main", "--node", "eu-1", "--wait");
    assert_int_equal(o.exit, 1);
    assert_non_null(strstr(p.requests[0], "{\"type\":\"full\",\"node\":\"eu-1\"}"));
    assert_non_null(strstr(o.diagnostics, "b-1 failed: disk full"));
    outcome_free(&o);
    peer_free(&p);
    static const struct answer slow[] = {{202, "{\"operation\":\"b-1\"}"},
                                         {200, "{\"id\":\"b-1\",\"state\":\"running\"}"}};
    o = AGAINST(slow, &p, "backup", "create", "demo/main", "--wait", "1ms");
    assert_int_equal(o.exit, 15);
    assert_non_null(strstr(o.diagnostics, "operation show demo/main b-1"));
    outcome_free(&o);
    peer_free(&p);
    o = AGAINST(slow, &p, "backup", "create", "demo/main");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "b-1 accepted\n");
    outcome_free(&o);
    peer_free(&p);
    static const struct answer evil[] = {{202, "{\"operation\":\"../../x\"}"}};
    o = AGAINST(evil, &p, "backup", "create", "demo/main", "--wait");
    assert_int_equal(o.exit, 1);
    assert_int_equal(p.request_count, 1);
    outcome_free(&o);
    peer_free(&p);
}

static void the_only_cluster_is_meant(void **state)
{
    (void)state;
    static const struct answer one[] = {
        {200, "{\"clusters\":[{\"tenant\":\"demo\",\"cluster\":\"main\"}]}"},
        {200, "{\"paused\":false}"}};
    static const struct answer two[] = {
        {200, "{\"clusters\":[{\"tenant\":\"demo\",\"cluster\":\"main\"},{}]}"}};
    static const struct answer none[] = {{200, "{\"clusters\":[]}"}};
    struct peer p;
    struct outcome o = AGAINST(one, &p, "resume");
    assert_int_equal(o.exit, 0);
    assert_non_null(strstr(p.requests[1], "POST /v1/clusters/demo/main/resume "));
    outcome_free(&o);
    peer_free(&p);
    o = AGAINST(two, &p, "resume");
    assert_int_equal(o.exit, 2);
    outcome_free(&o);
    peer_free(&p);
    o = AGAINST(none, &p, "resume");
    assert_int_equal(o.exit, 10);
    outcome_free(&o);
    peer_free(&p);
}

static void status_has_its_shape(void **state)
{
    (void)state;
    HF_BUF(json, 65536);
    HF_BUF(expected, 65536);
    assert_true(hf_ok(hf_file_read("data/status.json", &json, NULL)));
    assert_true(hf_ok(hf_file_read("data/status.txt", &expected, NULL)));
    const struct answer script[] = {{200, hf_buf_text(&json)}};
    struct peer p;
    struct outcome o = AGAINST(script, &p, "status", "demo/main");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, hf_buf_text(&expected));
    assert_non_null(strstr(p.requests[0], "GET /v1/clusters/demo/main/status HTTP/1.1\r\n"));
    outcome_free(&o);
    peer_free(&p);
    o = AGAINST(script, &p, "status", "demo/main", "-o", "json");
    assert_int_equal(o.exit, 0);
    assert_non_null(strstr(o.out, "\"verdict\":\"PROTECTED\""));
    outcome_free(&o);
    peer_free(&p);
}

static void unknown_is_shown_as_unknown(void **state)
{
    (void)state;
    static const struct answer script[] = {
        {200, "{\"tenant\":\"demo\",\"cluster\":\"main\",\"epoch\":\"3\",\"primary\":null,"
              "\"lease_remaining_ms\":null,\"verdict\":\"UNKNOWN\",\"exposure\":{\"ms\":null,"
              "\"bytes\":null,\"target_ms\":\"0\",\"enforcement\":\"block\",\"best\":null},"
              "\"nodes\":[{\"region\":\"eu\",\"node\":\"e\\u001b[31m\",\"role\":\"unknown\","
              "\"state\":\"x\",\"ok\":null,\"newest_backup\":\"\"}],\"last\":null,"
              "\"warnings\":[{\"text\":\"a\\u001b[2Jb\",\"rule\":\"R\"}]}"}};
    struct peer p;
    struct outcome o = AGAINST(script, &p, "status", "demo/main");
    assert_int_equal(o.exit, 0);
    assert_null(strchr(o.out, 0x1b));
    assert_non_null(strstr(o.out, "primary ? (?)  timeline ?  lease ? (leader ?)   ? UNKNOWN\n"));
    assert_non_null(strstr(
        o.out, "exposure   ?  ?  of target 0s (block)     best copy outside ?: none known\n"));
    assert_non_null(strstr(o.out, "WARNING a?[2Jb (rule R)\n"));
    assert_null(strstr(o.out, " 0 "));
    outcome_free(&o);
    peer_free(&p);
}

static void lists(void **state)
{
    (void)state;
    static const struct answer backups[] = {
        {200, "{\"backups\":[{\"label\":\"20261121T002100Z-F\",\"type\":\"full\",\"node\":\"eu-1\","
              "\"state\":\"complete\",\"started_at\":\"2026-11-21T00:21:00.000Z\",\"size_bytes\":"
              "\"33554432\",\"stored_bytes\":null,\"regions\":[\"eu\",\"us\"]}]}"}};
    struct peer p;
    struct outcome o = AGAINST(backups, &p, "backup", "list", "demo/main");
    assert_int_equal(o.exit, 0);
    assert_non_null(strstr(o.out, "BACKUP              TYPE  NODE  STATE"));
    assert_non_null(strstr(o.out, "20261121T002100Z-F  full  eu-1  complete"));
    assert_non_null(strstr(o.out, "32MB"));
    assert_non_null(strstr(o.out, "eu,us\n"));
    outcome_free(&o);
    peer_free(&p);
    static const struct answer clusters[] = {
        {200, "{\"clusters\":[{\"tenant\":\"demo\",\"cluster\":\"main\",\"level\":\"manage\","
              "\"verdict\":\"PAUSED\",\"paused\":true,\"epoch\":\"2\",\"primary\":\"us-1\","
              "\"primary_region\":\"us\"}]}"}};
    o = AGAINST(clusters, &p, "cluster", "list");
    assert_int_equal(o.exit, 0);
    assert_non_null(strstr(o.out, "demo/main  manage  PAUSED   yes"));
    outcome_free(&o);
    peer_free(&p);
    static const struct answer shown[] = {
        {200, "{\"revision\":\"17\",\"policy\":{\"level\":\"manage\"},\"state\":{\"epoch\":\"2\","
              "\"timeline\":2,\"paused\":false,\"operation\":null}}"}};
    o = AGAINST(shown, &p, "cluster", "show", "demo/main");
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "demo/main  revision 17\n\nepoch        2\ntimeline     2\n"
                               "paused       false\noperation    ?\n"
                               "policy       {\"level\":\"manage\"}\n");
    outcome_free(&o);
    peer_free(&p);
}

static void client_configuration(void **state)
{
    (void)state;
    static const struct answer paused[] = {{200, "{\"paused\":false}"}};
    char path[] = "/tmp/hf-client-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct peer p;
    peer_start(&p, paused, 1);
    assert_true(dprintf(fd, "api: [\"http://127.0.0.1:%d\"]\ncluster: demo/main\n", p.port) > 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv("HOLDFAST_CONFIG", path, 1), 0);
    const char *argv[] = {"holdfast", "cluster", "resume"};
    struct outcome o = {0};
    size_t n = 0;
    FILE *out = open_memstream(&o.out, &n);
    o.exit = hf_ctl_main(3, argv, out, stderr);
    assert_int_equal(fclose(out), 0);
    peer_stop(&p);
    assert_int_equal(o.exit, 0);
    assert_string_equal(o.out, "demo/main is not paused\n");
    outcome_free(&o);
    peer_free(&p);
    assert_int_equal(unlink(path), 0);
    /* a file that was named must be there */
    o = RUN("http://127.0.0.1:1", "cluster", "resume");
    assert_int_equal(o.exit, 2);
    outcome_free(&o);
    assert_int_equal(unsetenv("HOLDFAST_CONFIG"), 0);
}

static int no_configuration(void **state)
{
    (void)state;
    return setenv("XDG_CONFIG_HOME", "/nonexistent", 1) + unsetenv("HOLDFAST_CONFIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(coordinators_are_asked_in_order),
        cmocka_unit_test(leader_is_followed),
        cmocka_unit_test(policy_is_applied_with_a_precondition),
        cmocka_unit_test(operations_are_waited_for),
        cmocka_unit_test(the_only_cluster_is_meant),
        cmocka_unit_test(status_has_its_shape),
        cmocka_unit_test(unknown_is_shown_as_unknown),
        cmocka_unit_test(lists),
        cmocka_unit_test(client_configuration),
    };
    return cmocka_run_group_tests(tests, no_configuration, NULL);
}
