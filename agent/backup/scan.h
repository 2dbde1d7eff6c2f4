/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a PostgreSQL data directory, its tablespaces and its configuration files in the order of
 * the file map, leaving out what PostgreSQL's own base backup leaves out (replication/basebackup.c:
 * excludeDirContents, excludeFiles, temporary and unlogged relations).
 *
 * Invariants: items come in the order of hf_map_compare; memory is the names of the directories on
 * the way down, not of the whole tree. What vanishes meanwhile is passed over. One thread.
 */
#ifndef HF_AGENT_BACKUP_SCAN_H
#define HF_AGENT_BACKUP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/filemap.h"
#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_SCAN_MAX_ROOTS = 258, HF_SCAN_MAX_DEPTH = 32, HF_SCAN_MAX_CONFIG = 64 };

struct hf_scan_root {
    uint32_t space;
    char path[HF_PATH_SIZE]; /* absolute; HF_MAP_SPACE_CONFIG: the file itself */
};

struct hf_scan_item {
    uint32_t space;
    char path[HF_MAP_PATH_SIZE];
    char link[HF_MAP_PATH_SIZE];
    enum hf_map_kind kind;
    uint32_t mode;
    int64_t mtime_us;
    uint64_t size;
    bool relation;    /* pages carry checksums, if the cluster has them */
    uint32_t segment; /* of the relation's file */
};

struct hf_scan;
/* Roots: the data directory first, tablespaces by ascending OID, then configuration files by path.
 * pg_control is given out last of all, as HF_MAP_SPACE_CONTROL. */
hf_result hf_scan_new(const struct hf_scan_root *roots, size_t n, struct hf_scan **ret,
                      struct hf_err *err) HF_MUST_USE;
void hf_scan_free(struct hf_scan *s); /* NULL allowed */
/* *ret_more false at the end. HF_E_IO, HF_E_LIMIT (depth, length of a path). */
hf_result hf_scan_next(struct hf_scan *s, struct hf_scan_item *ret, bool *ret_more,
                       struct hf_err *err) HF_MUST_USE;
/* The path on this host of a file of the map. HF_E_LIMIT. */
hf_result hf_scan_path(const struct hf_scan *s, uint32_t space, const char *path, char *ret,
                       size_t size, struct hf_err *err) HF_MUST_USE;

#endif
