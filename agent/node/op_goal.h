/* SPDX-License-Identifier: Apache-2.0
 *
 * What PostgreSQL will take as its goal when it starts: in recovery that is the newest timeline
 * that it finds a history of. When none of its WAL is of that one's past it waits for ever,
 * whatever is elected later (PostgreSQL: access/xlogrecovery.c, rescanLatestTimeLine).
 */
#ifndef HF_NODE_OP_GOAL_H
#define HF_NODE_OP_GOAL_H

#include "agent/node/op.h"

/* Before a start. Histories of numbers above all WAL that is here come from a promotion that did
 * not happen, or from an upstream that was lost before it sent anything: they are removed, with
 * their marks for the archiver. A later upstream or the archive has those that count. */
hf_result hf_op_history_forget(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
/* The part of it without pg_control, which knows timelines of its own: `timeline` is its newest. */
hf_result hf_op_history_forget_above(const char *wal_dir, hf_tli timeline,
                                     struct hf_err *err) HF_MUST_USE;
/* The newest timeline that the directory has a history of (histories) or a segment of; 0 none. */
hf_tli hf_op_history_newest(const char *wal_dir, bool histories);

#endif
