/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/faults.h"

#include "tests/sim/coord.h"
#include "tests/sim/etcd.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"

#include <string.h>

const char *const sim_fault_text[SIM_FAULT_COUNT] = {
#define X(name, weight, text) text,
    SIM_FAULTS(X)
#undef X
};
static const int weights[SIM_FAULT_COUNT] = {
#define X(name, weight, text) weight,
    SIM_FAULTS(X)
#undef X
};

int sim_primary(const struct sim_world *w)
{
    int p = sim_node_by_name(w->etcd.state.primary.s);
    return p < 0 ? 0 : p;
}

int sim_leader(const struct sim_world *w)
{
    for (int c = 0; c < SIM_REGIONS; c++) {
        if (w->procs[SIM_PROC_COORD + c].alive && sim_coord_active(w, c)) {
            return c;
        }
    }
    return -1;
}

sim_time sim_span(struct sim_world *w, int64_t low_ms, int64_t high_ms)
{
    return sim_between(&w->rng, low_ms, high_ms) * SIM_MS;
}

static sim_time until(const struct sim_world *w, sim_time span)
{
    return w->now + span < w->cfg.heal_at ? w->now + span : w->cfg.heal_at;
}

static void end_at(struct sim_world *w, sim_time at, enum sim_restore what, int64_t value)
{
    sim_put(w, at, SIM_RESTORE, -1, (uint32_t)what, 0, value);
}

void sim_verb_kill(struct sim_world *w, int proc, sim_time down)
{
    SIM_TRACE(w, "fault: process %d dies for %lld ms", proc, (long long)(down / 1000));
    sim_proc_kill(w, proc);
    end_at(w, until(w, down), SIM_RESTORE_PROC, proc);
}

void sim_verb_freeze(struct sim_world *w, int proc, sim_time span)
{
    SIM_TRACE(w, "fault: process %d frozen for %lld ms", proc, (long long)(span / 1000));
    struct sim_proc *p = &w->procs[proc];
    if (p->alive && p->frozen_until < until(w, span)) {
        p->frozen_until = until(w, span);
    }
}

void sim_verb_link_cut(struct sim_world *w, int a, int b, sim_time span)
{
    SIM_TRACE(w, "fault: hosts %d and %d cut for %lld ms", a, b, (long long)(span / 1000));
    sim_net_block(w, a, b, until(w, span));
    sim_net_block(w, b, a, until(w, span));
}

void sim_verb_host_cut(struct sim_world *w, int host, sim_time span)
{
    for (int h = 0; h < SIM_HOSTS; h++) {
        if (h != host) {
            sim_verb_link_cut(w, host, h, span);
        }
    }
}

void sim_verb_region_cut(struct sim_world *w, int region, sim_time span, bool in, bool out)
{
    SIM_TRACE(w, "fault: region %s cut (in %d, out %d) for %lld ms", sim_region_names[region], in,
              out, (long long)(span / 1000));
    for (int a = 0; a < SIM_HOSTS; a++) {
        for (int b = 0; b < SIM_HOSTS; b++) {
            if (w->hosts[a].region != region || w->hosts[b].region == region) {
                continue;
            }
            if (out) {
                sim_net_block(w, a, b, until(w, span));
            }
            if (in) {
                sim_net_block(w, b, a, until(w, span));
            }
        }
    }
}

void sim_verb_region_loss(struct sim_world *w, int region, sim_time span)
{
    SIM_TRACE(w, "fault: region %s lost for %lld ms", sim_region_names[region],
              (long long)(span / 1000));
    for (int h = 0; h < SIM_HOSTS; h++) {
        if (w->hosts[h].region == region) {
            sim_host_down(w, h);
        }
    }
    end_at(w, until(w, span), SIM_RESTORE_REGION, region);
}

void sim_verb_new_ttl(struct sim_world *w, hf_dur ttl)
{
    /* An L that the links cannot keep alive would be a mistake of its people. */
    sim_time slowest = 0;
    for (int a = 0; a < SIM_REGIONS; a++) {
        for (int b = 0; b < SIM_REGIONS; b++) {
            slowest = w->cfg.latency[a][b] > slowest ? w->cfg.latency[a][b] : slowest;
        }
    }
    if (ttl.us < 16 * slowest) {
        ttl.us = 16 * slowest;
    }
    for (int c = 0; c < SIM_REGIONS; c++) {
        w->coords[c].next_ttl = ttl; /* in force from its next start on */
    }
}

