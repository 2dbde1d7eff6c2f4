/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/service.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "common/base/mem.h"

void hf_service_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void hf_service_stopping(void)
{
    (void)sd_notify(0, "STOPPING=1");
}

void hf_service_status(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* A line break would begin another assignment of the notify protocol. */
    for (char *p = text; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }
    (void)sd_notifyf(0, "STATUS=%s", text);
}

static void feed(void *arg)
{
    (void)arg;
    (void)sd_notify(0, "WATCHDOG=1");
}

struct hf_timer *hf_service_watchdog(struct hf_loop *loop)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0 || usec < 4000) {
        return NULL;
    }
    struct hf_timer *timer = hf_timer_new(loop, feed, NULL);
    feed(NULL);
    hf_timer_every(timer, HF_US(usec / 2));
    return timer;
}
