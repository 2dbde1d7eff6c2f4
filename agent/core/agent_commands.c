/* SPDX-License-Identifier: Apache-2.0
 *
 * Commands of the leader: order, deadline, and what each does to the node.
 */
#include <stdio.h>
#include <string.h>

#include "agent/core/agent_parts.h"

/* Within its deadline, and of a higher order than what was obeyed last (L10). */
static bool timely(const struct hf_agent_step *s, const struct hf_command *cmd)
{
    const struct hf_agent_core *c = s->c;
    struct hf_order order = {cmd->generation, cmd->term, cmd->sequence};
    hf_lclk sent = {0};
    if (cmd->life != c->life || !hf_sent_ring_get(&c->sent, cmd->seq, &sent) ||
        hf_lclk_reached(s->now, hf_lclk_add(sent, cmd->ttl))) {
        return false;
    }
    return hf_order_compare(&order, &c->record.order) > 0;
}

/* Order, deadline, generation: whether the command may be looked at at all. */
static bool admissible(const struct hf_agent_step *s, const struct hf_command *cmd)
{
    const struct hf_agent_core *c = s->c;
    bool generation_ok = cmd->generation.v == c->record.generation.v || c->record.generation.v == 0;
    if (!c->config.managed || !generation_ok || cmd->epoch.v < c->record.epoch.v) {
        return false;
    }
    return HF_PLANTED(HF_PLANT_ORDER_IGNORED) || timely(s, cmd);
}

/* The same id again while it runs, or after it did its work: nothing to do. */
static bool repeated(const struct hf_agent_core *c, const struct hf_command *cmd)
{
    if (strcmp(cmd->id, c->record.last_command) != 0) {
        return false;
    }
    if (c->op_status == HF_OP_RUNNING) {
        return true;
    }
    switch (cmd->kind) {
    case HF_COMMAND_PREPARE:
        /* A node that moved on since (followed, went down) prepares again when it is asked. */
        return c->prepared_done.v >= cmd->epoch.v &&
               (c->state == HF_NODE_PREPARED
                    ? c->final_known
                    : c->state == HF_NODE_EMPTY || c->state == HF_NODE_ARCHIVE);
    case HF_COMMAND_LEAD:
        return c->record.led.v >= cmd->epoch.v;
    case HF_COMMAND_FOLLOW:
        return c->op_status == HF_OP_DONE && c->pg.streaming;
    case HF_COMMAND_STOP:
        return c->record.surrendered.v >= cmd->epoch.v;
    case HF_COMMAND_COPY:
    case HF_COMMAND_BACKUP:
    case HF_COMMAND_PROBE:
    case HF_COMMAND_DRAIN:
        return c->op_status == HF_OP_DONE;
    case HF_COMMAND_ADOPT: /* never comes here */
    case HF_COMMAND_KINDS:
        break;
    }
    return true;
}

static void op_set(struct hf_agent_core *c, enum hf_op_status status, const char *error)
{
    c->op_status = status;
    (void)snprintf(c->op_error, sizeof c->op_error, "%s", error == NULL ? "" : error);
    c->beat_now = true;
}

/* Takes the command over: order and epoch become durable before any effect of it. */
static void accept(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    c->record.order = (struct hf_order){cmd->generation, cmd->term, cmd->sequence};
    c->record.generation = cmd->generation;
    if (cmd->epoch.v > c->record.epoch.v) {
        c->record.epoch = cmd->epoch;
    }
    memcpy(c->record.last_command, cmd->id, sizeof c->record.last_command);
    c->command = *cmd;
    op_set(c, HF_OP_RUNNING, NULL);
}

static void refuse(struct hf_agent_step *s, const struct hf_command *cmd, const char *why)
{
    memcpy(s->c->record.last_command, cmd->id, sizeof s->c->record.last_command);
    op_set(s->c, HF_OP_FAILED, why);
}

void hf_agent_prepare_now(struct hf_agent_step *s)
{
    struct hf_agent_core *c = s->c;
    hf_agent_enter(s, HF_NODE_PREPARING);
    hf_agent_begin(s, c->pg.running ? HF_EFFECT_PG_STOP_RECEIVING : HF_EFFECT_PG_FIND_END);
}

