/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/effects.h"

#include "common/base/mem.h"

struct item {
    struct item *next;
    unsigned origin;
    struct hf_agent_effect effect;
};

struct hf_effects_queue {
    struct hf_effect_sinks sinks;
    void *arg;
    struct item *first;
    struct item *last;
    size_t waiting;
    bool writing; /* the first item is a PERSIST that is being written */
    uint64_t dropped;
};

struct hf_effects_queue *hf_effects_new(const struct hf_effect_sinks *sinks, void *arg)
{
    struct hf_effects_queue *q = hf_alloc(sizeof(*q));
    q->sinks = *sinks;
    q->arg = arg;
    return q;
}

void hf_effects_free(struct hf_effects_queue *q)
{
    while (q != NULL && q->first != NULL) {
        struct item *i = q->first;
        q->first = i->next;
        hf_free(i);
    }
    hf_free(q);
}

static bool is_message(const struct hf_agent_effect *e)
{
    return e->kind == HF_EFFECT_SEND || e->kind == HF_EFFECT_REPLY;
}

static bool is_beat(const struct hf_agent_effect *e)
{
    return e->kind == HF_EFFECT_SEND && e->message.type == HF_MESSAGE_HEARTBEAT;
}

static void do_now(struct hf_effects_queue *q, const struct hf_agent_effect *e, unsigned origin)
{
    if (e->kind == HF_EFFECT_PAGE) {
        q->sinks.page(q->arg, e);
    } else if (e->kind == HF_EFFECT_SEND) {
        q->sinks.send(q->arg, &e->message);
    } else if (e->kind == HF_EFFECT_REPLY) {
        q->sinks.reply(q->arg, origin, &e->message);
    } else {
        q->sinks.operate(q->arg, e);
    }
}

/* A heartbeat that waits is worth nothing when a newer one comes (latest wins). */
static void forget_older_beat(struct hf_effects_queue *q)
{
    struct item **at = &q->first;
    struct item *before = NULL;
    while (*at != NULL) {
        struct item *i = *at;
        if (is_beat(&i->effect)) {
            *at = i->next;
            if (q->last == i) {
                q->last = before;
            }
            q->waiting--;
            hf_free(i);
            return; /* there is never more than one */
        }
        before = i;
        at = &i->next;
    }
}

/* The newest record that waits and is not being written: a later record contains it. */
static struct item *last_record(struct hf_effects_queue *q)
{
    struct item *found = NULL;
    for (struct item *i = q->first; i != NULL; i = i->next) {
        if (i->effect.kind == HF_EFFECT_PERSIST && !(q->writing && i == q->first)) {
            found = i;
        }
    }
    return found;
}

static void enqueue(struct hf_effects_queue *q, const struct hf_agent_effect *e, unsigned origin)
{
    if (is_beat(e)) {
        forget_older_beat(q);
    }
    if (is_message(e) && q->waiting >= HF_EFFECTS_MESSAGES_MAX) {
        q->dropped++;
        return;
    }
    if (e->kind == HF_EFFECT_PERSIST && q->waiting >= HF_EFFECTS_MESSAGES_MAX) {
        struct item *record = last_record(q);
        if (record != NULL) {
            record->effect.record = e->record;
            return;
        }
    }
    /* Operations come one at a time and records are merged above: this bound is out of reach. */
    HF_ASSERT(q->waiting < HF_EFFECTS_QUEUE_MAX);
    struct item *i = hf_alloc(sizeof(*i));
    i->origin = origin;
    i->effect = *e;
    if (q->last != NULL) {
        q->last->next = i;
    } else {
        q->first = i;
    }
    q->last = i;
    q->waiting++;
}

static void remove_first(struct hf_effects_queue *q)
{
    struct item *i = q->first;
    q->first = i->next;
    if (q->first == NULL) {
        q->last = NULL;
    }
    q->waiting--;
    hf_free(i);
}

static void pump(struct hf_effects_queue *q)
{
    while (q->first != NULL && !q->writing) {
        struct item *i = q->first;
        if (i->effect.kind == HF_EFFECT_PERSIST) {
            q->writing = true;
            q->sinks.persist(q->arg, &i->effect.record);
            return;
        }
        do_now(q, &i->effect, i->origin);
        remove_first(q);
    }
}

static bool is_operation(const struct hf_agent_effect *e)
{
    return e->kind >= HF_EFFECT_PG_STOP_RECEIVING && e->kind <= HF_EFFECT_PG_STOP;
}

/* A kill makes void what waits behind a record: a start must not come after it (rule L6). */
static void forget_operations(struct hf_effects_queue *q)
{
    struct item **at = &q->first;
    q->last = NULL;
    while (*at != NULL) {
        struct item *i = *at;
        if (is_operation(&i->effect)) {
            *at = i->next;
            q->waiting--;
            hf_free(i);
        } else {
            q->last = i;
            at = &i->next;
        }
    }
}

void hf_effects_push(struct hf_effects_queue *q, const struct hf_agent_effects *effects,
                     unsigned origin)
{
    for (int n = 0; n < effects->count; n++) {
        const struct hf_agent_effect *e = &effects->list[n];
        if (e->kind == HF_EFFECT_PG_KILL) {
            forget_operations(q);
        }
        if (e->kind == HF_EFFECT_PAGE || e->kind == HF_EFFECT_PG_KILL) {
            do_now(q, e, origin);
        } else if (q->first == NULL && e->kind != HF_EFFECT_PERSIST) {
            do_now(q, e, origin);
        } else {
            enqueue(q, e, origin);
        }
    }
    pump(q);
}

void hf_effects_persisted(struct hf_effects_queue *q, bool ok)
{
    HF_ASSERT(q->writing && q->first != NULL);
    if (!ok) {
        q->sinks.persist(q->arg, &q->first->effect.record);
        return;
    }
    q->writing = false;
    remove_first(q);
    pump(q);
}

size_t hf_effects_waiting(const struct hf_effects_queue *q)
{
    return q->waiting;
}

uint64_t hf_effects_dropped(const struct hf_effects_queue *q)
{
    return q->dropped;
}
