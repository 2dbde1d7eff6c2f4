/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of a coordinator: heartbeats in, commands and views out, promises relayed.
 */
#include "tests/sim/coord.h"
#include "tests/sim/net.h"

#include <string.h>

enum { COMMAND_AGAIN_MS = 400, VIEW_AGAIN_MS = 2000, COMMAND_TTL_S = 5 };

void sim_coord_send(struct sim_world *w, int coord, int agent, const struct hf_message *message)
{
    if (agent < 0) {
        return;
    }
    uint32_t payload = sim_message_payload(w, message);
    sim_net_send(w, agent, coord, false, payload);
    sim_payload_release(w, payload);
}

static void hello(struct sim_world *w, int coord, int agent, uint32_t conn,
                  const struct hf_hello *m)
{
    struct sim_coord *c = &w->coords[coord];
    struct hf_node_view *n = &c->known[agent];
    c->conn[agent] = conn;
    n->connected = true;
    n->name = m->node;
    n->region = m->region;
    memcpy(n->address, m->address, sizeof(n->address));
    c->view_at[agent] = 0;
    c->command_id[agent][0] = '\0';
}

void sim_coord_broken(struct sim_world *w, int coord, int agent, uint32_t id)
{
    struct sim_coord *c = &w->coords[coord];
    if (c->conn[agent] == id) {
        c->conn[agent] = 0;
        c->known[agent].connected = false;
    }
}

static void heartbeat(struct sim_world *w, int coord, int agent, const struct hf_heartbeat *b)
{
    struct sim_coord *c = &w->coords[coord];
    struct hf_node_view *n = &c->known[agent];
    if (n->seen && n->beat.life == b->life && b->seq <= n->beat.seq) {
        return;
    }
    bool urgent = !n->seen || n->beat.state != b->state || n->beat.op_status != b->op_status ||
                  n->beat.surrendered.v != b->surrendered.v;
    hf_lclk now = sim_coord_now(w, coord);
    n->seen = true;
    n->seen_at = now;
    n->beat = *b;
    n->promise_until = (hf_lclk){0};
    if (b->promise_epoch.v != 0 && b->promise_remaining.us > 0) {
        n->promise_until = hf_lclk_add(now, hf_lease_wait(b->promise_remaining, w->cfg.margin_ppm));
    }
    if (b->state == HF_NODE_PRIMARY && b->written.v != 0) {
        hf_exposure_add(&c->ring, b->lease_epoch, b->life, b->clock_us, b->read_ago, b->written,
                        now);
        c->ring_since = c->ring.count == 1 ? w->now : c->ring_since;
    }
    if (!c->loaded || !sim_coord_active(w, coord)) {
        return;
    }
    if (b->want_lease && !sim_coord_doubts(w, coord) &&
        hf_grant_ask(&c->wait, &c->state, &n->name, b, now)) {
        sim_coord_demand(w, coord, b->lease_remaining.us == 0);
    }
    if (urgent) {
        sim_coord_decide(w, coord);
    }
}

static void relay(struct sim_world *w, int coord, const struct hf_message *m)
{
    const hf_name *to =
        m->type == HF_MESSAGE_PROMISE_REQUEST ? &m->promise_request.to : &m->promise_reply.holder;
    int node = sim_node_by_name(to->s);
    if (node >= 0 && w->coords[coord].conn[node] != 0) {
        sim_coord_send(w, coord, node, m);
    }
}

void sim_coord_message(struct sim_world *w, int coord, const struct sim_event *e)
{
    struct sim_coord *c = &w->coords[coord];
    int agent = (int)e->value;
    if (!sim_net_arrived(w, e, agent, coord, true)) {
        return;
    }
    const struct hf_message *m = sim_message_open(w, e->a);
    sim_payload_release(w, e->a);
    if (m->type == HF_MESSAGE_HELLO) {
        hello(w, coord, agent, e->b, &m->hello);
        return;
    }
    if (c->conn[agent] != e->b) {
        return;
    }
    if (m->type == HF_MESSAGE_HEARTBEAT) {
        heartbeat(w, coord, agent, &m->heartbeat);
    } else if (m->type == HF_MESSAGE_PROMISE_REQUEST || m->type == HF_MESSAGE_PROMISE_REPLY) {
        relay(w, coord, m);
    }
}

static void command(struct sim_world *w, int coord, const struct hf_decision_command *d)
{
    struct sim_coord *c = &w->coords[coord];
    int agent = sim_node_by_name(d->to.s);
    if (agent < 0 || c->conn[agent] == 0) {
        return;
    }
    bool same = strcmp(c->command_id[agent], d->command.id) == 0;
    if (same && w->now - c->command_at[agent] < COMMAND_AGAIN_MS * SIM_MS) {
        return;
    }
    memcpy(c->command_id[agent], d->command.id, sizeof(c->command_id[agent]));
    c->command_at[agent] = w->now;
    w->out.type = HF_MESSAGE_COMMAND;
    struct hf_command *m = &w->out.command;
    *m = d->command;
    m->generation = c->state.generation;
    m->term = c->lead.term;
    m->sequence = ++c->sequence;
    m->seq = c->known[agent].beat.seq;
    m->life = c->known[agent].beat.life;
    m->ttl = HF_SEC(COMMAND_TTL_S);
    if (!same) {
        SIM_TRACE(w, "coordinator %s -> %s: %s \"%s\"", sim_region_names[coord],
                  sim_node_names[agent], hf_command_kind_name(m->kind), m->id);
    }
    sim_check_coord_send(w, &w->out, agent);
    sim_coord_send(w, coord, agent, &w->out);
}

void sim_coord_commands(struct sim_world *w, int coord, const struct hf_decision *d)
{
    for (int i = 0; i < d->commands && !w->failed; i++) {
        command(w, coord, &d->command[i]);
    }
}

void sim_coord_views(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    if (c->state.epoch.v == 0) {
        return;
    }
    struct hf_view *v = NULL;
    for (int a = 0; a < SIM_NODES; a++) {
        bool changed = c->view_mark[a] != (uint64_t)c->state_revision;
        bool due = c->view_at[a] == 0 || w->now - c->view_at[a] >= VIEW_AGAIN_MS * SIM_MS;
        if (c->conn[a] == 0 || (!changed && !due)) {
            continue;
        }
        if (v == NULL) {
            w->out.type = HF_MESSAGE_VIEW;
            v = &w->out.view;
            *v = (struct hf_view){.generation = c->state.generation,
                                  .epoch = c->state.epoch,
                                  .term = c->lead.term,
                                  .ttl = c->ttl,
                                  .candidates = c->state.candidates};
            int primary = sim_node_by_name(c->state.primary.s);
            if (c->state.primary_epoch.v == c->state.epoch.v && primary >= 0) {
                v->primary = c->state.primary;
                v->timeline = c->state.timeline;
                memcpy(v->primary_address, c->known[primary].address, sizeof(v->primary_address));
            }
        }
        c->view_at[a] = w->now;
        c->view_mark[a] = (uint64_t)c->state_revision;
        sim_coord_send(w, coord, a, &w->out);
    }
}
