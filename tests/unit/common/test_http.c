/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP client and HTTP server, mostly against each other on one loop, and against sockets that
 * never answer or break off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/http.h"
#include "common/io/log.h"
#include "common/io/ws_http.h"
#include "tests/unit/common/tls_fixture.h"

#define USER_URI "spiffe://lab/user/alice"

static struct tls_fixture fixture;
static struct hf_loop *loop;
static struct hf_ws_hub *hub;
static struct hf_http_client *client;
static struct hf_http_server *server;
static struct hf_http_request *held; /* answered later */
static int handled;

static int make_certs(void **state)
{
    (void)state;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    return fixture_make(&fixture) && fixture_ca(&fixture, "ca") &&
                   fixture_ca(&fixture, "foreign") &&
                   fixture_cert(&fixture, "ca", "coord", "IP:127.0.0.1") &&
                   fixture_cert(&fixture, "ca", "other", "DNS:example.test") &&
                   fixture_cert(&fixture, "ca", "alice", "URI:" USER_URI) &&
                   fixture_cert(&fixture, "foreign", "stranger", "URI:" USER_URI ",IP:127.0.0.1") &&
                   setenv("SSL_CERT_FILE", fixture_path(&fixture, "ca", ".pem"), 1) == 0
               ? 0
               : -1;
}
static int drop_certs(void **state)
{
    (void)state;
    fixture_drop(&fixture);
    return 0;
}
static int make_hub(void **state)
{
    (void)state;
    handled = 0;
    held = NULL;
    return hf_ok(hf_loop_new(&loop, NULL)) && hf_ok(hf_ws_hub_new(loop, &hub, NULL)) &&
                   hf_ok(hf_http_client_new(loop, 8, &client, NULL))
               ? 0
               : -1;
}
static int drop_hub(void **state)
{
    (void)state;
    hf_http_client_free(client);
    hf_ws_hub_free(hub);
    hf_loop_free(loop);
    return 0;
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        hf_lclk end_ = hf_lclk_add(hf_clock_lease(), HF_SEC(20));                                  \
        while (!(condition) && !hf_lclk_reached(hf_clock_lease(), end_)) {                         \
            assert_true(hf_ok(hf_ws_step(hub, HF_MS(50), NULL)));                                  \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static void handler(void *arg, struct hf_http_request *r)
{
    (void)arg;
    handled++;
    size_t len = 0;
    const char *body = hf_http_body(r, &len);
    if (strcmp(hf_http_path(r), "/hold") == 0) {
        held = r;
        return;
    }
    if (strcmp(hf_http_path(r), "/big") == 0) {
        char *big = hf_alloc(3000000);
        memset(big, 'b', 3000000);
        hf_http_respond(r, 200, "application/octet-stream", big, 3000000);
        hf_free(big);
        return;
    }
    char argument[64] = "-";
    HF_IGNORE(hf_http_query_get(r, "q", argument, sizeof(argument), NULL), "it may be absent");
    char text[512];
    int n = snprintf(text, sizeof(text), "%s %s q=%s uri=%s len=%zu %.20s", hf_http_method(r),
                     hf_http_path(r), argument, hf_http_peer_uri(r), len, body);
    assert_true(hf_ok(hf_http_set_header(r, "X-Test", "yes", NULL)));
    struct hf_err err = {0};
    assert_int_equal(hf_http_set_header(r, "X-Bad", "a\r\nb: c", &err).code, HF_E_INVALID);
    hf_http_respond(r, strcmp(hf_http_path(r), "/missing") == 0 ? 404 : 200, "text/plain", text,
                    (size_t)n);
}

static void serve(const struct hf_tls_files *tls, enum hf_http_client_cert cert)
{
    struct hf_http_server_config config = {
        .listen = "127.0.0.1:0", .tls = tls, .client_cert = cert};
    struct hf_err err = {0};
    if (!hf_ok(hf_http_server_new(hub, &config, handler, NULL, &server, &err))) {
        fail_msg("%s", err.text);
    }
}

static struct {
    int calls;
    enum hf_code code;
    int status;
    char text[512];
    char body[512];
    size_t len;
} got;
static void on_done(void *arg, const struct hf_http_response *r)
{
    (void)arg;
    got.calls++;
    got.code = r->result.code;
    got.status = r->status;
    got.len = r->len;
    snprintf(got.body, sizeof(got.body), "%s", r->body);
    snprintf(got.text, sizeof(got.text), "%s", hf_ok(r->result) ? "" : r->err->text);
}

static struct hf_http_call *start(struct hf_http_client_request request, const char *scheme,
                                  int port, const char *target)
{
    char url[256];
    snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s", scheme, port, target);
    memset(&got, 0, sizeof(got));
    request.url = url;
    request.done = on_done;
    struct hf_http_call *call = NULL;
    assert_true(hf_ok(hf_http_client_start(client, &request, &call, NULL)));
    return call;
}
static void ask(struct hf_http_client_request request, const char *scheme, const char *target)
{
    start(request, scheme, hf_http_server_port(server), target);
    UNTIL(got.calls == 1);
}

static void plain_requests(void **state)
{
    (void)state;
    serve(NULL, HF_HTTP_CERT_REQUIRED);
    ask((struct hf_http_client_request){0}, "http", "/health?q=a%20b%26c&x=1");
    assert_int_equal(got.code, HF_OK);
    assert_int_equal(got.status, 200);
    assert_string_equal(got.body, "GET /health q=a b&c uri= len=0 ");
    ask((struct hf_http_client_request){.method = "POST", .body = "0123456789", .body_len = 10},
        "http", "/p");
    assert_string_equal(got.body, "POST /p q=- uri= len=10 0123456789");
    ask((struct hf_http_client_request){.method = "POST"}, "http", "/p");
    assert_string_equal(got.body, "POST /p q=- uri= len=0 ");
    ask((struct hf_http_client_request){.method = "DELETE"}, "http", "/missing");
    assert_int_equal(got.code, HF_OK);
    assert_int_equal(got.status, 404);
    ask((struct hf_http_client_request){.method = "HEAD"}, "http", "/h");
    assert_int_equal(got.status, 200);
    assert_int_equal(got.len, 0);
    static char body[HF_HTTP_BODY_MAX];
    ask((struct hf_http_client_request){.method = "PUT", .body = body, .body_len = sizeof(body)},
        "http", "/big-body");
    assert_non_null(strstr(got.body, "PUT /big-body q=- uri= len=1048576"));
    ask((struct hf_http_client_request){.max_response = 4000000}, "http", "/big");
    assert_int_equal(got.len, 3000000);
    ask((struct hf_http_client_request){0}, "http", "/big"); /* default: 1 MiB */
    assert_int_equal(got.code, HF_E_LIMIT);
}

static void bodies_are_bounded(void **state)
{
    (void)state;
    serve(NULL, HF_HTTP_CERT_REQUIRED);
    HF_AUTOFREE char *body = hf_alloc(HF_HTTP_BODY_MAX + 1);
    ask((struct hf_http_client_request){.method = "PUT",
                                        .body = body,
                                        .body_len = HF_HTTP_BODY_MAX + 1},
        "http", "/x");
    /* 413, or the connection ended while the body was still being sent */
    assert_true(got.status == 413 || got.code == HF_E_TIMEOUT);
    assert_int_equal(handled, 0);
    const char *chunked[] = {"Transfer-Encoding: chunked", NULL};
    ask(
        (struct hf_http_client_request){
            .method = "POST", .headers = chunked, .body = "x", .body_len = 1},
        "http", "/x");
    assert_int_equal(handled, 0);
}

static void users_are_known_by_certificate(void **state)
{
    (void)state;
    struct hf_tls_files own = fixture_files(&fixture, "ca", "coord");
    struct hf_tls_files alice = fixture_files(&fixture, "ca", "alice");
    struct hf_tls_files nobody = {.ca = alice.ca};
    struct hf_tls_files stranger = fixture_files(&fixture, "ca", "stranger");
    serve(&own, HF_HTTP_CERT_REQUIRED);
    ask((struct hf_http_client_request){.tls = &alice}, "https", "/who");
    assert_string_equal(got.body, "GET /who q=- uri=" USER_URI " len=0 ");
    ask((struct hf_http_client_request){.tls = &nobody}, "https", "/who");
    assert_int_not_equal(got.code, HF_OK);
    ask((struct hf_http_client_request){.tls = &stranger}, "https", "/who");
    assert_int_not_equal(got.code, HF_OK);
    assert_int_equal(handled, 1);
    /* the client does not believe a server of another authority, or of another name */
    struct hf_tls_files mistaken = fixture_files(&fixture, "foreign", "alice");
    ask((struct hf_http_client_request){.tls = &mistaken}, "https", "/who");
    assert_int_equal(got.code, HF_E_DENIED);
    serve(&(struct hf_tls_files){.ca = own.ca,
                                 .certificate = fixture_path(&fixture, "other", ".pem"),
                                 .key = fixture_path(&fixture, "other", ".key")},
          HF_HTTP_CERT_OPTIONAL);
    ask((struct hf_http_client_request){.tls = &alice}, "https", "/who");
    assert_int_equal(got.code, HF_E_DENIED);
    assert_int_equal(handled, 1);
}

static void optional_certificates(void **state)
{
    (void)state;
    struct hf_tls_files own = fixture_files(&fixture, "ca", "coord");
    struct hf_tls_files alice = fixture_files(&fixture, "ca", "alice");
    struct hf_tls_files nobody = {.ca = alice.ca};
    struct hf_tls_files stranger = fixture_files(&fixture, "ca", "stranger");
    serve(&own, HF_HTTP_CERT_OPTIONAL);
    ask((struct hf_http_client_request){.tls = &nobody}, "https", "/who");
    assert_string_equal(got.body, "GET /who q=- uri= len=0 ");
    ask((struct hf_http_client_request){.tls = &alice}, "https", "/who");
    assert_string_equal(got.body, "GET /who q=- uri=" USER_URI " len=0 ");
    ask((struct hf_http_client_request){.tls = &stranger}, "https", "/who");
    assert_int_not_equal(got.code, HF_OK);
}

static void system_anchors(void **state)
{
    (void)state;
    /* make_certs named our CA as the system's (SSL_CERT_FILE) */
    struct hf_tls_files own = fixture_files(&fixture, "ca", "coord");
    serve(&own, HF_HTTP_CERT_OPTIONAL);
    ask((struct hf_http_client_request){0}, "https", "/who");
    assert_string_equal(got.body, "GET /who q=- uri= len=0 ");
    struct hf_tls_files foreign = fixture_files(&fixture, "ca", "stranger");
    serve(&foreign, HF_HTTP_CERT_OPTIONAL);
    ask((struct hf_http_client_request){0}, "https", "/who");
    assert_int_equal(got.code, HF_E_DENIED);
}

static void late_answers(void **state)
{
    (void)state;
    serve(NULL, HF_HTTP_CERT_REQUIRED);
    start((struct hf_http_client_request){0}, "http", hf_http_server_port(server), "/hold");
    UNTIL(held != NULL);
    assert_int_equal(got.calls, 0);
    assert_false(hf_http_gone(held));
    hf_http_respond(held, 200, "text/plain", "late", 4);
    held = NULL;
    UNTIL(got.calls == 1);
    assert_string_equal(got.body, "late");
    /* the client goes away before the answer */
    struct hf_http_call *call =
        start((struct hf_http_client_request){0}, "http", hf_http_server_port(server), "/hold");
    UNTIL(held != NULL);
    hf_http_call_cancel(call);
    UNTIL(hf_http_gone(held));
    /* Waiting for the answer costs no processor time, whatever the client does. */
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    hf_lclk until = hf_lclk_add(hf_clock_lease(), HF_MS(300));
    while (!hf_lclk_reached(hf_clock_lease(), until)) {
        assert_true(hf_ok(hf_ws_step(hub, HF_MS(100), NULL)));
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                100);
    hf_http_respond(held, 200, "text/plain", "nobody", 6);
    assert_int_equal(got.calls, 0);
}

static void websockets_are_refused(void **state)
{
    (void)state;
    serve(NULL, HF_HTTP_CERT_REQUIRED);
    const char *upgrade[] = {"Connection: Upgrade",
                             "Upgrade: websocket",
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                             "Sec-WebSocket-Version: 13",
                             "Sec-WebSocket-Protocol: http",
                             NULL};
    ask((struct hf_http_client_request){.headers = upgrade}, "http", "/");
    assert_int_not_equal(got.status, 101);
    assert_int_equal(handled, 0);
}

/* --- peers that behave badly --- */
static int listen_on(int *ret_port, int backlog)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

static bool received;
static bool receives(int fd)
{
    char text[4096];
    received = received || recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0;
    return received;
}

static void silence_and_refusal(void **state)
{
    (void)state;
    int port = 0;
    int fd = listen_on(&port, 5);
    struct hf_http_client_request quick = {.connect_timeout = HF_MS(100),
                                           .total_timeout = HF_MS(150)};
    start(quick, "http", port, "/"); /* the kernel connects, nobody answers */
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_E_TIMEOUT);
    start(quick, "https", port, "/"); /* no TLS session: nothing was sent */
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_E_UNREACHABLE);
    close(fd);
    start(quick, "http", port, "/");
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_E_UNREACHABLE);
}

