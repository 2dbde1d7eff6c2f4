/* SPDX-License-Identifier: Apache-2.0
 *
 * Which way a node's directory becomes a standby's again: a ladder from the cheapest way to the one
 * that always works. Pure.
 * Invariant: the last way of the ladder fits any facts; a way that is passed over has a reason.
 */
#ifndef HF_REJOIN_CHOOSE_H
#define HF_REJOIN_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are tried. */
enum hf_rejoin_way {
    HF_REJOIN_FOLLOW, /* the directory is started as it is */
    HF_REJOIN_REWIND, /* pg_rewind: only what differs from the source is fetched */
    HF_REJOIN_COPY,   /* the directory is emptied, pg_basebackup */
    HF_REJOIN_WAYS
};

struct hf_rejoin_facts {
    bool half_made;    /* an earlier way was begun here and not finished */
    bool has_data;     /* PG_VERSION and a control file that can be read */
    bool pages_logged; /* data checksums or wal_log_hints: every change of a page is in the WAL */
    bool end_known;    /* where the node's own WAL ends was found */
    bool fork_known;   /* a timeline that both histories have in common */
    bool diverged;     /* the WAL goes on beyond the fork */
    unsigned version;  /* major version of the directory */
    unsigned source_version;
    uint64_t system_id;
    uint64_t source_system_id;
};

/* Why a way does not fit: a word for logs, and a text for people. NULL: it was not passed over. */
struct hf_rejoin_reason {
    const char *word;
    const char *text;
};

struct hf_rejoin_choice {
    enum hf_rejoin_way way;
    struct hf_rejoin_reason passed[HF_REJOIN_WAYS];
};

/* The first way at or after `from` that fits. */
struct hf_rejoin_choice hf_rejoin_choose(const struct hf_rejoin_facts *facts,
                                         enum hf_rejoin_way from);
/* "follow", "rewind", "copy". Never NULL. */
const char *hf_rejoin_way_name(enum hf_rejoin_way way);

#endif
