/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { THREADS_MAX = 64, QUEUE_MAX = 65536, LANES = 2 };

struct lane {
    struct hf_job *first;
    struct hf_job *last;
    size_t len;
};

struct worker {
    struct hf_pool *pool;
    pthread_t thread;
    struct hf_job *current; /* guarded by pool->lock */
};

struct hf_pool {
    struct hf_loop *loop;
    struct hf_watch *watch;
    int event_fd;
    size_t queue_max;
    int thread_count;
    struct worker workers[THREADS_MAX];

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;
    bool stopping;
    int bulk_running;
    struct lane lanes[LANES];
    struct lane finished;
};

static void lane_push(struct lane *lane, struct hf_job *job)
{
    job->next = NULL;
    if (lane->last != NULL) {
        lane->last->next = job;
    } else {
        lane->first = job;
    }
    lane->last = job;
    lane->len++;
}

static struct hf_job *lane_pop(struct lane *lane)
{
    struct hf_job *job = lane->first;
    if (job != NULL) {
        lane->first = job->next;
        if (lane->first == NULL) {
            lane->last = NULL;
        }
        job->next = NULL;
        lane->len--;
    }
    return job;
}

/* With the lock held: the next job this pool may start, urgent first; one thread is never given to
 * bulk. */
static struct hf_job *next_job(struct hf_pool *pool, bool *ret_bulk)
{
    struct hf_job *job = lane_pop(&pool->lanes[HF_LANE_URGENT]);
    *ret_bulk = false;
    if (job == NULL && pool->bulk_running < pool->thread_count - 1) {
        job = lane_pop(&pool->lanes[HF_LANE_BULK]);
        *ret_bulk = job != NULL;
    }
    return job;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct hf_pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        bool bulk;
        struct hf_job *job = pool->stopping ? NULL : next_job(pool, &bulk);
        if (job == NULL) {
            if (pool->stopping) {
                break;
            }
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        w->current = job;
        pool->bulk_running += bulk;
        pthread_mutex_unlock(&pool->lock);
        if (!hf_job_canceled(job)) {
            job->ran = true;
            job->run(job);
        }
        pthread_mutex_lock(&pool->lock);
        w->current = NULL;
        if (bulk) {
            pool->bulk_running--;
            pthread_cond_signal(&pool->work); /* another bulk job may start now */
        }
        bool first = pool->finished.len == 0;
        lane_push(&pool->finished, job);
        if (first) {
            uint64_t one = 1;
            ssize_t n = write(pool->event_fd, &one, sizeof(one));
            HF_ASSERT(n == (ssize_t)sizeof(one));
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void hand_back(struct hf_job *first)
{
    while (first != NULL) {
        struct hf_job *job = first;
        first = job->next;
        job->next = NULL;
        job->done(job);
    }
}

static void on_finished(void *arg, int fd, unsigned events)
{
    struct hf_pool *pool = arg;
    (void)events;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    struct lane batch = pool->finished;
    pool->finished = (struct lane){0};
    pthread_mutex_unlock(&pool->lock);
    hand_back(batch.first);
}

static hf_result start_threads(struct hf_pool *pool, int threads, struct hf_err *err)
{
    /* Signals belong to the loop's signalfd: workers take none. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = 0;
    pthread_mutex_lock(&pool->lock); /* workers see the final thread_count */
    while (rc == 0 && pool->thread_count < threads) {
        struct worker *w = &pool->workers[pool->thread_count];
        w->pool = pool;
        rc = pthread_create(&w->thread, NULL, work, w);
        pool->thread_count += rc == 0;
    }
    pthread_mutex_unlock(&pool->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? hf_done() : hf_fail_errno(err, rc, "start a worker thread");
}

hf_result hf_pool_new(struct hf_loop *loop, int threads, size_t queue_max, struct hf_pool **ret,
                      struct hf_err *err)
{
    if (threads < 2 || threads > THREADS_MAX || queue_max < 1 || queue_max > QUEUE_MAX) {
        return hf_fail(err, HF_E_INVALID,
                       "worker pool of %d threads and %zu jobs a lane: allowed are 2 to %d and 1 "
                       "to %d",
                       threads, queue_max, THREADS_MAX, QUEUE_MAX);
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "eventfd");
    }
    struct hf_pool *pool = hf_alloc(sizeof(*pool));
    pool->loop = loop;
    pool->event_fd = fd;
    pool->queue_max = queue_max;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    hf_result r = hf_loop_watch(loop, fd, HF_LOOP_READ, on_finished, pool, &pool->watch, err);
    if (hf_ok(r)) {
        r = start_threads(pool, threads, err);
    }
    if (!hf_ok(r)) {
        hf_pool_free(pool);
        return r;
    }
    *ret = pool;
    return hf_done();
}

void hf_pool_free(struct hf_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    for (int i = 0; i < pool->thread_count; i++) {
        if (pool->workers[i].current != NULL) {
            hf_job_cancel(pool->workers[i].current);
        }
    }
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    for (int lane = 0; lane < LANES; lane++) {
        struct hf_job *job;
        while ((job = lane_pop(&pool->lanes[lane])) != NULL) {
            hf_job_cancel(job);
            lane_push(&pool->finished, job);
        }
    }
    hf_loop_unwatch(pool->watch);
    close(pool->event_fd);
    hand_back(pool->finished.first);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    hf_free(pool);
}

hf_result hf_pool_submit(struct hf_pool *pool, enum hf_lane lane, struct hf_job *job,
                         struct hf_err *err)
{
    HF_ASSERT(job->run != NULL && job->done != NULL);
    pthread_mutex_lock(&pool->lock);
    bool full = pool->lanes[lane].len >= pool->queue_max || pool->stopping;
    if (!full) {
        job->ran = false;
        lane_push(&pool->lanes[lane], job);
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    if (full) {
        return hf_fail(err, HF_E_LIMIT, "%zu %s jobs are waiting", pool->queue_max,
                       lane == HF_LANE_URGENT ? "urgent" : "bulk");
    }
    return hf_done();
}

void hf_job_cancel(struct hf_job *job)
{
    atomic_store(&job->canceled, true);
}

bool hf_job_canceled(const struct hf_job *job)
{
    return atomic_load(&job->canceled);
}

size_t hf_pool_waiting(struct hf_pool *pool, enum hf_lane lane)
{
    pthread_mutex_lock(&pool->lock);
    size_t n = pool->lanes[lane].len;
    pthread_mutex_unlock(&pool->lock);
    return n;
}
