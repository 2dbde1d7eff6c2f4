/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fence/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/process.h"

enum { DIRECTORY_BUFFER = 32768, END_STEP_US = 5000 };

static void look_up(struct hf_instance *instance)
{
    struct stat st;
    bool there = stat(instance->data_dir, &st) == 0 && S_ISDIR(st.st_mode);
    instance->device = there ? st.st_dev : 0;
    instance->inode = there ? st.st_ino : 0;
}

void hf_instance_init(struct hf_instance *ret, const char *data_dir)
{
    *ret = (struct hf_instance){.device = 0};
    snprintf(ret->data_dir, sizeof(ret->data_dir), "%s", data_dir);
    look_up(ret);
}

/* True when the process is alive (no zombie). */
static bool alive(pid_t pid)
{
    char state = 'Z';
    return hf_ok(hf_proc_state(pid, &state, NULL, NULL)) && state != 'Z' && state != 'X';
}

/* Its directory is a device and an inode: a path may be spelled in many ways, and a removed
 * directory has still its processes. A zombie has no directory. Processes of other users cannot
 * be looked at, and are none of the instance's: PostgreSQL runs as one user. */
static bool works_in(const struct hf_instance *instance, const char *pid)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%s/cwd", pid);
    return stat(path, &st) == 0 && st.st_dev == instance->device && st.st_ino == instance->inode;
}

struct kernel_dirent { /* getdents64(2) */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* opendir would allocate; this does not. */
static hf_result list_proc(const struct hf_instance *instance, pid_t *ret_pids, size_t max,
                           size_t *ret_count, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "open /proc");
    }
    _Alignas(8) char buffer[DIRECTORY_BUFFER];
    pid_t self = getpid();
    size_t count = 0;
    for (;;) {
        long n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
        if (n <= 0) {
            *ret_count = count;
            return n == 0 ? hf_done() : hf_fail_errno(err, errno, "list /proc");
        }
        for (long at = 0; at < n;) {
            const struct kernel_dirent *e = (const void *)(buffer + at);
            at += e->length;
            if (e->name[0] < '1' || e->name[0] > '9' || !works_in(instance, e->name)) {
                continue;
            }
            pid_t pid = (pid_t)strtol(e->name, NULL, 10);
            if (pid == self || !alive(pid)) {
                continue;
            }
            if (count < max) {
                ret_pids[count] = pid;
            }
            count++;
        }
    }
}

hf_result hf_instance_list(struct hf_instance *instance, pid_t *ret_pids, size_t max,
                           size_t *ret_count, struct hf_err *err)
{
    struct stat st;
    bool replaced = stat(instance->data_dir, &st) == 0 &&
                    (st.st_dev != instance->device || st.st_ino != instance->inode);
    size_t old_count = 0;
    if (replaced && instance->inode != 0) {
        /* Processes of the directory that was there before count as well. */
        HF_TRY(list_proc(instance, ret_pids, max, &old_count, err));
        if (old_count == 0) {
            look_up(instance);
        }
    } else if (replaced) {
        look_up(instance);
    }
    if (instance->inode == 0 || old_count > 0) {
        *ret_count = old_count;
        return hf_done();
    }
    return list_proc(instance, ret_pids, max, ret_count, err);
}

/* postmaster.pid: pid, data directory, start, port, socket directory, address, shared memory,
 * status: a line each (PostgreSQL: utils/pidfile.h). */
void hf_instance_postmaster(struct hf_instance *instance, struct hf_postmaster *ret)
{
    *ret = (struct hf_postmaster){.pid = 0};
    char path[1100];
    char text[4096];
    snprintf(path, sizeof(path), "%s/postmaster.pid", instance->data_dir);
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0) {
        return;
    }
    text[n] = '\0';
    long pid = strtol(text, NULL, 10);
    char name[32];
    if (pid <= 1 || pid > 4194304) {
        return;
    }
    snprintf(name, sizeof(name), "%ld", pid);
    struct stat st;
    if (stat(instance->data_dir, &st) == 0 && st.st_ino != instance->inode) {
        look_up(instance);
    }
    if (!works_in(instance, name) || !alive((pid_t)pid) ||
        !hf_ok(hf_proc_start_time((pid_t)pid, &ret->start, NULL))) {
        return;
    }
    ret->pid = (pid_t)pid;
    const char *line = text;
    for (int i = 1; i < 8 && line != NULL; i++) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    if (line != NULL) {
        size_t len = strcspn(line, " \n");
        snprintf(ret->status, sizeof(ret->status), "%.*s", (int)(len < 15 ? len : 15), line);
    }
}

/* A pidfd names one process for good; what it is, is looked at after it was opened. */
static bool signal_pid(pid_t pid, int signal, const struct hf_instance *instance, uint64_t start)
{
    HF_AUTOCLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return false;
    }
    char name[32];
    uint64_t now = 0;
    snprintf(name, sizeof(name), "%d", (int)pid);
    bool same = start != 0
                    ? alive(pid) && hf_ok(hf_proc_start_time(pid, &now, NULL)) && now == start
                    : works_in(instance, name);
    return same && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = END_STEP_US * 1000L};
    nanosleep(&t, NULL);
}

hf_result hf_instance_end(struct hf_instance *instance, pid_t postmaster, uint64_t start,
                          const struct hf_instance_end *how, struct hf_err *err)
{
    pid_t pids[512];
    size_t count = 0;
    hf_lclk began = hf_clock_lease();
    /* A postmaster that is gone ends nobody: then there is nothing to be patient for. */
    bool asked = postmaster > 1 && start != 0 && signal_pid(postmaster, SIGQUIT, instance, start);
    for (;;) {
        HF_TRY(hf_instance_list(instance, pids, sizeof(pids) / sizeof(pids[0]), &count, err));
        if (count == 0) {
            return hf_done();
        }
        hf_dur spent = hf_lclk_sub(hf_clock_lease(), began);
        if (!asked || spent.us >= how->patience.us) {
            size_t known =
                count < sizeof(pids) / sizeof(pids[0]) ? count : sizeof(pids) / sizeof(pids[0]);
            for (size_t i = 0; i < known; i++) {
                (void)signal_pid(pids[i], SIGKILL, instance, 0);
            }
        }
        if (spent.us >= how->limit.us) {
            return hf_fail(err, HF_E_TIMEOUT, "%zu processes of %s are left after %lld ms", count,
                           instance->data_dir, (long long)(spent.us / 1000));
        }
        nap();
    }
}
