/* SPDX-License-Identifier: Apache-2.0
 *
 * The hook as provider: real programs, and two scripted authoritative servers in the test's own
 * loop that answer what lies in a file, which the hook writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "common/io/process.h"
#include "coordinator/route/route.h"

struct server {
    struct world *world;
    struct hf_watch *watch;
    int fd;
    const char *fixed; /* answers this, whatever the file says */
    bool silent;
};

struct world {
    struct hf_loop *loop;
    struct server servers[2];
    struct hf_config_dns config;
    char dir[64];
    int questions;
};

static void path_in(const struct world *w, const char *name, char ret[128])
{
    (void)snprintf(ret, 128, "%s/%s", w->dir, name);
}

/* The file's content, "" without one. */
static void content(const struct world *w, const char *name, char *ret, size_t size)
{
    char path[128];
    path_in(w, name, path);
    ret[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, ret, size - 1);
        ret[n > 0 ? n : 0] = '\0';
        close(fd);
    }
}

static void put(const struct world *w, const char *name, const char *text, mode_t mode)
{
    char path[128];
    path_in(w, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void on_question(void *arg, int fd, unsigned events)
{
    static const uint8_t head[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 2, 0, 4};
    struct server *s = arg;
    uint8_t p[512];
    char value[64];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    (void)events;
    ssize_t n = recvfrom(fd, p, 400, 0, (struct sockaddr *)&from, &from_len);
    assert_true(n > 12);
    s->world->questions++;
    if (s->silent) {
        return;
    }
    content(s->world, "value", value, sizeof value);
    value[strcspn(value, "\n")] = '\0';
    const char *answer = s->fixed != NULL ? s->fixed : value;
    struct in_addr address;
    p[2] = 0x84;
    p[3] = 0;
    if (inet_pton(AF_INET, answer, &address) == 1) {
        p[7] = 1;
        memcpy(p + n, head, sizeof head);
        memcpy(p + n + sizeof head, &address, 4);
        n += (ssize_t)sizeof head + 4;
    }
    assert_int_equal(sendto(fd, p, (size_t)n, 0, (struct sockaddr *)&from, from_len), n);
}

static void hook(struct world *w, const char *script)
{
    char text[1024];
    (void)snprintf(text, sizeof text, "#!/bin/sh\ncd %s\n%s\n", w->dir, script);
    put(w, "hook", text, 0700);
    path_in(w, "hook", w->config.command[0]);
    w->config.command_count = 1;
}

static int make_world(void **state)
{
    struct world *w = hf_alloc(sizeof *w);
    *state = w;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    memcpy(w->dir, "/tmp/hf-hook-XXXXXX", sizeof "/tmp/hf-hook-XXXXXX");
    if (mkdtemp(w->dir) == NULL || !hf_ok(hf_loop_new(&w->loop, NULL))) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        struct server *s = &w->servers[i];
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        s->world = w;
        s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (bind(s->fd, (struct sockaddr *)&a, sizeof a) != 0 ||
            getsockname(s->fd, (struct sockaddr *)&a, &len) != 0 ||
            !hf_ok(hf_loop_watch(w->loop, s->fd, HF_LOOP_READ, on_question, s, &s->watch, NULL))) {
            return -1;
        }
        (void)snprintf(w->config.authoritative[i], HF_ADDRESS_SIZE, "127.0.0.1:%d",
                       ntohs(a.sin_port));
    }
    w->config.authoritative_count = 2;
    w->config.type = HF_CONFIG_DNS_EXEC;
    w->config.timeout = HF_SEC(5);
    (void)snprintf(w->config.zone, sizeof w->config.zone, "hf.test.");
    put(w, "value", "127.0.1.1\n", 0600);
    hook(w, "echo ran >>runs; env >env; printf '%s' \"$HOLDFAST_VALUE\" >value");
    return 0;
}

static int drop_world(void **state)
{
    struct world *w = *state;
    char path[128];
    for (int i = 0; i < 2; i++) {
        hf_loop_unwatch(w->servers[i].watch);
        close(w->servers[i].fd);
    }
    static const char *const names[] = {"value", "hook", "runs", "env", "pids", "arguments"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path_in(w, names[i], path);
        (void)unlink(path);
    }
    int left = rmdir(w->dir);
    hf_loop_free(w->loop);
    hf_free(w);
    return left;
}

static struct hf_route_task *begin(struct world *w, const char *value)
{
    struct hf_route_task *t = NULL;
    struct hf_route_record record = {.type = HF_ROUTE_A, .ttl = HF_SEC(2), .name = "db.hf.test."};
    const hf_name node = {"us-1"};
    (void)snprintf(record.value, sizeof record.value, "%s", value);
    assert_true(hf_ok(hf_route_task_new(w->loop, NULL, &w->config, &record, &node, &t, NULL)));
    return t;
}

static void step(struct world *w)
{
    assert_true(hf_ok(hf_loop_step(w->loop, HF_MS(20), NULL)));
}

/* Until it is done, or has this problem. */
static void run(struct world *w, const struct hf_route_task *t, const char *problem)
{
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(30));
    while (hf_route_task_state(t) != HF_ROUTE_DONE &&
           (problem == NULL || strstr(hf_route_task_problem(t), problem) == NULL)) {
        step(w);
        if (!hf_lclk_before(hf_clock_lease(), end)) {
            fail_msg("not done: %s", hf_route_task_problem(t));
        }
    }
    assert_true((problem == NULL) == (hf_route_task_state(t) == HF_ROUTE_DONE));
}

