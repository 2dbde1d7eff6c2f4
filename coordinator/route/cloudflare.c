/* SPDX-License-Identifier: Apache-2.0
 *
 * Cloudflare's API v4 (developers.cloudflare.com, "DNS Records for a Zone"): the record is found by
 * name and type, then changed by its id, or made. There is no condition that a change could carry;
 * a record that was replaced meanwhile has another id, and changing the old one is 404. Without a
 * zone id the zone is looked up by its name first.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/secret.h"
#include "coordinator/route/route_provider.h"

enum {
    ANSWER_MAX = 1 << 20,
    URL_SIZE = 2048,
    TOKEN_MAX = 512,
    RECORDS_MAX = 100,
    AUTO_TTL_S = 300
};
static const char API[] = "https://api.cloudflare.com/client/v4";

struct hf_route_call {
    struct hf_route_env env;
    struct hf_http_call *http;
    struct hf_route_record record;
    struct hf_route_seen seen; /* setting: what was read; reading: what is read */
    bool reading;
    char zone_id[HF_NAME_SIZE]; /* "" until it is known */
    hf_route_done done;
    void *arg;
};

static void call_end(struct hf_route_call *c, hf_result result, bool tell, const struct hf_err *err)
{
    hf_route_done done = c->done;
    void *owner = c->arg;
    struct hf_route_seen seen = c->seen;
    hf_free(c);
    done(owner, result, tell ? &seen : NULL, err);
}

/* Cloudflare writes names without the final dot. */
static void plain_name(const char *name, char ret[HF_POLICY_DNS_NAME_SIZE])
{
    size_t n = strlen(name);
    n -= n > 0 && name[n - 1] == '.' ? 1 : 0;
    memcpy(ret, name, n);
    ret[n] = '\0';
}

/* {"success": bool, "errors": [{"code": 1, "message": ""}], "result": ...}. The document is the
 * caller's to free, also on failure. */
static hf_result open_answer(const struct hf_http_response *response, hf_json **ret_document,
                             const hf_json **ret_result, struct hf_err *err)
{
    char said[200] = "";
    bool success = false;
    bool parsed = hf_ok(response->result) && hf_ok(hf_json_parse(response->body, response->len,
                                                                 ANSWER_MAX, ret_document, err));
    if (parsed) {
        const hf_json *errors = hf_json_member(*ret_document, "errors");
        const hf_json *first = errors != NULL ? hf_json_at(errors, 0) : NULL;
        if (first != NULL) {
            int64_t code = 0;
            HF_IGNORE(hf_json_get_i64_opt(first, "code", &code, NULL), "0 is shown then");
            const hf_json *message = hf_json_member(first, "message");
            (void)snprintf(said, sizeof said, "%.150s (code %d)",
                           message != NULL ? hf_json_text(message) : "", (int)code);
        }
        HF_IGNORE(hf_json_get_bool_opt(*ret_document, "success", &success, NULL), "false then");
        *ret_result = hf_json_member(*ret_document, "result");
    }
    HF_TRY(hf_route_http_check("Cloudflare", response, said, err));
    if (!parsed) {
        return hf_fail(err, HF_E_CORRUPT, "Cloudflare's answer is not JSON");
    }
    if (!success || *ret_result == NULL) {
        return hf_fail(err, HF_E_REFUSED, "Cloudflare refuses: %s", said);
    }
    return hf_done();
}

static bool is_id(const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)text[i])) {
            return false;
        }
    }
    return n > 0 && n < HF_ROUTE_HANDLE_SIZE;
}

static hf_result send_request(struct hf_route_call *c, const char *method, const char *url,
                              const struct hf_buf *body, hf_http_done done, struct hf_err *err)
{
    const struct hf_config_dns *config = c->env.config;
    HF_AUTOSECRET struct hf_secret token = {0};
    char header[TOKEN_MAX + 64];
    HF_TRY(hf_secret_read_file(config->token_file, TOKEN_MAX, &token, err));
    hf_secret_trim(&token);
    for (size_t i = 0; i < token.len; i++) {
        if (token.data[i] <= ' ' || token.data[i] > '~') {
            return hf_fail(err, HF_E_INVALID, "%s is not one line with a token",
                           config->token_file);
        }
    }
    (void)snprintf(header, sizeof header, "Authorization: Bearer %s", hf_secret_text(&token));
    const char *const headers[] = {header, "Content-Type: application/json", NULL};
    const struct hf_http_client_request request = {.method = method,
                                                   .url = url,
                                                   .headers = headers,
                                                   .body = body != NULL ? body->data : NULL,
                                                   .body_len = body != NULL ? body->len : 0,
                                                   .total_timeout = config->timeout,
                                                   .max_response = ANSWER_MAX,
                                                   .done = done,
                                                   .arg = c};
    hf_result r = hf_http_client_start(c->env.http, &request, &c->http, err);
    hf_wipe(header, sizeof header);
    return r;
}

