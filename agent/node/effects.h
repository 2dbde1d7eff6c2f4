/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which the core's effects are carried out.
 * Invariants: nothing that came after a PERSIST is done before that record is durable; PAGE and
 * PG_KILL are the exceptions, they are done at once (ending must never wait for a disk); a record
 * that could not be written is tried again and goes on holding back what follows; the queue is
 * bounded: when it is full, messages are dropped (all of them are repeated), never a record or an
 * operation. Loop thread only.
 */
#ifndef HF_NODE_EFFECTS_H
#define HF_NODE_EFFECTS_H

#include "agent/core/agent_core.h"

enum { HF_EFFECTS_MESSAGES_MAX = 128, HF_EFFECTS_QUEUE_MAX = 192 };

/* Who does it. All on the loop's thread; none may push into the queue from within. */
struct hf_effect_sinks {
    void (*page)(void *arg, const struct hf_agent_effect *e);
    void (*send)(void *arg, const struct hf_message *m);
    void (*reply)(void *arg, unsigned origin, const struct hf_message *m);
    void (*operate)(void *arg, const struct hf_agent_effect *e); /* PG_*, BACKUP */
    /* Begins to write; hf_effects_persisted is called later, once. */
    void (*persist)(void *arg, const struct hf_agent_record *record);
};

struct hf_effects_queue;
struct hf_effects_queue *hf_effects_new(const struct hf_effect_sinks *sinks, void *arg);
void hf_effects_free(struct hf_effects_queue *q); /* NULL allowed */
/* origin: the connection that REPLYs go to. */
void hf_effects_push(struct hf_effects_queue *q, const struct hf_agent_effects *effects,
                     unsigned origin);
/* The record under way is durable (ok), or shall be written again now (not ok). */
void hf_effects_persisted(struct hf_effects_queue *q, bool ok);
size_t hf_effects_waiting(const struct hf_effects_queue *q);
uint64_t hf_effects_dropped(const struct hf_effects_queue *q);

#endif
