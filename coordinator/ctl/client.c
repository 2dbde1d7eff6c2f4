/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/ctl/client.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/http_sync.h"

enum { CONNECT_S = 3, STALL_S = 10, TOTAL_S = 15 };

struct hf_ctl_client {
    struct hf_http_sync *http;
    struct hf_ctl_client_config config;
};

hf_result hf_ctl_client_new(const struct hf_ctl_client_config *config, struct hf_ctl_client **ret,
                            struct hf_err *err)
{
    if (config->url_count == 0) {
        return hf_fail(err, HF_E_INVALID,
                       "no coordinator is known; name them by --api, or in the client's "
                       "configuration file (api: [...])");
    }
    if ((config->certificate[0] == '\0') != (config->key[0] == '\0')) {
        return hf_fail(err, HF_E_INVALID, "--cert and --key belong together");
    }
    struct hf_ctl_client *c = hf_alloc(sizeof *c);
    c->config = *config;
    hf_result r = hf_http_sync_new(config->ca[0] == '\0' ? NULL : config->ca, &c->http, err);
    if (!hf_ok(r)) {
        hf_free(c);
        return r;
    }
    if (config->certificate[0] != '\0') {
        hf_http_sync_set_client(c->http, config->certificate, config->key);
    }
    *ret = c;
    return hf_done();
}

void hf_ctl_client_free(struct hf_ctl_client *client)
{
    if (client != NULL) {
        hf_http_sync_free(client->http);
        hf_free(client);
    }
}

/* --- one exchange --- */

struct call {
    struct hf_ctl_client *client;
    const struct hf_ctl_request *request;
    struct hf_buf body;
    struct hf_http_sync_reply reply;
    struct hf_err *err;
};

static void call_cleanup(struct call *c)
{
    hf_buf_free(&c->body);
    hf_http_sync_reply_free(&c->reply);
}

static hf_result exchange(struct call *c, const char *base)
{
    char url[HF_CTL_URL_SIZE * 2];
    size_t len = strlen(base);
    while (len > 0 && base[len - 1] == '/') {
        len--;
    }
    int n = snprintf(url, sizeof url, "%.*s%s", (int)len, base, c->request->path);
    if (n < 0 || (size_t)n >= sizeof url) {
        return hf_fail(c->err, HF_E_LIMIT, "URL longer than %zu bytes", sizeof url - 1);
    }
    const char *headers[] = {"Accept: application/json", "Content-Type: application/json",
                             c->request->precondition, NULL};
    struct hf_http_sync_request request = {
        .method = c->request->method,
        .url = url,
        .headers = headers,
        .body = hf_buf_text(&c->body),
        .body_len = c->body.len,
        .connect_timeout = HF_SEC(CONNECT_S),
        .stall_timeout = HF_SEC(STALL_S),
        .total_timeout = HF_SEC(TOTAL_S),
    };
    hf_result r = hf_http_sync_perform(c->client->http, &request, &c->reply, c->err);
    if (!hf_ok(r)) {
        return hf_fail_context(c->err, "coordinator %s", base);
    }
    return r;
}

static hf_result parse_answer(struct call *c, hf_json **ret)
{
    if (c->reply.body.len == 0) {
        *ret = hf_json_object();
        return hf_done();
    }
    hf_json *v = NULL;
    HF_TRY(hf_json_parse(hf_buf_text(&c->reply.body), c->reply.body.len, HF_CTL_ANSWER_MAX, &v,
                         c->err));
    if (!hf_json_is_object(v)) {
        hf_json_free(v);
        return hf_fail(c->err, HF_E_CORRUPT, "the answer is not a JSON object");
    }
    *ret = v;
    return hf_done();
}

static enum hf_code code_of(int status)
{
    switch (status) {
    case 400:
        return HF_E_INVALID;
    case 401:
    case 403:
        return HF_E_DENIED;
    case 404:
        return HF_E_NOT_FOUND;
    case 409:
        return HF_E_EXISTS;
    case 412:
        return HF_E_STALE;
    case 422:
        return HF_E_REFUSED;
    case 421:
    case 502:
    case 503:
    case 504:
        return HF_E_UNREACHABLE;
    default:
        return HF_E_INTERNAL;
    }
}

static const char *member(const hf_json *o, const char *key)
{
    const hf_json *m = o == NULL ? NULL : hf_json_member(o, key);
    return m == NULL ? "" : hf_json_text(m);
}

