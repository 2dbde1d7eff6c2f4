/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of dynamic updates (RFC 2136; packets by libldns, which only dns_*.c include).
 * Invariant: an update replaces one record set, and only what was read of it: its prerequisites are
 * that exactly those values are there, or that nothing is. For a CNAME nothing means that the name
 * is not used at all, because a server drops a CNAME beside other records without a word. Pure.
 */
#ifndef HF_COORDINATOR_DNS_UPDATE_H
#define HF_COORDINATOR_DNS_UPDATE_H

#include "coordinator/route/dns_query.h"

enum { HF_DNS_UPDATE_MAX = 8192 };

/* HF_E_INVALID; HF_E_REFUSED when more records are there than HF_ROUTE_VALUES: whoever has put them
 * there means something else with the name. */
hf_result hf_dns_update_build(const char *zone, const struct hf_route_record *record,
                              const struct hf_route_seen *seen, uint16_t id, uint8_t *ret,
                              size_t size, size_t *ret_len, struct hf_err *err) HF_MUST_USE;
/* Of a verified answer. HF_OK; HF_E_CONFLICT (a prerequisite did not hold: NXRRSET, YXRRSET,
 * NXDOMAIN, YXDOMAIN), HF_E_DENIED (REFUSED), HF_E_NOT_FOUND (NOTAUTH, NOTZONE), HF_E_AGAIN
 * (SERVFAIL), HF_E_STALE (another question's), HF_E_CORRUPT, HF_E_REFUSED (others). */
hf_result hf_dns_update_parse(const uint8_t *packet, size_t len, uint16_t id,
                              const struct hf_route_record *record, struct hf_err *err) HF_MUST_USE;

/* What the zone's primary answers about the name, as a provider's reading. HF_E_REFUSED when the
 * name has a CNAME and the record is none. */
hf_result hf_dns_seen_parse(const uint8_t *packet, size_t len, uint16_t id,
                            const struct hf_route_record *record, struct hf_route_seen *ret,
                            struct hf_err *err) HF_MUST_USE;

#endif
