/* SPDX-License-Identifier: Apache-2.0
 *
 * etcd v3 over its JSON gateway (etcd 3.4: api/v3 rpc.swagger.json), asynchronous on the event
 * loop. Invariants: every request has a timeout; it is tried at the next endpoint only when nothing
 * of it can have been done (reads, or a write of which nothing was sent); a write whose fate is
 * unknown is reported as HF_E_TIMEOUT and never repeated here: the owner reads back by revision.
 * etcd's leases collect garbage only, they decide nothing (rule L1). Loop thread only.
 */
#ifndef HF_IO_ETCD_H
#define HF_IO_ETCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "holdfast/types.h"

enum {
    HF_ETCD_ENDPOINTS = 8,
    HF_ETCD_KEY_MAX = 1024,
    HF_ETCD_VALUE_MAX = 1048576, /* etcd refuses requests over about 1.5 MB */
    HF_ETCD_OPS_MAX = 64,        /* compares, and operations of each branch, of one transaction */
    HF_ETCD_KVS_MAX = 65536      /* keys of one answer */
};

struct hf_etcd_config {
    const char *const *endpoints;   /* "https://127.0.1.1:2379" */
    size_t endpoint_count;          /* 1..HF_ETCD_ENDPOINTS */
    const struct hf_tls_files *tls; /* NULL = plain */
    hf_dur connect_timeout;         /* of one attempt; 0 = 500 ms */
    hf_dur timeout;                 /* of one request, all attempts together; 0 = 2 s */
};

struct hf_etcd;
hf_result hf_etcd_new(struct hf_loop *loop, const struct hf_etcd_config *config,
                      struct hf_etcd **ret, struct hf_err *err) HF_MUST_USE;
/* Ends all requests and watches without calling back. NULL allowed; not from a callback. */
void hf_etcd_free(struct hf_etcd *etcd);

struct hf_etcd_kv {
    const char *key; /* NUL-terminated besides; keys with embedded NUL are HF_E_CORRUPT */
    size_t key_len;
    const char *value;
    size_t value_len;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease;
};

/* One operation's answer. For a range: kvs, count (all that match). For a delete: count = deleted.
 */
struct hf_etcd_op_reply {
    const struct hf_etcd_kv *kvs;
    size_t kv_count;
    int64_t count;
};

/* Borrowed for the callback.
 * result: HF_OK; HF_E_UNREACHABLE (no endpoint took it: nothing was done); HF_E_TIMEOUT (unknown);
 * HF_E_DENIED; HF_E_CORRUPT (an answer that is not etcd's); HF_E_NOT_FOUND (lease keepalive: it is
 * gone); HF_E_AGAIN (etcd said unavailable: no leader, too many requests; for a write only when
 * etcd is known not to have proposed it, else HF_E_TIMEOUT); HF_E_REFUSED (any other etcd error,
 * text says). */
struct hf_etcd_reply {
    hf_result result;
    const struct hf_err *err;
    int64_t revision; /* of the store, from the header */
    uint64_t cluster; /* which etcd answered: its cluster id; 0 = it did not say */
    int64_t lease_id; /* lease grant and keepalive */
    int64_t lease_ttl_s;
    bool succeeded;                     /* transaction: the compares held */
    const struct hf_etcd_op_reply *ops; /* of the branch taken; range: one */
    size_t op_count;
    const char *endpoint; /* that answered */
};
typedef void (*hf_etcd_done)(void *arg, const struct hf_etcd_reply *reply);

/* done is called once, later; a request cannot be cancelled singly (its owner outlives it, or frees
 * the client). At most 64 are under way: HF_E_LIMIT. */

/* A key, or with prefix every key that begins with it, in key order. limit 0 = no limit. revision 0
 * = newest; serializable: answered by the member itself, may be old. */
struct hf_etcd_range {
    const char *key;
    bool prefix;
    int64_t limit;
    int64_t revision;
    bool serializable;
    bool keys_only;
};
hf_result hf_etcd_get(struct hf_etcd *etcd, const struct hf_etcd_range *range, hf_etcd_done done,
                      void *arg, struct hf_err *err) HF_MUST_USE;

