/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent process around its core: effects in order behind the disk, the page at once, wake-ups,
 * restarts from what the disk holds.
 * Invariant: nothing after a PERSIST is carried out before the record is on the simulated disk.
 */
#ifndef SIM_AGENT_H
#define SIM_AGENT_H

#include "tests/sim/world.h"

/* The boot id of the node's host. */
void sim_boot_text(const struct sim_world *w, int node, char ret[40]);

/* Where a promise request of this tenure and round is remembered. */
struct sim_asked *sim_asked_slot(struct sim_agent *a, uint64_t round, hf_epoch epoch,
                                 uint64_t serial);
void sim_agent_start(struct sim_world *w, int node);
void sim_agent_died(struct sim_world *w, int node);
void sim_agent_wake(struct sim_world *w, int node, uint32_t number);
void sim_agent_observe(struct sim_world *w, int node);
void sim_agent_message(struct sim_world *w, int node, const struct sim_event *e);
void sim_agent_persisted(struct sim_world *w, int node);
void sim_agent_fenced(struct sim_world *w, int node);
void sim_agent_op_ended(struct sim_world *w, int node, bool ok, uint64_t end, uint32_t timeline);

#endif
