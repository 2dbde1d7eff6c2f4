/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast-coordinator: joins the parts, runs the loop, ends in good order.
 *   holdfast-coordinator run --config coordinator.yaml
 *   holdfast-coordinator --list-steps      the steps of a plan, a line each
 *   holdfast-coordinator version
 */
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/service.h"
#include "common/io/ws_http.h"
#include "coordinator/api/api.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2, WORKERS = 4, WORKER_QUEUE = 1024, HTTP_CALLS = 32 };
static const hf_dur TICK = {100000};
static const hf_dur STOP_LIMIT = {3000000};

struct coordinator {
    struct hf_config_coordinator config;
    struct hf_config *loaded;
    char url[HF_ADDRESS_SIZE];
    struct hf_loop *loop;
    struct hf_ws_hub *ws;
    struct hf_pool *pool;
    struct hf_http_client *http;
    struct hf_etcd *etcd;
    struct hf_warm warm;
    struct hf_tree *tree;
    struct hf_leader *leader;
    struct hf_history *history;
    struct hf_hub *hub;
    struct hf_carry *carry;
    struct hf_api api;
    struct hf_http_server *users;
    struct hf_timer *tick;
    struct hf_timer *stop;
    struct hf_timer *watchdog;
    int ticks;
    hf_lclk last_tick;
    bool stopping;
};

/* --- events between the parts --- */

static void on_loaded(void *arg)
{
    struct coordinator *c = arg;
    hf_carry_loaded(c->carry);
}

static void on_changed(void *arg, struct hf_warm_cluster *cluster)
{
    struct coordinator *c = arg;
    hf_carry_changed(c->carry, cluster);
}

static void on_won(void *arg)
{
    struct coordinator *c = arg;
    hf_carry_won(c->carry);
}

static void on_lost(void *arg)
{
    struct coordinator *c = arg;
    hf_carry_lost(c->carry);
}

static void on_renewed(void *arg, hf_lclk sent, hf_lclk now)
{
    struct coordinator *c = arg;
    hf_carry_renewed(c->carry, sent, now);
}

static void on_released(void *arg)
{
    struct coordinator *c = arg;
    hf_log(HF_LOG_NOTICE, "LEADER_RELEASED", "leadership is given up: ending");
    hf_loop_stop(c->loop);
}

static void on_went_back(void *arg, const char *why)
{
    struct coordinator *c = arg;
    hf_carry_went_back(c->carry);
    hf_tree_went_back(c->tree, why);
}

static void on_latency(void *arg, hf_dur took)
{
    struct coordinator *c = arg;
    hf_tree_note_latency(c->tree, took);
}

static void on_beat(void *arg, struct hf_warm_node *n, hf_lclk arrived)
{
    struct coordinator *c = arg;
    hf_carry_beat(c->carry, n, arrived);
}

static void on_session(void *arg, struct hf_warm_node *n, bool connected)
{
    struct coordinator *c = arg;
    (void)connected;
    hf_carry_changed(c->carry, n->cluster);
}

/* A report that is being kept; its node may be gone by then. */
struct pending_report {
    struct coordinator *c;
    hf_name tenant;
    hf_name cluster;
    hf_name node;
};

static void on_kept(void *arg, bool kept, const char *id)
{
    struct pending_report *p = arg;
    const struct hf_warm_cluster *cluster = hf_warm_find(&p->c->warm, p->tenant.s, p->cluster.s);
    struct hf_warm_node *n = cluster != NULL ? hf_warm_node(cluster, p->node.s) : NULL;
    if (kept && n != NULL) {
        hf_hub_report_ack(p->c->hub, n, id);
    }
    hf_free(p);
}

static void on_report(void *arg, struct hf_warm_node *n, const struct hf_report *report)
{
    struct coordinator *c = arg;
    struct pending_report *p = hf_alloc(sizeof *p);
    *p = (struct pending_report){
        .c = c, .tenant = n->hello.tenant, .cluster = n->hello.cluster, .node = n->hello.node};
    hf_history_report(c->history, &n->hello, report, on_kept, p);
}

static void respond(void *arg, int status, const char *type, const char *body, size_t len)
{
    hf_http_respond(arg, status, type, body, len);
}

static void on_request(void *arg, struct hf_http_request *r)
{
    struct coordinator *c = arg;
    struct hf_api_request request = {.method = hf_http_method(r),
                                     .path = hf_http_path(r),
                                     .peer_uri = hf_http_peer_uri(r),
                                     .if_match = hf_http_if_match(r),
                                     .if_none_match = hf_http_if_none_match(r)};
    request.body = hf_http_body(r, &request.body_len);
    hf_api_serve(&c->api, &request, respond, r);
}