static void on_prepare(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    if (c->state == HF_NODE_UNMANAGED || (c->want && c->record.led.v == cmd->epoch.v)) {
        refuse(s, cmd,
               c->want ? "LEADS: this node leads that epoch"
                       : "UNMANAGED: a writable PostgreSQL that was never adopted");
        return;
    }
    accept(s, cmd);
    c->record.prepared = cmd->epoch;
    c->prepare_waits = true;
    c->final_known = false;
    bool had_right = c->want && c->record.led.v < cmd->epoch.v;
    if (had_right && c->state == HF_NODE_ELECTED) {
        c->want = false; /* nothing was opened under it */
        hf_agent_page_close(s);
    }
    hf_agent_persist(s);
    switch (c->state) {
    case HF_NODE_STANDBY:
        if (HF_PLANTED(HF_PLANT_PREPARE_KEEPS_RECEIVING)) {
            hf_agent_enter(s, HF_NODE_PREPARING);
            hf_agent_enter(s, HF_NODE_PREPARED);
            c->final = c->pg.flushed;
            c->final_timeline = c->pg.timeline;
            c->final_known = true;
            c->prepared_done = cmd->epoch;
            c->prepare_waits = false;
            op_set(c, HF_OP_DONE, NULL);
            return;
        }
        hf_agent_prepare_now(s);
        return;
    case HF_NODE_DOWN:
    case HF_NODE_PREPARED:
    case HF_NODE_ELECTED:
        hf_agent_prepare_now(s);
        return;
    case HF_NODE_STARTING:
    case HF_NODE_PRIMARY:
    case HF_NODE_STOPPING:
        hf_agent_fence(s); /* then prepares */
        return;
    case HF_NODE_EMPTY:
    case HF_NODE_ARCHIVE:
        c->prepare_waits = false;
        c->prepared_done = cmd->epoch;
        op_set(c, HF_OP_DONE, NULL);
        return;
    case HF_NODE_UNKNOWN:
    case HF_NODE_UNMANAGED:
    case HF_NODE_PREPARING:
    case HF_NODE_FENCING:
    case HF_NODE_COPYING:
    case HF_NODE_FOLLOWING:
    case HF_NODE_STATES:
        return; /* goes on when what runs has ended */
    }
}

static const char *lead_refusal(const struct hf_agent_step *s, const struct hf_command *cmd)
{
    const struct hf_agent_core *c = s->c;
    if (c->record.surrendered.v >= cmd->epoch.v) {
        return "SURRENDERED: this epoch was given up here";
    }
    if (c->state == HF_NODE_PREPARED) {
        if (c->prepared_done.v != cmd->epoch.v || !c->final_known) {
            return "NOT_PREPARED: no final position for this epoch";
        }
    } else if (c->state != HF_NODE_UNMANAGED &&
               !(c->state == HF_NODE_DOWN && c->record.epoch.v == 0)) {
        return "NOT_PREPARED: the node is not waiting to be chosen";
    }
    if (hf_agent_promise_left(c, s->now, cmd->released_epoch, cmd->released_serial).us > 0) {
        return "PROMISED: a promise to another holder still runs";
    }
    return NULL;
}

static void on_lead(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    const char *why = lead_refusal(s, cmd);
    if (why != NULL) {
        refuse(s, cmd, why);
        return;
    }
    accept(s, cmd);
    c->record.led = cmd->epoch;
    c->record.serial++;
    /* A new term acknowledged no candidate set yet: no failsafe before it has one. */
    memset(&c->record.acked, 0, sizeof c->record.acked);
    c->serial = c->record.serial;
    c->want = true;
    hf_agent_persist(s);
    hf_agent_enter(s, HF_NODE_ELECTED);
}

static void point_to(struct hf_agent_step *s, const struct hf_command *cmd,
                     enum hf_agent_effect_kind kind)
{
    struct hf_agent_effect *e = hf_agent_begin(s, kind);
    e->peer = cmd->node;
    e->epoch = cmd->epoch;
    e->timeline = cmd->timeline;
    memcpy(e->address, cmd->address, sizeof e->address);
    memcpy(e->body, cmd->body, sizeof e->body);
    memcpy(e->command, cmd->id, sizeof e->command);
}

static void on_follow(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    if (c->state != HF_NODE_STANDBY && c->state != HF_NODE_PREPARED && c->state != HF_NODE_DOWN) {
        refuse(s, cmd, "BUSY: the node cannot follow in its state");
        return;
    }
    accept(s, cmd);
    hf_agent_persist(s);
    hf_agent_enter(s, HF_NODE_FOLLOWING);
    point_to(s, cmd, HF_EFFECT_PG_FOLLOW);
}

