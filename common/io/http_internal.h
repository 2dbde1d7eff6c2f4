/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of the asynchronous HTTP client that http.c and http_easy.c share; http*.c only.
 */
#ifndef HF_IO_HTTP_INTERNAL_H
#define HF_IO_HTTP_INTERNAL_H

#include "common/base/buf.h"
#include "common/io/http.h"

struct curl_slist;

enum { HF_HTTP_ERROR_SIZE = 256 }; /* CURL_ERROR_SIZE */

struct hf_http_call {
    struct hf_http_client *client;
    void *easy; /* CURL */
    struct curl_slist *headers;
    char *url;
    char *body;
    char *ca;
    char *certificate;
    char *key;
    struct hf_buf response;
    struct hf_timer *stall; /* streams with a stall timeout */
    hf_dur stall_timeout;
    bool connected;  /* the request began to go out: its outcome may be unknown */
    bool repeatable; /* a read: may be sent again */
    bool stream;
    bool too_long;
    bool stopped; /* the chunk callback said so */
    bool stalled;
    bool cancelled; /* within a callback of curl: ended as soon as curl is left */
    bool failed;    /* never reached curl (fault point) */
    hf_http_chunk chunk;
    hf_http_done done;
    void *arg;
    char error[HF_HTTP_ERROR_SIZE];
    struct hf_http_call *next;
    struct hf_http_call *prev;
};

/* Makes the curl handle of a call whose fields are set. */
hf_result hf_http_call_setup(struct hf_http_call *call,
                             const struct hf_http_client_request *request,
                             struct hf_err *err) HF_MUST_USE;
/* What a finished transfer means; fills err on failure. */
hf_result hf_http_call_result(struct hf_http_call *call, int curl_code, struct hf_err *err);

#endif
