/* SPDX-License-Identifier: Apache-2.0
 *
 * The status of a cluster and the lists of clusters (docs/api.md). What is not known is null.
 */
#include "coordinator/api/api.h"

#include "common/core/units.h"
#include "common/io/clock.h"
#include "coordinator/state/measure.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void hf_api_put_instant(hf_json *v, const char *key, int64_t us)
{
    char text[HF_CLOCK_TEXT_SIZE];
    if (us == 0) {
        hf_json_put_null(v, key);
        return;
    }
    hf_clock_wall_text((hf_wall){us}, text, sizeof text);
    hf_json_put_text(v, key, text);
}

void hf_api_put_name(hf_json *v, const char *key, const char *text)
{
    if (text[0] != '\0') {
        hf_json_put_text(v, key, text);
    } else {
        hf_json_put_null(v, key);
    }
}

void hf_api_put_lsn(hf_json *v, const char *key, hf_lsn lsn)
{
    char text[HF_LSN_SIZE];
    if (lsn.v != 0) {
        hf_json_put_text(v, key, hf_lsn_format(lsn, text));
    } else {
        hf_json_put_null(v, key);
    }
}

/* --- verdict --- */

static const char *verdict_of(const struct hf_warm_cluster *c, const struct hf_measure *m)
{
    const struct hf_warm_plan *plan = hf_warm_running(c);
    if (c->policy == NULL || !c->has_state) {
        return "UNKNOWN";
    }
    if (plan != NULL && plan->plan.kind == HF_PLAN_FAILOVER) {
        return "FAILING_OVER";
    }
    if (c->state.paused) {
        return "PAUSED";
    }
    if (m->primary == NULL || m->best == NULL) {
        return "UNPROTECTED";
    }
    /* A fifth of the target is the margin. With target 0 nothing may be outstanding. */
    int64_t target = c->policy->rpo.target.us;
    bool within = m->exposure.known &&
                  (target == 0 ? m->exposure.bytes == 0 : m->exposure.age.us <= target / 5 * 4);
    return within ? "PROTECTED" : "AT_RISK";
}

const char *hf_api_verdict(const struct hf_warm_cluster *c, hf_lclk now, hf_dur silent)
{
    struct hf_measure m;
    hf_measure_cluster(c, now, silent, &m);
    return verdict_of(c, &m);
}

/* --- nodes --- */

static const char *state_text(const struct hf_warm_node *n, bool heard)
{
    if (n == NULL || !n->view.seen) {
        return "no report";
    }
    if (!heard) {
        return "no report";
    }
    switch (n->view.beat.state) {
    case HF_NODE_PRIMARY:
    case HF_NODE_UNMANAGED:
        return n->view.beat.pg_silent ? "no answer" : "writable";
    case HF_NODE_STANDBY:
        return n->view.beat.streaming ? "streaming" : "not streaming";
    case HF_NODE_UNKNOWN:
    case HF_NODE_EMPTY:
    case HF_NODE_DOWN:
    case HF_NODE_PREPARING:
    case HF_NODE_PREPARED:
    case HF_NODE_ELECTED:
    case HF_NODE_STARTING:
    case HF_NODE_STOPPING:
    case HF_NODE_FENCING:
    case HF_NODE_COPYING:
    case HF_NODE_FOLLOWING:
    case HF_NODE_ARCHIVE:
    case HF_NODE_STATES:
    default:
        return hf_node_state_name(n->view.beat.state);
    }
}

