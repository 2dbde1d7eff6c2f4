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
    bool believed = state->doubt[0] == '\0' || HF_PLANTED(HF_PLANT_RESTORED_TRUSTED);
    return b->want_lease && believed && !given_up && state->epoch.v != 0 &&
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
    if (w->waiting && hf_name_equal(&w->node, node) && w->beat.life == beat->life &&
        w->beat.lease_serial == beat->lease_serial &&
        w->beat.lease_epoch.v == beat->lease_epoch.v) {
        w->newer = true;
        w->newer_arrived = now;
        w->newer_beat = *beat;
        return true;
    }
    w->waiting = true;
    w->newer = false;
    w->arrived = now;
    w->node = *node;
    w->beat = *beat;
    return true;
}

/* The newest that arrived before the renewal was sent; what came later goes on waiting. */
static bool take(struct hf_grant_wait *w, hf_lclk renewal_sent, struct hf_heartbeat *ret_beat,
                 hf_lclk *ret_arrived)
{
    if (!w->waiting || hf_lclk_before(renewal_sent, w->arrived)) {
        return false;
    }
    bool newer = w->newer && !hf_lclk_before(renewal_sent, w->newer_arrived);
    *ret_beat = newer ? w->newer_beat : w->beat;
    *ret_arrived = newer ? w->newer_arrived : w->arrived;
    w->waiting = w->newer && !newer;
    w->newer = false;
    if (w->waiting) {
        w->beat = w->newer_beat;
        w->arrived = w->newer_arrived;
    }
    return true;
}

bool hf_grant_give(struct hf_grant_wait *w, const struct hf_cluster_state *state, hf_dur ttl,
                   int margin_ppm, uint64_t term, hf_lclk renewal_sent, hf_lclk now,
                   struct hf_outstanding *outstanding, struct hf_grant *ret)
{
    (void)now;
    struct hf_heartbeat beat;
    hf_lclk arrived = {0};
    if (!take(w, renewal_sent, &beat, &arrived) || !grantable(state, &w->node, &beat)) {
        return false; /* nothing waits, or the choice changed meanwhile */
    }
    /* The holder counts from its sending, which was before the arrival here. */
    hf_lclk until = hf_lclk_add(arrived, hf_lease_wait(ttl, margin_ppm));
    if (hf_lclk_before(outstanding->until, until)) {
        outstanding->until = until;
    }
    outstanding->epoch = state->epoch;
    outstanding->node = w->node;
    memset(ret, 0, sizeof *ret);
    ret->seq = beat.seq;
    ret->life = beat.life;
    ret->generation = state->generation;
    ret->epoch = state->epoch;
    ret->term = term;
    ret->serial = beat.lease_serial;
    ret->ttl = ttl;
    ret->candidates = state->candidates;
    return true;
}
