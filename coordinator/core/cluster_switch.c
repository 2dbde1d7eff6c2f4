/* SPDX-License-Identifier: Apache-2.0
 *
 * Switchover: a person moves a healthy primary. While its clients still work it is drained; then it
 * shuts down cleanly under its lease and surrenders; from there on the plan is a failover whose
 * choice must end exactly where the old primary ended. Who does not: the old one leads again, at
 * the next epoch.
 * Invariant: nothing that is acknowledged is lost; nothing happens to clients before every
 * condition that can be known was met.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/core/cluster_parts.h"

enum {
    DRAIN_LATE_MS = 90000, /* the agent itself gives up after 60 s */
    STOP_LATE_MS = 75000   /* likewise */
};
/* A standby further behind than this would make clients wait for it. */
#define LAG_MAX ((uint64_t)16 << 20)

static bool wished(const char *wish, const struct hf_node_view *n)
{
    return wish[0] == '\0' || hf_name_is(&n->name, wish) || hf_name_is(&n->region, wish);
}

/* Why this node cannot take over now, NULL when it can. */
static const char *unfit(const struct hf_cluster_view *v, const struct hf_node_view *n,
                         const struct hf_node_view *primary)
{
    if (hf_node_foreign(v, n)) {
        return "holds another system";
    }
    if (!hf_node_present(v, n) || n->beat.state != HF_NODE_STANDBY) {
        return "is no standby that answers";
    }
    if (!n->beat.streaming || n->beat.timeline.v != primary->beat.timeline.v) {
        return "does not stream from the primary";
    }
    if (!hf_node_eligible(v, &n->name)) {
        return "is no acknowledged candidate yet";
    }
    if (hf_lsn_lag(primary->beat.flushed, n->beat.flushed) > LAG_MAX) {
        return "is more than 16 MB behind";
    }
    return hf_policy_excluded(v->policy, &n->region) ? "is in an excluded region" : NULL;
}

/* The fit node that was asked for; of several the one that is least behind. */
static const struct hf_node_view *target(const struct hf_cluster_view *v, const char *wish,
                                         char why[HF_REASON_SIZE])
{
    const struct hf_node_view *primary = hf_view_node(v, &v->state->primary);
    const struct hf_node_view *best = NULL;
    (void)snprintf(why, HF_REASON_SIZE, "NO_TARGET: no other node is called %.60s",
                   wish[0] == '\0' ? "anything" : wish);
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (n == primary || !wished(wish, n)) {
            continue;
        }
        const char *reason = unfit(v, n, primary);
        if (reason != NULL) {
            (void)snprintf(why, HF_REASON_SIZE, "NO_TARGET: %.63s %.60s", n->name.s, reason);
        } else if (best == NULL || n->beat.flushed.v > best->beat.flushed.v ||
                   (n->beat.flushed.v == best->beat.flushed.v &&
                    hf_policy_preference(v->policy, &n->region) <
                        hf_policy_preference(v->policy, &best->region))) {
            best = n;
        }
    }
    return best;
}

/* NULL when a switchover may begin, with *ret_to; else the rule, in `text`. */
static const char *refusal(const struct hf_cluster_view *v, const char *wish,
                           const struct hf_node_view **ret_to, char text[HF_REASON_SIZE])
{
    const struct hf_cluster_state *s = v->state;
    const struct hf_node_view *p = hf_view_node(v, &s->primary);
    *ret_to = NULL;
    if (v->doubt[0] != '\0') {
        (void)snprintf(text, HF_REASON_SIZE, "%s", v->doubt);
        return text;
    }
    if (v->policy->level < HF_LEVEL_MANAGE) {
        return "LEVEL: the cluster is below level manage";
    }
    if (s->paused) {
        return "PAUSED: resume the cluster first";
    }
    if (s->plan[0] != '\0') {
        (void)snprintf(text, HF_REASON_SIZE, "PLAN_RUNS: %.60s is under way", s->plan);
        return text;
    }
    if (p == NULL || s->primary_epoch.v != s->epoch.v || !hf_node_present(v, p) ||
        p->beat.state != HF_NODE_PRIMARY || p->beat.lease_remaining.us <= 0) {
        return "NO_PRIMARY: no primary that answers holds a lease; that is a failover";
    }
    if (p->beat.repository_known && !p->beat.repository_ok) {
        return "ARCHIVE: the primary's own repository does not answer; its shutdown would wait "
               "for it";
    }
    *ret_to = target(v, wish, text);
    return *ret_to == NULL ? text : NULL;
}

hf_result hf_cluster_switch_preview(const struct hf_cluster_view *view, const char *wish,
                                    struct hf_plan *ret, struct hf_err *err)
{
    const struct hf_node_view *to = NULL;
    char text[HF_REASON_SIZE];
    const char *why = refusal(view, wish, &to, text);
    if (why != NULL) {
        return hf_fail(err, HF_E_REFUSED, "%s", why);
    }
    struct hf_plan p;
    memset(&p, 0, sizeof p);
    p.kind = HF_PLAN_SWITCHOVER;
    p.epoch = HF_EPOCH(view->state->epoch.v + 1);
    p.from = view->state->primary;
    p.from_epoch = view->state->primary_epoch;
    p.to = to->name;
    (void)snprintf(p.wish, sizeof p.wish, "%s", wish);
    p.loss.known = true; /* or no switch */
    const struct hf_node_view *primary = hf_view_node(view, &p.from);
    hf_plan_reason(&p, "TARGET: %s streams, %llu bytes behind", to->name.s,
                   (unsigned long long)hf_lsn_lag(primary->beat.flushed, to->beat.flushed));
    *ret = p;
    return hf_done();
}

