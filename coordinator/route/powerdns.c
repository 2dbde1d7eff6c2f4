/* SPDX-License-Identifier: Apache-2.0
 *
 * The PowerDNS Authoritative Server's HTTP API (doc.powerdns.com, "Zones": GET and PATCH of
 * /api/v1/servers/ID/zones/ZONE). A PATCH with changetype REPLACE sets one record set whole; there
 * is no condition that it could carry.
 */
#include "coordinator/route/route_provider.h"

#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/secret.h"

#include <stdio.h>
#include <string.h>

enum { PDNS_RESPONSE_MAX = 8 * 1024 * 1024, PDNS_URL_SIZE = 2048 };

struct hf_route_call {
    struct hf_http_call *http;
    struct hf_route_record record;
    bool reading;
    hf_route_done done;
    void *arg;
};

/* Looks for the record set in the zone's answer. */
static hf_result find_record(const struct hf_http_response *response,
                             const struct hf_route_record *want, struct hf_route_seen *ret,
                             struct hf_err *err)
{
    HF_AUTOJSON hf_json *zone = NULL;
    const hf_json *sets = NULL;
    HF_TRY(hf_json_parse(response->body, response->len, PDNS_RESPONSE_MAX, &zone, err));
    HF_TRY(hf_json_get_array(zone, "rrsets", 1000000, &sets, err));
    for (size_t i = 0; i < hf_json_size(sets); i++) {
        const hf_json *set = hf_json_at(sets, i);
        const hf_json *name = hf_json_member(set, "name");
        const hf_json *type = hf_json_member(set, "type");
        if (name == NULL || type == NULL || strcasecmp(hf_json_text(name), want->name) != 0 ||
            strcmp(hf_json_text(type), HF_ROUTE_TYPE_NAMES[want->type]) != 0) {
            continue;
        }
        uint64_t ttl = 0;
        const hf_json *records = NULL;
        HF_TRY(hf_json_get_u64(set, "ttl", &ttl, err));
        HF_TRY(hf_json_get_array(set, "records", 1000, &records, err));
        for (size_t k = 0; k < hf_json_size(records); k++) {
            const hf_json *content = hf_json_member(hf_json_at(records, k), "content");
            hf_route_seen_add(ret, HF_SEC(ttl), content != NULL ? hf_json_text(content) : "");
        }
    }
    hf_route_seen_compare(ret, want);
    return hf_done();
}

static void call_done(void *arg, const struct hf_http_response *response)
{
    struct hf_route_call *c = arg;
    struct hf_err err = {.code = HF_OK};
    struct hf_route_seen seen = {.count = 0};
    hf_result r = hf_route_http_check("PowerDNS", response, response->body, &err);
    if (hf_ok(r) && c->reading) {
        r = find_record(response, &c->record, &seen, &err);
    }
    bool tell = hf_ok(r) && c->reading;
    hf_route_done done = c->done;
    void *owner = c->arg;
    hf_free(c);
    done(owner, r, tell ? &seen : NULL, &err);
}

static hf_result write_body(const struct hf_route_record *record, struct hf_buf *body,
                            struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json *sets = hf_json_array();
    hf_json *set = hf_json_object();
    hf_json *records = hf_json_array();
    hf_json *one = hf_json_object();
    hf_json_put_text(one, "content", record->value);
    hf_json_put_bool(one, "disabled", false);
    hf_json_push(records, one);
    hf_json_put_text(set, "name", record->name);
    hf_json_put_text(set, "type", HF_ROUTE_TYPE_NAMES[record->type]);
    hf_json_put_text(set, "changetype", "REPLACE");
    hf_json_put_int(set, "ttl", (int)(record->ttl.us / 1000000));
    hf_json_put(set, "records", records);
    hf_json_push(sets, set);
    hf_json_put(v, "rrsets", sets);
    return hf_json_write(v, body, err);
}

static hf_result call_start(const struct hf_route_env *env, const struct hf_route_record *record,
                            bool reading, hf_route_done done, void *arg, struct hf_route_call **ret,
                            struct hf_err *err)
{
    const struct hf_config_dns *config = env->config;
    char url[PDNS_URL_SIZE];
    char header[512];
    HF_BUF(body, 8192);
    HF_AUTOSECRET struct hf_secret key = {0};
    HF_TRY(hf_secret_read_file(config->api_key_file, 256, &key, err));
    hf_secret_trim(&key);
    (void)snprintf(url, sizeof url, "%s/api/v1/servers/%s/zones/%s", config->url,
                   config->server_id[0] != '\0' ? config->server_id : "localhost", config->zone);
    if (reading) { /* servers that do not know the parameters answer with the whole zone */
        size_t n = strlen(url);
        (void)snprintf(url + n, sizeof url - n, "?rrset_name=%s&rrset_type=%s", record->name,
                       HF_ROUTE_TYPE_NAMES[record->type]);
    } else {
        HF_TRY(write_body(record, &body, err));
    }
    (void)snprintf(header, sizeof header, "X-API-Key: %s", hf_secret_text(&key));
    struct hf_route_call *c = hf_alloc(sizeof *c);
    c->record = *record;
    c->reading = reading;
    c->done = done;
    c->arg = arg;
    const char *const headers[] = {header, "Content-Type: application/json", NULL};
    const struct hf_http_client_request request = {.method = reading ? "GET" : "PATCH",
                                                   .url = url,
                                                   .headers = headers,
                                                   .body = body.data,
                                                   .body_len = body.len,
                                                   .total_timeout = config->timeout,
                                                   .max_response = PDNS_RESPONSE_MAX,
                                                   .done = call_done,
                                                   .arg = c};
    hf_result r = hf_http_client_start(env->http, &request, &c->http, err);
    hf_wipe(header, sizeof header);
    if (!hf_ok(r)) {
        hf_free(c);
        return r;
    }
    *ret = c;
    return hf_done();
}

static hf_result powerdns_read(const struct hf_route_env *env, const struct hf_route_record *record,
                               hf_route_done done, void *arg, struct hf_route_call **ret,
                               struct hf_err *err)
{
    return call_start(env, record, true, done, arg, ret, err);
}

static hf_result powerdns_set(const struct hf_route_env *env, const struct hf_route_record *record,
                              const struct hf_route_seen *seen, hf_route_done done, void *arg,
                              struct hf_route_call **ret, struct hf_err *err)
{
    (void)seen; /* REPLACE takes no condition */
    return call_start(env, record, false, done, arg, ret, err);
}

static void powerdns_cancel(struct hf_route_call *call)
{
    if (call != NULL) {
        hf_http_call_cancel(call->http);
        hf_free(call);
    }
}

const struct hf_route_provider hf_route_powerdns = {
    .type = "powerdns", .read = powerdns_read, .set = powerdns_set, .cancel = powerdns_cancel};
