/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the file map: takes the parts of the plan in order, closes a shard before it grows beyond
 * 4 MiB, seals it and gives it to every repository.
 * Invariant: after hf_shards_finish every part is in exactly one shard. One thread at a time (the
 * plan's order lock).
 */
#ifndef HF_AGENT_BACKUP_SHARDS_H
#define HF_AGENT_BACKUP_SHARDS_H

#include "agent/backup/plan.h"
#include "agent/backup/stage.h"
#include "agent/core/manifest.h"

struct hf_shards;
struct hf_shards *hf_shards_new(struct hf_backup_shared *shared);
void hf_shards_free(struct hf_shards *s); /* NULL allowed */
/* hf_plan_take; arg is the hf_shards. */
hf_result hf_shards_take(void *arg, const struct hf_part *part, struct hf_err *err) HF_MUST_USE;
/* Writes the last shard and moves the list and the counts into the manifest. */
hf_result hf_shards_finish(struct hf_shards *s, struct hf_manifest *m,
                           struct hf_err *err) HF_MUST_USE;

#endif
