/* SPDX-License-Identifier: Apache-2.0
 *
 * The fencer: ends PostgreSQL when the page that it runs under is over. Without the commit guard
 * the time from the deadline to the last process's end is the lesser guarantee, and is bounded;
 * with the guard commits end exactly at the deadline and the fencer comes after a grace.
 */
#include "tests/sim/pg.h"

bool sim_page_valid(const struct sim_world *w, int node)
{
    const struct sim_page *page = &w->pages[node];
    return page->open && w->hosts[node].up && page->boot == w->hosts[node].boot &&
           hf_lclk_before(sim_clock(w, node), page->deadline);
}

static sim_time due(const struct sim_world *w, int node)
{
    const struct sim_page *page = &w->pages[node];
    if (!page->open || page->boot != w->hosts[node].boot) {
        return w->now;
    }
    return sim_clock_true(w, node, page->deadline);
}

void sim_fencer_plan(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    if (!p->armed || !p->processes) {
        return;
    }
    sim_time at = due(w, node) + (w->cfg.guard ? SIM_GRACE : 0) +
                  sim_between(&w->rng, 100, w->cfg.fencer_bound);
    if (p->fencer_next > w->now && p->fencer_next <= at) {
        return;
    }
    p->fencer_next = at;
    sim_put(w, at, SIM_FENCER_LOOK, SIM_PROC_FENCER + node, 0, 0, at);
}

void sim_fencer_look(struct sim_world *w, int node)
{
    struct sim_pg *p = &w->pgs[node];
    p->fencer_next = 0;
    if (!p->armed || !p->processes) {
        return;
    }
    const struct sim_page *page = &w->pages[node];
    bool expired = page->open && page->boot == w->hosts[node].boot;
    sim_time grace = expired && w->cfg.guard ? SIM_GRACE : 0;
    if (expired && sim_clock_instant(w, node, page->deadline) + grace > w->now) {
        sim_fencer_plan(w, node);
        return;
    }
    SIM_TRACE(w, "%s: the fencer ends PostgreSQL", sim_node_names[node]);
    w->stats.fenced++;
    p->armed = false;
    sim_proc_kill(w, SIM_PROC_PG + node);
    sim_put(w, w->now + sim_between(&w->rng, 1, 20) * SIM_MS, SIM_AGENT_FENCED,
            SIM_PROC_AGENT + node, 0, 0, 0);
}