static const char *role_text(const struct hf_warm_node *n, bool heard, const struct hf_measure *m)
{
    if (n == NULL || !heard) {
        return "unknown";
    }
    if (n == m->primary) {
        return "primary";
    }
    switch (n->view.beat.state) {
    case HF_NODE_ARCHIVE:
        return "archive";
    case HF_NODE_STANDBY:
    case HF_NODE_PREPARING:
    case HF_NODE_PREPARED:
    case HF_NODE_COPYING:
    case HF_NODE_FOLLOWING:
        return "standby";
    case HF_NODE_UNKNOWN:
    case HF_NODE_EMPTY:
    case HF_NODE_DOWN:
    case HF_NODE_UNMANAGED:
    case HF_NODE_ELECTED:
    case HF_NODE_STARTING:
    case HF_NODE_PRIMARY:
    case HF_NODE_STOPPING:
    case HF_NODE_FENCING:
    case HF_NODE_STATES:
    default:
        return "unknown";
    }
}

static void put_ok(hf_json *v, const struct hf_warm_node *n, bool heard, const struct hf_measure *m)
{
    if (n == NULL || !n->view.seen) {
        hf_json_put_null(v, "ok");
        return;
    }
    const struct hf_heartbeat *b = &n->view.beat;
    bool working = (n == m->primary && !b->pg_silent) ||
                   (b->state == HF_NODE_STANDBY && b->streaming) || b->state == HF_NODE_ARCHIVE;
    hf_json_put_bool(v, "ok", heard && working);
}

static void put_repository(hf_json *v, const struct hf_warm_node *n, bool heard)
{
    if (n == NULL || !n->view.seen) {
        hf_json_put_text(v, "repository", "unknown");
        hf_json_put_null(v, "repository_ok");
    } else if (!heard) {
        hf_json_put_text(v, "repository", "unreach.");
        hf_json_put_null(v, "repository_ok");
    } else if (!n->view.beat.repository_known) {
        hf_json_put_text(v, "repository", "unknown");
        hf_json_put_null(v, "repository_ok");
    } else {
        hf_json_put_text(v, "repository", n->view.beat.repository_ok ? "ok" : "failing");
        hf_json_put_bool(v, "repository_ok", n->view.beat.repository_ok);
    }
}

static hf_json *node_json(const struct hf_warm_cluster *c, const struct hf_policy_node *p,
                          const struct hf_measure *m, hf_lclk now, hf_dur silent)
{
    const struct hf_warm_node *n = hf_warm_node(c, p->name.s);
    bool heard = hf_measure_heard(n, now, silent);
    bool seen = n != NULL && n->view.seen;
    const struct hf_heartbeat none = {0};
    const struct hf_heartbeat *b = seen ? &n->view.beat : &none;
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "region", p->region.s);
    hf_json_put_text(v, "node", p->name.s);
    hf_json_put_text(v, "role", role_text(n, heard, m));
    hf_json_put_text(v, "state", state_text(n, heard));
    put_ok(v, n, heard, m);
    if (b->timeline.v != 0) {
        hf_json_put_int(v, "timeline", (int)b->timeline.v);
    } else {
        hf_json_put_null(v, "timeline");
    }
    hf_api_put_lsn(v, "flushed", heard ? b->flushed : HF_LSN(0));
    if (heard && m->primary != NULL && n != m->primary && b->flushed.v != 0 &&
        b->timeline.v == m->primary->view.beat.timeline.v) {
        hf_json_put_u64(v, "lag_bytes", hf_lsn_lag(m->primary->view.beat.flushed, b->flushed));
    } else {
        hf_json_put_null(v, "lag_bytes");
    }
    if (seen) {
        hf_json_put_i64(v, "seen_ms", hf_lclk_sub(now, n->view.seen_at).us / 1000);
    } else {
        hf_json_put_null(v, "seen_ms");
    }
    put_repository(v, n, heard);
    hf_api_put_name(v, "newest_backup", b->newest_backup);
    hf_api_put_lsn(v, "wal_to", b->repository_known ? b->wal_to : HF_LSN(0));
    return v;
}

/* --- warnings and hints --- */

static void warn(hf_json *array, const char *text, const char *rule, const char *value,
                 const char *limit)
{
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "text", text);
    hf_api_put_name(v, "rule", rule);
    hf_api_put_name(v, "value", value);
    hf_api_put_name(v, "limit", limit);
    hf_json_push(array, v);
}

