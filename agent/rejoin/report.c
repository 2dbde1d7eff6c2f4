/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rejoin/report.h"

#include <stdio.h>
#include <string.h>

/* "2026-11-28 01:00:00.123456 UTC" and whatever follows it (PostgreSQL: rmgrdesc/xactdesc.c). */
static void take_time(const char *text, char ret[HF_LOST_TIME_SIZE])
{
    size_t n = strcspn(text, ";");
    size_t most = HF_LOST_TIME_SIZE - 1;
    (void)snprintf(ret, HF_LOST_TIME_SIZE, "%.*s", (int)(n < most ? n : most), text);
    char *zone = strstr(ret, " UTC");
    if (zone != NULL && strlen(ret) > 11 && ret[10] == ' ') {
        ret[10] = 'T';
        zone[0] = 'Z';
        zone[1] = '\0';
    }
}

static void take_commit(struct hf_lost *lost, const char *desc, uint32_t xid, hf_lsn lsn)
{
    static const char plain[] = "COMMIT ";
    static const char prepared[] = "COMMIT_PREPARED ";
    struct hf_lost_transaction t = {.xid = xid, .lsn = lsn};
    const char *at = NULL;
    if (strncmp(desc, plain, sizeof(plain) - 1) == 0) {
        at = desc + sizeof(plain) - 1;
    } else if (strncmp(desc, prepared, sizeof(prepared) - 1) == 0 &&
               sscanf(desc + sizeof(prepared) - 1, "%u:", &t.xid) == 1) {
        const char *colon = strchr(desc, ':');
        at = colon == NULL ? NULL : colon + 2;
    }
    if (at == NULL) {
        return;
    }
    take_time(at, t.at);
    if (lost->transaction_count < HF_LOST_TRANSACTIONS_MAX) {
        lost->transactions[lost->transaction_count] = t;
    }
    lost->transaction_count++;
    if (lost->first[0] == '\0' || strcmp(t.at, lost->first) < 0) {
        memcpy(lost->first, t.at, sizeof(t.at));
    }
    if (strcmp(t.at, lost->last) > 0) {
        memcpy(lost->last, t.at, sizeof(t.at));
    }
}

static struct hf_lost_relation *find_relation(struct hf_lost *lost, uint32_t tablespace,
                                              uint32_t database, uint32_t node)
{
    uint32_t bucket = (node * 2654435761U ^ database * 40503U ^ tablespace) % HF_LOST_BUCKETS;
    for (;; bucket = (bucket + 1) % HF_LOST_BUCKETS) {
        if (lost->buckets[bucket] == 0) {
            break; /* there is always a free one: four buckets a relation */
        }
        struct hf_lost_relation *r = &lost->relations[lost->buckets[bucket] - 1];
        if (r->tablespace == tablespace && r->database == database && r->node == node) {
            return r;
        }
    }
    if (lost->relation_count == HF_LOST_RELATIONS_MAX) {
        return NULL;
    }
    struct hf_lost_relation *r = &lost->relations[lost->relation_count++];
    *r = (struct hf_lost_relation){.tablespace = tablespace, .database = database, .node = node};
    lost->buckets[bucket] = (uint16_t)lost->relation_count;
    return r;
}

/* ", blkref #0: rel 1663/5/16385 blk 0", any number of them. */
static void take_relations(struct hf_lost *lost, const char *desc)
{
    static const char mark[] = "blkref #";
    for (const char *at = strstr(desc, mark); at != NULL; at = strstr(at + 1, mark)) {
        unsigned tablespace = 0;
        unsigned database = 0;
        unsigned node = 0;
        if (sscanf(at, "blkref #%*u: rel %u/%u/%u", &tablespace, &database, &node) != 3) {
            continue;
        }
        struct hf_lost_relation *r = find_relation(lost, tablespace, database, node);
        if (r != NULL) {
            r->records++;
        } else {
            lost->relations_unnamed++;
        }
    }
}

void hf_lost_line(struct hf_lost *lost, const char *line)
{
    const char *tx = strstr(line, ", tx: ");
    const char *at = strstr(line, ", lsn: ");
    const char *desc = strstr(line, ", desc: ");
    unsigned xid = 0;
    unsigned high = 0;
    unsigned low = 0;
    if (strncmp(line, "rmgr: ", 6) != 0 || tx == NULL || at == NULL || desc == NULL ||
        sscanf(tx, ", tx: %u", &xid) != 1 || sscanf(at, ", lsn: %8X/%8X", &high, &low) != 2) {
        return;
    }
    desc += sizeof(", desc: ") - 1;
    lost->records++;
    if (strncmp(line + 6, "Transaction ", 12) == 0) {
        take_commit(lost, desc, xid, HF_LSN(((uint64_t)high << 32) | low));
    }
    take_relations(lost, desc);
}

static hf_json *transactions_json(const struct hf_lost *lost)
{
    hf_json *array = hf_json_array();
    char lsn[HF_LSN_SIZE];
    for (uint64_t i = 0; i < lost->transaction_count && i < HF_LOST_TRANSACTIONS_MAX; i++) {
        const struct hf_lost_transaction *t = &lost->transactions[i];
        hf_json *o = hf_json_object();
        hf_json_put_u64(o, "xid", t->xid);
        hf_json_put_text(o, "lsn", hf_lsn_format(t->lsn, lsn));
        hf_json_put_text(o, "committed_at", t->at);
        hf_json_push(array, o);
    }
    return array;
}

static void put_name(hf_json *o, const char *key, const char *name)
{
    if (name[0] != '\0') {
        hf_json_put_text(o, key, name);
    } else {
        hf_json_put_null(o, key);
    }
}

static hf_json *relations_json(const struct hf_lost *lost)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < lost->relation_count; i++) {
        const struct hf_lost_relation *r = &lost->relations[i];
        hf_json *o = hf_json_object();
        hf_json_put_u64(o, "tablespace", r->tablespace);
        hf_json_put_u64(o, "database", r->database);
        hf_json_put_u64(o, "relfilenode", r->node);
        hf_json_put_u64(o, "records", r->records);
        put_name(o, "database_name", r->database_name);
        put_name(o, "name", r->name);
        hf_json_push(array, o);
    }
    return array;
}

void hf_lost_json(const struct hf_lost *lost, hf_json *report)
{
    hf_json_put_u64(report, "records", lost->records);
    hf_json_put_u64(report, "transaction_count", lost->transaction_count);
    put_name(report, "first_commit", lost->first);
    put_name(report, "last_commit", lost->last);
    hf_json_put(report, "transactions", transactions_json(lost));
    hf_json_put_u64(report, "relations_unnamed", lost->relations_unnamed);
    hf_json_put(report, "relations", relations_json(lost));
}
