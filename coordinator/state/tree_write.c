/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/state/tree_internal.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WRITE_RECORDS = 4, WRITE_PRUNE = 8, WRITE_HEALTH = HF_MAX_NODES };

/* One guarded transaction under way. */
struct tree_job {
    struct hf_tree *tree;
    struct hf_warm_cluster *cluster;
    hf_tree_written done;
    void *arg;
    hf_lclk began;
    int compare_count;
    struct hf_etcd_compare compares[WRITE_RECORDS + 2];
    int op_count;
    struct hf_etcd_op ops[WRITE_RECORDS + WRITE_PRUNE + WRITE_HEALTH];
    int key_count;
    char keys[WRITE_RECORDS + WRITE_PRUNE + WRITE_HEALTH + 2][HF_KEY_SIZE];
    int record_count; /* applied to memory when it succeeded */
    struct hf_key record[WRITE_RECORDS];
    int64_t created[WRITE_RECORDS];
    struct hf_buf value[WRITE_RECORDS];
};

static void job_free(struct tree_job *j)
{
    for (int i = 0; i < WRITE_RECORDS; i++) {
        hf_buf_free(&j->value[i]);
    }
    hf_free(j);
}

static void job_cleanup(struct tree_job **j)
{
    if (*j != NULL) {
        job_free(*j);
    }
}
#define AUTOJOB __attribute__((cleanup(job_cleanup)))

static const char *job_key(struct tree_job *j, const struct hf_key *key)
{
    HF_ASSERT((size_t)j->key_count < sizeof j->keys / sizeof j->keys[0]);
    char *text = j->keys[j->key_count++];
    hf_key_format(j->tree->prefix, key, text);
    return text;
}

static void job_compare(struct tree_job *j, const char *key, int64_t revision)
{
    HF_ASSERT((size_t)j->compare_count < sizeof j->compares / sizeof j->compares[0]);
    j->compares[j->compare_count++] = (struct hf_etcd_compare){
        .key = key, .target = HF_ETCD_MOD_REVISION, .relation = HF_ETCD_EQUAL, .number = revision};
}

static void job_put(struct tree_job *j, const char *key, const char *value, size_t len)
{
    HF_ASSERT((size_t)j->op_count < sizeof j->ops / sizeof j->ops[0]);
    j->ops[j->op_count++] =
        (struct hf_etcd_op){.kind = HF_ETCD_PUT, .key = key, .value = value, .value_len = len};
}

static struct tree_job *job_new(struct hf_tree *tree, uint64_t term,
                                const struct hf_warm_cluster *c, hf_tree_written done, void *arg)
{
    struct tree_job *j = hf_alloc(sizeof *j);
    j->tree = tree;
    j->cluster = c != NULL ? hf_warm_find(tree->warm, c->tenant.s, c->cluster.s) : NULL;
    j->done = done;
    j->arg = arg;
    j->began = hf_clock_lease();
    for (int i = 0; i < WRITE_RECORDS; i++) {
        j->value[i] = HF_BUF_INIT(HF_ETCD_VALUE_MAX);
    }
    if (term != 0) {
        job_compare(j, job_key(j, &(struct hf_key){.kind = HF_KEY_CLAIM}), (int64_t)term);
    }
    return j;
}

/* A record that is compared with `known`, written, and kept in memory afterwards. Its value is in
 * j->value[j->record_count]. */
static void job_record(struct tree_job *j, const struct hf_key *key, int64_t known, int64_t created)
{
    int n = j->record_count++;
    const char *text = job_key(j, key);
    job_compare(j, text, known);
    j->record[n] = *key;
    j->created[n] = created;
    job_put(j, text, hf_buf_text(&j->value[n]), j->value[n].len);
}

static void job_apply(struct tree_job *j, int64_t revision)
{
    for (int i = 0; i < j->record_count; i++) {
        struct hf_warm_cluster *c = NULL;
        struct hf_err err;
        int64_t created = j->created[i] != 0 ? j->created[i] : revision;
        hf_result r = hf_warm_apply(j->tree->warm, &j->record[i], hf_buf_text(&j->value[i]),
                                    j->value[i].len, created, revision, &c, &err);
        if (!hf_ok(r)) {
            hf_log(HF_LOG_ERROR, "RECORD_REFUSED", "a record that was written cannot be read",
                   HF_KV_ERR(&err));
        }
    }
}

