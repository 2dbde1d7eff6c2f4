/* SPDX-License-Identifier: Apache-2.0
 *
 * Recovery after etcd was restored (L12): a person begins a new generation.
 * Invariants: its epoch is above every one that anybody who is heard knows; the node that holds a
 * lease is the choice or nothing is done. It is begun without one only while every node is heard
 * and none leads, in the policy or out of it; then somebody is chosen after all of them have left
 * the old generation and what they promised in it has run out. So the only lease that may run when
 * a choice is written is the choice's own, or that of a node that was taken out of the policy
 * together with all its candidates, and that nobody hears.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "coordinator/core/cluster_parts.h"

typedef unsigned long long ull;

/* An agent out of the policy that was heard leading counts that long: it may only be cut off. */
enum { OUTSIDE_MS = 60000 };

static uint64_t max64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What everybody knows, together. */
struct known {
    uint64_t generation;
    uint64_t epoch;
    const hf_name *epoch_of; /* NULL: the records */
    uint64_t version;        /* of candidate sets */
    uint32_t timeline;       /* highest number in use */
    uint32_t newest;         /* ... of a node's data */
};

static void learn(struct known *k, const struct hf_cluster_view *v, const struct hf_node_view *n)
{
    const struct hf_heartbeat *b = &n->beat;
    uint64_t epoch = max64(b->epoch.v, max64(b->prepared.v, b->surrendered.v));
    epoch = max64(epoch, max64(b->lease_epoch.v, b->promise_epoch.v));
    uint32_t data =
        b->final_known && b->final_timeline.v > b->timeline.v ? b->final_timeline.v : b->timeline.v;
    if (!n->seen || hf_node_foreign(v, n)) {
        return;
    }
    k->generation = max64(k->generation, b->generation.v);
    k->version = max64(k->version, max64(b->candidates_acked, b->candidates_known));
    k->newest = data > k->newest ? data : k->newest;
    k->timeline = data > k->timeline ? data : k->timeline;
    k->timeline = b->wal_timeline.v > k->timeline ? b->wal_timeline.v : k->timeline;
    if (epoch > k->epoch && !HF_PLANTED(HF_PLANT_RECOVERED_LOW)) {
        k->epoch = epoch;
        k->epoch_of = &n->name;
    }
}

static struct known what_is_known(const struct hf_cluster_view *v)
{
    const struct hf_cluster_state *s = v->state;
    struct known k = {.generation = max64(s->generation.v, v->control.v),
                      .epoch = s->epoch.v,
                      .version = s->candidates.version,
                      .timeline = s->reserved.v > s->timeline.v ? s->reserved.v : s->timeline.v,
                      .newest = 0};
    for (int i = 0; i < v->node_count; i++) {
        learn(&k, v, &v->nodes[i]);
    }
    uint32_t newest = k.newest; /* of those who may be chosen */
    for (int i = 0; i < v->outside_count; i++) {
        learn(&k, v, &v->outside[i]);
    }
    k.newest = newest;
    return k;
}

/* One that was elected holds nothing, and gets no lease any more. */
static bool leads_now(enum hf_node_state s)
{
    return s == HF_NODE_STARTING || s == HF_NODE_PRIMARY || s == HF_NODE_STOPPING ||
           s == HF_NODE_FENCING;
}

/* Whoever is needed and does not answer. */
static const struct hf_node_view *unheard(const struct hf_cluster_view *v)
{
    for (int i = 0; i < v->node_count; i++) {
        if (!hf_node_present(v, &v->nodes[i]) || v->nodes[i].beat.state == HF_NODE_UNKNOWN) {
            return &v->nodes[i];
        }
    }
    return NULL;
}

