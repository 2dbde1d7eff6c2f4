/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic updates at the zone's primary server (RFC 2136), over TCP, signed (RFC 8945). Reading is
 * a signed question to the same server, so that the update's prerequisites rest on an answer that
 * nobody else can have given.
 */
#include <string.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "coordinator/route/dns_tcp.h"
#include "coordinator/route/dns_update.h"
#include "coordinator/route/route_provider.h"
#include "coordinator/route/tsig.h"

struct hf_route_call {
    struct hf_dns_tcp *tcp;
    struct hf_route_record record;
    struct hf_tsig_key key;
    struct hf_tsig_mac mac; /* of the question */
    uint16_t id;
    bool reading;
    hf_route_done done;
    void *arg;
};

static void call_free(struct hf_route_call *c)
{
    hf_dns_tcp_cancel(c->tcp);
    hf_tsig_key_free(&c->key);
    hf_free(c);
}

static int64_t now_s(void)
{
    return hf_clock_wall().us / 1000000;
}

static void answered(void *arg, hf_result result, uint8_t *packet, size_t len,
                     const struct hf_err *problem)
{
    struct hf_route_call *c = arg;
    struct hf_route_seen seen = {.count = 0};
    struct hf_err err = {.code = HF_OK};
    hf_result r = result;
    c->tcp = NULL;
    if (!hf_ok(r)) {
        err = *problem;
    } else {
        r = hf_tsig_verify(&c->key, &c->mac, now_s(), packet, &len, &err);
    }
    if (hf_ok(r)) {
        r = c->reading ? hf_dns_seen_parse(packet, len, c->id, &c->record, &seen, &err)
                       : hf_dns_update_parse(packet, len, c->id, &c->record, &err);
    }
    bool tell = hf_ok(r) && c->reading;
    hf_route_done done = c->done;
    void *owner = c->arg;
    call_free(c);
    done(owner, r, tell ? &seen : NULL, &err);
}

static hf_result call_send(struct hf_route_call *c, const struct hf_route_env *env,
                           const struct hf_route_seen *seen, struct hf_err *err)
{
    uint8_t packet[HF_DNS_UPDATE_MAX];
    size_t len = 0;
    const struct hf_config_dns *config = env->config;
    HF_TRY(hf_tsig_key_read(config->key_file, &c->key, err));
    if (c->reading) {
        HF_TRY(
            hf_dns_build(c->record.name, c->record.type, c->id, packet, sizeof packet, &len, err));
    } else {
        HF_TRY(hf_dns_update_build(config->zone, &c->record, seen, c->id, packet, sizeof packet,
                                   &len, err));
    }
    HF_TRY(hf_tsig_sign(&c->key, now_s(), packet, sizeof packet, &len, &c->mac, err));
    return hf_dns_tcp_start(env->loop, config->server, packet, len, config->timeout, answered, c,
                            &c->tcp, err);
}

static hf_result call_start(const struct hf_route_env *env, const struct hf_route_record *record,
                            const struct hf_route_seen *seen, hf_route_done done, void *arg,
                            struct hf_route_call **ret, struct hf_err *err)
{
    struct hf_route_call *c = hf_alloc(sizeof *c);
    c->record = *record;
    c->id = (uint16_t)hf_random_u64();
    c->reading = seen == NULL;
    c->done = done;
    c->arg = arg;
    hf_result r = call_send(c, env, seen, err);
    if (!hf_ok(r)) {
        call_free(c);
        return r;
    }
    *ret = c;
    return hf_done();
}

static hf_result rfc2136_read(const struct hf_route_env *env, const struct hf_route_record *record,
                              hf_route_done done, void *arg, struct hf_route_call **ret,
                              struct hf_err *err)
{
    return call_start(env, record, NULL, done, arg, ret, err);
}

static void rfc2136_cancel(struct hf_route_call *call)
{
    if (call != NULL) {
        call_free(call);
    }
}

const struct hf_route_provider hf_route_rfc2136 = {
    .type = "rfc2136", .read = rfc2136_read, .set = call_start, .cancel = rfc2136_cancel};
