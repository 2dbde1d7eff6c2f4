/* SPDX-License-Identifier: Apache-2.0
 *
 * The leader's work: records, decisions, grants, the published name.
 */
#include "tests/sim/coord.h"
#include "tests/sim/etcd.h"

#include <string.h>

enum { STORE_TIMEOUT_MS = 2000, TICK_MS = 100 };

static int proc(int coord)
{
    return SIM_PROC_COORD + coord;
}

static struct sim_etcd_request *store_request(struct sim_world *w, int coord, enum sim_etcd_op op,
                                              uint32_t *ret_index)
{
    struct sim_coord *c = &w->coords[coord];
    struct sim_etcd_request *r = sim_etcd_new(w, coord, op, ret_index);
    r->number = ++c->store_numbers | 0x80000000U; /* apart from leadership's numbers */
    c->store_number = r->number;
    sim_put(w, w->now + STORE_TIMEOUT_MS * SIM_MS, SIM_COORD_TIMEOUT, proc(coord), r->number, 0, 0);
    return r;
}

void sim_coord_load(struct sim_world *w, int coord)
{
    uint32_t index = 0;
    store_request(w, coord, SIM_ETCD_LOAD, &index);
    sim_etcd_send(w, index);
}

static void write_records(struct sim_world *w, int coord, const struct hf_decision *d)
{
    struct sim_coord *c = &w->coords[coord];
    uint32_t index = 0;
    struct sim_etcd_request *r = store_request(w, coord, SIM_ETCD_WRITE, &index);
    r->claim_revision = (int64_t)c->lead.term;
    r->state_revision = c->state_revision;
    r->state = d->state;
    r->with_plan = d->write_plan;
    r->reserve = d->reserve;
    r->begin = d->begin;
    if (d->write_plan) {
        r->plan = d->plan;
        r->plan_revision =
            c->view.plan != NULL && strcmp(c->plan.id, d->plan.id) == 0 ? c->plan_revision : 0;
        c->wrote_plan = d->plan;
    }
    c->wrote_state = d->state;
    c->wrote_begin = d->begin;
    c->wrote_with_plan = d->write_plan;
    SIM_TRACE(w, "coordinator %s writes: epoch %llu fenced %llu primary %s/%llu plan %s %s",
              sim_region_names[coord], (unsigned long long)d->state.epoch.v,
              (unsigned long long)d->state.fenced.v, d->state.primary.s,
              (unsigned long long)d->state.primary_epoch.v, d->write_plan ? d->plan.id : "-",
              d->write_plan ? hf_step_name(d->plan.step) : "");
    sim_etcd_send(w, index);
}

/* The plan at hand changed its step (or is another one). */
static void take_plan(struct sim_world *w, int coord, const struct hf_plan *plan)
{
    struct sim_coord *c = &w->coords[coord];
    bool same =
        c->view.plan != NULL && strcmp(c->plan.id, plan->id) == 0 && c->plan.step == plan->step;
    if (!same) {
        c->view.step_since = sim_coord_now(w, coord);
    }
    c->plan = *plan;
    c->view.plan = c->state.plan[0] != '\0' ? &c->plan : NULL;
}

static void loaded(struct sim_world *w, int coord, const struct sim_etcd_request *r)
{
    struct sim_coord *c = &w->coords[coord];
    if ((uint64_t)r->claim_revision != c->lead.term) {
        return; /* somebody else leads, or the key is gone: leadership finds out */
    }
    if (r->state.plan[0] != '\0' && !r->with_plan) {
        return;
    }
    c->state = r->state;
    c->state_revision = r->state_revision;
    if (c->state.generation.v == 0) {
        c->state.generation = HF_GENERATION(1);
    }
    c->control = r->begin;
    c->other_etcd = r->generation_of != r->etcd;
    c->plan_revision = r->plan_revision;
    if (r->with_plan) {
        take_plan(w, coord, &r->plan);
    } else {
        c->view.plan = NULL;
    }
    if (c->policy_revision != r->policy_revision) {
        c->policy = w->etcd.policy;
        c->policy_revision = r->policy_revision;
    }
    c->loaded = true;
}

