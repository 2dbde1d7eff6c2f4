/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/postgres.h"

#include "common/base/mem.h"
#include "common/io/postgres_internal.h"

#include <libpq-fe.h>
#include <string.h>

struct hf_pg {
    struct hf_loop *loop;
    PGconn *conn;
    enum hf_pg_state state;
    int fd; /* watched; libpq changes it while it tries several addresses */
    struct hf_watch *watch;
    struct hf_timer *timer; /* deadline of the connect or the query; also brings late callbacks */
    hf_pg_connected connected;
    hf_pg_lost lost;
    void *arg;
    hf_pg_done done;
    void *done_arg;
    PGresult *last;
    hf_result outcome; /* of the query under way: its first failure */
    struct hf_err err;
    char sqlstate[HF_PG_SQLSTATE_SIZE];
    bool early_failure; /* decided within hf_pg_connect: reported by the timer */
    int depth;          /* callbacks on the stack */
    bool closed;
};

static void on_socket(void *arg, int fd, unsigned events);

static void destroy(struct hf_pg *pg)
{
    hf_loop_unwatch(pg->watch);
    hf_timer_free(pg->timer);
    PQclear(pg->last);
    PQfinish(pg->conn);
    hf_free(pg);
}

void hf_pg_close(struct hf_pg *pg)
{
    if (pg == NULL) {
        return;
    }
    if (pg->depth > 0) {
        pg->closed = true;
        return;
    }
    destroy(pg);
}

static void leave(struct hf_pg *pg)
{
    if (--pg->depth == 0 && pg->closed) {
        destroy(pg);
    }
}

/* Closes the connection at once; libpq's goodbye goes out only as far as it does not block. */
static void break_connection(struct hf_pg *pg)
{
    pg->state = HF_PG_BROKEN;
    hf_loop_unwatch(pg->watch);
    pg->watch = NULL;
    hf_timer_cancel(pg->timer);
    PQfinish(pg->conn);
    pg->conn = NULL;
}

/* libpq may have another socket than before, with the same number or not: watch it anew. */
static void watch(struct hf_pg *pg, unsigned events)
{
    int fd = PQsocket(pg->conn);
    if (pg->watch != NULL && pg->fd == fd && pg->state != HF_PG_CONNECTING) {
        hf_loop_modify(pg->watch, events);
        return;
    }
    hf_loop_unwatch(pg->watch);
    pg->watch = NULL;
    pg->fd = fd;
    HF_IGNORE(hf_loop_watch(pg->loop, fd, events, on_socket, pg, &pg->watch, NULL),
              "an unwatchable socket ends by the deadline");
}

static void report_connected(struct hf_pg *pg, hf_result result)
{
    pg->depth++;
    if (!pg->closed) {
        pg->connected(pg->arg, result, &pg->err);
    }
    leave(pg);
}

static void fail_connect(struct hf_pg *pg, hf_result result)
{
    break_connection(pg);
    report_connected(pg, result);
}

static void drive_connect(struct hf_pg *pg)
{
    switch (PQconnectPoll(pg->conn)) {
    case PGRES_POLLING_READING:
        watch(pg, HF_LOOP_READ);
        return;
    case PGRES_POLLING_WRITING:
        watch(pg, HF_LOOP_WRITE);
        return;
    case PGRES_POLLING_OK:
        PQsetnonblocking(pg->conn, 1);
        hf_timer_cancel(pg->timer);
        pg->state = HF_PG_IDLE;
        watch(pg, HF_LOOP_READ);
        if (pg->watch == NULL) {
            fail_connect(pg, hf_fail(&pg->err, HF_E_IO, "PostgreSQL socket cannot be watched"));
            return;
        }
        report_connected(pg, hf_done());
        return;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        fail_connect(pg, hf_pg_connect_failure(pg->conn, &pg->err));
        return;
    }
}

static void report_done(struct hf_pg *pg, hf_result result)
{
    hf_pg_done done = pg->done;
    struct hf_pg_result res = {pg->last};
    pg->last = NULL;
    pg->done = NULL;
    hf_timer_cancel(pg->timer);
    pg->depth++;
    if (!pg->closed) {
        done(pg->done_arg, result, hf_ok(result) ? &res : NULL, &pg->err);
    }
    PQclear(res.res);
    leave(pg);
}

static void fail_query(struct hf_pg *pg, hf_result result)
{
    break_connection(pg);
    report_done(pg, result);
}

static void lose(struct hf_pg *pg)
{
    HF_IGNORE(hf_pg_query_failure(pg->conn, NULL, NULL, &pg->err), "told to the owner");
    pg->err.code = HF_E_UNREACHABLE;
    break_connection(pg);
    pg->depth++;
    if (pg->lost != NULL && !pg->closed) {
        pg->lost(pg->arg, &pg->err);
    }
    leave(pg);
}

static void take_results(struct hf_pg *pg)
{
    while (!PQisBusy(pg->conn)) {
        PGresult *res = PQgetResult(pg->conn);
        if (res == NULL) {
            bool broken = PQstatus(pg->conn) == CONNECTION_BAD;
            if (broken || (hf_ok(pg->outcome) && pg->last == NULL)) {
                fail_query(pg, hf_ok(pg->outcome)
                                   ? hf_pg_query_failure(pg->conn, NULL, NULL, &pg->err)
                                   : pg->outcome);
                return;
            }
            pg->state = HF_PG_IDLE;
            report_done(pg, pg->outcome);
            return;
        }
        if (!hf_pg_is_success(res)) {
            if (hf_ok(pg->outcome)) {
                pg->outcome = hf_pg_query_failure(pg->conn, res, pg->sqlstate, &pg->err);
            }
            PQclear(res);
            if (PQstatus(pg->conn) == CONNECTION_BAD) {
                fail_query(pg, pg->outcome);
                return;
            }
            continue;
        }
        PQclear(pg->last);
        pg->last = res;
    }
}

