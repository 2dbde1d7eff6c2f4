/* SPDX-License-Identifier: Apache-2.0
 *
 * Timeline histories: which part of which timeline belongs to the past of a target timeline
 * (PostgreSQL: access/timeline.c). Pure. Invariant: switch points grow with the timelines of one
 * history; a position is compared with another only through a history that contains both (W1, W4).
 */
#ifndef HF_CORE_TIMELINE_H
#define HF_CORE_TIMELINE_H

#include "common/core/lsn.h"

enum { HF_HISTORY_MAX = 128 }; /* ancestors of one timeline */

/* Text of the history of a number that was reserved and never used: it names no ancestor. */
#define HF_HISTORY_UNUSED "# reserved by Holdfast, never used\n"

struct hf_history_entry {
    hf_tli timeline;
    hf_lsn end; /* where the next timeline of the history forks off */
};

/* The past of `timeline`, oldest first; the timeline itself is not an entry and has no end. */
struct hf_history {
    hf_tli timeline;
    int count;
    struct hf_history_entry entries[HF_HISTORY_MAX];
};

/* Text of a .history file of `timeline` (at most 64 KiB). Lines that are empty or begin with '#'
 * are skipped; anything else malformed, not growing or naming the timeline itself is HF_E_CORRUPT;
 * more than HF_HISTORY_MAX ancestors HF_E_LIMIT. */
hf_result hf_history_parse(hf_tli timeline, const char *text, size_t len, struct hf_history *ret,
                           struct hf_err *err) HF_MUST_USE;

/* True when position `lsn` as written on `timeline` is part of the history: an ancestor's up to
 * its end (a position equal to the end is shared), or the target timeline's own. */
bool hf_history_contains(const struct hf_history *h, hf_tli timeline, hf_lsn lsn);
/* The timeline on which the byte at `lsn` lies along the history. */
hf_tli hf_history_timeline_at(const struct hf_history *h, hf_lsn lsn);
/* The end of an ancestor, {UINT64_MAX} for the target itself, 0 when it is no part of it. */
hf_lsn hf_history_end_of(const struct hf_history *h, hf_tli timeline);

#endif
