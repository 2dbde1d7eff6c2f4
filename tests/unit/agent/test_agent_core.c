/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's decisions, by story: each test walks one and looks at every effect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/core/agent_core.h"

#define L_US 6000000

static struct hf_agent_core c;
static struct hf_agent_effects fx;
static int64_t now_us;
static uint64_t sequence;
static struct hf_pg_observation pg;

static hf_name name(const char *text)
{
    hf_name n = {0};
    (void)snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

static void step(struct hf_agent_event e)
{
    hf_agent_core_step(&c, &e, (hf_lclk){now_us}, &fx);
}

static void tick_after(int64_t us)
{
    now_us += us;
    step((struct hf_agent_event){.kind = HF_EVENT_TICK});
}

static void look(void)
{
    pg.clock_us = now_us;
    step((struct hf_agent_event){.kind = HF_EVENT_PG, .pg = &pg});
}

static const struct hf_agent_effect *effect(enum hf_agent_effect_kind kind)
{
    for (int i = 0; i < fx.count; i++) {
        if (fx.list[i].kind == kind) {
            return &fx.list[i];
        }
    }
    return NULL;
}

static int position(enum hf_agent_effect_kind kind)
{
    for (int i = 0; i < fx.count; i++) {
        if (fx.list[i].kind == kind) {
            return i;
        }
    }
    return -1;
}

static void config_for(struct hf_agent_config *config)
{
    *config = (struct hf_agent_config){.node = name("us-1"),
                                       .managed = true,
                                       .heartbeat = HF_MS(250),
                                       .ttl = {L_US},
                                       .margin_ppm = 10000,
                                       .grace = HF_SEC(15)};
}

static void begin(const struct hf_agent_record *record, bool first_start, const char *boot)
{
    struct hf_agent_config config;
    config_for(&config);
    hf_agent_core_init(&c, &config, record, first_start, boot, 77, (hf_lclk){now_us});
    tick_after(0);
}

static void standby(void)
{
    now_us = 5000000000;
    sequence = 0;
    begin(NULL, true, "boot-a");
    pg = (struct hf_pg_observation){.complete = true,
                                    .running = true,
                                    .processes = true,
                                    .known = true,
                                    .in_recovery = true,
                                    .streaming = true,
                                    .system_id = 42,
                                    .timeline = {1},
                                    .flushed = {0x5000}};
    look();
    assert_int_equal(c.state, HF_NODE_STANDBY);
}

static void command(enum hf_command_kind kind, uint64_t epoch, const char *id)
{
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_COMMAND;
    m.command = (struct hf_command){.kind = kind,
                                    .generation = {1},
                                    .term = 10,
                                    .sequence = ++sequence,
                                    .epoch = {epoch},
                                    .seq = c.beat,
                                    .life = c.life,
                                    .ttl = HF_SEC(5),
                                    .node = name("eu-1")};
    (void)snprintf(m.command.id, sizeof m.command.id, "%s", id);
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static void done(bool ok, uint64_t end)
{
    step((struct hf_agent_event){.kind = HF_EVENT_EFFECT_DONE,
                                 .effect_id = c.effect_running,
                                 .ok = ok,
                                 .error = ok ? NULL : "it failed",
                                 .end = {end},
                                 .timeline = {1}});
}

static void grant_of(uint64_t seq, uint64_t epoch, uint64_t serial, uint64_t version)
{
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_GRANT;
    m.grant = (struct hf_grant){.seq = seq,
                                .life = c.life,
                                .generation = {1},
                                .epoch = {epoch},
                                .term = 10,
                                .serial = serial,
                                .ttl = {L_US}};
    m.grant.candidates.version = version;
    m.grant.candidates.count = 2;
    m.grant.candidates.members[0] = name("ap-1");
    m.grant.candidates.members[1] = name("eu-1");
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static void prepared(void)
{
    standby();
    command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1");
    assert_int_equal(c.state, HF_NODE_PREPARING);
    done(true, 0x6000);
    assert_int_equal(c.state, HF_NODE_PREPARED);
}

static void primary(void)
{
    prepared();
    command(HF_COMMAND_LEAD, 2, "lead.2.us-1");
    assert_int_equal(c.state, HF_NODE_ELECTED);
    tick_after(250000);
    grant_of(c.beat, 2, c.serial, 3);
    assert_int_equal(c.state, HF_NODE_STARTING);
    done(true, 0);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    pg.in_recovery = false;
    pg.timeline = HF_TLI(2);
    look();
}

static void prepare_is_durable_before_it_acts(void **state)
{
    (void)state;
    standby();
    command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1");
    assert_true(position(HF_EFFECT_PERSIST) >= 0);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_PG_STOP_RECEIVING));
    assert_int_equal(effect(HF_EFFECT_PERSIST)->record.epoch.v, 2);
    assert_int_equal(effect(HF_EFFECT_PERSIST)->record.prepared.v, 2);
    done(true, 0x6000);
    const struct hf_agent_effect *beat = effect(HF_EFFECT_SEND);
    assert_non_null(beat); /* at once, not at the next beat */
    assert_int_equal(beat->message.heartbeat.prepared.v, 2);
    assert_true(beat->message.heartbeat.final_known);
    assert_int_equal(beat->message.heartbeat.final.v, 0x6000);
}

static void lead_needs_a_grant_before_anything_starts(void **state)
{
    (void)state;
    prepared();
    command(HF_COMMAND_LEAD, 2, "lead.2.us-1");
    assert_int_equal(c.state, HF_NODE_ELECTED);
    assert_null(effect(HF_EFFECT_PG_PROMOTE));
    assert_null(effect(HF_EFFECT_PAGE));
    assert_int_equal(effect(HF_EFFECT_PERSIST)->record.led.v, 2);
    int64_t sent = now_us;
    uint64_t seq = c.beat;
    now_us += 2000000;
    grant_of(seq, 2, c.serial, 3);
    assert_non_null(effect(HF_EFFECT_PG_PROMOTE));
    assert_true(position(HF_EFFECT_PAGE) < position(HF_EFFECT_PG_PROMOTE));
    /* From its own sending of the heartbeat, not from the arrival (L2). */
    assert_int_equal(effect(HF_EFFECT_PAGE)->deadline.us, sent + L_US);
}

static void foreign_grants_are_ignored(void **state)
{
    (void)state;
    primary();
    hf_lclk before = c.deadline;
    tick_after(250000);
    grant_of(c.beat, 3, c.serial, 3);
    grant_of(c.beat, 2, c.serial + 1, 3);
    grant_of(c.beat + 1, 2, c.serial, 3);
    assert_int_equal(c.deadline.us, before.us);
    grant_of(c.beat, 2, c.serial, 3);
    assert_true(c.deadline.us > before.us);
}

static void lease_end_closes_kills_then_surrenders(void **state)
{
    (void)state;
    primary();
    tick_after(L_US + 1);
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_true(position(HF_EFFECT_PAGE) >= 0 && !effect(HF_EFFECT_PAGE)->open);
    assert_true(position(HF_EFFECT_PAGE) < position(HF_EFFECT_PG_KILL));
    assert_int_equal(c.record.surrendered.v, 0);
    /* A grant that was on its way opens nothing. */
    grant_of(c.beat, 2, c.serial, 3);
    assert_null(effect(HF_EFFECT_PAGE));
    done(false, 0); /* something was left: again */
    assert_non_null(effect(HF_EFFECT_PG_KILL));
    assert_int_equal(c.record.surrendered.v, 0);
    done(true, 0);
    assert_int_equal(c.state, HF_NODE_DOWN);
    assert_int_equal(c.record.surrendered.v, 2);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_SEND));
    assert_int_equal(effect(HF_EFFECT_SEND)->message.heartbeat.surrendered.v, 2);
    /* L6: never again under that epoch. */
    command(HF_COMMAND_LEAD, 2, "lead.2.us-1.again");
    assert_int_equal(c.op_status, HF_OP_FAILED);
    assert_int_equal(c.state, HF_NODE_DOWN);
    tick_after(250000);
    assert_false(effect(HF_EFFECT_SEND)->message.heartbeat.want_lease);
}

