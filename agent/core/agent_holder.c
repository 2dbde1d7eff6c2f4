/* SPDX-License-Identifier: Apache-2.0
 *
 * The holder's side of the lease: grants, failsafe rounds, the end of a lease, surrender.
 */
#include <string.h>

#include "agent/core/agent_parts.h"

static bool leads(const struct hf_agent_core *c)
{
    return c->state == HF_NODE_STARTING || c->state == HF_NODE_PRIMARY ||
           c->state == HF_NODE_STOPPING;
}

/* A lease until `deadline` is proven: publishes it, and lets a waiting election go on. */
static void extend(struct hf_agent_step *s, hf_lclk deadline, enum hf_lease_source source)
{
    struct hf_agent_core *c = s->c;
    /* While it is being given up, nothing opens it again (L6). */
    if (c->state == HF_NODE_FENCING || !hf_lclk_before(s->now, deadline) ||
        (c->holding && !hf_lclk_before(c->deadline, deadline))) {
        return;
    }
    c->holding = true;
    c->soft_until = (hf_lclk){0};
    c->lease_epoch = c->record.led;
    c->deadline = deadline;
    c->source = source;
    hf_agent_page_open(s);
    if (c->state != HF_NODE_ELECTED) {
        return;
    }
    hf_agent_enter(s, HF_NODE_STARTING);
    enum hf_agent_effect_kind kind = HF_EFFECT_PG_START_PRIMARY;
    if (c->pg.running) {
        kind = c->pg.in_recovery ? HF_EFFECT_PG_PROMOTE : HF_EFFECT_PG_ADOPT;
    }
    struct hf_agent_effect *e = hf_agent_begin(s, kind);
    e->epoch = c->record.led;
    /* The last holder, down since: its timeline goes on, the reserved one stays unused. */
    bool in_place =
        kind == HF_EFFECT_PG_START_PRIMARY && strstr(c->command.body, "\"in_place\":true") != NULL;
    e->timeline = in_place ? HF_TLI(0) : c->command.timeline;
    memcpy(e->body, c->command.body, sizeof e->body);
    memcpy(e->command, c->command.id, sizeof e->command);
}

void hf_agent_on_grant(struct hf_agent_step *s, const struct hf_grant *g)
{
    struct hf_agent_core *c = s->c;
    hf_lclk sent = {0};
    if (!c->want || g->life != c->life || g->generation.v != c->record.generation.v ||
        g->epoch.v != c->record.led.v || g->epoch.v != c->record.epoch.v ||
        g->serial != c->serial || !hf_sent_ring_get(&c->sent, g->seq, &sent)) {
        return;
    }
    if (g->candidates.version > c->record.acked.version) {
        /* Durable before the next heartbeat acknowledges it (L4). */
        c->record.acked = g->candidates;
        c->round_open = false; /* its answers were of the members of another set */
        hf_agent_persist(s);
        c->beat_now = true;
    }
    c->ttl = g->ttl;
    hf_lclk base = HF_PLANTED(HF_PLANT_GRANT_FROM_ARRIVAL) ? s->now : sent;
    extend(s, hf_lease_end(base, g->ttl), HF_LEASE_ETCD);
}

static bool round_unanimous(const struct hf_agent_core *c)
{
    const struct hf_candidates *set = &c->record.acked;
    int yes = 0;
    int others = 0;
    for (int i = 0; i < set->count; i++) {
        if (!hf_name_equal(&set->members[i], &c->config.node)) {
            others++;
            yes += c->round_yes[i] ? 1 : 0;
        }
    }
    if (HF_PLANTED(HF_PLANT_FAILSAFE_MAJORITY)) {
        return yes * 2 >= others;
    }
    return yes == others;
}

static void finish_round(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    if (c->round_open && round_unanimous(c)) {
        c->round_open = false;
        extend(s, hf_lease_end(c->round_sent, c->round_ttl), HF_LEASE_FAILSAFE);
    }
}

