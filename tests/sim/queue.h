/* SPDX-License-Identifier: Apache-2.0
 *
 * The event queue: a binary heap of small entries.
 * Invariant: events leave in the order of their true time, those of one instant in the order in
 * which they were put, so that a run is a function of its seed alone.
 */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

typedef int64_t sim_time; /* true time, microseconds since the seed began */

enum sim_event_kind {
    SIM_AGENT_START,
    SIM_AGENT_WAKE,      /* a: number of the wake-up, an older one is stale */
    SIM_AGENT_OBSERVE,   /* the health part looks at PostgreSQL */
    SIM_AGENT_MESSAGE,   /* a: payload, b: connection, value: coordinator */
    SIM_AGENT_PERSISTED, /* a: payload of the record */
    SIM_AGENT_OP,        /* a: operation, b: ok; value: end position */
    SIM_AGENT_FENCED,
    SIM_AGENT_CONNECT, /* value: coordinator */
    SIM_CONN_BROKEN,   /* value: agent * 16 + coordinator, b: connection; the coordinator learns */
    SIM_COORD_START,
    SIM_COORD_LEAD, /* leadership's wake-up; a: number */
    SIM_COORD_TICK,
    SIM_COORD_MESSAGE, /* a: payload, b: connection, value: agent */
    SIM_COORD_ETCD,    /* answer; a: request */
    SIM_COORD_TIMEOUT, /* a: number of the request */
    SIM_COORD_STOP,    /* planned stop */
    SIM_COORD_ROUTED,  /* value: node */
    SIM_ETCD_EXEC,     /* a: request */
    SIM_PG_COMMIT,
    SIM_PG_ACK, /* value: position */
    SIM_PG_STREAM,
    SIM_PG_ORPHANS_GONE,
    SIM_PG_OP, /* the database's own part of an operation; a: operation */
    SIM_FENCER_LOOK,
    SIM_FAULT,     /* a: kind */
    SIM_DIRECTED,  /* the next step of a directed scenario; a: step */
    SIM_RESTORE,   /* a: what, value: which; end of a fault */
    SIM_HEAL,      /* the end of all faults */
    SIM_LOOK,      /* after the healing: settled? */
    SIM_CONN_WATCH /* value: agent * 16 + coordinator, b: connection: still cut? then it breaks */
};

struct sim_event {
    sim_time at;
    uint64_t order;
    int64_t value;
    uint32_t life; /* of the process; another one and the event is void */
    uint32_t a;
    uint32_t b;
    int16_t proc; /* -1: belongs to no process */
    uint16_t kind;
};

enum { SIM_QUEUE_MAX = 32768 };
struct sim_queue {
    int count;
    uint64_t order;
    struct sim_event heap[SIM_QUEUE_MAX];
};

void sim_queue_clear(struct sim_queue *q);
/* event->order is set here. A full queue aborts: the simulation has run away. */
void sim_queue_put(struct sim_queue *q, const struct sim_event *event);
bool sim_queue_take(struct sim_queue *q, struct sim_event *ret);

#endif
