/* SPDX-License-Identifier: Apache-2.0
 *
 * archive-get: one file of the archive from whichever repository has it (rules W3, W4). Blocking.
 * Invariants: HF_E_NOT_FOUND only after every configured repository answered that it has none, or
 * by the fork rule; a file at `path` is whole and durable, or not there. The history of a number
 * below the line that nobody has, or that is no ancestor of the line, is answered by
 * HF_HISTORY_UNUSED, which names no ancestor; none below the line while the line's own history
 * cannot be had (HF_E_AGAIN).
 */
#ifndef HF_AGENT_WAL_FETCH_H
#define HF_AGENT_WAL_FETCH_H

#include "agent/repo/site.h"
#include "common/core/timeline.h"

struct hf_wal_fetch {
    const char *name; /* as PostgreSQL asks */
    const char *path; /* where it wants it */
    hf_tli target;    /* timeline that recovery is to reach; 0 = the cluster's present one */
    hf_tli hint;      /* target 0: the cluster's timeline as its leader says, 0 = not known. Without
                         it every repository must answer with its epoch records and histories. */
};

/* HF_E_NOT_FOUND; HF_E_AGAIN: a repository did not answer, or holds nothing at all of the cluster,
 * so absence is unknown, or the line is; HF_E_CORRUPT: it authenticates nowhere. */
hf_result hf_wal_fetch(const struct hf_site *site, const struct hf_wal_fetch *fetch,
                       struct hf_err *err) HF_MUST_USE;

/* Exit status of the restore_command for a result: 0, 1 (end of the WAL), 255 (stop: never look
 * like the end). In standby mode the unknown is 1: PostgreSQL asks again. */
int hf_wal_fetch_status(hf_result result, bool standby);

#endif
