/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/timerfd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/loop.h"
#include "common/io/loop_internal.h"

static bool before(const struct hf_timer *a, const struct hf_timer *b)
{
    return a->when_us != b->when_us ? a->when_us < b->when_us : a->serial < b->serial;
}

static void place(struct hf_loop *loop, struct hf_timer *t, size_t i)
{
    loop->heap[i] = t;
    t->index = i;
}

static void sift_up(struct hf_loop *loop, struct hf_timer *t, size_t i)
{
    while (i > 0 && before(t, loop->heap[(i - 1) / 2])) {
        place(loop, loop->heap[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    place(loop, t, i);
}

static void sift_down(struct hf_loop *loop, struct hf_timer *t, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= loop->heap_len) {
            break;
        }
        if (child + 1 < loop->heap_len && before(loop->heap[child + 1], loop->heap[child])) {
            child++;
        }
        if (!before(loop->heap[child], t)) {
            break;
        }
        place(loop, loop->heap[child], i);
        i = child;
    }
    place(loop, t, i);
}

static void heap_remove(struct hf_loop *loop, struct hf_timer *t)
{
    size_t i = t->index;
    t->index = HF_TIMER_IDLE;
    struct hf_timer *last = loop->heap[--loop->heap_len];
    if (last == t) {
        return;
    }
    if (i > 0 && before(last, loop->heap[(i - 1) / 2])) {
        sift_up(loop, last, i);
    } else {
        sift_down(loop, last, i);
    }
}

static void heap_add(struct hf_loop *loop, struct hf_timer *t, int64_t when_us)
{
    if (loop->heap_len == loop->heap_capacity) {
        loop->heap_capacity = loop->heap_capacity == 0 ? 64 : loop->heap_capacity * 2;
        loop->heap = hf_realloc(loop->heap, loop->heap_capacity * sizeof(*loop->heap));
    }
    t->when_us = when_us;
    t->serial = ++loop->timer_serial;
    sift_up(loop, t, loop->heap_len++);
}

void hf_loop_timers_arm(struct hf_loop *loop)
{
    int64_t wanted = loop->heap_len == 0 ? 0 : loop->heap[0]->when_us;
    if (wanted == loop->armed_us) {
        return;
    }
    struct itimerspec spec = {0};
    if (wanted != 0) {
        /* Relative, on BOOTTIME, which may be slewed against the lease clock: when it fires early,
         * hf_loop_timers_run finds nothing due and it is set again for the rest. */
        int64_t delay = wanted - hf_clock_lease().us;
        delay = delay < 1 ? 1 : delay;
        spec.it_value.tv_sec = (time_t)(delay / 1000000);
        spec.it_value.tv_nsec = (long)(delay % 1000000) * 1000;
    }
    HF_ASSERT(timerfd_settime(loop->timer_fd, 0, &spec, NULL) == 0);
    loop->armed_us = wanted;
}

void hf_loop_timers_run(struct hf_loop *loop)
{
    int64_t now = hf_clock_lease().us;
    /* Timers that are started by the callbacks of this round wait for the next: a callback that
     * starts one without delay must not keep the loop from its descriptors. */
    uint64_t round = loop->timer_serial;
    while (loop->heap_len > 0 && loop->heap[0]->when_us <= now) {
        struct hf_timer *t = loop->heap[0];
        if (t->serial > round) {
            break;
        }
        heap_remove(loop, t);
        if (t->period_us > 0) {
            int64_t missed = (now - t->when_us) / t->period_us;
            heap_add(loop, t, t->when_us + (missed + 1) * t->period_us);
        }
        t->fn(t->arg); /* may free t */
    }
}

static void start(struct hf_timer *t, int64_t when_us, int64_t period_us)
{
    struct hf_loop *loop = t->loop;
    if (t->index != HF_TIMER_IDLE) {
        heap_remove(loop, t);
    }
    t->period_us = period_us;
    heap_add(loop, t, when_us);
    if (!loop->dispatching) {
        hf_loop_timers_arm(loop);
    }
}

struct hf_timer *hf_timer_new(struct hf_loop *loop, hf_timer_fn fn, void *arg)
{
    HF_ASSERT(fn != NULL);
    struct hf_timer *t = hf_alloc(sizeof(*t));
    *t = (struct hf_timer){.loop = loop, .fn = fn, .arg = arg, .index = HF_TIMER_IDLE};
    t->next = loop->timers;
    if (t->next != NULL) {
        t->next->prev = t;
    }
    loop->timers = t;
    return t;
}

void hf_timer_after(struct hf_timer *timer, hf_dur delay)
{
    start(timer, hf_clock_lease().us + (delay.us < 0 ? 0 : delay.us), 0);
}

void hf_timer_at(struct hf_timer *timer, hf_lclk when)
{
    start(timer, when.us < 1 ? 1 : when.us, 0);
}

void hf_timer_every(struct hf_timer *timer, hf_dur period)
{
    HF_ASSERT(period.us >= 1000);
    start(timer, hf_clock_lease().us + period.us, period.us);
}

void hf_timer_cancel(struct hf_timer *timer)
{
    if (timer->index == HF_TIMER_IDLE) {
        return;
    }
    heap_remove(timer->loop, timer);
    if (!timer->loop->dispatching) {
        hf_loop_timers_arm(timer->loop);
    }
}

bool hf_timer_pending(const struct hf_timer *timer)
{
    return timer->index != HF_TIMER_IDLE;
}

void hf_timer_free(struct hf_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    hf_timer_cancel(timer);
    if (timer->prev != NULL) {
        timer->prev->next = timer->next;
    } else {
        timer->loop->timers = timer->next;
    }
    if (timer->next != NULL) {
        timer->next->prev = timer->prev;
    }
    hf_free(timer);
}