static int some_node(struct sim_world *w)
{
    return sim_chance(&w->rng, 550) ? sim_primary(w) : sim_pick(&w->rng, w->cfg.nodes);
}

static int some_coord(struct sim_world *w)
{
    int leader = sim_leader(w);
    return leader >= 0 && sim_chance(&w->rng, 600) ? leader : sim_pick(&w->rng, SIM_REGIONS);
}

static int some_region(struct sim_world *w)
{
    return sim_chance(&w->rng, 550) ? w->hosts[sim_primary(w)].region
                                    : sim_pick(&w->rng, SIM_REGIONS);
}

/* Short and long ones. */
static sim_time some_span(struct sim_world *w)
{
    return sim_chance(&w->rng, 350) ? sim_span(w, 50, 1500) : sim_span(w, 1000, 16000);
}

static void flap(struct sim_world *w, int node)
{
    sim_time at = w->now;
    for (int i = 0; i < 8; i++) {
        at += sim_span(w, 100, 1500);
        int other = sim_pick(&w->rng, SIM_HOSTS);
        if (other != node && at < w->cfg.heal_at) {
            end_at(w, at, SIM_RESTORE_BLOCK, node * 16 + other);
        }
    }
}

static void change_policy(struct sim_world *w)
{
    struct hf_policy policy = w->etcd.policy;
    int out = sim_pick(&w->rng, (int)policy.node_count);
    if (policy.node_count < 3 || strcmp(policy.nodes[out].name.s, w->etcd.state.primary.s) == 0 ||
        strcmp(policy.nodes[out].name.s, policy.bootstrap.name.s) == 0) {
        return;
    }
    for (size_t i = (size_t)out; i + 1 < policy.node_count; i++) {
        policy.nodes[i] = policy.nodes[i + 1];
    }
    policy.node_count--;
    sim_etcd_put_policy(w, &policy);
    end_at(w, until(w, some_span(w)), SIM_RESTORE_POLICY, 0);
}

static void bad_etcd(struct sim_world *w)
{
    w->etcd.lost_permille = (int)sim_between(&w->rng, 0, 100);
    w->etcd.silent_permille = (int)sim_between(&w->rng, 0, 100);
    w->etcd.slow_permille = (int)sim_between(&w->rng, 0, 150);
    end_at(w, until(w, sim_span(w, 2000, 15000)), SIM_RESTORE_ETCD, 0);
}

static void change_rate(struct sim_world *w, int host)
{
    int limit = 4975; /* both at the edge, opposed: the margin of 1 % and not more */
    sim_clock_set_rate(w, host, (int)sim_between(&w->rng, -limit, limit));
    if (host < SIM_NODES) {
        w->pgs[host].fencer_next = 0;
        sim_fencer_plan(w, host);
    }
}

