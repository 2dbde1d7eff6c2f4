/* SPDX-License-Identifier: Apache-2.0
 *
 * What is judged at the agents: the page, promises, surrenders, the order of commands, and what
 * must be on disk before something is said or done.
 */
#include "tests/sim/check.h"
#include "tests/sim/agent.h"
#include "tests/sim/pg.h"
#include "tests/sim/world.h"

#include <string.h>

typedef unsigned long long ull;

/* Within one step a node may pass through a state. */
static bool reachable(enum hf_node_state from, enum hf_node_state to)
{
    if (from == to || hf_node_may(from, to)) {
        return true;
    }
    for (int via = 0; via < HF_NODE_STATES; via++) {
        if (hf_node_may(from, (enum hf_node_state)via) &&
            hf_node_may((enum hf_node_state)via, to)) {
            return true;
        }
    }
    return false;
}

/* True when the step that just ended began something for this command. */
static bool obeyed_now(const struct sim_world *w, const struct hf_command *cmd)
{
    for (int i = 0; i < w->effects.count; i++) {
        const struct hf_agent_effect *e = &w->effects.list[i];
        if (e->kind >= HF_EFFECT_PG_STOP_RECEIVING && strcmp(e->command, cmd->id) == 0) {
            return true;
        }
    }
    return false;
}

static void check_order(struct sim_world *w, int node, const struct hf_command *cmd)
{
    struct sim_truth *t = &w->truth;
    struct hf_order order = {cmd->generation, cmd->term, cmd->sequence};
    int compared = hf_order_compare(&order, &t->obeyed[node]);
    bool taken = hf_order_compare(&order, &w->agents[node].core.record.order) == 0;
    if (compared > 0) {
        if (taken) {
            t->obeyed[node] = order;
            memcpy(t->obeyed_id[node], cmd->id, sizeof(t->obeyed_id[node]));
        }
        return;
    }
    if ((compared < 0 && taken) || obeyed_now(w, cmd)) {
        sim_fail(w, SIM_CHECK_ORDER, "%s obeys %s of (%llu, %llu) after %s of (%llu, %llu)",
                 sim_node_names[node], cmd->id, (ull)cmd->term, (ull)cmd->sequence,
                 t->obeyed_id[node], (ull)t->obeyed[node].term, (ull)t->obeyed[node].sequence);
    }
}

void sim_check_step(struct sim_world *w, int node, const struct hf_agent_event *event,
                    enum hf_node_state before)
{
    const struct hf_agent_core *c = &w->agents[node].core;
    if (!reachable(before, c->state)) {
        sim_fail(w, SIM_CHECK_TABLE, "%s: %s -> %s has no row", sim_node_names[node],
                 hf_node_state_name(before), hf_node_state_name(c->state));
    }
    if (event->kind == HF_EVENT_MESSAGE && event->message->type == HF_MESSAGE_COMMAND) {
        check_order(w, node, &event->message->command);
    }
}

void sim_check_persist(struct sim_world *w, int node, const struct hf_agent_record *r)
{
    const struct sim_agent *a = &w->agents[node];
    const struct hf_agent_record *o = &a->disk;
    if (a->disk_present &&
        (r->epoch.v < o->epoch.v || r->generation.v < o->generation.v ||
         r->prepared.v < o->prepared.v || r->serial < o->serial ||
         r->surrendered.v < o->surrendered.v || r->led.v < o->led.v ||
         hf_order_compare(&r->order, &o->order) < 0 || r->max_ttl.us < o->max_ttl.us)) {
        sim_fail(w, SIM_CHECK_EPOCHS, "%s: a number goes back in its record, epoch %llu -> %llu",
                 sim_node_names[node], (ull)o->epoch.v, (ull)r->epoch.v);
    }
}

static bool promise_runs(const struct sim_world *w, int candidate)
{
    const struct sim_promise *p = &w->truth.promise[candidate];
    return p->holder >= 0 && p->until_true > w->now;
}

