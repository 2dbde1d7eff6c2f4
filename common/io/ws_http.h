/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 server, in the same hub as the websockets: the users' API (TLS, client certificate by
 * default) and the agent's health endpoints (plain). Refuses websocket upgrades: agents have their
 * own port.
 * Invariants: each request is handed to the handler once, with its whole body; it is answered by
 * exactly one hf_http_respond, at once or later from any callback of the loop; answering after the
 * client has gone is safe and frees the request. Bodies, headers and waiting requests are bounded
 * (413, 431 and 503 are sent without the handler). Loop thread only.
 */
#ifndef HF_IO_WS_HTTP_H
#define HF_IO_WS_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/io/tls.h"
#include "common/io/ws.h"

enum {
    HF_HTTP_BODY_MAX = 1048576,      /* of a request */
    HF_HTTP_RESPONSE_MAX = 16777216, /* of a response */
    HF_HTTP_PATH_SIZE = 1024,
    HF_HTTP_QUERY_SIZE = 2048,
    HF_HTTP_MATCH_SIZE = 64,   /* of If-Match and If-None-Match */
    HF_HTTP_WAITING_MAX = 1024 /* requests of one server without a response */
};

struct hf_http_server;
struct hf_http_request;

enum hf_http_client_cert {
    HF_HTTP_CERT_REQUIRED, /* no verified certificate with a URI name: no connection */
    HF_HTTP_CERT_OPTIONAL  /* the peer's name is "" without one */
};

struct hf_http_server_config {
    const char *listen;             /* "127.0.1.1:7444", port 0 = any free one */
    const struct hf_tls_files *tls; /* NULL = plain HTTP */
    enum hf_http_client_cert client_cert;
};

/* Owns the request from here on until it responds. */
typedef void (*hf_http_handler)(void *arg, struct hf_http_request *request);

hf_result hf_http_server_new(struct hf_ws_hub *hub, const struct hf_http_server_config *config,
                             hf_http_handler handler, void *arg, struct hf_http_server **ret,
                             struct hf_err *err) HF_MUST_USE;
int hf_http_server_port(const struct hf_http_server *server);

/* Valid until hf_http_respond. */
const char *
hf_http_method(const struct hf_http_request *r); /* GET POST PUT PATCH DELETE HEAD OPTIONS */
const char *hf_http_path(const struct hf_http_request *r);  /* percent-decoded, begins with '/' */
const char *hf_http_query(const struct hf_http_request *r); /* without '?', encoded anew; "" */
/* One decoded argument of the query. HF_E_NOT_FOUND, HF_E_LIMIT (longer than size), HF_E_INVALID.
 */
hf_result hf_http_query_get(const struct hf_http_request *r, const char *name, char *ret,
                            size_t size, struct hf_err *err) HF_MUST_USE;
/* Preconditions as sent; "" = not given. */
const char *hf_http_if_match(const struct hf_http_request *r);
const char *hf_http_if_none_match(const struct hf_http_request *r);
const char *hf_http_peer_uri(const struct hf_http_request *r); /* "" = no certificate */
const char *hf_http_peer_address(const struct hf_http_request *r);
const char *hf_http_body(const struct hf_http_request *r, size_t *ret_len); /* NUL-terminated */
/* True when nobody waits for the answer any more; respond all the same. */
bool hf_http_gone(const struct hf_http_request *r);

/* One more header for the response; at most 16, names and values checked for control characters
 * (HF_E_INVALID), before hf_http_respond. */
hf_result hf_http_set_header(struct hf_http_request *r, const char *name, const char *value,
                             struct hf_err *err) HF_MUST_USE;
/* Answers and frees r. The body is copied (at most HF_HTTP_RESPONSE_MAX, else 500 is sent). For
 * HEAD the length is announced and the body kept back. */
void hf_http_respond(struct hf_http_request *r, int status, const char *content_type,
                     const void *body, size_t len);

#endif
