/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold, judged by true time and by what the simulated disks, pages and etcd really hold,
 * never by what the cores believe.
 * Invariant: a checker knows the rules (docs/protocol.md), not the code: the planted bugs are found
 * by the same checks that every seed runs.
 */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "agent/core/agent_core.h"
#include "coordinator/core/cluster.h"

struct sim_world;
struct sim_agent_op;

#define SIM_CHECKS(X)                                                                              \
    X(FENCE, "1a: no acknowledgement after an epoch's fence point")                                \
    X(ONE_LEASE, "1b: never two valid leases, no fence proof while one runs")                      \
    X(LOSS, "1c: what a promotion loses is within the plan's prediction and the policy")           \
    X(EPOCHS, "3: epochs, generations, serials only grow, on every node and in etcd")              \
    X(CHOICE, "3: one choice of primary an epoch, grants and leads only to it")                    \
    X(ORDER, "3: no agent obeys a command of lower order")                                         \
    X(TIMELINE, "3: one use of a timeline number, reserved before")                                \
    X(RECORD, "4: every effect is preceded by its persisted record")                               \
    X(TABLE, "4: nodes and plans change only along the state table")                               \
    X(FOLLOW, "W4: no node follows beyond the fork of its source")                                 \
    X(FINAL, "L9: a prepared node receives nothing beyond its final position")                     \
    X(PROMISE, "L4: promises are durable and kept, failsafe is unanimous")                         \
    X(SURRENDER, "L6: a surrendered epoch is never opened again, nothing of it lives")             \
    X(CODEC, "messages and records survive their codec")                                           \
    X(CRASH, "no assertion of the cores fails")                                                    \
    X(LIVENESS, "after healing: a primary with a lease, no plan, all streaming")

enum sim_check {
#define X(name, text) SIM_CHECK_##name,
    SIM_CHECKS(X)
#undef X
        SIM_CHECK_COUNT
};
extern const char *const sim_check_text[SIM_CHECK_COUNT];

/* What the checkers remember of one seed. */
enum { SIM_EPOCHS = 256, SIM_ACKS = 16384, SIM_TIMELINES = 128 };
struct sim_ack {
    int64_t at;
    uint64_t lsn;
    uint32_t timeline;
    uint32_t epoch;
    bool stalled; /* written long before */
    bool lost;
};
struct sim_timeline {
    bool used;
    uint32_t parent;
    uint64_t fork;
    int node;
    uint64_t reserved_epoch; /* 0: nobody reserved it */
    bool forgotten;          /* etcd was restored to before that */
};
struct sim_promise {
    int holder; /* -1: none */
    hf_epoch epoch;
    uint64_t serial;
    uint64_t round;
    hf_lclk until;
    int64_t until_true;
};
struct sim_truth {
    int choice[SIM_EPOCHS];        /* node, -1 none persisted yet */
    int64_t fenced_at[SIM_EPOCHS]; /* true time when every lease of the epoch was called over */
    bool plan_epoch[SIM_EPOCHS];   /* some persisted plan or state burnt it */
    hf_epoch newest_fenced;
    struct hf_cluster_state state; /* last committed */
    struct hf_cluster_state top;   /* of the highest epoch ever committed, before a restore too */
    bool state_known;
    struct hf_plan plan; /* last committed */
    bool plan_known;
    struct hf_plan top_plan; /* last committed of the highest epoch, before a restore too */
    bool top_plan_known;
    int predictor;      /* coordinator that predicted the plan's loss */
    int64_t seen_since; /* from when on it saw the primary */
    int acks;
    struct sim_ack ack[SIM_ACKS];
    struct sim_timeline timeline[SIM_TIMELINES];
    struct sim_promise promise[HF_MAX_NODES];
    hf_epoch surrendered[HF_MAX_NODES];
    uint64_t surrendered_serial[HF_MAX_NODES];
    int64_t record_lost_at[HF_MAX_NODES];
    struct hf_order obeyed[HF_MAX_NODES];
    char obeyed_id[HF_MAX_NODES][HF_LABEL_SIZE];
    uint64_t final[HF_MAX_NODES]; /* reported end of a prepared node, 0 none */
    hf_epoch final_epoch[HF_MAX_NODES];
    hf_epoch page_epoch[HF_MAX_NODES]; /* under which the node's PostgreSQL was last let write */
    int64_t page_end[HF_MAX_NODES];    /* true time when that page closed or will run out */
};

/* The seed ends here; the first failure counts. */
void sim_fail(struct sim_world *w, enum sim_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void sim_check_reset(struct sim_world *w);

/* check_agent.c */
void sim_check_step(struct sim_world *w, int node, const struct hf_agent_event *event,
                    enum hf_node_state before);
void sim_check_persist(struct sim_world *w, int node, const struct hf_agent_record *record);
void sim_check_page(struct sim_world *w, int node, const struct hf_agent_effect *effect);
void sim_check_agent_send(struct sim_world *w, int node, const struct hf_message *message);
void sim_check_op(struct sim_world *w, int node, const struct sim_agent_op *op);

/* check_pg.c */
/* stalled: the WAL was written long before the answer. */
void sim_check_ack(struct sim_world *w, int node, uint64_t lsn, bool stalled);
void sim_check_received(struct sim_world *w, int node);
void sim_check_follow(struct sim_world *w, int node, int source);
void sim_check_promoted(struct sim_world *w, int node, uint32_t timeline, uint32_t parent,
                        uint64_t fork);
/* Is position lsn of timeline t in the past of timeline `of`? */
bool sim_history_contains(const struct sim_world *w, uint32_t of, uint32_t t, uint64_t lsn);

/* check_etcd.c */
void sim_check_commit(struct sim_world *w, int coord, const struct hf_cluster_state *state,
                      const struct hf_plan *plan, hf_tli reserve);
/* etcd was put back to these records: what was committed since is forgotten there, not here. */
void sim_check_restored(struct sim_world *w, const struct hf_cluster_state *state,
                        const struct hf_plan *plan);
void sim_check_coord_send(struct sim_world *w, const struct hf_message *message, int node);
/* Healed and settled: true from the moment on when everything is as it should be. */
bool sim_check_settled(struct sim_world *w, char *why, unsigned long size);

#endif
