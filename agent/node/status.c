/* SPDX-License-Identifier: Apache-2.0
 *
 * What the agent says of itself: socket, metrics, load balancers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/node/agent.h"
#include "agent/node/endpoints.h"
#include "common/io/clock.h"

static void facts_now(const struct hf_agent *a, struct hf_endpoint_facts *ret)
{
    const struct hf_page_state *s = &a->keeper.state;
    hf_lclk now = hf_clock_lease_high();
    *ret = (struct hf_endpoint_facts){.has_postgresql = a->config->has_postgresql,
                                      .answers = a->seen.running && a->seen.known,
                                      .in_recovery = a->seen.in_recovery};
    ret->lag_bytes_known = hf_lag_bytes(&a->lag, now, &ret->lag_bytes);
    ret->lag_time_known = hf_lag_time(&a->lag, now, &ret->lag_time);
    ret->lease = a->managed && hf_page_is_open(&a->keeper.map, s->epoch, now);
}

static bool is_now(const struct hf_agent *a, enum hf_endpoint endpoint)
{
    static const struct hf_endpoint_limit none = {.has_bytes = false};
    struct hf_endpoint_facts facts;
    facts_now(a, &facts);
    return hf_endpoint_answer(endpoint, &facts, &none);
}

bool hf_agent_is_primary(const struct hf_agent *a)
{
    return is_now(a, HF_ENDPOINT_PRIMARY);
}

bool hf_agent_is_replica(const struct hf_agent *a)
{
    return is_now(a, HF_ENDPOINT_REPLICA);
}

hf_json *hf_agent_status(struct hf_agent *a)
{
    struct hf_err err;
    HF_BUF(text, HF_MESSAGE_MAX);
    hf_json *o = hf_json_object();
    hf_json *beat = NULL;
    hf_json_put_text(o, "node", a->config->name.s);
    hf_json_put_text(o, "region", a->config->region.s);
    hf_json_put_text(o, "version", HF_VERSION);
    hf_json_put_text(o, "state", hf_node_state_name(a->core->state));
    hf_json_put_bool(o, "managed", a->managed);
    hf_json_put_bool(o, "primary", hf_agent_is_primary(a));
    hf_json_put_int(o, "coordinators", (int)a->config->coordinator_count);
    hf_json_put_int(o, "connected", a->link == NULL ? 0 : (int)hf_link_connected(a->link));
    hf_json_put_int(o, "reports_waiting", a->link == NULL ? 0 : (int)hf_link_reports(a->link));
    hf_json_put_int(o, "fencer_pid", a->managed ? (int)hf_fencer_pid(a->paths.fencer_lock) : 0);
    hf_json_put_int(o, "postmaster_pid", (int)a->keeper.state.postmaster_pid);
    hf_json_put_i64(o, "stall_max_us", hf_loop_stall_max(a->loop).us);
    if (a->rejoined.way[0] != '\0') {
        hf_json *rejoined = hf_json_object();
        hf_json_put_text(rejoined, "way", a->rejoined.way);
        hf_json_put_i64(rejoined, "took_us", a->rejoined.took.us);
        hf_json_put_text(rejoined, "salvaged", a->rejoined.salvaged);
        hf_json_put(o, "rejoined", rejoined);
    }
    if (a->beat->type == HF_MESSAGE_HEARTBEAT && hf_ok(hf_message_encode(a->beat, &text, &err)) &&
        hf_ok(hf_json_parse(hf_buf_text(&text), text.len, HF_MESSAGE_MAX, &beat, &err))) {
        hf_json_put(o, "heartbeat", beat);
    }
    return o;
}

struct metric {
    const char *name;
    const char *help;
    double value;
};

hf_result hf_agent_metrics(struct hf_agent *a, struct hf_buf *out, struct hf_err *err)
{
    const struct hf_agent_core *c = a->core;
    hf_dur left = hf_agent_core_lease_left(c, hf_clock_lease_high());
    const struct metric metrics[] = {
        {"holdfast_lease_remaining_seconds", "Time left of the lease; 0 = none held.",
         (double)left.us / 1e6},
        {"holdfast_primary", "1 while the page is open and PostgreSQL is writable.",
         hf_agent_is_primary(a)},
        {"holdfast_replica", "1 while PostgreSQL answers and is in recovery.",
         hf_agent_is_replica(a)},
        {"holdfast_postgresql_up", "1 while PostgreSQL answers.", a->seen.running && a->seen.known},
        {"holdfast_streaming", "1 while a WAL receiver is connected.", a->seen.streaming},
        {"holdfast_epoch", "Highest epoch adopted.", (double)c->record.epoch.v},
        {"holdfast_timeline", "Timeline of PostgreSQL.", (double)a->seen.timeline.v},
        {"holdfast_wal_written_bytes", "WAL position written or received.",
         (double)a->seen.written.v},
        {"holdfast_wal_flushed_bytes", "WAL position on this node's disk.",
         (double)a->seen.flushed.v},
        {"holdfast_wal_replayed_bytes", "WAL position replayed.", (double)a->seen.replayed.v},
        {"holdfast_archive_queue_objects", "Objects that other regions still lack.",
         (double)c->archive_queue},
        {"holdfast_coordinators_connected", "Coordinators with an open connection.",
         a->link == NULL ? 0 : (double)hf_link_connected(a->link)},
        {"holdfast_reports_waiting", "Reports without an acknowledgement.",
         a->link == NULL ? 0 : (double)hf_link_reports(a->link)},
        {"holdfast_effects_waiting", "Effects that wait for a durable record.",
         (double)hf_effects_waiting(a->queue)},
        {"holdfast_effects_dropped_total", "Messages dropped from a full queue.",
         (double)hf_effects_dropped(a->queue)},
        {"holdfast_loop_stall_max_seconds", "Longest time the event loop was kept.",
         (double)hf_loop_stall_max(a->loop).us / 1e6},
    };
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        const struct metric *m = &metrics[i];
        size_t n = strlen(m->name);
        bool counter = n > 6 && strcmp(m->name + n - 6, "_total") == 0;
        HF_TRY(hf_buf_printf(out, err,
                             "# HELP %s %s\n# TYPE %s %s\n%s{node=\"%s\",region=\"%s\"} %.17g\n",
                             m->name, m->help, m->name, counter ? "counter" : "gauge", m->name,
                             a->config->name.s, a->config->region.s, m->value));
    }
    return hf_done();
}

/* --- HTTP --- */

