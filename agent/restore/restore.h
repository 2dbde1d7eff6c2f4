/* SPDX-License-Identifier: Apache-2.0
 *
 * Restoring a backup into an empty directory, and what PostgreSQL is told for its recovery.
 *
 * Invariants: nothing is written into a directory that holds anything; nothing half-restored ever
 * starts, because global/pg_control is written last, after everything else is durable, backup_label
 * included; plaintext is written only after it authenticated; the timeline is always a number from
 * the cluster's history (rule B10). What is missing or damaged in one repository is read from the
 * next one.
 */
#ifndef HF_AGENT_RESTORE_RESTORE_H
#define HF_AGENT_RESTORE_RESTORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/core/manifest.h"
#include "agent/repo/repository.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "holdfast/types.h"

/* In the restored directory until it is complete. */
#define HF_RESTORE_MARKER "holdfast-restore.unfinished"
/* Below it: configuration files from outside the data directory (rule B11), by their full path. */
#define HF_RESTORE_CONFIG "holdfast-config"

enum { HF_RESTORE_TEXT_MAX = 4096 };

enum hf_restore_target_type {
    HF_TARGET_LATEST,    /* end of the archive */
    HF_TARGET_IMMEDIATE, /* as soon as it is consistent */
    HF_TARGET_TIME,
    HF_TARGET_LSN
};

enum hf_restore_action { HF_ACTION_PROMOTE, HF_ACTION_PAUSE, HF_ACTION_SHUTDOWN };

enum hf_restore_mode {
    HF_RESTORE_CLONE,  /* cut off from the cluster: archiving, replication, ports (rule B12) */
    HF_RESTORE_STANDBY /* to follow the cluster's primary: the caller adds primary_conninfo */
};

struct hf_restore_tablespace {
    uint32_t oid;
    char path[HF_PATH_SIZE];
};

struct hf_restore_progress {
    const char *label;
    uint64_t total_bytes;
    uint64_t written_bytes;
    hf_dur elapsed;
};

struct hf_restore_request {
    struct hf_repository *const *repositories; /* nearest first */
    size_t repository_count;
    const char *label; /* NULL: the newest one that fits the target */
    enum hf_restore_target_type target;
    hf_wall target_time;
    hf_lsn target_lsn;
    hf_tli timeline; /* 0: the cluster's newest */
    enum hf_restore_action action;
    enum hf_restore_mode mode;
    const char *directory;                           /* absolute; absent or empty */
    const struct hf_restore_tablespace *tablespaces; /* by OID; others go where they were */
    size_t tablespace_count;
    const char *agent;  /* path of holdfast-agent and of its configuration, for restore_command; */
    const char *config; /* characters [A-Za-z0-9._/-] only */
    const char *const *preload; /* libraries a clone may load, NULL-terminated; NULL = built-in */
    uint16_t port;              /* clone: 0 = as it was */
    const char *socket_dir;     /* clone: NULL = as it was */
    int workers;
    const atomic_bool *cancel;
    void (*progress)(void *arg, const struct hf_restore_progress *p);
    void *progress_arg;
};

struct hf_restore_result {
    char label[HF_LABEL_SIZE];
    hf_tli timeline; /* recovery_target_timeline */
    bool to_end;     /* the time lies after the archive's end: recovery goes to its end */
    uint64_t files;
    uint64_t bytes;
    hf_dur elapsed;
    char collations[HF_RESTORE_TEXT_MAX]; /* hf_restore_collations; "" = nothing to say */
};

/* What a person must know of the order of text (rule B11): collations whose library version is not
 * this host's or cannot be known before the server runs, and the SQL that lists their indexes.
 * Appends lines; nothing when all agree. HF_E_LIMIT. libc: hf_restore_libc_version(). */
hf_result hf_restore_collations(const struct hf_manifest *m, const char *libc, struct hf_buf *ret,
                                struct hf_err *err) HF_MUST_USE;
const char *hf_restore_libc_version(void); /* as PostgreSQL records it: "2.36" */

/* Blocking. HF_E_REFUSED: the directory holds something, or the target lies before the backup's
 * stop; HF_E_NOT_FOUND: no backup fits; HF_E_CORRUPT names the object. */
hf_result hf_restore_run(const struct hf_restore_request *request, struct hf_restore_result *ret,
                         struct hf_err *err) HF_MUST_USE;

/* "2026-11-21T00:21:00.5Z", "2026-11-21 00:21:00+02": with a zone. HF_E_INVALID. */
hf_result hf_restore_parse_time(const char *text, hf_wall *ret, struct hf_err *err) HF_MUST_USE;

#endif
