/* SPDX-License-Identifier: Apache-2.0
 *
 * pg_rewind, in steps that never leave a directory that could come up writable:
 *   1. the server is brought to a clean end in recovery. A crashed primary is started as a standby
 *      without an upstream and stopped again; pg_rewind's own way would be a single-user start;
 *   2. the source's control file is on its new timeline (before, pg_rewind of PostgreSQL 15 sees
 *      two servers of one timeline and does nothing): it is asked for a checkpoint;
 *   3. the mark, pg_rewind, standby.signal again whatever came of it;
 *   4. what must not stay: this node's own files are put back, WAL beyond the fork goes (W4);
 *   5. the server is up as a standby, then the mark goes.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/core/walrule.h"
#include "agent/node/child.h"
#include "agent/node/op_control.h"
#include "agent/node/op_rejoin.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/files.h"
#include "common/io/log.h"

enum {
    CHECKPOINT_SECONDS = 600, /* a paced one may take most of checkpoint_timeout */
    ASK_AGAIN_SECONDS = 10,
    STEP_MS = 100,
    LABEL_MAX = 8192
};
#define RECOVERY_LIMIT HF_SEC(3600)
#define STOP_LIMIT     HF_SEC(300)

static const char *data_dir(const struct hf_rejoin *r)
{
    return r->op->env->config->postgresql.data_dir;
}

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

/* --- a clean end ---------------------------------------------------------------------------- */

/* The upstream was taken away, and standby.signal put, when the end was looked for. */
static hf_result shut_down_in_recovery(struct hf_rejoin *r, struct hf_err *err)
{
    struct hf_op_control control;
    HF_TRY(hf_pgconf_signal_put(data_dir(r), err));
    HF_TRY(hf_op_control(r->op, &control, err));
    if (control.shut_down) {
        return hf_done();
    }
    HF_TRY(hf_op_server_start(r->op, RECOVERY_LIMIT, err));
    HF_TRY(hf_op_server_stop(r->op, STOP_LIMIT, err));
    HF_TRY(hf_op_control(r->op, &control, err));
    return control.shut_down
               ? hf_done()
               : hf_fail(err, HF_E_CONFLICT, "PostgreSQL was stopped, but not cleanly; see %s",
                         r->op->env->log);
}

/* --- the source's control file -------------------------------------------------------------- */

static hf_result control_timeline(struct hf_rejoin *r, hf_tli *ret, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    char value[32];
    unsigned timeline = 0;
    HF_TRY(hf_op_connect_remote(&r->op->env->config->postgresql, r->op->address, NULL, &c, err));
    HF_TRY(hf_op_value(c, "SELECT timeline_id FROM pg_control_checkpoint()", value, sizeof(value),
                       err));
    if (sscanf(value, "%u", &timeline) != 1) {
        return hf_fail(err, HF_E_INVALID, "timeline \"%s\"", value);
    }
    *ret = HF_TLI(timeline);
    return hf_done();
}

/* Asked, not waited for: the server goes on with it when the connection is closed. */
static void ask_for_checkpoint(struct hf_rejoin *r)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    struct hf_err why;
    hf_result asked =
        hf_op_connect_remote(&r->op->env->config->postgresql, r->op->address, NULL, &c, &why);
    if (hf_ok(asked)) {
        asked = hf_pg_sync_query(c, "CHECKPOINT", 0, NULL, HF_MS(200), NULL, &why);
    }
    if (!hf_ok(asked) && asked.code != HF_E_TIMEOUT) {
        hf_log(HF_LOG_WARNING, "REJOIN_NO_CHECKPOINT",
               "the source takes no request of a checkpoint", HF_KV_ERR(&why));
    }
}

