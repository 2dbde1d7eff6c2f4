/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the operations on PostgreSQL, one at a time, on worker threads.
 * Invariants: a new operation begins only after the one before has returned; PG_KILL begins at
 * once, cancels what runs, and is reported done only when that has returned and a look afterwards
 * found no process: an operation that was just starting PostgreSQL cannot slip through. Each
 * reported end belongs to the newest id; a canceled operation is not reported. Loop thread only.
 */
#ifndef HF_NODE_EXECUTOR_H
#define HF_NODE_EXECUTOR_H

#include "agent/node/op.h"

struct hf_executor;
/* kind: what ended. */
typedef void (*hf_executor_done)(void *arg, const struct hf_op *op);

struct hf_executor *hf_executor_new(struct hf_pool *pool, const struct hf_op_env *env,
                                    hf_executor_done done, void *arg);
/* After the pool was freed (so that nothing runs). NULL allowed. */
void hf_executor_free(struct hf_executor *x);
void hf_executor_start(struct hf_executor *x, const struct hf_agent_effect *e);
bool hf_executor_busy(const struct hf_executor *x);
/* Asks what runs to end, for a stop of the agent; nothing is reported any more. */
void hf_executor_cancel(struct hf_executor *x);
/* For tests: what carries an operation out instead of hf_op_run. */
void hf_executor_set_run(struct hf_executor *x, void (*run)(struct hf_op *op));

#endif
