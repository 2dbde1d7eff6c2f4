/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/leadership.h"

#include <string.h>

#include "common/core/fields.h"

void hf_leadership_init(struct hf_leadership *s, const struct hf_lead_config *config, hf_lclk now)
{
    memset(s, 0, sizeof *s);
    s->config = *config;
    if (s->config.renew_min.us == 0) {
        s->config.renew_min = HF_MS(200);
    }
    if (s->config.renew_max.us == 0) {
        s->config.renew_max = HF_US(config->ttl.us / 6);
    }
    if (s->config.poll.us == 0) {
        s->config.poll = HF_US(config->ttl.us / 24);
    }
    s->last_sent = (hf_lclk){now.us - s->config.poll.us};
}

bool hf_leadership_active(const struct hf_leadership *s, hf_lclk now)
{
    return s->role == HF_LEAD_LEADER && !s->resigning && hf_lclk_before(now, s->valid_until);
}

/* A release in good order left the key to whoever comes first. */
static bool released(const struct hf_leadership *s)
{
    return s->claim_revision != 0 && hf_name_empty(&s->claim.coordinator);
}

/* Before it, leases of earlier terms may run, once the claim on what is seen now succeeds. */
static hf_lclk inherited(const struct hf_leadership *s, hf_lclk now)
{
    hf_dur rest = HF_PLANTED(HF_PLANT_HANDOVER_FORGETS) ? HF_US(0) : s->claim.remainder;
    return released(s) ? hf_lclk_add(s->first_seen, hf_lease_wait(rest, s->config.margin_ppm))
                       : now;
}

static void send(struct hf_leadership *s, enum hf_lead_action_kind kind, hf_lclk now,
                 struct hf_lead_out *out)
{
    s->request = ++s->requests;
    s->pending = kind;
    s->pending_sent = now;
    s->last_sent = now;
    out->action.kind = kind;
    out->action.request = s->request;
    out->action.claim_revision = s->claim_revision;
    out->action.renewal_revision = s->renewal_revision;
    if (kind == HF_LEAD_DO_CLAIM || kind == HF_LEAD_DO_RENEW) {
        /* Also what was inherited, should it be longer than L: this one may die at once. */
        hf_lclk until = kind == HF_LEAD_DO_CLAIM ? inherited(s, now) : s->floor;
        hf_lclk own = hf_lclk_add(now, s->config.ttl);
        out->action.renewal_ttl = hf_lclk_sub(hf_lclk_before(own, until) ? until : own, now);
    }
    if (kind == HF_LEAD_DO_CLAIM) {
        out->action.claim.coordinator = s->config.self;
        memcpy(out->action.claim.url, s->config.url, sizeof out->action.claim.url);
        out->action.claim.ttl = s->config.ttl;
    } else if (kind == HF_LEAD_DO_RELEASE) {
        hf_lclk until = s->release_until;
        until = hf_lclk_before(until, s->floor) ? s->floor : until; /* inherited (L5) */
        out->action.claim.ttl = s->config.ttl;
        out->action.claim.remainder =
            hf_lclk_before(now, until) ? hf_lclk_sub(until, now) : HF_US(0);
    }
}

/* Only a renewal that is sent after a heartbeat arrived may answer it (L2). */
static void on_demand(struct hf_leadership *s, bool urgent)
{
    if (s->role != HF_LEAD_LEADER) {
        return;
    }
    if (s->request != 0 && s->pending == HF_LEAD_DO_RENEW) {
        s->demand_again = true;
        s->urgent_again = s->urgent_again || urgent;
        return;
    }
    s->demand = true;
    s->urgent = s->urgent || urgent;
}

static void lose(struct hf_leadership *s, struct hf_lead_out *out)
{
    if (s->role == HF_LEAD_LEADER) {
        s->role = HF_LEAD_FOLLOWER;
        out->lost_leadership = true;
    }
    s->term = 0;
    s->demand = s->urgent = s->demand_again = s->urgent_again = false;
}

static void on_read(struct hf_leadership *s, const struct hf_lead_event *e, hf_lclk now,
                    struct hf_lead_out *out)
{
    s->reread = false;
    if (s->role == HF_LEAD_LEADER) {
        if ((uint64_t)e->claim_revision == s->term) {
            /* Our own renewal of unknown outcome, or nothing at all, happened. */
            s->renewal_revision = e->renewal_revision;
            s->claim_revision = e->claim_revision;
            return;
        }
        lose(s, out);
        s->observed = false;
    }
    if (!s->observed || e->claim_revision != s->claim_revision ||
        e->renewal_revision != s->renewal_revision) {
        s->observed = true;
        s->first_seen = now; /* also when a revision went back or a key went away: wait again */
        s->claim_revision = e->claim_revision;
        s->renewal_revision = e->renewal_revision;
    }
    s->claim = e->claim;
    s->renewal_ttl = e->renewal_ttl;
    if (e->claim_revision == 0) {
        memset(&s->claim, 0, sizeof s->claim);
    }
}

