/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/process.h"

struct proc_stat {
    char state;
    int parent;
    unsigned long long start_ticks;
};

/* proc(5): the command name, field 2, may hold spaces and parentheses; the last ')' ends it. */
static hf_result read_stat(pid_t pid, struct proc_stat *ret, struct hf_err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[2048];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0) {
        if (n == 0 || errno == ENOENT || errno == ESRCH) {
            return hf_fail(err, HF_E_NOT_FOUND, "no process %d", (int)pid);
        }
        return hf_fail_errno(err, errno, "read %s", path);
    }
    text[n] = '\0';
    const char *rest = strrchr(text, ')');
    struct proc_stat st;
    if (rest == NULL || sscanf(rest + 1,
                               " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
                               "%*d %*d %*d %llu",
                               &st.state, &st.parent, &st.start_ticks) != 3) {
        return hf_fail(err, HF_E_IO, "%s: not of the known form", path);
    }
    *ret = st;
    return hf_done();
}

hf_result hf_proc_start_time(pid_t pid, uint64_t *ret_ticks, struct hf_err *err)
{
    struct proc_stat st;
    HF_TRY(read_stat(pid, &st, err));
    *ret_ticks = st.start_ticks;
    return hf_done();
}

hf_result hf_proc_state(pid_t pid, char *ret_state, pid_t *ret_parent, struct hf_err *err)
{
    struct proc_stat st;
    HF_TRY(read_stat(pid, &st, err));
    if (ret_state != NULL) {
        *ret_state = st.state;
    }
    if (ret_parent != NULL) {
        *ret_parent = st.parent;
    }
    return hf_done();
}

hf_result hf_proc_cwd(pid_t pid, char *ret, size_t size, struct hf_err *err)
{
    char path[64];
    char text[4096];
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    ssize_t n = readlink(path, text, sizeof(text));
    if (n < 0) {
        return errno == ENOENT || errno == ESRCH
                   ? hf_fail(err, HF_E_NOT_FOUND, "no process %d", (int)pid)
                   : hf_fail_errno(err, errno, "read %s", path);
    }
    if ((size_t)n >= size || (size_t)n == sizeof(text)) {
        return hf_fail(err, HF_E_LIMIT, "%s: longer than %zu bytes", path, size - 1);
    }
    memcpy(ret, text, (size_t)n);
    ret[n] = '\0';
    return hf_done();
}

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

/* 1: works there; 0: does not, or is gone or dead; -1: may not be looked at. */
static int works_in(pid_t pid, const struct stat *directory)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    if (stat(path, &st) != 0) {
        struct proc_stat p;
        /* A zombie and a kernel thread have no working directory: that is an answer. */
        if (errno == ENOENT || errno == ESRCH || !hf_ok(read_stat(pid, &p, NULL)) ||
            p.state == 'Z' || p.state == 'X') {
            return 0;
        }
        return -1;
    }
    return st.st_dev == directory->st_dev && st.st_ino == directory->st_ino;
}

hf_result hf_proc_list_cwd(const char *directory, pid_t *ret_pids, size_t max, size_t *ret_count,
                           bool *ret_complete, struct hf_err *err)
{
    struct stat wanted;
    if (stat(directory, &wanted) != 0) {
        return errno == ENOENT ? hf_fail(err, HF_E_NOT_FOUND, "%s: no such directory", directory)
                               : hf_fail_errno(err, errno, "stat %s", directory);
    }
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir("/proc");
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open /proc");
    }
    size_t count = 0;
    bool complete = true;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (!isdigit((unsigned char)e->d_name[0])) {
            continue;
        }
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        int there = works_in(pid, &wanted);
        complete = complete && there >= 0;
        if (there != 1) {
            continue;
        }
        if (count == max) {
            return hf_fail(err, HF_E_LIMIT, "more than %zu processes work in %s", max, directory);
        }
        ret_pids[count++] = pid;
    }
    *ret_count = count;
    *ret_complete = complete;
    return hf_done();
}
