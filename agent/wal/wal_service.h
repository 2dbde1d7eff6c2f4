/* SPDX-License-Identifier: Apache-2.0
 *
 * The WAL part of the running agent: archive-push and archive-get of the agent's socket, the queue
 * for lagging regions, and what heartbeats say about the own region's repository.
 * Invariant: each request that was taken is answered exactly once, on the loop's thread, also when
 * the service ends; nothing here blocks the loop.
 */
#ifndef HF_WAL_SERVICE_H
#define HF_WAL_SERVICE_H

#include "common/core/json.h"
#include "common/io/config_agent.h"
#include "common/io/loop.h"
#include "common/io/worker.h"
#include "holdfast/types.h"

struct hf_wal_service;

/* What the agent's heartbeat says of the own region's repository. */
struct hf_wal_facts {
    bool repository_known;
    bool repository_ok;
    hf_lsn wal_to;
    hf_tli wal_timeline;
    char newest_backup[HF_LABEL_SIZE];
    uint64_t archive_queue;
};

/* config is borrowed for the life of the service. Called once PostgreSQL's system identifier may
 * still be unknown: pass it on with hf_wal_service_system. */
hf_result hf_wal_service_new(const struct hf_config_agent *config, struct hf_loop *loop,
                             struct hf_pool *pool, struct hf_wal_service **ret,
                             struct hf_err *err) HF_MUST_USE;
/* Answers what still waits with HF_E_CANCELED. NULL allowed. Before the pool is freed. */
void hf_wal_service_free(struct hf_wal_service *s);

/* Facts that change: the system identifier; the epoch that this node leads under, from when its
 * PostgreSQL is out of recovery (0 = it is not the primary): the epoch's record is written once,
 * with the timeline of that moment; the timeline: its own as the primary, else the cluster's as the
 * leader says (0 = not known). Called on every change. A managed node with epoch 0 archives nothing
 * (rule B12). */
void hf_wal_service_update(struct hf_wal_service *s, uint64_t system_id, hf_epoch epoch,
                           hf_tli timeline);

/* code: HF_OK, or why not. json: members for the answer besides "ok" (borrowed, may be NULL). */
typedef void (*hf_wal_answer)(void *arg, hf_result result, const hf_json *json,
                              const struct hf_err *err);
/* One request of docs/protocol.md section 3 whose "do" is archive-push or archive-get. `request` is
 * borrowed for the call. answer is called once, perhaps before this returns. */
void hf_wal_service_request(struct hf_wal_service *s, const hf_json *request, hf_wal_answer answer,
                            void *arg);

/* The newest known facts; never blocks. */
void hf_wal_service_facts(const struct hf_wal_service *s, struct hf_wal_facts *ret);

#endif
