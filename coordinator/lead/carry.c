/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lead/carry_internal.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/log.h"

#include <stdio.h>
#include <string.h>

struct led *hf_led_of(struct hf_carry *carry, struct hf_warm_cluster *c)
{
    struct led *l = c->led;
    if (l == NULL) {
        l = hf_alloc(sizeof *l);
        l->carry = carry;
        l->cluster = c;
        c->led = l;
    }
    if (l->term != carry->term) { /* what an earlier leadership left means nothing now */
        HF_ASSERT(!l->request.present);
        hf_route_task_free(l->route);
        bool writing = l->writing;
        bool reading = l->reading;
        bool health = l->health_busy;
        *l = (struct led){.carry = carry, .cluster = c, .term = carry->term};
        l->writing = writing; /* answers under way come to this struct */
        l->reading = reading;
        l->health_busy = health;
        l->stale = writing;
    }
    return l;
}

struct hf_carry *hf_carry_new(const struct hf_carry_config *config)
{
    struct hf_carry *carry = hf_alloc(sizeof *carry);
    carry->c = *config;
    carry->http = config->http;
    return carry;
}

void hf_carry_free(struct hf_carry *carry)
{
    if (carry == NULL) {
        return;
    }
    for (int i = 0; i < carry->c.warm->count; i++) {
        struct led *l = carry->c.warm->clusters[i]->led;
        if (l != NULL) {
            hf_route_task_free(l->route);
            hf_free(l->request.policy);
            hf_free(l);
        }
        carry->c.warm->clusters[i]->led = NULL;
    }
    hf_free(carry);
}

bool hf_carry_active(struct hf_carry *carry, hf_lclk now)
{
    return carry->leading && carry->ready && hf_leader_active(carry->c.leader, now);
}

bool hf_carry_ready(const struct hf_carry *carry)
{
    return carry->leading && carry->ready &&
           hf_leader_active(carry->c.leader, hf_clock_lease_high());
}

/* After a pause of its own (leadership not renewed in time, the process stopped) a leader has not
 * heard what was said meanwhile: silence counts from now on. */
static void notice_gap(struct hf_carry *carry, hf_lclk now)
{
    if (hf_lclk_sub(now, carry->active_at).us > HF_MS(1000).us) {
        carry->since = now;
    }
    carry->active_at = now;
}

/* A process that was stopped finds what was said meanwhile only after it has read it. */
static void listen(struct hf_carry *carry, hf_lclk now)
{
    if (hf_lclk_sub(now, carry->listened_at).us > HF_MS(1000).us) {
        carry->listening_since = now;
    }
    carry->listened_at = now;
}

void hf_carry_won(struct hf_carry *carry)
{
    listen(carry, hf_clock_lease());
    carry->leading = true;
    carry->ready = false;
    carry->term = hf_leader_term(carry->c.leader);
    carry->since = hf_clock_lease();
    carry->active_at = carry->since;
    carry->sequence = 0;
    hf_tree_load(carry->c.tree);
}

void hf_carry_lost(struct hf_carry *carry)
{
    struct hf_err err;
    carry->leading = false;
    carry->ready = false;
    (void)hf_fail(&err, HF_E_UNREACHABLE, "this coordinator does not lead any more");
    for (int i = 0; i < carry->c.warm->count; i++) {
        struct led *l = carry->c.warm->clusters[i]->led;
        if (l == NULL) {
            continue;
        }
        hf_led_request_end(l, (hf_result){HF_E_UNREACHABLE}, 0, &err);
        hf_route_task_free(l->route);
        l->route = NULL;
        l->wait.waiting = false;
        l->warning_count = 0;
    }
}

void hf_carry_went_back(struct hf_carry *carry)
{
    carry->ready = false;
    carry->since = hf_clock_lease(); /* what was heard and granted before counts from now on */
    for (int i = 0; i < carry->c.warm->count; i++) {
        struct led *l = carry->c.warm->clusters[i]->led;
        if (l != NULL) {
            l->wait.waiting = false;
            l->view_revision = 0;
            l->stale = l->writing;
        }
    }
}

static void generation_made(void *arg, enum hf_write_result result, int64_t revision,
                            const struct hf_err *err)
{
    struct hf_carry *carry = arg;
    (void)revision;
    carry->making_generation = false;
    if (result != HF_WRITE_DONE) {
        hf_log(HF_LOG_WARNING, "GENERATION_FAILED", "the generation was not made: trying again",
               HF_KV_ERR(err));
    }
    hf_tree_load(carry->c.tree);
}

