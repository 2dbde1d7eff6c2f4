/* SPDX-License-Identifier: Apache-2.0
 *
 * A share of the messages and records goes through the real codecs on its way: what arrives is what
 * was decoded.
 * Invariant: encode(decode(encode(x))) == encode(x), else the seed fails.
 */
#ifndef SIM_CODEC_H
#define SIM_CODEC_H

#include "tests/sim/world.h"

/* Each draws whether it is this one's turn. */
void sim_codec_message(struct sim_world *w, struct hf_message *m);
void sim_codec_state(struct sim_world *w, struct hf_cluster_state *s);
void sim_codec_plan(struct sim_world *w, struct hf_plan *p);
void sim_codec_claim(struct sim_world *w, struct hf_lead_claim *c);
void sim_codec_record(struct sim_world *w, struct hf_agent_record *r);

#endif
