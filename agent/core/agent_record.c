/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/core/agent_core.h"
#include "common/core/fields.h"

#define R struct hf_agent_record
static const struct hf_field record_fields[] = {
    HF_FIELD(U64, R, generation),
    HF_FIELD(U64, R, epoch),
    HF_FIELD(U64, R, prepared),
    HF_FIELD_AS("order_generation", U64, R, order.generation),
    HF_FIELD_AS("order_term", U64, R, order.term),
    HF_FIELD_AS("order_sequence", U64, R, order.sequence),
    HF_FIELD(TEXT, R, last_command),
    HF_FIELD(U64, R, serial),
    HF_FIELD(U64, R, surrendered),
    HF_FIELD(U64, R, surrendered_serial),
    HF_FIELD(U64, R, led),
    HF_FIELD(BOOL, R, copying),
    HF_FIELD(U64, R, known_version),
    HF_FIELD(CANDIDATES, R, acked),
    HF_FIELD(U64, R, promise_epoch),
    HF_FIELD(U64, R, promise_serial),
    HF_FIELD(NAME, R, promise_holder),
    HF_FIELD_AS("promise_until_us", I64, R, promise_until),
    HF_FIELD_AS("max_ttl_us", I64, R, max_ttl),
    HF_FIELD(TEXT, R, boot),
    HF_FIELDS_END};
#undef R

hf_result hf_agent_record_encode(const struct hf_agent_record *r, struct hf_buf *out,
                                 struct hf_err *err)
{
    return hf_fields_encode(record_fields, r, out, err);
}

hf_result hf_agent_record_decode(const char *text, size_t len, struct hf_agent_record *ret,
                                 struct hf_err *err)
{
    struct hf_agent_record r;
    memset(&r, 0, sizeof r);
    HF_TRY(hf_fields_decode(text, len, 16384, record_fields, &r, err));
    if (r.boot[0] == '\0' || r.max_ttl.us <= 0 || r.prepared.v > r.epoch.v || r.led.v > r.epoch.v) {
        return hf_fail(err, HF_E_CORRUPT, "agent record contradicts itself");
    }
    *ret = r;
    return hf_done();
}
