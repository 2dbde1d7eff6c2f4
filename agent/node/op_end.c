/* SPDX-License-Identifier: Apache-2.0
 *
 * Where this node's valid WAL ends (rule L9): of a running standby after it was cut from its
 * upstream, and of a data directory whose server is down.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/node/child.h"
#include "agent/node/op_control.h"
#include "agent/node/op_history.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/core/lsn.h"
#include "common/io/clock.h"

enum {
    XLOG_PAGE = 8192,
    SHORT_HEADER = 24, /* SizeOfXLogShortPHD */
    LONG_HEADER = 40,  /* SizeOfXLogLongPHD, at the beginning of a segment */
    SETTLE_MS = 200,
    STEP_MS = 20,
    STOP_SECONDS = 60
};
#define WALDUMP_LIMIT HF_SEC(3600)

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

/* From now on it receives nothing, whoever starts it, and comes up in recovery (L8, L9). Set, not
 * removed: another file may have values of its own. */
static hf_result take_upstream_away(const char *directory, struct hf_err *err)
{
    const struct hf_pgconf_entry entries[] = {
        {"primary_conninfo", ""},
        {"restore_command", ""},
        {"recovery_min_apply_delay", "0"},
    };
    HF_TRY(hf_pgconf_signal_put(directory, err));
    return hf_pgconf_set(directory, entries, 3, err);
}

/* --- a running standby --- */

struct standby_look {
    bool receiver;
    bool at_end; /* recovery waits for more WAL, and has nowhere to get it from */
    bool cut;    /* the new settings are in force */
    hf_lsn replayed;
    hf_lsn received; /* flushed by a receiver of this life of the server, 0/0 without one */
};

static hf_result look(struct hf_pg_sync *c, struct standby_look *ret, struct hf_err *err)
{
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    struct standby_look l;
    HF_TRY(hf_pg_sync_query(
        c,
        "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver),"
        " EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'"
        "  AND wait_event = 'RecoveryRetrieveRetryInterval'),"
        " current_setting('primary_conninfo') = '' AND current_setting('restore_command') = '',"
        " coalesce(pg_last_wal_replay_lsn(), '0/0'),"
        " coalesce(pg_last_wal_receive_lsn(), '0/0')",
        0, NULL, HF_SEC(5), &r, err));
    HF_TRY(hf_pg_bool(r, 0, 0, &l.receiver, err));
    HF_TRY(hf_pg_bool(r, 0, 1, &l.at_end, err));
    HF_TRY(hf_pg_bool(r, 0, 2, &l.cut, err));
    HF_TRY(hf_pg_lsn(r, 0, 3, &l.replayed, err));
    HF_TRY(hf_pg_lsn(r, 0, 4, &l.received, err));
    *ret = l;
    return hf_done();
}

/* The end is where recovery waits for more, with all that was received replayed; else (a tail that
 * was received in part is no record, and is not counted) twice at the same position and some time
 * after the cut: until recovery has looked at its files again it does not know what the receiver
 * wrote last. */
static hf_result wait_end(struct hf_op *op, struct hf_pg_sync *c, hf_lsn *ret, struct hf_err *err)
{
    hf_lclk began = hf_clock_lease();
    hf_lclk quiet_since = began;
    struct standby_look before = {.replayed = {0}};
    for (;;) {
        struct standby_look now = {.receiver = true};
        HF_TRY(hf_op_check(op, err));
        HF_TRY(look(c, &now, err));
        hf_lclk t = hf_clock_lease();
        bool waits = now.cut && !now.receiver && now.at_end && now.replayed.v != 0;
        bool quiet = waits && now.replayed.v == before.replayed.v;
        if (waits && now.received.v != 0 && now.replayed.v == now.received.v) {
            *ret = now.replayed;
            return hf_done();
        }
        if (!quiet) {
            quiet_since = t;
        } else if (hf_lclk_sub(t, quiet_since).us >= SETTLE_MS * 1000) {
            *ret = now.replayed;
            return hf_done();
        }
        if (hf_lclk_sub(t, began).us > STOP_SECONDS * 1000000LL) {
            return hf_fail(err, HF_E_TIMEOUT,
                           "L9: not at the end of the received WAL after %d s (receiver %s, "
                           "settings %s, recovery %s)",
                           (int)STOP_SECONDS, now.receiver ? "runs" : "gone",
                           now.cut ? "cut" : "not yet in force", now.at_end ? "waits" : "works");
        }
        before = now;
        hf_op_sleep_ms(STEP_MS);
    }
}

hf_result hf_op_stop_receiving(struct hf_op *op, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    const char *directory = op->env->config->postgresql.data_dir;
    HF_TRY(hf_op_connect(op, &c, err));
    HF_TRY(take_upstream_away(directory, err));
    HF_TRY(hf_op_server_reload(op, err));
    HF_TRY(hf_pg_sync_query(
        c, "SELECT pg_wal_replay_resume() FROM (SELECT 1) one WHERE pg_is_wal_replay_paused()", 0,
        NULL, HF_SEC(5), NULL, err));
    HF_TRY(wait_end(op, c, &op->end, err));
    return hf_op_replayed_timeline(op, c, &op->end_timeline, err);
}

