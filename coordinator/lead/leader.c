/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/lead/leader.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct hf_leader {
    struct hf_etcd *etcd;
    struct hf_leadership core;
    struct hf_leader_callbacks callbacks;
    void *arg;
    struct hf_timer *timer;
    char claim_key[HF_KEY_SIZE];
    char renewal_key[HF_KEY_SIZE];
    uint64_t failed;  /* a request that could not be handed to the client, 0 = none */
    uint64_t request; /* under way */
    enum hf_lead_action_kind kind;
    hf_lclk sent;
    bool resigning;
    hf_lclk resign_until; /* the longest grant ends here */
    bool stepping;
    uint64_t answers; /* which etcd does, by cluster id; 0 = not known yet */
    uint64_t was;     /* ... before it changed, 0 = it did not */
};

static void leader_step(struct hf_leader *l, const struct hf_lead_event *event);

static hf_lclk now_of(const struct hf_leader *l)
{
    (void)l;
    return hf_clock_lease();
}

static hf_result decode_read(const struct hf_leader *l, const struct hf_etcd_reply *reply,
                             struct hf_lead_event *e, struct hf_err *err)
{
    (void)l;
    if (reply->op_count < 2) {
        return hf_fail(err, HF_E_CORRUPT, "etcd answered %zu ranges of 2", reply->op_count);
    }
    if (reply->ops[0].kv_count > 0) {
        const struct hf_etcd_kv *kv = &reply->ops[0].kvs[0];
        e->claim_revision = kv->mod_revision;
        HF_TRY(hf_lead_claim_decode(kv->value, kv->value_len, &e->claim, err));
    }
    if (reply->ops[1].kv_count > 0) {
        const struct hf_etcd_kv *kv = &reply->ops[1].kvs[0];
        struct hf_err why; /* a value that cannot be read counts as the longest lease there is */
        e->renewal_revision = kv->mod_revision;
        HF_IGNORE(hf_lead_renewal_decode(kv->value, kv->value_len, &e->renewal_ttl, &why),
                  "0 says so");
    }
    return hf_done();
}

static void leader_answer(void *arg, const struct hf_etcd_reply *reply)
{
    struct hf_leader *l = arg;
    struct hf_lead_event e = {.kind = HF_LEAD_UNKNOWN, .request = l->request};
    if (hf_ok(reply->result)) {
        struct hf_err err;
        l->callbacks.latency(l->arg, hf_lclk_sub(now_of(l), l->sent));
        if (reply->cluster != 0) {
            l->was = reply->cluster != l->answers ? l->answers : 0;
            l->answers = reply->cluster;
        }
        e.revision = reply->revision;
        if (l->kind != HF_LEAD_DO_READ) {
            e.kind = reply->succeeded ? HF_LEAD_WON : HF_LEAD_LOST;
        } else if (hf_ok(decode_read(l, reply, &e, &err))) {
            e.kind = HF_LEAD_READ;
        } else {
            hf_log(HF_LOG_ERROR, "CLAIM_UNREADABLE", "the leader's claim cannot be read",
                   HF_KV_ERR(&err));
        }
    } else {
        hf_log(HF_LOG_DEBUG, "LEADER_REQUEST_FAILED", "a leadership request got no answer",
               HF_KV_ERR(reply->err));
    }
    leader_step(l, &e);
}

static hf_result send_read(struct hf_leader *l, struct hf_err *err)
{
    const struct hf_etcd_op ops[] = {{.kind = HF_ETCD_RANGE, .key = l->claim_key},
                                     {.kind = HF_ETCD_RANGE, .key = l->renewal_key}};
    const struct hf_etcd_txn txn = {.success = ops, .success_count = 2};
    return hf_etcd_txn(l->etcd, &txn, leader_answer, l, err);
}

static hf_result send_write(struct hf_leader *l, const struct hf_lead_action *a, struct hf_err *err)
{
    HF_BUF(value, 4096);
    HF_BUF(renewal, 4096);
    const struct hf_etcd_compare compares[] = {{.key = l->claim_key,
                                                .target = HF_ETCD_MOD_REVISION,
                                                .relation = HF_ETCD_EQUAL,
                                                .number = a->claim_revision},
                                               {.key = l->renewal_key,
                                                .target = HF_ETCD_MOD_REVISION,
                                                .relation = HF_ETCD_EQUAL,
                                                .number = a->renewal_revision}};
    struct hf_etcd_op ops[2];
    struct hf_etcd_txn txn = {.compares = compares, .compare_count = 2, .success = ops};
    if (a->kind == HF_LEAD_DO_RELEASE) {
        txn.compare_count = 1;
    }
    if (a->kind != HF_LEAD_DO_RENEW) {
        HF_TRY(hf_lead_claim_encode(&a->claim, &value, err));
        ops[txn.success_count++] = (struct hf_etcd_op){.kind = HF_ETCD_PUT,
                                                       .key = l->claim_key,
                                                       .value = hf_buf_text(&value),
                                                       .value_len = value.len};
    }
    if (a->kind != HF_LEAD_DO_RELEASE) {
        HF_TRY(hf_lead_renewal_encode(a->renewal_ttl, &renewal, err));
        ops[txn.success_count++] = (struct hf_etcd_op){.kind = HF_ETCD_PUT,
                                                       .key = l->renewal_key,
                                                       .value = hf_buf_text(&renewal),
                                                       .value_len = renewal.len};
    }
    return hf_etcd_txn(l->etcd, &txn, leader_answer, l, err);
}

