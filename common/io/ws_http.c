/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/ws_http.h"

#include "common/base/mem.h"
#include "common/io/log.h"
#include "common/io/ws_http_internal.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int method;
} methods[] = {{"GET", LWSHUMETH_GET},  {"POST", LWSHUMETH_POST},   {"OPTIONS", LWSHUMETH_OPTIONS},
               {"PUT", LWSHUMETH_PUT},  {"PATCH", LWSHUMETH_PATCH}, {"DELETE", LWSHUMETH_DELETE},
               {"HEAD", LWSHUMETH_HEAD}};

/* libwebsockets decodes arguments and keeps them as fragments: put together anew, encoded where
 * that matters for taking it apart again. */
static hf_result read_query(struct lws *wsi, char *ret, size_t size, struct hf_err *err)
{
    HF_BUF(query, size - 1);
    char fragment[HF_HTTP_QUERY_SIZE];
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(wsi, fragment, sizeof(fragment), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n == -2 || (n < 0 && lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0)) {
            return hf_fail(err, HF_E_LIMIT, "query longer than %zu bytes", size - 1);
        }
        if (n < 0 || (n == 0 && lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) == 0)) {
            break;
        }
        if (i > 0) {
            HF_TRY(hf_buf_append(&query, "&", 1, err));
        }
        bool name = true;
        for (int k = 0; k < n; k++) {
            unsigned char c = (unsigned char)fragment[k];
            bool plain = c > ' ' && c < 0x7f && strchr("%&+#", c) == NULL && (name || c != '=');
            if (plain) {
                HF_TRY(hf_buf_append(&query, &fragment[k], 1, err));
            } else {
                HF_TRY(hf_buf_printf(&query, err, "%%%02X", (unsigned)c));
            }
            name = name && c != '=';
        }
    }
    snprintf(ret, size, "%s", hf_buf_text(&query));
    return hf_done();
}

static hf_result read_peer(struct hf_http_request *r, struct hf_err *err)
{
    lws_get_peer_simple(r->wsi, r->address, sizeof(r->address));
    if (!r->server->tls) {
        return hf_done();
    }
    hf_result named = hf_tls_peer_uri(lws_get_ssl(r->wsi), r->uri, sizeof(r->uri), err);
    if (!hf_ok(named) && r->server->client_cert == HF_HTTP_CERT_OPTIONAL) {
        r->uri[0] = '\0';
        return hf_done();
    }
    return named;
}

static bool read_match(struct lws *wsi, enum lws_token_indexes token, char ret[HF_HTTP_MATCH_SIZE])
{
    return lws_hdr_total_length(wsi, token) == 0 ||
           lws_hdr_copy(wsi, ret, HF_HTTP_MATCH_SIZE, token) > 0;
}

/* 0, or the status of a refusal with *ret_why. */
static int read_request(struct hf_http_request *r, const char **ret_why)
{
    char *uri = NULL;
    int uri_len = 0;
    int method = lws_http_get_uri_and_method(r->wsi, &uri, &uri_len);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (methods[i].method == method) {
            snprintf(r->method, sizeof(r->method), "%s", methods[i].name);
        }
    }
    r->head = method == LWSHUMETH_HEAD;
    struct hf_err err = {0};
    *ret_why = "this method is not known here";
    if (r->method[0] == '\0' || uri == NULL) {
        return 501;
    }
    *ret_why = "the path or the query is too long";
    if ((size_t)uri_len >= sizeof(r->path) ||
        !hf_ok(read_query(r->wsi, r->query, sizeof(r->query), &err))) {
        return 414;
    }
    memcpy(r->path, uri, (size_t)uri_len);
    r->path[uri_len] = '\0';
    *ret_why = "a client certificate with one URI name is needed";
    if (!hf_ok(read_peer(r, &err))) {
        return 403;
    }
    *ret_why = "a body needs a Content-Length";
    if (lws_hdr_total_length(r->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        return 411;
    }
    *ret_why = "a precondition is too long";
    if (!read_match(r->wsi, WSI_TOKEN_HTTP_IF_MATCH, r->if_match) ||
        !read_match(r->wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, r->if_none_match)) {
        return 431;
    }
    *ret_why = "too many requests wait";
    return r->server->waiting >= HF_HTTP_WAITING_MAX ? 503 : 0;
}

static void hand_over(struct hf_http_request *r)
{
    lws_set_timeout(r->wsi, NO_PENDING_TIMEOUT, 0); /* the handler may take its time */
    /* libwebsockets 4.1.6 neither reads nor stops polling while an answer is awaited: a client that
     * sends more or goes away would make it spin. */
    lws_rx_flow_control(r->wsi, 0);
    r->handed = true;
    r->server->waiting++;
    r->server->handler(r->server->arg, r);
}

static int begin(struct hf_http_server *server, struct lws *wsi)
{
    struct hf_http_request *r = hf_alloc(sizeof(*r));
    r->server = server;
    r->wsi = wsi;
    r->body = HF_BUF_INIT(HF_HTTP_BODY_MAX);
    lws_set_opaque_user_data(wsi, r);
    const char *why = NULL;
    int refused = read_request(r, &why);
    char length[24] = "";
    (void)lws_hdr_copy(wsi, length, sizeof(length), WSI_TOKEN_HTTP_CONTENT_LENGTH);
    unsigned long long body = strtoull(length, NULL, 10);
    if (refused == 0 && body > HF_HTTP_BODY_MAX) {
        refused = 413;
        why = "the body is too long";
    }
    if (refused != 0) {
        hf_http_refuse(r, refused, why);
    } else if (body == 0) {
        hand_over(r);
    }
    return 0;
}

