/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of the etcd client; etcd*.c only. Requests are built in etcd_build.c alone and answers read
 * in etcd_parse.c alone: the gateway ignores unknown fields silently, so that a typing error would
 * write an empty value.
 */
#ifndef HF_IO_ETCD_INTERNAL_H
#define HF_IO_ETCD_INTERNAL_H

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/etcd.h"
#include "common/io/http.h"

enum {
    HF_ETCD_REQUEST_MAX = 2 * 1024 * 1024,
    HF_ETCD_RESPONSE_MAX = 32 * 1024 * 1024,
    HF_ETCD_URL_SIZE = 256,
    HF_ETCD_CALLS_MAX = 64,
    HF_ETCD_WATCHES_MAX = 16
};

struct hf_etcd_call;

struct hf_etcd {
    struct hf_loop *loop;
    struct hf_http_client *http;
    struct hf_tls_files tls;
    bool has_tls;
    char *endpoints[HF_ETCD_ENDPOINTS];
    size_t endpoint_count;
    size_t current; /* endpoint that answered last: tried first */
    hf_dur connect_timeout;
    hf_dur timeout;
    struct hf_etcd_call *calls;
    size_t call_count;
    struct hf_etcd_watch *watches;
    size_t watch_count;
    int depth; /* callbacks on the stack */
};

/* --- etcd_build.c: bodies of requests --- */
hf_result hf_etcd_build_range(const struct hf_etcd_range *range, struct hf_buf *ret,
                              struct hf_err *err) HF_MUST_USE;
hf_result hf_etcd_build_txn(const struct hf_etcd_txn *txn, struct hf_buf *ret,
                            struct hf_err *err) HF_MUST_USE;
hf_result hf_etcd_build_lease(int64_t id, int64_t ttl_s, struct hf_buf *ret,
                              struct hf_err *err) HF_MUST_USE;
hf_result hf_etcd_build_watch(const char *prefix, int64_t start_revision, struct hf_buf *ret,
                              struct hf_err *err) HF_MUST_USE;

/* --- etcd_parse.c: answers; what they hold lives in the arena --- */
enum hf_etcd_kind { HF_ETCD_CALL_RANGE, HF_ETCD_CALL_TXN, HF_ETCD_CALL_LEASE };

struct hf_etcd_parsed {
    struct hf_arena *arena;
    hf_json *document;
};
void hf_etcd_parsed_free(struct hf_etcd_parsed *p);
#define HF_AUTOPARSED __attribute__((cleanup(hf_etcd_parsed_free)))

/* HF_E_CORRUPT when it is not an answer of etcd. */
hf_result hf_etcd_parse_reply(enum hf_etcd_kind kind, const char *body, size_t len,
                              struct hf_etcd_parsed *hold, struct hf_etcd_reply *ret,
                              struct hf_err *err) HF_MUST_USE;
/* An answer with an HTTP status other than 200. *ret_untouched: etcd says that nothing was done. */
hf_result hf_etcd_parse_error(int status, const char *body, size_t len, bool *ret_untouched,
                              struct hf_err *err);

struct hf_etcd_watch_line {
    bool created;
    bool canceled;
    int64_t compact_revision;
    int64_t revision;
    struct hf_etcd_event *events;
    size_t count;
};
/* One line of a watch. A stream error is a failure with its text. */
hf_result hf_etcd_parse_watch(const char *line, size_t len, struct hf_etcd_parsed *hold,
                              struct hf_etcd_watch_line *ret, struct hf_err *err) HF_MUST_USE;

/* --- etcd_watch.c --- */
void hf_etcd_watches_free(struct hf_etcd *etcd);

#endif
