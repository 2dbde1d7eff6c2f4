/* SPDX-License-Identifier: Apache-2.0
 *
 * Lease clocks: each host has its own offset, and a rate within the margin. The margin bounds the
 * *relative* error of two clocks, so that each may be off by half of it; a whole-machine pause
 * counts, except where the guest's clock stops.
 */
#include "tests/sim/world.h"

static int64_t elapsed(const struct sim_host *h, sim_time at)
{
    return (at - h->true_base) * (1000000 + h->rate_ppm) / 1000000;
}

hf_lclk sim_clock(const struct sim_world *w, int host)
{
    const struct sim_host *h = &w->hosts[host];
    if (h->clock_stops) {
        return (hf_lclk){h->local_base};
    }
    return (hf_lclk){h->local_base + elapsed(h, w->now)};
}

sim_time sim_clock_instant(const struct sim_world *w, int host, hf_lclk at)
{
    const struct sim_host *h = &w->hosts[host];
    int64_t local = at.us - h->local_base;
    if (local > INT64_MAX / 2000000) {
        return INT64_MAX / 4;
    }
    int64_t scale = 1000000 + h->rate_ppm;
    sim_time t = h->true_base + (local * 1000000) / scale;
    while (h->local_base + elapsed(h, t) < at.us) {
        t++;
    }
    return t;
}

sim_time sim_clock_true(const struct sim_world *w, int host, hf_lclk at)
{
    sim_time t = sim_clock_instant(w, host, at);
    return t > w->now ? t : w->now;
}

static void rebase(struct sim_world *w, int host)
{
    int64_t local = sim_clock(w, host).us;
    w->hosts[host].local_base = local;
    w->hosts[host].true_base = w->now;
}

void sim_clock_set_rate(struct sim_world *w, int host, int rate_ppm)
{
    rebase(w, host);
    w->hosts[host].rate_ppm = rate_ppm;
}

/* Another boot: the clock begins anew. */
void sim_clock_restart(struct sim_world *w, int host)
{
    w->hosts[host].clock_stops = false;
    w->hosts[host].true_base = w->now;
    w->hosts[host].local_base = sim_between(&w->rng, 1, 20) * SIM_SECOND;
}

void sim_clock_step(struct sim_world *w, int host, int64_t by_us)
{
    rebase(w, host);
    w->hosts[host].local_base += by_us;
}
