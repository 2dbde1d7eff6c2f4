/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/timeline.h"

#include <stdlib.h>
#include <string.h>

static hf_result parse_line(char *line, struct hf_history_entry *ret, struct hf_err *err)
{
    char *end = NULL;
    unsigned long tli = strtoul(line, &end, 10);
    if (end == line || tli == 0 || tli > UINT32_MAX || (*end != '\t' && *end != ' ')) {
        return hf_fail(err, HF_E_CORRUPT, "history line \"%.60s\" does not begin with a timeline",
                       line);
    }
    while (*end == ' ' || *end == '\t') {
        end++;
    }
    end[strcspn(end, " \t\r")] = '\0';
    hf_lsn lsn = {0};
    if (!hf_ok(hf_lsn_parse(end, &lsn, err))) {
        return hf_fail(err, HF_E_CORRUPT, "history line of timeline %lu has no switch point", tli);
    }
    *ret = (struct hf_history_entry){HF_TLI(tli), lsn};
    return hf_done();
}

hf_result hf_history_parse(hf_tli timeline, const char *text, size_t len, struct hf_history *ret,
                           struct hf_err *err)
{
    struct hf_history h = {.timeline = timeline};
    if (len > 65536) {
        return hf_fail(err, HF_E_LIMIT, "history of %zu bytes; at most 65536 are allowed", len);
    }
    size_t at = 0;
    while (at < len) {
        size_t stop = at;
        while (stop < len && text[stop] != '\n') {
            stop++;
        }
        char line[1200];
        size_t n = stop - at < sizeof line - 1 ? stop - at : sizeof line - 1;
        memcpy(line, text + at, n);
        line[n] = '\0';
        at = stop + 1;
        size_t blank = strspn(line, " \t\r");
        if (line[blank] == '\0' || line[blank] == '#') {
            continue;
        }
        if (h.count == HF_HISTORY_MAX) {
            return hf_fail(err, HF_E_LIMIT, "history of timeline %u has more than %d ancestors",
                           timeline.v, HF_HISTORY_MAX);
        }
        struct hf_history_entry e = {0};
        HF_TRY(parse_line(line + blank, &e, err));
        const struct hf_history_entry *last = h.count > 0 ? &h.entries[h.count - 1] : NULL;
        if (e.timeline.v >= timeline.v ||
            (last != NULL && (e.timeline.v <= last->timeline.v || e.end.v < last->end.v))) {
            return hf_fail(err, HF_E_CORRUPT, "history of timeline %u does not grow at %u",
                           timeline.v, e.timeline.v);
        }
        h.entries[h.count++] = e;
    }
    *ret = h;
    return hf_done();
}

hf_lsn hf_history_end_of(const struct hf_history *h, hf_tli timeline)
{
    if (timeline.v == h->timeline.v) {
        return HF_LSN(UINT64_MAX);
    }
    for (int i = 0; i < h->count; i++) {
        if (h->entries[i].timeline.v == timeline.v) {
            return h->entries[i].end;
        }
    }
    return HF_LSN(0);
}

bool hf_history_contains(const struct hf_history *h, hf_tli timeline, hf_lsn lsn)
{
    hf_lsn end = hf_history_end_of(h, timeline);
    return end.v != 0 && lsn.v <= end.v;
}

hf_tli hf_history_timeline_at(const struct hf_history *h, hf_lsn lsn)
{
    for (int i = 0; i < h->count; i++) {
        if (lsn.v < h->entries[i].end.v) {
            return h->entries[i].timeline;
        }
    }
    return h->timeline;
}
