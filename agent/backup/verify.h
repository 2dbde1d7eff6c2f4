/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying what a repository holds, without restoring: structure, every authentication tag of
 * every pack and map that a backup needs, the WAL from its start to its stop, identity and epochs.
 * Invariant: nothing is changed; a problem names its object. What was not looked at is not counted
 * as good. Blocking.
 */
#ifndef HF_AGENT_BACKUP_VERIFY_H
#define HF_AGENT_BACKUP_VERIFY_H

#include <stdatomic.h>
#include <stdint.h>

#include "agent/repo/repository.h"
#include "common/base/err.h"

struct hf_verify_report {
    uint64_t backups;
    uint64_t backups_good;
    uint64_t objects;
    uint64_t bytes; /* of objects read whole */
    uint64_t wal_segments;
    uint64_t problems;
    uint64_t unfinished; /* begun, neither published nor pending: harmless leftovers */
};

/* Called for each problem; object is its logical name. */
typedef void (*hf_verify_problem)(void *arg, const char *backup, const char *object,
                                  const struct hf_err *why);

/* label NULL: every published backup. HF_OK also when problems were found: see the report.
 * HF_E_NOT_FOUND: no such backup. Other failures: the repository could not be read at all. */
hf_result hf_verify_run(struct hf_repository *r, const char *label, const atomic_bool *cancel,
                        hf_verify_problem problem, void *arg, struct hf_verify_report *ret,
                        struct hf_err *err) HF_MUST_USE;

#endif
