/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/process.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/process_internal.h"

enum { CAPTURE_GRACE_MS = 200 };

struct hf_process {
    struct hf_loop *loop;
    struct hf_process_child child;
    struct hf_watch *exit_watch;
    struct hf_watch *watches[2];
    struct hf_buf output[2];
    struct hf_timer *grace; /* from exit to the end of capture, when a grandchild keeps the pipe */
    hf_process_fn exited;
    void *arg;
    bool ended;    /* reaped */
    bool reported; /* exited was called, or is not wanted */
    bool in_callback;
    bool freed;
    bool signaled;
    int status;
};

static void destroy(struct hf_process *p)
{
    hf_loop_unwatch(p->exit_watch);
    hf_timer_free(p->grace);
    for (int i = 0; i < 2; i++) {
        hf_loop_unwatch(p->watches[i]);
        hf_buf_free(&p->output[i]);
    }
    hf_close_cleanup(&p->child.out);
    hf_close_cleanup(&p->child.errout);
    hf_close_cleanup(&p->child.pidfd);
    hf_free(p);
}

static void report(struct hf_process *p)
{
    if (p->reported) {
        return;
    }
    p->reported = true;
    for (int i = 0; i < 2; i++) {
        hf_loop_unwatch(p->watches[i]);
        p->watches[i] = NULL;
    }
    hf_timer_cancel(p->grace);
    struct hf_process_exit result = {.signaled = p->signaled,
                                     .status = p->status,
                                     .out = hf_buf_text(&p->output[0]),
                                     .errout = hf_buf_text(&p->output[1])};
    p->in_callback = true;
    p->exited(p->arg, &result);
    p->in_callback = false;
    if (p->freed) {
        destroy(p);
    }
}

static void on_grace(void *arg)
{
    report(arg);
}

static void report_if_complete(struct hf_process *p)
{
    if (p->ended && p->watches[0] == NULL && p->watches[1] == NULL) {
        report(p);
    }
}

static void on_output(void *arg, int fd, unsigned events)
{
    struct hf_process *p = arg;
    (void)events;
    int i = fd == p->child.out ? 0 : 1;
    if (hf_process_drain(fd, &p->output[i]) == HF_DRAIN_END) {
        hf_loop_unwatch(p->watches[i]);
        p->watches[i] = NULL;
        report_if_complete(p);
    }
}

static void on_exit_fd(void *arg, int fd, unsigned events)
{
    struct hf_process *p = arg;
    (void)fd;
    (void)events;
    if (!hf_process_reap(p->child.pid, &p->signaled, &p->status)) {
        return;
    }
    p->ended = true;
    hf_loop_unwatch(p->exit_watch);
    p->exit_watch = NULL;
    if (p->freed) { /* let run on by its owner: reaped, nobody to tell */
        destroy(p);
        return;
    }
    hf_timer_after(p->grace, HF_MS(CAPTURE_GRACE_MS));
    report_if_complete(p);
}

static hf_result watch_all(struct hf_process *p, struct hf_err *err)
{
    int fds[2] = {p->child.out, p->child.errout};
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            HF_TRY(hf_loop_watch(p->loop, fds[i], HF_LOOP_READ, on_output, p, &p->watches[i], err));
        }
    }
    return hf_loop_watch(p->loop, p->child.pidfd, HF_LOOP_READ, on_exit_fd, p, &p->exit_watch, err);
}

hf_result hf_process_start(struct hf_loop *loop, const struct hf_process_spec *spec,
                           hf_process_fn exited, void *arg, struct hf_process **ret,
                           struct hf_err *err)
{
    HF_ASSERT(exited != NULL);
    struct hf_process_child child;
    HF_TRY(hf_process_spawn(spec, &child, err));
    struct hf_process *p = hf_alloc(sizeof(*p));
    *p = (struct hf_process){.loop = loop, .child = child, .exited = exited, .arg = arg};
    size_t max = spec->capture_max == 0 ? HF_PROCESS_CAPTURE_DEFAULT : spec->capture_max;
    p->output[0] = HF_BUF_INIT(max);
    p->output[1] = HF_BUF_INIT(max);
    p->grace = hf_timer_new(loop, on_grace, p);
    hf_result r = watch_all(p, err);
    if (!hf_ok(r)) {
        (void)hf_process_pidfd_signal(child.pidfd, 9);
        while (!hf_process_reap(child.pid, &p->signaled, &p->status)) {
            struct pollfd fd = {.fd = child.pidfd, .events = POLLIN};
            (void)poll(&fd, 1, 100);
        }
        destroy(p);
        return r;
    }
    *ret = p;
    return hf_done();
}

pid_t hf_process_pid(const struct hf_process *p)
{
    return p->child.pid;
}

bool hf_process_running(const struct hf_process *p)
{
    return !p->ended;
}

hf_result hf_process_signal(struct hf_process *p, int signal, struct hf_err *err)
{
    if (p->ended) {
        return hf_fail(err, HF_E_NOT_FOUND, "process %d has ended", (int)p->child.pid);
    }
    if (hf_process_pidfd_signal(p->child.pidfd, signal) != 0) {
        return errno == ESRCH
                   ? hf_fail(err, HF_E_NOT_FOUND, "process %d has ended", (int)p->child.pid)
                   : hf_fail_errno(err, errno, "signal %d to process %d", signal,
                                   (int)p->child.pid);
    }
    return hf_done();
}

void hf_process_free(struct hf_process *p)
{
    if (p == NULL) {
        return;
    }
    p->freed = true;
    if (p->in_callback) {
        return;
    }
    if (p->ended) {
        destroy(p);
        return;
    }
    p->reported = true;
    for (int i = 0; i < 2; i++) {
        hf_loop_unwatch(p->watches[i]);
        p->watches[i] = NULL;
    }
}
