/* SPDX-License-Identifier: Apache-2.0
 *
 * Publishing (rule B5): a complete backup waits as backup/<label>/pending, which is the sealed
 * manifest under another key, until every WAL segment from its start to its stop and the history
 * files of its timeline are in the same repository; then the same bytes are put, create-once, as
 * backup/<label>/manifest. Idempotent, by any process, after any crash.
 */
#ifndef HF_AGENT_BACKUP_PUBLISH_H
#define HF_AGENT_BACKUP_PUBLISH_H

#include <stdbool.h>

#include "agent/core/manifest.h"
#include "agent/repo/repository.h"
#include "common/base/err.h"

/* *ret_published false: WAL is still missing; missing says what (may be NULL). HF_E_NOT_FOUND: no
 * such backup is pending. HF_E_REFUSED: it is being expired. */
hf_result hf_backup_publish(struct hf_repository *r, const char *label, bool *ret_published,
                            char *missing, size_t missing_size, struct hf_err *err) HF_MUST_USE;
/* Tries every pending backup of the repository. */
hf_result hf_backup_publish_all(struct hf_repository *r, size_t *ret_published, size_t *ret_pending,
                                struct hf_err *err) HF_MUST_USE;

/* Reads and authenticates a manifest; leaf "manifest" or "pending". ret_digest may be NULL. */
hf_result hf_backup_manifest(struct hf_repository *r, const char *label, const char *leaf,
                             struct hf_manifest **ret, uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE],
                             struct hf_err *err) HF_MUST_USE;

/* Whether all WAL that the backup needs to become consistent is in the repository. */
hf_result hf_backup_wal_complete(struct hf_repository *r, const struct hf_manifest *m,
                                 bool *ret_complete, char *missing, size_t missing_size,
                                 struct hf_err *err) HF_MUST_USE;

#endif
