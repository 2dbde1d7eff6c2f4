/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of a restore, in their order: choose, target directory, extract, recovery settings.
 * Nothing outside agent/restore includes it.
 */
#ifndef HF_AGENT_RESTORE_RESTORE_INTERNAL_H
#define HF_AGENT_RESTORE_RESTORE_INTERNAL_H

#include "agent/core/filemap.h"
#include "agent/restore/restore.h"

struct hf_restore {
    const struct hf_restore_request *request;
    struct hf_manifest *manifest;
    hf_tli timeline;
    bool to_end;
    hf_lclk begun;
    _Atomic(uint64_t) written;
    uint64_t files;
};

/* choose.c: the backup, the timeline, and what to do with a time beyond the archive. */
hf_result hf_restore_choose(struct hf_restore *r, struct hf_err *err) HF_MUST_USE;

/* place.c: the directory and the places of tablespaces. */
hf_result hf_restore_place_check(const struct hf_restore *r, struct hf_err *err) HF_MUST_USE;
hf_result hf_restore_place_make(const struct hf_restore *r, struct hf_err *err) HF_MUST_USE;
/* Where an entry goes. */
hf_result hf_restore_path(const struct hf_restore *r, const struct hf_map_entry *e, char *ret,
                          size_t size, struct hf_err *err) HF_MUST_USE;
/* Directory of a tablespace on this host. */
const char *hf_restore_tablespace_path(const struct hf_restore *r, uint32_t oid);
/* Everything written so far is durable on every file system in use. */
hf_result hf_restore_place_sync(const struct hf_restore *r, struct hf_err *err) HF_MUST_USE;

/* extract.c: files of the map; control false: all but pg_control; true: it alone. */
hf_result hf_restore_extract(struct hf_restore *r, bool control, struct hf_err *err) HF_MUST_USE;
/* From the first repository that has it sound. */
hf_result hf_restore_object(const struct hf_restore *r, const struct hf_open_params *params,
                            struct hf_buf *out, struct hf_err *err) HF_MUST_USE;

/* workers.c: writes the pieces of one shard. pieces are sorted by frame. */
struct hf_restore_piece {
    const struct hf_map_pack *pack;
    struct hf_map_frame frame;
    const char *path; /* on this host */
    uint64_t offset;
    uint32_t len;
    uint32_t frame_offset;
};
hf_result hf_restore_write_pieces(struct hf_restore *r, const struct hf_restore_piece *pieces,
                                  size_t n, struct hf_err *err) HF_MUST_USE;

/* recovery.c */
hf_result hf_restore_write_recovery(const struct hf_restore *r, struct hf_err *err) HF_MUST_USE;
/* The WAL from the backup's start to its stop, into pg_wal: it becomes consistent by itself. */
hf_result hf_restore_write_wal(const struct hf_restore *r, struct hf_err *err) HF_MUST_USE;

/* clone.c: settings that cut a clone off from its cluster, appended to out as lines. */
hf_result hf_restore_clone_settings(const struct hf_restore *r, const char *existing,
                                    struct hf_buf *out, struct hf_err *err) HF_MUST_USE;
/* The last value that a configuration text gives to a parameter, unquoted; "" when none. */
void hf_restore_setting(const char *text, const char *name, char *ret, size_t size);

#endif
