/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's side of the fencer: finds the live one of its page, or starts one.
 * Invariant: at most one fencer for a page (the lock file); it outlives the agent that started it.
 */
#ifndef HF_NODE_FENCER_START_H
#define HF_NODE_FENCER_START_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/err.h"

struct hf_fencer_files {
    const char *program; /* path of holdfast-fencer */
    const char *page;
    const char *lock;
    const char *log; /* its messages are appended there */
};

/* Waits at most 2 s until it holds its lock. Blocks: at start and from workers only.
 * HF_E_NOT_FOUND (no program), HF_E_TIMEOUT. */
hf_result hf_fencer_ensure(const struct hf_fencer_files *files, struct hf_err *err) HF_MUST_USE;
/* Whether a process holds the lock file. */
bool hf_fencer_runs(const char *lock);
/* Its pid as written in the lock file, 0 when none runs. */
pid_t hf_fencer_pid(const char *lock);

#endif
