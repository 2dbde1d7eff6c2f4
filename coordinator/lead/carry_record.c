/* SPDX-License-Identifier: Apache-2.0
 *
 * What the leader records for people: log lines and history events of plans, and exposure by the
 * minute. Every event has an id of its own, so that recording one twice does no harm.
 */
#include "coordinator/lead/carry_internal.h"

#include "common/io/clock.h"
#include "common/io/log.h"
#include "coordinator/state/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void hf_led_log_step(struct led *l, const struct hf_plan *p)
{
    const struct hf_warm_cluster *c = l->cluster;
    if (!l->was_known || l->was_step != p->step) {
        hf_log(HF_LOG_NOTICE, "PLAN_STEP", "a plan entered a step", HF_KV("tenant", c->tenant.s),
               HF_KV("cluster", c->cluster.s), HF_KV("plan", p->id),
               HF_KV("kind", hf_plan_kind_name(p->kind)), HF_KV("step", hf_step_name(p->step)),
               HF_KV_U64("epoch", p->epoch.v), HF_KV("from", p->from.s), HF_KV("to", p->to.s),
               HF_KV_BOOL("loss_known", p->loss.known), HF_KV_U64("loss_bytes", p->loss.bytes));
    }
    for (int i = l->was_reasons; i < p->reasons && i < HF_REASONS_MAX; i++) {
        hf_log(HF_LOG_NOTICE, "PLAN_REASON", "why", HF_KV("plan", p->id),
               HF_KV("reason", p->reason[i]));
    }
}

static void put_instant(hf_json *v, const char *key, int64_t us)
{
    char text[HF_CLOCK_TEXT_SIZE];
    if (us == 0) {
        hf_json_put_null(v, key);
        return;
    }
    hf_clock_wall_text((hf_wall){us}, text, sizeof text);
    hf_json_put_text(v, key, text);
}

static hf_json *cluster_json(const struct hf_warm_cluster *c)
{
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "tenant", c->tenant.s);
    hf_json_put_text(v, "cluster", c->cluster.s);
    return v;
}

static void event_id(const struct led *l, const struct hf_plan *p, const char *what,
                     char ret[HF_EVENT_ID_SIZE])
{
    (void)snprintf(ret, HF_EVENT_ID_SIZE, "%" PRIu64 "/%s/%s/%s/%s", l->cluster->state.generation.v,
                   l->cluster->tenant.s, l->cluster->cluster.s, p->id, what);
}

static void record_operation(struct led *l, const struct hf_plan *p)
{
    bool finished = p->step == HF_STEP_DONE || p->step == HF_STEP_FAILED;
    int64_t ended =
        p->step == HF_STEP_DONE ? p->entered_us[HF_STEP_DONE] : p->entered_us[HF_STEP_FAILED];
    char id[HF_EVENT_ID_SIZE];
    HF_AUTOJSON hf_json *v = cluster_json(l->cluster);
    hf_json *reasons = hf_json_array();
    hf_json_put_text(v, "operation", p->id);
    hf_json_put_text(v, "kind", hf_plan_kind_name(p->kind));
    hf_json_put_u64(v, "epoch", p->epoch.v);
    hf_json_put_text(v, "from_node", p->from.s);
    hf_json_put_text(v, "to_node", p->to.s);
    hf_json_put_text(v, "state", finished ? "finished" : "running");
    if (finished) {
        hf_json_put_text(v, "result", p->step == HF_STEP_DONE ? "done" : "failed");
    }
    put_instant(v, "started_at", p->detected_us);
    put_instant(v, "finished_at", finished ? ended : 0);
    put_instant(v, "writable_at", p->writable_us);
    if (p->writable_us > p->heard_us && p->heard_us != 0) {
        hf_json_put_i64(v, "down_ms", (p->writable_us - p->heard_us) / 1000);
    }
    if (p->loss.known) {
        hf_json_put_u64(v, "predicted_bytes", p->loss.bytes);
        hf_json_put_i64(v, "predicted_ms", p->loss.time.us / 1000);
    }
    for (int i = 0; i < p->reasons && i < HF_REASONS_MAX; i++) {
        hf_json_push_text(reasons, p->reason[i]);
    }
    hf_json_put(v, "reasons", reasons);
    event_id(l, p, finished ? "finished" : "running", id);
    hf_history_event(l->carry->c.history, "operation", id, false, v);
}

static void record_step(struct led *l, const struct hf_plan *p, enum hf_step step)
{
    char id[HF_EVENT_ID_SIZE];
    HF_AUTOJSON hf_json *v = cluster_json(l->cluster);
    hf_json_put_text(v, "operation", p->id);
    hf_json_put_text(v, "step", hf_step_name(step));
    put_instant(v, "at", p->entered_us[step]);
    event_id(l, p, hf_step_name(step), id);
    hf_history_event(l->carry->c.history, "step", id, false, v);
}

void hf_led_record_plan(struct led *l, const struct hf_plan *p, bool all)
{
    if (l->carry->c.history == NULL) {
        return;
    }
    bool entered = !l->was_known || l->was_step != p->step;
    bool finished = p->step == HF_STEP_DONE || p->step == HF_STEP_FAILED;
    if (all || !l->was_known || (entered && finished)) {
        record_operation(l, p);
    }
    for (int s = 0; s < HF_STEPS; s++) {
        if (p->entered_us[s] != 0 && (all || (entered && (enum hf_step)s == p->step))) {
            record_step(l, p, (enum hf_step)s);
        }
    }
}

void hf_led_exposure_minute(struct led *l, hf_wall wall)
{
    struct hf_warm_cluster *c = l->cluster;
    int64_t minute = wall.us / 60000000;
    if (minute == l->minute || l->carry->c.history == NULL || c->policy == NULL) {
        return;
    }
    bool first = l->minute == 0;
    l->minute = minute;
    if (first) {
        return;
    }
    struct hf_measure m;
    char id[HF_EVENT_ID_SIZE];
    hf_measure_cluster(c, hf_clock_lease(), l->carry->c.config->lease.ttl, &m);
    HF_AUTOJSON hf_json *v = cluster_json(c);
    put_instant(v, "at", minute * 60000000);
    hf_json_put_text(v, "primary_node", c->state.primary.s);
    hf_json_put_bool(v, "known", m.exposure.known);
    if (m.exposure.known) {
        hf_json_put_i64(v, "ms", m.exposure.age.us / 1000);
        hf_json_put_u64(v, "bytes", m.exposure.bytes);
    }
    (void)snprintf(id, sizeof id, "%" PRIu64 "/%s/%s/exposure/%" PRId64, c->state.generation.v,
                   c->tenant.s, c->cluster.s, minute);
    hf_history_event(l->carry->c.history, "exposure", id, true, v);
}
