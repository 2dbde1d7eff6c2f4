/* SPDX-License-Identifier: Apache-2.0
 *
 * Child processes by argument vector (posix_spawn), never by a shell, and what /proc knows about
 * others.
 * Invariants: a child inherits only the descriptors 0, 1, 2, a clean signal mask and the
 * environment given; it is reaped exactly once; signals go by pidfd, so never to another process
 * that got the number; captured output is bounded (the rest is read and dropped).
 */
#ifndef HF_IO_PROCESS_H
#define HF_IO_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "holdfast/types.h"

struct hf_process_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is a path (with '/') */
    const char *const *env;  /* NULL-terminated "NAME=value"; NULL = PATH, HOME, LANG, LC_ALL=C,
                                TZ of this process only */
    const char *directory;   /* working directory; NULL = as is */
    bool new_session;        /* survives the terminal and the death of the parent's group */
    int stdin_fd;            /* 0 = /dev/null, otherwise a descriptor of the caller's */
    int output_fd;           /* 0 = as `capture` says, otherwise stdout and stderr go there */
    bool capture;            /* keep stdout and stderr, each at most capture_max; else: /dev/null */
    size_t capture_max;      /* 0 = 64 KiB */
};

struct hf_process_exit {
    bool signaled;
    int status;      /* exit status, or the signal's number */
    const char *out; /* captured, NUL-terminated, "" without; borrowed */
    const char *errout;
};

/* --- asynchronous, loop thread --- */
struct hf_process;
typedef void (*hf_process_fn)(void *arg, const struct hf_process_exit *result);
/* HF_E_NOT_FOUND (no such program), HF_E_IO. exited is called once, later. A child that passes its
 * output on to a daemon does not hold it back: 200 ms after its exit capture ends. */
hf_result hf_process_start(struct hf_loop *loop, const struct hf_process_spec *spec,
                           hf_process_fn exited, void *arg, struct hf_process **ret,
                           struct hf_err *err) HF_MUST_USE;
pid_t hf_process_pid(const struct hf_process *p);
bool hf_process_running(const struct hf_process *p);
/* HF_E_NOT_FOUND: it has ended. */
hf_result hf_process_signal(struct hf_process *p, int signal, struct hf_err *err) HF_MUST_USE;
/* After its end, or in its callback: frees. While it runs: lets it run on, is not called back any
 * more; it is still reaped as long as the loop lives. NULL allowed. */
void hf_process_free(struct hf_process *p);

/* --- blocking, worker threads --- */
struct hf_process_output {
    bool signaled;
    int status;
    struct hf_buf out; /* the caller frees both with hf_buf_free (hf_process_output_free) */
    struct hf_buf errout;
};
void hf_process_output_free(struct hf_process_output *o);
/* Runs to the end, or SIGKILLs it (with new_session: its whole session's group) after the timeout
 * and returns HF_E_TIMEOUT. A non-zero exit is not an error here: look at status. */
hf_result hf_process_run(const struct hf_process_spec *spec, hf_dur timeout,
                         struct hf_process_output *ret, struct hf_err *err) HF_MUST_USE;

/* --- what /proc knows; any thread --- */
/* Start time in clock ticks since boot: with the pid, names a process for good. HF_E_NOT_FOUND. A
 * zombie has still its start time; see hf_proc_state. */
hf_result hf_proc_start_time(pid_t pid, uint64_t *ret_ticks, struct hf_err *err) HF_MUST_USE;
/* 'R' 'S' 'D' 'T' 'Z' ... and the parent. HF_E_NOT_FOUND. Both outputs may be NULL. */
hf_result hf_proc_state(pid_t pid, char *ret_state, pid_t *ret_parent,
                        struct hf_err *err) HF_MUST_USE;
hf_result hf_proc_cwd(pid_t pid, char *ret, size_t size, struct hf_err *err) HF_MUST_USE;
/* Every live process (zombies excepted) whose working directory IS this directory (by device and
 * inode): for PostgreSQL's data directory these are the processes of the instance. *ret_complete is
 * false when some process' directory could not be read (permission): then absence proves nothing.
 * HF_E_LIMIT when there are more than max. */
hf_result hf_proc_list_cwd(const char *directory, pid_t *ret_pids, size_t max, size_t *ret_count,
                           bool *ret_complete, struct hf_err *err) HF_MUST_USE;

#endif
