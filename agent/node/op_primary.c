/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations that end with a writable PostgreSQL, under a held lease.
 */
#include <stdio.h>
#include <string.h>

#include "agent/node/op_history.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"

enum { PROMOTE_SECONDS = 60, STEP_MS = 20, SKIPPED_TIMELINES_MAX = 64 };
#define CRASH_RECOVERY_LIMIT HF_SEC(3600)
/* What slots may hold back when the administrator set no bound: a standby that is gone for good
 * must not fill the primary's disk; one that is further behind is copied anew. */
#define SLOT_WAL_KEEP "10GB"

static const char *data_dir(const struct hf_op *op)
{
    return op->env->config->postgresql.data_dir;
}

/* Archiving is ours when nobody else does it already. */
static hf_result archiving_is_ours(struct hf_op *op, struct hf_pg_sync *c, bool *ret,
                                   struct hf_err *err)
{
    char value[HF_PGCONF_VALUE_SIZE];
    char library[HF_PGCONF_VALUE_SIZE];
    *ret = false;
    if (op->env->archive_command[0] == '\0') {
        return hf_done();
    }
    HF_TRY(hf_op_setting(op, c, "archive_command", value, sizeof(value), err));
    HF_TRY(hf_op_setting(op, c, "archive_library", library, sizeof(library), err));
    bool free_to_take = value[0] == '\0' || strcmp(value, "(disabled)") == 0 ||
                        strstr(value, "holdfast-agent") != NULL;
    *ret = free_to_take && library[0] == '\0';
    if (!*ret) {
        hf_log(HF_LOG_NOTICE, "ARCHIVE_FOREIGN", "another tool archives here; left as it is");
    }
    return hf_done();
}

hf_result hf_op_primary_settings(struct hf_op *op, struct hf_pg_sync *c, struct hf_err *err)
{
    struct hf_pgconf_entry entries[12 + HF_OP_GUARD_ENTRIES] = {
        {"restart_after_crash", "off"},     {"primary_conninfo", NULL},
        {"primary_slot_name", NULL},        {"restore_command", NULL},
        {"recovery_min_apply_delay", NULL},
    };
    size_t n = 5;
    char keep[64] = "";
    bool ours = false;
    HF_TRY(archiving_is_ours(op, c, &ours, err));
    if (ours) {
        entries[n++] = (struct hf_pgconf_entry){"archive_mode", "on"};
        entries[n++] = (struct hf_pgconf_entry){"archive_command", op->env->archive_command};
    }
    HF_TRY(hf_op_setting(op, c, "max_slot_wal_keep_size", keep, sizeof(keep), err));
    if (strcmp(keep, "-1") == 0) {
        entries[n++] = (struct hf_pgconf_entry){"max_slot_wal_keep_size", SLOT_WAL_KEEP};
    }
    n += hf_op_guard_settings(op, &entries[n]);
    return hf_pgconf_set(data_dir(op), entries, n, err);
}

/* PostgreSQL takes the number after the newest history file that it finds. For a reserved number
 * (rule L14) further on, the ones between are made known; they name no ancestor, so that no
 * recovery ever follows them. They stay: a standby that comes from an older timeline asks the new
 * primary for the history of every number between (PostgreSQL: replication/walreceiver.c,
 * WalRcvFetchTimeLineHistoryFiles) and does not stream while one is missing. */
static void history_path(const struct hf_op *op, uint32_t timeline, char *ret, size_t size)
{
    snprintf(ret, size, "%s/pg_wal/%08X.history", data_dir(op), timeline);
}

static hf_result timelines_skip(struct hf_op *op, hf_tli present, struct hf_err *err)
{
    char path[HF_PATH_SIZE + 64];
    if (op->timeline.v == 0) {
        return hf_done();
    }
    history_path(op, op->timeline.v, path, sizeof(path));
    if (op->timeline.v <= present.v || hf_file_exists(path)) {
        return hf_fail(err, HF_E_REFUSED, "L14: timeline %u is not free here (present one: %u)",
                       op->timeline.v, present.v);
    }
    if (op->timeline.v - present.v > SKIPPED_TIMELINES_MAX) {
        return hf_fail(err, HF_E_LIMIT, "L14: timeline %u is more than %d after %u", op->timeline.v,
                       (int)SKIPPED_TIMELINES_MAX, present.v);
    }
    for (uint32_t t = present.v + 1; t < op->timeline.v; t++) {
        history_path(op, t, path, sizeof(path));
        if (!hf_file_exists(path)) {
            HF_TRY(hf_file_write_durable(path, HF_HISTORY_UNUSED, sizeof(HF_HISTORY_UNUSED) - 1,
                                         0600, err));
        }
    }
    return hf_done();
}