static void fault_of_process(struct sim_world *w, enum sim_fault kind)
{
    int node = some_node(w);
    int coord = some_coord(w);
    if (kind == SIM_FAULT_AGENT_CRASH) {
        sim_verb_kill(w, SIM_PROC_AGENT + node, some_span(w));
    } else if (kind == SIM_FAULT_AGENT_FREEZE) {
        sim_verb_freeze(w, SIM_PROC_AGENT + node, some_span(w));
    } else if (kind == SIM_FAULT_COORD_CRASH) {
        sim_verb_kill(w, SIM_PROC_COORD + coord, some_span(w));
    } else if (kind == SIM_FAULT_COORD_FREEZE) {
        sim_verb_freeze(w, SIM_PROC_COORD + coord, some_span(w));
    } else if (kind == SIM_FAULT_COORD_STOP) {
        sim_put(w, w->now, SIM_COORD_STOP, SIM_PROC_COORD + coord, 0, 0, 0);
        end_at(w, until(w, 4 * SIM_SECOND + some_span(w)), SIM_RESTORE_PROC,
               SIM_PROC_COORD + coord);
    } else if (kind == SIM_FAULT_PG_FREEZE) {
        sim_verb_freeze(w, SIM_PROC_PG + node, some_span(w));
    } else if (kind == SIM_FAULT_PG_POSTMASTER) {
        sim_pg_postmaster_killed(w, node);
    } else if (kind == SIM_FAULT_PG_CRASH) {
        sim_proc_kill(w, SIM_PROC_PG + node);
    } else if (kind == SIM_FAULT_PG_BY_HAND) {
        sim_pg_start(w, node);
    } else if (kind == SIM_FAULT_ETCD_CRASH) {
        sim_verb_kill(w, SIM_PROC_ETCD + sim_pick(&w->rng, SIM_REGIONS), some_span(w));
    } else if (kind == SIM_FAULT_ETCD_FREEZE) {
        sim_verb_freeze(w, SIM_PROC_ETCD + sim_pick(&w->rng, SIM_REGIONS), some_span(w));
    } else if (kind == SIM_FAULT_ETCD_OUTAGE) {
        w->etcd.outage_until = until(w, some_span(w));
    } else if (kind == SIM_FAULT_ETCD_BAD) {
        bad_etcd(w);
    } else if (kind == SIM_FAULT_RECORD_LOST) {
        sim_proc_kill(w, SIM_PROC_AGENT + node);
        w->agents[node].disk_present = false;
        w->truth.record_lost_at[node] = w->now;
        end_at(w, until(w, some_span(w)), SIM_RESTORE_PROC, SIM_PROC_AGENT + node);
    }
}

static void fault_of_links(struct sim_world *w, enum sim_fault kind)
{
    int node = some_node(w);
    int region = some_region(w);
    if (kind == SIM_FAULT_REGION_CUT) {
        sim_verb_region_cut(w, region, some_span(w), true, true);
    } else if (kind == SIM_FAULT_REGION_ONE_WAY) {
        bool in = sim_chance(&w->rng, 500);
        sim_verb_region_cut(w, region, some_span(w), in, !in);
    } else if (kind == SIM_FAULT_NODE_CUT) {
        sim_verb_host_cut(w, node, some_span(w));
    } else if (kind == SIM_FAULT_LINK_CUT) {
        sim_verb_link_cut(w, node, SIM_HOST_COORD + some_coord(w), some_span(w));
    } else if (kind == SIM_FAULT_LINK_FLAP) {
        flap(w, node);
    } else if (kind == SIM_FAULT_CONN_RESET) {
        sim_net_break(w, node, some_coord(w), w->now + sim_span(w, 1, 2000));
    }
}

static void fault_of_machine(struct sim_world *w, enum sim_fault kind)
{
    int node = some_node(w);
    if (kind == SIM_FAULT_REGION_LOSS) {
        sim_verb_region_loss(w, some_region(w), sim_span(w, 1000, 25000));
    } else if (kind == SIM_FAULT_DISK_STALL) {
        w->hosts[node].disk_stalled_until = until(w, some_span(w));
    } else if (kind == SIM_FAULT_CLOCK_RATE) {
        change_rate(w, sim_pick(&w->rng, SIM_HOSTS));
    } else if (kind == SIM_FAULT_NODE_PAUSE) {
        sim_host_pause(w, node, until(w, some_span(w)), false);
    } else if (kind == SIM_FAULT_COORD_PAUSE) {
        int host = SIM_HOST_COORD + some_coord(w);
        sim_time end = until(w, some_span(w));
        end_at(w, end, SIM_RESTORE_CLOCK, host); /* before what the frozen processes wait for */
        sim_host_pause(w, host, end, true);
    } else if (kind == SIM_FAULT_NODE_REBOOT) {
        sim_host_down(w, node);
        end_at(w, until(w, sim_span(w, 500, 8000)), SIM_RESTORE_HOST, node);
    }
}

