/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/health/health.h"
#include "agent/node/child.h"
#include "agent/node/op.h"
#include "agent/node/op_goal.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "common/io/process.h"

enum { STEP_MS = 20, SYSTEMD_APPEARS_MS = 60000, PATIENCE_MS = 200, END_SECONDS = 15 };

void hf_op_sleep_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

hf_result hf_op_check(const struct hf_op *op, struct hf_err *err)
{
    return hf_job_canceled(&op->job) ? hf_fail(err, HF_E_CANCELED, "canceled") : hf_done();
}

hf_result hf_op_lease(const struct hf_op *op, struct hf_err *err)
{
    HF_TRY(hf_op_check(op, err));
    if (!hf_page_is_open(op->env->page, op->epoch, hf_clock_lease_high())) {
        return hf_fail(err, HF_E_REFUSED, "L8: no lease of epoch %llu is held now",
                       (unsigned long long)op->epoch.v);
    }
    return hf_done();
}

hf_result hf_op_split(const char *address, char host[HF_ADDRESS_SIZE], char port[8],
                      struct hf_err *err)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        strlen(address) >= HF_ADDRESS_SIZE) {
        return hf_fail(err, HF_E_INVALID, "address \"%s\": host:port", address);
    }
    size_t len = (size_t)(colon - address);
    bool v6 = address[0] == '[' && address[len - 1] == ']';
    snprintf(host, HF_ADDRESS_SIZE, "%.*s", (int)(v6 ? len - 2 : len), v6 ? address + 1 : address);
    snprintf(port, 8, "%s", colon + 1);
    return hf_done();
}

hf_result hf_op_connect(struct hf_op *op, struct hf_pg_sync **ret, struct hf_err *err)
{
    char port[8];
    struct hf_pg_config config;
    hf_health_pg_config(&op->env->config->postgresql, port, &config);
    return hf_pg_sync_connect(&config, ret, err);
}

size_t hf_op_guard_settings(const struct hf_op *op, struct hf_pgconf_entry *ret)
{
    if (op->env->page_path[0] == '\0') {
        return 0;
    }
    ret[0] = (struct hf_pgconf_entry){"holdfast.managed", "on"};
    ret[1] = (struct hf_pgconf_entry){"holdfast.page", op->env->page_path};
    return HF_OP_GUARD_ENTRIES;
}

hf_result hf_op_connect_replication(struct hf_op *op, const char *address, struct hf_pg_sync **ret,
                                    struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    char host[HF_ADDRESS_SIZE];
    char port[8];
    HF_TRY(hf_op_split(address != NULL ? address : pg->advertise, host, port, err));
    const struct hf_pg_config config = {
        .host = address != NULL ? host : pg->socket_dir,
        .port = port,
        .user = pg->replication_user,
        .passfile = pg->passfile[0] != '\0' ? pg->passfile : NULL,
        .application_name = "holdfast-agent",
        .replication = "true",
        .connect_timeout = HF_SEC(5),
    };
    return hf_pg_sync_connect(&config, ret, err);
}

hf_result hf_op_value(struct hf_pg_sync *c, const char *sql, char *ret, size_t size,
                      struct hf_err *err)
{
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    HF_TRY(hf_pg_sync_query(c, sql, 0, NULL, HF_SEC(5), &r, err));
    if (hf_pg_rows(r) < 1 || hf_pg_columns(r) < 1 || hf_pg_is_null(r, 0, 0)) {
        return hf_fail(err, HF_E_NOT_FOUND, "no value of: %s", sql);
    }
    if (hf_pg_length(r, 0, 0) >= size) {
        return hf_fail(err, HF_E_LIMIT, "value longer than %zu of: %s", size - 1, sql);
    }
    snprintf(ret, size, "%s", hf_pg_text(r, 0, 0));
    return hf_done();
}

static bool canceled(void *arg)
{
    return hf_job_canceled(&((struct hf_op *)arg)->job);
}

struct first_line {
    char *text;
    size_t size;
    bool seen;
};

static bool keep_first(void *arg, const char *line)
{
    struct first_line *f = arg;
    if (!f->seen) {
        snprintf(f->text, f->size, "%s", line);
        f->seen = true;
    }
    return true;
}