static void guarded_primary(void)
{
    primary();
    pg.guard = true;
    look();
}

static void with_the_guard_a_late_grant_opens_the_same_epoch_again(void **state)
{
    (void)state;
    guarded_primary();
    tick_after(L_US + 1);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    assert_null(effect(HF_EFFECT_PG_KILL));
    const struct hf_agent_effect *beat = &fx.list[fx.count - 1]; /* at once, after the promises */
    assert_int_equal(beat->message.type, HF_MESSAGE_HEARTBEAT);
    assert_int_equal(beat->message.heartbeat.lease_remaining.us, 0);
    assert_true(beat->message.heartbeat.want_lease);
    assert_int_equal(c.record.surrendered.v, 0);
    tick_after(10000000);
    int64_t sent = now_us;
    grant_of(c.beat, 2, c.serial, 3);
    assert_true(effect(HF_EFFECT_PAGE)->open);
    assert_int_equal(effect(HF_EFFECT_PAGE)->deadline.us, sent + L_US);
    tick_after(5000001); /* past the grace of the lapse before */
    assert_int_equal(c.state, HF_NODE_PRIMARY);
}

static void with_the_guard_the_grace_ends_postgresql(void **state)
{
    (void)state;
    guarded_primary();
    hf_lclk deadline = c.deadline;
    tick_after(deadline.us - now_us);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    tick_after(14999999);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    tick_after(1);
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_non_null(effect(HF_EFFECT_PG_KILL));
}

