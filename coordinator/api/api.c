/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/api/api.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char JSON[] = "application/json";
enum { ANSWER_MAX = 16 * 1024 * 1024 };

/* One request under way; freed with its answer. */
struct call {
    struct hf_api *api;
    struct hf_api_target target;
    struct hf_identity who;
    hf_api_respond respond;
    void *arg;
};

static void answer_json(struct call *call, int status, hf_json *v)
{
    HF_AUTOJSON hf_json *body = v;
    HF_BUF(text, ANSWER_MAX);
    struct hf_err err;
    if (hf_ok(hf_json_write(body, &text, &err)) && hf_ok(hf_buf_append_str(&text, "\n", &err))) {
        call->respond(call->arg, status, JSON, text.data, text.len);
    } else {
        static const char failure[] = "{\"error\":{\"code\":\"failure\",\"message\":\"the answer "
                                      "is too long\",\"rule\":null,\"value\":null,"
                                      "\"limit\":null}}\n";
        call->respond(call->arg, 500, JSON, failure, strlen(failure));
    }
    hf_free(call);
}

static void answer_failure(struct call *call, hf_result result, const struct hf_err *err)
{
    struct hf_api_failure f;
    hf_api_failure_of(result, err, &f);
    char message[560];
    if (f.status == 409 && f.value[0] != '\0') {
        (void)snprintf(message, sizeof message, "operation %s is under way", f.value);
    } else {
        (void)snprintf(message, sizeof message, "%s", err->text);
    }
    hf_json *v = hf_api_failure_json(&f, message);
    if (f.status == 503 && hf_api_needs_leader(call->target.op)) {
        hf_json_put_null(v, "leader");
    }
    answer_json(call, f.status, v);
}

bool hf_api_leader(const struct hf_api *api, hf_lclk now, hf_name *ret_name,
                   char ret_url[HF_ADDRESS_SIZE])
{
    const struct hf_leadership *s = hf_leader_core(api->leader);
    if (s->role == HF_LEAD_LEADER) {
        if (!hf_leadership_active(s, now)) {
            return false;
        }
        *ret_name = api->config->name;
        (void)snprintf(ret_url, HF_ADDRESS_SIZE, "%s", api->url);
        return true;
    }
    /* A claim that was not renewed for a lease is nobody's. */
    hf_dur ttl = s->claim.ttl.us > s->config.ttl.us ? s->claim.ttl : s->config.ttl;
    if (hf_name_empty(&s->claim.coordinator) || s->first_seen.us == 0 ||
        hf_lclk_reached(now, hf_lclk_add(s->first_seen, ttl))) {
        return false;
    }
    *ret_name = s->claim.coordinator;
    (void)snprintf(ret_url, HF_ADDRESS_SIZE, "%s", s->claim.url);
    return true;
}

/* What only the leader does: says where it is. True when the request was answered. */
static bool redirected(struct call *call, hf_lclk now)
{
    hf_name name;
    char url[HF_ADDRESS_SIZE];
    struct hf_err err;
    if (!hf_api_needs_leader(call->target.op) || hf_carry_ready(call->api->carry)) {
        return false;
    }
    if (hf_api_leader(call->api, now, &name, url) &&
        !hf_name_equal(&name, &call->api->config->name)) {
        hf_json *v = hf_json_object();
        hf_json_put_text(v, "leader", url);
        answer_json(call, 421, v);
        return true;
    }
    hf_result r = hf_fail(&err, HF_E_UNREACHABLE, "no coordinator leads now");
    answer_failure(call, r, &err);
    return true;
}

/* --- bodies --- */

