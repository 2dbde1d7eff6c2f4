/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/state/warm.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void warm_cluster_free(struct hf_warm_cluster *c)
{
    for (int i = 0; i < c->plan_count; i++) {
        hf_free(c->plans[i]);
    }
    for (int i = 0; i < c->node_count; i++) {
        hf_free(c->nodes[i]);
    }
    hf_free(c->policy);
    hf_free(c->ring);
    hf_free(c);
}

void hf_warm_free(struct hf_warm *warm)
{
    for (int i = 0; i < warm->count; i++) {
        warm_cluster_free(warm->clusters[i]);
    }
    *warm = (struct hf_warm){0};
}

struct hf_warm_cluster *hf_warm_find(const struct hf_warm *warm, const char *tenant,
                                     const char *cluster)
{
    for (int i = 0; i < warm->count; i++) {
        struct hf_warm_cluster *c = warm->clusters[i];
        if (hf_name_is(&c->tenant, tenant) && hf_name_is(&c->cluster, cluster)) {
            return c;
        }
    }
    return NULL;
}

hf_result hf_warm_get(struct hf_warm *warm, const hf_name *tenant, const hf_name *cluster,
                      struct hf_warm_cluster **ret, struct hf_err *err)
{
    struct hf_warm_cluster *c = hf_warm_find(warm, tenant->s, cluster->s);
    if (c == NULL) {
        if (warm->count == HF_MAX_CLUSTERS) {
            return hf_fail(err, HF_E_LIMIT, "cluster %s/%s: this coordinator has %d already",
                           tenant->s, cluster->s, (int)HF_MAX_CLUSTERS);
        }
        c = hf_alloc(sizeof *c);
        c->tenant = *tenant;
        c->cluster = *cluster;
        warm->clusters[warm->count++] = c;
    }
    *ret = c;
    return hf_done();
}

struct hf_warm_node *hf_warm_node(const struct hf_warm_cluster *c, const char *node)
{
    for (int i = 0; i < c->node_count; i++) {
        if (hf_name_is(&c->nodes[i]->view.name, node)) {
            return c->nodes[i];
        }
    }
    return NULL;
}

static bool node_may_go(const struct hf_warm_cluster *c, const struct hf_warm_node *n)
{
    return n->session == NULL &&
           (c->policy == NULL || hf_policy_node(c->policy, n->view.name.s) == NULL);
}

hf_result hf_warm_node_get(struct hf_warm_cluster *c, const hf_name *node,
                           struct hf_warm_node **ret, struct hf_err *err)
{
    struct hf_warm_node *n = hf_warm_node(c, node->s);
    if (n == NULL && c->node_count < HF_MAX_NODES) {
        n = hf_alloc(sizeof *n);
        c->nodes[c->node_count++] = n;
    }
    for (int i = 0; n == NULL && i < c->node_count; i++) {
        if (node_may_go(c, c->nodes[i])) {
            n = c->nodes[i];
            *n = (struct hf_warm_node){0};
        }
    }
    if (n == NULL) {
        return hf_fail(err, HF_E_LIMIT, "node %s: cluster %s/%s has %d nodes already", node->s,
                       c->tenant.s, c->cluster.s, (int)HF_MAX_NODES);
    }
    n->cluster = c;
    n->view.name = *node;
    *ret = n;
    return hf_done();
}

struct hf_warm_plan *hf_warm_plan(const struct hf_warm_cluster *c, const char *id)
{
    for (int i = 0; i < c->plan_count; i++) {
        if (strcmp(c->plans[i]->plan.id, id) == 0) {
            return c->plans[i];
        }
    }
    return NULL;
}

struct hf_warm_plan *hf_warm_running(const struct hf_warm_cluster *c)
{
    return c->has_state && c->state.plan[0] != '\0' ? hf_warm_plan(c, c->state.plan) : NULL;
}

