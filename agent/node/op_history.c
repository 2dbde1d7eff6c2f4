/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/op_history.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/walname.h"
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

static hf_result identify(struct hf_op *op, hf_tli *ret, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    uint64_t timeline = 0;
    HF_TRY(hf_op_connect_replication(op, NULL, &c, err));
    HF_TRY(hf_pg_sync_query(c, "IDENTIFY_SYSTEM", 0, NULL, HF_SEC(5), &r, err));
    HF_TRY(hf_pg_u64(r, 0, 1, &timeline, err)); /* systemid, timeline, xlogpos, dbname */
    *ret = HF_TLI(timeline);
    return hf_done();
}

hf_result hf_op_replayed_timeline(struct hf_op *op, struct hf_pg_sync *c, hf_tli *ret,
                                  struct hf_err *err)
{
    struct hf_err why;
    char value[32];
    uint32_t timeline = 0;
    if (hf_ok(identify(op, ret, &why))) {
        return hf_done();
    }
    hf_log(
        HF_LOG_WARNING, "TIMELINE_BY_CONTROL",
        "no replication connection by the socket: the timeline is that of the last restart point",
        HF_KV_ERR(&why));
    HF_TRY(hf_op_value(c,
                       "SELECT GREATEST((SELECT timeline_id FROM pg_control_checkpoint()),"
                       " (SELECT min_recovery_end_timeline FROM pg_control_recovery()))",
                       value, sizeof(value), err));
    if (sscanf(value, "%u", &timeline) != 1) {
        return hf_fail(err, HF_E_INVALID, "timeline \"%s\"", value);
    }
    *ret = HF_TLI(timeline);
    return hf_done();
}

hf_tli hf_op_history_next(const struct hf_history *h, hf_tli timeline)
{
    for (int i = 0; i < h->count; i++) {
        if (h->entries[i].timeline.v == timeline.v) {
            return i + 1 < h->count ? h->entries[i + 1].timeline : h->timeline;
        }
    }
    return HF_TLI(0);
}

bool hf_op_history_read(const char *wal_dir, hf_tli timeline, struct hf_history *ret)
{
    char path[HF_PATH_SIZE + 300];
    HF_BUF(text, 65536);
    snprintf(path, sizeof(path), "%s/%08X.history", wal_dir, timeline.v);
    return hf_ok(hf_file_read(path, &text, NULL)) &&
           hf_ok(hf_history_parse(timeline, hf_buf_text(&text), text.len, ret, NULL));
}

static bool has_segment(const char *wal_dir, hf_tli timeline, hf_lsn lsn, uint64_t segment_size)
{
    char path[HF_PATH_SIZE + 300];
    char text[HF_WAL_NAME_SIZE];
    const struct hf_wal_name name = {
        .kind = HF_WAL_SEGMENT, .timeline = timeline, .segment = lsn.v / segment_size};
    snprintf(path, sizeof(path), "%s/%s", wal_dir, hf_wal_name_format(&name, segment_size, text));
    return hf_file_exists(path);
}

bool hf_op_history_goes_on(const char *wal_dir, hf_tli timeline, hf_lsn end, uint64_t segment_size,
                           struct hf_history *ret)
{
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(wal_dir);
    bool found = false;
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        struct hf_wal_name name;
        struct hf_history h;
        if (!hf_ok(hf_wal_name_parse(e->d_name, segment_size, &name, NULL)) ||
            name.kind != HF_WAL_HISTORY || name.timeline.v <= timeline.v ||
            (found && name.timeline.v < ret->timeline.v) ||
            !hf_op_history_read(wal_dir, name.timeline, &h)) {
            continue;
        }
        if (hf_history_end_of(&h, timeline).v == end.v &&
            has_segment(wal_dir, hf_op_history_next(&h, timeline), end, segment_size)) {
            *ret = h;
            found = true;
        }
    }
    return found;
}
