/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans and operations as the API shows them (docs/api.md).
 */
#include "coordinator/api/api.h"

#include <stdio.h>
#include <string.h>

enum { OPERATIONS_MAX = 100 };

static bool finished(const struct hf_plan *p)
{
    return p->step == HF_STEP_DONE || p->step == HF_STEP_FAILED;
}

static const char *result_of(const struct hf_plan *p)
{
    return p->step == HF_STEP_DONE ? "done" : p->step == HF_STEP_FAILED ? "failed" : "running";
}

hf_json *hf_api_reasons_json(const char (*reasons)[HF_REASON_SIZE], int count)
{
    hf_json *array = hf_json_array();
    for (int i = 0; i < count && i < HF_REASONS_MAX; i++) {
        const char *text = NULL;
        char rule[64];
        size_t n = hf_api_rule(reasons[i], &text);
        (void)snprintf(rule, sizeof rule, "%.*s", (int)(n < 63 ? n : 63), reasons[i]);
        hf_json *v = hf_json_object();
        hf_api_put_name(v, "rule", rule);
        hf_json_put_text(v, "text", text);
        hf_json_push(array, v);
    }
    return array;
}

static void put_loss(hf_json *v, const struct hf_plan *p)
{
    if (p->loss.known) {
        hf_json_put_u64(v, "predicted_bytes", p->loss.bytes);
        hf_json_put_i64(v, "predicted_ms", p->loss.time.us / 1000);
    } else {
        hf_json_put_null(v, "predicted_bytes");
        hf_json_put_null(v, "predicted_ms");
    }
}

static void put_down(hf_json *v, const struct hf_plan *p)
{
    /* A switchover's clients work until it is told to stop. */
    int64_t since = p->kind == HF_PLAN_SWITCHOVER ? p->entered_us[HF_STEP_STOP] : p->heard_us;
    if (p->kind != HF_PLAN_BOOTSTRAP && since != 0 && p->writable_us >= since) {
        hf_json_put_i64(v, "down_ms", (p->writable_us - since) / 1000);
    } else {
        hf_json_put_null(v, "down_ms");
    }
}

/* The last step that was entered before the end. */
static enum hf_step last_entered(const struct hf_plan *p)
{
    enum hf_step last = (enum hf_step)0;
    for (int s = 0; s < HF_STEP_DONE; s++) {
        if (p->entered_us[s] != 0 && p->entered_us[s] >= p->entered_us[last]) {
            last = (enum hf_step)s;
        }
    }
    return last;
}

/* Steps that were entered, and while it runs those that may follow. */
static hf_json *steps_json(const struct hf_plan *p)
{
    hf_json *array = hf_json_array();
    enum hf_step last = last_entered(p);
    for (int s = 0; s < HF_STEP_DONE; s++) {
        bool entered = p->entered_us[s] != 0;
        if (!entered && (finished(p) || s < (int)p->step)) {
            continue;
        }
        const char *state = !entered                                      ? "waiting"
                            : s == (int)p->step                           ? "running"
                            : p->step == HF_STEP_FAILED && s == (int)last ? "failed"
                                                                          : "done";
        hf_json *v = hf_json_object();
        hf_json_put_text(v, "name", hf_step_name((enum hf_step)s));
        hf_json_put_text(v, "state", state);
        hf_api_put_instant(v, "at", p->entered_us[s]);
        hf_json_put_null(v, "text");
        hf_json_push(array, v);
    }
    return array;
}

