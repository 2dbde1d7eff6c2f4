/* SPDX-License-Identifier: Apache-2.0
 *
 * The edges of PG_* effects: what the agent process does to PostgreSQL, with its times and its
 * failures. A promotion and a start go on when the agent is gone; the rest ends with it.
 */
#include "tests/sim/agent.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"

static sim_time ms(struct sim_world *w, int64_t low, int64_t high)
{
    return sim_between(&w->rng, low, high) * SIM_MS;
}

static void end_later(struct sim_world *w, int node, const struct sim_agent_op *op, sim_time after,
                      bool ok, uint64_t end)
{
    sim_put(w, w->now + after, SIM_AGENT_OP, SIM_PROC_AGENT + node, op->number, ok ? 1 : 0,
            (int64_t)end);
}

static void in_database(struct sim_world *w, int node, const struct sim_agent_op *op,
                        sim_time after)
{
    w->pgs[node].op = *op;
    sim_put(w, w->now + after, SIM_PG_OP, SIM_PROC_PG + node, op->number, 0, 0);
}

static void start_promotion(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->running || !p->in_recovery) {
        end_later(w, node, op, ms(w, 5, 50), false, 0);
        return;
    }
    p->armed = true;
    in_database(w, node, op, ms(w, 100, 500));
    sim_fencer_plan(w, node);
}

static void start_primary(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    struct sim_pg *p = &w->pgs[node];
    sim_time takes = ms(w, 300, 1500);
    if (p->processes || !p->complete) {
        end_later(w, node, op, ms(w, 5, 50), false, 0);
        return;
    }
    p->armed = true;
    p->signal = true; /* comes up in recovery until PostgreSQL itself says otherwise */
    p->upstream = -1;
    if (!sim_pg_start(w, node)) {
        end_later(w, node, op, ms(w, 5, 50), false, 0);
        return;
    }
    in_database(w, node, op, takes);
    sim_fencer_plan(w, node);
}

static void follow(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    struct sim_pg *p = &w->pgs[node];
    if (op->peer < 0 || !p->complete || sim_pg_writable(w, node)) {
        end_later(w, node, op, ms(w, 5, 50), false, 0);
        return;
    }
    sim_check_follow(w, node, op->peer);
    w->stats.follows++;
    p->signal = true;
    if (!p->running && !sim_pg_start(w, node)) {
        end_later(w, node, op, ms(w, 20, 200), false, 0);
        return;
    }
    sim_pg_repoint(w, node, op->peer);
    end_later(w, node, op, ms(w, 100, 700), true, 0);
}

static void copy(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    struct sim_pg *p = &w->pgs[node];
    if (op->peer < 0 || p->processes) {
        sim_proc_kill(w, SIM_PROC_PG + node);
    }
    p->armed = false;
    if (op->peer < 0) {
        end_later(w, node, op, ms(w, 5, 50), false, 0);
        return;
    }
    w->stats.copies++;
    p->complete = false;
    p->timeline = 0;
    p->lsn = p->replayed = 0;
    p->upstream = -1;
    end_later(w, node, op, ms(w, 1500, 5000), true, 0);
}

static void stop_receiving(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->running || !p->in_recovery) {
        end_later(w, node, op, ms(w, 5, 50), false, 0);
        return;
    }
    p->upstream = -1;
    p->streaming = false;
    p->in_flight = 0;
    end_later(w, node, op, ms(w, 20, 250), true, 0);
}

void sim_pg_op_start(struct sim_world *w, int node, const struct sim_agent_op *op)
{
    switch (op->kind) {
    case HF_EFFECT_PG_STOP_RECEIVING:
        stop_receiving(w, node, op);
        break;
    case HF_EFFECT_PG_FIND_END:
        w->pgs[node].upstream = -1; /* whoever starts it now, it receives nothing (L9) */
        w->pgs[node].signal = true; /* ... and comes up in recovery (L8) */
        end_later(w, node, op, ms(w, 20, 150), !w->pgs[node].processes && w->pgs[node].complete, 0);
        break;
    case HF_EFFECT_PG_PROMOTE:
        start_promotion(w, node, op);
        break;
    case HF_EFFECT_PG_START_PRIMARY:
        start_primary(w, node, op);
        break;
    case HF_EFFECT_PG_ADOPT:
        if (sim_pg_writable(w, node)) {
            in_database(w, node, op, ms(w, 20, 80));
        } else {
            end_later(w, node, op, ms(w, 5, 20), false, 0);
        }
        break;
    case HF_EFFECT_PG_FOLLOW:
        follow(w, node, op);
        break;
    case HF_EFFECT_PG_COPY:
        copy(w, node, op);
        break;
    case HF_EFFECT_PG_KILL:
        w->pgs[node].signal = true;
        end_later(w, node, op, ms(w, 2, 80), true, 0);
        break;
    case HF_EFFECT_PG_PROBE:
        end_later(w, node, op, ms(w, 20, 300), true, 0);
        break;
    case HF_EFFECT_PG_DRAIN:
        end_later(w, node, op, ms(w, 50, 800), sim_chance(&w->rng, 950), 0);
        break;
    case HF_EFFECT_PG_STOP:
        end_later(w, node, op, ms(w, 30, 1200), sim_page_valid(w, node), 0);
        break;
    case HF_EFFECT_BACKUP:
        end_later(w, node, op, ms(w, 500, 5000), true, 0);
        break;
    case HF_EFFECT_PERSIST:
    case HF_EFFECT_PAGE:
    case HF_EFFECT_SEND:
    case HF_EFFECT_REPLY:
    case HF_EFFECT_KINDS:
        HF_ASSERT(!"no operation of PostgreSQL");
    }
}

