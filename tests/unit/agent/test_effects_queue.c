/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of effects: nothing passes a record that is not durable, except the page and the end of
 * PostgreSQL; operations one at a time, the end of PostgreSQL over all others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/node/effects.h"
#include "agent/node/executor.h"
#include "common/base/mem.h"

/* What the sinks were given, in order: "page", "beat 3", "reply 7", "persist 2", "op 9". */
static char trace[4096];

static void note(const char *what, unsigned long long n)
{
    size_t len = strlen(trace);
    snprintf(trace + len, sizeof(trace) - len, "%s%llu ", what, n);
}

static void sink_page(void *arg, const struct hf_agent_effect *e)
{
    (void)arg;
    note("page", (unsigned long long)e->epoch.v);
}
static void sink_send(void *arg, const struct hf_message *m)
{
    (void)arg;
    if (m->type == HF_MESSAGE_HEARTBEAT) {
        note("beat", (unsigned long long)m->heartbeat.seq);
    } else {
        note("ask", (unsigned long long)m->promise_request.round);
    }
}
static void sink_reply(void *arg, unsigned origin, const struct hf_message *m)
{
    (void)arg;
    (void)m;
    note("reply", origin);
}
static void sink_operate(void *arg, const struct hf_agent_effect *e)
{
    (void)arg;
    note("op", (unsigned long long)e->id);
}
static void sink_persist(void *arg, const struct hf_agent_record *record)
{
    (void)arg;
    note("persist", (unsigned long long)record->serial);
}

static const struct hf_effect_sinks sinks = {.page = sink_page,
                                             .send = sink_send,
                                             .reply = sink_reply,
                                             .operate = sink_operate,
                                             .persist = sink_persist};
static struct hf_agent_effects fx;

static struct hf_agent_effect *add(enum hf_agent_effect_kind kind)
{
    struct hf_agent_effect *e = &fx.list[fx.count++];
    memset(e, 0, sizeof(*e));
    e->kind = kind;
    return e;
}
static void add_record(uint64_t n)
{
    add(HF_EFFECT_PERSIST)->record.serial = n;
}
static void add_beat(uint64_t n)
{
    struct hf_agent_effect *e = add(HF_EFFECT_SEND);
    e->message.type = HF_MESSAGE_HEARTBEAT;
    e->message.heartbeat.seq = n;
}
static void add_op(enum hf_agent_effect_kind kind, uint64_t id)
{
    add(kind)->id = id;
}

static void push(struct hf_effects_queue *q, unsigned origin)
{
    hf_effects_push(q, &fx, origin);
    fx.count = 0;
}

static void expect(const char *wanted)
{
    assert_string_equal(trace, wanted);
    trace[0] = '\0';
}

static int setup(void **state)
{
    trace[0] = '\0';
    fx.count = 0;
    *state = hf_effects_new(&sinks, NULL);
    return 0;
}
static int teardown(void **state)
{
    hf_effects_free(*state);
    return 0;
}

static void test_without_a_record_all_is_done_at_once(void **state)
{
    struct hf_effects_queue *q = *state;
    add_beat(1);
    add(HF_EFFECT_REPLY);
    add_op(HF_EFFECT_PG_PROBE, 5);
    push(q, 3);
    expect("beat1 reply3 op5 ");
    assert_int_equal(hf_effects_waiting(q), 0);
}

static void test_a_record_holds_back_what_follows(void **state)
{
    struct hf_effects_queue *q = *state;
    add_beat(1);
    add_record(1);
    add(HF_EFFECT_REPLY);
    add_record(2);
    add_op(HF_EFFECT_PG_PROMOTE, 7);
    push(q, 4);
    expect("beat1 persist1 ");
    add_beat(2);
    push(q, 0);
    expect("");
    hf_effects_persisted(q, true);
    expect("reply4 persist2 ");
    hf_effects_persisted(q, true);
    expect("op7 beat2 ");
}

static void test_page_and_end_of_postgresql_wait_for_nothing(void **state)
{
    struct hf_effects_queue *q = *state;
    add_record(1);
    add(HF_EFFECT_PAGE)->epoch = HF_EPOCH(6);
    add_op(HF_EFFECT_PG_KILL, 8);
    add_op(HF_EFFECT_PG_FOLLOW, 9);
    push(q, 0);
    expect("page6 op8 persist1 ");
    hf_effects_persisted(q, true);
    expect("op9 ");
}

static void test_a_kill_makes_void_what_waits_behind_a_record(void **state)
{
    struct hf_effects_queue *q = *state;
    add_record(1);
    add_op(HF_EFFECT_PG_START_PRIMARY, 7);
    add_beat(1);
    push(q, 0);
    expect("persist1 ");
    add_op(HF_EFFECT_PG_KILL, 8);
    push(q, 0);
    expect("op8 ");
    hf_effects_persisted(q, true);
    expect("beat1 "); /* and no start after the kill */
    add_record(2);
    push(q, 0);
    expect("persist2 "); /* the queue is whole */
    hf_effects_persisted(q, true);
    assert_int_equal(hf_effects_waiting(q), 0);
}

