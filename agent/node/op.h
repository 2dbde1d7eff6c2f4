/* SPDX-License-Identifier: Apache-2.0
 *
 * What the agent does to PostgreSQL: one operation for each HF_EFFECT_PG_*, run on a worker thread.
 * Invariants: no operation starts or promotes a writable PostgreSQL without looking at the lease
 * page just before (rule L8); whenever one ends, well or not, standby.signal is in place, so that
 * a start outside Holdfast comes up in recovery; a canceled operation returns within a fraction of
 * a second; everything can be done again after a crash at any point.
 */
#ifndef HF_NODE_OP_H
#define HF_NODE_OP_H

#include "agent/core/agent_core.h"
#include "agent/fence/instance.h"
#include "agent/fence/page.h"
#include "agent/node/pgconf.h"
#include "common/base/buf.h"
#include "common/io/config_agent.h"
#include "common/io/postgres.h"
#include "common/io/worker.h"

/* What operations need to know; constant while the agent runs. */
struct hf_op_env {
    const struct hf_config_agent *config;
    const struct hf_page_map *page;
    char page_path[HF_PATH_SIZE + 32];    /* "" = this agent leads nothing */
    char log[HF_PATH_SIZE + 32];          /* of PostgreSQL and of its tools */
    char copying_mark[HF_PATH_SIZE + 32]; /* while it is there, the directory is half-made */
    char restore_command[2 * HF_PATH_SIZE + 128]; /* "" = none */
    char archive_command[2 * HF_PATH_SIZE + 128]; /* "" = none */
};

struct hf_op {
    struct hf_job job; /* first: the pool's */
    const struct hf_op_env *env;
    enum hf_agent_effect_kind kind;
    uint64_t id;
    hf_epoch epoch;
    hf_tli timeline;
    hf_name peer;
    char address[HF_ADDRESS_SIZE];
    char command[HF_LABEL_SIZE];
    char body[512];
    /* results */
    hf_result result;
    struct hf_err err;
    hf_lsn end;
    hf_tli end_timeline;
    char way[HF_NAME_SIZE];       /* of a rejoin: what was done, "" = nothing */
    char salvaged[HF_LABEL_SIZE]; /* id of what was saved before, "" = nothing */
    hf_dur took;                  /* of a rejoin */
};

/* Carries the operation out and fills the results. Blocks; worker thread. */
void hf_op_run(struct hf_op *op);

hf_result hf_op_stop_receiving(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_find_end(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_promote(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_start_primary(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_adopt(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_follow(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_rejoin(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_kill(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_probe(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
/* After a promotion: segments of the parent timeline that were streamed here go to the archiver
 * (rule W5). What cannot be handed over is logged. */
void hf_op_backfill(struct hf_op *op, hf_tli parent);
hf_result hf_op_drain(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
hf_result hf_op_stop(struct hf_op *op, struct hf_err *err) HF_MUST_USE;

/* --- what they share --- */

/* A connection to another node's server (host:port), as the agent's own role. database NULL: the
 * configured one. */
hf_result hf_op_connect_remote(const struct hf_config_postgresql *pg, const char *address,
                               const char *database, struct hf_pg_sync **ret,
                               struct hf_err *err) HF_MUST_USE;
/* One statement there; the answer is not looked at. Blocks, some seconds at most. */
hf_result hf_op_remote(const struct hf_config_postgresql *pg, const char *address, const char *sql,
                       struct hf_err *err) HF_MUST_USE;

/* HF_E_CANCELED when it shall end. */
hf_result hf_op_check(const struct hf_op *op, struct hf_err *err) HF_MUST_USE;
/* HF_E_REFUSED unless the page is open for the operation's epoch now. */
hf_result hf_op_lease(const struct hf_op *op, struct hf_err *err) HF_MUST_USE;
void hf_op_sleep_ms(int ms);

/* Starts the server and waits until it takes connections ("ready"), at most `limit`. */
hf_result hf_op_server_start(struct hf_op *op, hf_dur limit, struct hf_err *err) HF_MUST_USE;
/* A signal to the postmaster. HF_E_NOT_FOUND when there is none. */
hf_result hf_op_server_signal(struct hf_op *op, int signal, struct hf_err *err) HF_MUST_USE;
/* `systemctl VERB` of the configured unit, not waited for. */
hf_result hf_op_systemctl(struct hf_op *op, const char *verb, struct hf_err *err) HF_MUST_USE;
/* SIGHUP to the postmaster. HF_E_NOT_FOUND when there is none. */
hf_result hf_op_server_reload(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
bool hf_op_server_runs(const struct hf_op *op);
/* A fast shutdown, waited for until no process of the instance is left, at most `limit`. */
hf_result hf_op_server_stop(struct hf_op *op, hf_dur limit, struct hf_err *err) HF_MUST_USE;
/* Ends every process of the instance and looks that none is left. */
hf_result hf_op_server_end(struct hf_op *op, struct hf_err *err) HF_MUST_USE;
/* Connection to the local server by its socket. */
hf_result hf_op_connect(struct hf_op *op, struct hf_pg_sync **ret, struct hf_err *err) HF_MUST_USE;
/* A physical replication connection to "host:port", or with NULL to the local server. */
hf_result hf_op_connect_replication(struct hf_op *op, const char *address, struct hf_pg_sync **ret,
                                    struct hf_err *err) HF_MUST_USE;
/* One value of one row. HF_E_NOT_FOUND: no row, or NULL. */
hf_result hf_op_value(struct hf_pg_sync *c, const char *sql, char *ret, size_t size,
                      struct hf_err *err) HF_MUST_USE;
/* host and port of "host:port", "[v6]:port". */
hf_result hf_op_split(const char *address, char host[HF_ADDRESS_SIZE], char port[8],
                      struct hf_err *err) HF_MUST_USE;
/* Effective value of a setting: asked by SQL, or while the server is down (c NULL) from its files.
 * "" for a setting that this version does not have. */
hf_result hf_op_setting(struct hf_op *op, struct hf_pg_sync *c, const char *name, char *ret,
                        size_t size, struct hf_err *err) HF_MUST_USE;
/* Entries for the commit guard: which page it reads, and that the node is managed. Returns how many
 * were written (at most HF_OP_GUARD_ENTRIES). Without the library in shared_preload_libraries they
 * have no effect. */
enum { HF_OP_GUARD_ENTRIES = 2 };
size_t hf_op_guard_settings(const struct hf_op *op, struct hf_pgconf_entry *ret);
/* Settings that a primary needs (restart_after_crash off, no upstream, archiving by us unless
 * another tool does it); c NULL while the server is down. */
hf_result hf_op_primary_settings(struct hf_op *op, struct hf_pg_sync *c,
                                 struct hf_err *err) HF_MUST_USE;

/* Pure: position after a WAL record that begins at lsn and is length bytes long: the headers of
 * the pages that it crosses are added (PostgreSQL: access/xlog_internal.h), then aligned to 8. */
hf_lsn hf_op_record_end(hf_lsn lsn, uint64_t length, uint64_t segment_size);
/* Pure: a line of pg_waldump; false when it is none of a record. */
bool hf_op_waldump_line(const char *line, hf_lsn *ret_lsn, uint64_t *ret_length);

#endif
