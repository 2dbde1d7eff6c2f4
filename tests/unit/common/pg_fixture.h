/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: a real PostgreSQL server with its own data directory under /tmp, on a UNIX socket and
 * a loopback port. As root it runs under the user postgres. Test programs only.
 */
#ifndef HF_TEST_PG_FIXTURE_H
#define HF_TEST_PG_FIXTURE_H

#include <arpa/inet.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/files.h"
#include "common/io/process.h"

#define PG_BIN "/usr/lib/postgresql/15/bin/"

struct pg_fixture {
    char dir[64];
    char port[16];
    pid_t postmaster;
};

/* Runs a program, as postgres when we are root. */
static inline bool pg_fixture_run(const struct pg_fixture *f, const char *const *args)
{
    const char *argv[40] = {"/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres",
                            "--clear-groups"};
    size_t n = geteuid() == 0 ? 4 : 0;
    for (size_t i = 0; args[i] != NULL && n < 39; i++) {
        argv[n++] = args[i];
    }
    argv[n] = NULL;
    struct hf_process_spec spec = {
        .argv = argv, .directory = f->dir, .capture = true, .new_session = true};
    struct hf_process_output out;
    struct hf_err err = {0};
    if (!hf_ok(hf_process_run(&spec, HF_SEC(120), &out, &err))) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    if (out.status != 0) {
        fprintf(stderr, "%s: %s%s\n", args[0], hf_buf_text(&out.out), hf_buf_text(&out.errout));
    }
    bool ok = out.status == 0 && !out.signaled;
    hf_process_output_free(&out);
    return ok;
}

static inline bool pg_fixture_start(struct pg_fixture *f)
{
    snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/hf-pg-XXXXXX");
    if (mkdtemp(f->dir) == NULL) {
        return false;
    }
    struct passwd *user = getpwnam("postgres");
    if (geteuid() == 0 && (user == NULL || chown(f->dir, user->pw_uid, user->pw_gid) != 0)) {
        return false;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    if (bind(fd, (struct sockaddr *)&a, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        return false;
    }
    close(fd);
    snprintf(f->port, sizeof(f->port), "%d", ntohs(a.sin_port));
    char data[96], options[256], logfile[96];
    snprintf(data, sizeof(data), "%s/data", f->dir);
    snprintf(logfile, sizeof(logfile), "%s/log", f->dir);
    snprintf(options, sizeof(options),
             "-p %s -k %s -c listen_addresses=127.0.0.1 -c fsync=off -c shared_buffers=16MB "
             "-c max_connections=20 -c dynamic_shared_memory_type=mmap",
             f->port, f->dir);
    const char *initdb[] = {PG_BIN "initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", NULL};
    const char *start[] = {PG_BIN "pg_ctl", "-D", data, "-o", options, "-l",
                           logfile,         "-w", "-t", "60", "start", NULL};
    if (!pg_fixture_run(f, initdb) || !pg_fixture_run(f, start)) {
        return false;
    }
    char pidfile[128];
    snprintf(pidfile, sizeof(pidfile), "%s/postmaster.pid", data);
    HF_BUF(text, 1024);
    if (!hf_ok(hf_file_read(pidfile, &text, NULL))) {
        return false;
    }
    f->postmaster = (pid_t)strtol(hf_buf_text(&text), NULL, 10);
    return f->postmaster > 1;
}

/* A signal to every process of the instance. */
static inline size_t pg_fixture_signal(const struct pg_fixture *f, int signal)
{
    char data[96];
    pid_t pids[64];
    size_t n = 0;
    bool complete;
    snprintf(data, sizeof(data), "%s/data", f->dir);
    if (!hf_ok(hf_proc_list_cwd(data, pids, 64, &n, &complete, NULL))) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        kill(pids[i], signal);
    }
    return n;
}

/* Frees the System V segment that a killed server leaves: the seventh line of its lock file. */
static inline void pg_fixture_free_segment(const struct pg_fixture *f)
{
    char pidfile[128];
    snprintf(pidfile, sizeof(pidfile), "%s/data/postmaster.pid", f->dir);
    HF_BUF(text, 1024);
    if (!hf_ok(hf_file_read(pidfile, &text, NULL))) {
        return; /* it was shut down in good order */
    }
    const char *at = hf_buf_text(&text);
    for (int line = 1; line < 7 && at != NULL; line++) {
        at = strchr(at, '\n');
        at = at != NULL ? at + 1 : NULL;
    }
    unsigned long key;
    int id;
    if (at != NULL && sscanf(at, "%lu %d", &key, &id) == 2) {
        shmctl(id, IPC_RMID, NULL);
    }
}

static inline void pg_fixture_stop(struct pg_fixture *f)
{
    for (int i = 0; i < 50 && pg_fixture_signal(f, SIGKILL) > 0; i++) {
        usleep(20000);
    }
    pg_fixture_free_segment(f);
    HF_IGNORE(hf_dir_remove_tree(f->dir, NULL), "a temporary directory");
}

#endif
