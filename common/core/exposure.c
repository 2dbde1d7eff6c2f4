/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/exposure.h"

#include <string.h>

enum { OFFSET_PERIOD_US = 60000000, RATE_SPAN_US = 1000000 };

static int index_of(const struct hf_exposure_ring *ring, int from_oldest)
{
    int oldest = (ring->next - ring->count + HF_EXPOSURE_SAMPLES) % HF_EXPOSURE_SAMPLES;
    return (oldest + from_oldest) % HF_EXPOSURE_SAMPLES;
}

static const struct hf_exposure_sample *sample(const struct hf_exposure_ring *ring, int from_oldest)
{
    return &ring->samples[index_of(ring, from_oldest)];
}

static void add_offset(struct hf_exposure_ring *ring, int64_t clock_us, int64_t arrived_us)
{
    int64_t offset = arrived_us - clock_us;
    if (ring->offsets == 0 || arrived_us - ring->offset_since >= OFFSET_PERIOD_US) {
        ring->offset_us[1] = ring->offset_us[0];
        ring->offset_us[0] = offset;
        ring->offset_since = arrived_us;
        ring->offsets = ring->offsets == 0 ? 1 : 2;
    } else if (offset < ring->offset_us[0]) {
        ring->offset_us[0] = offset;
    }
}

int64_t hf_exposure_clock(const struct hf_exposure_ring *ring, hf_lclk now)
{
    int64_t offset = ring->offset_us[0];
    if (ring->offsets == 2 && ring->offset_us[1] < offset) {
        offset = ring->offset_us[1];
    }
    return now.us - offset;
}

void hf_exposure_add(struct hf_exposure_ring *ring, hf_epoch epoch, uint64_t life, int64_t clock_us,
                     hf_dur read_ago, hf_lsn lsn, hf_lclk arrived)
{
    if (ring->epoch.v != epoch.v || ring->life != life) {
        ring->epoch = epoch;
        ring->life = life;
        ring->count = 0;
        ring->next = 0;
        ring->offsets = 0;
    }
    add_offset(ring, clock_us, arrived.us - (read_ago.us > 0 ? read_ago.us : 0));
    if (ring->count > 0) {
        struct hf_exposure_sample *newest = &ring->samples[index_of(ring, ring->count - 1)];
        if (clock_us < newest->clock_us || lsn.v < newest->lsn.v) {
            return; /* late or out of order: it says less than what is there */
        }
        const struct hf_exposure_sample *before =
            ring->count > 1 ? sample(ring, ring->count - 2) : NULL;
        if (lsn.v == newest->lsn.v && before != NULL && before->lsn.v == lsn.v) {
            newest->clock_us = clock_us; /* first and last time of a position are enough */
            return;
        }
    }
    ring->samples[ring->next] = (struct hf_exposure_sample){clock_us, lsn};
    ring->next = (ring->next + 1) % HF_EXPOSURE_SAMPLES;
    if (ring->count < HF_EXPOSURE_SAMPLES) {
        ring->count++;
    }
}

/* The newest sample whose position is durable, -1 when the ring does not reach back to one. */
static int last_durable(const struct hf_exposure_ring *ring, hf_lsn durable)
{
    int low = 0;
    int high = ring->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (sample(ring, middle)->lsn.v <= durable.v) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}

struct hf_exposure hf_exposure_measure(const struct hf_exposure_ring *ring, hf_lsn durable,
                                       int64_t now_us)
{
    struct hf_exposure e = {0};
    if (ring->count == 0 || durable.v == 0) {
        return e;
    }
    const struct hf_exposure_sample *newest = sample(ring, ring->count - 1);
    e.bytes = hf_lsn_lag(newest->lsn, durable);
    if (e.bytes == 0) {
        e.known = true;
        return e;
    }
    int at = last_durable(ring, durable);
    if (at < 0) {
        e.bytes = 0;
        return e;
    }
    e.known = true;
    e.age = HF_US(now_us - sample(ring, at)->clock_us);
    return e;
}

struct hf_exposure hf_exposure_loss(const struct hf_exposure_ring *ring, hf_lsn fork,
                                    int64_t now_us, int margin_ppm)
{
    struct hf_exposure e = {0};
    int at = ring->count == 0 ? -1 : last_durable(ring, fork);
    if (at < 0) {
        return e;
    }
    const struct hf_exposure_sample *newest = sample(ring, ring->count - 1);
    int64_t unseen_us = now_us > newest->clock_us ? now_us - newest->clock_us : 0;
    int64_t age_us = now_us - sample(ring, at)->clock_us;
    /* The primary's clock may have run that much faster than the receiver's meanwhile. */
    unseen_us += unseen_us / 1000 * margin_ppm / 1000;
    /* What was seen for less than a second says nothing of what came unseen. */
    if (unseen_us > 0 && newest->clock_us - sample(ring, 0)->clock_us < RATE_SPAN_US) {
        return e;
    }
    e.known = true;
    /* Either clock, the primary's for what was seen of the age and the receiver's for the rest, may
     * have run that much slower than the time by which people count. */
    e.age = HF_US(age_us > 0 ? age_us + age_us / 1000 * margin_ppm / 1000 : age_us);
    /* A quarter longer than what was not seen: the busiest time may have been this one. */
    e.bytes = hf_lsn_lag(newest->lsn, fork) +
              hf_exposure_most(ring, HF_US(unseen_us + unseen_us / 4), HF_SEC(60));
    return e;
}

uint64_t hf_exposure_most(const struct hf_exposure_ring *ring, hf_dur span, hf_dur window)
{
    uint64_t most = 0;
    int64_t covered_us = 0;
    int end = ring->count - 1;
    for (int begin = ring->count - 2; begin >= 0; begin--) {
        const struct hf_exposure_sample *from = sample(ring, begin);
        /* The shortest span of at least that length which begins here. */
        while (end > begin + 1 && sample(ring, end - 1)->clock_us - from->clock_us >= span.us) {
            end--;
        }
        const struct hf_exposure_sample *to = sample(ring, end);
        uint64_t bytes = to->lsn.v - from->lsn.v;
        most = bytes > most ? bytes : most;
        covered_us =
            to->clock_us - from->clock_us > covered_us ? to->clock_us - from->clock_us : covered_us;
        if (sample(ring, ring->count - 1)->clock_us - from->clock_us > window.us) {
            break;
        }
    }
    /* Less was seen than that long: as much again for the rest. */
    if (covered_us > 0 && covered_us < span.us) {
        most = (uint64_t)((double)most * (double)span.us / (double)covered_us);
    }
    return most;
}