/* An object (or nothing) whose members are all in `allowed` (NULL-terminated). */
static hf_result parse_body(const struct hf_api_request *request, const char *const *allowed,
                            hf_json **ret, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = NULL;
    if (request->body_len == 0) {
        *ret = hf_json_object();
        return hf_done();
    }
    HF_TRY(hf_json_parse(request->body, request->body_len, HF_API_BODY_MAX, &v, err));
    if (!hf_json_is_object(v)) {
        return hf_fail(err, HF_E_INVALID, "the body is not a JSON object");
    }
    for (size_t i = 0; i < hf_json_size(v); i++) {
        const char *key = hf_json_key(hf_json_at(v, i));
        bool known = false;
        for (size_t k = 0; allowed[k] != NULL; k++) {
            known = known || strcmp(key, allowed[k]) == 0;
        }
        if (!known) {
            return hf_fail(err, HF_E_INVALID, "unknown member \"%.64s\"", key);
        }
    }
    *ret = v;
    v = NULL;
    return hf_done();
}

static hf_result get_name_opt(const hf_json *v, const char *key, char ret[HF_NAME_SIZE],
                              struct hf_err *err)
{
    hf_name name;
    ret[0] = '\0';
    HF_TRY(hf_json_get_text_opt(v, key, ret, HF_NAME_SIZE, err));
    return ret[0] == '\0' ? hf_done() : hf_name_parse(key, ret, &name, err);
}

/* --- audit --- */

static void audit(const struct call *call, const char *detail)
{
    char id[HF_EVENT_ID_SIZE];
    char at[HF_CLOCK_TEXT_SIZE];
    (void)snprintf(id, sizeof id, "audit/%s/%016" PRIx64, call->api->config->name.s,
                   hf_random_u64());
    hf_clock_wall_text(hf_clock_wall(), at, sizeof at);
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json *d = hf_json_object();
    hf_json_put_text(v, "at", at);
    hf_json_put_text(v, "tenant", call->target.tenant.s);
    hf_json_put_text(v, "cluster", call->target.cluster.s);
    hf_json_put_text(v, "actor", call->who.name.s);
    hf_json_put_text(v, "action", hf_api_op_name(call->target.op));
    hf_json_put_text(d, "text", detail);
    hf_json_put(v, "detail", d);
    if (call->api->history != NULL) {
        hf_history_event(call->api->history, "audit", id, false, v);
    }
    hf_log(HF_LOG_NOTICE, "USER_ACTION", "a user changed something",
           HF_KV("user", call->who.name.s), HF_KV("action", hf_api_op_name(call->target.op)),
           HF_KV("tenant", call->target.tenant.s), HF_KV("cluster", call->target.cluster.s),
           HF_KV("detail", detail));
}

/* --- changes --- */

static void carried(void *arg, const struct hf_carry_answer *a)
{
    struct call *call = arg;
    char text[32];
    if (!hf_ok(a->result)) {
        answer_failure(call, a->result, a->err);
        return;
    }
    hf_json *v = hf_json_object();
    int status = 200;
    switch (call->target.op) {
    case HF_API_PAUSE:
    case HF_API_RESUME:
        hf_json_put_bool(v, "paused", call->target.op == HF_API_PAUSE);
        break;
    case HF_API_RECOVERY_RUN: /* who and why went into the audit before it was tried */
        hf_json_put_text(v, "operation", a->operation);
        status = 202;
        break;
    case HF_API_FAILOVER_RUN:
    case HF_API_SWITCH_RUN:
        hf_json_put_text(v, "operation", a->operation);
        audit(call, a->operation);
        status = 202;
        break;
    case HF_API_CLUSTER_PUT:
        (void)snprintf(text, sizeof text, "%" PRId64, a->revision);
        hf_json_put_text(v, "revision", text);
        audit(call, text);
        break;
    case HF_API_VERSION:
    case HF_API_METRICS:
    case HF_API_CLUSTERS:
    case HF_API_CLUSTER:
    case HF_API_STATUS:
    case HF_API_BACKUPS:
    case HF_API_BACKUP_CREATE:
    case HF_API_FAILOVER_PLAN:
    case HF_API_SWITCH_PLAN:
    case HF_API_RECOVERY_PLAN:
    case HF_API_OPERATIONS:
    case HF_API_OPERATION:
    case HF_API_OPS:
    default:
        break;
    }
    answer_json(call, status, v);
}

