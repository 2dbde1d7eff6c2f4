/* SPDX-License-Identifier: Apache-2.0
 *
 * The stages of the backup pipeline. Each worker owns one chain of them and passes a frame's job
 * along it: read -> check -> hash -> pack (compress, seal, store).
 *
 * Invariants: `process` is called for one job after the other; a stage writes only what is its own
 * (read: plain and got; check: findings, and pages that it had to read again; hash: the parts'
 * hashes; pack: the frame's place), so that a stage can be left out without the others noticing.
 * The job's buffers belong to the worker and are valid during the call.
 */
#ifndef HF_AGENT_BACKUP_STAGE_H
#define HF_AGENT_BACKUP_STAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/backup/fanout.h"
#include "agent/backup/plan.h"
#include "agent/core/manifest.h"
#include "common/base/err.h"
#include "common/io/hash.h"

/* What all workers of one backup share. */
struct hf_backup_shared {
    const struct hf_scan *scan;
    struct hf_fanout *fanout;
    const struct hf_keyring *ring;
    const struct hf_hash_key *hash_key;
    const char *label;
    hf_epoch epoch;
    int zstd_level;
    uint64_t pack_size;
    bool checksums; /* the cluster has them */

    _Atomic(uint64_t) read_bytes;
    _Atomic(uint64_t) pages_checked;
    _Atomic(uint64_t) stored_bytes;
    _Atomic(uint32_t) pack_number; /* last one given out */

    pthread_mutex_t lock; /* protects all below */
    struct hf_manifest_finding *findings;
    size_t finding_count;
    uint64_t findings_total;
    struct hf_map_pack **packs; /* each stays valid until the end */
    struct hf_manifest_pack *pack_sizes;
    size_t pack_count, pack_room;
};

struct hf_stage;
struct hf_stage_ops {
    const char *name;
    hf_result (*process)(struct hf_stage *stage, struct hf_frame_job *job,
                         struct hf_map_source *frame, struct hf_err *err);
    /* After the last job: what is held back goes out. NULL allowed. */
    hf_result (*finish)(struct hf_stage *stage, struct hf_err *err);
    void (*free)(struct hf_stage *stage);
};
/* First member of each stage's own struct. */
struct hf_stage {
    const struct hf_stage_ops *ops;
    struct hf_backup_shared *shared;
};

struct hf_stage *hf_stage_read_new(struct hf_backup_shared *shared);
struct hf_stage *hf_stage_check_new(struct hf_backup_shared *shared);
struct hf_stage *hf_stage_hash_new(struct hf_backup_shared *shared);
struct hf_stage *hf_stage_pack_new(struct hf_backup_shared *shared);

#endif
