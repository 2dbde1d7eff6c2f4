/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/agent_core.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/agent_parts.h"

struct hf_agent_effect *hf_agent_emit(struct hf_agent_step *s, enum hf_agent_effect_kind kind)
{
    HF_ASSERT(s->out->count < HF_AGENT_EFFECTS_MAX);
    struct hf_agent_effect *e = &s->out->list[s->out->count++];
    memset(e, 0, sizeof *e);
    e->kind = kind;
    return e;
}

void hf_agent_persist(struct hf_agent_step *s)
{
    hf_agent_emit(s, HF_EFFECT_PERSIST)->record = s->c->record;
}

void hf_agent_page_close(struct hf_agent_step *s)
{
    struct hf_agent_effect *e = hf_agent_emit(s, HF_EFFECT_PAGE);
    e->epoch = s->c->record.led;
    e->serial = s->c->serial;
    s->c->holding = false;
    s->c->source = HF_LEASE_NONE;
}

void hf_agent_page_open(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    struct hf_agent_effect *e = hf_agent_emit(s, HF_EFFECT_PAGE);
    e->open = true;
    e->epoch = c->lease_epoch;
    e->serial = c->serial;
    e->deadline = c->deadline;
    e->source = c->source;
}

struct hf_agent_effect *hf_agent_begin(struct hf_agent_step *s, enum hf_agent_effect_kind kind)
{
    struct hf_agent_effect *e = hf_agent_emit(s, kind);
    e->id = ++s->c->effect_next;
    s->c->effect_running = e->id;
    s->c->effect_kind = kind;
    return e;
}

void hf_agent_enter(struct hf_agent_step *s, enum hf_node_state to)
{
    if (s->c->state != to) {
        HF_ASSERT(hf_node_may(s->c->state, to));
        s->c->state = to;
        s->c->beat_now = true;
    }
}

void hf_agent_core_init(struct hf_agent_core *c, const struct hf_agent_config *config,
                        const struct hf_agent_record *record, bool first_start, const char *boot,
                        uint64_t life, hf_lclk now)
{
    memset(c, 0, sizeof *c);
    c->config = *config;
    c->life = life;
    c->started_at = now;
    c->beat_at = (hf_lclk){now.us - config->heartbeat.us};
    c->ttl = config->ttl;
    c->state = config->archive ? HF_NODE_ARCHIVE : HF_NODE_UNKNOWN;
    c->effect_next = life >> 32; /* ids of another life's effects must not match */
    if (record != NULL) {
        c->record = *record;
        c->rebooted = strncmp(record->boot, boot, sizeof record->boot) != 0;
    } else if (!first_start) {
        c->record.promise_epoch = HF_EPOCH(1); /* lost: something may have been promised */
        c->record.max_ttl = HF_MS(HF_LEASE_TTL_MAX_MS);
    }
    if (c->record.max_ttl.us < config->ttl.us) {
        c->record.max_ttl = config->ttl;
    }
    /* Another boot's instants mean nothing here: wait the longest that was ever promised. */
    if (c->record.promise_epoch.v != 0 &&
        strncmp(c->record.boot, boot, sizeof c->record.boot) != 0) {
        c->record.promise_serial = 0;
        c->record.promise_until =
            hf_lclk_add(now, hf_lease_wait(c->record.max_ttl, config->margin_ppm));
    }
    (void)snprintf(c->record.boot, sizeof c->record.boot, "%s", boot);
}

hf_dur hf_agent_core_lease_left(const struct hf_agent_core *c, hf_lclk now)
{
    return c->holding && hf_lclk_before(now, c->deadline) ? hf_lclk_sub(c->deadline, now)
                                                          : HF_US(0);
}

hf_epoch hf_agent_core_newest_epoch(const struct hf_agent_core *c)
{
    /* UNKNOWN: the page of the last life still holds what it held. */
    bool leads =
        c->state == HF_NODE_PRIMARY || c->state == HF_NODE_STOPPING || c->state == HF_NODE_UNKNOWN;
    bool waits =
        leads && c->record.led.v == c->record.epoch.v && c->lease_epoch.v < c->record.led.v;
    return waits ? c->lease_epoch : c->record.epoch;
}

static uint64_t highest_term(const struct hf_agent_core *c)
{
    uint64_t generation = c->record.generation.v;
    uint64_t obeyed = c->record.order.generation.v == generation ? c->record.order.term : 0;
    uint64_t viewed = c->view.generation.v == generation ? c->view.term : 0;
    return obeyed > viewed ? obeyed : viewed;
}

