/* SPDX-License-Identifier: Apache-2.0
 *
 * What the asynchronous and the blocking way of running a child share; process*.c only.
 */
#ifndef HF_IO_PROCESS_INTERNAL_H
#define HF_IO_PROCESS_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/io/process.h"

enum { HF_PROCESS_CAPTURE_DEFAULT = 65536 };

struct hf_process_child {
    pid_t pid;
    int pidfd;
    int out; /* reading ends, non-blocking; -1 = not captured */
    int errout;
};

/* Starts it; the caller closes the descriptors and reaps the child. */
hf_result hf_process_spawn(const struct hf_process_spec *spec, struct hf_process_child *ret,
                           struct hf_err *err) HF_MUST_USE;
int hf_process_pidfd(pid_t pid);
int hf_process_pidfd_signal(int pidfd, int signal);

enum hf_drain {
    HF_DRAIN_WAIT, /* nothing more now */
    HF_DRAIN_MORE, /* stopped at a bound, there may be more */
    HF_DRAIN_END   /* end of file or error */
};
/* Reads what is there, at most 128 KiB; keeps what fits into buf, drops the rest. */
enum hf_drain hf_process_drain(int fd, struct hf_buf *buf);
/* True when it has ended (never waits). */
bool hf_process_reap(pid_t pid, bool *ret_signaled, int *ret_status);

#endif
