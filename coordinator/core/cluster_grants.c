/* SPDX-License-Identifier: Apache-2.0
 *
 * Grants of the primary's lease (L2, L11).
 */
#include <string.h>

#include "coordinator/core/cluster.h"

static bool grantable(const struct hf_cluster_state *state, const hf_name *node,
                      const struct hf_heartbeat *b)
{
    bool given_up = b->surrendered.v >= state->epoch.v && !HF_PLANTED(HF_PLANT_REGRANT_SURRENDERED);
    return b->want_lease && !given_up && state->epoch.v != 0 &&
           b->generation.v == state->generation.v && state->primary_epoch.v == state->epoch.v &&
           b->lease_epoch.v == state->epoch.v && b->epoch.v == state->epoch.v &&
           hf_name_equal(node, &state->primary);
}

bool hf_grant_ask(struct hf_grant_wait *w, const struct hf_cluster_state *state,
                  const hf_name *node, const struct hf_heartbeat *beat, hf_lclk now)
{
    if (!grantable(state, node, beat)) {
        return false;
    }
    w->waiting = true;
    w->arrived = now;
    w->node = *node;
    w->beat = *beat;
    return true;
}

bool hf_grant_give(struct hf_grant_wait *w, const struct hf_cluster_state *state, hf_dur ttl,
                   int margin_ppm, uint64_t term, hf_lclk renewal_sent, hf_lclk now,
                   struct hf_outstanding *outstanding, struct hf_grant *ret)
{
    (void)now;
    if (!w->waiting || hf_lclk_before(renewal_sent, w->arrived)) {
        return false;
    }
    w->waiting = false;
    if (!grantable(state, &w->node, &w->beat)) {
        return false; /* the choice changed meanwhile */
    }
    /* The holder counts from its sending, which was before the arrival here. */
    hf_lclk until = hf_lclk_add(w->arrived, hf_lease_wait(ttl, margin_ppm));
    if (hf_lclk_before(outstanding->until, until)) {
        outstanding->until = until;
    }
    outstanding->epoch = state->epoch;
    outstanding->node = w->node;
    memset(ret, 0, sizeof *ret);
    ret->seq = w->beat.seq;
    ret->life = w->beat.life;
    ret->generation = state->generation;
    ret->epoch = state->epoch;
    ret->term = term;
    ret->serial = w->beat.lease_serial;
    ret->ttl = ttl;
    ret->candidates = state->candidates;
    return true;
}