hf_result hf_cluster_switch_request(const struct hf_cluster_view *view, const char *wish,
                                    struct hf_decision *ret, struct hf_err *err)
{
    struct hf_plan preview;
    HF_TRY(hf_cluster_switch_preview(view, wish, &preview, err));
    hf_decide_write(view, ret);
    struct hf_cluster_state *s = &ret->state;
    struct hf_plan *p = &ret->plan;
    *p = preview;
    /* The node that was found fit is the one: another one may be chosen only by another plan. */
    (void)snprintf(p->wish, sizeof p->wish, "%s", preview.to.s);
    memset(&p->to, 0, sizeof p->to);
    memset(&p->loss, 0, sizeof p->loss);
    p->epoch = s->epoch; /* burnt when the primary has stopped */
    s->plans++;
    (void)snprintf(p->id, sizeof p->id, "s-%04llu", (unsigned long long)s->plans);
    memcpy(s->plan, p->id, sizeof s->plan);
    p->requested = true;
    p->detected_us = view->wall_us;
    p->step = HF_STEP_DRAIN;
    p->entered_us[HF_STEP_DRAIN] = view->wall_us;
    ret->write_plan = true;
    return hf_done();
}

/* The command of this plan to the old primary; what became of it is in its heartbeats. */
static struct hf_command *command(const struct hf_cluster_view *v, struct hf_decision *out,
                                  const struct hf_node_view *p, enum hf_command_kind kind,
                                  const char *id)
{
    struct hf_command *c = hf_decide_command(out, p, kind, v->plan->from_epoch);
    (void)snprintf(c->id, sizeof c->id, "%s", id);
    return c;
}

void hf_switch_drain(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *p = hf_view_node(v, &plan->from);
    char text[HF_REASON_SIZE];
    char id[HF_LABEL_SIZE];
    const char *lost = hf_view_primary_lost(v, text);
    (void)snprintf(id, sizeof id, "drain.%.40s", plan->id);
    if (lost != NULL || p == NULL) {
        hf_plan_reason(hf_plan_move(v, out, HF_STEP_FAILED), "%s",
                       lost != NULL ? lost : "NO_PRIMARY: it left the policy");
        return;
    }
    bool ended = strcmp(p->beat.op, id) == 0;
    if (ended && p->beat.op_status == HF_OP_FAILED) {
        hf_plan_reason(hf_plan_move(v, out, HF_STEP_FAILED), "NOT_DRAINED: %.120s",
                       p->beat.op_error);
        return;
    }
    const struct hf_node_view *to = target(v, plan->wish, text);
    if (ended && p->beat.op_status == HF_OP_DONE && to != NULL) {
        struct hf_plan *next = hf_plan_move(v, out, HF_STEP_STOP);
        hf_plan_reason(next, "DRAINED: %s has nothing left to archive; %s is %llu bytes behind",
                       p->name.s, to->name.s,
                       (unsigned long long)hf_lsn_lag(p->beat.flushed, to->beat.flushed));
        return;
    }
    if (hf_plan_in_step(v).us > HF_MS(DRAIN_LATE_MS).us) {
        hf_plan_reason(hf_plan_move(v, out, HF_STEP_FAILED), "%s",
                       to == NULL ? text : "NOT_DRAINED: not within 90 s");
        return;
    }
    if (hf_node_present(v, p) && !(ended && p->beat.op_status == HF_OP_DONE)) {
        (void)command(v, out, p, HF_COMMAND_DRAIN, id);
    }
}

void hf_switch_stop(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_plan *plan = v->plan;
    const struct hf_node_view *p = hf_view_node(v, &plan->from);
    char text[HF_REASON_SIZE];
    char id[HF_LABEL_SIZE];
    (void)snprintf(id, sizeof id, "stop.%.40s", plan->id);
    const char *lost = hf_view_primary_lost(v, text);
    bool refused = p != NULL && strcmp(p->beat.op, id) == 0 && p->beat.op_status == HF_OP_FAILED &&
                   p->beat.state == HF_NODE_PRIMARY;
    if (refused && lost == NULL) {
        hf_plan_reason(hf_plan_move(v, out, HF_STEP_FAILED), "NOT_STOPPED: %.120s",
                       p->beat.op_error);
        return;
    }
    bool late = hf_plan_in_step(v).us > HF_MS(STOP_LATE_MS).us;
    if (lost != NULL || late || p == NULL) {
        struct hf_plan *next = hf_plan_move(v, out, HF_STEP_PREPARE);
        out->state.epoch.v++;
        next->epoch = out->state.epoch;
        hf_plan_reason(next, "%s", lost != NULL ? lost : "STOP_LATE: it did not stop in time");
        return;
    }
    if (hf_node_present(v, p) && p->beat.state == HF_NODE_PRIMARY) {
        (void)command(v, out, p, HF_COMMAND_STOP, id);
    }
}

const struct hf_node_view *hf_switch_choose(const struct hf_cluster_view *v, struct hf_plan *p)
{
    const struct hf_node_view *old = hf_view_node(v, &p->from);
    bool known = old != NULL && hf_node_prepared(old, p->epoch);
    /* An old primary whose end is not known: what is left is a failover, the furthest leads. */
    const struct hf_node_view *to = hf_plan_choose(v, &p->from, p->epoch, known ? p->wish : "", p);
    if (!known) {
        return to;
    }
    if (to != NULL && to->beat.final_timeline.v == old->beat.final_timeline.v &&
        to->beat.final.v >= old->beat.final.v) {
        return to;
    }
    char text[HF_LSN_SIZE];
    hf_plan_reason(
        p, "SWITCH_BACK: %.63s does not reach %s, where %.40s ended: that one leads again",
        to == NULL ? p->wish : to->name.s, hf_lsn_format(old->beat.final, text), old->name.s);
    return old;
}
