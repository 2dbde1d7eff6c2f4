/* SPDX-License-Identifier: Apache-2.0
 *
 * /metrics: Prometheus' text format 0.0.4. What is not known has no sample.
 */
#include "coordinator/api/api.h"

#include "coordinator/state/measure.h"

#include <inttypes.h>

static double seconds(hf_dur d)
{
    return (double)d.us / 1e6;
}

static hf_result head(struct hf_buf *out, const char *name, const char *type, const char *help,
                      struct hf_err *err)
{
    return hf_buf_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static hf_result single(struct hf_buf *out, const char *name, const char *type, const char *help,
                        double value, struct hf_err *err)
{
    HF_TRY(head(out, name, type, help, err));
    return hf_buf_printf(out, err, "%s %.17g\n", name, value);
}

static hf_result process_metrics(const struct hf_api *api, hf_lclk now, struct hf_buf *out,
                                 struct hf_err *err)
{
    const struct hf_hub_counters *hub = hf_hub_counters(api->hub);
    bool leading = hf_leader_active(api->leader, now);
    struct hf_history_stats h = {0};
    if (api->history != NULL) {
        hf_history_stats(api->history, &h);
    }
    const struct {
        const char *name;
        const char *type;
        const char *help;
        double value;
    } rows[] = {
        {"holdfast_leader", "gauge", "1 while this coordinator leads", leading ? 1 : 0},
        {"holdfast_leader_term", "gauge", "Term of its leadership, 0 while it follows",
         (double)hf_leader_term(api->leader)},
        {"holdfast_records_fresh", "gauge", "1 while the watch on etcd delivers",
         hf_tree_fresh(api->tree) ? 1 : 0},
        {"holdfast_etcd_latency_seconds", "gauge", "The last answer of etcd",
         seconds(hf_tree_latency(api->tree))},
        {"holdfast_loop_stall_max_seconds", "gauge", "Longest stall of the event loop",
         seconds(hf_loop_stall_max(api->loop))},
        {"holdfast_agent_sessions", "gauge", "Connections of agents",
         (double)hf_hub_sessions(api->hub)},
        {"holdfast_agent_refused_total", "counter", "Connections and hellos refused",
         (double)hub->refused},
        {"holdfast_heartbeats_total", "counter", "Heartbeats taken", (double)hub->beats},
        {"holdfast_promises_relayed_total", "counter", "Failsafe messages relayed",
         (double)hub->relayed},
        {"holdfast_promises_dropped_total", "counter", "Failsafe messages not relayed",
         (double)hub->relay_dropped},
        {"holdfast_messages_invalid_total", "counter", "Messages refused", (double)hub->invalid},
        {"holdfast_reports_total", "counter", "Reports received", (double)hub->reports},
        {"holdfast_spool_events", "gauge", "History events waiting on disk",
         (double)h.spool.events},
        {"holdfast_spool_bytes", "gauge", "Bytes of the history spool", (double)h.spool.bytes},
        {"holdfast_spool_dropped_total", "counter", "History events dropped or refused",
         (double)(h.spool.dropped + h.spool.refused + h.overflow)},
        {"holdfast_history_delivered_total", "counter", "Events brought to the database",
         (double)h.delivered},
        {"holdfast_history_up", "gauge", "1 while the history database is used",
         h.connected ? 1 : 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        HF_TRY(single(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value, err));
    }
    return hf_done();
}

enum metric {
    EXPOSURE_SECONDS,
    EXPOSURE_BYTES,
    LEASE_SECONDS,
    EPOCH,
    PAUSED,
    PLAN_RUNNING,
    IN_DOUBT,
    METRICS
};

static bool cluster_value(const struct hf_warm_cluster *c, const struct hf_measure *m,
                          enum metric which, double *ret)
{
    switch (which) {
    case EXPOSURE_SECONDS:
        *ret = seconds(m->exposure.age);
        return m->exposure.known;
    case EXPOSURE_BYTES:
        *ret = (double)m->exposure.bytes;
        return m->exposure.known;
    case LEASE_SECONDS:
        *ret = seconds(m->lease_remaining);
        return m->lease_remaining.us >= 0;
    case EPOCH:
        *ret = (double)c->state.epoch.v;
        return c->has_state;
    case PAUSED:
        *ret = c->state.paused ? 1 : 0;
        return c->has_state;
    case PLAN_RUNNING:
        *ret = c->state.plan[0] != '\0' ? 1 : 0;
        return c->has_state;
    case IN_DOUBT:
        *ret = c->state.doubt[0] != '\0' ? 1 : 0;
        return c->has_state;
    case METRICS:
    default:
        return false;
    }
}

static hf_result cluster_metrics(const struct hf_api *api, const struct hf_identity *who,
                                 hf_lclk now, struct hf_buf *out, struct hf_err *err)
{
    static const char *const names[METRICS][2] = {
        {"holdfast_exposure_seconds", "Age of the oldest WAL that is in no other region"},
        {"holdfast_exposure_bytes", "WAL that is in no other region"},
        {"holdfast_primary_lease_seconds", "What is left of the primary's lease"},
        {"holdfast_cluster_epoch", "Epoch of the cluster"},
        {"holdfast_cluster_paused", "1 while automatic decisions are paused"},
        {"holdfast_plan_running", "1 while a plan runs"},
        {"holdfast_cluster_in_doubt", "1 while etcd's records are not believed, rule RESTORED"}};
    for (int metric = 0; metric < METRICS; metric++) {
        HF_TRY(head(out, names[metric][0], "gauge", names[metric][1], err));
        for (int i = 0; i < api->warm->count; i++) {
            const struct hf_warm_cluster *c = api->warm->clusters[i];
            struct hf_measure m;
            double value = 0;
            if (c->policy == NULL || !hf_identity_may(who, &c->tenant, HF_ROLE_VIEWER)) {
                continue;
            }
            hf_measure_cluster(c, now, api->config->lease.ttl, &m);
            if (cluster_value(c, &m, (enum metric)metric, &value)) {
                HF_TRY(hf_buf_printf(out, err, "%s{tenant=\"%s\",cluster=\"%s\"} %.17g\n",
                                     names[metric][0], c->tenant.s, c->cluster.s, value));
            }
        }
    }
    return hf_done();
}

static hf_result node_metrics(const struct hf_api *api, const struct hf_identity *who, hf_lclk now,
                              struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(head(out, "holdfast_node_silence_seconds", "gauge", "Since the newest heartbeat", err));
    for (int i = 0; i < api->warm->count; i++) {
        const struct hf_warm_cluster *c = api->warm->clusters[i];
        if (!hf_identity_may(who, &c->tenant, HF_ROLE_VIEWER)) {
            continue;
        }
        for (int k = 0; k < c->node_count; k++) {
            const struct hf_node_view *n = &c->nodes[k]->view;
            if (n->seen) {
                HF_TRY(hf_buf_printf(out, err,
                                     "holdfast_node_silence_seconds{tenant=\"%s\",cluster=\"%s\","
                                     "node=\"%s\"} %.6f\n",
                                     c->tenant.s, c->cluster.s, n->name.s,
                                     seconds(hf_lclk_sub(now, n->seen_at))));
            }
        }
    }
    return hf_done();
}

hf_result hf_api_metrics_text(const struct hf_api *api, const struct hf_identity *who, hf_lclk now,
                              struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(process_metrics(api, now, out, err));
    HF_TRY(cluster_metrics(api, who, now, out, err));
    return node_metrics(api, who, now, out, err);
}
