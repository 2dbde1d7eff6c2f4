/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history/history.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/postgres.h"
#include "coordinator/history/migrate.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { HISTORY_WAITING = 256, HISTORY_REPORTS = 64, HISTORY_BATCH = 64 };
static const hf_dur QUERY_LIMIT = {10000000};
static const hf_dur RETRY_MIN = {1000000};
static const hf_dur RETRY_MAX = {30000000};

/* Makes one event durable. */
struct keep_job {
    struct hf_job job; /* first */
    struct hf_history *history;
    struct hf_event event;
    char tenant[HF_NAME_SIZE]; /* a backup's report */
    char cluster[HF_NAME_SIZE];
    bool is_report;
    bool is_backup;
    char report_id[HF_LABEL_SIZE];
    hf_history_kept kept;
    void *arg;
    hf_result result;
    struct hf_err err;
};

/* Moves waiting events to the database; one exists, and is reused. */
struct drain_job {
    struct hf_job job; /* first */
    struct hf_history *history;
    struct hf_pg_sync *pg; /* kept while it works */
    bool migrated;
    size_t delivered;
    bool more;
    hf_result result;
    struct hf_err err;
};

struct hf_history {
    struct hf_pool *pool;
    const struct hf_config_coordinator *config;
    struct hf_spool *spool;
    struct hf_backups *backups;
    struct drain_job drain;
    bool draining;
    hf_lclk drain_at;
    hf_dur backoff;
    size_t waiting;
    size_t reports;
    struct hf_history_stats stats;
};

/* --- into the spool --- */

static void keep_run(struct hf_job *job)
{
    struct keep_job *k = (struct keep_job *)job;
    k->result = hf_done();
    if (k->is_backup) {
        HF_AUTOJSON hf_json *v = NULL;
        k->result = hf_json_parse(hf_buf_text(&k->event.body), k->event.body.len, HF_EVENT_MAX, &v,
                                  &k->err);
        if (hf_ok(k->result)) {
            k->result = hf_backups_put(k->history->backups, k->tenant, k->cluster, v, &k->err);
        }
    }
    if (hf_ok(k->result)) {
        k->result = hf_spool_append(k->history->spool, &k->event, &k->err);
        if (k->result.code == HF_E_EXISTS) {
            k->result = hf_done();
        }
    }
}

static void keep_done(struct hf_job *job)
{
    struct keep_job *k = (struct keep_job *)job;
    struct hf_history *h = k->history;
    bool kept = job->ran && hf_ok(k->result);
    h->waiting--;
    h->reports -= k->is_report ? 1 : 0;
    if (job->ran && !hf_ok(k->result)) {
        hf_log(HF_LOG_WARNING, "EVENT_LOST", "a history event was not kept",
               HF_KV("id", k->event.id), HF_KV_ERR(&k->err));
    }
    /* A report that can never be kept must not come again for ever. */
    bool hopeless = job->ran && (k->result.code == HF_E_INVALID || k->result.code == HF_E_CONFLICT);
    if (k->kept != NULL) {
        k->kept(k->arg, kept || hopeless, k->report_id);
    }
    hf_buf_free(&k->event.body);
    hf_free(k);
}

static bool keep(struct hf_history *h, struct keep_job *k)
{
    struct hf_err err;
    k->history = h;
    k->job.run = keep_run;
    k->job.done = keep_done;
    if (h->waiting >= HISTORY_WAITING ||
        !hf_ok(hf_pool_submit(h->pool, HF_LANE_URGENT, &k->job, &err))) {
        h->stats.overflow++;
        hf_buf_free(&k->event.body);
        hf_free(k);
        return false;
    }
    h->waiting++;
    h->reports += k->is_report ? 1 : 0;
    return true;
}

void hf_history_event(struct hf_history *h, const char *kind, const char *id, bool informational,
                      const hf_json *body)
{
    struct hf_err err;
    struct keep_job *k = hf_alloc(sizeof *k);
    (void)snprintf(k->event.id, sizeof k->event.id, "%s", id);
    (void)snprintf(k->event.kind, sizeof k->event.kind, "%s", kind);
    k->event.informational = informational;
    k->event.body = HF_BUF_INIT(HF_EVENT_MAX);
    if (!hf_ok(hf_json_write(body, &k->event.body, &err))) {
        hf_log(HF_LOG_WARNING, "EVENT_LOST", "a history event was not kept", HF_KV("id", id),
               HF_KV_ERR(&err));
        hf_buf_free(&k->event.body);
        hf_free(k);
        return;
    }
    (void)keep(h, k);
}

