/* SPDX-License-Identifier: Apache-2.0
 *
 * Amazon Route 53 (API reference, version 2013-04-01): a listing of the record set, an UPSERT, then
 * GetChange until all of its servers have it. Its control plane is in one region of one provider:
 * never the only way to a primary (docs/dns.md). An UPSERT carries no condition.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/aws_sign.h"
#include "common/io/clock.h"
#include "common/io/crypto.h"
#include "common/io/s3_time.h"
#include "coordinator/route/route53_xml.h"
#include "coordinator/route/route_provider.h"

enum { URL_SIZE = 2048, POLL_MS = 1000, POLL_FAILURES = 5 };
static const char API[] = "https://route53.amazonaws.com";
static const char VERSION[] = "/2013-04-01";

struct hf_route_call {
    struct hf_route_env env;
    struct hf_http_call *http;
    struct hf_timer *timer; /* until the next look at the change */
    struct hf_route_record record;
    char change[HF_R53_ID_SIZE];
    hf_lclk until; /* the change must be in sync */
    int failures;  /* looks that failed, one after the other */
    hf_route_done done;
    void *arg;
};

static void call_free(struct hf_route_call *c)
{
    hf_http_call_cancel(c->http);
    hf_timer_free(c->timer);
    hf_free(c);
}

static void call_end(struct hf_route_call *c, hf_result result, const struct hf_route_seen *seen,
                     const struct hf_err *err)
{
    hf_route_done done = c->done;
    void *owner = c->arg;
    call_free(c);
    done(owner, result, seen, err);
}

/* --- requests --- */

/* HOST[:PORT] of the endpoint, as the Host header has it. */
static hf_result host_of(const char *url, char *ret, size_t size, struct hf_err *err)
{
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    size_t n = strcspn(host, "/");
    if (n == 0 || n >= size || host[n] != '\0') {
        return hf_fail(err, HF_E_INVALID, "%s: the address of Route 53 has no path", url);
    }
    memcpy(ret, host, n + 1);
    return hf_done();
}

struct wire {
    char authorization[1024];
    char date[64];
    char token[4096 + 64];
};

static hf_result sign(const struct hf_route_call *c, const char *method, const char *path,
                      const char *query, const struct hf_buf *body, struct wire *w,
                      struct hf_err *err)
{
    const struct hf_config_dns *config = c->env.config;
    __attribute__((cleanup(hf_aws_credentials_free))) struct hf_aws_credentials credentials = {0};
    HF_TRY(config->credentials[0] != '\0'
               ? hf_aws_credentials_read(config->credentials, &credentials, err)
               : hf_aws_credentials_env(&credentials, err));
    char host[HF_CONFIG_URL_SIZE];
    HF_TRY(host_of(config->url[0] != '\0' ? config->url : API, host, sizeof host, err));
    char stamp[HF_S3_STAMP_SIZE];
    hf_s3_stamp(hf_clock_wall(), stamp);
    uint8_t digest[HF_SHA256_SIZE];
    char hash[HF_HEX_SIZE(HF_SHA256_SIZE)];
    hf_sha256(body != NULL ? body->data : "", body != NULL ? body->len : 0, digest);
    hf_hex_encode(digest, sizeof digest, hash);
    struct hf_aws_pair headers[3] = {{"host", host}, {"x-amz-date", stamp}};
    size_t count = 2;
    if (credentials.token.len > 0) {
        headers[count++] =
            (struct hf_aws_pair){"x-amz-security-token", hf_secret_text(&credentials.token)};
        (void)snprintf(w->token, sizeof w->token, "x-amz-security-token: %s",
                       hf_secret_text(&credentials.token));
    }
    const struct hf_aws_sign request = {.method = method,
                                        .path = path,
                                        .query = query,
                                        .headers = headers,
                                        .header_count = count,
                                        .payload_hash = hash,
                                        .service = "route53",
                                        .region = config->signing_region,
                                        .stamp = stamp,
                                        .credentials = &credentials};
    HF_BUF(authorization, sizeof w->authorization - 32);
    HF_TRY(hf_aws_sign(&request, &authorization, err));
    (void)snprintf(w->authorization, sizeof w->authorization, "Authorization: %s",
                   hf_buf_text(&authorization));
    (void)snprintf(w->date, sizeof w->date, "x-amz-date: %s", stamp);
    return hf_done();
}