void hf_carry_loaded(struct hf_carry *carry)
{
    struct hf_err err;
    if (!carry->leading || carry->ready) {
        return;
    }
    if (carry->c.warm->generation.v == 0) {
        if (!carry->making_generation &&
            hf_ok(hf_tree_write_generation(carry->c.tree, carry->term, generation_made, carry,
                                           &err))) {
            carry->making_generation = true;
        }
        return;
    }
    carry->ready = true;
    hf_log(HF_LOG_NOTICE, "LEADER_READY", "every record is read: deciding",
           HF_KV_U64("term", carry->term), HF_KV_I64("clusters", carry->c.warm->count));
    for (int i = 0; i < carry->c.warm->count; i++) {
        struct hf_warm_cluster *c = carry->c.warm->clusters[i];
        struct led *l = hf_led_of(carry, c);
        struct hf_warm_plan *p = hf_warm_running(c);
        if (p == NULL && c->plan_count > 0) {
            p = c->plans[c->plan_count - 1];
        }
        if (p != NULL) { /* an earlier leader may have died before it recorded its steps */
            hf_led_record_plan(l, &p->plan, true);
        }
    }
    hf_carry_tick(carry);
}

static void fill_view(struct hf_carry *carry, struct led *l, hf_lclk now)
{
    struct hf_cluster_view *v = &carry->view;
    hf_warm_view(l->cluster, v);
    v->now = now;
    v->wall_us = hf_clock_wall().us;
    v->leader_since = carry->since;
    v->listening_since = carry->listening_since;
    if (v->plan != NULL && (strcmp(l->step_plan, v->plan->id) != 0 || l->step != v->plan->step)) {
        (void)snprintf(l->step_plan, sizeof l->step_plan, "%s", v->plan->id);
        l->step = v->plan->step;
        l->step_since = now;
    }
    v->step_since = l->step_since;
    v->floor = hf_leader_core(carry->c.leader)->floor;
    v->ttl = carry->c.config->lease.ttl;
    v->margin_ppm = carry->c.config->lease.rate_margin_ppm;
    v->outstanding = l->outstanding;
    v->route_done = hf_led_route_done(l);
    v->term = carry->term;
    v->control = carry->c.warm->generation;
    v->control_doubt = hf_warm_doubt(carry->c.warm, carry->doubt);
}

void hf_carry_view(struct hf_carry *carry, struct led *l, hf_lclk now)
{
    fill_view(carry, l, now);
    hf_cluster_view_settle(&carry->view, false);
}

void hf_carry_view_raw(struct hf_carry *carry, struct led *l, hf_lclk now)
{
    fill_view(carry, l, now);
    hf_cluster_view_settle(&carry->view, true);
}

bool hf_led_doubts(struct led *l, hf_lclk now)
{
    if (l->cluster->policy == NULL || !l->cluster->has_state) {
        return true; /* nothing is known that could be believed */
    }
    hf_carry_view(l->carry, l, now);
    return l->carry->view.doubt[0] != '\0';
}

/* --- writes --- */

/* Named places where tests end a coordinator: right after the transaction that enters a step. */
static void pass_fault_point(enum hf_step step)
{
    bool hit = false;
    switch (step) {
    case HF_STEP_DRAIN:
        hit = HF_FAULT_HIT("plan.step.drain");
        break;
    case HF_STEP_STOP:
        hit = HF_FAULT_HIT("plan.step.stop");
        break;
    case HF_STEP_PREPARE:
        hit = HF_FAULT_HIT("plan.step.prepare");
        break;
    case HF_STEP_FENCE:
        hit = HF_FAULT_HIT("plan.step.fence");
        break;
    case HF_STEP_SELECT:
        hit = HF_FAULT_HIT("plan.step.select");
        break;
    case HF_STEP_GAP:
        hit = HF_FAULT_HIT("plan.step.gap");
        break;
    case HF_STEP_LOSS:
        hit = HF_FAULT_HIT("plan.step.loss");
        break;
    case HF_STEP_CONFIRM:
        hit = HF_FAULT_HIT("plan.step.confirm");
        break;
    case HF_STEP_RESERVE:
        hit = HF_FAULT_HIT("plan.step.reserve");
        break;
    case HF_STEP_LEAD:
        hit = HF_FAULT_HIT("plan.step.lead");
        break;
    case HF_STEP_ROUTE:
        hit = HF_FAULT_HIT("plan.step.route");
        break;
    case HF_STEP_REPOINT:
        hit = HF_FAULT_HIT("plan.step.repoint");
        break;
    case HF_STEP_VERIFY:
        hit = HF_FAULT_HIT("plan.step.verify");
        break;
    case HF_STEP_DONE:
        hit = HF_FAULT_HIT("plan.step.done");
        break;
    case HF_STEP_FAILED:
        hit = HF_FAULT_HIT("plan.step.failed");
        break;
    case HF_STEPS:
    default:
        break;
    }
    (void)hit; /* these points kill or stop the process: there is nothing here that could fail */
}