static void warn_silent(hf_json *array, const struct hf_warm_cluster *c, hf_lclk now, hf_dur silent)
{
    char limit[HF_UNITS_SIZE];
    hf_units_human_duration(silent, limit);
    for (size_t i = 0; i < c->policy->node_count; i++) {
        const struct hf_policy_node *p = &c->policy->nodes[i];
        const struct hf_warm_node *n = hf_warm_node(c, p->name.s);
        char text[256];
        char value[HF_UNITS_SIZE] = "";
        if (hf_measure_heard(n, now, silent)) {
            continue;
        }
        if (n != NULL && n->view.seen) {
            hf_units_human_duration(hf_lclk_sub(now, n->view.seen_at), value);
            (void)snprintf(text, sizeof text, "node %s (region %s) silent for %s", p->name.s,
                           p->region.s, value);
        } else {
            (void)snprintf(text, sizeof text, "node %s (region %s) was never heard of here",
                           p->name.s, p->region.s);
        }
        warn(array, text, "NODE_SILENT", value, limit);
    }
}

static void warn_exposure(hf_json *array, const struct hf_warm_cluster *c,
                          const struct hf_measure *m)
{
    char value[HF_UNITS_SIZE];
    char limit[HF_UNITS_SIZE];
    char text[256];
    hf_units_human_duration(c->policy->rpo.target, limit);
    if (m->primary == NULL) {
        warn(array, "no primary is writable", "NO_PRIMARY", "", "");
    } else if (!m->exposure.known) {
        warn(array, "the exposure is not known", "RPO_UNKNOWN", "", limit);
    } else if (m->exposure.age.us > c->policy->rpo.target.us) {
        hf_units_human_duration(m->exposure.age, value);
        (void)snprintf(text, sizeof text, "exposure %s is above the target %s", value, limit);
        warn(array, text, "RPO_TARGET", value, limit);
    }
}

/* Clients may still keep an answer for longer than the policy says. */
static void warn_ttl(hf_json *array, const struct hf_route_task *route)
{
    char value[HF_UNITS_SIZE];
    char limit[HF_UNITS_SIZE];
    char text[256];
    hf_units_human_duration(hf_route_task_old_ttl(route), value);
    hf_units_human_duration(hf_route_task_record(route)->ttl, limit);
    (void)snprintf(text, sizeof text, "the name was published with a TTL of %s, above %s", value,
                   limit);
    warn(array, text, "ROUTE_TTL", value, limit);
}

/* Every coordinator says so, not only the leader, which found it. */
static void warn_doubt(hf_json *array, const struct hf_warm_cluster *c)
{
    const char *text = NULL;
    char rule[64];
    if (!c->has_state || c->state.doubt[0] == '\0') {
        return;
    }
    size_t n = hf_api_rule(c->state.doubt, &text);
    (void)snprintf(rule, sizeof rule, "%.*s", (int)(n < 63 ? n : 63), c->state.doubt);
    warn(array, text, rule, "", "");
}

static hf_json *warnings_json(const struct hf_warm_cluster *c, const struct hf_measure *m,
                              hf_lclk now, hf_dur silent)
{
    hf_json *array = hf_json_array();
    const char(*decided)[HF_REASON_SIZE] = NULL;
    warn_silent(array, c, now, silent);
    warn_exposure(array, c, m);
    int count = hf_carry_warnings(c, &decided);
    warn_doubt(array, c);
    for (int i = 0; i < count; i++) {
        const char *text = NULL;
        char rule[64];
        size_t n = hf_api_rule(decided[i], &text);
        (void)snprintf(rule, sizeof rule, "%.*s", (int)(n < 63 ? n : 63), decided[i]);
        bool doubt = strcmp(rule, "RESTORED") == 0 && c->has_state && c->state.doubt[0] != '\0';
        if (strcmp(rule, "NODE_SILENT") != 0 && !doubt) { /* said above, by the same rule */
            warn(array, text, rule, "", "");
        }
    }
    const struct hf_route_task *route = hf_carry_route(c);
    if (route != NULL && hf_route_task_problem(route)[0] != '\0') {
        warn(array, hf_route_task_problem(route), "ROUTE_WRONG", "", "");
    }
    if (route != NULL && hf_route_task_ttl_high(route, now)) {
        warn_ttl(array, route);
    }
    return array;
}

