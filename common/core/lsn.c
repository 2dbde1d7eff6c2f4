/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/lsn.h"

#include <stdio.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return -1;
}

static bool hex32(const char **p, uint32_t *ret)
{
    uint32_t v = 0;
    int digits = 0;
    while (hex_digit(**p) >= 0) {
        if (++digits > 8) {
            return false;
        }
        v = v << 4 | (uint32_t)hex_digit(**p);
        (*p)++;
    }
    *ret = v;
    return digits > 0;
}

hf_result hf_lsn_parse(const char *text, hf_lsn *ret, struct hf_err *err)
{
    const char *p = text;
    uint32_t high = 0;
    uint32_t low = 0;
    if (!hex32(&p, &high) || *p++ != '/' || !hex32(&p, &low) || *p != '\0') {
        return hf_fail(err, HF_E_INVALID, "\"%.40s\" is not a WAL position such as 16/B374D848",
                       text);
    }
    *ret = (hf_lsn){(uint64_t)high << 32 | low};
    return hf_done();
}

const char *hf_lsn_format(hf_lsn lsn, char text[HF_LSN_SIZE])
{
    (void)snprintf(text, HF_LSN_SIZE, "%X/%X", (unsigned)(lsn.v >> 32),
                   (unsigned)(lsn.v & 0xFFFFFFFFU));
    return text;
}

bool hf_segment_size_valid(uint64_t segment_size)
{
    return segment_size >= 1U << 20 && segment_size <= 1U << 30 &&
           (segment_size & (segment_size - 1)) == 0;
}