static hf_result refuse_early(const struct hf_cluster_view *v, struct hf_err *err)
{
    const struct hf_cluster_state *s = v->state;
    bool others = false;
    for (int i = 0; i < v->node_count; i++) {
        others = others || v->nodes[i].other.v != 0;
    }
    if (v->policy->level < HF_LEVEL_MANAGE) {
        return hf_fail(err, HF_E_REFUSED, "LEVEL: the cluster is below level manage");
    }
    if (v->doubt[0] == '\0' && !others) {
        return hf_fail(err, HF_E_REFUSED,
                       "NOT_RESTORED: nobody knows more than etcd; there is "
                       "nothing to recover from");
    }
    if (s->paused) {
        return hf_fail(err, HF_E_REFUSED, "PAUSED: resume the cluster first");
    }
    if (v->doubt[0] == '\0' && s->plan[0] != '\0') {
        return hf_fail(err, HF_E_REFUSED, "PLAN_RUNS: %s is under way", s->plan);
    }
    /* Grants and commands of leaders before this one are over then. */
    hf_dur wait = hf_lease_wait(v->ttl, v->margin_ppm);
    wait = wait.us < HF_SEC(5).us ? HF_SEC(5) : wait;
    if (hf_lclk_sub(v->now, v->leader_since).us < wait.us || !hf_lclk_reached(v->now, v->floor)) {
        return hf_fail(err, HF_E_REFUSED, "LISTENING: this leader leads for less than %.0f s",
                       (double)wait.us / 1e6);
    }
    return hf_done();
}

/* Restored records may lack a node that joined since, and a person may take the wrong one out:
 * whoever leads there would be one too many, and what it alone holds would be lost. */
static hf_result refuse_outside(const struct hf_cluster_view *v, bool leased, struct hf_err *err)
{
    for (int i = 0; i < v->outside_count; i++) {
        const struct hf_node_view *n = &v->outside[i];
        enum hf_node_state s = n->beat.state;
        bool leads = leads_now(s) || s == HF_NODE_UNMANAGED;
        bool data = s != HF_NODE_EMPTY && s != HF_NODE_ARCHIVE;
        bool here = hf_node_present(v, n);
        bool lately = hf_node_silence(v, n).us < HF_MS(OUTSIDE_MS).us;
        if (hf_node_foreign(v, n)) {
            continue; /* of another cluster, by mistake */
        }
        if (leads && (here || lately)) {
            return hf_fail(err, HF_E_REFUSED,
                           "OUTSIDE: %s is %s and not in the policy; put it in, or end PostgreSQL "
                           "and agent there and ask again in a minute",
                           n->name.s, hf_node_state_name(s));
        }
        if (data && here && !leased) {
            return hf_fail(err, HF_E_REFUSED,
                           "OUTSIDE: %s is heard and not in the policy; put it in, or end "
                           "PostgreSQL and agent there",
                           n->name.s);
        }
    }
    return hf_done();
}

/* Without a lease it may only look like the primary: somebody out of sight may lead a later
 * epoch. Until that ends, its candidates say so. */
static hf_result refuse_promised(const struct hf_cluster_view *v,
                                 const struct hf_node_view *primary, struct hf_err *err)
{
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (n->beat.promise_epoch.v > primary->beat.lease_epoch.v &&
            !hf_lclk_reached(v->now, n->promise_until)) {
            return hf_fail(err, HF_E_REFUSED,
                           "PROMISED: %s has no lease, and %s promises to whoever leads epoch %llu",
                           primary->name.s, n->name.s, (ull)n->beat.promise_epoch.v);
        }
    }
    return hf_done();
}

