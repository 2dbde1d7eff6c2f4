/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/executor.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/log.h"

/* A running operation; `owner` is only touched on the loop's thread. */
struct running {
    struct hf_op op; /* first */
    struct hf_executor *owner;
    bool silent; /* canceled: its end is not reported */
    void (*run)(struct hf_op *op);
};

struct hf_executor {
    struct hf_pool *pool;
    const struct hf_op_env *env;
    hf_executor_done done;
    void *arg;
    void (*run)(struct hf_op *op);
    struct running *current; /* anything but PG_KILL */
    struct running *kill;
    bool kill_again; /* something returned meanwhile: look once more before saying so */
    bool kill_waits; /* the kill is through, `current` has not returned yet */
    struct hf_agent_effect *next; /* begins when nothing runs */
    bool stopped;
};

static void begin(struct hf_executor *x, const struct hf_agent_effect *e);

static const char *kind_name(enum hf_agent_effect_kind kind)
{
    static const char *const names[HF_EFFECT_KINDS] = {
        [HF_EFFECT_PG_STOP_RECEIVING] = "stop_receiving",
        [HF_EFFECT_PG_FIND_END] = "find_end",
        [HF_EFFECT_PG_PROMOTE] = "promote",
        [HF_EFFECT_PG_START_PRIMARY] = "start_primary",
        [HF_EFFECT_PG_ADOPT] = "adopt",
        [HF_EFFECT_PG_FOLLOW] = "follow",
        [HF_EFFECT_PG_COPY] = "copy",
        [HF_EFFECT_PG_KILL] = "kill",
        [HF_EFFECT_PG_PROBE] = "probe",
        [HF_EFFECT_PG_DRAIN] = "drain",
        [HF_EFFECT_PG_STOP] = "stop",
    };
    return kind < HF_EFFECT_KINDS && names[kind] != NULL ? names[kind] : "?";
}

struct hf_executor *hf_executor_new(struct hf_pool *pool, const struct hf_op_env *env,
                                    hf_executor_done done, void *arg)
{
    struct hf_executor *x = hf_alloc(sizeof(*x));
    x->pool = pool;
    x->env = env;
    x->done = done;
    x->arg = arg;
    x->run = hf_op_run;
    return x;
}

void hf_executor_free(struct hf_executor *x)
{
    if (x != NULL) {
        hf_free(x->next);
        hf_free(x->current);
        hf_free(x->kill);
        hf_free(x);
    }
}

void hf_executor_set_run(struct hf_executor *x, void (*run)(struct hf_op *op))
{
    x->run = run;
}

bool hf_executor_busy(const struct hf_executor *x)
{
    return x->current != NULL || x->kill != NULL || x->next != NULL;
}

static void run_job(struct hf_job *job)
{
    struct running *r = (struct running *)job;
    r->run(&r->op);
}

static void begin_next(struct hf_executor *x)
{
    if (x->next != NULL && x->current == NULL && x->kill == NULL && !x->stopped) {
        struct hf_agent_effect *e = x->next;
        x->next = NULL;
        begin(x, e);
        hf_free(e);
    }
}

static void tell(struct hf_executor *x, struct running *r)
{
    const struct hf_op *op = &r->op;
    bool ok = hf_ok(op->result);
    if (ok) {
        hf_log(HF_LOG_INFO, "OPERATION_DONE", "operation done",
               HF_KV("operation", kind_name(op->kind)), HF_KV("command", op->command),
               HF_KV_LSN("end", op->end));
    } else if (!r->silent) {
        hf_log(HF_LOG_ERROR, "OPERATION_FAILED", "operation failed",
               HF_KV("operation", kind_name(op->kind)), HF_KV("command", op->command),
               HF_KV_ERR(&op->err));
    }
    if (!r->silent && !x->stopped) {
        x->done(x->arg, op);
    }
}

static void submit(struct hf_executor *x, struct running *r)
{
    struct hf_err err;
    if (hf_ok(hf_pool_submit(x->pool, HF_LANE_URGENT, &r->op.job, &err))) {
        return;
    }
    /* The pool of control work is far larger than what it is ever given. */
    hf_log(HF_LOG_ERROR, "OPERATION_NO_WORKER", "no worker for an operation", HF_KV_ERR(&err));
    hf_assert_failed("a worker for an operation", __FILE__, __LINE__);
}

static void kill_finished(struct hf_executor *x)
{
    struct running *r = x->kill;
    if (x->current != NULL) {
        x->kill_waits = true;
        return;
    }
    if (x->kill_again && !x->stopped) {
        x->kill_again = false;
        r->op.job.ran = false;
        submit(x, r);
        return;
    }
    x->kill = NULL;
    tell(x, r);
    hf_free(r);
    begin_next(x);
}

static void job_done(struct hf_job *job)
{
    struct running *r = (struct running *)job;
    struct hf_executor *x = r->owner;
    if (!job->ran) {
        r->op.result = hf_fail(&r->op.err, HF_E_CANCELED, "canceled before it began");
    }
    if (r == x->kill) {
        kill_finished(x);
        return;
    }
    x->current = NULL;
    tell(x, r);
    hf_free(r);
    if (x->kill != NULL) {
        if (x->kill_waits) {
            x->kill_waits = false;
            kill_finished(x);
        }
        return;
    }
    begin_next(x);
}

static void begin(struct hf_executor *x, const struct hf_agent_effect *e)
{
    struct running *r = hf_alloc(sizeof(*r));
    r->owner = x;
    r->run = x->run;
    r->op.job.run = run_job;
    r->op.job.done = job_done;
    r->op.env = x->env;
    r->op.kind = e->kind;
    r->op.id = e->id;
    r->op.epoch = e->epoch;
    r->op.timeline = e->timeline;
    r->op.peer = e->peer;
    memcpy(r->op.address, e->address, sizeof(r->op.address));
    memcpy(r->op.command, e->command, sizeof(r->op.command));
    memcpy(r->op.body, e->body, sizeof(r->op.body));
    if (e->kind == HF_EFFECT_PG_KILL) {
        x->kill = r;
    } else {
        x->current = r;
    }
    hf_log(HF_LOG_INFO, "OPERATION_BEGINS", "operation begins",
           HF_KV("operation", kind_name(e->kind)), HF_KV("command", e->command),
           HF_KV("address", e->address), HF_KV_U64("epoch", e->epoch.v));
    submit(x, r);
}

static void cancel_current(struct hf_executor *x)
{
    if (x->current != NULL && !x->current->silent) {
        x->current->silent = true;
        hf_job_cancel(&x->current->op.job);
    }
    hf_free(x->next);
    x->next = NULL;
}

void hf_executor_start(struct hf_executor *x, const struct hf_agent_effect *e)
{
    if (x->stopped) {
        return;
    }
    if (e->kind != HF_EFFECT_PG_KILL) {
        cancel_current(x);
        if (x->current == NULL && x->kill == NULL) {
            begin(x, e);
            return;
        }
        x->next = hf_alloc(sizeof(*x->next));
        *x->next = *e;
        return;
    }
    if (x->current != NULL) {
        x->kill_again = true;
    }
    cancel_current(x);
    if (x->kill != NULL) {
        x->kill->op.id = e->id; /* asked again while it runs: one more look, the new id */
        x->kill_again = true;
        return;
    }
    begin(x, e);
}

void hf_executor_cancel(struct hf_executor *x)
{
    x->stopped = true;
    cancel_current(x);
    if (x->kill != NULL) {
        hf_job_cancel(&x->kill->op.job);
    }
}