void sim_fault_fire(struct sim_world *w, enum sim_fault kind)
{
    if (w->healed) {
        return;
    }
    w->stats.faults++;
    w->stats.fault[kind]++;
    w->seed_faults++;
    SIM_TRACE(w, "fault: %s", sim_fault_text[kind]);
    if (kind == SIM_FAULT_NEW_L) {
        sim_verb_new_ttl(w, HF_MS(sim_between(&w->rng, 1500, 8000)));
        for (int c = 0; c < SIM_REGIONS; c++) {
            sim_put(w, w->now + c * sim_span(w, 200, 3000), SIM_COORD_STOP, SIM_PROC_COORD + c, 0,
                    0, 0);
            end_at(w, until(w, 5 * SIM_SECOND + c * 3 * SIM_SECOND), SIM_RESTORE_PROC,
                   SIM_PROC_COORD + c);
        }
    } else if (kind == SIM_FAULT_POLICY) {
        change_policy(w);
    } else if (kind == SIM_FAULT_CLAIM_DELETED) {
        sim_etcd_delete_claim(w);
    } else if (kind == SIM_FAULT_REQUEST) {
        int leader = sim_leader(w);
        if (leader >= 0) {
            bool switchover = sim_chance(&w->rng, 600);
            w->coords[leader].switch_asked = switchover;
            w->coords[leader].failover_asked = !switchover;
        }
    } else {
        fault_of_process(w, kind);
        fault_of_links(w, kind);
        fault_of_machine(w, kind);
    }
}

void sim_fault_end(struct sim_world *w, enum sim_restore what, int64_t value)
{
    int which = (int)value;
    switch (what) {
    case SIM_RESTORE_PROC:
        sim_proc_start(w, which);
        break;
    case SIM_RESTORE_HOST:
        sim_host_up(w, which);
        break;
    case SIM_RESTORE_CLOCK:
        if (w->hosts[which].clock_stops) {
            w->hosts[which].clock_stops = false;
            w->hosts[which].stood_us = w->now - w->hosts[which].true_base;
            w->hosts[which].stood_until = w->now;
            w->hosts[which].true_base = w->now;
        }
        break;
    case SIM_RESTORE_ETCD:
        w->etcd.lost_permille = w->etcd.silent_permille = w->etcd.slow_permille = 0;
        break;
    case SIM_RESTORE_POLICY:
        sim_etcd_put_policy(w, &w->full_policy);
        break;
    case SIM_RESTORE_BLOCK:
        sim_net_block(w, which / 16, which % 16, until(w, sim_span(w, 100, 2500)));
        break;
    case SIM_RESTORE_REGION:
        for (int h = 0; h < SIM_HOSTS; h++) {
            if (w->hosts[h].region == which) {
                sim_host_up(w, h);
            }
        }
        break;
    }
}

void sim_faults_heal(struct sim_world *w)
{
    SIM_TRACE(w, "all faults end");
    w->healed = true;
    sim_net_unblock_all(w);
    w->etcd.outage_until = 0;
    sim_fault_end(w, SIM_RESTORE_ETCD, 0);
    if (w->etcd.policy.node_count != w->full_policy.node_count) {
        sim_fault_end(w, SIM_RESTORE_POLICY, 0);
    }
    for (int h = 0; h < SIM_HOSTS; h++) {
        sim_fault_end(w, SIM_RESTORE_CLOCK, h);
        w->hosts[h].disk_stalled_until = 0;
        sim_host_up(w, h);
    }
    for (int p = 0; p < SIM_PROCS; p++) {
        if (p < SIM_PROC_PG || p >= SIM_PROC_FENCER) {
            bool absent = (p % SIM_NODES) >= w->cfg.nodes && p < SIM_PROC_COORD;
            if (!absent) {
                sim_proc_start(w, p);
            }
        }
    }
}

void sim_faults_plan(struct sim_world *w)
{
    int total = 0;
    for (int i = 0; i < SIM_FAULT_COUNT; i++) {
        total += weights[i];
    }
    int count = (int)sim_between(&w->rng, 3, w->cfg.directed != 0 ? 5 : 10);
    for (int i = 0; i < count; i++) {
        int drawn = sim_pick(&w->rng, total);
        int kind = 0;
        while (drawn >= weights[kind]) {
            drawn -= weights[kind++];
        }
        sim_time at = sim_between(&w->rng, w->cfg.faults_from, w->cfg.heal_at - SIM_SECOND);
        sim_put(w, at, SIM_FAULT, -1, (uint32_t)kind, 0, 0);
    }
    if (w->cfg.directed != 0) {
        w->stats.directed[w->cfg.directed]++;
        sim_put(w, sim_between(&w->rng, 9000, 14000) * SIM_MS, SIM_DIRECTED, -1, 0, 0, 0);
    }
    sim_put(w, w->cfg.heal_at, SIM_HEAL, -1, 0, 0, 0);
}
