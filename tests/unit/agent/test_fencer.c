/* SPDX-License-Identifier: Apache-2.0
 *
 * Ending an instance: process trees whose working directory is the data directory, also without a
 * postmaster, and such that ignore every signal but SIGKILL (rule L6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/fence/fencer.h"
#include "common/io/clock.h"
#include "common/io/process.h"

enum { BACKENDS = 5 };

static char directory[64];
static char page_path[128];
static const struct hf_instance_end patient = {.patience = HF_MS(100), .limit = HF_SEC(10)};

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/hf-fence-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(page_path, sizeof(page_path), "%s.page", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char text[96];
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    snprintf(text, sizeof(text), "%s/postmaster.pid", directory);
    unlink(text);
    unlink(page_path);
    rmdir(directory);
    return 0;
}

static void ok(hf_result r, const struct hf_err *err)
{
    if (!hf_ok(r)) {
        fail_msg("%s", err->text);
    }
}

static void ignore_all(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);
    sigaction(SIGINT, &ignore, NULL);
}

static void idle(void)
{
    for (;;) {
        poll(NULL, 0, 60000);
    }
}

/* A postmaster with backends; stubborn: they ignore SIGQUIT. Returns when all are there. */
static pid_t start_instance(bool stubborn)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, 0);
        if (setsid() < 0 || chdir(directory) != 0) {
            _exit(1);
        }
        for (int i = 0; i < BACKENDS; i++) {
            if (fork() == 0) {
                if (stubborn) {
                    ignore_all();
                }
                if (write(ready[1], "x", 1) != 1) {
                    _exit(1);
                }
                idle();
            }
        }
        if (stubborn) {
            ignore_all();
        }
        if (write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        idle();
    }
    assert_true(pid > 0);
    close(ready[1]);
    for (int i = 0; i < BACKENDS + 1; i++) {
        char c;
        assert_int_equal(read(ready[0], &c, 1), 1);
    }
    close(ready[0]);
    return pid;
}

static size_t count_of(struct hf_instance *instance)
{
    struct hf_err err;
    pid_t pids[64];
    size_t n = 0;
    ok(hf_instance_list(instance, pids, 64, &n, &err), &err);
    return n;
}

static uint64_t start_of(pid_t pid)
{
    struct hf_err err;
    uint64_t ticks = 0;
    ok(hf_proc_start_time(pid, &ticks, &err), &err);
    return ticks;
}

static void test_all_of_an_instance_are_found(void **state)
{
    (void)state;
    struct hf_instance instance;
    struct hf_err err;
    hf_instance_init(&instance, directory);
    assert_int_equal(count_of(&instance), 0);
    pid_t pid = start_instance(true);
    assert_int_equal(count_of(&instance), BACKENDS + 1);
    ok(hf_instance_end(&instance, pid, start_of(pid), &patient, &err), &err);
    assert_int_equal(count_of(&instance), 0);
}

static void test_orphans_are_ended_without_patience(void **state)
{
    (void)state;
    struct hf_instance instance;
    struct hf_err err;
    hf_instance_init(&instance, directory);
    pid_t pid = start_instance(true);
    uint64_t start = start_of(pid);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(count_of(&instance), BACKENDS);
    const struct hf_instance_end slow = {.patience = HF_SEC(30), .limit = HF_SEC(60)};
    hf_lclk began = hf_clock_lease();
    ok(hf_instance_end(&instance, pid, start, &slow, &err), &err);
    assert_true(hf_lclk_sub(hf_clock_lease(), began).us < 20000000);
    assert_int_equal(count_of(&instance), 0);
}

static void test_a_reused_number_is_left_alone(void **state)
{
    (void)state;
    struct hf_instance instance;
    struct hf_err err;
    pid_t bystander = fork();
    if (bystander == 0) {
        idle();
    }
    hf_instance_init(&instance, directory);
    pid_t pid = start_instance(false);
    ok(hf_instance_end(&instance, bystander, start_of(bystander) + 1, &patient, &err), &err);
    assert_int_equal(count_of(&instance), 0);
    char state_of = '?';
    ok(hf_proc_state(bystander, &state_of, NULL, &err), &err);
    assert_true(state_of != 'Z');
    kill(bystander, SIGKILL);
    assert_int_equal(waitpid(bystander, NULL, 0), bystander);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_the_postmaster_is_known_by_its_file_and_its_directory(void **state)
{
    (void)state;
    struct hf_instance instance;
    struct hf_postmaster found;
    struct hf_err err;
    char path[96];
    hf_instance_init(&instance, directory);
    pid_t pid = start_instance(false);
    snprintf(path, sizeof(path), "%s/postmaster.pid", directory);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%d\n%s\n1\n5432\n/tmp\n*\n1 2\nready   \n", (int)pid, directory);
    fclose(f);
    hf_instance_postmaster(&instance, &found);
    assert_int_equal(found.pid, pid);
    assert_string_equal(found.status, "ready");
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%d\n", (int)getpid()); /* alive, but it works elsewhere */
    fclose(f);
    hf_instance_postmaster(&instance, &found);
    assert_int_equal(found.pid, 0);
    ok(hf_instance_end(&instance, pid, start_of(pid), &patient, &err), &err);
}

/* The program itself, as a process. */
static pid_t start_fencer(const char *lock)
{
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"fencer", "--page", page_path, "--lock", strdup(lock), NULL};
        _exit(hf_fencer_main(5, argv));
    }
    return pid;
}

