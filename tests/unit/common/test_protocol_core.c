/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages, lease arithmetic, exposure, the state table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/core/exposure.h"
#include "common/core/lease.h"
#include "common/core/message.h"
#include "common/core/statetable.h"

static hf_name name(const char *text)
{
    hf_name n = {0};
    (void)snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

static void round_trip(const struct hf_message *m)
{
    struct hf_err err = {0};
    struct hf_message back;
    memset(&back, 0, sizeof back);
    HF_BUF(text, HF_MESSAGE_MAX);
    assert_true(hf_ok(hf_message_encode(m, &text, &err)));
    assert_true(hf_ok(hf_message_decode(text.data, text.len, &back, &err)));
    HF_BUF(again, HF_MESSAGE_MAX);
    assert_true(hf_ok(hf_message_encode(&back, &again, &err)));
    assert_string_equal(text.data, again.data);
    assert_int_equal(m->type, back.type);
}

static void messages_round_trip(void **state)
{
    (void)state;
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_HELLO;
    m.hello = (struct hf_hello){name("demo"),     name("main"), name("eu"), name("eu-1"),
                                "127.0.1.1:5432", "0.1.0",      "boot"};
    round_trip(&m);
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_HEARTBEAT;
    m.heartbeat.seq = UINT64_MAX;
    m.heartbeat.life = 7;
    m.heartbeat.clock_us = -5;
    m.heartbeat.state = HF_NODE_FOLLOWING;
    m.heartbeat.flushed = HF_LSN(0x16B374D848ULL);
    m.heartbeat.lease_remaining = HF_MS(4600);
    m.heartbeat.lease_source = HF_LEASE_FAILSAFE;
    (void)snprintf(m.heartbeat.op_error, sizeof m.heartbeat.op_error, "quoted \"text\" \n");
    round_trip(&m);
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_GRANT;
    m.grant = (struct hf_grant){.seq = 3, .life = 7, .epoch = {2}, .ttl = HF_SEC(6)};
    m.grant.candidates.version = 9;
    m.grant.candidates.count = 2;
    m.grant.candidates.members[0] = name("us-1");
    m.grant.candidates.members[1] = name("ap-1");
    round_trip(&m);
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_COMMAND;
    m.command.kind = HF_COMMAND_COPY;
    m.command.ttl = HF_SEC(5);
    (void)snprintf(m.command.id, sizeof m.command.id, "copy.2.eu-1.1");
    round_trip(&m);
}

static void messages_refuse_what_breaks_a_bound(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum hf_code code;
    } bad[] = {
        {"", HF_E_INVALID},
        {"[]", HF_E_INVALID},
        {"{\"type\":\"hello\"}", HF_E_INVALID},
        {"{\"v\":2,\"type\":\"hello\"}", HF_E_UNSUPPORTED},
        {"{\"v\":1,\"type\":\"dance\"}", HF_E_UNSUPPORTED},
        {"{\"v\":1,\"type\":\"hello\",\"tenant\":\"demo\"}", HF_E_INVALID},
        {"{\"v\":1,\"type\":\"hello\",\"tenant\":\"../x\",\"cluster\":\"m\",\"region\":\"r\","
         "\"node\":\"n\"}",
         HF_E_INVALID},
        {"{\"v\":1,\"type\":\"heartbeat\",\"seq\":\"1\"}", HF_E_INVALID},
        {"{\"v\":1,\"type\":\"heartbeat\",\"seq\":\"-1\",\"life\":\"1\"}", HF_E_INVALID},
        {"{\"v\":1,\"type\":\"heartbeat\",\"seq\":\"1\",\"life\":\"1\",\"state\":\"asleep\"}",
         HF_E_INVALID},
        {"{\"v\":1,\"type\":\"heartbeat\",\"seq\":\"1\",\"life\":\"1\",\"timeline\":"
         "\"4294967296\"}",
         HF_E_INVALID},
        {"{\"v\":1,\"type\":\"heartbeat\",\"seq\":\"1\",\"life\":\"1\",\"flushed\":\"x\"}",
         HF_E_INVALID},
        {"{\"v\":1,\"type\":\"grant\",\"epoch\":\"1\",\"ttl_us\":\"0\"}", HF_E_INVALID},
        {"{\"v\":1,\"type\":\"grant\",\"epoch\":\"1\",\"epoch\":\"2\",\"ttl_us\":\"5\"}",
         HF_E_INVALID},
        {"{\"v\":1,\"type\":\"report\"}", HF_E_INVALID},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hf_message m;
        memset(&m, 0x5a, sizeof m);
        struct hf_err err = {0};
        assert_int_equal(hf_message_decode(bad[i].text, strlen(bad[i].text), &m, &err).code,
                         bad[i].code);
        assert_true(err.text[0] != '\0');
        assert_int_equal(m.type, 0x5a5a5a5a); /* untouched */
    }
}

