/* SPDX-License-Identifier: Apache-2.0
 *
 * Events into the core, effects out of it.
 */
#include <stdio.h>
#include <string.h>

#include "agent/node/agent.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"

enum { RETRY_MS = 200 };

/* The one record that is being written. */
struct hf_record_job {
    struct hf_job job; /* first */
    struct hf_agent *agent;
    struct hf_agent_record record;
    hf_result result;
    struct hf_err err;
};

static void write_run(struct hf_job *job)
{
    struct hf_record_job *r = (struct hf_record_job *)job;
    r->result = hf_agent_record_save(&r->agent->paths, &r->record, &r->err);
}

static void write_done(struct hf_job *job)
{
    struct hf_record_job *r = (struct hf_record_job *)job;
    struct hf_agent *a = r->agent;
    if (a->stopping) {
        return;
    }
    if (job->ran && hf_ok(r->result)) {
        hf_effects_persisted(a->queue, true);
        return;
    }
    hf_log(HF_LOG_ERROR, "RECORD_DISK", "what must survive a crash cannot be written; tried again",
           HF_KV("file", a->paths.record), HF_KV("error", job->ran ? r->err.text : "not done"));
    hf_timer_after(a->persist_retry, HF_MS(RETRY_MS));
}

static void on_retry(void *arg)
{
    struct hf_agent *a = arg;
    hf_effects_persisted(a->queue, false);
}

static void sink_persist(void *arg, const struct hf_agent_record *record)
{
    struct hf_agent *a = arg;
    struct hf_record_job *r = a->record_job;
    struct hf_err err;
    r->agent = a;
    r->record = *record;
    r->job = (struct hf_job){.run = write_run, .done = write_done};
    if (!hf_ok(hf_pool_submit(a->control, HF_LANE_URGENT, &r->job, &err))) {
        hf_log(HF_LOG_ERROR, "RECORD_DISK", "no worker for the record", HF_KV_ERR(&err));
        hf_timer_after(a->persist_retry, HF_MS(RETRY_MS));
    }
}

static void sink_page(void *arg, const struct hf_agent_effect *e)
{
    struct hf_agent *a = arg;
    if (a->managed) {
        hf_page_keeper_apply(&a->keeper, e, a->core->record.generation);
    }
}

static void sink_send(void *arg, const struct hf_message *m)
{
    struct hf_agent *a = arg;
    if (m->type == HF_MESSAGE_HEARTBEAT) {
        *a->beat = *m;
    }
    if (a->link != NULL) {
        hf_link_send(a->link, m);
    }
}

static void sink_reply(void *arg, unsigned origin, const struct hf_message *m)
{
    struct hf_agent *a = arg;
    if (a->link != NULL) {
        hf_link_reply(a->link, origin, m);
    }
}

static void sink_operate(void *arg, const struct hf_agent_effect *e)
{
    struct hf_agent *a = arg;
    if (e->kind == HF_EFFECT_BACKUP) {
        hf_agent_backup_start(a, e);
    } else {
        HF_ASSERT(a->executor != NULL); /* the core knows archive regions */
        hf_executor_start(a->executor, e);
    }
}

static void on_tick(void *arg)
{
    const struct hf_agent_event e = {.kind = HF_EVENT_TICK};
    hf_agent_step(arg, &e, 0);
}

static void on_guard(void *arg)
{
    struct hf_agent *a = arg;
    struct hf_page_fencer f;
    if (!a->managed || !hf_page_keeper_fenced(&a->keeper, &f)) {
        return;
    }
    hf_log(HF_LOG_ERROR, "FENCED", "the fencer ended PostgreSQL",
           HF_KV_U64("epoch", f.fenced_epoch.v), HF_KV_U64("serial", f.fenced_serial),
           HF_KV_DUR("took_ms", hf_lclk_sub(f.ended, f.began)));
    const struct hf_agent_event e = {.kind = HF_EVENT_FENCER_CONFIRMED};
    hf_agent_step(a, &e, 0);
}

void hf_agent_step_start(struct hf_agent *a)
{
    static const struct hf_effect_sinks sinks = {.page = sink_page,
                                                 .send = sink_send,
                                                 .reply = sink_reply,
                                                 .operate = sink_operate,
                                                 .persist = sink_persist};
    a->queue = hf_effects_new(&sinks, a);
    a->effects = hf_alloc(sizeof(*a->effects));
    a->record_job = hf_alloc(sizeof(*a->record_job));
    a->tick = hf_timer_new(a->loop, on_tick, a);
    a->guard_timer = hf_timer_new(a->loop, on_guard, a);
    a->persist_retry = hf_timer_new(a->loop, on_retry, a);
    hf_timer_every(a->guard_timer, HF_MS(50));
    on_tick(a);
}

