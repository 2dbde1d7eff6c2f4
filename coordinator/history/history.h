/* SPDX-License-Identifier: Apache-2.0
 *
 * History for people (invariant 5 of the design: losing it stops nothing): events are made durable
 * in a bounded spool and brought to a PostgreSQL database when there is one.
 * Invariants: nothing here blocks the loop or a decision; an event is in the database at most once,
 * by its id; a report is acknowledged only when its event is durable here, and its backup is in the
 * list; the database's structure is changed by migrations under an advisory lock only. Loop thread,
 * except where worker jobs are named.
 */
#ifndef HF_COORDINATOR_HISTORY_H
#define HF_COORDINATOR_HISTORY_H

#include "common/core/json.h"
#include "common/core/message.h"
#include "common/io/config_coordinator.h"
#include "common/io/worker.h"
#include "coordinator/history/backups.h"
#include "coordinator/history/spool.h"

struct hf_history;

/* state_dir/spool and state_dir/backups are its directories. Without a database configured events
 * wait in the spool all the same, and reports are kept. config outlives it. */
hf_result hf_history_new(struct hf_loop *loop, struct hf_pool *pool,
                         const struct hf_config_coordinator *config, struct hf_history **ret,
                         struct hf_err *err) HF_MUST_USE;
/* After hf_pool_free (its jobs are over then). */
void hf_history_free(struct hf_history *history);
/* Moves events to the database when they wait; every second or so. */
void hf_history_tick(struct hf_history *history);

/* An event of this coordinator. body is copied. */
void hf_history_event(struct hf_history *history, const char *kind, const char *id,
                      bool informational, const hf_json *body);

typedef void (*hf_history_kept)(void *arg, bool kept, const char *id);
/* An agent's report: durable (and in the list of backups, if it is one), then kept(true). At most
 * 64 at once; more are kept(false) at once, and come again. Where they come from is put into the
 * body (tenant, cluster, node, region). */
void hf_history_report(struct hf_history *history, const struct hf_hello *from,
                       const struct hf_report *report, hf_history_kept kept, void *arg);

struct hf_backups *hf_history_backups(struct hf_history *history);

struct hf_history_stats {
    struct hf_spool_stats spool;
    bool configured;
    bool connected; /* the last try reached the database */
    uint64_t delivered;
    uint64_t failures;
    size_t waiting;    /* events not durable yet */
    uint64_t overflow; /* dropped because too many were waiting to become durable */
};
void hf_history_stats(struct hf_history *history, struct hf_history_stats *ret);

#endif
