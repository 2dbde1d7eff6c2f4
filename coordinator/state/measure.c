/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/state/measure.h"

bool hf_measure_heard(const struct hf_warm_node *n, hf_lclk now, hf_dur silent)
{
    return n != NULL && n->view.seen && n->view.connected &&
           hf_lclk_before(now, hf_lclk_add(n->view.seen_at, silent));
}

static const struct hf_warm_node *find_primary(const struct hf_warm_cluster *c, hf_lclk now,
                                               hf_dur silent)
{
    bool chosen = c->has_state && !hf_name_empty(&c->state.primary);
    for (int i = 0; i < c->node_count; i++) {
        const struct hf_warm_node *n = c->nodes[i];
        enum hf_node_state s = n->view.beat.state;
        if (!hf_measure_heard(n, now, silent) || (s != HF_NODE_PRIMARY && s != HF_NODE_UNMANAGED)) {
            continue;
        }
        if (!chosen || hf_name_equal(&c->state.primary, &n->view.name)) {
            return n;
        }
    }
    return NULL;
}

/* A position on an earlier timeline counts up to where the present one left it (W1); without a
 * known fork it counts for nothing. */
static hf_lsn along(const struct hf_warm_cluster *c, hf_tli present, hf_tli timeline, hf_lsn lsn)
{
    if (present.v == 0 || timeline.v == present.v) {
        return lsn;
    }
    if (timeline.v == 0 || timeline.v > present.v || !c->has_state ||
        c->state.timeline.v != present.v || c->state.fork.v == 0) {
        return HF_LSN(0);
    }
    return lsn.v < c->state.fork.v ? lsn : c->state.fork;
}

static void consider(struct hf_measure *m, const struct hf_warm_node *n, hf_lsn lsn, bool archived)
{
    if (lsn.v > m->best_lsn.v) {
        m->best = n;
        m->best_lsn = lsn;
        m->best_archived = archived;
    }
}

static void find_best(const struct hf_warm_cluster *c, hf_lclk now, hf_dur silent, hf_tli present,
                      struct hf_measure *m)
{
    for (int i = 0; i < c->node_count; i++) {
        const struct hf_warm_node *n = c->nodes[i];
        const struct hf_heartbeat *b = &n->view.beat;
        if (!hf_measure_heard(n, now, silent) || n == m->primary ||
            hf_name_equal(&n->view.region, &m->primary_region)) {
            continue;
        }
        if (b->state == HF_NODE_STANDBY || b->state == HF_NODE_PREPARED ||
            b->state == HF_NODE_PREPARING) {
            consider(m, n, along(c, present, b->timeline, b->flushed), false);
        }
        if (b->repository_known && b->repository_ok) {
            consider(m, n, along(c, present, b->wal_timeline, b->wal_to), true);
        }
    }
}

void hf_measure_cluster(const struct hf_warm_cluster *c, hf_lclk now, hf_dur silent,
                        struct hf_measure *ret)
{
    *ret = (struct hf_measure){.lease_remaining = {-1}};
    ret->primary = find_primary(c, now, silent);
    hf_tli present = c->has_state ? c->state.timeline : HF_TLI(0);
    if (ret->primary != NULL) {
        const struct hf_heartbeat *b = &ret->primary->view.beat;
        ret->primary_region = ret->primary->view.region;
        present = b->timeline;
        int64_t left = b->lease_remaining.us - hf_lclk_sub(now, ret->primary->view.seen_at).us;
        if (b->lease_source != HF_LEASE_NONE) {
            ret->lease_remaining = HF_US(left > 0 ? left : 0);
        }
    } else if (c->has_state && !hf_name_empty(&c->state.primary)) {
        const struct hf_policy_node *p =
            c->policy != NULL ? hf_policy_node(c->policy, c->state.primary.s) : NULL;
        ret->primary_region = p != NULL ? p->region : (hf_name){""};
    }
    find_best(c, now, silent, present, ret);
    if (ret->primary == NULL || c->ring == NULL || ret->best == NULL || c->ring->count == 0) {
        return;
    }
    if (ret->primary->view.beat.pg_silent) {
        return; /* where its WAL ends now is not known, and unknown is not 0 */
    }
    ret->exposure = hf_exposure_measure(c->ring, ret->best_lsn, hf_exposure_clock(c->ring, now));
}