/* The report's body with where it comes from, by the certificate and not by its own word. */
static hf_result report_body(const struct hf_hello *from, const struct hf_report *report,
                             struct hf_buf *ret, struct hf_err *err)
{
    HF_AUTOJSON hf_json *said = NULL;
    HF_AUTOJSON hf_json *v = hf_json_object();
    HF_TRY(hf_json_parse(report->body, strlen(report->body), HF_BODY_SIZE, &said, err));
    if (!hf_json_is_object(said)) {
        return hf_fail(err, HF_E_INVALID, "report %s: its body is not an object", report->id);
    }
    static const char *const ours[] = {"tenant", "cluster", "node", "region"};
    const char *const values[] = {from->tenant.s, from->cluster.s, from->node.s, from->region.s};
    for (size_t i = 0; i < hf_json_size(said); i++) {
        const hf_json *m = hf_json_at(said, i);
        bool skip = false;
        for (size_t k = 0; k < 4; k++) {
            skip = skip || strcmp(hf_json_key(m), ours[k]) == 0;
        }
        if (!skip) {
            hf_json_put(v, hf_json_key(m), hf_json_copy(m));
        }
    }
    for (size_t k = 0; k < 4; k++) {
        hf_json_put_text(v, ours[k], values[k]);
    }
    return hf_json_write(v, ret, err);
}

void hf_history_report(struct hf_history *h, const struct hf_hello *from,
                       const struct hf_report *report, hf_history_kept kept, void *arg)
{
    struct hf_err err;
    struct keep_job *k = hf_alloc(sizeof *k);
    (void)snprintf(k->event.id, sizeof k->event.id, "%s/%s/%s/%s", from->tenant.s, from->cluster.s,
                   from->node.s, report->id);
    (void)snprintf(k->event.kind, sizeof k->event.kind, "%s", report->kind);
    (void)snprintf(k->tenant, sizeof k->tenant, "%s", from->tenant.s);
    (void)snprintf(k->cluster, sizeof k->cluster, "%s", from->cluster.s);
    (void)snprintf(k->report_id, sizeof k->report_id, "%s", report->id);
    k->event.body = HF_BUF_INIT(HF_EVENT_MAX);
    k->is_report = true;
    k->is_backup = strcmp(report->kind, "backup") == 0;
    k->kept = kept;
    k->arg = arg;
    hf_result r = report_body(from, report, &k->event.body, &err);
    if (!hf_ok(r)) {
        hf_log(HF_LOG_WARNING, "REPORT_INVALID", "a report was refused for good",
               HF_KV("node", from->node.s), HF_KV("id", report->id), HF_KV_ERR(&err));
        hf_buf_free(&k->event.body);
        hf_free(k);
        kept(arg, true, report->id); /* it would come again for ever */
        return;
    }
    if (h->reports >= HISTORY_REPORTS) {
        hf_buf_free(&k->event.body);
        hf_free(k);
        kept(arg, false, report->id);
        return;
    }
    if (!keep(h, k)) {
        kept(arg, false, report->id);
    }
}

/* --- into the database --- */

static hf_result drain_connect(struct drain_job *d, struct hf_err *err)
{
    const struct hf_config_coordinator *config = d->history->config;
    if (d->pg == NULL) {
        const struct hf_pg_config pg = {
            .dsn = config->history.dsn,
            .passfile = config->history.passfile[0] != '\0' ? config->history.passfile : NULL,
            .application_name = "holdfast-coordinator",
            .options = "-c statement_timeout=10000 -c lock_timeout=10000 "
                       "-c client_min_messages=warning"};
        HF_TRY(hf_pg_sync_connect(&pg, &d->pg, err));
        d->migrated = false;
    }
    if (!d->migrated) {
        HF_TRY(hf_migrate(d->pg, err));
        d->migrated = true;
    }
    return hf_done();
}

static hf_result drain_batch(struct drain_job *d, const struct hf_event *events,
                             const uint64_t *numbers, size_t count, struct hf_err *err)
{
    HF_TRY(hf_pg_sync_query(d->pg, "BEGIN", 0, NULL, QUERY_LIMIT, NULL, err));
    for (size_t i = 0; i < count; i++) {
        const char *const params[] = {events[i].id, events[i].kind, hf_buf_text(&events[i].body)};
        HF_TRY(hf_pg_sync_query(d->pg, "SELECT holdfast_take_event($1, $2, $3::jsonb)", 3, params,
                                QUERY_LIMIT, NULL, err));
    }
    HF_TRY(hf_pg_sync_query(d->pg, "COMMIT", 0, NULL, QUERY_LIMIT, NULL, err));
    for (size_t i = 0; i < count; i++) {
        HF_TRY(hf_spool_remove(d->history->spool, numbers[i], err));
    }
    d->delivered += count;
    return hf_done();
}

