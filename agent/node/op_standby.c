/* SPDX-License-Identifier: Apache-2.0
 *
 * Being a standby: slot, settings, start; and the operation that makes one of a directory as it is.
 */
#include "agent/node/op_standby.h"

#include <stdio.h>
#include <string.h>

#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/log.h"

enum { SLOTS_MAX = 64 };
#define START_LIMIT HF_SEC(1800)

static const char *data_dir(const struct hf_op *op)
{
    return op->env->config->postgresql.data_dir;
}

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

/* --- slots: on the upstream one for this node, so that its WAL is kept --- */

hf_result hf_op_slot_make(struct hf_op *op, const char *slot, struct hf_err *err)
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

hf_result hf_op_source(struct hf_op *op, bool for_tool, struct hf_buf *out, struct hf_err *err)
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
    return for_tool ? hf_done() : hf_pgconf_conninfo(out, "tcp_user_timeout", "15000", err);
}

hf_result hf_op_standby_settings(struct hf_op *op, const char *slot, bool copied,
                                 struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    HF_BUF(upstream, HF_OP_CONNINFO_MAX);
    char host[HF_ADDRESS_SIZE];
    char port[8];
    HF_TRY(hf_op_source(op, false, &upstream, err));
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

hf_result hf_op_standby_up(struct hf_op *op, struct hf_err *err)
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
    char slot[HF_OP_SLOT_SIZE];
    hf_pgconf_slot_name(op->env->config->name.s, slot, sizeof(slot));
    HF_TRY(hf_op_slot_make(op, slot, err));
    HF_TRY(hf_op_check(op, err));
    HF_TRY(hf_pgconf_signal_put(data_dir(op), err));
    HF_TRY(hf_op_standby_settings(op, slot, false, err));
    return hf_op_standby_up(op, err);
}
