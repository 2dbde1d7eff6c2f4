/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/message.h"

#include <stddef.h>
#include <string.h>

#include "common/core/fields.h"

static const char *const state_names[] = {
    "unknown",  "empty",   "down",     "unmanaged", "standby", "preparing", "prepared", "elected",
    "starting", "primary", "stopping", "fencing",   "copying", "following", "archive",  NULL};
static const char *const op_names[] = {"none", "running", "done", "failed", NULL};
static const char *const source_names[] = {"none", "etcd", "failsafe", NULL};
static const char *const command_names[] = {"prepare", "lead",  "follow", "copy",  "backup",
                                            "probe",   "drain", "stop",   "adopt", NULL};
static const char *const type_names[] = {
    "hello",           "heartbeat",     "grant",  "view",       "command",
    "promise_request", "promise_reply", "report", "report_ack", NULL};
_Static_assert(sizeof state_names / sizeof *state_names == HF_NODE_STATES + 1, "a name a state");
_Static_assert(sizeof op_names / sizeof *op_names == HF_OP_STATUSES + 1, "a name a status");
_Static_assert(sizeof source_names / sizeof *source_names == HF_LEASE_SOURCES + 1, "a name each");
_Static_assert(sizeof command_names / sizeof *command_names == HF_COMMAND_KINDS + 1, "a name each");
_Static_assert(sizeof type_names / sizeof *type_names == HF_MESSAGE_TYPES + 1, "a name each");

#define F HF_FIELD
static const struct hf_field hello_fields[] = {
    F(NAME, struct hf_hello, tenant),  F(NAME, struct hf_hello, cluster),
    F(NAME, struct hf_hello, region),  F(NAME, struct hf_hello, node),
    F(TEXT, struct hf_hello, address), F(TEXT, struct hf_hello, version),
    F(TEXT, struct hf_hello, boot),    HF_FIELDS_END};

#define B struct hf_heartbeat
static const struct hf_field heartbeat_fields[] = {
    F(U64, B, seq),
    F(U64, B, life),
    F(I64, B, clock_us),
    HF_FIELD_AS("read_ago_us", I64, B, read_ago),
    F(U64, B, generation),
    F(U64, B, epoch),
    F(U64, B, prepared),
    HF_FIELD_NAMES(B, state, state_names),
    F(U64, B, system_id),
    F(U32, B, timeline),
    F(LSN, B, written),
    F(LSN, B, flushed),
    F(LSN, B, replayed),
    F(BOOL, B, streaming),
    F(LSN, B, final),
    F(U32, B, final_timeline),
    F(BOOL, B, final_known),
    F(BOOL, B, guard),
    F(BOOL, B, want_lease),
    F(U64, B, lease_epoch),
    F(U64, B, lease_serial),
    HF_FIELD_AS("lease_remaining_us", I64, B, lease_remaining),
    HF_FIELD_NAMES(B, lease_source, source_names),
    F(U64, B, surrendered),
    F(U64, B, surrendered_serial),
    F(U64, B, candidates_acked),
    F(U64, B, candidates_known),
    F(U64, B, term),
    F(U64, B, promise_epoch),
    F(U64, B, promise_serial),
    HF_FIELD_AS("promise_remaining_us", I64, B, promise_remaining),
    F(TEXT, B, op),
    HF_FIELD_NAMES(B, op_status, op_names),
    F(TEXT, B, op_error),
    F(BOOL, B, repository_known),
    F(BOOL, B, repository_ok),
    F(LSN, B, wal_to),
    F(U32, B, wal_timeline),
    F(TEXT, B, newest_backup),
    F(U64, B, archive_queue),
    F(BOOL, B, disk_known),
    F(U64, B, disk_free),
    F(BOOL, B, pg_silent),
    HF_FIELDS_END};
#undef B

static const struct hf_field grant_fields[] = {F(U64, struct hf_grant, seq),
                                               F(U64, struct hf_grant, life),
                                               F(U64, struct hf_grant, generation),
                                               F(U64, struct hf_grant, epoch),
                                               F(U64, struct hf_grant, term),
                                               F(U64, struct hf_grant, serial),
                                               HF_FIELD_AS("ttl_us", I64, struct hf_grant, ttl),
                                               F(CANDIDATES, struct hf_grant, candidates),
                                               HF_FIELDS_END};

static const struct hf_field view_fields[] = {F(U64, struct hf_view, generation),
                                              F(U64, struct hf_view, epoch),
                                              F(U64, struct hf_view, term),
                                              F(NAME, struct hf_view, primary),
                                              F(TEXT, struct hf_view, primary_address),
                                              F(U32, struct hf_view, timeline),
                                              HF_FIELD_AS("ttl_us", I64, struct hf_view, ttl),
                                              F(CANDIDATES, struct hf_view, candidates),
                                              HF_FIELDS_END};

#define C struct hf_command
static const struct hf_field command_fields[] = {F(TEXT, C, id),
                                                 HF_FIELD_NAMES(C, kind, command_names),
                                                 F(U64, C, generation),
                                                 F(U64, C, term),
                                                 F(U64, C, sequence),
                                                 F(U64, C, epoch),
                                                 F(U64, C, seq),
                                                 F(U64, C, life),
                                                 HF_FIELD_AS("ttl_us", I64, C, ttl),
                                                 F(NAME, C, node),
                                                 F(TEXT, C, address),
                                                 F(U32, C, timeline),
                                                 F(U64, C, released_epoch),
                                                 F(U64, C, released_serial),
                                                 F(U64, C, from_generation),
                                                 F(TEXT, C, body),
                                                 HF_FIELDS_END};
#undef C

