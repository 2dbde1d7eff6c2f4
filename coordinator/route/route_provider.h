/* SPDX-License-Identifier: Apache-2.0
 *
 * What the providers have in common. Pure, besides the file that holds a secret.
 * Invariant: what a provider found counts as the wanted record by one comparison, here, whoever
 * found it. Loop thread only.
 */
#ifndef HF_COORDINATOR_ROUTE_PROVIDER_H
#define HF_COORDINATOR_ROUTE_PROVIDER_H

#include "coordinator/route/route.h"

/* One record of the wanted name and type, as the provider writes it. */
void hf_route_seen_add(struct hf_route_seen *seen, hf_dur ttl, const char *value);
/* Fills found: exactly one record, the wanted value (addresses and names compare without regard to
 * case and to the final dot of a name), the wanted TTL. */
void hf_route_seen_compare(struct hf_route_seen *seen, const struct hf_route_record *want);
/* "a.b." and "A.b" are the same name. */
bool hf_route_name_equal(const char *a, const char *b);

/* What an HTTP API's response means: HF_OK for 2xx, else by transport and status; said is the
 * provider's own word for it, or "". */
hf_result hf_route_http_check(const char *provider, const struct hf_http_response *response,
                              const char *said, struct hf_err *err) HF_MUST_USE;

#endif
