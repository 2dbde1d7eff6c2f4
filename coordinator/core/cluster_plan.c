/* SPDX-License-Identifier: Apache-2.0
 *
 * A running plan, one step at a time: each call waits with a reason, sends commands, or writes the
 * next step.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/core/cluster_parts.h"

void hf_plan_reason(struct hf_plan *p, const char *format, ...)
{
    if (p->reasons == HF_REASONS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->reason[p->reasons++], HF_REASON_SIZE, format, args);
    va_end(args);
}

void hf_plan_enter(struct hf_plan *p, enum hf_step to, int64_t wall_us)
{
    HF_ASSERT(hf_step_may(p->step, to));
    p->step = to;
    p->entered_us[to] = wall_us;
}

struct hf_plan *hf_plan_move(const struct hf_cluster_view *v, struct hf_decision *out,
                             enum hf_step to)
{
    hf_decide_write(v, out);
    out->write_plan = true;
    hf_plan_enter(&out->plan, to, v->wall_us);
    if (to == HF_STEP_DONE || to == HF_STEP_FAILED) {
        out->state.plan[0] = '\0';
    }
    return &out->plan;
}

hf_dur hf_plan_in_step(const struct hf_cluster_view *v)
{
    return hf_lclk_sub(v->now, v->step_since);
}

void hf_plan_start_failover(const struct hf_cluster_view *v, const char *wish, bool requested,
                            const char *reason, struct hf_decision *out)
{
    hf_decide_write(v, out);
    struct hf_cluster_state *s = &out->state;
    struct hf_plan *p = &out->plan;
    memset(p, 0, sizeof *p);
    p->from = s->primary;
    p->from_epoch = s->primary_epoch;
    if (!HF_PLANTED(HF_PLANT_EPOCH_REUSED)) {
        s->epoch.v++;
    }
    s->plans++;
    (void)snprintf(p->id, sizeof p->id, "f-%04llu", (unsigned long long)s->plans);
    memcpy(s->plan, p->id, sizeof s->plan);
    p->kind = HF_PLAN_FAILOVER;
    p->step = HF_STEP_PREPARE;
    p->epoch = s->epoch;
    p->requested = requested;
    p->confirmed = requested; /* who asks for it has been shown the loss */
    (void)snprintf(p->wish, sizeof p->wish, "%s", wish);
    p->detected_us = v->wall_us;
    const struct hf_node_view *from = hf_view_node(v, &p->from);
    if (from != NULL && from->seen) {
        p->heard_us = v->wall_us - hf_node_silence(v, from).us;
    }
    p->entered_us[HF_STEP_PREPARE] = v->wall_us;
    hf_plan_reason(p, "%s", reason);
    out->write_plan = true;
}

/* Prepare to every node that did not answer yet, the old holder too: it fences itself on it. */
static void send_prepares(const struct hf_cluster_view *v, struct hf_decision *out)
{
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (n->seen && n->connected && !hf_node_foreign(v, n) &&
            n->beat.state != HF_NODE_UNMANAGED && n->beat.prepared.v < v->plan->epoch.v) {
            (void)hf_decide_command(out, n, HF_COMMAND_PREPARE, v->plan->epoch);
        }
    }
}

static bool surrendered(const struct hf_cluster_view *v, const struct hf_node_view *from)
{
    return from != NULL && from->seen && from->beat.surrendered.v >= v->plan->from_epoch.v;
}

/* A node that may be chosen: candidate in force, or the old holder after it gave up: a holder that
 * prepared itself for this epoch holds nothing of an older one, whatever else it forgot. */
static bool may_choose(const struct hf_cluster_view *v, const struct hf_node_view *n,
                       const hf_name *from, hf_epoch from_epoch)
{
    if (hf_node_foreign(v, n)) {
        return false;
    }
    /* Whom restored records name says nothing: a recovery asks all alike. */
    if (hf_name_equal(&n->name, from) && v->plan->kind != HF_PLAN_RECOVERY) {
        return n->beat.surrendered.v >= from_epoch.v || v->state->fenced.v >= from_epoch.v ||
               hf_node_prepared(n, v->plan->epoch);
    }
    return hf_node_eligible(v, &n->name);
}

