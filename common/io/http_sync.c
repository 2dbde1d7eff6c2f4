/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/http_sync.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "common/base/mem.h"

/* Idle handles, each with at most IDLE_CONNECTIONS kept connections. */
enum { IDLE_HANDLES = 16, IDLE_CONNECTIONS = 2, TRANSFER_BUFFER = 256 * 1024 };

struct hf_http_sync {
    char *ca;
    char *certificate; /* of the client, NULL = none */
    char *key;
    pthread_mutex_t lock;
    CURL *idle[IDLE_HANDLES]; /* under lock */
    size_t idle_count;        /* under lock */
};

/* One call under way; lives on its stack. */
struct transfer {
    CURL *easy;
    const struct hf_http_sync_request *request;
    struct hf_http_sync_reply *reply;
    struct hf_err *err;
    hf_result failed; /* of our own callbacks */
    bool stalled;
    int times_sent;
    curl_off_t moved;
    int64_t moved_at_us;
};

static void init_curl(void)
{
    HF_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

hf_result hf_http_sync_new(const char *ca, struct hf_http_sync **ret, struct hf_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    HF_ASSERT(pthread_once(&once, init_curl) == 0);
    if (ca != NULL && ca[0] == '\0') {
        return hf_fail(err, HF_E_INVALID, "ca: an empty path");
    }
    struct hf_http_sync *pool = hf_alloc(sizeof *pool);
    HF_ASSERT(pthread_mutex_init(&pool->lock, NULL) == 0);
    pool->ca = ca == NULL ? NULL : hf_strdup(ca);
    *ret = pool;
    return hf_done();
}

void hf_http_sync_set_client(struct hf_http_sync *pool, const char *certificate, const char *key)
{
    hf_free(pool->certificate);
    hf_free(pool->key);
    pool->certificate = hf_strdup(certificate);
    pool->key = hf_strdup(key);
}

void hf_http_sync_free(struct hf_http_sync *pool)
{
    if (pool == NULL) {
        return;
    }
    for (size_t i = 0; i < pool->idle_count; i++) {
        curl_easy_cleanup(pool->idle[i]);
    }
    (void)pthread_mutex_destroy(&pool->lock);
    hf_free(pool->ca);
    hf_free(pool->certificate);
    hf_free(pool->key);
    hf_free(pool);
}

void hf_http_sync_reply_free(struct hf_http_sync_reply *reply)
{
    hf_buf_free(&reply->headers);
    hf_buf_free(&reply->body);
}

const char *hf_http_sync_header(const struct hf_http_sync_reply *reply, const char *name)
{
    size_t name_len = strlen(name);
    const char *line = hf_buf_text(&reply->headers);
    const char *end = line + reply->headers.len;
    while (line < end) {
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *value = line + name_len + 1;
            return value + strspn(value, " \t");
        }
        line += strlen(line) + 1;
    }
    return NULL;
}

static CURL *take_handle(struct hf_http_sync *pool)
{
    CURL *easy = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->idle_count > 0) {
        easy = pool->idle[--pool->idle_count];
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (easy == NULL) {
        easy = curl_easy_init();
        HF_ASSERT(easy != NULL);
    }
    return easy;
}

