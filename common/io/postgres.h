/* SPDX-License-Identifier: Apache-2.0
 *
 * PostgreSQL client (libpq). Two kinds of connection: asynchronous on the event loop (struct hf_pg)
 * and blocking for worker threads (struct hf_pg_sync), sharing configuration and results.
 * Invariants: the asynchronous kind never blocks the loop, also when the server is stopped
 * (SIGSTOP) or the network eats packets; every connect and query has a timeout; a query that timed
 * out takes its connection with it (its outcome is unknown, HF_E_TIMEOUT). Parameters travel beside
 * the SQL text, never inside it. Secrets come by passfile, never by a string that we build.
 */
#ifndef HF_IO_POSTGRES_H
#define HF_IO_POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "holdfast/types.h"

/* Strings are borrowed for the connect call. NULL = not given. The single fields win over dsn. */
struct hf_pg_config {
    const char *dsn; /* "host=... dbname=..." or a URI; parsed, then expanded to keywords */
    const char
        *host; /* socket directory, IP address, or localhost (asynchronous: no other names) */
    const char *port; /* decimal */
    const char *dbname;
    const char *user;
    const char *passfile; /* path */
    const char *sslmode, *sslrootcert, *sslcert, *sslkey;
    const char *application_name; /* NULL = "holdfast" */
    const char *replication;      /* "true" / "database": a walsender connection */
    const char *options;          /* "-c statement_timeout=5000 -c synchronous_commit=local" */
    hf_dur connect_timeout;       /* of the whole connect; 0 = 3 s */
};

/* --- results (both kinds); rows and columns from 0 --- */
struct hf_pg_result;
int hf_pg_rows(const struct hf_pg_result *r);
int hf_pg_columns(const struct hf_pg_result *r);
int hf_pg_column(const struct hf_pg_result *r, const char *name); /* -1 = none */
int64_t hf_pg_affected(const struct hf_pg_result *r);             /* of INSERT, UPDATE, DELETE */
bool hf_pg_is_null(const struct hf_pg_result *r, int row, int column);
/* "" for NULL; good as long as the result. Out of range is a programmer's error (asserts). */
const char *hf_pg_text(const struct hf_pg_result *r, int row, int column);
size_t hf_pg_length(const struct hf_pg_result *r, int row, int column);
/* Typed, strict: HF_E_INVALID names the column when NULL or malformed. */
hf_result hf_pg_u64(const struct hf_pg_result *r, int row, int column, uint64_t *ret,
                    struct hf_err *err) HF_MUST_USE;
hf_result hf_pg_i64(const struct hf_pg_result *r, int row, int column, int64_t *ret,
                    struct hf_err *err) HF_MUST_USE;
hf_result hf_pg_bool(const struct hf_pg_result *r, int row, int column, bool *ret,
                     struct hf_err *err) HF_MUST_USE;
hf_result hf_pg_lsn(const struct hf_pg_result *r, int row, int column, hf_lsn *ret,
                    struct hf_err *err) HF_MUST_USE;

/* --- asynchronous, loop thread only --- */
struct hf_pg;

/* HF_OK: connected. HF_E_UNREACHABLE, HF_E_TIMEOUT, HF_E_DENIED (authentication, no such database
 * or role), HF_E_AGAIN (starting up, shutting down, too many clients), HF_E_INVALID. */
typedef void (*hf_pg_connected)(void *arg, hf_result result, const struct hf_err *err);
/* result as above; of a query besides: HF_E_CANCELED (cancelled by the server: timeout or admin),
 * HF_E_REFUSED (SQL error; see hf_pg_sqlstate), HF_E_TIMEOUT (connection is closed). res is NULL on
 * failure, borrowed for the call otherwise. */
typedef void (*hf_pg_done)(void *arg, hf_result result, const struct hf_pg_result *res,
                           const struct hf_err *err);
/* The established connection broke while no query was under way. */
typedef void (*hf_pg_lost)(void *arg, const struct hf_err *err);

enum hf_pg_state { HF_PG_CONNECTING, HF_PG_IDLE, HF_PG_BUSY, HF_PG_BROKEN };

/* Begins to connect; connected is called once, later. lost may be NULL. There is no reconnection:
 * the owner closes and connects anew. */
hf_result hf_pg_connect(struct hf_loop *loop, const struct hf_pg_config *config,
                        hf_pg_connected connected, hf_pg_lost lost, void *arg, struct hf_pg **ret,
                        struct hf_err *err) HF_MUST_USE;
/* In any state, also within its callbacks; no callback is called any more. Does not wait for the
 * server. NULL allowed. */
void hf_pg_close(struct hf_pg *pg);
enum hf_pg_state hf_pg_state(const struct hf_pg *pg);
/* One query (simple protocol with 0 parameters may hold several statements; the last result
 * counts). params: texts, NULL = SQL NULL, at most 32; everything is copied. done is called once,
 * later. HF_E_AGAIN: one is under way already. HF_E_UNREACHABLE: not connected. */
hf_result hf_pg_query(struct hf_pg *pg, const char *sql, int nparams, const char *const *params,
                      hf_dur timeout, hf_pg_done done, void *arg, struct hf_err *err) HF_MUST_USE;
/* Five characters of the last SQL error, "" if none. */
const char *hf_pg_sqlstate(const struct hf_pg *pg);
/* server_version_num as libpq has it (150020), 0 = not connected. */
int hf_pg_server_version(const struct hf_pg *pg);

/* --- blocking, for one worker thread at a time; never on the loop thread --- */
struct hf_pg_sync;
hf_result hf_pg_sync_connect(const struct hf_pg_config *config, struct hf_pg_sync **ret,
                             struct hf_err *err) HF_MUST_USE;
void hf_pg_sync_close(struct hf_pg_sync *c); /* NULL allowed */
/* The caller frees *ret with hf_pg_result_free. ret may be NULL when the rows do not matter. On
 * HF_E_TIMEOUT the connection is unusable: close it (statement_timeout in `options` ends the
 * server's side). */
hf_result hf_pg_sync_query(struct hf_pg_sync *c, const char *sql, int nparams,
                           const char *const *params, hf_dur timeout, struct hf_pg_result **ret,
                           struct hf_err *err) HF_MUST_USE;
void hf_pg_result_free(struct hf_pg_result *r);
void hf_pg_result_cleanup(struct hf_pg_result **r);
#define HF_AUTOPGRESULT __attribute__((cleanup(hf_pg_result_cleanup)))
const char *hf_pg_sync_sqlstate(const struct hf_pg_sync *c);
int hf_pg_sync_server_version(const struct hf_pg_sync *c);

#endif
