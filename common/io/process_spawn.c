/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/process_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/fault.h"

int hf_process_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int hf_process_pidfd_signal(int pidfd, int signal)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

/* The default environment: enough for PostgreSQL's tools, nothing of ours. */
enum { ENV_MAX = 6, ENV_SIZE = 4200 };
struct clean_env {
    char text[ENV_MAX][ENV_SIZE];
    char *list[ENV_MAX + 1];
};

static void clean_env_fill(struct clean_env *env)
{
    static const char *const inherited[] = {"PATH", "HOME", "LANG", "TZ"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
        const char *value = getenv(inherited[i]);
        if (value != NULL && strlen(value) < ENV_SIZE - 16) {
            snprintf(env->text[n], ENV_SIZE, "%s=%s", inherited[i], value);
            env->list[n] = env->text[n];
            n++;
        }
    }
    snprintf(env->text[n], ENV_SIZE, "LC_ALL=C");
    env->list[n] = env->text[n];
    env->list[n + 1] = NULL;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct hf_process_spec *spec,
                       int out, int errout)
{
    int rc = 0;
    if (spec->directory != NULL) {
        rc = posix_spawn_file_actions_addchdir_np(actions, spec->directory);
    }
    if (rc == 0 && spec->stdin_fd > 0) {
        rc = posix_spawn_file_actions_adddup2(actions, spec->stdin_fd, 0);
    } else if (rc == 0) {
        rc = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    }
    if (rc == 0 && out >= 0) {
        rc = posix_spawn_file_actions_adddup2(actions, out, 1);
    } else if (rc == 0) {
        rc = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
    }
    if (rc == 0 && errout >= 0) {
        rc = posix_spawn_file_actions_adddup2(actions, errout, 2);
    } else if (rc == 0) {
        rc = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    }
    return rc == 0 ? posix_spawn_file_actions_addclosefrom_np(actions, 3) : rc;
}

static int set_attributes(posix_spawnattr_t *attr, const struct hf_process_spec *spec)
{
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (spec->new_session) {
        flags = (short)(flags | POSIX_SPAWN_SETSID);
    }
    int rc = posix_spawnattr_setsigmask(attr, &none);
    rc = rc == 0 ? posix_spawnattr_setsigdefault(attr, &all) : rc;
    return rc == 0 ? posix_spawnattr_setflags(attr, flags) : rc;
}

static int spawn(const struct hf_process_spec *spec, int out, int errout, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int rc = add_actions(&actions, spec, out, errout);
    rc = rc == 0 ? set_attributes(&attr, spec) : rc;
    if (rc == 0) {
        HF_AUTOFREE struct clean_env *clean = hf_alloc(sizeof(*clean));
        clean_env_fill(clean);
        /* posix_spawn does not write to these arrays; its prototype predates const. */
        char *const *argv = (char *const *)(uintptr_t)spec->argv;
        char *const *env = spec->env == NULL ? clean->list : (char *const *)(uintptr_t)spec->env;
        rc = posix_spawn(ret, spec->argv[0], &actions, &attr, argv, env);
    }
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static hf_result check(const struct hf_process_spec *spec, struct hf_err *err)
{
    if (spec->argv == NULL || spec->argv[0] == NULL || strchr(spec->argv[0], '/') == NULL) {
        return hf_fail(err, HF_E_INVALID, "program '%s': a path with '/' is needed",
                       spec->argv == NULL || spec->argv[0] == NULL ? "" : spec->argv[0]);
    }
    return hf_done();
}

hf_result hf_process_spawn(const struct hf_process_spec *spec, struct hf_process_child *ret,
                           struct hf_err *err)
{
    HF_TRY(check(spec, err));
    HF_FAULT("process.spawn", err);
    struct hf_process_child child = {.pid = -1, .pidfd = -1, .out = -1, .errout = -1};
    int ends[2][2] = {{-1, -1}, {-1, -1}};
    bool capture = spec->capture && spec->output_fd <= 0;
    hf_result r = hf_done();
    for (int i = 0; i < 2 && capture && hf_ok(r); i++) {
        if (pipe2(ends[i], O_CLOEXEC) != 0 || fcntl(ends[i][0], F_SETFL, O_NONBLOCK) != 0) {
            r = hf_fail_errno(err, errno, "pipe");
        }
    }
    if (hf_ok(r)) {
        int out = capture ? ends[0][1] : spec->output_fd > 0 ? spec->output_fd : -1;
        int errout = capture ? ends[1][1] : out;
        int rc = spawn(spec, out, errout, &child.pid);
        if (rc == ENOENT || rc == EACCES) {
            r = hf_fail(err, HF_E_NOT_FOUND, "start %s: %s", spec->argv[0], strerror(rc));
        } else if (rc != 0) {
            r = hf_fail_errno(err, rc, "start %s", spec->argv[0]);
        }
    }
    if (hf_ok(r)) {
        child.pidfd = hf_process_pidfd(child.pid);
        if (child.pidfd < 0) { /* out of descriptors: not a child that we could look after */
            r = hf_fail_errno(err, errno, "pidfd of %s", spec->argv[0]);
            kill(child.pid, SIGKILL);
            (void)waitpid(child.pid, NULL, 0);
        }
    }
    for (int i = 0; i < 2; i++) {
        hf_close_cleanup(&ends[i][1]);
        if (!hf_ok(r)) {
            hf_close_cleanup(&ends[i][0]);
        }
    }
    if (hf_ok(r)) {
        child.out = ends[0][0];
        child.errout = ends[1][0];
        *ret = child;
    }
    return r;
}

enum hf_drain hf_process_drain(int fd, struct hf_buf *buf)
{
    char piece[8192];
    for (int round = 0; round < 16; round++) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return HF_DRAIN_WAIT;
        }
        if (n <= 0) {
            return HF_DRAIN_END;
        }
        size_t room = buf->max - buf->len;
        size_t keep = (size_t)n < room ? (size_t)n : room;
        HF_IGNORE(hf_buf_append(buf, piece, keep, NULL), "it was cut to the room that is there");
    }
    return HF_DRAIN_MORE;
}

bool hf_process_reap(pid_t pid, bool *ret_signaled, int *ret_status)
{
    int status = 0;
    pid_t got;
    do {
        got = waitpid(pid, &status, WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        return false;
    }
    /* got < 0: somebody else reaped it; that counts as an end by an unknown signal. */
    *ret_signaled = got < 0 || WIFSIGNALED(status);
    *ret_status = got < 0 ? 0 : WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    return true;
}
