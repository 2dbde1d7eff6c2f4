/* SPDX-License-Identifier: Apache-2.0
 *
 * Both kinds of PostgreSQL connection, against a real server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/postgres.h"
#include "tests/unit/common/pg_fixture.h"

static struct pg_fixture fixture;
static struct hf_loop *loop;

static int start_server(void **state)
{
    (void)state;
    return pg_fixture_start(&fixture) && hf_ok(hf_loop_new(&loop, NULL)) ? 0 : -1;
}
static int stop_server(void **state)
{
    (void)state;
    pg_fixture_stop(&fixture);
    hf_loop_free(loop);
    return 0;
}

static struct hf_pg_config config(void)
{
    return (struct hf_pg_config){.host = fixture.dir,
                                 .port = fixture.port,
                                 .user = "tester",
                                 .dbname = "postgres",
                                 .connect_timeout = HF_SEC(10)};
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        hf_lclk end_ = hf_lclk_add(hf_clock_lease(), HF_SEC(20));                                  \
        while (!(condition) && !hf_lclk_reached(hf_clock_lease(), end_)) {                         \
            assert_true(hf_ok(hf_loop_step(loop, HF_MS(50), NULL)));                               \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static struct {
    int connected, done, lost;
    enum hf_code code;
    char text[512];
    char value[64];
    int rows;
    struct hf_pg *close_in_callback;
} got;

static void on_connected(void *arg, hf_result r, const struct hf_err *err)
{
    (void)arg;
    got.connected++;
    got.code = r.code;
    snprintf(got.text, sizeof(got.text), "%s", hf_ok(r) ? "" : err->text);
}
static void on_lost(void *arg, const struct hf_err *err)
{
    (void)arg;
    got.lost++;
    snprintf(got.text, sizeof(got.text), "%s", err->text);
}
static void on_done(void *arg, hf_result r, const struct hf_pg_result *res,
                    const struct hf_err *err)
{
    (void)arg;
    got.done++;
    got.code = r.code;
    got.rows = -1;
    if (hf_ok(r)) {
        got.rows = hf_pg_rows(res);
        if (got.rows > 0) {
            snprintf(got.value, sizeof(got.value), "%s", hf_pg_text(res, 0, 0));
        }
    } else {
        assert_null(res);
        snprintf(got.text, sizeof(got.text), "%s", err->text);
    }
    hf_pg_close(got.close_in_callback);
}

static struct hf_pg *connected(void)
{
    struct hf_pg_config c = config();
    struct hf_pg *pg = NULL;
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_connected, on_lost, NULL, &pg, NULL)));
    assert_int_equal(got.connected, 0);
    UNTIL(got.connected == 1);
    if (got.code != HF_OK) {
        fail_msg("%s", got.text);
    }
    assert_int_equal(hf_pg_state(pg), HF_PG_IDLE);
    return pg;
}

static void query(struct hf_pg *pg, const char *sql, int n, const char *const *params, hf_dur limit)
{
    got.done = 0;
    assert_true(hf_ok(hf_pg_query(pg, sql, n, params, limit, on_done, NULL, NULL)));
    assert_int_equal(got.done, 0);
    UNTIL(got.done == 1);
}

static void asynchronous_queries(void **state)
{
    (void)state;
    struct hf_pg *pg = connected();
    assert_int_equal(hf_pg_server_version(pg) / 10000, 15);
    query(pg, "SELECT 42", 0, NULL, HF_SEC(10));
    assert_int_equal(got.code, HF_OK);
    assert_string_equal(got.value, "42");
    const char *params[] = {"'; DROP TABLE x; --", NULL};
    query(pg, "SELECT $1 || '!', $2::text IS NULL", 2, params, HF_SEC(10));
    assert_string_equal(got.value, "'; DROP TABLE x; --!");
    query(pg, "CREATE TABLE a (x int); INSERT INTO a SELECT generate_series(1, 3)", 0, NULL,
          HF_SEC(10));
    assert_int_equal(got.code, HF_OK);
    query(pg, "SELECT x FROM a", 0, NULL, HF_SEC(10));
    assert_int_equal(got.rows, 3);
    query(pg, "SELECT 1/0", 0, NULL, HF_SEC(10));
    assert_int_equal(got.code, HF_E_REFUSED);
    assert_string_equal(hf_pg_sqlstate(pg), "22012");
    query(pg, "SET statement_timeout = 50", 0, NULL, HF_SEC(10));
    query(pg, "SELECT pg_sleep(10)", 0, NULL, HF_SEC(10));
    assert_int_equal(got.code, HF_E_CANCELED);
    assert_int_equal(hf_pg_state(pg), HF_PG_IDLE);
    query(pg, "SET statement_timeout = 0", 0, NULL, HF_SEC(10));
    query(pg, "SET statement_timeout = 0", 0, NULL, HF_SEC(10));
    /* A megabyte out and back: writing and reading in many pieces. */
    HF_AUTOFREE char *big = hf_alloc(1000001);
    memset(big, 'z', 1000000);
    const char *bulk[] = {big};
    query(pg, "SELECT length($1)", 1, bulk, HF_SEC(10));
    assert_string_equal(got.value, "1000000");
    query(pg, "SELECT repeat('x', 3000000)", 0, NULL, HF_SEC(10));
    assert_int_equal(got.code, HF_OK);
    struct hf_err err = {0};
    got.done = 0;
    assert_true(hf_ok(hf_pg_query(pg, "SELECT 1", 0, NULL, HF_SEC(5), on_done, NULL, NULL)));
    assert_int_equal(hf_pg_query(pg, "SELECT 2", 0, NULL, HF_SEC(5), on_done, NULL, &err).code,
                     HF_E_AGAIN);
    got.close_in_callback = pg;
    UNTIL(got.done == 1);
}

