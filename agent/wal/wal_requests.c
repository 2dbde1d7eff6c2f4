/* SPDX-License-Identifier: Apache-2.0
 *
 * archive-push and archive-get of the socket, as jobs of the urgent lane.
 */
#include <stdio.h>
#include <string.h>

#include "agent/wal/wal_fetch.h"
#include "agent/wal/wal_internal.h"
#include "common/base/mem.h"
#include "common/io/log.h"

struct request_job {
    struct hf_job job;
    struct hf_wal_service *s;
    struct hf_wal_site *site;
    hf_wal_answer answer;
    void *arg;
    char name[HF_WAL_NAME_SIZE];
    char path[HF_PATH_SIZE];
    hf_epoch epoch;
    hf_tli target;
    hf_tli hint;
    struct hf_wal_file file;
    bool sealed;
    bool shared; /* fan-out jobs use the file too */
    int users;
    hf_result result;
    struct hf_err err;
};

/* A clone or an older incarnation on this host is not the cluster that is served here. */
static hf_result check_system(const struct hf_wal_service *s, const hf_json *request,
                              struct hf_err *err)
{
    uint64_t system = s->system_id;
    HF_TRY(hf_json_get_u64_opt(request, "system", &system, err));
    if (system != s->system_id) {
        return hf_fail(err, HF_E_REFUSED,
                       "OTHER_SYSTEM: it is of system %llu, this agent's is %llu",
                       (unsigned long long)system, (unsigned long long)s->system_id);
    }
    return hf_done();
}

static struct request_job *request_new(struct hf_wal_service *s, const hf_json *request,
                                       hf_wal_answer answer, void *arg)
{
    struct request_job *q = hf_alloc(sizeof *q);
    struct hf_err err = {0};
    hf_result r = hf_json_get_text(request, "name", q->name, sizeof q->name, &err);
    if (hf_ok(r)) {
        r = hf_json_get_text(request, "path", q->path, sizeof q->path, &err);
    }
    if (hf_ok(r)) {
        r = check_system(s, request, &err);
    }
    if (hf_ok(r) && q->path[0] != '/') {
        r = hf_fail(&err, HF_E_INVALID, "path \"%.80s\" is not absolute", q->path);
    }
    if (!hf_ok(r)) {
        hf_free(q);
        answer(arg, r, NULL, &err);
        return NULL;
    }
    q->s = s;
    q->answer = answer;
    q->arg = arg;
    q->users = 1;
    q->site = hf_wal_site_hold(s);
    return q;
}

static void request_drop(struct request_job *q)
{
    if (--q->users > 0) {
        return;
    }
    if (q->sealed) {
        hf_wal_file_free(&q->file);
    }
    hf_wal_site_drop(q->site);
    hf_free(q);
}

static void submit(struct request_job *q)
{
    struct hf_err err = {0};
    hf_result r = hf_pool_submit(q->s->pool, HF_LANE_URGENT, &q->job, &err);
    if (!hf_ok(r)) {
        q->answer(q->arg, r, NULL, &err);
        request_drop(q);
        return;
    }
    q->s->jobs++;
    q->s->requests++;
}

/* --- fan-out to the other regions ----------------------------------------------------------- */

struct fan_job {
    struct hf_job job;
    struct request_job *from;
    size_t region;
    hf_result result;
    struct hf_err err;
};

static void fan_run(struct hf_job *job)
{
    struct fan_job *f = (struct fan_job *)job;
    f->result =
        hf_wal_file_put(f->from->site->site.repositories[f->region], &f->from->file, &f->err);
}

static void not_there(struct hf_wal_region *region)
{
    region->lagging = true; /* the catch-up copies the own region's ciphertext (W9) */
    region->missing++;
}

static void fan_done(struct hf_job *job)
{
    struct fan_job *f = (struct fan_job *)job;
    struct hf_wal_service *s = f->from->s;
    struct hf_wal_region *region = &s->regions[f->region];
    region->pushing = false;
    s->jobs--;
    if (!job->ran || !hf_ok(f->result)) {
        bool conflict = job->ran && f->result.code == HF_E_CONFLICT;
        not_there(region);
        region->failures += conflict ? 0 : 1;
        if (job->ran) {
            hf_log(conflict ? HF_LOG_ERROR : HF_LOG_WARNING,
                   conflict ? "WAL_CONFLICT" : "WAL_REGION_LAGS",
                   "WAL did not reach a region; it is queued",
                   HF_KV("region", hf_site_region(&f->from->site->site, f->region)),
                   HF_KV("file", f->from->name), HF_KV_ERR(&f->err));
        }
    } else {
        region->failures = 0;
    }
    request_drop(f->from);
    hf_free(f);
}

/* Regions that answer get the same ciphertext at once, also while older things are still being
 * copied there; the others catch up from the own repository. */
