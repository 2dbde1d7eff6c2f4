/* SPDX-License-Identifier: Apache-2.0
 *
 * Another generation (L12): which ADOPT an agent obeys, and what it does then.
 */
#include "agent_rig.h"

static struct hf_message m;

/* A node of generation 1 at epoch 3; it leads that epoch, or follows. */
static void begin(bool leads)
{
    struct hf_agent_config config = {.node = name("us-1"),
                                     .managed = true,
                                     .heartbeat = HF_MS(250),
                                     .ttl = {L_US},
                                     .margin_ppm = 10000,
                                     .grace = HF_SEC(15)};
    struct hf_agent_record r = {.generation = {1},
                                .epoch = {3},
                                .order = {{1}, 500, 7},
                                .serial = 4,
                                .led = {leads ? 3 : 1},
                                .surrendered = {1},
                                .known_version = 7,
                                .acked = {.version = 7, .count = 1, .members = {name("ap-1")}},
                                .max_ttl = {L_US},
                                .boot = "boot-a"};
    now_us = 5000000000;
    hf_agent_core_init(&c, &config, &r, false, "boot-a", 77, (hf_lclk){now_us});
    step((struct hf_agent_event){.kind = HF_EVENT_TICK});
    pg = (struct hf_pg_observation){.complete = true,
                                    .running = true,
                                    .processes = true,
                                    .known = true,
                                    .guard = true,
                                    .in_recovery = !leads,
                                    .streaming = !leads,
                                    .system_id = 42,
                                    .timeline = {2},
                                    .flushed = {0x5000}};
    step((struct hf_agent_event){.kind = HF_EVENT_PG, .pg = &pg});
    assert_int_equal(c.state, leads ? HF_NODE_PRIMARY : HF_NODE_STANDBY);
}

static void grant(uint64_t generation, uint64_t epoch)
{
    struct hf_message g;
    memset(&g, 0, sizeof g);
    g.type = HF_MESSAGE_GRANT;
    g.grant =
        (struct hf_grant){.seq = c.beat,
                          .life = c.life,
                          .generation = {generation},
                          .epoch = {epoch},
                          .term = 500,
                          .serial = c.serial,
                          .ttl = {L_US},
                          .candidates = {.version = 9, .count = 1, .members = {name("ap-1")}}};
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &g});
}

static void adoption(const char *body)
{
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_COMMAND;
    m.command = (struct hf_command){.id = "adopt.2.us-1",
                                    .kind = HF_COMMAND_ADOPT,
                                    .generation = {2},
                                    .term = 40, /* of a store that went back */
                                    .sequence = 1,
                                    .epoch = {4},
                                    .seq = c.beat,
                                    .life = c.life,
                                    .ttl = HF_SEC(5),
                                    .node = name("us-1"),
                                    .from_generation = {1}};
    (void)snprintf(m.command.body, sizeof m.command.body, "%s", body);
}

static void send(void)
{
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static void a_standby_follows(void **state)
{
    (void)state;
    begin(false);
    adoption("");
    send();
    assert_int_equal(c.record.generation.v, 2);
    assert_int_equal(c.record.epoch.v, 4);
    assert_int_equal(c.record.order.generation.v, 2);
    assert_int_equal(c.record.order.term, 40);
    assert_int_equal(c.record.known_version, 0); /* numbers of candidate sets begin anew */
    assert_int_equal(c.state, HF_NODE_STANDBY);
    assert_true(position(HF_EFFECT_PERSIST) >= 0);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_SEND));
    assert_int_equal(effect(HF_EFFECT_PERSIST)->record.generation.v, 2);
    assert_int_equal(effect(HF_EFFECT_SEND)->message.heartbeat.generation.v, 2);
    assert_null(effect(HF_EFFECT_PG_KILL));
}

/* Each changes one thing that makes the command not this node's. */
static void not_obeyed(void **state)
{
    (void)state;
    for (int which = 0; which < 8; which++) {
        begin(false);
        adoption("");
        switch (which) {
        case 0:
            m.command.node = name("ap-1");
            break;
        case 1:
            m.command.from_generation = HF_GENERATION(0);
            break;
        case 2:
            m.command.from_generation = HF_GENERATION(3);
            break;
        case 3:
            m.command.generation = HF_GENERATION(1); /* no other one */
            m.command.term = 501;
            break;
        case 4:
            m.command.epoch = HF_EPOCH(2); /* below what this node knows */
            break;
        case 5:
            m.command.life++;
            break;
        case 6:
            now_us += 6000000; /* past its deadline */
            break;
        default: /* in generation 2 already, further on */
            c.record.generation = HF_GENERATION(2);
            c.record.order = (struct hf_order){{2}, 40, 1};
            break;
        }
        uint64_t before = c.record.generation.v;
        send();
        assert_int_equal(c.record.generation.v, before);
        assert_int_equal(c.record.epoch.v, 3);
        assert_null(effect(HF_EFFECT_PG_KILL));
    }
}

