/* SPDX-License-Identifier: Apache-2.0
 *
 * What PostgreSQL is told: postgresql.auto.conf, the signal file, backup_label, tablespace_map, and
 * the WAL that makes the backup consistent.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/repo/wal_object.h"
#include "agent/restore/restore_internal.h"
#include "common/base/mem.h"
#include "common/core/lsn.h"
#include "common/io/clock.h"
#include "common/io/files.h"

enum { CONF_MAX = 1 << 20 };

/* Parameters that are ours in postgresql.auto.conf: earlier lines with them are dropped. */
static const char *const OURS[] = {"restore_command",
                                   "archive_cleanup_command",
                                   "recovery_end_command",
                                   "recovery_target",
                                   "recovery_target_time",
                                   "recovery_target_lsn",
                                   "recovery_target_name",
                                   "recovery_target_xid",
                                   "recovery_target_inclusive",
                                   "recovery_target_timeline",
                                   "recovery_target_action",
                                   "archive_mode",
                                   "archive_library",
                                   "synchronous_standby_names",
                                   "primary_conninfo",
                                   "primary_slot_name",
                                   "max_logical_replication_workers",
                                   "shared_preload_libraries",
                                   NULL};

static hf_result full_path(const struct hf_restore *r, const char *leaf, char *ret, size_t size,
                           struct hf_err *err)
{
    int n = snprintf(ret, size, "%s/%s", r->request->directory, leaf);
    if (n < 0 || (size_t)n >= size) {
        return hf_fail(err, HF_E_LIMIT, "path of %d bytes, allowed are %zu", n, size - 1);
    }
    return hf_done();
}

static hf_result read_if_there(const char *path, struct hf_buf *out, struct hf_err *err)
{
    hf_result r = hf_file_read(path, out, err);
    return r.code == HF_E_NOT_FOUND ? hf_done() : r;
}

/* --- configuration that lay outside the data directory --------------------------------------- */

/* Lines that only make sense where the file was. */
static bool line_moves(const char *line)
{
    static const char *const NAMES[] = {"data_directory",    "hba_file", "ident_file",
                                        "external_pid_file", "include",  "include_if_exists",
                                        "include_dir",       NULL};
    line += strspn(line, " \t");
    for (size_t i = 0; NAMES[i] != NULL; i++) {
        size_t n = strlen(NAMES[i]);
        if (strncmp(line, NAMES[i], n) == 0 && strchr(" \t=", line[n]) != NULL) {
            return true;
        }
    }
    return false;
}

static hf_result comment_out(const char *text, struct hf_buf *out, struct hf_err *err)
{
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        HF_TRY(hf_buf_printf(out, err, "%s%.*s\n", line_moves(line) ? "# restored: " : "", (int)len,
                             line));
        line += len;
        line += *line == '\n' ? 1 : 0;
    }
    return hf_done();
}

/* Debian: /etc/postgresql/15/main; a started directory needs the three files within. */
static hf_result bring_in(const struct hf_restore *r, const char *leaf, const char *from,
                          bool settings, struct hf_err *err)
{
    char to[HF_PATH_SIZE * 2];
    HF_BUF(text, CONF_MAX);
    HF_BUF(changed, CONF_MAX * 2);
    HF_TRY(full_path(r, leaf, to, sizeof(to), err));
    if (hf_file_exists(to) || !hf_file_exists(from)) {
        return hf_done();
    }
    HF_TRY(hf_file_read(from, &text, err));
    if (!settings) {
        return hf_file_write_durable(to, text.data, text.len, 0600, err);
    }
    HF_TRY(comment_out(hf_buf_text(&text), &changed, err));
    return hf_file_write_durable(to, hf_buf_text(&changed), changed.len, 0600, err);
}

enum { SEARCH_DEPTH = 16 };

/* The only directory below this one that holds a file of this name; HF_E_NOT_FOUND when none or
 * several do. */
