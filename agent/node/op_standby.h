/* SPDX-License-Identifier: Apache-2.0
 *
 * What the ways to a standby share: the slot at the source, the connection to it, settings, start.
 * Invariants: as op.h; whatever works on the files of the data directory from outside (pg_rewind,
 * pg_basebackup) does so with that as its working directory: then it counts as a process of the
 * instance, and hf_op_server_end ends it also when the agent that began it was killed.
 */
#ifndef HF_NODE_OP_STANDBY_H
#define HF_NODE_OP_STANDBY_H

#include "agent/node/op.h"

enum { HF_OP_SLOT_SIZE = 80, HF_OP_CONNINFO_MAX = 4096 };
#define HF_OP_COPY_LIMIT HF_SEC(7 * 24 * 3600)

/* A physical slot at op->address, so that the WAL from now on is kept; one that is there is taken.
 */
hf_result hf_op_slot_make(struct hf_op *op, const char *slot, struct hf_err *err) HF_MUST_USE;
/* Connection string to op->address as the replication role; for_tool: of a program that ends. */
hf_result hf_op_source(struct hf_op *op, bool for_tool, struct hf_buf *out,
                       struct hf_err *err) HF_MUST_USE;
/* copied: the settings of the directory are the source's; this node's own places are set. */
hf_result hf_op_standby_settings(struct hf_op *op, const char *slot, bool copied,
                                 struct hf_err *err) HF_MUST_USE;
/* Reload, or start; then slots of other nodes are removed. */
hf_result hf_op_standby_up(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
/* Empties the directory and copies it from op->address; the mark is there meanwhile. */
hf_result hf_op_copy_fresh(struct hf_op *op, const char *slot, struct hf_err *err) HF_MUST_USE;

#endif
