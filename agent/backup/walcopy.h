/* SPDX-License-Identifier: Apache-2.0
 *
 * The WAL that a backup needs, taken from the primary's own pg_wal: for a cluster whose archiving
 * is not set up (the first backup of an adopted one). Only segments that PostgreSQL has finished.
 */
#ifndef HF_AGENT_BACKUP_WALCOPY_H
#define HF_AGENT_BACKUP_WALCOPY_H

#include "agent/core/manifest.h"
#include "agent/repo/repository.h"
#include "common/base/err.h"

/* Stores what is missing in r of the segments from m->start to m->stop, and the history file.
 * HF_E_NOT_FOUND: PostgreSQL has recycled one already. HF_E_CONFLICT as rule W2. */
hf_result hf_backup_copy_wal(struct hf_repository *r, const struct hf_manifest *m,
                             const char *data_directory, int zstd_level,
                             struct hf_err *err) HF_MUST_USE;

#endif
