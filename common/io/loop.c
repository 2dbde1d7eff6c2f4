/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/loop_internal.h"

enum { EVENTS_AT_ONCE = 64 };

static int64_t now_monotonic_us(void)
{
    struct timespec t;
    HF_ASSERT(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void hf_loop_work_begin(struct hf_loop *loop)
{
    if (loop->work_depth++ == 0) {
        loop->work_since_us = now_monotonic_us();
    }
}

void hf_loop_work_end(struct hf_loop *loop)
{
    HF_ASSERT(loop->work_depth > 0);
    if (--loop->work_depth > 0) {
        return;
    }
    int64_t took = now_monotonic_us() - loop->work_since_us;
    if (took > atomic_load(&loop->stall_us)) {
        atomic_store(&loop->stall_us, took);
    }
}

hf_dur hf_loop_stall_max(const struct hf_loop *loop)
{
    return (hf_dur){atomic_load(&loop->stall_us)};
}

void hf_loop_stall_reset(struct hf_loop *loop)
{
    atomic_store(&loop->stall_us, 0);
}

/* --- watches --- */

static uint32_t to_epoll(unsigned events)
{
    return ((events & HF_LOOP_READ) ? (uint32_t)EPOLLIN : 0) |
           ((events & HF_LOOP_WRITE) ? (uint32_t)EPOLLOUT : 0);
}

static unsigned from_epoll(uint32_t got, unsigned wanted)
{
    unsigned events =
        ((got & EPOLLIN) ? HF_LOOP_READ : 0u) | ((got & EPOLLOUT) ? HF_LOOP_WRITE : 0u);
    if (got & (EPOLLERR | EPOLLHUP)) {
        events |= HF_LOOP_HANGUP | (wanted & (HF_LOOP_READ | HF_LOOP_WRITE));
    }
    return events;
}

hf_result hf_loop_watch(struct hf_loop *loop, int fd, unsigned events, hf_watch_fn fn, void *arg,
                        struct hf_watch **ret, struct hf_err *err)
{
    HF_ASSERT(fn != NULL);
    struct hf_watch *w = hf_alloc(sizeof(*w));
    *w = (struct hf_watch){.loop = loop, .fd = fd, .events = events, .fn = fn, .arg = arg};
    struct epoll_event ev = {.events = to_epoll(events), .data.ptr = w};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        int saved = errno;
        hf_free(w);
        return hf_fail_errno(err, saved, "watch descriptor %d", fd);
    }
    w->next = loop->watches;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    loop->watches = w;
    *ret = w;
    return hf_done();
}

void hf_loop_modify(struct hf_watch *watch, unsigned events)
{
    struct epoll_event ev = {.events = to_epoll(events), .data.ptr = watch};
    int epoll_fd = watch->loop->epoll_fd;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watch->fd, &ev) != 0) {
        /* A library closed its socket and got the same number again without telling. */
        HF_ASSERT(errno == ENOENT && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, watch->fd, &ev) == 0);
    }
    watch->events = events;
}

void hf_loop_unwatch(struct hf_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct hf_loop *loop = watch->loop;
    /* Fails only when the descriptor was closed before; then the kernel has removed it. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    if (watch->prev != NULL) {
        watch->prev->next = watch->next;
    } else {
        loop->watches = watch->next;
    }
    if (watch->next != NULL) {
        watch->next->prev = watch->prev;
    }
    if (!loop->dispatching) {
        hf_free(watch);
        return;
    }
    /* Events of this round may still name it. */
    watch->fn = NULL;
    watch->next = loop->dead;
    loop->dead = watch;
}

static void bury(struct hf_loop *loop)
{
    while (loop->dead != NULL) {
        struct hf_watch *w = loop->dead;
        loop->dead = w->next;
        hf_free(w);
    }
}

/* --- posts --- */

static void wake(struct hf_loop *loop)
{
    uint64_t one = 1;
    ssize_t n;
    do {
        n = write(loop->event_fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
}

hf_result hf_loop_post(struct hf_loop *loop, hf_post_fn fn, void *arg, struct hf_err *err)
{
    pthread_mutex_lock(&loop->post_lock);
    bool full = loop->post_count == HF_LOOP_POSTS;
    if (!full) {
        size_t at = (loop->post_first + loop->post_count) % HF_LOOP_POSTS;
        loop->posts[at] = (struct hf_post){fn, arg};
        loop->post_count++;
    }
    pthread_mutex_unlock(&loop->post_lock);
    if (full) {
        return hf_fail(err, HF_E_LIMIT, "%d posts are waiting for the loop", HF_LOOP_POSTS);
    }
    wake(loop);
    return hf_done();
}

static bool take_post(struct hf_loop *loop, struct hf_post *ret)
{
    pthread_mutex_lock(&loop->post_lock);
    bool any = loop->post_count > 0;
    if (any) {
        *ret = loop->posts[loop->post_first];
        loop->post_first = (loop->post_first + 1) % HF_LOOP_POSTS;
        loop->post_count--;
    }
    pthread_mutex_unlock(&loop->post_lock);
    return any;
}

static void on_event_fd(void *arg, int fd, unsigned events)
{
    struct hf_loop *loop = arg;
    (void)events;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR) {
        return;
    }
    pthread_mutex_lock(&loop->post_lock);
    size_t batch = loop->post_count; /* those posted meanwhile have woken us anew */
    pthread_mutex_unlock(&loop->post_lock);
    struct hf_post post;
    while (batch-- > 0 && take_post(loop, &post)) {
        post.fn(post.arg);
    }
}

/* --- signals --- */

static void on_signal_fd(void *arg, int fd, unsigned events)
{
    struct hf_loop *loop = arg;
    (void)events;
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        unsigned signal = info.ssi_signo;
        if (signal < 65 && loop->signal_fns[signal].fn != NULL) {
            loop->signal_fns[signal].fn(loop->signal_fns[signal].arg, (int)signal);
        }
    }
}