static hf_result setting_from_files(struct hf_op *op, const char *name, char *ret, size_t size,
                                    struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    char program[HF_PATH_SIZE + 16];
    char file[HF_PATH_SIZE + 16];
    int status = 0;
    snprintf(program, sizeof(program), "%s/postgres", pg->bin_dir);
    snprintf(file, sizeof(file), "config_file=%s", pg->config_file);
    const char *argv[] = {program, "-D", pg->data_dir, "-C", name, NULL, NULL, NULL};
    if (pg->config_file[0] != '\0') {
        argv[5] = "-c";
        argv[6] = file;
    }
    struct first_line first = {.text = ret, .size = size};
    ret[0] = '\0';
    struct hf_child_run run = {.argv = argv,
                               .canceled = canceled,
                               .canceled_arg = op,
                               .line = keep_first,
                               .line_arg = &first,
                               .log = op->env->log,
                               .timeout = HF_SEC(20)};
    HF_TRY(hf_child_run(&run, &status, err));
    if (status != 0 && strcmp(name, "archive_library") != 0) { /* older versions lack that one */
        return hf_fail(err, HF_E_IO, "%s -C %s: exit status %d; see %s", program, name, status,
                       op->env->log);
    }
    return hf_done();
}

hf_result hf_op_setting(struct hf_op *op, struct hf_pg_sync *c, const char *name, char *ret,
                        size_t size, struct hf_err *err)
{
    if (c == NULL) {
        return setting_from_files(op, name, ret, size, err);
    }
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    const char *const params[] = {name};
    HF_TRY(hf_pg_sync_query(c, "SELECT coalesce(current_setting($1, true), '')", 1, params,
                            HF_SEC(5), &r, err));
    if (hf_pg_rows(r) != 1 || hf_pg_length(r, 0, 0) >= size) {
        return hf_fail(err, HF_E_LIMIT, "setting %s: longer than %zu", name, size - 1);
    }
    snprintf(ret, size, "%s", hf_pg_text(r, 0, 0));
    return hf_done();
}

bool hf_op_server_runs(const struct hf_op *op)
{
    struct hf_instance instance;
    struct hf_postmaster found;
    hf_instance_init(&instance, op->env->config->postgresql.data_dir);
    hf_instance_postmaster(&instance, &found);
    return found.pid != 0;
}

hf_result hf_op_server_signal(struct hf_op *op, int signal, struct hf_err *err)
{
    struct hf_instance instance;
    struct hf_postmaster found;
    hf_instance_init(&instance, op->env->config->postgresql.data_dir);
    hf_instance_postmaster(&instance, &found);
    HF_AUTOCLOSE int fd = found.pid == 0 ? -1 : (int)syscall(SYS_pidfd_open, found.pid, 0);
    uint64_t start = 0;
    if (fd < 0 || !hf_ok(hf_proc_start_time(found.pid, &start, err)) || start != found.start) {
        return hf_fail(err, HF_E_NOT_FOUND, "PostgreSQL does not run in %s", instance.data_dir);
    }
    if (syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) != 0) {
        return hf_fail_errno(err, errno, "signal %d to PostgreSQL", signal);
    }
    return hf_done();
}

hf_result hf_op_server_reload(struct hf_op *op, struct hf_err *err)
{
    return hf_op_server_signal(op, SIGHUP, err);
}

hf_result hf_op_systemctl(struct hf_op *op, const char *verb, struct hf_err *err)
{
    const char *unit = op->env->config->postgresql.unit;
    const char *const argv[] = {"/usr/bin/systemctl", "--no-block", verb, unit, NULL};
    int status = 0;
    struct hf_child_run run = {.argv = argv, .log = op->env->log, .timeout = HF_SEC(20)};
    HF_TRY(hf_child_run(&run, &status, err));
    return status == 0 ? hf_done()
                       : hf_fail(err, HF_E_IO, "systemctl %s %s: exit status %d; see %s", verb,
                                 unit, status, op->env->log);
}

hf_result hf_op_server_end(struct hf_op *op, struct hf_err *err)
{
    static const struct hf_instance_end how = {.patience = HF_MS(PATIENCE_MS),
                                               .limit = HF_SEC(END_SECONDS)};
    struct hf_instance instance;
    struct hf_postmaster found;
    hf_instance_init(&instance, op->env->config->postgresql.data_dir);
    hf_instance_postmaster(&instance, &found);
    return hf_instance_end(&instance, found.pid, found.start, &how, err);
}

/* Removes a lock file of this instance that names a process which lives, but is none of the
 * instance's (the number was given to another, or the process is a zombie): PostgreSQL would refuse
 * to start for ever. Its second line is the data directory: another instance's file stays. */