static hf_result wait_checkpoint(struct hf_rejoin *r, struct hf_err *err)
{
    hf_lclk began = hf_clock_lease();
    int64_t asked_s = -ASK_AGAIN_SECONDS;
    for (;;) {
        hf_tli timeline = HF_TLI(0);
        HF_TRY(hf_op_check(r->op, err));
        HF_TRY(control_timeline(r, &timeline, err));
        if (timeline.v == r->source.timeline.v) {
            return hf_done();
        }
        int64_t spent_s = hf_lclk_sub(hf_clock_lease(), began).us / 1000000;
        if (spent_s >= CHECKPOINT_SECONDS) {
            return hf_fail(err, HF_E_TIMEOUT, "%s has no checkpoint on timeline %u after %d s",
                           r->op->address, r->source.timeline.v, (int)CHECKPOINT_SECONDS);
        }
        if (spent_s - asked_s >= ASK_AGAIN_SECONDS) {
            ask_for_checkpoint(r);
            asked_s = spent_s;
        }
        hf_op_sleep_ms(STEP_MS);
    }
}

/* --- pg_rewind ------------------------------------------------------------------------------ */

static bool canceled(void *arg)
{
    return hf_job_canceled(&((struct hf_op *)arg)->job);
}

/* The archive has what pg_wal lacks of the way from the last common checkpoint to the fork. */
static hf_result restore_setting(struct hf_rejoin *r, struct hf_err *err)
{
    const char *command = r->op->env->restore_command;
    const struct hf_pgconf_entry entry = {"restore_command", command[0] != '\0' ? command : NULL};
    return hf_pgconf_set(data_dir(r), &entry, 1, err);
}

static hf_result run_rewind(struct hf_rejoin *r, struct hf_err *err)
{
    const struct hf_op *op = r->op;
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    char program[HF_PATH_SIZE + 32];
    char file[HF_PATH_SIZE + 32];
    HF_BUF(source, HF_OP_CONNINFO_MAX + 32);
    int status = 0;
    HF_TRY(hf_buf_append_str(&source, "--source-server=", err));
    HF_BUF(conninfo, HF_OP_CONNINFO_MAX);
    HF_TRY(hf_op_source(r->op, true, &conninfo, err));
    HF_TRY(hf_pgconf_conninfo(&conninfo, "dbname", pg->database, err));
    HF_TRY(hf_buf_append(&source, conninfo.data, conninfo.len, err));
    snprintf(program, sizeof(program), "%s/pg_rewind", pg->bin_dir);
    snprintf(file, sizeof(file), "--config-file=%s", pg->config_file);
    const char *argv[8] = {program, "--no-ensure-shutdown", hf_buf_text(&source), "-D",
                           pg->data_dir};
    size_t n = 5;
    if (op->env->restore_command[0] != '\0') {
        argv[n++] = "--restore-target-wal";
    }
    if (pg->config_file[0] != '\0') {
        argv[n++] = file;
    }
    struct hf_child_run run = {.argv = argv,
                               .canceled = canceled,
                               .canceled_arg = r->op,
                               .log = op->env->log,
                               .directory = pg->data_dir,
                               .timeout = HF_OP_COPY_LIMIT};
    HF_FAULT("rejoin.rewind", err);
    HF_TRY(hf_child_run(&run, &status, err));
    HF_FAULT("rejoin.rewound", err);
    return status == 0 ? hf_done()
                       : hf_fail(err, HF_E_IO, "pg_rewind from %s: exit status %d; see %s",
                                 op->address, status, op->env->log);
}

/* --- what must not stay --------------------------------------------------------------------- */

static hf_result remove_if_there(const char *format_dir, const char *name, const char *suffix,
                                 struct hf_err *err)
{
    char path[HF_PATH_SIZE + 400];
    snprintf(path, sizeof(path), "%s/%s%s", format_dir, name, suffix);
    return unlink(path) == 0 || errno == ENOENT ? hf_done()
                                                : hf_fail_errno(err, errno, "remove %s", path);
}

/* Segments that hold anything past the fork, or of another history: no recovery may find them
 * (W4). pg_rewind has made pg_wal the source's; what it fetched from the archive itself stays. */
static hf_result clear_beyond_fork(struct hf_rejoin *r, struct hf_err *err)
{
    char status[HF_PATH_SIZE + 64];
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(r->wal_dir);
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", r->wal_dir);
    }
    snprintf(status, sizeof(status), "%s/archive_status", r->wal_dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct hf_wal_name name;
        if (!hf_ok(hf_wal_name_parse(e->d_name, r->segment_size, &name, NULL)) ||
            name.kind != HF_WAL_SEGMENT ||
            hf_wal_may_serve(&r->source, &name, (uint32_t)r->segment_size) == HF_WAL_SERVE) {
            continue;
        }
        HF_TRY(remove_if_there(status, e->d_name, ".ready", err));
        HF_TRY(remove_if_there(status, e->d_name, ".done", err));
        HF_TRY(remove_if_there(r->wal_dir, e->d_name, "", err));
    }
    return hf_dir_sync(r->wal_dir, err);
}