/* The lag as two members, null when it is not known. */
static void lag_text(const struct hf_endpoint_facts *f, char *ret, size_t size)
{
    char bytes[32] = "null";
    char time[32] = "null";
    if (f->lag_bytes_known) {
        (void)snprintf(bytes, sizeof(bytes), "\"%" PRIu64 "\"", f->lag_bytes);
    }
    if (f->lag_time_known) {
        (void)snprintf(time, sizeof(time), "%" PRId64, f->lag_time.us / 1000);
    }
    (void)snprintf(ret, size, "\"lag_bytes\":%s,\"lag_ms\":%s", bytes, time);
}

static void answer_endpoint(struct hf_http_request *r, const struct hf_agent *a,
                            enum hf_endpoint endpoint)
{
    char body[320];
    char text[64];
    char lag[96];
    struct hf_err err;
    struct hf_endpoint_facts facts;
    struct hf_endpoint_limit limit = {.has_bytes = false};
    hf_result given = hf_http_query_get(r, "lag", text, sizeof(text), &err);
    if (hf_ok(given)) {
        given = hf_endpoint_limit_parse(text, &limit, &err);
    }
    if (!hf_ok(given) && given.code != HF_E_NOT_FOUND) {
        int n = snprintf(body, sizeof(body), "%.250s\n", err.text);
        hf_http_respond(r, 400, "text/plain", body, (size_t)n);
        return;
    }
    facts_now(a, &facts);
    bool yes = hf_endpoint_answer(endpoint, &facts, &limit);
    lag_text(&facts, lag, sizeof(lag));
    int n = snprintf(body, sizeof(body), "{\"node\":\"%s\",\"state\":\"%s\",\"ok\":%s,%s}\n",
                     a->config->name.s, hf_node_state_name(a->core->state), yes ? "true" : "false",
                     lag);
    hf_http_respond(r, yes ? 200 : 503, "application/json", body, (size_t)n);
}

static void on_request(void *arg, struct hf_http_request *r)
{
    static const char known[] = "/primary /read-write /replica /read-only /health /metrics\n";
    struct hf_agent *a = arg;
    const char *path = hf_http_path(r);
    const char *method = hf_http_method(r);
    enum hf_endpoint endpoint;
    struct hf_err err;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 &&
        strcmp(method, "OPTIONS") != 0) {
        hf_http_respond(r, 405, "text/plain", "GET, HEAD or OPTIONS\n", 21);
    } else if (hf_ok(hf_endpoint_find(path, &endpoint))) {
        answer_endpoint(r, a, endpoint);
    } else if (strcmp(path, "/metrics") == 0) {
        HF_BUF(text, 65536);
        bool ok = hf_ok(hf_agent_metrics(a, &text, &err));
        hf_http_respond(r, ok ? 200 : 500, "text/plain; version=0.0.4", hf_buf_text(&text),
                        text.len);
    } else {
        hf_http_respond(r, 404, "text/plain", known, sizeof(known) - 1);
    }
}

hf_result hf_agent_http_start(struct hf_agent *a, struct hf_err *err)
{
    if (a->config->http.listen[0] == '\0') {
        return hf_done();
    }
    const struct hf_http_server_config config = {.listen = a->config->http.listen,
                                                 .client_cert = HF_HTTP_CERT_OPTIONAL};
    return hf_http_server_new(a->hub, &config, on_request, a, &a->http, err);
}