static hf_result apply_policy(struct hf_warm_cluster *c, const char *value, size_t len,
                              int64_t revision, struct hf_err *err)
{
    if (revision <= c->policy_revision) {
        return hf_done();
    }
    HF_AUTOJSON hf_json *v = NULL;
    HF_TRY(hf_json_parse(value, len, HF_POLICY_JSON_MAX, &v, err));
    HF_AUTOFREE struct hf_policy *policy = hf_alloc(sizeof *policy);
    HF_TRY(hf_policy_from_json(v, policy, err));
    if (!hf_name_equal(&policy->tenant, &c->tenant) ||
        !hf_name_equal(&policy->cluster, &c->cluster)) {
        return hf_fail(err, HF_E_INVALID, "policy names cluster %s/%s", policy->tenant.s,
                       policy->cluster.s);
    }
    hf_free(c->policy);
    c->policy = policy;
    policy = NULL;
    c->policy_revision = revision;
    return hf_done();
}

static hf_result apply_state(struct hf_warm_cluster *c, const char *value, size_t len,
                             int64_t revision, struct hf_err *err)
{
    if (revision <= c->state_revision) {
        return hf_done();
    }
    HF_TRY(hf_cluster_state_decode(value, len, &c->state, err));
    c->has_state = true;
    c->state_revision = revision;
    return hf_done();
}

static void remove_plan(struct hf_warm_cluster *c, const char *id)
{
    for (int i = 0; i < c->plan_count; i++) {
        if (strcmp(c->plans[i]->plan.id, id) == 0) {
            hf_free(c->plans[i]);
            c->plan_count--;
            memmove(&c->plans[i], &c->plans[i + 1],
                    sizeof c->plans[0] * (size_t)(c->plan_count - i));
            return;
        }
    }
}

static hf_result apply_plan(struct hf_warm_cluster *c, const struct hf_key *key, const char *value,
                            size_t len, int64_t created, int64_t revision, struct hf_err *err)
{
    struct hf_warm_plan *p = hf_warm_plan(c, key->id);
    if (p != NULL && revision <= p->revision) {
        return hf_done();
    }
    HF_AUTOFREE struct hf_warm_plan *fresh = hf_alloc(sizeof *fresh);
    HF_TRY(hf_plan_decode(value, len, &fresh->plan, err));
    if (strcmp(fresh->plan.id, key->id) != 0) {
        return hf_fail(err, HF_E_INVALID, "plan %s says that it is %s", key->id, fresh->plan.id);
    }
    fresh->created = created;
    fresh->revision = revision;
    if (p != NULL) {
        *p = *fresh;
        return hf_done();
    }
    if (c->plan_count == HF_WARM_PLANS) {
        remove_plan(c, c->plans[0]->plan.id); /* the oldest: nobody looks for it any more */
    }
    int at = c->plan_count;
    while (at > 0 && c->plans[at - 1]->created > created) {
        at--;
    }
    memmove(&c->plans[at + 1], &c->plans[at], sizeof c->plans[0] * (size_t)(c->plan_count - at));
    c->plans[at] = fresh;
    fresh = NULL;
    c->plan_count++;
    return hf_done();
}

static hf_result apply_generation(struct hf_warm *warm, const char *value, size_t len,
                                  int64_t revision, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = NULL;
    uint64_t number = 0;
    uint64_t etcd = 0;
    HF_TRY(hf_json_parse(value, len, 4096, &v, err));
    HF_TRY(hf_json_get_u64(v, "generation", &number, err));
    if (hf_json_member(v, "etcd") != NULL) {
        HF_TRY(hf_json_get_u64(v, "etcd", &etcd, err));
    }
    if (number == 0) {
        return hf_fail(err, HF_E_INVALID, "generation is 0, allowed is 1 and more");
    }
    if (warm->generation.v != 0 && number > warm->generation.v) {
        warm->went_back[0] = '\0'; /* a person began a new one since */
    }
    warm->generation = HF_GENERATION(number);
    warm->generation_revision = revision;
    warm->generation_etcd = etcd;
    return hf_done();
}