static void give_handle(struct hf_http_sync *pool, CURL *easy)
{
    curl_easy_reset(easy); /* keeps its connections */
    (void)pthread_mutex_lock(&pool->lock);
    bool kept = pool->idle_count < IDLE_HANDLES;
    if (kept) {
        pool->idle[pool->idle_count++] = easy;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (!kept) {
        curl_easy_cleanup(easy);
    }
}

static int64_t now_us(void)
{
    struct timespec t;
    HF_ASSERT(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static size_t on_header(char *bytes, size_t one, size_t len, void *arg)
{
    (void)one;
    struct transfer *t = arg;
    size_t n = len;
    while (n > 0 && (bytes[n - 1] == '\r' || bytes[n - 1] == '\n')) {
        n--;
    }
    if (n >= 5 && strncasecmp(bytes, "HTTP/", 5) == 0) {
        hf_buf_reset(&t->reply->headers); /* an interim response came before */
        return len;
    }
    if (n == 0 || memchr(bytes, '\0', n) != NULL) {
        return len;
    }
    t->failed = hf_buf_append(&t->reply->headers, bytes, n, t->err);
    if (hf_ok(t->failed)) {
        t->failed = hf_buf_append(&t->reply->headers, "", 1, t->err);
    }
    return hf_ok(t->failed) ? len : 0;
}

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    (void)one;
    struct transfer *t = arg;
    long status = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->reply->status = (int)status;
    if (t->request->sink != NULL && status >= 200 && status < 300) {
        t->failed = t->request->sink(t->request->arg, t->reply, bytes, len, t->err);
        t->moved_at_us = now_us(); /* a slow sink is no stall of the peer */
    } else {
        t->failed = hf_buf_append(&t->reply->body, bytes, len, t->err);
    }
    return hf_ok(t->failed) ? len : len + 1;
}

static int on_progress(void *arg, curl_off_t total_down, curl_off_t down, curl_off_t total_up,
                       curl_off_t up)
{
    (void)total_down;
    (void)total_up;
    struct transfer *t = arg;
    int64_t now = now_us();
    if (down + up != t->moved) {
        t->moved = down + up;
        t->moved_at_us = now;
    } else if (now - t->moved_at_us > t->request->stall_timeout.us) {
        t->stalled = true;
        return 1;
    }
    return 0;
}

/* Called before each sending. curl itself repeats a request when a connection that it kept breaks
 * before an answer; the caller of a write has to know. */
static int on_send(void *arg, char *peer, char *own, int peer_port, int own_port)
{
    (void)peer;
    (void)own;
    (void)peer_port;
    (void)own_port;
    struct transfer *t = arg;
    t->times_sent++;
    return CURL_PREREQFUNC_OK;
}

static struct curl_slist *header_list(const char *const *headers)
{
    /* no "Expect: 100-continue" round trip; what a store refuses it refuses without */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    HF_ASSERT(list != NULL);
    for (; headers != NULL && *headers != NULL; headers++) {
        struct curl_slist *longer = curl_slist_append(list, *headers);
        HF_ASSERT(longer != NULL);
        list = longer;
    }
    return list;
}

static void set_method(CURL *easy, const struct hf_http_sync_request *r)
{
    if (strcmp(r->method, "HEAD") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(r->method, "GET") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(r->method, "PUT") == 0 || strcmp(r->method, "POST") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body_len > 0 ? r->body : "");
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
    }
}

static void set_options(struct hf_http_sync *pool, struct transfer *t, struct curl_slist *headers)
{
    CURL *easy = t->easy;
    const struct hf_http_sync_request *r = t->request;
    (void)curl_easy_setopt(easy, CURLOPT_URL, r->url);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER);
    (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (pool->ca != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, pool->ca);
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (pool->certificate != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, pool->certificate);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, pool->key);
    }
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)((r->connect_timeout.us + 999) / 1000));
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)((r->total_timeout.us + 999) / 1000));
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_send);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    set_method(easy, r);
}

static hf_result timed_out(const struct transfer *t, struct hf_err *err)
{
    curl_off_t connected_us = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    if (connected_us == 0) {
        return hf_fail(err, HF_E_UNREACHABLE, "no connection within %lld ms",
                       (long long)t->request->connect_timeout.us / 1000);
    }
    return hf_fail(err, HF_E_TIMEOUT, "no whole answer within %lld ms",
                   (long long)t->request->total_timeout.us / 1000);
}

/* What curl's result means to a caller who must know whether anything was sent. */
static hf_result judge(const struct transfer *t, CURLcode code, struct hf_err *err)
{
    if (!hf_ok(t->failed)) {
        return t->failed;
    }
    if (code == CURLE_OK) {
        return hf_done();
    }
    if (t->stalled) {
        return hf_fail(err, HF_E_TIMEOUT, "stalled: no byte moved for %lld ms",
                       (long long)t->request->stall_timeout.us / 1000);
    }
    const char *text = curl_easy_strerror(code);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return timed_out(t, err);
    }
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
        code == CURLE_SSL_CONNECT_ERROR) {
        return hf_fail(err, HF_E_UNREACHABLE, "%s", text);
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        return hf_fail(err, HF_E_DENIED, "TLS: the server's certificate is not trusted");
    }
    if (code == CURLE_SSL_CERTPROBLEM) {
        return hf_fail(err, HF_E_DENIED, "TLS: the client certificate or its key cannot be used");
    }
    if (code == CURLE_SSL_CACERT_BADFILE) {
        return hf_fail(err, HF_E_INVALID, "TLS: the ca file cannot be read");
    }
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
        return hf_fail(err, HF_E_INVALID, "not a usable URL");
    }
    return hf_fail(err, HF_E_TIMEOUT, "connection broke: %s", text);
}

hf_result hf_http_sync_perform(struct hf_http_sync *pool,
                               const struct hf_http_sync_request *request,
                               struct hf_http_sync_reply *reply, struct hf_err *err)
{
    hf_buf_reset(&reply->headers);
    hf_buf_reset(&reply->body);
    reply->status = 0;
    reply->resent = false;
    struct hf_err own = {0};
    struct transfer t = {
        .easy = take_handle(pool),
        .request = request,
        .reply = reply,
        .err = err == NULL ? &own : err,
        .failed = hf_done(),
        .moved_at_us = now_us(),
    };
    struct curl_slist *headers = header_list(request->headers);
    set_options(pool, &t, headers);
    CURLcode code = curl_easy_perform(t.easy);
    long status = 0;
    (void)curl_easy_getinfo(t.easy, CURLINFO_RESPONSE_CODE, &status);
    reply->status = (int)status;
    reply->resent = t.times_sent > 1;
    hf_result r = judge(&t, code, err);
    curl_slist_free_all(headers);
    give_handle(pool, t.easy);
    return r;
}
