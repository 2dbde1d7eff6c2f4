/* SPDX-License-Identifier: Apache-2.0
 *
 * One DNS question over UDP to one server, asynchronous (RFC 1035; packets by libldns, which only
 * dns_query.c includes).
 * Invariants: an answer counts only from the asked address and port, with the asked id and
 * question, authoritative and whole; anything else is dropped or fails; a query ends within its
 * tries (HF_DNS_TRIES of HF_DNS_TRY_MS). Loop thread only.
 */
#ifndef HF_COORDINATOR_DNS_QUERY_H
#define HF_COORDINATOR_DNS_QUERY_H

#include <sys/socket.h>

#include "common/io/loop.h"
#include "coordinator/route/route.h"

enum { HF_DNS_TRIES = 3, HF_DNS_TRY_MS = 700, HF_DNS_PACKET_MAX = 1232, HF_DNS_VALUES = 8 };

struct hf_dns_answer {
    int rcode;
    bool authoritative;
    int count; /* records of the asked type and name */
    hf_dur ttl;
    char values[HF_DNS_VALUES][HF_ADDRESS_SIZE]; /* as text; names end in a dot */
};

/* Packets. HF_E_INVALID; parse: HF_E_CORRUPT, HF_E_STALE (another id or question). */
hf_result hf_dns_build(const char *name, enum hf_route_type type, uint16_t id, uint8_t *ret,
                       size_t size, size_t *ret_len, struct hf_err *err) HF_MUST_USE;
hf_result hf_dns_parse(const uint8_t *packet, size_t len, const char *name, enum hf_route_type type,
                       uint16_t id, struct hf_dns_answer *ret, struct hf_err *err) HF_MUST_USE;
/* True when the answer is exactly the wanted record, from an authoritative server. */
bool hf_dns_answer_is(const struct hf_dns_answer *answer, const char *value);

/* "127.0.0.8:5300", "[::1]:53": a numeric address, so that nothing has to be looked up.
 * HF_E_INVALID.
 */
hf_result hf_dns_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                         struct hf_err *err) HF_MUST_USE;

struct hf_dns_query;
/* HF_OK with the answer, HF_E_TIMEOUT, HF_E_UNREACHABLE, HF_E_CORRUPT. */
typedef void (*hf_dns_done)(void *arg, hf_result result, const struct hf_dns_answer *answer,
                            const struct hf_err *err);
/* server: "127.0.0.8:5300". done is called once, later; the query is freed after it. */
hf_result hf_dns_query_start(struct hf_loop *loop, const char *server, const char *name,
                             enum hf_route_type type, hf_dns_done done, void *arg,
                             struct hf_dns_query **ret, struct hf_err *err) HF_MUST_USE;
void hf_dns_query_cancel(struct hf_dns_query *query); /* frees; done is not called; NULL allowed */

#endif
