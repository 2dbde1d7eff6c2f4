/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/postgres_internal.h"

#include <libpq-fe.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

struct hf_pg_sync {
    PGconn *conn;
    char sqlstate[HF_PG_SQLSTATE_SIZE];
    bool broken;
};

/* Waits for the socket; HF_E_TIMEOUT when the deadline passes. */
static hf_result wait_socket(PGconn *conn, short events, hf_lclk deadline, const char *what,
                             struct hf_err *err)
{
    for (;;) {
        int64_t left = hf_lclk_sub(deadline, hf_clock_lease()).us;
        if (left <= 0) {
            return hf_fail(err, HF_E_TIMEOUT, "PostgreSQL: %s took too long", what);
        }
        struct pollfd fd = {.fd = PQsocket(conn), .events = events};
        int n = poll(&fd, 1, left > 1000000 ? 1000 : (int)(left / 1000) + 1);
        if (n > 0) {
            return hf_done();
        }
        if (n < 0 && errno != EINTR) {
            return hf_fail_errno(err, errno, "poll");
        }
    }
}

void hf_pg_sync_close(struct hf_pg_sync *c)
{
    if (c != NULL) {
        PQfinish(c->conn);
        hf_free(c);
    }
}

static hf_result finish_connect(PGconn *conn, hf_lclk deadline, struct hf_err *err)
{
    if (PQstatus(conn) == CONNECTION_BAD) {
        return hf_pg_connect_failure(conn, err);
    }
    for (PostgresPollingStatusType state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;) {
        if (state == PGRES_POLLING_FAILED) {
            return hf_pg_connect_failure(conn, err);
        }
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        HF_TRY(wait_socket(conn, events, deadline, "connect", err));
        state = PQconnectPoll(conn);
    }
    PQsetnonblocking(conn, 1);
    return hf_done();
}

hf_result hf_pg_sync_connect(const struct hf_pg_config *config, struct hf_pg_sync **ret,
                             struct hf_err *err)
{
    hf_dur timeout =
        config->connect_timeout.us > 0 ? config->connect_timeout : HF_MS(HF_PG_CONNECT_TIMEOUT_MS);
    hf_lclk deadline = hf_lclk_add(hf_clock_lease(), timeout);
    PGconn *conn = NULL;
    HF_TRY(hf_pg_connect_start(config, false, &conn, err));
    hf_result r = finish_connect(conn, deadline, err);
    if (!hf_ok(r)) {
        PQfinish(conn);
        return r;
    }
    struct hf_pg_sync *c = hf_alloc(sizeof(*c));
    c->conn = conn;
    *ret = c;
    return hf_done();
}

/* Sends all, reads until a whole result is there. */
static hf_result await_input(PGconn *conn, hf_lclk deadline, struct hf_err *err)
{
    for (;;) {
        int flushing = PQflush(conn);
        if (flushing < 0 || PQstatus(conn) == CONNECTION_BAD) {
            return hf_pg_query_failure(conn, NULL, NULL, err);
        }
        if (flushing == 0 && !PQisBusy(conn)) {
            return hf_done();
        }
        short events = (short)(POLLIN | (flushing > 0 ? POLLOUT : 0));
        HF_TRY(wait_socket(conn, events, deadline, "a query", err));
        if (PQconsumeInput(conn) != 1) {
            return hf_pg_query_failure(conn, NULL, NULL, err);
        }
    }
}

static hf_result collect(struct hf_pg_sync *c, hf_lclk deadline, PGresult **ret, struct hf_err *err)
{
    hf_result outcome = hf_done();
    PGresult *last = NULL;
    for (;;) {
        hf_result r = await_input(c->conn, deadline, err);
        if (!hf_ok(r)) {
            PQclear(last);
            c->broken = true;
            return r;
        }
        PGresult *res = PQgetResult(c->conn);
        if (res == NULL) {
            break;
        }
        if (hf_ok(outcome) && !hf_pg_is_success(res)) {
            outcome = hf_pg_query_failure(c->conn, res, c->sqlstate, err);
            PQclear(res);
            if (PQstatus(c->conn) == CONNECTION_BAD) {
                c->broken = true;
                break;
            }
            continue;
        }
        PQclear(last);
        last = res;
    }
    if (!hf_ok(outcome) || last == NULL) {
        PQclear(last);
        return hf_ok(outcome) ? hf_pg_query_failure(c->conn, NULL, NULL, err) : outcome;
    }
    *ret = last;
    return hf_done();
}

hf_result hf_pg_sync_query(struct hf_pg_sync *c, const char *sql, int nparams,
                           const char *const *params, hf_dur timeout, struct hf_pg_result **ret,
                           struct hf_err *err)
{
    if (c->broken) {
        return hf_fail(err, HF_E_UNREACHABLE, "PostgreSQL connection is broken");
    }
    hf_lclk deadline = hf_lclk_add(hf_clock_lease(), timeout);
    c->sqlstate[0] = '\0';
    HF_TRY(hf_pg_send(c->conn, sql, nparams, params, err));
    PGresult *res = NULL;
    hf_result r = collect(c, deadline, &res, err);
    if (!hf_ok(r)) {
        return r;
    }
    if (ret == NULL) {
        PQclear(res);
    } else {
        *ret = hf_alloc(sizeof(**ret));
        (*ret)->res = res;
    }
    return hf_done();
}

const char *hf_pg_sync_sqlstate(const struct hf_pg_sync *c)
{
    return c->sqlstate;
}

int hf_pg_sync_server_version(const struct hf_pg_sync *c)
{
    return PQserverVersion(c->conn);
}