static void waiting_is_longer_than_holding(void **state)
{
    (void)state;
    for (int ppm = 0; ppm <= 100000; ppm += 5000) {
        for (int64_t ms = HF_LEASE_TTL_MIN_MS; ms <= HF_LEASE_TTL_MAX_MS; ms += 777) {
            /* The holder's clock runs slow by the margin, the waiter's is right. */
            double real = (double)ms * 1000.0 * (1.0 + (double)ppm / 1e6);
            assert_true((double)hf_lease_wait(HF_MS(ms), ppm).us > real);
        }
    }
}

static void sent_ring_forgets_the_old(void **state)
{
    (void)state;
    struct hf_sent_ring ring;
    memset(&ring, 0, sizeof ring);
    hf_lclk at = {0};
    assert_false(hf_sent_ring_get(&ring, 0, &at));
    assert_false(hf_sent_ring_get(&ring, 1, &at));
    for (uint64_t i = 1; i <= 1000; i++) {
        hf_sent_ring_put(&ring, i, (hf_lclk){(int64_t)i * 10});
    }
    assert_true(hf_sent_ring_get(&ring, 1000, &at) && at.us == 10000);
    assert_true(hf_sent_ring_get(&ring, 1000 - HF_SENT_RING + 1, &at));
    assert_false(hf_sent_ring_get(&ring, 1000 - HF_SENT_RING, &at));
    assert_false(hf_sent_ring_get(&ring, 1001, &at));
}

static void order_is_generation_term_sequence(void **state)
{
    (void)state;
    struct hf_order a = {{1}, 5, 9};
    struct hf_order b = {{1}, 6, 1};
    struct hf_order c = {{2}, 1, 1};
    assert_true(hf_order_compare(&a, &b) < 0 && hf_order_compare(&b, &c) < 0);
    assert_true(hf_order_compare(&c, &a) > 0 && hf_order_compare(&a, &a) == 0);
}

static void exposure_is_never_less_than_the_truth(void **state)
{
    (void)state;
    static struct hf_exposure_ring ring;
    memset(&ring, 0, sizeof ring);
    assert_false(hf_exposure_measure(&ring, HF_LSN(1), 0).known);
    for (int i = 0; i <= 100; i++) {
        hf_exposure_add(&ring, HF_EPOCH(1), 1, i * 100000, HF_US(0), HF_LSN(1000 + i * 10),
                        (hf_lclk){i * 100000});
    }
    struct hf_exposure e = hf_exposure_measure(&ring, HF_LSN(2000), 10000000);
    assert_true(e.known && e.bytes == 0 && e.age.us == 0);
    e = hf_exposure_measure(&ring, HF_LSN(1500), 10000000);
    assert_true(e.known && e.bytes == 500 && e.age.us == 5000000);
    e = hf_exposure_measure(&ring, HF_LSN(1495), 10000000);
    assert_true(e.known && e.age.us == 5100000); /* by the last sample at or before it */
    assert_false(hf_exposure_measure(&ring, HF_LSN(999), 10000000).known);
    /* An idle hour takes one slot, and what comes after it is young. */
    for (int i = 0; i < 36000; i++) {
        hf_exposure_add(&ring, HF_EPOCH(1), 1, 10000000 + i * INT64_C(100000), HF_US(0),
                        HF_LSN(2000), (hf_lclk){10000000 + i * INT64_C(100000)});
    }
    assert_true(ring.count < 110);
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 3610000000LL, HF_US(0), HF_LSN(2010),
                    (hf_lclk){3610000000LL});
    e = hf_exposure_measure(&ring, HF_LSN(2000), 3610100000LL);
    assert_true(e.known && e.age.us <= 300000);
    /* Another life knows nothing of the past. */
    hf_exposure_add(&ring, HF_EPOCH(1), 2, 5, HF_US(0), HF_LSN(3000), (hf_lclk){5});
    assert_false(hf_exposure_measure(&ring, HF_LSN(2500), 10).known);
}

