/* SPDX-License-Identifier: Apache-2.0
 *
 * One simulated installation: three regions with a coordinator, an etcd member and nodes each,
 * their clocks, links, disks, databases; both real cores in the middle.
 * Invariant: nothing here reads a real clock or draws from anything but the seed.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "agent/core/agent_core.h"
#include "coordinator/core/cluster.h"
#include "coordinator/core/leadership.h"
#include "tests/sim/check.h"
#include "tests/sim/queue.h"
#include "tests/sim/rng.h"

enum {
    SIM_REGIONS = 3,
    SIM_NODES = 4,
    SIM_HOST_COORD = SIM_NODES,
    SIM_HOST_ETCD = SIM_NODES + SIM_REGIONS,
    SIM_HOSTS = SIM_NODES + 2 * SIM_REGIONS,
    SIM_PROC_AGENT = 0,
    SIM_PROC_PG = SIM_NODES,
    SIM_PROC_FENCER = 2 * SIM_NODES,
    SIM_PROC_COORD = 3 * SIM_NODES,
    SIM_PROC_ETCD = 3 * SIM_NODES + SIM_REGIONS,
    SIM_PROCS = 3 * SIM_NODES + 2 * SIM_REGIONS
};
#define SIM_MS         ((sim_time)1000)
#define SIM_SECOND     ((sim_time)1000000)
#define SIM_GRACE      (1000 * SIM_MS)  /* guarded: from a lease's end to the fencer's hard end */
#define SIM_WALL_START 1700000000000000 /* the wall clock when a seed begins */

struct sim_config {
    int nodes;
    bool archive[SIM_NODES];
    hf_dur ttl;
    int margin_ppm;
    bool guard;            /* commits are refused exactly at the deadline */
    sim_time fencer_bound; /* the fencer ends PostgreSQL at most that long after the deadline */
    sim_time latency[SIM_REGIONS][SIM_REGIONS];
    bool route;
    int late_permille; /* messages that come a second time, late */
    sim_time commit_gap;
    int directed; /* directed scenario, 0 = only drawn faults */
    sim_time faults_from;
    sim_time heal_at;
    bool boot_starts_pg; /* the distribution starts PostgreSQL at boot */
};

struct sim_host {
    int region;
    bool up;
    uint32_t boot;
    sim_time true_base;
    int64_t local_base;
    int rate_ppm;
    sim_time paused_until; /* whole machine */
    bool clock_stops;      /* its clock stands still in that pause */
    sim_time stood_us;     /* how long it last did */
    sim_time stood_until;
    sim_time disk_stalled_until;
};

struct sim_proc {
    bool alive;
    uint32_t life;
    sim_time frozen_until;
};

struct sim_conn {
    bool up;
    uint32_t id;
    sim_time last[2]; /* latest delivery agreed upon: to the coordinator, to the agent */
};

/* The lease page of a node: a file, so that it outlives the agent, not the boot. */
struct sim_page {
    bool open;
    uint32_t boot;
    hf_epoch epoch;
    uint64_t serial;
    hf_lclk deadline;
    enum hf_lease_source source;
};

struct sim_agent_op {
    enum hf_agent_effect_kind kind;
    uint64_t effect; /* id of the core's effect */
    uint32_t number;
    char command[HF_LABEL_SIZE];
    int peer; /* node behind `address`, -1 none */
    hf_tli timeline;
};
struct sim_pending { /* an effect that waits behind a PERSIST */
    enum hf_agent_effect_kind kind;
    uint32_t payload; /* PERSIST, SEND, REPLY */
    int coordinator;  /* REPLY */
    struct sim_agent_op op;
};
struct sim_asked { /* a promise request that came */
    uint64_t round;
    hf_epoch epoch;
    uint64_t serial;
    hf_lclk arrived;
    hf_dur ttl;
};
enum { SIM_PENDING_MAX = 128, SIM_PENDING_FULL = 64, SIM_ASKED = 64 };
struct sim_agent {
    struct hf_agent_config config;
    struct hf_agent_core core;
    struct hf_agent_record disk;
    bool disk_present;
    bool started; /* ever: its state directory exists */
    bool runs;    /* past its start */
    int pending_first;
    int pending_count;
    struct sim_pending pending[SIM_PENDING_MAX];
    bool persisting;
    uint32_t persist_payload;
    uint32_t wake;
    sim_time wake_at;
    bool op_running;
    struct sim_agent_op op;
    uint32_t ops;
    int reply_to;
    struct sim_asked asked[SIM_ASKED];
};

