/* SPDX-License-Identifier: Apache-2.0
 *
 * On which timeline this node's WAL ends. pg_control answers for the last restart point only: after
 * a switch of timelines it names the parent for minutes, and a node that reported that would be off
 * the cluster's history.
 */
#ifndef HF_NODE_OP_HISTORY_H
#define HF_NODE_OP_HISTORY_H

#include "agent/node/op.h"
#include "common/core/timeline.h"

/* The timeline that a running standby replayed last: IDENTIFY_SYSTEM of a replication connection by
 * the local socket (PostgreSQL: replication/walsender.c, IdentifySystem). Where that role may not
 * connect by the socket: what pg_control says, which is never ahead, and a warning in the log. */
hf_result hf_op_replayed_timeline(struct hf_op *op, struct hf_pg_sync *c, hf_tli *ret,
                                  struct hf_err *err) HF_MUST_USE;

/* The history of a timeline by its file in pg_wal; false when there is none that can be read. */
bool hf_op_history_read(const char *wal_dir, hf_tli timeline, struct hf_history *ret);

/* Valid WAL was found on `timeline` up to `end`: does it go on in pg_wal, on a later timeline? True
 * with *ret = a history (of a file there) that `timeline` belongs to, that leaves it exactly at
 * `end`, and whose next timeline has the segment with `end` here; of several the newest. WAL beyond
 * the switch is another future of the same timeline: then nothing goes on. */
bool hf_op_history_goes_on(const char *wal_dir, hf_tli timeline, hf_lsn end, uint64_t segment_size,
                           struct hf_history *ret);
/* Before a start: a server in recovery makes the newest timeline that it finds a history of its
 * goal, and when none of its WAL is of that one's past it waits for ever, whatever is elected later
 * (PostgreSQL: access/xlogrecovery.c, rescanLatestTimeLine). Histories of numbers above all WAL
 * that is here come from a promotion that did not happen, or from an upstream that was lost before
 * it sent anything: they are removed, with their marks for the archiver. A later upstream or the
 * archive has those that count. */
hf_result hf_op_history_forget(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
/* The part of it without pg_control, which knows timelines of its own: `timeline` is its newest. */
hf_result hf_op_history_forget_above(const char *wal_dir, hf_tli timeline,
                                     struct hf_err *err) HF_MUST_USE;
/* The newest timeline that the directory has a history of (histories) or a segment of; 0 none. */
hf_tli hf_op_history_newest(const char *wal_dir, bool histories);
/* The timeline that follows `timeline` in the history; 0 when it is the last one. */
hf_tli hf_op_history_next(const struct hf_history *h, hf_tli timeline);

#endif
