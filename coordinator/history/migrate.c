/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history/migrate.h"

#include "common/io/log.h"

#include <string.h>

static const hf_dur MIGRATE_LIMIT = {60000000};

/* Any number will do as long as all coordinators take the same: "holdfast" in ASCII. */
#define MIGRATE_LOCK "7525999170312368244"

static hf_result apply(struct hf_pg_sync *pg, const struct hf_migration *m, struct hf_err *err)
{
    const char *const params[] = {m->name, m->sql};
    HF_AUTOPGRESULT struct hf_pg_result *known = NULL;
    HF_TRY(hf_pg_sync_query(pg,
                            "SELECT checksum = encode(sha256(convert_to($2, 'UTF8')), 'hex') "
                            "FROM schema_migrations WHERE name = $1",
                            2, params, MIGRATE_LIMIT, &known, err));
    if (hf_pg_rows(known) > 0) {
        bool same = false;
        HF_TRY(hf_pg_bool(known, 0, 0, &same, err));
        return same ? hf_done()
                    : hf_fail(err, HF_E_CONFLICT, "migration %s was applied with another content",
                              m->name);
    }
    HF_TRY(hf_pg_sync_query(pg, m->sql, 0, NULL, MIGRATE_LIMIT, NULL, err));
    HF_TRY(hf_pg_sync_query(pg,
                            "INSERT INTO schema_migrations (name, checksum) VALUES "
                            "($1, encode(sha256(convert_to($2, 'UTF8')), 'hex'))",
                            2, params, MIGRATE_LIMIT, NULL, err));
    hf_log(HF_LOG_NOTICE, "MIGRATED", "the history database's structure was changed",
           HF_KV("migration", m->name));
    return hf_done();
}

hf_result hf_migrate(struct hf_pg_sync *pg, struct hf_err *err)
{
    HF_TRY(hf_pg_sync_query(pg, "BEGIN", 0, NULL, MIGRATE_LIMIT, NULL, err));
    /* Held until the transaction ends, in whatever way. */
    HF_TRY(hf_pg_sync_query(pg, "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK ")", 0, NULL,
                            MIGRATE_LIMIT, NULL, err));
    HF_TRY(hf_pg_sync_query(pg,
                            "CREATE TABLE IF NOT EXISTS schema_migrations ("
                            "name text PRIMARY KEY, checksum text NOT NULL, "
                            "applied_at timestamptz NOT NULL DEFAULT now())",
                            0, NULL, MIGRATE_LIMIT, NULL, err));
    for (const struct hf_migration *m = hf_migrations; m->name != NULL; m++) {
        HF_TRY(apply(pg, m, err));
    }
    return hf_pg_sync_query(pg, "COMMIT", 0, NULL, MIGRATE_LIMIT, NULL, err);
}
