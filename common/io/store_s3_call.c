/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/fault.h"
#include "common/io/s3_time.h"

static const int64_t TOLERATED_SKEW_US = (int64_t)5 * 60 * 1000000;
enum { PAUSE_FIRST_MS = 50, PAUSE_MAX_MS = 5000, RETRY_AFTER_MAX_S = 10 };

void hf_s3_call_free(struct hf_s3_call *call)
{
    hf_http_sync_reply_free(&call->reply);
}

void hf_s3_call_query(struct hf_s3_call *call, const char *name, const char *value)
{
    HF_ASSERT(call->query_count < HF_S3_CALL_PAIRS);
    call->query[call->query_count++] = (struct hf_aws_pair){name, value};
}

void hf_s3_call_header(struct hf_s3_call *call, const char *name, const char *value)
{
    HF_ASSERT(call->header_count < HF_S3_CALL_PAIRS);
    call->headers[call->header_count++] = (struct hf_aws_pair){name, value};
}

static int64_t wall_us(void)
{
    struct timespec t;
    HF_ASSERT(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Over TLS the transport protects the body, and a second pass of SHA-256 is saved; Content-MD5 is
 * sent in both cases. */
static void hash_payload(const struct hf_s3_store *s, struct hf_s3_call *call)
{
    if (call->payload_hash[0] != '\0') {
        return;
    }
    if (s->tls) {
        (void)snprintf(call->payload_hash, sizeof call->payload_hash, HF_AWS_UNSIGNED_PAYLOAD);
        return;
    }
    uint8_t digest[HF_SHA256_SIZE];
    hf_sha256(call->body_len > 0 ? call->body : "", call->body_len, digest);
    hf_hex_encode(digest, sizeof digest, call->payload_hash);
}

/* What goes over the wire for one attempt. */
struct wire {
    struct hf_buf url;
    struct hf_buf path;
    struct hf_buf query;
    struct hf_buf authorization;
    struct hf_buf lines; /* the header lines, each ended by a NUL */
    size_t offsets[HF_AWS_PAIRS_MAX];
    size_t count;
};

static void wire_free(struct wire *w)
{
    if (w->lines.data != NULL) {
        hf_wipe(w->lines.data, w->lines.len); /* may hold a session token */
    }
    hf_buf_free(&w->url);
    hf_buf_free(&w->path);
    hf_buf_free(&w->query);
    hf_buf_free(&w->authorization);
    hf_buf_free(&w->lines);
}

static hf_result add_line(struct wire *w, const char *name, const char *value, struct hf_err *err)
{
    HF_ASSERT(w->count < HF_AWS_PAIRS_MAX);
    w->offsets[w->count++] = w->lines.len;
    HF_TRY(hf_buf_printf(&w->lines, err, "%s: %s", name, value));
    return hf_buf_append(&w->lines, "", 1, err);
}

static hf_result sign(const struct hf_s3_store *s, struct hf_s3_call *call, int64_t skew_us,
                      const struct hf_aws_credentials *credentials, struct wire *w,
                      struct hf_err *err)
{
    char stamp[HF_S3_STAMP_SIZE];
    hf_s3_stamp((hf_wall){wall_us() + skew_us}, stamp);
    struct hf_aws_pair headers[HF_AWS_PAIRS_MAX];
    size_t n = 0;
    headers[n++] = (struct hf_aws_pair){"host", s->host};
    headers[n++] = (struct hf_aws_pair){"x-amz-date", stamp};
    headers[n++] = (struct hf_aws_pair){"x-amz-content-sha256", call->payload_hash};
    if (credentials->token.len > 0) {
        headers[n++] =
            (struct hf_aws_pair){"x-amz-security-token", hf_secret_text(&credentials->token)};
    }
    for (size_t i = 0; i < call->header_count; i++) {
        headers[n++] = call->headers[i];
    }
    const struct hf_aws_sign request = {
        .method = call->method,
        .path = hf_buf_text(&w->path),
        .query = hf_buf_text(&w->query),
        .headers = headers,
        .header_count = n,
        .payload_hash = call->payload_hash,
        .service = "s3",
        .region = s->region,
        .stamp = stamp,
        .credentials = credentials,
    };
    HF_TRY(hf_aws_sign(&request, &w->authorization, err));
    for (size_t i = 0; i < n; i++) {
        HF_TRY(add_line(w, headers[i].name, headers[i].value, err));
    }
    return add_line(w, "authorization", hf_buf_text(&w->authorization), err);
}

static hf_result build(struct hf_s3_store *s, struct hf_s3_call *call, struct wire *w,
                       struct hf_err *err)
{
    w->url = HF_BUF_INIT(HF_AWS_TEXT_MAX * 2);
    w->path = HF_BUF_INIT(HF_AWS_TEXT_MAX);
    w->query = HF_BUF_INIT(HF_AWS_TEXT_MAX);
    w->authorization = HF_BUF_INIT(4096);
    w->lines = HF_BUF_INIT(HF_AWS_TEXT_MAX * 2);
    HF_TRY(hf_buf_printf(&w->path, err, "%s/", s->root));
    HF_TRY(hf_aws_encode(call->key == NULL ? "" : call->key, true, &w->path, err));
    HF_TRY(hf_aws_query(call->query, call->query_count, &w->query, err));
    HF_TRY(hf_buf_printf(&w->url, err, "%s%s%s%s", s->url, hf_buf_text(&w->path),
                         call->query_count > 0 ? "?" : "", hf_buf_text(&w->query)));
    hash_payload(s, call);
    __attribute__((cleanup(hf_aws_credentials_free))) struct hf_aws_credentials credentials = {0};
    (void)pthread_mutex_lock(&s->lock);
    hf_secret_copy(&credentials.id, &s->credentials.id);
    hf_secret_copy(&credentials.key, &s->credentials.key);
    hf_secret_copy(&credentials.token, &s->credentials.token);
    int64_t skew_us = s->skew_us;
    (void)pthread_mutex_unlock(&s->lock);
    return sign(s, call, skew_us, &credentials, w, err);
}

static hf_result send_request(struct hf_s3_store *s, struct hf_s3_call *call, struct hf_err *err)
{
    HF_FAULT("s3.request", err);
    __attribute__((cleanup(wire_free))) struct wire w = {0};
    HF_TRY(build(s, call, &w, err));
    const char *lines[HF_AWS_PAIRS_MAX + 2];
    for (size_t i = 0; i < w.count; i++) {
        lines[i] = w.lines.data + w.offsets[i];
    }
    lines[w.count] = call->body == NULL ? NULL : "Content-Type: application/octet-stream";
    lines[w.count + 1] = NULL;
    const struct hf_http_sync_request request = {
        .method = call->method,
        .url = hf_buf_text(&w.url),
        .headers = lines,
        .body = call->body,
        .body_len = call->body_len,
        .connect_timeout = s->connect_timeout,
        .stall_timeout = s->stall_timeout,
        .total_timeout = s->total_timeout,
        .sink = call->sink,
        .arg = call->sink_arg,
    };
    return hf_http_sync_perform(s->http, &request, &call->reply, err);
}

static bool code_is(const struct hf_s3_call *call, const char *code)
{
    return strcmp(call->error.code, code) == 0;
}

static bool code_in(const struct hf_s3_call *call, const char *const *codes)
{
    for (; *codes != NULL; codes++) {
        if (code_is(call, *codes)) {
            return true;
        }
    }
    return false;
}

/* Whether a refusal is about our clock. The answer to HEAD has no body to say so: then the Date
 * header does, when it is further away than S3 tolerates. */
static bool skewed(struct hf_s3_store *s, const struct hf_s3_call *call)
{
    if (call->error.code[0] != '\0') {
        return code_is(call, "RequestTimeTooSkewed");
    }
    hf_wall theirs;
    const char *date = hf_http_sync_header(&call->reply, "date");
    if (date == NULL || !hf_ok(hf_s3_time_parse(date, &theirs, NULL))) {
        return false;
    }
    (void)pthread_mutex_lock(&s->lock);
    int64_t apart = theirs.us - wall_us() - s->skew_us;
    (void)pthread_mutex_unlock(&s->lock);
    return apart > TOLERATED_SKEW_US || apart < -TOLERATED_SKEW_US;
}

/* The server says that our clock is wrong: from now on its own is used. */
static bool correct_clock(struct hf_s3_store *s, struct hf_s3_call *call)
{
    hf_wall theirs;
    const char *date = hf_http_sync_header(&call->reply, "date");
    if (call->skew_tried || date == NULL || !hf_ok(hf_s3_time_parse(date, &theirs, NULL))) {
        return false;
    }
    call->skew_tried = true;
    (void)pthread_mutex_lock(&s->lock);
    s->skew_us = theirs.us - wall_us();
    (void)pthread_mutex_unlock(&s->lock);
    return true;
}

static bool same_secret(const struct hf_secret *a, const struct hf_secret *b)
{
    return a->len == b->len && hf_crypto_equal(hf_secret_text(a), hf_secret_text(b), a->len);
}

/* Credentials were refused: true when the file has others now. */
static bool reload_credentials(struct hf_s3_store *s, struct hf_s3_call *call)
{
    __attribute__((cleanup(hf_aws_credentials_free))) struct hf_aws_credentials fresh = {0};
    if (call->credentials_tried ||
        !hf_ok(hf_aws_credentials_read(s->credentials_path, &fresh, NULL))) {
        return false;
    }
    call->credentials_tried = true;
    (void)pthread_mutex_lock(&s->lock);
    bool changed = !same_secret(&fresh.id, &s->credentials.id) ||
                   !same_secret(&fresh.key, &s->credentials.key) ||
                   !same_secret(&fresh.token, &s->credentials.token);
    if (changed) {
        struct hf_aws_credentials old = s->credentials;
        s->credentials = fresh;
        fresh = old;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return changed;
}

static bool transient(const struct hf_s3_call *call)
{
    static const char *const CODES[] = {"SlowDown",
                                        "RequestTimeout",
                                        "InternalError",
                                        "ServiceUnavailable",
                                        "OperationAborted",
                                        "ConditionalRequestConflict",
                                        "BadDigest",
                                        "XAmzContentSHA256Mismatch",
                                        "Throttling",
                                        "ThrottlingException",
                                        "RequestLimitExceeded",
                                        NULL};
    int status = call->reply.status;
    return status == 408 || status == 409 || status == 429 || status == 500 || status == 502 ||
           status == 503 || status == 504 || code_in(call, CODES);
}

/* Text of an answer that is not the wanted one. */
static hf_result answer(const struct hf_s3_call *call, enum hf_code code, const char *meaning,
                        struct hf_err *err)
{
    return hf_fail(err, code, "%s (HTTP %d%s%s%s%s)", meaning, call->reply.status,
                   call->error.code[0] != '\0' ? " " : "", call->error.code,
                   call->error.message[0] != '\0' ? ": " : "", call->error.message);
}

static enum hf_s3_verdict judge_404(const struct hf_s3_call *call, struct hf_err *err)
{
    if (code_is(call, "NoSuchKey")) {
        (void)answer(call, HF_E_NOT_FOUND, "does not exist", err);
    } else if (code_is(call, "NoSuchUpload")) {
        (void)answer(call, HF_E_NOT_FOUND, "the multipart upload does not exist", err);
    } else if (code_is(call, "NoSuchBucket")) {
        (void)answer(call, HF_E_INVALID, "the bucket does not exist", err);
    } else {
        /* not a store's word about this object: never "absent" */
        (void)answer(call, HF_E_INVALID, "not an answer of an S3 store about this object", err);
    }
    return HF_S3_FAILED;
}

static const char *const REFUSED[] = {"InvalidAccessKeyId", "ExpiredToken", "InvalidToken",
                                      "SignatureDoesNotMatch", NULL};

static enum hf_s3_verdict judge_denied(struct hf_s3_store *s, struct hf_s3_call *call,
                                       struct hf_err *err)
{
    if (skewed(s, call)) {
        (void)answer(call, HF_E_DENIED, "this host's clock differs from the store's", err);
        return correct_clock(s, call) ? HF_S3_RETRY_NOW : HF_S3_FAILED;
    }
    (void)answer(call, HF_E_DENIED, "refused: check credentials and permissions", err);
    if (code_in(call, REFUSED) && reload_credentials(s, call)) {
        return HF_S3_RETRY_NOW;
    }
    return HF_S3_FAILED;
}

static enum hf_s3_verdict judge(struct hf_s3_store *s, struct hf_s3_call *call, struct hf_err *err)
{
    int status = call->reply.status;
    if (status == 403 || status == 401 || (status == 400 && code_in(call, REFUSED))) {
        return judge_denied(s, call, err);
    }
    if (transient(call)) {
        call->unknown = call->unknown || status == 500 || status == 502 || status == 504;
        (void)answer(call, HF_E_AGAIN, "the store asks to try again", err);
        return HF_S3_RETRY;
    }
    if (status == 404) {
        return judge_404(call, err);
    }
    if (status == 412) {
        (void)answer(call, HF_E_EXISTS, "exists already", err);
    } else if (status == 416) {
        (void)answer(call, HF_E_CORRUPT, "the range is beyond the object's end", err);
    } else if (status == 501) {
        (void)answer(call, HF_E_UNSUPPORTED, "the store cannot do this", err);
    } else if (status >= 300 && status < 400) {
        (void)answer(call, HF_E_INVALID, "the store sends us elsewhere: check endpoint and region",
                     err);
    } else if (status == 400) {
        (void)answer(call, HF_E_INVALID, "the store does not accept the request", err);
    } else {
        (void)answer(call, HF_E_IO, "unexpected answer", err);
    }
    return HF_S3_FAILED;
}

enum hf_s3_verdict hf_s3_attempt(struct hf_s3_store *s, struct hf_s3_call *call, struct hf_err *err)
{
    call->error = (struct hf_s3_error){0};
    struct hf_err own = {0};
    struct hf_err *e = err == NULL ? &own : err;
    hf_result r = send_request(s, call, e);
    call->unknown = call->unknown || call->reply.resent;
    if (!hf_ok(r)) {
        if (call->sink_failed) {
            return HF_S3_FAILED;
        }
        call->unknown = call->unknown || r.code == HF_E_TIMEOUT;
        return r.code == HF_E_TIMEOUT || r.code == HF_E_UNREACHABLE ? HF_S3_RETRY : HF_S3_FAILED;
    }
    int status = call->reply.status;
    bool success = status >= 200 && status < 300;
    if (!success || call->error_in_200) {
        bool is_error =
            hf_s3_error_parse(hf_buf_text(&call->reply.body), call->reply.body.len, &call->error);
        if (success && is_error) {
            (void)answer(call, transient(call) ? HF_E_AGAIN : HF_E_IO,
                         "the store began with success and then failed", e);
            call->unknown = true;
            return transient(call) ? HF_S3_RETRY : HF_S3_FAILED;
        }
    }
    return success ? HF_S3_DONE : judge(s, call, e);
}

void hf_s3_pause(const struct hf_s3_call *call, int attempt)
{
    int64_t ms = PAUSE_FIRST_MS;
    for (int i = 1; i < attempt && ms < PAUSE_MAX_MS; i++) {
        ms *= 2;
    }
    ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
    uint32_t noise = 0;
    hf_random(&noise, sizeof noise);
    ms = ms / 2 + (int64_t)(noise % (uint32_t)(ms / 2 + 1));
    const char *wanted = hf_http_sync_header(&call->reply, "retry-after");
    if (wanted != NULL && call->reply.status != 0) {
        long seconds = strtol(wanted, NULL, 10);
        seconds = seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S;
        ms = seconds * 1000 > ms ? seconds * 1000 : ms;
    }
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
    }
}

hf_result hf_s3_perform(struct hf_s3_store *s, struct hf_s3_call *call, struct hf_err *err)
{
    struct hf_err own = {0};
    struct hf_err *e = err == NULL ? &own : err;
    for (int attempt = 1;;) {
        enum hf_s3_verdict v = hf_s3_attempt(s, call, e);
        if (v == HF_S3_DONE) {
            return hf_done();
        }
        if (v == HF_S3_FAILED) {
            return (hf_result){e->code};
        }
        if (v == HF_S3_RETRY_NOW) {
            continue;
        }
        if (attempt == s->attempts) {
            if (call->unknown) {
                e->code = HF_E_TIMEOUT;
            }
            return hf_fail_context(e, "given up after %d attempts", attempt);
        }
        hf_s3_pause(call, attempt++);
    }
}
