/* SPDX-License-Identifier: Apache-2.0
 *
 * What a standby received by streaming PostgreSQL marks as archived, although only its primary was
 * to archive it (access/transam/xlog.c: XLogArchiveForceDone). When that primary is lost before it
 * did, the archive has a hole from there to the fork, and no restore crosses it (rule W5). After a
 * promotion every such segment that is still here is handed to the archiver again; what a
 * repository has already is recognised by its content and costs no second object (W2).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/node/op.h"
#include "common/base/mem.h"
#include "common/core/walname.h"
#include "common/io/log.h"

enum { SUFFIX = 5 /* ".done" */, ANY_SEGMENT_SIZE = 1 << 20 };

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

/* "000000010000000000000007.done" of a segment on the timeline. The smallest segment size accepts
 * every name that any size has. */
static bool streamed_segment(const char *file, hf_tli timeline, char ret_name[HF_WAL_NAME_SIZE])
{
    size_t len = strlen(file);
    struct hf_wal_name name;
    if (len <= SUFFIX || len - SUFFIX >= HF_WAL_NAME_SIZE ||
        strcmp(file + len - SUFFIX, ".done") != 0) {
        return false;
    }
    memcpy(ret_name, file, len - SUFFIX);
    ret_name[len - SUFFIX] = '\0';
    return hf_ok(hf_wal_name_parse(ret_name, ANY_SEGMENT_SIZE, &name, NULL)) &&
           name.kind == HF_WAL_SEGMENT && name.timeline.v == timeline.v;
}

void hf_op_backfill(struct hf_op *op, hf_tli parent)
{
    const char *directory = op->env->config->postgresql.data_dir;
    char status[HF_PATH_SIZE + 64];
    char from[HF_PATH_SIZE + 400];
    char to[HF_PATH_SIZE + 400];
    uint64_t count = 0;
    snprintf(status, sizeof(status), "%s/pg_wal/archive_status", directory);
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(status);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        char name[HF_WAL_NAME_SIZE];
        if (!streamed_segment(e->d_name, parent, name)) {
            continue;
        }
        snprintf(from, sizeof(from), "%s/%s", status, e->d_name);
        snprintf(to, sizeof(to), "%s/%s.ready", status, name);
        if (rename(from, to) == 0) {
            count++;
        } else if (errno != ENOENT) { /* recycled meanwhile: nothing to hand over */
            hf_log(HF_LOG_WARNING, "BACKFILL_FAILED", "a segment is not handed to the archiver",
                   HF_KV("segment", name), HF_KV("error", strerror(errno)));
        }
    }
    if (count > 0) {
        hf_log(HF_LOG_INFO, "BACKFILL", "segments of the old timeline go to the archiver again",
               HF_KV_U64("segments", count), HF_KV_U64("timeline", parent.v));
    }
}
