/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/route.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "coordinator/route/dns_query.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const hf_dur BACKOFF_MIN = {250000};
static const hf_dur BACKOFF_MAX = {5000000};
/* Servers that answer from a cache of their database need a moment: asked again at this pace
 * before the record is set again. */
enum { VERIFY_ROUNDS = 12, VERIFY_PAUSE_MS = 250 };

struct hf_route_task {
    struct hf_route_env env;
    const struct hf_route_provider *provider;
    struct hf_route_record record;
    hf_name node;
    enum hf_route_state state;
    struct hf_timer *timer;
    struct hf_route_call *call;
    size_t asked; /* servers that agreed in this round */
    int rounds;   /* of verification since the last setting */
    bool was_set; /* by this task */
    struct hf_dns_query *query;
    hf_dur backoff;
    hf_dur old_ttl;
    hf_lclk set_at; /* by this task; 0 = never */
    struct hf_route_seen seen;
    char problem[512];
};

static void task_read(struct hf_route_task *t);
static void task_verify(struct hf_route_task *t);

/* Tries again later, from reading on. */
static void task_fail(struct hf_route_task *t, const struct hf_err *err)
{
    if (strcmp(t->problem, err->text) != 0) {
        hf_log(HF_LOG_WARNING, "ROUTE_RETRY", "the published name is not set yet",
               HF_KV("name", t->record.name), HF_KV("value", t->record.value), HF_KV_ERR(err));
    }
    (void)snprintf(t->problem, sizeof t->problem, "%s", err->text);
    t->state = HF_ROUTE_WAITING;
    hf_timer_after(t->timer, t->backoff);
    t->backoff = HF_US(t->backoff.us * 2 > BACKOFF_MAX.us ? BACKOFF_MAX.us : t->backoff.us * 2);
}

static void task_timer(void *arg)
{
    struct hf_route_task *t = arg;
    if (t->state == HF_ROUTE_VERIFYING) {
        task_verify(t);
    } else {
        task_read(t);
    }
}

static void verified(void *arg, hf_result result, const struct hf_dns_answer *answer,
                     const struct hf_err *err)
{
    struct hf_route_task *t = arg;
    struct hf_err problem;
    t->query = NULL;
    const char *server = t->env.config->authoritative[t->asked];
    if (!hf_ok(result)) {
        problem = *err;
    } else if (!hf_dns_answer_is(answer, t->record.value)) {
        (void)hf_fail(&problem, HF_E_STALE, "%s answers %s with %d records, first %.64s", server,
                      t->record.name, answer->count,
                      answer->count > 0 ? answer->values[0] : "none");
    } else if (++t->asked == t->env.config->authoritative_count) {
        t->state = HF_ROUTE_DONE;
        t->problem[0] = '\0';
        hf_log(HF_LOG_NOTICE, "ROUTE_VERIFIED", "the published name points to the node",
               HF_KV("name", t->record.name), HF_KV("value", t->record.value),
               HF_KV("node", t->node.s), HF_KV_DUR("old_ttl_ms", t->old_ttl));
        return;
    } else {
        task_verify(t);
        return;
    }
    t->asked = 0;
    if (++t->rounds < VERIFY_ROUNDS) {
        (void)snprintf(t->problem, sizeof t->problem, "%s", problem.text);
        hf_timer_after(t->timer, HF_MS(VERIFY_PAUSE_MS));
    } else {
        t->rounds = 0;
        task_fail(t, &problem);
    }
}

static void task_verify(struct hf_route_task *t)
{
    struct hf_err err;
    t->state = HF_ROUTE_VERIFYING;
    if (t->env.config->authoritative_count == 0) {
        t->state = HF_ROUTE_DONE; /* none configured: the provider's own answer is what there is */
        t->problem[0] = '\0';
        return;
    }
    hf_result r = hf_dns_query_start(t->env.loop, t->env.config->authoritative[t->asked],
                                     t->record.name, t->record.type, verified, t, &t->query, &err);
    if (!hf_ok(r)) {
        task_fail(t, &err);
    }
}

static void task_was_set(void *arg, hf_result result, const struct hf_route_seen *seen,
                         const struct hf_err *err)
{
    struct hf_route_task *t = arg;
    (void)seen;
    t->call = NULL;
    if (!hf_ok(result)) { /* also of unknown outcome: reading shows it */
        task_fail(t, err);
        return;
    }
    t->was_set = true;
    t->set_at = hf_clock_lease();
    t->rounds = 0;
    t->asked = 0;
    task_verify(t);
}