static const char *base_url(const struct hf_route_call *c)
{
    return c->env.config->url[0] != '\0' ? c->env.config->url : API;
}

/* --- reading --- */

static hf_result take_records(struct hf_route_call *c, const hf_json *records, struct hf_err *err)
{
    char name[HF_POLICY_DNS_NAME_SIZE];
    plain_name(c->record.name, name);
    if (!hf_json_is_array(records) || hf_json_size(records) > RECORDS_MAX) {
        return hf_fail(err, HF_E_CORRUPT, "Cloudflare's answer is not a list of at most %d records",
                       (int)RECORDS_MAX);
    }
    bool proxied = false;
    for (size_t i = 0; i < hf_json_size(records); i++) {
        const hf_json *one = hf_json_at(records, i);
        char id[HF_ROUTE_HANDLE_SIZE];
        char type[16];
        char owner[HF_POLICY_DNS_NAME_SIZE];
        char content[HF_ADDRESS_SIZE];
        uint64_t ttl = 0;
        HF_TRY(hf_json_get_text(one, "id", id, sizeof id, err));
        HF_TRY(hf_json_get_text(one, "type", type, sizeof type, err));
        HF_TRY(hf_json_get_text(one, "name", owner, sizeof owner, err));
        if (strcmp(type, HF_ROUTE_TYPE_NAMES[c->record.type]) != 0 ||
            strcasecmp(owner, name) != 0) {
            continue;
        }
        HF_TRY(hf_json_get_text(one, "content", content, sizeof content, err));
        HF_TRY(hf_json_get_u64(one, "ttl", &ttl, err));
        HF_TRY(hf_json_get_bool_opt(one, "proxied", &proxied, err));
        if (!is_id(id)) {
            return hf_fail(err, HF_E_CORRUPT, "Cloudflare's record id has other than a-z and 0-9");
        }
        memcpy(c->seen.handle, id, sizeof id);
        hf_route_seen_add(&c->seen, HF_SEC(ttl == 1 ? AUTO_TTL_S : ttl), content);
    }
    hf_route_seen_compare(&c->seen, &c->record);
    c->seen.found = c->seen.found && !proxied; /* else its servers answer their own addresses */
    return hf_done();
}

static void records_came(void *arg, const struct hf_http_response *response)
{
    struct hf_route_call *c = arg;
    HF_AUTOJSON hf_json *document = NULL;
    const hf_json *result = NULL;
    struct hf_err err = {.code = HF_OK};
    c->http = NULL;
    hf_result r = open_answer(response, &document, &result, &err);
    if (hf_ok(r)) {
        r = take_records(c, result, &err);
    }
    call_end(c, r, hf_ok(r), &err);
}

static hf_result ask_records(struct hf_route_call *c, struct hf_err *err)
{
    char url[URL_SIZE];
    char name[HF_POLICY_DNS_NAME_SIZE];
    plain_name(c->record.name, name);
    (void)snprintf(url, sizeof url, "%s/zones/%s/dns_records?type=%s&name=%s&per_page=%d",
                   base_url(c), c->zone_id, HF_ROUTE_TYPE_NAMES[c->record.type], name,
                   (int)RECORDS_MAX);
    return send_request(c, "GET", url, NULL, records_came, err);
}

/* --- setting --- */

static void change_came(void *arg, const struct hf_http_response *response)
{
    struct hf_route_call *c = arg;
    HF_AUTOJSON hf_json *document = NULL;
    const hf_json *result = NULL;
    struct hf_err err = {.code = HF_OK};
    c->http = NULL;
    hf_result r = open_answer(response, &document, &result, &err);
    if (r.code == HF_E_NOT_FOUND && c->seen.count > 0) {
        r = hf_fail(&err, HF_E_CONFLICT, "Cloudflare: the record that was read is gone");
    }
    call_end(c, r, false, &err);
}

