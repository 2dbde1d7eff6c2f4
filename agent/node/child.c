/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"

enum { DETACHED_MAX = 16, LINE_MAX_BYTES = 16384, STEP_MS = 20, ENV_MAX = 8 };

static pthread_mutex_t detached_lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t detached[DETACHED_MAX]; /* guarded by detached_lock; 0 = free */

/* The few names that a tool may inherit; everything else stays here. */
struct child_env {
    char text[ENV_MAX][1024];
    char *list[ENV_MAX + 1];
};

static void make_env(struct child_env *env, bool utc)
{
    static const char *const names[] = {"PATH", "HOME", "TZ", "LANG"};
    int n = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = utc && strcmp(names[i], "TZ") == 0 ? "UTC" : getenv(names[i]);
        if (value != NULL && strlen(value) < 1000) {
            snprintf(env->text[n], sizeof(env->text[n]), "%s=%s", names[i], value);
            env->list[n] = env->text[n];
            n++;
        }
    }
    snprintf(env->text[n], sizeof(env->text[n]), "LC_ALL=C");
    env->list[n] = env->text[n];
    env->list[n + 1] = NULL;
}

struct spawn_how {
    int out; /* becomes 1, or -1: as errout */
    int errout;
    const char *directory; /* NULL = as is */
    bool utc;
};

static hf_result spawn(const char *const *argv, const struct spawn_how *how, pid_t *ret,
                       struct hf_err *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    struct child_env env;
    make_env(&env, how->utc);
    sigemptyset(&none);
    sigfillset(&all);
    HF_ASSERT(posix_spawn_file_actions_init(&actions) == 0);
    HF_ASSERT(posix_spawnattr_init(&attributes) == 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int out = how->out >= 0 ? how->out : how->errout;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, how->errout, 2);
    if (how->directory != NULL) {
        posix_spawn_file_actions_addchdir_np(&actions, how->directory);
    }
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    /* posix_spawn wants char *const *; it does not write to them. */
    union {
        const char *const *given;
        char *const *wanted;
    } args = {.given = argv};
    pid_t pid = 0;
    int code = posix_spawn(&pid, argv[0], &actions, &attributes, args.wanted, env.list);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (code != 0) {
        return code == ENOENT ? hf_fail(err, HF_E_NOT_FOUND, "%s: no such program", argv[0])
                              : hf_fail_errno(err, code, "start %s", argv[0]);
    }
    *ret = pid;
    return hf_done();
}

static hf_result open_log(const char *log, int *ret, struct hf_err *err)
{
    int fd = open(log == NULL ? "/dev/null" : log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "open %s", log);
    }
    *ret = fd;
    return hf_done();
}

static void remember(pid_t pid)
{
    pthread_mutex_lock(&detached_lock);
    for (int i = 0; i < DETACHED_MAX; i++) {
        if (detached[i] == 0) {
            detached[i] = pid;
            break;
        }
    }
    pthread_mutex_unlock(&detached_lock);
}

hf_result hf_child_detach(const char *const *argv, const char *log, pid_t *ret, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = -1;
    pid_t pid = 0;
    if (hf_child_reap() >= DETACHED_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%d children live already", (int)DETACHED_MAX);
    }
    HF_TRY(open_log(log, &fd, err));
    HF_TRY(spawn(argv, &(struct spawn_how){.out = -1, .errout = fd}, &pid, err));
    remember(pid);
    *ret = pid;
    return hf_done();
}

int hf_child_reap(void)
{
    int alive = 0;
    pthread_mutex_lock(&detached_lock);
    for (int i = 0; i < DETACHED_MAX; i++) {
        if (detached[i] == 0) {
            continue;
        }
        pid_t got = waitpid(detached[i], NULL, WNOHANG);
        if (got == detached[i] || (got < 0 && errno == ECHILD)) {
            detached[i] = 0;
        } else {
            alive++;
        }
    }
    pthread_mutex_unlock(&detached_lock);
    return alive;
}

