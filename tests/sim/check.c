/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/check.h"

#include "tests/sim/pg.h"
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const sim_check_text[SIM_CHECK_COUNT] = {
#define X(name, text) text,
    SIM_CHECKS(X)
#undef X
};

void sim_fail(struct sim_world *w, enum sim_check check, const char *format, ...)
{
    if (w->failed) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(w->failure, sizeof(w->failure), format, args);
    va_end(args);
    w->failed = true;
    w->failed_check = check;
    SIM_TRACE(w, "VIOLATION %s: %s", sim_check_text[check], w->failure);
}

void sim_check_reset(struct sim_world *w)
{
    struct sim_truth *t = &w->truth;
    for (int i = 0; i < SIM_EPOCHS; i++) {
        t->choice[i] = -1;
    }
    for (int i = 0; i < HF_MAX_NODES; i++) {
        t->promise[i].holder = -1;
    }
    t->timeline[1].used = true;
    t->timeline[1].node = 0;
}

/* Directly, or through another standby. */
static bool streams_from(const struct sim_world *w, int node, int primary)
{
    for (int hops = 0; hops < w->cfg.nodes; hops++) {
        const struct sim_pg *p = &w->pgs[node];
        if (!p->running || !p->in_recovery || !p->streaming ||
            p->timeline != w->pgs[primary].timeline) {
            return false;
        }
        if (p->upstream == primary) {
            return true;
        }
        node = p->upstream;
    }
    return false;
}

static int acting_leaders(const struct sim_world *w)
{
    int leaders = 0;
    for (int c = 0; c < SIM_REGIONS; c++) {
        const struct sim_coord *k = &w->coords[c];
        leaders += w->procs[SIM_PROC_COORD + c].alive && k->loaded &&
                           hf_leadership_active(&k->lead, sim_clock(w, SIM_HOST_COORD + c))
                       ? 1
                       : 0;
    }
    return leaders;
}

bool sim_check_settled(struct sim_world *w, char *why, unsigned long size)
{
    const struct hf_cluster_state *s = &w->etcd.state;
    int primary = sim_node_by_name(s->primary.s);
    if (acting_leaders(w) != 1) {
        snprintf(why, size, "%d coordinators lead", acting_leaders(w));
    } else if (primary < 0 || s->primary_epoch.v != s->epoch.v) {
        snprintf(why, size, "no primary is chosen at epoch %llu", (unsigned long long)s->epoch.v);
    } else if (s->doubt[0] != '\0') {
        snprintf(why, size, "the records are in doubt: %.100s", s->doubt);
    } else if (s->plan[0] != '\0') {
        snprintf(why, size, "plan %s runs, step %s", s->plan,
                 w->truth.plan_known ? hf_step_name(w->truth.plan.step) : "?");
    } else if (!sim_page_valid(w, primary) || w->pages[primary].epoch.v != s->epoch.v) {
        snprintf(why, size, "%s has no lease of epoch %llu from etcd", s->primary.s,
                 (unsigned long long)s->epoch.v);
    } else if (!w->pgs[primary].running || w->pgs[primary].in_recovery) {
        snprintf(why, size, "%s is not writable", s->primary.s);
    } else {
        for (int i = 0; i < w->cfg.nodes; i++) {
            if (i != primary && !w->cfg.archive[i] && !streams_from(w, i, primary)) {
                snprintf(why, size, "%s does not stream from %s, state %s", sim_node_names[i],
                         s->primary.s, hf_node_state_name(w->agents[i].core.state));
                return false;
            }
        }
        return true;
    }
    return false;
}