static hf_result only_directory_of(const char *base, const char *leaf, int depth, char *ret,
                                   size_t size, struct hf_err *err)
{
    char path[HF_PATH_SIZE * 3];
    char deeper[HF_PATH_SIZE * 3];
    int found = 0;
    snprintf(path, sizeof(path), "%s/%s", base, leaf);
    if (hf_file_exists(path)) {
        snprintf(ret, size, "%s", base);
        found++;
    }
    DIR *dir = depth < SEARCH_DEPTH ? opendir(base) : NULL;
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        int n = snprintf(path, sizeof(path), "%s/%s", base, e->d_name);
        struct stat st;
        if (e->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof(path) || lstat(path, &st) != 0 ||
            !S_ISDIR(st.st_mode)) {
            continue;
        }
        if (hf_ok(only_directory_of(path, leaf, depth + 1, deeper, sizeof(deeper), NULL))) {
            snprintf(ret, size, "%s", deeper);
            found++;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return found == 1 ? hf_done() : hf_fail(err, HF_E_NOT_FOUND, "%s: in %d places", leaf, found);
}

/* Debian's place first, then wherever the files lie: each in the only directory that holds it. */
static hf_result bring_config(const struct hf_restore *r, struct hf_err *err)
{
    static const char *const LEAVES[] = {"postgresql.conf", "pg_hba.conf", "pg_ident.conf"};
    char base[HF_PATH_SIZE * 2];
    char debian[HF_PATH_SIZE * 3];
    char from[HF_PATH_SIZE * 3];
    char file[HF_PATH_SIZE * 4];
    HF_TRY(full_path(r, HF_RESTORE_CONFIG, base, sizeof(base), err));
    if (!hf_file_exists(base)) {
        return hf_done();
    }
    snprintf(debian, sizeof(debian), "%s/etc/postgresql/%u/main", base,
             r->manifest->pg_version_num / 10000);
    for (size_t i = 0; i < 3; i++) {
        snprintf(file, sizeof(file), "%s/%s", debian, LEAVES[i]);
        if (!hf_file_exists(file)) {
            if (!hf_ok(only_directory_of(base, LEAVES[i], 0, from, sizeof(from), NULL))) {
                continue; /* none, or nobody knows which: they lie there for a person */
            }
            snprintf(file, sizeof(file), "%s/%s", from, LEAVES[i]);
        }
        HF_TRY(bring_in(r, LEAVES[i], file, i == 0, err));
    }
    return hf_done();
}

/* --- postgresql.auto.conf ------------------------------------------------------------------- */

/* PostgreSQL gives restore_command to a shell: only plain characters may be in it. */
static hf_result check_plain(const char *what, const char *path, struct hf_err *err)
{
    if (path[0] != '/' || path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789._/-")] != '\0') {
        return hf_fail(err, HF_E_INVALID,
                       "%s %s: an absolute path of [A-Za-z0-9._/-] is allowed in restore_command",
                       what, path);
    }
    return hf_done();
}

static hf_result keep_others(const char *text, struct hf_buf *out, struct hf_err *err)
{
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        bool ours = false;
        for (size_t i = 0; OURS[i] != NULL; i++) {
            size_t n = strlen(OURS[i]);
            ours = ours ||
                   (len > n && strncmp(line, OURS[i], n) == 0 && strchr(" \t=", line[n]) != NULL);
        }
        if (!ours) {
            HF_TRY(hf_buf_printf(out, err, "%.*s\n", (int)len, line));
        }
        line += len;
        line += *line == '\n' ? 1 : 0;
    }
    return hf_done();
}

static hf_result target_settings(const struct hf_restore *r, struct hf_buf *out, struct hf_err *err)
{
    static const char *const ACTIONS[] = {"promote", "pause", "shutdown"};
    const struct hf_restore_request *q = r->request;
    char text[HF_CLOCK_TEXT_SIZE];
    char lsn[HF_LSN_SIZE];
    bool reached = false;
    switch (q->target) {
    case HF_TARGET_LATEST:
        break;
    case HF_TARGET_IMMEDIATE:
        HF_TRY(hf_buf_append_str(out, "recovery_target = 'immediate'\n", err));
        reached = true;
        break;
    case HF_TARGET_TIME:
        if (!r->to_end) {
            time_t seconds = (time_t)(q->target_time.us / 1000000);
            struct tm tm;
            gmtime_r(&seconds, &tm);
            strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
            HF_TRY(hf_buf_printf(out, err, "recovery_target_time = '%s.%06lld+00'\n", text,
                                 (long long)(q->target_time.us % 1000000)));
            reached = true;
        }
        break;
    case HF_TARGET_LSN:
        HF_TRY(hf_buf_printf(out, err, "recovery_target_lsn = '%s'\n",
                             hf_lsn_format(q->target_lsn, lsn)));
        reached = true;
        break;
    }
    HF_TRY(hf_buf_printf(out, err, "recovery_target_timeline = '%u'\n", r->timeline.v));
    if (reached) {
        HF_TRY(hf_buf_printf(out, err, "recovery_target_action = '%s'\n", ACTIONS[q->action]));
    }
    return hf_done();
}

static hf_result write_settings(const struct hf_restore *r, struct hf_err *err)
{
    const struct hf_restore_request *q = r->request;
    char path[HF_PATH_SIZE * 2];
    HF_BUF(existing, CONF_MAX);
    HF_BUF(main_conf, CONF_MAX * 2);
    HF_BUF(out, CONF_MAX * 2);
    HF_TRY(check_plain("program", q->agent, err));
    HF_TRY(check_plain("configuration", q->config, err));
    HF_TRY(full_path(r, "postgresql.conf", path, sizeof(path), err));
    HF_TRY(read_if_there(path, &main_conf, err));
    HF_TRY(full_path(r, "postgresql.auto.conf", path, sizeof(path), err));
    HF_TRY(read_if_there(path, &existing, err));
    HF_TRY(keep_others(hf_buf_text(&existing), &out, err));
    HF_TRY(hf_buf_printf(&out, err, "# written by the restore of %s\n", r->manifest->label));
    HF_TRY(hf_buf_printf(&out, err,
                         "restore_command = '%s archive-get --config %s "
                         "%s--target-timeline %u %%f %%p'\n",
                         q->agent, q->config, q->mode == HF_RESTORE_STANDBY ? "--standby " : "",
                         r->timeline.v));
    if (q->mode == HF_RESTORE_CLONE) {
        HF_TRY(target_settings(r, &out, err));
        HF_TRY(hf_buf_append_str(&main_conf, "\n", err));
        HF_TRY(hf_buf_append_str(&main_conf, hf_buf_text(&existing), err));
        HF_TRY(hf_restore_clone_settings(r, hf_buf_text(&main_conf), &out, err));
    } else {
        HF_TRY(hf_buf_printf(&out, err, "recovery_target_timeline = '%u'\n", r->timeline.v));
    }
    return hf_file_write_durable(path, hf_buf_text(&out), out.len, 0600, err);
}