static int take_body(struct hf_http_request *r, const char *bytes, size_t len)
{
    if (r->handed || r->answered) {
        return 0; /* refused: read and dropped */
    }
    return hf_ok(hf_buf_append(&r->body, bytes, len, NULL)) ? 0 : -1;
}

static void connection_ended(struct hf_http_request *r)
{
    lws_set_opaque_user_data(r->wsi, NULL);
    r->wsi = NULL;
    if (!r->handed || r->answered) {
        hf_http_request_free(r);
    }
}

static int handle(struct hf_http_server *server, struct lws *wsi, enum lws_callback_reasons reason,
                  void *in, size_t len)
{
    struct hf_http_request *r = lws_get_opaque_user_data(wsi);
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
        if (r != NULL) {
            return -1; /* a second request before the answer to the first */
        }
        return begin(server, wsi);
    case LWS_CALLBACK_HTTP_BODY:
        return r == NULL ? 0 : take_body(r, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        if (r != NULL && !r->handed && !r->answered) {
            hand_over(r);
        }
        return 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return r == NULL || !r->answered ? 0 : hf_http_write(r);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_WSI_DESTROY:
        if (r != NULL) {
            connection_ended(r);
        }
        return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: /* a websocket: agents have their own port */
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return -1;
    default:
        return 0;
    }
}

static int on_http(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    (void)user;
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION ||
        reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION) {
        return hf_ws_verify_answer(len);
    }
    if (wsi == NULL || lws_get_protocol(wsi) == NULL) {
        return 0;
    }
    struct hf_http_server *server = lws_get_protocol(wsi)->user;
    if (server == NULL) {
        return 0;
    }
    struct hf_loop *loop = server->endpoint->hub->loop;
    hf_loop_work_begin(loop);
    int n = handle(server, wsi, reason, in, len);
    hf_loop_work_end(loop);
    return n;
}

static uint64_t tls_options(const struct hf_http_server_config *config)
{
    if (config->tls == NULL) {
        return 0;
    }
    return LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT |
           LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS |
           (config->client_cert == HF_HTTP_CERT_OPTIONAL ? LWS_SERVER_OPTION_PEER_CERT_NOT_REQUIRED
                                                         : 0);
}

static hf_result listen_on(struct hf_http_server *server,
                           const struct hf_http_server_config *config, const char *host, int port,
                           struct hf_err *err)
{
    struct hf_ws_endpoint *e = server->endpoint;
    HF_TRY(hf_ws_endpoint_claim(e, host, port, err));
    e->protocols[0] = (struct lws_protocols){
        .name = "http", .callback = on_http, .rx_buffer_size = 16384, .user = server};
    struct lws_context_creation_info info = {
        .port = port,
        .iface = e->host,
        .vhost_name = config->tls == NULL ? "plain" : "users",
        .protocols = e->protocols,
        .options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND | tls_options(config) |
                   (strchr(host, ':') == NULL ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0),
        .ssl_ca_filepath = e->ca,
        .ssl_cert_filepath = e->certificate,
        .ssl_private_key_filepath = e->key,
        .ssl_options_set = config->tls == NULL ? 0 : hf_tls_options(),
        .alpn = "http/1.1",
        .timeout_secs = 10,
        .keepalive_timeout = 30,
    };
    e->vhost = lws_create_vhost(e->hub->context, &info);
    if (e->vhost == NULL) {
        return hf_fail(err, HF_E_IO, "cannot listen on %s port %d (in use, or no such address)",
                       host, port);
    }
    server->port = e->port = lws_get_vhost_listen_port(e->vhost);
    return hf_done();
}

hf_result hf_http_server_new(struct hf_ws_hub *hub, const struct hf_http_server_config *config,
                             hf_http_handler handler, void *arg, struct hf_http_server **ret,
                             struct hf_err *err)
{
    char host[HF_WS_HOST_SIZE];
    int port = 0;
    HF_TRY(hf_ws_parse_address(config->listen, host, &port, err));
    if (config->tls != NULL) {
        if (config->tls->ca == NULL || config->tls->certificate == NULL) {
            return hf_fail(err, HF_E_INVALID, "a TLS server needs CA, certificate and key");
        }
        HF_TRY(hf_tls_files_check(config->tls, err));
    }
    struct hf_http_server *server = hf_alloc(sizeof(*server));
    server->handler = handler;
    server->arg = arg;
    server->client_cert = config->client_cert;
    server->tls = config->tls != NULL;
    server->endpoint = hf_ws_endpoint_new(hub, config->tls);
    server->endpoint->owner = server;
    server->endpoint->free_owner = hf_free;
    HF_TRY(listen_on(server, config, host, port, err)); /* the hub frees it */
    *ret = server;
    return hf_done();
}

int hf_http_server_port(const struct hf_http_server *server)
{
    return server->port;
}
