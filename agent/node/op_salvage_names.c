/* SPDX-License-Identifier: Apache-2.0
 *
 * Names for the relations of a salvage report, from the source: what was there at the fork has the
 * same number there, unless it was rewritten since. For people; whatever does not answer at once is
 * left without a name.
 */
#include <stdio.h>
#include <string.h>

#include "agent/node/op_rejoin.h"

enum { DATABASES_MAX = 16, QUERIES_MAX = 512 };
#define QUERY_LIMIT HF_SEC(2)

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

static bool ask(struct hf_pg_sync *c, const char *sql, uint32_t a, uint32_t b, char *ret,
                size_t size)
{
    char first[16];
    char second[16];
    HF_AUTOPGRESULT struct hf_pg_result *res = NULL;
    snprintf(first, sizeof(first), "%u", a);
    snprintf(second, sizeof(second), "%u", b);
    const char *const params[] = {first, second};
    struct hf_err why;
    if (!hf_ok(hf_pg_sync_query(c, sql, 2, params, QUERY_LIMIT, &res, &why))) {
        return false;
    }
    if (hf_pg_rows(res) == 1 && hf_pg_length(res, 0, 0) < size) {
        snprintf(ret, size, "%s", hf_pg_text(res, 0, 0));
    }
    return true;
}

/* Every relation of one database; the connection is given up at the first answer that is late. */
static void name_database(struct hf_rejoin *r, struct hf_lost *lost, uint32_t database,
                          const char *name, int *queries)
{
    struct hf_err why;
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    bool open = hf_ok(
        hf_op_connect_remote(&r->op->env->config->postgresql, r->op->address, name, &c, &why));
    for (size_t i = 0; i < lost->relation_count; i++) {
        struct hf_lost_relation *rel = &lost->relations[i];
        if (rel->database != database) {
            continue;
        }
        snprintf(rel->database_name, sizeof(rel->database_name), "%s", name);
        open = open && ++*queries <= QUERIES_MAX && !hf_job_canceled(&r->op->job) &&
               ask(c,
                   "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n"
                   " ON n.oid = c.relnamespace WHERE c.oid = pg_filenode_relation($1::oid,"
                   " $2::oid)",
                   rel->tablespace, rel->node, rel->name, sizeof(rel->name));
    }
}

void hf_rejoin_name_relations(struct hf_rejoin *r, struct hf_lost *lost)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    struct hf_err why;
    int databases = 0;
    int queries = 0;
    if (lost->relation_count == 0 || !hf_ok(hf_op_connect_remote(&r->op->env->config->postgresql,
                                                                 r->op->address, NULL, &c, &why))) {
        return;
    }
    for (size_t i = 0; i < lost->relation_count && databases < DATABASES_MAX; i++) {
        uint32_t database = lost->relations[i].database;
        char name[HF_LOST_NAME_SIZE] = "";
        if (database == 0 || lost->relations[i].database_name[0] != '\0') {
            continue;
        }
        databases++;
        if (!ask(c, "SELECT datname FROM pg_database WHERE oid = $1::oid AND $2::oid IS NOT NULL",
                 database, 0, name, sizeof(name))) {
            return;
        }
        if (name[0] != '\0') {
            name_database(r, lost, database, name, &queries);
        }
    }
}
