/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes and machines: starts, crashes, freezes, pauses, reboots. What a frozen process should
 * have done waits and is done late, in order.
 */
#include "tests/sim/agent.h"
#include "tests/sim/coord.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"
#include "tests/sim/world.h"

int sim_proc_host(int proc)
{
    if (proc < SIM_PROC_COORD) {
        return proc % SIM_NODES;
    }
    return proc < SIM_PROC_ETCD ? SIM_HOST_COORD + proc - SIM_PROC_COORD
                                : SIM_HOST_ETCD + proc - SIM_PROC_ETCD;
}

bool sim_proc_runs(const struct sim_world *w, int proc)
{
    return w->procs[proc].alive && w->procs[proc].frozen_until <= w->now;
}

void sim_proc_start(struct sim_world *w, int proc)
{
    struct sim_proc *p = &w->procs[proc];
    const struct sim_host *h = &w->hosts[sim_proc_host(proc)];
    if (p->alive || !h->up) {
        return;
    }
    p->alive = true;
    p->life++;
    p->frozen_until = h->paused_until;
    if (proc < SIM_PROC_PG) {
        sim_put(w, w->now + sim_between(&w->rng, 1, 50) * SIM_MS, SIM_AGENT_START, proc, 0, 0, 0);
    } else if (proc >= SIM_PROC_COORD && proc < SIM_PROC_ETCD) {
        sim_put(w, w->now + sim_between(&w->rng, 1, 50) * SIM_MS, SIM_COORD_START, proc, 0, 0, 0);
    } else if (proc >= SIM_PROC_FENCER && proc < SIM_PROC_COORD) {
        w->pgs[proc - SIM_PROC_FENCER].fencer_next = 0;
        sim_fencer_plan(w, proc - SIM_PROC_FENCER);
    }
}

void sim_proc_kill(struct sim_world *w, int proc)
{
    struct sim_proc *p = &w->procs[proc];
    if (!p->alive) {
        return;
    }
    p->alive = false;
    p->life++;
    if (proc < SIM_PROC_PG) {
        sim_agent_died(w, proc);
    } else if (proc < SIM_PROC_FENCER) {
        sim_pg_ended(w, proc - SIM_PROC_PG);
    } else if (proc >= SIM_PROC_COORD && proc < SIM_PROC_ETCD) {
        sim_coord_died(w, proc - SIM_PROC_COORD);
    }
}

void sim_host_down(struct sim_world *w, int host)
{
    struct sim_host *h = &w->hosts[host];
    if (!h->up) {
        return;
    }
    SIM_TRACE(w, "host %d down", host);
    for (int p = 0; p < SIM_PROCS; p++) {
        if (sim_proc_host(p) == host) {
            sim_proc_kill(w, p);
        }
    }
    h->up = false;
    h->clock_stops = false;
    h->paused_until = 0;
}

void sim_host_up(struct sim_world *w, int host)
{
    struct sim_host *h = &w->hosts[host];
    if (h->up || (host < SIM_NODES && host >= w->cfg.nodes)) {
        return;
    }
    SIM_TRACE(w, "host %d up", host);
    h->up = true;
    h->boot++;
    h->disk_stalled_until = 0;
    sim_clock_restart(w, host);
    if (host < SIM_NODES) {
        sim_pg_boot(w, host);
        sim_proc_start(w, SIM_PROC_FENCER + host);
        sim_proc_start(w, SIM_PROC_AGENT + host);
    } else if (host < SIM_HOST_ETCD) {
        sim_proc_start(w, SIM_PROC_COORD + host - SIM_HOST_COORD);
    } else {
        sim_proc_start(w, SIM_PROC_ETCD + host - SIM_HOST_ETCD);
    }
}

void sim_host_pause(struct sim_world *w, int host, sim_time until, bool clock_stops)
{
    struct sim_host *h = &w->hosts[host];
    if (!h->up || h->paused_until > w->now) {
        return;
    }
    h->paused_until = until;
    if (clock_stops) {
        sim_clock_set_rate(w, host, h->rate_ppm);
        h->clock_stops = true;
    }
    for (int p = 0; p < SIM_PROCS; p++) {
        struct sim_proc *proc = &w->procs[p];
        if (sim_proc_host(p) == host && proc->alive && proc->frozen_until < until) {
            proc->frozen_until = until;
        }
    }
}