static void with_the_guard_a_newer_epoch_ends_it_at_once(void **state)
{
    (void)state;
    guarded_primary();
    tick_after(L_US + 1);
    command(HF_COMMAND_PREPARE, 3, "prepare.3.us-1");
    assert_int_equal(c.state, HF_NODE_FENCING);
}

/* A postmaster that was not asked yet has no guard: nothing waits for a grace. */
static void a_guard_that_is_not_seen_gives_no_grace(void **state)
{
    (void)state;
    guarded_primary();
    pg.guard = false;
    look();
    tick_after(L_US + 1);
    assert_int_equal(c.state, HF_NODE_FENCING);
}

static void crashed_postmaster_is_surrendered_only_after_the_kill(void **state)
{
    (void)state;
    primary();
    pg.running = false;
    pg.known = false;
    look(); /* backends may go on: processes is still true */
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_non_null(effect(HF_EFFECT_PG_KILL));
    assert_int_equal(c.record.surrendered.v, 0);
    done(true, 0);
    assert_int_equal(c.record.surrendered.v, 2);
}

static void a_postgresql_without_answers_is_said_to_be_silent(void **state)
{
    (void)state;
    primary();
    pg.flushed = HF_LSN(0x1000);
    look();
    tick_after(250000);
    assert_false(effect(HF_EFFECT_SEND)->message.heartbeat.pg_silent);
    pg = (struct hf_pg_observation){.complete = true, .running = true, .processes = true};
    pg.disk_known = true; /* the volumes are looked at without it */
    pg.disk_free = 77;
    look();
    tick_after(250000);
    const struct hf_heartbeat *beat = &effect(HF_EFFECT_SEND)->message.heartbeat;
    assert_true(beat->pg_silent && beat->disk_known);
    assert_int_equal(beat->disk_free, 77);
    assert_int_equal(beat->flushed.v, 0x1000); /* as of the last answer */
    assert_int_equal(c.state, HF_NODE_PRIMARY);
}

static void agent_restart_leaves_the_page_and_asks_under_a_new_serial(void **state)
{
    (void)state;
    primary();
    struct hf_agent_record record = c.record;
    uint64_t serial = c.serial;
    now_us += 1000000;
    begin(&record, false, "boot-a");
    assert_null(effect(HF_EFFECT_PAGE));
    look();
    assert_null(effect(HF_EFFECT_PAGE)); /* the old page holds PostgreSQL meanwhile */
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    assert_int_equal(c.serial, serial + 1);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_SEND));
    assert_true(effect(HF_EFFECT_SEND)->message.heartbeat.want_lease);
}

static void restart_after_a_crash_surrenders(void **state)
{
    (void)state;
    primary();
    struct hf_agent_record record = c.record;
    begin(&record, false, "boot-b");
    pg.running = false;
    pg.known = false;
    pg.processes = false;
    look();
    assert_int_equal(c.state, HF_NODE_FENCING);
    done(true, 0);
    assert_int_equal(c.record.surrendered.v, 2);
}

