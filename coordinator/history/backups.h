/* SPDX-License-Identifier: Apache-2.0
 *
 * Backups known from agents' reports, a list a cluster (docs/api.md, "Backup"), kept in a file
 * each, so that it survives a restart of the coordinator. Invariants: one entry a label, the newest
 * report of it; at most HF_BACKUPS_MAX a cluster, the oldest labels give way. Thread safe: reports
 * come from a worker, readers from the loop.
 */
#ifndef HF_COORDINATOR_BACKUPS_H
#define HF_COORDINATOR_BACKUPS_H

#include "common/core/json.h"
#include "holdfast/types.h"

enum { HF_BACKUPS_MAX = 1000 };

struct hf_backups;

/* Reads the files of the directory; one that cannot be read is logged and left alone. */
hf_result hf_backups_open(const char *directory, struct hf_backups **ret,
                          struct hf_err *err) HF_MUST_USE;
void hf_backups_close(struct hf_backups *backups); /* NULL allowed */
/* Takes a report's body. Blocks on the disk. HF_E_INVALID: not a backup (label missing). */
hf_result hf_backups_put(struct hf_backups *backups, const char *tenant, const char *cluster,
                         const hf_json *backup, struct hf_err *err) HF_MUST_USE;
/* A copy, newest label first: an array that the caller owns. */
hf_json *hf_backups_list(struct hf_backups *backups, const char *tenant, const char *cluster);

#endif