/* Together first; when the database refuses one of them, one by one, so that it stops no other. */
static hf_result drain_some(struct drain_job *d, struct hf_err *err)
{
    struct hf_event events[HISTORY_BATCH];
    uint64_t numbers[HISTORY_BATCH];
    size_t count = 0;
    HF_TRY(hf_spool_peek(d->history->spool, HISTORY_BATCH, events, numbers, &count, err));
    d->more = count == HISTORY_BATCH;
    hf_result r = count > 0 ? drain_batch(d, events, numbers, count, err) : hf_done();
    if (r.code == HF_E_REFUSED || r.code == HF_E_INVALID) {
        r = hf_done();
        for (size_t i = 0; i < count && hf_ok(r); i++) {
            HF_IGNORE(hf_pg_sync_query(d->pg, "ROLLBACK", 0, NULL, QUERY_LIMIT, NULL, err),
                      "the next statement shows whether the connection is usable");
            r = drain_batch(d, &events[i], &numbers[i], 1, err);
            if (r.code == HF_E_REFUSED || r.code == HF_E_INVALID) {
                hf_log(HF_LOG_ERROR, "EVENT_REFUSED",
                       "the history database refuses an event: "
                       "it is dropped",
                       HF_KV("id", events[i].id), HF_KV_ERR(err));
                HF_IGNORE(hf_pg_sync_query(d->pg, "ROLLBACK", 0, NULL, QUERY_LIMIT, NULL, err),
                          "the next statement shows whether the connection is usable");
                r = hf_spool_remove(d->history->spool, numbers[i], err);
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        hf_buf_free(&events[i].body);
    }
    return r;
}

static void drain_run(struct hf_job *job)
{
    struct drain_job *d = (struct drain_job *)job;
    d->delivered = 0;
    d->more = true;
    d->result = drain_connect(d, &d->err);
    while (hf_ok(d->result) && d->more && !hf_job_canceled(job)) {
        d->result = drain_some(d, &d->err);
    }
    if (!hf_ok(d->result)) {
        hf_pg_sync_close(d->pg);
        d->pg = NULL;
    }
}

static void drain_done(struct hf_job *job)
{
    struct drain_job *d = (struct drain_job *)job;
    struct hf_history *h = d->history;
    h->draining = false;
    if (!job->ran) {
        return;
    }
    bool was = h->stats.connected;
    h->stats.connected = hf_ok(d->result);
    h->stats.delivered += d->delivered;
    h->backoff = RETRY_MIN;
    if (!hf_ok(d->result)) {
        h->stats.failures++;
        int shift = h->stats.failures < 6 ? (int)h->stats.failures : 5;
        h->backoff = HF_US(RETRY_MIN.us << shift);
        h->backoff = h->backoff.us > RETRY_MAX.us ? RETRY_MAX : h->backoff;
        if (was || h->stats.failures == 1) {
            hf_log(HF_LOG_WARNING, "HISTORY_AWAY",
                   "the history database cannot be used: events "
                   "wait in the spool",
                   HF_KV_ERR(&d->err));
        }
    } else if (!was) {
        h->stats.failures = 0;
        hf_log(HF_LOG_INFO, "HISTORY_HERE", "the history database is used");
    }
    h->drain_at = hf_lclk_add(hf_clock_lease(), h->backoff);
}

void hf_history_tick(struct hf_history *h)
{
    struct hf_err err;
    struct hf_spool_stats stats;
    if (!h->config->history.present || h->draining ||
        !hf_lclk_reached(hf_clock_lease(), h->drain_at)) {
        return;
    }
    hf_spool_stats(h->spool, &stats);
    if (stats.events == 0 && h->drain.migrated) {
        return;
    }
    h->drain.job = (struct hf_job){.run = drain_run, .done = drain_done};
    h->draining = hf_ok(hf_pool_submit(h->pool, HF_LANE_BULK, &h->drain.job, &err));
}

hf_result hf_history_new(struct hf_loop *loop, struct hf_pool *pool,
                         const struct hf_config_coordinator *config, struct hf_history **ret,
                         struct hf_err *err)
{
    char path[HF_PATH_SIZE + 32];
    (void)loop;
    struct hf_history *h = hf_alloc(sizeof *h);
    h->pool = pool;
    h->config = config;
    h->drain.history = h;
    h->stats.configured = config->history.present;
    uint64_t max = config->history.spool_max != 0 ? config->history.spool_max : 268435456;
    (void)snprintf(path, sizeof path, "%s/spool", config->state_dir);
    hf_result r = hf_spool_open(path, max, &h->spool, err);
    if (hf_ok(r)) {
        (void)snprintf(path, sizeof path, "%s/backups", config->state_dir);
        r = hf_backups_open(path, &h->backups, err);
    }
    if (!hf_ok(r)) {
        hf_history_free(h);
        return r;
    }
    *ret = h;
    return hf_done();
}

void hf_history_free(struct hf_history *h)
{
    if (h != NULL) {
        hf_pg_sync_close(h->drain.pg);
        hf_spool_close(h->spool);
        hf_backups_close(h->backups);
        hf_free(h);
    }
}

struct hf_backups *hf_history_backups(struct hf_history *h)
{
    return h->backups;
}

void hf_history_stats(struct hf_history *h, struct hf_history_stats *ret)
{
    *ret = h->stats;
    ret->waiting = h->waiting;
    hf_spool_stats(h->spool, &ret->spool);
}
