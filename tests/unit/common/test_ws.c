/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/ws.h"
#include "tests/unit/common/tls_fixture.h"

#define AGENT_URI "spiffe://lab/tenant/demo/region/eu/agent/eu-1"
#define COORD_URI "spiffe://lab/coordinator/eu"

static struct tls_fixture fixture;
static struct hf_loop *loop;
static struct hf_ws_hub *hub;
static struct hf_ws_server *server;

struct side {
    struct hf_ws_conn *conn;
    int opened, closed, messages;
    size_t last_len;
    char last[128];
    char reason[128];
    char uri[HF_TLS_URI_SIZE];
    bool echo;
    bool refuse;
    bool close_on_message;
};
static struct side at_server, at_client;

static hf_result on_accept(void *arg, const char *uri, struct hf_err *err)
{
    struct side *s = arg;
    snprintf(s->uri, sizeof(s->uri), "%s", uri);
    return s->refuse ? hf_fail(err, HF_E_DENIED, "not wanted") : hf_done();
}
static void on_open(void *arg, struct hf_ws_conn *conn)
{
    struct side *s = arg;
    s->opened++;
    s->conn = conn;
    hf_ws_set_user(conn, s);
}
static void on_message(void *arg, struct hf_ws_conn *conn, const char *text, size_t len)
{
    struct side *s = arg;
    assert_ptr_equal(hf_ws_user(conn), s);
    s->messages++;
    s->last_len = len;
    snprintf(s->last, sizeof(s->last), "%s", text);
    if (s->echo) {
        assert_true(hf_ok(hf_ws_send(conn, text, len, NULL)));
    }
    if (s->close_on_message) {
        hf_ws_close(conn, "asked to");
    }
}
static void on_closed(void *arg, struct hf_ws_conn *conn, const char *reason)
{
    struct side *s = arg;
    assert_ptr_equal(s->conn, conn);
    s->conn = NULL;
    s->closed++;
    snprintf(s->reason, sizeof(s->reason), "%s", reason);
}
static const struct hf_ws_callbacks callbacks = {on_accept, on_open, on_message, on_closed};

static int make_certs(void **state)
{
    (void)state;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    return fixture_make(&fixture) && fixture_ca(&fixture, "ca") &&
                   fixture_ca(&fixture, "foreign") &&
                   fixture_cert(&fixture, "ca", "coord", "URI:" COORD_URI ",IP:127.0.0.1") &&
                   fixture_cert(&fixture, "ca", "agent", "URI:" AGENT_URI) &&
                   fixture_cert(&fixture, "ca", "nameless", "DNS:example.test") &&
                   fixture_cert(&fixture, "ca", "two", "URI:" AGENT_URI ",URI:" COORD_URI) &&
                   fixture_cert(&fixture, "foreign", "stranger", "URI:" AGENT_URI ",IP:127.0.0.1")
               ? 0
               : -1;
}
static int drop_certs(void **state)
{
    (void)state;
    fixture_drop(&fixture);
    return 0;
}

static void serve(const char *ca, const char *name)
{
    struct hf_err err = {0};
    struct hf_ws_server_config config = {.listen = "127.0.0.1:0",
                                         .tls = fixture_files(&fixture, ca, name)};
    hf_result r = hf_ws_server_new(hub, &config, &callbacks, &at_server, &server, &err);
    if (!hf_ok(r)) {
        fail_msg("%s", err.text);
    }
    assert_true(hf_ws_server_port(server) > 0);
}

static int make_hub(void **state)
{
    (void)state;
    memset(&at_server, 0, sizeof(at_server));
    memset(&at_client, 0, sizeof(at_client));
    return hf_ok(hf_loop_new(&loop, NULL)) && hf_ok(hf_ws_hub_new(loop, &hub, NULL)) ? 0 : -1;
}
static int drop_hub(void **state)
{
    (void)state;
    hf_ws_hub_free(hub);
    hf_loop_free(loop);
    return 0;
}

static struct hf_ws_client *client_of(const char *ca, const char *name, const char *prefix,
                                      const char *path, const char *subprotocol)
{
    char url[64];
    snprintf(url, sizeof(url), "wss://127.0.0.1:%d", hf_ws_server_port(server));
    struct hf_ws_client_config config = {.url = url,
                                         .path = path,
                                         .subprotocol = subprotocol,
                                         .tls = fixture_files(&fixture, ca, name),
                                         .server_uri_prefix = prefix,
                                         .backoff_min = HF_MS(20),
                                         .backoff_max = HF_MS(60)};
    struct hf_ws_client *client = NULL;
    struct hf_err err = {0};
    if (!hf_ok(hf_ws_client_new(hub, &config, &callbacks, &at_client, &client, &err))) {
        fail_msg("%s", err.text);
    }
    return client;
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        hf_lclk end_ = hf_lclk_add(hf_clock_lease(), HF_SEC(20));                                  \
        while (!(condition) && !hf_lclk_reached(hf_clock_lease(), end_)) {                         \
            assert_true(hf_ok(hf_ws_step(hub, HF_MS(50), NULL)));                                  \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void run_for(hf_dur d)
{
    hf_lclk end = hf_lclk_add(hf_clock_lease(), d);
    while (!hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_ws_step(hub, HF_MS(10), NULL)));
    }
}

