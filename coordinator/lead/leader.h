/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives the pure leadership (coordinator/core/leadership.h) with etcd and a timer.
 * Invariants: at most one request of it is under way; a request that etcd's client refused to send
 * is reported to the core as of unknown outcome, never dropped; `renewed` carries the instant
 * before the renewal was handed to the client, so that an answer given for it was sent after every
 * heartbeat that had arrived by then (rule L2). Loop thread only.
 */
#ifndef HF_COORDINATOR_LEADER_H
#define HF_COORDINATOR_LEADER_H

#include "common/io/etcd.h"
#include "coordinator/core/cluster.h"
#include "coordinator/core/leadership.h"
#include "coordinator/state/keys.h"

struct hf_leader;

struct hf_leader_callbacks {
    void (*won)(void *arg);
    void (*lost)(void *arg);
    void (*renewed)(void *arg, hf_lclk sent, hf_lclk now);
    /* hf_leader_resign came to its end: released, or lost meanwhile. */
    void (*released)(void *arg);
    /* etcd was restored, or is another one: why ("RULE_ID: text"). */
    void (*went_back)(void *arg, const char *why);
    /* A request took so long. */
    void (*latency)(void *arg, hf_dur took);
};

hf_result hf_leader_new(struct hf_loop *loop, struct hf_etcd *etcd, const char *prefix,
                        const struct hf_lead_config *config,
                        const struct hf_leader_callbacks *callbacks, void *arg,
                        struct hf_leader **ret, struct hf_err *err) HF_MUST_USE;
/* After hf_etcd_free only. */
void hf_leader_free(struct hf_leader *leader);

/* Heartbeats wait for a grant: renew soon; urgent: at once, the node holds nothing yet. */
void hf_leader_demand(struct hf_leader *leader, bool urgent);
/* Gives leadership up; remainder: the longest that a grant of this leader may still run. */
void hf_leader_resign(struct hf_leader *leader, hf_dur remainder);
bool hf_leader_active(const struct hf_leader *leader, hf_lclk now);
/* 0 while not leading. */
uint64_t hf_leader_term(const struct hf_leader *leader);
const struct hf_leadership *hf_leader_core(const struct hf_leader *leader);

#endif