static void made(void *arg, const struct hf_carry_answer *a)
{
    struct call *call = arg;
    if (!hf_ok(a->result)) {
        answer_failure(call, a->result, a->err);
        return;
    }
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, a->revision);
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "revision", text);
    audit(call, text);
    answer_json(call, 201, v);
}

static void submit(struct call *call, const struct hf_carry_request *request)
{
    struct hf_err err;
    hf_result r = hf_carry_submit(call->api->carry, request, &err);
    if (!hf_ok(r)) {
        answer_failure(call, r, &err);
    }
}

static hf_result pause_resume(struct call *call, const struct hf_api_request *request,
                              struct hf_warm_cluster *c, struct hf_err *err)
{
    static const char *const allowed[] = {"reason", NULL};
    HF_AUTOJSON hf_json *v = NULL;
    char reason[256] = "";
    HF_TRY(parse_body(request, allowed, &v, err));
    HF_TRY(hf_json_get_text_opt(v, "reason", reason, sizeof reason, err));
    bool pause = call->target.op == HF_API_PAUSE;
    audit(call, reason);
    const struct hf_carry_request q = {.kind = pause ? HF_CARRY_PAUSE : HF_CARRY_RESUME,
                                       .cluster = c,
                                       .done = carried,
                                       .arg = call};
    submit(call, &q);
    return hf_done();
}

static enum hf_plan_kind kind_of(const struct call *call)
{
    enum hf_api_op op = call->target.op;
    return op == HF_API_RECOVERY_PLAN                            ? HF_PLAN_RECOVERY
           : op == HF_API_SWITCH_PLAN || op == HF_API_SWITCH_RUN ? HF_PLAN_SWITCHOVER
                                                                 : HF_PLAN_FAILOVER;
}

static hf_result plan_preview(struct call *call, const struct hf_api_request *request,
                              struct hf_warm_cluster *c, struct hf_err *err)
{
    static const char *const allowed[] = {"to", NULL};
    HF_AUTOJSON hf_json *v = NULL;
    HF_AUTOFREE struct hf_plan *plan = hf_alloc(sizeof *plan);
    char wish[HF_NAME_SIZE];
    HF_TRY(parse_body(request, allowed, &v, err));
    HF_TRY(get_name_opt(v, "to", wish, err));
    enum hf_plan_kind kind = kind_of(call);
    hf_result r = hf_carry_preview(call->api->carry, c, kind, wish, plan, err);
    if (!hf_ok(r) && r.code != HF_E_REFUSED) {
        return r;
    }
    answer_json(call, 200, hf_api_plan_json(c, kind, plan, r, err));
    return hf_done();
}

static hf_result plan_run(struct call *call, const struct hf_api_request *request,
                          struct hf_warm_cluster *c, struct hf_err *err)
{
    static const char *const allowed[] = {"to", "epoch", NULL};
    HF_AUTOJSON hf_json *v = NULL;
    struct hf_carry_request q = {.kind = kind_of(call) == HF_PLAN_SWITCHOVER ? HF_CARRY_SWITCHOVER
                                                                             : HF_CARRY_FAILOVER,
                                 .cluster = c,
                                 .done = carried,
                                 .arg = call};
    HF_TRY(parse_body(request, allowed, &v, err));
    HF_TRY(get_name_opt(v, "to", q.wish, err));
    HF_TRY(hf_json_get_u64(v, "epoch", &q.epoch.v, err));
    submit(call, &q);
    return hf_done();
}

/* A person's word that begins a new generation (L12): never without a reason. It is in the audit
 * before anything is done, and in the operation that does it. */
