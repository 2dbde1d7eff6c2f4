/* SPDX-License-Identifier: Apache-2.0
 *
 * What a rejoin is decided on: the source's system, version and history; the directory's; where the
 * two part.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/walrule.h"
#include "agent/node/op_control.h"
#include "agent/node/op_history.h"
#include "agent/node/op_rejoin.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/log.h"

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

static const char *data_dir(const struct hf_rejoin *r)
{
    return r->op->env->config->postgresql.data_dir;
}

/* --- the source --- */

static hf_result source_history(struct hf_rejoin *r, struct hf_pg_sync *c, hf_tli timeline,
                                struct hf_err *err)
{
    HF_AUTOPGRESULT struct hf_pg_result *history = NULL;
    char sql[48];
    r->source = (struct hf_history){.timeline = timeline};
    if (timeline.v == 1) {
        return hf_done(); /* the first one has no past, and no file */
    }
    snprintf(sql, sizeof(sql), "TIMELINE_HISTORY %u", timeline.v);
    HF_TRY(hf_pg_sync_query(c, sql, 0, NULL, HF_SEC(10), &history, err));
    if (hf_pg_rows(history) != 1 || hf_pg_columns(history) < 2) {
        return hf_fail(err, HF_E_CORRUPT, "%s: no answer of one row", sql);
    }
    return hf_history_parse(timeline, hf_pg_text(history, 0, 1), hf_pg_length(history, 0, 1),
                            &r->source, err);
}

static hf_result look_at_source(struct hf_rejoin *r, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    HF_AUTOPGRESULT struct hf_pg_result *identity = NULL;
    struct hf_op *op = r->op;
    uint64_t timeline = 0;
    HF_TRY(hf_op_connect_replication(op, op->address, &c, err));
    HF_TRY(hf_pg_sync_query(c, "IDENTIFY_SYSTEM", 0, NULL, HF_SEC(5), &identity, err));
    HF_TRY(hf_pg_u64(identity, 0, 0, &r->facts.source_system_id, err));
    HF_TRY(hf_pg_u64(identity, 0, 1, &timeline, err));
    r->facts.source_version = (unsigned)hf_pg_sync_server_version(c) / 10000;
    if (timeline == 0 || timeline > UINT32_MAX ||
        (op->timeline.v != 0 && timeline != op->timeline.v)) {
        return hf_fail(err, HF_E_AGAIN, "%s is on timeline %llu, not on %u", op->address,
                       (unsigned long long)timeline, op->timeline.v);
    }
    return source_history(r, c, HF_TLI(timeline), err);
}

/* --- the directory --- */

static unsigned major_version(const char *directory)
{
    char path[HF_PATH_SIZE + 32];
    HF_BUF(text, 64);
    snprintf(path, sizeof(path), "%s/PG_VERSION", directory);
    if (!hf_ok(hf_file_read(path, &text, NULL))) {
        return 0;
    }
    return (unsigned)strtoul(hf_buf_text(&text), NULL, 10);
}

/* For a directory whose end cannot be found: the newest timeline that it has a segment of, and the
 * size of segments by a file. */
static hf_tli newest_by_name(struct hf_rejoin *r)
{
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(r->wal_dir);
    hf_tli newest = HF_TLI(0);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        struct hf_wal_name name;
        uint32_t any = 0;
        if (hf_ok(hf_wal_name_any(e->d_name, &name, &any, NULL)) && name.kind == HF_WAL_SEGMENT) {
            r->segment_size = r->segment_size == 0 ? any : r->segment_size;
            newest = name.timeline.v > newest.v ? name.timeline : newest;
        }
    }
    return newest;
}

/* Cut from any upstream, in recovery for whoever starts it (L9, L8). A standby that runs is ended
 * at once: a shutdown in good order would remove WAL that is not saved yet. */
static hf_result find_end(struct hf_rejoin *r, struct hf_err *err)
{
    HF_TRY(hf_op_server_end(r->op, err));
    return hf_op_find_end(r->op, err);
}

static hf_result look_at_end(struct hf_rejoin *r, struct hf_err *err)
{
    struct hf_err why;
    hf_tli timeline = HF_TLI(0);
    hf_result found = find_end(r, &why);
    if (found.code == HF_E_CANCELED) {
        *err = why;
        return found;
    }
    r->facts.end_known = hf_ok(found);
    if (hf_ok(found)) {
        timeline = r->op->end_timeline;
        r->end = r->op->end;
    } else {
        hf_log(HF_LOG_WARNING, "REJOIN_END_UNKNOWN", "the end of this node's WAL was not found",
               HF_KV_ERR(&why));
        timeline = newest_by_name(r);
        r->end = HF_LSN(UINT64_MAX);
    }
    if (!hf_op_history_read(r->wal_dir, timeline, &r->own)) {
        r->own = (struct hf_history){.timeline = timeline};
    }
    return hf_done();
}

static void look_at_fork(struct hf_rejoin *r)
{
    if (r->own.timeline.v == 0) {
        return; /* no WAL at all */
    }
    hf_rejoin_fork_find(&r->own, &r->source, &r->fork);
    r->piece_count = hf_rejoin_pieces(&r->own, &r->fork, r->end, r->pieces);
    r->facts.fork_known = r->fork.timeline.v != 0;
    r->facts.diverged = r->piece_count > 0;
    hf_log(HF_LOG_INFO, "REJOIN_FORK", "where this node left the source's history",
           HF_KV_U64("timeline", r->own.timeline.v), HF_KV_LSN("fork", r->fork.lsn),
           HF_KV_LSN("end", r->end), HF_KV_U64("source_timeline", r->source.timeline.v),
           HF_KV_BOOL("diverged", r->facts.diverged));
}

hf_result hf_rejoin_look(struct hf_rejoin *r, struct hf_err *err)
{
    const struct hf_op_env *env = r->op->env;
    struct hf_op_control control = {.segment_size = 0};
    struct hf_err why;
    snprintf(r->wal_dir, sizeof(r->wal_dir), "%s/pg_wal", data_dir(r));
    snprintf(r->state_dir, sizeof(r->state_dir), "%s/rejoin", env->config->state_dir);
    HF_TRY(hf_dir_remove_tree(r->state_dir, err));
    HF_TRY(look_at_source(r, err));
    r->facts.half_made = hf_file_exists(env->copying_mark);
    r->facts.version = major_version(data_dir(r));
    if (r->facts.half_made || r->facts.version == 0) {
        return hf_done();
    }
    if (hf_ok(hf_op_control(r->op, &control, &why))) {
        r->facts.has_data = true;
        r->facts.system_id = control.system_id;
        r->facts.pages_logged = control.pages_logged;
        r->segment_size = control.segment_size;
    } else {
        hf_log(HF_LOG_WARNING, "REJOIN_NO_CONTROL", "pg_control of this node cannot be read",
               HF_KV_ERR(&why));
    }
    if (r->facts.has_data && r->facts.system_id != r->facts.source_system_id) {
        return hf_fail(err, HF_E_REFUSED,
                       "FOREIGN_SYSTEM: the directory is of system %llu, the source of %llu: it is "
                       "left alone",
                       (unsigned long long)r->facts.system_id,
                       (unsigned long long)r->facts.source_system_id);
    }
    HF_TRY(look_at_end(r, err));
    look_at_fork(r);
    return hf_done();
}
