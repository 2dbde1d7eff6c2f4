/* SPDX-License-Identifier: Apache-2.0
 *
 * What is in WAL that a rejoin is about to lose, read from the lines of pg_waldump: committed
 * transactions with their times, relations that were touched. Pure.
 * Invariants: memory is fixed, whatever the WAL holds: beyond the bounds things are counted and not
 * named; a line that is none of a record changes nothing.
 */
#ifndef HF_REJOIN_REPORT_H
#define HF_REJOIN_REPORT_H

#include "common/core/json.h"
#include "common/core/lsn.h"

enum {
    HF_LOST_TRANSACTIONS_MAX = 4096, /* the first ones are named */
    HF_LOST_RELATIONS_MAX = 1024,
    HF_LOST_BUCKETS = 4096,
    HF_LOST_TIME_SIZE = 40,
    HF_LOST_NAME_SIZE = 160
};

struct hf_lost_transaction {
    uint32_t xid;
    hf_lsn lsn;                 /* of the commit record */
    char at[HF_LOST_TIME_SIZE]; /* "2026-11-28T01:00:00.123456Z", or as pg_waldump printed it */
};

struct hf_lost_relation {
    uint32_t tablespace;
    uint32_t database; /* 0: shared by all */
    uint32_t node;     /* relfilenode */
    uint64_t records;
    char database_name[HF_LOST_NAME_SIZE]; /* "" = not known */
    char name[HF_LOST_NAME_SIZE];
};

struct hf_lost {
    uint64_t records;
    uint64_t transaction_count; /* also those that are not named */
    struct hf_lost_transaction transactions[HF_LOST_TRANSACTIONS_MAX];
    char first[HF_LOST_TIME_SIZE]; /* commit times; "" = none */
    char last[HF_LOST_TIME_SIZE];
    size_t relation_count;
    uint64_t relations_unnamed; /* references to relations beyond the bound */
    struct hf_lost_relation relations[HF_LOST_RELATIONS_MAX];
    uint16_t buckets[HF_LOST_BUCKETS]; /* index + 1 of a relation; 0 = free */
};

/* Takes one line in; pg_waldump must run with TZ=UTC. */
void hf_lost_line(struct hf_lost *lost, const char *line);
/* Adds the members to a report's object. */
void hf_lost_json(const struct hf_lost *lost, hf_json *report);

#endif
