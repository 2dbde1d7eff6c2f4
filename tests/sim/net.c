/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/net.h"

#include "tests/sim/agent.h"
#include "tests/sim/codec.h"

#include <string.h>

#define LATE 0x80000000U /* of a message that came once already */
_Static_assert(sizeof(struct hf_agent_record) <= SIM_PAYLOAD_BYTES, "payload holds a record");
_Static_assert(offsetof(struct hf_message, view) + sizeof(struct hf_view) <= SIM_PAYLOAD_BYTES,
               "payload holds a view");
_Static_assert(offsetof(struct hf_message, heartbeat) + sizeof(struct hf_heartbeat) <=
                   SIM_PAYLOAD_BYTES,
               "payload holds a heartbeat");

sim_time sim_net_delay(struct sim_world *w, int from, int to)
{
    sim_time base = w->cfg.latency[w->hosts[from].region][w->hosts[to].region];
    sim_time jitter = (sim_time)(sim_rand(&w->rng) % (uint64_t)(base / 4 + 200));
    if (sim_chance(&w->rng, 5)) {
        jitter += base * 3;
    }
    return base + jitter;
}

bool sim_net_blocked(const struct sim_world *w, int from, int to)
{
    return w->blocked[from][to] > w->now || !w->hosts[from].up || !w->hosts[to].up;
}

void sim_net_block(struct sim_world *w, int from, int to, sim_time until)
{
    if (w->blocked[from][to] >= until) {
        return;
    }
    w->blocked[from][to] = until;
    int node = from < SIM_NODES ? from : to;
    int other = from < SIM_NODES ? to : from;
    if (node >= SIM_NODES || other < SIM_HOST_COORD || other >= SIM_HOST_ETCD) {
        return;
    }
    int coord = other - SIM_HOST_COORD;
    const struct sim_conn *c = &w->conns[node][coord];
    if (c->up) {
        sim_put(w, w->now + sim_between(&w->rng, 1500, 8000) * SIM_MS, SIM_CONN_WATCH, -1, 0, c->id,
                node * 16 + coord);
    }
}

void sim_net_unblock_all(struct sim_world *w)
{
    for (int i = 0; i < SIM_HOSTS; i++) {
        for (int j = 0; j < SIM_HOSTS; j++) {
            if (w->blocked[i][j] > w->now) {
                w->blocked[i][j] = w->now;
            }
        }
    }
}

uint32_t sim_payload_new(struct sim_world *w, const void *bytes, size_t size)
{
    HF_ASSERT(size <= SIM_PAYLOAD_BYTES);
    HF_ASSERT(w->payload_free != UINT32_MAX);
    uint32_t index = w->payload_free;
    struct sim_payload *p = &w->payloads[index];
    w->payload_free = p->next_free;
    p->refs = 1;
    p->size = (uint32_t)size;
    memcpy(p->bytes, bytes, size);
    return index;
}

void sim_payload_release(struct sim_world *w, uint32_t payload)
{
    struct sim_payload *p = &w->payloads[payload];
    HF_ASSERT(p->refs > 0);
    if (--p->refs == 0) {
        p->next_free = w->payload_free;
        w->payload_free = payload;
    }
}

const void *sim_payload_bytes(const struct sim_world *w, uint32_t payload)
{
    return w->payloads[payload].bytes;
}

size_t sim_message_size(const struct hf_message *m)
{
    size_t head = offsetof(struct hf_message, hello);
    switch (m->type) {
    case HF_MESSAGE_HELLO:
        return head + sizeof(m->hello);
    case HF_MESSAGE_HEARTBEAT:
        return head + sizeof(m->heartbeat);
    case HF_MESSAGE_GRANT:
        return head + sizeof(m->grant);
    case HF_MESSAGE_VIEW:
        return head + sizeof(m->view);
    case HF_MESSAGE_COMMAND:
        return head + sizeof(m->command);
    case HF_MESSAGE_PROMISE_REQUEST:
        return head + sizeof(m->promise_request);
    case HF_MESSAGE_PROMISE_REPLY:
        return head + sizeof(m->promise_reply);
    case HF_MESSAGE_REPORT_ACK:
        return head + sizeof(m->report_ack);
    case HF_MESSAGE_REPORT:
    case HF_MESSAGE_TYPES:
        break;
    }
    HF_ASSERT(!"the cores send no reports");
    return 0;
}

uint32_t sim_message_payload(struct sim_world *w, const struct hf_message *message)
{
    return sim_payload_new(w, message, sim_message_size(message));
}

const struct hf_message *sim_message_open(struct sim_world *w, uint32_t payload)
{
    const struct sim_payload *p = &w->payloads[payload];
    memcpy(&w->in, p->bytes, p->size);
    sim_codec_message(w, &w->in);
    return &w->in;
}

void sim_net_connect(struct sim_world *w, int agent, int coord)
{
    if (w->conns[agent][coord].up) {
        return;
    }
    int to = SIM_HOST_COORD + coord;
    bool listens = w->coords[coord].listens && sim_proc_runs(w, SIM_PROC_COORD + coord);
    if (listens && !sim_net_blocked(w, agent, to) && !sim_net_blocked(w, to, agent)) {
        sim_time round = sim_net_delay(w, agent, to) + sim_net_delay(w, to, agent);
        sim_put(w, w->now + 2 * round, SIM_AGENT_CONNECT, SIM_PROC_AGENT + agent, 1, 0, coord);
        return;
    }
    sim_put(w, w->now + sim_between(&w->rng, 200, 1000) * SIM_MS, SIM_AGENT_CONNECT,
            SIM_PROC_AGENT + agent, 0, 0, coord);
}