static void step_prepare(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *missing = NULL;
    /* What numbers and ends the forgotten records knew, only the nodes know now: all of them. */
    bool recovers = plan->kind == HF_PLAN_RECOVERY;
    int prepared = 0;
    int awaited = 0;
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (!may_choose(v, n, &plan->from, plan->from_epoch)) {
            continue;
        }
        bool empty = n->beat.state == HF_NODE_EMPTY || n->beat.state == HF_NODE_COPYING;
        if (hf_node_prepared(n, plan->epoch)) {
            prepared++;
        } else if (recovers ? !(hf_node_present(v, n) && empty) : hf_node_present(v, n) && !empty) {
            awaited++;
            missing = n;
        }
    }
    bool late = !recovers && hf_plan_in_step(v).us > HF_MS(HF_STEP_LATE_MS).us;
    if (prepared > 0 && (awaited == 0 || late)) {
        struct hf_plan *p = hf_plan_move(v, out, HF_STEP_FENCE);
        hf_plan_reason(p, "PREPARED: %d candidates report their end, %d do not answer", prepared,
                       awaited);
        return;
    }
    send_prepares(v, out);
    if (recovers && missing != NULL && hf_plan_in_step(v).us > HF_SEC(5).us) {
        hf_decide_warn(out,
                       "AWAITED: the recovery needs %s to report its end; take a node that is "
                       "lost out of the policy",
                       missing->name.s);
    } else if (prepared == 0) {
        hf_decide_warn(out, "NO_CANDIDATE: nobody who may be promoted has answered prepare(%llu)",
                       (unsigned long long)plan->epoch.v);
    }
}

/* Any prepared candidate whose promise to the old tenure still runs keeps the lease alive. */
static bool promises_over(const struct hf_cluster_view *v, const struct hf_node_view *from)
{
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (!hf_node_prepared(n, v->plan->epoch) || hf_lclk_reached(v->now, n->promise_until)) {
            continue;
        }
        bool released = from != NULL && n->beat.promise_serial != 0 &&
                        n->beat.promise_epoch.v == from->beat.surrendered.v &&
                        n->beat.promise_serial == from->beat.surrendered_serial;
        if (!released) {
            return false;
        }
    }
    return true;
}

/* Who leads out of sight, by records that were forgotten, goes on only as long as each of its
 * candidates promises. Nobody who is in this generation promises to one of another: whose promise
 * may still run, NULL = nobody's. */
static const struct hf_node_view *may_promise(const struct hf_cluster_view *v)
{
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (!n->seen || !hf_lclk_reached(v->now, n->promise_until)) {
            return n;
        }
    }
    return NULL;
}

static void step_fence_recovery(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *missing = may_promise(v);
    if (missing == NULL && hf_lclk_reached(v->now, v->outstanding.until) &&
        hf_lclk_reached(v->now, v->floor)) {
        struct hf_plan *p = hf_plan_move(v, out, HF_STEP_SELECT);
        out->state.fenced = plan->from_epoch;
        hf_plan_reason(p, "LEASE_OVER: every lease and promise has run out");
        return;
    }
    send_prepares(v, out);
    if (missing != NULL && hf_plan_in_step(v).us > HF_SEC(5).us) {
        hf_decide_warn(out, "AWAITED: %s is not in this generation, or a promise of it still runs",
                       missing->name.s);
    }
}

static void step_fence(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    if (plan->kind == HF_PLAN_RECOVERY) {
        step_fence_recovery(v, out);
        return;
    }
    const struct hf_node_view *from = hf_view_node(v, &plan->from);
    const char *proof = NULL;
    /* One of the set in force that promises nothing any more, or the holder itself: only these
     * keep the lease from being extended. */
    int prepared = 0;
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        bool counts = may_choose(v, n, &plan->from, plan->from_epoch);
        prepared += counts && hf_node_prepared(n, plan->epoch) ? 1 : 0;
    }
    if (v->state->fenced.v >= plan->from_epoch.v) {
        proof = "FENCED: proven before";
    } else if (surrendered(v, from)) {
        proof = "SURRENDERED: the holder gave its lease up, nothing of it runs";
    } else if (prepared > 0 && hf_lclk_reached(v->now, v->outstanding.until) &&
               hf_lclk_reached(v->now, v->floor) && promises_over(v, from)) {
        proof = "LEASE_OVER: every lease and promise has run out";
    }
    if (proof == NULL) {
        send_prepares(v, out);
        return;
    }
    struct hf_plan *p = hf_plan_move(v, out, HF_STEP_SELECT);
    if (plan->from_epoch.v > out->state.fenced.v) { /* a recovery proved more than its choice */
        out->state.fenced = plan->from_epoch;
    }
    hf_plan_reason(p, "%s", proof);
}

