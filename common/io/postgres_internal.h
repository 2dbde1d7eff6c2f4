/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two kinds of PostgreSQL connection share; postgres*.c only.
 */
#ifndef HF_IO_POSTGRES_INTERNAL_H
#define HF_IO_POSTGRES_INTERNAL_H

#include "common/io/postgres.h"

enum {
    HF_PG_PARAMS_MAX = 32,
    HF_PG_KEYWORDS_MAX = 64,
    HF_PG_CONNECT_TIMEOUT_MS = 3000,
    HF_PG_SQLSTATE_SIZE = 6
};

/* libpq's own; this header must not include it. */
struct pg_conn;
struct pg_result;
struct _PQconninfoOption;

struct hf_pg_result {
    struct pg_result *res;
};

/* Keyword arrays for PQconnect*Params; texts of a parsed dsn are owned. */
struct hf_pg_keywords {
    const char *keys[HF_PG_KEYWORDS_MAX];
    const char *values[HF_PG_KEYWORDS_MAX];
    size_t count;
    struct _PQconninfoOption *parsed;
};
hf_result hf_pg_keywords_make(const struct hf_pg_config *config, struct hf_pg_keywords *ret,
                              struct hf_err *err) HF_MUST_USE;
void hf_pg_keywords_free(struct hf_pg_keywords *k);
#define HF_AUTOKEYWORDS __attribute__((cleanup(hf_pg_keywords_free)))

/* Begins to connect, non-blocking. *ret is to be finished also after a failure to connect. With
 * local_only, a host that would have to be looked up is refused. */
hf_result hf_pg_connect_start(const struct hf_pg_config *config, bool local_only,
                              struct pg_conn **ret, struct hf_err *err) HF_MUST_USE;
/* What a failed connect means: by the server's SQLSTATE where one came. */
hf_result hf_pg_connect_failure(const struct pg_conn *conn, struct hf_err *err);
/* What a failed result means; copies the SQLSTATE. res may be NULL (connection lost). */
hf_result hf_pg_query_failure(const struct pg_conn *conn, const struct pg_result *res,
                              char *ret_sqlstate, struct hf_err *err);
bool hf_pg_is_success(const struct pg_result *res);
/* Sends one query; 0 parameters: simple protocol. */
hf_result hf_pg_send(struct pg_conn *conn, const char *sql, int nparams, const char *const *params,
                     struct hf_err *err) HF_MUST_USE;

#endif
