/* SPDX-License-Identifier: Apache-2.0
 *
 * What a candidate promises to a holder that the leader does not reach (L4), by story.
 */
#include "agent_rig.h"

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
    start_agent(&record, false, "boot-b");
    assert_true(c.record.promise_until.us >= now_us + L_US);
    assert_int_equal(c.record.promise_serial, 0); /* nothing but time releases it */
    start_agent(NULL, false, "boot-b");
    assert_true(c.record.promise_until.us >= now_us + (int64_t)HF_LEASE_TTL_MAX_MS * 1000);
    start_agent(NULL, true, "boot-b");
    assert_int_equal(c.record.promise_epoch.v, 0);
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
        cmocka_unit_test(promises_follow_the_rules),
        cmocka_unit_test(surrendered_serial_releases_its_promise_only),
        cmocka_unit_test(a_late_request_of_an_older_tenure_takes_no_promise_over),
        cmocka_unit_test(lost_record_and_reboot_wait_the_maximum),
        cmocka_unit_test(record_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
