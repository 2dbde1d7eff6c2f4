/* SPDX-License-Identifier: Apache-2.0
 *
 * The grammar of names that PostgreSQL hands to an archiver (rule W7): segment, partial segment,
 * backup history file, timeline history file (PostgreSQL: access/xlog_internal.h). Pure.
 * Invariant: only a name that parses is ever used in a path or a key.
 */
#ifndef HF_CORE_WALNAME_H
#define HF_CORE_WALNAME_H

#include "common/core/lsn.h"

enum hf_wal_kind {
    HF_WAL_SEGMENT, /* 24 hexadecimal digits */
    HF_WAL_PARTIAL, /* segment.partial */
    HF_WAL_BACKUP,  /* segment.XXXXXXXX.backup */
    HF_WAL_HISTORY  /* TTTTTTTT.history */
};

enum { HF_WAL_NAME_SIZE = 48 };

struct hf_wal_name {
    enum hf_wal_kind kind;
    hf_tli timeline;
    uint64_t segment; /* number from the start of the WAL; 0 for history */
    uint32_t offset;  /* backup: byte offset in the segment */
};

/* Upper-case digits only, as PostgreSQL writes them; timeline 0 and a segment that does not exist
 * for the size are refused. HF_E_INVALID. */
hf_result hf_wal_name_parse(const char *text, uint64_t segment_size, struct hf_wal_name *ret,
                            struct hf_err *err) HF_MUST_USE;
const char *hf_wal_name_format(const struct hf_wal_name *name, uint64_t segment_size,
                               char text[HF_WAL_NAME_SIZE]);
/* First byte position of the segment. */
static inline hf_lsn hf_wal_name_start(const struct hf_wal_name *name, uint64_t segment_size)
{
    return (hf_lsn){name->segment * segment_size};
}

#endif
