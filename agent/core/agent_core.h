/* SPDX-License-Identifier: Apache-2.0
 *
 * The decisions of an agent: lease holder (deadman), candidate (promises), node (state table) and
 * command order. Pure: events with one `now` in, ordered effects out; no I/O, no clock. The agent
 * process and the simulator drive the same functions.
 *
 * Invariants
 * - The page is open only while a lease of the adopted epoch runs that was counted from this
 *   agent's own sending (L2) or promised by every member of the acknowledged set (L4).
 * - A surrendered epoch is never opened again (L6). One whose lease ran out is, while the commit
 *   guard keeps its PostgreSQL from acknowledging anything: the soft fence, for `grace` (L7).
 * - What must survive a crash is an HF_EFFECT_PERSIST that comes before the effect it permits:
 *   effects are carried out in order, and nothing after a PERSIST before that is durable. The page
 *   is the exception: HF_EFFECT_PAGE never waits (closing must be at once; opening and extending
 *   depend only on what is durable already).
 * - Commands are carried out in (generation, term, sequence) order, lower or equal refused (L10).
 * - Another generation is entered by an ADOPT alone, which names the one that is left and this
 *   node; it is durable before anything of the new one is obeyed or asked for (L12).
 */
#ifndef HF_AGENT_CORE_H
#define HF_AGENT_CORE_H

#include "common/core/lease.h"
#include "common/core/statetable.h"

struct hf_agent_config {
    hf_name node;
    bool managed;     /* leases, and commands that change PostgreSQL */
    bool archive;     /* archive region: no PostgreSQL */
    hf_dur heartbeat; /* 250 ms */
    hf_dur ttl;       /* L until a coordinator names another */
    int margin_ppm;
    hf_dur grace; /* with the commit guard: from the end of a lease to the end of PostgreSQL */
};

/* What survives a crash of agent and host; one small file, replaced durably. */
struct hf_agent_record {
    hf_generation generation;
    hf_epoch epoch;    /* highest adopted */
    hf_epoch prepared; /* last prepare begun: promises and commands below it are refused */
    struct hf_order order;
    char last_command[HF_LABEL_SIZE];
    uint64_t serial;      /* last lease tenure begun */
    hf_epoch surrendered; /* highest */
    uint64_t surrendered_serial;
    hf_epoch led;               /* last epoch under which this node may have been writable */
    bool copying;               /* a rejoin was begun and not finished: the directory may be
                                   half-made */
    uint64_t known_version;     /* candidate set, as a candidate (from views) */
    struct hf_candidates acked; /* set in force, as the holder */
    /* Running promise as a candidate; `promise_until` is an instant of boot `boot` only. */
    hf_epoch promise_epoch;
    uint64_t promise_serial;
    hf_name promise_holder;
    hf_lclk promise_until;
    hf_dur max_ttl; /* longest L ever promised for: the wait after a reboot or a lost file */
    char boot[40];
};

/* What the health part sees of PostgreSQL. */
struct hf_pg_observation {
    bool complete;      /* the data directory is one that may be started */
    bool running;       /* the postmaster lives */
    bool processes;     /* any process of the instance lives, also without a postmaster (L6) */
    uint64_t system_id; /* of a complete directory, also when it is down (pg_control) */
    bool silent;        /* set by the core: no answer just now, the rest is of the last one */
    bool disk_known;    /* disk_free is valid */
    uint64_t disk_free; /* bytes left for the data directory or pg_wal, the smaller one */
    bool known;         /* an SQL answer not older than a few seconds: the rest is valid */
    bool guard;         /* the commit guard is loaded and reads this agent's page */
    bool in_recovery;
    bool streaming;
    hf_tli timeline;
    hf_lsn written;
    hf_lsn flushed;
    hf_lsn replayed;
    hf_lsn upstream;  /* end of WAL that the receiver heard of last; 0 = unknown */
    hf_dur heard_ago; /* how long before this observation that was */
    int64_t clock_us; /* lease clock before the positions were read */
};

enum hf_agent_event_kind {
    HF_EVENT_TICK,            /* at next_wakeup, at the latest */
    HF_EVENT_PG,              /* a fresh observation */
    HF_EVENT_MESSAGE,         /* grant, view, command, promise request or reply */
    HF_EVENT_EFFECT_DONE,     /* an effect with an id ended */
    HF_EVENT_FENCER_CONFIRMED /* fencer: it ended PostgreSQL, no process of the instance is left */
};
struct hf_agent_event {
    enum hf_agent_event_kind kind;
    const struct hf_message *message;   /* MESSAGE */
    const struct hf_pg_observation *pg; /* PG */
    uint64_t effect_id;                 /* EFFECT_DONE */
    bool ok;
    const char *error; /* EFFECT_DONE and not ok */
    hf_lsn end;        /* EFFECT_DONE of STOP_RECEIVING, FIND_END: end of the valid WAL */
    hf_tli timeline;   /* of `end` */
};

