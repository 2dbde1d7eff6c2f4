/* SPDX-License-Identifier: Apache-2.0
 *
 * Carries out what the pure decisions say while this coordinator leads: records, commands, grants,
 * views, the published name; and what users ask for.
 * Invariants: nothing is decided before every record was read after the claim was won, nor while a
 * write is under way or of unknown fate (the cluster is read back first); a command goes only to
 * agents whose heartbeat was heard, names that heartbeat, and follows the write that it rests on; a
 * grant answers only a renewal (rule L2); all of it ends the moment leadership is not active by the
 * own clock. Loop thread only.
 */
#ifndef HF_COORDINATOR_CARRY_H
#define HF_COORDINATOR_CARRY_H

#include "coordinator/history/history.h"
#include "coordinator/hub/hub.h"
#include "coordinator/lead/leader.h"
#include "coordinator/route/route.h"
#include "coordinator/state/tree.h"

struct hf_carry;

struct hf_carry_config {
    const struct hf_config_coordinator *config;
    struct hf_loop *loop;
    struct hf_warm *warm;
    struct hf_tree *tree;
    struct hf_hub *hub;
    struct hf_leader *leader;
    struct hf_http_client *http;
    struct hf_history *history;
};

/* Everything named outlives it. */
struct hf_carry *hf_carry_new(const struct hf_carry_config *config);
void hf_carry_free(struct hf_carry *carry);

/* Events of the other parts. */
void hf_carry_won(struct hf_carry *carry);
void hf_carry_lost(struct hf_carry *carry);
void hf_carry_loaded(struct hf_carry *carry);
void hf_carry_went_back(struct hf_carry *carry); /* records are read anew: nothing until then */
void hf_carry_renewed(struct hf_carry *carry, hf_lclk sent, hf_lclk now);
void hf_carry_changed(struct hf_carry *carry, struct hf_warm_cluster *c);
void hf_carry_beat(struct hf_carry *carry, struct hf_warm_node *n, hf_lclk arrived);
void hf_carry_tick(struct hf_carry *carry); /* every 100 ms */

/* Leading, and every record was read since. */
bool hf_carry_ready(const struct hf_carry *carry);
/* The longest that a grant of this leader may still run. */
hf_dur hf_carry_longest_grant(const struct hf_carry *carry, hf_lclk now);
/* Warnings of the newest decision ("RULE_ID: text"), 0 while not leading. */
int hf_carry_warnings(const struct hf_warm_cluster *c, const char (**ret)[HF_REASON_SIZE]);
const struct hf_route_task *hf_carry_route(const struct hf_warm_cluster *c);

/* --- what users ask for; only while ready --- */

enum hf_carry_kind {
    HF_CARRY_PAUSE,
    HF_CARRY_RESUME,
    HF_CARRY_FAILOVER,
    HF_CARRY_SWITCHOVER,
    HF_CARRY_RECOVER,
    HF_CARRY_POLICY
};
/* result: HF_OK; HF_E_STALE, HF_E_REFUSED, HF_E_EXISTS (in progress: text is the operation's id),
 * HF_E_UNREACHABLE, HF_E_TIMEOUT. */
struct hf_carry_answer {
    hf_result result;
    const struct hf_err *err;
    int64_t revision;      /* POLICY */
    const char *operation; /* FAILOVER, SWITCHOVER, RECOVER */
};
typedef void (*hf_carry_done)(void *arg, const struct hf_carry_answer *answer);
struct hf_carry_request {
    enum hf_carry_kind kind;
    struct hf_warm_cluster *cluster;
    char wish[HF_NAME_SIZE];        /* FAILOVER, SWITCHOVER; RECOVER: the node that leads */
    char why[HF_REASON_SIZE];       /* RECOVER: who, and what for */
    hf_epoch epoch;                 /* likewise: of the plan that the user read */
    const struct hf_policy *policy; /* POLICY; copied */
    int64_t revision;               /* POLICY: the one to be replaced, 0 = none there */
    hf_carry_done done;
    void *arg;
};
/* Takes the request; done is called once, later or within the call. HF_E_UNREACHABLE: not leading;
 * HF_E_AGAIN: another request of this cluster is being carried out. */
hf_result hf_carry_submit(struct hf_carry *carry, const struct hf_carry_request *request,
                          struct hf_err *err) HF_MUST_USE;
/* What a failover, a switchover or a recovery would do. */
hf_result hf_carry_preview(struct hf_carry *carry, struct hf_warm_cluster *c,
                           enum hf_plan_kind kind, const char *wish, struct hf_plan *ret,
                           struct hf_err *err) HF_MUST_USE;
/* Asks a node for a backup. *ret_id: its operation. HF_E_UNREACHABLE (no such agent connected),
 * HF_E_EXISTS (one runs there: text is its id), HF_E_LIMIT. */
hf_result hf_carry_backup(struct hf_carry *carry, struct hf_warm_cluster *c, const char *type,
                          const char *node, const char *name, char ret_id[HF_LABEL_SIZE],
                          struct hf_err *err) HF_MUST_USE;

#endif