static int runs(const struct world *w)
{
    char text[256];
    int n = 0;
    content(w, "runs", text, sizeof text);
    for (const char *p = text; (p = strstr(p, "ran\n")) != NULL; p += 4) {
        n++;
    }
    return n;
}

static void the_hook_is_told_what_to_set(void **state)
{
    struct world *w = *state;
    char env[4096];
    assert_int_equal(setenv("COORDINATOR_SECRET", "geheim", 1), 0);
    struct hf_route_task *t = begin(w, "127.0.2.1");
    run(w, t, NULL);
    assert_int_equal(runs(w), 1);
    assert_int_equal(hf_route_task_old_ttl(t).us, 2000000);
    content(w, "env", env, sizeof env);
    assert_non_null(strstr(env, "HOLDFAST_NAME=db.hf.test.\n"));
    assert_non_null(strstr(env, "HOLDFAST_TYPE=A\n"));
    assert_non_null(strstr(env, "HOLDFAST_VALUE=127.0.2.1\n"));
    assert_non_null(strstr(env, "HOLDFAST_TTL=2\n"));
    assert_non_null(strstr(env, "HOLDFAST_ZONE=hf.test.\n"));
    assert_null(strstr(env, "geheim"));
    hf_route_task_free(t);
}

static void it_is_not_run_when_every_server_has_it(void **state)
{
    struct world *w = *state;
    struct hf_route_task *t = begin(w, "127.0.1.1");
    run(w, t, NULL);
    assert_int_equal(runs(w), 0);
    hf_route_task_free(t);
    w->servers[1].silent = true; /* away: what the other one says counts for reading */
    t = begin(w, "127.0.1.1");
    for (int i = 0; i < 100; i++) {
        step(w);
    }
    assert_int_equal(runs(w), 0);
    assert_int_not_equal(hf_route_task_state(t), HF_ROUTE_DONE); /* and not for being done */
    hf_route_task_free(t);
}

static void it_is_run_when_one_server_differs(void **state)
{
    struct world *w = *state;
    w->servers[1].fixed = "127.0.9.9";
    struct hf_route_task *t = begin(w, "127.0.1.1");
    for (int i = 0; i < 500 && runs(w) == 0; i++) {
        step(w);
    }
    assert_int_equal(runs(w), 1);
    assert_int_not_equal(hf_route_task_state(t), HF_ROUTE_DONE);
    w->servers[1].fixed = NULL;
    run(w, t, NULL);
    hf_route_task_free(t);
}

static void a_failure_is_told_and_tried_again(void **state)
{
    struct world *w = *state;
    hook(w, "echo ran >>runs; [ $(wc -l <runs) -ge 2 ] || { echo first >&2; echo 'zone is locked'"
            " >&2; exit 3; }; echo 127.0.2.1 >value");
    struct hf_route_task *t = begin(w, "127.0.2.1");
    run(w, t, "hook: exit 3: zone is locked");
    run(w, t, NULL);
    assert_int_equal(runs(w), 2);
    hf_route_task_free(t);
}