static void messages_go_both_ways(void **state)
{
    (void)state;
    serve("ca", "coord");
    struct hf_ws_client *c = client_of("ca", "agent", "spiffe://lab/coordinator/", NULL, NULL);
    UNTIL(at_client.opened == 1 && at_server.opened == 1);
    assert_string_equal(at_server.uri, AGENT_URI);
    assert_string_equal(hf_ws_peer_uri(at_server.conn), AGENT_URI);
    assert_string_equal(at_client.uri, COORD_URI);
    assert_ptr_equal(hf_ws_client_conn(c), at_client.conn);
    assert_string_equal(hf_ws_client_problem(c), "");
    assert_int_equal(hf_ws_server_count(server), 1);
    at_server.echo = true;
    assert_true(hf_ok(hf_ws_send(at_client.conn, "hello", 5, NULL)));
    UNTIL(at_client.messages == 1);
    assert_string_equal(at_client.last, "hello");
    /* The longest message comes in many pieces and is put together. */
    char *big = hf_alloc(HF_WS_MESSAGE_MAX + 1);
    memset(big, 'x', HF_WS_MESSAGE_MAX);
    assert_true(hf_ok(hf_ws_send(at_client.conn, big, HF_WS_MESSAGE_MAX, NULL)));
    UNTIL(at_client.messages == 2);
    assert_int_equal(at_client.last_len, HF_WS_MESSAGE_MAX);
    struct hf_err err = {0};
    assert_int_equal(hf_ws_send(at_client.conn, big, HF_WS_MESSAGE_MAX + 1, &err).code, HF_E_LIMIT);
    hf_free(big);
    hf_ws_client_free(c);
    assert_int_equal(at_client.closed, 1);
    UNTIL(at_server.closed == 1);
    assert_int_equal(hf_ws_server_count(server), 0);
}

static void latest_wins_and_the_queue_is_bounded(void **state)
{
    (void)state;
    serve("ca", "coord");
    struct hf_ws_client *c = client_of("ca", "agent", "spiffe://lab/coordinator/", NULL, NULL);
    UNTIL(at_client.opened == 1 && at_server.opened == 1);
    char text[16];
    for (int i = 0; i < 100; i++) {
        int n = snprintf(text, sizeof(text), "beat %d", i);
        assert_true(hf_ok(hf_ws_send_latest(at_client.conn, 3, text, (size_t)n, NULL)));
    }
    UNTIL(at_server.messages == 1);
    run_for(HF_MS(50));
    assert_int_equal(at_server.messages, 1);
    assert_string_equal(at_server.last, "beat 99");
    for (int i = 0; i < HF_WS_FIFO_MAX; i++) {
        assert_true(hf_ok(hf_ws_send(at_client.conn, "m", 1, NULL)));
    }
    assert_int_equal(hf_ws_queued(at_client.conn), HF_WS_FIFO_MAX);
    struct hf_err err = {0};
    assert_int_equal(hf_ws_send(at_client.conn, "m", 1, &err).code, HF_E_LIMIT);
    assert_int_equal(hf_ws_send(at_client.conn, "m", 1, &err).code, HF_E_CANCELED);
    UNTIL(at_client.closed == 1);
    assert_string_equal(at_client.reason, "send queue full");
    UNTIL(at_client.opened == 2); /* and connects again by itself */
    hf_ws_client_free(c);
}

static void reconnects_until_freed(void **state)
{
    (void)state;
    serve("ca", "coord");
    struct hf_ws_client *c = client_of("ca", "agent", "spiffe://lab/coordinator/", NULL, NULL);
    at_server.close_on_message = true;
    for (int i = 1; i <= 3; i++) {
        UNTIL(at_client.opened == i && at_client.conn != NULL);
        assert_true(hf_ok(hf_ws_send(at_client.conn, "bye", 3, NULL)));
        UNTIL(at_client.closed == i && at_server.closed == i);
        assert_string_equal(at_server.reason, "asked to");
    }
    hf_ws_client_free(c);
    int opened = at_client.opened;
    run_for(HF_MS(200));
    assert_int_equal(at_client.opened, opened);
}

/* Neither side may announce a connection within the time in which a good one comes up many times.
 */
static void expect_no_connection(struct hf_ws_client *c)
{
    run_for(HF_MS(400));
    assert_int_equal(at_client.opened, 0);
    assert_int_equal(at_server.opened, 0);
    assert_int_equal(at_server.closed, 0);
    assert_true(hf_ws_client_problem(c)[0] != '\0');
    hf_ws_client_free(c);
    run_for(HF_MS(50));
}

