/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/walrule.h"

#include <string.h>

enum {
    AT_INFO = 2,
    AT_TIMELINE = 4,
    AT_ADDRESS = 8,
    AT_SYSTEM = 24,
    AT_SEGMENT_SIZE = 32,
    LONG_HEADER = 40,
    INFO_LONG = 2
};

static uint64_t number(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) {
        v |= (uint64_t)at[i] << (8 * i); /* archived by the little-endian machine that wrote it */
    }
    return v;
}

hf_result hf_wal_check_segment(const uint8_t *bytes, size_t len, const struct hf_wal_name *name,
                               uint32_t segment_size, uint64_t system_id, struct hf_err *err)
{
    char text[HF_WAL_NAME_SIZE];
    (void)hf_wal_name_format(name, segment_size, text);
    if (len != segment_size || len < LONG_HEADER) {
        return hf_fail(err, HF_E_CORRUPT, "%s has %zu bytes, a segment has %u", text, len,
                       segment_size);
    }
    if ((number(bytes, 2) & 0xFF00U) != 0xD100U || (number(bytes + AT_INFO, 2) & INFO_LONG) == 0) {
        return hf_fail(err, HF_E_CORRUPT, "%s does not begin with a WAL page header", text);
    }
    if (number(bytes + AT_SEGMENT_SIZE, 4) != segment_size) {
        return hf_fail(err, HF_E_CORRUPT, "%s says a segment size of %llu, it has %u", text,
                       (unsigned long long)number(bytes + AT_SEGMENT_SIZE, 4), segment_size);
    }
    if (number(bytes + AT_ADDRESS, 8) != hf_wal_name_start(name, segment_size).v) {
        return hf_fail(err, HF_E_CORRUPT, "%s holds WAL of another position", text);
    }
    uint64_t timeline = number(bytes + AT_TIMELINE, 4);
    if (timeline == 0 || timeline > name->timeline.v) {
        return hf_fail(err, HF_E_CORRUPT, "%s holds WAL of timeline %llu", text,
                       (unsigned long long)timeline);
    }
    if (system_id != 0 && number(bytes + AT_SYSTEM, 8) != system_id) {
        return hf_fail(err, HF_E_CORRUPT, "%s is of system %llu, this cluster's is %llu", text,
                       (unsigned long long)number(bytes + AT_SYSTEM, 8),
                       (unsigned long long)system_id);
    }
    return hf_done();
}

hf_result hf_wal_name_any(const char *text, struct hf_wal_name *ret, uint32_t *ret_size,
                          struct hf_err *err)
{
    /* Small ones first allow high segment numbers, large ones high offsets. */
    static const uint32_t mebibytes[] = {16, 1, 2, 4, 8, 32, 64, 128, 256, 512, 1024};
    struct hf_err first = {0};
    for (size_t i = 0; i < sizeof mebibytes / sizeof *mebibytes; i++) {
        struct hf_err e = {0};
        uint32_t size = mebibytes[i] << 20;
        if (hf_ok(hf_wal_name_parse(text, size, ret, &e))) {
            *ret_size = size;
            return hf_done();
        }
        first = i == 0 ? e : first;
    }
    return hf_fail(err, HF_E_INVALID, "%s", first.text);
}

enum hf_wal_serve hf_wal_may_serve(const struct hf_history *target, const struct hf_wal_name *name,
                                   uint32_t segment_size)
{
    hf_lsn end = hf_history_end_of(target, name->timeline);
    if (end.v == 0) {
        return HF_WAL_OTHER_HISTORY;
    }
    uint64_t segment_end = hf_wal_name_start(name, segment_size).v + segment_size;
    return segment_end > end.v ? HF_WAL_BEYOND_FORK : HF_WAL_SERVE;
}