/* The new timeline begins at the end of the local WAL. */
static void become_primary(struct sim_world *w, int node, uint32_t timeline)
{
    struct sim_pg *p = &w->pgs[node];
    uint32_t parent = p->timeline;
    p->in_recovery = false;
    p->streaming = false;
    p->in_flight = 0;
    p->upstream = -1;
    p->signal = true; /* back at once: any later start outside Holdfast is in recovery (L8) */
    p->replayed = p->lsn;
    if (timeline != 0 && timeline != parent) {
        p->timeline = timeline;
        w->stats.promotions++;
    } else {
        w->stats.restarts_in_place++;
    }
    sim_check_promoted(w, node, p->timeline, parent, p->lsn);
    SIM_TRACE(w, "%s: postgres WRITABLE, timeline %u from %u at %llx", sim_node_names[node],
              p->timeline, parent, (unsigned long long)p->lsn);
    sim_put(w, w->now + w->cfg.commit_gap, SIM_PG_COMMIT, SIM_PROC_PG + node, 0, 0, 0);
    sim_fencer_plan(w, node);
}

void sim_pg_op_in_database(struct sim_world *w, int node, uint32_t number)
{
    struct sim_pg *p = &w->pgs[node];
    const struct sim_agent_op *op = &p->op;
    if (op->number != number) {
        return;
    }
    if (!p->running) {
        sim_pg_op_lost(w, node);
        return;
    }
    if (op->kind == HF_EFFECT_PG_ADOPT) {
        if (sim_pg_writable(w, node)) {
            p->armed = true;
            p->signal = true;
            w->stats.adoptions++;
            sim_fencer_plan(w, node);
            end_later(w, node, op, ms(w, 1, 10), true, 0);
        }
        p->op.number = 0;
        return;
    }
    if (!p->in_recovery) {
        return;
    }
    /* pg_promote always begins a timeline; without a number it takes the next that it knows of. */
    uint32_t next = op->kind == HF_EFFECT_PG_PROMOTE ? p->timeline + 1 : 0;
    become_primary(w, node, op->timeline.v != 0 ? op->timeline.v : next);
    end_later(w, node, op, ms(w, 1, 20), true, p->lsn);
    p->op.number = 0;
}

/* PostgreSQL ended under an operation that it carried out: the agent's connection tells. */
void sim_pg_op_lost(struct sim_world *w, int node)
{
    const struct sim_agent *a = &w->agents[node];
    const struct sim_agent_op *op = &w->pgs[node].op;
    if (op->number != 0 && a->op_running && a->op.number == op->number) {
        end_later(w, node, op, ms(w, 1, 50), false, 0);
    }
    w->pgs[node].op.number = 0;
}

static bool copy_done(struct sim_world *w, int node, int source)
{
    struct sim_pg *p = &w->pgs[node];
    const struct sim_pg *s = &w->pgs[source];
    if (source == node || !s->running || !sim_proc_runs(w, SIM_PROC_PG + source) ||
        sim_net_blocked(w, node, source) || sim_net_blocked(w, source, node)) {
        return false;
    }
    p->complete = true;
    p->timeline = s->timeline;
    p->lsn = p->replayed = s->lsn;
    p->signal = true;
    p->upstream = source;
    return sim_pg_start(w, node);
}

static bool probe_done(struct sim_world *w, int node, int target)
{
    return target >= 0 && sim_pg_writable(w, target) && w->pgs[target].running &&
           sim_proc_runs(w, SIM_PROC_PG + target) && !sim_net_blocked(w, node, target) &&
           !sim_net_blocked(w, target, node) && (!w->cfg.guard || sim_page_valid(w, target));
}

/* Returns success as the agent's edge would report it. */
void sim_pg_op_end(struct sim_world *w, int node, uint32_t number, bool ok, uint64_t end)
{
    struct sim_agent *a = &w->agents[node];
    struct sim_pg *p = &w->pgs[node];
    if (!a->op_running || a->op.number != number) {
        return;
    }
    uint32_t timeline = p->timeline;
    switch (a->op.kind) {
    case HF_EFFECT_PG_STOP_RECEIVING:
        ok = ok && p->running && p->in_recovery;
        p->replayed = p->lsn;
        end = p->lsn;
        break;
    case HF_EFFECT_PG_FIND_END:
        ok = ok && !p->processes;
        end = p->lsn;
        break;
    case HF_EFFECT_PG_KILL:
        sim_proc_kill(w, SIM_PROC_PG + node);
        p->armed = false;
        break;
    case HF_EFFECT_PG_COPY:
        ok = ok && copy_done(w, node, a->op.peer);
        break;
    case HF_EFFECT_PG_PROBE:
        ok = ok && probe_done(w, node, a->op.peer);
        break;
    case HF_EFFECT_PG_DRAIN:
        ok = ok && sim_pg_writable(w, node) && p->running;
        break;
    case HF_EFFECT_PG_STOP:
        if (ok) {
            sim_pg_stop(w, node);
        }
        break;
    case HF_EFFECT_PG_FOLLOW:
        ok = ok && p->running;
        break;
    case HF_EFFECT_PG_PROMOTE:
    case HF_EFFECT_PG_START_PRIMARY:
    case HF_EFFECT_PG_ADOPT:
        ok = ok && p->running && !p->in_recovery;
        break;
    case HF_EFFECT_BACKUP:
    case HF_EFFECT_PERSIST:
    case HF_EFFECT_PAGE:
    case HF_EFFECT_SEND:
    case HF_EFFECT_REPLY:
    case HF_EFFECT_KINDS:
        break;
    }
    sim_agent_op_ended(w, node, ok, end, timeline);
}
