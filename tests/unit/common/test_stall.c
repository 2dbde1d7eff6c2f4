/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop is never held up by its peers: with PostgreSQL stopped (SIGSTOP to every process of it),
 * an HTTP peer whose backlog is full and one that accepts and never answers, no dispatch takes
 * longer than 20 ms while a 5 ms timer ticks, alone and inside the websocket hub.
 *
 * The machine may take the processor away at any time: what the kernel says the thread waited for a
 * processor (schedstat) does not count, and the best of five rounds does: something that blocks
 * blocks in each of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/http.h"
#include "common/io/log.h"
#include "common/io/postgres.h"
#include "common/io/ws.h"
#include "tests/unit/common/pg_fixture.h"

enum { LIMIT_US = 20000, ROUND_MS = 700, ROUNDS = 5, ROUNDS_MORE = 60, ATTEMPT_MS = 60 };
enum { SLEEP_MS = 400 }; /* far more than a busy machine takes away elsewhere */

static struct pg_fixture fixture;
static struct hf_loop *loop;
static struct hf_http_client *http;
static int holes[2];
static int hole_ports[2];
static int fillers[16];

/* Time for which this thread was ready but had no processor. */
static int64_t waited_us(void)
{
    char text[128] = "";
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        close(fd);
    }
    unsigned long long ran = 0, waited = 0;
    return n > 0 && sscanf(text, "%llu %llu", &ran, &waited) == 2 ? (int64_t)(waited / 1000) : 0;
}

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

static int start(void **state)
{
    (void)state;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    holes[0] = listen_on(&hole_ports[0], 4000); /* connects, never answers */
    holes[1] = listen_on(&hole_ports[1], 0);    /* full: not even connects */
    for (size_t i = 0; i < 16; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                .sin_port = htons((uint16_t)hole_ports[1])};
        (void)connect(fillers[i], (struct sockaddr *)&a, sizeof(a));
    }
    return pg_fixture_start(&fixture) ? 0 : -1;
}
static int stop(void **state)
{
    (void)state;
    pg_fixture_signal(&fixture, SIGCONT);
    pg_fixture_stop(&fixture);
    for (size_t i = 0; i < 16; i++) {
        close(fillers[i]);
    }
    close(holes[0]);
    close(holes[1]);
    return 0;
}

/* --- the work: always one request at each, begun anew when it ends --- */
static struct {
    int pg_failures, http_failures, ticks, rounds_more;
    int64_t last_us, last_waited_us, worst_us;
} seen;

static struct hf_pg *established; /* its server stops answering */
static struct hf_pg *connecting;

static void on_ready(void *arg, hf_result r, const struct hf_err *err)
{
    (void)err;
    *(bool *)arg = hf_ok(r);
}

static void on_query(void *arg, hf_result r, const struct hf_pg_result *res,
                     const struct hf_err *err)
{
    (void)arg;
    (void)res;
    (void)err;
    assert_int_equal(r.code, HF_E_TIMEOUT);
    seen.pg_failures++;
}

static void connect_again(void);
static void on_connect(void *arg, hf_result r, const struct hf_err *err)
{
    (void)arg;
    (void)err;
    assert_int_equal(r.code, HF_E_TIMEOUT);
    seen.pg_failures++;
    hf_pg_close(connecting);
    connect_again();
}
static void connect_again(void)
{
    struct hf_pg_config c = {.host = fixture.dir,
                             .port = fixture.port,
                             .user = "tester",
                             .dbname = "postgres",
                             .connect_timeout = HF_MS(ATTEMPT_MS)};
    if ((seen.pg_failures & 1) != 0) {
        c.host = "127.0.0.1";
    }
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_connect, NULL, NULL, &connecting, NULL)));
}

static void fetch_again(size_t hole);
static void on_fetch(void *arg, const struct hf_http_response *response)
{
    assert_false(hf_ok(response->result));
    seen.http_failures++;
    fetch_again(*(size_t *)arg);
}
static void fetch_again(size_t hole)
{
    static size_t ids[4] = {0, 1, 2, 3};
    char url[64];
    snprintf(url, sizeof(url), "%s://127.0.0.1:%d/", hole < 2 ? "http" : "https",
             hole_ports[hole % 2]);
    struct hf_http_client_request request = {.url = url,
                                             .connect_timeout = HF_MS(ATTEMPT_MS),
                                             .total_timeout = HF_MS(ATTEMPT_MS),
                                             .done = on_fetch,
                                             .arg = &ids[hole]};
    struct hf_http_call *call;
    assert_true(hf_ok(hf_http_client_start(http, &request, &call, NULL)));
}

static void on_tick(void *arg)
{
    (void)arg;
    int64_t now = hf_clock_lease().us;
    int64_t waited = waited_us();
    if (seen.ticks++ > 0) {
        int64_t late = now - seen.last_us - 5000 - (waited - seen.last_waited_us);
        seen.worst_us = late > seen.worst_us ? late : seen.worst_us;
    }
    seen.last_us = now;
    seen.last_waited_us = waited;
}