static void on_tick(void *arg)
{
    struct coordinator *c = arg;
    hf_lclk now = hf_clock_lease();
    hf_carry_tick(c->carry);
    if (++c->ticks % 10 == 0) {
        hf_hub_tick(c->hub, now);
        hf_history_tick(c->history);
    }
}

/* --- end --- */

static void on_stop_limit(void *arg)
{
    struct coordinator *c = arg;
    hf_log(HF_LOG_WARNING, "STOP_LIMIT", "leadership could not be given up in time: ending");
    hf_loop_stop(c->loop);
}

static void on_signal(void *arg, int signal)
{
    struct coordinator *c = arg;
    if (c->stopping) {
        return;
    }
    c->stopping = true;
    hf_log(HF_LOG_NOTICE, "STOPPING", "asked to end", HF_KV_I64("signal", signal));
    hf_service_stopping();
    hf_timer_after(c->stop, STOP_LIMIT);
    hf_leader_resign(c->leader, hf_carry_longest_grant(c->carry, hf_clock_lease()));
}

static void coordinator_free(struct coordinator *c)
{
    if (c->carry != NULL) {
        hf_carry_lost(c->carry); /* answers the users who wait */
    }
    hf_timer_free(c->tick);
    hf_timer_free(c->stop);
    hf_timer_free(c->watchdog);
    hf_ws_hub_free(c->ws);
    hf_etcd_free(c->etcd);
    hf_pool_free(c->pool);
    hf_carry_free(c->carry);
    hf_hub_free(c->hub);
    hf_tree_free(c->tree);
    hf_leader_free(c->leader);
    hf_history_free(c->history);
    hf_http_client_free(c->http);
    hf_warm_free(&c->warm);
    hf_loop_free(c->loop);
    hf_config_free(c->loaded);
}

/* --- start --- */

static hf_result start_etcd(struct coordinator *c, struct hf_err *err)
{
    const struct hf_config_coordinator *f = &c->config;
    const char *endpoints[HF_CONFIG_MAX_ETCD];
    const struct hf_tls_files tls = {
        .ca = f->etcd.tls.ca, .certificate = f->etcd.tls.certificate, .key = f->etcd.tls.key};
    for (size_t i = 0; i < f->etcd.endpoint_count; i++) {
        endpoints[i] = f->etcd.endpoints[i];
    }
    if (f->etcd.has_tls) {
        HF_TRY(hf_tls_files_check(&tls, err));
    }
    const struct hf_etcd_config etcd = {.endpoints = endpoints,
                                        .endpoint_count = f->etcd.endpoint_count,
                                        .tls = f->etcd.has_tls ? &tls : NULL,
                                        .connect_timeout = f->etcd.timeout,
                                        .timeout = HF_US(2 * f->etcd.timeout.us)};
    return hf_etcd_new(c->loop, &etcd, &c->etcd, err);
}

static hf_result start_leader(struct coordinator *c, struct hf_err *err)
{
    static const struct hf_tree_callbacks tree = {.loaded = on_loaded, .changed = on_changed};
    static const struct hf_leader_callbacks leader = {.won = on_won,
                                                      .lost = on_lost,
                                                      .renewed = on_renewed,
                                                      .released = on_released,
                                                      .went_back = on_went_back,
                                                      .latency = on_latency};
    struct hf_lead_config lead = {.self = c->config.name,
                                  .ttl = c->config.lease.ttl,
                                  .margin_ppm = c->config.lease.rate_margin_ppm};
    (void)snprintf(lead.url, sizeof lead.url, "%s", c->url);
    HF_TRY(hf_tree_new(c->loop, c->etcd, c->config.etcd.prefix, &c->warm, &tree, c, &c->tree, err));
    return hf_leader_new(c->loop, c->etcd, c->config.etcd.prefix, &lead, &leader, c, &c->leader,
                         err);
}

static hf_result start_hub(struct coordinator *c, struct hf_err *err)
{
    static const struct hf_hub_callbacks hub = {
        .beat = on_beat, .session = on_session, .report = on_report};
    const struct hf_config_coordinator *f = &c->config;
    const struct hf_tls_files tls = {
        .ca = f->tls.ca, .certificate = f->tls.certificate, .key = f->tls.key};
    const struct hf_hub_config config = {.listen = f->agents.listen,
                                         .tls = tls,
                                         .trust_domain = f->tls.trust_domain,
                                         .margin_ppm = f->lease.rate_margin_ppm};
    const struct hf_http_server_config users = {
        .listen = f->users.listen, .tls = &tls, .client_cert = HF_HTTP_CERT_REQUIRED};
    HF_TRY(hf_tls_files_check(&tls, err));
    HF_TRY(hf_hub_new(c->ws, &c->warm, &config, &hub, c, &c->hub, err));
    const struct hf_carry_config carry = {.config = &c->config,
                                          .loop = c->loop,
                                          .warm = &c->warm,
                                          .tree = c->tree,
                                          .hub = c->hub,
                                          .leader = c->leader,
                                          .http = c->http,
                                          .history = c->history};
    c->carry = hf_carry_new(&carry);
    c->api = (struct hf_api){.config = &c->config,
                             .url = c->url,
                             .loop = c->loop,
                             .warm = &c->warm,
                             .tree = c->tree,
                             .leader = c->leader,
                             .carry = c->carry,
                             .hub = c->hub,
                             .history = c->history};
    return hf_http_server_new(c->ws, &users, on_request, c, &c->users, err);
}

