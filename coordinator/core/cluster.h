/* SPDX-License-Identifier: Apache-2.0
 *
 * The decisions of a leader about one cluster: detection, plans, grants. Pure: a view with one
 * `now` in, a decision with reasons out; no I/O, no clock.
 *
 * Invariants
 * - A decision either writes records or sends commands that rest on records written before, never
 *   both (design invariant 4): a crash between them only repeats an idempotent command.
 * - Every write is a transaction that compares the leader's term and the revisions of the records
 *   that the view was built from.
 * - A lease is granted only to etcd's (node, epoch) (L11), only from a renewal sent after its
 *   heartbeat arrived (L2), and is entered into `outstanding` before it is sent.
 * - The choice of a primary at epoch e is persisted only after every lease below e is proven over;
 *   a new generation may choose the node that holds the only lease there is (L12).
 * - While etcd's records are in doubt nothing is granted, sent or begun; only a person ends that.
 */
#ifndef HF_COORDINATOR_CLUSTER_H
#define HF_COORDINATOR_CLUSTER_H

#include "common/core/exposure.h"
#include "common/core/lease.h"
#include "common/core/policy.h"
#include "common/core/statetable.h"

/* Below it a node's PostgreSQL is warned of: four segments of WAL of the default size. */
#define HF_DISK_LOW_BYTES UINT64_C(64000000)

enum { HF_REASONS_MAX = 12, HF_REASON_SIZE = 160, HF_DECISION_COMMANDS = 24 };

struct hf_loss {
    bool known;
    uint64_t bytes; /* at most */
    hf_dur time;    /* at most */
};

/* Key clusters/T/C/state. */
struct hf_cluster_state {
    hf_generation generation;
    hf_epoch epoch;         /* highest burnt */
    hf_name primary;        /* the choice at primary_epoch; "" = none yet */
    hf_epoch primary_epoch; /* leases go to (primary, primary_epoch) while it equals epoch */
    hf_tli timeline;        /* of the present primary, 0 unknown */
    hf_lsn fork;            /* where that timeline left its parent, 0 for the first */
    hf_tli parent;          /* ... and which that was, 0 for the first */
    hf_tli reserved;        /* highest timeline number ever reserved (L14) */
    uint64_t system_id;     /* 0 until first seen; nodes of another are refused */
    hf_epoch fenced;        /* every lease of epochs <= this is proven over */
    bool owes;              /* the last choice never became writable: what its plan predicted */
    struct hf_loss owed;    /* ... is lost with the next one too */
    struct hf_candidates candidates; /* newest version, told to the primary by grants */
    struct hf_candidates acked;      /* what the primary acknowledged: only these are promotable */
    char plan[HF_LABEL_SIZE];        /* running plan, "" none */
    uint64_t plans;                  /* how many there were: ids */
    bool paused;
    char doubt[HF_REASON_SIZE]; /* why these records are not believed (L12), "" = they are */
    /* Nodes that may follow into this generation; version = the generation, 0 = the first one. */
    struct hf_candidates follow;
};

/* Key clusters/T/C/plans/ID. */
struct hf_plan {
    char id[HF_LABEL_SIZE];
    enum hf_plan_kind kind;
    enum hf_step step;
    hf_epoch epoch; /* burnt with this plan */
    hf_name from;   /* last holder, "" none */
    hf_epoch from_epoch;
    hf_name to;              /* the choice, "" until SELECT */
    char wish[HF_NAME_SIZE]; /* node or region that a person asked for, "" none */
    bool requested;          /* a person asked for the plan */
    bool confirmed;          /* CONFIRM: a person said yes */
    hf_tli timeline;         /* of the new primary, reserved */
    hf_tli parent;
    hf_lsn fork; /* final position of the choice */
    struct hf_loss loss;
    int reasons;
    char reason[HF_REASONS_MAX][HF_REASON_SIZE]; /* "RULE_ID: text" */
    /* Wall-clock instants for people, µs, 0 = not reached. */
    int64_t detected_us;
    int64_t heard_us; /* the old holder was last heard of: the outage began after that */
    int64_t entered_us[HF_STEPS];
    int64_t writable_us; /* the new primary was first seen writable */
};

struct hf_node_view {
    hf_name name;
    hf_name region;
    char address[HF_ADDRESS_SIZE];
    bool seen;             /* a heartbeat was received by this coordinator */
    bool connected;        /* now */
    hf_lclk seen_at;       /* arrival of the newest heartbeat */
    hf_lclk promise_until; /* latest end of a reported promise on this coordinator's clock: arrival
                              + hf_lease_wait(remaining); 0 when none */
    struct hf_heartbeat beat;
    /* The node is left in another generation: then it counts as never seen, and this is what it
     * says (hf_cluster_view_settle). */
    hf_generation other; /* 0 = it is not so */
    hf_epoch other_epoch;
    bool other_connected;
};

/* What may still run of the leases that THIS leader granted. */
struct hf_outstanding {
    hf_epoch epoch;
    hf_name node;
    hf_lclk until; /* on this coordinator's clock, margin included; 0 = none */
};

