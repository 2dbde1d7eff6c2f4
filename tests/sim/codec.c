/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/codec.h"

#include "tests/sim/net.h"

#include <string.h>

enum { SHARE = 256, RECORD_SHARE = 32, TEXT_MAX = HF_MESSAGE_MAX };

static bool turn(struct sim_world *w, int share)
{
    return sim_rand(&w->rng) % (uint64_t)share == 0;
}

static void judge(struct sim_world *w, const char *what, hf_result result, const struct hf_err *err,
                  const struct hf_buf *first, const struct hf_buf *second)
{
    w->stats.codec_trips++;
    if (!hf_ok(result)) {
        sim_fail(w, SIM_CHECK_CODEC, "%s: %s: %.200s", what, err->text, hf_buf_text(first));
    } else if (first->len != second->len || memcmp(first->data, second->data, first->len) != 0) {
        sim_fail(w, SIM_CHECK_CODEC, "%s changes in its codec: %.200s", what, hf_buf_text(first));
    }
}

/* Encodes *value, decodes the text into *value, encodes it again. */
#define TRIP(what, value, encode, decode)                                                          \
    do {                                                                                           \
        HF_BUF(first, TEXT_MAX);                                                                   \
        HF_BUF(second, TEXT_MAX);                                                                  \
        struct hf_err err = {0};                                                                   \
        hf_result trip = encode(value, &first, &err);                                              \
        trip = hf_ok(trip) ? decode(hf_buf_text(&first), first.len, value, &err) : trip;           \
        trip = hf_ok(trip) ? encode(value, &second, &err) : trip;                                  \
        judge(w, what, trip, &err, &first, &second);                                               \
    } while (0)

void sim_codec_message(struct sim_world *w, struct hf_message *m)
{
    if (turn(w, SHARE)) {
        TRIP(hf_message_type_name(m->type), m, hf_message_encode, hf_message_decode);
    }
}

void sim_codec_state(struct sim_world *w, struct hf_cluster_state *s)
{
    if (turn(w, RECORD_SHARE)) {
        TRIP("cluster state", s, hf_cluster_state_encode, hf_cluster_state_decode);
    }
}

void sim_codec_plan(struct sim_world *w, struct hf_plan *p)
{
    if (turn(w, RECORD_SHARE)) {
        TRIP("plan", p, hf_plan_encode, hf_plan_decode);
    }
}

void sim_codec_claim(struct sim_world *w, struct hf_lead_claim *c)
{
    if (turn(w, RECORD_SHARE)) {
        TRIP("leader's claim", c, hf_lead_claim_encode, hf_lead_claim_decode);
    }
}

void sim_codec_record(struct sim_world *w, struct hf_agent_record *r)
{
    if (turn(w, RECORD_SHARE)) {
        TRIP("agent's record", r, hf_agent_record_encode, hf_agent_record_decode);
    }
}
