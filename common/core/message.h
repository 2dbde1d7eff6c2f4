/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of subprotocol holdfast.v1 between agents and coordinators, as typed values, and
 * their JSON codec (docs/protocol.md). Pure.
 * Invariant: decode(encode(m)) == m; a message that breaks a bound is refused whole. Instants
 * never travel, only durations and sequence numbers of the receiver's own heartbeats (rule L2).
 */
#ifndef HF_CORE_MESSAGE_H
#define HF_CORE_MESSAGE_H

#include "common/base/buf.h"
#include "common/core/lsn.h"
#include "common/core/name.h"

enum { HF_MESSAGE_MAX = 65536, HF_ERROR_SIZE = 200, HF_BODY_SIZE = 32768 };

/* What a node is doing; the states of the node table in common/core/statetable.h. */
enum hf_node_state {
    HF_NODE_UNKNOWN,   /* not looked at yet */
    HF_NODE_EMPTY,     /* no data directory, or one that never started (half-made) */
    HF_NODE_DOWN,      /* a complete data directory, PostgreSQL not running */
    HF_NODE_UNMANAGED, /* running and writable, without a lease of ours (before adoption) */
    HF_NODE_STANDBY,   /* running in recovery, may receive */
    HF_NODE_PREPARING, /* a prepare is being carried out */
    HF_NODE_PREPARED,  /* receives from nobody; final position reported (rule L9) */
    HF_NODE_ELECTED,   /* told to lead, waiting for the lease */
    HF_NODE_STARTING,  /* promotion, or start as primary, under a held lease */
    HF_NODE_PRIMARY,   /* running and writable under a held lease */
    HF_NODE_STOPPING,  /* told to stop: a clean shutdown under the lease, then surrender */
    HF_NODE_FENCING,   /* lease gone: ending every process of the instance */
    HF_NODE_COPYING,   /* its directory is being rewound, or made anew by a copy */
    HF_NODE_FOLLOWING, /* being started or pointed as a standby of the primary */
    HF_NODE_ARCHIVE,   /* archive region: no PostgreSQL here */
    HF_NODE_STATES
};

enum hf_op_status { HF_OP_NONE, HF_OP_RUNNING, HF_OP_DONE, HF_OP_FAILED, HF_OP_STATUSES };
enum hf_lease_source { HF_LEASE_NONE, HF_LEASE_ETCD, HF_LEASE_FAILSAFE, HF_LEASE_SOURCES };

/* The candidate set, versioned (rule L4). Members in the order of the policy. */
struct hf_candidates {
    uint64_t version; /* 0 = none known */
    int count;
    hf_name members[HF_MAX_NODES];
};

/* First message of an agent on a connection. */
struct hf_hello {
    hf_name tenant;
    hf_name cluster;
    hf_name region;
    hf_name node;
    char address[HF_ADDRESS_SIZE]; /* host:port of its PostgreSQL, "" in an archive region */
    char version[32];              /* of the program */
    char boot[40];                 /* boot id: another one means that clocks restarted */
};

/* Everything that a coordinator needs to know of a node; latest wins. */
struct hf_heartbeat {
    uint64_t seq;  /* grows by one for each beat of this agent's life, on all connections alike */
    uint64_t life; /* random at each start of the agent: seq restarts with it */
    int64_t clock_us; /* the agent's lease clock when the WAL position was read; only differences
                         within one boot mean anything */
    hf_dur read_ago;  /* from then to the sending of this beat, by the same clock; never negative */
    hf_generation generation; /* adopted */
    hf_epoch epoch;           /* highest adopted */
    hf_epoch prepared;        /* epoch of the last completed prepare, 0 = none */
    enum hf_node_state state;

    uint64_t system_id; /* 0 = unknown */
    hf_tli timeline;
    hf_lsn written;  /* primary: inserted; standby: received */
    hf_lsn flushed;  /* on this node's disk */
    hf_lsn replayed; /* standby */
    bool streaming;  /* standby: a receiver is connected */
    hf_lsn final;    /* PREPARED: end of the valid WAL on this node's disk */
    hf_tli final_timeline;
    bool final_known;

    bool guard; /* the running PostgreSQL has the commit guard and it reads this agent's page */
    bool want_lease; /* ELECTED, STARTING, PRIMARY: answer this beat by a grant */
    hf_epoch lease_epoch;
    uint64_t lease_serial; /* of the tenure; a grant for another is ignored (rule L6) */
    hf_dur lease_remaining;
    enum hf_lease_source lease_source;
    hf_epoch surrendered; /* highest epoch whose lease this node gave up for good, 0 = none */
    uint64_t surrendered_serial;
    uint64_t candidates_acked; /* version of the set in force at this node as the holder */
    uint64_t candidates_known; /* newest version that it heard of as a candidate */
    uint64_t term;             /* highest of a leader that it heard of in this generation */

    hf_epoch promise_epoch; /* running promise of this node as a candidate, 0 = none */
    uint64_t promise_serial;
    hf_dur promise_remaining;

    char op[HF_LABEL_SIZE]; /* id of the last command that was begun */
    enum hf_op_status op_status;
    char op_error[HF_ERROR_SIZE];

    bool repository_known; /* own region's repository: the rest of this block is valid */
    bool repository_ok;
    hf_lsn wal_to; /* contiguous in the own region's repository up to here */
    hf_tli wal_timeline;
    char newest_backup[HF_LABEL_SIZE];
    uint64_t archive_queue; /* objects that other regions still lack */

    bool disk_known;    /* the volumes of data directory and pg_wal were looked at */
    uint64_t disk_free; /* bytes that PostgreSQL may still take of them, the smaller one */
    bool pg_silent;     /* PostgreSQL runs and has not answered for seconds: positions are
                           those of its last answer */
};

