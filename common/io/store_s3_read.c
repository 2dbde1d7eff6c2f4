/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/io/s3_time.h"

/* One read of a range over as many attempts as it takes. */
struct reading {
    struct hf_s3_call *call;
    uint64_t offset;
    uint64_t len;               /* UINT64_MAX: to the end */
    uint64_t done;              /* bytes that the sink has taken */
    uint64_t end;               /* of the whole read, counted from offset; valid when known */
    bool known;                 /* a response told the size */
    bool checked;               /* the current response's head was looked at */
    bool ranged;                /* the current request has a Range header */
    char etag[HF_S3_ETAG_SIZE]; /* of the first response; "" when it had none */
    hf_store_sink sink;
    void *arg;
};

static bool parse_u64(const char *text, uint64_t *ret, const char **ret_end)
{
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    char *end = NULL;
    *ret = strtoull(text, &end, 10);
    *ret_end = end;
    return *ret <= INT64_MAX;
}

/* "bytes 5-9/100" */
static bool parse_content_range(const char *text, uint64_t *ret_first, uint64_t *ret_last,
                                uint64_t *ret_size)
{
    if (text == NULL || strncasecmp(text, "bytes ", 6) != 0) {
        return false;
    }
    const char *at = text + 6;
    return parse_u64(at, ret_first, &at) && *at == '-' && parse_u64(at + 1, ret_last, &at) &&
           *at == '/' && parse_u64(at + 1, ret_size, &at) && *at == '\0' &&
           *ret_first <= *ret_last && *ret_last < *ret_size;
}

static hf_result learn_end(struct reading *g, uint64_t size, struct hf_err *err)
{
    if (g->offset > size || (g->len != UINT64_MAX && g->len > size - g->offset)) {
        return hf_fail(err, HF_E_CORRUPT,
                       "has %" PRIu64 " bytes, the range from %" PRIu64 " goes beyond", size,
                       g->offset);
    }
    uint64_t end = g->len == UINT64_MAX ? size - g->offset : g->len;
    if (g->known && g->end != end) {
        return hf_fail(err, HF_E_CORRUPT, "changed its size while being read");
    }
    g->end = end;
    g->known = true;
    return hf_done();
}

/* Looks at status and headers before the first byte of a response is passed on. */
static hf_result check_head(struct reading *g, const struct hf_http_sync_reply *reply,
                            struct hf_err *err)
{
    const char *etag = hf_http_sync_header(reply, "etag");
    if (g->etag[0] == '\0' && etag != NULL) {
        (void)snprintf(g->etag, sizeof g->etag, "%.*s", (int)sizeof g->etag - 1, etag);
    }
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t size = 0;
    const char *end = NULL;
    if (!g->ranged) {
        const char *length = hf_http_sync_header(reply, "content-length");
        if (!parse_u64(length, &size, &end)) {
            return hf_fail(err, HF_E_CORRUPT, "the answer does not tell its length");
        }
        return learn_end(g, size, err);
    }
    if (reply->status != 206 ||
        !parse_content_range(hf_http_sync_header(reply, "content-range"), &first, &last, &size)) {
        return hf_fail(err, HF_E_UNSUPPORTED, "the store ignores ranges (HTTP %d)", reply->status);
    }
    if (first != g->offset + g->done) {
        return hf_fail(err, HF_E_CORRUPT, "the store sent another range than asked for");
    }
    return learn_end(g, size, err);
}

static hf_result on_bytes(void *arg, const struct hf_http_sync_reply *reply, const void *bytes,
                          size_t len, struct hf_err *err)
{
    struct reading *g = arg;
    g->call->sink_failed = true; /* what fails in here must not be tried again */
    if (!g->checked) {
        HF_TRY(check_head(g, reply, err));
        g->checked = true;
    }
    if (len > g->end - g->done) {
        return hf_fail(err, HF_E_CORRUPT, "the store sent more than asked for");
    }
    HF_TRY(g->sink(g->arg, bytes, len, err));
    g->done += len;
    g->call->sink_failed = false;
    return hf_done();
}

static void set_range(struct reading *g, char *text, size_t size)
{
    uint64_t first = g->offset + g->done;
    bool to_end = g->len == UINT64_MAX;
    g->call->header_count = 0;
    g->ranged = first > 0 || !to_end;
    if (!g->ranged) {
        return;
    }
    if (to_end) {
        (void)snprintf(text, size, "bytes=%" PRIu64 "-", first);
    } else {
        (void)snprintf(text, size, "bytes=%" PRIu64 "-%" PRIu64, first, g->offset + g->len - 1);
    }
    hf_s3_call_header(g->call, "range", text);
    if (g->done > 0 && g->etag[0] != '\0') {
        hf_s3_call_header(g->call, "if-match", g->etag);
    }
}

