/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes wrong: faults drawn at random times, and directed scenarios (sequences that random
 * drawing meets too seldom). Every fault ends at the healing at the latest.
 * Invariant: faults stay within what Holdfast assumes (design: clock rates within the margin; the
 * fencer within its bound), and include everything that it does not assume.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "tests/sim/world.h"

#define SIM_FAULTS(X)                                                                              \
    X(AGENT_CRASH, 8, "agent crashes")                                                             \
    X(AGENT_FREEZE, 6, "agent frozen")                                                             \
    X(COORD_CRASH, 6, "coordinator crashes")                                                       \
    X(COORD_FREEZE, 5, "coordinator frozen")                                                       \
    X(COORD_STOP, 6, "coordinator stopped in good order")                                          \
    X(PG_FREEZE, 4, "PostgreSQL frozen")                                                           \
    X(PG_POSTMASTER, 5, "postmaster killed, backends go on")                                       \
    X(PG_CRASH, 5, "PostgreSQL crashes")                                                           \
    X(PG_BY_HAND, 3, "PostgreSQL started outside")                                                 \
    X(ETCD_CRASH, 3, "etcd member crashes")                                                        \
    X(ETCD_FREEZE, 2, "etcd member frozen")                                                        \
    X(ETCD_OUTAGE, 4, "etcd answers nobody")                                                       \
    X(ETCD_BAD, 5, "etcd loses, delays, stays silent")                                             \
    X(REGION_LOSS, 8, "region lost")                                                               \
    X(REGION_CUT, 8, "region cut off")                                                             \
    X(REGION_ONE_WAY, 4, "region cut off one way")                                                 \
    X(NODE_CUT, 5, "node cut off")                                                                 \
    X(LINK_CUT, 6, "agent cut from one coordinator")                                               \
    X(LINK_FLAP, 4, "flapping links of a node")                                                    \
    X(CONN_RESET, 3, "connection reset")                                                           \
    X(DISK_STALL, 5, "disk stalled")                                                               \
    X(CLOCK_RATE, 4, "clock rate changes")                                                         \
    X(NODE_PAUSE, 4, "machine of a node paused")                                                   \
    X(COORD_PAUSE, 3, "machine of a coordinator paused, its clock stands still")                   \
    X(NODE_REBOOT, 5, "machine of a node reboots")                                                 \
    X(NEW_L, 2, "coordinators restarted with another L")                                           \
    X(POLICY, 3, "candidate leaves the policy and returns")                                        \
    X(CLAIM_DELETED, 2, "leader's key deleted by hand")                                            \
    X(RECORD_LOST, 2, "agent's record lost")                                                       \
    X(REQUEST, 4, "failover or switchover asked for by a person")

enum sim_fault {
#define X(name, weight, text) SIM_FAULT_##name,
    SIM_FAULTS(X)
#undef X
        SIM_FAULT_COUNT
};
extern const char *const sim_fault_text[SIM_FAULT_COUNT];

#define SIM_DIRECTED_LIST(X)                                                                       \
    X(FROZEN_LEADER, "leader frozen with heartbeats queued, then cut off with the primary")        \
    X(HANDOVER, "primary seen by the leader alone, which hands over")                              \
    X(FAILSAFE, "etcd away, candidates restart, then the primary is cut off")                      \
    X(TWO_CANDIDATES, "etcd away, one candidate unreachable, then both sides part")                \
    X(BACKENDS, "postmaster killed with busy backends, heartbeats late")                           \
    X(PREPARE_RACE, "primary cut from the coordinators, standbys go on receiving")                 \
    X(LATE_COMMANDS, "commands held back on one link while leadership changes")                    \
    X(THREE_LEADERS, "leaders stop one after the other, L changes, key deleted")                   \
    X(SHORTER_L,                                                                                   \
      "others restarted with a shorter L, then the leader's key goes, one way or another")         \
    X(DELAYED_GRANT, "grants delayed, then the primary is cut off")                                \
    X(CHOICE_DIES, "primary lost, then the chosen node at once")                                   \
    X(AGENT_OF_PRIMARY, "primary's agent restarts around lease's end")                             \
    X(REGION_RETURNS, "primary's region lost and back during the failover")                        \
    X(RESTORED, "etcd put back to a snapshot from before a failover, a person recovers")

enum sim_directed {
    SIM_DIRECTED_NONE,
#define X(name, text) SIM_DIRECTED_##name,
    SIM_DIRECTED_LIST(X)
#undef X
        SIM_DIRECTED_COUNT
};
extern const char *const sim_directed_text[SIM_DIRECTED_COUNT];

/* Ends of faults. */
enum sim_restore {
    SIM_RESTORE_PROC,  /* value: process */
    SIM_RESTORE_HOST,  /* value: host */
    SIM_RESTORE_CLOCK, /* value: host whose clock stood still */
    SIM_RESTORE_ETCD,
    SIM_RESTORE_POLICY,
    SIM_RESTORE_BLOCK, /* value: from * 16 + to: a flap */
    SIM_RESTORE_REGION /* value: region */
};

void sim_faults_plan(struct sim_world *w);
void sim_fault_fire(struct sim_world *w, enum sim_fault kind);
void sim_fault_end(struct sim_world *w, enum sim_restore what, int64_t value);
void sim_faults_heal(struct sim_world *w);
/* directed.c */
void sim_directed_step(struct sim_world *w, int step);

/* Verbs, shared with the directed scenarios. Durations are cut at the healing. */
int sim_primary(const struct sim_world *w);
int sim_leader(const struct sim_world *w); /* acting coordinator, -1 none */
void sim_verb_kill(struct sim_world *w, int proc, sim_time down);
void sim_verb_freeze(struct sim_world *w, int proc, sim_time span);
void sim_verb_region_cut(struct sim_world *w, int region, sim_time span, bool in, bool out);
void sim_verb_region_loss(struct sim_world *w, int region, sim_time span);
void sim_verb_host_cut(struct sim_world *w, int host, sim_time span);
void sim_verb_link_cut(struct sim_world *w, int a, int b, sim_time span);
void sim_verb_new_ttl(struct sim_world *w, hf_dur ttl);
sim_time sim_span(struct sim_world *w, int64_t low_ms, int64_t high_ms);

#endif
