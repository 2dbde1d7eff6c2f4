/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/s3_time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void hf_s3_stamp(hf_wall t, char ret[HF_S3_STAMP_SIZE])
{
    time_t seconds = (time_t)(t.us / 1000000);
    struct tm tm;
    HF_ASSERT(gmtime_r(&seconds, &tm) != NULL);
    int year = tm.tm_year + 1900;
    HF_ASSERT(year >= 1000 && year <= 9999);
    char text[64];
    int n = snprintf(text, sizeof text, "%04d%02d%02dT%02d%02d%02dZ", year, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    HF_ASSERT(n == HF_S3_STAMP_SIZE - 1);
    memcpy(ret, text, HF_S3_STAMP_SIZE);
}

static int month_number(const char name[4])
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (strncmp(MONTHS + 3 * i, name, 3) == 0) {
            return i;
        }
    }
    return -1;
}

hf_result hf_s3_time_parse(const char *text, hf_wall *ret, struct hf_err *err)
{
    struct tm tm = {0};
    char month[4] = "";
    int used = 0;
    bool ok = false;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &used) == 6 &&
        (text[used] == 'Z' || text[used] == '.')) {
        tm.tm_mon -= 1;
        ok = true;
    } else if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT", &tm.tm_mday, month,
                      &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
        tm.tm_mon = month_number(month);
        ok = true;
    }
    if (!ok || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
        tm.tm_sec > 60 || tm.tm_year < 1970) {
        return hf_fail(err, HF_E_INVALID, "\"%.40s\" is no time", text);
    }
    tm.tm_year -= 1900;
    *ret = (hf_wall){(int64_t)timegm(&tm) * 1000000};
    return hf_done();
}
