/* SPDX-License-Identifier: Apache-2.0
 *
 * The history database's structure: db/migrations/NNN_*.sql, compiled into the program.
 * Invariant: each file is applied once, whole, in a transaction, in order, under an advisory lock
 * that all coordinators take; a file that was applied with another content is refused.
 */
#ifndef HF_COORDINATOR_MIGRATE_H
#define HF_COORDINATOR_MIGRATE_H

#include "common/io/postgres.h"

struct hf_migration {
    const char *name; /* "001_initial" */
    const char *sql;
};
/* Generated from the files when the program is built; ends with name NULL. */
extern const struct hf_migration hf_migrations[];

/* Worker thread. HF_E_CONFLICT: a migration differs from what was applied. */
hf_result hf_migrate(struct hf_pg_sync *pg, struct hf_err *err) HF_MUST_USE;

#endif
