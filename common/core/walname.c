/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/walname.h"

#include <stdio.h>
#include <string.h>

static bool hex8(const char *p, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) {
        char c = p[i];
        uint32_t d = 0;
        if (c >= '0' && c <= '9') {
            d = (uint32_t)(c - '0');
        } else if (c >= 'A' && c <= 'F') {
            d = (uint32_t)(c - 'A' + 10);
        } else {
            return false;
        }
        v = v << 4 | d;
    }
    *ret = v;
    return true;
}

hf_result hf_wal_name_parse(const char *text, uint64_t segment_size, struct hf_wal_name *ret,
                            struct hf_err *err)
{
    HF_ASSERT(hf_segment_size_valid(segment_size));
    size_t n = strnlen(text, HF_WAL_NAME_SIZE);
    uint32_t tli = 0;
    uint32_t log = 0;
    uint32_t seg = 0;
    struct hf_wal_name name = {0};
    /* Timeline 1 has no history, but at a promotion PostgreSQL asks the archive for it. */
    if (n == 16 && hex8(text, &tli) && strcmp(text + 8, ".history") == 0 && tli > 0) {
        name.kind = HF_WAL_HISTORY;
        name.timeline = HF_TLI(tli);
        *ret = name;
        return hf_done();
    }
    uint64_t per_log = 0x100000000ULL / segment_size;
    if (n >= 24 && hex8(text, &tli) && hex8(text + 8, &log) && hex8(text + 16, &seg) && tli > 0 &&
        seg < per_log) {
        name.timeline = HF_TLI(tli);
        name.segment = log * per_log + seg;
        if (n == 24) {
            name.kind = HF_WAL_SEGMENT;
            *ret = name;
            return hf_done();
        }
        if (n == 32 && strcmp(text + 24, ".partial") == 0) {
            name.kind = HF_WAL_PARTIAL;
            *ret = name;
            return hf_done();
        }
        if (n == 40 && text[24] == '.' && hex8(text + 25, &name.offset) &&
            strcmp(text + 33, ".backup") == 0 && name.offset < segment_size) {
            name.kind = HF_WAL_BACKUP;
            *ret = name;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID,
                   "\"%.48s\" is not the name of a WAL segment, .partial, .backup or .history file",
                   text);
}

const char *hf_wal_name_format(const struct hf_wal_name *name, uint64_t segment_size,
                               char text[HF_WAL_NAME_SIZE])
{
    if (name->kind == HF_WAL_HISTORY) {
        (void)snprintf(text, HF_WAL_NAME_SIZE, "%08X.history", name->timeline.v);
        return text;
    }
    uint64_t per_log = 0x100000000ULL / segment_size;
    int n = snprintf(text, HF_WAL_NAME_SIZE, "%08X%08X%08X", name->timeline.v,
                     (unsigned)(name->segment / per_log), (unsigned)(name->segment % per_log));
    size_t room = HF_WAL_NAME_SIZE - (size_t)n;
    if (name->kind == HF_WAL_PARTIAL) {
        (void)snprintf(text + n, room, ".partial");
    } else if (name->kind == HF_WAL_BACKUP) {
        (void)snprintf(text + n, room, ".%08X.backup", name->offset);
    }
    return text;
}
