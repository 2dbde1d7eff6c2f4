/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a standby's answers are behind its upstream, in bytes and in time, without comparing two
 * machines' clocks. Pure: instants of this host's lease clock come in.
 * Invariants: the time is an upper bound: so long ago was the last instant at which the upstream's
 * end of WAL was heard that has been replayed by now; while nothing is heard it grows. Bytes count
 * only while something was heard within HF_LAG_CONTACT. What is not known is said to be unknown.
 */
#ifndef HF_HEALTH_LAG_H
#define HF_HEALTH_LAG_H

#include "agent/core/agent_core.h"

/* A receiver that hears nothing asks after half of wal_receiver_timeout, 30 s by default
 * (PostgreSQL: replication/walreceiver.c). */
#define HF_LAG_CONTACT HF_SEC(35)

enum { HF_LAG_MARKS = 64 };

struct hf_lag {
    struct {
        hf_lclk heard_at;
        hf_lsn end;
    } marks[HF_LAG_MARKS]; /* heard and not replayed yet, ascending in both */
    int count;
    bool reached; /* reached_at is known */
    hf_lclk reached_at;
    hf_lclk heard_at;
    hf_tli timeline;
    bool streaming;
    hf_lsn end, replayed; /* newest */
};

/* Every observation, in order. One that says that this is no standby forgets all. */
void hf_lag_note(struct hf_lag *lag, const struct hf_pg_observation *seen);
/* False: not known. */
bool hf_lag_bytes(const struct hf_lag *lag, hf_lclk now, uint64_t *ret);
bool hf_lag_time(const struct hf_lag *lag, hf_lclk now, hf_dur *ret);

#endif