/* An archive reports what its repository has; left behind it would not be heard, for ever. */
static void one_that_is_not_managed_follows_and_takes_no_epoch(void **state)
{
    (void)state;
    begin(false);
    c.config.managed = false;
    c.record.epoch = HF_EPOCH(0);
    adoption("");
    send();
    assert_int_equal(c.record.generation.v, 2);
    assert_int_equal(c.record.epoch.v, 0);
    assert_non_null(effect(HF_EFFECT_PERSIST));
    assert_null(effect(HF_EFFECT_PG_KILL));
    assert_null(effect(HF_EFFECT_PG_STOP));
}

static void a_replay_does_nothing(void **state)
{
    (void)state;
    begin(true);
    grant(1, 3);
    adoption("{\"lead\":true}");
    struct hf_message replay = m;
    send();
    uint64_t serial = c.serial;
    assert_int_equal(c.record.generation.v, 2);
    m = replay;
    send(); /* the very same */
    assert_int_equal(c.serial, serial);
    assert_null(effect(HF_EFFECT_PERSIST));
    m.command.from_generation = HF_GENERATION(2); /* forged: the order tells (L10) */
    m.command.generation = HF_GENERATION(2);
    send();
    assert_int_equal(c.serial, serial);
    m = replay; /* late, after another recovery */
    c.record.generation = HF_GENERATION(3);
    c.record.order = (struct hf_order){{3}, 60, 1};
    send();
    assert_int_equal(c.record.generation.v, 3);
    assert_null(effect(HF_EFFECT_PG_KILL));
}

static void only_adopt_crosses_generations(void **state)
{
    (void)state;
    for (int kind = 0; kind < HF_COMMAND_KINDS; kind++) {
        if (kind == HF_COMMAND_ADOPT) {
            continue;
        }
        begin(false);
        adoption("");
        m.command.kind = (enum hf_command_kind)kind;
        send();
        assert_int_equal(c.record.generation.v, 1);
        assert_int_equal(c.record.epoch.v, 3);
        assert_int_equal(c.state, HF_NODE_STANDBY);
    }
    begin(true);
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_VIEW;
    m.view = (struct hf_view){.generation = {2}, .epoch = {9}, .term = 40, .ttl = {L_US}};
    send();
    assert_int_equal(c.record.generation.v, 1);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    grant(2, 3);
    assert_false(c.holding);
}

static void the_primary_goes_on_under_what_is_left_of_its_lease(void **state)
{
    (void)state;
    begin(true);
    grant(1, 3);
    assert_true(c.holding);
    hf_lclk end = c.deadline;
    uint64_t serial = c.serial;
    now_us += 1000000;
    adoption("{\"lead\":true}");
    send();
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    assert_true(c.holding);
    assert_int_equal(c.deadline.us, end.us);
    assert_null(effect(HF_EFFECT_PAGE)); /* not before the new generation grants */
    assert_null(effect(HF_EFFECT_PG_KILL));
    assert_int_equal(hf_agent_core_newest_epoch(&c).v, 3); /* or the page would end PostgreSQL */
    assert_int_equal(c.record.led.v, 4);
    assert_int_equal(c.serial, serial + 1);
    assert_int_equal(c.record.acked.version, 0);
    const struct hf_heartbeat *b = &effect(HF_EFFECT_SEND)->message.heartbeat;
    assert_int_equal(b->lease_epoch.v, 4);
    assert_int_equal(b->lease_remaining.us, 0); /* of epoch 4 it holds nothing yet */
    assert_true(b->want_lease);
    now_us += 100000;
    grant(1, 3); /* of the generation that it left */
    assert_null(effect(HF_EFFECT_PAGE));
    grant(2, 4);
    assert_non_null(effect(HF_EFFECT_PAGE));
    assert_true(effect(HF_EFFECT_PAGE)->open);
    assert_int_equal(effect(HF_EFFECT_PAGE)->epoch.v, 4);
    assert_int_equal(effect(HF_EFFECT_PAGE)->serial, serial + 1);
    assert_int_equal(hf_agent_core_newest_epoch(&c).v, 4);
}

