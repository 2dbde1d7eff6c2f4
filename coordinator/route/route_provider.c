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
    case HF_CONFIG_DNS_CLOUDFLARE:
        return &hf_route_cloudflare;
    case HF_CONFIG_DNS_ROUTE53:
        return &hf_route_route53;
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

hf_result hf_route_http_check(const char *provider, const struct hf_http_response *response,
                              const char *said, struct hf_err *err)
{
    if (!hf_ok(response->result)) {
        *err = *response->err;
        return hf_fail_context(err, "%s", provider);
    }
    int status = response->status;
    if (status >= 200 && status < 300) {
        return hf_done();
    }
    enum hf_code code = HF_E_REFUSED;
    if (status == 401 || status == 403) {
        code = HF_E_DENIED;
    } else if (status == 404) {
        code = HF_E_NOT_FOUND;
    } else if (status == 408 || status == 429 || status >= 500) {
        code = HF_E_AGAIN;
    }
    return hf_fail(err, code, "%s answered %d: %.200s", provider, status, said);
}
