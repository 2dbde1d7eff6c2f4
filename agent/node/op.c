/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/op.h"

#include <stdio.h>

#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/log.h"

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

hf_result hf_op_connect_remote(const struct hf_config_postgresql *pg, const char *address,
                               const char *database, struct hf_pg_sync **ret, struct hf_err *err)
{
    char host[HF_ADDRESS_SIZE];
    char port[8];
    HF_TRY(hf_op_split(address, host, port, err));
    const struct hf_pg_config config = {
        .host = host,
        .port = port,
        .dbname = database != NULL ? database : pg->database,
        .user = pg->user,
        .passfile = pg->passfile[0] != '\0' ? pg->passfile : NULL,
        .application_name = "holdfast-agent",
        .connect_timeout = HF_SEC(3),
    };
    return hf_pg_sync_connect(&config, ret, err);
}

hf_result hf_op_remote(const struct hf_config_postgresql *pg, const char *address, const char *sql,
                       struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    HF_TRY(hf_op_connect_remote(pg, address, NULL, &c, err));
    return hf_pg_sync_query(c, sql, 0, NULL, HF_SEC(5), NULL, err);
}

/* A commit at another node's server, from outside its host: what clients want to be able to do. It
 * writes a WAL record in a transaction that gets a number: a read-only server refuses. */
hf_result hf_op_probe(struct hf_op *op, struct hf_err *err)
{
    return hf_op_remote(&op->env->config->postgresql, op->address,
                        "SELECT pg_logical_emit_message(true, 'holdfast', 'probe')", err);
}

/* An adoption that failed had not put the signal yet: whoever starts the server after its end, it
 * comes up in recovery (L8). */
hf_result hf_op_kill(struct hf_op *op, struct hf_err *err)
{
    const char *directory = op->env->config->postgresql.data_dir;
    char version[HF_PATH_SIZE + 16];
    struct hf_err why;
    snprintf(version, sizeof(version), "%s/PG_VERSION", directory);
    if (hf_file_exists(version) && !hf_ok(hf_pgconf_signal_put(directory, &why))) {
        hf_log(HF_LOG_WARNING, "SIGNAL_NOT_PUT", "a start outside Holdfast would be writable",
               HF_KV_ERR(&why));
    }
    return hf_op_server_end(op, err);
}

void hf_op_run(struct hf_op *op)
{
    typedef hf_result (*op_fn)(struct hf_op *, struct hf_err *);
    static const op_fn functions[HF_EFFECT_KINDS] = {
        [HF_EFFECT_PG_STOP_RECEIVING] = hf_op_stop_receiving,
        [HF_EFFECT_PG_FIND_END] = hf_op_find_end,
        [HF_EFFECT_PG_PROMOTE] = hf_op_promote,
        [HF_EFFECT_PG_START_PRIMARY] = hf_op_start_primary,
        [HF_EFFECT_PG_ADOPT] = hf_op_adopt,
        [HF_EFFECT_PG_FOLLOW] = hf_op_follow,
        [HF_EFFECT_PG_COPY] = hf_op_rejoin,
        [HF_EFFECT_PG_KILL] = hf_op_kill,
        [HF_EFFECT_PG_PROBE] = hf_op_probe,
        [HF_EFFECT_PG_DRAIN] = hf_op_drain,
        [HF_EFFECT_PG_STOP] = hf_op_stop,
    };
    HF_ASSERT(functions[op->kind] != NULL);
    op->result = functions[op->kind](op, &op->err);
}
