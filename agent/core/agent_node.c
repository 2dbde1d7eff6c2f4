/* SPDX-License-Identifier: Apache-2.0
 *
 * What the node itself does: observations of PostgreSQL and ends of effects move it along the
 * state table.
 */
#include <stdio.h>
#include <string.h>

#include "agent/core/agent_parts.h"

static void op_end(struct hf_agent_core *c, bool ok, const char *error)
{
    c->op_status = ok ? HF_OP_DONE : HF_OP_FAILED;
    (void)snprintf(c->op_error, sizeof c->op_error, "%s", error == NULL ? "" : error);
    c->beat_now = true;
}

static bool prepare_waits(const struct hf_agent_core *c)
{
    return c->prepare_waits && c->record.prepared.v == c->record.epoch.v;
}

static void prepare_done(struct hf_agent_step *s, const struct hf_agent_event *e)
{
    struct hf_agent_core *c = s->c;
    c->prepare_waits = false; /* a failed one is asked for again by the leader */
    if (!e->ok) {
        hf_agent_enter(s, c->pg.running ? HF_NODE_STANDBY : HF_NODE_DOWN);
        op_end(c, false, e->error);
        return;
    }
    c->final = e->end;
    c->final_timeline = e->timeline;
    if (c->pg.running && e->timeline.v > c->reached.v) {
        c->reached = e->timeline;
    }
    c->final_known = e->end.v != 0;
    c->prepared_done = c->record.prepared;
    hf_agent_enter(s, HF_NODE_PREPARED);
    op_end(c, true, NULL);
}

static void start_done(struct hf_agent_step *s, const struct hf_agent_event *e)
{
    struct hf_agent_core *c = s->c;
    op_end(c, e->ok, e->error);
    if (!e->ok || !c->holding) {
        hf_agent_fence(s);
        return;
    }
    c->pg.running = true;
    c->pg.in_recovery = false;
    /* What was seen before the promotion says nothing of after it: unknown until the next look. */
    c->pg.known = false;
    c->pg.timeline = e->timeline; /* of a promotion; else 0, until it is seen */
    c->pg.written = c->pg.flushed = c->pg.replayed = HF_LSN(0);
    hf_agent_enter(s, HF_NODE_PRIMARY);
}

static void standby_done(struct hf_agent_step *s, const struct hf_agent_event *e, bool copied)
{
    struct hf_agent_core *c = s->c;
    op_end(c, e->ok, e->error);
    if (copied) {
        c->reached = HF_TLI(0); /* another directory */
    }
    if (copied && e->ok) {
        c->record.copying = false;
        hf_agent_persist(s);
        c->pg.complete = true;
    }
    if (e->ok) {
        c->pg.running = true;
        c->pg.in_recovery = true;
        c->final_known = false;
    }
    if (prepare_waits(c) && (e->ok || !copied)) {
        hf_agent_prepare_now(s);
        return;
    }
    if (e->ok) {
        hf_agent_enter(s, HF_NODE_STANDBY);
    } else {
        hf_agent_enter(s, copied ? HF_NODE_EMPTY : HF_NODE_DOWN);
    }
}

void hf_agent_on_done(struct hf_agent_step *s, const struct hf_agent_event *e)
{
    struct hf_agent_core *c = s->c;
    if (e->effect_id == c->backup_effect && e->effect_id != 0) {
        c->backup_effect = 0;
        if (strcmp(c->backup_command, c->record.last_command) == 0) {
            op_end(c, e->ok, e->error);
        }
        return;
    }
    if (e->effect_id != c->effect_running || e->effect_id == 0) {
        return; /* something else has taken its place */
    }
    c->effect_running = 0;
    switch (c->effect_kind) {
    case HF_EFFECT_PG_STOP_RECEIVING:
    case HF_EFFECT_PG_FIND_END:
        prepare_done(s, e);
        break;
    case HF_EFFECT_PG_PROMOTE:
    case HF_EFFECT_PG_START_PRIMARY:
    case HF_EFFECT_PG_ADOPT:
        start_done(s, e);
        break;
    case HF_EFFECT_PG_FOLLOW:
        standby_done(s, e, false);
        break;
    case HF_EFFECT_PG_COPY:
        standby_done(s, e, true);
        break;
    case HF_EFFECT_PG_KILL:
        if (e->ok) {
            hf_agent_fenced(s);
        } else {
            hf_agent_begin(s, HF_EFFECT_PG_KILL); /* until nothing is left */
        }
        break;
    case HF_EFFECT_PG_PROBE:
    case HF_EFFECT_PG_DRAIN:
        op_end(c, e->ok, e->error);
        break;
    case HF_EFFECT_PG_STOP:
        op_end(c, e->ok, e->error);
        hf_agent_fence(s); /* whatever is left; then the epoch is given up */
        break;
    case HF_EFFECT_PERSIST:
    case HF_EFFECT_PAGE:
    case HF_EFFECT_SEND:
    case HF_EFFECT_REPLY:
    case HF_EFFECT_BACKUP:
    case HF_EFFECT_KINDS:
        break;
    }
}

