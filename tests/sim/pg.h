/* SPDX-License-Identifier: Apache-2.0
 *
 * PostgreSQL as far as failover sees it: positions, timelines, acknowledgements, streaming,
 * promotion, copies, crashes that leave backends behind; and the fencer beside it.
 * Invariant: an acknowledged commit lies in the WAL of the node that acknowledged it.
 */
#ifndef SIM_PG_H
#define SIM_PG_H

#include "tests/sim/world.h"

void sim_pg_reset(struct sim_world *w);
/* Starts the processes; false when it cannot be started (half-made directory, running). */
bool sim_pg_start(struct sim_world *w, int node);
/* The processes are gone (kill, crash, host). */
void sim_pg_ended(struct sim_world *w, int node);
/* kill -9 of the postmaster: backends go on for a while (L6). */
void sim_pg_postmaster_killed(struct sim_world *w, int node);
/* After a boot the distribution may start it, outside Holdfast (L8). */
void sim_pg_boot(struct sim_world *w, int node);
void sim_pg_observe(const struct sim_world *w, int node, struct hf_pg_observation *ret);
bool sim_pg_writable(const struct sim_world *w, int node);

/* A clean shutdown: its last record, and mostly every standby that is connected has it. */
void sim_pg_stop(struct sim_world *w, int node);

void sim_pg_commit(struct sim_world *w, int node);
void sim_pg_ack(struct sim_world *w, int node, uint64_t lsn, bool stalled);
void sim_pg_stream(struct sim_world *w, int node);
void sim_pg_orphans_gone(struct sim_world *w, int node);

/* pg_ops.c: what the agent asks for. */
void sim_pg_op_start(struct sim_world *w, int node, const struct sim_agent_op *op);
/* The part that PostgreSQL itself does, even if the agent is gone or frozen. */
void sim_pg_op_in_database(struct sim_world *w, int node, uint32_t number);
void sim_pg_op_lost(struct sim_world *w, int node);
/* The agent's end of it. */
void sim_pg_op_end(struct sim_world *w, int node, uint32_t number, bool ok, uint64_t end);
void sim_pg_repoint(struct sim_world *w, int node, int source);

/* fencer.c */
bool sim_page_valid(const struct sim_world *w, int node);
/* Looks again when the page's deadline comes, and within its bound. */
void sim_fencer_plan(struct sim_world *w, int node);
void sim_fencer_look(struct sim_world *w, int node);

#endif