static bool complete(const struct reading *g)
{
    return g->known && g->done == g->end;
}

static hf_result end_of_reading(struct reading *g, hf_result r, struct hf_err *err)
{
    if (g->done > 0 && g->call->reply.status == 412) {
        return hf_fail(err, HF_E_CORRUPT, "changed while being read");
    }
    return r;
}

static hf_result read_all(struct hf_s3_store *s, struct reading *g, struct hf_err *err)
{
    int without_progress = 0;
    for (int i = 0; i < s->attempts + HF_S3_RESUMES_MAX; i++) {
        char range[64];
        set_range(g, range, sizeof range);
        g->checked = false;
        uint64_t before = g->done;
        enum hf_s3_verdict v = hf_s3_attempt(s, g->call, err);
        if (v == HF_S3_DONE && !g->checked) { /* an empty body passes no bytes */
            HF_TRY(check_head(g, &g->call->reply, err));
        }
        if (!g->call->sink_failed && complete(g)) {
            return hf_done();
        }
        if (v == HF_S3_FAILED) {
            return end_of_reading(g, (hf_result){err->code}, err);
        }
        if (v == HF_S3_RETRY_NOW) {
            continue;
        }
        without_progress = g->done > before ? 0 : without_progress + 1;
        if (without_progress >= s->attempts) {
            break;
        }
        hf_s3_pause(g->call, without_progress > 0 ? without_progress : 1);
    }
    return hf_fail_context(err, "given up after %d attempts without progress", without_progress);
}

hf_result hf_s3_get(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                    hf_store_sink sink, void *arg, struct hf_err *err)
{
    struct hf_err own = {0};
    struct hf_err *e = err == NULL ? &own : err;
    if (len == 0) {
        struct hf_store_meta meta;
        HF_TRY(hf_s3_head(store, key, &meta, e));
        struct reading g = {.offset = offset};
        return learn_end(&g, meta.size, e);
    }
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("GET", full);
    struct reading g = {.call = &call, .offset = offset, .len = len, .sink = sink, .arg = arg};
    call.sink = on_bytes;
    call.sink_arg = &g;
    hf_result r = read_all(hf_s3_of(store), &g, e);
    if (!hf_ok(r) && call.reply.status == 416 && len == UINT64_MAX && g.done == 0) {
        /* from the very end of an object to its end: nothing, and no error */
        struct hf_store_meta meta;
        HF_TRY(hf_s3_head(store, key, &meta, e));
        return learn_end(&g, meta.size, e);
    }
    return r;
}

static hf_result parse_meta(const struct hf_http_sync_reply *reply, struct hf_store_meta *ret,
                            struct hf_err *err)
{
    struct hf_store_meta meta = {0};
    const char *end = NULL;
    if (!parse_u64(hf_http_sync_header(reply, "content-length"), &meta.size, &end)) {
        return hf_fail(err, HF_E_CORRUPT, "the answer does not tell the size");
    }
    const char *modified = hf_http_sync_header(reply, "last-modified");
    if (modified != NULL) {
        HF_TRY(hf_s3_time_parse(modified, &meta.modified, err));
    }
    *ret = meta;
    return hf_done();
}

/* A 404 to HEAD has no body, so it may mean the bucket, or come from something that is no store at
 * all: a GET of one byte tells. */
static hf_result confirm_absent(struct hf_s3_store *s, const char *full, struct hf_err *err)
{
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("GET", full);
    hf_s3_call_header(&call, "range", "bytes=0-0");
    hf_result r = hf_s3_perform(s, &call, err);
    if (hf_ok(r) || r.code == HF_E_CORRUPT) {
        return hf_fail(err, HF_E_AGAIN, "appeared while being looked at");
    }
    return r;
}

hf_result hf_s3_head(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                     struct hf_err *err)
{
    struct hf_s3_store *s = hf_s3_of(store);
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    hf_result r = hf_done();
    for (int i = 0; i < 3; i++) {
        HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("HEAD", full);
        r = hf_s3_perform(s, &call, err);
        if (hf_ok(r)) {
            return parse_meta(&call.reply, ret, err);
        }
        if (call.reply.status != 404) {
            return r;
        }
        r = confirm_absent(s, full, err);
        if (r.code != HF_E_AGAIN) {
            return r;
        }
    }
    return r;
}

struct listing {
    struct hf_s3_store *s;
    const char *after;
    bool delimiter;
    hf_store_visit visit;
    void *arg;
    char last[HF_STORE_KEY_SIZE]; /* visited last */
};