void hf_led_written(void *arg, enum hf_write_result result, int64_t revision,
                    const struct hf_err *err)
{
    struct led *l = arg;
    l->writing = false;
    if (result == HF_WRITE_DONE && l->writes_plan) {
        bool entered = !l->was_known || l->was_step != l->written.step;
        if (entered) {
            pass_fault_point(l->written.step);
        }
        hf_led_log_step(l, &l->written);
        hf_led_record_plan(l, &l->written, false);
    }
    if (result != HF_WRITE_DONE) {
        hf_log(HF_LOG_WARNING, "WRITE_FAILED", "records were not written, or it is not known",
               HF_KV("cluster", l->cluster->cluster.s), HF_KV_I64("outcome", (int)result),
               HF_KV_ERR(err));
        l->stale = true;
        l->retry_at = hf_lclk_add(hf_clock_lease(), HF_MS(100));
    }
    if (l->request.under_way) {
        hf_result r = {result == HF_WRITE_DONE      ? HF_OK
                       : result == HF_WRITE_LOST    ? HF_E_STALE
                       : result == HF_WRITE_UNKNOWN ? HF_E_TIMEOUT
                                                    : HF_E_UNREACHABLE};
        hf_led_request_end(l, r, revision, err);
    }
    if (result == HF_WRITE_DONE) {
        hf_carry_changed(l->carry, l->cluster);
    }
}

void hf_led_write(struct led *l, const struct hf_decision *d)
{
    struct hf_carry *carry = l->carry;
    struct hf_err err;
    struct hf_tree_write w = {.term = carry->term,
                              .cluster = l->cluster,
                              .state = &d->state,
                              .plan = d->write_plan ? &d->plan : NULL,
                              .reserve = d->reserve,
                              .begin = d->begin,
                              .prune = true};
    l->writes_plan = d->write_plan;
    if (d->write_plan) {
        const struct hf_warm_plan *known = hf_warm_plan(l->cluster, d->plan.id);
        l->written = d->plan;
        l->was_known = known != NULL;
        l->was_step = known != NULL ? known->plan.step : HF_STEP_PREPARE;
        l->was_reasons = known != NULL ? known->plan.reasons : 0;
    }
    hf_result r = hf_tree_write(carry->c.tree, &w, hf_led_written, l, &err);
    if (hf_ok(r)) {
        l->writing = true;
        return;
    }
    hf_log(HF_LOG_ERROR, "WRITE_REFUSED", "records could not be handed to etcd's client",
           HF_KV("cluster", l->cluster->cluster.s), HF_KV_ERR(&err));
    l->retry_at = hf_lclk_add(hf_clock_lease(), HF_MS(200));
    if (l->request.under_way) {
        hf_led_request_end(l, r, 0, &err);
    }
}

/* --- the loop --- */

static void read_back_done(void *arg, enum hf_write_result result, int64_t revision,
                           const struct hf_err *err)
{
    struct led *l = arg;
    (void)revision;
    (void)err;
    l->reading = false;
    l->stale = result != HF_WRITE_DONE;
    l->retry_at = hf_lclk_add(hf_clock_lease(), HF_MS(l->stale ? 100 : 0));
}

/* False while nothing may be decided about the cluster. */
static bool led_settled(struct led *l, hf_lclk now)
{
    struct hf_warm_cluster *c = l->cluster;
    struct hf_err err;
    if (l->writing || l->reading || !hf_lclk_reached(now, l->retry_at)) {
        return false;
    }
    if (c->has_state && c->state.plan[0] != '\0' && hf_warm_running(c) == NULL) {
        l->stale = true;
    }
    if (l->stale) {
        l->reading = hf_ok(hf_tree_read_back(l->carry->c.tree, c, read_back_done, l, &err));
        l->retry_at = hf_lclk_add(now, HF_MS(100));
        return false;
    }
    return true;
}

static void keep_warnings(struct led *l, const struct hf_decision *d)
{
    l->warning_count = d->warnings;
    for (int i = 0; i < d->warnings; i++) {
        memcpy(l->warnings[i], d->warning[i], sizeof l->warnings[i]);
    }
}

