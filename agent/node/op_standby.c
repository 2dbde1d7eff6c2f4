/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations that end with a standby: follow, and fresh copy.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/node/child.h"
#include "agent/node/op.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"

enum { SLOT_NAME_SIZE = 80, SLOTS_MAX = 64, CONNINFO_MAX = 4096, COPY_TRIES = 5 };
#define START_LIMIT HF_SEC(1800)
#define COPY_LIMIT  HF_SEC(7 * 24 * 3600)

static const char *data_dir(const struct hf_op *op)
{
    return op->env->config->postgresql.data_dir;
}

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

/* --- slots: on the upstream one for this node, so that its WAL is kept --- */

static hf_result slot_make(struct hf_op *op, const char *slot, struct hf_err *err)
{
    char sql[160];
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    HF_TRY(hf_op_connect_replication(op, op->address, &c, err));
    snprintf(sql, sizeof(sql), "CREATE_REPLICATION_SLOT %s PHYSICAL RESERVE_WAL", slot);
    hf_result r = hf_pg_sync_query(c, sql, 0, NULL, HF_SEC(10), NULL, err);
    if (!hf_ok(r) && strcmp(hf_pg_sync_sqlstate(c), "42710") == 0) { /* duplicate_object */
        return hf_done();
    }
    return r;
}

/* Slots of other nodes that this one made or inherited as a primary would hold WAL for ever. */
static hf_result slots_drop(struct hf_op *op, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *r = NULL;
    HF_AUTOPGRESULT struct hf_pg_result *slots = NULL;
    HF_TRY(hf_op_connect(op, &c, err));
    HF_TRY(hf_pg_sync_query(c,
                            "SELECT slot_name FROM pg_replication_slots WHERE slot_type = "
                            "'physical' AND NOT active AND slot_name ~ '^holdfast_[a-z0-9_]+$'",
                            0, NULL, HF_SEC(5), &slots, err));
    if (hf_pg_rows(slots) == 0) {
        return hf_done();
    }
    HF_TRY(hf_op_connect_replication(op, NULL, &r, err));
    for (int i = 0; i < hf_pg_rows(slots) && i < SLOTS_MAX; i++) {
        char sql[160];
        snprintf(sql, sizeof(sql), "DROP_REPLICATION_SLOT %.63s", hf_pg_text(slots, i, 0));
        HF_TRY(hf_pg_sync_query(r, sql, 0, NULL, HF_SEC(5), NULL, err));
    }
    return hf_done();
}

/* --- settings --- */

static hf_result conninfo(struct hf_op *op, bool for_copy, struct hf_buf *out, struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    char host[HF_ADDRESS_SIZE];
    char port[8];
    HF_TRY(hf_op_split(op->address, host, port, err));
    HF_TRY(hf_pgconf_conninfo(out, "host", host, err));
    HF_TRY(hf_pgconf_conninfo(out, "port", port, err));
    HF_TRY(hf_pgconf_conninfo(out, "user", pg->replication_user, err));
    if (pg->passfile[0] != '\0') {
        HF_TRY(hf_pgconf_conninfo(out, "passfile", pg->passfile, err));
    }
    HF_TRY(hf_pgconf_conninfo(out, "application_name", op->env->config->name.s, err));
    HF_TRY(hf_pgconf_conninfo(out, "connect_timeout", "5", err));
    HF_TRY(hf_pgconf_conninfo(out, "keepalives_idle", "5", err));
    HF_TRY(hf_pgconf_conninfo(out, "keepalives_interval", "3", err));
    HF_TRY(hf_pgconf_conninfo(out, "keepalives_count", "3", err));
    return for_copy ? hf_done() : hf_pgconf_conninfo(out, "tcp_user_timeout", "15000", err);
}

static hf_result standby_settings(struct hf_op *op, const char *slot, bool copied,
                                  struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    HF_BUF(upstream, CONNINFO_MAX);
    char host[HF_ADDRESS_SIZE];
    char port[8];
    HF_TRY(conninfo(op, false, &upstream, err));
    HF_TRY(hf_op_split(pg->advertise, host, port, err));
    const char *restore = op->env->restore_command;
    struct hf_pgconf_entry entries[16 + HF_OP_GUARD_ENTRIES] = {
        {"primary_conninfo", hf_buf_text(&upstream)},
        {"primary_slot_name", slot},
        {"recovery_target_timeline", "latest"},
        {"restore_command", restore[0] != '\0' ? restore : NULL},
        {"wal_retrieve_retry_interval", "1s"},
        {"recovery_min_apply_delay", NULL},
        {"restart_after_crash", NULL},
    };
    size_t n = 7;
    if (copied) {
        /* The copy brought the upstream's own places along. */
        const char *archive = op->env->archive_command;
        char command[HF_PGCONF_VALUE_SIZE];
        bool was_ours =
            hf_ok(hf_pgconf_get(data_dir(op), "archive_command", command, sizeof(command), NULL)) &&
            strstr(command, "holdfast-agent") != NULL;
        entries[n++] = (struct hf_pgconf_entry){"listen_addresses", host};
        entries[n++] = (struct hf_pgconf_entry){"port", port};
        entries[n++] = (struct hf_pgconf_entry){"unix_socket_directories", pg->socket_dir};
        if (was_ours) {
            entries[n++] =
                (struct hf_pgconf_entry){"archive_command", archive[0] != '\0' ? archive : NULL};
        }
    }
    n += hf_op_guard_settings(op, &entries[n]);
    return hf_pgconf_set(data_dir(op), entries, n, err);
}

