/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/agent.h"

#include "tests/sim/codec.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"

#include <stdio.h>
#include <string.h>

enum { OBSERVE_MS = 250 };

void sim_boot_text(const struct sim_world *w, int node, char ret[40])
{
    snprintf(ret, 40, "boot-%d-%u", node, w->hosts[node].boot);
}

static int proc(int node)
{
    return SIM_PROC_AGENT + node;
}

static void persist(struct sim_world *w, int node, uint32_t payload)
{
    struct sim_agent *a = &w->agents[node];
    sim_time takes = sim_between(&w->rng, 500, 8000);
    const struct sim_host *h = &w->hosts[node];
    if (h->disk_stalled_until > w->now) {
        takes += h->disk_stalled_until - w->now;
    }
    a->persisting = true;
    a->persist_payload = payload;
    sim_put(w, w->now + takes, SIM_AGENT_PERSISTED, proc(node), 0, 0, 0);
}

static void send(struct sim_world *w, int node, const struct sim_pending *p)
{
    const struct hf_message *m = sim_payload_bytes(w, p->payload);
    sim_check_agent_send(w, node, m);
    for (int c = 0; c < SIM_REGIONS; c++) {
        if (p->kind == HF_EFFECT_SEND || c == p->coordinator) {
            sim_net_send(w, node, c, true, p->payload);
        }
    }
    sim_payload_release(w, p->payload);
}

static void run_operation(struct sim_world *w, int node, const struct sim_pending *p)
{
    struct sim_agent *a = &w->agents[node];
    bool gives_way = p->op.kind == HF_EFFECT_PG_KILL || a->op.kind == HF_EFFECT_PG_PROBE;
    if (a->op_running && !gives_way) {
        sim_fail(w, SIM_CHECK_RECORD, "%s: operation %d while %d runs", sim_node_names[node],
                 (int)p->op.kind, (int)a->op.kind);
        return;
    }
    a->op = p->op;
    a->op.number = ++a->ops;
    a->op_running = true;
    SIM_TRACE(w, "%s: effect %d \"%s\" peer %d timeline %u", sim_node_names[node], (int)a->op.kind,
              a->op.command, a->op.peer, a->op.timeline.v);
    sim_check_op(w, node, &a->op);
    if (!w->failed) {
        sim_pg_op_start(w, node, &a->op);
    }
}

static void drain(struct sim_world *w, int node)
{
    struct sim_agent *a = &w->agents[node];
    while (a->pending_count > 0 && !a->persisting && !w->failed) {
        const struct sim_pending p = a->pending[a->pending_first];
        a->pending_first = (a->pending_first + 1) % SIM_PENDING_MAX;
        a->pending_count--;
        if (p.kind == HF_EFFECT_PERSIST) {
            persist(w, node, p.payload);
        } else if (p.kind == HF_EFFECT_SEND || p.kind == HF_EFFECT_REPLY) {
            send(w, node, &p);
        } else {
            run_operation(w, node, &p);
        }
    }
}

static void set_page(struct sim_world *w, int node, const struct hf_agent_effect *e)
{
    struct sim_page *page = &w->pages[node];
    sim_check_page(w, node, e);
    if (e->open && e->source == HF_LEASE_FAILSAFE) {
        w->stats.failsafe++;
    }
    bool same = page->open && page->epoch.v == e->epoch.v && page->serial == e->serial;
    if (e->open && same && w->pgs[node].processes && !sim_page_valid(w, node)) {
        w->stats.reopened++;
    }
    w->pgs[node].armed = w->pgs[node].armed || e->open;
    page->open = e->open;
    page->boot = w->hosts[node].boot;
    page->epoch = e->epoch;
    page->serial = e->serial;
    page->deadline = e->deadline;
    page->source = e->source;
    sim_fencer_plan(w, node);
}

/* A heartbeat that waits is worth nothing when a newer one comes (latest wins). */
static void forget_older_beat(struct sim_world *w, struct sim_agent *a)
{
    int kept = 0;
    for (int i = 0; i < a->pending_count; i++) {
        const struct sim_pending p = a->pending[(a->pending_first + i) % SIM_PENDING_MAX];
        if (p.kind == HF_EFFECT_SEND) {
            const struct hf_message *m = sim_payload_bytes(w, p.payload);
            if (m->type == HF_MESSAGE_HEARTBEAT) {
                sim_payload_release(w, p.payload);
                continue;
            }
        }
        a->pending[(a->pending_first + kept++) % SIM_PENDING_MAX] = p;
    }
    a->pending_count = kept;
}

/* Behind a stalled disk: messages are dropped, and a record takes the place of the last one that
 * waits, which it contains. */
