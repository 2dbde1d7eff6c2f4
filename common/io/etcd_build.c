/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/base/hex.h"
#include "common/io/etcd_internal.h"

static void put_bytes(hf_json *o, const char *name, const void *bytes, size_t len)
{
    HF_AUTOFREE char *text = hf_alloc((len + 2) / 3 * 4 + 1);
    hf_base64_encode(bytes, len, text);
    hf_json_put_text(o, name, text);
}

static hf_result check_key(const char *key, struct hf_err *err)
{
    size_t n = strlen(key);
    if (n == 0 || n > HF_ETCD_KEY_MAX) {
        return hf_fail(err, HF_E_INVALID, "etcd key of %zu bytes, allowed are 1 to %d", n,
                       HF_ETCD_KEY_MAX);
    }
    return hf_done();
}

/* The key, and with prefix the end of its range: the prefix with its last byte one higher (bytes
 * 0xff at the end fall away; nothing left means: to the end of all keys, "\0"). */
static void put_key(hf_json *o, const char *key, bool prefix)
{
    size_t n = strlen(key);
    put_bytes(o, "key", key, n);
    if (!prefix) {
        return;
    }
    char end[HF_ETCD_KEY_MAX + 1];
    memcpy(end, key, n);
    while (n > 0 && (unsigned char)end[n - 1] == 0xff) {
        n--;
    }
    if (n == 0) {
        end[n++] = '\0';
    } else {
        end[n - 1]++;
    }
    put_bytes(o, "range_end", end, n);
}

static hf_result finish(hf_json *o, struct hf_buf *ret, struct hf_err *err)
{
    hf_result r = hf_json_write(o, ret, err);
    hf_json_free(o);
    return hf_ok(r) ? r : hf_fail_context(err, "etcd request");
}

hf_result hf_etcd_build_range(const struct hf_etcd_range *range, struct hf_buf *ret,
                              struct hf_err *err)
{
    HF_TRY(check_key(range->key, err));
    hf_json *o = hf_json_object();
    put_key(o, range->key, range->prefix);
    if (range->limit > 0) {
        hf_json_put_i64(o, "limit", range->limit);
    }
    if (range->revision > 0) {
        hf_json_put_i64(o, "revision", range->revision);
    }
    if (range->serializable) {
        hf_json_put_bool(o, "serializable", true);
    }
    if (range->keys_only) {
        hf_json_put_bool(o, "keys_only", true);
    }
    if (range->prefix) {
        hf_json_put_text(o, "sort_order", "ASCEND");
        hf_json_put_text(o, "sort_target", "KEY");
    }
    return finish(o, ret, err);
}

static hf_json *build_compare(const struct hf_etcd_compare *c)
{
    static const char *const relations[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
    static const struct {
        const char *target;
        const char *field;
    } targets[] = {{"MOD", "mod_revision"},
                   {"CREATE", "create_revision"},
                   {"VERSION", "version"},
                   {"VALUE", "value"}};
    hf_json *o = hf_json_object();
    put_key(o, c->key, false);
    hf_json_put_text(o, "result", relations[c->relation]);
    hf_json_put_text(o, "target", targets[c->target].target);
    if (c->target == HF_ETCD_VALUE) {
        put_bytes(o, targets[c->target].field, c->value, c->value_len);
    } else {
        hf_json_put_i64(o, targets[c->target].field, c->number);
    }
    return o;
}

static hf_json *build_op(const struct hf_etcd_op *op)
{
    static const char *const names[] = {"request_put", "request_delete_range", "request_range"};
    hf_json *inner = hf_json_object();
    put_key(inner, op->key, op->kind != HF_ETCD_PUT && op->prefix);
    if (op->kind == HF_ETCD_PUT) {
        put_bytes(inner, "value", op->value, op->value_len);
        if (op->lease != 0) {
            hf_json_put_i64(inner, "lease", op->lease);
        }
    } else if (op->kind == HF_ETCD_RANGE && op->prefix) {
        hf_json_put_text(inner, "sort_order", "ASCEND");
        hf_json_put_text(inner, "sort_target", "KEY");
    }
    hf_json *o = hf_json_object();
    hf_json_put(o, names[op->kind], inner);
    return o;
}

static hf_result check_ops(const struct hf_etcd_op *ops, size_t count, size_t *total,
                           struct hf_err *err)
{
    if (count > HF_ETCD_OPS_MAX) {
        return hf_fail(err, HF_E_LIMIT, "etcd transaction of %zu operations, allowed are %d", count,
                       HF_ETCD_OPS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        HF_TRY(check_key(ops[i].key, err));
        *total += ops[i].kind == HF_ETCD_PUT ? ops[i].value_len : 0;
    }
    if (*total > HF_ETCD_VALUE_MAX) {
        return hf_fail(err, HF_E_LIMIT, "etcd transaction with %zu bytes of values, allowed are %d",
                       *total, HF_ETCD_VALUE_MAX);
    }
    return hf_done();
}

hf_result hf_etcd_build_txn(const struct hf_etcd_txn *txn, struct hf_buf *ret, struct hf_err *err)
{
    size_t total = 0;
    HF_TRY(check_ops(txn->success, txn->success_count, &total, err));
    HF_TRY(check_ops(txn->failure, txn->failure_count, &total, err));
    if (txn->compare_count > HF_ETCD_OPS_MAX) {
        return hf_fail(err, HF_E_LIMIT, "etcd transaction of %zu compares, allowed are %d",
                       txn->compare_count, HF_ETCD_OPS_MAX);
    }
    for (size_t i = 0; i < txn->compare_count; i++) {
        HF_TRY(check_key(txn->compares[i].key, err));
    }
    hf_json *compares = hf_json_array();
    hf_json *success = hf_json_array();
    hf_json *failure = hf_json_array();
    for (size_t i = 0; i < txn->compare_count; i++) {
        hf_json_push(compares, build_compare(&txn->compares[i]));
    }
    for (size_t i = 0; i < txn->success_count; i++) {
        hf_json_push(success, build_op(&txn->success[i]));
    }
    for (size_t i = 0; i < txn->failure_count; i++) {
        hf_json_push(failure, build_op(&txn->failure[i]));
    }
    hf_json *o = hf_json_object();
    hf_json_put(o, "compare", compares);
    hf_json_put(o, "success", success);
    hf_json_put(o, "failure", failure);
    return finish(o, ret, err);
}

hf_result hf_etcd_build_lease(int64_t id, int64_t ttl_s, struct hf_buf *ret, struct hf_err *err)
{
    hf_json *o = hf_json_object();
    hf_json_put_i64(o, "ID", id);
    if (ttl_s > 0) {
        hf_json_put_i64(o, "TTL", ttl_s);
    }
    return finish(o, ret, err);
}

hf_result hf_etcd_build_watch(const char *prefix, int64_t start_revision, struct hf_buf *ret,
                              struct hf_err *err)
{
    HF_TRY(check_key(prefix, err));
    hf_json *inner = hf_json_object();
    put_key(inner, prefix, true);
    if (start_revision > 0) {
        hf_json_put_i64(inner, "start_revision", start_revision);
    }
    hf_json_put_bool(inner, "progress_notify", true);
    hf_json *o = hf_json_object();
    hf_json_put(o, "create_request", inner);
    return finish(o, ret, err);
}