struct sim_pg {
    bool complete;
    bool running;   /* the postmaster */
    bool processes; /* anything of the instance */
    bool in_recovery;
    bool signal; /* standby.signal lies in the directory */
    bool armed;  /* runs under the lease */
    uint32_t timeline;
    uint64_t lsn; /* end of the local WAL */
    uint64_t replayed;
    int upstream; /* -1: receives from nobody */
    bool streaming;
    uint64_t in_flight; /* sent by the upstream, arrives with the next look */
    uint32_t in_flight_timeline;
    bool stream_scheduled;
    sim_time fencer_next;
    struct sim_agent_op op; /* that PostgreSQL itself carries out; number 0 = none */
};

struct sim_coord {
    hf_dur next_ttl; /* L from its next start on */
    hf_dur ttl;
    bool listens; /* for agents */
    struct hf_leadership lead;
    uint32_t wake;
    sim_time wake_at;
    bool ticking;
    bool resigning;
    uint64_t lead_request; /* leadership's number of the request under way, 0 none */
    uint32_t lead_number;  /* ours */
    uint32_t store_number; /* reading or writing records, 0 none */
    uint32_t store_numbers;
    bool loaded; /* the records below are etcd's of this term */
    struct hf_cluster_state state;
    struct hf_cluster_state wrote_state;
    hf_generation wrote_begin;
    int64_t state_revision;
    struct hf_plan plan;
    struct hf_plan wrote_plan;
    bool wrote_with_plan;
    int64_t plan_revision;
    struct hf_policy policy;
    int64_t policy_revision;
    struct hf_cluster_view view;
    struct hf_node_view known[SIM_NODES]; /* by node, what heartbeats told */
    hf_lclk ticked;
    hf_lclk listened;
    struct hf_exposure_ring ring;
    sim_time ring_since; /* true time of the first sample in it */
    struct hf_grant_wait wait;
    uint64_t sequence;
    uint32_t conn[SIM_NODES]; /* the connection that is the node's present one, 0 none */
    char command_id[SIM_NODES][HF_LABEL_SIZE];
    sim_time command_at[SIM_NODES];
    hf_generation control;
    bool other_etcd;      /* the generation was made for another etcd */
    sim_time doubt_since; /* the person looks at it for so long, 0 = there is none */
    sim_time view_at[SIM_NODES];
    uint64_t view_mark[SIM_NODES];
    int route_node; /* where the published name points, -1 nowhere */
    bool routing;
    int member; /* etcd member asked first */
    bool failover_asked;
    bool switch_asked;
};