static void leader_send(struct hf_leader *l, const struct hf_lead_action *a)
{
    struct hf_err err;
    l->request = a->request;
    l->kind = a->kind;
    l->sent = now_of(l);
    hf_result r = a->kind == HF_LEAD_DO_READ ? send_read(l, &err) : send_write(l, a, &err);
    if (!hf_ok(r)) {
        hf_log(HF_LOG_WARNING, "LEADER_REQUEST_REFUSED", "a leadership request was not sent",
               HF_KV_ERR(&err));
        l->failed = a->request; /* told to the core from the timer, so that nothing spins */
    }
}

static void tell_went_back(struct hf_leader *l, const struct hf_lead_out *out)
{
    char why[HF_REASON_SIZE];
    if (l->was != 0) {
        (void)snprintf(why, sizeof why, "RESTORED: etcd %" PRIx64 " answers instead of %" PRIx64,
                       l->answers, l->was);
    } else if (out->went_back) {
        (void)snprintf(why, sizeof why,
                       "RESTORED: etcd went back from revision %" PRId64 " to %" PRId64,
                       out->went_back_from, l->core.newest);
    } else {
        return;
    }
    l->was = 0;
    hf_log(HF_LOG_ERROR, "ETCD_WENT_BACK",
           "etcd was restored: nothing is decided until a person "
           "recovers the clusters",
           HF_KV("why", why));
    l->callbacks.went_back(l->arg, why);
}

static void leader_out(struct hf_leader *l, const struct hf_lead_out *out, hf_lclk now)
{
    const struct hf_leadership *c = &l->core;
    tell_went_back(l, out);
    if (out->lost_leadership) {
        hf_log(HF_LOG_WARNING, "LEADER_LOST", "leadership is over here");
        l->callbacks.lost(l->arg);
    }
    if (out->became_leader) {
        hf_log(HF_LOG_NOTICE, "LEADER_WON", "this coordinator leads", HF_KV_U64("term", c->term),
               HF_KV_DUR("inherited_ms", hf_lclk_sub(c->floor, now)));
        l->callbacks.won(l->arg);
    }
    if (out->renewed) {
        l->callbacks.renewed(l->arg, out->renewal_sent, now);
    }
    if (l->resigning && c->role == HF_LEAD_RESIGNED && c->request == 0) {
        l->resigning = false;
        l->callbacks.released(l->arg);
    }
}

static void leader_step(struct hf_leader *l, const struct hf_lead_event *event)
{
    struct hf_lead_out out;
    hf_lclk now = now_of(l);
    HF_ASSERT(!l->stepping);
    l->stepping = true;
    hf_leadership_step(&l->core, event, now, &out);
    /* The request goes out before anything else is done: its instant is `now`. */
    if (out.action.kind != HF_LEAD_DO_NOTHING) {
        leader_send(l, &out.action);
    }
    l->stepping = false;
    bool soon = l->failed != 0 || l->resigning;
    hf_timer_at(l->timer, soon ? hf_lclk_add(now, HF_MS(50)) : out.next_wakeup);
    leader_out(l, &out, now);
}

static struct hf_lead_event resign_event(const struct hf_leader *l)
{
    hf_dur left = hf_lclk_sub(l->resign_until, now_of(l));
    return (struct hf_lead_event){.kind = HF_LEAD_RESIGN,
                                  .remainder = left.us > 0 ? left : HF_US(0)};
}

static void leader_timer(void *arg)
{
    struct hf_leader *l = arg;
    struct hf_lead_event e = {.kind = HF_LEAD_TICK};
    if (l->failed != 0) {
        e = (struct hf_lead_event){.kind = HF_LEAD_UNKNOWN, .request = l->failed};
        l->failed = 0;
    } else if (l->resigning) { /* asked again until no request stands in its way */
        e = resign_event(l);
    }
    leader_step(l, &e);
}

hf_result hf_leader_new(struct hf_loop *loop, struct hf_etcd *etcd, const char *prefix,
                        const struct hf_lead_config *config,
                        const struct hf_leader_callbacks *callbacks, void *arg,
                        struct hf_leader **ret, struct hf_err *err)
{
    (void)err;
    struct hf_leader *l = hf_alloc(sizeof *l);
    l->etcd = etcd;
    l->callbacks = *callbacks;
    l->arg = arg;
    hf_key_format(prefix, &(struct hf_key){.kind = HF_KEY_CLAIM}, l->claim_key);
    hf_key_format(prefix, &(struct hf_key){.kind = HF_KEY_RENEWAL}, l->renewal_key);
    hf_leadership_init(&l->core, config, now_of(l));
    l->timer = hf_timer_new(loop, leader_timer, l);
    hf_timer_after(l->timer, HF_MS(1));
    *ret = l;
    return hf_done();
}

void hf_leader_free(struct hf_leader *l)
{
    if (l != NULL) {
        hf_timer_free(l->timer);
        hf_free(l);
    }
}

void hf_leader_demand(struct hf_leader *l, bool urgent)
{
    if (!l->stepping && l->failed == 0) {
        leader_step(l, &(struct hf_lead_event){.kind = HF_LEAD_DEMAND, .urgent = urgent});
    }
}

void hf_leader_resign(struct hf_leader *l, hf_dur remainder)
{
    l->resigning = true;
    l->resign_until = hf_lclk_add(now_of(l), remainder);
    const struct hf_lead_event e = resign_event(l);
    leader_step(l, &e);
}

bool hf_leader_active(const struct hf_leader *l, hf_lclk now)
{
    return hf_leadership_active(&l->core, now);
}

uint64_t hf_leader_term(const struct hf_leader *l)
{
    return l->core.role == HF_LEAD_LEADER ? l->core.term : 0;
}

const struct hf_leadership *hf_leader_core(const struct hf_leader *l)
{
    return &l->core;
}