enum hf_agent_effect_kind {
    HF_EFFECT_PERSIST, /* write `record` durably, then go on */
    HF_EFFECT_PAGE,    /* publish the lease page: open until `deadline`, or closed */
    HF_EFFECT_SEND,    /* `message` to every connected coordinator */
    HF_EFFECT_REPLY,   /* `message` to the coordinator that the event's message came from */
    /* With an id, answered by EFFECT_DONE; one at a time: */
    HF_EFFECT_PG_STOP_RECEIVING, /* cut from the old primary, wait for replay, report the end */
    HF_EFFECT_PG_FIND_END,       /* PostgreSQL is down: takes its upstream away (whoever starts it
                                    now, it receives nothing: L9), then the end of the valid WAL
                                    from its files */
    HF_EFFECT_PG_PROMOTE,        /* the lease is held */
    HF_EFFECT_PG_START_PRIMARY,  /* the lease is held: remove the signal file, start (L8) */
    HF_EFFECT_PG_ADOPT,          /* running and writable already: take charge of it (L8) */
    HF_EFFECT_PG_FOLLOW,         /* running or down: be a standby of `address` */
    HF_EFFECT_PG_COPY,           /* be a standby of `address` by the cheapest way that works: WAL
                                    that is only here is saved, then rewind or fresh copy */
    HF_EFFECT_PG_KILL,           /* end every process of the instance, verify (L6); waits for no
                                    PERSIST and overrides a running or waiting effect, whose
                                    EFFECT_DONE is then ignored */
    HF_EFFECT_PG_PROBE,          /* commit a probe at `address`; gives way to any other effect */
    HF_EFFECT_PG_DRAIN, /* checkpoint, everything written so far archived; gives way, too */
    HF_EFFECT_PG_STOP,  /* clean shutdown under the lease, no process left */
    HF_EFFECT_BACKUP,   /* body of the command; runs beside the others */
    HF_EFFECT_KINDS
};
struct hf_agent_effect {
    enum hf_agent_effect_kind kind;
    uint64_t id;
    struct hf_agent_record record; /* PERSIST */
    /* PAGE */
    bool open;
    hf_epoch epoch;
    uint64_t serial;
    hf_lclk deadline;
    enum hf_lease_source source;
    /* PG_*, BACKUP */
    char command[HF_LABEL_SIZE];
    char address[HF_ADDRESS_SIZE];
    hf_name peer;
    hf_tli timeline;
    char body[512];
    struct hf_message message; /* SEND, REPLY */
};

enum { HF_AGENT_EFFECTS_MAX = 24 };
/* Large: allocate once and reuse. */
struct hf_agent_effects {
    int count;
    struct hf_agent_effect list[HF_AGENT_EFFECTS_MAX];
    hf_lclk next_wakeup; /* step again not later than this */
};

/* Laid open so that the edge fills facts and tests look inside; only the core changes the rest. */
struct hf_agent_core {
    struct hf_agent_config config;
    struct hf_agent_record record;
    enum hf_node_state state;
    struct hf_pg_observation pg;
    bool pg_seen;
    hf_tli reached; /* newest timeline that the running standby was on; 0 = not known. Without a
                       receiver PostgreSQL names the one of its last restart point. */
    uint64_t life;
    uint64_t beat; /* last heartbeat sent */
    hf_lclk beat_at;
    struct hf_sent_ring sent;
    hf_lclk started_at;
    bool rebooted; /* the record is of another boot: no PostgreSQL of now runs under its lease */
    /* holder */
    bool holding;
    bool want; /* told to lead the adopted epoch, or leading: asks for grants */
    hf_epoch lease_epoch;
    uint64_t serial;
    hf_lclk deadline;
    hf_lclk soft_until; /* the lease is over, the guard refuses: end PostgreSQL then; 0 = not so */
    enum hf_lease_source source;
    hf_dur ttl;
    /* failsafe round under way */
    uint64_t round;
    hf_lclk round_sent;
    hf_dur round_ttl; /* asked for: L may change before the answers come */
    bool round_open;
    bool round_yes[HF_MAX_NODES];
    hf_epoch prepared_done; /* completed in this life; record.prepared is what was begun */
    bool prepare_waits;     /* begun in this life, goes on when what runs has ended */
    uint64_t backup_effect; /* running BACKUP, 0 = none */
    char backup_command[HF_LABEL_SIZE];
    bool beat_now; /* something changed that the leader should see at once */
    /* operation */
    struct hf_command command; /* the one under way or last */
    uint64_t effect_next;
    uint64_t effect_running; /* 0 = none */
    enum hf_agent_effect_kind effect_kind;
    enum hf_op_status op_status;
    char op_error[HF_ERROR_SIZE];
    hf_lsn final;
    hf_tli final_timeline;
    bool final_known;
    struct hf_view view; /* last accepted */
    /* Facts that the edge fills in before a step; carried in heartbeats as they are. */
    bool repository_known;
    bool repository_ok;
    hf_lsn wal_to;
    hf_tli wal_timeline;
    char newest_backup[HF_LABEL_SIZE];
    uint64_t archive_queue;
};

/* record: as read from disk; NULL when there is none. first_start: the state directory was made
 * just now, so that a missing record is no lost one. boot: of this start. life: random. */
void hf_agent_core_init(struct hf_agent_core *c, const struct hf_agent_config *config,
                        const struct hf_agent_record *record, bool first_start, const char *boot,
                        uint64_t life, hf_lclk now);
/* One event; `out` is overwritten. Never fails: what is refused is answered or ignored. */
void hf_agent_core_step(struct hf_agent_core *c, const struct hf_agent_event *event, hf_lclk now,
                        struct hf_agent_effects *out);
/* Time left of the lease at `now`, 0 when none. */
hf_dur hf_agent_core_lease_left(const struct hf_agent_core *c, hf_lclk now);
/* The epoch that the page calls the newest: whoever works under an older one is ended. A primary
 * that was told to go on in another generation works under its old lease until the first grant. */
hf_epoch hf_agent_core_newest_epoch(const struct hf_agent_core *c);

/* Codec of the record: JSON text. */
hf_result hf_agent_record_encode(const struct hf_agent_record *r, struct hf_buf *out,
                                 struct hf_err *err) HF_MUST_USE;
hf_result hf_agent_record_decode(const char *text, size_t len, struct hf_agent_record *ret,
                                 struct hf_err *err) HF_MUST_USE;

#endif