static void a_silent_server_ends_by_the_deadline(void **state)
{
    (void)state;
    struct hf_pg *pg = connected();
    assert_true(pg_fixture_signal(&fixture, SIGSTOP) > 0);
    hf_lclk start = hf_clock_lease();
    query(pg, "SELECT 1", 0, NULL, HF_MS(150));
    assert_int_equal(got.code, HF_E_TIMEOUT);
    assert_int_equal(hf_pg_state(pg), HF_PG_BROKEN);
    struct hf_err err = {0};
    assert_int_equal(hf_pg_query(pg, "SELECT 1", 0, NULL, HF_SEC(1), on_done, NULL, &err).code,
                     HF_E_UNREACHABLE);
    hf_pg_close(pg);
    /* Neither does a connect hang: the kernel accepts, the postmaster does not. */
    struct hf_pg_config c = config();
    c.connect_timeout = HF_MS(150);
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_connected, NULL, NULL, &pg, NULL)));
    UNTIL(got.connected == 1);
    assert_int_equal(got.code, HF_E_TIMEOUT);
    hf_pg_close(pg);
    struct hf_pg_sync *sync = NULL;
    assert_int_equal(hf_pg_sync_connect(&c, &sync, &err).code, HF_E_TIMEOUT);
    assert_true(hf_lclk_sub(hf_clock_lease(), start).us < 10000000);
    pg_fixture_signal(&fixture, SIGCONT);
}

static void losses_and_refusals(void **state)
{
    (void)state;
    struct hf_pg *pg = connected();
    struct hf_pg *killer = connected();
    query(pg, "SELECT pg_backend_pid()", 0, NULL, HF_SEC(10));
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%s)", got.value);
    query(killer, sql, 0, NULL, HF_SEC(10));
    UNTIL(got.lost == 1);
    assert_int_equal(hf_pg_state(pg), HF_PG_BROKEN);
    hf_pg_close(pg);
    hf_pg_close(killer);
    struct hf_err err = {0};
    struct hf_pg_config c = config();
    memset(&got, 0, sizeof(got));
    c.dbname = "no_such";
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_connected, NULL, NULL, &pg, NULL)));
    UNTIL(got.connected == 1);
    assert_int_equal(got.code, HF_E_DENIED);
    hf_pg_close(pg);
    c = config();
    c.host = "/tmp/hf-no-such-directory";
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_connected, NULL, NULL, &pg, NULL)));
    UNTIL(got.connected == 1);
    assert_int_equal(got.code, HF_E_UNREACHABLE);
    hf_pg_close(pg);
    c.host = "db.example.test"; /* a look-up would block the loop */
    assert_int_equal(hf_pg_connect(loop, &c, on_connected, NULL, NULL, &pg, &err).code,
                     HF_E_INVALID);
    c = (struct hf_pg_config){.dsn = "host=/tmp password=secret oops"};
    assert_int_equal(hf_pg_connect(loop, &c, on_connected, NULL, NULL, &pg, &err).code,
                     HF_E_INVALID);
    assert_null(strstr(err.text, "secret"));
    /* closed while it connects: no callback */
    c = config();
    memset(&got, 0, sizeof(got));
    assert_true(hf_ok(hf_pg_connect(loop, &c, on_connected, NULL, NULL, &pg, NULL)));
    hf_pg_close(pg);
    assert_true(hf_ok(hf_loop_step(loop, HF_MS(50), NULL)));
    assert_int_equal(got.connected, 0);
}