static void step_select(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    struct hf_plan draft = *plan;
    const struct hf_node_view *to =
        plan->kind == HF_PLAN_SWITCHOVER
            ? hf_switch_choose(v, &draft)
            : hf_plan_choose(v, &plan->from, plan->epoch, plan->wish, &draft);
    if (to == NULL && plan->requested && plan->kind != HF_PLAN_SWITCHOVER &&
        hf_plan_in_step(v).us > HF_SEC(5).us) {
        /* The cluster has no primary now: the next plan takes whoever is the furthest. */
        hf_plan_reason(hf_plan_move(v, out, HF_STEP_FAILED), "WISH: %.40s cannot be chosen",
                       plan->wish[0] == '\0' ? "another node" : plan->wish);
        return;
    }
    /* The old holder is back and about to report its end: nothing is lost with it. */
    const struct hf_node_view *from = hf_view_node(v, &plan->from);
    bool any = !plan->requested || plan->kind == HF_PLAN_SWITCHOVER;
    bool returning = from != NULL && to != NULL && from != to && any && hf_node_present(v, from) &&
                     !hf_node_prepared(from, plan->epoch) && from->beat.state != HF_NODE_EMPTY &&
                     from->beat.state != HF_NODE_COPYING && from->beat.state != HF_NODE_UNMANAGED;
    if (returning && hf_plan_in_step(v).us < HF_SEC(5).us) {
        send_prepares(v, out);
        hf_decide_warn(out, "RETURNING: %s is heard again, its end decides", from->name.s);
        return;
    }
    if (to == NULL) {
        send_prepares(v, out);
        hf_decide_warn(out, "NO_CANDIDATE: nobody can be chosen at epoch %llu",
                       (unsigned long long)plan->epoch.v);
        return;
    }
    struct hf_plan *p = hf_plan_move(v, out, HF_STEP_GAP);
    memcpy(p->reason, draft.reason, sizeof p->reason);
    p->reasons = draft.reasons;
    p->to = to->name;
    p->fork = to->beat.final;
    p->parent = to->beat.final_timeline;
    if (plan->kind != HF_PLAN_RECOVERY) { /* there nobody knows who led last */
        p->loss = hf_plan_loss(v, to, &plan->from);
    }
    struct hf_cluster_state *s = &out->state;
    s->primary = to->name;
    s->primary_epoch = plan->epoch;
    if (plan->kind == HF_PLAN_RECOVERY && to->beat.final_timeline.v != s->timeline.v) {
        s->timeline = to->beat.final_timeline; /* where it left its parent is forgotten */
        s->parent = HF_TLI(0);
        s->fork = HF_LSN(0);
    }
    /* A new term begins without an acknowledged set; the others are told with the first grant. */
    struct hf_candidates next = {.version = s->candidates.version + 1};
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (n != to && hf_node_prepared(n, plan->epoch)) {
            next.members[next.count++] = n->name;
        }
    }
    s->candidates = next;
    memset(&s->acked, 0, sizeof s->acked);
}

/* What a surviving repository has beyond the choice is named, with the bytes; it is not fetched: a
 * streaming standby is nearly always ahead of the last whole segment. */
