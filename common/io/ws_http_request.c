/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/ws_http_internal.h"

#include <libwebsockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 32768, HEAD_BYTES = 8192, WRITE_TIMEOUT_SECONDS = 30 };

const char *hf_http_method(const struct hf_http_request *r)
{
    return r->method;
}

const char *hf_http_path(const struct hf_http_request *r)
{
    return r->path;
}

const char *hf_http_query(const struct hf_http_request *r)
{
    return r->query;
}

const char *hf_http_if_match(const struct hf_http_request *r)
{
    return r->if_match;
}

const char *hf_http_if_none_match(const struct hf_http_request *r)
{
    return r->if_none_match;
}

const char *hf_http_peer_uri(const struct hf_http_request *r)
{
    return r->uri;
}

const char *hf_http_peer_address(const struct hf_http_request *r)
{
    return r->address;
}

const char *hf_http_body(const struct hf_http_request *r, size_t *ret_len)
{
    *ret_len = r->body.len;
    return hf_buf_text(&r->body);
}

bool hf_http_gone(const struct hf_http_request *r)
{
    if (r->wsi == NULL) {
        return true;
    }
    /* Nothing is read while the answer is awaited, so the end of the connection is looked for. */
    struct pollfd fd = {.fd = lws_get_socket_fd(r->wsi), .events = POLLRDHUP};
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static hf_result decode(const char *text, size_t len, char *ret, size_t size, struct hf_err *err)
{
    HF_BUF(decoded, HF_HTTP_QUERY_SIZE);
    for (size_t i = 0; i < len; i++) {
        char c = text[i] == '+' ? ' ' : text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex(text[i + 1]) : -1;
            int low = high < 0 ? -1 : hex(text[i + 2]);
            if (low < 0 || high * 16 + low == 0) {
                return hf_fail(err, HF_E_INVALID, "the query has a malformed %%-code");
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        HF_TRY(hf_buf_append(&decoded, &c, 1, err));
    }
    if (decoded.len >= size) {
        return hf_fail(err, HF_E_LIMIT, "query argument of %zu bytes, allowed are %zu", decoded.len,
                       size - 1);
    }
    memcpy(ret, hf_buf_text(&decoded), decoded.len + 1);
    return hf_done();
}

hf_result hf_http_query_get(const struct hf_http_request *r, const char *name, char *ret,
                            size_t size, struct hf_err *err)
{
    size_t n = strlen(name);
    for (const char *p = r->query; *p != '\0';) {
        size_t len = strcspn(p, "&");
        if (len >= n && strncmp(p, name, n) == 0 && (len == n || p[n] == '=')) {
            size_t skip = len == n ? n : n + 1;
            return decode(p + skip, len - skip, ret, size, err);
        }
        p += len + (p[len] == '&');
    }
    return hf_fail(err, HF_E_NOT_FOUND, "the query has no '%s'", name);
}

hf_result hf_http_set_header(struct hf_http_request *r, const char *name, const char *value,
                             struct hf_err *err)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == ':') {
            return hf_fail(err, HF_E_INVALID, "header name with a character that is not allowed");
        }
    }
    for (const char *p = value; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            return hf_fail(err, HF_E_INVALID, "header %s: control characters are not allowed",
                           name);
        }
    }
    if (r->header_count == HF_HTTP_HEADERS_MAX || strlen(name) > 64 || strlen(value) > 1024) {
        return hf_fail(err, HF_E_LIMIT, "header %.64s: at most %d headers, values of 1024 bytes",
                       name, HF_HTTP_HEADERS_MAX);
    }
    struct hf_http_header *h = &r->headers[r->header_count++];
    size_t n = strlen(name);
    h->name = hf_alloc(n + 2);
    memcpy(h->name, name, n);
    h->name[n] = ':';
    h->value = hf_strdup(value);
    return hf_done();
}

void hf_http_request_free(struct hf_http_request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        hf_free(r->headers[i].name);
        hf_free(r->headers[i].value);
    }
    hf_buf_free(&r->body);
    hf_free(r->response);
    hf_free(r);
}

static void answer(struct hf_http_request *r, int status, const char *content_type,
                   const void *body, size_t len)
{
    r->answered = true;
    if (r->wsi == NULL) {
        hf_http_request_free(r);
        return;
    }
    r->status = status;
    snprintf(r->content_type, sizeof(r->content_type), "%s", content_type);
    r->response = hf_alloc(LWS_PRE + len + 1);
    if (len > 0) {
        memcpy(r->response + LWS_PRE, body, len);
    }
    r->response_len = len;
    lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WRITE_TIMEOUT_SECONDS);
    lws_rx_flow_control(r->wsi, 1); /* without it libwebsockets would not let us write either */
    lws_callback_on_writable(r->wsi);
}

void hf_http_refuse(struct hf_http_request *r, int status, const char *text)
{
    char body[256];
    int n = snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", text);
    answer(r, status, "application/json", body, (size_t)n);
}

void hf_http_respond(struct hf_http_request *r, int status, const char *content_type,
                     const void *body, size_t len)
{
    HF_ASSERT(r->handed && !r->answered);
    HF_ASSERT(status >= 200 && status <= 599);
    r->server->waiting--;
    if (len > HF_HTTP_RESPONSE_MAX) {
        hf_http_refuse(r, 500, "the response would be too long");
        return;
    }
    answer(r, status, content_type, body, len);
}

static int write_head(struct hf_http_request *r)
{
    unsigned char head[LWS_PRE + HEAD_BYTES + HF_HTTP_HEADERS_MAX * 1200];
    unsigned char *p = head + LWS_PRE;
    unsigned char *end = head + sizeof(head) - 1;
    if (lws_add_http_common_headers(r->wsi, (unsigned)r->status, r->content_type, r->response_len,
                                    &p, end) != 0) {
        return -1;
    }
    for (size_t i = 0; i < r->header_count; i++) {
        const struct hf_http_header *h = &r->headers[i];
        if (lws_add_http_header_by_name(r->wsi, (const unsigned char *)h->name,
                                        (const unsigned char *)h->value, (int)strlen(h->value), &p,
                                        end) != 0) {
            return -1;
        }
    }
    if (lws_finalize_write_http_header(r->wsi, head + LWS_PRE, &p, end) != 0) {
        return -1;
    }
    r->headers_sent = true;
    return 0;
}

static int complete(struct hf_http_request *r)
{
    struct lws *wsi = r->wsi;
    lws_set_opaque_user_data(wsi, NULL);
    /* A refused request may have left a body unread: this connection cannot go on. */
    bool again = r->handed;
    hf_http_request_free(r);
    return lws_http_transaction_completed(wsi) != 0 || !again ? -1 : 0;
}

int hf_http_write(struct hf_http_request *r)
{
    bool bodyless = r->head || r->response_len == 0;
    if (!r->headers_sent) {
        if (write_head(r) != 0) {
            return -1;
        }
        if (!bodyless) {
            lws_callback_on_writable(r->wsi);
            return 0;
        }
        return complete(r);
    }
    size_t left = r->response_len - r->response_sent;
    size_t n = left < PIECE ? left : PIECE;
    /* libwebsockets writes its own framing before the bytes, over what was sent already. */
    unsigned char *at = (unsigned char *)r->response + LWS_PRE + r->response_sent;
    enum lws_write_protocol how = n == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP;
    if (lws_write(r->wsi, at, n, how) < (int)n) {
        return -1;
    }
    r->response_sent += n;
    lws_set_timeout(r->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WRITE_TIMEOUT_SECONDS);
    if (n == left) {
        return complete(r);
    }
    lws_callback_on_writable(r->wsi);
    return 0;
}
