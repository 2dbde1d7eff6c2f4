/* SPDX-License-Identifier: Apache-2.0
 *
 * A primary that gives its place away in good order: first, while clients still work, what would
 * make the shutdown slow (a checkpoint, WAL that is not archived yet); then the shutdown itself.
 * PostgreSQL ends its sessions, sends its last checkpoint to every standby that is connected, waits
 * until they have it, and archives what is left.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/node/child.h"
#include "agent/node/op.h"
#include "common/base/mem.h"
#include "common/io/clock.h"

enum { DRAIN_SECONDS = 60, STOP_SECONDS = 60, DRAIN_STEP_MS = 50, STOP_STEP_MS = 5, WAL_FILE = 25 };
#define CHECKPOINT_LIMIT HF_SEC(DRAIN_SECONDS)

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

static hf_result checkpoint(struct hf_pg_sync *c, struct hf_err *err)
{
    return hf_pg_sync_query(c, "CHECKPOINT", 0, NULL, CHECKPOINT_LIMIT, NULL, err);
}

/* Waits until the archiver is past `segment`. Names of one timeline compare as text. */
static hf_result wait_archived(struct hf_op *op, struct hf_pg_sync *c, const char *segment,
                               struct hf_err *err)
{
    hf_lclk until = hf_lclk_add(hf_clock_lease(), HF_SEC(DRAIN_SECONDS));
    char last[96];
    for (;;) {
        HF_TRY(hf_op_check(op, err));
        HF_TRY(hf_op_value(c, "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver", last,
                           sizeof(last), err));
        if (strncmp(last, segment, WAL_FILE - 1) >= 0) {
            return hf_done();
        }
        if (hf_lclk_reached(hf_clock_lease(), until)) {
            return hf_fail(err, HF_E_TIMEOUT,
                           "ARCHIVE: %s is not archived after %d s (the newest is \"%.48s\")",
                           segment, (int)DRAIN_SECONDS, last);
        }
        hf_op_sleep_ms(DRAIN_STEP_MS);
    }
}

hf_result hf_op_drain(struct hf_op *op, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    char archives[8];
    char segment[64];
    HF_TRY(hf_op_connect(op, &c, err));
    HF_TRY(checkpoint(c, err));
    HF_TRY(hf_op_value(c,
                       "SELECT current_setting('archive_mode') <> 'off' AND"
                       " (current_setting('archive_command') NOT IN ('', '(disabled)') OR"
                       " coalesce(current_setting('archive_library', true), '') <> '')",
                       archives, sizeof(archives), err));
    if (archives[0] == 't') {
        HF_TRY(hf_op_value(c, "SELECT pg_walfile_name(pg_switch_wal())", segment, sizeof(segment),
                           err));
        HF_TRY(wait_archived(op, c, segment, err));
    }
    return checkpoint(c, err); /* the one of the shutdown has little left to do */
}

static hf_result ask_to_stop(struct hf_op *op, struct hf_err *err)
{
    return op->env->config->postgresql.manage == HF_MANAGE_SYSTEMD
               ? hf_op_systemctl(op, "stop", err)
               : hf_op_server_signal(op, SIGINT, err);
}

hf_result hf_op_server_stop(struct hf_op *op, hf_dur limit, struct hf_err *err)
{
    struct hf_instance instance;
    hf_lclk until = hf_lclk_add(hf_clock_lease(), limit);
    HF_TRY(ask_to_stop(op, err));
    hf_instance_init(&instance, op->env->config->postgresql.data_dir);
    for (;;) {
        size_t count = 0;
        pid_t one = 0;
        (void)hf_child_reap();
        HF_TRY(hf_op_check(op, err));
        if (!hf_op_server_runs(op)) {
            HF_TRY(hf_instance_list(&instance, &one, 1, &count, err));
            if (count == 0) {
                return hf_done();
            }
        }
        if (hf_lclk_reached(hf_clock_lease(), until)) {
            return hf_fail(err, HF_E_TIMEOUT, "PostgreSQL did not stop within %lld s",
                           (long long)(limit.us / 1000000));
        }
        hf_op_sleep_ms(STOP_STEP_MS);
    }
}

hf_result hf_op_stop(struct hf_op *op, struct hf_err *err)
{
    HF_TRY(hf_op_lease(op, err));
    return hf_op_server_stop(op, HF_SEC(STOP_SECONDS), err);
}
