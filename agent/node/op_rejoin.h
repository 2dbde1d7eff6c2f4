/* SPDX-License-Identifier: Apache-2.0
 *
 * A node becomes a standby of another server by the cheapest way that works: what the files of the
 * operation share.
 * Invariants: nothing of the directory is overwritten before the source has answered and the WAL
 * beyond the fork is saved; from the first overwriting to the last setting the copying mark is
 * there, and with it the directory counts as half-made and is not started; whenever a way ends,
 * standby.signal is in place.
 */
#ifndef HF_NODE_OP_REJOIN_H
#define HF_NODE_OP_REJOIN_H

#include "agent/node/op_standby.h"
#include "agent/rejoin/choose.h"
#include "agent/rejoin/fork.h"
#include "agent/rejoin/report.h"

struct hf_rejoin {
    struct hf_op *op;
    char slot[HF_OP_SLOT_SIZE];
    struct hf_rejoin_facts facts;
    struct hf_history source; /* the past of the source's timeline */
    struct hf_history own;    /* of this node's */
    struct hf_rejoin_fork fork;
    hf_lsn end; /* of this node's valid WAL; UINT64_MAX when it is not known */
    uint64_t segment_size;
    struct hf_rejoin_piece pieces[HF_HISTORY_MAX + 1]; /* of this node's WAL, beyond the fork */
    int piece_count;
    char wal_dir[HF_PATH_SIZE + 32];
    char state_dir[HF_PATH_SIZE + 32]; /* what an attempt keeps outside the data directory */
};

/* What was found of source and directory; ends what an agent that was killed left working there. */
hf_result hf_rejoin_look(struct hf_rejoin *r, struct hf_err *err) HF_MUST_USE;

/* Saves what lies beyond the fork with a report. Whatever fails here: nothing was overwritten. */
hf_result hf_rejoin_salvage(struct hf_rejoin *r, struct hf_err *err) HF_MUST_USE;
/* Gives the relations of a report names, as far as the source knows them; bounded in time. */
void hf_rejoin_name_relations(struct hf_rejoin *r, struct hf_lost *lost);

/* Only where nothing lies beyond the fork. Returns when it streams; HF_E_TIMEOUT when no WAL comes,
 * with the server running. */
hf_result hf_rejoin_follow(struct hf_rejoin *r, struct hf_err *err) HF_MUST_USE;
hf_result hf_rejoin_rewind(struct hf_rejoin *r, struct hf_err *err) HF_MUST_USE;

/* This node's own files of the data directory (configuration, certificates: whatever is none of
 * PostgreSQL's data), kept in `keep` and put back: afterwards the directory has these and no
 * others. Bounded; HF_E_LIMIT. */
hf_result hf_rejoin_keep(const char *data_dir, const char *keep, struct hf_err *err) HF_MUST_USE;
hf_result hf_rejoin_put_back(const char *data_dir, const char *keep,
                             struct hf_err *err) HF_MUST_USE;
/* Pure: is the entry of the data directory this node's own? */
bool hf_rejoin_is_own(const char *name, bool is_directory);

/* Pure: "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)" of a backup_label. */
bool hf_rejoin_label_start(const char *text, hf_lsn *ret);

#endif