/* Regions that hold a copy now, the primary's included. */
static hf_json *hints_json(const struct hf_warm_cluster *c, const struct hf_measure *m, hf_lclk now,
                           hf_dur silent)
{
    hf_json *array = hf_json_array();
    struct hf_policy_regions with = {.count = 0};
    for (int i = 0; i < c->node_count && m->primary != NULL; i++) {
        const struct hf_warm_node *n = c->nodes[i];
        bool copy =
            n == m->primary || (n->view.beat.state == HF_NODE_STANDBY && n->view.beat.streaming);
        bool there = !hf_measure_heard(n, now, silent) || !copy;
        for (size_t k = 0; k < with.count; k++) {
            there = there || hf_name_equal(&with.v[k], &n->view.region);
        }
        if (!there && with.count < HF_MAX_REGIONS) {
            with.v[with.count++] = n->view.region;
        }
    }
    if (with.count == 2) {
        const hf_name *other =
            hf_name_equal(&with.v[0], &m->primary_region) ? &with.v[1] : &with.v[0];
        char text[128];
        (void)snprintf(text, sizeof text, "losing %s now would leave one copy", other->s);
        hf_json_push_text(array, text);
    }
    return array;
}

/* --- the whole --- */

static hf_json *exposure_json(const struct hf_warm_cluster *c, const struct hf_measure *m)
{
    hf_json *v = hf_json_object();
    if (m->exposure.known) {
        hf_json_put_i64(v, "ms", m->exposure.age.us / 1000);
        hf_json_put_u64(v, "bytes", m->exposure.bytes);
    } else {
        hf_json_put_null(v, "ms");
        hf_json_put_null(v, "bytes");
    }
    hf_json_put_i64(v, "target_ms", c->policy->rpo.target.us / 1000);
    hf_json_put_text(v, "enforcement", HF_ENFORCEMENT_NAMES[c->policy->rpo.enforcement]);
    if (m->best == NULL) {
        hf_json_put_null(v, "best");
        return v;
    }
    hf_json *best = hf_json_object();
    hf_api_put_name(best, "node", m->best_archived ? "" : m->best->view.name.s);
    hf_json_put_text(best, "region", m->best->view.region.s);
    hf_json_put_text(best, "state", m->best_archived ? "archived" : "flushed");
    hf_api_put_lsn(best, "lsn", m->best_lsn);
    hf_json_put(v, "best", best);
    return v;
}

static void put_head(hf_json *v, const struct hf_warm_cluster *c, const struct hf_measure *m)
{
    hf_json_put_text(v, "tenant", c->tenant.s);
    hf_json_put_text(v, "cluster", c->cluster.s);
    hf_json_put_text(v, "level", HF_LEVEL_NAMES[c->policy->level]);
    hf_json_put_text(v, "verdict", verdict_of(c, m));
    if (c->has_state) {
        hf_json_put_bool(v, "paused", c->state.paused);
        hf_json_put_u64(v, "epoch", c->state.epoch.v);
    } else {
        hf_json_put_null(v, "paused");
        hf_json_put_null(v, "epoch");
    }
    const char *primary = m->primary != NULL ? m->primary->view.name.s
                          : c->has_state     ? c->state.primary.s
                                             : "";
    hf_api_put_name(v, "primary", primary);
    hf_api_put_name(v, "primary_region", m->primary_region.s);
}