static hf_result send_request(struct hf_route_call *c, const char *method, const char *path,
                              const char *query, const struct hf_buf *body, hf_http_done done,
                              struct hf_err *err)
{
    const struct hf_config_dns *config = c->env.config;
    struct wire w = {.token = ""};
    char url[URL_SIZE];
    HF_TRY(sign(c, method, path, query, body, &w, err));
    (void)snprintf(url, sizeof url, "%s%s%s%s", config->url[0] != '\0' ? config->url : API, path,
                   query[0] != '\0' ? "?" : "", query);
    const char *const headers[] = {w.authorization, w.date, "Content-Type: text/xml",
                                   w.token[0] != '\0' ? w.token : NULL, NULL};
    const struct hf_http_client_request request = {.method = method,
                                                   .url = url,
                                                   .headers = headers,
                                                   .body = body != NULL ? body->data : NULL,
                                                   .body_len = body != NULL ? body->len : 0,
                                                   .total_timeout = config->timeout,
                                                   .max_response = HF_R53_ANSWER_MAX,
                                                   .done = done,
                                                   .arg = c};
    hf_result r = hf_http_client_start(c->env.http, &request, &c->http, err);
    hf_wipe(&w, sizeof w);
    return r;
}

/* The API answers 400 also to what is to be tried again. */
static hf_result check(const struct hf_http_response *response, struct hf_err *err)
{
    struct hf_r53_error said = {.code = ""};
    char text[300] = "";
    if (hf_ok(response->result) && response->status >= 300) {
        hf_r53_read_error(response->body, response->len, &said);
        (void)snprintf(text, sizeof text, "%s: %s", said.code, said.message);
    }
    hf_result r = hf_route_http_check("Route 53", response, text, err);
    if (!hf_ok(r) && (strcmp(said.code, "PriorRequestNotComplete") == 0 ||
                      strcmp(said.code, "Throttling") == 0)) {
        err->code = HF_E_AGAIN;
        r.code = HF_E_AGAIN;
    }
    return r;
}

/* --- reading --- */

static void list_came(void *arg, const struct hf_http_response *response)
{
    struct hf_route_call *c = arg;
    struct hf_route_seen seen = {.count = 0};
    struct hf_err err = {.code = HF_OK};
    c->http = NULL;
    hf_result r = check(response, &err);
    if (hf_ok(r)) {
        r = hf_r53_read_list(response->body, response->len, &c->record, &seen, &err);
    }
    call_end(c, r, hf_ok(r) ? &seen : NULL, &err);
}

static hf_result ask_list(struct hf_route_call *c, struct hf_err *err)
{
    char path[256];
    HF_BUF(query, 2048);
    const struct hf_aws_pair pairs[] = {{"name", c->record.name},
                                        {"type", HF_ROUTE_TYPE_NAMES[c->record.type]},
                                        {"maxitems", "20"}};
    (void)snprintf(path, sizeof path, "%s/hostedzone/%s/rrset", VERSION, c->env.config->zone_id);
    HF_TRY(hf_aws_query(pairs, 3, &query, err));
    return send_request(c, "GET", path, hf_buf_text(&query), NULL, list_came, err);
}

/* --- setting --- */

static void change_came(void *arg, const struct hf_http_response *response);