static void strangers_are_refused(void **state)
{
    (void)state;
    serve("ca", "coord");
    /* a client certificate of another authority */
    struct hf_tls_files mixed = fixture_files(&fixture, "ca", "stranger");
    char url[64];
    snprintf(url, sizeof(url), "wss://127.0.0.1:%d", hf_ws_server_port(server));
    struct hf_ws_client_config config = {
        .url = url, .tls = mixed, .backoff_min = HF_MS(20), .backoff_max = HF_MS(60)};
    struct hf_ws_client *c = NULL;
    assert_true(hf_ok(hf_ws_client_new(hub, &config, &callbacks, &at_client, &c, NULL)));
    expect_no_connection(c);
    /* a verified one without exactly one URI name */
    expect_no_connection(client_of("ca", "nameless", NULL, NULL, NULL));
    expect_no_connection(client_of("ca", "two", NULL, NULL, NULL));
    /* wrong path, wrong and missing subprotocol */
    expect_no_connection(client_of("ca", "agent", NULL, "/other", NULL));
    expect_no_connection(client_of("ca", "agent", NULL, NULL, "other.v1"));
    expect_no_connection(client_of("ca", "agent", NULL, NULL, ""));
    /* one that the owner does not want */
    at_server.refuse = true;
    expect_no_connection(client_of("ca", "agent", NULL, NULL, NULL));
    at_server.refuse = false;
    at_client.refuse = true;
    struct hf_ws_client *picky = client_of("ca", "agent", NULL, NULL, NULL);
    run_for(HF_MS(200));
    assert_int_equal(at_client.opened, 0);
    at_client.refuse = false;
    UNTIL(at_client.opened == 1);
    hf_ws_client_free(picky);
}

static void client_verifies_the_server(void **state)
{
    (void)state;
    serve("ca", "agent"); /* a valid certificate, of somebody who is no coordinator */
    struct hf_ws_client *c = client_of("ca", "agent", "spiffe://lab/coordinator/", NULL, NULL);
    run_for(HF_MS(300));
    assert_int_equal(at_client.opened, 0);
    assert_non_null(strstr(hf_ws_client_problem(c), "needed is spiffe://lab/coordinator/"));
    hf_ws_client_free(c);
    c = client_of("ca", "agent", NULL, NULL, NULL); /* it does not name 127.0.0.1 */
    run_for(HF_MS(300));
    assert_int_equal(at_client.opened, 0);
    hf_ws_client_free(c);
    c = client_of("foreign", "agent", "spiffe://", NULL, NULL); /* not our authority */
    run_for(HF_MS(300));
    assert_int_equal(at_client.opened, 0);
    hf_ws_client_free(c);
}

static void addresses_and_files_are_checked(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_ws_server *s = NULL;
    struct hf_ws_server_config config = {.tls = fixture_files(&fixture, "ca", "coord")};
    static const char *const bad[] = {"127.0.0.1", "host.example:1", "127.0.0.1:x", ":1",
                                      "127.0.0.1:70000"};
    for (size_t i = 0; i < 5; i++) {
        config.listen = bad[i];
        assert_int_equal(hf_ws_server_new(hub, &config, &callbacks, NULL, &s, &err).code,
                         HF_E_INVALID);
    }
    config.listen = "127.0.0.1:0";
    config.tls.key = fixture_path(&fixture, "agent", ".key");
    assert_int_equal(hf_ws_server_new(hub, &config, &callbacks, NULL, &s, &err).code, HF_E_INVALID);
    assert_non_null(strstr(err.text, "agent.key"));
    /* a taken port */
    serve("ca", "coord");
    char taken[64];
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", hf_ws_server_port(server));
    config.tls = fixture_files(&fixture, "ca", "coord");
    config.listen = taken;
    assert_int_equal(hf_ws_server_new(hub, &config, &callbacks, NULL, &s, &err).code, HF_E_IO);
    /* and one that another program has */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", ntohs(a.sin_port));
    assert_int_equal(hf_ws_server_new(hub, &config, &callbacks, NULL, &s, &err).code, HF_E_IO);
    close(fd);
}

static int ticks;
static void tick(void *arg)
{
    (void)arg;
    if (++ticks == 5) {
        hf_loop_stop(loop);
    }
}

static void the_loop_runs_inside_the_hub(void **state)
{
    (void)state;
    ticks = 0;
    struct hf_timer *t = hf_timer_new(loop, tick, NULL);
    hf_timer_every(t, HF_MS(5));
    assert_true(hf_ok(hf_ws_run(hub, NULL)));
    assert_int_equal(ticks, 5);
    hf_timer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_hub, drop_hub)
        T(messages_go_both_ways),        T(latest_wins_and_the_queue_is_bounded),
        T(reconnects_until_freed),       T(strangers_are_refused),
        T(client_verifies_the_server),   T(addresses_and_files_are_checked),
        T(the_loop_runs_inside_the_hub),
    };
    return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
