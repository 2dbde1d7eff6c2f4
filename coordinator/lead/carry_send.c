/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lead/carry_internal.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <stdio.h>
#include <string.h>

/* --- commands --- */

static struct led_sent *find_sent(struct led *l, const char *id, const hf_name *to)
{
    for (int i = 0; i < LED_SENT; i++) {
        if (strcmp(l->sent[i].id, id) == 0 && hf_name_equal(&l->sent[i].to, to)) {
            return &l->sent[i];
        }
    }
    return NULL;
}

static uint64_t newest_sequence(const struct led *l, const hf_name *to)
{
    uint64_t newest = 0;
    for (int i = 0; i < LED_SENT; i++) {
        if (hf_name_equal(&l->sent[i].to, to) && l->sent[i].sequence > newest) {
            newest = l->sent[i].sequence;
        }
    }
    return newest;
}

/* Sends, at most every half second for one id. A repetition keeps its number while nothing newer
 * went to the node; afterwards it needs a new one, or the agent would refuse it (rule L10). */
static void send_command(struct led *l, const hf_name *to, const struct hf_command *wanted,
                         hf_lclk now)
{
    struct hf_carry *carry = l->carry;
    struct hf_warm_node *n = hf_warm_node(l->cluster, to->s);
    if (n == NULL || n->session == NULL || !n->view.seen) {
        return;
    }
    struct led_sent *sent = find_sent(l, wanted->id, to);
    if (sent != NULL && !hf_lclk_reached(now, hf_lclk_add(sent->at, HF_MS(LED_RESEND_MS)))) {
        return;
    }
    if (sent == NULL) {
        sent = &l->sent[l->next_sent];
        l->next_sent = (l->next_sent + 1) % LED_SENT;
        *sent = (struct led_sent){.to = *to};
        (void)snprintf(sent->id, sizeof sent->id, "%s", wanted->id);
        hf_log(HF_LOG_INFO, "COMMAND", "a command goes to an agent",
               HF_KV("cluster", l->cluster->cluster.s), HF_KV("node", to->s),
               HF_KV("kind", hf_command_kind_name(wanted->kind)), HF_KV("id", wanted->id),
               HF_KV_U64("epoch", wanted->epoch.v));
    }
    if (sent->sequence == 0 || sent->sequence < newest_sequence(l, to)) {
        sent->sequence = ++carry->sequence;
    }
    sent->at = now;
    carry->message.type = HF_MESSAGE_COMMAND;
    struct hf_command *m = &carry->message.command;
    *m = *wanted;
    m->generation = l->cluster->state.generation;
    m->term = carry->term;
    m->sequence = sent->sequence;
    m->seq = n->view.beat.seq;
    m->life = n->view.beat.life;
    m->ttl = HF_SEC(LED_COMMAND_TTL_S);
    (void)hf_hub_send(carry->c.hub, n, &carry->message);
}

void hf_led_commands(struct led *l, const struct hf_decision *d, hf_lclk now)
{
    for (int i = 0; i < d->commands; i++) {
        send_command(l, &d->command[i].to, &d->command[i].command, now);
    }
}

static void backup_gave_up(struct hf_warm_backup *b)
{
    b->finished = true;
    b->failed = true;
    b->finished_us = hf_clock_wall().us;
    (void)snprintf(b->error, sizeof b->error, "the agent did not begin it within 60 s");
}

/* Backups that were asked for here: the command is repeated until a heartbeat shows it. */
void hf_led_backups(struct led *l, hf_lclk now)
{
    struct hf_warm_cluster *c = l->cluster;
    if (c->backup_count == 0 || hf_led_doubts(l, now)) {
        return;
    }
    for (int i = 0; i < c->backup_count; i++) {
        struct hf_warm_backup *b = &c->backups[i];
        if (!b->asked_here || b->begun || b->finished) {
            continue;
        }
        if (hf_lclk_reached(now, hf_lclk_add(b->asked_at, HF_SEC(60)))) {
            backup_gave_up(b);
            continue;
        }
        struct hf_command command = {.kind = HF_COMMAND_BACKUP, .epoch = c->state.epoch};
        struct hf_err err;
        HF_BUF(body, sizeof command.body - 1);
        HF_AUTOJSON hf_json *v = hf_json_object();
        hf_json_put_text(v, "type", b->type);
        if (b->name[0] != '\0') {
            hf_json_put_text(v, "name", b->name);
        }
        hf_json_put_text(v, "operation", b->id);
        if (!hf_ok(hf_json_write(v, &body, &err))) {
            backup_gave_up(b);
            continue;
        }
        (void)snprintf(command.id, sizeof command.id, "%s", b->id);
        (void)snprintf(command.body, sizeof command.body, "%s", hf_buf_text(&body));
        send_command(l, &b->node, &command, now);
    }
}