void hf_warm_forget(struct hf_warm *warm)
{
    warm->generation = HF_GENERATION(0);
    warm->generation_revision = 0;
    warm->generation_etcd = 0;
    for (int i = 0; i < warm->count; i++) {
        struct hf_warm_cluster *c = warm->clusters[i];
        c->has_state = false;
        c->state_revision = 0;
        c->policy_revision = 0; /* the policy itself stays until one is read: status needs it */
        memset(&c->state, 0, sizeof c->state);
        while (c->plan_count > 0) {
            hf_free(c->plans[--c->plan_count]);
        }
    }
}

const char *hf_warm_doubt(const struct hf_warm *warm, char *text)
{
    if (warm->went_back[0] != '\0') {
        return warm->went_back;
    }
    if (warm->generation_etcd == 0 || warm->etcd == 0 || warm->generation_etcd == warm->etcd) {
        return NULL;
    }
    (void)snprintf(text, HF_REASON_SIZE,
                   "RESTORED: etcd is %" PRIx64 ", generation %" PRIu64 " was begun in %" PRIx64,
                   warm->etcd, warm->generation.v, warm->generation_etcd);
    return text;
}

/* Policy and state are never deleted by Holdfast; a deletion by hand leaves the last known ones in
 * force here, and writes that compare their revisions fail from then on. */
static void apply_delete(struct hf_warm *warm, const struct hf_key *key,
                         struct hf_warm_cluster **ret_cluster)
{
    struct hf_warm_cluster *c = hf_warm_find(warm, key->tenant.s, key->cluster.s);
    if (c != NULL && key->kind == HF_KEY_PLAN) {
        remove_plan(c, key->id);
        *ret_cluster = c;
    }
}

hf_result hf_warm_apply(struct hf_warm *warm, const struct hf_key *key, const char *value,
                        size_t len, int64_t create_revision, int64_t mod_revision,
                        struct hf_warm_cluster **ret_cluster, struct hf_err *err)
{
    *ret_cluster = NULL;
    if (value == NULL) {
        apply_delete(warm, key, ret_cluster);
        return hf_done();
    }
    if (key->kind == HF_KEY_GENERATION) {
        return apply_generation(warm, value, len, mod_revision, err);
    }
    if (key->kind != HF_KEY_POLICY && key->kind != HF_KEY_STATE && key->kind != HF_KEY_PLAN) {
        return hf_done();
    }
    struct hf_warm_cluster *c = NULL;
    HF_TRY(hf_warm_get(warm, &key->tenant, &key->cluster, &c, err));
    if (key->kind == HF_KEY_POLICY) {
        HF_TRY(apply_policy(c, value, len, mod_revision, err));
    } else if (key->kind == HF_KEY_STATE) {
        HF_TRY(apply_state(c, value, len, mod_revision, err));
    } else {
        HF_TRY(apply_plan(c, key, value, len, create_revision, mod_revision, err));
    }
    *ret_cluster = c;
    return hf_done();
}

/* Samples of the end of the primary's WAL on its disk (what is not there was acknowledged to nobody
 * who asked for durability, and an idle server leaves such a rest for seconds): from whoever is
 * writable and is the primary by etcd, or writable at all before there is one. */
static void sample_exposure(struct hf_warm_node *n)
{
    struct hf_warm_cluster *c = n->cluster;
    const struct hf_heartbeat *b = &n->view.beat;
    bool chosen = c->has_state && !hf_name_empty(&c->state.primary);
    bool writable = b->state == HF_NODE_PRIMARY || b->state == HF_NODE_UNMANAGED;
    hf_lsn end = b->flushed.v != 0 ? b->flushed : b->written;
    if (!writable || end.v == 0 || (chosen && !hf_name_equal(&c->state.primary, &n->view.name))) {
        return;
    }
    if (c->ring == NULL) {
        c->ring = hf_alloc(sizeof *c->ring);
    }
    hf_exposure_add(c->ring, chosen ? c->state.primary_epoch : HF_EPOCH(0), b->life, b->clock_us,
                    b->read_ago, end, n->view.seen_at);
}

struct hf_warm_backup *hf_warm_backup(struct hf_warm_cluster *c, const char *id)
{
    for (int i = 0; i < c->backup_count; i++) {
        if (strcmp(c->backups[i].id, id) == 0) {
            return &c->backups[i];
        }
    }
    return NULL;
}

