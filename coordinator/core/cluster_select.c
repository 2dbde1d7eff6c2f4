/* SPDX-License-Identifier: Apache-2.0
 *
 * Selection, predicted loss, and what a person may ask for.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/core/cluster_parts.h"

static bool wished(const char *wish, const struct hf_node_view *n)
{
    return wish[0] == '\0' || hf_name_is(&n->name, wish) || hf_name_is(&n->region, wish);
}

/* True when a is the better choice: the further one; of equals the preferred region, the old
 * holder last (a promotion is quicker than its recovery). */
static bool better(const struct hf_cluster_view *v, const struct hf_node_view *a,
                   const struct hf_node_view *b, const hf_name *from)
{
    if (a->beat.final_timeline.v != b->beat.final_timeline.v) {
        return a->beat.final_timeline.v > b->beat.final_timeline.v;
    }
    if (a->beat.final.v != b->beat.final.v) {
        return a->beat.final.v > b->beat.final.v;
    }
    bool a_old = hf_name_equal(&a->name, from);
    if (a_old != hf_name_equal(&b->name, from)) {
        return !a_old;
    }
    return hf_policy_preference(v->policy, &a->region) <
           hf_policy_preference(v->policy, &b->region);
}

/* After a recovery the records do not tell the cluster's history: the newest timeline is it. */
static hf_tli newest_timeline(const struct hf_cluster_view *v, hf_epoch epoch)
{
    hf_tli newest = {0};
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (hf_node_prepared(n, epoch) && !hf_node_foreign(v, n) &&
            n->beat.final_timeline.v > newest.v) {
            newest = n->beat.final_timeline;
        }
    }
    return newest;
}

static bool admissible(const struct hf_cluster_view *v, const struct hf_node_view *n,
                       const hf_name *from, hf_epoch epoch, struct hf_plan *p)
{
    bool old = hf_name_equal(&n->name, from);
    if (old ? p->requested : !hf_node_eligible(v, &n->name)) {
        return false; /* who asks for a failover wants another node */
    }
    if (!hf_node_prepared(n, epoch)) {
        hf_plan_reason(p, "CANDIDATE_UNKNOWN: %s did not report its end", n->name.s);
        return false;
    }
    /* The last choice may have begun the timeline that was reserved for it, nobody else; an adopted
     * one may never have been seen writable. A node that diverged holds none of the present
     * timeline, however far it reaches. */
    hf_tli timeline = n->beat.final_timeline;
    bool begun = old && p->kind != HF_PLAN_RECOVERY && timeline.v > v->state->timeline.v &&
                 (timeline.v <= v->state->reserved.v || v->state->timeline.v == 0);
    bool known = begun || (p->kind == HF_PLAN_RECOVERY ? timeline.v == newest_timeline(v, epoch).v
                                                       : hf_on_history(v, timeline, n->beat.final));
    if (hf_node_foreign(v, n) || !known) {
        hf_plan_reason(p,
                       "OTHER_HISTORY: %s ends on timeline %u, off the history of the cluster's "
                       "timeline %u",
                       n->name.s, timeline.v, v->state->timeline.v);
        return false;
    }
    if (!old && hf_policy_excluded(v->policy, &n->region)) {
        hf_plan_reason(p, "EXCLUDED: region %s", n->region.s);
        return false;
    }
    return true;
}

const struct hf_node_view *hf_plan_choose(const struct hf_cluster_view *v, const hf_name *from,
                                          hf_epoch epoch, const char *wish, struct hf_plan *p)
{
    const struct hf_node_view *best = NULL;
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (wished(wish, n) && admissible(v, n, from, epoch, p) &&
            (best == NULL || better(v, n, best, from))) {
            best = n;
        }
    }
    if (best != NULL) {
        char text[HF_LSN_SIZE];
        hf_plan_reason(p, "FURTHEST: %s ends at %s on timeline %u", best->name.s,
                       hf_lsn_format(best->beat.final, text), best->beat.final_timeline.v);
    }
    return best;
}

static struct hf_loss loss_to(const struct hf_cluster_view *v, const struct hf_node_view *choice,
                              const hf_name *from)
{
    struct hf_loss loss = {0};
    if (hf_name_equal(&choice->name, from)) {
        loss.known = true; /* its own WAL, to its end */
        return loss;
    }
    const struct hf_node_view *old = hf_view_node(v, from);
    bool ends_known = old != NULL && hf_node_prepared(old, choice->beat.prepared) &&
                      old->beat.final_timeline.v == choice->beat.final_timeline.v;
    if (ends_known && old->beat.final.v <= choice->beat.final.v) {
        loss.known = true; /* the old holder itself says that it has nothing more */
        return loss;
    }
    if (v->ring == NULL || v->ring->count == 0 || v->ring->epoch.v != v->state->primary_epoch.v ||
        old == NULL || !old->seen) {
        return loss; /* nothing was seen of the last holder's tenure */
    }
    struct hf_exposure e = hf_exposure_loss(v->ring, choice->beat.final,
                                            hf_exposure_clock(v->ring, v->now), v->margin_ppm);
    loss.known = e.known;
    loss.bytes = e.bytes;
    loss.time = e.age;
    if (ends_known) {
        loss.bytes = hf_lsn_lag(old->beat.final, choice->beat.final);
    }
    return loss;
}