/* An answer that is no success, in words: message, and the rule with value and limit. */
static hf_result refuse(struct call *c)
{
    HF_AUTOJSON hf_json *v = NULL;
    int status = c->reply.status;
    struct hf_err ignored;
    struct hf_err *err = c->err;
    c->err = &ignored;
    bool parsed = hf_ok(parse_answer(c, &v));
    c->err = err;
    const hf_json *e = parsed ? hf_json_member(v, "error") : NULL;
    const char *message = member(e, "message");
    if (message[0] == '\0') {
        return hf_fail(err, code_of(status), "the coordinator answered HTTP %d", status);
    }
    const char *rule = member(e, "rule");
    if (rule[0] == '\0') {
        return hf_fail(err, code_of(status), "%.300s", message);
    }
    return hf_fail(err, code_of(status), "%.300s (rule %.40s: %.40s, limit %.40s)", message, rule,
                   member(e, "value")[0] == '\0' ? "?" : member(e, "value"),
                   member(e, "limit")[0] == '\0' ? "?" : member(e, "limit"));
}

/* --- whom to ask --- */

/* The leader's address of a 421; false when there is none that may be followed. */
static bool leader_of(struct call *c, const char *base, char ret[HF_CTL_URL_SIZE])
{
    HF_AUTOJSON hf_json *v = NULL;
    struct hf_err ignored;
    struct hf_err *err = c->err;
    c->err = &ignored;
    bool parsed = hf_ok(parse_answer(c, &v));
    c->err = err;
    const char *url = parsed ? member(v, "leader") : "";
    size_t scheme = strcspn(base, ":") + 3; /* "https://": never from https down to http */
    if (strncmp(url, base, scheme) != 0 || strlen(url) >= HF_CTL_URL_SIZE ||
        strpbrk(url, " \t\r\n@\"'<>") != NULL) {
        return false;
    }
    memcpy(ret, url, strlen(url) + 1);
    return true;
}

/* One given coordinator, and the leaders that it and they name. */
static hf_result ask(struct call *c, const char *given)
{
    char base[HF_CTL_URL_SIZE];
    (void)snprintf(base, sizeof base, "%s", given);
    for (int hop = 0;; hop++) {
        HF_TRY(exchange(c, base));
        if (c->reply.status != 421) {
            return hf_done();
        }
        if (hop == HF_CTL_MAX_HOPS) {
            return hf_fail(c->err, HF_E_UNREACHABLE,
                           "coordinators name each other as leader (%d times)", hop);
        }
        if (!leader_of(c, base, base)) {
            return hf_fail(c->err, HF_E_UNREACHABLE, "coordinator %s knows no leader", given);
        }
    }
}

/* Is it certain that nothing was done, so that another coordinator may be asked? */
static bool may_go_on(const struct call *c, hf_result r)
{
    if (hf_ok(r)) {
        return c->reply.status == 503;
    }
    return r.code == HF_E_UNREACHABLE ||
           (r.code == HF_E_TIMEOUT && strcmp(c->request->method, "GET") == 0);
}

hf_result hf_ctl_client_call(struct hf_ctl_client *client, const struct hf_ctl_request *request,
                             hf_json **ret, struct hf_err *err)
{
    __attribute__((cleanup(call_cleanup))) struct call c = {
        .client = client,
        .request = request,
        .body = HF_BUF_INIT(HF_CTL_ANSWER_MAX),
        .reply = HF_HTTP_SYNC_REPLY_INIT(HF_CTL_ANSWER_MAX),
        .err = err,
    };
    if (request->body != NULL) {
        HF_TRY(hf_json_write(request->body, &c.body, err));
    }
    hf_result r = {HF_E_UNREACHABLE};
    for (size_t i = 0; i < client->config.url_count; i++) {
        r = ask(&c, client->config.urls[i]);
        if (!may_go_on(&c, r)) {
            break;
        }
    }
    if (r.code == HF_E_TIMEOUT && strcmp(request->method, "GET") != 0) {
        return hf_fail_context(err, "it is not known whether it was done; see holdfast status");
    }
    HF_TRY(r);
    if (c.reply.status < 200 || c.reply.status > 299) {
        return refuse(&c);
    }
    return parse_answer(&c, ret);
}
