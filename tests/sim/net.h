/* SPDX-License-Identifier: Apache-2.0
 *
 * Links and connections. Messages are ordered within a connection; a cut holds them back (and
 * delivers them late, as TCP does) until it ends or the connection breaks; some come twice, the
 * second time late.
 * Invariant: a payload lives while somebody refers to it; senders give their reference away.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "tests/sim/world.h"

/* One way, now: base latency and a tail. */
sim_time sim_net_delay(struct sim_world *w, int from, int to);
bool sim_net_blocked(const struct sim_world *w, int from, int to);
/* Cuts one direction until then, and lets the connections over it break with some delay. */
void sim_net_block(struct sim_world *w, int from, int to, sim_time until);
void sim_net_unblock_all(struct sim_world *w);

uint32_t sim_payload_new(struct sim_world *w, const void *bytes, size_t size);
void sim_payload_release(struct sim_world *w, uint32_t payload);
const void *sim_payload_bytes(const struct sim_world *w, uint32_t payload);
/* Bytes that a message of this type takes of struct hf_message. */
size_t sim_message_size(const struct hf_message *message);
uint32_t sim_message_payload(struct sim_world *w, const struct hf_message *message);
/* Into w->in, through the codec now and then. */
const struct hf_message *sim_message_open(struct sim_world *w, uint32_t payload);

void sim_net_connect(struct sim_world *w, int agent, int coord);
void sim_net_connected(struct sim_world *w, int agent, int coord);
void sim_net_break(struct sim_world *w, int agent, int coord, sim_time coordinator_learns);
void sim_net_watch(struct sim_world *w, int agent, int coord, uint32_t id);
void sim_net_send(struct sim_world *w, int agent, int coord, bool to_coordinator, uint32_t payload);
/* False: the event is void or was put back; its reference is released or kept accordingly. */
bool sim_net_arrived(struct sim_world *w, const struct sim_event *e, int agent, int coord,
                     bool to_coordinator);

#endif
