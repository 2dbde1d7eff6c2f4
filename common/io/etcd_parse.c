/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/hex.h"
#include "common/io/etcd_internal.h"

void hf_etcd_parsed_free(struct hf_etcd_parsed *p)
{
    hf_arena_free(p->arena);
    hf_json_free(p->document);
    *p = (struct hf_etcd_parsed){0};
}

/* Room for every decoded text and every item: none can be longer than its own JSON, apart from the
 * fixed size of the structs. */
static hf_result open_document(const char *body, size_t len, struct hf_etcd_parsed *hold,
                               struct hf_err *err)
{
    hf_result r = hf_json_parse(body, len, HF_ETCD_RESPONSE_MAX, &hold->document, err);
    if (!hf_ok(r) || !hf_json_is_object(hold->document)) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer is not a JSON object");
    }
    hold->arena = hf_arena_new(len * 64 + 65536);
    return hf_done();
}

/* Every answer has a header with a revision: what has not is not etcd's. */
static hf_result read_header(const hf_json *o, int64_t *ret_revision, uint64_t *ret_cluster,
                             struct hf_err *err)
{
    const hf_json *header = hf_json_member(o, "header");
    int64_t revision = 0;
    if (!hf_json_is_object(header)) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer has no header");
    }
    if (!hf_ok(hf_json_get_i64_opt(header, "revision", &revision, err)) || revision < 0) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer has a malformed revision");
    }
    if (ret_cluster != NULL && hf_json_member(header, "cluster_id") != NULL) {
        HF_TRY(hf_json_get_u64(header, "cluster_id", ret_cluster, err));
    }
    *ret_revision = revision;
    return hf_done();
}

static hf_result read_bytes(const hf_json *o, const char *name, struct hf_arena *arena,
                            const char **ret, size_t *ret_len, struct hf_err *err)
{
    const hf_json *member = hf_json_member(o, name);
    if (member == NULL) { /* empty fields are left out */
        *ret = "";
        *ret_len = 0;
        return hf_done();
    }
    const char *text = hf_json_text(member);
    size_t room = strlen(text) / 4 * 3 + 4;
    char *bytes = hf_arena_alloc(arena, room + 1);
    size_t len = 0;
    if (!hf_json_is_text(member) ||
        !hf_ok(hf_base64_decode(text, (uint8_t *)bytes, room, &len, err))) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: %s is not base64", name);
    }
    bytes[len] = '\0';
    *ret = bytes;
    *ret_len = len;
    return hf_done();
}

static hf_result read_kv(const hf_json *o, struct hf_arena *arena, struct hf_etcd_kv *ret,
                         struct hf_err *err)
{
    struct hf_etcd_kv kv = {0};
    HF_TRY(read_bytes(o, "key", arena, &kv.key, &kv.key_len, err));
    HF_TRY(read_bytes(o, "value", arena, &kv.value, &kv.value_len, err));
    const struct {
        const char *name;
        int64_t *to;
    } numbers[] = {{"create_revision", &kv.create_revision},
                   {"mod_revision", &kv.mod_revision},
                   {"version", &kv.version},
                   {"lease", &kv.lease}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (!hf_ok(hf_json_get_i64_opt(o, numbers[i].name, numbers[i].to, err))) {
            return hf_fail(err, HF_E_CORRUPT, "etcd's answer: malformed %s", numbers[i].name);
        }
    }
    if (kv.key_len == 0 || memchr(kv.key, '\0', kv.key_len) != NULL) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: a key that is empty or has a NUL");
    }
    *ret = kv;
    return hf_done();
}

static hf_result read_array(const hf_json *o, const char *name, size_t max, const hf_json **ret,
                            size_t *ret_count, struct hf_err *err)
{
    const hf_json *list = hf_json_member(o, name);
    *ret = list;
    *ret_count = list == NULL ? 0 : hf_json_size(list);
    if (list != NULL && (!hf_json_is_array(list) || *ret_count > max)) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: %s is not an array of at most %zu", name,
                       max);
    }
    return hf_done();
}

