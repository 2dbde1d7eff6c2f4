/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/endpoints.h"

#include <string.h>

#include "common/core/units.h"

const char *const HF_ENDPOINT_PATHS[HF_ENDPOINTS] = {"/primary", "/read-write", "/replica",
                                                     "/read-only", "/health"};

hf_result hf_endpoint_find(const char *path, enum hf_endpoint *ret)
{
    for (int i = 0; i < HF_ENDPOINTS; i++) {
        if (strcmp(path, HF_ENDPOINT_PATHS[i]) == 0) {
            *ret = (enum hf_endpoint)i;
            return hf_done();
        }
    }
    return (hf_result){HF_E_NOT_FOUND};
}

static bool all_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

hf_result hf_endpoint_limit_parse(const char *text, struct hf_endpoint_limit *ret,
                                  struct hf_err *err)
{
    struct hf_endpoint_limit limit = {.has_bytes = false};
    size_t n = strlen(text);
    bool size = all_digits(text) || (n > 0 && text[n - 1] == 'B');
    if (size && n < 20) {
        char plain[24];
        memcpy(plain, text, n + 1);
        if (all_digits(text)) {
            memcpy(plain + n, "B", 2);
        }
        limit.has_bytes = hf_ok(hf_units_parse_size(plain, &limit.bytes, NULL));
    } else if (!size) {
        limit.has_time = hf_ok(hf_units_parse_duration(text, &limit.time, NULL));
    }
    if (!limit.has_bytes && !limit.has_time) {
        return hf_fail(err, HF_E_INVALID, "lag: allowed: a number of bytes, %s; %s",
                       HF_UNITS_SIZE_ALLOWED, HF_UNITS_DURATION_ALLOWED);
    }
    *ret = limit;
    return hf_done();
}

static bool near_enough(const struct hf_endpoint_facts *f, const struct hf_endpoint_limit *limit)
{
    return (!limit->has_bytes || (f->lag_bytes_known && f->lag_bytes <= limit->bytes)) &&
           (!limit->has_time || (f->lag_time_known && f->lag_time.us <= limit->time.us));
}

bool hf_endpoint_answer(enum hf_endpoint endpoint, const struct hf_endpoint_facts *f,
                        const struct hf_endpoint_limit *limit)
{
    bool primary = f->answers && !f->in_recovery && f->lease;
    bool replica = f->answers && f->in_recovery && near_enough(f, limit);
    switch (endpoint) {
    case HF_ENDPOINT_PRIMARY:
    case HF_ENDPOINT_READ_WRITE:
        return primary;
    case HF_ENDPOINT_REPLICA:
        return replica;
    case HF_ENDPOINT_READ_ONLY:
        return primary || replica;
    case HF_ENDPOINT_HEALTH:
        return !f->has_postgresql || f->answers;
    case HF_ENDPOINTS:
    default:
        return false;
    }
}