/* The handshake's end: the hello goes first. */
void sim_net_connected(struct sim_world *w, int agent, int coord)
{
    struct sim_conn *c = &w->conns[agent][coord];
    if (c->up || !w->coords[coord].listens || sim_net_blocked(w, agent, SIM_HOST_COORD + coord)) {
        sim_net_connect(w, agent, coord);
        return;
    }
    c->up = true;
    c->id++;
    c->last[0] = w->now;
    c->last[1] = w->now;
    struct hf_message *m = &w->out;
    m->type = HF_MESSAGE_HELLO;
    memset(&m->hello, 0, sizeof(m->hello));
    memcpy(m->hello.tenant.s, "demo", 5);
    memcpy(m->hello.cluster.s, "main", 5);
    memcpy(m->hello.region.s, sim_region_names[w->hosts[agent].region], 3);
    memcpy(m->hello.node.s, sim_node_names[agent], 5);
    if (!w->cfg.archive[agent]) {
        memcpy(m->hello.address, sim_node_addresses[agent], 10);
    }
    memcpy(m->hello.version, "0.1.0", 6);
    sim_boot_text(w, agent, m->hello.boot);
    uint32_t payload = sim_message_payload(w, m);
    sim_net_send(w, agent, coord, true, payload);
    sim_payload_release(w, payload);
}

void sim_net_break(struct sim_world *w, int agent, int coord, sim_time coordinator_learns)
{
    struct sim_conn *c = &w->conns[agent][coord];
    if (!c->up) {
        return;
    }
    c->up = false;
    SIM_TRACE(w, "connection %s - coordinator %s breaks", sim_node_names[agent],
              sim_region_names[coord]);
    if (w->procs[SIM_PROC_COORD + coord].alive) {
        sim_put(w, coordinator_learns, SIM_CONN_BROKEN, SIM_PROC_COORD + coord, 0, c->id,
                agent * 16 + coord);
    }
    if (w->procs[SIM_PROC_AGENT + agent].alive) {
        sim_put(w, w->now + sim_between(&w->rng, 20, 500) * SIM_MS, SIM_AGENT_CONNECT,
                SIM_PROC_AGENT + agent, 0, 0, coord);
    }
}

void sim_net_watch(struct sim_world *w, int agent, int coord, uint32_t id)
{
    const struct sim_conn *c = &w->conns[agent][coord];
    int other = SIM_HOST_COORD + coord;
    if (c->up && c->id == id &&
        (sim_net_blocked(w, agent, other) || sim_net_blocked(w, other, agent))) {
        sim_net_break(w, agent, coord, w->now + sim_between(&w->rng, 0, 3000) * SIM_MS);
    }
}

void sim_net_send(struct sim_world *w, int agent, int coord, bool to_coordinator, uint32_t payload)
{
    struct sim_conn *c = &w->conns[agent][coord];
    if (!c->up) {
        return;
    }
    int from = to_coordinator ? agent : SIM_HOST_COORD + coord;
    int to = to_coordinator ? SIM_HOST_COORD + coord : agent;
    sim_time at = w->now;
    if (w->blocked[from][to] > at) {
        at = w->blocked[from][to];
    }
    at += sim_net_delay(w, from, to);
    sim_time *last = &c->last[to_coordinator ? 0 : 1];
    at = at > *last ? at : *last + 1;
    *last = at;
    int proc = to_coordinator ? SIM_PROC_COORD + coord : SIM_PROC_AGENT + agent;
    enum sim_event_kind kind = to_coordinator ? SIM_COORD_MESSAGE : SIM_AGENT_MESSAGE;
    w->payloads[payload].refs++;
    sim_put(w, at, kind, proc, payload, c->id, to_coordinator ? agent : coord);
    if (!to_coordinator && w->cfg.late_permille > 0 && sim_chance(&w->rng, w->cfg.late_permille)) {
        w->payloads[payload].refs++;
        sim_put(w, at + sim_between(&w->rng, 10, 5000) * SIM_MS, kind, proc, payload, c->id | LATE,
                coord);
    }
}

bool sim_net_arrived(struct sim_world *w, const struct sim_event *e, int agent, int coord,
                     bool to_coordinator)
{
    const struct sim_conn *c = &w->conns[agent][coord];
    int from = to_coordinator ? agent : SIM_HOST_COORD + coord;
    int to = to_coordinator ? SIM_HOST_COORD + coord : agent;
    bool late = (e->b & LATE) != 0;
    if (!late && (!c->up || c->id != e->b)) {
        sim_payload_release(w, e->a);
        return false;
    }
    if (!late && w->blocked[from][to] > w->now) {
        sim_put(w, w->blocked[from][to], (enum sim_event_kind)e->kind, e->proc, e->a, e->b,
                e->value);
        sim_time *last = &w->conns[agent][coord].last[to_coordinator ? 0 : 1];
        *last = *last > w->blocked[from][to] ? *last : w->blocked[from][to];
        return false;
    }
    w->stats.messages++;
    return true;
}