static void a_write_is_never_sent_twice(void **state)
{
    (void)state;
    int port = 0;
    int fd = listen_on(&port, 5);
    /* The connection is kept after a first answer; then the peer reads a POST and breaks off. curl
     * by itself would connect again and send it a second time. */
    start((struct hf_http_client_request){0}, "http", port, "/1");
    int peer = -1;
    char text[4096];
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(10));
    while (peer < 0 && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_ws_step(hub, HF_MS(5), NULL)));
        peer = accept(fd, NULL, NULL);
    }
    assert_true(peer >= 0);
    received = false;
    UNTIL(receives(peer));
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_int_equal(write(peer, ok, sizeof(ok) - 1), sizeof(ok) - 1);
    UNTIL(got.calls == 1);
    assert_string_equal(got.body, "ok");
    start((struct hf_http_client_request){.method = "POST", .body = "b", .body_len = 1}, "http",
          port, "/2");
    received = false;
    UNTIL(receives(peer));
    close(peer);
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_E_TIMEOUT);
    int second = accept(fd, NULL, NULL);
    if (second >= 0) { /* it may have connected again; it has not sent again */
        assert_true(recv(second, text, sizeof(text), MSG_DONTWAIT) <= 0);
        close(second);
    }
    close(fd);
}

static size_t streamed;
static struct hf_http_call *streaming;
static bool on_chunk(void *arg, int status, const char *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    assert_int_equal(status, 200);
    streamed += len;
    return streamed < 100000;
}
static bool cancel_in_chunk(void *arg, int status, const char *bytes, size_t len)
{
    (void)arg;
    (void)status;
    (void)bytes;
    streamed += len;
    hf_http_call_cancel(streaming);
    return true;
}

