/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rejoin/fork.h"

/* The i-th timeline of a path (ancestors, then the timeline itself) and where the path leaves it.
 */
static struct hf_history_entry step(const struct hf_history *h, int i)
{
    if (i < h->count) {
        return h->entries[i];
    }
    return (struct hf_history_entry){.timeline = h->timeline, .end = HF_LSN(UINT64_MAX)};
}

static hf_lsn least(hf_lsn a, hf_lsn b)
{
    return a.v < b.v ? a : b;
}

void hf_rejoin_fork_find(const struct hf_history *own, const struct hf_history *source,
                         struct hf_rejoin_fork *ret)
{
    *ret = (struct hf_rejoin_fork){.timeline = HF_TLI(0)};
    hf_lsn direct = hf_history_end_of(source, own->timeline);
    if (direct.v != 0) {
        /* The source comes from this very timeline: the own history is not needed. */
        *ret = (struct hf_rejoin_fork){.timeline = own->timeline, .lsn = direct};
        return;
    }
    for (int i = 0; i <= own->count && i <= source->count; i++) {
        struct hf_history_entry a = step(own, i);
        struct hf_history_entry b = step(source, i);
        if (a.timeline.v != b.timeline.v) {
            return;
        }
        *ret = (struct hf_rejoin_fork){.timeline = a.timeline, .lsn = least(a.end, b.end)};
        if (a.end.v != b.end.v) {
            return;
        }
    }
}

int hf_rejoin_pieces(const struct hf_history *own, const struct hf_rejoin_fork *fork, hf_lsn end,
                     struct hf_rejoin_piece ret[HF_HISTORY_MAX + 1])
{
    int n = 0;
    hf_lsn begin = HF_LSN(0);
    bool beyond = fork->timeline.v == 0;
    for (int i = 0; i <= own->count; i++) {
        struct hf_history_entry e = step(own, i);
        beyond = beyond || e.timeline.v == fork->timeline.v;
        struct hf_rejoin_piece p = {
            .timeline = e.timeline, .from = hf_lsn_max(begin, fork->lsn), .to = least(e.end, end)};
        if (beyond && p.from.v < p.to.v) {
            ret[n++] = p;
        }
        begin = e.end;
    }
    return n;
}

bool hf_rejoin_holds(const struct hf_rejoin_piece *pieces, int count,
                     const struct hf_wal_name *name, uint64_t segment_size)
{
    uint64_t start = name->segment * segment_size;
    for (int i = 0; i < count; i++) {
        if (pieces[i].timeline.v != name->timeline.v) {
            continue;
        }
        if (name->kind == HF_WAL_HISTORY) {
            return true;
        }
        return name->kind == HF_WAL_SEGMENT && start < pieces[i].to.v &&
               start + segment_size > pieces[i].from.v;
    }
    return false;
}
