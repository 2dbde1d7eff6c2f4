/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/walcopy.h"

#include <stdio.h>

#include "agent/repo/wal_object.h"
#include "common/core/lsn.h"
#include "common/io/files.h"

static hf_result copy_one(struct hf_repository *r, const struct hf_manifest *m,
                          const struct hf_wal_name *name, const char *data_directory,
                          int zstd_level, struct hf_err *err)
{
    char path[HF_PATH_SIZE * 2];
    char file[HF_WAL_NAME_SIZE];
    size_t most = name->kind == HF_WAL_SEGMENT ? m->segment_size : 65536;
    HF_BUF(plain, most);
    HF_BUF(sealed, most + (most >> 8) + 65536);
    hf_hash128 content;
    snprintf(path, sizeof(path), "%s/pg_wal/%s", data_directory,
             hf_wal_name_format(name, m->segment_size, file));
    HF_TRY(hf_file_read(path, &plain, err));
    if (name->kind == HF_WAL_SEGMENT && plain.len != m->segment_size) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %zu bytes instead of %u", path, plain.len,
                       m->segment_size);
    }
    HF_TRY(hf_wal_object_seal(hf_repository_ring(r), name, m->segment_size, m->epoch, zstd_level,
                              plain.data, plain.len, &sealed, &content, err));
    return hf_wal_object_put(r, name, m->segment_size, &sealed, plain.data, plain.len, err);
}

hf_result hf_backup_copy_wal(struct hf_repository *r, const struct hf_manifest *m,
                             const char *data_directory, int zstd_level, struct hf_err *err)
{
    uint64_t next = hf_lsn_segment(m->start, m->segment_size);
    uint64_t last = hf_lsn_segment(HF_LSN(m->stop.v - 1), m->segment_size);
    if (m->from_standby) {
        return hf_fail(err, HF_E_REFUSED, "a standby's WAL is not archived from its pg_wal");
    }
    for (bool complete = false; !complete && next <= last; next++) {
        HF_TRY(hf_repository_wal_present(r, m->timeline, next, last, m->segment_size, &complete,
                                         &next, err));
        if (!complete) {
            struct hf_wal_name name = {
                .kind = HF_WAL_SEGMENT, .timeline = m->timeline, .segment = next};
            HF_TRY(copy_one(r, m, &name, data_directory, zstd_level, err));
        }
    }
    if (m->timeline.v > 1) {
        struct hf_wal_name name = {.kind = HF_WAL_HISTORY, .timeline = m->timeline};
        HF_TRY(copy_one(r, m, &name, data_directory, zstd_level, err));
    }
    return hf_done();
}