static void streams(void **state)
{
    (void)state;
    serve(NULL, HF_HTTP_CERT_REQUIRED);
    streamed = 0;
    ask((struct hf_http_client_request){.chunk = on_chunk}, "http", "/big");
    assert_int_equal(got.code, HF_E_CANCELED);
    assert_true(streamed >= 100000 && streamed < 3000000);
    streamed = 0;
    streaming = start((struct hf_http_client_request){.chunk = cancel_in_chunk}, "http",
                      hf_http_server_port(server), "/big");
    UNTIL(streamed > 0);
    assert_true(hf_ok(hf_ws_step(hub, HF_MS(20), NULL)));
    assert_int_equal(got.calls, 0);
    /* a silent stream ends by its own limit */
    start((struct hf_http_client_request){.chunk = on_chunk, .stall_timeout = HF_MS(100)}, "http",
          hf_http_server_port(server), "/hold");
    UNTIL(got.calls == 1);
    assert_int_equal(got.code, HF_E_TIMEOUT);
    UNTIL(held != NULL);
    hf_http_respond(held, 200, "text/plain", "", 0);
}

static void bounds_of_calls(void **state)
{
    (void)state;
    int port = 0;
    int fd = listen_on(&port, 16);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", port);
    struct hf_http_client_request request = {.url = url, .done = on_done};
    struct hf_http_call *calls[9];
    struct hf_err err = {0};
    for (int i = 0; i < 8; i++) {
        assert_true(hf_ok(hf_http_client_start(client, &request, &calls[i], NULL)));
    }
    assert_int_equal(hf_http_client_start(client, &request, &calls[8], &err).code, HF_E_LIMIT);
    hf_http_call_cancel(calls[3]);
    assert_true(hf_ok(hf_http_client_start(client, &request, &calls[3], NULL)));
    hf_http_call_cancel(calls[0]);
    request.url = "ftp://127.0.0.1/";
    assert_int_equal(hf_http_client_start(client, &request, &calls[0], &err).code, HF_E_INVALID);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_hub, drop_hub)
        T(plain_requests),
        T(bodies_are_bounded),
        T(users_are_known_by_certificate),
        T(optional_certificates),
        T(system_anchors),
        T(late_answers),
        T(websockets_are_refused),
        T(silence_and_refusal),
        T(a_write_is_never_sent_twice),
        T(streams),
        T(bounds_of_calls),
    };
    return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
