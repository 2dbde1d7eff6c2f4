/* SPDX-License-Identifier: Apache-2.0
 *
 * Expiring backups: keep the newest N. A backup is marked `expiring`, its manifest goes first, then
 * the objects that no kept or begun backup names (rule B4).
 * Invariant: the newest published backup always stays; nothing that a kept manifest names is
 * deleted; when any manifest cannot be read, nothing is deleted at all.
 */
#ifndef HF_AGENT_BACKUP_EXPIRE_H
#define HF_AGENT_BACKUP_EXPIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/repo/repository.h"
#include "common/base/err.h"

struct hf_expire_report {
    uint64_t kept;
    uint64_t expired;
    uint64_t objects; /* deleted, or to be deleted in a dry run */
    uint64_t bytes;
};

/* Explains each decision. */
typedef void (*hf_expire_decision)(void *arg, const char *label, bool keep, const char *why);

/* keep_last >= 1 (HF_E_REFUSED for 0). verified: the newest verified copy's label, never expired
 * (NULL: none is known, then the newest published one stands for it). */
hf_result hf_expire_run(struct hf_repository *r, uint64_t keep_last, const char *verified,
                        bool dry_run, hf_expire_decision decision, void *arg,
                        struct hf_expire_report *ret, struct hf_err *err) HF_MUST_USE;

#endif
