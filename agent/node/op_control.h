/* SPDX-License-Identifier: Apache-2.0
 *
 * What pg_control says of a directory, by pg_controldata: its layout differs between major
 * versions, the program's output does not. Invariant: an answer without redo position, timeline and
 * segment size is no answer.
 */
#ifndef HF_NODE_OP_CONTROL_H
#define HF_NODE_OP_CONTROL_H

#include "agent/node/op.h"

struct hf_op_control {
    uint64_t system_id;
    hf_lsn redo;
    hf_tli timeline; /* of the latest checkpoint */
    hf_lsn minimum;  /* recovery point; 0 without one */
    hf_tli minimum_timeline;
    uint64_t segment_size;
    bool shut_down;    /* cleanly, as a primary or in recovery */
    bool pages_logged; /* data checksums or wal_log_hints */
};

/* HF_E_CORRUPT: no usable answer. Blocks, 30 s at most. */
hf_result hf_op_control(struct hf_op *op, struct hf_op_control *ret,
                        struct hf_err *err) HF_MUST_USE;
/* Pure: takes one line of pg_controldata in. */
void hf_op_control_line(struct hf_op_control *c, const char *line);

#endif