void hf_agent_step_free(struct hf_agent *a)
{
    hf_timer_free(a->tick);
    hf_timer_free(a->guard_timer);
    hf_timer_free(a->persist_retry);
    hf_effects_free(a->queue);
    hf_free(a->effects);
    hf_free(a->record_job);
}

static void tell_changes(struct hf_agent *a, enum hf_node_state before, bool held)
{
    const struct hf_agent_core *c = a->core;
    if (c->state != before) {
        hf_log(HF_LOG_NOTICE, "NODE_STATE", "the node's state changed",
               HF_KV("from", hf_node_state_name(before)), HF_KV("to", hf_node_state_name(c->state)),
               HF_KV_U64("epoch", c->record.epoch.v));
    }
    if (c->holding != held) {
        hf_log(HF_LOG_NOTICE, c->holding ? "LEASE_HELD" : "LEASE_OVER",
               c->holding ? "the lease is held" : "the lease is over or given up",
               HF_KV_U64("epoch", c->record.led.v), HF_KV_U64("serial", c->serial));
    }
}

void hf_agent_step(struct hf_agent *a, const struct hf_agent_event *event, unsigned origin)
{
    if (a->stopping) {
        return;
    }
    enum hf_node_state before = a->core->state;
    bool held = a->core->holding;
    hf_agent_wal_update(a);
    hf_lclk now = hf_clock_lease();
    hf_agent_core_step(a->core, event, now, a->effects);
    if (a->managed) {
        const struct hf_view *v = &a->core->view;
        bool here = hf_name_equal(&v->primary, &a->config->name);
        hf_page_keeper_primary(&a->keeper, here ? "" : v->primary_address);
    }
    hf_effects_push(a->queue, a->effects, origin);
    if (a->managed) { /* after the page: it must never be older than the newest that it may be */
        hf_page_keeper_epoch(&a->keeper, hf_agent_core_newest_epoch(a->core));
    }
    hf_timer_at(a->tick, a->effects->next_wakeup);
    tell_changes(a, before, held);
}

/* --- the record on disk --- */

hf_result hf_agent_record_save(const struct hf_agent_paths *paths,
                               const struct hf_agent_record *record, struct hf_err *err)
{
    HF_BUF(text, HF_MESSAGE_MAX);
    HF_TRY(hf_agent_record_encode(record, &text, err));
    return hf_file_write_durable(paths->record, hf_buf_text(&text), text.len, 0600, err);
}

static hf_result read_record(const char *path, struct hf_agent_record *ret, struct hf_err *err)
{
    HF_BUF(text, HF_MESSAGE_MAX);
    HF_TRY(hf_file_read(path, &text, err));
    return hf_agent_record_decode(hf_buf_text(&text), text.len, ret, err);
}

hf_result hf_agent_record_load(const struct hf_agent_paths *paths,
                               struct hf_agent_record **ret_record, bool *ret_first,
                               struct hf_err *err)
{
    bool there = hf_file_exists(paths->record);
    *ret_record = NULL;
    *ret_first = !there && !hf_file_exists(paths->born);
    if (there) {
        struct hf_agent_record *r = hf_alloc(sizeof(*r));
        struct hf_err why;
        if (hf_ok(read_record(paths->record, r, &why))) {
            *ret_record = r;
        } else {
            char aside[HF_AGENT_PATH + 8];
            hf_free(r);
            snprintf(aside, sizeof(aside), "%s.bad", paths->record);
            hf_log(HF_LOG_ERROR, "RECORD_DAMAGED",
                   "the record cannot be read and counts as lost; put aside", HF_KV("file", aside),
                   HF_KV_ERR(&why));
            if (rename(paths->record, aside) != 0) {
                return hf_fail(err, HF_E_IO, "%s cannot be put aside", paths->record);
            }
        }
    } else if (!*ret_first) {
        hf_log(HF_LOG_ERROR, "RECORD_LOST",
               "the record is gone: what was promised is taken as running for the longest time",
               HF_KV("file", paths->record));
    }
    return hf_file_exists(paths->born) ? hf_done()
                                       : hf_file_write_durable(paths->born, "", 0, 0600, err);
}
