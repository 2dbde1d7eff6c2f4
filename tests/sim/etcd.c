/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/etcd.h"

#include "tests/sim/codec.h"
#include "tests/sim/net.h"

#include <string.h>

void sim_etcd_reset(struct sim_world *w)
{
    struct sim_etcd *s = &w->etcd;
    s->revision = 1;
    s->id = s->generation_of = 1;
    s->generation = HF_GENERATION(1);
    s->leader = sim_pick(&w->rng, SIM_REGIONS);
}

struct sim_etcd_request *sim_etcd_new(struct sim_world *w, int coord, enum sim_etcd_op op,
                                      uint32_t *ret_index)
{
    for (uint32_t i = 0; i < SIM_ETCD_REQUESTS; i++) {
        struct sim_etcd_request *r = &w->etcd.requests[i];
        if (!r->used) {
            r->used = true;
            r->op = op;
            r->coord = coord;
            r->coord_life = w->procs[SIM_PROC_COORD + coord].life;
            r->sent = w->now;
            r->with_plan = false;
            r->reserve = HF_TLI(0);
            r->begin = HF_GENERATION(0);
            r->etcd = w->etcd.id;
            r->won = false;
            *ret_index = i;
            return r;
        }
    }
    HF_ASSERT(!"more etcd requests under way than the coordinators can have");
    return NULL;
}

void sim_etcd_release(struct sim_world *w, uint32_t index)
{
    w->etcd.requests[index].used = false;
}

static bool member_up(const struct sim_world *w, int m)
{
    return sim_proc_runs(w, SIM_PROC_ETCD + m);
}

static bool linked(const struct sim_world *w, int a, int b)
{
    return !sim_net_blocked(w, SIM_HOST_ETCD + a, SIM_HOST_ETCD + b) &&
           !sim_net_blocked(w, SIM_HOST_ETCD + b, SIM_HOST_ETCD + a);
}

/* Members that `m` forms a majority with right now; the leader may have to be elected first. */
static bool quorum(struct sim_world *w, int m)
{
    struct sim_etcd *s = &w->etcd;
    if (!member_up(w, m) || s->outage_until > w->now) {
        return false;
    }
    int together = 0;
    bool leader_in = false;
    for (int i = 0; i < SIM_REGIONS; i++) {
        if (i == m || (member_up(w, i) && linked(w, i, m))) {
            together++;
            leader_in = leader_in || i == s->leader;
        }
    }
    if (together < 2) {
        return false;
    }
    if (!leader_in) {
        s->leader = m;
        s->election_until = w->now + sim_between(&w->rng, 300, 2000) * SIM_MS;
    }
    return s->election_until <= w->now;
}

void sim_etcd_send(struct sim_world *w, uint32_t index)
{
    struct sim_etcd *s = &w->etcd;
    struct sim_etcd_request *r = &s->requests[index];
    int member = w->coords[r->coord].member;
    r->member = member;
    int from = SIM_HOST_COORD + r->coord;
    int to = SIM_HOST_ETCD + member;
    sim_time at = w->now + sim_net_delay(w, from, to);
    if (w->blocked[from][to] > w->now) {
        at += w->blocked[from][to] - w->now;
    }
    bool dead = !w->procs[SIM_PROC_ETCD + member].alive || at > w->now + 7 * SIM_SECOND;
    if (dead || sim_chance(&w->rng, s->lost_permille)) {
        sim_etcd_release(w, index);
        return; /* the client's timeout tells */
    }
    if (sim_chance(&w->rng, s->slow_permille)) {
        at += sim_between(&w->rng, 100, 6000) * SIM_MS;
    }
    sim_put(w, at, SIM_ETCD_EXEC, SIM_PROC_ETCD + member, index, 0, 0);
}

static bool compare_leader(const struct sim_etcd *s, const struct sim_etcd_request *r)
{
    return s->claim_revision == r->claim_revision && s->renewal_revision == r->renewal_revision;
}

static int plan_slot(const struct sim_etcd *s, const char *id)
{
    for (int i = 0; i < SIM_ETCD_PLANS; i++) {
        if (s->plans[i].revision != 0 && strcmp(s->plans[i].plan.id, id) == 0) {
            return i;
        }
    }
    return -1;
}