bool hf_rejoin_label_start(const char *text, hf_lsn *ret)
{
    static const char key[] = "START WAL LOCATION: ";
    unsigned high = 0;
    unsigned low = 0;
    if (strncmp(text, key, sizeof(key) - 1) != 0 ||
        sscanf(text + sizeof(key) - 1, "%8X/%8X ", &high, &low) != 2) {
        return false;
    }
    *ret = HF_LSN(((uint64_t)high << 32) | low);
    return true;
}

static bool has_segment(const struct hf_rejoin *r, hf_tli timeline, hf_lsn at)
{
    char text[HF_WAL_NAME_SIZE];
    char path[HF_PATH_SIZE + 128];
    const struct hf_wal_name name = {.kind = HF_WAL_SEGMENT,
                                     .timeline = timeline,
                                     .segment = hf_lsn_segment(at, r->segment_size)};
    snprintf(path, sizeof(path), "%s/%s", r->wal_dir,
             hf_wal_name_format(&name, r->segment_size, text));
    return hf_file_exists(path);
}

/* Without an archive the WAL from the last common checkpoint on must have come with pg_wal of the
 * source (which removes the oldest first): else the standby would wait for it for ever. */
static hf_result wal_is_there(struct hf_rejoin *r, struct hf_err *err)
{
    char path[HF_PATH_SIZE + 32];
    char lsn[HF_LSN_SIZE];
    HF_BUF(label, LABEL_MAX);
    hf_lsn start = HF_LSN(0);
    snprintf(path, sizeof(path), "%s/backup_label", data_dir(r));
    if (r->op->env->restore_command[0] != '\0' || !hf_ok(hf_file_read(path, &label, NULL)) ||
        !hf_rejoin_label_start(hf_buf_text(&label), &start)) {
        return hf_done();
    }
    bool there = has_segment(r, r->source.timeline, start);
    for (int i = 0; i < r->source.count; i++) {
        there = there || has_segment(r, r->source.entries[i].timeline, start);
    }
    return there ? hf_done()
                 : hf_fail(err, HF_E_NOT_FOUND, "the source has no WAL from %s on any more",
                           hf_lsn_format(start, lsn));
}

/* --- all of it ------------------------------------------------------------------------------ */

static hf_result rewind_and_tidy(struct hf_rejoin *r, const char *keep, struct hf_err *err)
{
    hf_result rewound = run_rewind(r, err);
    /* pg_rewind removes it, where the source has none. */
    HF_TRY(hf_pgconf_signal_put(data_dir(r), hf_ok(rewound) ? err : NULL));
    HF_TRY(rewound);
    HF_TRY(hf_rejoin_put_back(data_dir(r), keep, err));
    HF_TRY(clear_beyond_fork(r, err));
    HF_TRY(wal_is_there(r, err));
    return hf_op_standby_settings(r->op, r->slot, false, err);
}

hf_result hf_rejoin_rewind(struct hf_rejoin *r, struct hf_err *err)
{
    char keep[HF_PATH_SIZE + 64];
    snprintf(keep, sizeof(keep), "%s/own-files", r->state_dir);
    HF_TRY(shut_down_in_recovery(r, err));
    HF_TRY(hf_rejoin_keep(data_dir(r), keep, err));
    HF_TRY(wait_checkpoint(r, err));
    HF_TRY(restore_setting(r, err));
    HF_TRY(hf_op_check(r->op, err));
    HF_TRY(hf_file_write_durable(r->op->env->copying_mark, "", 0, 0600, err));
    HF_TRY(rewind_and_tidy(r, keep, err));
    HF_TRY(hf_op_standby_up(r->op, err));
    return hf_file_remove_durable(r->op->env->copying_mark, err);
}
