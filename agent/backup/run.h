/* SPDX-License-Identifier: Apache-2.0
 *
 * The workers of one backup: threads that pass frames along their chains of stages, until the plan
 * has given out everything, one fails, or the caller cancels.
 * Invariant: when hf_pipeline_run returns, no thread of it is left, and on success every part has
 * been taken by the plan's taker and every pack is committed.
 */
#ifndef HF_AGENT_BACKUP_RUN_H
#define HF_AGENT_BACKUP_RUN_H

#include <stdatomic.h>

#include "agent/backup/plan.h"
#include "agent/backup/stage.h"
#include "common/base/err.h"

/* tick is called some times a second from the calling thread; NULL allowed. */
hf_result hf_pipeline_run(struct hf_backup_shared *shared, struct hf_plan *plan, int workers,
                          const atomic_bool *cancel, void (*tick)(void *arg), void *tick_arg,
                          struct hf_err *err) HF_MUST_USE;

#endif