static void blocking_queries(void **state)
{
    (void)state;
    char dsn[160];
    snprintf(dsn, sizeof(dsn), "host=%s port=%s user=nobody dbname=postgres", fixture.dir,
             fixture.port);
    struct hf_pg_config c = {.dsn = dsn, .user = "tester", .options = "-c work_mem=1234kB"};
    struct hf_pg_sync *s = NULL;
    struct hf_err err = {0};
    if (!hf_ok(hf_pg_sync_connect(&c, &s, &err))) {
        fail_msg("%s", err.text);
    }
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    assert_true(hf_ok(hf_pg_sync_query(s,
                                       "SELECT current_user AS who, 18446744073709551615::numeric, "
                                       "-5, true, '1A/B000002C'::pg_lsn, NULL, "
                                       "current_setting('work_mem')",
                                       0, NULL, HF_SEC(10), &r, &err)));
    assert_int_equal(hf_pg_columns(r), 7);
    assert_int_equal(hf_pg_column(r, "who"), 0);
    assert_int_equal(hf_pg_column(r, "absent"), -1);
    assert_string_equal(hf_pg_text(r, 0, 0), "tester");
    uint64_t u = 0;
    int64_t i = 0;
    bool b = false;
    hf_lsn lsn = {0};
    assert_true(hf_ok(hf_pg_u64(r, 0, 1, &u, &err)) && u == UINT64_MAX);
    assert_true(hf_ok(hf_pg_i64(r, 0, 2, &i, &err)) && i == -5);
    assert_true(hf_ok(hf_pg_bool(r, 0, 3, &b, &err)) && b);
    assert_true(hf_ok(hf_pg_lsn(r, 0, 4, &lsn, &err)) && lsn.v == 0x1AB000002Cull);
    assert_true(hf_pg_is_null(r, 0, 5));
    assert_int_equal(hf_pg_u64(r, 0, 5, &u, &err).code, HF_E_INVALID);
    assert_int_equal(hf_pg_u64(r, 0, 2, &u, &err).code, HF_E_INVALID);
    assert_int_equal(hf_pg_i64(r, 0, 0, &i, &err).code, HF_E_INVALID);
    assert_int_equal(hf_pg_lsn(r, 0, 0, &lsn, &err).code, HF_E_INVALID);
    assert_string_equal(hf_pg_text(r, 0, 6), "1234kB");
    HF_AUTOPGRESULT struct hf_pg_result *changed = NULL;
    assert_true(hf_ok(hf_pg_sync_query(s, "CREATE TEMP TABLE t AS SELECT generate_series(1, 7) x",
                                       0, NULL, HF_SEC(10), NULL, &err)));
    assert_true(hf_ok(
        hf_pg_sync_query(s, "DELETE FROM t WHERE x > 2", 0, NULL, HF_SEC(10), &changed, &err)));
    assert_int_equal(hf_pg_affected(changed), 5);
    assert_int_equal(hf_pg_sync_query(s, "SELEC", 0, NULL, HF_SEC(10), NULL, &err).code,
                     HF_E_REFUSED);
    assert_string_equal(hf_pg_sync_sqlstate(s), "42601");
    assert_int_equal(
        hf_pg_sync_query(s, "SELECT pg_sleep(30)", 0, NULL, HF_MS(100), NULL, &err).code,
        HF_E_TIMEOUT);
    assert_int_equal(hf_pg_sync_query(s, "SELECT 1", 0, NULL, HF_SEC(1), NULL, &err).code,
                     HF_E_UNREACHABLE);
    hf_pg_sync_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asynchronous_queries),
        cmocka_unit_test(a_silent_server_ends_by_the_deadline),
        cmocka_unit_test(losses_and_refusals),
        cmocka_unit_test(blocking_queries),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