enum sim_etcd_op {
    SIM_ETCD_LEAD_READ,
    SIM_ETCD_LEAD_CLAIM,
    SIM_ETCD_LEAD_RENEW,
    SIM_ETCD_LEAD_RELEASE,
    SIM_ETCD_LOAD,
    SIM_ETCD_WRITE
};
struct sim_etcd_request {
    bool used;
    enum sim_etcd_op op;
    int coord;
    uint32_t number;
    uint32_t coord_life;
    int member;
    sim_time sent;
    int64_t claim_revision; /* compared; answered by LEAD_READ */
    int64_t renewal_revision;
    struct hf_lead_claim claim;
    hf_dur renewal_ttl;
    int64_t state_revision;
    int64_t plan_revision;
    bool with_plan;
    hf_tli reserve;
    hf_generation begin;    /* WRITE; answered by LOAD: the generation that there is */
    uint64_t generation_of; /* answered by LOAD */
    uint64_t etcd;          /* which one it was sent to */
    struct hf_cluster_state state;
    struct hf_plan plan;
    int64_t policy_revision;
    bool won;
    int64_t revision;
};
enum { SIM_ETCD_REQUESTS = 64, SIM_ETCD_PLANS = 8 };
struct sim_etcd {
    uint64_t id; /* another one after a restore */
    hf_generation generation;
    uint64_t generation_of; /* id of the etcd that it was made for */
    int64_t revision;
    int64_t claim_revision;
    int64_t renewal_revision;
    struct hf_lead_claim claim;
    hf_dur renewal_ttl;
    int64_t state_revision;
    struct hf_cluster_state state;
    struct {
        int64_t revision;
        struct hf_plan plan;
    } plans[SIM_ETCD_PLANS];
    int plan_next;
    int64_t timeline_revision[SIM_TIMELINES];
    int64_t policy_revision;
    struct hf_policy policy;
    int leader; /* member */
    sim_time election_until;
    sim_time outage_until;
    int lost_permille;   /* requests that never arrive */
    int silent_permille; /* executed, answer lost */
    int slow_permille;   /* executed seconds later */
    struct sim_etcd_request requests[SIM_ETCD_REQUESTS];
};

#define SIM_STATS(X)                                                                               \
    X(seeds, "seeds")                                                                              \
    X(simulated_us, "simulated microseconds")                                                      \
    X(events, "events")                                                                            \
    X(messages, "messages delivered")                                                              \
    X(decisions, "decisions")                                                                      \
    X(writes, "records written")                                                                   \
    X(promotions, "promotions")                                                                    \
    X(seeds_promoted, "seeds with a promotion")                                                    \
    X(restarts_in_place, "restarts of the primary in place")                                       \
    X(adoptions, "adoptions")                                                                      \
    X(failsafe, "failsafe extensions")                                                             \
    X(seeds_failsafe, "seeds with a failsafe extension")                                           \
    X(takeovers, "take-overs of leadership")                                                       \
    X(handovers, "hand-overs in good order")                                                       \
    X(surrenders, "surrenders")                                                                    \
    X(fenced, "fences by the fencer")                                                              \
    X(copies, "fresh copies")                                                                      \
    X(follows, "repoints")                                                                         \
    X(commits, "commits acknowledged")                                                             \
    X(lost_commits, "commits lost within the prediction")                                          \
    X(busier, "losses of a time busier than any that was seen")                                    \
    X(stood_still, "losses predicted by a clock that had stood still")                             \
    X(late_commits, "commits acknowledged within the fencer's bound after a fence")                \
    X(stops, "clean shutdowns")                                                                    \
    X(switches, "switchovers asked for")                                                           \
    X(switched, "switchovers that arrived")                                                        \
    X(switched_back, "switchovers whose old primary leads again")                                  \
    X(refused_commits, "commits refused by the guard")                                             \
    X(reopened, "leases opened again after a soft fence")                                          \
    X(restores, "etcd restored from a snapshot")                                                   \
    X(recoveries, "recoveries by a person")                                                        \
    X(goes_on, "recoveries whose primary went on")                                                 \
    X(recover_refused, "recoveries refused for the moment")                                        \
    X(codec_trips, "codec round trips")                                                            \
    X(etcd_unknown, "etcd requests of unknown outcome")                                            \
    X(faults, "faults")                                                                            \
    X(settle_us, "microseconds from healing to settled")                                           \
    X(settle_max_us, "longest of them")

struct sim_stats {
#define X(name, text) uint64_t name;
    SIM_STATS(X)
#undef X
    uint64_t fault[64];
    uint64_t directed[32];
};