static void failsafe_needs_every_member(void **state)
{
    (void)state;
    primary();
    hf_lclk first = c.deadline;
    tick_after(2500000);
    int asked = 0;
    for (int i = 0; i < fx.count; i++) {
        asked += fx.list[i].kind == HF_EFFECT_SEND &&
                 fx.list[i].message.type == HF_MESSAGE_PROMISE_REQUEST;
    }
    assert_int_equal(asked, 2);
    int64_t sent = now_us;
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_PROMISE_REPLY;
    m.promise_reply = (struct hf_promise_reply){.round = c.round,
                                                .holder = name("us-1"),
                                                .from = name("ap-1"),
                                                .epoch = {2},
                                                .serial = c.serial,
                                                .promised = true};
    struct hf_agent_event e = {.kind = HF_EVENT_MESSAGE, .message = &m};
    now_us += 100000;
    step(e);
    step(e); /* a duplicate is one voice */
    assert_int_equal(c.deadline.us, first.us);
    m.promise_reply.from = name("eu-1");
    m.promise_reply.round = c.round + 1;
    step(e);
    assert_int_equal(c.deadline.us, first.us);
    m.promise_reply.round = c.round;
    step(e);
    assert_int_equal(c.deadline.us, sent + L_US);
    assert_int_equal(c.source, HF_LEASE_FAILSAFE);
}

static struct hf_promise_request request(uint64_t epoch, uint64_t version)
{
    return (struct hf_promise_request){.round = 1,
                                       .holder = name("eu-1"),
                                       .to = name("us-1"),
                                       .generation = {1},
                                       .epoch = {epoch},
                                       .serial = 4,
                                       .version = version,
                                       .ttl = {L_US}};
}

static const struct hf_promise_reply *ask(struct hf_promise_request r)
{
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_PROMISE_REQUEST;
    m.promise_request = r;
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
    const struct hf_agent_effect *e = effect(HF_EFFECT_REPLY);
    return e == NULL ? NULL : &e->message.promise_reply;
}

static void candidate(void)
{
    standby();
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_VIEW;
    m.view = (struct hf_view){.generation = {1}, .epoch = {1}, .term = 10, .ttl = {L_US}};
    m.view.candidates.version = 3;
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static void promises_follow_the_rules(void **state)
{
    (void)state;
    candidate();
    assert_false(ask(request(1, 2))->promised); /* other version */
    struct hf_promise_request other = request(1, 3);
    other.generation = HF_GENERATION(2);
    assert_false(ask(other)->promised);
    assert_true(ask(request(1, 3))->promised);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_REPLY));
    assert_true(c.record.promise_until.us > now_us + L_US); /* longer than the holder counts */
    /* After prepare(2) nothing is promised to epoch 1 any more, and what was is reported. */
    command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1");
    done(true, 0x6000);
    assert_true(effect(HF_EFFECT_SEND)->message.heartbeat.promise_remaining.us > 0);
    assert_false(ask(request(1, 3))->promised);
    /* And it is not promoted while the promise runs, unless that very tenure was surrendered. */
    command(HF_COMMAND_LEAD, 2, "lead.2.us-1");
    assert_int_equal(c.op_status, HF_OP_FAILED);
    assert_int_equal(c.state, HF_NODE_PREPARED);
    now_us += L_US + L_US / 50;
    tick_after(0);
    command(HF_COMMAND_LEAD, 2, "lead.2.us-1");
    assert_int_equal(c.state, HF_NODE_ELECTED);
}

