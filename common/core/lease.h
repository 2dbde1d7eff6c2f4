/* SPDX-License-Identifier: Apache-2.0
 *
 * Lease arithmetic (rules L1-L5). Pure. L = ttl, m = the bound on the relative rate error of two
 * lease clocks in parts per million.
 * Invariant: whoever waits for another's lease waits longer than the other can use it: a span that
 * is measured by a holder as L is over for a waiter after hf_lease_wait(L, m) at the latest.
 */
#ifndef HF_CORE_LEASE_H
#define HF_CORE_LEASE_H

#include "holdfast/types.h"

enum {
    HF_LEASE_TTL_DEFAULT_MS = 6000,
    HF_LEASE_TTL_MIN_MS = 1000,
    HF_LEASE_TTL_MAX_MS = 60000,
    HF_LEASE_MARGIN_DEFAULT_PPM = 10000 /* 1 % */
};

/* L * (1 + m), rounded up, plus one microsecond. */
hf_dur hf_lease_wait(hf_dur ttl, int margin_ppm);

/* End of a grant for the holder: its own sending of the heartbeat + ttl (L2). */
static inline hf_lclk hf_lease_end(hf_lclk heartbeat_sent, hf_dur ttl)
{
    return hf_lclk_add(heartbeat_sent, ttl);
}

/* Sending times of the newest heartbeats, to know a grant's end and a command's deadline. */
enum { HF_SENT_RING = 256 };
struct hf_sent_ring {
    uint64_t newest; /* sequence number, 0 = none yet */
    hf_lclk at[HF_SENT_RING];
};
void hf_sent_ring_put(struct hf_sent_ring *ring, uint64_t seq, hf_lclk at);
/* False when seq was never sent or is too old to be remembered. */
bool hf_sent_ring_get(const struct hf_sent_ring *ring, uint64_t seq, hf_lclk *ret);

/* (generation, term, sequence) of commands, persisted by the agent (L10). */
struct hf_order {
    hf_generation generation;
    uint64_t term;
    uint64_t sequence;
};
/* < 0, 0, > 0. */
int hf_order_compare(const struct hf_order *a, const struct hf_order *b);

/* Planted bugs: the simulator proves that it finds them. Only in builds with HF_PLANT; elsewhere
 * the condition is the constant false and the compiler drops it. */
enum hf_plant {
    HF_PLANT_NONE,
    HF_PLANT_CONTENDER_HURRIES,       /* L1: takes the key after L/2 */
    HF_PLANT_GRANT_WITHOUT_RENEWAL,   /* L2: answers a heartbeat from a renewal sent before it */
    HF_PLANT_GRANT_FROM_ARRIVAL,      /* L2: the holder counts from the grant's arrival */
    HF_PLANT_PROMISE_NOT_PERSISTED,   /* L4: a candidate's promise is lost in a restart */
    HF_PLANT_FAILSAFE_MAJORITY,       /* L4: majority instead of unanimity */
    HF_PLANT_HANDOVER_FORGETS,        /* L5: remainder 0 in the hand-over */
    HF_PLANT_REGRANT_SURRENDERED,     /* L6: a surrendered epoch is opened again */
    HF_PLANT_PREPARE_KEEPS_RECEIVING, /* L9: final position while still receiving */
    HF_PLANT_ORDER_IGNORED,           /* L10: a delayed command is carried out */
    HF_PLANT_EPOCH_REUSED,            /* L11: another choice under the same epoch */
    HF_PLANT_RESTORED_TRUSTED,        /* L12: records of a restored etcd are believed */
    HF_PLANT_RECOVERED_LOW,           /* L12: the new epoch does not count what agents know */
    HF_PLANT_COUNT
};
#ifdef HF_PLANT
extern enum hf_plant hf_plant_active;
#define HF_PLANTED(bug) (hf_plant_active == (bug))
#else
#define HF_PLANTED(bug) false
#endif

#endif