/* The first other member of the set that did not promise this very tenure for long enough. */
static const hf_name *without_promise(const struct sim_world *w, int node,
                                      const struct hf_candidates *set,
                                      const struct hf_agent_effect *e)
{
    sim_time ends = sim_clock_instant(w, node, e->deadline);
    sim_time slack = w->agents[node].core.ttl.us * w->cfg.margin_ppm / 1000000;
    for (int i = 0; i < set->count; i++) {
        int member = sim_node_by_name(set->members[i].s);
        if (member == node) {
            continue;
        }
        const struct sim_promise *p = member < 0 ? NULL : &w->truth.promise[member];
        if (p == NULL || p->holder != node || p->epoch.v != e->epoch.v || p->serial != e->serial ||
            p->until_true + slack < ends) {
            return &set->members[i];
        }
    }
    return NULL;
}

/* Unanimous over the set in force. A newer one that came with this very step is not acknowledged
 * yet: until etcd counts it as that, nobody can be promoted who is not in both. */
static void check_unanimity(struct sim_world *w, int node, const struct hf_agent_effect *e)
{
    const struct sim_agent *a = &w->agents[node];
    const struct hf_candidates *durable = &a->disk.acked;
    const hf_name *missing = without_promise(w, node, &a->core.record.acked, e);
    bool older = durable->version != 0 && w->truth.state.acked.version <= durable->version;
    if (missing != NULL && (!older || without_promise(w, node, durable, e) != NULL)) {
        int member = sim_node_by_name(missing->s);
        const struct sim_promise *p = &w->truth.promise[member < 0 ? node : member];
        sim_fail(w, SIM_CHECK_PROMISE,
                 "%s extends epoch %llu (tenure %llu, round %llu) without %s's promise (to %d, "
                 "tenure %llu, round %llu, %lld us)",
                 sim_node_names[node], (ull)e->epoch.v, (ull)e->serial, (ull)a->core.round,
                 missing->s, p->holder, (ull)p->serial, (ull)p->round,
                 (long long)(p->until_true - w->now));
    }
}

/* A node does not lead while its promise to somebody else runs, unless that tenure was given up. */
static void check_own_promise(struct sim_world *w, int node)
{
    const struct sim_truth *t = &w->truth;
    const struct sim_promise *p = &t->promise[node];
    if (!promise_runs(w, node) || p->holder == node) {
        return;
    }
    bool released =
        t->surrendered[p->holder].v >= p->epoch.v && t->surrendered_serial[p->holder] >= p->serial;
    if (!released) {
        sim_fail(w, SIM_CHECK_PROMISE, "%s leads while its promise to %s runs for another %lld us",
                 sim_node_names[node], sim_node_names[p->holder],
                 (long long)(p->until_true - w->now));
    }
}