static void a_signal_and_a_missing_program_are_told(void **state)
{
    struct world *w = *state;
    hook(w, "kill -TERM $$");
    struct hf_route_task *t = begin(w, "127.0.2.1");
    run(w, t, "ended by signal 15");
    hf_route_task_free(t);
    (void)snprintf(w->config.command[0], HF_CONFIG_WORD_SIZE, "/nowhere/hook");
    t = begin(w, "127.0.2.1");
    run(w, t, "/nowhere/hook");
    hf_route_task_free(t);
}

static void much_output_is_dropped(void **state)
{
    struct world *w = *state;
    hook(w, "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo 127.0.2.1 >value");
    struct hf_route_task *t = begin(w, "127.0.2.1");
    run(w, t, NULL);
    hf_route_task_free(t);
    hook(w, "head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1");
    t = begin(w, "127.0.3.1");
    run(w, t, "exit 1: xxx");
    assert_true(strlen(hf_route_task_problem(t)) < 512);
    hf_route_task_free(t);
}

/* Pids that the hook wrote down are gone (reaped by us, or by their new parent). */
static void assert_gone(struct world *w)
{
    char text[128];
    content(w, "pids", text, sizeof text);
    assert_true(text[0] != '\0');
    bool ours = true; /* the first is the hook, which the loop reaps; its child is not */
    for (char *p = text; *p != '\0'; ours = false) {
        pid_t pid = (pid_t)strtol(p, &p, 10);
        p += strspn(p, " \n");
        char s = 'Z';
        for (int i = 0; i < 200 && hf_ok(hf_proc_state(pid, &s, NULL, NULL)); i++) {
            if (s == 'Z' && !ours) {
                break;
            }
            step(w);
        }
        assert_true(s == 'Z' || !hf_ok(hf_proc_state(pid, &s, NULL, NULL)));
    }
}

static void a_late_hook_is_killed_with_its_children(void **state)
{
    struct world *w = *state;
    w->config.timeout = HF_MS(300);
    hook(w, "sleep 60 & echo $$ $! >pids; wait");
    struct hf_route_task *t = begin(w, "127.0.2.1");
    run(w, t, "did not end within 300 ms and was killed");
    hf_route_task_free(t);
    assert_gone(w);
}

static void a_cancel_kills_the_hook(void **state)
{
    struct world *w = *state;
    char text[128] = "";
    hook(w, "sleep 60 & echo $$ $! >pids; wait; echo 127.0.2.1 >value");
    struct hf_route_task *t = begin(w, "127.0.2.1");
    for (int i = 0; i < 500 && strchr(text, '\n') == NULL; i++) {
        step(w);
        content(w, "pids", text, sizeof text);
    }
    hf_route_task_free(t);
    assert_gone(w);
    content(w, "value", text, sizeof text);
    assert_string_equal(text, "127.0.1.1\n");
}

static void arguments_are_passed_as_they_are(void **state)
{
    struct world *w = *state;
    char text[256];
    hook(w, "printf '[%s]' \"$@\" >arguments; echo 127.0.2.1 >value");
    (void)snprintf(w->config.command[1], HF_CONFIG_WORD_SIZE, "$(touch runs); a b");
    w->config.command[2][0] = '\0';
    (void)snprintf(w->config.command[3], HF_CONFIG_WORD_SIZE, "*");
    w->config.command_count = 4;
    struct hf_route_task *t = begin(w, "127.0.2.1");
    run(w, t, NULL);
    content(w, "arguments", text, sizeof text);
    assert_string_equal(text, "[$(touch runs); a b][][*]");
    hf_route_task_free(t);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make_world, drop_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_hook_is_told_what_to_set),
        CASE(it_is_not_run_when_every_server_has_it),
        CASE(it_is_run_when_one_server_differs),
        CASE(a_failure_is_told_and_tried_again),
        CASE(a_signal_and_a_missing_program_are_told),
        CASE(much_output_is_dropped),
        CASE(a_late_hook_is_killed_with_its_children),
        CASE(a_cancel_kills_the_hook),
        CASE(arguments_are_passed_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
