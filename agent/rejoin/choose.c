/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rejoin/choose.h"

#include <stddef.h>

#include "common/base/err.h"

typedef bool (*check_fn)(const struct hf_rejoin_facts *f);

static bool half_made(const struct hf_rejoin_facts *f)
{
    return f->half_made;
}

static bool no_data(const struct hf_rejoin_facts *f)
{
    return !f->has_data;
}

static bool other_version(const struct hf_rejoin_facts *f)
{
    return f->version == 0 || f->version != f->source_version;
}

static bool other_system(const struct hf_rejoin_facts *f)
{
    return f->system_id == 0 || f->system_id != f->source_system_id;
}

static bool pages_not_logged(const struct hf_rejoin_facts *f)
{
    return !f->pages_logged;
}

static bool end_unknown(const struct hf_rejoin_facts *f)
{
    return !f->end_known;
}

static bool fork_unknown(const struct hf_rejoin_facts *f)
{
    return !f->fork_known;
}

static bool diverged(const struct hf_rejoin_facts *f)
{
    return f->diverged;
}

static bool not_diverged(const struct hf_rejoin_facts *f)
{
    return !f->diverged;
}

/* The word is the check's name. */
#define ROW(way, check, text)                                                                      \
    {                                                                                              \
        way, check,                                                                                \
        {                                                                                          \
#check, text                                                                           \
        }                                                                                          \
    }

/* Rows in order; of several that forbid a way the first is named. A way without a row fits always.
 */
static const struct {
    enum hf_rejoin_way way;
    check_fn forbids;
    struct hf_rejoin_reason reason;
} TABLE[] = {
    ROW(HF_REJOIN_FOLLOW, half_made, "an earlier attempt left the directory half-made"),
    ROW(HF_REJOIN_FOLLOW, no_data, "there is no complete data directory"),
    ROW(HF_REJOIN_FOLLOW, other_version, "the directory is of another major version"),
    ROW(HF_REJOIN_FOLLOW, other_system, "the directory is of another system"),
    ROW(HF_REJOIN_FOLLOW, end_unknown, "the end of the node's own WAL was not found"),
    ROW(HF_REJOIN_FOLLOW, fork_unknown, "no timeline in common with the source"),
    ROW(HF_REJOIN_FOLLOW, diverged, "the node's WAL goes on beyond the fork"),
    ROW(HF_REJOIN_REWIND, half_made, "an earlier attempt left the directory half-made"),
    ROW(HF_REJOIN_REWIND, no_data, "there is no complete data directory"),
    ROW(HF_REJOIN_REWIND, other_version, "the directory is of another major version"),
    ROW(HF_REJOIN_REWIND, other_system, "the directory is of another system"),
    ROW(HF_REJOIN_REWIND, pages_not_logged,
        "neither data checksums nor wal_log_hints: not every change of a page is in the WAL"),
    ROW(HF_REJOIN_REWIND, end_unknown, "the end of the node's own WAL was not found"),
    ROW(HF_REJOIN_REWIND, fork_unknown, "no timeline in common with the source"),
    ROW(HF_REJOIN_REWIND, not_diverged, "nothing lies beyond the fork"),
};
#undef ROW

struct hf_rejoin_choice hf_rejoin_choose(const struct hf_rejoin_facts *facts,
                                         enum hf_rejoin_way from)
{
    struct hf_rejoin_choice c = {.way = from};
    for (size_t i = 0; i < sizeof(TABLE) / sizeof(TABLE[0]); i++) {
        if (TABLE[i].way == c.way && TABLE[i].forbids(facts)) {
            c.passed[c.way] = TABLE[i].reason;
            c.way = (enum hf_rejoin_way)(c.way + 1);
        }
    }
    HF_ASSERT(c.way < HF_REJOIN_WAYS);
    return c;
}

const char *hf_rejoin_way_name(enum hf_rejoin_way way)
{
    static const char *const names[HF_REJOIN_WAYS] = {
        [HF_REJOIN_FOLLOW] = "follow", [HF_REJOIN_REWIND] = "rewind", [HF_REJOIN_COPY] = "copy"};
    return way < HF_REJOIN_WAYS ? names[way] : "?";
}
