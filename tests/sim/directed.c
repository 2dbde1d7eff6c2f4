/* SPDX-License-Identifier: Apache-2.0
 *
 * Directed scenarios: the sequences by which naive versions of the rules break. Their instants are
 * drawn too; the drawn faults of the seed go on beside them.
 */
#include "tests/sim/coord.h"
#include "tests/sim/etcd.h"
#include "tests/sim/faults.h"
#include "tests/sim/net.h"
#include "tests/sim/pg.h"

#include <string.h>

const char *const sim_directed_text[SIM_DIRECTED_COUNT] = {"none",
#define X(name, text) text,
                                                           SIM_DIRECTED_LIST(X)
#undef X
};

enum { OVER = -1 };

static sim_time lease(const struct sim_world *w)
{
    int l = sim_leader(w);
    return w->coords[l < 0 ? 0 : l].ttl.us;
}

/* A share of L in permille, drawn. */
static sim_time share(struct sim_world *w, int low, int high)
{
    return lease(w) * sim_between(&w->rng, low, high) / 1000;
}

static int leader_or_any(struct sim_world *w)
{
    int l = sim_leader(w);
    return l >= 0 ? l : sim_pick(&w->rng, SIM_REGIONS);
}

static sim_time clipped(const struct sim_world *w, sim_time span)
{
    return w->now + span < w->cfg.heal_at ? w->now + span : w->cfg.heal_at;
}

/* The hosts of the mask keep each other and lose everybody else. */
static void part(struct sim_world *w, unsigned mask, sim_time span)
{
    SIM_TRACE(w, "fault: hosts %x parted for %lld ms", mask, (long long)(span / 1000));
    for (int a = 0; a < SIM_HOSTS; a++) {
        for (int b = 0; b < SIM_HOSTS; b++) {
            if ((mask >> a & 1U) != (mask >> b & 1U)) {
                sim_net_block(w, a, b, clipped(w, span));
            }
        }
    }
}

static unsigned bit(int host)
{
    return 1U << host;
}

/* The answer to a renewal is late, heartbeats come before it, and that side is cut off. The last
 * step comes for sure: the ones before wait for a renewal under way. */
static sim_time frozen_leader(struct sim_world *w, int step)
{
    enum { TRIES = 300 };
    int p = sim_primary(w);
    int l = leader_or_any(w);
    const struct sim_coord *c = &w->coords[l];
    if (step < TRIES && c->lead_request == 0) {
        return SIM_MS;
    }
    if (step <= TRIES) {
        w->directed_leader = l;
        if (sim_chance(&w->rng, 700)) {
            sim_verb_freeze(w, SIM_PROC_COORD + l, share(w, 600, 980));
        } else {
            sim_net_block(w, SIM_HOST_ETCD + c->member, SIM_HOST_COORD + l,
                          clipped(w, sim_span(w, 700, 980)));
        }
        w->directed_skip = TRIES + 1;
        return sim_span(w, 100, 350);
    }
    l = w->directed_leader;
    part(w, bit(p) | bit(SIM_HOST_COORD + l) | bit(SIM_HOST_ETCD + w->coords[l].member),
         share(w, 1500, 4000));
    return OVER;
}

static sim_time handover(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    int l = leader_or_any(w);
    if (step == 0) {
        for (int c = 0; c < SIM_REGIONS; c++) {
            if (c != l) {
                sim_verb_link_cut(w, p, SIM_HOST_COORD + c, share(w, 2500, 5000));
            }
        }
        return share(w, 1020, 2000);
    }
    if (sim_chance(&w->rng, 600)) {
        sim_put(w, w->now, SIM_COORD_STOP, SIM_PROC_COORD + l, 0, 0, 0);
    } else {
        sim_verb_kill(w, SIM_PROC_COORD + l, share(w, 1000, 3000));
    }
    sim_put(w, clipped(w, share(w, 2000, 4000)), SIM_RESTORE, -1, SIM_RESTORE_PROC, 0,
            SIM_PROC_COORD + l);
    return OVER;
}

static sim_time failsafe(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    if (step == 0) {
        w->etcd.outage_until = clipped(w, share(w, 1000, 3000));
        return share(w, 500, 1500);
    }
    for (int n = 0; n < w->cfg.nodes; n++) {
        if (n != p && sim_chance(&w->rng, 700)) {
            if (sim_chance(&w->rng, 700)) {
                sim_verb_kill(w, SIM_PROC_AGENT + n, sim_span(w, 20, 600));
            } else {
                sim_host_down(w, n);
                sim_put(w, clipped(w, sim_span(w, 200, 3000)), SIM_RESTORE, -1, SIM_RESTORE_HOST, 0,
                        n);
            }
        }
    }
    if (step == 2) {
        part(w, bit(p), share(w, 1500, 4000));
        return OVER;
    }
    return share(w, 100, 600);
}

