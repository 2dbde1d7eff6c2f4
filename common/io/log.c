/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/log.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>
#include <systemd/sd-journal.h>

#include "common/base/mem.h"
#include "common/io/clock.h"

enum {
    LINE_MAX_BYTES = 4096,
    FIELDS_MAX = 24,
    VALUE_MAX = 1024,
    RATE_EVENTS = 128, /* event ids remembered at a time */
    RATE_LINES = 50,
    RATE_PERIOD_US = 10000000
};

static const char *const level_names[] = {"debug", "info", "notice", "warning", "error"};
static const int level_priority[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERR};

struct rate {
    const char *event;
    int64_t since_us;
    unsigned lines;
    unsigned suppressed;
};

static struct {
    pthread_mutex_t lock;
    const char *program;
    enum hf_log_level level;
    enum hf_log_target target; /* AUTO = not decided yet */
    struct rate rates[RATE_EVENTS];
} log_state = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "holdfast", .level = HF_LOG_INFO};

/* True when standard error is the journal's own stream (JOURNAL_STREAM = "device:inode"). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    unsigned long long device = 0;
    unsigned long long inode = 0;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static enum hf_log_target decide(enum hf_log_target wanted)
{
    if (wanted != HF_LOG_AUTO) {
        return wanted;
    }
    return stderr_is_journal() ? HF_LOG_JOURNALD : HF_LOG_STDERR;
}

void hf_log_init(const char *program, enum hf_log_level level, enum hf_log_target target)
{
    pthread_mutex_lock(&log_state.lock);
    log_state.program = program;
    log_state.level = level;
    log_state.target = decide(target);
    pthread_mutex_unlock(&log_state.lock);
}

hf_result hf_log_level_parse(const char *text, enum hf_log_level *ret, struct hf_err *err)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (enum hf_log_level)i;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID,
                   "log level '%.32s': allowed are debug, info, notice, warning, error", text);
}

hf_result hf_log_target_parse(const char *text, enum hf_log_target *ret, struct hf_err *err)
{
    static const char *const names[] = {"auto", "stderr", "journald"};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum hf_log_target)i;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "log target '%.32s': allowed are auto, stderr, journald",
                   text);
}

/* With the lock held. False: leave this line out. *ret_suppressed: how many were left out in the
 * period that just ended. */
static bool rate_allows(const char *event, unsigned *ret_suppressed)
{
    int64_t now = hf_clock_lease().us;
    struct rate *slot = NULL;
    struct rate *oldest = &log_state.rates[0];
    for (size_t i = 0; i < RATE_EVENTS && slot == NULL; i++) {
        struct rate *r = &log_state.rates[i];
        if (r->event == NULL || strcmp(r->event, event) == 0) {
            slot = r;
        } else if (r->since_us < oldest->since_us) {
            oldest = r;
        }
    }
    if (slot == NULL) {
        slot = oldest;
        *slot = (struct rate){0};
    }
    if (slot->event == NULL || now - slot->since_us >= RATE_PERIOD_US) {
        *ret_suppressed = slot->suppressed;
        *slot = (struct rate){.event = event, .since_us = now};
    }
    if (slot->lines >= RATE_LINES) {
        slot->suppressed++;
        return false;
    }
    slot->lines++;
    return true;
}

static void field_value(const struct hf_log_field *f, char *ret, size_t size)
{
    switch (f->kind) {
    case HF_LOG_TEXT:
        snprintf(ret, size, "%s", f->v.text == NULL ? "?" : f->v.text);
        return;
    case HF_LOG_I64:
        snprintf(ret, size, "%lld", (long long)f->v.i64);
        return;
    case HF_LOG_U64:
        snprintf(ret, size, "%llu", (unsigned long long)f->v.u64);
        return;
    case HF_LOG_LSN:
        snprintf(ret, size, "%X/%X", (unsigned)(f->v.u64 >> 32), (unsigned)f->v.u64);
        return;
    case HF_LOG_DUR:
        snprintf(ret, size, "%.3f", (double)f->v.i64 / 1000.0);
        return;
    case HF_LOG_BOOL:
        snprintf(ret, size, "%s", f->v.yes ? "true" : "false");
        return;
    }
}

/* Appends at most what fits; keeps one byte for the line's end. */
static void line_add(char *line, size_t *len, const char *text)
{
    size_t n = strlen(text);
    size_t room = LINE_MAX_BYTES - 1 - *len;
    n = n < room ? n : room;
    memcpy(line + *len, text, n);
    *len += n;
}

