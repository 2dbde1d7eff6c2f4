/* SPDX-License-Identifier: Apache-2.0
 *
 * Exposure: what would be lost if the primary's region vanished now (rule E2). A ring of samples
 * (primary's clock, end of its WAL) answers "how old is the oldest byte beyond this position?".
 * Pure. Invariant: an answer is never smaller than the truth by more than one sampling interval;
 * what the ring does not reach back to is unknown, never 0.
 */
#ifndef HF_CORE_EXPOSURE_H
#define HF_CORE_EXPOSURE_H

#include "common/core/lsn.h"

enum { HF_EXPOSURE_SAMPLES = 2048 };

struct hf_exposure_sample {
    int64_t clock_us; /* read before the position */
    hf_lsn lsn;
};
struct hf_exposure_ring {
    hf_epoch epoch; /* samples of one primary's term only */
    uint64_t life;  /* of the agent that took them */
    /* Smallest (arrival here - clock_us) of this period and of the one before: what the primary's
     * clock shows now, not spoiled by heartbeats that came late or repeat an old position. */
    int64_t offset_us[2];
    int64_t offset_since; /* this period's begin, by the receiver's clock */
    int offsets;          /* how many of both are known */
    int count;
    int next;
    struct hf_exposure_sample samples[HF_EXPOSURE_SAMPLES];
};
struct hf_exposure {
    bool known;
    uint64_t bytes;
    hf_dur age; /* of the oldest WAL that is not durable elsewhere; 0 when all of it is */
};

/* Samples that do not advance the position only move the newest sample's time forward, so an idle
 * hour takes one slot. Another epoch or life empties the ring first. read_ago: from the reading of
 * the position to its sending; without it the wait of a position for the next heartbeat, always the
 * same in two timers of one period, would look like the clocks' difference. arrived: by the
 * receiver's clock. */
void hf_exposure_add(struct hf_exposure_ring *ring, hf_epoch epoch, uint64_t life, int64_t clock_us,
                     hf_dur read_ago, hf_lsn lsn, hf_lclk arrived);
/* The clock of the ring's primary at the receiver's `now`: at least what the promptest sample of
 * the last minutes says; too great by no more than the clocks' drift since then. */
int64_t hf_exposure_clock(const struct hf_exposure_ring *ring, hf_lclk now);
/* now_us: the primary's clock now (hf_exposure_clock). */
struct hf_exposure hf_exposure_measure(const struct hf_exposure_ring *ring, hf_lsn durable,
                                       int64_t now_us);
/* What a failover that forks at `fork` loses at most, if the old primary may have gone on until
 * now_us: age = time since the last sample that is not beyond the fork, longer by margin_ppm (the
 * clocks that it was measured by may run slow); bytes = what was seen beyond it, plus the most that
 * was written within the last 60 s, in a time a quarter longer than the one since the newest sample
 * (a peak rate would take the rest of a segment that a backup skips for a second's work). The bytes
 * are exceeded when the primary wrote more after its newest sample than in the busiest such time of
 * that minute; both are too small when the receiver's clock stood still since. Unknown when the
 * ring is too short. */
struct hf_exposure hf_exposure_loss(const struct hf_exposure_ring *ring, hf_lsn fork,
                                    int64_t now_us, int margin_ppm);
/* The most bytes in any time of length `span` that began within the last `window`; scaled up when
 * less than `span` was seen. */
uint64_t hf_exposure_most(const struct hf_exposure_ring *ring, hf_dur span, hf_dur window);

#endif
