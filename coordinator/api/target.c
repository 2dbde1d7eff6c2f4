/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/target.h"

#include "common/core/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct op_row {
    enum hf_api_op op;
    const char *name;
    const char *method;
    const char *path; /* within a cluster when it begins with '.' */
    enum hf_role role;
    bool leader;
};

static const struct op_row ops[] = {
    {HF_API_VERSION, "version", "GET", "/v1/version", HF_ROLE_VIEWER, false},
    {HF_API_METRICS, "metrics", "GET", "/metrics", HF_ROLE_VIEWER, false},
    {HF_API_CLUSTERS, "cluster-list", "GET", "/v1/clusters", HF_ROLE_VIEWER, false},
    {HF_API_CLUSTER, "cluster-show", "GET", ".", HF_ROLE_VIEWER, false},
    {HF_API_CLUSTER_PUT, "cluster-apply", "PUT", ".", HF_ROLE_ADMIN, true},
    {HF_API_PAUSE, "pause", "POST", "./pause", HF_ROLE_OPERATOR, true},
    {HF_API_RESUME, "resume", "POST", "./resume", HF_ROLE_OPERATOR, true},
    {HF_API_STATUS, "status", "GET", "./status", HF_ROLE_VIEWER, false},
    {HF_API_BACKUPS, "backup-list", "GET", "./backups", HF_ROLE_VIEWER, false},
    {HF_API_BACKUP_CREATE, "backup-create", "POST", "./backups", HF_ROLE_OPERATOR, true},
    {HF_API_FAILOVER_PLAN, "failover-plan", "POST", "./failover/plan", HF_ROLE_OPERATOR, true},
    {HF_API_FAILOVER_RUN, "failover-run", "POST", "./failover/run", HF_ROLE_OPERATOR, true},
    {HF_API_SWITCH_PLAN, "switchover-plan", "POST", "./switchover/plan", HF_ROLE_OPERATOR, true},
    {HF_API_SWITCH_RUN, "switchover-run", "POST", "./switchover/run", HF_ROLE_OPERATOR, true},
    {HF_API_RECOVERY_PLAN, "recovery-plan", "POST", "./recovery/plan", HF_ROLE_ADMIN, true},
    {HF_API_RECOVERY_RUN, "recovery-run", "POST", "./recovery/run", HF_ROLE_ADMIN, true},
    {HF_API_OPERATIONS, "operation-list", "GET", "./operations", HF_ROLE_VIEWER, false},
    {HF_API_OPERATION, "operation-show", "GET", "./operations/*", HF_ROLE_VIEWER, false},
};
_Static_assert(sizeof ops / sizeof ops[0] == HF_API_OPS, "a row an operation");

/* The part up to the next '/' or the end, as a name; NULL when it is none. */
static const char *take_name(const char *at, hf_name *ret)
{
    size_t n = strcspn(at, "/");
    if (n >= sizeof ret->s || !hf_name_valid(at, n)) {
        return NULL;
    }
    memcpy(ret->s, at, n);
    ret->s[n] = '\0';
    return at + n;
}

