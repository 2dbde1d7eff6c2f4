/* SPDX-License-Identifier: Apache-2.0
 *
 * What users ask of the leader: one request a cluster at a time, begun when no write is under way.
 */
#include "coordinator/lead/carry_internal.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const hf_dur REQUEST_LIMIT = {5000000};

void hf_led_request_end(struct led *l, hf_result result, int64_t revision, const struct hf_err *err)
{
    struct led_request q = l->request;
    if (!q.present) {
        return;
    }
    l->request = (struct led_request){0};
    const struct hf_carry_answer answer = {
        .result = result, .err = err, .revision = revision, .operation = q.operation};
    q.done(q.arg, &answer);
    hf_free(q.policy);
}

/* The decision to be written for it, in carry->decision. HF_E_EXISTS: nothing is to be written. */
static hf_result prepare_write(struct led *l, hf_lclk now, struct hf_err *err)
{
    struct hf_carry *carry = l->carry;
    struct hf_warm_cluster *c = l->cluster;
    struct hf_decision *d = &carry->decision;
    const struct led_request *q = &l->request;
    if (!c->has_state || c->policy == NULL) {
        return hf_fail(err, HF_E_NOT_FOUND, "cluster %s/%s has no policy and state", c->tenant.s,
                       c->cluster.s);
    }
    memset(d, 0, sizeof *d);
    if (q->kind == HF_CARRY_PAUSE || q->kind == HF_CARRY_RESUME) {
        d->write = true;
        d->state = c->state;
        d->state.paused = q->kind == HF_CARRY_PAUSE;
        return hf_done();
    }
    const struct hf_warm_plan *running = hf_warm_running(c);
    bool asks =
        running != NULL && running->plan.step == HF_STEP_CONFIRM && q->kind == HF_CARRY_FAILOVER;
    if (c->state.plan[0] != '\0' && !asks && q->kind != HF_CARRY_RECOVER) {
        return hf_fail(err, HF_E_EXISTS, "%s", c->state.plan);
    }
    if (q->epoch.v != c->state.epoch.v) {
        return hf_fail(err, HF_E_STALE,
                       "cluster %s/%s is at epoch %" PRIu64 ", the plan was for %" PRIu64,
                       c->tenant.s, c->cluster.s, c->state.epoch.v, q->epoch.v);
    }
    if (q->kind == HF_CARRY_RECOVER) {
        hf_carry_view_raw(carry, l, now);
        HF_TRY(hf_cluster_recover_request(&carry->view, q->wish, q->why, d, err));
        (void)snprintf(l->request.operation, sizeof l->request.operation, "%s", d->plan.id);
        return hf_done();
    }
    hf_carry_view(carry, l, now);
    HF_TRY(q->kind == HF_CARRY_SWITCHOVER ? hf_cluster_switch_request(&carry->view, q->wish, d, err)
                                          : hf_cluster_plan_request(&carry->view, q->wish, d, err));
    (void)snprintf(l->request.operation, sizeof l->request.operation, "%s", d->plan.id);
    return hf_done();
}

/* A policy; with the first one the cluster's state is made in the same transaction. */
static hf_result write_policy(struct led *l, struct hf_err *err)
{
    struct hf_carry *carry = l->carry;
    struct hf_warm_cluster *c = l->cluster;
    const struct led_request *q = &l->request;
    if (q->revision != c->policy_revision) {
        return hf_fail(err, HF_E_STALE, "cluster %s/%s is at revision %" PRId64 ", not %" PRId64,
                       c->tenant.s, c->cluster.s, c->policy_revision, q->revision);
    }
    struct hf_cluster_state first = {.generation = carry->c.warm->generation};
    const struct hf_tree_write w = {.term = carry->term,
                                    .cluster = c,
                                    .policy = q->policy,
                                    .policy_revision = q->revision,
                                    .state = c->has_state ? NULL : &first};
    l->writes_plan = false;
    HF_TRY(hf_tree_write(carry->c.tree, &w, hf_led_written, l, err));
    l->writing = true;
    return hf_done();
}

void hf_led_request_start(struct led *l, hf_lclk now)
{
    struct hf_err err = {.code = HF_OK};
    hf_result r = hf_done();
    if (hf_lclk_reached(now, l->request.deadline)) {
        r = hf_fail(&err, HF_E_UNREACHABLE, "etcd did not answer in time");
        hf_led_request_end(l, r, 0, &err);
        return;
    }
    if (l->request.kind == HF_CARRY_POLICY) {
        r = write_policy(l, &err);
        l->request.under_way = hf_ok(r);
    } else {
        r = prepare_write(l, now, &err);
        if (hf_ok(r)) {
            l->request.under_way = true;
            hf_led_write(l, &l->carry->decision); /* ends the request itself when it fails */
        }
    }
    if (!hf_ok(r)) {
        hf_led_request_end(l, r, 0, &err);
    }
}

