/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/lag.h"

#include <string.h>

static void mark(struct hf_lag *lag, hf_lclk heard_at, hf_lsn end)
{
    if (lag->count == HF_LAG_MARKS) { /* every second one goes: the bound gets wider, not wrong */
        for (int i = 0; i < HF_LAG_MARKS / 2; i++) {
            lag->marks[i] = lag->marks[2 * i];
        }
        lag->count = HF_LAG_MARKS / 2;
    }
    lag->marks[lag->count].heard_at = heard_at;
    lag->marks[lag->count].end = end;
    lag->count++;
}

static void reach(struct hf_lag *lag)
{
    int done = 0;
    while (done < lag->count && lag->marks[done].end.v <= lag->replayed.v) {
        lag->reached = true;
        lag->reached_at = lag->marks[done].heard_at;
        done++;
    }
    lag->count -= done;
    memmove(lag->marks, lag->marks + done, (size_t)lag->count * sizeof lag->marks[0]);
}

void hf_lag_note(struct hf_lag *lag, const struct hf_pg_observation *seen)
{
    if (!seen->running || !seen->known || !seen->in_recovery) {
        *lag = (struct hf_lag){.count = 0};
        return;
    }
    if (seen->timeline.v != lag->timeline.v) { /* positions compare along one history only */
        *lag = (struct hf_lag){.timeline = seen->timeline};
    }
    lag->streaming = seen->streaming && seen->upstream.v != 0;
    lag->replayed = seen->replayed;
    if (lag->streaming) {
        hf_lclk heard_at = {seen->clock_us - seen->heard_ago.us};
        if (!hf_lclk_before(heard_at, lag->heard_at)) {
            lag->heard_at = heard_at;
            lag->end = seen->upstream.v > seen->written.v ? seen->upstream : seen->written;
            if (lag->count == 0 || hf_lclk_before(lag->marks[lag->count - 1].heard_at, heard_at)) {
                mark(lag, heard_at, seen->upstream);
            }
        }
    }
    reach(lag);
}

bool hf_lag_bytes(const struct hf_lag *lag, hf_lclk now, uint64_t *ret)
{
    if (!lag->streaming || hf_lclk_sub(now, lag->heard_at).us > HF_LAG_CONTACT.us) {
        return false;
    }
    *ret = lag->end.v > lag->replayed.v ? lag->end.v - lag->replayed.v : 0;
    return true;
}

bool hf_lag_time(const struct hf_lag *lag, hf_lclk now, hf_dur *ret)
{
    if (!lag->reached) {
        return false;
    }
    hf_dur behind = hf_lclk_sub(now, lag->reached_at);
    *ret = behind.us > 0 ? behind : HF_US(0);
    return true;
}
