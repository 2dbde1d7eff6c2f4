/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a node's WAL leaves the history of the server that it shall follow, and which files of its
 * pg_wal hold what lies beyond. Pure. Invariant: positions are compared on a timeline that both
 * histories have in common (rules W1, W4).
 */
#ifndef HF_REJOIN_FORK_H
#define HF_REJOIN_FORK_H

#include "common/core/timeline.h"
#include "common/core/walname.h"

/* The last position that both have; timeline 0: they have nothing in common that is known. */
struct hf_rejoin_fork {
    hf_tli timeline;
    hf_lsn lsn; /* UINT64_MAX: the node's timeline is the source's */
};

/* own: the past of the node's timeline (without entries when its history file is lost). */
void hf_rejoin_fork_find(const struct hf_history *own, const struct hf_history *source,
                         struct hf_rejoin_fork *ret);

/* On which timelines of the node, and from where to where, its WAL lies beyond the fork. `end` is
 * where its valid WAL ends. The first one is at index 0; returns how many (0: none). */
struct hf_rejoin_piece {
    hf_tli timeline;
    hf_lsn from;
    hf_lsn to;
};
int hf_rejoin_pieces(const struct hf_history *own, const struct hf_rejoin_fork *fork, hf_lsn end,
                     struct hf_rejoin_piece ret[HF_HISTORY_MAX + 1]);

/* Does the file hold anything of the pieces: a segment that overlaps one, or the history of a
 * timeline that begins within them? */
bool hf_rejoin_holds(const struct hf_rejoin_piece *pieces, int count,
                     const struct hf_wal_name *name, uint64_t segment_size);

#endif