enum hf_etcd_target {
    HF_ETCD_MOD_REVISION,
    HF_ETCD_CREATE_REVISION, /* == 0: absent */
    HF_ETCD_VERSION,
    HF_ETCD_VALUE
};
enum hf_etcd_relation { HF_ETCD_EQUAL, HF_ETCD_GREATER, HF_ETCD_LESS, HF_ETCD_NOT_EQUAL };
struct hf_etcd_compare {
    const char *key;
    enum hf_etcd_target target;
    enum hf_etcd_relation relation;
    int64_t number;    /* for revisions and version */
    const char *value; /* for HF_ETCD_VALUE */
    size_t value_len;
};
enum hf_etcd_op_kind { HF_ETCD_PUT, HF_ETCD_DELETE, HF_ETCD_RANGE };
struct hf_etcd_op {
    enum hf_etcd_op_kind kind;
    const char *key;
    bool prefix;       /* DELETE and RANGE */
    const char *value; /* PUT */
    size_t value_len;
    int64_t lease; /* PUT; 0 = none */
};
struct hf_etcd_txn {
    const struct hf_etcd_compare *compares;
    size_t compare_count;
    const struct hf_etcd_op *success;
    size_t success_count;
    const struct hf_etcd_op *failure;
    size_t failure_count;
};
/* A transaction in which every operation is a RANGE counts as a read. HF_E_LIMIT, HF_E_INVALID. */
hf_result hf_etcd_txn(struct hf_etcd *etcd, const struct hf_etcd_txn *txn, hf_etcd_done done,
                      void *arg, struct hf_err *err) HF_MUST_USE;

/* For garbage collection only. id 0 = etcd chooses. */
hf_result hf_etcd_lease_grant(struct hf_etcd *etcd, int64_t id, int64_t ttl_s, hf_etcd_done done,
                              void *arg, struct hf_err *err) HF_MUST_USE;
hf_result hf_etcd_lease_keepalive(struct hf_etcd *etcd, int64_t id, hf_etcd_done done, void *arg,
                                  struct hf_err *err) HF_MUST_USE;
hf_result hf_etcd_lease_revoke(struct hf_etcd *etcd, int64_t id, hf_etcd_done done, void *arg,
                               struct hf_err *err) HF_MUST_USE;

/* --- watch --- */
enum hf_etcd_event_kind { HF_ETCD_EVENT_PUT, HF_ETCD_EVENT_DELETE };
struct hf_etcd_event {
    enum hf_etcd_event_kind kind;
    struct hf_etcd_kv kv; /* DELETE: key and mod_revision only */
};
struct hf_etcd_watch_callbacks {
    /* Every change of one answer, in order of revision; never one twice, none left out. revision =
     * the store's when it was sent; count 0 = progress only. */
    void (*events)(void *arg, const struct hf_etcd_event *events, size_t count, int64_t revision);
    /* The wanted revision is compacted away: list anew, then watch anew from that revision + 1. The
     * watch is over (free it). */
    void (*compacted)(void *arg, int64_t compact_revision);
    /* Connected (true), or lost and being tried at the next endpoint (false): until the next true
     * what one knows may be old. May be NULL. */
    void (*health)(void *arg, bool connected, const char *why);
};
struct hf_etcd_watch;
/* Watches a prefix from start_revision on (0 = now) until freed; resumes by itself after the last
 * revision delivered, at the next endpoint, with backoff 100 ms to 2 s. Progress is asked for, and
 * a stream silent for stall (0 = 30 s) is dropped and tried elsewhere. */
hf_result hf_etcd_watch_prefix(struct hf_etcd *etcd, const char *prefix, int64_t start_revision,
                               hf_dur stall, const struct hf_etcd_watch_callbacks *callbacks,
                               void *arg, struct hf_etcd_watch **ret,
                               struct hf_err *err) HF_MUST_USE;
void hf_etcd_watch_free(struct hf_etcd_watch *watch); /* NULL allowed; allowed in its callbacks */

#endif
