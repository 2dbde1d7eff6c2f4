/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/loop.h"
#include "common/io/worker.h"

static struct hf_loop *loop;

static int make_loop(void **state)
{
    (void)state;
    return hf_ok(hf_loop_new(&loop, NULL)) ? 0 : -1;
}
static int drop_loop(void **state)
{
    (void)state;
    hf_loop_free(loop);
    return 0;
}

/* Runs the loop until *flag is at least n, at most 10 s. */
static void run_until(const int *flag, int n)
{
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(10));
    while (*flag < n && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(100), NULL)));
    }
    assert_true(*flag >= n);
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static char order[16];
static void note(void *arg)
{
    size_t n = strlen(order);
    snprintf(order + n, sizeof(order) - n, "%s", (const char *)arg);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    (void)state;
    order[0] = '\0';
    char a[] = "a", b[] = "b", c[] = "c";
    int last = 0;
    struct hf_timer *ta = hf_timer_new(loop, note, a);
    struct hf_timer *tb = hf_timer_new(loop, note, b);
    struct hf_timer *tc = hf_timer_new(loop, note, c);
    struct hf_timer *te = hf_timer_new(loop, count, &last);
    hf_lclk start = hf_clock_lease();
    hf_timer_after(tc, HF_MS(30));
    hf_timer_after(ta, HF_MS(10));
    hf_timer_after(tb, HF_MS(20));
    hf_timer_after(te, HF_MS(40));
    run_until(&last, 1);
    assert_true(hf_lclk_sub(hf_clock_lease(), start).us >= 40000);
    assert_string_equal(order, "abc");
    hf_timer_after(ta, HF_MS(1));
    hf_timer_cancel(ta);
    assert_false(hf_timer_pending(ta));
    hf_timer_after(te, HF_MS(5));
    run_until(&last, 2);
    assert_string_equal(order, "abc");
    hf_timer_free(ta);
    hf_timer_free(tb);
    hf_timer_free(tc);
    hf_timer_free(te);
}

static void heap_keeps_its_order(void **state)
{
    (void)state;
    enum { N = 300 };
    struct hf_timer *timers[N];
    int fired = 0;
    uint64_t seed = 12345;
    for (int i = 0; i < N; i++) {
        timers[i] = hf_timer_new(loop, count, &fired);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        hf_timer_after(timers[i], HF_US((seed >> 33) % 20000));
    }
    for (int i = 0; i < N; i += 3) {
        hf_timer_cancel(timers[i]);
    }
    for (int i = 0; i < N; i += 6) {
        hf_timer_after(timers[i], HF_US(100 * i));
    }
    run_until(&fired, 250);
    assert_int_equal(fired, 250);
    for (int i = 0; i < N; i++) {
        hf_timer_free(timers[i]);
    }
}

static struct hf_timer *own;
static void free_own(void *arg)
{
    hf_timer_free(own);
    own = NULL;
    ++*(int *)arg;
}

static void timer_may_free_itself(void **state)
{
    (void)state;
    int fired = 0;
    own = hf_timer_new(loop, free_own, &fired);
    hf_timer_every(own, HF_MS(1));
    run_until(&fired, 1);
    assert_null(own);
}

struct pair {
    struct hf_watch *watch[2];
    int fd[2];
    int calls;
};
static void remove_both(void *arg, int fd, unsigned events)
{
    struct pair *p = arg;
    assert_true(events & HF_LOOP_READ);
    (void)fd;
    p->calls++;
    for (int i = 0; i < 2; i++) {
        hf_loop_unwatch(p->watch[i]);
        close(p->fd[i]);
    }
}

static void callback_removes_a_ready_watch(void **state)
{
    (void)state;
    struct pair p = {0};
    int pipes[2][2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        p.fd[i] = pipes[i][0];
        assert_true(
            hf_ok(hf_loop_watch(loop, p.fd[i], HF_LOOP_READ, remove_both, &p, &p.watch[i], NULL)));
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    }
    run_until(&p.calls, 1);
    assert_true(hf_ok(hf_loop_step(loop, HF_MS(5), NULL)));
    assert_int_equal(p.calls, 1);
    close(pipes[0][1]);
    close(pipes[1][1]);
}

