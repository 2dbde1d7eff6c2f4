/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop's own parts, shared by loop.c and loop_timer.c only.
 */
#ifndef HF_IO_LOOP_INTERNAL_H
#define HF_IO_LOOP_INTERNAL_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/io/loop.h"

struct hf_watch {
    struct hf_loop *loop;
    int fd;
    unsigned events;
    hf_watch_fn fn; /* NULL = removed, memory kept until the dispatch ends */
    void *arg;
    struct hf_watch *next; /* in loop->watches or loop->dead */
    struct hf_watch *prev;
};

struct hf_timer {
    struct hf_loop *loop;
    hf_timer_fn fn;
    void *arg;
    int64_t when_us;
    int64_t period_us; /* 0 = once */
    uint64_t serial;   /* order of timers of the same instant */
    size_t index;      /* in the heap; HF_TIMER_IDLE = not set */
    struct hf_timer *next;
    struct hf_timer *prev;
};

#define HF_TIMER_IDLE ((size_t)-1)

struct hf_post {
    hf_post_fn fn;
    void *arg;
};

struct hf_loop {
    int epoll_fd;
    int timer_fd;
    int event_fd;
    int signal_fd; /* -1 until the first hf_loop_signal */
    bool dispatching;
    struct hf_watch *watches;
    struct hf_watch *dead;

    struct hf_timer *timers;
    struct hf_timer **heap;
    size_t heap_len;
    size_t heap_capacity;
    int64_t armed_us; /* instant for which the timerfd is set; 0 = none */
    uint64_t timer_serial;

    sigset_t signals;
    struct {
        hf_signal_fn fn;
        void *arg;
    } signal_fns[65];

    atomic_bool stopping;
    _Atomic int64_t stall_us;
    int work_depth;
    int64_t work_since_us;

    pthread_mutex_t post_lock; /* guards the ring */
    struct hf_post posts[HF_LOOP_POSTS];
    size_t post_first;
    size_t post_count;
};

/* Sets the timerfd for the first timer of the heap, when it is not set so already. */
void hf_loop_timers_arm(struct hf_loop *loop);
/* Runs what is due. */
void hf_loop_timers_run(struct hf_loop *loop);

#endif
