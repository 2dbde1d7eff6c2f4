/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/op_goal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/core/walrule.h"
#include "agent/node/op_control.h"
#include "common/io/files.h"
#include "common/io/log.h"

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

static bool is_of(const char *file, enum hf_wal_kind kind, hf_tli *ret)
{
    struct hf_wal_name name;
    uint32_t any = 0;
    if (!hf_ok(hf_wal_name_any(file, &name, &any, NULL)) || name.kind != kind) {
        return false;
    }
    *ret = name.timeline;
    return true;
}

hf_tli hf_op_history_newest(const char *wal_dir, bool histories)
{
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(wal_dir);
    hf_tli newest = HF_TLI(0);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        hf_tli t;
        if (is_of(e->d_name, histories ? HF_WAL_HISTORY : HF_WAL_SEGMENT, &t) && t.v > newest.v) {
            newest = t;
        }
    }
    return newest;
}

static hf_result remove_file(const char *wal_dir, const char *below, hf_tli timeline,
                             const char *mark, struct hf_err *err)
{
    char path[HF_PATH_SIZE + 300];
    snprintf(path, sizeof(path), "%s/%s%08X.history%s", wal_dir, below, timeline.v, mark);
    return unlink(path) == 0 || errno == ENOENT ? hf_done()
                                                : hf_fail_errno(err, errno, "remove %s", path);
}

hf_result hf_op_history_forget_above(const char *wal_dir, hf_tli timeline, struct hf_err *err)
{
    hf_tli wal = hf_op_history_newest(wal_dir, false);
    uint32_t keep = wal.v > timeline.v ? wal.v : timeline.v;
    bool removed = false;
    for (hf_tli t = hf_op_history_newest(wal_dir, true); t.v > keep;
         t = hf_op_history_newest(wal_dir, true)) {
        hf_log(HF_LOG_INFO, "HISTORY_FORGOTTEN", "a timeline that no WAL here belongs to",
               HF_KV_U64("timeline", t.v), HF_KV_U64("newest", keep));
        HF_TRY(remove_file(wal_dir, "archive_status/", t, ".ready", err));
        HF_TRY(remove_file(wal_dir, "archive_status/", t, ".done", err));
        HF_TRY(remove_file(wal_dir, "", t, "", err));
        removed = true;
    }
    return removed ? hf_dir_sync(wal_dir, err) : hf_done();
}

hf_result hf_op_history_forget(struct hf_op *op, struct hf_err *err)
{
    char wal[HF_PATH_SIZE + 32];
    struct hf_op_control c = {.segment_size = 0};
    snprintf(wal, sizeof(wal), "%s/pg_wal", op->env->config->postgresql.data_dir);
    if (hf_op_history_newest(wal, true).v <= hf_op_history_newest(wal, false).v) {
        return hf_done();
    }
    HF_TRY(hf_op_control(op, &c, err));
    return hf_op_history_forget_above(
        wal, c.minimum_timeline.v > c.timeline.v ? c.minimum_timeline : c.timeline, err);
}