void hf_agent_on_promise_reply(struct hf_agent_step *s, const struct hf_promise_reply *r)
{
    struct hf_agent_core *c = s->c;
    if (!c->round_open || !c->want || r->round != c->round || r->epoch.v != c->record.led.v ||
        r->serial != c->serial || !hf_name_equal(&r->holder, &c->config.node) || !r->promised) {
        return;
    }
    for (int i = 0; i < c->record.acked.count; i++) {
        if (hf_name_equal(&c->record.acked.members[i], &r->from)) {
            c->round_yes[i] = true;
        }
    }
    finish_round(s);
}

/* Asks every member of the set in force (L4). An empty set of a known version is unanimous: nobody
 * can be promoted. Version 0: no leader ever told this tenure who may be; no failsafe then. */
static void open_round(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    c->round++;
    c->round_open = true;
    c->round_sent = s->now;
    c->round_ttl = c->ttl;
    memset(c->round_yes, 0, sizeof c->round_yes);
    for (int i = 0; i < c->record.acked.count; i++) {
        if (hf_name_equal(&c->record.acked.members[i], &c->config.node)) {
            continue;
        }
        struct hf_agent_effect *e = hf_agent_emit(s, HF_EFFECT_SEND);
        e->message.type = HF_MESSAGE_PROMISE_REQUEST;
        e->message.promise_request = (struct hf_promise_request){
            .round = c->round,
            .holder = c->config.node,
            .to = c->record.acked.members[i],
            .generation = c->record.generation,
            .epoch = c->record.led,
            .serial = c->serial,
            .version = c->record.acked.version,
            .ttl = c->ttl,
        };
    }
    finish_round(s);
}

/* The end of a lease. With the commit guard in a running primary nothing is acknowledged from this
 * instant on, whatever this process does: PostgreSQL may go on for the grace, and the same epoch is
 * opened again by a grant that comes within it. Returns true when it is to be ended now. */
static bool over(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    if (c->holding && hf_lclk_reached(s->now, c->deadline)) {
        c->holding = false;
        c->source = HF_LEASE_NONE;
        bool guarded = c->state == HF_NODE_PRIMARY && c->pg.guard;
        if (!leads(c) || !guarded) {
            return leads(c);
        }
        c->soft_until = hf_lclk_add(c->deadline, c->config.grace);
        c->beat_now = true;
    }
    return c->soft_until.us != 0 && leads(c) && hf_lclk_reached(s->now, c->soft_until);
}

void hf_agent_holder_tick(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    if (over(s)) {
        hf_agent_fence(s);
        return;
    }
    /* A third of L without a grant: ask the candidates, again every sixth of L. A restarted agent
     * has no lease of its own count; PostgreSQL goes on under the page of the last life. */
    bool short_of_time =
        !c->holding || hf_lclk_sub(c->deadline, s->now).us < c->ttl.us - c->ttl.us / 3;
    bool asked_lately = c->round > 0 && hf_lclk_sub(s->now, c->round_sent).us < c->ttl.us / 6;
    if (c->want && leads(c) && short_of_time && !asked_lately && c->record.acked.version > 0) {
        open_round(s);
    }
}

void hf_agent_fence(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    hf_agent_page_close(s);
    c->soft_until = (hf_lclk){0};
    c->round_open = false;
    if (c->state != HF_NODE_FENCING) {
        hf_agent_enter(s, HF_NODE_FENCING);
    }
    hf_agent_begin(s, HF_EFFECT_PG_KILL);
}

/* Nothing of the instance is left: the epoch is given up, durably, before anybody hears of it. */
void hf_agent_fenced(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    if (c->want || c->record.led.v > c->record.surrendered.v) {
        c->want = HF_PLANTED(HF_PLANT_REGRANT_SURRENDERED) ? c->want : false;
        if (c->record.led.v > c->record.surrendered.v) {
            c->record.surrendered = c->record.led;
        }
        c->record.surrendered_serial = c->record.serial;
        hf_agent_persist(s);
        c->beat_now = true;
    }
    c->pg.running = false;
    c->pg.processes = false;
    if (c->prepare_waits && c->pg.complete) {
        hf_agent_prepare_now(s);
        return;
    }
    hf_agent_enter(s, c->pg.complete ? HF_NODE_DOWN : HF_NODE_EMPTY);
}
