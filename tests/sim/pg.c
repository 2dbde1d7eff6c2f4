/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pg.h"

#include "tests/sim/net.h"

enum { STREAM_MS = 40, SYSTEM_ID = 7000001 };

void sim_pg_reset(struct sim_world *w)
{
    bool one_empty = sim_chance(&w->rng, 250);
    int empty = w->cfg.nodes - 1;
    for (int i = 0; i < SIM_NODES; i++) {
        struct sim_pg *p = &w->pgs[i];
        p->upstream = -1;
        if (i >= w->cfg.nodes || w->cfg.archive[i] || (one_empty && i == empty && i > 0)) {
            continue;
        }
        p->complete = true;
        p->timeline = 1;
        p->lsn = 0x3000000;
        p->replayed = p->lsn;
        p->signal = i > 0;
        p->upstream = i > 0 ? 0 : -1;
        sim_pg_start(w, i);
    }
}

static void schedule_stream(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->stream_scheduled && p->running && p->in_recovery) {
        p->stream_scheduled = true;
        sim_put(w, w->now + STREAM_MS * SIM_MS, SIM_PG_STREAM, SIM_PROC_PG + node, 0, 0, 0);
    }
}

bool sim_pg_start(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->complete || p->processes || !w->hosts[node].up) {
        return false;
    }
    p->running = true;
    p->processes = true;
    p->in_recovery = p->signal;
    p->streaming = false;
    p->stream_scheduled = false;
    p->replayed = p->lsn;
    sim_proc_start(w, SIM_PROC_PG + node);
    if (!p->in_recovery) {
        sim_put(w, w->now + w->cfg.commit_gap, SIM_PG_COMMIT, SIM_PROC_PG + node, 0, 0, 0);
    }
    schedule_stream(w, node);
    SIM_TRACE(w, "%s: postgres starts %s, timeline %u at %llx", sim_node_names[node],
              p->in_recovery ? "in recovery" : "WRITABLE", p->timeline, (unsigned long long)p->lsn);
    return true;
}

void sim_pg_ended(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    p->running = false;
    p->processes = false;
    p->streaming = false;
    p->stream_scheduled = false;
    p->in_flight = 0;
    p->replayed = p->lsn;
    sim_pg_op_lost(w, node);
}

void sim_pg_postmaster_killed(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->running) {
        return;
    }
    SIM_TRACE(w, "%s: postmaster killed, backends go on", sim_node_names[node]);
    p->running = false;
    p->streaming = false;
    sim_put(w, w->now + sim_between(&w->rng, 0, 1700) * SIM_MS, SIM_PG_ORPHANS_GONE,
            SIM_PROC_PG + node, 0, 0, 0);
}

void sim_pg_orphans_gone(struct sim_world *w, int node)
{
    if (!w->pgs[node].running) {
        sim_proc_kill(w, SIM_PROC_PG + node);
    }
}

void sim_pg_boot(struct sim_world *w, int node)
{
    if (w->cfg.boot_starts_pg && w->pgs[node].complete) {
        sim_pg_start(w, node);
    }
}

bool sim_pg_writable(const struct sim_world *w, int node)
{
    const struct sim_pg *p = &w->pgs[node];
    return p->processes && !p->in_recovery;
}

void sim_pg_observe(const struct sim_world *w, int node, struct hf_pg_observation *ret)
{
    const struct sim_pg *p = &w->pgs[node];
    *ret = (struct hf_pg_observation){.complete = p->complete,
                                      .running = p->running,
                                      .processes = p->processes,
                                      .system_id = p->complete ? SYSTEM_ID : 0,
                                      .clock_us = sim_clock(w, node).us};
    if (!p->running || !sim_proc_runs(w, SIM_PROC_PG + node)) {
        return;
    }
    ret->known = true;
    ret->guard = w->cfg.guard;
    ret->in_recovery = p->in_recovery;
    ret->streaming = p->streaming;
    ret->timeline = HF_TLI(p->timeline);
    ret->written = HF_LSN(p->lsn);
    ret->flushed = HF_LSN(p->lsn);
    ret->replayed = HF_LSN(p->in_recovery ? p->replayed : p->lsn);
}