/* The peers really were black holes, and were tried all the time. */
static bool enough(void)
{
    return seen.pg_failures >= 3 && seen.http_failures >= 8 && seen.ticks >= 20;
}

/* On a busy machine it takes longer until enough has happened. */
static void on_end(void *arg)
{
    struct hf_timer **end = arg;
    if (enough() || ++seen.rounds_more > ROUNDS_MORE) {
        hf_loop_stop(loop);
    } else {
        hf_timer_after(*end, HF_MS(ROUND_MS));
    }
}

static void begin_work(void)
{
    struct hf_pg_config c = {.host = fixture.dir,
                             .port = fixture.port,
                             .user = "tester",
                             .dbname = "postgres",
                             .connect_timeout = HF_SEC(20)};
    bool ready = false;
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_ready, NULL, &ready, &established, NULL)));
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    while (!ready && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(20), NULL)));
    }
    assert_true(ready);
    assert_true(pg_fixture_signal(&fixture, SIGSTOP) > 3);
    memset(&seen, 0, sizeof(seen));
    /* More than the socket holds: sending is held up as well. */
    HF_AUTOFREE char *big = hf_alloc(4000001);
    memset(big, 'x', 4000000);
    const char *params[] = {big};
    assert_true(hf_ok(hf_pg_query(established, "SELECT length($1)", 1, params, HF_MS(200), on_query,
                                  NULL, NULL)));
    connect_again();
    for (size_t i = 0; i < 4; i++) {
        fetch_again(i);
    }
}

static void one_round(bool in_hub)
{
    struct hf_ws_hub *hub = NULL;
    assert_true(hf_ok(hf_loop_new(&loop, NULL)));
    assert_true(hf_ok(hf_http_client_new(loop, 16, &http, NULL)));
    begin_work();
    if (in_hub) {
        assert_true(hf_ok(hf_ws_hub_new(loop, &hub, NULL)));
    }
    struct hf_timer *tick = hf_timer_new(loop, on_tick, NULL);
    struct hf_timer *end = NULL;
    end = hf_timer_new(loop, on_end, &end);
    hf_loop_stall_reset(loop);
    hf_timer_every(tick, HF_MS(5));
    hf_timer_after(end, HF_MS(ROUND_MS));
    int64_t waited = waited_us();
    assert_true(hf_ok(in_hub ? hf_ws_run(hub, NULL) : hf_loop_run(loop, NULL)));
    waited = waited_us() - waited;
    int64_t stall = hf_loop_stall_max(loop).us;
    assert_true(stall > 0);
    stall = stall > waited ? stall - waited : 0;
    seen.worst_us = stall > seen.worst_us ? stall : seen.worst_us;
    pg_fixture_signal(&fixture, SIGCONT);
    hf_timer_free(tick);
    hf_timer_free(end);
    hf_pg_close(established);
    hf_pg_close(connecting);
    hf_http_client_free(http);
    hf_ws_hub_free(hub);
    hf_loop_free(loop);
}

static void no_stall(bool in_hub)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < ROUNDS && best > LIMIT_US; i++) {
        one_round(in_hub);
        print_message("ticks %d, worst %.1f ms, failures: PostgreSQL %d, HTTP %d\n", seen.ticks,
                      (double)seen.worst_us / 1000, seen.pg_failures, seen.http_failures);
        assert_true(enough());
        best = seen.worst_us < best ? seen.worst_us : best;
    }
    print_message("longest stall %s: %.1f ms\n", in_hub ? "in the hub" : "alone",
                  (double)best / 1000);
    assert_true(best <= LIMIT_US);
}

static void loop_alone(void **state)
{
    (void)state;
    no_stall(false);
}
static void loop_in_the_hub(void **state)
{
    (void)state;
    no_stall(true);
}

static void sleep_in_callback(void *arg)
{
    (void)arg;
    usleep(SLEEP_MS * 1000);
    hf_loop_stop(loop);
}

/* The measurement itself sees a callback that blocks. */
static void a_blocking_callback_is_seen(void **state)
{
    (void)state;
    assert_true(hf_ok(hf_loop_new(&loop, NULL)));
    struct hf_timer *t = hf_timer_new(loop, sleep_in_callback, NULL);
    hf_timer_after(t, HF_MS(1));
    int64_t waited = waited_us();
    assert_true(hf_ok(hf_loop_run(loop, NULL)));
    waited = waited_us() - waited;
    assert_true(hf_loop_stall_max(loop).us - waited > LIMIT_US);
    hf_timer_free(t);
    hf_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop_alone),
        cmocka_unit_test(loop_in_the_hub),
        cmocka_unit_test(a_blocking_callback_is_seen),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