static hf_result wait_writable(struct hf_op *op, struct hf_pg_sync *c, struct hf_err *err)
{
    hf_lclk until = hf_lclk_add(hf_clock_lease(), HF_SEC(PROMOTE_SECONDS));
    char value[16];
    for (;;) {
        HF_TRY(hf_op_check(op, err));
        HF_TRY(hf_op_value(c, "SELECT pg_is_in_recovery()", value, sizeof(value), err));
        if (value[0] == 'f') {
            return hf_done();
        }
        if (hf_lclk_reached(hf_clock_lease(), until)) {
            return hf_fail(err, HF_E_TIMEOUT, "still in recovery %d s after the promotion",
                           (int)PROMOTE_SECONDS);
        }
        hf_op_sleep_ms(STEP_MS);
    }
}

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

static hf_result promote_now(struct hf_op *op, struct hf_pg_sync *c, struct hf_err *err)
{
    char value[64];
    HF_TRY(hf_op_lease(op, err));
    HF_TRY(hf_op_value(c, "SELECT pg_promote(false, 60)", value, sizeof(value), err));
    HF_TRY(wait_writable(op, c, err));
    HF_TRY(hf_op_value(c,
                       "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()),"
                       " 1, 8))::bit(32)::bigint",
                       value, sizeof(value), err));
    uint32_t got = 0;
    if (sscanf(value, "%u", &got) != 1 || (op->timeline.v != 0 && got != op->timeline.v)) {
        return hf_fail(err, HF_E_CONFLICT, "L14: promoted to timeline %s instead of %u", value,
                       op->timeline.v);
    }
    op->end_timeline = HF_TLI(got);
    return hf_done();
}

hf_result hf_op_promote(struct hf_op *op, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    hf_tli present = HF_TLI(0);
    HF_TRY(hf_op_connect(op, &c, err));
    HF_TRY(hf_op_primary_settings(op, c, err));
    HF_TRY(hf_op_server_reload(op, err));
    HF_TRY(hf_op_replayed_timeline(op, c, &present, err));
    HF_TRY(timelines_skip(op, present, err));
    hf_result r = promote_now(op, c, err);
    if (hf_ok(r)) {
        hf_op_backfill(op, present);
    }
    /* The promotion removed it; from now on a start outside comes up in recovery again (L8). */
    HF_TRY(hf_pgconf_signal_put(data_dir(op), hf_ok(r) ? err : NULL));
    return r;
}

hf_result hf_op_start_primary(struct hf_op *op, struct hf_err *err)
{
    if (strstr(op->body, "\"init\":true") != NULL) {
        return hf_fail(err, HF_E_UNSUPPORTED,
                       "init: make the database with initdb and roles.sql, then bootstrap by "
                       "adopt:%s",
                       op->env->config->name.s);
    }
    HF_TRY(hf_op_primary_settings(op, NULL, err));
    if (op->timeline.v != 0) {
        /* A new timeline: up in recovery to the end of what is here, then a promotion. */
        HF_TRY(hf_pgconf_signal_put(data_dir(op), err));
        HF_TRY(hf_op_lease(op, err));
        HF_TRY(hf_op_server_start(op, CRASH_RECOVERY_LIMIT, err));
        return hf_op_promote(op, err);
    }
    HF_TRY(hf_op_lease(op, err));
    hf_result r = hf_pgconf_signal_remove(data_dir(op), err);
    r = hf_ok(r) ? hf_op_lease(op, err) : r;
    r = hf_ok(r) ? hf_op_server_start(op, CRASH_RECOVERY_LIMIT, err) : r;
    HF_TRY(hf_pgconf_signal_put(data_dir(op), hf_ok(r) ? err : NULL));
    return r;
}

hf_result hf_op_adopt(struct hf_op *op, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    char value[64];
    HF_TRY(hf_op_lease(op, err));
    HF_TRY(hf_op_connect(op, &c, err));
    HF_TRY(hf_op_value(c, "SELECT pg_is_in_recovery()", value, sizeof(value), err));
    if (value[0] != 'f') {
        return hf_fail(err, HF_E_CONFLICT, "PostgreSQL is in recovery: nothing to adopt");
    }
    HF_TRY(hf_op_value(c, "SELECT current_setting('archive_mode')", value, sizeof(value), err));
    if (strcmp(value, "off") == 0 && op->env->archive_command[0] != '\0') {
        hf_log(HF_LOG_WARNING, "ARCHIVE_OFF",
               "archive_mode is off: WAL is archived only after a restart of PostgreSQL");
    }
    HF_TRY(hf_op_primary_settings(op, c, err));
    HF_TRY(hf_pgconf_signal_put(data_dir(op), err));
    return hf_op_server_reload(op, err);
}