static int posted;
static void on_post(void *arg)
{
    (void)arg;
    if (++posted == 4000) {
        hf_loop_stop(loop);
    }
}
static void *poster(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        while (!hf_ok(hf_loop_post(loop, on_post, NULL, NULL))) {
            usleep(100);
        }
    }
    return NULL;
}

static void posts_come_from_other_threads(void **state)
{
    (void)state;
    posted = 0;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, poster, NULL), 0);
    }
    assert_true(hf_ok(hf_loop_run(loop, NULL)));
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(posted, 4000);
}

static void posts_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < HF_LOOP_POSTS; i++) {
        assert_true(hf_ok(hf_loop_post(loop, on_post, NULL, NULL)));
    }
    struct hf_err err = {0};
    assert_int_equal(hf_loop_post(loop, on_post, NULL, &err).code, HF_E_LIMIT);
}

static int got_signal;
static void on_signal(void *arg, int signal)
{
    (void)arg;
    got_signal = signal;
}

static void signals_come_by_descriptor(void **state)
{
    (void)state;
    got_signal = 0;
    assert_true(hf_ok(hf_loop_signal(loop, SIGUSR1, on_signal, NULL, NULL)));
    assert_true(hf_ok(hf_loop_signal(loop, SIGUSR2, on_signal, NULL, NULL)));
    kill(getpid(), SIGUSR2);
    run_until(&got_signal, 1);
    assert_int_equal(got_signal, SIGUSR2);
}

static void stall_is_measured(void **state)
{
    (void)state;
    assert_int_equal(hf_loop_stall_max(loop).us, 0);
    hf_loop_work_begin(loop);
    usleep(15000);
    hf_loop_work_end(loop);
    assert_true(hf_loop_stall_max(loop).us >= 15000);
    hf_loop_stall_reset(loop);
    assert_int_equal(hf_loop_stall_max(loop).us, 0);
}

static int64_t sum_ns(clockid_t plus1, clockid_t plus2, clockid_t minus)
{
    struct timespec t[3];
    clock_gettime(plus1, &t[0]);
    clock_gettime(plus2, &t[1]);
    clock_gettime(minus, &t[2]);
    return (t[0].tv_sec + t[1].tv_sec - t[2].tv_sec) * 1000000000 +
           (t[0].tv_nsec + t[1].tv_nsec - t[2].tv_nsec);
}

static void lease_clock_is_raw_plus_suspended_time(void **state)
{
    (void)state;
    hf_lclk low = hf_clock_lease_low();
    int64_t reference = 0;
    hf_lclk high = {0};
    for (int i = 0; i < 100; i++) { /* a preemption between the reads is possible: try again */
        low = hf_clock_lease_low();
        reference = sum_ns(CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_MONOTONIC) / 1000;
        high = hf_clock_lease_high();
        if (high.us - low.us < 1000) {
            break;
        }
    }
    assert_true(low.us <= reference + 1);
    assert_true(reference - low.us < 1000);
    assert_true(high.us >= low.us && high.us - reference < 1000);
    char a[HF_BOOT_ID_SIZE], b[HF_BOOT_ID_SIZE];
    uint64_t ns = 0;
    assert_true(hf_ok(hf_clock_boot_id(a, NULL)) && hf_ok(hf_clock_boot_id(b, NULL)));
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), 36);
    assert_true(hf_ok(hf_clock_time_namespace(&ns, NULL)) && ns != 0);
    char text[HF_CLOCK_TEXT_SIZE];
    hf_clock_wall_text((hf_wall){1795220460123456}, text, sizeof(text));
    assert_string_equal(text, "2026-11-21T00:21:00.123Z");
    assert_true(hf_random_u64() != hf_random_u64());
}

/* --- worker pool --- */

