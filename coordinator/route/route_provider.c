/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/route_provider.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct hf_route_provider *hf_route_provider_of(enum hf_config_dns_type type)
{
    switch (type) {
    case HF_CONFIG_DNS_POWERDNS:
        return &hf_route_powerdns;
    case HF_CONFIG_DNS_RFC2136:
        return &hf_route_rfc2136;
    case HF_CONFIG_DNS_EXEC:
        return &hf_route_exec;
    default:
        return NULL;
    }
}

bool hf_route_name_equal(const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    n -= n > 0 && a[n - 1] == '.' ? 1 : 0;
    m -= m > 0 && b[m - 1] == '.' ? 1 : 0;
    return n == m && strncasecmp(a, b, n) == 0;
}

void hf_route_seen_add(struct hf_route_seen *seen, hf_dur ttl, const char *value)
{
    if (seen->count < HF_ROUTE_VALUES) {
        (void)snprintf(seen->values[seen->count], sizeof seen->values[0], "%s", value);
    }
    seen->count++;
    seen->ttl = ttl;
}

void hf_route_seen_compare(struct hf_route_seen *seen, const struct hf_route_record *want)
{
    seen->found = seen->count == 1 && seen->ttl.us == want->ttl.us &&
                  hf_route_name_equal(seen->values[0], want->value);
}
