/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/coord.h"

#include "tests/sim/etcd.h"
#include "tests/sim/faults.h"
#include "tests/sim/net.h"

#include <string.h>

enum { LEAD_TIMEOUT_MS = 1000, TICK_MS = 100 };

static int proc(int coord)
{
    return SIM_PROC_COORD + coord;
}

hf_lclk sim_coord_now(const struct sim_world *w, int coord)
{
    return sim_clock(w, SIM_HOST_COORD + coord);
}

bool sim_coord_active(const struct sim_world *w, int coord)
{
    return hf_leadership_active(&w->coords[coord].lead, sim_coord_now(w, coord));
}

static void request_leadership(struct sim_world *w, int coord, const struct hf_lead_action *action)
{
    static const enum sim_etcd_op ops[] = {[HF_LEAD_DO_READ] = SIM_ETCD_LEAD_READ,
                                           [HF_LEAD_DO_CLAIM] = SIM_ETCD_LEAD_CLAIM,
                                           [HF_LEAD_DO_RENEW] = SIM_ETCD_LEAD_RENEW,
                                           [HF_LEAD_DO_RELEASE] = SIM_ETCD_LEAD_RELEASE};
    struct sim_coord *c = &w->coords[coord];
    uint32_t index = 0;
    struct sim_etcd_request *r = sim_etcd_new(w, coord, ops[action->kind], &index);
    r->number = ++c->lead_number;
    r->claim_revision = action->claim_revision;
    r->renewal_revision = action->renewal_revision;
    r->claim = action->claim;
    r->renewal_ttl = action->renewal_ttl;
    c->lead_request = action->request;
    sim_put(w, w->now + LEAD_TIMEOUT_MS * SIM_MS, SIM_COORD_TIMEOUT, proc(coord), r->number, 0, 0);
    sim_etcd_send(w, index);
}

void sim_coord_listen(struct sim_world *w, int coord, hf_lclk now)
{
    struct sim_coord *c = &w->coords[coord];
    if (now.us - c->listened.us > 1000000) {
        c->view.listening_since = now;
    }
    c->listened = now;
}

static void lead_step(struct sim_world *w, int coord, const struct hf_lead_event *event)
{
    struct sim_coord *c = &w->coords[coord];
    struct hf_lead_out out;
    hf_lclk now = sim_coord_now(w, coord);
    sim_coord_listen(w, coord, now);
    hf_leadership_step(&c->lead, event, now, &out);
    if (out.action.kind != HF_LEAD_DO_NOTHING) {
        request_leadership(w, coord, &out.action);
    }
    sim_time at = sim_clock_true(w, SIM_HOST_COORD + coord, out.next_wakeup);
    if (at != c->wake_at || at <= w->now) {
        c->wake_at = at;
        sim_put(w, at + sim_between(&w->rng, 20, 500), SIM_COORD_LEAD, proc(coord), ++c->wake, 0,
                0);
    }
    if (out.lost_leadership) {
        SIM_TRACE(w, "coordinator %s: leadership over", sim_region_names[coord]);
        c->loaded = false;
        c->wait.waiting = false;
        memset(&c->view.outstanding, 0, sizeof(c->view.outstanding));
    }
    if (out.became_leader) {
        c->loaded = false;
        c->sequence = 0;
        c->route_node = -1;
        c->view.leader_since = now;
        c->wait.waiting = false;
        memset(&c->view.outstanding, 0, sizeof(c->view.outstanding));
        sim_coord_load(w, coord);
        if (!c->ticking) {
            c->ticking = true;
            sim_put(w, w->now + TICK_MS * SIM_MS, SIM_COORD_TICK, proc(coord), 0, 0, 0);
        }
    }
    if (out.renewed) {
        sim_coord_renewed(w, coord, out.renewal_sent);
    }
    if (c->resigning && c->lead.role == HF_LEAD_RESIGNED) {
        sim_proc_kill(w, proc(coord));
    }
}