static void promise_to(uint64_t round, uint64_t serial)
{
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_PROMISE_REQUEST;
    m.promise_request = (struct hf_promise_request){.round = round,
                                                    .holder = name("eu-1"),
                                                    .to = name("us-1"),
                                                    .generation = {0},
                                                    .epoch = {1},
                                                    .serial = serial,
                                                    .ttl = {L_US}};
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static void a_late_request_of_an_older_tenure_takes_no_promise_over(void **state)
{
    (void)state;
    standby();
    promise_to(3, 2);
    assert_true(effect(HF_EFFECT_REPLY)->message.promise_reply.promised);
    promise_to(1, 1);
    assert_false(effect(HF_EFFECT_REPLY)->message.promise_reply.promised);
    assert_string_equal(effect(HF_EFFECT_REPLY)->message.promise_reply.reason, "OLDER_TENURE");
    assert_int_equal(c.record.promise_serial, 2);
    promise_to(4, 2);
    assert_true(effect(HF_EFFECT_REPLY)->message.promise_reply.promised);
}

static void surrendered_serial_releases_its_promise_only(void **state)
{
    (void)state;
    for (uint64_t serial = 3; serial <= 4; serial++) {
        candidate();
        assert_true(ask(request(1, 3))->promised);
        command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1");
        done(true, 0x6000);
        struct hf_message m;
        memset(&m, 0, sizeof m);
        m.type = HF_MESSAGE_COMMAND;
        m.command = (struct hf_command){.id = "lead.2.us-1",
                                        .kind = HF_COMMAND_LEAD,
                                        .generation = {1},
                                        .term = 10,
                                        .sequence = ++sequence,
                                        .epoch = {2},
                                        .seq = c.beat,
                                        .life = c.life,
                                        .ttl = HF_SEC(5),
                                        .released_epoch = {1},
                                        .released_serial = serial};
        step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
        assert_int_equal(c.state, serial == 4 ? HF_NODE_ELECTED : HF_NODE_PREPARED);
    }
}

static void lost_record_and_reboot_wait_the_maximum(void **state)
{
    (void)state;
    candidate();
    assert_true(ask(request(1, 3))->promised);
    struct hf_agent_record record = c.record;
    begin(&record, false, "boot-b");
    assert_true(c.record.promise_until.us >= now_us + L_US);
    assert_int_equal(c.record.promise_serial, 0); /* nothing but time releases it */
    begin(NULL, false, "boot-b");
    assert_true(c.record.promise_until.us >= now_us + (int64_t)HF_LEASE_TTL_MAX_MS * 1000);
    begin(NULL, true, "boot-b");
    assert_int_equal(c.record.promise_epoch.v, 0);
}

static void lower_order_and_late_commands_are_refused(void **state)
{
    (void)state;
    standby();
    command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1");
    done(true, 0x6000);
    sequence = 0; /* the same sequence number as the prepare: a delayed copy must not run */
    command(HF_COMMAND_COPY, 2, "copy.2.us-1.1");
    assert_int_equal(c.state, HF_NODE_PREPARED);
    assert_null(effect(HF_EFFECT_PG_COPY));
    uint64_t seq = c.beat;
    tick_after(6000000);
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_COMMAND;
    m.command = (struct hf_command){.id = "copy.2.us-1.2",
                                    .kind = HF_COMMAND_COPY,
                                    .generation = {1},
                                    .term = 10,
                                    .sequence = 50,
                                    .epoch = {2},
                                    .seq = seq,
                                    .life = c.life,
                                    .ttl = HF_SEC(5)};
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
    assert_null(effect(HF_EFFECT_PG_COPY)); /* past its deadline */
    m.command.seq = c.beat;
    m.command.life++;
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
    assert_null(effect(HF_EFFECT_PG_COPY)); /* meant for another life of this agent */
    m.command.life--;
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
    assert_non_null(effect(HF_EFFECT_PG_COPY));
    assert_true(effect(HF_EFFECT_PERSIST)->record.copying);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_PG_COPY));
}

static void copy_runs_once_for_an_id(void **state)
{
    (void)state;
    standby();
    command(HF_COMMAND_COPY, 1, "copy.1.us-1.1");
    assert_int_equal(c.state, HF_NODE_COPYING);
    done(true, 0);
    assert_int_equal(c.state, HF_NODE_STANDBY);
    command(HF_COMMAND_COPY, 1, "copy.1.us-1.1");
    assert_int_equal(c.state, HF_NODE_STANDBY); /* a healthy node is not wiped again */
    assert_null(effect(HF_EFFECT_PG_COPY));
}

static void half_made_copy_is_empty_after_a_crash(void **state)
{
    (void)state;
    standby();
    command(HF_COMMAND_COPY, 1, "copy.1.us-1.1");
    struct hf_agent_record record = c.record;
    begin(&record, false, "boot-a");
    pg.running = false;
    pg.known = false;
    look();
    assert_int_equal(c.state, HF_NODE_EMPTY);
}

