/* SPDX-License-Identifier: Apache-2.0
 *
 * What the agent says of itself: socket, metrics, load balancers.
 */
#include <stdio.h>
#include <string.h>

#include "agent/node/agent.h"
#include "common/io/clock.h"

bool hf_agent_is_primary(const struct hf_agent *a)
{
    const struct hf_page_state *s = &a->keeper.state;
    return a->managed && a->seen.running && a->seen.known && !a->seen.in_recovery &&
           hf_page_is_open(&a->keeper.map, s->epoch, hf_clock_lease_high());
}

bool hf_agent_is_replica(const struct hf_agent *a)
{
    return a->seen.running && a->seen.known && a->seen.in_recovery;
}

bool hf_agent_is_healthy(const struct hf_agent *a)
{
    return !a->config->has_postgresql || (a->seen.running && a->seen.known);
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

static void answer_yes_no(struct hf_http_request *r, struct hf_agent *a, bool yes)
{
    char body[192];
    int n = snprintf(body, sizeof(body), "{\"node\":\"%s\",\"state\":\"%s\",\"ok\":%s}\n",
                     a->config->name.s, hf_node_state_name(a->core->state), yes ? "true" : "false");
    hf_http_respond(r, yes ? 200 : 503, "application/json", body, (size_t)n);
}

static void on_request(void *arg, struct hf_http_request *r)
{
    struct hf_agent *a = arg;
    const char *path = hf_http_path(r);
    const char *method = hf_http_method(r);
    struct hf_err err;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 &&
        strcmp(method, "OPTIONS") != 0) {
        hf_http_respond(r, 405, "text/plain", "GET, HEAD or OPTIONS\n", 21);
    } else if (strcmp(path, "/primary") == 0) {
        answer_yes_no(r, a, hf_agent_is_primary(a));
    } else if (strcmp(path, "/replica") == 0) {
        answer_yes_no(r, a, hf_agent_is_replica(a));
    } else if (strcmp(path, "/health") == 0) {
        answer_yes_no(r, a, hf_agent_is_healthy(a));
    } else if (strcmp(path, "/metrics") == 0) {
        HF_BUF(text, 65536);
        bool ok = hf_ok(hf_agent_metrics(a, &text, &err));
        hf_http_respond(r, ok ? 200 : 500, "text/plain; version=0.0.4", hf_buf_text(&text),
                        text.len);
    } else {
        hf_http_respond(r, 404, "text/plain", "/primary /replica /health /metrics\n", 35);
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