static hf_result read_range(const hf_json *o, struct hf_arena *arena, struct hf_etcd_op_reply *ret,
                            struct hf_err *err)
{
    const hf_json *list;
    size_t n;
    HF_TRY(read_array(o, "kvs", HF_ETCD_KVS_MAX, &list, &n, err));
    struct hf_etcd_kv *kvs = hf_arena_alloc(arena, (n + 1) * sizeof(*kvs));
    const hf_json **items = hf_arena_alloc(arena, (n + 1) * sizeof(*items));
    hf_json_items(list, items, n);
    for (size_t i = 0; i < n; i++) {
        HF_TRY(read_kv(items[i], arena, &kvs[i], err));
    }
    int64_t count = 0;
    if (!hf_ok(hf_json_get_i64_opt(o, "count", &count, err))) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: malformed count");
    }
    *ret = (struct hf_etcd_op_reply){.kvs = kvs, .kv_count = n, .count = count};
    return hf_done();
}

static hf_result read_op(const hf_json *o, struct hf_arena *arena, struct hf_etcd_op_reply *ret,
                         struct hf_err *err)
{
    const hf_json *range = hf_json_member(o, "response_range");
    if (range != NULL) {
        return read_range(range, arena, ret, err);
    }
    *ret = (struct hf_etcd_op_reply){0};
    const hf_json *deleted = hf_json_member(o, "response_delete_range");
    if (deleted != NULL && !hf_ok(hf_json_get_i64_opt(deleted, "deleted", &ret->count, err))) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: malformed deleted");
    }
    if (deleted == NULL && hf_json_member(o, "response_put") == NULL) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: an unknown operation");
    }
    return hf_done();
}

static hf_result parse_range(struct hf_etcd_parsed *hold, struct hf_etcd_reply *ret,
                             struct hf_err *err)
{
    struct hf_etcd_op_reply *op = hf_arena_alloc(hold->arena, sizeof(*op));
    HF_TRY(read_range(hold->document, hold->arena, op, err));
    ret->ops = op;
    ret->op_count = 1;
    return hf_done();
}

static hf_result parse_txn(struct hf_etcd_parsed *hold, struct hf_etcd_reply *ret,
                           struct hf_err *err)
{
    if (!hf_ok(hf_json_get_bool_opt(hold->document, "succeeded", &ret->succeeded, err))) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: malformed succeeded");
    }
    const hf_json *list;
    size_t n;
    HF_TRY(read_array(hold->document, "responses", HF_ETCD_OPS_MAX, &list, &n, err));
    struct hf_etcd_op_reply *ops = hf_arena_alloc(hold->arena, (n + 1) * sizeof(*ops));
    for (size_t i = 0; i < n; i++) {
        HF_TRY(read_op(hf_json_at(list, i), hold->arena, &ops[i], err));
    }
    ret->ops = ops;
    ret->op_count = n;
    return hf_done();
}

/* Grant and revoke answer directly, a keepalive inside "result" (it is a stream of one). */
static hf_result parse_lease(const hf_json *o, struct hf_etcd_reply *ret, struct hf_err *err)
{
    if (!hf_ok(hf_json_get_i64_opt(o, "ID", &ret->lease_id, err)) ||
        !hf_ok(hf_json_get_i64_opt(o, "TTL", &ret->lease_ttl_s, err))) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's answer: malformed lease");
    }
    return hf_done();
}

hf_result hf_etcd_parse_reply(enum hf_etcd_kind kind, const char *body, size_t len,
                              struct hf_etcd_parsed *hold, struct hf_etcd_reply *ret,
                              struct hf_err *err)
{
    HF_TRY(open_document(body, len, hold, err));
    struct hf_etcd_reply reply = *ret;
    const hf_json *o = hold->document;
    const hf_json *inner = hf_json_member(o, "result");
    if (kind == HF_ETCD_CALL_LEASE && hf_json_is_object(inner)) {
        o = inner;
    }
    HF_TRY(read_header(o, &reply.revision, &reply.cluster, err));
    switch (kind) {
    case HF_ETCD_CALL_RANGE:
        HF_TRY(parse_range(hold, &reply, err));
        break;
    case HF_ETCD_CALL_TXN:
        HF_TRY(parse_txn(hold, &reply, err));
        break;
    case HF_ETCD_CALL_LEASE:
        HF_TRY(parse_lease(o, &reply, err));
        break;
    }
    *ret = reply;
    return hf_done();
}

/* grpc codes: github.com/grpc/grpc/blob/master/doc/statuscodes.md */
enum { GRPC_NOT_FOUND = 5, GRPC_DENIED = 7, GRPC_EXHAUSTED = 8, GRPC_UNAUTHENTICATED = 16 };