static hf_result clear_lock_file(const char *path, const char *data_dir, struct hf_err *err)
{
    HF_BUF(text, 8192);
    if (!hf_file_exists(path)) {
        return hf_done();
    }
    HF_TRY(hf_file_read(path, &text, err));
    char *rest = NULL;
    long pid = strtol(hf_buf_text(&text), &rest, 10);
    size_t len = strlen(data_dir);
    bool ours = *rest == '\n' && strncmp(rest + 1, data_dir, len) == 0 && rest[1 + len] == '\n';
    if (ours && pid > 1 && kill((pid_t)pid, 0) == 0) {
        hf_log(HF_LOG_NOTICE, "PG_LOCK_STALE", "lock file names a foreign process; removed",
               HF_KV_I64("pid", pid), HF_KV("file", path));
        return hf_file_remove_durable(path, err);
    }
    return hf_done();
}

/* Of the data directory and of the socket. */
static hf_result clear_lock_files(struct hf_op *op, struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    struct hf_instance instance;
    pid_t one;
    size_t count = 0;
    char path[HF_PATH_SIZE + 32];
    char host[HF_ADDRESS_SIZE];
    char port[8];
    hf_instance_init(&instance, pg->data_dir);
    HF_TRY(hf_instance_list(&instance, &one, 1, &count, err));
    if (count > 0) {
        return hf_fail(err, HF_E_CONFLICT, "L6: processes of %s are alive without a postmaster",
                       instance.data_dir);
    }
    snprintf(path, sizeof(path), "%s/postmaster.pid", pg->data_dir);
    HF_TRY(clear_lock_file(path, pg->data_dir, err));
    HF_TRY(hf_op_split(pg->advertise, host, port, err));
    snprintf(path, sizeof(path), "%s/.s.PGSQL.%s.lock", pg->socket_dir, port);
    return clear_lock_file(path, pg->data_dir, err);
}

static hf_result launch(struct hf_op *op, pid_t *ret_pid, struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    if (pg->manage == HF_MANAGE_OBSERVE) {
        return hf_fail(err, HF_E_REFUSED, "MANAGE_OBSERVE: this agent may not start PostgreSQL");
    }
    if (pg->manage == HF_MANAGE_SYSTEMD) {
        *ret_pid = 0;
        return hf_op_systemctl(op, "start", err);
    }
    char program[HF_PATH_SIZE + 16];
    char file[HF_PATH_SIZE + 16];
    snprintf(program, sizeof(program), "%s/postgres", pg->bin_dir);
    snprintf(file, sizeof(file), "config_file=%s", pg->config_file);
    const char *argv[] = {program, "-D", pg->data_dir, NULL, NULL, NULL};
    if (pg->config_file[0] != '\0') {
        argv[3] = "-c";
        argv[4] = file;
    }
    return hf_child_detach(argv, op->env->log, ret_pid, err);
}

static bool child_gone(pid_t pid)
{
    char state = 'Z';
    (void)hf_child_reap();
    return pid != 0 && (!hf_ok(hf_proc_state(pid, &state, NULL, NULL)) || state == 'Z');
}

hf_result hf_op_server_start(struct hf_op *op, hf_dur limit, struct hf_err *err)
{
    pid_t child = 0;
    struct hf_instance instance;
    struct hf_postmaster found = {.pid = 0};
    HF_TRY(clear_lock_files(op, err));
    HF_TRY(hf_op_history_forget(op, err));
    HF_TRY(launch(op, &child, err));
    hf_lclk began = hf_clock_lease();
    hf_instance_init(&instance, op->env->config->postgresql.data_dir);
    for (;;) {
        bool gone = child_gone(child);
        hf_instance_postmaster(&instance, &found);
        if (found.pid != 0 && strcmp(found.status, "ready") == 0) {
            return hf_done();
        }
        hf_dur spent = hf_lclk_sub(hf_clock_lease(), began);
        bool absent = child == 0 && found.pid == 0 && spent.us > SYSTEMD_APPEARS_MS * 1000LL;
        if (gone || absent) {
            return hf_fail(err, HF_E_IO, "PostgreSQL did not start; see %s", op->env->log);
        }
        if (spent.us > limit.us) {
            return hf_fail(err, HF_E_TIMEOUT, "PostgreSQL is \"%s\" after %lld s", found.status,
                           (long long)(spent.us / 1000000));
        }
        HF_TRY(hf_op_check(op, err));
        hf_op_sleep_ms(STEP_MS);
    }
}