static hf_result write_body(const struct hf_route_call *c, struct hf_buf *body, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = hf_json_object();
    char name[HF_POLICY_DNS_NAME_SIZE];
    char target[HF_POLICY_DNS_NAME_SIZE];
    plain_name(c->record.name, name);
    if (strlen(c->record.value) >= sizeof target) {
        return hf_fail(err, HF_E_INVALID, "%s is too long for a name", c->record.value);
    }
    plain_name(c->record.value, target);
    hf_json_put_text(v, "type", HF_ROUTE_TYPE_NAMES[c->record.type]);
    hf_json_put_text(v, "name", name);
    hf_json_put_text(v, "content", target);
    hf_json_put_int(v, "ttl", (int)(c->record.ttl.us / 1000000));
    hf_json_put_bool(v, "proxied", false);
    return hf_json_write(v, body, err);
}

static hf_result send_change(struct hf_route_call *c, struct hf_err *err)
{
    char url[URL_SIZE];
    HF_BUF(body, 4096);
    if (c->seen.count > 1) {
        return hf_fail(err, HF_E_REFUSED, "%s has %d records of type %s at Cloudflare, wanted: one",
                       c->record.name, c->seen.count, HF_ROUTE_TYPE_NAMES[c->record.type]);
    }
    HF_TRY(write_body(c, &body, err));
    bool change = c->seen.count == 1;
    (void)snprintf(url, sizeof url, "%s/zones/%s/dns_records%s%s", base_url(c), c->zone_id,
                   change ? "/" : "", change ? c->seen.handle : "");
    return send_request(c, change ? "PATCH" : "POST", url, &body, change_came, err);
}

/* --- both --- */

static hf_result go_on(struct hf_route_call *c, struct hf_err *err)
{
    return c->reading ? ask_records(c, err) : send_change(c, err);
}

static void zone_came(void *arg, const struct hf_http_response *response)
{
    struct hf_route_call *c = arg;
    HF_AUTOJSON hf_json *document = NULL;
    const hf_json *result = NULL;
    struct hf_err err = {.code = HF_OK};
    c->http = NULL;
    hf_result r = open_answer(response, &document, &result, &err);
    if (hf_ok(r) && hf_json_size(result) != 1) {
        r = hf_fail(&err, HF_E_NOT_FOUND,
                    "Cloudflare shows %zu zones %s to this token, wanted: one",
                    hf_json_size(result), c->env.config->zone);
    }
    if (hf_ok(r)) {
        r = hf_json_get_text(hf_json_at(result, 0), "id", c->zone_id, sizeof c->zone_id, &err);
    }
    if (hf_ok(r) && !is_id(c->zone_id)) {
        r = hf_fail(&err, HF_E_CORRUPT, "Cloudflare's zone id has other than a-z and 0-9");
    }
    if (hf_ok(r)) {
        r = go_on(c, &err);
    }
    if (!hf_ok(r)) {
        call_end(c, r, false, &err);
    }
}

static hf_result ask_zone(struct hf_route_call *c, struct hf_err *err)
{
    char url[URL_SIZE];
    char name[HF_POLICY_DNS_NAME_SIZE];
    plain_name(c->env.config->zone, name);
    (void)snprintf(url, sizeof url, "%s/zones?name=%s", base_url(c), name);
    return send_request(c, "GET", url, NULL, zone_came, err);
}

static hf_result call_start(const struct hf_route_env *env, const struct hf_route_record *record,
                            const struct hf_route_seen *seen, hf_route_done done, void *arg,
                            struct hf_route_call **ret, struct hf_err *err)
{
    struct hf_route_call *c = hf_alloc(sizeof *c);
    c->env = *env;
    c->record = *record;
    c->reading = seen == NULL;
    c->done = done;
    c->arg = arg;
    if (seen != NULL) {
        c->seen = *seen;
    }
    (void)snprintf(c->zone_id, sizeof c->zone_id, "%s", env->config->zone_id);
    hf_result r = c->zone_id[0] != '\0' ? go_on(c, err) : ask_zone(c, err);
    if (!hf_ok(r)) {
        hf_free(c);
        return r;
    }
    *ret = c;
    return hf_done();
}

static hf_result cloudflare_read(const struct hf_route_env *env,
                                 const struct hf_route_record *record, hf_route_done done,
                                 void *arg, struct hf_route_call **ret, struct hf_err *err)
{
    return call_start(env, record, NULL, done, arg, ret, err);
}

static void cloudflare_cancel(struct hf_route_call *call)
{
    if (call != NULL) {
        hf_http_call_cancel(call->http);
        hf_free(call);
    }
}

const struct hf_route_provider hf_route_cloudflare = {
    .type = "cloudflare", .read = cloudflare_read, .set = call_start, .cancel = cloudflare_cancel};
