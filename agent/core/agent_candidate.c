/* SPDX-License-Identifier: Apache-2.0
 *
 * The candidate's side of the failsafe: promises (L4).
 */
#include <stdio.h>
#include <string.h>

#include "agent/core/agent_parts.h"

hf_dur hf_agent_promise_left(const struct hf_agent_core *c, hf_lclk now, hf_epoch released_epoch,
                             uint64_t released_serial)
{
    const struct hf_agent_record *r = &c->record;
    bool released = r->promise_serial != 0 && r->promise_serial == released_serial &&
                    r->promise_epoch.v == released_epoch.v;
    if (r->promise_epoch.v == 0 || released || !hf_lclk_before(now, r->promise_until)) {
        return HF_US(0);
    }
    return hf_lclk_sub(r->promise_until, now);
}

/* The rule that refuses, NULL when the promise may be given. */
static const char *refusal(const struct hf_agent_core *c, const struct hf_promise_request *r)
{
    if (!c->config.managed || c->state == HF_NODE_UNMANAGED) {
        return "NOT_MANAGED";
    }
    if (r->generation.v != c->record.generation.v) {
        return "OTHER_GENERATION";
    }
    if (r->epoch.v < c->record.epoch.v || r->epoch.v < c->record.prepared.v) {
        return "NEWER_EPOCH";
    }
    if (r->version != c->record.known_version) {
        return "OTHER_CANDIDATES";
    }
    /* Late, of a life before: the promise to the present tenure must not be put under its name. */
    if (r->epoch.v == c->record.promise_epoch.v && r->serial < c->record.promise_serial &&
        hf_name_equal(&r->holder, &c->record.promise_holder)) {
        return "OLDER_TENURE";
    }
    if (c->want || c->record.led.v >= r->epoch.v) {
        return "LEADS_ITSELF";
    }
    return NULL;
}

void hf_agent_on_promise_request(struct hf_agent_step *s, const struct hf_promise_request *r)
{
    struct hf_agent_core *c = s->c;
    if (!hf_name_equal(&r->to, &c->config.node)) {
        return;
    }
    const char *why = refusal(c, r);
    if (why == NULL) {
        hf_lclk until = hf_lclk_add(s->now, hf_lease_wait(r->ttl, c->config.margin_ppm));
        /* An older promise that lasts longer keeps lasting; one of an unknown tenure (serial 0)
         * is released by time alone. */
        bool running = hf_agent_promise_left(c, s->now, HF_EPOCH(0), 0).us > 0;
        bool unknown = running && c->record.promise_serial == 0;
        if (running && hf_lclk_before(until, c->record.promise_until)) {
            until = c->record.promise_until;
        }
        c->record.epoch = r->epoch;
        c->record.promise_epoch = r->epoch;
        c->record.promise_serial = unknown ? 0 : r->serial;
        c->record.promise_holder = r->holder;
        c->record.promise_until = until;
        if (r->ttl.us > c->record.max_ttl.us) {
            c->record.max_ttl = r->ttl;
        }
        if (!HF_PLANTED(HF_PLANT_PROMISE_NOT_PERSISTED)) {
            hf_agent_persist(s);
        }
    }
    struct hf_agent_effect *e = hf_agent_emit(s, HF_EFFECT_REPLY);
    e->message.type = HF_MESSAGE_PROMISE_REPLY;
    struct hf_promise_reply *p = &e->message.promise_reply;
    *p = (struct hf_promise_reply){.round = r->round,
                                   .holder = r->holder,
                                   .from = c->config.node,
                                   .epoch = r->epoch,
                                   .serial = r->serial,
                                   .promised = why == NULL};
    (void)snprintf(p->reason, sizeof p->reason, "%s", why == NULL ? "" : why);
}