void sim_check_page(struct sim_world *w, int node, const struct hf_agent_effect *e)
{
    struct sim_truth *t = &w->truth;
    if (!e->open) {
        if (sim_page_valid(w, node)) {
            t->page_end[node] = w->now;
            SIM_TRACE(w, "%s: page closed", sim_node_names[node]);
        }
        return;
    }
    sim_time ends = sim_clock_instant(w, node, e->deadline);
    if (ends <= w->now) {
        return;
    }
    SIM_TRACE(w, "%s: page open, epoch %llu, for %lld us, %s", sim_node_names[node],
              (ull)e->epoch.v, (long long)(ends - w->now),
              e->source == HF_LEASE_FAILSAFE ? "failsafe" : "etcd");
    if (e->epoch.v == 0 || e->epoch.v >= SIM_EPOCHS || t->choice[e->epoch.v] != node) {
        sim_fail(w, SIM_CHECK_CHOICE, "%s opens its page for epoch %llu; it is not the choice",
                 sim_node_names[node], (ull)e->epoch.v);
        return;
    }
    /* A node that lost its record waits for the longest lease there is instead. */
    sim_time forgot = t->record_lost_at[node];
    bool waited = forgot != 0 && w->now - forgot > (HF_LEASE_TTL_MAX_MS - 500) * SIM_MS;
    if (e->epoch.v <= t->surrendered[node].v && !waited) {
        sim_fail(w, SIM_CHECK_SURRENDER, "%s opens epoch %llu again, which it surrendered",
                 sim_node_names[node], (ull)e->epoch.v);
    }
    if (t->fenced_at[e->epoch.v] != 0) {
        sim_fail(w, SIM_CHECK_ONE_LEASE, "%s extends epoch %llu, which was fenced %lld us ago",
                 sim_node_names[node], (ull)e->epoch.v,
                 (long long)(w->now - t->fenced_at[e->epoch.v]));
    }
    for (int i = 0; i < w->cfg.nodes; i++) {
        if (i != node && sim_page_valid(w, i)) {
            sim_fail(w, SIM_CHECK_ONE_LEASE, "%s opens epoch %llu while %s holds epoch %llu",
                     sim_node_names[node], (ull)e->epoch.v, sim_node_names[i],
                     (ull)w->pages[i].epoch.v);
        }
    }
    if (e->source == HF_LEASE_FAILSAFE) {
        check_unanimity(w, node, e);
    }
    check_own_promise(w, node);
    t->page_epoch[node] = e->epoch;
    t->page_end[node] = ends;
}

static void check_beat(struct sim_world *w, int node, const struct hf_heartbeat *b)
{
    struct sim_truth *t = &w->truth;
    const struct sim_agent *a = &w->agents[node];
    const struct hf_agent_record *d = &a->disk;
    bool wants = b->want_lease && b->lease_serial > d->serial;
    if (b->surrendered.v > d->surrendered.v || b->prepared.v > d->prepared.v || wants ||
        b->candidates_acked > d->acked.version) {
        sim_fail(w, SIM_CHECK_RECORD,
                 "%s says surrendered %llu, prepared %llu, serial %llu, set %llu; on disk %llu, "
                 "%llu, %llu, %llu",
                 sim_node_names[node], (ull)b->surrendered.v, (ull)b->prepared.v,
                 (ull)b->lease_serial, (ull)b->candidates_acked, (ull)d->surrendered.v,
                 (ull)d->prepared.v, (ull)d->serial, (ull)d->acked.version);
        return;
    }
    if (b->surrendered.v > t->surrendered[node].v) {
        w->stats.surrenders++;
        SIM_TRACE(w, "%s: surrenders epoch %llu", sim_node_names[node], (ull)b->surrendered.v);
        if (sim_pg_writable(w, node)) {
            sim_fail(w, SIM_CHECK_SURRENDER, "%s surrenders epoch %llu and PostgreSQL lives",
                     sim_node_names[node], (ull)b->surrendered.v);
        }
        t->surrendered[node] = b->surrendered;
        t->surrendered_serial[node] = b->surrendered_serial;
    }
    if (b->state == HF_NODE_PREPARED && b->final_known) {
        if (b->final.v != w->pgs[node].lsn || b->final_timeline.v != w->pgs[node].timeline) {
            sim_fail(w, SIM_CHECK_FINAL,
                     "%s reports %llx of timeline %u; its WAL ends at %llx of %u",
                     sim_node_names[node], (ull)b->final.v, b->final_timeline.v,
                     (ull)w->pgs[node].lsn, w->pgs[node].timeline);
        }
        t->final[node] = b->final.v;
        t->final_epoch[node] = b->prepared;
    }
}