static void prepare_at_the_primary_fences_first(void **state)
{
    (void)state;
    primary();
    command(HF_COMMAND_PREPARE, 3, "prepare.3.us-1");
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_false(effect(HF_EFFECT_PAGE)->open);
    done(true, 0);
    assert_int_equal(c.state, HF_NODE_PREPARING);
    assert_int_equal(c.record.surrendered.v, 2);
    assert_non_null(effect(HF_EFFECT_PG_FIND_END));
    done(true, 0x9000);
    assert_int_equal(c.state, HF_NODE_PREPARED);
    command(HF_COMMAND_LEAD, 3, "lead.3.us-1");
    tick_after(250000);
    grant_of(c.beat, 3, c.serial, 4);
    assert_non_null(effect(HF_EFFECT_PG_START_PRIMARY)); /* restart in place under a new epoch */
}

static void hand_promotion_is_ended(void **state)
{
    (void)state;
    prepared();
    command(HF_COMMAND_FOLLOW, 2, "follow.2.us-1");
    done(true, 0);
    pg.in_recovery = false;
    look();
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_non_null(effect(HF_EFFECT_PG_KILL));
}

static void unmanaged_primary_is_left_alone(void **state)
{
    (void)state;
    now_us = 1000000;
    begin(NULL, true, "boot-a");
    pg = (struct hf_pg_observation){.complete = true, .running = true, .known = true};
    look();
    assert_int_equal(c.state, HF_NODE_UNMANAGED);
    command(HF_COMMAND_PREPARE, 5, "prepare.5.us-1");
    assert_int_equal(c.record.epoch.v, 0);
    look();
    assert_int_equal(c.state, HF_NODE_UNMANAGED);
    command(HF_COMMAND_LEAD, 1, "lead.1.us-1");
    tick_after(250000);
    grant_of(c.beat, 1, c.serial, 1);
    assert_non_null(effect(HF_EFFECT_PG_ADOPT));
}

static void stop_keeps_the_lease_until_nothing_is_left(void **state)
{
    (void)state;
    primary();
    command(HF_COMMAND_STOP, 2, "stop.s-0001");
    assert_int_equal(c.state, HF_NODE_STOPPING);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_PG_STOP));
    assert_null(effect(HF_EFFECT_PAGE)); /* open: its last commits are answered */
    tick_after(250000);
    grant_of(c.beat, 2, c.serial, 3);
    assert_true(effect(HF_EFFECT_PAGE)->open); /* a long shutdown is not cut short */
    pg.running = pg.known = false;
    look();
    assert_int_equal(c.state, HF_NODE_STOPPING);
    done(true, 0);
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_false(effect(HF_EFFECT_PAGE)->open);
    assert_int_equal(c.record.surrendered.v, 0);
    done(true, 0); /* nothing was left to kill */
    assert_int_equal(c.state, HF_NODE_DOWN);
    assert_int_equal(c.record.surrendered.v, 2);
}

static void a_stop_that_outlasts_the_lease_is_cut_short(void **state)
{
    (void)state;
    primary();
    pg.guard = true;
    look();
    command(HF_COMMAND_STOP, 2, "stop.s-0001");
    tick_after(L_US + 1); /* the guard gives no grace to a server that is going */
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_non_null(effect(HF_EFFECT_PG_KILL));
}

/* Without a receiver PostgreSQL names the timeline of its last restart point. */
static void a_standby_that_lost_its_receiver_keeps_its_timeline(void **state)
{
    (void)state;
    standby();
    pg.timeline = HF_TLI(3);
    look();
    pg.timeline = HF_TLI(1);
    pg.streaming = false;
    look();
    assert_int_equal(c.pg.timeline.v, 3);
    pg.running = pg.known = false; /* down: whatever starts next is looked at anew */
    look();
    pg.running = pg.known = true;
    look();
    assert_int_equal(c.pg.timeline.v, 1);
    command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1"); /* asks PostgreSQL itself */
    step((struct hf_agent_event){.kind = HF_EVENT_EFFECT_DONE,
                                 .effect_id = c.effect_running,
                                 .ok = true,
                                 .end = {0x6000},
                                 .timeline = {3}});
    look();
    assert_int_equal(c.pg.timeline.v, 3);
}

