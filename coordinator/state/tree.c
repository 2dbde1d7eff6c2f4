/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/state/tree_internal.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <stdio.h>
#include <string.h>

static void tree_apply(struct hf_tree *t, const struct hf_etcd_kv *kv, bool deleted)
{
    struct hf_key key;
    struct hf_err err;
    struct hf_warm_cluster *c = NULL;
    hf_key_parse(t->prefix, kv->key, &key);
    hf_result r = hf_warm_apply(t->warm, &key, deleted ? NULL : kv->value, kv->value_len,
                                kv->create_revision, kv->mod_revision, &c, &err);
    if (!hf_ok(r)) {
        hf_log(HF_LOG_ERROR, "RECORD_REFUSED", "a record in etcd cannot be used",
               HF_KV("key", kv->key), HF_KV_ERR(&err));
    }
    if (c != NULL) {
        t->callbacks.changed(t->arg, c);
    }
}

static void watch_events(void *arg, const struct hf_etcd_event *events, size_t count,
                         int64_t revision)
{
    struct hf_tree *t = arg;
    (void)revision;
    for (size_t i = 0; i < count; i++) {
        tree_apply(t, &events[i].kv, events[i].kind == HF_ETCD_EVENT_DELETE);
    }
}

static void watch_compacted(void *arg, int64_t compact_revision)
{
    struct hf_tree *t = arg;
    hf_log(HF_LOG_NOTICE, "WATCH_COMPACTED", "etcd compacted what was watched: reading anew",
           HF_KV_I64("revision", compact_revision));
    hf_tree_load(t);
}

static void watch_health(void *arg, bool connected, const char *why)
{
    struct hf_tree *t = arg;
    if (t->connected != connected) {
        hf_log(connected ? HF_LOG_INFO : HF_LOG_WARNING,
               connected ? "ETCD_WATCH_UP" : "ETCD_WATCH_DOWN",
               connected ? "changes in etcd are followed" : "changes in etcd are not seen now",
               HF_KV("why", why));
    }
    t->connected = connected;
}

static void load_again(void *arg)
{
    struct hf_tree *t = arg;
    hf_tree_load(t);
}

static void load_done(void *arg, const struct hf_etcd_reply *reply)
{
    static const struct hf_etcd_watch_callbacks callbacks = {
        .events = watch_events, .compacted = watch_compacted, .health = watch_health};
    struct hf_tree *t = arg;
    struct hf_err err;
    t->load_busy = false;
    if (!hf_ok(reply->result) || reply->op_count < 2) {
        if (!t->load_failed) {
            hf_log(HF_LOG_WARNING, "ETCD_LOAD_FAILED", "the records cannot be read",
                   HF_KV_ERR(reply->err));
        }
        t->load_failed = true;
        hf_timer_after(t->retry, HF_MS(200));
        return;
    }
    t->load_failed = false;
    if (t->warm->etcd != 0 && reply->cluster != 0 && reply->cluster != t->warm->etcd) {
        hf_warm_forget(t->warm); /* another etcd: revisions do not compare */
    }
    t->warm->etcd = reply->cluster != 0 ? reply->cluster : t->warm->etcd;
    hf_tree_note_latency(t, hf_lclk_sub(hf_clock_lease(), t->load_began));
    for (size_t o = 0; o < reply->op_count; o++) {
        for (size_t i = 0; i < reply->ops[o].kv_count; i++) {
            tree_apply(t, &reply->ops[o].kvs[i], false);
        }
    }
    hf_etcd_watch_free(t->watch);
    t->watch = NULL;
    char key[HF_KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s/", t->prefix);
    if (!hf_ok(hf_etcd_watch_prefix(t->etcd, key, reply->revision + 1, HF_SEC(30), &callbacks, t,
                                    &t->watch, &err))) {
        hf_log(HF_LOG_ERROR, "ETCD_WATCH_FAILED", "changes cannot be followed", HF_KV_ERR(&err));
        hf_timer_after(t->retry, HF_MS(200));
        return;
    }
    if (t->load_again) { /* wanted anew while this answer was under way: it may be older */
        t->load_again = false;
        hf_tree_load(t);
        return;
    }
    t->loading = false;
    t->connected = true;
    t->callbacks.loaded(t->arg);
}

void hf_tree_load(struct hf_tree *t)
{
    t->loading = true;
    if (t->load_busy) {
        t->load_again = true;
        return;
    }
    struct hf_err err;
    char clusters[HF_KEY_SIZE];
    char generation[HF_KEY_SIZE];
    hf_key_clusters(t->prefix, clusters);
    hf_key_format(t->prefix, &(struct hf_key){.kind = HF_KEY_GENERATION}, generation);
    const struct hf_etcd_op ops[] = {
        {.kind = HF_ETCD_RANGE, .key = generation},
        {.kind = HF_ETCD_RANGE, .key = clusters, .prefix = true},
    };
    const struct hf_etcd_txn txn = {.success = ops, .success_count = 2};
    t->load_began = hf_clock_lease();
    if (!hf_ok(hf_etcd_txn(t->etcd, &txn, load_done, t, &err))) {
        hf_timer_after(t->retry, HF_MS(200));
        return;
    }
    t->load_busy = true;
}

void hf_tree_went_back(struct hf_tree *t, const char *why)
{
    hf_warm_forget(t->warm);
    (void)snprintf(t->warm->went_back, sizeof t->warm->went_back, "%s", why);
    hf_tree_load(t);
}

hf_result hf_tree_new(struct hf_loop *loop, struct hf_etcd *etcd, const char *prefix,
                      struct hf_warm *warm, const struct hf_tree_callbacks *callbacks, void *arg,
                      struct hf_tree **ret, struct hf_err *err)
{
    if (strlen(prefix) >= HF_KEY_PREFIX_SIZE) {
        return hf_fail(err, HF_E_INVALID, "etcd prefix: %zu bytes, allowed are %d", strlen(prefix),
                       HF_KEY_PREFIX_SIZE - 1);
    }
    struct hf_tree *t = hf_alloc(sizeof *t);
    t->etcd = etcd;
    t->warm = warm;
    t->callbacks = *callbacks;
    t->arg = arg;
    (void)snprintf(t->prefix, sizeof t->prefix, "%s", prefix);
    t->retry = hf_timer_new(loop, load_again, t);
    *ret = t;
    return hf_done();
}

void hf_tree_free(struct hf_tree *t)
{
    if (t != NULL) {
        hf_timer_free(t->retry);
        hf_free(t);
    }
}

bool hf_tree_loading(const struct hf_tree *t)
{
    return t->loading;
}

bool hf_tree_fresh(const struct hf_tree *t)
{
    return !t->loading && t->connected && t->watch != NULL;
}

const char *hf_tree_prefix(const struct hf_tree *t)
{
    return t->prefix;
}

hf_dur hf_tree_latency(const struct hf_tree *t)
{
    return t->latency;
}

void hf_tree_note_latency(struct hf_tree *t, hf_dur took)
{
    t->latency = took;
}
