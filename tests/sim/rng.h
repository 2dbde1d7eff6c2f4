/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator's only source of chance: splitmix64, one stream a seed.
 * Invariant: the same seed draws the same numbers on every machine, so that a seed replays.
 */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct sim_rng {
    uint64_t state;
};

static inline uint64_t sim_rand(struct sim_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* Uniform in low..high, both included. */
static inline int64_t sim_between(struct sim_rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)(sim_rand(r) % (uint64_t)(high - low + 1));
}

static inline int sim_pick(struct sim_rng *r, int count)
{
    return (int)(sim_rand(r) % (uint64_t)count);
}

static inline bool sim_chance(struct sim_rng *r, int permille)
{
    return sim_rand(r) % 1000 < (uint64_t)permille;
}

#endif