static hf_result recovery_run(struct call *call, const struct hf_api_request *request,
                              struct hf_warm_cluster *c, struct hf_err *err)
{
    static const char *const allowed[] = {"to", "epoch", "reason", NULL};
    HF_AUTOJSON hf_json *v = NULL;
    char reason[128] = "";
    struct hf_carry_request q = {
        .kind = HF_CARRY_RECOVER, .cluster = c, .done = carried, .arg = call};
    if (!hf_name_empty(&call->who.tenant)) { /* it concerns the control plane of all of them */
        return hf_fail(err, HF_E_DENIED, "a recovery needs an administrator of all tenants");
    }
    HF_TRY(parse_body(request, allowed, &v, err));
    HF_TRY(get_name_opt(v, "to", q.wish, err));
    HF_TRY(hf_json_get_u64(v, "epoch", &q.epoch.v, err));
    HF_TRY(hf_json_get_text_opt(v, "reason", reason, sizeof reason, err));
    if (reason[0] == '\0') {
        return hf_fail(err, HF_E_INVALID, "reason: a recovery needs one");
    }
    (void)snprintf(q.why, sizeof q.why, "%.24s: %s", call->who.name.s, reason);
    audit(call, reason);
    submit(call, &q);
    return hf_done();
}

static hf_result backup_create(struct call *call, const struct hf_api_request *request,
                               struct hf_warm_cluster *c, struct hf_err *err)
{
    static const char *const allowed[] = {"type", "node", "name", NULL};
    HF_AUTOJSON hf_json *v = NULL;
    char type[16] = "full";
    char node[HF_NAME_SIZE];
    char name[HF_NAME_SIZE];
    char id[HF_LABEL_SIZE];
    HF_TRY(parse_body(request, allowed, &v, err));
    HF_TRY(hf_json_get_text_opt(v, "type", type, sizeof type, err));
    HF_TRY(get_name_opt(v, "node", node, err));
    HF_TRY(get_name_opt(v, "name", name, err));
    if (strcmp(type, HF_POLICY_BACKUP_TYPE_NAMES[HF_POLICY_BACKUP_FULL]) != 0) {
        return hf_fail(err, HF_E_INVALID, "type: \"%s\", allowed is \"full\"", type);
    }
    HF_TRY(hf_carry_backup(call->api->carry, c, type, node, name, id, err));
    audit(call, id);
    hf_json *answer = hf_json_object();
    hf_json_put_text(answer, "operation", id);
    answer_json(call, 202, answer);
    return hf_done();
}

static hf_result parse_revision(const struct hf_api_request *request, int64_t *ret,
                                struct hf_err *err)
{
    const char *text = request->if_match;
    bool match = text[0] != '\0';
    bool none = strcmp(request->if_none_match, "*") == 0;
    if (match == none) {
        return hf_fail(err, HF_E_INVALID,
                       "either If-Match: REVISION or If-None-Match: * is needed");
    }
    *ret = 0;
    if (none) {
        return hf_done();
    }
    char digits[32] = "";
    size_t n = strlen(text);
    bool quoted = n > 2 && text[0] == '"' && text[n - 1] == '"';
    (void)snprintf(digits, sizeof digits, "%.*s", (int)(quoted ? n - 2 : n),
                   quoted ? text + 1 : text);
    char *end = NULL;
    errno = 0;
    long long value = strtoll(digits, &end, 10);
    if (errno != 0 || end == digits || *end != '\0' || value <= 0) {
        return hf_fail(err, HF_E_INVALID, "If-Match: \"%.32s\" is not a revision", text);
    }
    *ret = value;
    return hf_done();
}

/* HF_E_STALE before anything is written, with both revisions. */
static void answer_stale(struct call *call, int64_t is, int64_t wanted)
{
    struct hf_api_failure f = {.status = 412, .code = "stale", .rule = "REVISION"};
    char message[320];
    (void)snprintf(f.value, sizeof f.value, "%" PRId64, is);
    if (wanted != 0) {
        (void)snprintf(f.limit, sizeof f.limit, "%" PRId64, wanted);
    }
    if (is == 0) {
        (void)snprintf(message, sizeof message, "there is no cluster %s/%s", call->target.tenant.s,
                       call->target.cluster.s);
    } else if (wanted == 0) {
        (void)snprintf(message, sizeof message, "cluster %s/%s is there already, at revision %s",
                       call->target.tenant.s, call->target.cluster.s, f.value);
    } else {
        (void)snprintf(message, sizeof message, "cluster %s/%s is at revision %s, not %s",
                       call->target.tenant.s, call->target.cluster.s, f.value, f.limit);
    }
    answer_json(call, f.status, hf_api_failure_json(&f, message));
}

