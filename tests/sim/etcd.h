/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd as far as Holdfast uses it: linearizable keys with revisions, transactions with compares,
 * three members that need a majority. Requests are lost, late, executed without an answer.
 * Invariant: a transaction is executed at one instant of true time or never.
 */
#ifndef SIM_ETCD_H
#define SIM_ETCD_H

#include "tests/sim/world.h"

void sim_etcd_reset(struct sim_world *w);
/* A free request, zeroed but for the big records. */
struct sim_etcd_request *sim_etcd_new(struct sim_world *w, int coord, enum sim_etcd_op op,
                                      uint32_t *ret_index);
void sim_etcd_send(struct sim_world *w, uint32_t index);
void sim_etcd_execute(struct sim_world *w, uint32_t index);
void sim_etcd_release(struct sim_world *w, uint32_t index);
/* By hand: the leader's key is deleted; the policy is changed. */
void sim_etcd_delete_claim(struct sim_world *w);
/* A snapshot is kept, and later put in place of what there is: another etcd, of a state before. */
void sim_etcd_keep(struct sim_world *w);
void sim_etcd_restore(struct sim_world *w);
void sim_etcd_put_policy(struct sim_world *w, const struct hf_policy *policy);

#endif