/* The node that really is the primary; NULL: nobody leads, and everybody was asked. */
static hf_result find_primary(const struct hf_cluster_view *v, const char *named,
                              const struct hf_node_view **ret, struct hf_err *err)
{
    const struct hf_node_view *primary = NULL;
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (!hf_node_present(v, n)) {
            continue;
        }
        if (n->beat.state == HF_NODE_UNMANAGED) {
            return hf_fail(err, HF_E_REFUSED, "UNMANAGED: %s is writable and was never adopted",
                           n->name.s);
        }
        if (leads_now(n->beat.state) && n->beat.state != HF_NODE_PRIMARY) {
            return hf_fail(err, HF_E_REFUSED, "BUSY: %s is %s; look again when that has ended",
                           n->name.s, hf_node_state_name(n->beat.state));
        }
        if (n->beat.state == HF_NODE_PRIMARY && primary != NULL) {
            return hf_fail(err, HF_E_REFUSED, "AMBIGUOUS: %s and %s are writable; end one of them",
                           primary->name.s, n->name.s);
        }
        primary = n->beat.state == HF_NODE_PRIMARY ? n : primary;
    }
    const struct hf_node_view *silent = unheard(v);
    if (silent != NULL && (primary == NULL || primary->beat.lease_remaining.us <= 0)) {
        return hf_fail(err, HF_E_REFUSED,
                       "NODE_SILENT: %s is not heard, and no lease runs that excludes that it "
                       "leads; take a node that is lost out of the policy first",
                       silent->name.s);
    }
    if (primary != NULL && named[0] != '\0' && !hf_name_is(&primary->name, named)) {
        return hf_fail(err, HF_E_REFUSED, "AMBIGUOUS: %s is named, %s is writable; end that first",
                       named, primary->name.s);
    }
    bool leased = primary != NULL && primary->beat.lease_remaining.us > 0;
    HF_TRY(refuse_outside(v, leased, err));
    if (primary != NULL && !leased) {
        HF_TRY(refuse_promised(v, primary, err));
    }
    if (primary == NULL && !hf_lclk_reached(v->now, v->outstanding.until)) {
        return hf_fail(err, HF_E_REFUSED, "LISTENING: a lease that was granted may still run");
    }
    *ret = primary;
    return hf_done();
}

static bool may_be_chosen(const struct hf_cluster_view *v, const struct hf_node_view *n)
{
    enum hf_node_state s = n->beat.state;
    return !hf_node_foreign(v, n) &&
           (s == HF_NODE_STANDBY || s == HF_NODE_DOWN || s == HF_NODE_PREPARED ||
            s == HF_NODE_PREPARING || s == HF_NODE_FOLLOWING || s == HF_NODE_ELECTED);
}

/* Nobody leads: all who hold data may be chosen, and a failover finds the furthest. */
static hf_result choose_later(const struct hf_cluster_view *v, const char *named,
                              struct hf_decision *d, struct hf_err *err)
{
    struct hf_cluster_state *s = &d->state;
    struct hf_plan *p = &d->plan;
    bool found = named[0] == '\0';
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (may_be_chosen(v, n)) {
            s->candidates.members[s->candidates.count++] = n->name;
            found = found || hf_name_is(&n->name, named);
        }
    }
    if (!found || s->candidates.count == 0) {
        return hf_fail(err, HF_E_REFUSED, "NO_CANDIDATE: %s holds no data that could lead",
                       named[0] == '\0' ? "nobody" : named);
    }
    p->from = s->primary;
    p->from_epoch = HF_EPOCH(s->epoch.v - 1); /* to be proven over, whoever led it */
    p->step = HF_STEP_PREPARE;
    (void)snprintf(p->wish, sizeof p->wish, "%s", named);
    hf_plan_reason(p, "NOBODY_LEADS: every node is heard, none leads; the furthest is chosen");
    return hf_done();
}

static void go_on(const struct hf_node_view *primary, struct hf_decision *d)
{
    struct hf_cluster_state *s = &d->state;
    struct hf_plan *p = &d->plan;
    s->primary = primary->name;
    s->primary_epoch = s->epoch;
    p->from = p->to = primary->name;
    p->from_epoch = s->epoch;
    p->parent = s->timeline;
    p->step = HF_STEP_LEAD;
    p->loss.known = true; /* it goes on */
    hf_plan_reason(p, "GOES_ON: %s is the primary and stays it", primary->name.s);
}