/* The commit guard asks the page at the moment of the answer (L7). */
static bool answer_allowed(struct sim_world *w, int node)
{
    if (!w->cfg.guard || !w->pgs[node].armed || sim_page_valid(w, node)) {
        return true;
    }
    w->stats.refused_commits++;
    return false;
}

void sim_pg_commit(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->processes || p->in_recovery) {
        return;
    }
    if (answer_allowed(w, node)) {
        p->lsn += (uint64_t)sim_between(&w->rng, 120, 8000);
        const struct sim_host *h = &w->hosts[node];
        if (h->disk_stalled_until > w->now) {
            sim_put(w, h->disk_stalled_until + 1, SIM_PG_ACK, SIM_PROC_PG + node, 0, 0,
                    (int64_t)p->lsn);
        } else {
            sim_pg_ack(w, node, p->lsn, false);
        }
    }
    sim_time gap =
        w->cfg.commit_gap / 2 + (sim_time)(sim_rand(&w->rng) % (uint64_t)w->cfg.commit_gap);
    sim_put(w, w->now + gap, SIM_PG_COMMIT, SIM_PROC_PG + node, 0, 0, 0);
}

void sim_pg_ack(struct sim_world *w, int node, uint64_t lsn, bool stalled)
{
    const struct sim_pg *p = &w->pgs[node];
    if (p->processes && !p->in_recovery && answer_allowed(w, node)) {
        w->stats.commits++;
        sim_check_ack(w, node, lsn, stalled);
    }
}

static bool upstream_reachable(const struct sim_world *w, int node)
{
    const struct sim_pg *p = &w->pgs[node];
    int u = p->upstream;
    return u >= 0 && u != node && w->pgs[u].running && sim_proc_runs(w, SIM_PROC_PG + u) &&
           !sim_net_blocked(w, node, u) && !sim_net_blocked(w, u, node);
}

/* Every 40 ms a standby takes what its upstream sent by the look before: one event a look carries
 * both the delay and the flow. */
void sim_pg_stream(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    p->stream_scheduled = false;
    if (!p->running || !p->in_recovery) {
        return;
    }
    schedule_stream(w, node);
    p->replayed = p->lsn;
    if (!upstream_reachable(w, node)) {
        p->streaming = false;
        p->in_flight = 0;
        return;
    }
    const struct sim_pg *u = &w->pgs[p->upstream];
    if (!p->streaming) {
        /* A walsender refuses who is not in its past; retries go on. */
        if (!sim_history_contains(w, u->timeline, p->timeline, p->lsn) || u->lsn < p->lsn) {
            return;
        }
        p->streaming = true;
        p->in_flight = 0;
    }
    if (w->hosts[node].disk_stalled_until > w->now) {
        return;
    }
    if (p->in_flight > p->lsn) {
        p->lsn = p->in_flight;
        p->timeline = p->in_flight_timeline;
        sim_check_received(w, node);
    } else if (p->in_flight == p->lsn && p->in_flight != 0) {
        p->timeline = p->in_flight_timeline;
    }
    p->in_flight = u->lsn;
    p->in_flight_timeline = u->timeline;
}

void sim_pg_repoint(struct sim_world *w, int node, int source)
{
    struct sim_pg *p = &w->pgs[node];
    p->upstream = source;
    p->streaming = false;
    p->in_flight = 0;
    schedule_stream(w, node);
}

void sim_pg_stop(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->running || p->in_recovery) {
        return;
    }
    p->lsn += 120;
    for (int i = 0; i < w->cfg.nodes; i++) {
        struct sim_pg *s = &w->pgs[i];
        bool connected = s->running && s->in_recovery && s->streaming && s->upstream == node &&
                         upstream_reachable(w, i) && w->hosts[i].disk_stalled_until <= w->now;
        if (connected && sim_chance(&w->rng, 900)) {
            s->lsn = s->in_flight = p->lsn;
            s->timeline = s->in_flight_timeline = p->timeline;
            sim_check_received(w, i);
        }
    }
    w->stats.stops++;
    sim_proc_kill(w, SIM_PROC_PG + node);
}
