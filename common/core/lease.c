/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/lease.h"

#include "common/base/err.h"

#ifdef HF_PLANT
enum hf_plant hf_plant_active = HF_PLANT_NONE;
#endif

hf_dur hf_lease_wait(hf_dur ttl, int margin_ppm)
{
    HF_ASSERT(ttl.us >= 0 && margin_ppm >= 0 && margin_ppm <= 1000000);
    int64_t extra = (ttl.us * margin_ppm + 999999) / 1000000;
    return (hf_dur){ttl.us + extra + 1};
}

void hf_sent_ring_put(struct hf_sent_ring *ring, uint64_t seq, hf_lclk at)
{
    HF_ASSERT(seq == ring->newest + 1);
    ring->newest = seq;
    ring->at[seq % HF_SENT_RING] = at;
}

bool hf_sent_ring_get(const struct hf_sent_ring *ring, uint64_t seq, hf_lclk *ret)
{
    if (seq == 0 || seq > ring->newest || ring->newest - seq >= HF_SENT_RING) {
        return false;
    }
    *ret = ring->at[seq % HF_SENT_RING];
    return true;
}

int hf_order_compare(const struct hf_order *a, const struct hf_order *b)
{
    if (a->generation.v != b->generation.v) {
        return a->generation.v < b->generation.v ? -1 : 1;
    }
    if (a->term != b->term) {
        return a->term < b->term ? -1 : 1;
    }
    if (a->sequence != b->sequence) {
        return a->sequence < b->sequence ? -1 : 1;
    }
    return 0;
}