static void loss_counts_what_was_not_seen(void **state)
{
    (void)state;
    static struct hf_exposure_ring ring;
    memset(&ring, 0, sizeof ring);
    for (int i = 0; i <= 100; i++) {
        hf_exposure_add(&ring, HF_EPOCH(1), 1, i * 100000, HF_US(0), HF_LSN(1000 + i * 10),
                        (hf_lclk){i * 100000});
    }
    struct hf_exposure e = hf_exposure_loss(&ring, HF_LSN(2000), 12000000, 0);
    /* 2 s unseen at 100 bytes a second, and a quarter more. */
    assert_true(e.known && e.age.us == 2000000 && e.bytes >= 240 && e.bytes <= 260);
    e = hf_exposure_loss(&ring, HF_LSN(2000), 12000000, 10000);
    assert_true(e.known && e.age.us == 2020000); /* either clock may run 1 % slow */
    e = hf_exposure_loss(&ring, HF_LSN(1900), 12000000, 0);
    assert_true(e.known && e.age.us == 3000000 && e.bytes >= 340 && e.bytes <= 360);
    assert_false(hf_exposure_loss(&ring, HF_LSN(10), 12000000, 0).known);
    /* A segment that a backup skipped counts once, not once a second. */
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 10100000, HF_US(0), HF_LSN(16777216),
                    (hf_lclk){10100000});
    e = hf_exposure_loss(&ring, HF_LSN(16777216), 18100000, 0);
    assert_true(e.known && e.bytes > 16000000 && e.bytes < 17000000);
    /* Seen for less than a second: no rate, so nothing bounds what came unseen. */
    memset(&ring, 0, sizeof ring);
    for (int i = 0; i <= 5; i++) {
        hf_exposure_add(&ring, HF_EPOCH(2), 1, i * 100000, HF_US(0), HF_LSN(1000),
                        (hf_lclk){i * 100000});
    }
    assert_false(hf_exposure_loss(&ring, HF_LSN(1000), 3000000, 0).known);
}

static void clock_of_the_primary_by_its_promptest_sample(void **state)
{
    (void)state;
    static struct hf_exposure_ring ring;
    memset(&ring, 0, sizeof ring);
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 1000000, HF_US(0), HF_LSN(1), (hf_lclk){501020000});
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 1250000, HF_US(0), HF_LSN(2), (hf_lclk){501255000});
    assert_int_equal(hf_exposure_clock(&ring, (hf_lclk){501255000}), 1250000);
    /* Held back for three seconds by the network; then one that repeats an old position. */
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 1500000, HF_US(0), HF_LSN(3), (hf_lclk){504600000});
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 1500000, HF_US(0), HF_LSN(3), (hf_lclk){506000000});
    assert_int_equal(hf_exposure_clock(&ring, (hf_lclk){506000000}), 5995000);
    /* It is forgotten after two periods: clocks drift. */
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 70000000, HF_US(0), HF_LSN(4), (hf_lclk){570100000});
    assert_int_equal(hf_exposure_clock(&ring, (hf_lclk){570100000}), 70095000);
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 140000000, HF_US(0), HF_LSN(5), (hf_lclk){640100000});
    assert_int_equal(hf_exposure_clock(&ring, (hf_lclk){640100000}), 140000000);
}

