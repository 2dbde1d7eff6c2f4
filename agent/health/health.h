/* SPDX-License-Identifier: Apache-2.0
 *
 * What is seen of the local PostgreSQL, several times a second: its processes (worker thread) and
 * its answers to one SQL query (asynchronous). Feeds the agent's core.
 * Invariants: never blocks the loop, also with the server stopped; an answer counts for at most
 * HF_HEALTH_FRESH and only for the postmaster that gave it; nothing that was begun before
 * hf_health_reset is reported after it. Loop thread only.
 */
#ifndef HF_HEALTH_HEALTH_H
#define HF_HEALTH_HEALTH_H

#include "agent/core/agent_core.h"
#include "agent/fence/instance.h"
#include "common/io/config_agent.h"
#include "common/io/loop.h"
#include "common/io/postgres.h"
#include "common/io/worker.h"

#define HF_HEALTH_FRESH     HF_SEC(3)
#define HF_HEALTH_SQL_LIMIT HF_SEC(2)

struct hf_health;

/* postmaster: pid 0 when none lives. */
typedef void (*hf_health_fn)(void *arg, const struct hf_pg_observation *seen,
                             const struct hf_postmaster *postmaster);

struct hf_health_config {
    const struct hf_config_postgresql *postgresql; /* borrowed */
    const char *page;         /* lease page; the guard counts as loaded when it reads this one */
    const char *copying_mark; /* a file: while it is there, the directory is half-made */
    hf_dur period;
};
/* Begins to look at once. */
hf_result hf_health_new(struct hf_loop *loop, struct hf_pool *pool,
                        const struct hf_health_config *config, hf_health_fn fn, void *arg,
                        struct hf_health **ret, struct hf_err *err) HF_MUST_USE;
/* After the pool is freed or idle; NULL allowed. */
void hf_health_free(struct hf_health *h);
/* Forgets what is known and what is under way: PostgreSQL was changed by us. Looks anew at once. */
void hf_health_reset(struct hf_health *h);

/* Connection settings of the local server, by its socket. The strings are borrowed from `pg` and
 * from port (size 8). */
void hf_health_pg_config(const struct hf_config_postgresql *pg, char port[8],
                         struct hf_pg_config *ret);

#endif
