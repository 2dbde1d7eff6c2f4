/* SPDX-License-Identifier: Apache-2.0
 *
 * The published name of a cluster: set at a DNS provider, then verified at every authoritative
 * server. One task a cluster makes one name point to one address, however often it has to try.
 * Invariants: a task is done only when every configured authoritative server answered with exactly
 * the wanted record; nothing is written when they do already; a cancelled task calls nobody and
 * writes nothing that was not sent before. Where the protocol has compare-and-swap (RFC 2136) a
 * write replaces only what was read. The others (PowerDNS, Route 53, Cloudflare, hooks) are guarded
 * by the leader's term and by reading back, so a write of an earlier leader that is still on its
 * way can undo a newer one for a moment: it is seen by the verification, and set again. Loop thread
 * only.
 */
#ifndef HF_COORDINATOR_ROUTE_H
#define HF_COORDINATOR_ROUTE_H

#include "common/core/policy.h"
#include "common/io/config_coordinator.h"
#include "common/io/http.h"
#include "common/io/loop.h"

struct hf_route_record {
    char name[HF_POLICY_DNS_NAME_SIZE]; /* absolute, ends in a dot */
    enum hf_route_type type;
    hf_dur ttl;
    char value[HF_ADDRESS_SIZE]; /* address, or a CNAME's target that ends in a dot */
};

/* --- providers --- */

enum { HF_ROUTE_VALUES = 8, HF_ROUTE_HANDLE_SIZE = 64 };

/* What a provider holds of the wanted name and type. */
struct hf_route_seen {
    bool found; /* the wanted record, alone, with exactly that value and TTL */
    int count;  /* records; values has the first HF_ROUTE_VALUES of them */
    hf_dur ttl; /* of what is there, 0 = nothing */
    char values[HF_ROUTE_VALUES][HF_ADDRESS_SIZE];
    char handle[HF_ROUTE_HANDLE_SIZE]; /* the provider's own name of the record, where it has one */
};

/* Borrowed for the life of a call. */
struct hf_route_env {
    struct hf_loop *loop;
    struct hf_http_client *http;
    const struct hf_config_dns *config;
};

struct hf_route_call;
/* result: HF_OK; HF_E_DENIED (credentials), HF_E_NOT_FOUND (no such zone), HF_E_CONFLICT (what is
 * there is not what was read: compare-and-swap lost, nothing was written), HF_E_REFUSED (the
 * provider says no), HF_E_AGAIN (busy), HF_E_TIMEOUT (may have happened), HF_E_UNREACHABLE.
 * seen: of a read that went well, borrowed; otherwise NULL. */
typedef void (*hf_route_done)(void *arg, hf_result result, const struct hf_route_seen *seen,
                              const struct hf_err *err);

/* done is called once, later, and the call is void after it; or never, after cancel. */
struct hf_route_provider {
    const char *type;
    hf_result (*read)(const struct hf_route_env *env, const struct hf_route_record *record,
                      hf_route_done done, void *arg, struct hf_route_call **ret,
                      struct hf_err *err);
    /* seen: what the last read gave. A provider with compare-and-swap writes only over that. */
    hf_result (*set)(const struct hf_route_env *env, const struct hf_route_record *record,
                     const struct hf_route_seen *seen, hf_route_done done, void *arg,
                     struct hf_route_call **ret, struct hf_err *err);
    void (*cancel)(struct hf_route_call *call); /* NULL allowed */
};
extern const struct hf_route_provider hf_route_powerdns;
extern const struct hf_route_provider hf_route_rfc2136;
extern const struct hf_route_provider hf_route_cloudflare;
extern const struct hf_route_provider hf_route_route53;
extern const struct hf_route_provider hf_route_exec;
/* NULL when there is none of this type. */
const struct hf_route_provider *hf_route_provider_of(enum hf_config_dns_type type);

/* --- tasks --- */

struct hf_route_task;
enum hf_route_state {
    HF_ROUTE_READING,
    HF_ROUTE_SETTING,
    HF_ROUTE_VERIFYING,
    HF_ROUTE_WAITING,
    HF_ROUTE_DONE
};

/* node: whom the address belongs to, for logs. config outlives the task. */
hf_result hf_route_task_new(struct hf_loop *loop, struct hf_http_client *http,
                            const struct hf_config_dns *config,
                            const struct hf_route_record *record, const hf_name *node,
                            struct hf_route_task **ret, struct hf_err *err) HF_MUST_USE;
void hf_route_task_free(struct hf_route_task *task); /* cancels; NULL allowed */
enum hf_route_state hf_route_task_state(const struct hf_route_task *task);
const hf_name *hf_route_task_node(const struct hf_route_task *task);
const struct hf_route_record *hf_route_task_record(const struct hf_route_task *task);
/* Why the last try failed, "" when none did. */
const char *hf_route_task_problem(const struct hf_route_task *task);
/* TTL of what was published before, 0 = unknown: so long may clients keep the old address. */
hf_dur hf_route_task_old_ttl(const struct hf_route_task *task);
/* True while clients may hold an answer with a TTL above the record's: until it is replaced, and
 * for so long after that. */
bool hf_route_task_ttl_high(const struct hf_route_task *task, hf_lclk now);

/* The wanted record for an address of a node ("127.0.2.1:5432"). HF_E_INVALID when the type does
 * not fit the host (A: IPv4, AAAA: IPv6, CNAME: a name). */
hf_result hf_route_record_make(const struct hf_policy *policy, const char *address,
                               struct hf_route_record *ret, struct hf_err *err) HF_MUST_USE;

#endif
