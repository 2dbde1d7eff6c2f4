/* SPDX-License-Identifier: Apache-2.0
 *
 * The running agent: the core and the edges around it, on one loop.
 * Invariants: only hf_agent_step touches the core, on the loop's thread, and never from within an
 * effect; a clean stop leaves PostgreSQL, the fencer and the lease page as they are, so that a
 * restart within the lease is not noticed by anybody.
 */
#ifndef HF_NODE_AGENT_H
#define HF_NODE_AGENT_H

#include "agent/core/agent_core.h"
#include "agent/health/health.h"
#include "agent/health/lag.h"
#include "agent/link/link.h"
#include "agent/node/effects.h"
#include "agent/node/executor.h"
#include "agent/node/fencer_start.h"
#include "agent/node/page_keeper.h"
#include "agent/node/socket.h"
#include "agent/wal/wal_service.h"
#include "common/io/config_agent.h"
#include "common/io/worker.h"
#include "common/io/ws.h"
#include "common/io/ws_http.h"

enum { HF_AGENT_PATH = HF_PATH_SIZE + 32 };

struct hf_agent_paths {
    char config[HF_PATH_SIZE]; /* agent.yaml, absolute */
    char program[HF_PATH_SIZE];
    char fencer[HF_AGENT_PATH];
    char lock[HF_AGENT_PATH];   /* one agent for a state directory */
    char record[HF_AGENT_PATH]; /* what survives a crash */
    char born[HF_AGENT_PATH];   /* there was a record once */
    char page[HF_AGENT_PATH];
    char fencer_lock[HF_AGENT_PATH];
    char fencer_log[HF_AGENT_PATH];
};

struct hf_backup_job;
struct hf_record_job;

struct hf_agent {
    struct hf_config_agent *config;
    struct hf_agent_paths paths;
    int lock_fd;
    struct hf_loop *loop;
    struct hf_ws_hub *hub;
    struct hf_pool *control; /* health, records, operations: never waits behind bulk work */
    struct hf_pool *work;    /* backups, WAL */

    struct hf_agent_core *core;
    struct hf_agent_effects *effects;
    struct hf_effects_queue *queue;
    struct hf_timer *tick;
    struct hf_timer *guard_timer; /* looks at what the fencer says */
    struct hf_timer *care;        /* the slow look after things */
    struct hf_timer *persist_retry;
    struct hf_timer *watchdog;
    struct hf_record_job *record_job;
    struct hf_backup_job *backup;

    bool managed;
    struct hf_page_keeper keeper;
    struct hf_op_env op_env;
    struct hf_executor *executor;
    struct hf_health *health;
    struct hf_pg_observation seen; /* newest */
    struct hf_lag lag;
    struct hf_link *link;
    struct hf_wal_service *wal; /* NULL: no repository is configured */
    struct hf_socket *socket;
    struct hf_http_server *http;
    struct hf_message *beat;    /* last heartbeat, for status */
    struct {                    /* the last rejoin that worked, for status */
        char way[HF_NAME_SIZE]; /* "" = none in this life */
        char salvaged[HF_LABEL_SIZE];
        hf_dur took;
    } rejoined;
    bool fencing_started; /* a job that starts the fencer is under way */
    bool stopping;
};

/* One event into the core; carries the effects out. origin: of a message, else 0. */
void hf_agent_step(struct hf_agent *a, const struct hf_agent_event *event, unsigned origin);
/* The queue, the timers and the first step. */
void hf_agent_step_start(struct hf_agent *a);
void hf_agent_step_free(struct hf_agent *a);

/* The record on disk. *ret_first: there never was one. A damaged one is put aside and counts as
 * lost (*ret_record NULL). Blocking: at start. */
hf_result hf_agent_record_load(const struct hf_agent_paths *paths,
                               struct hf_agent_record **ret_record, bool *ret_first,
                               struct hf_err *err) HF_MUST_USE;
hf_result hf_agent_record_save(const struct hf_agent_paths *paths,
                               const struct hf_agent_record *record,
                               struct hf_err *err) HF_MUST_USE;

/* WAL: tells the service what the node is, fills the core's facts of the repository; requests of
 * the socket. */
void hf_agent_wal_update(struct hf_agent *a);
void hf_agent_wal_request(struct hf_agent *a, uint64_t ticket, const hf_json *request);
hf_result hf_agent_wal_start(struct hf_agent *a, struct hf_err *err) HF_MUST_USE;

/* Effects' sinks that need more than a line. */
void hf_agent_backup_start(struct hf_agent *a, const struct hf_agent_effect *e);
void hf_agent_backup_free(struct hf_agent *a);

/* Status for the socket (members of the answer, the caller frees), text for /metrics. */
hf_json *hf_agent_status(struct hf_agent *a);
hf_result hf_agent_metrics(struct hf_agent *a, struct hf_buf *out, struct hf_err *err) HF_MUST_USE;
/* What load balancers ask: by the lease, not by hearsay. */
bool hf_agent_is_primary(const struct hf_agent *a);
bool hf_agent_is_replica(const struct hf_agent *a);
hf_result hf_agent_http_start(struct hf_agent *a, struct hf_err *err) HF_MUST_USE;

#endif