struct task {
    struct hf_job job;
    struct hf_pool *pool;
    int *done_count;
    atomic_int *gate; /* run waits until it is not 0 */
    int sequence;
};
static atomic_int started;
static int done_order;
static void task_run(struct hf_job *job)
{
    struct task *t = (struct task *)job;
    atomic_fetch_add(&started, 1);
    while (t->gate != NULL && atomic_load(t->gate) == 0 && !hf_job_canceled(job)) {
        usleep(200);
    }
}
static void task_done(struct hf_job *job)
{
    struct task *t = (struct task *)job;
    t->sequence = ++done_order;
    ++*t->done_count;
}

static void urgent_never_waits_behind_bulk(void **state)
{
    (void)state;
    struct hf_pool *pool;
    assert_true(hf_ok(hf_pool_new(loop, 2, 8, &pool, NULL)));
    atomic_int gate = 0;
    int bulk_done = 0, urgent_done = 0;
    done_order = 0;
    struct task bulk[8];
    struct task urgent = {.job = {.run = task_run, .done = task_done}, .done_count = &urgent_done};
    memset(bulk, 0, sizeof(bulk));
    for (int i = 0; i < 8; i++) {
        bulk[i].job.run = task_run;
        bulk[i].job.done = task_done;
        bulk[i].gate = &gate;
        bulk[i].done_count = &bulk_done;
        assert_true(hf_ok(hf_pool_submit(pool, HF_LANE_BULK, &bulk[i].job, NULL)));
    }
    /* All bulk jobs hang; urgent work goes through all the same. */
    assert_true(hf_ok(hf_pool_submit(pool, HF_LANE_URGENT, &urgent.job, NULL)));
    run_until(&urgent_done, 1);
    assert_int_equal(bulk_done, 0);
    assert_int_equal(hf_pool_waiting(pool, HF_LANE_BULK), 7);
    hf_job_cancel(&bulk[7].job);
    atomic_store(&gate, 1);
    run_until(&bulk_done, 8);
    assert_false(bulk[7].job.ran);
    assert_true(bulk[0].job.ran);
    hf_pool_free(pool);
}

static void pool_is_bounded_and_ends_clean(void **state)
{
    (void)state;
    struct hf_pool *pool;
    struct hf_err err = {0};
    assert_int_equal(hf_pool_new(loop, 1, 8, &pool, &err).code, HF_E_INVALID);
    assert_true(hf_ok(hf_pool_new(loop, 2, 2, &pool, NULL)));
    atomic_int never = 0;
    int finished = 0;
    atomic_store(&started, 0);
    struct task t[4];
    memset(t, 0, sizeof(t));
    for (int i = 0; i < 4; i++) {
        t[i].job.run = task_run;
        t[i].job.done = task_done;
        t[i].gate = &never;
        t[i].done_count = &finished;
    }
    assert_true(hf_ok(hf_pool_submit(pool, HF_LANE_BULK, &t[0].job, NULL)));
    while (atomic_load(&started) == 0) {
        usleep(100);
    }
    assert_true(hf_ok(hf_pool_submit(pool, HF_LANE_BULK, &t[1].job, NULL)));
    assert_true(hf_ok(hf_pool_submit(pool, HF_LANE_BULK, &t[2].job, NULL)));
    assert_int_equal(hf_pool_submit(pool, HF_LANE_BULK, &t[3].job, &err).code, HF_E_LIMIT);
    hf_pool_free(pool); /* cancels the hanging one, hands all back */
    assert_int_equal(finished, 3);
    assert_false(t[2].job.ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_loop, drop_loop)
        T(timers_fire_in_order_and_never_early),
        T(heap_keeps_its_order),
        T(timer_may_free_itself),
        T(callback_removes_a_ready_watch),
        T(posts_come_from_other_threads),
        T(posts_are_bounded),
        T(signals_come_by_descriptor),
        T(stall_is_measured),
        T(lease_clock_is_raw_plus_suspended_time),
        T(urgent_never_waits_behind_bulk),
        T(pool_is_bounded_and_ends_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
