/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history/spool.h"

#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/files.h"
#include "common/io/log.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_FILE_MAX = 131072, SPOOL_BLOCK = 4096, SPOOL_NAME_SIZE = 64, SPOOL_PATH_SIZE = 1200 };

/* NUMBER-CLASS-HASH.event, all of fixed width: the order of names is the order of events. */
#define SPOOL_NAME_FORMAT "%016" PRIx64 "-%c-%016" PRIx64 ".event"

struct spool_entry {
    uint64_t number;
    uint64_t hash;
    uint64_t bytes; /* whole blocks: what it takes on the disk */
    bool informational;
};

struct hf_spool {
    pthread_mutex_t lock;
    char directory[1024];
    uint64_t max_bytes;
    uint64_t next;
    size_t count;
    size_t room;
    struct spool_entry *entries; /* by number */
    struct hf_spool_stats stats;
};

/* FNV-1a, 64 bit: finds candidates; equality is decided by the text itself. */
static uint64_t hash_of(const char *text)
{
    uint64_t h = 14695981039346656037ULL;
    for (const char *p = text; *p != '\0'; p++) {
        h = (h ^ (unsigned char)*p) * 1099511628211ULL;
    }
    return h;
}

static uint64_t blocks(uint64_t bytes)
{
    return (bytes + SPOOL_BLOCK - 1) / SPOOL_BLOCK * SPOOL_BLOCK;
}

static void entry_path(const struct hf_spool *s, const struct spool_entry *e,
                       char ret[SPOOL_PATH_SIZE])
{
    char name[SPOOL_NAME_SIZE];
    (void)snprintf(name, sizeof name, SPOOL_NAME_FORMAT, e->number, e->informational ? 'i' : 'd',
                   e->hash);
    (void)snprintf(ret, SPOOL_PATH_SIZE, "%s/%s", s->directory, name);
}

static void add_entry(struct hf_spool *s, const struct spool_entry *e)
{
    if (s->count == s->room) {
        s->room = s->room == 0 ? 64 : s->room * 2;
        s->entries = hf_realloc(s->entries, s->room * sizeof s->entries[0]);
    }
    s->entries[s->count++] = *e;
    s->stats.events = s->count;
    s->stats.bytes += e->bytes;
}

static void drop_entry(struct hf_spool *s, size_t at)
{
    s->stats.bytes -= s->entries[at].bytes;
    s->count--;
    memmove(&s->entries[at], &s->entries[at + 1], (s->count - at) * sizeof s->entries[0]);
    s->stats.events = s->count;
}

static bool parse_name(const char *name, struct spool_entry *ret)
{
    char kind = '\0';
    char again[SPOOL_NAME_SIZE];
    if (sscanf(name, "%16" SCNx64 "-%c-%16" SCNx64 ".event", &ret->number, &kind, &ret->hash) !=
        3) {
        return false;
    }
    ret->informational = kind == 'i';
    (void)snprintf(again, sizeof again, SPOOL_NAME_FORMAT, ret->number, kind, ret->hash);
    return (kind == 'i' || kind == 'd') && strcmp(again, name) == 0;
}