static void fill_beat(const struct hf_agent_core *c, hf_lclk now, struct hf_heartbeat *b)
{
    b->seq = c->beat;
    b->life = c->life;
    b->clock_us = c->pg.known ? c->pg.clock_us : now.us;
    b->read_ago = HF_US(now.us > b->clock_us ? now.us - b->clock_us : 0);
    b->generation = c->record.generation;
    b->epoch = c->record.epoch;
    b->prepared = c->prepared_done;
    b->state = c->state;
    b->system_id = c->pg.system_id;
    b->timeline = c->pg.timeline;
    b->written = c->pg.written;
    b->flushed = c->pg.flushed;
    b->replayed = c->pg.replayed;
    b->streaming = c->pg.streaming && c->state == HF_NODE_STANDBY;
    b->final = c->final;
    b->final_timeline = c->final_timeline;
    b->final_known = c->final_known;
    b->guard = c->pg.running && c->pg.guard;
    b->want_lease = c->want;
    b->lease_epoch = c->want ? c->record.led : HF_EPOCH(0);
    b->lease_serial = c->serial;
    /* What is left of the lease before an adoption counts for nobody but this node. */
    b->lease_remaining =
        c->lease_epoch.v == c->record.led.v ? hf_agent_core_lease_left(c, now) : HF_US(0);
    b->lease_source = b->lease_remaining.us > 0 ? c->source : HF_LEASE_NONE;
    b->surrendered = c->record.surrendered;
    b->surrendered_serial = c->record.surrendered_serial;
    b->candidates_acked = c->want ? c->record.acked.version : 0;
    b->candidates_known = c->record.known_version;
    b->term = highest_term(c);
    b->promise_remaining = hf_agent_promise_left(c, now, HF_EPOCH(0), 0);
    if (b->promise_remaining.us > 0) {
        b->promise_epoch = c->record.promise_epoch;
        b->promise_serial = c->record.promise_serial;
    }
    memcpy(b->op, c->record.last_command, sizeof b->op);
    b->op_status = c->op_status;
    memcpy(b->op_error, c->op_error, sizeof b->op_error);
    b->repository_known = c->repository_known;
    b->repository_ok = c->repository_ok;
    b->wal_to = c->wal_to;
    b->wal_timeline = c->wal_timeline;
    memcpy(b->newest_backup, c->newest_backup, sizeof b->newest_backup);
    b->archive_queue = c->archive_queue;
    b->disk_known = c->pg.disk_known;
    b->disk_free = c->pg.disk_free;
    b->pg_silent = c->pg.running && (c->pg.silent || !c->pg.known);
}

/* The sending time is taken here, before the message waits for anything: a lease that is counted
 * from it only ends earlier. */
static void beat_when_due(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    if (!c->beat_now && hf_lclk_sub(s->now, c->beat_at).us < c->config.heartbeat.us) {
        return;
    }
    c->beat++;
    c->beat_at = s->now;
    c->beat_now = false;
    hf_sent_ring_put(&c->sent, c->beat, s->now);
    struct hf_agent_effect *e = hf_agent_emit(s, HF_EFFECT_SEND);
    e->message.type = HF_MESSAGE_HEARTBEAT;
    fill_beat(c, s->now, &e->message.heartbeat);
}

static void on_message(struct hf_agent_step *s, const struct hf_message *m)
{
    switch (m->type) {
    case HF_MESSAGE_GRANT:
        hf_agent_on_grant(s, &m->grant);
        break;
    case HF_MESSAGE_VIEW:
        hf_agent_on_view(s, &m->view);
        break;
    case HF_MESSAGE_COMMAND:
        hf_agent_on_command(s, &m->command);
        break;
    case HF_MESSAGE_PROMISE_REQUEST:
        hf_agent_on_promise_request(s, &m->promise_request);
        break;
    case HF_MESSAGE_PROMISE_REPLY:
        hf_agent_on_promise_reply(s, &m->promise_reply);
        break;
    case HF_MESSAGE_HELLO:
    case HF_MESSAGE_HEARTBEAT:
    case HF_MESSAGE_REPORT:
    case HF_MESSAGE_REPORT_ACK:
    case HF_MESSAGE_TYPES:
        break; /* not for the core */
    }
}

void hf_agent_core_step(struct hf_agent_core *c, const struct hf_agent_event *event, hf_lclk now,
                        struct hf_agent_effects *out)
{
    struct hf_agent_step s = {.c = c, .now = now, .out = out};
    out->count = 0;
    /* First of all, whatever the event: a lease that ran out while this process did not run. */
    hf_agent_holder_tick(&s);
    switch (event->kind) {
    case HF_EVENT_TICK:
        break;
    case HF_EVENT_PG:
        hf_agent_on_pg(&s, event->pg);
        break;
    case HF_EVENT_MESSAGE:
        on_message(&s, event->message);
        break;
    case HF_EVENT_EFFECT_DONE:
        hf_agent_on_done(&s, event);
        break;
    case HF_EVENT_FENCER_CONFIRMED:
        if (c->want) {
            hf_agent_fence(&s);
        }
        break;
    }
    beat_when_due(&s);
    out->next_wakeup = hf_lclk_add(c->beat_at, c->config.heartbeat);
    if (c->holding && hf_lclk_before(c->deadline, out->next_wakeup)) {
        out->next_wakeup = c->deadline;
    }
    if (c->soft_until.us != 0 && hf_lclk_before(c->soft_until, out->next_wakeup)) {
        out->next_wakeup = c->soft_until;
    }
}
