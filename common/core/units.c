/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit DURATIONS[] = {
    {"d", INT64_C(86400000000)}, {"h", INT64_C(3600000000)}, {"m", INT64_C(60000000)},
    {"s", INT64_C(1000000)},     {"ms", INT64_C(1000)},      {"us", INT64_C(1)},
};
static const struct unit SIZES[] = {
    {"TB", INT64_C(1) << 40}, {"GB", INT64_C(1) << 30}, {"MB", INT64_C(1) << 20},
    {"kB", INT64_C(1) << 10}, {"B", INT64_C(1)},
};
enum { DURATION_COUNT = 6, SIZE_COUNT = 5, MAX_DECIMALS = 6 };

/* whole and fraction of a decimal number, the fraction in millionths; returns what follows, or
 * NULL. */
static const char *scan_number(const char *text, int64_t *ret_whole, int64_t *ret_millionths)
{
    int64_t whole = 0;
    const char *p = text;
    while (*p >= '0' && *p <= '9') {
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *p - '0', &whole)) {
            return NULL;
        }
        p++;
    }
    if (p == text) {
        return NULL;
    }
    int64_t millionths = 0;
    if (*p == '.') {
        p++;
        int digits = 0;
        for (; *p >= '0' && *p <= '9'; p++, digits++) {
            if (digits == MAX_DECIMALS) {
                return NULL;
            }
            millionths = millionths * 10 + (*p - '0');
        }
        if (digits == 0) {
            return NULL;
        }
        for (; digits < MAX_DECIMALS; digits++) {
            millionths *= 10;
        }
    }
    *ret_whole = whole;
    *ret_millionths = millionths;
    return p;
}

/* value = number * factor; refuses what is no whole number of the smallest unit. */
static bool scale(int64_t whole, int64_t millionths, int64_t factor, int64_t *ret)
{
    int64_t high = 0;
    if (__builtin_mul_overflow(whole, factor, &high)) {
        return false;
    }
    int64_t low = millionths * factor; /* below 10^6 * 2^40: no overflow */
    if (low % 1000000 != 0) {
        return false;
    }
    return !__builtin_add_overflow(high, low / 1000000, ret);
}

static bool parse_units(const char *text, const struct unit *units, size_t count, int64_t *ret)
{
    int64_t whole = 0;
    int64_t millionths = 0;
    const char *rest = scan_number(text, &whole, &millionths);
    if (rest == NULL) {
        return false;
    }
    if (*rest == '\0') {
        if (whole != 0 || millionths != 0) {
            return false; /* a unit is needed: 5 what? */
        }
        *ret = 0;
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rest, units[i].name) == 0) {
            return scale(whole, millionths, units[i].factor, ret);
        }
    }
    return false;
}

hf_result hf_units_parse_duration(const char *text, hf_dur *ret, struct hf_err *err)
{
    int64_t us = 0;
    if (!parse_units(text, DURATIONS, DURATION_COUNT, &us)) {
        return hf_fail(err, HF_E_INVALID,
                       "\"%.64s\" is not a duration; allowed: " HF_UNITS_DURATION_ALLOWED, text);
    }
    *ret = HF_US(us);
    return hf_done();
}

hf_result hf_units_parse_size(const char *text, uint64_t *ret, struct hf_err *err)
{
    int64_t bytes = 0;
    if (!parse_units(text, SIZES, SIZE_COUNT, &bytes)) {
        return hf_fail(err, HF_E_INVALID,
                       "\"%.64s\" is not a size; allowed: " HF_UNITS_SIZE_ALLOWED, text);
    }
    *ret = (uint64_t)bytes;
    return hf_done();
}

hf_result hf_units_parse_percent(const char *text, int32_t *ret_ppm, struct hf_err *err)
{
    int64_t whole = 0;
    int64_t millionths = 0;
    int64_t ppm = 0;
    const char *rest = scan_number(text, &whole, &millionths);
    if (rest == NULL || strcmp(rest, "%") != 0 || !scale(whole, millionths, 10000, &ppm) ||
        ppm > INT32_MAX) {
        return hf_fail(err, HF_E_INVALID, "\"%.64s\" is not a percentage; allowed: %s", text,
                       HF_UNITS_PERCENT_ALLOWED);
    }
    *ret_ppm = (int32_t)ppm;
    return hf_done();
}

