/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/io/clock.h"
#include "common/io/etcd_internal.h"

enum {
    BACKOFF_MIN_US = 100000,
    BACKOFF_MAX_US = 2000000,
    ROTATION_PAUSE_MS = 20,
    ROTATION_GRACE_MS = 1000
};

struct hf_etcd_watch {
    struct hf_etcd *etcd;
    char *prefix;
    int64_t next_revision; /* the first one not delivered yet; 0 = from now on */
    hf_dur stall;
    struct hf_etcd_watch_callbacks callbacks;
    void *arg;
    struct hf_http_call *call;
    struct hf_timer *timer;    /* next attempt */
    struct hf_timer *rotation; /* a silent stream was dropped: until here it is not called lost */
    struct hf_buf line;
    size_t endpoint;
    int64_t backoff_us;
    bool healthy; /* as told to the owner */
    bool over;    /* compacted */
    bool freed;
    int depth;
    char why[256];
    struct hf_etcd_watch *next;
    struct hf_etcd_watch *prev;
};

static void destroy(struct hf_etcd_watch *w)
{
    hf_http_call_cancel(w->call);
    hf_timer_free(w->timer);
    hf_timer_free(w->rotation);
    hf_buf_free(&w->line);
    hf_free(w->prefix);
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else {
        w->etcd->watches = w->next;
    }
    if (w->next != NULL) {
        w->next->prev = w->prev;
    }
    w->etcd->watch_count--;
    hf_free(w);
}

void hf_etcd_watch_free(struct hf_etcd_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    watch->freed = true;
    if (watch->depth == 0) {
        destroy(watch);
    }
}

void hf_etcd_watches_free(struct hf_etcd *etcd)
{
    while (etcd->watches != NULL) {
        hf_etcd_watch_free(etcd->watches);
    }
}

static void enter(struct hf_etcd_watch *w)
{
    w->depth++;
    w->etcd->depth++;
}

/* False when it was freed meanwhile. */
static bool leave(struct hf_etcd_watch *w)
{
    w->etcd->depth--;
    if (--w->depth == 0 && w->freed) {
        destroy(w);
        return false;
    }
    return true;
}

static void tell_health(struct hf_etcd_watch *w, bool healthy, const char *why)
{
    hf_timer_cancel(w->rotation);
    if (w->healthy == healthy || w->freed) {
        return;
    }
    w->healthy = healthy;
    if (w->callbacks.health != NULL) {
        w->callbacks.health(w->arg, healthy, why);
    }
}

static void deliver(struct hf_etcd_watch *w, const struct hf_etcd_watch_line *line)
{
    if (line->canceled && line->compact_revision > 0) {
        w->over = true;
        w->callbacks.compacted(w->arg, line->compact_revision);
        return;
    }
    if (line->created) {
        w->backoff_us = BACKOFF_MIN_US;
        if (w->next_revision == 0) {
            w->next_revision = line->revision + 1;
        }
        tell_health(w, true, "");
        return;
    }
    /* With events, only what they name is known to be delivered; an answer without any says that
     * all up to its revision is. */
    int64_t seen = line->count > 0 ? line->events[line->count - 1].kv.mod_revision : line->revision;
    if (seen + 1 > w->next_revision) {
        w->next_revision = seen + 1;
    }
    w->callbacks.events(w->arg, line->events, line->count, line->revision);
}

/* One line. False ends the stream. */
static bool take_line(struct hf_etcd_watch *w, const char *text, size_t len)
{
    HF_AUTOPARSED struct hf_etcd_parsed hold = {0};
    struct hf_etcd_watch_line line = {0};
    struct hf_err err = {0};
    if (!hf_ok(hf_etcd_parse_watch(text, len, &hold, &line, &err))) {
        snprintf(w->why, sizeof(w->why), "%.255s", err.text);
        return false;
    }
    deliver(w, &line);
    if (line.canceled && !w->over) {
        snprintf(w->why, sizeof(w->why), "etcd cancelled the watch");
    }
    return !line.canceled && !w->freed;
}

static bool on_chunk(void *arg, int status, const char *bytes, size_t len)
{
    struct hf_etcd_watch *w = arg;
    if (!hf_ok(hf_buf_append(&w->line, bytes, len, NULL))) {
        snprintf(w->why, sizeof(w->why), "a line of a watch is longer than %d bytes",
                 HF_ETCD_RESPONSE_MAX);
        return false;
    }
    if (status != 200) {
        return true; /* an error's text: read when it has ended */
    }
    bool goes_on = true;
    enter(w);
    size_t done = 0;
    while (goes_on && done < w->line.len) {
        const char *at = w->line.data + done;
        const char *end = memchr(at, '\n', w->line.len - done);
        if (end == NULL) {
            break;
        }
        goes_on = end == at || take_line(w, at, (size_t)(end - at));
        done = (size_t)(end - w->line.data) + 1;
    }
    hf_buf_consume(&w->line, done);
    goes_on = goes_on && !w->freed && !w->over;
    /* curl is on the stack: the call goes away by the false, a freed watch right after it. */
    if (w->freed) {
        hf_http_call_cancel(w->call);
        w->call = NULL;
    }
    (void)leave(w);
    return goes_on;
}

