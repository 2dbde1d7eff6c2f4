/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/etcd.h"

#include <stdio.h>
#include <string.h>

#include "common/io/clock.h"
#include "common/io/etcd_internal.h"
#include "common/io/fault.h"

struct hf_etcd_call {
    struct hf_etcd *etcd;
    enum hf_etcd_kind kind;
    const char *path;
    struct hf_buf body;
    bool read;         /* may be repeated */
    bool keepalive;    /* no TTL in the answer: the lease is gone */
    bool serializable; /* any member may answer, with or without leader */
    hf_lclk deadline;
    size_t first; /* endpoint of the first attempt */
    size_t attempt;
    size_t endpoint;
    hf_etcd_done done;
    void *arg;
    struct hf_etcd_call *next;
    struct hf_etcd_call *prev;
};

static void on_response(void *arg, const struct hf_http_response *response);

static char *copy(const char *text)
{
    return text == NULL ? NULL : hf_strdup(text);
}

static hf_result add_endpoint(struct hf_etcd *etcd, const char *url, struct hf_err *err)
{
    size_t n = strlen(url);
    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        n >= HF_ETCD_URL_SIZE - 32) {
        return hf_fail(err, HF_E_INVALID, "etcd endpoint '%.200s': needed is http[s]://HOST:PORT",
                       url);
    }
    char *endpoint = hf_strdup(url);
    endpoint[n - (url[n - 1] == '/')] = '\0';
    etcd->endpoints[etcd->endpoint_count++] = endpoint;
    return hf_done();
}

hf_result hf_etcd_new(struct hf_loop *loop, const struct hf_etcd_config *config,
                      struct hf_etcd **ret, struct hf_err *err)
{
    if (config->endpoint_count < 1 || config->endpoint_count > HF_ETCD_ENDPOINTS) {
        return hf_fail(err, HF_E_INVALID, "%zu etcd endpoints, allowed are 1 to %d",
                       config->endpoint_count, HF_ETCD_ENDPOINTS);
    }
    struct hf_etcd *etcd = hf_alloc(sizeof(*etcd));
    etcd->loop = loop;
    etcd->connect_timeout = config->connect_timeout.us > 0 ? config->connect_timeout : HF_MS(500);
    etcd->timeout = config->timeout.us > 0 ? config->timeout : HF_SEC(2);
    if (config->tls != NULL) {
        etcd->has_tls = true;
        etcd->tls.ca = copy(config->tls->ca);
        etcd->tls.certificate = copy(config->tls->certificate);
        etcd->tls.key = copy(config->tls->key);
    }
    hf_result r =
        hf_http_client_new(loop, HF_ETCD_CALLS_MAX + HF_ETCD_WATCHES_MAX * 2, &etcd->http, err);
    for (size_t i = 0; i < config->endpoint_count && hf_ok(r); i++) {
        r = add_endpoint(etcd, config->endpoints[i], err);
    }
    if (!hf_ok(r)) {
        hf_etcd_free(etcd);
        return r;
    }
    *ret = etcd;
    return hf_done();
}

static void call_free(struct hf_etcd_call *call)
{
    struct hf_etcd *etcd = call->etcd;
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        etcd->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    etcd->call_count--;
    hf_buf_free(&call->body);
    hf_free(call);
}

static void free_text(const char *text)
{
    hf_free((void *)(uintptr_t)text);
}

void hf_etcd_free(struct hf_etcd *etcd)
{
    if (etcd == NULL) {
        return;
    }
    HF_ASSERT(etcd->depth == 0);
    hf_etcd_watches_free(etcd);
    hf_http_client_free(etcd->http);
    while (etcd->calls != NULL) {
        call_free(etcd->calls);
    }
    for (size_t i = 0; i < etcd->endpoint_count; i++) {
        hf_free(etcd->endpoints[i]);
    }
    free_text(etcd->tls.ca);
    free_text(etcd->tls.certificate);
    free_text(etcd->tls.key);
    hf_free(etcd);
}

static void finish(struct hf_etcd_call *call, struct hf_etcd_reply *reply, hf_result result,
                   const struct hf_err *err)
{
    struct hf_etcd *etcd = call->etcd;
    reply->result = result;
    reply->err = err;
    reply->endpoint = etcd->endpoints[call->endpoint];
    hf_etcd_done done = call->done;
    void *arg = call->arg;
    call_free(call);
    etcd->depth++;
    done(arg, reply);
    etcd->depth--;
}

