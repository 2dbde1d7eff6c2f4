/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/cluster.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/core/cluster_parts.h"

struct hf_command *hf_decide_command(struct hf_decision *out, const struct hf_node_view *to,
                                     enum hf_command_kind kind, hf_epoch epoch)
{
    HF_ASSERT(!out->write && out->commands < HF_DECISION_COMMANDS);
    struct hf_decision_command *d = &out->command[out->commands++];
    memset(d, 0, sizeof *d);
    d->to = to->name;
    d->command.kind = kind;
    d->command.epoch = epoch;
    (void)snprintf(d->command.id, sizeof d->command.id, "%s.%llu.%.24s", hf_command_kind_name(kind),
                   (unsigned long long)epoch.v, to->name.s);
    return &d->command;
}

void hf_decide_warn(struct hf_decision *out, const char *format, ...)
{
    if (out->warnings == HF_REASONS_MAX) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out->warning[out->warnings++], HF_REASON_SIZE, format, args);
    va_end(args);
}

void hf_decide_write(const struct hf_cluster_view *v, struct hf_decision *out)
{
    out->write = true;
    out->commands = 0;
    out->state = *v->state;
    if (v->plan != NULL) {
        out->plan = *v->plan;
    }
}

/* Adoption of a running or stopped PostgreSQL as the first primary. */
static void bootstrap(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_policy *policy = v->policy;
    if (policy->bootstrap.kind != HF_BOOTSTRAP_ADOPT) {
        hf_decide_warn(out, "BOOTSTRAP: make the first database by hand (%s), then adopt:NODE",
                       policy->bootstrap.kind == HF_BOOTSTRAP_INIT ? "initdb"
                                                                   : "holdfast-agent restore");
        return;
    }
    const struct hf_node_view *n = hf_view_node(v, &policy->bootstrap.name);
    if (n == NULL || !hf_node_present(v, n)) {
        hf_decide_warn(out, "BOOTSTRAP: waiting for node %s", policy->bootstrap.name.s);
        return;
    }
    bool ready = n->beat.state == HF_NODE_UNMANAGED || n->beat.state == HF_NODE_DOWN;
    if (!ready || n->beat.epoch.v != 0) {
        hf_decide_warn(out,
                       "BOOTSTRAP: node %s is %s at epoch %llu; adopt needs a PostgreSQL that "
                       "no cluster has adopted",
                       n->name.s, hf_node_state_name(n->beat.state),
                       (unsigned long long)n->beat.epoch.v);
        return;
    }
    hf_decide_write(v, out);
    struct hf_cluster_state *s = &out->state;
    for (int i = 0; i < v->node_count; i++) {
        hf_epoch seen = v->nodes[i].beat.epoch;
        s->epoch = seen.v > s->epoch.v ? seen : s->epoch;
    }
    s->fenced = s->epoch;
    s->epoch.v++;
    s->primary = n->name;
    s->primary_epoch = s->epoch;
    s->system_id = n->beat.system_id;
    s->timeline = n->beat.timeline;
    s->candidates.version++;
    s->plans++;
    struct hf_plan *p = &out->plan;
    memset(p, 0, sizeof *p);
    (void)snprintf(p->id, sizeof p->id, "b-%04llu", (unsigned long long)s->plans);
    memcpy(s->plan, p->id, sizeof s->plan);
    p->kind = HF_PLAN_BOOTSTRAP;
    p->step = HF_STEP_LEAD;
    p->epoch = s->epoch;
    p->to = n->name;
    p->detected_us = v->wall_us;
    p->entered_us[HF_STEP_LEAD] = v->wall_us;
    hf_plan_reason(p, "BOOTSTRAP: adopt %s", n->name.s);
    out->write_plan = true;
}

