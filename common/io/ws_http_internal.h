/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of the HTTP server; ws_http*.c only.
 */
#ifndef HF_IO_WS_HTTP_INTERNAL_H
#define HF_IO_WS_HTTP_INTERNAL_H

#include "common/io/ws_http.h"
#include "common/io/ws_internal.h"

enum { HF_HTTP_HEADERS_MAX = 16, HF_HTTP_HEADER_BYTES = 4096 };

struct hf_http_server {
    struct hf_ws_endpoint *endpoint;
    hf_http_handler handler;
    void *arg;
    enum hf_http_client_cert client_cert;
    bool tls;
    int port;
    int waiting;
};

struct hf_http_header {
    char *name; /* with the colon, as libwebsockets wants it */
    char *value;
};

/* Two owners: the connection (wsi != NULL) and the handler (handed && !answered). The last one to
 * let go frees it. */
struct hf_http_request {
    struct hf_http_server *server;
    struct lws *wsi; /* NULL = the client has gone */
    bool handed;
    bool answered;
    bool head;
    char method[12];
    char path[HF_HTTP_PATH_SIZE];
    char query[HF_HTTP_QUERY_SIZE];
    char if_match[HF_HTTP_MATCH_SIZE];
    char if_none_match[HF_HTTP_MATCH_SIZE];
    char uri[HF_TLS_URI_SIZE];
    char address[64];
    struct hf_buf body;
    /* the response */
    int status;
    char content_type[128];
    struct hf_http_header headers[HF_HTTP_HEADERS_MAX];
    size_t header_count;
    char *response;
    size_t response_len;
    size_t response_sent;
    bool headers_sent;
};

void hf_http_request_free(struct hf_http_request *r);
/* Writes the next piece of the response; libwebsockets' return code. */
int hf_http_write(struct hf_http_request *r);
/* A response of our own to a request that the handler does not get. */
void hf_http_refuse(struct hf_http_request *r, int status, const char *text);

#endif