enum { SIM_PAYLOADS = 4096, SIM_PAYLOAD_BYTES = 2560 };
struct sim_payload {
    uint32_t refs;
    uint32_t next_free;
    uint32_t size;
    _Alignas(16) char bytes[SIM_PAYLOAD_BYTES];
};

struct sim_world {
    uint64_t seed;
    struct sim_rng rng;
    sim_time now;
    bool trace;
    bool healed;
    bool failed;
    enum sim_check failed_check;
    char failure[512];
    sim_time settled_since;
    int seed_faults;
    int directed_leader; /* whom the directed scenario is about */
    int directed_skip;   /* its next step is at least this one */
    uint32_t payload_free;
    struct sim_config cfg;
    struct hf_policy full_policy; /* as its people want it; faults take nodes out for a while */
    struct sim_host hosts[SIM_HOSTS];
    struct sim_proc procs[SIM_PROCS];
    sim_time blocked[SIM_HOSTS][SIM_HOSTS]; /* until then, one way */
    struct sim_conn conns[SIM_NODES][SIM_REGIONS];
    struct sim_page pages[SIM_NODES];
    struct sim_agent agents[SIM_NODES];
    struct sim_pg pgs[SIM_NODES];
    struct sim_coord coords[SIM_REGIONS];
    struct sim_etcd etcd;
    struct sim_etcd kept; /* a snapshot of it, revision 0 = none */
    struct sim_truth truth;
    uint64_t digest; /* of all events: the same seed gives the same */
    /* Up to here a seed begins with zeroes; the rest is kept between seeds. */
    struct sim_stats stats; /* of all seeds of this worker */
    struct sim_queue queue;
    struct sim_payload payloads[SIM_PAYLOADS];
    struct hf_agent_effects effects;
    struct hf_decision decision;
    struct hf_message in;
    struct hf_message out;
};

extern const char *const sim_region_names[SIM_REGIONS];
extern const char *const sim_node_names[SIM_NODES];
extern const char *const sim_node_addresses[SIM_NODES];
int sim_node_by_name(const char *name);       /* -1: none */
int sim_node_by_address(const char *address); /* -1: none */

/* One seed from beginning to end; w->failed and w->failure tell. */
void sim_world_run(struct sim_world *w, uint64_t seed, bool trace);

/* proc -1: an event of nobody. */
void sim_put(struct sim_world *w, sim_time at, enum sim_event_kind kind, int proc, uint32_t a,
             uint32_t b, int64_t value);

void sim_trace(const struct sim_world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define SIM_TRACE(w, ...)                                                                          \
    do {                                                                                           \
        if ((w)->trace) {                                                                          \
            sim_trace(w, __VA_ARGS__);                                                             \
        }                                                                                          \
    } while (0)

/* Clocks (clock.c). */
hf_lclk sim_clock(const struct sim_world *w, int host);
/* The first true time at which the host's clock shows `at`, not before now. */
sim_time sim_clock_true(const struct sim_world *w, int host, hf_lclk at);
/* The same without the floor at now. */
sim_time sim_clock_instant(const struct sim_world *w, int host, hf_lclk at);
void sim_clock_set_rate(struct sim_world *w, int host, int rate_ppm);
void sim_clock_restart(struct sim_world *w, int host);
void sim_clock_step(struct sim_world *w, int host, int64_t by_us);

/* Processes (process.c). */
int sim_proc_host(int proc);
void sim_proc_start(struct sim_world *w, int proc);
void sim_proc_kill(struct sim_world *w, int proc);
bool sim_proc_runs(const struct sim_world *w, int proc); /* alive and not frozen */
void sim_host_down(struct sim_world *w, int host);
void sim_host_up(struct sim_world *w, int host);
void sim_host_pause(struct sim_world *w, int host, sim_time until, bool clock_stops);

#endif
