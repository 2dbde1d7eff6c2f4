/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/postgres_internal.h"

#include <libpq-fe.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void hf_pg_keywords_free(struct hf_pg_keywords *k)
{
    PQconninfoFree(k->parsed);
    k->parsed = NULL;
}

static void set_keyword(struct hf_pg_keywords *k, const char *key, const char *value)
{
    if (value == NULL) {
        return;
    }
    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->keys[i], key) == 0) {
            k->values[i] = value;
            return;
        }
    }
    HF_ASSERT(k->count < HF_PG_KEYWORDS_MAX - 1);
    k->keys[k->count] = key;
    k->values[k->count] = value;
    k->count++;
    k->keys[k->count] = NULL;
    k->values[k->count] = NULL;
}

static const char *keyword(const struct hf_pg_keywords *k, const char *key)
{
    for (size_t i = 0; i < k->count; i++) {
        if (strcmp(k->keys[i], key) == 0) {
            return k->values[i];
        }
    }
    return NULL;
}

hf_result hf_pg_keywords_make(const struct hf_pg_config *config, struct hf_pg_keywords *ret,
                              struct hf_err *err)
{
    *ret = (struct hf_pg_keywords){0};
    /* Never Kerberos: its credential look-up blocks outside our timeouts. */
    set_keyword(ret, "gssencmode", "disable");
    if (config->dsn != NULL) {
        char *message = NULL;
        ret->parsed = PQconninfoParse(config->dsn, &message);
        if (ret->parsed == NULL) {
            /* libpq's message may quote the text, and the text may hold a password. */
            PQfreemem(message);
            return hf_fail(err, HF_E_INVALID,
                           "connection string: not of the form \"keyword=value ...\" or "
                           "postgresql://...");
        }
        for (PQconninfoOption *o = ret->parsed; o->keyword != NULL; o++) {
            set_keyword(ret, o->keyword, o->val);
        }
    }
    const char *const given[][2] = {
        {"host", config->host},
        {"port", config->port},
        {"dbname", config->dbname},
        {"user", config->user},
        {"passfile", config->passfile},
        {"sslmode", config->sslmode},
        {"sslrootcert", config->sslrootcert},
        {"sslcert", config->sslcert},
        {"sslkey", config->sslkey},
        {"application_name", config->application_name},
        {"replication", config->replication},
        {"options", config->options},
        {"fallback_application_name", "holdfast"},
    };
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        set_keyword(ret, given[i][0], given[i][1]);
    }
    return hf_done();
}

/* True when libpq needs no name service to reach this host list. */
static bool needs_no_lookup(const char *hosts)
{
    char list[1024];
    if (hosts == NULL || (size_t)snprintf(list, sizeof(list), "%s", hosts) >= sizeof(list)) {
        return hosts == NULL;
    }
    char *save = NULL;
    for (char *h = strtok_r(list, ",", &save); h != NULL; h = strtok_r(NULL, ",", &save)) {
        unsigned char address[sizeof(struct in6_addr)];
        if (h[0] != '/' && h[0] != '@' && strcmp(h, "localhost") != 0 &&
            inet_pton(AF_INET, h, address) != 1 && inet_pton(AF_INET6, h, address) != 1) {
            return false;
        }
    }
    return true;
}

hf_result hf_pg_connect_start(const struct hf_pg_config *config, bool local_only, PGconn **ret,
                              struct hf_err *err)
{
    HF_FAULT("postgres.connect", err);
    HF_AUTOKEYWORDS struct hf_pg_keywords k = {0};
    HF_TRY(hf_pg_keywords_make(config, &k, err));
    if (local_only && keyword(&k, "hostaddr") == NULL && !needs_no_lookup(keyword(&k, "host"))) {
        return hf_fail(err, HF_E_INVALID,
                       "PostgreSQL host '%.200s': allowed here are a socket directory, an IP "
                       "address or localhost (looking up a name would block)",
                       keyword(&k, "host"));
    }
    PGconn *conn = PQconnectStartParams(k.keys, k.values, 0);
    HF_ASSERT(conn != NULL);
    *ret = conn;
    return hf_done();
}