static void led_decide(struct led *l, hf_lclk now)
{
    struct hf_carry *carry = l->carry;
    struct hf_decision *d = &carry->decision;
    if (!led_settled(l, now)) {
        return;
    }
    if (l->request.present && !l->request.under_way) {
        hf_led_request_start(l, now);
        if (l->writing) {
            return;
        }
    }
    if (l->cluster->policy == NULL || !l->cluster->has_state) {
        return;
    }
    hf_carry_view(carry, l, now);
    hf_cluster_decide(&carry->view, d);
    keep_warnings(l, d);
    if (d->write) {
        hf_led_write(l, d);
        return;
    }
    hf_led_commands(l, d, now);
    hf_led_route(l, d);
}

static void led_tick(struct led *l, hf_lclk now)
{
    led_decide(l, now);
    hf_led_backups(l, now);
    hf_led_views(l, now);
    hf_led_health(l, now);
    hf_led_exposure_minute(l, hf_clock_wall());
}

void hf_carry_tick(struct hf_carry *carry)
{
    hf_lclk now = hf_clock_lease();
    listen(carry, now);
    if (!hf_carry_active(carry, now)) {
        return;
    }
    notice_gap(carry, now);
    for (int i = 0; i < carry->c.warm->count; i++) {
        led_tick(hf_led_of(carry, carry->c.warm->clusters[i]), now);
    }
}

void hf_carry_changed(struct hf_carry *carry, struct hf_warm_cluster *c)
{
    hf_lclk now = hf_clock_lease();
    listen(carry, now);
    if (hf_carry_active(carry, now)) {
        notice_gap(carry, now);
        struct led *l = hf_led_of(carry, c);
        led_decide(l, now);
        hf_led_views(l, now);
    }
}

void hf_carry_beat(struct hf_carry *carry, struct hf_warm_node *n, hf_lclk arrived)
{
    hf_lclk now = hf_clock_lease();
    listen(carry, now);
    if (!hf_carry_active(carry, now)) {
        return;
    }
    notice_gap(carry, now);
    struct led *l = hf_led_of(carry, n->cluster);
    if (n->cluster->has_state && n->view.beat.want_lease && !hf_led_doubts(l, now) &&
        hf_grant_ask(&l->wait, &n->cluster->state, &n->view.name, &n->view.beat, arrived)) {
        hf_leader_demand(carry->c.leader, n->view.beat.lease_remaining.us == 0);
    }
    led_decide(l, now);
    hf_led_backups(l, now);
}

void hf_carry_renewed(struct hf_carry *carry, hf_lclk sent, hf_lclk now)
{
    const struct hf_config_coordinator *config = carry->c.config;
    if (!hf_carry_active(carry, now)) {
        return;
    }
    for (int i = 0; i < carry->c.warm->count; i++) {
        struct hf_warm_cluster *c = carry->c.warm->clusters[i];
        struct led *l = hf_led_of(carry, c);
        hf_name to = l->wait.node;
        if (!c->has_state || !l->wait.waiting || l->stale || hf_led_doubts(l, now)) {
            continue;
        }
        carry->message.type = HF_MESSAGE_GRANT;
        if (!hf_grant_give(&l->wait, &c->state, config->lease.ttl, config->lease.rate_margin_ppm,
                           carry->term, sent, now, &l->outstanding, &carry->message.grant)) {
            continue;
        }
        struct hf_warm_node *n = hf_warm_node(c, to.s);
        if (n != NULL) {
            (void)hf_hub_send(carry->c.hub, n, &carry->message);
        }
    }
}

hf_dur hf_carry_longest_grant(const struct hf_carry *carry, hf_lclk now)
{
    hf_dur longest = {0};
    for (int i = 0; i < carry->c.warm->count; i++) {
        const struct led *l = carry->c.warm->clusters[i]->led;
        if (l == NULL || l->term != carry->term) {
            continue;
        }
        hf_dur left = hf_lclk_sub(l->outstanding.until, now);
        longest = left.us > longest.us ? left : longest;
    }
    return longest;
}

int hf_carry_warnings(const struct hf_warm_cluster *c, const char (**ret)[HF_REASON_SIZE])
{
    const struct led *l = c->led;
    *ret = l != NULL ? (const char(*)[HF_REASON_SIZE])l->warnings : NULL;
    return l != NULL ? l->warning_count : 0;
}

const struct hf_route_task *hf_carry_route(const struct hf_warm_cluster *c)
{
    const struct led *l = c->led;
    return l != NULL ? l->route : NULL;
}