static hf_result on_page(void *arg, const struct hf_http_sync_reply *reply, const void *bytes,
                         size_t len, struct hf_err *err)
{
    (void)reply;
    struct hf_s3_call *call = ((void **)arg)[1];
    call->sink_failed = true;
    HF_TRY(hf_s3_list_feed(((void **)arg)[0], bytes, len, err));
    call->sink_failed = false;
    return hf_done();
}

/* Fetches one page into page; a broken transfer begins the page anew. */
static hf_result fetch_page(struct hf_s3_store *s, struct hf_s3_call *call, struct hf_s3_list *page,
                            struct hf_err *err)
{
    void *both[2] = {page, call};
    call->sink = on_page;
    call->sink_arg = both;
    for (int attempt = 1;;) {
        hf_s3_list_reset(page);
        enum hf_s3_verdict v = hf_s3_attempt(s, call, err);
        if (v == HF_S3_DONE) {
            return hf_s3_list_finish(page, err);
        }
        if (v == HF_S3_FAILED) {
            return (hf_result){err->code};
        }
        if (v == HF_S3_RETRY_NOW) {
            continue;
        }
        if (attempt == s->attempts) {
            return hf_fail_context(err, "given up after %d attempts", attempt);
        }
        hf_s3_pause(call, attempt++);
    }
}

static hf_result visit_entry(struct listing *l, const struct hf_s3_entry *e, struct hf_err *err)
{
    size_t skip = strlen(l->s->base.prefix);
    if (strncmp(e->key, l->s->base.prefix, skip) != 0) {
        return hf_fail(err, HF_E_CORRUPT, "the store listed a key outside the prefix");
    }
    const char *key = e->key + skip;
    char bare[HF_STORE_KEY_SIZE];
    size_t len = strlen(key);
    bool folded = e->is_prefix && len > 0 && key[len - 1] == '/';
    if (len >= sizeof bare || e->is_prefix != folded) {
        return hf_done(); /* longer than any key of ours */
    }
    (void)snprintf(bare, sizeof bare, "%.*s", (int)(folded ? len - 1 : len), key);
    if (!hf_store_key_valid(bare)) {
        return hf_done(); /* somebody else's object */
    }
    if ((l->after != NULL && strcmp(key, l->after) <= 0) || strcmp(key, l->last) == 0) {
        return hf_done();
    }
    if (strcmp(key, l->last) < 0) {
        return hf_fail(err, HF_E_UNSUPPORTED, "the store does not list in byte order");
    }
    (void)snprintf(l->last, sizeof l->last, "%s", key);
    const struct hf_store_entry entry = {
        .key = key, .size = e->size, .modified = e->modified, .is_prefix = e->is_prefix};
    return l->visit(l->arg, &entry, err);
}

static hf_result list_pages(struct listing *l, const char *full_prefix, const char *full_after,
                            struct hf_s3_list *page, struct hf_err *err)
{
    char token[HF_S3_TOKEN_SIZE] = "";
    for (;;) {
        HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("GET", NULL);
        hf_s3_call_query(&call, "list-type", "2");
        hf_s3_call_query(&call, "encoding-type", "url");
        hf_s3_call_query(&call, "max-keys", "1000");
        hf_s3_call_query(&call, "prefix", full_prefix);
        if (l->delimiter) {
            hf_s3_call_query(&call, "delimiter", "/");
        }
        if (token[0] != '\0') {
            hf_s3_call_query(&call, "continuation-token", token);
        } else if (full_after != NULL) {
            hf_s3_call_query(&call, "start-after", full_after);
        }
        HF_TRY(fetch_page(l->s, &call, page, err));
        size_t count = 0;
        const struct hf_s3_entry *entries = hf_s3_list_entries(page, &count);
        for (size_t i = 0; i < count; i++) {
            HF_TRY(visit_entry(l, &entries[i], err));
        }
        const char *next = hf_s3_list_token(page);
        if (next == NULL) {
            return hf_done();
        }
        if (strcmp(next, token) == 0) {
            return hf_fail(err, HF_E_CORRUPT, "the listing does not go on");
        }
        (void)snprintf(token, sizeof token, "%s", next);
    }
}

hf_result hf_s3_list(struct hf_store *store, const char *prefix, const char *after, bool delimiter,
                     hf_store_visit visit, void *arg, struct hf_err *err)
{
    struct hf_err own = {0};
    char full_prefix[HF_STORE_FULL_SIZE];
    char full_after[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, prefix, full_prefix);
    hf_store_full_key(store, after == NULL ? "" : after, full_after);
    struct listing l = {
        .s = hf_s3_of(store), .after = after, .delimiter = delimiter, .visit = visit, .arg = arg};
    struct hf_s3_list *page = hf_s3_list_new();
    hf_result r = list_pages(&l, full_prefix, after == NULL ? NULL : full_after, page,
                             err == NULL ? &own : err);
    hf_s3_list_free(page);
    return r;
}