static hf_result cluster_put(struct call *call, const struct hf_api_request *request,
                             struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = NULL;
    HF_AUTOFREE struct hf_policy *policy = hf_alloc(sizeof *policy);
    struct hf_warm_cluster *c = NULL;
    const struct hf_api_target *t = &call->target;
    int64_t revision = 0;
    HF_TRY(parse_revision(request, &revision, err));
    HF_TRY(hf_json_parse(request->body, request->body_len, HF_POLICY_JSON_MAX, &v, err));
    HF_TRY(hf_policy_from_json(v, policy, err));
    HF_TRY(hf_policy_check_enforced(policy, err));
    if (!hf_name_equal(&policy->tenant, &t->tenant) ||
        !hf_name_equal(&policy->cluster, &t->cluster)) {
        return hf_fail(err, HF_E_INVALID, "the policy is of cluster %s/%s", policy->tenant.s,
                       policy->cluster.s);
    }
    if (policy->route.present &&
        hf_config_coordinator_dns(call->api->config, policy->route.provider.s) == NULL) {
        return hf_fail(err, HF_E_REFUSED,
                       "ROUTE_PROVIDER: this coordinator has no DNS provider \"%s\"",
                       policy->route.provider.s);
    }
    HF_TRY(hf_warm_get(call->api->warm, &t->tenant, &t->cluster, &c, err));
    if (c->policy_revision != revision) {
        answer_stale(call, c->policy_revision, revision);
        return hf_done();
    }
    if (c->policy != NULL) {
        HF_TRY(hf_policy_check_change(c->policy, policy, err));
    }
    const struct hf_carry_request q = {.kind = HF_CARRY_POLICY,
                                       .cluster = c,
                                       .policy = policy,
                                       .revision = revision,
                                       .done = revision == 0 ? made : carried,
                                       .arg = call};
    submit(call, &q);
    return hf_done();
}

/* --- reads --- */

static hf_result read_cluster(struct call *call, struct hf_warm_cluster *c, hf_lclk now,
                              struct hf_err *err)
{
    struct hf_api *api = call->api;
    hf_json *v = NULL;
    switch (call->target.op) {
    case HF_API_CLUSTER:
        v = hf_api_cluster_json(c);
        break;
    case HF_API_STATUS:
        v = hf_api_status_json(api, c, now, hf_clock_wall());
        break;
    case HF_API_BACKUPS:
        v = hf_json_object();
        hf_json_put(v, "backups",
                    hf_backups_list(hf_history_backups(api->history), c->tenant.s, c->cluster.s));
        break;
    case HF_API_OPERATIONS:
        v = hf_api_operations_json(c);
        break;
    case HF_API_OPERATION:
        v = hf_api_operation_json(c, call->target.id);
        if (v == NULL) {
            return hf_fail(err, HF_E_NOT_FOUND, "there is no operation %s", call->target.id);
        }
        break;
    case HF_API_VERSION:
    case HF_API_METRICS:
    case HF_API_CLUSTERS:
    case HF_API_CLUSTER_PUT:
    case HF_API_PAUSE:
    case HF_API_RESUME:
    case HF_API_BACKUP_CREATE:
    case HF_API_FAILOVER_PLAN:
    case HF_API_SWITCH_PLAN:
    case HF_API_FAILOVER_RUN:
    case HF_API_SWITCH_RUN:
    case HF_API_RECOVERY_PLAN:
    case HF_API_RECOVERY_RUN:
    case HF_API_OPS:
    default:
        return hf_fail(err, HF_E_INTERNAL, "operation %s is not a reading one",
                       hf_api_op_name(call->target.op));
    }
    answer_json(call, 200, v);
    return hf_done();
}

