/* SPDX-License-Identifier: Apache-2.0
 *
 * Child processes of operations on worker threads: a PostgreSQL or a fencer that shall live on, and
 * tools whose end is waited for, which a cancelled operation ends.
 * Invariants: as common/io/process.h (argument vector, clean mask, own session, only descriptors
 * 0 to 2); a child that is left running is reaped by hf_child_reap when it ends.
 */
#ifndef HF_NODE_CHILD_H
#define HF_NODE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "holdfast/types.h"

/* Starts argv in its own session, output appended to the file `log`, and leaves it running. */
hf_result hf_child_detach(const char *const *argv, const char *log, pid_t *ret,
                          struct hf_err *err) HF_MUST_USE;
/* Reaps detached children that have ended; returns how many still run. Any thread. */
int hf_child_reap(void);

/* One line of standard output, without its newline. False: enough, end the child (no error). */
typedef bool (*hf_child_line)(void *arg, const char *line);
struct hf_child_run {
    const char *const *argv;
    bool (*canceled)(void *arg); /* asked every 20 ms; NULL = never */
    void *canceled_arg;
    hf_child_line line; /* NULL: standard output goes to log */
    void *line_arg;
    const char *log;       /* standard error (and output) is appended there; NULL = /dev/null */
    const char *directory; /* works there; NULL = as this process */
    bool utc;              /* with TZ=UTC: for tools that print times */
    hf_dur timeout;
};
/* Runs to its end; ret_status = exit status, or 128 + signal. The error output's tail is not kept:
 * it is in the log. HF_E_CANCELED, HF_E_TIMEOUT (the child's whole session is SIGKILLed). */
hf_result hf_child_run(const struct hf_child_run *run, int *ret_status,
                       struct hf_err *err) HF_MUST_USE;

#endif
