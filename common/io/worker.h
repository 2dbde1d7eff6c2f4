/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded pool of worker threads for what blocks (files, stores, synchronous SQL). Two lanes:
 * urgent (WAL, leases' files) is always taken before bulk (base backups, lists), and bulk may use
 * at most all threads but one, so that urgent work never waits behind it.
 * Invariants: a job belongs to the pool from a successful submit until its `done` is called on the
 * loop's thread, exactly once for each; in between only `run` (on one worker) touches it, apart
 * from hf_job_cancel. Every queue is bounded.
 */
#ifndef HF_IO_WORKER_H
#define HF_IO_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/io/loop.h"

struct hf_pool;

enum hf_lane { HF_LANE_URGENT, HF_LANE_BULK };

/* Put it first in a struct of your own. Zero it, set run and done; the rest is the pool's. */
struct hf_job {
    void (*run)(struct hf_job *job);  /* worker thread; may block */
    void (*done)(struct hf_job *job); /* loop thread; owns the job again, may free or resubmit it */
    atomic_bool canceled;
    bool ran; /* false in done: cancelled before it was started */
    struct hf_job *next;
};

/* threads 2..64; queue_max waiting jobs a lane (1..65536). The thread that calls is the loop's. */
hf_result hf_pool_new(struct hf_loop *loop, int threads, size_t queue_max, struct hf_pool **ret,
                      struct hf_err *err) HF_MUST_USE;
/* Cancels what waits and what runs, waits for the running ones, calls done for all. NULL allowed.
 */
void hf_pool_free(struct hf_pool *pool);
/* Loop thread. HF_E_LIMIT: the lane's queue is full (the job stays the caller's). */
hf_result hf_pool_submit(struct hf_pool *pool, enum hf_lane lane, struct hf_job *job,
                         struct hf_err *err) HF_MUST_USE;
/* Asks it to end: a waiting job is not run (done comes at its turn), a running one sees it by
 * hf_job_canceled. Loop thread, before done. */
void hf_job_cancel(struct hf_job *job);
bool hf_job_canceled(const struct hf_job *job); /* any thread that has the job */
/* Jobs waiting in a lane. */
size_t hf_pool_waiting(struct hf_pool *pool, enum hf_lane lane);

#endif
