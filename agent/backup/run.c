/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/run.h"

#include <errno.h>
#include <time.h>

#include "common/base/mem.h"

enum { STAGES = 4, TICK_MS = 250, MAX_WORKERS = 16 };

struct crew {
    struct hf_backup_shared *shared;
    struct hf_plan *plan;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int running;
    struct hf_err failure; /* the first one; code HF_OK: none */
};

static hf_result work(struct crew *crew, struct hf_stage **chain, struct hf_frame_job *job,
                      struct hf_err *err)
{
    for (;;) {
        bool more = false;
        struct hf_map_source frame = {0};
        HF_TRY(hf_plan_next(crew->plan, job, &more, err));
        if (!more) {
            break;
        }
        for (int i = 0; i < STAGES; i++) {
            hf_result r = chain[i]->ops->process(chain[i], job, &frame, err);
            if (!hf_ok(r)) {
                return hf_fail_context(err, "%s", chain[i]->ops->name);
            }
        }
        HF_TRY(hf_plan_done(crew->plan, job, &frame, err));
    }
    for (int i = 0; i < STAGES; i++) {
        if (chain[i]->ops->finish != NULL) {
            HF_TRY(chain[i]->ops->finish(chain[i], err));
        }
    }
    return hf_done();
}

static void *worker(void *arg)
{
    struct crew *crew = arg;
    struct hf_err err = {0};
    struct hf_stage *chain[STAGES] = {
        hf_stage_read_new(crew->shared), hf_stage_check_new(crew->shared),
        hf_stage_hash_new(crew->shared), hf_stage_pack_new(crew->shared)};
    struct hf_frame_job *job = hf_alloc(sizeof(*job));
    job->plain = hf_alloc(HF_PLAN_FRAME);
    hf_result r = work(crew, chain, job, &err);
    hf_free(job->plain);
    hf_free(job);
    for (int i = 0; i < STAGES; i++) {
        chain[i]->ops->free(chain[i]);
    }
    if (!hf_ok(r)) {
        hf_plan_stop(crew->plan);
    }
    pthread_mutex_lock(&crew->lock);
    /* Those that were stopped by the first one's failure say only that they were stopped. */
    if (!hf_ok(r) && (crew->failure.code == HF_OK || crew->failure.code == HF_E_CANCELED)) {
        crew->failure = err;
    }
    crew->running--;
    pthread_cond_signal(&crew->ended);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static void wait_a_tick(struct crew *crew)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void)pthread_cond_timedwait(&crew->ended, &crew->lock, &until);
}

static void watch(struct crew *crew, const atomic_bool *cancel, void (*tick)(void *arg), void *arg)
{
    pthread_mutex_lock(&crew->lock);
    while (crew->running > 0) {
        wait_a_tick(crew);
        pthread_mutex_unlock(&crew->lock);
        if (cancel != NULL && atomic_load(cancel)) {
            hf_plan_stop(crew->plan);
        }
        if (tick != NULL) {
            tick(arg);
        }
        pthread_mutex_lock(&crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}

hf_result hf_pipeline_run(struct hf_backup_shared *shared, struct hf_plan *plan, int workers,
                          const atomic_bool *cancel, void (*tick)(void *arg), void *tick_arg,
                          struct hf_err *err)
{
    struct crew crew = {.shared = shared, .plan = plan};
    pthread_t threads[MAX_WORKERS];
    pthread_condattr_t attr;
    int started = 0;
    int saved = 0;
    HF_ASSERT(workers >= 1 && workers <= MAX_WORKERS);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&crew.ended, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&crew.lock, NULL);
    crew.running = workers;
    for (; started < workers && saved == 0; started += saved == 0 ? 1 : 0) {
        saved = pthread_create(&threads[started], NULL, worker, &crew);
    }
    if (saved != 0) {
        pthread_mutex_lock(&crew.lock);
        crew.running -= workers - started;
        pthread_mutex_unlock(&crew.lock);
        hf_plan_stop(plan);
    }
    watch(&crew, cancel, tick, tick_arg);
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_cond_destroy(&crew.ended);
    pthread_mutex_destroy(&crew.lock);
    if (saved != 0) {
        return hf_fail_errno(err, saved, "start a worker of the backup");
    }
    if (crew.failure.code != HF_OK) {
        *err = crew.failure;
        return (hf_result){crew.failure.code};
    }
    return hf_plan_finish(plan, err);
}