static void step_gap(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *best = NULL;
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        bool reachable = hf_node_present(v, n) && n->beat.repository_ok &&
                         n->beat.wal_timeline.v == plan->parent.v;
        if (reachable && n->beat.wal_to.v > plan->fork.v &&
            (best == NULL || n->beat.wal_to.v > best->beat.wal_to.v)) {
            best = n;
        }
    }
    struct hf_plan *p = hf_plan_move(v, out, HF_STEP_LOSS);
    if (best == NULL) {
        hf_plan_reason(p, "GAP_NONE: no surviving repository reaches beyond the choice");
    } else {
        hf_plan_reason(p, "GAP_ARCHIVED: repository %s has %llu bytes beyond the choice",
                       best->region.s, (unsigned long long)(best->beat.wal_to.v - plan->fork.v));
    }
}

static void step_loss(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const char *excess = hf_plan_loss_excess(v->policy, &plan->loss);
    bool ask = (v->policy->failover.mode == HF_FAILOVER_ASK && plan->kind != HF_PLAN_SWITCHOVER) ||
               (excess != NULL && v->policy->failover.on_excess_loss != HF_EXCESS_PROMOTE);
    struct hf_plan *p =
        hf_plan_move(v, out, ask && !plan->confirmed ? HF_STEP_CONFIRM : HF_STEP_RESERVE);
    hf_plan_reason(p, "%s",
                   excess == NULL ? "LOSS_WITHIN: predicted loss is within the policy" : excess);
}

static void step_reserve(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    struct hf_plan *p = hf_plan_move(v, out, HF_STEP_LEAD);
    if (hf_name_equal(&plan->to, &plan->from)) {
        /* The number is reserved all the same: if it came up in recovery meanwhile (a boot), only
         * a promotion makes it writable, and that begins a timeline. */
        hf_plan_reason(p, "RESTART: the old holder goes on, on its timeline if it is down");
    }
    uint32_t highest = v->state->reserved.v;
    highest = v->state->timeline.v > highest ? v->state->timeline.v : highest;
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_heartbeat *b = &v->nodes[i].beat;
        highest = b->timeline.v > highest ? b->timeline.v : highest;
        highest = b->final_timeline.v > highest ? b->final_timeline.v : highest;
        highest = b->wal_timeline.v > highest ? b->wal_timeline.v : highest;
    }
    p->timeline = HF_TLI(highest + 1);
    out->state.reserved = p->timeline;
    out->reserve = p->timeline;
}

/* The primary of the generation before goes on in the new one: it is told so by ADOPT. */
static bool recovers_in_place(const struct hf_plan *p)
{
    return p->kind == HF_PLAN_RECOVERY && hf_name_equal(&p->to, &p->from);
}

static bool choice_failed(const struct hf_cluster_view *v, const struct hf_node_view *to,
                          char text[HF_REASON_SIZE])
{
    if (to != NULL && to->seen && to->beat.surrendered.v >= v->plan->epoch.v) {
        (void)snprintf(text, HF_REASON_SIZE, "SURRENDERED: %.63s gave up epoch %llu: %.40s",
                       to->name.s, (unsigned long long)v->plan->epoch.v, to->beat.op_error);
        return true;
    }
    if (v->plan->kind == HF_PLAN_BOOTSTRAP && v->plan->step == HF_STEP_LEAD) {
        /* Nobody else can be adopted: this waits for the node to come back. In recovery it cannot
         * be adopted any more (adopted, then restarted, and the record of it lost): the next plan
         * prepares and promotes it. */
        bool recovered = to != NULL && hf_node_present(v, to) &&
                         to->beat.state == HF_NODE_STANDBY &&
                         hf_plan_in_step(v).us >= HF_SEC(10).us;
        if (recovered) {
            (void)snprintf(text, HF_REASON_SIZE, "IN_RECOVERY: %.63s is in recovery: %.60s",
                           to->name.s, to->beat.op_error);
        }
        return recovered;
    }
    hf_dur limit = hf_lease_wait(v->ttl, v->margin_ppm);
    if (recovers_in_place(v->plan)) {
        limit = HF_MS(HF_PROMOTE_LATE_MS); /* it goes on by itself until it is reached */
    }
    bool silent = to == NULL || hf_node_silence(v, to).us >= limit.us;
    if (silent && hf_plan_in_step(v).us >= limit.us &&
        hf_lclk_reached(v->now, v->outstanding.until)) {
        (void)snprintf(text, HF_REASON_SIZE, "NODE_SILENT: the choice %s is silent", v->plan->to.s);
        return true;
    }
    bool stuck = to != NULL && to->beat.state != HF_NODE_PRIMARY &&
                 to->beat.state != HF_NODE_STARTING && v->plan->step == HF_STEP_LEAD &&
                 hf_plan_in_step(v).us >= HF_MS(HF_PROMOTE_LATE_MS).us;
    if (stuck) {
        (void)snprintf(text, HF_REASON_SIZE, "PROMOTE_LATE: %s is %s after %d s: %.60s",
                       v->plan->to.s, hf_node_state_name(to->beat.state), HF_PROMOTE_LATE_MS / 1000,
                       to->beat.op_error);
    }
    return stuck;
}

