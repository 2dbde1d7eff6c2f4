/* SPDX-License-Identifier: Apache-2.0
 *
 * What is judged when records are committed and when coordinators send: epochs, choices, fence
 * proofs, plans, and that nothing is sent that rests on no record.
 */
#include "tests/sim/check.h"
#include "tests/sim/pg.h"
#include "tests/sim/world.h"

#include <string.h>

typedef unsigned long long ull;

/* From now on every lease of epochs up to `epoch` counts as over. Is it? */
static void fence_proof(struct sim_world *w, uint64_t epoch, int except, const char *what)
{
    struct sim_truth *t = &w->truth;
    for (uint64_t e = t->newest_fenced.v + 1; e <= epoch && e < SIM_EPOCHS; e++) {
        bool goes_on = except >= 0 && w->pages[except].epoch.v == e && sim_page_valid(w, except);
        t->fenced_at[e] = goes_on ? 0 : w->now;
    }
    if (epoch > t->newest_fenced.v) {
        t->newest_fenced = HF_EPOCH(epoch);
    }
    for (int i = 0; i < w->cfg.nodes; i++) {
        if (i != except && w->pages[i].epoch.v <= epoch && w->pages[i].epoch.v != 0 &&
            sim_page_valid(w, i)) {
            hf_dur left = hf_lclk_sub(w->pages[i].deadline, sim_clock(w, i));
            sim_fail(w, SIM_CHECK_ONE_LEASE,
                     "%s says that epoch %llu is over; %s holds epoch %llu for another %lld us",
                     what, (ull)epoch, sim_node_names[i], (ull)w->pages[i].epoch.v,
                     (long long)left.us);
        }
    }
}

static void check_growth(struct sim_world *w, const struct hf_cluster_state *s)
{
    const struct hf_cluster_state *o = &w->truth.state;
    if (w->truth.state_known &&
        (s->epoch.v < o->epoch.v || s->generation.v < o->generation.v ||
         s->fenced.v < o->fenced.v || s->primary_epoch.v < o->primary_epoch.v ||
         s->candidates.version < o->candidates.version || s->plans < o->plans ||
         s->reserved.v < o->reserved.v)) {
        sim_fail(w, SIM_CHECK_EPOCHS,
                 "a number went back in the cluster's state: epoch %llu -> %llu", (ull)o->epoch.v,
                 (ull)s->epoch.v);
    }
    if (s->primary_epoch.v > s->epoch.v || s->fenced.v > s->epoch.v || s->epoch.v >= SIM_EPOCHS) {
        sim_fail(w, SIM_CHECK_EPOCHS, "epoch %llu, primary's %llu, fenced %llu", (ull)s->epoch.v,
                 (ull)s->primary_epoch.v, (ull)s->fenced.v);
    }
}

/* goes_on: a recovery whose primary keeps what is left of its lease. */
static void check_choice(struct sim_world *w, const struct hf_cluster_state *s, bool goes_on)
{
    struct sim_truth *t = &w->truth;
    uint64_t e = s->primary_epoch.v;
    int node = sim_node_by_name(s->primary.s);
    if (e == 0 || w->failed) {
        return;
    }
    if (node < 0 || (t->choice[e] != -1 && t->choice[e] != node)) {
        sim_fail(w, SIM_CHECK_CHOICE, "epoch %llu: %s after %s", (ull)e, s->primary.s,
                 t->choice[e] < 0 ? "nobody" : sim_node_names[t->choice[e]]);
        return;
    }
    if (t->choice[e] == -1) {
        t->choice[e] = node;
        fence_proof(w, e - 1, goes_on ? node : -1, "the choice");
    }
}