static sim_time two_candidates(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    int alone = (p + 1 + sim_pick(&w->rng, w->cfg.nodes - 1)) % w->cfg.nodes;
    if (step == 0) {
        if (sim_chance(&w->rng, 500)) {
            w->etcd.outage_until = clipped(w, share(w, 800, 2500));
        }
        part(w,
             bit(alone) | bit(SIM_HOST_COORD + w->hosts[alone].region) |
                 bit(SIM_HOST_ETCD + w->hosts[alone].region),
             share(w, 1500, 4000));
        return share(w, 600, 1500);
    }
    if (sim_chance(&w->rng, 500)) {
        part(w, bit(p), share(w, 1000, 3000));
    }
    return OVER;
}

static sim_time backends(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    if (step == 0) {
        if (sim_chance(&w->rng, 400)) {
            w->hosts[p].disk_stalled_until = clipped(w, sim_span(w, 200, 3000));
        }
        if (sim_chance(&w->rng, 400)) {
            sim_net_block(w, p, SIM_HOST_COORD + leader_or_any(w),
                          clipped(w, sim_span(w, 200, 2500)));
        }
    }
    sim_pg_postmaster_killed(w, p);
    return step == 0 ? share(w, 1000, 3000) : OVER;
}

static sim_time prepare_race(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    for (int c = 0; c < SIM_REGIONS; c++) {
        sim_verb_link_cut(w, p, SIM_HOST_COORD + c, share(w, 1500, 4500));
    }
    return step == 0 && sim_chance(&w->rng, 300) ? share(w, 5000, 7000) : OVER;
}

static sim_time late_commands(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    int l = leader_or_any(w);
    int n = sim_pick(&w->rng, w->cfg.nodes);
    if (step == 0) {
        sim_verb_kill(w, SIM_PROC_PG + p, 0);
        return sim_span(w, 50, 1500);
    }
    sim_net_block(w, SIM_HOST_COORD + l, n, clipped(w, sim_span(w, 1000, 4500)));
    if (step == 1) {
        sim_put(w, w->now + sim_span(w, 20, 600), SIM_COORD_STOP, SIM_PROC_COORD + l, 0, 0, 0);
        sim_put(w, clipped(w, sim_span(w, 3000, 9000)), SIM_RESTORE, -1, SIM_RESTORE_PROC, 0,
                SIM_PROC_COORD + l);
        return sim_span(w, 1000, 4000);
    }
    return OVER;
}

static sim_time three_leaders(struct sim_world *w, int step)
{
    int l = leader_or_any(w);
    if (step == 0) {
        int p = sim_primary(w);
        for (int c = 0; c < SIM_REGIONS; c++) {
            if (c != l) {
                sim_verb_link_cut(w, p, SIM_HOST_COORD + c, share(w, 2500, 5000));
            }
        }
        sim_verb_new_ttl(w, HF_MS(sim_between(&w->rng, 1000, 6000)));
        return share(w, 500, 1500);
    }
    if (sim_chance(&w->rng, 250)) {
        sim_etcd_delete_claim(w);
    } else if (sim_chance(&w->rng, 600)) {
        sim_put(w, w->now, SIM_COORD_STOP, SIM_PROC_COORD + l, 0, 0, 0);
        sim_put(w, clipped(w, sim_span(w, 1000, 9000)), SIM_RESTORE, -1, SIM_RESTORE_PROC, 0,
                SIM_PROC_COORD + l);
    } else {
        sim_verb_kill(w, SIM_PROC_COORD + l, sim_span(w, 50, 2000));
    }
    return step < 5 ? sim_span(w, 100, 1200) : OVER;
}

/* Grants of a long L run while coordinators that know only a short one take over. */
static sim_time shorter_l(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    int l = leader_or_any(w);
    if (step == 0) {
        w->directed_leader = l;
        sim_verb_new_ttl(w, HF_MS(sim_between(&w->rng, 1000, 2000)));
        for (int c = 0; c < SIM_REGIONS; c++) {
            if (c != l) {
                sim_verb_kill(w, SIM_PROC_COORD + c, sim_span(w, 20, 200));
                sim_verb_link_cut(w, p, SIM_HOST_COORD + c, share(w, 3000, 5000));
            }
        }
        return sim_span(w, 2500, 4000);
    }
    if (step == 1) {
        if (sim_chance(&w->rng, 500)) {
            sim_etcd_delete_claim(w);
        } else {
            sim_put(w, w->now, SIM_COORD_STOP, SIM_PROC_COORD + w->directed_leader, 0, 0, 0);
            sim_put(w, clipped(w, sim_span(w, 3000, 9000)), SIM_RESTORE, -1, SIM_RESTORE_PROC, 0,
                    SIM_PROC_COORD + w->directed_leader);
        }
        part(w, bit(p), share(w, 2000, 4000));
        return sim_span(w, 150, 900);
    }
    if (sim_leader(w) >= 0 && sim_leader(w) != w->directed_leader) {
        sim_verb_kill(w, SIM_PROC_COORD + sim_leader(w), sim_span(w, 2000, 6000));
    }
    return step < 3 ? sim_span(w, 100, 900) : OVER;
}