hf_result hf_loop_signal(struct hf_loop *loop, int signal, hf_signal_fn fn, void *arg,
                         struct hf_err *err)
{
    HF_ASSERT(signal > 0 && signal < 65 && fn != NULL);
    sigaddset(&loop->signals, signal);
    int rc = pthread_sigmask(SIG_BLOCK, &loop->signals, NULL);
    if (rc != 0) {
        return hf_fail_errno(err, rc, "block signal %d", signal);
    }
    int fd = signalfd(loop->signal_fd, &loop->signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "signalfd");
    }
    if (loop->signal_fd < 0) {
        struct hf_watch *w;
        hf_result r = hf_loop_watch(loop, fd, HF_LOOP_READ, on_signal_fd, loop, &w, err);
        if (!hf_ok(r)) {
            close(fd);
            return r;
        }
        loop->signal_fd = fd;
    }
    loop->signal_fns[signal].fn = fn;
    loop->signal_fns[signal].arg = arg;
    return hf_done();
}

/* --- life and running --- */

static void on_timer_fd(void *arg, int fd, unsigned events)
{
    struct hf_loop *loop = arg;
    (void)events;
    uint64_t n;
    if (read(fd, &n, sizeof(n)) < 0) {
        return;
    }
    loop->armed_us = 0;
    hf_loop_timers_run(loop);
}

static hf_result loop_open(struct hf_loop *loop, struct hf_err *err)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->epoll_fd < 0 || loop->timer_fd < 0 || loop->event_fd < 0) {
        return hf_fail_errno(err, errno, "descriptors of the event loop");
    }
    struct hf_watch *w;
    HF_TRY(hf_loop_watch(loop, loop->timer_fd, HF_LOOP_READ, on_timer_fd, loop, &w, err));
    return hf_loop_watch(loop, loop->event_fd, HF_LOOP_READ, on_event_fd, loop, &w, err);
}

hf_result hf_loop_new(struct hf_loop **ret, struct hf_err *err)
{
    struct hf_loop *loop = hf_alloc(sizeof(*loop));
    loop->epoll_fd = loop->timer_fd = loop->event_fd = loop->signal_fd = -1;
    sigemptyset(&loop->signals);
    pthread_mutex_init(&loop->post_lock, NULL);
    hf_result r = loop_open(loop, err);
    if (!hf_ok(r)) {
        hf_loop_free(loop);
        return r;
    }
    *ret = loop;
    return hf_done();
}

void hf_loop_free(struct hf_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    HF_ASSERT(!loop->dispatching);
    while (loop->watches != NULL) {
        hf_loop_unwatch(loop->watches);
    }
    while (loop->timers != NULL) {
        hf_timer_free(loop->timers);
    }
    hf_free(loop->heap);
    int *fds[] = {&loop->epoll_fd, &loop->timer_fd, &loop->event_fd, &loop->signal_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        hf_close_cleanup(fds[i]);
    }
    pthread_mutex_destroy(&loop->post_lock);
    hf_free(loop);
}

int hf_loop_fd(const struct hf_loop *loop)
{
    return loop->epoll_fd;
}

static hf_result dispatch(struct hf_loop *loop, int wait_ms, struct hf_err *err)
{
    HF_ASSERT(!loop->dispatching);
    struct epoll_event events[EVENTS_AT_ONCE];
    int n = epoll_wait(loop->epoll_fd, events, EVENTS_AT_ONCE, wait_ms);
    if (n < 0 && errno != EINTR) {
        return hf_fail_errno(err, errno, "epoll_wait");
    }
    if (n <= 0) {
        return hf_done();
    }
    hf_loop_work_begin(loop);
    loop->dispatching = true;
    for (int i = 0; i < n; i++) {
        struct hf_watch *w = events[i].data.ptr;
        if (w->fn != NULL) {
            w->fn(w->arg, w->fd, from_epoll(events[i].events, w->events));
        }
    }
    loop->dispatching = false;
    bury(loop);
    hf_loop_timers_arm(loop);
    hf_loop_work_end(loop);
    return hf_done();
}

void hf_loop_dispatch(struct hf_loop *loop)
{
    HF_IGNORE(dispatch(loop, 0, NULL), "epoll_wait without waiting fails only on a bad descriptor");
}

hf_result hf_loop_step(struct hf_loop *loop, hf_dur max_wait, struct hf_err *err)
{
    int64_t ms = max_wait.us <= 0 ? 0 : (max_wait.us + 999) / 1000;
    return dispatch(loop, ms > 3600000 ? 3600000 : (int)ms, err);
}

hf_result hf_loop_run(struct hf_loop *loop, struct hf_err *err)
{
    while (!atomic_load(&loop->stopping)) {
        HF_TRY(dispatch(loop, -1, err));
    }
    return hf_done();
}

void hf_loop_stop(struct hf_loop *loop)
{
    atomic_store(&loop->stopping, true);
    wake(loop);
}

bool hf_loop_stopped(const struct hf_loop *loop)
{
    return atomic_load(&loop->stopping);
}