static void a_soft_fenced_primary_goes_on(void **state)
{
    (void)state;
    begin(true);
    grant(1, 3);
    c.record.acked.version = 0; /* no failsafe */
    now_us += L_US;
    step((struct hf_agent_event){.kind = HF_EVENT_TICK});
    assert_false(c.holding);
    assert_int_equal(c.state, HF_NODE_PRIMARY); /* within the grace */
    adoption("{\"lead\":true}");
    send();
    grant(2, 4);
    assert_true(c.holding);
    assert_int_equal(c.soft_until.us, 0);
    assert_null(effect(HF_EFFECT_PG_KILL));
}

static void promises_of_the_generation_left_extend_nothing(void **state)
{
    (void)state;
    begin(true);
    grant(1, 3);
    now_us += 3000000;
    step((struct hf_agent_event){.kind = HF_EVENT_TICK});
    assert_true(c.round_open);
    hf_lclk end = c.deadline;
    struct hf_message reply;
    memset(&reply, 0, sizeof reply);
    reply.type = HF_MESSAGE_PROMISE_REPLY;
    reply.promise_reply = (struct hf_promise_reply){.round = c.round,
                                                    .holder = name("us-1"),
                                                    .from = name("ap-1"),
                                                    .epoch = {3},
                                                    .serial = c.serial,
                                                    .promised = true};
    adoption("{\"lead\":true}");
    send();
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &reply});
    assert_int_equal(c.deadline.us, end.us);
}

static void a_primary_that_is_not_the_choice_is_fenced(void **state)
{
    (void)state;
    begin(true);
    grant(1, 3);
    adoption("");
    send();
    assert_int_equal(c.state, HF_NODE_FENCING);
    assert_true(position(HF_EFFECT_PERSIST) < position(HF_EFFECT_PG_KILL));
    assert_false(effect(HF_EFFECT_PAGE)->open);
    assert_int_equal(hf_agent_core_newest_epoch(&c).v, 4);
    step((struct hf_agent_event){
        .kind = HF_EVENT_EFFECT_DONE, .effect_id = c.effect_running, .ok = true});
    assert_int_equal(c.record.surrendered.v, 3);
}

static void a_standby_told_to_go_on_refuses(void **state)
{
    (void)state;
    begin(false);
    adoption("{\"lead\":true}");
    send();
    assert_int_equal(c.record.generation.v, 1);
    assert_int_equal(c.op_status, HF_OP_FAILED);
    assert_int_equal(strncmp(c.op_error, "NOT_LEADING", 11), 0);
}

static void a_restart_before_the_first_grant_keeps_the_page(void **state)
{
    (void)state;
    begin(true);
    grant(1, 3);
    adoption("{\"lead\":true}");
    send();
    struct hf_agent_record r = c.record;
    struct hf_agent_config config = c.config;
    hf_agent_core_init(&c, &config, &r, false, "boot-a", 78, (hf_lclk){now_us});
    step((struct hf_agent_event){.kind = HF_EVENT_TICK});
    assert_true(hf_agent_core_newest_epoch(&c).v < 4); /* the page is of epoch 3 */
    step((struct hf_agent_event){.kind = HF_EVENT_PG, .pg = &pg});
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    assert_true(hf_agent_core_newest_epoch(&c).v < 4);
    assert_true(c.want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_standby_follows),
        cmocka_unit_test(not_obeyed),
        cmocka_unit_test(one_that_is_not_managed_follows_and_takes_no_epoch),
        cmocka_unit_test(a_replay_does_nothing),
        cmocka_unit_test(only_adopt_crosses_generations),
        cmocka_unit_test(the_primary_goes_on_under_what_is_left_of_its_lease),
        cmocka_unit_test(a_soft_fenced_primary_goes_on),
        cmocka_unit_test(promises_of_the_generation_left_extend_nothing),
        cmocka_unit_test(a_primary_that_is_not_the_choice_is_fenced),
        cmocka_unit_test(a_standby_told_to_go_on_refuses),
        cmocka_unit_test(a_restart_before_the_first_grant_keeps_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
