/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wal/wal_service.h"

#include <stdio.h>
#include <string.h>

#include "agent/wal/wal_internal.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

static int64_t now_ms(void)
{
    return hf_clock_lease().us / 1000;
}

struct hf_wal_site *hf_wal_site_hold(struct hf_wal_service *s)
{
    s->site->users++;
    return s->site;
}

void hf_wal_site_drop(struct hf_wal_site *site)
{
    if (--site->users == 0) {
        hf_site_close(&site->site);
        hf_free(site);
    }
}

hf_result hf_wal_site_need(struct hf_wal_service *s, struct hf_err *err)
{
    if (s->ending) {
        return hf_fail(err, HF_E_CANCELED, "the agent is ending");
    }
    if (s->config->repository_count == 0) {
        return hf_fail(err, HF_E_INVALID, "no repository is configured");
    }
    if (s->site == NULL) {
        return hf_fail(err, HF_E_AGAIN, "repositories are not open yet: %s",
                       s->system_id == 0         ? "the system identifier is not known"
                       : s->open_error.code != 0 ? s->open_error.text
                                                 : "opening");
    }
    return hf_done();
}

/* --- opening ------------------------------------------------------------------------------ */

struct open_job {
    struct hf_job job;
    struct hf_wal_service *s;
    uint64_t system_id;
    struct hf_wal_site *made;
    hf_result result;
    struct hf_err err;
};

/* Keys first, everywhere: nothing is sealed under a key that a repository lacks (rule C2). Without
 * the own repository nothing is sealed at all; the others still serve readers. */
static void open_run(struct hf_job *job)
{
    struct open_job *o = (struct open_job *)job;
    struct hf_site *site = &o->made->site;
    o->result = hf_site_open_any(o->s->config, o->system_id, site, &o->err);
    bool writes = hf_ok(o->result) && site->repositories[0] != NULL;
    for (size_t i = 0; hf_ok(o->result) && i < site->count; i++) {
        if (site->repositories[i] == NULL) {
            continue;
        }
        hf_result r = hf_done();
        if (writes) {
            r = hf_keyring_prepare(site->ring, site->stores[i], &site->errors[i]);
        }
        if (hf_ok(r)) {
            o->made->opened++;
            continue;
        }
        hf_repository_close(site->repositories[i]);
        site->repositories[i] = NULL;
        writes = writes && i > 0;
    }
    struct hf_system_identity id;
    if (hf_ok(o->result) && hf_wal_own(o->made) != NULL &&
        hf_ok(hf_repository_identity(hf_wal_own(o->made), &id, NULL))) {
        o->made->segment_size = id.segment_size;
    }
}

/* Is what was opened better than what there is? */
static bool better(const struct hf_wal_service *s, const struct open_job *o)
{
    return hf_ok(o->result) && o->system_id == s->system_id && o->made->opened > 0 &&
           (s->site == NULL || s->reopen || o->made->opened > s->site->opened);
}

static void take_site(struct hf_wal_service *s, struct hf_wal_site *made)
{
    if (s->site != NULL) {
        hf_wal_site_drop(s->site);
    }
    s->site = made;
    s->site->users = 1;
    s->reopen = false;
    s->segment_size = made->segment_size != 0 ? made->segment_size : s->segment_size;
    memset(&s->open_error, 0, sizeof s->open_error);
    for (size_t i = 1; i < made->site.count; i++) {
        s->regions[i].lagging = true; /* the listings are the truth after a start */
    }
}

static void open_done(struct hf_job *job)
{
    struct open_job *o = (struct open_job *)job;
    struct hf_wal_service *s = o->s;
    s->jobs--;
    s->opening = false;
    if (job->ran && !s->ending && o->system_id == s->system_id) {
        bool own = hf_ok(o->result) && hf_wal_own(o->made) != NULL;
        struct hf_err why = hf_ok(o->result) ? o->made->site.errors[0] : o->err;
        if (!own && s->open_error.code != why.code) {
            hf_log(HF_LOG_WARNING, "REPOSITORY_CLOSED", "own repository cannot be used",
                   HF_KV_ERR(&why));
        }
        s->facts.repository_known = true;
        s->facts.repository_ok = s->facts.repository_ok && own;
        if (better(s, o)) {
            take_site(s, o->made);
            o->made = NULL;
        }
        if (!own) {
            s->open_error = why;
        }
    }
    if (o->made != NULL) {
        hf_site_close(&o->made->site);
        hf_free(o->made);
    }
    hf_free(o);
}

static void open_site(struct hf_wal_service *s)
{
    struct open_job *o = hf_alloc(sizeof *o);
    struct hf_err err = {0};
    o->job.run = open_run;
    o->job.done = open_done;
    o->s = s;
    o->system_id = s->system_id;
    o->made = hf_alloc(sizeof *o->made);
    s->opened_ms = now_ms();
    if (!hf_ok(hf_pool_submit(s->pool, HF_LANE_BULK, &o->job, &err))) {
        hf_free(o->made);
        hf_free(o);
        return;
    }
    s->opening = true;
    s->jobs++;
}

/* --- the clockwork ------------------------------------------------------------------------ */