static hf_result up_as_standby(struct hf_op *op, struct hf_err *err)
{
    struct hf_err why;
    if (hf_op_server_runs(op)) {
        HF_TRY(hf_op_server_reload(op, err));
    } else {
        HF_TRY(hf_op_server_start(op, START_LIMIT, err));
    }
    hf_result r = slots_drop(op, &why);
    if (!hf_ok(r)) {
        hf_log(HF_LOG_WARNING, "SLOTS_LEFT", "old replication slots could not be removed",
               HF_KV_ERR(&why));
    }
    return hf_done();
}

hf_result hf_op_follow(struct hf_op *op, struct hf_err *err)
{
    char slot[SLOT_NAME_SIZE];
    hf_pgconf_slot_name(op->env->config->name.s, slot, sizeof(slot));
    HF_TRY(slot_make(op, slot, err));
    HF_TRY(hf_op_check(op, err));
    HF_TRY(hf_pgconf_signal_put(data_dir(op), err));
    HF_TRY(standby_settings(op, slot, false, err));
    return up_as_standby(op, err);
}

/* --- fresh copy --- */

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

/* Everything below the directory, not the directory itself: it may be a mount point. */
static hf_result empty_directory(struct hf_op *op, struct hf_err *err)
{
    HF_TRY(hf_dir_make(data_dir(op), 0700, err));
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(data_dir(op));
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", data_dir(op));
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[HF_PATH_SIZE + 300];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        HF_TRY(hf_op_check(op, err));
        snprintf(path, sizeof(path), "%s/%s", data_dir(op), e->d_name);
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return hf_fail_errno(err, errno, "stat %s", path);
        }
        if (S_ISDIR(st.st_mode)) {
            HF_TRY(hf_dir_remove_tree(path, err));
        } else if (unlinkat(dirfd(d), e->d_name, 0) != 0) {
            return hf_fail_errno(err, errno, "remove %s", path);
        }
    }
    if (chmod(data_dir(op), 0700) != 0) {
        return hf_fail_errno(err, errno, "chmod %s", data_dir(op));
    }
    return hf_dir_sync(data_dir(op), err);
}

static bool canceled(void *arg)
{
    return hf_job_canceled(&((struct hf_op *)arg)->job);
}

static hf_result base_backup(struct hf_op *op, const char *slot, struct hf_err *err)
{
    char program[HF_PATH_SIZE + 32];
    HF_BUF(source, CONNINFO_MAX);
    int status = 0;
    HF_TRY(conninfo(op, true, &source, err));
    snprintf(program, sizeof(program), "%s/pg_basebackup", op->env->config->postgresql.bin_dir);
    const char *const argv[] = {
        program, "-D", data_dir(op), "-d",   hf_buf_text(&source), "-X", "stream",
        "-S",    slot, "-c",         "fast", "--no-password",      NULL};
    struct hf_child_run run = {.argv = argv,
                               .canceled = canceled,
                               .canceled_arg = op,
                               .log = op->env->log,
                               .timeout = COPY_LIMIT};
    HF_TRY(hf_child_run(&run, &status, err));
    return status == 0 ? hf_done()
                       : hf_fail(err, HF_E_IO, "pg_basebackup from %s: exit status %d; see %s",
                                 op->address, status, op->env->log);
}

hf_result hf_op_copy(struct hf_op *op, struct hf_err *err)
{
    char slot[SLOT_NAME_SIZE];
    hf_pgconf_slot_name(op->env->config->name.s, slot, sizeof(slot));
    /* Nothing here is touched before the source is known to answer. */
    HF_TRY(slot_make(op, slot, err));
    HF_TRY(hf_op_check(op, err));
    HF_TRY(hf_file_write_durable(op->env->copying_mark, "", 0, 0600, err));
    HF_TRY(hf_op_server_end(op, err));
    hf_result r = hf_done();
    for (int i = 0; i < COPY_TRIES; i++) {
        HF_TRY(empty_directory(op, err));
        r = base_backup(op, slot, err);
        if (hf_ok(r) || r.code == HF_E_CANCELED) {
            break;
        }
        HF_TRY(hf_op_check(op, err));
        hf_op_sleep_ms(500); /* the slot may still be held by a connection that died */
    }
    HF_TRY(r);
    HF_TRY(hf_pgconf_signal_put(data_dir(op), err));
    HF_TRY(standby_settings(op, slot, true, err));
    HF_TRY(hf_file_remove_durable(op->env->copying_mark, err));
    return up_as_standby(op, err);
}
