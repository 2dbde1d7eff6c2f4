/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/io/clock.h"
#include "common/io/process.h"

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

static struct {
    int calls;
    bool signaled;
    int status;
    char out[256];
    char errout[256];
} last;
static void on_exit_of(void *arg, const struct hf_process_exit *r)
{
    (void)arg;
    last.calls++;
    last.signaled = r->signaled;
    last.status = r->status;
    snprintf(last.out, sizeof(last.out), "%s", r->out);
    snprintf(last.errout, sizeof(last.errout), "%s", r->errout);
}
static void wait_exit(void)
{
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(10));
    while (last.calls == 0 && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(100), NULL)));
    }
    assert_int_equal(last.calls, 1);
}

static void captures_output_and_status(void **state)
{
    (void)state;
    memset(&last, 0, sizeof(last));
    const char *argv[] = {"/bin/sh", "-c", "echo out; echo err >&2; pwd; exit 7", NULL};
    struct hf_process_spec spec = {.argv = argv, .directory = "/usr", .capture = true};
    struct hf_process *p;
    assert_true(hf_ok(hf_process_start(loop, &spec, on_exit_of, NULL, &p, NULL)));
    wait_exit();
    assert_false(last.signaled);
    assert_int_equal(last.status, 7);
    assert_string_equal(last.out, "out\n/usr\n");
    assert_string_equal(last.errout, "err\n");
    assert_false(hf_process_running(p));
    struct hf_err err = {0};
    assert_int_equal(hf_process_signal(p, SIGTERM, &err).code, HF_E_NOT_FOUND);
    hf_process_free(p);
}

static void signals_and_a_daemon_that_keeps_the_pipe(void **state)
{
    (void)state;
    memset(&last, 0, sizeof(last));
    const char *argv[] = {"/bin/sleep", "100", NULL};
    struct hf_process_spec spec = {.argv = argv, .new_session = true, .capture = true};
    struct hf_process *p;
    assert_true(hf_ok(hf_process_start(loop, &spec, on_exit_of, NULL, &p, NULL)));
    assert_int_equal(getsid(hf_process_pid(p)), hf_process_pid(p));
    assert_true(hf_ok(hf_process_signal(p, SIGKILL, NULL)));
    wait_exit();
    assert_true(last.signaled);
    assert_int_equal(last.status, SIGKILL);
    hf_process_free(p);

    memset(&last, 0, sizeof(last));
    const char *daemon[] = {"/bin/sh", "-c", "sleep 3 & echo started", NULL};
    spec = (struct hf_process_spec){.argv = daemon, .capture = true};
    hf_lclk start = hf_clock_lease();
    assert_true(hf_ok(hf_process_start(loop, &spec, on_exit_of, NULL, &p, NULL)));
    wait_exit();
    assert_true(hf_lclk_sub(hf_clock_lease(), start).us < 2500000);
    assert_string_equal(last.out, "started\n");
    hf_process_free(p);
}