static hf_result start(struct coordinator *c, const char *path, struct hf_err *err)
{
    HF_TRY(hf_config_coordinator_load(path, &c->config, &c->loaded, err));
    static const enum hf_log_level levels[] = {[HF_CONFIG_LOG_DEBUG] = HF_LOG_DEBUG,
                                               [HF_CONFIG_LOG_INFO] = HF_LOG_INFO,
                                               [HF_CONFIG_LOG_WARNING] = HF_LOG_WARNING,
                                               [HF_CONFIG_LOG_ERROR] = HF_LOG_ERROR};
    static const enum hf_log_target targets[] = {[HF_CONFIG_LOG_AUTO] = HF_LOG_AUTO,
                                                 [HF_CONFIG_LOG_JOURNALD] = HF_LOG_JOURNALD,
                                                 [HF_CONFIG_LOG_STDERR] = HF_LOG_STDERR};
    hf_log_init("holdfast-coordinator", levels[c->config.log.level], targets[c->config.log.target]);
    if (c->config.users.advertise[0] != '\0') {
        (void)snprintf(c->url, sizeof c->url, "%.271s", c->config.users.advertise);
    } else {
        (void)snprintf(c->url, sizeof c->url, "https://%.263s", c->config.users.listen);
    }
    HF_TRY(hf_loop_new(&c->loop, err));
    HF_TRY(hf_loop_signal(c->loop, SIGTERM, on_signal, c, err));
    HF_TRY(hf_loop_signal(c->loop, SIGINT, on_signal, c, err));
    HF_TRY(hf_pool_new(c->loop, WORKERS, WORKER_QUEUE, &c->pool, err));
    HF_TRY(hf_ws_hub_new(c->loop, &c->ws, err));
    HF_TRY(hf_http_client_new(c->loop, HTTP_CALLS, &c->http, err));
    HF_TRY(hf_history_new(c->loop, c->pool, &c->config, &c->history, err));
    HF_TRY(start_etcd(c, err));
    HF_TRY(start_leader(c, err));
    HF_TRY(start_hub(c, err));
    c->tick = hf_timer_new(c->loop, on_tick, c);
    c->stop = hf_timer_new(c->loop, on_stop_limit, c);
    hf_timer_every(c->tick, TICK);
    hf_tree_load(c->tree);
    return hf_done();
}

static int run(const char *path)
{
    struct hf_err err;
    struct coordinator *c = hf_alloc(sizeof *c);
    hf_result r = start(c, path, &err);
    if (hf_ok(r)) {
        c->watchdog = hf_service_watchdog(c->loop);
        hf_service_ready();
        hf_log(HF_LOG_NOTICE, "STARTED", "coordinator runs", HF_KV("version", HF_VERSION),
               HF_KV("name", c->config.name.s), HF_KV("region", c->config.region.s),
               HF_KV("agents", c->config.agents.listen), HF_KV("users", c->config.users.listen));
        r = hf_ws_run(c->ws, &err);
    }
    if (!hf_ok(r)) {
        hf_log(HF_LOG_ERROR, "FAILED", "coordinator cannot run", HF_KV_ERR(&err));
    }
    coordinator_free(c);
    hf_free(c);
    return hf_ok(r) ? 0 : 1;
}

static int list_steps(void)
{
    for (int s = 0; s < HF_STEPS; s++) {
        (void)printf("%s\n", hf_step_name((enum hf_step)s));
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "run") == 0 && strcmp(argv[2], "--config") == 0) {
        return run(argv[3]);
    }
    if (argc == 2 && strcmp(argv[1], "--list-steps") == 0) {
        return list_steps();
    }
    if (argc == 2 && (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0)) {
        (void)printf("holdfast-coordinator %s\n", HF_VERSION);
        return 0;
    }
    (void)fprintf(stderr, "usage: holdfast-coordinator run --config FILE\n"
                          "       holdfast-coordinator --list-steps\n"
                          "       holdfast-coordinator version\n");
    return EXIT_USAGE;
}