hf_result hf_etcd_parse_error(int status, const char *body, size_t len, bool *ret_untouched,
                              struct hf_err *err)
{
    char text[256] = "no text";
    int64_t code = -1;
    HF_AUTOPARSED struct hf_etcd_parsed hold = {0};
    if (hf_ok(open_document(body, len, &hold, NULL))) {
        HF_IGNORE(hf_json_get_text_opt(hold.document, "error", text, sizeof(text), NULL), "shown");
        HF_IGNORE(hf_json_get_i64_opt(hold.document, "code", &code, NULL), "classified below");
    }
    *ret_untouched = true;
    switch (code) {
    case GRPC_NOT_FOUND:
        return hf_fail(err, HF_E_NOT_FOUND, "etcd: %s", text);
    case GRPC_DENIED:
    case GRPC_UNAUTHENTICATED:
        return hf_fail(err, HF_E_DENIED, "etcd: %s", text);
    case GRPC_EXHAUSTED:
        return hf_fail(err, HF_E_AGAIN, "etcd: %s", text);
    default:
        break;
    }
    if (strstr(text, "no leader") != NULL || strstr(text, "TransientFailure") != NULL) {
        return hf_fail(err, HF_E_AGAIN, "etcd: %s", text);
    }
    if (status >= 500) {
        /* "request timed out", "leader changed", "transport is closing": it may have been done */
        *ret_untouched = false;
        return hf_fail(err, HF_E_AGAIN, "etcd (HTTP %d): %s", status, text);
    }
    return hf_fail(err, HF_E_REFUSED, "etcd (HTTP %d): %s", status, text);
}

static hf_result read_events(const hf_json *o, struct hf_arena *arena,
                             struct hf_etcd_watch_line *ret, struct hf_err *err)
{
    const hf_json *list;
    size_t n;
    HF_TRY(read_array(o, "events", HF_ETCD_KVS_MAX, &list, &n, err));
    struct hf_etcd_event *events = hf_arena_alloc(arena, (n + 1) * sizeof(*events));
    const hf_json **items = hf_arena_alloc(arena, (n + 1) * sizeof(*items));
    hf_json_items(list, items, n);
    for (size_t i = 0; i < n; i++) {
        const hf_json *type = hf_json_member(items[i], "type"); /* PUT is the default: left out */
        const hf_json *kv = hf_json_member(items[i], "kv");
        if (!hf_json_is_object(kv)) {
            return hf_fail(err, HF_E_CORRUPT, "etcd's watch: an event without key");
        }
        events[i].kind = type != NULL && strcmp(hf_json_text(type), "DELETE") == 0
                             ? HF_ETCD_EVENT_DELETE
                             : HF_ETCD_EVENT_PUT;
        HF_TRY(read_kv(kv, arena, &events[i].kv, err));
    }
    ret->events = events;
    ret->count = n;
    return hf_done();
}

hf_result hf_etcd_parse_watch(const char *line, size_t len, struct hf_etcd_parsed *hold,
                              struct hf_etcd_watch_line *ret, struct hf_err *err)
{
    HF_TRY(open_document(line, len, hold, err));
    const hf_json *problem = hf_json_member(hold->document, "error");
    if (problem != NULL) {
        char text[256] = "no text";
        if (hf_json_is_object(problem)) {
            HF_IGNORE(hf_json_get_text_opt(problem, "message", text, sizeof(text), NULL), "shown");
        }
        return hf_fail(err, HF_E_AGAIN, "etcd's watch: %s", text);
    }
    const hf_json *o = hf_json_member(hold->document, "result");
    if (!hf_json_is_object(o)) {
        return hf_fail(err, HF_E_CORRUPT, "etcd's watch: a line without result");
    }
    struct hf_etcd_watch_line parsed = {0};
    HF_TRY(read_header(o, &parsed.revision, NULL, err));
    HF_TRY(hf_json_get_bool_opt(o, "created", &parsed.created, err));
    HF_TRY(hf_json_get_bool_opt(o, "canceled", &parsed.canceled, err));
    HF_TRY(hf_json_get_i64_opt(o, "compact_revision", &parsed.compact_revision, err));
    HF_TRY(read_events(o, hold->arena, &parsed, err));
    *ret = parsed;
    return hf_done();
}