static bool shed(struct sim_world *w, struct sim_agent *a, const struct hf_agent_effect *e)
{
    if (e->kind == HF_EFFECT_SEND || e->kind == HF_EFFECT_REPLY) {
        return true;
    }
    for (int i = a->pending_count - 1; i >= 0 && e->kind == HF_EFFECT_PERSIST; i--) {
        struct sim_pending *p = &a->pending[(a->pending_first + i) % SIM_PENDING_MAX];
        if (p->kind == HF_EFFECT_PERSIST) {
            sim_payload_release(w, p->payload);
            p->payload = sim_payload_new(w, &e->record, sizeof(e->record));
            return true;
        }
    }
    return false;
}

struct sim_asked *sim_asked_slot(struct sim_agent *a, uint64_t round, hf_epoch epoch,
                                 uint64_t serial)
{
    return &a->asked[(round + 17 * serial + 31 * epoch.v) % SIM_ASKED];
}

static bool is_operation(enum hf_agent_effect_kind kind)
{
    return kind >= HF_EFFECT_PG_STOP_RECEIVING && kind != HF_EFFECT_BACKUP;
}

/* A kill waits for nothing, and what was to be done before it is not done any more. */
static void kill_now(struct sim_world *w, int node, const struct hf_agent_effect *e)
{
    struct sim_agent *a = &w->agents[node];
    int kept = 0;
    for (int i = 0; i < a->pending_count; i++) {
        const struct sim_pending *p = &a->pending[(a->pending_first + i) % SIM_PENDING_MAX];
        if (!is_operation(p->kind)) {
            a->pending[(a->pending_first + kept++) % SIM_PENDING_MAX] = *p;
        }
    }
    a->pending_count = kept;
    struct sim_pending p = {.kind = e->kind};
    p.op.kind = e->kind;
    p.op.effect = e->id;
    p.op.peer = -1;
    run_operation(w, node, &p);
}

static void enqueue(struct sim_world *w, int node, const struct hf_agent_effect *e)
{
    struct sim_agent *a = &w->agents[node];
    if (e->kind == HF_EFFECT_PAGE) {
        set_page(w, node, e);
        return;
    }
    if (e->kind == HF_EFFECT_PG_KILL) {
        kill_now(w, node, e);
        return;
    }
    if (e->kind == HF_EFFECT_SEND && e->message.type == HF_MESSAGE_HEARTBEAT) {
        forget_older_beat(w, a);
    }
    if (a->pending_count >= SIM_PENDING_FULL && shed(w, a, e)) {
        return;
    }
    HF_ASSERT(a->pending_count < SIM_PENDING_MAX);
    struct sim_pending *p = &a->pending[(a->pending_first + a->pending_count) % SIM_PENDING_MAX];
    a->pending_count++;
    p->kind = e->kind;
    p->coordinator = a->reply_to;
    if (e->kind == HF_EFFECT_PERSIST) {
        p->payload = sim_payload_new(w, &e->record, sizeof(e->record));
    } else if (e->kind == HF_EFFECT_SEND || e->kind == HF_EFFECT_REPLY) {
        p->payload = sim_message_payload(w, &e->message);
    } else {
        p->op.kind = e->kind;
        p->op.effect = e->id;
        p->op.peer = e->address[0] != '\0' ? sim_node_by_address(e->address) : -1;
        p->op.timeline = e->timeline;
        memcpy(p->op.command, e->command, sizeof(p->op.command));
    }
}

static void plan_wake(struct sim_world *w, int node)
{
    struct sim_agent *a = &w->agents[node];
    sim_time at = sim_clock_true(w, node, w->effects.next_wakeup);
    if (at > w->now + 5 * SIM_SECOND) {
        at = w->now + 5 * SIM_SECOND;
    }
    if (at == a->wake_at && at > w->now) {
        return;
    }
    a->wake_at = at;
    sim_put(w, at + sim_between(&w->rng, 50, 1500), SIM_AGENT_WAKE, proc(node), ++a->wake, 0, 0);
}

static void step(struct sim_world *w, int node, const struct hf_agent_event *event)
{
    struct sim_agent *a = &w->agents[node];
    enum hf_node_state before = a->core.state;
    hf_agent_core_step(&a->core, event, sim_clock(w, node), &w->effects);
    if (w->trace && a->core.state != before) {
        sim_trace(w, "%s: %s -> %s, epoch %llu", sim_node_names[node], hf_node_state_name(before),
                  hf_node_state_name(a->core.state), (unsigned long long)a->core.record.epoch.v);
    }
    sim_check_step(w, node, event, before);
    for (int i = 0; i < w->effects.count && !w->failed; i++) {
        enqueue(w, node, &w->effects.list[i]);
    }
    plan_wake(w, node);
    drain(w, node);
}

void sim_agent_start(struct sim_world *w, int node)
{
    struct sim_agent *a = &w->agents[node];
    char boot[40];
    sim_boot_text(w, node, boot);
    SIM_TRACE(w, "%s: agent starts%s", sim_node_names[node],
              a->disk_present ? "" : ", without a record");
    hf_agent_core_init(&a->core, &a->config, a->disk_present ? &a->disk : NULL, !a->started, boot,
                       sim_rand(&w->rng), sim_clock(w, node));
    a->started = true;
    a->runs = true;
    a->pending_first = a->pending_count = 0;
    a->persisting = false;
    a->op_running = false;
    a->wake_at = 0;
    memset(a->asked, 0, sizeof(a->asked));
    for (int c = 0; c < SIM_REGIONS; c++) {
        sim_net_connect(w, node, c);
    }
    sim_agent_observe(w, node);
}

