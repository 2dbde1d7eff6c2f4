/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    HF_ASSERT(clock_gettime(id, &t) == 0);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Rounds towards minus infinity: truncation must not turn a low reading into a high one. */
static int64_t floor_us(int64_t ns)
{
    int64_t us = ns / 1000;
    return ns % 1000 < 0 ? us - 1 : us;
}

hf_lclk hf_clock_lease_low(void)
{
    int64_t raw = clock_ns(CLOCK_MONOTONIC_RAW);
    int64_t boot = clock_ns(CLOCK_BOOTTIME);
    int64_t mono = clock_ns(CLOCK_MONOTONIC);
    return (hf_lclk){floor_us(raw + (boot - mono))};
}

hf_lclk hf_clock_lease_high(void)
{
    int64_t raw = clock_ns(CLOCK_MONOTONIC_RAW);
    int64_t mono = clock_ns(CLOCK_MONOTONIC);
    int64_t boot = clock_ns(CLOCK_BOOTTIME);
    return (hf_lclk){floor_us(raw + (boot - mono)) + 1};
}

hf_lclk hf_clock_lease(void)
{
    for (int i = 0; i < 200; i++) {
        int64_t raw = clock_ns(CLOCK_MONOTONIC_RAW);
        int64_t boot = clock_ns(CLOCK_BOOTTIME);
        int64_t mono = clock_ns(CLOCK_MONOTONIC);
        if (clock_ns(CLOCK_MONOTONIC_RAW) - raw <= 50000) {
            return (hf_lclk){floor_us(raw + (boot - mono))};
        }
    }
    return hf_clock_lease_high();
}

hf_wall hf_clock_wall(void)
{
    return (hf_wall){floor_us(clock_ns(CLOCK_REALTIME))};
}

void hf_clock_wall_text(hf_wall t, char *ret, size_t size)
{
    HF_ASSERT(size >= HF_CLOCK_TEXT_SIZE);
    int64_t ms = t.us / 1000;
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (t.us < 0 || gmtime_r(&seconds, &parts) == NULL || parts.tm_year > 8099) {
        snprintf(ret, size, "?");
        return;
    }
    char date[24];
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret, size, "%s.%03dZ", date, (int)(ms % 1000));
}

hf_result hf_clock_boot_id(char ret[HF_BOOT_ID_SIZE], struct hf_err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "open %s", path);
    }
    char text[64];
    ssize_t n = read(fd, text, sizeof(text));
    if (n < HF_BOOT_ID_SIZE - 1) {
        return hf_fail(err, HF_E_IO, "%s: %zd bytes, expected %d", path, n, HF_BOOT_ID_SIZE - 1);
    }
    memcpy(ret, text, HF_BOOT_ID_SIZE - 1);
    ret[HF_BOOT_ID_SIZE - 1] = '\0';
    return hf_done();
}

hf_result hf_clock_time_namespace(uint64_t *ret, struct hf_err *err)
{
    struct stat st;
    if (stat("/proc/self/ns/time", &st) != 0) {
        return hf_fail_errno(err, errno, "stat /proc/self/ns/time");
    }
    *ret = st.st_ino;
    return hf_done();
}

void hf_random_bytes(void *ret, size_t n)
{
    char *p = ret;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        HF_ASSERT(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

uint64_t hf_random_u64(void)
{
    uint64_t v;
    hf_random_bytes(&v, sizeof(v));
    return v;
}
