/* SPDX-License-Identifier: Apache-2.0
 *
 * What a cluster's heartbeats amount to: exposure, the furthest copy, lag. For people, metrics and
 * history; decisions are made in coordinator/core.
 * Invariant: unknown stays unknown; a region whose node is silent counts for nothing.
 */
#ifndef HF_COORDINATOR_MEASURE_H
#define HF_COORDINATOR_MEASURE_H

#include "coordinator/state/warm.h"

struct hf_measure {
    const struct hf_warm_node *primary; /* writable now (by heartbeat, not silent); NULL none */
    hf_name primary_region;             /* of etcd's choice, or of the writable one; "" none */
    struct hf_exposure exposure;
    const struct hf_warm_node *best; /* whose standby or repository is furthest elsewhere */
    bool best_archived;              /* by its repository */
    hf_lsn best_lsn;
    hf_dur lease_remaining; /* of the primary, < 0 unknown */
};

/* silent: a node not heard of for so long counts for nothing. */
void hf_measure_cluster(const struct hf_warm_cluster *c, hf_lclk now, hf_dur silent,
                        struct hf_measure *ret);
bool hf_measure_heard(const struct hf_warm_node *n, hf_lclk now, hf_dur silent);

#endif