/* --- a server that is down --- */

hf_lsn hf_op_record_end(hf_lsn lsn, uint64_t length, uint64_t segment_size)
{
    uint64_t at = lsn.v;
    uint64_t left = length;
    for (;;) {
        uint64_t room = XLOG_PAGE - at % XLOG_PAGE;
        if (left < room) {
            return (hf_lsn){(at + left + 7) / 8 * 8};
        }
        at += room;
        left -= room;
        if (left == 0) {
            return (hf_lsn){at};
        }
        at += at % segment_size == 0 ? LONG_HEADER : SHORT_HEADER;
    }
}

/* "rmgr: Heap  len (rec/tot):  54/  54, tx:  735, lsn: 0/01530CA8, prev 0/..." */
bool hf_op_waldump_line(const char *line, hf_lsn *ret_lsn, uint64_t *ret_length)
{
    const char *len = strstr(line, "len (rec/tot):");
    const char *lsn = strstr(line, "lsn: ");
    unsigned long long total = 0;
    unsigned high = 0;
    unsigned low = 0;
    if (strncmp(line, "rmgr:", 5) != 0 || len == NULL || lsn == NULL ||
        sscanf(len, "len (rec/tot): %*u/ %llu", &total) != 1 ||
        sscanf(lsn, "lsn: %8X/%8X", &high, &low) != 2 || total == 0) {
        return false;
    }
    *ret_lsn = HF_LSN(((uint64_t)high << 32) | low);
    *ret_length = total;
    return true;
}

static bool canceled(void *arg)
{
    return hf_job_canceled(&((struct hf_op *)arg)->job);
}

struct dump {
    uint64_t segment_size;
    hf_lsn end;
};

static bool dump_line(void *arg, const char *line)
{
    struct dump *d = arg;
    hf_lsn lsn;
    uint64_t length;
    if (hf_op_waldump_line(line, &lsn, &length)) {
        d->end = hf_op_record_end(lsn, length, d->segment_size);
        if (strncmp(line, "rmgr: XLOG ", 11) == 0 && strstr(line, "desc: SWITCH") != NULL) {
            /* The rest of the segment belongs to it (PostgreSQL: access/xlogreader.c). */
            d->end.v = (d->end.v + d->segment_size - 1) / d->segment_size * d->segment_size;
        }
    }
    return true;
}

/* Valid WAL on one timeline from `start` on; d->end stays when there is none. */
static hf_result dump_timeline(struct hf_op *op, const char *wal, hf_tli timeline, hf_lsn start,
                               struct dump *d, struct hf_err *err)
{
    char program[HF_PATH_SIZE + 32];
    char number[16];
    char from[HF_LSN_SIZE];
    int status = 0;
    snprintf(program, sizeof(program), "%s/pg_waldump", op->env->config->postgresql.bin_dir);
    snprintf(number, sizeof(number), "%u", timeline.v);
    hf_lsn_format(start, from);
    const char *const argv[] = {program, "-p", wal, "-t", number, "-s", from, NULL};
    struct hf_child_run run = {.argv = argv,
                               .canceled = canceled,
                               .canceled_arg = op,
                               .line = dump_line,
                               .line_arg = d,
                               .log = op->env->log,
                               .timeout = WALDUMP_LIMIT};
    /* It ends with an error where the valid WAL ends: that is what is asked. */
    return hf_child_run(&run, &status, err);
}

hf_result hf_op_find_end(struct hf_op *op, struct hf_err *err)
{
    const char *directory = op->env->config->postgresql.data_dir;
    struct hf_op_control c = {.segment_size = 0};
    char wal[HF_PATH_SIZE + 32];
    struct hf_history history;
    HF_TRY(take_upstream_away(directory, err));
    if (hf_op_server_runs(op)) {
        return hf_fail(err, HF_E_CONFLICT, "PostgreSQL runs: its files do not say where it ends");
    }
    HF_TRY(hf_op_control(op, &c, err));
    /* After a switch of timelines the newest one's segments begin at the fork: the minimum recovery
     * point lies on it, the checkpoint may not. */
    bool later = c.minimum_timeline.v > c.timeline.v;
    hf_tli t = later ? c.minimum_timeline : c.timeline;
    struct dump d = {.segment_size = c.segment_size, .end = c.minimum};
    snprintf(wal, sizeof(wal), "%s/pg_wal", directory);
    HF_TRY(dump_timeline(op, wal, t, later ? c.minimum : c.redo, &d, err));
    d.end = hf_lsn_max(d.end, c.minimum);
    while (hf_op_history_goes_on(wal, t, d.end, c.segment_size, &history)) {
        t = hf_op_history_next(&history, t);
        HF_TRY(dump_timeline(op, wal, t, d.end, &d, err));
    }
    op->end = d.end;
    op->end_timeline = t;
    return op->end.v != 0
               ? hf_done()
               : hf_fail(err, HF_E_CORRUPT, "L9: no valid WAL record on timeline %u in %s; see %s",
                         t.v, wal, op->env->log);
}
