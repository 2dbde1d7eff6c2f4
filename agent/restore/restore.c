/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/restore.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/restore/restore_internal.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/files.h"

static void restore_cleanup(struct hf_restore *r)
{
    hf_manifest_free(r->manifest);
}

/* Everything but pg_control is durable before pg_control is there; then the marker goes. */
static hf_result finish(struct hf_restore *r, struct hf_err *err)
{
    char path[HF_PATH_SIZE * 2];
    HF_TRY(hf_restore_place_sync(r, err));
    HF_FAULT("restore.control", err);
    HF_TRY(hf_restore_extract(r, true, err));
    HF_TRY(hf_restore_place_sync(r, err));
    snprintf(path, sizeof(path), "%s/%s", r->request->directory, HF_RESTORE_MARKER);
    return hf_file_remove_durable(path, err);
}

hf_result hf_restore_run(const struct hf_restore_request *request, struct hf_restore_result *ret,
                         struct hf_err *err)
{
    __attribute__((cleanup(restore_cleanup))) struct hf_restore r = {.request = request,
                                                                     .begun = hf_clock_lease()};
    HF_ASSERT(request->repository_count > 0);
    HF_TRY(hf_restore_choose(&r, err));
    HF_TRY(hf_restore_place_check(&r, err));
    HF_TRY(hf_restore_place_make(&r, err));
    HF_TRY(hf_restore_extract(&r, false, err));
    HF_FAULT("restore.recovery", err);
    HF_TRY(hf_restore_write_wal(&r, err));
    HF_TRY(hf_restore_write_recovery(&r, err));
    HF_BUF(collations, HF_RESTORE_TEXT_MAX - 1);
    HF_TRY(hf_restore_collations(r.manifest, hf_restore_libc_version(), &collations, err));
    HF_TRY(finish(&r, err));
    *ret = (struct hf_restore_result){.timeline = r.timeline,
                                      .to_end = r.to_end,
                                      .files = r.files,
                                      .bytes = atomic_load(&r.written),
                                      .elapsed = hf_lclk_sub(hf_clock_lease(), r.begun)};
    snprintf(ret->label, sizeof(ret->label), "%s", r.manifest->label);
    snprintf(ret->collations, sizeof(ret->collations), "%s", hf_buf_text(&collations));
    return hf_done();
}

/* --- times ---------------------------------------------------------------------------------- */

/* "Z", "+02", "+0200", "-02:30": minutes east of UTC; end of text must follow. */
static bool parse_zone(const char *text, int *ret_minutes)
{
    int hours = 0;
    int minutes = 0;
    int end = 0;
    if (strcmp(text, "Z") == 0) {
        *ret_minutes = 0;
        return true;
    }
    if (text[0] != '+' && text[0] != '-') {
        return false;
    }
    const char *at = text + 1;
    bool good = (sscanf(at, "%2d:%2d%n", &hours, &minutes, &end) == 2 && at[end] == '\0') ||
                (sscanf(at, "%2d%2d%n", &hours, &minutes, &end) == 2 && at[end] == '\0') ||
                (sscanf(at, "%2d%n", &hours, &end) == 1 && at[end] == '\0' && (minutes = 0) == 0);
    if (!good || hours < 0 || hours > 15 || minutes < 0 || minutes > 59) {
        return false;
    }
    *ret_minutes = (text[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

hf_result hf_restore_parse_time(const char *text, hf_wall *ret, struct hf_err *err)
{
    struct tm tm = {0};
    char separator = 0;
    int end = 0;
    int zone = 0;
    int64_t us = 0;
    int n = sscanf(text, "%4d-%2d-%2d%c%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                   &separator, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end);
    bool good = n == 7 && (separator == 'T' || separator == ' ') && tm.tm_year >= 2000 &&
                tm.tm_mon >= 1 && tm.tm_mon <= 12 && tm.tm_mday >= 1 && tm.tm_mday <= 31 &&
                tm.tm_hour >= 0 && tm.tm_hour <= 23 && tm.tm_min >= 0 && tm.tm_min <= 59 &&
                tm.tm_sec >= 0 && tm.tm_sec <= 60;
    const char *at = text + end;
    if (good && *at == '.') {
        int64_t unit = 100000;
        for (at++; *at >= '0' && *at <= '9' && unit > 0; at++, unit /= 10) {
            us += (*at - '0') * unit;
        }
    }
    if (!good || !parse_zone(at, &zone)) {
        return hf_fail(err, HF_E_INVALID,
                       "time \"%.64s\": allowed is YYYY-MM-DDTHH:MM:SS[.ffffff] with a zone (Z or "
                       "+02:00)",
                       text);
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    ret->us = ((int64_t)timegm(&tm) - (int64_t)zone * 60) * 1000000 + us;
    return hf_done();
}