static void on_won(struct hf_leadership *s, const struct hf_lead_event *e, hf_lclk now,
                   struct hf_lead_out *out)
{
    switch (s->pending) {
    case HF_LEAD_DO_CLAIM: {
        s->floor = inherited(s, now);
        s->role = HF_LEAD_LEADER;
        s->term = (uint64_t)e->revision;
        s->claim_revision = e->revision;
        out->became_leader = true;
        break;
    }
    case HF_LEAD_DO_RENEW:
        break;
    case HF_LEAD_DO_RELEASE:
        s->role = HF_LEAD_RESIGNED;
        out->lost_leadership = true;
        return;
    case HF_LEAD_DO_NOTHING:
    case HF_LEAD_DO_READ:
        return;
    }
    s->renewal_revision = e->revision;
    s->valid_until = hf_lclk_add(s->pending_sent, s->config.ttl);
    s->demand = s->demand_again;
    s->urgent = s->urgent_again;
    s->demand_again = s->urgent_again = false;
    out->renewed = !s->resigning; /* the remainder is counted already */
    out->renewal_sent = HF_PLANTED(HF_PLANT_GRANT_WITHOUT_RENEWAL) ? now : s->pending_sent;
}

/* One request at a time, each answered by a majority: a store that goes on never answers from an
 * earlier revision than it did before. */
static void note_revision(struct hf_leadership *s, int64_t revision, struct hf_lead_out *out)
{
    if (revision != 0 && revision < s->newest) {
        out->went_back = true;
        out->went_back_from = s->newest;
    }
    s->newest = revision != 0 ? revision : s->newest;
}

static void on_answer(struct hf_leadership *s, const struct hf_lead_event *e, hf_lclk now,
                      struct hf_lead_out *out)
{
    if (e->request != s->request || s->request == 0) {
        return;
    }
    note_revision(s, e->kind == HF_LEAD_UNKNOWN ? 0 : e->revision, out);
    switch (e->kind) {
    case HF_LEAD_READ:
        on_read(s, e, now, out);
        break;
    case HF_LEAD_WON:
        on_won(s, e, now, out);
        break;
    case HF_LEAD_LOST:
    case HF_LEAD_UNKNOWN:
        /* Somebody else's write, or our own of unknown outcome: only reading tells. */
        s->reread = s->pending != HF_LEAD_DO_READ;
        break;
    case HF_LEAD_TICK:
    case HF_LEAD_DEMAND:
    case HF_LEAD_RESIGN:
        break;
    }
    s->request = 0;
    s->pending = HF_LEAD_DO_NOTHING;
}

/* When a follower may claim: at once after a release in good order, else the longest L of all (its
 * own, the claim's, the renewal's) after it first saw the newest revisions. The claim may have been
 * deleted by hand: then the renewal alone tells, and if it does not, the longest L that there is.
 */
static hf_lclk claim_at(const struct hf_leadership *s)
{
    if (released(s)) {
        return s->first_seen;
    }
    hf_dur ttl = s->claim.ttl.us > s->config.ttl.us ? s->claim.ttl : s->config.ttl;
    hf_dur renewal = s->renewal_ttl;
    if (s->claim_revision == 0 && s->renewal_revision != 0 && renewal.us == 0) {
        renewal = HF_MS(HF_LEASE_TTL_MAX_MS);
    }
    ttl = renewal.us > ttl.us ? renewal : ttl;
    if (HF_PLANTED(HF_PLANT_CONTENDER_HURRIES)) {
        ttl.us /= 2;
    }
    return hf_lclk_add(s->first_seen, hf_lease_wait(ttl, s->config.margin_ppm));
}

/* How long a leader pauses between renewals now. */
static hf_dur pause_of(const struct hf_leadership *s)
{
    if (s->urgent) {
        return HF_US(s->config.renew_min.us / 8);
    }
    return s->demand ? s->config.renew_min : s->config.renew_max;
}