static void write_records(struct sim_world *w, struct sim_etcd_request *r)
{
    struct sim_etcd *s = &w->etcd;
    int slot = r->with_plan ? plan_slot(s, r->plan.id) : -1;
    int64_t plan_revision = slot >= 0 ? s->plans[slot].revision : 0;
    bool reserved = r->reserve.v != 0 &&
                    (r->reserve.v >= SIM_TIMELINES || s->timeline_revision[r->reserve.v] != 0);
    r->won = s->claim_revision == r->claim_revision && s->state_revision == r->state_revision &&
             (!r->with_plan || plan_revision == r->plan_revision) && !reserved;
    if (!r->won) {
        SIM_TRACE(w, "etcd: write of coordinator %s loses its compare", sim_region_names[r->coord]);
        return;
    }
    sim_codec_state(w, &r->state);
    if (r->with_plan) {
        sim_codec_plan(w, &r->plan);
    }
    s->revision++;
    s->state = r->state;
    s->state_revision = s->revision;
    if (r->with_plan) {
        if (slot < 0) {
            slot = s->plan_next;
            s->plan_next = (s->plan_next + 1) % SIM_ETCD_PLANS;
        }
        s->plans[slot].plan = r->plan;
        s->plans[slot].revision = s->revision;
    }
    if (r->begin.v != 0) {
        s->generation = r->begin;
        s->generation_of = s->id;
    }
    if (r->reserve.v != 0) {
        s->timeline_revision[r->reserve.v] = s->revision;
    }
    w->stats.writes++;
    sim_check_commit(w, r->coord, &s->state, r->with_plan ? &r->plan : NULL, r->reserve);
}

static void lead_write(struct sim_world *w, struct sim_etcd_request *r)
{
    struct sim_etcd *s = &w->etcd;
    if (r->op == SIM_ETCD_LEAD_RELEASE) {
        r->won = s->claim_revision == r->claim_revision;
    } else {
        r->won = compare_leader(s, r);
    }
    if (!r->won) {
        return;
    }
    s->revision++;
    if (r->op != SIM_ETCD_LEAD_RENEW) {
        sim_codec_claim(w, &r->claim);
        s->claim = r->claim;
        s->claim_revision = s->revision;
    }
    if (r->op != SIM_ETCD_LEAD_RELEASE) {
        s->renewal_revision = s->revision;
        s->renewal_ttl = r->renewal_ttl;
    }
    if (r->op == SIM_ETCD_LEAD_CLAIM) {
        w->stats.takeovers++;
        SIM_TRACE(w, "etcd: coordinator %s takes leadership, term %lld", sim_region_names[r->coord],
                  (long long)s->revision);
    } else if (r->op == SIM_ETCD_LEAD_RELEASE) {
        w->stats.handovers++;
        SIM_TRACE(w, "etcd: coordinator %s releases leadership, remainder %lld us",
                  sim_region_names[r->coord], (long long)r->claim.remainder.us);
    }
}

static void load_records(struct sim_etcd *s, struct sim_etcd_request *r)
{
    r->claim_revision = s->claim_revision;
    r->state = s->state;
    r->state_revision = s->state_revision;
    r->policy_revision = s->policy_revision;
    r->begin = s->generation;
    r->generation_of = s->generation_of;
    int slot = s->state.plan[0] != '\0' ? plan_slot(s, s->state.plan) : -1;
    r->with_plan = slot >= 0;
    r->plan_revision = 0;
    if (slot >= 0) {
        r->plan = s->plans[slot].plan;
        r->plan_revision = s->plans[slot].revision;
    }
    r->won = true;
}

