/* SPDX-License-Identifier: Apache-2.0
 *
 * THE state table: how a node may change, and how a plan goes on; compiled into the agent and into
 * the coordinator. Diagrams (docs) and the reachability test are generated from it.
 * Invariant: neither process makes a transition that has no row here.
 */
#ifndef HF_CORE_STATETABLE_H
#define HF_CORE_STATETABLE_H

#include "common/core/message.h"

enum hf_plan_kind {
    HF_PLAN_BOOTSTRAP,  /* first primary of a cluster: adopt or initialise */
    HF_PLAN_FAILOVER,   /* another choice of primary (may choose the same node: restart in place) */
    HF_PLAN_SWITCHOVER, /* a person moves a healthy primary: zero loss, or it leads again */
    HF_PLAN_RECOVERY, /* a new generation by a person's word: the primary goes on, or a failover */
    HF_PLAN_KINDS
};

enum hf_step {
    HF_STEP_DRAIN,   /* switchover: the primary works on; checkpoint, archive drained */
    HF_STEP_STOP,    /* switchover: clean shutdown under the lease, surrender */
    HF_STEP_PREPARE, /* every node adopts the epoch and reports its end (L9) */
    HF_STEP_FENCE,   /* wait for proof: surrender, or every lease and promise over */
    HF_STEP_SELECT,  /* highest final position; the choice is persisted (L11) */
    HF_STEP_GAP,     /* what other reachable places have beyond it is named */
    HF_STEP_LOSS,    /* predicted loss against the policy */
    HF_STEP_CONFIRM, /* waits for a person (policy) */
    HF_STEP_RESERVE, /* the timeline number (L14) */
    HF_STEP_LEAD,    /* lease, then promotion or start */
    HF_STEP_ROUTE,   /* DNS, verified at the servers */
    HF_STEP_REPOINT, /* the others follow */
    HF_STEP_VERIFY,  /* a commit from outside */
    HF_STEP_DONE,
    HF_STEP_FAILED, /* ended with a reason; the next plan burns another epoch */
    HF_STEPS
};

struct hf_node_row {
    enum hf_node_state from;
    enum hf_node_state to;
    const char *guard;
    const char *effect;
    const char *comment;
};
struct hf_step_row {
    enum hf_step from;
    enum hf_step to;
    const char *guard;
    const char *effect;
    const char *comment;
};
extern const struct hf_node_row hf_node_table[];
extern const size_t hf_node_table_rows;
extern const struct hf_step_row hf_step_table[];
extern const size_t hf_step_table_rows;

bool hf_node_may(enum hf_node_state from, enum hf_node_state to);
bool hf_step_may(enum hf_step from, enum hf_step to);
extern const char *const hf_step_names[HF_STEPS + 1];           /* NULL at the end */
extern const char *const hf_plan_kind_names[HF_PLAN_KINDS + 1]; /* NULL at the end */
const char *hf_step_name(enum hf_step s);
const char *hf_plan_kind_name(enum hf_plan_kind k);
hf_result hf_step_parse(const char *text, enum hf_step *ret, struct hf_err *err) HF_MUST_USE;
hf_result hf_plan_kind_parse(const char *text, enum hf_plan_kind *ret,
                             struct hf_err *err) HF_MUST_USE;

#endif