/* Leader -> holder: the lease runs until the holder's own sending of heartbeat `seq`, plus ttl. */
struct hf_grant {
    uint64_t seq;
    uint64_t life;
    hf_generation generation;
    hf_epoch epoch;
    uint64_t term;
    uint64_t serial;
    hf_dur ttl;
    struct hf_candidates candidates;
};

/* Leader -> every agent of the cluster, on change and every few seconds. */
struct hf_view {
    hf_generation generation;
    hf_epoch epoch;
    uint64_t term;
    hf_name primary; /* "" = none */
    char primary_address[HF_ADDRESS_SIZE];
    hf_tli timeline;
    hf_dur ttl; /* L in force */
    struct hf_candidates candidates;
};

enum hf_command_kind {
    HF_COMMAND_PREPARE, /* adopt the epoch, stop receiving, report the final position */
    HF_COMMAND_LEAD,    /* take the lease of the epoch; then promote, start, or adopt */
    HF_COMMAND_FOLLOW,  /* be a standby of address */
    HF_COMMAND_COPY,    /* be a standby of address by the cheapest way that works: what is here and
                           not there is saved, then rewound, or replaced by a fresh copy */
    HF_COMMAND_BACKUP,  /* body: {"type": "full", "name": ...} */
    HF_COMMAND_PROBE,   /* commit a probe at address, from outside the primary's host */
    HF_COMMAND_DRAIN,   /* primary: checkpoint, and everything written so far into the archive */
    HF_COMMAND_STOP,    /* primary: clean shutdown under the lease, then surrender the epoch */
    HF_COMMAND_ADOPT,   /* follow into `generation` from from_generation: a person's word (L12) */
    HF_COMMAND_KINDS
};

/* Leader -> agent. Order: (generation, term, sequence); lower or equal is refused (rule L10). Valid
 * until the agent's own sending of heartbeat `seq` of `life`, plus ttl. */
struct hf_command {
    char id[HF_LABEL_SIZE]; /* the same id again is the same command: carried out once */
    enum hf_command_kind kind;
    hf_generation generation;
    uint64_t term;
    uint64_t sequence;
    hf_epoch epoch;
    uint64_t seq;
    uint64_t life;
    hf_dur ttl;
    hf_name node; /* whom address belongs to; ADOPT: the node that it is for */
    char address[HF_ADDRESS_SIZE];
    hf_tli timeline; /* LEAD: the reserved timeline; 0 = the present one stays */
    /* LEAD: the tenure that was surrendered: only promises to it are released (rule L6). */
    hf_epoch released_epoch;
    uint64_t released_serial;
    hf_generation from_generation; /* ADOPT: the one that the node is left in; 0 otherwise */
    char body[512];                /* JSON of kinds that need more, "" otherwise */
};

/* Holder -> candidates, through any reachable coordinator, with or without etcd (rule L4). */
struct hf_promise_request {
    uint64_t round; /* the holder's own number; replies name it */
    hf_name holder;
    hf_name to;
    hf_generation generation;
    hf_epoch epoch;
    uint64_t serial;
    uint64_t version;
    hf_dur ttl;
};
struct hf_promise_reply {
    uint64_t round;
    hf_name holder;
    hf_name from;
    hf_epoch epoch;
    uint64_t serial;
    bool promised;
    char reason[HF_ERROR_SIZE];
};

/* Agent -> coordinators, at least once; acknowledged by id after it is persisted. */
struct hf_report {
    char id[HF_LABEL_SIZE];
    char kind[32]; /* backup, event, step */
    char body[HF_BODY_SIZE];
};
struct hf_report_ack {
    char id[HF_LABEL_SIZE];
};

enum hf_message_type {
    HF_MESSAGE_HELLO,
    HF_MESSAGE_HEARTBEAT,
    HF_MESSAGE_GRANT,
    HF_MESSAGE_VIEW,
    HF_MESSAGE_COMMAND,
    HF_MESSAGE_PROMISE_REQUEST,
    HF_MESSAGE_PROMISE_REPLY,
    HF_MESSAGE_REPORT,
    HF_MESSAGE_REPORT_ACK,
    HF_MESSAGE_TYPES
};

struct hf_message {
    enum hf_message_type type;
    union {
        struct hf_hello hello;
        struct hf_heartbeat heartbeat;
        struct hf_grant grant;
        struct hf_view view;
        struct hf_command command;
        struct hf_promise_request promise_request;
        struct hf_promise_reply promise_reply;
        struct hf_report report;
        struct hf_report_ack report_ack;
    };
};

/* {"v":1,"type":"heartbeat",...}. Appends to out (at most HF_MESSAGE_MAX). */
hf_result hf_message_encode(const struct hf_message *m, struct hf_buf *out,
                            struct hf_err *err) HF_MUST_USE;
/* HF_E_INVALID, HF_E_LIMIT: names the member and what is allowed. Unknown members are ignored, an
 * unknown type or version is HF_E_UNSUPPORTED. */
hf_result hf_message_decode(const char *text, size_t len, struct hf_message *ret,
                            struct hf_err *err) HF_MUST_USE;

const char *hf_node_state_name(enum hf_node_state s);
const char *hf_command_kind_name(enum hf_command_kind k);
const char *hf_message_type_name(enum hf_message_type t);
const char *hf_op_status_name(enum hf_op_status s);
hf_result hf_node_state_parse(const char *text, enum hf_node_state *ret,
                              struct hf_err *err) HF_MUST_USE;

bool hf_candidates_contain(const struct hf_candidates *c, const hf_name *node);

#endif