/* Where timelines fork is not known any more, unless the records are of the present one. */
static void take_timeline(struct hf_cluster_state *s, const struct known *k,
                          const struct hf_node_view *primary)
{
    uint32_t now =
        primary != NULL && primary->beat.timeline.v != 0 ? primary->beat.timeline.v : k->newest;
    if (now != 0 && now != s->timeline.v) {
        s->timeline = HF_TLI(now);
        s->parent = HF_TLI(0);
        s->fork = HF_LSN(0);
    }
    s->reserved = HF_TLI(k->timeline > s->reserved.v ? k->timeline : s->reserved.v);
}

static void begin_generation(const struct hf_cluster_view *v, const struct known *k,
                             struct hf_decision *d)
{
    struct hf_cluster_state *s = &d->state;
    struct hf_plan *p = &d->plan;
    /* Another cluster's recovery may have begun it already. */
    bool begun =
        v->control_doubt == NULL && v->control.v > s->generation.v && v->control.v == k->generation;
    for (int i = 0; i < v->node_count; i++) {
        begun = begun && v->nodes[i].beat.generation.v < v->control.v;
    }
    s->generation = HF_GENERATION(begun ? v->control.v : k->generation + 1);
    d->begin = begun ? HF_GENERATION(0) : s->generation;
    s->epoch = HF_EPOCH(k->epoch + 1);
    s->doubt[0] = '\0';
    s->owes = false; /* of which failover, the records do not tell */
    s->follow = (struct hf_candidates){.version = s->generation.v};
    for (int i = 0; i < v->node_count; i++) {
        s->follow.members[s->follow.count++] = v->nodes[i].name;
    }
    s->candidates = (struct hf_candidates){.version = k->version + 1};
    memset(&s->acked, 0, sizeof s->acked);
    /* Ids go on far beyond those that were forgotten with the plans that bore them. */
    s->plans = (s->plans / 1000 + 1) * 1000 + 1;
    memset(p, 0, sizeof *p);
    (void)snprintf(p->id, sizeof p->id, "r-%04llu", (ull)s->plans);
    memcpy(s->plan, p->id, sizeof s->plan);
    p->kind = HF_PLAN_RECOVERY;
    p->epoch = s->epoch;
    p->confirmed = true;
    p->detected_us = v->wall_us;
}

static hf_result recovery(const struct hf_cluster_view *v, const char *named, const char *why,
                          struct hf_decision *d, struct hf_err *err)
{
    const struct hf_node_view *primary = NULL;
    HF_TRY(refuse_early(v, err));
    HF_TRY(find_primary(v, named, &primary, err));
    struct known k = what_is_known(v);
    hf_decide_write(v, d);
    d->write_plan = true;
    d->reserve = HF_TLI(0);
    begin_generation(v, &k, d);
    take_timeline(&d->state, &k, primary);
    struct hf_plan *p = &d->plan;
    if (why[0] != '\0') {
        hf_plan_reason(p, "RECOVERY: %s", why);
    }
    if (v->doubt[0] != '\0') {
        hf_plan_reason(p, "%s", v->doubt);
    }
    hf_plan_reason(p, "EPOCH: generation %llu begins at epoch %llu, above what %s knows",
                   (ull)d->state.generation.v, (ull)d->state.epoch.v,
                   k.epoch_of != NULL ? k.epoch_of->s : "etcd");
    if (primary != NULL) {
        go_on(primary, d);
    } else {
        HF_TRY(choose_later(v, named, d, err));
    }
    p->entered_us[p->step] = v->wall_us;
    return hf_done();
}

hf_result hf_cluster_recover_preview(const struct hf_cluster_view *view, const char *primary,
                                     struct hf_plan *ret, struct hf_err *err)
{
    HF_AUTOFREE struct hf_decision *d = hf_alloc(sizeof *d);
    HF_TRY(recovery(view, primary, "", d, err));
    *ret = d->plan;
    return hf_done();
}

hf_result hf_cluster_recover_request(const struct hf_cluster_view *view, const char *primary,
                                     const char *why, struct hf_decision *ret, struct hf_err *err)
{
    memset(ret, 0, offsetof(struct hf_decision, command));
    ret->commands = 0;
    ret->warnings = 0;
    return recovery(view, primary, why, ret, err);
}