static int64_t reopen_after_ms(const struct hf_wal_service *s)
{
    if (s->site == NULL || hf_wal_own(s->site) == NULL) {
        return HF_WAL_REOPEN_EVERY_MS;
    }
    bool whole = s->site->opened == s->site->site.count && !s->reopen;
    return whole ? INT64_MAX : HF_WAL_CATCHUP_EVERY_MS; /* asking a dead region costs a thread */
}

static void tick(void *arg)
{
    struct hf_wal_service *s = arg;
    int64_t now = now_ms();
    if (s->ending || s->config->repository_count == 0 || s->system_id == 0) {
        return;
    }
    if (!s->opening && now - s->opened_ms >= reopen_after_ms(s)) {
        open_site(s);
    }
    if (s->site == NULL || hf_wal_own(s->site) == NULL) {
        return;
    }
    if (!s->looking && now - s->looked_ms >= HF_WAL_FACTS_EVERY_MS) {
        s->looked_ms = now;
        hf_wal_look(s);
    }
    hf_wal_record_epoch(s);
    if (now - s->caught_up_ms >= HF_WAL_CATCHUP_EVERY_MS) {
        s->caught_up_ms = now;
        for (size_t i = 1; i < s->site->site.count; i++) {
            s->regions[i].lagging = true; /* also what another process of this host has written */
        }
    }
    for (size_t i = 1; i < s->site->site.count; i++) {
        if (s->regions[i].lagging && s->regions[i].catching == NULL) {
            hf_wal_catch_up(s, i);
        }
    }
}

hf_result hf_wal_service_new(const struct hf_config_agent *config, struct hf_loop *loop,
                             struct hf_pool *pool, struct hf_wal_service **ret, struct hf_err *err)
{
    (void)err;
    struct hf_wal_service *s = hf_alloc(sizeof *s);
    s->config = config;
    s->loop = loop;
    s->pool = pool;
    s->segment_size = 16U << 20;
    s->opened_ms = now_ms() - HF_WAL_REOPEN_EVERY_MS;
    s->timer = hf_timer_new(loop, tick, s);
    hf_timer_every(s->timer, HF_MS(250));
    *ret = s;
    return hf_done();
}

void hf_wal_service_free(struct hf_wal_service *s)
{
    if (s == NULL) {
        return;
    }
    s->ending = true;
    hf_timer_free(s->timer);
    for (size_t i = 0; i < HF_MAX_REGIONS; i++) {
        if (s->regions[i].catching != NULL) {
            hf_job_cancel(s->regions[i].catching);
        }
    }
    /* Jobs hold the service: the pool calls each one's done, step by step. */
    for (int i = 0; i < 10000 && s->jobs > 0; i++) {
        struct hf_err err = {0};
        if (!hf_ok(hf_loop_step(s->loop, HF_MS(10), &err))) {
            break;
        }
    }
    if (s->jobs > 0) {
        return; /* a job hangs in the kernel: leak rather than free under it */
    }
    if (s->site != NULL) {
        hf_wal_site_drop(s->site);
    }
    hf_free(s);
}

void hf_wal_service_update(struct hf_wal_service *s, uint64_t system_id, hf_epoch epoch,
                           hf_tli timeline)
{
    if (system_id != s->system_id && system_id != 0) {
        if (s->site != NULL) {
            hf_wal_site_drop(s->site);
            s->site = NULL;
        }
        s->system_id = system_id;
        s->opened_ms = now_ms() - HF_WAL_REOPEN_EVERY_MS;
        s->recorded = HF_EPOCH(0);
        s->backup_first = 0;
        memset(&s->facts, 0, sizeof s->facts);
    }
    if (timeline.v != s->timeline.v || epoch.v != s->epoch.v) {
        s->looked_ms = 0;
        s->record_ms = 0;
    }
    s->epoch = epoch;
    s->timeline = timeline;
    s->newest_epoch = epoch.v > s->newest_epoch.v ? epoch : s->newest_epoch;
}

void hf_wal_service_request(struct hf_wal_service *s, const hf_json *request, hf_wal_answer answer,
                            void *arg)
{
    struct hf_err err = {0};
    char what[32] = "";
    hf_result r = hf_wal_site_need(s, &err);
    if (hf_ok(r)) {
        r = hf_json_get_text(request, "do", what, sizeof what, &err);
    }
    if (hf_ok(r) && s->requests >= HF_WAL_REQUESTS_MAX) {
        r = hf_fail(&err, HF_E_LIMIT, "%d requests are under way already", s->requests);
    }
    if (hf_ok(r) && strcmp(what, "archive-push") == 0) {
        hf_wal_push_request(s, request, answer, arg);
        return;
    }
    if (hf_ok(r) && strcmp(what, "archive-get") == 0) {
        hf_wal_get_request(s, request, answer, arg);
        return;
    }
    if (hf_ok(r)) {
        r = hf_fail(&err, HF_E_INVALID, "\"do\" is \"%s\"; allowed: archive-push, archive-get",
                    what);
    }
    answer(arg, r, NULL, &err);
}

void hf_wal_service_facts(const struct hf_wal_service *s, struct hf_wal_facts *ret)
{
    *ret = s->facts;
    ret->archive_queue = 0;
    for (size_t i = 1; s->site != NULL && i < s->site->site.count; i++) {
        ret->archive_queue += s->regions[i].missing;
    }
}