/* Positions that are read 200 ms before each heartbeat, as two timers of one period do it. */
static void a_position_is_as_old_as_its_reading(void **state)
{
    (void)state;
    static struct hf_exposure_ring ring;
    memset(&ring, 0, sizeof ring);
    for (int64_t i = 1; i <= 20; i++) {
        int64_t sent = i * 250000;
        hf_exposure_add(&ring, HF_EPOCH(1), 1, sent - 200000, HF_MS(200), HF_LSN((uint64_t)i * 10),
                        (hf_lclk){9000000 + sent});
    }
    int64_t now_us = hf_exposure_clock(&ring, (hf_lclk){9000000 + 5000000});
    assert_int_equal(now_us, 5000000);
    assert_int_equal(hf_exposure_measure(&ring, HF_LSN(190), now_us).age.us, 450000);
    /* A peer's nonsense does not move the clock. */
    hf_exposure_add(&ring, HF_EPOCH(1), 1, 5000000, HF_US(-7000000), HF_LSN(210),
                    (hf_lclk){9000000 + 5000000});
    assert_int_equal(hf_exposure_clock(&ring, (hf_lclk){9000000 + 5000000}), 5000000);
}

static void node_table_leads_somewhere(void **state)
{
    (void)state;
    bool reached[HF_NODE_STATES] = {[HF_NODE_UNKNOWN] = true};
    for (int round = 0; round < HF_NODE_STATES; round++) {
        for (size_t i = 0; i < hf_node_table_rows; i++) {
            assert_true(hf_node_table[i].guard[0] != '\0');
            if (reached[hf_node_table[i].from]) {
                reached[hf_node_table[i].to] = true;
            }
        }
    }
    for (int s = 0; s < HF_NODE_STATES; s++) {
        assert_true(reached[s]);
        bool leaves = s == HF_NODE_ARCHIVE;
        for (size_t i = 0; i < hf_node_table_rows; i++) {
            leaves |= hf_node_table[i].from == (enum hf_node_state)s;
        }
        assert_true(leaves);
    }
    /* Nobody becomes primary but under a lease, or by going on with one. */
    for (size_t i = 0; i < hf_node_table_rows; i++) {
        if (hf_node_table[i].to == HF_NODE_PRIMARY) {
            assert_true(hf_node_table[i].from == HF_NODE_STARTING ||
                        hf_node_table[i].from == HF_NODE_UNKNOWN);
        }
    }
    for (size_t i = 0; i < hf_node_table_rows; i++) {
        for (size_t j = i + 1; j < hf_node_table_rows; j++) {
            assert_false(hf_node_table[i].from == hf_node_table[j].from &&
                         hf_node_table[i].to == hf_node_table[j].to);
        }
    }
}

static bool ends(enum hf_step s)
{
    return s == HF_STEP_DONE || s == HF_STEP_FAILED;
}

static void plan_table_terminates(void **state)
{
    (void)state;
    /* Only forward: so every plan ends; and an end can be reached from every step. */
    for (size_t i = 0; i < hf_step_table_rows; i++) {
        assert_true(hf_step_table[i].from < hf_step_table[i].to);
        assert_false(ends(hf_step_table[i].from));
    }
    for (int s = HF_STEP_PREPARE; s < HF_STEPS; s++) {
        bool out = ends((enum hf_step)s);
        bool in = s == HF_STEP_PREPARE;
        for (size_t i = 0; i < hf_step_table_rows; i++) {
            out |= hf_step_table[i].from == (enum hf_step)s;
            in |= hf_step_table[i].to == (enum hf_step)s;
        }
        assert_true(out && in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_round_trip),
        cmocka_unit_test(messages_refuse_what_breaks_a_bound),
        cmocka_unit_test(waiting_is_longer_than_holding),
        cmocka_unit_test(sent_ring_forgets_the_old),
        cmocka_unit_test(order_is_generation_term_sequence),
        cmocka_unit_test(exposure_is_never_less_than_the_truth),
        cmocka_unit_test(loss_counts_what_was_not_seen),
        cmocka_unit_test(clock_of_the_primary_by_its_promptest_sample),
        cmocka_unit_test(a_position_is_as_old_as_its_reading),
        cmocka_unit_test(node_table_leads_somewhere),
        cmocka_unit_test(plan_table_terminates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