const char *hf_view_primary_lost(const struct hf_cluster_view *v, char text[HF_REASON_SIZE])
{
    const struct hf_cluster_state *s = v->state;
    const struct hf_node_view *p = hf_view_node(v, &s->primary);
    hf_dur limit = hf_lease_wait(v->ttl, v->margin_ppm);
    if (s->primary_epoch.v != s->epoch.v) {
        (void)snprintf(text, HF_REASON_SIZE, "NO_CHOICE: the last plan failed, epoch %llu is void",
                       (unsigned long long)s->epoch.v);
        return text;
    }
    if (p != NULL && p->seen && p->beat.surrendered.v >= s->primary_epoch.v) {
        (void)snprintf(text, HF_REASON_SIZE, "SURRENDERED: %s gave up epoch %llu", s->primary.s,
                       (unsigned long long)s->primary_epoch.v);
        return text;
    }
    bool leases_over =
        hf_lclk_reached(v->now, v->outstanding.until) && hf_lclk_reached(v->now, v->floor);
    /* A coordinator that was away itself first listens for two heartbeats. One that listened as a
     * follower has heard what there was: agents report to every coordinator. */
    bool listened = hf_lclk_sub(v->now, v->listening_since).us >= HF_MS(500).us;
    hf_dur silence = p == NULL ? limit : hf_node_silence(v, p);
    if (!leases_over || !listened) {
        return NULL;
    }
    if (silence.us >= limit.us) {
        (void)snprintf(text, HF_REASON_SIZE, "NODE_SILENT: %s for %.1f s > %.1f s", s->primary.s,
                       (double)silence.us / 1e6, (double)limit.us / 1e6);
        return text;
    }
    bool idle = p->beat.state == HF_NODE_DOWN || p->beat.state == HF_NODE_EMPTY ||
                p->beat.state == HF_NODE_STANDBY || p->beat.state == HF_NODE_PREPARED;
    if (idle && !p->beat.want_lease && hf_node_present(v, p)) {
        (void)snprintf(text, HF_REASON_SIZE, "NOT_LEADING: %s is %s and asks for no lease",
                       s->primary.s, hf_node_state_name(p->beat.state));
        return text;
    }
    return NULL;
}

/* A node that the primary may be told of as a candidate. */
static bool desirable(const struct hf_cluster_view *v, const struct hf_node_view *n, bool member)
{
    if (hf_name_equal(&n->name, &v->state->primary) || !n->seen || hf_node_foreign(v, n)) {
        return false;
    }
    if (member) {
        /* Early enough that the failsafe stays possible, late enough not to flap. */
        return hf_node_silence(v, n).us < 2 * v->ttl.us && n->beat.state != HF_NODE_EMPTY &&
               n->beat.state != HF_NODE_COPYING;
    }
    return hf_node_present(v, n) && n->beat.state == HF_NODE_STANDBY && n->beat.streaming &&
           n->beat.epoch.v <= v->state->epoch.v;
}

static bool same_members(const struct hf_candidates *a, const struct hf_candidates *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (int i = 0; i < a->count; i++) {
        if (!hf_candidates_contain(b, &a->members[i])) {
            return false;
        }
    }
    return true;
}

/* One change at a time: the next version only after the present one is acknowledged (L4). */
static bool candidates_step(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_cluster_state *s = v->state;
    const struct hf_node_view *p = hf_view_node(v, &s->primary);
    if (p == NULL || !hf_node_present(v, p) || p->beat.state != HF_NODE_PRIMARY ||
        p->beat.lease_epoch.v != s->primary_epoch.v) {
        return false;
    }
    if (s->acked.version != s->candidates.version) {
        if (p->beat.candidates_acked != s->candidates.version) {
            return false;
        }
        hf_decide_write(v, out);
        out->state.acked = s->candidates;
        return true;
    }
    struct hf_candidates want = {.version = s->candidates.version + 1};
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (desirable(v, n, hf_candidates_contain(&s->candidates, &n->name))) {
            want.members[want.count++] = n->name;
        }
    }
    /* Never the last one: with it dead and the primary lost, a person must decide anyway. */
    if (same_members(&want, &s->candidates) || (want.count == 0 && s->candidates.count > 0)) {
        return false;
    }
    hf_decide_write(v, out);
    out->state.candidates = want;
    return true;
}