/* --- tablespaces ---------------------------------------------------------------------------- */

/* PostgreSQL makes the links from this file at the start of recovery; a moved tablespace has
 * another path than the backup's. Newlines in paths are escaped as PostgreSQL does. */
static hf_result write_tablespaces(const struct hf_restore *r, struct hf_err *err)
{
    char path[HF_PATH_SIZE * 2];
    HF_BUF(text, CONF_MAX);
    for (size_t i = 0; i < r->manifest->tablespace_count; i++) {
        uint32_t oid = r->manifest->tablespaces[i].oid;
        const char *place = hf_restore_tablespace_path(r, oid);
        char leaf[64];
        HF_TRY(hf_buf_printf(&text, err, "%u ", oid));
        for (const char *c = place; *c != '\0'; c++) {
            HF_TRY(hf_buf_printf(&text, err, "%s%c",
                                 *c == '\n' || *c == '\r' || *c == '\\' ? "\\" : "", *c));
        }
        HF_TRY(hf_buf_append_str(&text, "\n", err));
        snprintf(leaf, sizeof(leaf), "pg_tblspc/%u", oid);
        HF_TRY(full_path(r, leaf, path, sizeof(path), err));
        if (symlink(place, path) != 0 && errno != EEXIST) {
            return hf_fail_errno(err, errno, "create link %s", path);
        }
    }
    if (text.len == 0) {
        return hf_done();
    }
    HF_TRY(full_path(r, "tablespace_map", path, sizeof(path), err));
    return hf_file_write_durable(path, text.data, text.len, 0600, err);
}

hf_result hf_restore_write_recovery(const struct hf_restore *r, struct hf_err *err)
{
    char path[HF_PATH_SIZE * 2];
    const char *signal =
        r->request->mode == HF_RESTORE_STANDBY ? "standby.signal" : "recovery.signal";
    HF_TRY(bring_config(r, err));
    HF_TRY(write_settings(r, err));
    HF_TRY(full_path(r, signal, path, sizeof(path), err));
    HF_TRY(hf_file_write_durable(path, "", 0, 0600, err));
    HF_TRY(write_tablespaces(r, err));
    HF_TRY(full_path(r, "backup_label", path, sizeof(path), err));
    return hf_file_write_durable(path, r->manifest->backup_label, strlen(r->manifest->backup_label),
                                 0600, err);
}

/* --- WAL ------------------------------------------------------------------------------------ */

static hf_result write_segment(const struct hf_restore *r, uint64_t segno, struct hf_err *err)
{
    const struct hf_manifest *m = r->manifest;
    struct hf_wal_name name = {.kind = HF_WAL_SEGMENT, .timeline = m->timeline, .segment = segno};
    char file[HF_WAL_NAME_SIZE];
    char leaf[HF_WAL_NAME_SIZE + 8];
    char path[HF_PATH_SIZE * 2];
    HF_BUF(plain, m->segment_size);
    hf_result got = hf_fail(err, HF_E_NOT_FOUND, "no repository");
    for (size_t i = 0; i < r->request->repository_count; i++) {
        hf_buf_reset(&plain);
        got = hf_wal_object_get(r->request->repositories[i], &name, m->segment_size, &plain, NULL,
                                err);
        if (hf_ok(got)) {
            break;
        }
    }
    HF_TRY(got);
    hf_wal_name_format(&name, m->segment_size, file);
    snprintf(leaf, sizeof(leaf), "pg_wal/%s", file);
    HF_TRY(full_path(r, leaf, path, sizeof(path), err));
    HF_AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "create %s", path);
    }
    return hf_file_write_all(fd, plain.data, plain.len, err);
}

hf_result hf_restore_write_wal(const struct hf_restore *r, struct hf_err *err)
{
    const struct hf_manifest *m = r->manifest;
    uint64_t last = hf_lsn_segment(HF_LSN(m->stop.v - 1), m->segment_size);
    for (uint64_t segno = hf_lsn_segment(m->start, m->segment_size); segno <= last; segno++) {
        HF_TRY(write_segment(r, segno, err));
    }
    return hf_done();
}