static void job_done(void *arg, const struct hf_etcd_reply *reply)
{
    AUTOJOB struct tree_job *j = arg;
    enum hf_write_result result = HF_WRITE_UNKNOWN;
    static const struct hf_err none = {.code = HF_OK};
    struct hf_err lost;
    const struct hf_err *err = reply->err != NULL ? reply->err : &none;
    if (hf_ok(reply->result)) {
        result = reply->succeeded ? HF_WRITE_DONE : HF_WRITE_LOST;
        hf_tree_note_latency(j->tree, hf_lclk_sub(hf_clock_lease(), j->began));
    } else if (reply->result.code != HF_E_TIMEOUT && reply->result.code != HF_E_CORRUPT) {
        result = HF_WRITE_NOT_DONE;
    }
    if (result == HF_WRITE_LOST) {
        (void)hf_fail(&lost, HF_E_STALE, "the records changed, or another coordinator leads");
        err = &lost;
    }
    if (result == HF_WRITE_DONE) {
        job_apply(j, reply->revision);
    }
    j->done(j->arg, result, reply->revision, err);
}

static hf_result job_send(struct tree_job **j, struct hf_err *err)
{
    const struct hf_etcd_txn txn = {.compares = (*j)->compares,
                                    .compare_count = (size_t)(*j)->compare_count,
                                    .success = (*j)->ops,
                                    .success_count = (size_t)(*j)->op_count};
    HF_TRY(hf_etcd_txn((*j)->tree->etcd, &txn, job_done, *j, err));
    *j = NULL; /* job_done frees it */
    return hf_done();
}

static hf_result write_policy(struct tree_job *j, const struct hf_tree_write *w, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = hf_policy_to_json(w->policy);
    HF_TRY(hf_json_write(v, &j->value[j->record_count], err));
    const struct hf_key key = {
        .kind = HF_KEY_POLICY, .tenant = w->policy->tenant, .cluster = w->policy->cluster};
    job_record(j, &key, w->policy_revision, 0);
    return hf_done();
}

static hf_result write_plan(struct tree_job *j, const struct hf_tree_write *w, struct hf_err *err)
{
    HF_TRY(hf_plan_encode(w->plan, &j->value[j->record_count], err));
    struct hf_key key = {
        .kind = HF_KEY_PLAN, .tenant = w->cluster->tenant, .cluster = w->cluster->cluster};
    (void)snprintf(key.id, sizeof key.id, "%s", w->plan->id);
    const struct hf_warm_plan *known = hf_warm_plan(w->cluster, w->plan->id);
    job_record(j, &key, known != NULL ? known->revision : 0, known != NULL ? known->created : 0);
    return hf_done();
}

/* Rule L12: bound to the etcd that is asked, so that a copy of these records is noticed. */
static hf_result write_generation(struct tree_job *j, hf_generation generation, int64_t known,
                                  struct hf_err *err)
{
    const struct hf_warm *warm = j->tree->warm;
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json_put_u64(v, "generation", generation.v);
    if (warm->etcd != 0) {
        hf_json_put_u64(v, "etcd", warm->etcd);
    }
    HF_TRY(hf_json_write(v, &j->value[j->record_count], err));
    job_record(j, &(struct hf_key){.kind = HF_KEY_GENERATION}, known, 0);
    return hf_done();
}

/* Rule L14: the number of a timeline belongs to one promotion for ever. */
static hf_result write_timeline(struct tree_job *j, const struct hf_tree_write *w,
                                struct hf_err *err)
{
    struct hf_key key = {
        .kind = HF_KEY_TIMELINE, .tenant = w->cluster->tenant, .cluster = w->cluster->cluster};
    (void)snprintf(key.id, sizeof key.id, "%" PRIu32, w->reserve.v);
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json_put_u64(v, "epoch", w->plan->epoch.v);
    hf_json_put_text(v, "node", w->plan->to.s);
    HF_TRY(hf_json_write(v, &j->value[j->record_count], err));
    job_record(j, &key, 0, 0);
    return hf_done();
}

static void write_prune(struct tree_job *j, const struct hf_warm_cluster *c)
{
    int over = c->plan_count - HF_PLANS_KEPT;
    for (int i = 0; i < c->plan_count && over > 0; i++) {
        const struct hf_plan *p = &c->plans[i]->plan;
        bool finished = p->step == HF_STEP_DONE || p->step == HF_STEP_FAILED;
        if (!finished || strcmp(p->id, c->state.plan) == 0) {
            continue;
        }
        struct hf_key key = {.kind = HF_KEY_PLAN, .tenant = c->tenant, .cluster = c->cluster};
        (void)snprintf(key.id, sizeof key.id, "%s", p->id);
        j->ops[j->op_count++] =
            (struct hf_etcd_op){.kind = HF_ETCD_DELETE, .key = job_key(j, &key)};
        over = j->op_count < WRITE_RECORDS + WRITE_PRUNE ? over - 1 : 0;
    }
}