/* Sends to the next endpoint. A read leaves time for the endpoints after this one; a write has all
 * the time that is left, because once it is sent nobody else may be asked. */
static hf_result send_call(struct hf_etcd_call *call, struct hf_err *err)
{
    struct hf_etcd *etcd = call->etcd;
    HF_FAULT("etcd.send", err);
    hf_dur left = hf_lclk_sub(call->deadline, hf_clock_lease());
    if (left.us < 1000) {
        return hf_fail(err, HF_E_UNREACHABLE, "no etcd endpoint took the request in time");
    }
    size_t others = etcd->endpoint_count - call->attempt;
    hf_dur share = call->read && others > 1 ? HF_US(left.us / (int64_t)others) : left;
    hf_dur connect = etcd->connect_timeout.us < share.us ? etcd->connect_timeout : share;
    call->endpoint = (call->first + call->attempt) % etcd->endpoint_count;
    char url[HF_ETCD_URL_SIZE];
    snprintf(url, sizeof(url), "%s%s", etcd->endpoints[call->endpoint], call->path);
    const char *const headers[] = {"Content-Type: application/json",
                                   call->serializable ? NULL : "Grpc-Metadata-hasleader: true",
                                   NULL};
    struct hf_http_client_request request = {.method = "POST",
                                             .url = url,
                                             .headers = headers,
                                             .body = call->body.data,
                                             .body_len = call->body.len,
                                             .connect_timeout = connect,
                                             .total_timeout = share,
                                             .tls = etcd->has_tls ? &etcd->tls : NULL,
                                             .max_response = HF_ETCD_RESPONSE_MAX,
                                             .done = on_response,
                                             .arg = call};
    struct hf_http_call *http;
    return hf_http_client_start(etcd->http, &request, &http, err);
}

/* Tries the next endpoint if there is one; true when the call goes on. */
static bool try_next(struct hf_etcd_call *call)
{
    struct hf_etcd *etcd = call->etcd;
    while (++call->attempt < etcd->endpoint_count) {
        if (hf_ok(send_call(call, NULL))) {
            return true;
        }
    }
    return false;
}

static void failed(struct hf_etcd_call *call, hf_result result, bool untouched,
                   const struct hf_err *err)
{
    struct hf_etcd *etcd = call->etcd;
    struct hf_etcd_reply reply = {0};
    if (etcd->current == call->endpoint) { /* the next request begins with another */
        etcd->current = (call->endpoint + 1) % etcd->endpoint_count;
    }
    bool repeatable =
        (call->read || untouched) && result.code != HF_E_DENIED && result.code != HF_E_LIMIT;
    if (repeatable && try_next(call)) {
        return;
    }
    struct hf_err text = *err;
    text.code = !untouched && !call->read && result.code == HF_E_AGAIN ? HF_E_TIMEOUT : result.code;
    finish(call, &reply, (hf_result){text.code}, &text);
}

static void on_response(void *arg, const struct hf_http_response *response)
{
    struct hf_etcd_call *call = arg;
    struct hf_err err = {0};
    if (!hf_ok(response->result)) {
        bool untouched =
            response->result.code == HF_E_UNREACHABLE || response->result.code == HF_E_DENIED;
        failed(call, response->result, untouched, response->err);
        return;
    }
    if (response->status != 200) {
        bool untouched = false;
        hf_result r =
            hf_etcd_parse_error(response->status, response->body, response->len, &untouched, &err);
        if (r.code == HF_E_AGAIN) {
            failed(call, r, untouched, &err);
            return;
        }
        struct hf_etcd_reply refused = {0};
        finish(call, &refused, r, &err);
        return;
    }
    HF_AUTOPARSED struct hf_etcd_parsed hold = {0};
    struct hf_etcd_reply reply = {0};
    hf_result r =
        hf_etcd_parse_reply(call->kind, response->body, response->len, &hold, &reply, &err);
    if (hf_ok(r) && call->keepalive && reply.lease_ttl_s <= 0) {
        r = hf_fail(&err, HF_E_NOT_FOUND, "etcd: the lease is gone");
    }
    call->etcd->current = call->endpoint;
    finish(call, &reply, r, &err);
}