/* --- views --- */

static const char *primary_address(const struct hf_warm_cluster *c)
{
    const struct hf_warm_node *n = hf_warm_node(c, c->state.primary.s);
    return n != NULL ? n->view.address : "";
}

void hf_led_views(struct led *l, hf_lclk now)
{
    struct hf_carry *carry = l->carry;
    struct hf_warm_cluster *c = l->cluster;
    if (!c->has_state || l->writing || l->stale) {
        return;
    }
    const char *address = hf_name_empty(&c->state.primary) ? "" : primary_address(c);
    bool changed = l->view_revision != c->state_revision || strcmp(address, l->view_address) != 0;
    if (!changed && !hf_lclk_reached(now, hf_lclk_add(l->view_at, HF_SEC(LED_VIEW_S)))) {
        return;
    }
    if (hf_led_doubts(l, now)) {
        l->view_at = now;
        return; /* records in doubt are told to nobody (L12) */
    }
    carry->message.type = HF_MESSAGE_VIEW;
    struct hf_view *v = &carry->message.view;
    *v = (struct hf_view){.generation = c->state.generation,
                          .epoch = c->state.epoch,
                          .term = carry->term,
                          .ttl = carry->c.config->lease.ttl,
                          .candidates = c->state.candidates};
    if (c->state.primary_epoch.v == c->state.epoch.v && !hf_name_empty(&c->state.primary)) {
        v->primary = c->state.primary;
        v->timeline = c->state.timeline;
        (void)snprintf(v->primary_address, sizeof v->primary_address, "%s", address);
    }
    for (int i = 0; i < c->node_count; i++) {
        (void)hf_hub_send(carry->c.hub, c->nodes[i], &carry->message);
    }
    l->view_at = now;
    l->view_revision = c->state_revision;
    (void)snprintf(l->view_address, sizeof l->view_address, "%s", address);
}

/* --- coarse health in etcd --- */

static void health_written(void *arg, enum hf_write_result result, int64_t revision,
                           const struct hf_err *err)
{
    struct led *l = arg;
    (void)revision;
    l->health_busy = false;
    if (result != HF_WRITE_DONE) {
        hf_log(HF_LOG_DEBUG, "HEALTH_NOT_WRITTEN", "coarse health was not written", HF_KV_ERR(err));
        memset(l->health, 0, sizeof l->health);
    }
}

static hf_result health_json(const struct hf_warm_cluster *c, const struct hf_policy_node *p,
                             bool coarse, char *ret, size_t size, struct hf_err *err)
{
    const struct hf_warm_node *n = hf_warm_node(c, p->name.s);
    HF_BUF(text, size - 1);
    char lsn[HF_LSN_SIZE];
    char seen[HF_CLOCK_TEXT_SIZE];
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json_put_text(v, "region", p->region.s);
    bool known = n != NULL && n->view.seen;
    bool connected = n != NULL && n->view.connected;
    bool primary = c->has_state && hf_name_equal(&c->state.primary, &p->name) &&
                   c->state.primary_epoch.v == c->state.epoch.v;
    hf_json_put_bool(v, "connected", connected);
    hf_json_put_text(v, "state", known ? hf_node_state_name(n->view.beat.state) : "unknown");
    hf_json_put_text(v, "role", primary ? "primary" : known ? "standby" : "unknown");
    if (known) {
        hf_json_put_int(v, "timeline", (int)n->view.beat.timeline.v);
        if (!coarse) {
            hf_json_put_text(v, "flushed", hf_lsn_format(n->view.beat.flushed, lsn));
            hf_clock_wall_text(n->seen_wall, seen, sizeof seen);
            hf_json_put_text(v, "seen", seen);
        }
    }
    HF_TRY(hf_json_write(v, &text, err));
    (void)snprintf(ret, size, "%s", hf_buf_text(&text));
    return hf_done();
}