/* The old holder, down, goes on on its own timeline: only if it was writable. A choice that never
 * was ends where it was a standby, and the holder before it wrote on beyond that on the same
 * timeline. */
static bool restarts_in_place(const struct hf_cluster_view *v)
{
    return hf_name_equal(&v->plan->to, &v->plan->from) && !v->state->owes;
}

static bool leads_plan(const struct hf_cluster_view *v, const struct hf_node_view *to)
{
    /* The timeline that is recorded must be the reserved one, or the old holder's own. */
    bool in_place = restarts_in_place(v);
    return to != NULL && to->seen && to->beat.state == HF_NODE_PRIMARY &&
           to->beat.lease_epoch.v == v->plan->epoch.v && to->beat.lease_remaining.us > 0 &&
           to->beat.timeline.v != 0 &&
           (v->plan->timeline.v == 0 || to->beat.timeline.v == v->plan->timeline.v ||
            (in_place && to->beat.timeline.v == v->plan->parent.v));
}

static void step_lead(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *to = hf_view_node(v, &plan->to);
    if (leads_plan(v, to)) {
        struct hf_plan *p = hf_plan_move(v, out, HF_STEP_ROUTE);
        struct hf_cluster_state *s = &out->state;
        p->writable_us = v->wall_us;
        s->owes = false;
        if (to->beat.timeline.v != s->timeline.v) {
            s->parent = plan->parent;
            s->fork = plan->fork;
            s->timeline = to->beat.timeline;
        }
        s->system_id = s->system_id == 0 ? to->beat.system_id : s->system_id;
        if (to->beat.candidates_acked == s->candidates.version) {
            s->acked = s->candidates;
        }
        return;
    }
    if (to == NULL || !to->seen || !to->connected || recovers_in_place(plan)) {
        return;
    }
    struct hf_command *c = hf_decide_command(out, to, HF_COMMAND_LEAD, plan->epoch);
    c->timeline = plan->timeline;
    if (restarts_in_place(v)) {
        (void)snprintf(c->body, sizeof c->body, "{\"in_place\":true}");
    }
    const struct hf_node_view *from = hf_view_node(v, &plan->from);
    if (surrendered(v, from)) {
        c->released_epoch = from->beat.surrendered;
        c->released_serial = from->beat.surrendered_serial;
    }
}

static void step_route(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_node_view *to = hf_view_node(v, &v->plan->to);
    bool late = hf_plan_in_step(v).us > HF_MS(HF_STEP_LATE_MS).us;
    if (!v->policy->route.present || v->route_done || late) {
        struct hf_plan *p = hf_plan_move(v, out, HF_STEP_REPOINT);
        if (v->policy->route.present) {
            hf_plan_reason(p,
                           v->route_done ? "ROUTED: the name points to %s"
                                         : "ROUTE_LATE: goes on; the name is still wrong for %s",
                           v->plan->to.s);
        }
        return;
    }
    out->route = true;
    out->route_node = v->plan->to;
    if (to != NULL) {
        memcpy(out->route_address, to->address, sizeof out->route_address);
    }
}