static void drive_query(struct hf_pg *pg, unsigned events)
{
    if ((events & HF_LOOP_READ) && PQconsumeInput(pg->conn) != 1) {
        fail_query(pg, hf_pg_query_failure(pg->conn, NULL, NULL, &pg->err));
        return;
    }
    int flushing = PQflush(pg->conn);
    if (flushing < 0) {
        fail_query(pg, hf_pg_query_failure(pg->conn, NULL, NULL, &pg->err));
        return;
    }
    watch(pg, HF_LOOP_READ | (flushing > 0 ? HF_LOOP_WRITE : 0u));
    take_results(pg);
}

static void on_socket(void *arg, int fd, unsigned events)
{
    struct hf_pg *pg = arg;
    (void)fd;
    switch (pg->state) {
    case HF_PG_CONNECTING:
        drive_connect(pg);
        return;
    case HF_PG_BUSY:
        drive_query(pg, events);
        return;
    case HF_PG_IDLE:
        /* Notices and parameter changes come here, and the end of the connection. */
        if (PQconsumeInput(pg->conn) != 1 || PQstatus(pg->conn) == CONNECTION_BAD) {
            lose(pg);
            return;
        }
        (void)PQisBusy(pg->conn); /* parses what came */
        return;
    case HF_PG_BROKEN:
        return;
    }
}

static void on_timer(void *arg)
{
    struct hf_pg *pg = arg;
    if (pg->early_failure) {
        pg->early_failure = false;
        fail_connect(pg, (hf_result){pg->err.code});
    } else if (pg->state == HF_PG_CONNECTING) {
        fail_connect(pg, hf_fail(&pg->err, HF_E_TIMEOUT, "connect to PostgreSQL took too long"));
    } else if (pg->state == HF_PG_BUSY) {
        fail_query(pg, hf_fail(&pg->err, HF_E_TIMEOUT,
                               "PostgreSQL did not answer a query in time; connection closed"));
    }
}

static void ignore_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

hf_result hf_pg_connect(struct hf_loop *loop, const struct hf_pg_config *config,
                        hf_pg_connected connected, hf_pg_lost lost, void *arg, struct hf_pg **ret,
                        struct hf_err *err)
{
    HF_ASSERT(connected != NULL);
    PGconn *conn = NULL;
    HF_TRY(hf_pg_connect_start(config, true, &conn, err));
    struct hf_pg *pg = hf_alloc(sizeof(*pg));
    *pg = (struct hf_pg){.loop = loop,
                         .conn = conn,
                         .state = HF_PG_CONNECTING,
                         .fd = -1,
                         .connected = connected,
                         .lost = lost,
                         .arg = arg};
    PQsetNoticeReceiver(conn, ignore_notice, NULL);
    pg->timer = hf_timer_new(loop, on_timer, pg);
    if (PQstatus(conn) == CONNECTION_BAD) {
        HF_IGNORE(hf_pg_connect_failure(conn, &pg->err), "reported by the timer");
        pg->early_failure = true;
        hf_timer_after(pg->timer, HF_US(0));
    } else {
        hf_timer_after(pg->timer, config->connect_timeout.us > 0 ? config->connect_timeout
                                                                 : HF_MS(HF_PG_CONNECT_TIMEOUT_MS));
        watch(pg, HF_LOOP_WRITE);
    }
    *ret = pg;
    return hf_done();
}

enum hf_pg_state hf_pg_state(const struct hf_pg *pg)
{
    return pg->state;
}

hf_result hf_pg_query(struct hf_pg *pg, const char *sql, int nparams, const char *const *params,
                      hf_dur timeout, hf_pg_done done, void *arg, struct hf_err *err)
{
    HF_ASSERT(done != NULL && timeout.us > 0);
    if (pg->state == HF_PG_BUSY) {
        return hf_fail(err, HF_E_AGAIN, "a query is under way on this connection");
    }
    if (pg->state != HF_PG_IDLE || PQstatus(pg->conn) != CONNECTION_OK) {
        return hf_fail(err, HF_E_UNREACHABLE, "not connected to PostgreSQL");
    }
    HF_TRY(hf_pg_send(pg->conn, sql, nparams, params, err));
    pg->state = HF_PG_BUSY;
    pg->done = done;
    pg->done_arg = arg;
    pg->outcome = hf_done();
    pg->err = (struct hf_err){0};
    pg->sqlstate[0] = '\0';
    hf_timer_after(pg->timer, timeout);
    /* The flush goes on, and a break shows itself, in on_socket. */
    hf_loop_modify(pg->watch, HF_LOOP_READ | HF_LOOP_WRITE);
    return hf_done();
}

const char *hf_pg_sqlstate(const struct hf_pg *pg)
{
    return pg->sqlstate;
}

int hf_pg_server_version(const struct hf_pg *pg)
{
    return pg->conn == NULL ? 0 : PQserverVersion(pg->conn);
}
