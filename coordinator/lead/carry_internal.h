/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the carry module: one struct led for each cluster while this coordinator runs; its
 * members mean something only while it leads.
 */
#ifndef HF_COORDINATOR_CARRY_INTERNAL_H
#define HF_COORDINATOR_CARRY_INTERNAL_H

#include "coordinator/lead/carry.h"

enum {
    LED_SENT = 64,
    LED_RESEND_MS = 500,
    LED_COMMAND_TTL_S = 5,
    LED_VIEW_S = 2,
    LED_HEALTH_S = 5
};

/* A command that was sent: how often it may be sent again, and under which number. */
struct led_sent {
    char id[HF_LABEL_SIZE];
    hf_name to;
    hf_lclk at;
    uint64_t sequence;
};

struct led_health {
    char state[512]; /* what does not change by itself */
    char last[512];
    hf_lclk at;
};

struct led_request {
    bool present;
    bool under_way;
    enum hf_carry_kind kind;
    char wish[HF_NAME_SIZE];
    char why[HF_REASON_SIZE];
    hf_epoch epoch;
    struct hf_policy *policy;
    int64_t revision;
    hf_lclk deadline;
    hf_carry_done done;
    void *arg;
    char operation[HF_LABEL_SIZE];
};

struct led {
    struct hf_carry *carry;
    struct hf_warm_cluster *cluster;
    uint64_t term; /* of the leadership that the rest belongs to */
    struct hf_outstanding outstanding;
    struct hf_grant_wait wait;
    bool writing;
    bool stale; /* the records must be read back before anything is decided */
    bool reading;
    hf_lclk retry_at;
    struct hf_plan written; /* the plan of the write under way */
    bool writes_plan;
    enum hf_step was_step;
    bool was_known; /* the plan was there before the write */
    int was_reasons;
    char step_plan[HF_LABEL_SIZE]; /* the plan and step that this leader saw last */
    enum hf_step step;
    hf_lclk step_since;
    int warning_count;
    char warnings[HF_REASONS_MAX][HF_REASON_SIZE];
    struct led_sent sent[LED_SENT];
    int next_sent;
    struct hf_route_task *route;
    hf_lclk view_at;
    int64_t view_revision;
    char view_address[HF_ADDRESS_SIZE];
    bool health_busy;
    struct led_health health[HF_MAX_NODES];
    struct led_request request;
    int64_t minute; /* of the exposure that is being gathered */
};

struct hf_carry {
    struct hf_carry_config c;
    struct hf_http_client *http;
    bool leading;
    bool ready;
    bool making_generation;
    uint64_t term;
    hf_lclk since;               /* since when it acts without a gap */
    hf_lclk active_at;           /* when it last found itself active */
    hf_lclk listening_since;     /* since when it hears heartbeats without a gap, leading or not */
    hf_lclk listened_at;         /* when it last did */
    uint64_t sequence;           /* of commands, grows within the term */
    struct hf_cluster_view view; /* reused */
    struct hf_decision decision; /* reused */
    struct hf_message message;   /* reused */
    char doubt[HF_REASON_SIZE];  /* of carry->view */
};

struct led *hf_led_of(struct hf_carry *carry, struct hf_warm_cluster *c);
bool hf_carry_active(struct hf_carry *carry, hf_lclk now);
/* Fills carry->view, and settles it. */
void hf_carry_view(struct hf_carry *carry, struct led *l, hf_lclk now);
/* The same with nodes of other generations in sight: for a recovery. */
void hf_carry_view_raw(struct hf_carry *carry, struct led *l, hf_lclk now);
/* The records are not believed: nothing may be granted or sent. Overwrites carry->view. */
bool hf_led_doubts(struct led *l, hf_lclk now);
/* Begins the write of carry->decision. */
void hf_led_write(struct led *l, const struct hf_decision *d);
void hf_led_written(void *arg, enum hf_write_result result, int64_t revision,
                    const struct hf_err *err);
/* carry_send.c */
void hf_led_commands(struct led *l, const struct hf_decision *d, hf_lclk now);
void hf_led_backups(struct led *l, hf_lclk now);
void hf_led_views(struct led *l, hf_lclk now);
void hf_led_health(struct led *l, hf_lclk now);
void hf_led_route(struct led *l, const struct hf_decision *d);
bool hf_led_route_done(const struct led *l);
/* carry_request.c */
void hf_led_request_start(struct led *l, hf_lclk now);
void hf_led_request_end(struct led *l, hf_result result, int64_t revision,
                        const struct hf_err *err);
/* carry_record.c */
void hf_led_record_plan(struct led *l, const struct hf_plan *p, bool all);
void hf_led_log_step(struct led *l, const struct hf_plan *p);
void hf_led_exposure_minute(struct led *l, hf_wall wall);

#endif