void sim_coord_records(struct sim_world *w, int coord, const struct sim_etcd_request *r)
{
    struct sim_coord *c = &w->coords[coord];
    if (r->op == SIM_ETCD_LOAD) {
        loaded(w, coord, r);
    } else if (!r->won) {
        c->loaded = false;
    } else {
        c->state = c->wrote_state;
        if (c->wrote_begin.v != 0) {
            c->control = c->wrote_begin;
            c->other_etcd = false;
        }
        c->state_revision = r->revision;
        if (c->wrote_with_plan) {
            take_plan(w, coord, &c->wrote_plan);
            c->plan_revision = r->revision;
        }
        if (c->state.plan[0] == '\0') {
            c->view.plan = NULL;
        }
    }
    sim_coord_decide(w, coord);
}

/* Nodes of the policy, in its order, over what heartbeats told of them. */
static void fill_view(struct sim_world *w, int coord, bool raw)
{
    struct sim_coord *c = &w->coords[coord];
    struct hf_cluster_view *v = &c->view;
    v->now = sim_coord_now(w, coord);
    v->wall_us = SIM_WALL_START + w->now;
    v->floor = c->lead.floor;
    v->ttl = c->ttl;
    v->margin_ppm = w->cfg.margin_ppm;
    v->policy = &c->policy;
    v->state = &c->state;
    v->ring = c->ring.count > 0 ? &c->ring : NULL;
    const char *wanted = v->plan != NULL ? v->plan->to.s : c->state.primary.s;
    v->route_done = !c->policy.route.present ||
                    (c->route_node >= 0 && c->route_node == sim_node_by_name(wanted));
    v->node_count = 0;
    for (size_t i = 0; i < c->policy.node_count; i++) {
        struct hf_node_view *n = &v->nodes[v->node_count++];
        *n = c->known[sim_node_by_name(c->policy.nodes[i].name.s)];
        n->name = c->policy.nodes[i].name;
        n->region = c->policy.nodes[i].region;
    }
    v->outside_count = 0;
    for (int i = 0; i < SIM_NODES; i++) {
        if (c->known[i].seen && hf_policy_node(&c->policy, sim_node_names[i]) == NULL) {
            v->outside[v->outside_count++] = c->known[i];
        }
    }
    v->term = c->lead.term;
    v->control = c->control;
    v->control_doubt = c->other_etcd ? "RESTORED: another etcd" : NULL;
    hf_cluster_view_settle(v, raw);
}

bool sim_coord_doubts(struct sim_world *w, int coord)
{
    fill_view(w, coord, false);
    return w->coords[coord].view.doubt[0] != '\0';
}

/* The person sees that etcd was restored (or that a node is left behind for good) and, after a
 * while, begins a new generation; what is refused now is asked for again. */
static bool person_recovers(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    bool wanted = c->view.doubt[0] != '\0';
    for (int i = 0; i < c->view.node_count; i++) {
        const struct hf_node_view *n = &c->view.nodes[i];
        bool follows = c->state.follow.version == c->state.generation.v &&
                       hf_candidates_contain(&c->state.follow, &n->name);
        wanted = wanted || (n->other.v != 0 && (!follows || n->other_epoch.v > c->state.epoch.v));
    }
    if (!wanted) {
        c->doubt_since = 0;
        return false;
    }
    c->doubt_since = c->doubt_since == 0 ? w->now : c->doubt_since;
    if (w->now - c->doubt_since < (sim_time)(1 + w->seed % 5) * SIM_SECOND) {
        return false;
    }
    c->doubt_since = w->now - (sim_time)(1 + w->seed % 5) * SIM_SECOND + SIM_SECOND / 2;
    fill_view(w, coord, true);
    struct hf_err refused;
    if (!hf_ok(hf_cluster_recover_request(&c->view, "", "the person", &w->decision, &refused))) {
        SIM_TRACE(w, "recovery refused: %s", refused.text);
        w->stats.recover_refused++;
        fill_view(w, coord, false);
        return false;
    }
    w->stats.recoveries++;
    w->stats.goes_on += w->decision.plan.step == HF_STEP_LEAD ? 1 : 0;
    return true;
}