static void test_a_record_that_failed_is_written_again(void **state)
{
    struct hf_effects_queue *q = *state;
    add_record(1);
    add(HF_EFFECT_REPLY);
    push(q, 1);
    hf_effects_persisted(q, false);
    hf_effects_persisted(q, false);
    expect("persist1 persist1 persist1 ");
    hf_effects_persisted(q, true);
    expect("reply1 ");
}

static void test_only_the_newest_heartbeat_waits(void **state)
{
    struct hf_effects_queue *q = *state;
    add_record(1);
    push(q, 0);
    for (uint64_t i = 1; i <= 100; i++) {
        add_beat(i);
        push(q, 0);
    }
    assert_int_equal(hf_effects_waiting(q), 2);
    trace[0] = '\0';
    hf_effects_persisted(q, true);
    expect("beat100 ");
}

static void test_a_stalled_disk_does_not_grow_the_queue(void **state)
{
    struct hf_effects_queue *q = *state;
    for (uint64_t i = 1; i <= 2000; i++) {
        add_record(i);
        add(HF_EFFECT_REPLY);
        add_beat(i);
        push(q, 0);
    }
    assert_true(hf_effects_waiting(q) <= HF_EFFECTS_QUEUE_MAX);
    assert_true(hf_effects_dropped(q) > 0);
    char last[64] = "";
    for (int i = 0; hf_effects_waiting(q) > 0 && i < 1000; i++) {
        trace[0] = '\0';
        hf_effects_persisted(q, true);
        const char *p = strstr(trace, "persist");
        if (p != NULL) {
            snprintf(last, sizeof(last), "%s", p);
        }
    }
    assert_string_equal(last, "persist2000 "); /* the newest record was not lost */
}

/* --- the executor --- */

static struct hf_loop *loop;
static struct hf_pool *pool;
static char ended[1024];
static atomic_int started;
static atomic_int kills;
static atomic_bool alive; /* a PostgreSQL that an operation started */

static void run_scripted(struct hf_op *op)
{
    op->result = hf_done();
    if (op->kind == HF_EFFECT_PG_KILL) {
        atomic_fetch_add(&kills, 1);
        atomic_store(&alive, false);
        return;
    }
    atomic_fetch_add(&started, 1);
    if (op->kind == HF_EFFECT_PG_START_PRIMARY) {
        /* Sees the cancellation late, and has started a server before it returns. */
        while (!hf_job_canceled(&op->job)) {
            poll(NULL, 0, 1);
        }
        poll(NULL, 0, 50);
        atomic_store(&alive, true);
    }
}

static void on_ended(void *arg, const struct hf_op *op)
{
    (void)arg;
    size_t len = strlen(ended);
    snprintf(ended + len, sizeof(ended) - len, "%llu ", (unsigned long long)op->id);
}

static void turn_until(struct hf_executor *x)
{
    struct hf_err err;
    for (int i = 0; i < 2000 && hf_executor_busy(x); i++) {
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(5), &err)));
    }
    assert_false(hf_executor_busy(x));
}

static void start(struct hf_executor *x, enum hf_agent_effect_kind kind, uint64_t id)
{
    struct hf_agent_effect *e = hf_alloc(sizeof(*e));
    e->kind = kind;
    e->id = id;
    hf_executor_start(x, e);
    hf_free(e);
}

static void test_operations_and_the_end_of_postgresql(void **state)
{
    (void)state;
    struct hf_err err;
    static struct hf_op_env env;
    assert_true(hf_ok(hf_loop_new(&loop, &err)));
    assert_true(hf_ok(hf_pool_new(loop, 4, 64, &pool, &err)));
    struct hf_executor *x = hf_executor_new(pool, &env, on_ended, NULL);
    hf_executor_set_run(x, run_scripted);

    start(x, HF_EFFECT_PG_PROBE, 1);
    turn_until(x);
    assert_string_equal(ended, "1 ");

    /* A start that is canceled too late to notice cannot slip past the end of PostgreSQL. */
    ended[0] = '\0';
    atomic_store(&started, 0);
    start(x, HF_EFFECT_PG_START_PRIMARY, 2);
    while (atomic_load(&started) == 0) {
        poll(NULL, 0, 1);
    }
    start(x, HF_EFFECT_PG_KILL, 3);
    start(x, HF_EFFECT_PG_KILL, 4); /* asked again meanwhile: the newest number is reported */
    turn_until(x);
    assert_string_equal(ended, "4 ");
    assert_false(atomic_load(&alive));
    assert_true(atomic_load(&kills) >= 2);

    /* One after the other: the second begins when the first has returned. */
    ended[0] = '\0';
    start(x, HF_EFFECT_PG_START_PRIMARY, 5);
    start(x, HF_EFFECT_PG_PROBE, 6);
    turn_until(x);
    assert_string_equal(ended, "6 ");

    hf_executor_cancel(x);
    hf_pool_free(pool);
    hf_executor_free(x);
    hf_loop_free(loop);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_without_a_record_all_is_done_at_once),
        T(test_a_record_holds_back_what_follows),
        T(test_page_and_end_of_postgresql_wait_for_nothing),
        T(test_a_kill_makes_void_what_waits_behind_a_record),
        T(test_a_record_that_failed_is_written_again),
        T(test_only_the_newest_heartbeat_waits),
        T(test_a_stalled_disk_does_not_grow_the_queue),
        cmocka_unit_test(test_operations_and_the_end_of_postgresql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