static void wait_fenced(const struct hf_page_map *map, uint64_t epoch, uint64_t serial)
{
    for (int i = 0; i < 1000; i++) {
        struct hf_page_fencer f;
        if (hf_ok(hf_page_read_fencer(map, &f, NULL)) && f.fenced_epoch.v == epoch &&
            f.fenced_serial == serial) {
            return;
        }
        poll(NULL, 0, 10);
    }
    fail_msg("not fenced in 10 s");
}

static void test_the_program_fences_at_the_deadline_and_for_a_newer_epoch(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_page_map map;
    struct hf_instance instance;
    char lock[128];
    snprintf(lock, sizeof(lock), "%s.lock", directory);
    struct hf_page_state s = {.epoch = HF_EPOCH(1), .serial = 1, .commits_until = {INT64_MAX}};
    snprintf(s.data_dir, sizeof(s.data_dir), "%s", directory);
    ok(hf_page_open(page_path, true, &map, &err), &err);
    hf_instance_init(&instance, directory);
    hf_page_write(&map, &s); /* not armed */

    pid_t fencer = start_fencer(lock);
    pid_t second = -1;
    int status = 0;
    for (int i = 0; i < 500; i++) { /* until the first one is there */
        struct hf_page_fencer f;
        if (hf_ok(hf_page_read_fencer(&map, &f, NULL)) && f.pid == (uint32_t)fencer &&
            f.alive.us != 0) {
            break;
        }
        poll(NULL, 0, 10);
    }
    second = start_fencer(lock);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(WEXITSTATUS(status), 3); /* only one for a page */

    pid_t pid = start_instance(true);
    s.armed = true;
    s.open = true;
    s.newest_epoch = s.epoch;
    s.postmaster_pid = (uint32_t)pid;
    s.postmaster_start = start_of(pid);
    s.deadline = hf_lclk_add(hf_clock_lease(), HF_MS(300));
    hf_page_write(&map, &s);
    kill(fencer, SIGTERM); /* armed: not now */
    assert_int_equal(count_of(&instance), BACKENDS + 1);
    wait_fenced(&map, 1, 1);
    struct hf_page_fencer f;
    ok(hf_page_read_fencer(&map, &f, &err), &err);
    assert_true(f.began.us >= s.deadline.us); /* not a moment earlier */
    assert_true(f.ended.us >= f.began.us);
    assert_int_equal(count_of(&instance), 0);
    assert_int_equal(waitpid(fencer, &status, 0), fencer); /* now it ends, as it was asked to */
    assert_int_equal(WEXITSTATUS(status), 0);

    fencer = start_fencer(lock);
    pid = start_instance(false);
    s.serial = 2;
    s.postmaster_pid = 0; /* the agent has not seen it yet */
    s.deadline = hf_lclk_add(hf_clock_lease(), HF_SEC(3600));
    hf_page_write(&map, &s);
    poll(NULL, 0, 100);
    assert_int_equal(count_of(&instance), BACKENDS + 1);
    s.newest_epoch = HF_EPOCH(2);
    hf_page_write(&map, &s);
    wait_fenced(&map, 1, 2);
    assert_int_equal(count_of(&instance), 0);
    unlink(page_path); /* nobody's page any more: it ends */
    assert_int_equal(waitpid(fencer, &status, 0), fencer);
    assert_int_equal(WEXITSTATUS(status), 0);
    hf_page_close(&map);
    unlink(lock);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_all_of_an_instance_are_found),
        T(test_orphans_are_ended_without_patience),
        T(test_a_reused_number_is_left_alone),
        T(test_the_postmaster_is_known_by_its_file_and_its_directory),
        T(test_the_program_fences_at_the_deadline_and_for_a_newer_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