static void publish_route(struct sim_world *w, int coord, const struct hf_decision *d)
{
    struct sim_coord *c = &w->coords[coord];
    if (d->route && !c->routing) {
        c->routing = true;
        sim_put(w, w->now + sim_between(&w->rng, 30, 1500) * SIM_MS, SIM_COORD_ROUTED, proc(coord),
                0, 0, sim_node_by_name(d->route_node.s));
    }
}

void sim_coord_routed(struct sim_world *w, int coord, int node)
{
    w->coords[coord].routing = false;
    w->coords[coord].route_node = node;
    sim_coord_decide(w, coord);
}

/* A person asks for a failover, or confirms the plan that waits. */
static bool person_asks(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    bool waits =
        c->view.plan != NULL && c->view.plan->step == HF_STEP_CONFIRM && !c->view.plan->confirmed;
    struct hf_err refused;
    if (c->switch_asked) {
        c->switch_asked = false;
        if (hf_ok(hf_cluster_switch_request(&c->view, "", &w->decision, &refused))) {
            w->stats.switches++;
            return true;
        }
        return false;
    }
    if (!waits && !c->failover_asked) {
        return false;
    }
    if (waits && c->view.now.us - c->view.step_since.us < 1500000) {
        return false;
    }
    struct hf_err err;
    c->failover_asked = false;
    return hf_ok(hf_cluster_plan_request(&c->view, "", &w->decision, &err));
}

void sim_coord_decide(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    if (!c->loaded || c->store_number != 0 || c->resigning || !sim_coord_active(w, coord)) {
        return;
    }
    fill_view(w, coord, false);
    w->stats.decisions++;
    if (!person_recovers(w, coord) && !person_asks(w, coord)) {
        hf_cluster_decide(&c->view, &w->decision);
    }
    const struct hf_decision *d = &w->decision;
    if (w->trace) {
        for (int i = 0; i < d->warnings; i++) {
            sim_trace(w, "coordinator %s: %s", sim_region_names[coord], d->warning[i]);
        }
    }
    if (d->write) {
        write_records(w, coord, d);
        return;
    }
    sim_coord_commands(w, coord, d);
    publish_route(w, coord, d);
    if (c->view.doubt[0] == '\0') {
        sim_coord_views(w, coord);
    }
}

void sim_coord_tick(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    hf_lclk now = sim_coord_now(w, coord);
    if (c->lead.role != HF_LEAD_LEADER) {
        c->ticking = false;
        return;
    }
    sim_put(w, w->now + TICK_MS * SIM_MS, SIM_COORD_TICK, proc(coord), 0, 0, 0);
    /* A gap: what this process did not hear meanwhile says nothing. */
    if (now.us - c->ticked.us > 1000000 || !sim_coord_active(w, coord)) {
        c->view.leader_since = now;
    }
    c->ticked = now;
    sim_coord_listen(w, coord, now);
    /* What a watch tells: somebody changed the policy, or a write of unknown outcome happened. */
    bool stale = c->policy_revision != w->etcd.policy_revision ||
                 c->state_revision != w->etcd.state_revision || !c->loaded;
    if (stale && c->store_number == 0 && sim_coord_active(w, coord)) {
        sim_coord_load(w, coord);
        return;
    }
    sim_coord_decide(w, coord);
}

void sim_coord_renewed(struct sim_world *w, int coord, hf_lclk sent)
{
    struct sim_coord *c = &w->coords[coord];
    hf_name to = c->wait.node;
    w->out.type = HF_MESSAGE_GRANT;
    if (!c->loaded || !c->wait.waiting || sim_coord_doubts(w, coord) ||
        !hf_grant_give(&c->wait, &c->state, c->ttl, w->cfg.margin_ppm, c->lead.term, sent,
                       sim_coord_now(w, coord), &c->view.outstanding, &w->out.grant)) {
        return;
    }
    int node = sim_node_by_name(to.s);
    sim_check_coord_send(w, &w->out, node);
    sim_coord_send(w, coord, node, &w->out);
}