void hf_units_format_duration(hf_dur d, char out[HF_UNITS_SIZE])
{
    for (size_t i = 0; i < DURATION_COUNT; i++) {
        if (d.us != 0 && d.us % DURATIONS[i].factor == 0) {
            (void)snprintf(out, HF_UNITS_SIZE, "%" PRId64 "%s", d.us / DURATIONS[i].factor,
                           DURATIONS[i].name);
            return;
        }
    }
    (void)snprintf(out, HF_UNITS_SIZE, "0s");
}

void hf_units_format_size(uint64_t bytes, char out[HF_UNITS_SIZE])
{
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        uint64_t factor = (uint64_t)SIZES[i].factor;
        if (bytes != 0 && bytes % factor == 0) {
            (void)snprintf(out, HF_UNITS_SIZE, "%" PRIu64 "%s", bytes / factor, SIZES[i].name);
            return;
        }
    }
    (void)snprintf(out, HF_UNITS_SIZE, "0B");
}

void hf_units_format_percent(int32_t ppm, char out[HF_UNITS_SIZE])
{
    int whole = ppm / 10000;
    int rest = ppm % 10000;
    if (rest == 0) {
        (void)snprintf(out, HF_UNITS_SIZE, "%d%%", whole);
        return;
    }
    int n = snprintf(out, HF_UNITS_SIZE, "%d.%04d", whole, rest);
    while (n > 0 && out[n - 1] == '0') {
        n--;
    }
    (void)snprintf(out + n, HF_UNITS_SIZE - (size_t)n, "%%");
}

void hf_units_human_duration(hf_dur d, char out[HF_UNITS_SIZE])
{
    const char *sign = d.us < 0 ? "-" : "";
    uint64_t us = d.us < 0 ? 0 - (uint64_t)d.us : (uint64_t)d.us;
    uint64_t s = us / 1000000;
    if (us < 9950000) {
        uint64_t tenths = (us + 50000) / 100000;
        (void)snprintf(out, HF_UNITS_SIZE, "%s%" PRIu64 ".%" PRIu64 "s", sign, tenths / 10,
                       tenths % 10);
    } else if (s < 120) {
        (void)snprintf(out, HF_UNITS_SIZE, "%s%" PRIu64 "s", sign, (us + 500000) / 1000000);
    } else if (s < 7200) {
        (void)snprintf(out, HF_UNITS_SIZE, "%s%" PRIu64 "m%02" PRIu64 "s", sign, s / 60, s % 60);
    } else if (s < 172800) {
        (void)snprintf(out, HF_UNITS_SIZE, "%s%" PRIu64 "h%02" PRIu64 "m", sign, s / 3600,
                       s / 60 % 60);
    } else {
        (void)snprintf(out, HF_UNITS_SIZE, "%s%" PRIu64 "d%02" PRIu64 "h", sign, s / 86400,
                       s / 3600 % 24);
    }
}

void hf_units_human_size(uint64_t bytes, char out[HF_UNITS_SIZE])
{
    size_t i = 0;
    while (i < SIZE_COUNT - 1 && bytes < (uint64_t)SIZES[i].factor) {
        i++;
    }
    uint64_t factor = (uint64_t)SIZES[i].factor;
    uint64_t whole = bytes / factor;
    uint64_t tenths = bytes % factor * 10 / factor;
    if (whole < 10 && factor > 1 && tenths > 0) {
        (void)snprintf(out, HF_UNITS_SIZE, "%" PRIu64 ".%" PRIu64 "%s", whole, tenths,
                       SIZES[i].name);
    } else {
        (void)snprintf(out, HF_UNITS_SIZE, "%" PRIu64 "%s", whole, SIZES[i].name);
    }
}