static void children_inherit_nothing(void **state)
{
    (void)state;
    int leak = open("/dev/null", O_RDONLY); /* without CLOEXEC, on purpose */
    assert_true(leak > 2);
    setenv("HF_TEST_SECRET", "x", 1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    const char *argv[] = {
        "/bin/sh", "-c",
        "ls /proc/self/fd; echo \"[$HF_TEST_SECRET]\"; grep SigBlk /proc/self/status", NULL};
    struct hf_process_spec spec = {.argv = argv, .capture = true};
    struct hf_process_output out;
    assert_true(hf_ok(hf_process_run(&spec, HF_SEC(10), &out, NULL)));
    assert_int_equal(out.status, 0);
    assert_non_null(strstr(hf_buf_text(&out.out), "0\n1\n2\n3\n[]\n")); /* 3: ls's own */
    assert_non_null(strstr(hf_buf_text(&out.out), "0000000000000000"));
    hf_process_output_free(&out);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    close(leak);
}

static void run_bounds_time_and_output(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_process_output out;
    const char *slow[] = {"/bin/sleep", "100", NULL};
    struct hf_process_spec spec = {.argv = slow, .new_session = true};
    hf_lclk start = hf_clock_lease();
    assert_int_equal(hf_process_run(&spec, HF_MS(100), &out, &err).code, HF_E_TIMEOUT);
    assert_true(hf_lclk_sub(hf_clock_lease(), start).us < 5000000);
    const char *loud[] = {"/usr/bin/head", "-c", "1000000", "/dev/zero", NULL};
    spec = (struct hf_process_spec){.argv = loud, .capture = true, .capture_max = 1000};
    assert_true(hf_ok(hf_process_run(&spec, HF_SEC(10), &out, &err)));
    assert_int_equal(out.out.len, 1000);
    assert_int_equal(out.status, 0);
    hf_process_output_free(&out);
    const char *absent[] = {"/no/such/program", NULL};
    spec = (struct hf_process_spec){.argv = absent};
    assert_int_equal(hf_process_run(&spec, HF_SEC(1), &out, &err).code, HF_E_NOT_FOUND);
    const char *bare[] = {"sh", NULL};
    spec = (struct hf_process_spec){.argv = bare};
    assert_int_equal(hf_process_run(&spec, HF_SEC(1), &out, &err).code, HF_E_INVALID);
}

static void proc_names_processes(void **state)
{
    (void)state;
    uint64_t mine = 0;
    assert_true(hf_ok(hf_proc_start_time(getpid(), &mine, NULL)));
    assert_true(mine > 0);
    char dir[] = "/tmp/hf-proc-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pid_t pids[4];
    size_t n = 9;
    bool complete = false;
    assert_true(hf_ok(hf_proc_list_cwd(dir, pids, 4, &n, &complete, NULL)));
    assert_int_equal(n, 0);
    memset(&last, 0, sizeof(last));
    const char *argv[] = {"/bin/sleep", "100", NULL};
    struct hf_process_spec spec = {.argv = argv, .directory = dir};
    struct hf_process *p;
    assert_true(hf_ok(hf_process_start(loop, &spec, on_exit_of, NULL, &p, NULL)));
    assert_true(hf_ok(hf_proc_list_cwd(dir, pids, 4, &n, &complete, NULL)));
    assert_int_equal(n, 1);
    assert_int_equal(pids[0], hf_process_pid(p));
    char cwd[128];
    assert_true(hf_ok(hf_proc_cwd(pids[0], cwd, sizeof(cwd), NULL)));
    assert_string_equal(cwd, dir);
    char st = 0;
    pid_t parent = 0;
    assert_true(hf_ok(hf_proc_state(pids[0], &st, &parent, NULL)));
    assert_int_equal(parent, getpid());
    kill(pids[0], SIGKILL);
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(5));
    while (hf_ok(hf_proc_state(pids[0], &st, NULL, NULL)) && st != 'Z' &&
           !hf_lclk_reached(hf_clock_lease(), end)) {
        usleep(1000);
    }
    /* A zombie is not an instance's process any more. */
    assert_true(hf_ok(hf_proc_list_cwd(dir, pids, 4, &n, &complete, NULL)));
    assert_int_equal(n, 0);
    wait_exit();
    struct hf_err err = {0};
    assert_int_equal(hf_proc_start_time(hf_process_pid(p), &mine, &err).code, HF_E_NOT_FOUND);
    hf_process_free(p);
    rmdir(dir);
}

static void free_lets_it_run_and_reaps(void **state)
{
    (void)state;
    memset(&last, 0, sizeof(last));
    const char *argv[] = {"/bin/sleep", "0.05", NULL};
    struct hf_process_spec spec = {.argv = argv};
    struct hf_process *p;
    assert_true(hf_ok(hf_process_start(loop, &spec, on_exit_of, NULL, &p, NULL)));
    pid_t pid = hf_process_pid(p);
    hf_process_free(p);
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(5));
    while (hf_ok(hf_proc_state(pid, NULL, NULL, NULL)) && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(20), NULL)));
    }
    struct hf_err err = {0};
    assert_int_equal(hf_proc_state(pid, NULL, NULL, &err).code, HF_E_NOT_FOUND);
    assert_int_equal(last.calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_loop, drop_loop)
        T(captures_output_and_status), T(signals_and_a_daemon_that_keeps_the_pipe),
        T(children_inherit_nothing),   T(run_bounds_time_and_output),
        T(proc_names_processes),       T(free_lets_it_run_and_reaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