static void on_end(void *arg, const struct hf_http_response *response)
{
    struct hf_etcd_watch *w = arg;
    w->call = NULL;
    enter(w);
    if (w->line.len > 0 && response->status == 200 && !w->over) {
        (void)take_line(w, w->line.data, w->line.len); /* a stream error has no final newline */
    } else if (w->line.len > 0) {
        bool untouched;
        struct hf_err err = {0};
        HF_IGNORE(
            hf_etcd_parse_error(response->status, w->line.data, w->line.len, &untouched, &err),
            "only its text is wanted");
        snprintf(w->why, sizeof(w->why), "%.255s", err.text);
    }
    hf_buf_reset(&w->line);
    if (!w->over && !w->freed) {
        if (w->why[0] == '\0') {
            snprintf(w->why, sizeof(w->why), "%.255s",
                     hf_ok(response->result) ? "the stream ended" : response->err->text);
        }
        bool silent = response->result.code == HF_E_TIMEOUT && response->status == 200;
        w->endpoint = (w->endpoint + 1) % w->etcd->endpoint_count;
        if (silent && w->healthy) {
            hf_timer_after(w->rotation, HF_MS(ROTATION_GRACE_MS));
            hf_timer_after(w->timer, HF_MS(ROTATION_PAUSE_MS));
        } else {
            if (!hf_timer_pending(w->rotation)) {
                tell_health(w, false, w->why);
            }
            hf_timer_after(w->timer,
                           HF_US(w->backoff_us / 2 +
                                 (int64_t)(hf_random_u64() % (uint64_t)(w->backoff_us / 2))));
            w->backoff_us = w->backoff_us * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : w->backoff_us * 2;
        }
    }
    (void)leave(w);
}

static hf_result start_stream(struct hf_etcd_watch *w, struct hf_err *err)
{
    struct hf_etcd *etcd = w->etcd;
    HF_BUF(body, HF_ETCD_REQUEST_MAX);
    HF_TRY(hf_etcd_build_watch(w->prefix, w->next_revision, &body, err));
    char url[HF_ETCD_URL_SIZE];
    snprintf(url, sizeof(url), "%s/v3/watch", etcd->endpoints[w->endpoint]);
    /* Without this a watch at a member cut off from the majority stays silent for ever. */
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Grpc-Metadata-hasleader: true", NULL};
    struct hf_http_client_request request = {.method = "POST",
                                             .url = url,
                                             .headers = headers,
                                             .body = body.data,
                                             .body_len = body.len,
                                             .connect_timeout = etcd->connect_timeout,
                                             .stall_timeout = w->stall,
                                             .tls = etcd->has_tls ? &etcd->tls : NULL,
                                             .chunk = on_chunk,
                                             .done = on_end,
                                             .arg = w};
    w->why[0] = '\0';
    return hf_http_client_start(etcd->http, &request, &w->call, err);
}

static void connect_watch(struct hf_etcd_watch *w)
{
    struct hf_err err = {0};
    if (!hf_ok(start_stream(w, &err))) {
        hf_timer_after(w->timer, HF_US(w->backoff_us));
    }
}

static void on_timer(void *arg)
{
    connect_watch(arg);
}

static void on_rotation(void *arg)
{
    struct hf_etcd_watch *w = arg;
    enter(w);
    tell_health(w, false, w->why[0] != '\0' ? w->why : "silent for too long");
    (void)leave(w);
}

hf_result hf_etcd_watch_prefix(struct hf_etcd *etcd, const char *prefix, int64_t start_revision,
                               hf_dur stall, const struct hf_etcd_watch_callbacks *callbacks,
                               void *arg, struct hf_etcd_watch **ret, struct hf_err *err)
{
    HF_ASSERT(callbacks->events != NULL && callbacks->compacted != NULL);
    if (etcd->watch_count >= HF_ETCD_WATCHES_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%d etcd watches", HF_ETCD_WATCHES_MAX);
    }
    struct hf_etcd_watch *w = hf_alloc(sizeof(*w));
    *w = (struct hf_etcd_watch){.etcd = etcd,
                                .prefix = hf_strdup(prefix),
                                .next_revision = start_revision,
                                .stall = stall.us > 0 ? stall : HF_SEC(30),
                                .callbacks = *callbacks,
                                .arg = arg,
                                .line = HF_BUF_INIT(HF_ETCD_RESPONSE_MAX),
                                .endpoint = etcd->current,
                                .backoff_us = BACKOFF_MIN_US,
                                .next = etcd->watches};
    if (w->next != NULL) {
        w->next->prev = w;
    }
    etcd->watches = w;
    etcd->watch_count++;
    w->timer = hf_timer_new(etcd->loop, on_timer, w);
    w->rotation = hf_timer_new(etcd->loop, on_rotation, w);
    hf_result r = start_stream(w, err);
    if (!hf_ok(r)) {
        hf_etcd_watch_free(w);
        return r;
    }
    *ret = w;
    return hf_done();
}
