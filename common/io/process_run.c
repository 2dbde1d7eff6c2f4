/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/process.h"
#include "common/io/process_internal.h"

enum { CAPTURE_GRACE_US = 200000 };

void hf_process_output_free(struct hf_process_output *o)
{
    hf_buf_free(&o->out);
    hf_buf_free(&o->errout);
}

static int wait_ms(hf_lclk deadline)
{
    int64_t us = hf_lclk_sub(deadline, hf_clock_lease()).us;
    return us <= 0 ? 0 : us > 1000000 ? 1000 : (int)(us / 1000) + 1;
}

static void drain_into(int *fd, struct hf_buf *buf)
{
    if (*fd >= 0 && hf_process_drain(*fd, buf) == HF_DRAIN_END) {
        hf_close_cleanup(fd);
        *fd = -1;
    }
}

/* Reads output until the child has ended and its pipes are at their end (a grandchild that keeps
 * them open is waited for at most the grace), or the deadline passes. */
static bool follow(struct hf_process_child *child, hf_lclk deadline, struct hf_process_output *out)
{
    bool ended = false;
    while (!ended || child->out >= 0 || child->errout >= 0) {
        if (hf_lclk_reached(hf_clock_lease(), deadline)) {
            return ended;
        }
        struct pollfd fds[3] = {{.fd = ended ? -1 : child->pidfd, .events = POLLIN},
                                {.fd = child->out, .events = POLLIN},
                                {.fd = child->errout, .events = POLLIN}};
        if (poll(fds, 3, wait_ms(deadline)) < 0 && errno != EINTR) {
            return false;
        }
        drain_into(&child->out, &out->out);
        drain_into(&child->errout, &out->errout);
        if (!ended && hf_process_reap(child->pid, &out->signaled, &out->status)) {
            ended = true;
            hf_lclk grace = hf_lclk_add(hf_clock_lease(), HF_US(CAPTURE_GRACE_US));
            deadline = hf_lclk_before(grace, deadline) ? grace : deadline;
        }
    }
    return true;
}

static void kill_and_reap(const struct hf_process_child *child, bool group)
{
    if (group) {
        (void)kill(-child->pid, SIGKILL); /* not reaped yet, so the number is still its own */
    }
    (void)hf_process_pidfd_signal(child->pidfd, SIGKILL);
    bool signaled;
    int status;
    while (!hf_process_reap(child->pid, &signaled, &status)) {
        struct pollfd fd = {.fd = child->pidfd, .events = POLLIN};
        (void)poll(&fd, 1, 100);
    }
}

hf_result hf_process_run(const struct hf_process_spec *spec, hf_dur timeout,
                         struct hf_process_output *ret, struct hf_err *err)
{
    struct hf_process_child child;
    HF_TRY(hf_process_spawn(spec, &child, err));
    size_t max = spec->capture_max == 0 ? HF_PROCESS_CAPTURE_DEFAULT : spec->capture_max;
    struct hf_process_output output = {.out = HF_BUF_INIT(max), .errout = HF_BUF_INIT(max)};
    bool ended = follow(&child, hf_lclk_add(hf_clock_lease(), timeout), &output);
    if (!ended) {
        kill_and_reap(&child, spec->new_session);
    }
    hf_close_cleanup(&child.out);
    hf_close_cleanup(&child.errout);
    hf_close_cleanup(&child.pidfd);
    if (!ended) {
        hf_process_output_free(&output);
        return hf_fail(err, HF_E_TIMEOUT, "%s did not end within %.1f s and was killed",
                       spec->argv[0], (double)timeout.us / 1e6);
    }
    *ret = output;
    return hf_done();
}