/* On a change of state at once, else at most every five seconds and only when something moved. */
void hf_led_health(struct led *l, hf_lclk now)
{
    struct hf_warm_cluster *c = l->cluster;
    struct hf_tree_health writes[HF_MAX_NODES];
    size_t count = 0;
    struct hf_err err;
    if (l->health_busy || c->policy == NULL) {
        return;
    }
    for (size_t i = 0; i < c->policy->node_count; i++) {
        const struct hf_policy_node *p = &c->policy->nodes[i];
        struct led_health *h = &l->health[i];
        char state[512];
        struct hf_tree_health *w = &writes[count];
        bool due = hf_lclk_reached(now, hf_lclk_add(h->at, HF_SEC(LED_HEALTH_S)));
        if (!hf_ok(health_json(c, p, true, state, sizeof state, &err)) ||
            (strcmp(state, h->state) == 0 && !due) ||
            !hf_ok(health_json(c, p, false, w->value, sizeof w->value, &err)) ||
            strcmp(w->value, h->last) == 0) {
            continue;
        }
        w->node = p->name;
        h->at = now;
        memcpy(h->state, state, sizeof h->state);
        memcpy(h->last, w->value, sizeof h->last);
        count++;
    }
    if (count > 0) {
        l->health_busy = hf_ok(hf_tree_write_health(l->carry->c.tree, l->carry->term, c, writes,
                                                    count, health_written, l, &err));
    }
}

/* --- the published name --- */

bool hf_led_route_done(const struct led *l)
{
    const struct hf_warm_cluster *c = l->cluster;
    if (c->policy == NULL || !c->policy->route.present) {
        return true;
    }
    if (l->route == NULL || hf_route_task_state(l->route) != HF_ROUTE_DONE) {
        return false;
    }
    const struct hf_warm_plan *plan = hf_warm_running(c);
    return hf_name_equal(hf_route_task_node(l->route),
                         plan != NULL ? &plan->plan.to : &c->state.primary);
}

static bool same_record(const struct hf_route_task *task, const struct hf_route_record *record,
                        const hf_name *node)
{
    const struct hf_route_record *r = hf_route_task_record(task);
    return r->type == record->type && r->ttl.us == record->ttl.us &&
           strcmp(r->name, record->name) == 0 && strcmp(r->value, record->value) == 0 &&
           hf_name_equal(hf_route_task_node(task), node);
}

void hf_led_route(struct led *l, const struct hf_decision *d)
{
    struct hf_carry *carry = l->carry;
    const struct hf_policy *policy = l->cluster->policy;
    struct hf_route_record record;
    struct hf_err err;
    if (!d->route || policy == NULL || !policy->route.present) {
        return;
    }
    const struct hf_config_dns *dns =
        hf_config_coordinator_dns(carry->c.config, policy->route.provider.s);
    hf_result r = hf_done();
    if (dns == NULL) {
        r = hf_fail(&err, HF_E_NOT_FOUND,
                    "the policy names DNS provider %s, which this "
                    "coordinator does not have",
                    policy->route.provider.s);
    }
    if (hf_ok(r)) {
        r = hf_route_record_make(policy, d->route_address, &record, &err);
    }
    if (hf_ok(r) && l->route != NULL && same_record(l->route, &record, &d->route_node)) {
        return;
    }
    if (hf_ok(r)) {
        hf_route_task_free(l->route);
        l->route = NULL;
        r = hf_route_task_new(carry->c.loop, carry->http, dns, &record, &d->route_node, &l->route,
                              &err);
    }
    if (!hf_ok(r)) {
        hf_log(HF_LOG_ERROR, "ROUTE_IMPOSSIBLE", "the published name cannot be set",
               HF_KV("cluster", l->cluster->cluster.s), HF_KV("node", d->route_node.s),
               HF_KV_ERR(&err));
    }
}