static sim_time delayed_grant(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    if (step == 0) {
        sim_time span = share(w, 300, 950);
        for (int c = 0; c < SIM_REGIONS; c++) {
            sim_net_block(w, SIM_HOST_COORD + c, p, clipped(w, span));
        }
        return span + sim_span(w, 150, 500);
    }
    part(w, bit(p), share(w, 1500, 4000));
    return OVER;
}

static sim_time choice_dies(struct sim_world *w, int step)
{
    if (step == 0) {
        sim_verb_region_loss(w, w->hosts[sim_primary(w)].region, sim_span(w, 8000, 25000));
        return sim_span(w, 100, 300);
    }
    const struct hf_plan *plan = &w->truth.plan;
    bool chosen = w->truth.plan_known && plan->step > HF_STEP_SELECT && plan->step < HF_STEP_DONE;
    if (!chosen) {
        return step < 400 ? 50 * SIM_MS : OVER;
    }
    int to = sim_node_by_name(plan->to.s);
    if (to >= 0) {
        sim_host_down(w, to);
        sim_put(w, clipped(w, sim_span(w, 500, 12000)), SIM_RESTORE, -1, SIM_RESTORE_HOST, 0, to);
    }
    return OVER;
}

static sim_time agent_of_primary(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    if (step == 0 && sim_chance(&w->rng, 500)) {
        sim_verb_link_cut(w, p, SIM_HOST_COORD + leader_or_any(w), share(w, 300, 2000));
    }
    if (sim_chance(&w->rng, 300)) {
        sim_verb_freeze(w, SIM_PROC_AGENT + p, share(w, 300, 1300));
    } else {
        sim_verb_kill(w, SIM_PROC_AGENT + p, share(w, 100, 1200));
    }
    return step < 2 ? share(w, 500, 2500) : OVER;
}

static sim_time region_returns(struct sim_world *w, int step)
{
    sim_verb_region_loss(w, w->hosts[sim_primary(w)].region, share(w, 300, 3500));
    return step < 2 ? share(w, 1500, 6000) : OVER;
}

/* A snapshot, then one or more changes of the primary (or none), then everything that was written
 * since is forgotten. */
static sim_time restored(struct sim_world *w, int step)
{
    int p = sim_primary(w);
    if (step == 0) {
        if (w->etcd.state.timeline.v == 0 || strncmp(w->etcd.state.plan, "b-", 2) == 0) {
            return OVER; /* nothing is adopted yet: the person sets the cluster up anew */
        }
        sim_etcd_keep(w);
        return sim_span(w, 100, 3000);
    }
    if (step < 3) {
        int kind = sim_pick(&w->rng, 5);
        if (kind == 0) {
            sim_verb_region_loss(w, w->hosts[p].region, share(w, 1000, 4000));
        } else if (kind == 1) {
            sim_verb_kill(w, SIM_PROC_PG + p, 0);
        } else if (kind == 2) {
            part(w, bit(p), share(w, 1500, 4000));
        } else if (kind == 3 && sim_leader(w) >= 0) {
            w->coords[sim_leader(w)].switch_asked = true;
        }
        return share(w, 300, 4000);
    }
    w->etcd.outage_until = clipped(w, sim_span(w, 200, 4000));
    sim_etcd_restore(w);
    if (sim_chance(&w->rng, 400)) { /* who reads the old records first may be a new process */
        for (int c = 0; c < SIM_REGIONS; c++) {
            sim_verb_kill(w, SIM_PROC_COORD + c, sim_span(w, 50, 2000));
        }
    }
    return OVER;
}

void sim_directed_step(struct sim_world *w, int step)
{
    static sim_time (*const scenarios[SIM_DIRECTED_COUNT])(struct sim_world *, int) = {
        [SIM_DIRECTED_FROZEN_LEADER] = frozen_leader,
        [SIM_DIRECTED_HANDOVER] = handover,
        [SIM_DIRECTED_FAILSAFE] = failsafe,
        [SIM_DIRECTED_TWO_CANDIDATES] = two_candidates,
        [SIM_DIRECTED_BACKENDS] = backends,
        [SIM_DIRECTED_PREPARE_RACE] = prepare_race,
        [SIM_DIRECTED_LATE_COMMANDS] = late_commands,
        [SIM_DIRECTED_THREE_LEADERS] = three_leaders,
        [SIM_DIRECTED_SHORTER_L] = shorter_l,
        [SIM_DIRECTED_DELAYED_GRANT] = delayed_grant,
        [SIM_DIRECTED_CHOICE_DIES] = choice_dies,
        [SIM_DIRECTED_AGENT_OF_PRIMARY] = agent_of_primary,
        [SIM_DIRECTED_REGION_RETURNS] = region_returns,
        [SIM_DIRECTED_RESTORED] = restored,
    };
    if (w->healed || scenarios[w->cfg.directed] == NULL) {
        return;
    }
    SIM_TRACE(w, "directed: %s, step %d", sim_directed_text[w->cfg.directed], step);
    sim_time next = scenarios[w->cfg.directed](w, step);
    if (next != OVER) {
        int following = w->directed_skip > step + 1 ? w->directed_skip : step + 1;
        sim_put(w, w->now + next, SIM_DIRECTED, -1, (uint32_t)following, 0, 0);
    }
}
