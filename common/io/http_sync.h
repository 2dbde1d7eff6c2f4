/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocking HTTP for worker threads and the command line (libcurl's easy interface); the loop thread
 * uses http.h. Connections are kept and reused by a small pool.
 * Invariants: every call ends within its total timeout; nothing from the peer is taken unbounded
 * (headers, bodies in memory); redirects are not followed, proxies of the environment are ignored;
 * TLS is always verified. Thread safe.
 */
#ifndef HF_IO_HTTP_SYNC_H
#define HF_IO_HTTP_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "holdfast/types.h"

struct hf_http_sync; /* a pool of connections */

/* ca: PEM file of trust anchors, NULL = the system's; copied. HF_E_INVALID. */
hf_result hf_http_sync_new(const char *ca, struct hf_http_sync **ret,
                           struct hf_err *err) HF_MUST_USE;
/* Before the first call: PEM files of a client certificate and its key; copied. */
void hf_http_sync_set_client(struct hf_http_sync *pool, const char *certificate, const char *key);
void hf_http_sync_free(struct hf_http_sync *pool); /* NULL allowed; no call may be under way */

enum { HF_HTTP_SYNC_HEADERS_MAX = 32768 };

/* What came back. Reset at the start of each call; owned by the caller. */
struct hf_http_sync_reply {
    int status;  /* 0: no response */
    bool resent; /* a kept connection broke and the request was sent again on a new one: it
                    may have been carried out twice */
    struct hf_buf headers; /* "name: value" lines, each ended by a NUL */
    struct hf_buf body;    /* what did not go to the sink; its max is the bound */
};
#define HF_HTTP_SYNC_REPLY_INIT(body_max)                                                          \
    ((struct hf_http_sync_reply){.headers = HF_BUF_INIT(HF_HTTP_SYNC_HEADERS_MAX),                 \
                                 .body = HF_BUF_INIT(body_max)})
void hf_http_sync_reply_free(struct hf_http_sync_reply *reply);
#define HF_AUTOREPLY __attribute__((cleanup(hf_http_sync_reply_free)))
/* Value of a header (name in any case), NULL when there is none; borrowed. */
const char *hf_http_sync_header(const struct hf_http_sync_reply *reply, const char *name);

/* Receives the body of a 2xx response in pieces; status and headers of reply are complete then. A
 * failure ends the call with it. */
typedef hf_result (*hf_http_sync_sink)(void *arg, const struct hf_http_sync_reply *reply,
                                       const void *bytes, size_t len, struct hf_err *err);

struct hf_http_sync_request {
    const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated array */
    const void *body;           /* PUT and POST: borrowed for the call */
    size_t body_len;
    hf_dur connect_timeout; /* TCP and TLS together */
    hf_dur stall_timeout;   /* no byte in either direction for so long; seen within a second */
    hf_dur total_timeout;
    hf_http_sync_sink sink; /* NULL: all goes to reply->body */
    void *arg;
};

/* HF_OK: a whole response came, whatever its status. Otherwise:
 *   HF_E_UNREACHABLE  no connection or no TLS session: nothing was sent
 *   HF_E_DENIED       TLS: the peer's certificate was refused, or the own one cannot be used:
 *                     nothing was sent
 *   HF_E_TIMEOUT      sent, but no whole answer: a timeout, or the connection broke; the outcome of
 *                     a write is unknown
 *   HF_E_LIMIT        headers or body longer than allowed
 *   or the sink's own failure. */
hf_result hf_http_sync_perform(struct hf_http_sync *pool,
                               const struct hf_http_sync_request *request,
                               struct hf_http_sync_reply *reply, struct hf_err *err) HF_MUST_USE;

#endif
