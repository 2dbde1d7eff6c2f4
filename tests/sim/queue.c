/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/queue.h"

#include "common/base/err.h"

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_queue_clear(struct sim_queue *q)
{
    q->count = 0;
    q->order = 0;
}

void sim_queue_put(struct sim_queue *q, const struct sim_event *event)
{
    HF_ASSERT(q->count < SIM_QUEUE_MAX);
    struct sim_event e = *event;
    e.order = ++q->order;
    int i = q->count++;
    while (i > 0) {
        int parent = (i - 1) / 2;
        if (!before(&e, &q->heap[parent])) {
            break;
        }
        q->heap[i] = q->heap[parent];
        i = parent;
    }
    q->heap[i] = e;
}

bool sim_queue_take(struct sim_queue *q, struct sim_event *ret)
{
    if (q->count == 0) {
        return false;
    }
    *ret = q->heap[0];
    struct sim_event last = q->heap[--q->count];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= q->count) {
            break;
        }
        if (child + 1 < q->count && before(&q->heap[child + 1], &q->heap[child])) {
            child++;
        }
        if (!before(&q->heap[child], &last)) {
            break;
        }
        q->heap[i] = q->heap[child];
        i = child;
    }
    q->heap[i] = last;
    return true;
}