struct hf_loss hf_plan_loss(const struct hf_cluster_view *v, const struct hf_node_view *choice,
                            const hf_name *from)
{
    struct hf_loss loss = loss_to(v, choice, from);
    if (v->state->owes) {
        const struct hf_loss *owed = &v->state->owed;
        loss.known = loss.known && owed->known;
        loss.bytes += owed->bytes;
        loss.time.us += owed->time.us;
    }
    return loss;
}

const char *hf_plan_loss_excess(const struct hf_policy *policy, const struct hf_loss *loss)
{
    if (!loss->known) {
        return policy->failover.max_loss_time.us == HF_POLICY_NO_TIME_LIMIT.us &&
                       policy->failover.max_loss_wal == HF_POLICY_NO_WAL_LIMIT
                   ? NULL
                   : "LOSS_UNKNOWN: nothing was measured that bounds the loss";
    }
    if (loss->time.us > policy->failover.max_loss_time.us) {
        return "LOSS_TIME: predicted loss is above failover.max_loss.time";
    }
    if (loss->bytes > policy->failover.max_loss_wal) {
        return "LOSS_WAL: predicted loss is above failover.max_loss.wal";
    }
    return NULL;
}

/* As if every node that can answer were prepared at the positions that it reports now. */
hf_result hf_cluster_plan_preview(const struct hf_cluster_view *view, const char *wish,
                                  struct hf_plan *ret, struct hf_err *err)
{
    const struct hf_cluster_state *s = view->state;
    if (view->doubt[0] == '\0' && view->plan != NULL && view->plan->step == HF_STEP_CONFIRM) {
        *ret = *view->plan; /* this is what a person is asked about */
        return hf_done();
    }
    if (view->doubt[0] != '\0') {
        return hf_fail(err, HF_E_REFUSED, "%s", view->doubt);
    }
    if (hf_name_empty(&s->primary)) {
        return hf_fail(err, HF_E_REFUSED, "NO_PRIMARY: the cluster was not bootstrapped yet");
    }
    if (s->plan[0] != '\0') {
        return hf_fail(err, HF_E_REFUSED, "PLAN_RUNS: %s is under way", s->plan);
    }
    if (view->policy->level < HF_LEVEL_MANAGE) {
        return hf_fail(err, HF_E_REFUSED, "LEVEL: the cluster is below level manage");
    }
    struct hf_cluster_view *copy = hf_alloc(sizeof *copy);
    *copy = *view;
    for (int i = 0; i < copy->node_count; i++) {
        struct hf_node_view *n = &copy->nodes[i];
        bool answers = hf_node_present(view, n) && n->beat.state == HF_NODE_STANDBY &&
                       !hf_name_equal(&n->name, &s->primary);
        n->beat.state = answers ? HF_NODE_PREPARED : HF_NODE_UNKNOWN;
        n->beat.prepared = HF_EPOCH(s->epoch.v + 1);
        n->beat.final = hf_lsn_max(n->beat.flushed, n->beat.replayed);
        n->beat.final_timeline = n->beat.timeline;
        n->beat.final_known = answers && n->beat.final.v != 0;
    }
    struct hf_plan p;
    memset(&p, 0, sizeof p);
    p.kind = HF_PLAN_FAILOVER;
    p.epoch = HF_EPOCH(s->epoch.v + 1);
    p.from = s->primary;
    p.from_epoch = s->primary_epoch;
    (void)snprintf(p.wish, sizeof p.wish, "%s", wish);
    const struct hf_node_view *to = hf_plan_choose(copy, &p.from, p.epoch, wish, &p);
    if (to == NULL) {
        hf_free(copy);
        return hf_fail(err, HF_E_REFUSED, "NO_CANDIDATE: %s",
                       p.reasons > 0 ? p.reason[0] : "no acknowledged candidate answers");
    }
    p.to = to->name;
    p.fork = to->beat.final;
    p.parent = to->beat.final_timeline;
    p.loss = hf_plan_loss(copy, to, &p.from);
    const char *excess = hf_plan_loss_excess(view->policy, &p.loss);
    if (excess != NULL) {
        hf_plan_reason(&p, "%s", excess);
    }
    hf_free(copy);
    *ret = p;
    return hf_done();
}

hf_result hf_cluster_plan_request(const struct hf_cluster_view *view, const char *wish,
                                  struct hf_decision *ret, struct hf_err *err)
{
    if (view->doubt[0] == '\0' && view->plan != NULL && view->plan->step == HF_STEP_CONFIRM) {
        hf_decide_write(view, ret);
        ret->write_plan = true;
        ret->reserve = HF_TLI(0);
        ret->begin = HF_GENERATION(0);
        ret->plan.confirmed = true;
        return hf_done();
    }
    struct hf_plan p;
    HF_TRY(hf_cluster_plan_preview(view, wish, &p, err));
    if (view->state->paused) {
        return hf_fail(err, HF_E_REFUSED, "PAUSED: resume the cluster first");
    }
    memset(ret, 0, offsetof(struct hf_decision, command));
    ret->commands = 0;
    ret->warnings = 0;
    hf_plan_start_failover(view, wish, true, "REQUESTED: by a person", ret);
    return hf_done();
}
