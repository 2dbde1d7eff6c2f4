/* SPDX-License-Identifier: Apache-2.0
 *
 * Are etcd's records to be believed (L12)? They are not when etcd went back to an earlier state, or
 * when they were made for another one. Whoever knows more than they say is the evidence: no agent
 * can know an epoch, a choice, a candidate set or a term that was not written before.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/core/cluster_parts.h"

typedef unsigned long long ull;

static bool doubt(char text[HF_REASON_SIZE], const struct hf_node_view *n, const char *what,
                  uint64_t said, uint64_t written)
{
    (void)snprintf(text, HF_REASON_SIZE, "RESTORED: %.63s %s %llu, etcd says %llu", n->name.s, what,
                   (ull)said, (ull)written);
    return true;
}

/* True when the node knows what the records do not. */
static bool knows_more(const struct hf_cluster_view *v, const struct hf_node_view *n,
                       char text[HF_REASON_SIZE])
{
    const struct hf_cluster_state *s = v->state;
    const struct hf_heartbeat *b = &n->beat;
    if (!n->seen || b->generation.v < s->generation.v) {
        return false; /* what an earlier generation knew says nothing of this one */
    }
    if (b->generation.v > s->generation.v) {
        return doubt(text, n, "is in generation", b->generation.v, s->generation.v);
    }
    if (b->epoch.v > s->epoch.v) {
        return doubt(text, n, "is at epoch", b->epoch.v, s->epoch.v);
    }
    /* A recovery that found nobody leading leaves the choice of before, and all that came after it
     * fenced, or about to be. */
    uint64_t led = s->fenced.v > s->primary_epoch.v ? s->fenced.v : s->primary_epoch.v;
    if (v->plan != NULL && v->plan->kind == HF_PLAN_RECOVERY && v->plan->from_epoch.v > led) {
        led = v->plan->from_epoch.v;
    }
    if (b->surrendered.v > led) {
        return doubt(text, n, "led epoch", b->surrendered.v, led);
    }
    if (b->want_lease && (b->lease_epoch.v > led || (b->lease_epoch.v == s->primary_epoch.v &&
                                                     !hf_name_equal(&n->name, &s->primary)))) {
        return doubt(text, n, "leads epoch", b->lease_epoch.v, led);
    }
    if (b->candidates_acked > s->candidates.version ||
        b->candidates_known > s->candidates.version) {
        bool acked = b->candidates_acked > b->candidates_known;
        return doubt(text, n, "knows candidate set",
                     acked ? b->candidates_acked : b->candidates_known, s->candidates.version);
    }
    if (v->term != 0 && b->term > v->term) {
        return doubt(text, n, "heard of term", b->term, v->term);
    }
    return false;
}

static void find_doubt(struct hf_cluster_view *v)
{
    const struct hf_cluster_state *s = v->state;
    v->doubt[0] = '\0';
    if (HF_PLANTED(HF_PLANT_RESTORED_TRUSTED)) {
        return;
    }
    if (s->doubt[0] != '\0') {
        (void)snprintf(v->doubt, sizeof v->doubt, "%s", s->doubt);
        return;
    }
    for (int i = 0; i < v->node_count; i++) {
        if (knows_more(v, &v->nodes[i], v->doubt)) {
            return;
        }
    }
    for (int i = 0; i < v->outside_count; i++) { /* the policy may be of the past, too */
        if (!hf_node_foreign(v, &v->outside[i]) && knows_more(v, &v->outside[i], v->doubt)) {
            return;
        }
    }
    if (s->epoch.v == 0) {
        return; /* nothing was ever begun by these records; a bootstrap asks for new nodes */
    }
    if (v->control_doubt != NULL) {
        (void)snprintf(v->doubt, sizeof v->doubt, "%s", v->control_doubt);
    } else if (v->control.v != 0 && v->control.v != s->generation.v) {
        (void)snprintf(v->doubt, sizeof v->doubt,
                       "RESTORED: the cluster's records are of generation %llu, the control plane "
                       "is in %llu",
                       (ull)s->generation.v, (ull)v->control.v);
    }
}

void hf_cluster_view_settle(struct hf_cluster_view *v, bool raw)
{
    find_doubt(v);
    for (int i = 0; i < v->node_count; i++) {
        struct hf_node_view *n = &v->nodes[i];
        n->other = HF_GENERATION(0);
        if (!n->seen || n->beat.generation.v == 0 ||
            n->beat.generation.v == v->state->generation.v) {
            continue;
        }
        n->other = n->beat.generation;
        n->other_epoch = n->beat.epoch;
        n->other_connected = n->connected;
        if (!raw && v->doubt[0] == '\0') {
            n->seen = false;
            n->connected = false;
            n->promise_until = (hf_lclk){0};
            memset(&n->beat, 0, sizeof n->beat);
        }
    }
}

void hf_doubt_decide(const struct hf_cluster_view *v, struct hf_decision *out)
{
    hf_decide_warn(out, "%s", v->doubt);
    bool noted = v->state->doubt[0] != '\0';
    if (noted && v->plan == NULL) {
        return;
    }
    hf_decide_write(v, out);
    (void)snprintf(out->state.doubt, sizeof out->state.doubt, "%s", v->doubt);
    if (v->plan == NULL) {
        return;
    }
    struct hf_plan *p = hf_plan_move(v, out, HF_STEP_FAILED);
    (void)snprintf(out->state.doubt, sizeof out->state.doubt, "%s", v->doubt);
    if (p->reasons == HF_REASONS_MAX) {
        p->reasons--; /* why it ended matters more */
    }
    hf_plan_reason(p, "%s", v->doubt);
}

static bool goes_on(const struct hf_cluster_view *v, const struct hf_node_view *n)
{
    return v->plan != NULL && v->plan->kind == HF_PLAN_RECOVERY && v->plan->step == HF_STEP_LEAD &&
           hf_name_equal(&v->plan->to, &n->name) && hf_name_equal(&v->plan->from, &n->name);
}

void hf_generation_follow(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_cluster_state *s = v->state;
    for (int i = 0; i < v->node_count && !out->write; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (n->other.v == 0 || !n->other_connected) {
            continue;
        }
        if (s->follow.version != s->generation.v || !hf_candidates_contain(&s->follow, &n->name)) {
            hf_decide_warn(out, "OLD_GENERATION: %s is left in generation %llu and gets nothing",
                           n->name.s, (ull)n->other.v);
            continue;
        }
        if (n->other_epoch.v > s->epoch.v) {
            hf_decide_warn(out, "OLD_GENERATION: %s knows epoch %llu, above %llu; recover again",
                           n->name.s, (ull)n->other_epoch.v, (ull)s->epoch.v);
            continue;
        }
        struct hf_command *c = hf_decide_command(out, n, HF_COMMAND_ADOPT, s->epoch);
        (void)snprintf(c->id, sizeof c->id, "adopt.%llu.%.24s", (ull)s->generation.v, n->name.s);
        c->from_generation = n->other;
        c->node = n->name;
        if (goes_on(v, n)) {
            (void)snprintf(c->body, sizeof c->body, "{\"lead\":true}");
        }
    }
}