static hf_result metrics(struct call *call, hf_lclk now, struct hf_err *err)
{
    HF_BUF(text, ANSWER_MAX);
    HF_TRY(hf_api_metrics_text(call->api, &call->who, now, &text, err));
    call->respond(call->arg, 200, "text/plain; version=0.0.4; charset=utf-8", hf_buf_text(&text),
                  text.len);
    hf_free(call);
    return hf_done();
}

static hf_result serve_cluster(struct call *call, const struct hf_api_request *request, hf_lclk now,
                               struct hf_err *err)
{
    const struct hf_api_target *t = &call->target;
    struct hf_warm_cluster *c = hf_warm_find(call->api->warm, t->tenant.s, t->cluster.s);
    if (t->op == HF_API_CLUSTER_PUT) {
        return cluster_put(call, request, err);
    }
    if (c == NULL || c->policy == NULL) {
        return hf_fail(err, HF_E_NOT_FOUND, "there is no cluster %s/%s", t->tenant.s, t->cluster.s);
    }
    switch (t->op) {
    case HF_API_PAUSE:
    case HF_API_RESUME:
        return pause_resume(call, request, c, err);
    case HF_API_FAILOVER_PLAN:
    case HF_API_SWITCH_PLAN:
    case HF_API_RECOVERY_PLAN:
        return plan_preview(call, request, c, err);
    case HF_API_RECOVERY_RUN:
        return recovery_run(call, request, c, err);
    case HF_API_FAILOVER_RUN:
    case HF_API_SWITCH_RUN:
        return plan_run(call, request, c, err);
    case HF_API_BACKUP_CREATE:
        return backup_create(call, request, c, err);
    case HF_API_VERSION:
    case HF_API_METRICS:
    case HF_API_CLUSTERS:
    case HF_API_CLUSTER:
    case HF_API_CLUSTER_PUT:
    case HF_API_STATUS:
    case HF_API_BACKUPS:
    case HF_API_OPERATIONS:
    case HF_API_OPERATION:
    case HF_API_OPS:
    default:
        return read_cluster(call, c, now, err);
    }
}

static hf_result identify(struct call *call, const struct hf_api_request *request,
                          struct hf_err *err)
{
    const char *domain = call->api->config->tls.trust_domain;
    if (request->peer_uri[0] == '\0') {
        return hf_fail(err, HF_E_DENIED, "a client certificate is needed");
    }
    HF_TRY(hf_identity_parse(request->peer_uri, domain, &call->who, err));
    HF_TRY(hf_api_target_parse(request->method, request->path, &call->target, err));
    return hf_api_authorize(&call->who, &call->target, err);
}

void hf_api_serve(struct hf_api *api, const struct hf_api_request *request, hf_api_respond respond,
                  void *arg)
{
    struct hf_err err;
    hf_lclk now = hf_clock_lease();
    struct call *call = hf_alloc(sizeof *call);
    *call = (struct call){.api = api, .respond = respond, .arg = arg};
    hf_result r = identify(call, request, &err);
    if (!hf_ok(r)) {
        if (r.code == HF_E_DENIED) {
            hf_log(HF_LOG_WARNING, "USER_REFUSED", "a request was refused",
                   HF_KV("uri", request->peer_uri), HF_KV("path", request->path), HF_KV_ERR(&err));
        }
        answer_failure(call, r, &err);
        return;
    }
    if (request->body_len > HF_API_BODY_MAX) {
        r = hf_fail(&err, HF_E_LIMIT, "the body has %zu bytes, allowed are %d", request->body_len,
                    (int)HF_API_BODY_MAX);
        answer_failure(call, r, &err);
        return;
    }
    if (redirected(call, now)) {
        return;
    }
    if (call->target.op == HF_API_VERSION) {
        answer_json(call, 200, hf_api_version_json(api, now));
        return;
    }
    if (call->target.op == HF_API_CLUSTERS) {
        answer_json(call, 200, hf_api_clusters_json(api, &call->who, now));
        return;
    }
    r = call->target.op == HF_API_METRICS ? metrics(call, now, &err)
                                          : serve_cluster(call, request, now, &err);
    if (!hf_ok(r)) {
        answer_failure(call, r, &err);
    }
}