/* A node that is not heard of is named, and what looks sound and is not: a primary whose PostgreSQL
 * runs without answering, one with next to no room left (it refuses writes or ends itself). */
static void warn_of_nodes(const struct hf_cluster_view *v, struct hf_decision *out)
{
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (hf_node_silence(v, n).us > v->ttl.us) {
            hf_decide_warn(out, "NODE_SILENT: %s unheard for %.0f s > %.0f s", n->name.s,
                           (double)hf_node_silence(v, n).us / 1e6, (double)v->ttl.us / 1e6);
            continue;
        }
        if (n->beat.state == HF_NODE_PRIMARY && n->beat.pg_silent) {
            hf_decide_warn(out, "PG_SILENT: PostgreSQL of %s runs and does not answer", n->name.s);
        }
        if (n->beat.disk_known && n->beat.disk_free < HF_DISK_LOW_BYTES) {
            hf_decide_warn(out, "DISK_FULL: %s has %.1f MB left for data or WAL < %.0f MB",
                           n->name.s, (double)n->beat.disk_free / 1e6,
                           (double)HF_DISK_LOW_BYTES / 1e6);
        }
    }
}

static void steady(const struct hf_cluster_view *v, struct hf_decision *out)
{
    char text[HF_REASON_SIZE];
    const char *lost = hf_view_primary_lost(v, text);
    if (lost != NULL) {
        if (v->policy->failover.mode == HF_FAILOVER_MANUAL) {
            hf_decide_warn(out, "MANUAL: %s; failover waits for a person", lost);
            return;
        }
        hf_plan_start_failover(v, "", false, lost, out);
        return;
    }
    if (candidates_step(v, out)) {
        return;
    }
    warn_of_nodes(v, out);
    for (size_t i = 0; i < v->policy->backup_count; i++) {
        if (v->policy->backups[i].cron[0] != '\0') {
            hf_decide_warn(out, "UNSCHEDULED: backup %s starts only by holdfast backup create",
                           v->policy->backups[i].name.s);
        }
    }
    (void)hf_nodes_attach(v, out);
    const struct hf_node_view *p = hf_view_node(v, &v->state->primary);
    if (p != NULL && p->beat.state == HF_NODE_PRIMARY && !p->beat.guard) {
        hf_decide_warn(out,
                       "LESSER_GUARANTEE: %s runs without the commit guard; at the end of a lease "
                       "commits end with the fencer",
                       p->name.s);
    }
    if (v->policy->route.present && !v->route_done && p != NULL &&
        p->beat.state == HF_NODE_PRIMARY) {
        out->route = true;
        out->route_node = p->name;
        memcpy(out->route_address, p->address, sizeof out->route_address);
    }
}

void hf_cluster_decide(const struct hf_cluster_view *v, struct hf_decision *out)
{
    memset(out, 0, offsetof(struct hf_decision, command));
    out->commands = 0;
    out->begin = HF_GENERATION(0);
    out->route = false;
    out->warnings = 0;
    out->next_wakeup = hf_lclk_add(v->now, HF_MS(500));
    if (v->policy->level < HF_LEVEL_MANAGE) {
        char text[HF_REASON_SIZE];
        const char *lost = hf_name_empty(&v->state->primary) ? NULL : hf_view_primary_lost(v, text);
        if (lost != NULL) {
            hf_decide_warn(out, "OBSERVE: would fail over: %.120s", lost);
        }
        return;
    }
    if (v->doubt[0] != '\0') {
        hf_doubt_decide(v, out);
        return;
    }
    if (v->state->paused) {
        hf_decide_warn(out, "PAUSED: no plan begins or goes on; leases are renewed");
        return;
    }
    if (v->plan != NULL) {
        hf_plan_go_on(v, out);
    } else if (hf_name_empty(&v->state->primary)) {
        bootstrap(v, out);
    } else {
        steady(v, out);
    }
    hf_generation_follow(v, out);
}