static void look_again(struct hf_route_call *c, const struct hf_err *problem)
{
    struct hf_err err = {.code = HF_OK};
    if (hf_lclk_before(hf_clock_lease(), c->until)) {
        hf_timer_after(c->timer, HF_MS(POLL_MS));
        return;
    }
    if (problem != NULL) {
        err = *problem;
    } else {
        (void)hf_fail(&err, HF_E_TIMEOUT,
                      "Route 53: change %s was not in sync within %" PRId64 " s", c->change,
                      c->env.config->sync_timeout.us / 1000000);
    }
    call_end(c, (hf_result){err.code}, NULL, &err);
}

static void ask_change(void *arg)
{
    struct hf_route_call *c = arg;
    char path[256];
    struct hf_err err;
    (void)snprintf(path, sizeof path, "%s/change/%s", VERSION, c->change);
    hf_result r = send_request(c, "GET", path, "", NULL, change_came, &err);
    if (!hf_ok(r)) {
        call_end(c, r, NULL, &err);
    }
}

/* Of the UPSERT, then of every look at it. A look that fails says nothing about the change. */
static void change_came(void *arg, const struct hf_http_response *response)
{
    struct hf_route_call *c = arg;
    struct hf_r53_change change = {.id = ""};
    struct hf_err err = {.code = HF_OK};
    c->http = NULL;
    hf_result r = check(response, &err);
    if (hf_ok(r)) {
        r = hf_r53_read_change(response->body, response->len, &change, &err);
    }
    if (!hf_ok(r)) {
        if (c->change[0] == '\0' || ++c->failures >= POLL_FAILURES) {
            call_end(c, r, NULL, &err);
        } else {
            look_again(c, &err);
        }
    } else if (change.in_sync) {
        call_end(c, r, NULL, &err);
    } else {
        memcpy(c->change, change.id, sizeof c->change);
        c->failures = 0;
        look_again(c, NULL);
    }
}

static hf_result send_change(struct hf_route_call *c, struct hf_err *err)
{
    char path[256];
    HF_BUF(body, 8192);
    (void)snprintf(path, sizeof path, "%s/hostedzone/%s/rrset", VERSION, c->env.config->zone_id);
    HF_TRY(hf_r53_write_change(&c->record, &body, err));
    c->timer = hf_timer_new(c->env.loop, ask_change, c);
    c->until = hf_lclk_add(hf_clock_lease(), c->env.config->sync_timeout);
    return send_request(c, "POST", path, "", &body, change_came, err);
}

/* --- both --- */

static hf_result call_start(const struct hf_route_env *env, const struct hf_route_record *record,
                            bool reading, hf_route_done done, void *arg, struct hf_route_call **ret,
                            struct hf_err *err)
{
    struct hf_route_call *c = hf_alloc(sizeof *c);
    c->env = *env;
    c->record = *record;
    c->done = done;
    c->arg = arg;
    hf_result r = reading ? ask_list(c, err) : send_change(c, err);
    if (!hf_ok(r)) {
        call_free(c);
        return r;
    }
    *ret = c;
    return hf_done();
}

static hf_result route53_read(const struct hf_route_env *env, const struct hf_route_record *record,
                              hf_route_done done, void *arg, struct hf_route_call **ret,
                              struct hf_err *err)
{
    return call_start(env, record, true, done, arg, ret, err);
}

static hf_result route53_set(const struct hf_route_env *env, const struct hf_route_record *record,
                             const struct hf_route_seen *seen, hf_route_done done, void *arg,
                             struct hf_route_call **ret, struct hf_err *err)
{
    if (seen->count > 1) {
        return hf_fail(err, HF_E_REFUSED, "%s has %d records of type %s at Route 53, wanted: one",
                       record->name, seen->count, HF_ROUTE_TYPE_NAMES[record->type]);
    }
    return call_start(env, record, false, done, arg, ret, err);
}

static void route53_cancel(struct hf_route_call *call)
{
    if (call != NULL) {
        call_free(call);
    }
}

const struct hf_route_provider hf_route_route53 = {
    .type = "route53", .read = route53_read, .set = route53_set, .cancel = route53_cancel};
