/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the cluster's decisions; nobody else includes it.
 */
#ifndef HF_COORDINATOR_CLUSTER_PARTS_H
#define HF_COORDINATOR_CLUSTER_PARTS_H

#include "coordinator/core/cluster.h"

enum {
    HF_STEP_LATE_MS = 15000,   /* a step after the promotion goes on with a warning */
    HF_PROMOTE_LATE_MS = 60000 /* the choice had this long to become writable */
};

/* nodes */
const struct hf_node_view *hf_view_node(const struct hf_cluster_view *v, const hf_name *name);
hf_dur hf_node_silence(const struct hf_cluster_view *v, const struct hf_node_view *n);
/* Heard of within half a lease, on a connection that stands. */
bool hf_node_present(const struct hf_cluster_view *v, const struct hf_node_view *n);
bool hf_node_foreign(const struct hf_cluster_view *v, const struct hf_node_view *n);
/* May be chosen as far as the acknowledged candidate sets go (L4). */
bool hf_node_eligible(const struct hf_cluster_view *v, const hf_name *name);
/* True when WAL that ends there lies on the history of the cluster's timeline: only then positions
 * compare. */
bool hf_on_history(const struct hf_cluster_view *v, hf_tli timeline, hf_lsn end);
bool hf_node_prepared(const struct hf_node_view *n, hf_epoch epoch);
/* Makes every node other than the primary a standby of it: follow, copy, or prepare to know.
 * Returns how many are on their way but not streaming yet. */
int hf_nodes_attach(const struct hf_cluster_view *v, struct hf_decision *out);

/* The rule by which the primary counts as lost, in `text`; NULL while it does not. */
const char *hf_view_primary_lost(const struct hf_cluster_view *v, char text[HF_REASON_SIZE]);

/* decision */
struct hf_command *hf_decide_command(struct hf_decision *out, const struct hf_node_view *to,
                                     enum hf_command_kind kind, hf_epoch epoch);
void hf_decide_warn(struct hf_decision *out, const char *format, ...) HF_PRINTF(2, 3);
/* Begins a write from the view's state (and plan). */
void hf_decide_write(const struct hf_cluster_view *v, struct hf_decision *out);
void hf_plan_reason(struct hf_plan *p, const char *format, ...) HF_PRINTF(2, 3);
void hf_plan_enter(struct hf_plan *p, enum hf_step to, int64_t wall_us);
/* Begins the write that moves the plan on; returns the plan that is written. */
struct hf_plan *hf_plan_move(const struct hf_cluster_view *v, struct hf_decision *out,
                             enum hf_step to);
hf_dur hf_plan_in_step(const struct hf_cluster_view *v);

/* doubt */
/* What happens while the records are in doubt: it is written down, a running plan is void. */
void hf_doubt_decide(const struct hf_cluster_view *v, struct hf_decision *out);
/* ADOPT to the nodes of other generations that may follow; says which may not. */
void hf_generation_follow(const struct hf_cluster_view *v, struct hf_decision *out);

/* plans */
void hf_plan_go_on(const struct hf_cluster_view *v, struct hf_decision *out);
void hf_plan_start_failover(const struct hf_cluster_view *v, const char *wish, bool requested,
                            const char *reason, struct hf_decision *out);
/* The choice among the prepared; NULL and a reason when nobody can be chosen yet. */
const struct hf_node_view *hf_plan_choose(const struct hf_cluster_view *v, const hf_name *from,
                                          hf_epoch epoch, const char *wish, struct hf_plan *p);
/* Switchover: the wished node when it ends where the old primary ended, else the old primary. */
const struct hf_node_view *hf_switch_choose(const struct hf_cluster_view *v, struct hf_plan *p);
void hf_switch_drain(const struct hf_cluster_view *v, struct hf_decision *out);
void hf_switch_stop(const struct hf_cluster_view *v, struct hf_decision *out);
struct hf_loss hf_plan_loss(const struct hf_cluster_view *v, const struct hf_node_view *choice,
                            const hf_name *from);
/* NULL when the loss is within the policy, else the rule. */
const char *hf_plan_loss_excess(const struct hf_policy *policy, const struct hf_loss *loss);

#endif