void sim_agent_died(struct sim_world *w, int node)
{
    struct sim_agent *a = &w->agents[node];
    SIM_TRACE(w, "%s: agent dies", sim_node_names[node]);
    if (a->persisting) {
        if (sim_chance(&w->rng, 500)) { /* on disk, but nobody was told */
            memcpy(&a->disk, sim_payload_bytes(w, a->persist_payload), sizeof(a->disk));
            a->disk_present = true;
        }
        sim_payload_release(w, a->persist_payload);
        a->persisting = false;
    }
    for (int i = 0; i < a->pending_count; i++) {
        const struct sim_pending *p = &a->pending[(a->pending_first + i) % SIM_PENDING_MAX];
        if (p->kind == HF_EFFECT_PERSIST || p->kind == HF_EFFECT_SEND ||
            p->kind == HF_EFFECT_REPLY) {
            sim_payload_release(w, p->payload);
        }
    }
    a->pending_count = 0;
    a->op_running = false;
    a->runs = false;
    for (int c = 0; c < SIM_REGIONS; c++) {
        sim_net_break(w, node, c, w->now + sim_between(&w->rng, 1, 50) * SIM_MS);
    }
}

void sim_agent_wake(struct sim_world *w, int node, uint32_t number)
{
    if (number == w->agents[node].wake) {
        w->agents[node].wake_at = 0;
        step(w, node, &(struct hf_agent_event){.kind = HF_EVENT_TICK});
    }
}

void sim_agent_observe(struct sim_world *w, int node)
{
    struct hf_pg_observation pg;
    sim_pg_observe(w, node, &pg);
    step(w, node, &(struct hf_agent_event){.kind = HF_EVENT_PG, .pg = &pg});
    sim_put(w, w->now + OBSERVE_MS * SIM_MS, SIM_AGENT_OBSERVE, proc(node), 0, 0, 0);
}

void sim_agent_message(struct sim_world *w, int node, const struct sim_event *e)
{
    struct sim_agent *a = &w->agents[node];
    int coord = (int)e->value;
    if (!sim_net_arrived(w, e, node, coord, false)) {
        return;
    }
    const struct hf_message *m = sim_message_open(w, e->a);
    sim_payload_release(w, e->a);
    a->reply_to = coord;
    if (m->type == HF_MESSAGE_PROMISE_REQUEST) {
        const struct hf_promise_request *r = &m->promise_request;
        struct sim_asked *asked = sim_asked_slot(a, r->round, r->epoch, r->serial);
        bool same =
            asked->round == r->round && asked->epoch.v == r->epoch.v && asked->serial == r->serial;
        if (!same) { /* it comes by several coordinators */
            *asked = (struct sim_asked){.round = r->round,
                                        .epoch = r->epoch,
                                        .serial = r->serial,
                                        .arrived = sim_clock(w, node),
                                        .ttl = r->ttl};
        }
    }
    step(w, node, &(struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = m});
}

void sim_agent_persisted(struct sim_world *w, int node)
{
    struct sim_agent *a = &w->agents[node];
    if (!a->persisting) {
        return;
    }
    sim_check_persist(w, node, sim_payload_bytes(w, a->persist_payload));
    memcpy(&a->disk, sim_payload_bytes(w, a->persist_payload), sizeof(a->disk));
    sim_codec_record(w, &a->disk);
    a->disk_present = true;
    a->persisting = false;
    sim_payload_release(w, a->persist_payload);
    drain(w, node);
}

void sim_agent_fenced(struct sim_world *w, int node)
{
    step(w, node, &(struct hf_agent_event){.kind = HF_EVENT_FENCER_CONFIRMED});
}

void sim_agent_op_ended(struct sim_world *w, int node, bool ok, uint64_t end, uint32_t timeline)
{
    struct sim_agent *a = &w->agents[node];
    uint64_t effect = a->op.effect; /* the observation may begin another one */
    a->op_running = false;
    SIM_TRACE(w, "%s: effect %d ended %s", sim_node_names[node], (int)a->op.kind,
              ok ? "well" : "badly");
    struct hf_pg_observation pg;
    sim_pg_observe(w, node, &pg);
    step(w, node, &(struct hf_agent_event){.kind = HF_EVENT_PG, .pg = &pg});
    if (w->failed) {
        return;
    }
    step(w, node,
         &(struct hf_agent_event){.kind = HF_EVENT_EFFECT_DONE,
                                  .effect_id = effect,
                                  .ok = ok,
                                  .error = ok ? "" : "it failed",
                                  .end = HF_LSN(end),
                                  .timeline = HF_TLI(timeline)});
}
