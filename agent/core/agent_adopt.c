/* SPDX-License-Identifier: Apache-2.0
 *
 * Another generation of the control plane, by a person's word (L12): the one command that crosses
 * generations.
 */
#include <stdio.h>
#include <string.h>

#include "agent/core/agent_parts.h"

/* It names the generation that this node is in, this node, and no epoch below what it knows. A node
 * that is in no generation yet enters its first one by a view, never by this. One that is not
 * managed (an archive) follows, too: it holds and promises nothing, but what it reports counts. */
static bool is_for_us(const struct hf_agent_core *c, const struct hf_command *cmd)
{
    return c->record.generation.v != 0 && cmd->from_generation.v == c->record.generation.v &&
           cmd->generation.v > c->record.generation.v && cmd->epoch.v >= c->record.epoch.v &&
           hf_name_equal(&cmd->node, &c->config.node);
}

static bool leading(const struct hf_agent_core *c)
{
    return c->state == HF_NODE_STARTING || c->state == HF_NODE_PRIMARY ||
           c->state == HF_NODE_STOPPING;
}

/* The primary goes on as the choice of the new epoch: a new tenure, for which it asks the new
 * generation. Until that answers, what is left of its lease stays as it was counted: nobody else
 * was chosen. */
static void go_on(struct hf_agent_core *c)
{
    c->record.led = c->record.epoch;
    c->record.serial++;
    c->serial = c->record.serial;
    memset(&c->record.acked, 0, sizeof c->record.acked);
    c->round_open = false; /* its promises were given in the generation that is left */
}

void hf_agent_on_adopt(struct hf_agent_step *s, const struct hf_command *cmd)
{
    struct hf_agent_core *c = s->c;
    bool goes_on = strstr(cmd->body, "\"lead\":true") != NULL;
    if (!is_for_us(c, cmd)) {
        return;
    }
    if (goes_on && (c->state != HF_NODE_PRIMARY || !c->want)) {
        memcpy(c->record.last_command, cmd->id, sizeof c->record.last_command);
        c->op_status = HF_OP_FAILED;
        (void)snprintf(c->op_error, sizeof c->op_error, "NOT_LEADING: this node is no primary");
        c->beat_now = true;
        return;
    }
    c->record.generation = cmd->generation;
    c->record.order = (struct hf_order){cmd->generation, cmd->term, cmd->sequence};
    c->record.known_version = 0; /* numbers of candidate sets begin anew, too */
    memset(&c->view, 0, sizeof c->view);
    if (c->config.managed && c->state != HF_NODE_UNMANAGED) { /* never adopted: stays so */
        c->record.epoch = cmd->epoch;
    }
    if (goes_on) {
        go_on(c);
    }
    if (c->state == HF_NODE_ELECTED) { /* nothing was opened under it; the leader prepares it */
        c->want = false;
        hf_agent_page_close(s);
    }
    hf_agent_persist(s);
    c->beat_now = true;
    if (!goes_on && leading(c)) {
        hf_agent_fence(s); /* somebody else leads in the new generation, or will */
    }
}