static int by_number(const void *a, const void *b)
{
    const struct spool_entry *x = a;
    const struct spool_entry *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static hf_result scan(struct hf_spool *s, struct hf_err *err)
{
    DIR *dir = opendir(s->directory);
    if (dir == NULL) {
        return hf_fail_errno(err, errno, "%s", s->directory);
    }
    const struct dirent *d = NULL;
    while ((d = readdir(dir)) != NULL) {
        struct spool_entry e = {0};
        struct stat st;
        char path[SPOOL_PATH_SIZE];
        if (!parse_name(d->d_name, &e)) {
            continue; /* temporary files of a crash, or somebody else's */
        }
        entry_path(s, &e, path);
        if (stat(path, &st) != 0) {
            continue;
        }
        e.bytes = blocks((uint64_t)st.st_size);
        add_entry(s, &e);
        s->next = e.number >= s->next ? e.number + 1 : s->next;
    }
    (void)closedir(dir);
    if (s->count > 0) {
        qsort(s->entries, s->count, sizeof s->entries[0], by_number);
    }
    return hf_done();
}

hf_result hf_spool_open(const char *directory, uint64_t max_bytes, struct hf_spool **ret,
                        struct hf_err *err)
{
    HF_TRY(hf_dir_make(directory, 0700, err));
    struct hf_spool *s = hf_alloc(sizeof *s);
    (void)snprintf(s->directory, sizeof s->directory, "%s", directory);
    s->max_bytes = max_bytes;
    s->next = 1;
    (void)pthread_mutex_init(&s->lock, NULL);
    hf_result r = scan(s, err);
    if (!hf_ok(r)) {
        hf_spool_close(s);
        return r;
    }
    *ret = s;
    return hf_done();
}

void hf_spool_close(struct hf_spool *s)
{
    if (s != NULL) {
        (void)pthread_mutex_destroy(&s->lock);
        hf_free(s->entries);
        hf_free(s);
    }
}

static hf_result encode(const struct hf_event *event, struct hf_buf *out, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json_put_text(v, "id", event->id);
    hf_json_put_text(v, "kind", event->kind);
    hf_json_put_bool(v, "informational", event->informational);
    hf_json_put_text(v, "body", hf_buf_text(&event->body));
    return hf_json_write(v, out, err);
}

static hf_result read_entry(const struct hf_spool *s, const struct spool_entry *e,
                            struct hf_event *ret, struct hf_err *err)
{
    char path[SPOOL_PATH_SIZE];
    HF_BUF(text, SPOOL_FILE_MAX);
    HF_AUTOJSON hf_json *v = NULL;
    struct hf_event event = {.informational = e->informational};
    entry_path(s, e, path);
    HF_TRY(hf_file_read(path, &text, err));
    HF_TRY(hf_json_parse(hf_buf_text(&text), text.len, SPOOL_FILE_MAX, &v, err));
    HF_TRY(hf_json_get_text(v, "id", event.id, sizeof event.id, err));
    HF_TRY(hf_json_get_text(v, "kind", event.kind, sizeof event.kind, err));
    const hf_json *body = hf_json_member(v, "body");
    if (body == NULL || !hf_json_is_text(body)) {
        return hf_fail(err, HF_E_CORRUPT, "%s has no body", path);
    }
    event.body = HF_BUF_INIT(HF_EVENT_MAX);
    hf_result r = hf_buf_append_str(&event.body, hf_json_text(body), err);
    if (!hf_ok(r)) {
        hf_buf_free(&event.body);
        return r;
    }
    *ret = event;
    return hf_done();
}

/* Is it there already? HF_E_EXISTS, HF_E_CONFLICT, HF_OK = no. */
static hf_result look_for(const struct hf_spool *s, const struct hf_event *event, uint64_t hash,
                          struct hf_err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        struct hf_event there;
        struct hf_err ignored;
        if (s->entries[i].hash != hash || !hf_ok(read_entry(s, &s->entries[i], &there, &ignored))) {
            continue;
        }
        bool same_id = strcmp(there.id, event->id) == 0;
        bool same = same_id && strcmp(there.kind, event->kind) == 0 &&
                    strcmp(hf_buf_text(&there.body), hf_buf_text(&event->body)) == 0;
        hf_buf_free(&there.body);
        if (same) {
            return hf_fail(err, HF_E_EXISTS, "event %s waits already", event->id);
        }
        if (same_id) {
            return hf_fail(err, HF_E_CONFLICT, "another event %s waits", event->id);
        }
    }
    return hf_done();
}

static bool drop_oldest_informational(struct hf_spool *s)
{
    for (size_t i = 0; i < s->count; i++) {
        char path[SPOOL_PATH_SIZE];
        if (!s->entries[i].informational) {
            continue;
        }
        entry_path(s, &s->entries[i], path);
        (void)unlink(path);
        drop_entry(s, i);
        s->stats.dropped++;
        return true;
    }
    return false;
}

