/* SPDX-License-Identifier: Apache-2.0
 *
 * A full physical backup of a running PostgreSQL into one or more repositories at once.
 *
 * Invariants: `begin` is there before the first byte is read (rule B4); nothing is published here
 * before everything that the backup needs is in that repository (rule B5: see publish.h); a killed
 * backup leaves only objects that nothing refers to. Memory is bounded by the request.
 */
#ifndef HF_AGENT_BACKUP_BACKUP_H
#define HF_AGENT_BACKUP_BACKUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/manifest.h"
#include "agent/repo/repository.h"
#include "common/base/err.h"
#include "common/io/postgres.h"
#include "holdfast/types.h"

enum hf_backup_phase {
    HF_BACKUP_STARTING, /* waits for the checkpoint */
    HF_BACKUP_COPYING,
    HF_BACKUP_STOPPING,
    HF_BACKUP_PUBLISHING
};

struct hf_backup_progress {
    enum hf_backup_phase phase;
    const char *label;
    uint64_t read_bytes;
    uint64_t stored_bytes; /* of packs that are complete */
    uint64_t total_bytes;  /* estimated size of the cluster; 0 = unknown */
    hf_dur elapsed;
};

struct hf_backup_request {
    const struct hf_pg_config *pg;
    struct hf_repository *const *repositories; /* the own region's first */
    size_t repository_count;
    const char *region;
    hf_epoch epoch; /* 0: stand-alone */
    enum hf_backup_type type;
    int workers;        /* 1..16 */
    int zstd_level;     /* 0 = default */
    uint64_t pack_size; /* bytes, up to 64 MiB; 0 = that */
    uint64_t memory;    /* bytes; 0 = 96 MiB */
    bool spread;        /* do not force the checkpoint */
    bool copy_wal;      /* WAL from the primary's pg_wal; done anyway when archive_mode is off */
    const atomic_bool *cancel; /* NULL allowed */
    /* Some times a second, from the calling thread. NULL allowed. */
    void (*progress)(void *arg, const struct hf_backup_progress *p);
    void *progress_arg;
};

enum hf_backup_state {
    HF_BACKUP_PUBLISHED,   /* it exists there */
    HF_BACKUP_WAL_PENDING, /* complete; WAL is still missing there */
    HF_BACKUP_BEHIND       /* that repository did not get all: to be copied */
};

struct hf_backup_result {
    char label[HF_LABEL_SIZE];
    uint64_t system_id;
    hf_tli timeline;
    hf_lsn start, stop;
    uint64_t original_bytes, stored_bytes, entries;
    uint64_t pages_checked, findings_total;
    hf_dur elapsed;
    enum hf_backup_state state[HF_MAX_REGIONS]; /* by repository of the request */
};

/* Blocking: a worker thread or the command line. HF_E_CANCELED; HF_E_REFUSED when the standby was
 * promoted; else what failed. */
hf_result hf_backup_run(const struct hf_backup_request *request, struct hf_backup_result *ret,
                        struct hf_err *err) HF_MUST_USE;

#endif
