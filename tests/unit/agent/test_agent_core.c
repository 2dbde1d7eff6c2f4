/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's decisions as holder, by story: each test walks one and looks at every effect.
 */
#include "agent_rig.h"

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
    start_agent(&record, false, "boot-a");
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
    start_agent(&record, false, "boot-b");
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
        cmocka_unit_test(with_the_guard_a_late_grant_opens_the_same_epoch_again),
        cmocka_unit_test(with_the_guard_the_grace_ends_postgresql),
        cmocka_unit_test(with_the_guard_a_newer_epoch_ends_it_at_once),
        cmocka_unit_test(a_guard_that_is_not_seen_gives_no_grace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
