/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/http_internal.h"

#include <curl/curl.h>
#include <string.h>

_Static_assert(HF_HTTP_ERROR_SIZE >= CURL_ERROR_SIZE, "room for curl's error text");

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
    struct hf_http_call *call = arg;
    n *= one;
    if (call->cancelled) {
        return 0;
    }
    if (call->stream) {
        if (call->stall != NULL) {
            hf_timer_after(call->stall, call->stall_timeout);
        }
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        if (!call->chunk(call->arg, (int)status, bytes, n)) {
            call->stopped = true;
            return 0;
        }
        return n;
    }
    if (!hf_ok(hf_buf_append(&call->response, bytes, n, NULL))) {
        call->too_long = true;
        return 0;
    }
    return n;
}

/* Called when the connection (TLS included) is made and the request is about to be sent. */
static int on_prerequest(void *arg, char *to, char *from, int to_port, int from_port)
{
    struct hf_http_call *call = arg;
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    /* curl sends again by itself when a kept connection breaks before an answer: the first sending
     * may have been carried out, so only a read may go twice. */
    if (call->connected && !call->repeatable) {
        return CURL_PREREQFUNC_ABORT;
    }
    call->connected = true;
    return CURL_PREREQFUNC_OK;
}

static long to_ms(hf_dur d, long otherwise)
{
    if (d.us <= 0) {
        return otherwise;
    }
    int64_t ms = (d.us + 999) / 1000;
    return ms > 86400000 ? 86400000 : (long)ms;
}

#define SET(call, option, value)                                                                   \
    do {                                                                                           \
        if (curl_easy_setopt((call)->easy, option, value) != CURLE_OK) {                           \
            return hf_fail(err, HF_E_INVALID, "%s: curl refuses %s", (call)->url, #option);        \
        }                                                                                          \
    } while (0)

static hf_result set_method(struct hf_http_call *call, const struct hf_http_client_request *request,
                            struct hf_err *err)
{
    const char *method = request->method == NULL ? "GET" : request->method;
    call->repeatable = strcmp(method, "HEAD") == 0 || strcmp(method, "GET") == 0;
    if (strcmp(method, "HEAD") == 0) {
        SET(call, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "GET") == 0 && request->body_len == 0) {
        SET(call, CURLOPT_HTTPGET, 1L);
    } else {
        SET(call, CURLOPT_POST, 1L);
        SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        SET(call, CURLOPT_POSTFIELDS, call->body);
        SET(call, CURLOPT_CUSTOMREQUEST, method);
    }
    return hf_done();
}

/* The system's anchors are shared instead of being read for each connection. */
static CURLcode use_system_anchors(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    (void)arg;
    return hf_tls_system_use(ssl_ctx) ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

static hf_result set_tls(struct hf_http_call *call, struct hf_err *err)
{
    SET(call, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(call, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(call, CURLOPT_SSL_VERIFYHOST, 2L);
    SET(call, CURLOPT_CAINFO, call->ca);
    SET(call, CURLOPT_CAPATH, NULL);
    if (call->ca == NULL) {
        SET(call, CURLOPT_SSL_CTX_FUNCTION, use_system_anchors);
    }
    if (call->certificate != NULL) {
        SET(call, CURLOPT_SSLCERT, call->certificate);
        SET(call, CURLOPT_SSLKEY, call->key);
    }
    return hf_done();
}

static hf_result set_headers(struct hf_http_call *call,
                             const struct hf_http_client_request *request, struct hf_err *err)
{
    /* No "Expect: 100-continue": it costs a round trip and some servers ignore it for a second. */
    call->headers = curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        if (strpbrk(request->headers[i], "\r\n") != NULL || i >= 64) {
            return hf_fail(err, HF_E_INVALID, "%s: header %zu has a line break, or too many",
                           call->url, i);
        }
        call->headers = curl_slist_append(call->headers, request->headers[i]);
    }
    HF_ASSERT(call->headers != NULL);
    SET(call, CURLOPT_HTTPHEADER, call->headers);
    return hf_done();
}

hf_result hf_http_call_setup(struct hf_http_call *call,
                             const struct hf_http_client_request *request, struct hf_err *err)
{
    if (strncmp(call->url, "http://", 7) != 0 && strncmp(call->url, "https://", 8) != 0) {
        return hf_fail(err, HF_E_INVALID, "'%s' is not an http:// or https:// URL", call->url);
    }
    call->easy = curl_easy_init();
    if (call->easy == NULL) {
        return hf_fail(err, HF_E_INTERNAL, "curl gives no handle");
    }
    SET(call, CURLOPT_URL, call->url);
    SET(call, CURLOPT_PRIVATE, (char *)call);
    SET(call, CURLOPT_ERRORBUFFER, call->error);
    SET(call, CURLOPT_WRITEFUNCTION, on_body);
    SET(call, CURLOPT_WRITEDATA, call);
    SET(call, CURLOPT_PREREQFUNCTION, on_prerequest);
    SET(call, CURLOPT_PREREQDATA, call);
    SET(call, CURLOPT_NOSIGNAL, 1L);
    SET(call, CURLOPT_NOPROXY, "*");
    SET(call, CURLOPT_PROXY, "");
    SET(call, CURLOPT_FOLLOWLOCATION, 0L);
    SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(call, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(call, CURLOPT_TCP_KEEPIDLE, 10L);
    SET(call, CURLOPT_TCP_KEEPINTVL, 5L);
    /* A resolver thread that hangs is left behind, never waited for on the loop. */
    SET(call, CURLOPT_QUICK_EXIT, 1L);
    SET(call, CURLOPT_CONNECTTIMEOUT_MS, to_ms(request->connect_timeout, 2000));
    SET(call, CURLOPT_TIMEOUT_MS, call->stream ? 0L : to_ms(request->total_timeout, 10000));
    HF_TRY(set_method(call, request, err));
    HF_TRY(set_tls(call, err));
    return set_headers(call, request, err);
}

static enum hf_code code_of(const struct hf_http_call *call, CURLcode code)
{
    if (call->stalled) {
        return HF_E_TIMEOUT;
    }
    if (call->stopped) {
        return HF_E_CANCELED;
    }
    if (call->too_long) {
        return HF_E_LIMIT;
    }
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return HF_E_DENIED;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HF_E_INVALID;
    default:
        return call->connected ? HF_E_TIMEOUT : HF_E_UNREACHABLE;
    }
}

hf_result hf_http_call_result(struct hf_http_call *call, int curl_code, struct hf_err *err)
{
    CURLcode code = (CURLcode)curl_code;
    if (code == CURLE_OK) {
        return hf_done();
    }
    const char *text = call->too_long                      ? "the response is longer than allowed"
                       : call->stopped                     ? "stopped by its reader"
                       : call->stalled                     ? "silent for too long"
                       : code == CURLE_ABORTED_BY_CALLBACK ? "the connection broke before an answer"
                       : call->error[0]                    ? call->error
                                                           : curl_easy_strerror(code);
    return hf_fail(err, code_of(call, code), "%s: %s", call->url, text);
}