static bool writable(const struct hf_pg_observation *pg)
{
    return pg->running && pg->known && !pg->in_recovery;
}

/* The first look after the agent's start. */
static void first_look(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    const struct hf_pg_observation *pg = &c->pg;
    bool leading = c->config.managed && c->record.led.v != 0 &&
                   c->record.led.v == c->record.epoch.v &&
                   c->record.surrendered.v < c->record.led.v;
    if (leading && writable(pg) && !c->rebooted) {
        /* The page of the last life still holds PostgreSQL; ask under a new serial. */
        c->record.serial++;
        c->serial = c->record.serial;
        c->want = true;
        hf_agent_persist(s);
        hf_agent_enter(s, HF_NODE_PRIMARY);
        return;
    }
    if (leading && (!pg->running || pg->known)) {
        c->want = true; /* what was led is gone: end what is left, then surrender */
        c->serial = c->record.serial;
        hf_agent_fence(s);
        return;
    }
    if (pg->running && !pg->known) {
        return; /* wait for an answer */
    }
    if (pg->running && pg->in_recovery) {
        hf_agent_enter(s, HF_NODE_STANDBY);
    } else if (pg->running) {
        if (c->config.managed && c->record.epoch.v != 0) {
            hf_agent_fence(s);
        } else {
            hf_agent_enter(s, HF_NODE_UNMANAGED);
        }
    } else {
        hf_agent_enter(s, pg->complete && !c->record.copying ? HF_NODE_DOWN : HF_NODE_EMPTY);
    }
}

/* States in which nothing of ours runs: they follow what is seen. */
static void settle(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    const struct hf_pg_observation *pg = &c->pg;
    if (!pg->running) {
        bool usable = pg->complete && !c->record.copying;
        if (c->state == HF_NODE_PREPARED && usable) {
            return; /* prepared with PostgreSQL down */
        }
        hf_agent_enter(s, usable ? HF_NODE_DOWN : HF_NODE_EMPTY);
    } else if (pg->known && pg->in_recovery) {
        if (c->state != HF_NODE_PREPARED) {
            hf_agent_enter(s, HF_NODE_STANDBY);
        }
    } else if (writable(pg)) {
        if (c->config.managed && c->record.epoch.v != 0) {
            hf_agent_fence(s); /* writable without a lease (a promotion by hand) */
        } else if (c->state != HF_NODE_PREPARED) {
            hf_agent_enter(s, HF_NODE_UNMANAGED);
        }
    }
}

/* While a standby runs its timeline only grows. */
static void keep_timeline(struct hf_agent_core *c)
{
    if (!c->pg.running) {
        c->reached = HF_TLI(0);
    } else if (c->pg.known && c->pg.timeline.v > c->reached.v) {
        c->reached = c->pg.timeline;
    } else if (c->pg.known && c->pg.in_recovery) {
        c->pg.timeline = c->reached;
    }
}

void hf_agent_on_pg(struct hf_agent_step *s, const struct hf_pg_observation *pg)
{
    struct hf_agent_core *c = s->c;
    if (c->config.archive) {
        return;
    }
    hf_tli timeline = c->pg.timeline;
    if (!pg->known && c->pg.known && pg->running) {
        /* No answer just now: keep the positions, take what the process table says. */
        c->pg.complete = pg->complete;
        c->pg.running = pg->running;
        c->pg.processes = pg->processes;
        c->pg.disk_known = pg->disk_known;
        c->pg.disk_free = pg->disk_free;
        c->pg.silent = true;
    } else {
        c->pg = *pg;
    }
    keep_timeline(c);
    c->pg_seen = true;
    switch (c->state) {
    case HF_NODE_UNKNOWN:
        first_look(s);
        break;
    case HF_NODE_EMPTY:
    case HF_NODE_DOWN:
    case HF_NODE_UNMANAGED:
    case HF_NODE_STANDBY:
    case HF_NODE_PREPARED:
        settle(s);
        break;
    case HF_NODE_PRIMARY:
        if (!pg->running || (pg->known && pg->in_recovery)) {
            hf_agent_fence(s);
        }
        /* A plan waits for the timeline that it reserved. */
        c->beat_now = c->beat_now || c->pg.timeline.v != timeline.v;
        break;
    case HF_NODE_PREPARING:
    case HF_NODE_ELECTED:
    case HF_NODE_STARTING:
    case HF_NODE_STOPPING:
    case HF_NODE_FENCING:
    case HF_NODE_COPYING:
    case HF_NODE_FOLLOWING:
    case HF_NODE_ARCHIVE:
    case HF_NODE_STATES:
        break; /* the effect's end decides */
    }
    if (prepare_waits(c) && c->effect_running == 0 &&
        (c->state == HF_NODE_STANDBY || c->state == HF_NODE_DOWN)) {
        hf_agent_prepare_now(s);
    }
}
