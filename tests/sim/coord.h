/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator process around its cores: leadership's requests, records read and written,
 * decisions carried out, heartbeats taken in, grants, relayed promises.
 * Invariant: it does what the headers of the cores ask of an edge, and nothing cleverer.
 */
#ifndef SIM_COORD_H
#define SIM_COORD_H

#include "tests/sim/world.h"

void sim_coord_start(struct sim_world *w, int coord);
void sim_coord_died(struct sim_world *w, int coord);
void sim_coord_lead_wake(struct sim_world *w, int coord, uint32_t number);
void sim_coord_etcd(struct sim_world *w, int coord, uint32_t request);
void sim_coord_timeout(struct sim_world *w, int coord, uint32_t number);
void sim_coord_stop(struct sim_world *w, int coord);
void sim_coord_demand(struct sim_world *w, int coord, bool urgent);
/* It runs: a gap since it last did means that it may not have heard what was said. */
void sim_coord_listen(struct sim_world *w, int coord, hf_lclk now);
hf_lclk sim_coord_now(const struct sim_world *w, int coord);
bool sim_coord_active(const struct sim_world *w, int coord);

/* coord_lead.c */
void sim_coord_tick(struct sim_world *w, int coord);
void sim_coord_decide(struct sim_world *w, int coord);
/* The records are not believed now: nothing is granted. */
bool sim_coord_doubts(struct sim_world *w, int coord);
void sim_coord_load(struct sim_world *w, int coord);
void sim_coord_records(struct sim_world *w, int coord, const struct sim_etcd_request *r);
void sim_coord_renewed(struct sim_world *w, int coord, hf_lclk sent);
void sim_coord_routed(struct sim_world *w, int coord, int node);

/* coord_hub.c */
void sim_coord_message(struct sim_world *w, int coord, const struct sim_event *e);
void sim_coord_broken(struct sim_world *w, int coord, int agent, uint32_t id);
void sim_coord_send(struct sim_world *w, int coord, int agent, const struct hf_message *message);
void sim_coord_commands(struct sim_world *w, int coord, const struct hf_decision *d);
void sim_coord_views(struct sim_world *w, int coord);

#endif
