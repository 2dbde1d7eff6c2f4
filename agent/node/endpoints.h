/* SPDX-License-Identifier: Apache-2.0
 *
 * What load balancers ask: which question a path is, and its answer. Pure.
 * Invariants: a node is a primary by its lease and by what PostgreSQL said last, never by hearsay;
 * what is not known is a no.
 */
#ifndef HF_NODE_ENDPOINTS_H
#define HF_NODE_ENDPOINTS_H

#include "common/base/err.h"
#include "holdfast/types.h"

enum hf_endpoint {
    HF_ENDPOINT_PRIMARY,    /* holds the lease and takes writes */
    HF_ENDPOINT_READ_WRITE, /* the same, by the name that others give it */
    HF_ENDPOINT_REPLICA,    /* a standby that answers */
    HF_ENDPOINT_READ_ONLY,  /* either */
    HF_ENDPOINT_HEALTH,     /* PostgreSQL answers, whatever it is */
    HF_ENDPOINTS
};
extern const char *const HF_ENDPOINT_PATHS[HF_ENDPOINTS];

/* HF_E_NOT_FOUND */
hf_result hf_endpoint_find(const char *path, enum hf_endpoint *ret) HF_MUST_USE;

/* Of a standby; nothing = no limit. */
struct hf_endpoint_limit {
    bool has_bytes, has_time;
    uint64_t bytes;
    hf_dur time;
};
/* lag=10MB, lag=5s, or a plain number of bytes. HF_E_INVALID. */
hf_result hf_endpoint_limit_parse(const char *text, struct hf_endpoint_limit *ret,
                                  struct hf_err *err) HF_MUST_USE;

struct hf_endpoint_facts {
    bool has_postgresql; /* an archive region has none, and is healthy without */
    bool answers;
    bool in_recovery;
    bool lease; /* managed, and the lease page is open at this instant */
    bool lag_bytes_known, lag_time_known;
    uint64_t lag_bytes;
    hf_dur lag_time;
};
bool hf_endpoint_answer(enum hf_endpoint endpoint, const struct hf_endpoint_facts *facts,
                        const struct hf_endpoint_limit *limit);

#endif
