/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the agent's core; nobody else includes it.
 */
#ifndef HF_AGENT_PARTS_H
#define HF_AGENT_PARTS_H

#include "agent/core/agent_core.h"

/* What one step works on. */
struct hf_agent_step {
    struct hf_agent_core *c;
    hf_lclk now;
    struct hf_agent_effects *out;
};

/* effects */
struct hf_agent_effect *hf_agent_emit(struct hf_agent_step *s, enum hf_agent_effect_kind kind);
void hf_agent_persist(struct hf_agent_step *s);
void hf_agent_page_close(struct hf_agent_step *s);
void hf_agent_page_open(struct hf_agent_step *s);
/* Begins an effect that ends with EFFECT_DONE; it takes the place of the one under way. */
struct hf_agent_effect *hf_agent_begin(struct hf_agent_step *s, enum hf_agent_effect_kind kind);
/* A transition of the node table; asserts that it has a row. */
void hf_agent_enter(struct hf_agent_step *s, enum hf_node_state to);

/* holder */
void hf_agent_on_grant(struct hf_agent_step *s, const struct hf_grant *g);
void hf_agent_on_promise_reply(struct hf_agent_step *s, const struct hf_promise_reply *r);
void hf_agent_holder_tick(struct hf_agent_step *s);
/* Gives the epoch up: page closed, PostgreSQL ended, then surrender (L6). */
void hf_agent_fence(struct hf_agent_step *s);
void hf_agent_fenced(struct hf_agent_step *s);

/* candidate */
void hf_agent_on_promise_request(struct hf_agent_step *s, const struct hf_promise_request *r);
/* Time that a promise of this node still runs at `now`; released names a surrendered tenure. */
hf_dur hf_agent_promise_left(const struct hf_agent_core *c, hf_lclk now, hf_epoch released_epoch,
                             uint64_t released_serial);

/* node and commands */
void hf_agent_on_command(struct hf_agent_step *s, const struct hf_command *cmd);
/* Its deadline and order were looked at already. */
void hf_agent_on_adopt(struct hf_agent_step *s, const struct hf_command *cmd);
void hf_agent_on_view(struct hf_agent_step *s, const struct hf_view *v);
void hf_agent_on_done(struct hf_agent_step *s, const struct hf_agent_event *e);
void hf_agent_on_pg(struct hf_agent_step *s, const struct hf_pg_observation *pg);
/* Starts the prepare of record.prepared from a state that can do so now. */
void hf_agent_prepare_now(struct hf_agent_step *s);

#endif