hf_json *hf_api_status_json(const struct hf_api *api, const struct hf_warm_cluster *c, hf_lclk now,
                            hf_wall wall)
{
    hf_dur silent = api->config->lease.ttl;
    struct hf_measure m;
    hf_name leader = {""};
    char url[HF_ADDRESS_SIZE];
    hf_measure_cluster(c, now, silent, &m);
    hf_json *v = hf_json_object();
    put_head(v, c, &m);
    hf_api_put_instant(v, "at", wall.us);
    hf_tli timeline = m.primary != NULL ? m.primary->view.beat.timeline : c->state.timeline;
    if (timeline.v != 0) {
        hf_json_put_int(v, "timeline", (int)timeline.v);
    } else {
        hf_json_put_null(v, "timeline");
    }
    if (m.lease_remaining.us >= 0) {
        hf_json_put_i64(v, "lease_remaining_ms", m.lease_remaining.us / 1000);
    } else {
        hf_json_put_null(v, "lease_remaining_ms");
    }
    (void)hf_api_leader(api, now, &leader, url);
    hf_api_put_name(v, "leader", leader.s);
    hf_json_put(v, "exposure", exposure_json(c, &m));
    hf_json *nodes = hf_json_array();
    for (size_t i = 0; i < c->policy->node_count; i++) {
        hf_json_push(nodes, node_json(c, &c->policy->nodes[i], &m, now, silent));
    }
    hf_json_put(v, "nodes", nodes);
    hf_json *last = hf_api_last_json(c);
    if (last != NULL) {
        hf_json_put(v, "last", last);
    } else {
        hf_json_put_null(v, "last");
    }
    hf_json_put(v, "warnings", warnings_json(c, &m, now, silent));
    hf_json_put(v, "hints", hints_json(c, &m, now, silent));
    return v;
}

hf_json *hf_api_version_json(const struct hf_api *api, hf_lclk now)
{
    hf_name leader = {""};
    char url[HF_ADDRESS_SIZE] = "";
    (void)hf_api_leader(api, now, &leader, url);
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "version", HF_VERSION);
    hf_json_put_text(v, "coordinator", api->config->name.s);
    hf_json_put_text(v, "region", api->config->region.s);
    hf_api_put_name(v, "leader", leader.s);
    hf_api_put_name(v, "leader_url", url);
    return v;
}

hf_json *hf_api_clusters_json(const struct hf_api *api, const struct hf_identity *who, hf_lclk now)
{
    hf_json *v = hf_json_object();
    hf_json *array = hf_json_array();
    for (int i = 0; i < api->warm->count; i++) {
        const struct hf_warm_cluster *c = api->warm->clusters[i];
        struct hf_measure m;
        if (c->policy == NULL || !hf_identity_may(who, &c->tenant, HF_ROLE_VIEWER)) {
            continue;
        }
        hf_measure_cluster(c, now, api->config->lease.ttl, &m);
        hf_json *item = hf_json_object();
        put_head(item, c, &m);
        hf_json_push(array, item);
    }
    hf_json_put(v, "clusters", array);
    return v;
}

hf_json *hf_api_cluster_json(const struct hf_warm_cluster *c)
{
    char revision[32];
    (void)snprintf(revision, sizeof revision, "%" PRId64, c->policy_revision);
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "revision", revision);
    hf_json_put(v, "policy", hf_policy_to_json(c->policy));
    if (!c->has_state) {
        hf_json_put_null(v, "state");
        return v;
    }
    hf_json *s = hf_json_object();
    hf_json_put_u64(s, "generation", c->state.generation.v);
    hf_json_put_u64(s, "epoch", c->state.epoch.v);
    hf_api_put_name(s, "primary", c->state.primary.s);
    if (c->state.timeline.v != 0) {
        hf_json_put_int(s, "timeline", (int)c->state.timeline.v);
    } else {
        hf_json_put_null(s, "timeline");
    }
    hf_json_put_bool(s, "paused", c->state.paused);
    hf_api_put_name(s, "operation", c->state.plan);
    hf_api_put_name(s, "doubt", c->state.doubt);
    hf_json_put(v, "state", s);
    return v;
}
