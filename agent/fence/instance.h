/* SPDX-License-Identifier: Apache-2.0
 *
 * The processes of one PostgreSQL instance: those whose working directory is the data directory,
 * with a postmaster or without one (rule L6: a postmaster killed by -9 leaves backends that go on
 * committing). Finding and ending them.
 * Invariants: no allocation (the fencer runs this after mlockall); a pid is signalled only through
 * a pidfd that was opened before its identity was looked at; "ended" is reported only after a look
 * that found none. A zombie counts as ended: it can do nothing any more.
 */
#ifndef HF_FENCE_INSTANCE_H
#define HF_FENCE_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_INSTANCE_PIDS_MAX = 4096 };

struct hf_instance {
    dev_t device; /* of the data directory */
    ino_t inode;
    char data_dir[1024];
};

/* Remembers the directory by device and inode; absent is fine (then it has no processes). */
void hf_instance_init(struct hf_instance *ret, const char *data_dir);

/* Live processes that work in the directory; at most max are written, the count is of all. Looks
 * the directory up again when it was replaced. HF_E_IO when /proc cannot be read. The caller's own
 * process is never among them. */
hf_result hf_instance_list(struct hf_instance *instance, pid_t *ret_pids, size_t max,
                           size_t *ret_count, struct hf_err *err) HF_MUST_USE;

struct hf_postmaster {
    pid_t pid; /* 0 = none */
    uint64_t start;
    char status[16]; /* of postmaster.pid: "starting", "ready", "standby", "stopping", "" */
};
/* From postmaster.pid, if that process lives and works in the directory; pid 0 otherwise. */
void hf_instance_postmaster(struct hf_instance *instance, struct hf_postmaster *ret);

struct hf_instance_end {
    hf_dur patience; /* between SIGQUIT and SIGKILL, e.g. 200 ms */
    hf_dur limit;    /* of the whole; a process in uninterruptible sleep may not go */
};
/* SIGQUIT to the postmaster (pid and start time as given; pid 0: none known), then SIGKILL to all
 * that is left, until none is. HF_E_TIMEOUT names how many are left. Blocks. */
hf_result hf_instance_end(struct hf_instance *instance, pid_t postmaster, uint64_t start,
                          const struct hf_instance_end *how, struct hf_err *err) HF_MUST_USE;

#endif