static void only_the_holder_drains_and_stops(void **state)
{
    (void)state;
    standby();
    command(HF_COMMAND_DRAIN, 1, "drain.s-0001");
    assert_int_equal(c.op_status, HF_OP_FAILED);
    command(HF_COMMAND_STOP, 1, "stop.s-0001");
    assert_int_equal(c.op_status, HF_OP_FAILED);
    assert_null(effect(HF_EFFECT_PG_STOP));
    primary();
    command(HF_COMMAND_STOP, 3, "stop.s-0002"); /* of an epoch that it does not lead */
    assert_int_equal(c.op_status, HF_OP_FAILED);
    command(HF_COMMAND_DRAIN, 2, "drain.s-0003");
    assert_non_null(effect(HF_EFFECT_PG_DRAIN));
    done(false, 0);
    assert_int_equal(c.op_status, HF_OP_FAILED);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
}

static void view_of_a_newer_epoch_fences(void **state)
{
    (void)state;
    primary();
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_VIEW;
    m.view = (struct hf_view){.generation = {1}, .epoch = {3}, .term = 11, .ttl = {L_US}};
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
    assert_int_equal(c.state, HF_NODE_FENCING);
}

static void candidates_are_acknowledged_after_they_are_durable(void **state)
{
    (void)state;
    primary();
    tick_after(250000);
    grant_of(c.beat, 2, c.serial, 8);
    assert_true(position(HF_EFFECT_PERSIST) >= 0);
    assert_int_equal(effect(HF_EFFECT_PERSIST)->record.acked.version, 8);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_SEND));
    assert_int_equal(effect(HF_EFFECT_SEND)->message.heartbeat.candidates_acked, 8);
}

static void record_round_trips(void **state)
{
    (void)state;
    candidate();
    assert_true(ask(request(1, 3))->promised);
    struct hf_err err = {0};
    HF_BUF(text, 16384);
    struct hf_agent_record back;
    assert_true(hf_ok(hf_agent_record_encode(&c.record, &text, &err)));
    assert_true(hf_ok(hf_agent_record_decode(text.data, text.len, &back, &err)));
    HF_BUF(again, 16384);
    assert_true(hf_ok(hf_agent_record_encode(&back, &again, &err)));
    assert_string_equal(text.data, again.data);
    for (size_t n = 0; n < text.len; n++) {
        assert_false(hf_ok(hf_agent_record_decode(text.data, n, &back, &err)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepare_is_durable_before_it_acts),
        cmocka_unit_test(lead_needs_a_grant_before_anything_starts),
        cmocka_unit_test(foreign_grants_are_ignored),
        cmocka_unit_test(lease_end_closes_kills_then_surrenders),
        cmocka_unit_test(crashed_postmaster_is_surrendered_only_after_the_kill),
        cmocka_unit_test(a_postgresql_without_answers_is_said_to_be_silent),
        cmocka_unit_test(agent_restart_leaves_the_page_and_asks_under_a_new_serial),
        cmocka_unit_test(restart_after_a_crash_surrenders),
        cmocka_unit_test(failsafe_needs_every_member),
        cmocka_unit_test(promises_follow_the_rules),
        cmocka_unit_test(surrendered_serial_releases_its_promise_only),
        cmocka_unit_test(a_late_request_of_an_older_tenure_takes_no_promise_over),
        cmocka_unit_test(lost_record_and_reboot_wait_the_maximum),
        cmocka_unit_test(lower_order_and_late_commands_are_refused),
        cmocka_unit_test(copy_runs_once_for_an_id),
        cmocka_unit_test(half_made_copy_is_empty_after_a_crash),
        cmocka_unit_test(with_the_guard_a_late_grant_opens_the_same_epoch_again),
        cmocka_unit_test(with_the_guard_the_grace_ends_postgresql),
        cmocka_unit_test(with_the_guard_a_newer_epoch_ends_it_at_once),
        cmocka_unit_test(a_guard_that_is_not_seen_gives_no_grace),
        cmocka_unit_test(prepare_at_the_primary_fences_first),
        cmocka_unit_test(hand_promotion_is_ended),
        cmocka_unit_test(unmanaged_primary_is_left_alone),
        cmocka_unit_test(view_of_a_newer_epoch_fences),
        cmocka_unit_test(stop_keeps_the_lease_until_nothing_is_left),
        cmocka_unit_test(a_stop_that_outlasts_the_lease_is_cut_short),
        cmocka_unit_test(only_the_holder_drains_and_stops),
        cmocka_unit_test(a_standby_that_lost_its_receiver_keeps_its_timeline),
        cmocka_unit_test(candidates_are_acknowledged_after_they_are_durable),
        cmocka_unit_test(record_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