/* One line of libpq's message, without its line breaks. */
static void one_line(const char *message, char *ret, size_t size)
{
    snprintf(ret, size, "%s", message == NULL || message[0] == '\0' ? "no message" : message);
    size_t n = strlen(ret);
    while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == ' ')) {
        ret[--n] = '\0';
    }
    for (char *p = ret; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\t') {
            *p = ' ';
        }
    }
}

/* PostgreSQL's words in the C locale or any other: libpq 15 gives no SQLSTATE of a failed connect,
 * so what is known of it is whether the server answered at all. */
hf_result hf_pg_connect_failure(const PGconn *conn, struct hf_err *err)
{
    char text[400];
    one_line(PQerrorMessage(conn), text, sizeof(text));
    enum hf_code code = HF_E_UNREACHABLE;
    if (strstr(text, "FATAL") != NULL) {
        code = HF_E_DENIED;
        static const char *const transient[] = {
            "starting up",      "shutting down",
            "too many clients", "remaining connection slots",
            "recovery mode",    "not yet accepting connections"};
        for (size_t i = 0; i < sizeof(transient) / sizeof(transient[0]); i++) {
            code = strstr(text, transient[i]) != NULL ? HF_E_AGAIN : code;
        }
    } else if (PQconnectionNeedsPassword(conn) || strstr(text, "certificate") != NULL ||
               strstr(text, "authentication") != NULL || strstr(text, "no password") != NULL) {
        code = HF_E_DENIED;
    }
    return hf_fail(err, code, "connect to PostgreSQL: %s", text);
}

static enum hf_code code_of(const char *sqlstate)
{
    if (strcmp(sqlstate, "57014") == 0) {
        return HF_E_CANCELED;
    }
    if (strncmp(sqlstate, "57P", 3) == 0 || strncmp(sqlstate, "53", 2) == 0 ||
        strncmp(sqlstate, "40", 2) == 0 || strncmp(sqlstate, "55P03", 5) == 0) {
        return HF_E_AGAIN;
    }
    if (strcmp(sqlstate, "42501") == 0 || strncmp(sqlstate, "28", 2) == 0) {
        return HF_E_DENIED;
    }
    return HF_E_REFUSED;
}

hf_result hf_pg_query_failure(const PGconn *conn, const PGresult *res, char *ret_sqlstate,
                              struct hf_err *err)
{
    const char *state = res == NULL ? NULL : PQresultErrorField(res, PG_DIAG_SQLSTATE);
    char text[400];
    if (state == NULL) {
        one_line(PQerrorMessage(conn), text, sizeof(text));
        return hf_fail(err, HF_E_TIMEOUT, "PostgreSQL connection lost: %s", text);
    }
    snprintf(ret_sqlstate, HF_PG_SQLSTATE_SIZE, "%s", state);
    one_line(PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY), text, sizeof(text));
    return hf_fail(err, code_of(state), "PostgreSQL error %s: %s", state, text);
}

bool hf_pg_is_success(const PGresult *res)
{
    ExecStatusType status = PQresultStatus(res);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

hf_result hf_pg_send(PGconn *conn, const char *sql, int nparams, const char *const *params,
                     struct hf_err *err)
{
    HF_FAULT("postgres.query", err);
    if (nparams < 0 || nparams > HF_PG_PARAMS_MAX) {
        return hf_fail(err, HF_E_INVALID, "%d parameters: allowed are 0 to %d", nparams,
                       HF_PG_PARAMS_MAX);
    }
    int sent = nparams == 0 ? PQsendQuery(conn, sql)
                            : PQsendQueryParams(conn, sql, nparams, NULL, params, NULL, NULL, 0);
    if (sent != 1) {
        char text[400];
        one_line(PQerrorMessage(conn), text, sizeof(text));
        return hf_fail(err, HF_E_UNREACHABLE, "send to PostgreSQL: %s", text);
    }
    return hf_done();
}