static void task_was_read(void *arg, hf_result result, const struct hf_route_seen *seen,
                          const struct hf_err *err)
{
    struct hf_route_task *t = arg;
    struct hf_err failure;
    t->call = NULL;
    if (!hf_ok(result)) {
        task_fail(t, err);
        return;
    }
    t->seen = *seen;
    if (!t->was_set && seen->ttl.us != 0) {
        t->old_ttl = seen->ttl;
        if (seen->ttl.us > t->record.ttl.us) {
            hf_log(HF_LOG_WARNING, "ROUTE_TTL",
                   "clients may keep the old address for longer than "
                   "the policy says",
                   HF_KV("name", t->record.name), HF_KV_DUR("ttl_ms", seen->ttl),
                   HF_KV_DUR("policy_ms", t->record.ttl));
        }
    }
    if (seen->found) {
        t->rounds = 0;
        t->asked = 0;
        task_verify(t);
        return;
    }
    t->state = HF_ROUTE_SETTING;
    hf_result r =
        t->provider->set(&t->env, &t->record, &t->seen, task_was_set, t, &t->call, &failure);
    if (!hf_ok(r)) {
        task_fail(t, &failure);
    }
}

static void task_read(struct hf_route_task *t)
{
    struct hf_err err;
    t->state = HF_ROUTE_READING;
    hf_result r = t->provider->read(&t->env, &t->record, task_was_read, t, &t->call, &err);
    if (!hf_ok(r)) {
        task_fail(t, &err);
    }
}

hf_result hf_route_task_new(struct hf_loop *loop, struct hf_http_client *http,
                            const struct hf_config_dns *config,
                            const struct hf_route_record *record, const hf_name *node,
                            struct hf_route_task **ret, struct hf_err *err)
{
    const struct hf_route_provider *provider = hf_route_provider_of(config->type);
    if (provider == NULL) {
        return hf_fail(err, HF_E_UNSUPPORTED, "DNS provider %s is of an unknown type",
                       config->name.s);
    }
    struct hf_route_task *t = hf_alloc(sizeof *t);
    t->env = (struct hf_route_env){.loop = loop, .http = http, .config = config};
    t->provider = provider;
    t->record = *record;
    t->node = *node;
    t->backoff = BACKOFF_MIN;
    t->state = HF_ROUTE_WAITING;
    t->timer = hf_timer_new(loop, task_timer, t);
    hf_timer_after(t->timer, HF_MS(1));
    *ret = t;
    return hf_done();
}

void hf_route_task_free(struct hf_route_task *t)
{
    if (t == NULL) {
        return;
    }
    if (t->call != NULL) {
        t->provider->cancel(t->call);
    }
    hf_dns_query_cancel(t->query);
    hf_timer_free(t->timer);
    hf_free(t);
}

enum hf_route_state hf_route_task_state(const struct hf_route_task *t)
{
    return t->state;
}

const hf_name *hf_route_task_node(const struct hf_route_task *t)
{
    return &t->node;
}

const struct hf_route_record *hf_route_task_record(const struct hf_route_task *t)
{
    return &t->record;
}

const char *hf_route_task_problem(const struct hf_route_task *t)
{
    return t->problem;
}

hf_dur hf_route_task_old_ttl(const struct hf_route_task *t)
{
    return t->old_ttl;
}

bool hf_route_task_ttl_high(const struct hf_route_task *t, hf_lclk now)
{
    if (t->old_ttl.us <= t->record.ttl.us) {
        return false;
    }
    return !t->was_set || hf_lclk_before(now, hf_lclk_add(t->set_at, t->old_ttl));
}

hf_result hf_route_record_make(const struct hf_policy *policy, const char *address,
                               struct hf_route_record *ret, struct hf_err *err)
{
    struct hf_route_record record = {.type = policy->route.type, .ttl = policy->route.ttl};
    unsigned char binary[16];
    const char *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;
    const char *host = address;
    if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n == 0 || n + 2 > sizeof record.value) {
        return hf_fail(err, HF_E_INVALID, "node address \"%s\" has no host", address);
    }
    (void)snprintf(record.name, sizeof record.name, "%s", policy->route.name);
    memcpy(record.value, host, n);
    bool v4 = inet_pton(AF_INET, record.value, binary) == 1;
    bool v6 = inet_pton(AF_INET6, record.value, binary) == 1;
    bool fits = (record.type == HF_ROUTE_A && v4) || (record.type == HF_ROUTE_AAAA && v6) ||
                (record.type == HF_ROUTE_CNAME && !v4 && !v6);
    if (!fits) {
        return hf_fail(err, HF_E_INVALID, "node address \"%s\" does not fit a record of type %s",
                       address, HF_ROUTE_TYPE_NAMES[record.type]);
    }
    if (v4 || v6) { /* one spelling, as the servers answer it */
        int family = v4 ? AF_INET : AF_INET6;
        (void)inet_pton(family, record.value, binary);
        (void)inet_ntop(family, binary, record.value, sizeof record.value);
    }
    if (record.type == HF_ROUTE_CNAME && record.value[n - 1] != '.') {
        record.value[n] = '.';
    }
    *ret = record;
    return hf_done();
}
