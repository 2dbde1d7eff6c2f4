/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's answers to commands and to what happens to its PostgreSQL, by story.
 */
#include "agent_rig.h"

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
    start_agent(&record, false, "boot-a");
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
    start_agent(NULL, true, "boot-a");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_order_and_late_commands_are_refused),
        cmocka_unit_test(copy_runs_once_for_an_id),
        cmocka_unit_test(half_made_copy_is_empty_after_a_crash),
        cmocka_unit_test(prepare_at_the_primary_fences_first),
        cmocka_unit_test(hand_promotion_is_ended),
        cmocka_unit_test(unmanaged_primary_is_left_alone),
        cmocka_unit_test(view_of_a_newer_epoch_fences),
        cmocka_unit_test(stop_keeps_the_lease_until_nothing_is_left),
        cmocka_unit_test(a_stop_that_outlasts_the_lease_is_cut_short),
        cmocka_unit_test(only_the_holder_drains_and_stops),
        cmocka_unit_test(a_standby_that_lost_its_receiver_keeps_its_timeline),
        cmocka_unit_test(candidates_are_acknowledged_after_they_are_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