static bool matches(const struct op_row *row, const char *rest, char id[HF_LABEL_SIZE])
{
    const char *want = row->path + 1;
    size_t n = strlen(want);
    if (n == 0 || want[n - 1] != '*') {
        return strcmp(rest, want) == 0;
    }
    const char *last = rest + n - 1;
    if (strncmp(rest, want, n - 1) != 0 || *last == '\0' || strlen(last) >= HF_LABEL_SIZE ||
        last[strspn(last, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")] !=
            '\0') {
        return false;
    }
    (void)snprintf(id, HF_LABEL_SIZE, "%s", last);
    return true;
}

static bool same_method(const char *method, const char *row)
{
    return strcmp(method, row) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(row, "GET") == 0);
}

hf_result hf_api_target_parse(const char *method, const char *path, struct hf_api_target *ret,
                              struct hf_err *err)
{
    struct hf_api_target t = {.op = HF_API_OPS};
    const char *rest = NULL;
    bool known = false;
    if (strncmp(path, "/v1/clusters/", 13) == 0) {
        rest = take_name(path + 13, &t.tenant);
        rest = rest != NULL && *rest == '/' ? take_name(rest + 1, &t.cluster) : NULL;
    }
    for (size_t i = 0; i < HF_API_OPS; i++) {
        bool inside = ops[i].path[0] == '.';
        if (inside ? rest != NULL && matches(&ops[i], rest, t.id)
                   : strcmp(path, ops[i].path) == 0) {
            known = true;
            if (same_method(method, ops[i].method)) {
                t.op = ops[i].op;
                *ret = t;
                return hf_done();
            }
        }
    }
    if (known) {
        return hf_fail(err, HF_E_UNSUPPORTED, "%.16s is not allowed for %.200s", method, path);
    }
    return hf_fail(err, HF_E_NOT_FOUND, "there is nothing at %.200s", path);
}

enum hf_role hf_api_role(enum hf_api_op op)
{
    return ops[op].role;
}

bool hf_api_needs_leader(enum hf_api_op op)
{
    return ops[op].leader;
}

const char *hf_api_op_name(enum hf_api_op op)
{
    return ops[op].name;
}

hf_result hf_api_authorize(const struct hf_identity *who, const struct hf_api_target *target,
                           struct hf_err *err)
{
    enum hf_role role = hf_api_role(target->op);
    if (who->kind != HF_IDENTITY_USER) {
        return hf_fail(err, HF_E_DENIED, "the certificate is not a user's");
    }
    if (!hf_name_empty(&target->tenant) && !hf_identity_may(who, &target->tenant, HF_ROLE_VIEWER)) {
        return hf_fail(err, HF_E_NOT_FOUND, "there is no cluster %s/%s", target->tenant.s,
                       target->cluster.s);
    }
    if (who->role < role) {
        return hf_fail(err, HF_E_DENIED, "%s needs role %s, %s has %s", hf_api_op_name(target->op),
                       hf_role_name(role), who->name.s, hf_role_name(who->role));
    }
    return hf_done();
}

size_t hf_api_rule(const char *reason, const char **ret_text)
{
    size_t n = 0;
    while (isupper((unsigned char)reason[n]) || isdigit((unsigned char)reason[n]) ||
           reason[n] == '_') {
        n++;
    }
    if (n == 0 || reason[n] != ':') {
        *ret_text = reason;
        return 0;
    }
    *ret_text = reason + n + (reason[n + 1] == ' ' ? 2 : 1);
    return n;
}

void hf_api_failure_of(hf_result result, const struct hf_err *err, struct hf_api_failure *ret)
{
    *ret = (struct hf_api_failure){.status = 500, .code = "failure"};
    switch (result.code) {
    case HF_E_INVALID:
    case HF_E_LIMIT:
    case HF_E_UNSUPPORTED:
        ret->status = 400;
        ret->code = "invalid";
        break;
    case HF_E_DENIED:
        ret->status = 403;
        ret->code = "denied";
        break;
    case HF_E_NOT_FOUND:
        ret->status = 404;
        ret->code = "not_found";
        break;
    case HF_E_EXISTS: /* the text is the operation's id */
        ret->status = 409;
        ret->code = "in_progress";
        (void)snprintf(ret->value, sizeof ret->value, "%.63s", err->text);
        break;
    case HF_E_AGAIN:
        ret->status = 409;
        ret->code = "in_progress";
        break;
    case HF_E_CONFLICT:
    case HF_E_STALE:
        ret->status = 412;
        ret->code = "stale";
        break;
    case HF_E_REFUSED: {
        const char *text = NULL;
        size_t n = hf_api_rule(err->text, &text);
        ret->status = 422;
        ret->code = "refused";
        (void)snprintf(ret->rule, sizeof ret->rule, "%.*s", (int)(n < 63 ? n : 63), err->text);
        break;
    }
    case HF_E_TIMEOUT:
    case HF_E_UNREACHABLE:
    case HF_E_CANCELED:
        ret->status = 503;
        ret->code = "unreachable";
        break;
    case HF_OK:
    case HF_E_CORRUPT:
    case HF_E_IO:
    case HF_E_INTERNAL:
    default:
        break;
    }
}

static void put_text_or_null(hf_json *v, const char *key, const char *text)
{
    if (text[0] != '\0') {
        hf_json_put_text(v, key, text);
    } else {
        hf_json_put_null(v, key);
    }
}

hf_json *hf_api_failure_json(const struct hf_api_failure *f, const char *message)
{
    hf_json *v = hf_json_object();
    hf_json *e = hf_json_object();
    hf_json_put_text(e, "code", f->code);
    hf_json_put_text(e, "message", message);
    put_text_or_null(e, "rule", f->rule);
    put_text_or_null(e, "value", f->value);
    put_text_or_null(e, "limit", f->limit);
    hf_json_put(v, "error", e);
    return v;
}
