/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wal/control_file.h"

#include <stdio.h>

#include "common/base/buf.h"
#include "common/io/files.h"
#include "holdfast/types.h"

enum { FILE_MAX = 8192, AT_VERSION = 8, LEAST_SIZE = 256, VERSION_MIN = 1300, VERSION_MAX = 1899 };

static uint64_t number(const unsigned char *at, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)at[i] << (8 * i); /* written by a little-endian machine */
    }
    return v;
}

hf_result hf_control_file_system(const char *data_dir, uint64_t *ret, struct hf_err *err)
{
    char path[HF_PATH_SIZE + 32];
    HF_BUF(bytes, FILE_MAX);
    (void)snprintf(path, sizeof path, "%s/global/pg_control", data_dir);
    HF_TRY(hf_file_read(path, &bytes, err));
    const unsigned char *b = (const unsigned char *)bytes.data;
    uint64_t version = bytes.len < LEAST_SIZE ? 0 : number(b + AT_VERSION, 4);
    uint64_t system = bytes.len < LEAST_SIZE ? 0 : number(b, 8);
    if (version < VERSION_MIN || version > VERSION_MAX || system == 0) {
        return hf_fail(err, HF_E_CORRUPT,
                       "%s: %zu bytes, version %llu: no control file of PostgreSQL 13 to 18", path,
                       bytes.len, (unsigned long long)version);
    }
    *ret = system;
    return hf_done();
}