static void run_request(struct sim_world *w, struct sim_etcd_request *r)
{
    struct sim_etcd *s = &w->etcd;
    switch (r->op) {
    case SIM_ETCD_LEAD_READ:
        r->claim_revision = s->claim_revision;
        r->renewal_revision = s->renewal_revision;
        r->claim = s->claim;
        r->renewal_ttl = s->renewal_ttl;
        r->won = true;
        break;
    case SIM_ETCD_LEAD_CLAIM:
    case SIM_ETCD_LEAD_RENEW:
    case SIM_ETCD_LEAD_RELEASE:
        lead_write(w, r);
        break;
    case SIM_ETCD_LOAD:
        load_records(s, r);
        break;
    case SIM_ETCD_WRITE:
        write_records(w, r);
        break;
    }
    r->revision = s->revision;
}

void sim_etcd_execute(struct sim_world *w, uint32_t index)
{
    struct sim_etcd *s = &w->etcd;
    struct sim_etcd_request *r = &s->requests[index];
    if (r->etcd != s->id) { /* its connection ended with the etcd that was there */
        sim_etcd_release(w, index);
        return;
    }
    if (!quorum(w, r->member)) {
        if (w->now - r->sent > 8 * SIM_SECOND) {
            sim_etcd_release(w, index);
            return;
        }
        sim_put(w, w->now + sim_between(&w->rng, 20, 150) * SIM_MS, SIM_ETCD_EXEC,
                SIM_PROC_ETCD + r->member, index, 0, 0);
        return;
    }
    run_request(w, r);
    int from = SIM_HOST_ETCD + r->member;
    int to = SIM_HOST_COORD + r->coord;
    int other = r->member == s->leader ? (r->member + 1) % SIM_REGIONS : s->leader;
    sim_time at = w->now + 2 * w->cfg.latency[r->member][other] + sim_net_delay(w, from, to) +
                  sim_between(&w->rng, 500, 3000);
    if (w->blocked[from][to] > w->now) {
        at += w->blocked[from][to] - w->now;
    }
    const struct sim_proc *p = &w->procs[SIM_PROC_COORD + r->coord];
    if (!p->alive || p->life != r->coord_life || at > w->now + 10 * SIM_SECOND ||
        sim_chance(&w->rng, s->silent_permille)) {
        sim_etcd_release(w, index);
        return;
    }
    sim_put(w, at, SIM_COORD_ETCD, SIM_PROC_COORD + r->coord, index, 0, 0);
}

void sim_etcd_delete_claim(struct sim_world *w)
{
    struct sim_etcd *s = &w->etcd;
    s->revision++;
    s->claim_revision = 0;
    memset(&s->claim, 0, sizeof(s->claim));
    SIM_TRACE(w, "etcd: leader/claim deleted by hand");
}

void sim_etcd_keep(struct sim_world *w)
{
    w->kept = w->etcd;
    SIM_TRACE(w, "etcd: a snapshot is kept, epoch %llu", (unsigned long long)w->kept.state.epoch.v);
}

void sim_etcd_restore(struct sim_world *w)
{
    struct sim_etcd *s = &w->etcd;
    const struct sim_etcd *k = &w->kept;
    s->id++;
    s->generation = k->generation;
    s->generation_of = k->generation_of;
    s->revision = k->revision;
    s->claim_revision = k->claim_revision;
    s->renewal_revision = k->renewal_revision;
    s->claim = k->claim;
    s->renewal_ttl = k->renewal_ttl;
    s->state_revision = k->state_revision;
    s->state = k->state;
    memcpy(s->plans, k->plans, sizeof(s->plans));
    s->plan_next = k->plan_next;
    memcpy(s->timeline_revision, k->timeline_revision, sizeof(s->timeline_revision));
    s->policy_revision = k->policy_revision;
    s->policy = k->policy;
    w->stats.restores++;
    SIM_TRACE(w, "etcd: restored, epoch %llu, revision %lld", (unsigned long long)s->state.epoch.v,
              (long long)s->revision);
    int slot = s->state.plan[0] != '\0' ? plan_slot(s, s->state.plan) : -1;
    sim_check_restored(w, &s->state, slot >= 0 ? &s->plans[slot].plan : NULL);
}

void sim_etcd_put_policy(struct sim_world *w, const struct hf_policy *policy)
{
    struct sim_etcd *s = &w->etcd;
    s->policy = *policy;
    s->policy_revision = ++s->revision;
}