static hf_result begin(struct hf_etcd *etcd, enum hf_etcd_kind kind, const char *path,
                       struct hf_etcd_call **ret, hf_etcd_done done, void *arg, struct hf_err *err)
{
    HF_ASSERT(done != NULL);
    if (etcd->call_count >= HF_ETCD_CALLS_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%d etcd requests are under way", HF_ETCD_CALLS_MAX);
    }
    struct hf_etcd_call *call = hf_alloc(sizeof(*call));
    *call = (struct hf_etcd_call){.etcd = etcd,
                                  .kind = kind,
                                  .path = path,
                                  .body = HF_BUF_INIT(HF_ETCD_REQUEST_MAX),
                                  .deadline = hf_lclk_add(hf_clock_lease(), etcd->timeout),
                                  .first = etcd->current,
                                  .done = done,
                                  .arg = arg,
                                  .next = etcd->calls};
    if (call->next != NULL) {
        call->next->prev = call;
    }
    etcd->calls = call;
    etcd->call_count++;
    *ret = call;
    return hf_done();
}

/* Sends what was built, or throws it away with the failure to build it. */
static hf_result launch(struct hf_etcd_call *call, hf_result built, struct hf_err *err)
{
    hf_result r = hf_ok(built) ? send_call(call, err) : built;
    if (!hf_ok(r)) {
        call_free(call);
    }
    return r;
}

hf_result hf_etcd_get(struct hf_etcd *etcd, const struct hf_etcd_range *range, hf_etcd_done done,
                      void *arg, struct hf_err *err)
{
    struct hf_etcd_call *call = NULL;
    HF_TRY(begin(etcd, HF_ETCD_CALL_RANGE, "/v3/kv/range", &call, done, arg, err));
    call->read = true;
    call->serializable = range->serializable;
    return launch(call, hf_etcd_build_range(range, &call->body, err), err);
}

static bool only_ranges(const struct hf_etcd_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind != HF_ETCD_RANGE) {
            return false;
        }
    }
    return true;
}

hf_result hf_etcd_txn(struct hf_etcd *etcd, const struct hf_etcd_txn *txn, hf_etcd_done done,
                      void *arg, struct hf_err *err)
{
    struct hf_etcd_call *call = NULL;
    HF_TRY(begin(etcd, HF_ETCD_CALL_TXN, "/v3/kv/txn", &call, done, arg, err));
    call->read = only_ranges(txn->success, txn->success_count) &&
                 only_ranges(txn->failure, txn->failure_count);
    return launch(call, hf_etcd_build_txn(txn, &call->body, err), err);
}

hf_result hf_etcd_lease_grant(struct hf_etcd *etcd, int64_t id, int64_t ttl_s, hf_etcd_done done,
                              void *arg, struct hf_err *err)
{
    struct hf_etcd_call *call = NULL;
    HF_TRY(begin(etcd, HF_ETCD_CALL_LEASE, "/v3/lease/grant", &call, done, arg, err));
    return launch(call, hf_etcd_build_lease(id, ttl_s, &call->body, err), err);
}

hf_result hf_etcd_lease_keepalive(struct hf_etcd *etcd, int64_t id, hf_etcd_done done, void *arg,
                                  struct hf_err *err)
{
    struct hf_etcd_call *call = NULL;
    HF_TRY(begin(etcd, HF_ETCD_CALL_LEASE, "/v3/lease/keepalive", &call, done, arg, err));
    call->read = true; /* twice does no harm */
    call->keepalive = true;
    return launch(call, hf_etcd_build_lease(id, 0, &call->body, err), err);
}

hf_result hf_etcd_lease_revoke(struct hf_etcd *etcd, int64_t id, hf_etcd_done done, void *arg,
                               struct hf_err *err)
{
    struct hf_etcd_call *call = NULL;
    HF_TRY(begin(etcd, HF_ETCD_CALL_LEASE, "/v3/lease/revoke", &call, done, arg, err));
    return launch(call, hf_etcd_build_lease(id, 0, &call->body, err), err);
}
