/* SPDX-License-Identifier: Apache-2.0
 *
 * Before a rejoin overwrites anything: the WAL beyond the fork is saved, and what is in it is
 * written down. The commits in it were acknowledged by this node and are in no other history.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/node/child.h"
#include "agent/node/op_rejoin.h"
#include "agent/rejoin/report.h"
#include "agent/rejoin/salvage.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

enum { STEP_MS = 100, PAUSE_STEPS = 20 };
#define WALDUMP_LIMIT HF_SEC(3600)

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

static bool canceled(void *arg)
{
    return hf_job_canceled(&((struct hf_op *)arg)->job);
}

/* --- which files ---------------------------------------------------------------------------- */

struct files {
    hf_salvage_file *names;
    size_t count;
    size_t room;
    uint64_t bytes;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const hf_salvage_file *)a)->s, ((const hf_salvage_file *)b)->s);
}

static void add(struct files *f, const char *name, uint64_t bytes)
{
    if (f->count == f->room) {
        size_t room = f->room == 0 ? 64 : f->room * 2;
        hf_salvage_file *more = hf_alloc_array(room, sizeof(*more));
        if (f->count > 0) {
            memcpy(more, f->names, f->count * sizeof(*more));
        }
        hf_free(f->names);
        f->names = more;
        f->room = room;
    }
    snprintf(f->names[f->count++].s, sizeof(f->names[0].s), "%.47s", name);
    f->bytes += bytes;
}

static hf_result list_files(struct hf_rejoin *r, struct files *f, struct hf_err *err)
{
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(r->wal_dir);
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", r->wal_dir);
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct hf_wal_name name;
        struct stat st;
        if (!hf_ok(hf_wal_name_parse(e->d_name, r->segment_size, &name, NULL)) ||
            !hf_rejoin_holds(r->pieces, r->piece_count, &name, r->segment_size)) {
            continue;
        }
        if (fstatat(dirfd(d), e->d_name, &st, 0) != 0) {
            return hf_fail_errno(err, errno, "stat %s/%s", r->wal_dir, e->d_name);
        }
        if (f->count == HF_SALVAGE_FILES_MAX) {
            return hf_fail(err, HF_E_LIMIT, "SALVAGE: more than %d files lie beyond the fork",
                           (int)HF_SALVAGE_FILES_MAX);
        }
        add(f, e->d_name, (uint64_t)st.st_size);
    }
    if (f->count > 0) {
        qsort(f->names, f->count, sizeof(*f->names), compare_names);
    }
    return hf_done();
}

/* --- what is in them ------------------------------------------------------------------------ */

static bool take_line(void *arg, const char *line)
{
    hf_lost_line(arg, line);
    return true;
}

static hf_result read_piece(struct hf_rejoin *r, const struct hf_rejoin_piece *p,
                            struct hf_lost *lost, struct hf_err *err)
{
    char program[HF_PATH_SIZE + 32];
    char number[16];
    char from[HF_LSN_SIZE];
    char to[HF_LSN_SIZE];
    int status = 0;
    snprintf(program, sizeof(program), "%s/pg_waldump", r->op->env->config->postgresql.bin_dir);
    snprintf(number, sizeof(number), "%u", p->timeline.v);
    hf_lsn_format(p->from, from);
    hf_lsn_format(p->to, to);
    const char *argv[] = {program, "-p", r->wal_dir, "-t", number, "-s", from, NULL, NULL, NULL};
    if (p->to.v != UINT64_MAX) {
        argv[7] = "-e";
        argv[8] = to;
    }
    struct hf_child_run run = {.argv = argv,
                               .canceled = canceled,
                               .canceled_arg = r->op,
                               .line = take_line,
                               .line_arg = lost,
                               .log = r->op->env->log,
                               .utc = true,
                               .timeout = WALDUMP_LIMIT};
    /* It ends with an error where valid WAL ends, or where a segment is gone: what it said until
     * then counts. */
    return hf_child_run(&run, &status, err);
}

static hf_result read_wal(struct hf_rejoin *r, struct hf_lost *lost, struct hf_err *err)
{
    for (int i = 0; i < r->piece_count; i++) {
        struct hf_err why;
        hf_result read = read_piece(r, &r->pieces[i], lost, &why);
        if (read.code == HF_E_CANCELED) {
            *err = why;
            return read;
        }
        if (!hf_ok(read)) {
            hf_log(HF_LOG_WARNING, "SALVAGE_NOT_READ",
                   "what is in the salvaged WAL could not be read", HF_KV_ERR(&why));
        }
    }
    return hf_done();
}