static void check_plan(struct sim_world *w, const struct hf_cluster_state *s,
                       const struct hf_plan *p)
{
    struct sim_truth *t = &w->truth;
    const struct hf_plan *o = &t->plan;
    bool same = t->plan_known && strcmp(o->id, p->id) == 0;
    bool over = !t->plan_known || o->step == HF_STEP_DONE || o->step == HF_STEP_FAILED;
    if (same && p->step != o->step && !hf_step_may(o->step, p->step)) {
        sim_fail(w, SIM_CHECK_TABLE, "plan %s: %s -> %s has no row", p->id, hf_step_name(o->step),
                 hf_step_name(p->step));
    }
    /* A switchover burns its epoch when the primary has stopped. */
    bool burns = p->kind == HF_PLAN_SWITCHOVER && o->step == HF_STEP_STOP &&
                 p->step == HF_STEP_PREPARE && p->epoch.v == o->epoch.v + 1;
    if (same && ((p->epoch.v != o->epoch.v && !burns) ||
                 (o->to.s[0] != '\0' && strcmp(o->to.s, p->to.s) != 0))) {
        sim_fail(w, SIM_CHECK_CHOICE, "plan %s changed epoch or choice under way", p->id);
    }
    enum hf_step first = p->kind == HF_PLAN_SWITCHOVER                       ? HF_STEP_DRAIN
                         : p->kind == HF_PLAN_BOOTSTRAP                      ? HF_STEP_LEAD
                         : p->kind == HF_PLAN_RECOVERY && p->to.s[0] != '\0' ? HF_STEP_LEAD
                                                                             : HF_STEP_PREPARE;
    if (!same && (!over || p->step != first)) {
        sim_fail(w, SIM_CHECK_TABLE, "plan %s begins at %s while %s is at %s", p->id,
                 hf_step_name(p->step), o->id, hf_step_name(o->step));
    }
    if (!same && t->plan_known && p->kind != HF_PLAN_SWITCHOVER && p->epoch.v <= o->epoch.v) {
        sim_fail(w, SIM_CHECK_CHOICE, "plan %s does not burn an epoch: %llu after %llu", p->id,
                 (ull)p->epoch.v, (ull)o->epoch.v);
    }
    bool ended = p->step == HF_STEP_DONE || p->step == HF_STEP_FAILED;
    bool epochs = p->epoch.v == s->epoch.v || (ended && p->epoch.v < s->epoch.v);
    if (ended != (s->plan[0] == '\0') || !epochs) {
        sim_fail(w, SIM_CHECK_RECORD, "plan %s at %s, epoch %llu, and the state names \"%s\", %llu",
                 p->id, hf_step_name(p->step), (ull)p->epoch.v, s->plan, (ull)s->epoch.v);
    }
    t->plan = *p;
    t->plan_known = true;
    if (!t->top_plan_known || p->epoch.v >= t->top_plan.epoch.v) {
        t->top_plan = *p;
        t->top_plan_known = true;
    }
}

void sim_check_commit(struct sim_world *w, int coord, const struct hf_cluster_state *s,
                      const struct hf_plan *plan, hf_tli reserve)
{
    struct sim_truth *t = &w->truth;
    check_growth(w, s);
    if (w->failed) {
        return;
    }
    t->plan_epoch[s->epoch.v] = true;
    fence_proof(w, s->fenced.v, -1, "fenced");
    bool recovers = plan != NULL && plan->kind == HF_PLAN_RECOVERY && plan->step == HF_STEP_LEAD &&
                    s->generation.v > t->state.generation.v;
    check_choice(w, s, recovers);
    if (plan != NULL && !w->failed) {
        if (plan->step == HF_STEP_GAP) {
            t->predictor = coord;
            t->seen_since = w->coords[coord].ring_since;
        }
        check_plan(w, s, plan);
    }
    if (reserve.v != 0 && reserve.v < SIM_TIMELINES) {
        const struct sim_timeline *l = &t->timeline[reserve.v];
        if (l->used || (l->reserved_epoch != 0 && !l->forgotten)) {
            sim_fail(w, SIM_CHECK_TIMELINE, "timeline %u is reserved again", reserve.v);
        }
        t->timeline[reserve.v].forgotten = false;
        t->timeline[reserve.v].reserved_epoch = s->epoch.v;
    }
    int primary = sim_node_by_name(s->primary.s);
    if (primary >= 0 && s->acked.version != t->state.acked.version && s->acked.version != 0 &&
        w->agents[primary].disk.acked.version < s->acked.version) {
        sim_fail(w, SIM_CHECK_PROMISE, "set %llu counts as acknowledged; %s has %llu on disk",
                 (ull)s->acked.version, s->primary.s, (ull)w->agents[primary].disk.acked.version);
    }
    t->state = *s;
    t->state_known = true;
    t->top = s->epoch.v >= t->top.epoch.v ? *s : t->top;
}