hf_result hf_warm_backup_add(struct hf_warm_cluster *c, const char *id, const hf_name *node,
                             struct hf_warm_backup **ret, struct hf_err *err)
{
    if (c->backup_count == HF_WARM_BACKUPS) {
        int old = 0;
        while (old < c->backup_count && !c->backups[old].finished) {
            old++;
        }
        if (old == c->backup_count) {
            return hf_fail(err, HF_E_LIMIT, "%d backups of %s/%s are under way, allowed are %d",
                           old, c->tenant.s, c->cluster.s, (int)HF_WARM_BACKUPS);
        }
        c->backup_count--;
        memmove(&c->backups[old], &c->backups[old + 1],
                sizeof c->backups[0] * (size_t)(c->backup_count - old));
    }
    struct hf_warm_backup *b = &c->backups[c->backup_count++];
    *b = (struct hf_warm_backup){.node = *node};
    (void)snprintf(b->id, sizeof b->id, "%s", id);
    *ret = b;
    return hf_done();
}

/* A backup's operation is followed by the heartbeats of the node that makes it. */
static void follow_backup(struct hf_warm_node *n, hf_wall wall)
{
    const struct hf_heartbeat *beat = &n->view.beat;
    struct hf_err err;
    if (strncmp(beat->op, HF_BACKUP_ID_PREFIX, strlen(HF_BACKUP_ID_PREFIX)) != 0 ||
        beat->op_status == HF_OP_NONE) {
        return;
    }
    struct hf_warm_backup *b = hf_warm_backup(n->cluster, beat->op);
    if (b == NULL && !hf_ok(hf_warm_backup_add(n->cluster, beat->op, &n->view.name, &b, &err))) {
        return;
    }
    if (!hf_name_equal(&b->node, &n->view.name) || b->finished) {
        return;
    }
    if (!b->begun && b->started_us == 0) {
        b->started_us = wall.us;
    }
    b->begun = true;
    if (beat->op_status == HF_OP_DONE || beat->op_status == HF_OP_FAILED) {
        b->finished = true;
        b->finished_us = wall.us;
        b->failed = beat->op_status == HF_OP_FAILED;
        (void)snprintf(b->error, sizeof b->error, "%s", beat->op_error);
    }
}

bool hf_warm_beat(struct hf_warm_node *n, const struct hf_heartbeat *beat, hf_lclk now,
                  hf_wall wall, int margin_ppm)
{
    struct hf_node_view *v = &n->view;
    if (v->seen && v->beat.life == beat->life && beat->seq <= v->beat.seq) {
        return false;
    }
    v->beat = *beat;
    v->seen = true;
    v->seen_at = now;
    n->seen_wall = wall;
    if (beat->promise_epoch.v != 0 && beat->promise_remaining.us > 0) {
        hf_lclk until = hf_lclk_add(now, hf_lease_wait(beat->promise_remaining, margin_ppm));
        v->promise_until = until;
    } else {
        v->promise_until = (hf_lclk){0};
    }
    sample_exposure(n);
    follow_backup(n, wall);
    return true;
}

void hf_warm_view(const struct hf_warm_cluster *c, struct hf_cluster_view *ret)
{
    *ret = (struct hf_cluster_view){.policy = c->policy, .state = &c->state, .ring = c->ring};
    struct hf_warm_plan *plan = hf_warm_running(c);
    ret->plan = plan != NULL ? &plan->plan : NULL;
    for (size_t i = 0; i < c->policy->node_count; i++) {
        const struct hf_policy_node *p = &c->policy->nodes[i];
        struct hf_node_view *v = &ret->nodes[ret->node_count++];
        const struct hf_warm_node *n = hf_warm_node(c, p->name.s);
        if (n != NULL) {
            *v = n->view;
        }
        v->name = p->name;
        v->region = p->region;
    }
    for (int i = 0; i < c->node_count; i++) {
        const struct hf_warm_node *n = c->nodes[i];
        if (n != NULL && n->view.seen && hf_policy_node(c->policy, n->view.name.s) == NULL) {
            ret->outside[ret->outside_count++] = n->view;
        }
    }
}