static hf_result make_room(struct hf_spool *s, uint64_t bytes, bool informational,
                           struct hf_err *err)
{
    while (s->stats.bytes + bytes > s->max_bytes) {
        if (drop_oldest_informational(s)) {
            continue;
        }
        if (informational) {
            s->stats.dropped++;
        } else {
            s->stats.refused++;
        }
        return hf_fail(err, HF_E_LIMIT, "the spool holds %" PRIu64 " of %" PRIu64 " bytes",
                       s->stats.bytes, s->max_bytes);
    }
    return hf_done();
}

static hf_result append_locked(struct hf_spool *s, const struct hf_event *event,
                               const struct hf_buf *text, struct hf_err *err)
{
    struct spool_entry e = {.number = s->next,
                            .hash = hash_of(event->id),
                            .bytes = blocks(text->len),
                            .informational = event->informational};
    char path[SPOOL_PATH_SIZE];
    HF_TRY(look_for(s, event, e.hash, err));
    HF_TRY(make_room(s, e.bytes, e.informational, err));
    s->next++;
    entry_path(s, &e, path);
    HF_TRY(hf_file_write_durable(path, text->data, text->len, 0600, err));
    add_entry(s, &e);
    return hf_done();
}

hf_result hf_spool_append(struct hf_spool *s, const struct hf_event *event, struct hf_err *err)
{
    HF_BUF(text, SPOOL_FILE_MAX);
    HF_TRY(encode(event, &text, err));
    (void)pthread_mutex_lock(&s->lock);
    uint64_t lost = s->stats.dropped + s->stats.refused;
    hf_result r = append_locked(s, event, &text, err);
    bool alarm = s->stats.dropped + s->stats.refused > lost;
    struct hf_spool_stats stats = s->stats;
    (void)pthread_mutex_unlock(&s->lock);
    if (alarm) {
        hf_log(HF_LOG_ERROR, "SPOOL_FULL", "the history spool is full: events are lost",
               HF_KV_U64("dropped", stats.dropped), HF_KV_U64("refused", stats.refused),
               HF_KV_U64("bytes", stats.bytes));
    }
    return r;
}

/* Out of the way, not gone: a person may look at it. */
static void set_aside(struct hf_spool *s, size_t at, const struct hf_err *why)
{
    char path[SPOOL_PATH_SIZE];
    char aside[SPOOL_PATH_SIZE + 16];
    entry_path(s, &s->entries[at], path);
    (void)snprintf(aside, sizeof aside, "%s.unreadable", path);
    hf_log(HF_LOG_ERROR, "SPOOL_UNREADABLE", "an event of the spool cannot be read: set aside",
           HF_KV("path", path), HF_KV_ERR(why));
    (void)rename(path, aside);
    drop_entry(s, at);
    s->stats.unreadable++;
}

hf_result hf_spool_peek(struct hf_spool *s, size_t max, struct hf_event *ret_events,
                        uint64_t *ret_numbers, size_t *ret_count, struct hf_err *err)
{
    size_t n = 0;
    (void)err;
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count && n < max;) {
        struct hf_err why;
        if (hf_ok(read_entry(s, &s->entries[i], &ret_events[n], &why))) {
            ret_numbers[n++] = s->entries[i++].number;
        } else {
            set_aside(s, i, &why);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    *ret_count = n;
    return hf_done();
}

hf_result hf_spool_remove(struct hf_spool *s, uint64_t number, struct hf_err *err)
{
    hf_result r = hf_done();
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++) {
        if (s->entries[i].number == number) {
            char path[SPOOL_PATH_SIZE];
            entry_path(s, &s->entries[i], path);
            if (unlink(path) != 0 && errno != ENOENT) {
                r = hf_fail_errno(err, errno, "%s", path);
            } else {
                drop_entry(s, i);
            }
            break;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

void hf_spool_stats(struct hf_spool *s, struct hf_spool_stats *ret)
{
    (void)pthread_mutex_lock(&s->lock);
    *ret = s->stats;
    (void)pthread_mutex_unlock(&s->lock);
}
