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
/* The timeline that follows `timeline` in the history; 0 when it is the last one. */
hf_tli hf_op_history_next(const struct hf_history *h, hf_tli timeline);

#endif