static void check_promise(struct sim_world *w, int node, const struct hf_promise_reply *r)
{
    const struct sim_agent *a = &w->agents[node];
    const struct hf_agent_record *d = &a->disk;
    const struct sim_asked *asked = sim_asked_slot(&w->agents[node], r->round, r->epoch, r->serial);
    hf_lclk until = d->promise_until;
    bool durable = a->disk_present && d->promise_epoch.v == r->epoch.v &&
                   (d->promise_serial == r->serial || d->promise_serial == 0) &&
                   strcmp(d->promise_holder.s, r->holder.s) == 0;
    if (durable && asked->round == r->round && asked->epoch.v == r->epoch.v &&
        asked->serial == r->serial) {
        hf_dur wait = hf_lease_wait(asked->ttl, w->cfg.margin_ppm);
        durable = !hf_lclk_before(until, hf_lclk_add(asked->arrived, wait));
    }
    if (!durable) {
        sim_fail(w, SIM_CHECK_PROMISE,
                 "%s promises round %llu, epoch %llu, tenure %llu to %s, until %lld us from now at "
                 "least; on disk epoch %llu, tenure %llu to %s, for %lld us",
                 sim_node_names[node], (ull)r->round, (ull)r->epoch.v, (ull)r->serial, r->holder.s,
                 (long long)(asked->arrived.us + asked->ttl.us - sim_clock(w, node).us),
                 (ull)d->promise_epoch.v, (ull)d->promise_serial, d->promise_holder.s,
                 (long long)(until.us - sim_clock(w, node).us));
        return;
    }
    SIM_TRACE(w, "%s: promises to %s, epoch %llu tenure %llu round %llu", sim_node_names[node],
              r->holder.s, (ull)r->epoch.v, (ull)r->serial, (ull)r->round);
    w->truth.promise[node] = (struct sim_promise){.holder = sim_node_by_name(r->holder.s),
                                                  .epoch = r->epoch,
                                                  .serial = r->serial,
                                                  .round = r->round,
                                                  .until = until,
                                                  .until_true = sim_clock_instant(w, node, until)};
}

void sim_check_agent_send(struct sim_world *w, int node, const struct hf_message *m)
{
    if (m->type == HF_MESSAGE_HEARTBEAT) {
        check_beat(w, node, &m->heartbeat);
    } else if (m->type == HF_MESSAGE_PROMISE_REPLY && m->promise_reply.promised) {
        check_promise(w, node, &m->promise_reply);
    }
}

void sim_check_op(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    const struct sim_truth *t = &w->truth;
    const struct hf_agent_record *d = &w->agents[node].disk;
    bool leads = op->kind == HF_EFFECT_PG_PROMOTE || op->kind == HF_EFFECT_PG_START_PRIMARY ||
                 op->kind == HF_EFFECT_PG_ADOPT;
    if (leads && (d->led.v == 0 || d->led.v >= SIM_EPOCHS || t->choice[d->led.v] != node)) {
        sim_fail(w, SIM_CHECK_RECORD, "%s becomes primary of epoch %llu without a record of it",
                 sim_node_names[node], (ull)d->led.v);
    }
    if (leads && op->timeline.v != 0 &&
        (op->timeline.v >= SIM_TIMELINES ||
         t->timeline[op->timeline.v].reserved_epoch != d->led.v)) {
        sim_fail(w, SIM_CHECK_TIMELINE, "%s: timeline %u is not reserved for epoch %llu",
                 sim_node_names[node], op->timeline.v, (ull)d->led.v);
    }
    if (op->kind == HF_EFFECT_PG_COPY) {
        if (!d->copying) {
            sim_fail(w, SIM_CHECK_RECORD, "%s is overwritten without a record of it",
                     sim_node_names[node]);
        }
        if (sim_node_by_name(t->top.primary.s) == node &&
            t->top.primary_epoch.v == t->top.epoch.v) {
            sim_fail(w, SIM_CHECK_CHOICE, "%s is overwritten; it is the choice of epoch %llu",
                     sim_node_names[node], (ull)t->top.epoch.v);
        }
    }
}
