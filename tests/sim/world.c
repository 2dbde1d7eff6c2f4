/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world.h"

#include "tests/sim/agent.h"
#include "tests/sim/coord.h"
#include "tests/sim/etcd.h"
#include "tests/sim/faults.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LEAST_S = 60, SETTLE_S = 240, STABLE_MS = 2000, LOOK_MS = 250, EDGE_PPM = 4975 };

const char *const sim_region_names[SIM_REGIONS] = {"eu", "us", "ap"};
const char *const sim_node_names[SIM_NODES] = {"eu-1", "us-1", "ap-1", "us-2"};
const char *const sim_node_addresses[SIM_NODES] = {"eu-1:5432", "us-1:5432", "ap-1:5432",
                                                   "us-2:5432"};
static const int region_of[SIM_NODES] = {0, 1, 2, 1};

int sim_node_by_name(const char *name)
{
    for (int i = 0; i < SIM_NODES; i++) {
        if (strcmp(sim_node_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

int sim_node_by_address(const char *address)
{
    for (int i = 0; i < SIM_NODES; i++) {
        if (strcmp(sim_node_addresses[i], address) == 0) {
            return i;
        }
    }
    return -1;
}

void sim_put(struct sim_world *w, sim_time at, enum sim_event_kind kind, int proc, uint32_t a,
             uint32_t b, int64_t value)
{
    struct sim_event e = {.at = at,
                          .value = value,
                          .life = proc < 0 ? 0 : w->procs[proc].life,
                          .a = a,
                          .b = b,
                          .proc = (int16_t)proc,
                          .kind = (uint16_t)kind};
    sim_queue_put(&w->queue, &e);
}

void sim_trace(const struct sim_world *w, const char *format, ...)
{
    va_list args;
    printf("%4lld.%06lld ", (long long)(w->now / SIM_SECOND), (long long)(w->now % SIM_SECOND));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void draw_latency(struct sim_world *w)
{
    int kind = sim_pick(&w->rng, 10);
    sim_time low = kind < 2 ? 300 : kind < 7 ? 5000 : 30000;
    sim_time high = kind < 2 ? 2000 : kind < 7 ? 40000 : 120000;
    for (int a = 0; a < SIM_REGIONS; a++) {
        w->cfg.latency[a][a] = sim_between(&w->rng, 100, 600);
        for (int b = a + 1; b < SIM_REGIONS; b++) {
            w->cfg.latency[a][b] = w->cfg.latency[b][a] = sim_between(&w->rng, low, high);
        }
    }
}

static void draw_config(struct sim_world *w)
{
    static const int ttl_ms[] = {2000, 2000, 3000, 4000, 6000};
    struct sim_config *c = &w->cfg;
    int shape = sim_pick(&w->rng, 10);
    c->nodes = shape < 3 ? 4 : 3;
    c->archive[2] = shape == 3 || shape == 0;
    c->ttl = HF_MS(ttl_ms[sim_pick(&w->rng, 5)]);
    c->margin_ppm = HF_LEASE_MARGIN_DEFAULT_PPM;
    c->guard = sim_chance(&w->rng, 500);
    c->fencer_bound = 50 * SIM_MS;
    c->route = sim_chance(&w->rng, 400);
    c->late_permille = sim_chance(&w->rng, 500) ? (int)sim_between(&w->rng, 1, 30) : 0;
    c->commit_gap = sim_between(&w->rng, 20, 60) * SIM_MS;
    c->boot_starts_pg = sim_chance(&w->rng, 500);
    c->faults_from = sim_between(&w->rng, 2, 12) * SIM_SECOND;
    c->heal_at = sim_between(&w->rng, 38, 50) * SIM_SECOND;
    c->directed = w->seed % 3 == 0 ? 1 + (int)(w->seed / 3 % (SIM_DIRECTED_COUNT - 1)) : 0;
    draw_latency(w);
}

static void draw_clocks(struct sim_world *w)
{
    bool edge = sim_chance(&w->rng, 300);
    for (int h = 0; h < SIM_HOSTS; h++) {
        struct sim_host *host = &w->hosts[h];
        host->region = h < SIM_NODES ? region_of[h] : (h - SIM_HOST_COORD) % SIM_REGIONS;
        host->up = h >= SIM_NODES || h < w->cfg.nodes;
        host->boot = 1;
        host->local_base = sim_between(&w->rng, 1, 100000) * SIM_SECOND;
        host->rate_ppm = edge ? (sim_chance(&w->rng, 500) ? EDGE_PPM : -EDGE_PPM)
                              : (int)sim_between(&w->rng, -EDGE_PPM, EDGE_PPM);
    }
}

static void draw_policy(struct sim_world *w)
{
    struct hf_policy *p = &w->full_policy;
    hf_policy_init(p);
    memcpy(p->tenant.s, "demo", 5);
    memcpy(p->cluster.s, "main", 5);
    p->level = HF_LEVEL_MANAGE;
    p->bootstrap.kind = HF_BOOTSTRAP_ADOPT;
    memcpy(p->bootstrap.name.s, sim_node_names[0], 5);
    p->failover.mode = sim_chance(&w->rng, 40) ? HF_FAILOVER_ASK : HF_FAILOVER_AUTOMATIC;
    p->route.present = w->cfg.route;
    if (sim_chance(&w->rng, 400)) {
        p->failover.max_loss_time = HF_POLICY_NO_TIME_LIMIT;
        p->failover.max_loss_wal = HF_POLICY_NO_WAL_LIMIT;
    } else {
        p->failover.on_excess_loss = sim_chance(&w->rng, 500) ? HF_EXCESS_PROMOTE : HF_EXCESS_WAIT;
    }
    for (int i = 0; i < w->cfg.nodes; i++) {
        if (!w->cfg.archive[i]) {
            struct hf_policy_node *n = &p->nodes[p->node_count++];
            memcpy(n->name.s, sim_node_names[i], 5);
            memcpy(n->region.s, sim_region_names[region_of[i]], 3);
        }
    }
}

static void set_up(struct sim_world *w)
{
    sim_queue_clear(&w->queue);
    w->payload_free = 0;
    for (uint32_t i = 0; i < SIM_PAYLOADS; i++) {
        w->payloads[i].next_free = i + 1 < SIM_PAYLOADS ? i + 1 : UINT32_MAX;
        w->payloads[i].refs = 0;
    }
    draw_config(w);
    draw_clocks(w);
    sim_check_reset(w);
    sim_etcd_reset(w);
    draw_policy(w);
    sim_etcd_put_policy(w, &w->full_policy);
    for (int i = 0; i < w->cfg.nodes; i++) {
        struct sim_agent *a = &w->agents[i];
        memcpy(a->config.node.s, sim_node_names[i], 5);
        a->config.managed = true;
        a->config.archive = w->cfg.archive[i];
        a->config.heartbeat = HF_MS(250);
        a->config.ttl = w->cfg.ttl;
        a->config.margin_ppm = w->cfg.margin_ppm;
        a->config.grace = (hf_dur){SIM_GRACE};
    }
    sim_pg_reset(w);
    for (int c = 0; c < SIM_REGIONS; c++) {
        w->coords[c].ttl = w->coords[c].next_ttl = w->cfg.ttl;
        sim_proc_start(w, SIM_PROC_ETCD + c);
        sim_proc_start(w, SIM_PROC_COORD + c);
    }
    for (int i = 0; i < w->cfg.nodes; i++) {
        sim_proc_start(w, SIM_PROC_FENCER + i);
        sim_proc_start(w, SIM_PROC_AGENT + i);
    }
    sim_faults_plan(w);
}

/* An event that nobody will handle gives back what it holds. */
static void drop(struct sim_world *w, const struct sim_event *e)
{
    if (e->kind == SIM_AGENT_MESSAGE || e->kind == SIM_COORD_MESSAGE) {
        sim_payload_release(w, e->a);
    } else if (e->kind == SIM_ETCD_EXEC || e->kind == SIM_COORD_ETCD) {
        sim_etcd_release(w, e->a);
    }
}

static void dispatch_agent(struct sim_world *w, const struct sim_event *e)
{
    int node = e->proc - SIM_PROC_AGENT;
    if (!w->agents[node].runs && e->kind != SIM_AGENT_START) {
        drop(w, e);
        return;
    }
    switch (e->kind) {
    case SIM_AGENT_START:
        sim_agent_start(w, node);
        break;
    case SIM_AGENT_WAKE:
        sim_agent_wake(w, node, e->a);
        break;
    case SIM_AGENT_OBSERVE:
        sim_agent_observe(w, node);
        break;
    case SIM_AGENT_MESSAGE:
        sim_agent_message(w, node, e);
        break;
    case SIM_AGENT_PERSISTED:
        sim_agent_persisted(w, node);
        break;
    case SIM_AGENT_OP:
        sim_pg_op_end(w, node, e->a, e->b != 0, (uint64_t)e->value);
        break;
    case SIM_AGENT_FENCED:
        sim_agent_fenced(w, node);
        break;
    case SIM_AGENT_CONNECT:
        if (e->a != 0) {
            sim_net_connected(w, node, (int)e->value);
        } else {
            sim_net_connect(w, node, (int)e->value);
        }
        break;
    default:
        HF_ASSERT(!"no event of an agent");
    }
}

static void dispatch_coord(struct sim_world *w, const struct sim_event *e)
{
    int coord = e->proc - SIM_PROC_COORD;
    if (!w->coords[coord].listens && e->kind != SIM_COORD_START) {
        drop(w, e);
        return;
    }
    switch (e->kind) {
    case SIM_COORD_START:
        sim_coord_start(w, coord);
        break;
    case SIM_COORD_LEAD:
        sim_coord_lead_wake(w, coord, e->a);
        break;
    case SIM_COORD_TICK:
        sim_coord_tick(w, coord);
        break;
    case SIM_COORD_MESSAGE:
        sim_coord_message(w, coord, e);
        break;
    case SIM_COORD_ETCD:
        sim_coord_etcd(w, coord, e->a);
        break;
    case SIM_COORD_TIMEOUT:
        sim_coord_timeout(w, coord, e->a);
        break;
    case SIM_COORD_STOP:
        sim_coord_stop(w, coord);
        break;
    case SIM_COORD_ROUTED:
        sim_coord_routed(w, coord, (int)e->value);
        break;
    case SIM_CONN_BROKEN:
        sim_coord_broken(w, coord, (int)e->value / 16, e->b);
        break;
    default:
        HF_ASSERT(!"no event of a coordinator");
    }
}

static void dispatch_rest(struct sim_world *w, const struct sim_event *e)
{
    switch (e->kind) {
    case SIM_ETCD_EXEC:
        sim_etcd_execute(w, e->a);
        break;
    case SIM_PG_COMMIT:
        sim_pg_commit(w, e->proc - SIM_PROC_PG);
        break;
    case SIM_PG_ACK:
        sim_pg_ack(w, e->proc - SIM_PROC_PG, (uint64_t)e->value, true);
        break;
    case SIM_PG_STREAM:
        sim_pg_stream(w, e->proc - SIM_PROC_PG);
        break;
    case SIM_PG_ORPHANS_GONE:
        sim_pg_orphans_gone(w, e->proc - SIM_PROC_PG);
        break;
    case SIM_PG_OP:
        sim_pg_op_in_database(w, e->proc - SIM_PROC_PG, e->a);
        break;
    case SIM_FENCER_LOOK:
        sim_fencer_look(w, e->proc - SIM_PROC_FENCER);
        break;
    case SIM_FAULT:
        sim_fault_fire(w, (enum sim_fault)e->a);
        break;
    case SIM_DIRECTED:
        sim_directed_step(w, (int)e->a);
        break;
    case SIM_RESTORE:
        sim_fault_end(w, (enum sim_restore)e->a, e->value);
        break;
    case SIM_HEAL:
        sim_faults_heal(w);
        sim_put(w, w->now + LOOK_MS * SIM_MS, SIM_LOOK, -1, 0, 0, 0);
        break;
    case SIM_CONN_WATCH:
        sim_net_watch(w, (int)e->value / 16, (int)e->value % 16, e->b);
        break;
    default:
        HF_ASSERT(!"an event of nobody");
    }
}

/* After the healing: settled, and for how long already? */
static bool look(struct sim_world *w)
{
    char why[200];
    if (!sim_check_settled(w, why, sizeof(why))) {
        w->settled_since = 0;
        if (w->now > w->cfg.heal_at + SETTLE_S * SIM_SECOND) {
            sim_fail(w, SIM_CHECK_LIVENESS, "%d s after the healing: %s", (int)SETTLE_S, why);
        }
    } else if (w->settled_since == 0) {
        w->settled_since = w->now;
        SIM_TRACE(w, "settled");
    }
    sim_put(w, w->now + LOOK_MS * SIM_MS, SIM_LOOK, -1, 0, 0, 0);
    return w->settled_since != 0 && w->now - w->settled_since >= STABLE_MS * SIM_MS &&
           w->now >= LEAST_S * SIM_SECOND;
}

/* A process that goes on finds several sockets ready and takes them in any order: heartbeats may
 * come before the answer that is as old as they are. Each connection keeps its own order. */
static sim_time thawing(struct sim_world *w, const struct sim_event *e)
{
    if (e->kind == SIM_COORD_ETCD) {
        return sim_between(&w->rng, 0, 20) * SIM_MS;
    }
    return e->kind == SIM_COORD_TIMEOUT ? 25 * SIM_MS : 0;
}

static void run_events(struct sim_world *w)
{
    struct sim_event e;
    while (!w->failed && sim_queue_take(&w->queue, &e)) {
        w->now = e.at;
        if (e.proc >= 0) {
            const struct sim_proc *p = &w->procs[e.proc];
            if (!p->alive || p->life != e.life) {
                drop(w, &e);
                continue;
            }
            if (p->frozen_until > w->now) {
                e.at = p->frozen_until + thawing(w, &e);
                sim_queue_put(&w->queue, &e);
                continue;
            }
        }
        w->stats.events++;
        w->digest = (w->digest ^ (uint64_t)e.at ^ ((uint64_t)e.kind << 48) ^
                     ((uint64_t)(uint16_t)e.proc << 56)) *
                    0x100000001b3U;
        if (e.kind == SIM_LOOK) {
            if (look(w)) {
                return;
            }
        } else if (e.proc >= 0 && e.proc < SIM_PROC_PG) {
            dispatch_agent(w, &e);
        } else if (e.proc >= SIM_PROC_COORD && e.proc < SIM_PROC_ETCD) {
            dispatch_coord(w, &e);
        } else {
            dispatch_rest(w, &e);
        }
    }
}

void sim_world_run(struct sim_world *w, uint64_t seed, bool trace)
{
    uint64_t promotions = w->stats.promotions;
    uint64_t extensions = w->stats.failsafe;
    memset(w, 0, offsetof(struct sim_world, stats));
    w->seed = seed;
    w->rng.state = seed * 0x2545f4914f6cdd1dU + 1;
    w->trace = trace;
    set_up(w);
    run_events(w);
    w->stats.seeds++;
    w->stats.simulated_us += (uint64_t)w->now;
    w->stats.seeds_promoted += w->stats.promotions > promotions ? 1 : 0;
    w->stats.seeds_failsafe += w->stats.failsafe > extensions ? 1 : 0;
    if (!w->failed) {
        uint64_t took = (uint64_t)(w->settled_since - w->cfg.heal_at);
        w->stats.settle_us += took;
        w->stats.settle_max_us = took > w->stats.settle_max_us ? took : w->stats.settle_max_us;
    }
}