/* A value is quoted when it has anything but plain characters; control characters are escaped. */
static void line_add_value(char *line, size_t *len, const char *value)
{
    bool plain = value[0] != '\0';
    for (const char *p = value; *p != '\0' && plain; p++) {
        plain = (unsigned char)*p > ' ' && *p != '"' && *p != '\\' && *p != '=' && *p != 0x7f;
    }
    if (plain) {
        line_add(line, len, value);
        return;
    }
    line_add(line, len, "\"");
    for (const char *p = value; *p != '\0'; p++) {
        char piece[8] = {*p, '\0'};
        if (*p == '"' || *p == '\\') {
            snprintf(piece, sizeof(piece), "\\%c", *p);
        } else if ((unsigned char)*p < ' ' || *p == 0x7f) {
            snprintf(piece, sizeof(piece), "\\x%02x", (unsigned)(unsigned char)*p);
        }
        line_add(line, len, piece);
    }
    line_add(line, len, "\"");
}

static void write_stderr(enum hf_log_level level, const char *event, const char *text,
                         const struct hf_log_field *fields, unsigned suppressed)
{
    char line[LINE_MAX_BYTES];
    size_t len = 0;
    char value[VALUE_MAX];
    hf_clock_wall_text(hf_clock_wall(), value, sizeof(value));
    line_add(line, &len, value);
    const char *const head[] = {" ", log_state.program, " ", level_names[level], " ", event, " "};
    for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
        line_add(line, &len, head[i]);
    }
    line_add_value(line, &len, text);
    for (size_t i = 0; i < FIELDS_MAX && fields[i].key != NULL; i++) {
        field_value(&fields[i], value, sizeof(value));
        line_add(line, &len, " ");
        line_add(line, &len, fields[i].key);
        line_add(line, &len, "=");
        line_add_value(line, &len, value);
    }
    if (suppressed > 0) {
        snprintf(value, sizeof(value), " suppressed=%u", suppressed);
        line_add(line, &len, value);
    }
    line[len++] = '\n';
    ssize_t n;
    do { /* one write, so that lines of several processes do not mix */
        n = write(STDERR_FILENO, line, len);
    } while (n < 0 && errno == EINTR);
}

static void write_journal(enum hf_log_level level, const char *event, const char *text,
                          const struct hf_log_field *fields, unsigned suppressed)
{
    enum { OWN = 5 };
    struct iovec iov[FIELDS_MAX + OWN];
    char *texts[FIELDS_MAX + OWN];
    int n = 0;
    char value[VALUE_MAX];
    if (asprintf(&texts[n], "MESSAGE=%s: %s", event, text) < 0) {
        return;
    }
    n++;
    n += asprintf(&texts[n], "PRIORITY=%d", level_priority[level]) >= 0;
    n += asprintf(&texts[n], "HOLDFAST_EVENT=%s", event) >= 0;
    n += asprintf(&texts[n], "SYSLOG_IDENTIFIER=%s", log_state.program) >= 0;
    if (suppressed > 0) {
        n += asprintf(&texts[n], "HOLDFAST_SUPPRESSED=%u", suppressed) >= 0;
    }
    for (size_t i = 0; i < FIELDS_MAX && fields[i].key != NULL; i++) {
        char key[64] = "HOLDFAST_";
        size_t k = strlen(key);
        for (const char *p = fields[i].key; *p != '\0' && k < sizeof(key) - 1; p++) {
            key[k++] = (char)toupper((unsigned char)*p);
        }
        key[k] = '\0';
        field_value(&fields[i], value, sizeof(value));
        n += asprintf(&texts[n], "%s=%s", key, value) >= 0;
    }
    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){texts[i], strlen(texts[i])};
    }
    int r = sd_journal_sendv(iov, n);
    for (int i = 0; i < n; i++) {
        free(texts[i]);
    }
    if (r < 0) {
        write_stderr(level, event, text, fields, suppressed);
    }
}

void hf_log_write(enum hf_log_level level, const char *event, const char *text,
                  const struct hf_log_field *fields)
{
    pthread_mutex_lock(&log_state.lock);
    unsigned suppressed = 0;
    if (level >= log_state.level && rate_allows(event, &suppressed)) {
        log_state.target = decide(log_state.target);
        if (log_state.target == HF_LOG_JOURNALD) {
            write_journal(level, event, text, fields, suppressed);
        } else {
            write_stderr(level, event, text, fields, suppressed);
        }
    }
    pthread_mutex_unlock(&log_state.lock);
}