static hf_json *plan_operation(const struct hf_warm_cluster *c, const struct hf_plan *p)
{
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "id", p->id);
    hf_json_put_text(v, "kind", hf_plan_kind_name(p->kind));
    hf_json_put_text(v, "tenant", c->tenant.s);
    hf_json_put_text(v, "cluster", c->cluster.s);
    hf_json_put_u64(v, "epoch", p->epoch.v);
    hf_api_put_name(v, "from", p->from.s);
    hf_api_put_name(v, "to", p->to.s);
    hf_json_put_text(v, "state", finished(p) ? "finished" : "running");
    hf_api_put_name(v, "result", finished(p) ? result_of(p) : "");
    hf_api_put_instant(v, "started_at", p->detected_us);
    hf_api_put_instant(v, "finished_at", finished(p) ? p->entered_us[p->step] : 0);
    put_down(v, p);
    put_loss(v, p);
    hf_json_put_null(v, "lost_commits");
    const char *text = NULL;
    bool failed = p->step == HF_STEP_FAILED && p->reasons > 0;
    if (failed) {
        (void)hf_api_rule(p->reason[p->reasons - 1], &text);
    }
    hf_api_put_name(v, "message", failed ? text : "");
    hf_json_put(v, "reasons", hf_api_reasons_json(p->reason, p->reasons));
    hf_json_put(v, "steps", steps_json(p));
    return v;
}

static hf_json *backup_operation(const struct hf_warm_cluster *c, const struct hf_warm_backup *b)
{
    hf_json *v = hf_json_object();
    hf_json *steps = hf_json_array();
    hf_json *step = hf_json_object();
    hf_json_put_text(v, "id", b->id);
    hf_json_put_text(v, "kind", "backup");
    hf_json_put_text(v, "tenant", c->tenant.s);
    hf_json_put_text(v, "cluster", c->cluster.s);
    hf_json_put_u64(v, "epoch", c->has_state ? c->state.epoch.v : 0);
    hf_json_put_text(v, "from", b->node.s);
    hf_json_put_null(v, "to");
    hf_json_put_text(v, "state", b->finished ? "finished" : "running");
    hf_api_put_name(v, "result", !b->finished ? "" : b->failed ? "failed" : "done");
    hf_api_put_instant(v, "started_at", b->started_us);
    hf_api_put_instant(v, "finished_at", b->finished_us);
    hf_json_put_null(v, "down_ms");
    hf_json_put_null(v, "predicted_bytes");
    hf_json_put_null(v, "predicted_ms");
    hf_json_put_null(v, "lost_commits");
    hf_api_put_name(v, "message", b->error);
    hf_json_put(v, "reasons", hf_json_array());
    hf_json_put_text(step, "name", "backup");
    hf_json_put_text(step, "state",
                     b->failed     ? "failed"
                     : b->finished ? "done"
                     : b->begun    ? "running"
                                   : "waiting");
    hf_api_put_instant(step, "at", b->started_us);
    hf_json_put_null(step, "text");
    hf_json_push(steps, step);
    hf_json_put(v, "steps", steps);
    return v;
}

/* Newest first, both kinds together. */
hf_json *hf_api_operations_json(const struct hf_warm_cluster *c)
{
    hf_json *v = hf_json_object();
    hf_json *array = hf_json_array();
    int p = c->plan_count - 1;
    int b = c->backup_count - 1;
    for (int n = 0; n < OPERATIONS_MAX && (p >= 0 || b >= 0); n++) {
        bool plan = b < 0 || (p >= 0 && c->plans[p]->plan.detected_us >= c->backups[b].started_us);
        if (plan) {
            hf_json_push(array, plan_operation(c, &c->plans[p--]->plan));
        } else {
            hf_json_push(array, backup_operation(c, &c->backups[b--]));
        }
    }
    hf_json_put(v, "operations", array);
    return v;
}

hf_json *hf_api_operation_json(const struct hf_warm_cluster *c, const char *id)
{
    const struct hf_warm_plan *p = hf_warm_plan(c, id);
    if (p != NULL) {
        return plan_operation(c, &p->plan);
    }
    for (int i = 0; i < c->backup_count; i++) {
        if (strcmp(c->backups[i].id, id) == 0) {
            return backup_operation(c, &c->backups[i]);
        }
    }
    return NULL;
}

