/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/core/fields.h"
#include "coordinator/core/cluster.h"

enum { RECORD_MAX = 32768 };

#define S struct hf_cluster_state
static const struct hf_field state_fields[] = {HF_FIELD(U64, S, generation),
                                               HF_FIELD(U64, S, epoch),
                                               HF_FIELD(NAME, S, primary),
                                               HF_FIELD(U64, S, primary_epoch),
                                               HF_FIELD(U32, S, timeline),
                                               HF_FIELD(LSN, S, fork),
                                               HF_FIELD(U32, S, parent),
                                               HF_FIELD(U32, S, reserved),
                                               HF_FIELD(U64, S, system_id),
                                               HF_FIELD(U64, S, fenced),
                                               HF_FIELD(BOOL, S, owes),
                                               HF_FIELD_AS("owed_known", BOOL, S, owed.known),
                                               HF_FIELD_AS("owed_bytes", U64, S, owed.bytes),
                                               HF_FIELD_AS("owed_time_us", I64, S, owed.time),
                                               HF_FIELD(CANDIDATES, S, candidates),
                                               HF_FIELD(CANDIDATES, S, acked),
                                               HF_FIELD(TEXT, S, plan),
                                               HF_FIELD(U64, S, plans),
                                               HF_FIELD(BOOL, S, paused),
                                               HF_FIELD(TEXT, S, doubt),
                                               HF_FIELD(CANDIDATES, S, follow),
                                               HF_FIELDS_END};
#undef S

#define P struct hf_plan
static const struct hf_field plan_fields[] = {HF_FIELD(TEXT, P, id),
                                              HF_FIELD_NAMES(P, kind, hf_plan_kind_names),
                                              HF_FIELD_NAMES(P, step, hf_step_names),
                                              HF_FIELD(U64, P, epoch),
                                              HF_FIELD(NAME, P, from),
                                              HF_FIELD(U64, P, from_epoch),
                                              HF_FIELD(NAME, P, to),
                                              HF_FIELD(TEXT, P, wish),
                                              HF_FIELD(BOOL, P, requested),
                                              HF_FIELD(BOOL, P, confirmed),
                                              HF_FIELD(U32, P, timeline),
                                              HF_FIELD(U32, P, parent),
                                              HF_FIELD(LSN, P, fork),
                                              HF_FIELD_AS("loss_known", BOOL, P, loss.known),
                                              HF_FIELD_AS("loss_bytes", U64, P, loss.bytes),
                                              HF_FIELD_AS("loss_time_us", I64, P, loss.time),
                                              HF_FIELD(I64, P, detected_us),
                                              HF_FIELD(I64, P, heard_us),
                                              HF_FIELD(I64, P, writable_us),
                                              HF_FIELDS_END};
#undef P

hf_result hf_cluster_state_encode(const struct hf_cluster_state *s, struct hf_buf *out,
                                  struct hf_err *err)
{
    return hf_fields_encode(state_fields, s, out, err);
}

hf_result hf_cluster_state_decode(const char *text, size_t len, struct hf_cluster_state *ret,
                                  struct hf_err *err)
{
    struct hf_cluster_state s;
    memset(&s, 0, sizeof s);
    HF_TRY(hf_fields_decode(text, len, RECORD_MAX, state_fields, &s, err));
    if (s.primary_epoch.v > s.epoch.v || s.acked.version > s.candidates.version) {
        return hf_fail(err, HF_E_CORRUPT, "cluster state contradicts itself");
    }
    *ret = s;
    return hf_done();
}

hf_result hf_plan_encode(const struct hf_plan *p, struct hf_buf *out, struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = hf_json_object();
    hf_fields_put(o, plan_fields, p);
    hf_json *reasons = hf_json_array();
    for (int i = 0; i < p->reasons; i++) {
        hf_json_push_text(reasons, p->reason[i]);
    }
    hf_json_put(o, "reasons", reasons);
    hf_json *entered = hf_json_object();
    for (int i = 0; i < HF_STEPS; i++) {
        if (p->entered_us[i] != 0) {
            hf_json_put_i64(entered, hf_step_names[i], p->entered_us[i]);
        }
    }
    hf_json_put(o, "entered_us", entered);
    return hf_json_write(o, out, err);
}

hf_result hf_plan_decode(const char *text, size_t len, struct hf_plan *ret, struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = NULL;
    HF_TRY(hf_json_parse(text, len, RECORD_MAX, &o, err));
    struct hf_plan p;
    memset(&p, 0, sizeof p);
    const hf_json *reasons = NULL;
    const hf_json *entered = NULL;
    HF_TRY(hf_fields_get(o, plan_fields, &p, err));
    HF_TRY(hf_json_get_array(o, "reasons", HF_REASONS_MAX, &reasons, err));
    HF_TRY(hf_json_get_object(o, "entered_us", &entered, err));
    for (size_t i = 0; i < hf_json_size(reasons); i++) {
        const char *text_i = hf_json_text(hf_json_at(reasons, i));
        if (strlen(text_i) >= HF_REASON_SIZE) {
            return hf_fail(err, HF_E_LIMIT, "plan reason of more than %d bytes",
                           HF_REASON_SIZE - 1);
        }
        memcpy(p.reason[p.reasons++], text_i, strlen(text_i) + 1);
    }
    for (int i = 0; i < HF_STEPS; i++) {
        HF_TRY(hf_json_get_i64_opt(entered, hf_step_names[i], &p.entered_us[i], err));
    }
    if (p.id[0] == '\0') {
        return hf_fail(err, HF_E_CORRUPT, "plan without an id");
    }
    *ret = p;
    return hf_done();
}