void sim_check_restored(struct sim_world *w, const struct hf_cluster_state *state,
                        const struct hf_plan *plan)
{
    struct sim_truth *t = &w->truth;
    for (int i = 0; i < SIM_TIMELINES; i++) {
        if (!t->timeline[i].used && w->etcd.timeline_revision[i] == 0) {
            t->timeline[i].forgotten = true; /* unless somebody uses it yet it is free again */
        }
    }
    t->state = *state;
    t->plan_known = plan != NULL;
    if (plan != NULL) {
        t->plan = *plan;
    }
}

static void check_command(struct sim_world *w, const struct hf_command *c, int node)
{
    const struct sim_truth *t = &w->truth;
    uint64_t e = c->epoch.v;
    if (e == 0 || e >= SIM_EPOCHS || !t->plan_epoch[e]) {
        sim_fail(w, SIM_CHECK_RECORD, "%s at epoch %llu, which no record knows", c->id, (ull)e);
        return;
    }
    int other = c->node.s[0] != '\0' ? sim_node_by_name(c->node.s) : -1;
    switch (c->kind) {
    case HF_COMMAND_LEAD:
        if (t->choice[e] != node) {
            sim_fail(w, SIM_CHECK_CHOICE, "%s is told to lead epoch %llu; it is not the choice",
                     sim_node_names[node], (ull)e);
        } else if (c->timeline.v != 0 && t->timeline[c->timeline.v].reserved_epoch != e) {
            sim_fail(w, SIM_CHECK_TIMELINE, "timeline %u was not reserved for epoch %llu",
                     c->timeline.v, (ull)e);
        }
        break;
    case HF_COMMAND_FOLLOW:
    case HF_COMMAND_COPY:
        if (other < 0 || t->choice[e] != other) {
            sim_fail(w, SIM_CHECK_RECORD, "%s: %s is not the choice of epoch %llu", c->id,
                     c->node.s, (ull)e);
        }
        break;
    case HF_COMMAND_STOP:
        if (t->choice[e] != node) {
            sim_fail(w, SIM_CHECK_CHOICE, "%s is told to stop epoch %llu; it does not lead it",
                     sim_node_names[node], (ull)e);
        }
        break;
    case HF_COMMAND_ADOPT:
        if (other != node || c->generation.v <= c->from_generation.v ||
            (c->body[0] != '\0' && t->choice[e] != node)) {
            sim_fail(w, SIM_CHECK_RECORD, "%s: %s is told to follow into generation %llu", c->id,
                     sim_node_names[node], (ull)c->generation.v);
        }
        break;
    case HF_COMMAND_PREPARE:
    case HF_COMMAND_BACKUP:
    case HF_COMMAND_PROBE:
    case HF_COMMAND_DRAIN:
    case HF_COMMAND_KINDS:
        break;
    }
}

void sim_check_coord_send(struct sim_world *w, const struct hf_message *m, int node)
{
    if (m->type == HF_MESSAGE_COMMAND) {
        check_command(w, &m->command, node);
    } else if (m->type == HF_MESSAGE_GRANT) {
        uint64_t e = m->grant.epoch.v;
        if (e == 0 || e >= SIM_EPOCHS || w->truth.choice[e] != node) {
            sim_fail(w, SIM_CHECK_CHOICE, "%s is granted epoch %llu; it is not the choice",
                     sim_node_names[node], (ull)e);
        }
    }
}