void sim_coord_start(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    hf_dur ttl = c->next_ttl;
    uint32_t lead_number = c->lead_number;
    uint32_t store_numbers = c->store_numbers;
    memset(c, 0, sizeof(*c));
    c->ttl = c->next_ttl = ttl;
    c->listens = true;
    c->lead_number = lead_number + 1; /* answers to the last life are void */
    c->store_numbers = store_numbers;
    c->member = coord;
    c->route_node = -1;
    struct hf_lead_config config = {.ttl = ttl, .margin_ppm = w->cfg.margin_ppm};
    memcpy(config.self.s, sim_region_names[coord], 3);
    hf_leadership_init(&c->lead, &config, sim_coord_now(w, coord));
    SIM_TRACE(w, "coordinator %s starts, L %lld ms", sim_region_names[coord],
              (long long)ttl.us / 1000);
    lead_step(w, coord, &(struct hf_lead_event){.kind = HF_LEAD_TICK});
}

void sim_coord_died(struct sim_world *w, int coord)
{
    SIM_TRACE(w, "coordinator %s ends", sim_region_names[coord]);
    w->coords[coord].listens = false;
    if (w->healed) { /* a stop that was under way at the healing */
        sim_put(w, w->now + SIM_SECOND, SIM_RESTORE, -1, SIM_RESTORE_PROC, 0, proc(coord));
    }
    for (int a = 0; a < SIM_NODES; a++) {
        sim_net_break(w, a, coord, w->now);
    }
}

void sim_coord_lead_wake(struct sim_world *w, int coord, uint32_t number)
{
    if (w->coords[coord].wake == number) {
        w->coords[coord].wake_at = 0;
        lead_step(w, coord, &(struct hf_lead_event){.kind = HF_LEAD_TICK});
    }
}

void sim_coord_etcd(struct sim_world *w, int coord, uint32_t request)
{
    struct sim_coord *c = &w->coords[coord];
    struct sim_etcd_request *r = &w->etcd.requests[request];
    if (r->op == SIM_ETCD_LOAD || r->op == SIM_ETCD_WRITE) {
        if (c->store_number == r->number) {
            c->store_number = 0;
            sim_coord_records(w, coord, r);
        }
        sim_etcd_release(w, request);
        return;
    }
    if (c->lead_request == 0 || c->lead_number != r->number) {
        sim_etcd_release(w, request); /* given up on */
        return;
    }
    struct hf_lead_event e = {.request = c->lead_request,
                              .kind = r->won ? HF_LEAD_WON : HF_LEAD_LOST,
                              .revision = r->revision};
    if (r->op == SIM_ETCD_LEAD_READ) {
        e.kind = HF_LEAD_READ;
        e.claim_revision = r->claim_revision;
        e.renewal_revision = r->renewal_revision;
        e.claim = r->claim;
        e.renewal_ttl = r->renewal_ttl;
    }
    c->lead_request = 0;
    sim_etcd_release(w, request);
    lead_step(w, coord, &e);
}

void sim_coord_timeout(struct sim_world *w, int coord, uint32_t number)
{
    struct sim_coord *c = &w->coords[coord];
    if (c->store_number == number) {
        c->store_number = 0;
        c->loaded = false;
        c->member = (c->member + 1) % SIM_REGIONS;
        w->stats.etcd_unknown++;
        return; /* the next tick reads again */
    }
    if (c->lead_request != 0 && c->lead_number == number) {
        uint64_t request = c->lead_request;
        c->lead_request = 0;
        c->member = (c->member + 1) % SIM_REGIONS;
        w->stats.etcd_unknown++;
        lead_step(w, coord, &(struct hf_lead_event){.kind = HF_LEAD_UNKNOWN, .request = request});
    }
}

/* A planned stop: the longest outstanding grant goes into the release (L5). Asked again while the
 * outcome is unknown; after three seconds the process ends without. */
void sim_coord_stop(struct sim_world *w, int coord)
{
    struct sim_coord *c = &w->coords[coord];
    if (c->resigning && !sim_coord_active(w, coord)) {
        sim_proc_kill(w, proc(coord));
        return;
    }
    c->resigning = true;
    hf_lclk now = sim_coord_now(w, coord);
    hf_dur rest = HF_US(0);
    if (hf_lclk_before(now, c->view.outstanding.until)) {
        rest = hf_lclk_sub(c->view.outstanding.until, now);
    }
    sim_put(w, w->now + 700 * SIM_MS, SIM_COORD_STOP, proc(coord), 0, 0, 0);
    lead_step(w, coord, &(struct hf_lead_event){.kind = HF_LEAD_RESIGN, .remainder = rest});
}

void sim_coord_demand(struct sim_world *w, int coord, bool urgent)
{
    lead_step(w, coord, &(struct hf_lead_event){.kind = HF_LEAD_DEMAND, .urgent = urgent});
}