static void fan_out(struct request_job *q)
{
    struct hf_site *site = &q->site->site;
    for (size_t i = 1; i < site->count; i++) {
        struct hf_wal_region *region = &q->s->regions[i];
        struct hf_err err = {0};
        if (site->repositories[i] == NULL || region->pushing || region->failures > 0 ||
            q->s->ending) {
            not_there(region);
            continue;
        }
        struct fan_job *f = hf_alloc(sizeof *f);
        f->job.run = fan_run;
        f->job.done = fan_done;
        f->from = q;
        f->region = i;
        if (!hf_ok(hf_pool_submit(q->s->pool, HF_LANE_BULK, &f->job, &err))) {
            not_there(region);
            hf_free(f);
            continue;
        }
        region->pushing = true;
        q->users++;
        q->s->jobs++;
    }
}

/* --- archive-push --------------------------------------------------------------------------- */

static void push_run(struct hf_job *job)
{
    struct request_job *q = (struct request_job *)job;
    struct hf_site *site = &q->site->site;
    q->result = hf_wal_file_seal(site, q->name, q->path, 0, q->epoch, &q->file, &q->err);
    q->sealed = hf_ok(q->result);
    if (q->sealed) {
        q->result = hf_wal_file_put(site->repositories[0], &q->file, &q->err);
    }
}

static void push_done(struct hf_job *job)
{
    struct request_job *q = (struct request_job *)job;
    struct hf_wal_service *s = q->s;
    s->jobs--;
    s->requests--;
    if (!job->ran) {
        q->result = hf_fail(&q->err, HF_E_CANCELED, "the agent is ending");
    }
    if (hf_ok(q->result)) {
        HF_AUTOJSON hf_json *answer = hf_json_object();
        hf_json *durable = hf_json_array();
        hf_json_push_text(durable, s->config->region.s);
        hf_json_put(answer, "durable", durable);
        q->answer(q->arg, q->result, answer, &q->err);
        if (q->file.name.kind == HF_WAL_SEGMENT) {
            s->segment_size = q->file.segment_size;
        }
        s->looked_ms = 0; /* the contiguous end has moved */
        fan_out(q);
    } else {
        hf_log(q->result.code == HF_E_CONFLICT ? HF_LOG_ERROR : HF_LOG_WARNING,
               q->result.code == HF_E_CONFLICT ? "WAL_CONFLICT" : "WAL_PUSH_FAILED",
               "a file of the archive was not taken", HF_KV("file", q->name), HF_KV_ERR(&q->err));
        q->answer(q->arg, q->result, NULL, &q->err);
    }
    request_drop(q);
}

/* Under coordinators only the one that leads; a node whose PostgreSQL the agent only watches has no
 * lease to show. */
static bool may_archive(const struct hf_wal_service *s)
{
    const struct hf_config_agent *c = s->config;
    bool managed =
        c->has_postgresql && c->coordinator_count > 0 && c->postgresql.manage != HF_MANAGE_OBSERVE;
    return s->epoch.v != 0 || (!managed && s->newest_epoch.v == 0);
}

void hf_wal_push_request(struct hf_wal_service *s, const hf_json *request, hf_wal_answer answer,
                         void *arg)
{
    struct hf_err err = {0};
    if (!may_archive(s)) {
        hf_result r = hf_fail(&err, HF_E_REFUSED,
                              "NO_LEASE: this node does not lead (the newest epoch that it led is "
                              "%llu); the archive takes WAL only from the one that does (rule B12)",
                              (unsigned long long)s->newest_epoch.v);
        answer(arg, r, NULL, &err);
        return;
    }
    if (hf_wal_own(s->site) == NULL) {
        hf_result r = hf_fail(&err, HF_E_AGAIN, "own repository: %s", s->site->site.errors[0].text);
        answer(arg, r, NULL, &err);
        return;
    }
    struct request_job *q = request_new(s, request, answer, arg);
    if (q == NULL) {
        return;
    }
    q->epoch = s->epoch;
    q->job.run = push_run;
    q->job.done = push_done;
    submit(q);
}

/* --- archive-get ---------------------------------------------------------------------------- */

static void get_run(struct hf_job *job)
{
    struct request_job *q = (struct request_job *)job;
    struct hf_wal_fetch fetch = {
        .name = q->name, .path = q->path, .target = q->target, .hint = q->hint};
    q->result = hf_wal_fetch(&q->site->site, &fetch, &q->err);
}

static void get_done(struct hf_job *job)
{
    struct request_job *q = (struct request_job *)job;
    q->s->jobs--;
    q->s->requests--;
    if (!job->ran) {
        q->result = hf_fail(&q->err, HF_E_CANCELED, "the agent is ending");
    }
    q->answer(q->arg, q->result, NULL, &q->err);
    request_drop(q);
}

void hf_wal_get_request(struct hf_wal_service *s, const hf_json *request, hf_wal_answer answer,
                        void *arg)
{
    struct request_job *q = request_new(s, request, answer, arg);
    if (q == NULL) {
        return;
    }
    uint64_t target = 0;
    struct hf_err err = {0};
    hf_result r = hf_json_get_u64_opt(request, "target", &target, &err);
    if (!hf_ok(r) || target > UINT32_MAX) {
        answer(arg, hf_ok(r) ? hf_fail(&err, HF_E_INVALID, "target is no timeline") : r, NULL,
               &err);
        request_drop(q);
        return;
    }
    q->target = HF_TLI(target);
    q->hint = s->timeline;
    q->job.run = get_run;
    q->job.done = get_done;
    submit(q);
}
