/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wal/wal_direct.h"

#include <string.h>
#include <time.h>

#include "agent/wal/wal_push.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/loop.h"
#include "common/io/worker.h"

/* --- archive-push --------------------------------------------------------------------------- */

/* What all regions' jobs share; outlives them, also when the process ends first. */
struct push {
    const struct hf_config_agent *config;
    struct hf_site own; /* the own region only; its ring seals and opens for all */
    struct hf_wal_file file;
    size_t waiting;
};

struct region_job {
    struct hf_job job;
    struct push *push;
    const char *region;
    hf_result result;
    struct hf_err err;
};

/* Keys first: nothing goes where its key is not (rule C2). */
static hf_result put_there(struct push *p, const char *region, struct hf_err *err)
{
    struct hf_store *store = NULL;
    struct hf_repository *r = NULL;
    HF_TRY(hf_site_store(p->config, region, &store, err));
    hf_result put = hf_repository_open(store, p->own.ring, &r, err);
    if (hf_ok(put)) {
        put = hf_keyring_prepare(p->own.ring, store, err);
    }
    if (hf_ok(put)) {
        put = hf_wal_file_put(r, &p->file, err);
    }
    hf_repository_close(r);
    hf_store_close(store);
    return put;
}

static void region_run(struct hf_job *job)
{
    struct region_job *j = (struct region_job *)job;
    j->result = put_there(j->push, j->region, &j->err);
}

static void region_done(struct hf_job *job)
{
    struct region_job *j = (struct region_job *)job;
    j->push->waiting--;
    if (job->ran && !hf_ok(j->result)) {
        bool conflict = j->result.code == HF_E_CONFLICT;
        hf_log(conflict ? HF_LOG_ERROR : HF_LOG_WARNING,
               conflict ? "WAL_CONFLICT" : "WAL_REGION_LAGS",
               "a region did not take a file of the archive", HF_KV("region", j->region),
               HF_KV_ERR(&j->err));
    }
    hf_free(j);
}

static hf_result own_region(struct push *p, uint64_t system_id, const char *name, const char *path,
                            struct hf_err *err)
{
    HF_TRY(hf_site_open(p->config, p->config->region.s, system_id, &p->own, err));
    HF_TRY(hf_keyring_prepare(p->own.ring, p->own.stores[0], err));
    HF_TRY(hf_wal_file_seal(&p->own, name, path, 0, HF_EPOCH(0), &p->file, err));
    return hf_wal_file_put(p->own.repositories[0], &p->file, err);
}

static void submit_others(struct push *p, struct hf_pool *pool)
{
    for (size_t i = 0; i < p->config->repository_count; i++) {
        struct hf_err err = {0};
        const char *region = p->config->repositories[i].region.s;
        if (strcmp(region, p->config->region.s) == 0) {
            continue;
        }
        struct region_job *j = hf_alloc(sizeof *j);
        j->job.run = region_run;
        j->job.done = region_done;
        j->push = p;
        j->region = region;
        if (hf_ok(hf_pool_submit(pool, HF_LANE_URGENT, &j->job, &err))) {
            p->waiting++;
        } else {
            hf_free(j);
        }
    }
}

/* The jobs of the other regions, as long as patience lasts. True: all have ended. */
static bool other_regions(struct push *p, hf_dur patience)
{
    struct hf_loop *loop = NULL;
    struct hf_pool *pool = NULL;
    struct hf_err err = {0};
    if (p->config->repository_count < 2 || !hf_ok(hf_loop_new(&loop, &err)) ||
        !hf_ok(hf_pool_new(loop, HF_MAX_REGIONS < 2 ? 2 : HF_MAX_REGIONS, HF_MAX_REGIONS, &pool,
                           &err))) {
        hf_loop_free(loop);
        return true;
    }
    hf_lclk until = hf_lclk_add(hf_clock_lease(), patience);
    submit_others(p, pool);
    while (p->waiting > 0 && hf_clock_lease().us < until.us) {
        if (!hf_ok(hf_loop_step(loop, HF_MS(50), &err))) {
            break;
        }
    }
    if (p->waiting > 0) {
        return false; /* their threads hang in a store: the process ends over them */
    }
    hf_pool_free(pool);
    hf_loop_free(loop);
    return true;
}

hf_result hf_wal_direct_push(const struct hf_config_agent *config, uint64_t system_id,
                             const char *name, const char *path, hf_dur patience, size_t *ret_late,
                             struct hf_err *err)
{
    struct push *p = hf_alloc(sizeof *p);
    p->config = config;
    hf_result r = own_region(p, system_id, name, path, err);
    *ret_late = 0;
    if (hf_ok(r) && !other_regions(p, patience)) {
        *ret_late = p->waiting;
        return r;
    }
    hf_wal_file_free(&p->file);
    hf_site_close(&p->own);
    hf_free(p);
    return r;
}

/* --- archive-get ---------------------------------------------------------------------------- */

static hf_result get_once(const struct hf_config_agent *config, uint64_t system_id,
                          const struct hf_wal_fetch *fetch, struct hf_err *err)
{
    HF_AUTOSITE struct hf_site site = {0};
    struct hf_err why = {0};
    hf_result opened = hf_site_open_any(config, system_id, &site, &why);
    if (!hf_ok(opened)) {
        /* Nothing there at all says nothing about this file: rather is something not mounted. */
        return hf_fail(err, opened.code == HF_E_NOT_FOUND ? HF_E_AGAIN : opened.code, "%s",
                       why.text);
    }
    return hf_wal_fetch(&site, fetch, err);
}

/* Worth asking again: what a moment can change. */
static bool may_change(hf_result r)
{
    return r.code == HF_E_AGAIN || r.code == HF_E_TIMEOUT || r.code == HF_E_UNREACHABLE ||
           r.code == HF_E_IO;
}

hf_result hf_wal_direct_get(const struct hf_config_agent *config, uint64_t system_id,
                            const struct hf_wal_fetch *fetch, hf_dur patience, struct hf_err *err)
{
    hf_lclk until = hf_lclk_add(hf_clock_lease(), patience);
    long pause_ms = 100;
    for (;;) {
        struct hf_err mine = {0};
        hf_result r = get_once(config, system_id, fetch, &mine);
        if (hf_ok(r) || !may_change(r) || hf_clock_lease().us + pause_ms * 1000 > until.us) {
            *err = mine;
            return r;
        }
        const struct timespec pause = {.tv_sec = pause_ms / 1000,
                                       .tv_nsec = pause_ms % 1000 * 1000000};
        (void)nanosleep(&pause, NULL);
        pause_ms = pause_ms < 4000 ? pause_ms * 2 : 4000;
    }
}