static void put_lsn(hf_json *o, const char *key, hf_lsn lsn)
{
    char text[HF_LSN_SIZE];
    if (lsn.v == UINT64_MAX) {
        hf_json_put_null(o, key);
    } else {
        hf_json_put_text(o, key, hf_lsn_format(lsn, text));
    }
}

static hf_result write_report(const struct hf_rejoin *r, const struct files *f,
                              const struct hf_lost *lost, struct hf_buf *out, struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = hf_json_object();
    char now[HF_CLOCK_TEXT_SIZE];
    hf_clock_wall_text(hf_clock_wall(), now, sizeof(now));
    hf_json_put_int(o, "version", 1);
    hf_json_put_text(o, "node", r->op->env->config->name.s);
    hf_json_put_u64(o, "system_id", r->facts.source_system_id);
    hf_json_put_text(o, "saved_at", now);
    hf_json_put_u64(o, "timeline", r->own.timeline.v);
    hf_json_put_u64(o, "fork_timeline", r->fork.timeline.v);
    put_lsn(o, "fork", r->fork.lsn);
    put_lsn(o, "end", r->end);
    hf_json_put_u64(o, "source_timeline", r->source.timeline.v);
    hf_json_put_text(o, "source", r->op->address);
    hf_json_put_u64(o, "files", f->count);
    hf_json_put_u64(o, "bytes", f->bytes);
    hf_lost_json(lost, o);
    return hf_json_write(o, out, err);
}

/* --- all of it ------------------------------------------------------------------------------ */

static hf_result save(struct hf_rejoin *r, const struct files *f, struct hf_err *err)
{
    HF_AUTOFREE struct hf_lost *lost = hf_alloc(sizeof(*lost));
    HF_BUF(report, HF_SALVAGE_REPORT_MAX);
    char where[HF_PATH_SIZE] = "";
    char id[HF_SALVAGE_ID_SIZE];
    HF_TRY(read_wal(r, lost, err));
    hf_rejoin_name_relations(r, lost);
    HF_TRY(write_report(r, f, lost, &report, err));
    hf_salvage_id(r->own.timeline, r->fork.lsn, id);
    const struct hf_salvage s = {.config = r->op->env->config,
                                 .system_id = r->facts.source_system_id,
                                 .epoch = r->op->epoch,
                                 .id = id,
                                 .wal_dir = r->wal_dir,
                                 .files = f->names,
                                 .count = f->count,
                                 .report = &report,
                                 .canceled = canceled,
                                 .arg = r->op};
    HF_TRY(hf_salvage_save(&s, where, sizeof(where), err));
    snprintf(r->op->salvaged, sizeof(r->op->salvaged), "%s", id);
    hf_log(HF_LOG_WARNING, "SALVAGED", "commits of this node that the cluster goes on without",
           HF_KV("id", id), HF_KV("where", where),
           HF_KV_U64("transactions", lost->transaction_count), HF_KV("first_commit", lost->first),
           HF_KV("last_commit", lost->last), HF_KV_U64("files", f->count),
           HF_KV_U64("bytes", f->bytes), HF_KV_LSN("fork", r->fork.lsn), HF_KV_LSN("end", r->end));
    return hf_done();
}

hf_result hf_rejoin_salvage(struct hf_rejoin *r, struct hf_err *err)
{
    struct files f = {.names = NULL};
    hf_result saved = r->piece_count == 0 ? hf_done() : list_files(r, &f, err);
    if (hf_ok(saved) && f.count > 0) {
        saved = save(r, &f, err);
    }
    hf_free(f.names);
    if (hf_ok(saved) || saved.code == HF_E_CANCELED) {
        return saved;
    }
    struct hf_err why = *err;
    for (int i = 0; i < PAUSE_STEPS; i++) { /* the leader asks again at once */
        HF_TRY(hf_op_check(r->op, err));
        hf_op_sleep_ms(STEP_MS);
    }
    return hf_fail(err, saved.code,
                   "SALVAGE: the WAL beyond the fork is not saved, nothing was overwritten: %.380s",
                   why.text);
}