static void act(struct hf_leadership *s, hf_lclk now, struct hf_lead_out *out)
{
    if (s->request != 0 || s->role == HF_LEAD_RESIGNED) {
        return;
    }
    int64_t idle = hf_lclk_sub(now, s->last_sent).us;
    if (s->reread) {
        if (idle >= s->config.renew_min.us / 4) {
            send(s, HF_LEAD_DO_READ, now, out);
        }
        return;
    }
    if (s->role == HF_LEAD_LEADER) {
        if (s->resigning) {
            send(s, HF_LEAD_DO_RELEASE, now, out);
        } else if (idle >= pause_of(s).us) {
            send(s, HF_LEAD_DO_RENEW, now, out);
        }
        return;
    }
    if (s->resigning) {
        s->role = HF_LEAD_RESIGNED;
    } else if (s->observed && hf_lclk_reached(now, claim_at(s))) {
        s->observed = false; /* whatever comes out, the next claim needs a fresh look */
        send(s, HF_LEAD_DO_CLAIM, now, out);
    } else if (idle >= s->config.poll.us) {
        send(s, HF_LEAD_DO_READ, now, out);
    }
}

static hf_lclk wakeup(const struct hf_leadership *s, hf_lclk now)
{
    hf_dur pause = s->config.poll;
    if (s->role == HF_LEAD_LEADER) {
        pause = pause_of(s);
    }
    if (s->reread) {
        pause = HF_US(s->config.renew_min.us / 4);
    }
    hf_lclk at = hf_lclk_add(s->last_sent, pause);
    if (s->role == HF_LEAD_FOLLOWER && s->observed && hf_lclk_before(claim_at(s), at)) {
        at = claim_at(s);
    }
    return hf_lclk_before(at, now) ? hf_lclk_add(now, HF_MS(1)) : at;
}

void hf_leadership_step(struct hf_leadership *s, const struct hf_lead_event *event, hf_lclk now,
                        struct hf_lead_out *out)
{
    memset(out, 0, sizeof *out);
    if (event->kind == HF_LEAD_RESIGN) {
        /* Remembered: a request may be under way, and the answer to a release may get lost. */
        if (!s->resigning) {
            s->release_until = hf_lclk_add(now, event->remainder);
        }
        s->resigning = true;
    } else if (event->kind == HF_LEAD_DEMAND) {
        on_demand(s, event->urgent);
    } else if (event->kind != HF_LEAD_TICK) {
        on_answer(s, event, now, out);
    }
    act(s, now, out);
    out->next_wakeup = wakeup(s, now);
}

static const struct hf_field claim_fields[] = {
    HF_FIELD(NAME, struct hf_lead_claim, coordinator), HF_FIELD(TEXT, struct hf_lead_claim, url),
    HF_FIELD_AS("ttl_us", I64, struct hf_lead_claim, ttl),
    HF_FIELD_AS("remainder_us", I64, struct hf_lead_claim, remainder), HF_FIELDS_END};

hf_result hf_lead_claim_encode(const struct hf_lead_claim *c, struct hf_buf *out,
                               struct hf_err *err)
{
    return hf_fields_encode(claim_fields, c, out, err);
}

hf_result hf_lead_claim_decode(const char *text, size_t len, struct hf_lead_claim *ret,
                               struct hf_err *err)
{
    struct hf_lead_claim c;
    memset(&c, 0, sizeof c);
    HF_TRY(hf_fields_decode(text, len, 4096, claim_fields, &c, err));
    if (c.ttl.us < 0 || c.ttl.us > HF_SEC(3600).us || c.remainder.us < 0 ||
        c.remainder.us > HF_SEC(3600).us) {
        return hf_fail(err, HF_E_CORRUPT, "leader claim with a lease out of bounds");
    }
    *ret = c;
    return hf_done();
}

struct renewal {
    hf_dur ttl;
};
static const struct hf_field renewal_fields[] = {HF_FIELD_AS("ttl_us", I64, struct renewal, ttl),
                                                 HF_FIELDS_END};

hf_result hf_lead_renewal_encode(hf_dur ttl, struct hf_buf *out, struct hf_err *err)
{
    struct renewal r = {ttl};
    return hf_fields_encode(renewal_fields, &r, out, err);
}

hf_result hf_lead_renewal_decode(const char *text, size_t len, hf_dur *ret, struct hf_err *err)
{
    struct renewal r = {{0}};
    HF_TRY(hf_fields_decode(text, len, 4096, renewal_fields, &r, err));
    if (r.ttl.us <= 0 || r.ttl.us > HF_SEC(3600).us) {
        return hf_fail(err, HF_E_CORRUPT, "leader renewal with a lease out of bounds");
    }
    *ret = r.ttl;
    return hf_done();
}