static void on_copy(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    if (c->want || (c->state != HF_NODE_EMPTY && c->state != HF_NODE_DOWN &&
                    c->state != HF_NODE_STANDBY && c->state != HF_NODE_PREPARED)) {
        refuse(s, cmd, "BUSY: the node cannot be copied over in its state");
        return;
    }
    accept(s, cmd);
    c->record.copying = true;
    hf_agent_persist(s);
    hf_agent_enter(s, HF_NODE_COPYING);
    point_to(s, cmd, HF_EFFECT_PG_COPY);
}

/* The shutdown belongs to the tenure that it ends: commits are answered until it is done, the last
 * files are archived, standbys get its checkpoint. */
static void on_stop(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    if (c->state != HF_NODE_PRIMARY || !c->holding || c->record.led.v != cmd->epoch.v) {
        refuse(s, cmd, "NOT_LEADING: this node does not lead that epoch");
        return;
    }
    accept(s, cmd);
    hf_agent_persist(s);
    hf_agent_enter(s, HF_NODE_STOPPING);
    point_to(s, cmd, HF_EFFECT_PG_STOP);
}

static void on_side_job(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    if (cmd->kind == HF_COMMAND_DRAIN && c->state != HF_NODE_PRIMARY) {
        refuse(s, cmd, "NOT_LEADING: only a primary has something to drain");
        return;
    }
    accept(s, cmd);
    hf_agent_persist(s);
    if (cmd->kind == HF_COMMAND_BACKUP) {
        if (c->backup_effect != 0) {
            op_set(c, HF_OP_FAILED, "BUSY: a backup is running already");
            return;
        }
        uint64_t running = c->effect_running;
        enum hf_agent_effect_kind kind = c->effect_kind;
        point_to(s, cmd, HF_EFFECT_BACKUP);
        c->backup_effect = c->effect_running;
        memcpy(c->backup_command, cmd->id, sizeof c->backup_command);
        c->effect_running = running;
        c->effect_kind = kind;
        return;
    }
    if (c->effect_running != 0) {
        op_set(c, HF_OP_FAILED, "BUSY: another effect is under way");
        return;
    }
    point_to(s, cmd, cmd->kind == HF_COMMAND_DRAIN ? HF_EFFECT_PG_DRAIN : HF_EFFECT_PG_PROBE);
}

void hf_agent_on_command(struct hf_agent_step *s, const struct hf_command *cmd)
{
    if (cmd->kind == HF_COMMAND_ADOPT) {
        if (timely(s, cmd)) {
            hf_agent_on_adopt(s, cmd);
        }
        return;
    }
    if (!admissible(s, cmd)) {
        return;
    }
    if (repeated(s->c, cmd)) {
        s->c->record.order = (struct hf_order){cmd->generation, cmd->term, cmd->sequence};
        return; /* durable with the next record: obeying it again would do nothing either */
    }
    switch (cmd->kind) {
    case HF_COMMAND_PREPARE:
        on_prepare(s, cmd);
        break;
    case HF_COMMAND_LEAD:
        on_lead(s, cmd);
        break;
    case HF_COMMAND_FOLLOW:
        on_follow(s, cmd);
        break;
    case HF_COMMAND_COPY:
        on_copy(s, cmd);
        break;
    case HF_COMMAND_STOP:
        on_stop(s, cmd);
        break;
    case HF_COMMAND_BACKUP:
    case HF_COMMAND_PROBE:
    case HF_COMMAND_DRAIN:
        on_side_job(s, cmd);
        break;
    case HF_COMMAND_ADOPT:
    case HF_COMMAND_KINDS:
        break;
    }
}

void hf_agent_on_view(struct hf_agent_step *s, const struct hf_view *v)
{
    struct hf_agent_core *c = s->c;
    if (c->record.generation.v == 0 && v->generation.v != 0) {
        c->record.generation = v->generation;
        hf_agent_persist(s);
    }
    if (v->generation.v != c->record.generation.v || v->epoch.v < c->view.epoch.v ||
        (v->epoch.v == c->view.epoch.v && v->term < c->view.term)) {
        return; /* late */
    }
    c->view = *v;
    if (v->candidates.version > c->record.known_version) {
        c->record.known_version = v->candidates.version;
        hf_agent_persist(s);
    }
    /* The cluster went on without this node: its lease is worth nothing any more. */
    bool superseded = c->want && v->epoch.v > c->record.led.v;
    if (c->config.managed && superseded && c->state != HF_NODE_FENCING) {
        c->record.epoch = v->epoch.v > c->record.epoch.v ? v->epoch : c->record.epoch;
        hf_agent_persist(s);
        hf_agent_fence(s);
    }
}
