/* SPDX-License-Identifier: Apache-2.0
 *
 * Leadership among coordinators by observed renewal (rules L1, L5). Two etcd keys:
 *   leader/claim    written at a take-over only; its mod_revision is the leader's TERM, which every
 *                   write of a leader compares;
 *   leader/renewal  rewritten several times a lease, comparing both keys; its value says how long
 *                   leases may run from then on: L, or what was inherited from a longer one.
 * Pure. Invariant: a contender claims only by comparing the last revisions that it saw, not before
 * hf_lease_wait(L) after it FIRST saw them, by its own clock; so every grant made from that renewal
 * is over when the claim succeeds. etcd's TTLs are not used.
 */
#ifndef HF_COORDINATOR_LEADERSHIP_H
#define HF_COORDINATOR_LEADERSHIP_H

#include "common/core/lease.h"
#include "common/core/message.h"

struct hf_lead_config {
    hf_name self;
    char url[HF_ADDRESS_SIZE]; /* of the users' API, told to whoever asks a follower */
    hf_dur ttl;
    int margin_ppm;
    hf_dur renew_min; /* not more often than this; 0 = 200 ms; an eighth when somebody waits who
                         holds nothing */
    hf_dur renew_max; /* at least this often; 0 = L/6 */
    hf_dur poll;      /* a follower reads this often; 0 = L/24 */
};

/* Value of leader/claim; key absent, or coordinator "" = nobody leads. */
struct hf_lead_claim {
    hf_name coordinator;
    char url[HF_ADDRESS_SIZE];
    hf_dur ttl;       /* L of the claimant: a contender waits for the longer of both */
    hf_dur remainder; /* released: what may still run of its grants and of what it inherited (L5) */
};

enum hf_lead_role { HF_LEAD_FOLLOWER, HF_LEAD_LEADER, HF_LEAD_RESIGNED };

enum hf_lead_event_kind {
    HF_LEAD_TICK,
    HF_LEAD_DEMAND,  /* heartbeats wait for a grant */
    HF_LEAD_READ,    /* answer of a READ: both keys at one revision */
    HF_LEAD_WON,     /* a CLAIM, RENEW or RELEASE transaction succeeded at `revision` */
    HF_LEAD_LOST,    /* its compare failed */
    HF_LEAD_UNKNOWN, /* no answer, or the request failed: it may have happened */
    HF_LEAD_RESIGN   /* stop in good order; `remainder` = longest outstanding grant. From then on
                        nothing is renewed, so that no grant comes after it; once is enough */
};
struct hf_lead_event {
    enum hf_lead_event_kind kind;
    uint64_t request; /* of the action that is answered; others are ignored */
    /* READ; revision 0 = key absent */
    int64_t claim_revision;
    int64_t renewal_revision;
    struct hf_lead_claim claim;
    hf_dur renewal_ttl; /* READ: value of the renewal; 0 = it cannot be read */
    int64_t revision;   /* of etcd's store, as the answer says; 0 = not said */
    hf_dur remainder;   /* RESIGN */
    bool urgent;        /* DEMAND: whoever waits holds no lease, and clients wait for it */
};

enum hf_lead_action_kind {
    HF_LEAD_DO_NOTHING,
    HF_LEAD_DO_READ,
    HF_LEAD_DO_CLAIM,  /* compare mod revisions of both keys (0 = absent); put both */
    HF_LEAD_DO_RENEW,  /* compare likewise; put renewal */
    HF_LEAD_DO_RELEASE /* compare claim's; put claim {coordinator "", remainder} */
};
struct hf_lead_action {
    enum hf_lead_action_kind kind;
    uint64_t request;
    int64_t claim_revision;
    int64_t renewal_revision;
    struct hf_lead_claim claim; /* CLAIM, RELEASE: the value */
    hf_dur renewal_ttl;         /* CLAIM, RENEW: the renewal's value */
};

struct hf_lead_out {
    struct hf_lead_action action; /* at most one request is under way */
    bool became_leader;
    bool lost_leadership;
    bool renewed; /* a renewal (or the claim) succeeded; it was sent at renewal_sent */
    hf_lclk renewal_sent;
    /* etcd answers from before what it said already: it was restored (L12). */
    bool went_back;
    int64_t went_back_from;
    hf_lclk next_wakeup;
};

struct hf_leadership {
    struct hf_lead_config config;
    enum hf_lead_role role;
    uint64_t term; /* LEADER: claim revision */
    int64_t claim_revision;
    int64_t renewal_revision;
    bool observed;
    hf_lclk first_seen; /* when the present pair of revisions was first seen */
    struct hf_lead_claim claim;
    hf_dur renewal_ttl;
    hf_lclk floor;       /* LEADER: before this, leases of earlier terms may run */
    hf_lclk valid_until; /* LEADER: sending of the last successful renewal + L: then stop acting */
    /* request under way */
    uint64_t request; /* 0 = none */
    enum hf_lead_action_kind pending;
    hf_lclk pending_sent;
    uint64_t requests;
    int64_t newest; /* highest revision of etcd's store that was seen */
    bool reread;    /* an outcome is unknown: read before anything else */
    bool demand;
    bool urgent;
    bool demand_again; /* asked for after the renewal under way was sent: that one answers it not */
    bool urgent_again;
    hf_lclk last_sent;
    bool resigning;
    hf_lclk release_until; /* RESIGNING: what may still run of its grants */
};

void hf_leadership_init(struct hf_leadership *s, const struct hf_lead_config *config, hf_lclk now);
void hf_leadership_step(struct hf_leadership *s, const struct hf_lead_event *event, hf_lclk now,
                        struct hf_lead_out *out);
/* True while this coordinator may act as the leader by its own clock. */
bool hf_leadership_active(const struct hf_leadership *s, hf_lclk now);

hf_result hf_lead_claim_encode(const struct hf_lead_claim *c, struct hf_buf *out,
                               struct hf_err *err) HF_MUST_USE;
hf_result hf_lead_claim_decode(const char *text, size_t len, struct hf_lead_claim *ret,
                               struct hf_err *err) HF_MUST_USE;
hf_result hf_lead_renewal_encode(hf_dur ttl, struct hf_buf *out, struct hf_err *err) HF_MUST_USE;
hf_result hf_lead_renewal_decode(const char *text, size_t len, hf_dur *ret,
                                 struct hf_err *err) HF_MUST_USE;

#endif