struct hf_cluster_view {
    hf_lclk now;
    int64_t wall_us;         /* only for instants that people read */
    hf_lclk leader_since;    /* since when it acts without a gap */
    hf_lclk listening_since; /* since when it hears heartbeats without a gap, leading or not */
    hf_lclk step_since;      /* since when this leader sees the plan at its present step */
    hf_lclk floor;           /* before it, leases of earlier leaders may run */
    hf_dur ttl;
    int margin_ppm;
    const struct hf_policy *policy;
    const struct hf_cluster_state *state;
    const struct hf_plan *plan; /* NULL when none runs */
    struct hf_outstanding outstanding;
    const struct hf_exposure_ring *ring; /* of the last primary; NULL = nothing known */
    hf_generation control;               /* the control plane's, 0 = not known */
    const char *control_doubt;  /* "RULE_ID: text": why etcd itself is not believed; NULL = it is */
    uint64_t term;              /* of this leader; 0 = not known */
    char doubt[HF_REASON_SIZE]; /* by hf_cluster_view_settle: "" = the records are believed */
    bool route_done; /* the published name is verified to point to plan->to (or no route is set) */
    int node_count;
    struct hf_node_view nodes[HF_MAX_NODES];
    /* Agents that were heard and are not in the policy: nothing is decided for them, but one may
     * lead, and know what restored records do not. */
    int outside_count;
    struct hf_node_view outside[HF_MAX_NODES];
};

struct hf_decision_command {
    hf_name to;
    struct hf_command command; /* id, kind, epoch, node, address, timeline, body; the edge adds
                                  generation, term, sequence, seq, life and ttl */
};

/* Large: allocate once and reuse. */
struct hf_decision {
    bool write; /* then there are no commands */
    struct hf_cluster_state state;
    bool write_plan;
    struct hf_plan plan;
    hf_tli reserve;      /* with the write: create timelines/N once, refuse if there; 0 = none */
    hf_generation begin; /* with the write: the control plane's generation from now on; 0 = as is */
    int commands;
    struct hf_decision_command command[HF_DECISION_COMMANDS];
    bool route; /* make the published name point to route_node / route_address */
    hf_name route_node;
    char route_address[HF_ADDRESS_SIZE];
    int warnings;
    char warning[HF_REASONS_MAX][HF_REASON_SIZE]; /* "RULE_ID: text" */
    hf_lclk next_wakeup;
};

/* To be called after a view was filled, before anything is decided from it: finds out whether the
 * records are to be believed, and if they are, makes nodes of other generations unseen. raw: those
 * stay visible (only for hf_cluster_recover_*). */
void hf_cluster_view_settle(struct hf_cluster_view *view, bool raw);

/* Called on every tick (100 ms) and after every change. `out` is overwritten. */
void hf_cluster_decide(const struct hf_cluster_view *view, struct hf_decision *out);

/* What a failover would do now: plan with reasons and predicted loss, nothing written; a plan that
 * waits for a person is that plan. wish: node
 * or region, "" any. HF_E_REFUSED names the rule. */
hf_result hf_cluster_plan_preview(const struct hf_cluster_view *view, const char *wish,
                                  struct hf_plan *ret, struct hf_err *err) HF_MUST_USE;
/* A person asks for a failover: the write that starts it. HF_E_REFUSED. */
hf_result hf_cluster_plan_request(const struct hf_cluster_view *view, const char *wish,
                                  struct hf_decision *ret, struct hf_err *err) HF_MUST_USE;

/* The same for a switchover: refused when it would not be lossless. wish: node or region. */
hf_result hf_cluster_switch_preview(const struct hf_cluster_view *view, const char *wish,
                                    struct hf_plan *ret, struct hf_err *err) HF_MUST_USE;
hf_result hf_cluster_switch_request(const struct hf_cluster_view *view, const char *wish,
                                    struct hf_decision *ret, struct hf_err *err) HF_MUST_USE;

/* What a recovery would do now (docs/operations.md): a new generation, whose primary is the node
 * that really is the primary, or whoever a failover finds. primary: the node that a person names,
 * "" any. The view was settled raw. HF_E_REFUSED names the rule. */
hf_result hf_cluster_recover_preview(const struct hf_cluster_view *view, const char *primary,
                                     struct hf_plan *ret, struct hf_err *err) HF_MUST_USE;
/* The write that does it; why: who asked and what for, kept in the plan. */
hf_result hf_cluster_recover_request(const struct hf_cluster_view *view, const char *primary,
                                     const char *why, struct hf_decision *ret,
                                     struct hf_err *err) HF_MUST_USE;

/* Heartbeats of etcd's (node, epoch) that wait for a grant: the one that a renewal under way may
 * answer, and the newest that came since (else heartbeats that come faster than renewals are
 * answered would starve each other). */
struct hf_grant_wait {
    bool waiting;
    hf_lclk arrived;
    hf_name node;
    struct hf_heartbeat beat;
    bool newer;
    hf_lclk newer_arrived;
    struct hf_heartbeat newer_beat;
};
/* True when the leader should renew at once (HF_LEAD_DEMAND). */
bool hf_grant_ask(struct hf_grant_wait *w, const struct hf_cluster_state *state,
                  const hf_name *node, const struct hf_heartbeat *beat, hf_lclk now);
/* A renewal sent at `renewal_sent` succeeded: fills the grant, enters it into `outstanding` and
 * returns true; false when nothing waits, or it arrived later than that. */
bool hf_grant_give(struct hf_grant_wait *w, const struct hf_cluster_state *state, hf_dur ttl,
                   int margin_ppm, uint64_t term, hf_lclk renewal_sent, hf_lclk now,
                   struct hf_outstanding *outstanding, struct hf_grant *ret);

/* Codecs of the records (JSON). */
hf_result hf_cluster_state_encode(const struct hf_cluster_state *s, struct hf_buf *out,
                                  struct hf_err *err) HF_MUST_USE;
hf_result hf_cluster_state_decode(const char *text, size_t len, struct hf_cluster_state *ret,
                                  struct hf_err *err) HF_MUST_USE;
hf_result hf_plan_encode(const struct hf_plan *p, struct hf_buf *out,
                         struct hf_err *err) HF_MUST_USE;
hf_result hf_plan_decode(const char *text, size_t len, struct hf_plan *ret,
                         struct hf_err *err) HF_MUST_USE;

#endif