static void step_repoint(const struct hf_cluster_view *v, struct hf_decision *out)
{
    int pending = hf_nodes_attach(v, out);
    int copying = 0;
    for (int i = 0; i < v->node_count; i++) {
        copying +=
            v->nodes[i].beat.state == HF_NODE_COPYING || v->nodes[i].beat.state == HF_NODE_EMPTY
                ? 1
                : 0;
    }
    bool late = hf_plan_in_step(v).us > HF_MS(HF_STEP_LATE_MS).us;
    if (pending <= copying || late) {
        struct hf_plan *p = hf_plan_move(v, out, HF_STEP_VERIFY);
        hf_plan_reason(p, "REPOINTED: %d nodes are still on their way", pending);
    }
}

static void step_verify(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *to = hf_view_node(v, &plan->to);
    const struct hf_node_view *prober = NULL;
    char id[HF_LABEL_SIZE];
    for (int i = 0; i < v->node_count && to != NULL; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        bool elsewhere = !hf_name_equal(&n->region, &to->region);
        if (n == to || !hf_node_present(v, n) || n->beat.state != HF_NODE_STANDBY) {
            continue;
        }
        (void)snprintf(id, sizeof id, "probe.%.24s.%.24s", plan->id, n->name.s);
        if (strcmp(n->beat.op, id) == 0 && n->beat.op_status == HF_OP_DONE) {
            struct hf_plan *p = hf_plan_move(v, out, HF_STEP_DONE);
            hf_plan_reason(p, "VERIFIED: %s committed at %s", n->name.s, to->name.s);
            return;
        }
        prober = prober == NULL || elsewhere ? n : prober;
    }
    if (prober == NULL || hf_plan_in_step(v).us > HF_MS(HF_STEP_LATE_MS).us) {
        struct hf_plan *p = hf_plan_move(v, out, HF_STEP_DONE);
        hf_plan_reason(p, "NOT_VERIFIED: no other node could commit at %s", plan->to.s);
        return;
    }
    struct hf_command *c = hf_decide_command(out, prober, HF_COMMAND_PROBE, plan->epoch);
    (void)snprintf(c->id, sizeof c->id, "probe.%.24s.%.24s", plan->id, prober->name.s);
    c->node = to->name;
    memcpy(c->address, to->address, sizeof c->address);
}

void hf_plan_go_on(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *to = hf_view_node(v, &plan->to);
    char text[HF_REASON_SIZE];
    bool chosen = plan->step == HF_STEP_LEAD || plan->step == HF_STEP_ROUTE ||
                  plan->step == HF_STEP_REPOINT || plan->step == HF_STEP_VERIFY;
    if (chosen && choice_failed(v, to, text)) {
        hf_plan_reason(hf_plan_move(v, out, HF_STEP_FAILED), "%s", text);
        if (plan->step == HF_STEP_LEAD) {
            /* The choice is void with its plan: where its timeline forks was recorded nowhere
             * else, so it must not become the primary after all. */
            out->state.epoch.v++;
            out->state.owes = true;
            out->state.owed = plan->loss;
        }
        return;
    }
    switch (plan->step) {
    case HF_STEP_DRAIN:
        hf_switch_drain(v, out);
        break;
    case HF_STEP_STOP:
        hf_switch_stop(v, out);
        break;
    case HF_STEP_PREPARE:
        step_prepare(v, out);
        break;
    case HF_STEP_FENCE:
        step_fence(v, out);
        break;
    case HF_STEP_SELECT:
        step_select(v, out);
        break;
    case HF_STEP_GAP:
        step_gap(v, out);
        break;
    case HF_STEP_LOSS:
        step_loss(v, out);
        break;
    case HF_STEP_CONFIRM:
        if (plan->confirmed) {
            hf_plan_reason(hf_plan_move(v, out, HF_STEP_RESERVE), "CONFIRMED: by a person");
        } else {
            hf_decide_warn(out, "CONFIRM: plan %s waits for a person", plan->id);
        }
        break;
    case HF_STEP_RESERVE:
        step_reserve(v, out);
        break;
    case HF_STEP_LEAD:
        step_lead(v, out);
        break;
    case HF_STEP_ROUTE:
        step_route(v, out);
        break;
    case HF_STEP_REPOINT:
        step_repoint(v, out);
        break;
    case HF_STEP_VERIFY:
        step_verify(v, out);
        break;
    case HF_STEP_DONE:
    case HF_STEP_FAILED:
    case HF_STEPS:
        break;
    }
}