#define P struct hf_promise_request
static const struct hf_field promise_request_fields[] = {
    F(U64, P, round), F(NAME, P, holder), F(NAME, P, to),     F(U64, P, generation),
    F(U64, P, epoch), F(U64, P, serial),  F(U64, P, version), HF_FIELD_AS("ttl_us", I64, P, ttl),
    HF_FIELDS_END};
#undef P
#define P struct hf_promise_reply
static const struct hf_field promise_reply_fields[] = {
    F(U64, P, round),  F(NAME, P, holder),   F(NAME, P, from),   F(U64, P, epoch),
    F(U64, P, serial), F(BOOL, P, promised), F(TEXT, P, reason), HF_FIELDS_END};
#undef P
static const struct hf_field report_fields[] = {F(TEXT, struct hf_report, id),
                                                F(TEXT, struct hf_report, kind),
                                                F(TEXT, struct hf_report, body), HF_FIELDS_END};
static const struct hf_field report_ack_fields[] = {F(TEXT, struct hf_report_ack, id),
                                                    HF_FIELDS_END};
#undef F

static const struct hf_field *const fields_of[] = {
    hello_fields,           heartbeat_fields,     grant_fields,  view_fields,      command_fields,
    promise_request_fields, promise_reply_fields, report_fields, report_ack_fields};
_Static_assert(sizeof fields_of / sizeof *fields_of == HF_MESSAGE_TYPES, "a table a type");

hf_result hf_message_encode(const struct hf_message *m, struct hf_buf *out, struct hf_err *err)
{
    HF_ASSERT(m->type < HF_MESSAGE_TYPES);
    HF_AUTOJSON hf_json *o = hf_json_object();
    hf_json_put_int(o, "v", 1);
    hf_json_put_text(o, "type", type_names[m->type]);
    hf_fields_put(o, fields_of[m->type], &m->hello);
    size_t before = out->len;
    HF_TRY(hf_json_write(o, out, err));
    if (out->len - before > HF_MESSAGE_MAX) {
        return hf_fail(err, HF_E_LIMIT, "message %s of %zu bytes; at most %d are allowed",
                       type_names[m->type], out->len - before, HF_MESSAGE_MAX);
    }
    return hf_done();
}

/* What must be there for the message to mean anything. */
static hf_result check_message(const struct hf_message *m, struct hf_err *err)
{
    if (m->type == HF_MESSAGE_HELLO &&
        (hf_name_empty(&m->hello.tenant) || hf_name_empty(&m->hello.cluster) ||
         hf_name_empty(&m->hello.region) || hf_name_empty(&m->hello.node))) {
        return hf_fail(err, HF_E_INVALID, "hello needs tenant, cluster, region and node");
    }
    if (m->type == HF_MESSAGE_HEARTBEAT && (m->heartbeat.seq == 0 || m->heartbeat.life == 0)) {
        return hf_fail(err, HF_E_INVALID, "heartbeat needs seq and life above 0");
    }
    if ((m->type == HF_MESSAGE_GRANT && (m->grant.ttl.us <= 0 || m->grant.epoch.v == 0)) ||
        (m->type == HF_MESSAGE_COMMAND && (m->command.ttl.us <= 0 || m->command.id[0] == '\0')) ||
        (m->type == HF_MESSAGE_PROMISE_REQUEST && m->promise_request.ttl.us <= 0)) {
        return hf_fail(err, HF_E_INVALID, "%s needs a ttl above 0 and its id", type_names[m->type]);
    }
    if ((m->type == HF_MESSAGE_REPORT && m->report.id[0] == '\0') ||
        (m->type == HF_MESSAGE_REPORT_ACK && m->report_ack.id[0] == '\0')) {
        return hf_fail(err, HF_E_INVALID, "%s needs an id", type_names[m->type]);
    }
    return hf_done();
}

hf_result hf_message_decode(const char *text, size_t len, struct hf_message *ret,
                            struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = NULL;
    HF_TRY(hf_json_parse(text, len, HF_MESSAGE_MAX, &o, err));
    uint64_t version = 0;
    char type[32] = "";
    HF_TRY(hf_json_get_u64(o, "v", &version, err));
    HF_TRY(hf_json_get_text(o, "type", type, sizeof type, err));
    int index = 0;
    if (version != 1 || !hf_ok(hf_names_find(type_names, type, "type", &index, err))) {
        return hf_fail(err, HF_E_UNSUPPORTED, "message version %llu type \"%s\" is not known here",
                       (unsigned long long)version, type);
    }
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = (enum hf_message_type)index;
    HF_TRY(hf_fields_get(o, fields_of[index], &m.hello, err));
    HF_TRY(check_message(&m, err));
    *ret = m;
    return hf_done();
}

const char *hf_node_state_name(enum hf_node_state s)
{
    return s < HF_NODE_STATES ? state_names[s] : "unknown";
}
const char *hf_command_kind_name(enum hf_command_kind k)
{
    return k < HF_COMMAND_KINDS ? command_names[k] : "unknown";
}
const char *hf_message_type_name(enum hf_message_type t)
{
    return t < HF_MESSAGE_TYPES ? type_names[t] : "unknown";
}
const char *hf_op_status_name(enum hf_op_status s)
{
    return s < HF_OP_STATUSES ? op_names[s] : "none";
}
hf_result hf_node_state_parse(const char *text, enum hf_node_state *ret, struct hf_err *err)
{
    int index = 0;
    HF_TRY(hf_names_find(state_names, text, "node state", &index, err));
    *ret = (enum hf_node_state)index;
    return hf_done();
}

bool hf_candidates_contain(const struct hf_candidates *c, const hf_name *node)
{
    for (int i = 0; i < c->count; i++) {
        if (hf_name_equal(&c->members[i], node)) {
            return true;
        }
    }
    return false;
}
