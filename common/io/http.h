/* SPDX-License-Identifier: Apache-2.0
 *
 * Asynchronous HTTP client on the event loop (libcurl's multi interface by socket actions).
 * Invariants: never blocks the loop (names are resolved by curl's own threads); every call ends
 * within its total timeout, unless it is a stream, which ends by its stall timeout or cancel;
 * `done` is called exactly once for each started call, never from within hf_http_client_start, and
 * never after hf_http_call_cancel. Redirects are not followed; proxies of the environment are
 * ignored. Loop thread only.
 */
#ifndef HF_IO_HTTP_H
#define HF_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "holdfast/types.h"

struct hf_http_client; /* keeps connections alive between calls */
struct hf_http_call;

/* Make it at start: the first one in a process reads the system's trust anchors (some 20 ms).
 * max_calls: under way at once (1..256); more are refused with HF_E_LIMIT. */
hf_result hf_http_client_new(struct hf_loop *loop, int max_calls, struct hf_http_client **ret,
                             struct hf_err *err) HF_MUST_USE;
/* Cancels all calls. Not from a callback. NULL allowed. */
void hf_http_client_free(struct hf_http_client *client);

/* result:
 *   HF_OK             an HTTP response came, whatever its status
 *   HF_E_UNREACHABLE  no connection or no TLS session: nothing was sent
 *   HF_E_DENIED       TLS: the peer's or the own certificate was refused; nothing was sent
 *   HF_E_TIMEOUT      sent, no (whole) answer in time or the connection broke: outcome unknown
 *   HF_E_LIMIT        the response is longer than allowed
 *   HF_E_CANCELED     the chunk callback asked to stop
 * body is borrowed for the call, NUL-terminated besides ("" when streamed). */
struct hf_http_response {
    hf_result result;
    const struct hf_err *err; /* text when result is a failure */
    int status;               /* 0 without a response */
    const char *body;
    size_t len;
};
typedef void (*hf_http_done)(void *arg, const struct hf_http_response *response);
/* Receives pieces as they come, after the status is known; false ends the call. */
typedef bool (*hf_http_chunk)(void *arg, int status, const char *bytes, size_t len);

struct hf_http_client_request {
    const char *method;         /* NULL = GET */
    const char *url;            /* http:// or https:// */
    const char *const *headers; /* "Name: value" lines, NULL-terminated array, or NULL */
    const void *body;           /* copied */
    size_t body_len;
    hf_dur connect_timeout; /* TCP and TLS; 0 = 2 s */
    hf_dur total_timeout;   /* 0 = 10 s; ignored for streams */
    hf_dur stall_timeout;   /* streams: no byte for so long ends it with HF_E_TIMEOUT; 0 = never */
    const struct hf_tls_files *tls; /* NULL: the system's anchors, no client certificate */
    size_t max_response;            /* bytes; 0 = 1 MiB. Streams: no limit here */
    hf_http_chunk chunk;            /* not NULL = stream */
    hf_http_done done;              /* required */
    void *arg;
};

/* Copies all that it needs. HF_E_INVALID, HF_E_LIMIT. *ret is good until done is called. */
hf_result hf_http_client_start(struct hf_http_client *client,
                               const struct hf_http_client_request *request,
                               struct hf_http_call **ret, struct hf_err *err) HF_MUST_USE;
/* Ends it; done is not called. NULL allowed. Allowed in the chunk callback of the call itself. */
void hf_http_call_cancel(struct hf_http_call *call);

#endif