hf_json *hf_api_last_json(const struct hf_warm_cluster *c)
{
    const struct hf_plan *p = c->plan_count > 0 ? &c->plans[c->plan_count - 1]->plan : NULL;
    const struct hf_warm_backup *b = c->backup_count > 0 ? &c->backups[c->backup_count - 1] : NULL;
    if (p == NULL && b == NULL) {
        return NULL;
    }
    hf_json *v = hf_json_object();
    if (p != NULL && (b == NULL || p->detected_us >= b->started_us)) {
        hf_json_put_text(v, "id", p->id);
        hf_json_put_text(v, "kind", hf_plan_kind_name(p->kind));
        hf_api_put_name(v, "from", p->from.s);
        hf_api_put_name(v, "to", p->to.s);
        hf_json_put_text(v, "result", result_of(p));
        hf_api_put_instant(v, "at", finished(p) ? p->entered_us[p->step] : p->detected_us);
        put_down(v, p);
        put_loss(v, p);
    } else {
        hf_json_put_text(v, "id", b->id);
        hf_json_put_text(v, "kind", "backup");
        hf_json_put_text(v, "from", b->node.s);
        hf_json_put_null(v, "to");
        hf_json_put_text(v, "result", !b->finished ? "running" : b->failed ? "failed" : "done");
        hf_api_put_instant(v, "at", b->finished ? b->finished_us : b->started_us);
        hf_json_put_null(v, "down_ms");
        hf_json_put_null(v, "predicted_bytes");
        hf_json_put_null(v, "predicted_ms");
    }
    hf_json_put_null(v, "lost_commits");
    return v;
}

/* What the table says that a plan of this kind does, in order. */
static hf_json *planned_steps(enum hf_plan_kind kind, const struct hf_plan *plan)
{
    hf_json *array = hf_json_array();
    enum hf_step first = kind == HF_PLAN_SWITCHOVER ? HF_STEP_DRAIN : HF_STEP_PREPARE;
    if (plan != NULL && kind == HF_PLAN_RECOVERY) {
        first = plan->step;
    }
    for (int s = (int)first; s < HF_STEP_DONE; s++) {
        const char *effect = "";
        for (size_t i = 0; i < hf_step_table_rows && effect[0] == '\0'; i++) {
            if ((int)hf_step_table[i].from == s && hf_step_table[i].effect != NULL) {
                effect = hf_step_table[i].effect;
            }
        }
        hf_json *v = hf_json_object();
        hf_json_put_text(v, "name", hf_step_name((enum hf_step)s));
        hf_json_put_text(v, "text", effect);
        hf_json_push(array, v);
    }
    return array;
}

hf_json *hf_api_plan_json(const struct hf_warm_cluster *c, enum hf_plan_kind kind,
                          const struct hf_plan *plan, hf_result result, const struct hf_err *err)
{
    bool allowed = hf_ok(result);
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "tenant", c->tenant.s);
    hf_json_put_text(v, "cluster", c->cluster.s);
    hf_json_put_u64(v, "epoch", c->state.epoch.v);
    hf_api_put_name(v, "from", allowed ? plan->from.s : c->state.primary.s);
    hf_api_put_name(v, "to", allowed ? plan->to.s : "");
    hf_json_put_text(v, "kind", hf_plan_kind_name(kind));
    hf_json_put_bool(v, "allowed", allowed);
    if (allowed) {
        hf_json_put(v, "reasons", hf_api_reasons_json(plan->reason, plan->reasons));
        put_loss(v, plan);
    } else {
        char reason[1][HF_REASON_SIZE];
        (void)snprintf(reason[0], sizeof reason[0], "%.*s", HF_REASON_SIZE - 1, err->text);
        hf_json_put(v, "reasons", hf_api_reasons_json((const char(*)[HF_REASON_SIZE])reason, 1));
        hf_json_put_null(v, "predicted_bytes");
        hf_json_put_null(v, "predicted_ms");
    }
    hf_json_put_null(v, "predicted_commits");
    hf_json_put(v, "steps", planned_steps(kind, allowed ? plan : NULL));
    return v;
}