hf_result hf_tree_write(struct hf_tree *tree, const struct hf_tree_write *w, hf_tree_written done,
                        void *arg, struct hf_err *err)
{
    AUTOJOB struct tree_job *j = job_new(tree, w->term, w->cluster, done, arg);
    if (w->policy != NULL) {
        HF_TRY(write_policy(j, w, err));
    }
    if (w->state != NULL) {
        HF_TRY(hf_cluster_state_encode(w->state, &j->value[j->record_count], err));
        const struct hf_key key = {
            .kind = HF_KEY_STATE, .tenant = w->cluster->tenant, .cluster = w->cluster->cluster};
        job_record(j, &key, w->cluster->state_revision, 0);
    }
    if (w->plan != NULL) {
        HF_TRY(write_plan(j, w, err));
    }
    if (w->plan != NULL && w->reserve.v != 0) {
        HF_TRY(write_timeline(j, w, err));
    }
    if (w->begin.v != 0) {
        HF_TRY(write_generation(j, w->begin, tree->warm->generation_revision, err));
    }
    if (w->prune) {
        write_prune(j, w->cluster);
    }
    return job_send(&j, err);
}

hf_result hf_tree_write_health(struct hf_tree *tree, uint64_t term, const struct hf_warm_cluster *c,
                               const struct hf_tree_health *nodes, size_t count,
                               hf_tree_written done, void *arg, struct hf_err *err)
{
    HF_ASSERT(count <= WRITE_HEALTH);
    AUTOJOB struct tree_job *j = job_new(tree, term, c, done, arg);
    for (size_t i = 0; i < count; i++) {
        struct hf_key key = {.kind = HF_KEY_NODE, .tenant = c->tenant, .cluster = c->cluster};
        (void)snprintf(key.id, sizeof key.id, "%s", nodes[i].node.s);
        job_put(j, job_key(j, &key), nodes[i].value, strlen(nodes[i].value));
    }
    return job_send(&j, err);
}

hf_result hf_tree_write_generation(struct hf_tree *tree, uint64_t term, hf_tree_written done,
                                   void *arg, struct hf_err *err)
{
    AUTOJOB struct tree_job *j = job_new(tree, term, NULL, done, arg);
    HF_TRY(write_generation(j, HF_GENERATION(1), 0, err));
    return job_send(&j, err);
}

static void read_back_done(void *arg, const struct hf_etcd_reply *reply)
{
    AUTOJOB struct tree_job *j = arg;
    if (!hf_ok(reply->result) || reply->op_count < 1) {
        j->done(j->arg, HF_WRITE_NOT_DONE, 0, reply->err);
        return;
    }
    for (size_t i = 0; i < reply->ops[0].kv_count; i++) {
        const struct hf_etcd_kv *kv = &reply->ops[0].kvs[i];
        struct hf_key key;
        struct hf_warm_cluster *c = NULL;
        struct hf_err err;
        hf_key_parse(j->tree->prefix, kv->key, &key);
        if (!hf_ok(hf_warm_apply(j->tree->warm, &key, kv->value, kv->value_len, kv->create_revision,
                                 kv->mod_revision, &c, &err))) {
            hf_log(HF_LOG_ERROR, "RECORD_REFUSED", "a record in etcd cannot be used",
                   HF_KV("key", kv->key), HF_KV_ERR(&err));
        }
    }
    j->done(j->arg, HF_WRITE_DONE, reply->revision, reply->err);
}

hf_result hf_tree_read_back(struct hf_tree *tree, const struct hf_warm_cluster *c,
                            hf_tree_written done, void *arg, struct hf_err *err)
{
    AUTOJOB struct tree_job *j = job_new(tree, 0, c, done, arg);
    hf_key_cluster(tree->prefix, &c->tenant, &c->cluster, j->keys[0]);
    const struct hf_etcd_range range = {.key = j->keys[0], .prefix = true};
    HF_TRY(hf_etcd_get(tree->etcd, &range, read_back_done, j, err));
    j = NULL;
    return hf_done();
}