hf_result hf_carry_submit(struct hf_carry *carry, const struct hf_carry_request *request,
                          struct hf_err *err)
{
    hf_lclk now = hf_clock_lease();
    if (!hf_carry_active(carry, now)) {
        return hf_fail(err, HF_E_UNREACHABLE, "this coordinator does not lead");
    }
    struct led *l = hf_led_of(carry, request->cluster);
    if (l->request.present) {
        return hf_fail(err, HF_E_AGAIN, "another request of cluster %s/%s is being carried out",
                       request->cluster->tenant.s, request->cluster->cluster.s);
    }
    l->request = (struct led_request){.present = true,
                                      .kind = request->kind,
                                      .epoch = request->epoch,
                                      .revision = request->revision,
                                      .deadline = hf_lclk_add(now, REQUEST_LIMIT),
                                      .done = request->done,
                                      .arg = request->arg};
    (void)snprintf(l->request.wish, sizeof l->request.wish, "%s", request->wish);
    (void)snprintf(l->request.why, sizeof l->request.why, "%s", request->why);
    if (request->policy != NULL) {
        l->request.policy = hf_alloc(sizeof *request->policy);
        *l->request.policy = *request->policy;
    }
    hf_carry_changed(carry, request->cluster);
    return hf_done();
}

hf_result hf_carry_preview(struct hf_carry *carry, struct hf_warm_cluster *c,
                           enum hf_plan_kind kind, const char *wish, struct hf_plan *ret,
                           struct hf_err *err)
{
    hf_lclk now = hf_clock_lease();
    if (!hf_carry_active(carry, now)) {
        return hf_fail(err, HF_E_UNREACHABLE, "this coordinator does not lead");
    }
    if (c->policy == NULL || !c->has_state) {
        return hf_fail(err, HF_E_NOT_FOUND, "cluster %s/%s has no policy and state", c->tenant.s,
                       c->cluster.s);
    }
    if (kind == HF_PLAN_RECOVERY) {
        hf_carry_view_raw(carry, hf_led_of(carry, c), now);
        return hf_cluster_recover_preview(&carry->view, wish, ret, err);
    }
    hf_carry_view(carry, hf_led_of(carry, c), now);
    return kind == HF_PLAN_SWITCHOVER ? hf_cluster_switch_preview(&carry->view, wish, ret, err)
                                      : hf_cluster_plan_preview(&carry->view, wish, ret, err);
}

/* The node that makes the backup: the one that was named, else a connected standby (the primary
 * when there is none), or by the policy's entry. */
static struct hf_warm_node *choose_node(struct hf_warm_cluster *c, const char *node,
                                        bool prefer_primary)
{
    struct hf_warm_node *standby = NULL;
    struct hf_warm_node *primary = NULL;
    if (node[0] != '\0') {
        return hf_warm_node(c, node);
    }
    for (size_t i = 0; i < c->policy->node_count; i++) {
        struct hf_warm_node *n = hf_warm_node(c, c->policy->nodes[i].name.s);
        if (n == NULL || !n->view.connected || !n->view.seen) {
            continue;
        }
        enum hf_node_state s = n->view.beat.state;
        if (s == HF_NODE_PRIMARY || s == HF_NODE_UNMANAGED) {
            primary = n;
        } else if (s == HF_NODE_STANDBY && standby == NULL) {
            standby = n;
        }
    }
    if (prefer_primary && primary != NULL) {
        return primary;
    }
    return standby != NULL ? standby : primary;
}

static bool from_primary(const struct hf_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->backup_count; i++) {
        if (hf_name_is(&policy->backups[i].name, name)) {
            return policy->backups[i].from == HF_POLICY_FROM_PRIMARY;
        }
    }
    return false;
}

hf_result hf_carry_backup(struct hf_carry *carry, struct hf_warm_cluster *c, const char *type,
                          const char *node, const char *name, char ret_id[HF_LABEL_SIZE],
                          struct hf_err *err)
{
    hf_lclk now = hf_clock_lease();
    if (!hf_carry_active(carry, now)) {
        return hf_fail(err, HF_E_UNREACHABLE, "this coordinator does not lead");
    }
    if (c->policy == NULL) {
        return hf_fail(err, HF_E_NOT_FOUND, "cluster %s/%s has no policy", c->tenant.s,
                       c->cluster.s);
    }
    if (c->policy->level < HF_LEVEL_BACKUP) {
        return hf_fail(err, HF_E_REFUSED, "LEVEL: cluster %s/%s is at level %s, backups need %s",
                       c->tenant.s, c->cluster.s, HF_LEVEL_NAMES[c->policy->level],
                       HF_LEVEL_NAMES[HF_LEVEL_BACKUP]);
    }
    struct hf_warm_node *n = choose_node(c, node, from_primary(c->policy, name));
    if (n == NULL || !n->view.connected || !n->view.seen) {
        return hf_fail(err, HF_E_UNREACHABLE, "no agent that could make the backup is connected");
    }
    for (int i = 0; i < c->backup_count; i++) {
        if (!c->backups[i].finished && hf_name_equal(&c->backups[i].node, &n->view.name)) {
            return hf_fail(err, HF_E_EXISTS, "%s", c->backups[i].id);
        }
    }
    struct hf_warm_backup *b = NULL;
    char id[HF_LABEL_SIZE];
    (void)snprintf(id, sizeof id, HF_BACKUP_ID_PREFIX "%" PRIx64, hf_random_u64());
    HF_TRY(hf_warm_backup_add(c, id, &n->view.name, &b, err));
    (void)snprintf(b->type, sizeof b->type, "%s", type);
    (void)snprintf(b->name, sizeof b->name, "%s", name);
    b->asked_here = true;
    b->asked_at = now;
    b->started_us = hf_clock_wall().us;
    (void)snprintf(ret_id, HF_LABEL_SIZE, "%s", id);
    hf_led_backups(hf_led_of(carry, c), now);
    return hf_done();
}