/* Hands over complete lines; a line that is longer than the bound is cut there. */
static bool feed_lines(const struct hf_child_run *run, struct hf_buf *buf, bool end)
{
    for (;;) {
        char *text = buf->data;
        char *newline = buf->len > 0 ? memchr(text, '\n', buf->len) : NULL;
        size_t len = newline != NULL ? (size_t)(newline - text) : buf->len;
        if (newline == NULL && !(end && buf->len > 0) && buf->len < LINE_MAX_BYTES) {
            return true;
        }
        text[len < buf->len ? len : buf->len] = '\0';
        if (!run->line(run->line_arg, text)) {
            return false;
        }
        hf_buf_consume(buf, newline != NULL ? len + 1 : len);
    }
}

enum pump { PUMP_WAIT, PUMP_END, PUMP_ENOUGH };

static enum pump pump_output(const struct hf_child_run *run, int fd, struct hf_buf *buf)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, STEP_MS) <= 0) {
        return PUMP_WAIT;
    }
    char chunk[8192];
    ssize_t n = read(fd, chunk, sizeof(chunk));
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN ? PUMP_WAIT : PUMP_END;
    }
    if (n == 0) {
        return feed_lines(run, buf, true) ? PUMP_END : PUMP_ENOUGH;
    }
    if (!hf_ok(hf_buf_append(buf, chunk, (size_t)n, NULL))) {
        return PUMP_END; /* cannot happen: lines are cut at half of the buffer */
    }
    return feed_lines(run, buf, false) ? PUMP_WAIT : PUMP_ENOUGH;
}

static void end_session(pid_t pid)
{
    kill(-pid, SIGKILL); /* our child, not reaped yet: the number is still its own */
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

static hf_result wait_for(const struct hf_child_run *run, pid_t pid, int fd, int *ret_status,
                          struct hf_err *err)
{
    HF_BUF(buf, LINE_MAX_BYTES * 2);
    hf_lclk deadline = hf_lclk_add(hf_clock_lease(), run->timeout);
    bool reading = fd >= 0;
    for (;;) {
        int status = 0;
        if (reading) {
            enum pump p = pump_output(run, fd, &buf);
            if (p == PUMP_ENOUGH) {
                end_session(pid);
                *ret_status = 0;
                return hf_done();
            }
            reading = p != PUMP_END;
        } else if (waitpid(pid, &status, WNOHANG) == pid) {
            *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return hf_done();
        } else {
            poll(NULL, 0, STEP_MS);
        }
        if (run->canceled != NULL && run->canceled(run->canceled_arg)) {
            end_session(pid);
            return hf_fail(err, HF_E_CANCELED, "%s: canceled", run->argv[0]);
        }
        if (hf_lclk_reached(hf_clock_lease(), deadline)) {
            end_session(pid);
            return hf_fail(err, HF_E_TIMEOUT, "%s: not done after %lld ms", run->argv[0],
                           (long long)(run->timeout.us / 1000));
        }
    }
}

hf_result hf_child_run(const struct hf_child_run *run, int *ret_status, struct hf_err *err)
{
    HF_AUTOCLOSE int log = -1;
    int ends[2] = {-1, -1};
    pid_t pid = 0;
    HF_TRY(open_log(run->log, &log, err));
    if (run->line != NULL && pipe2(ends, O_CLOEXEC) != 0) {
        return hf_fail_errno(err, errno, "pipe");
    }
    HF_AUTOCLOSE int in = ends[0];
    HF_AUTOCLOSE int out = ends[1];
    const struct spawn_how how = {
        .out = out, .errout = log, .directory = run->directory, .utc = run->utc};
    HF_TRY(spawn(run->argv, &how, &pid, err));
    if (out >= 0) {
        close(out);
        out = -1;
    }
    return wait_for(run, pid, in, ret_status, err);
}
