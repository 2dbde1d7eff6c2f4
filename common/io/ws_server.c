/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/log.h"
#include "common/io/ws_internal.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>

struct hf_ws_server {
    struct hf_ws_endpoint *endpoint;
    struct hf_ws_callbacks callbacks;
    void *arg;
    char path[256];
    char subprotocol[HF_WS_SUBPROTOCOL_SIZE];
    size_t count;
    int port;
};

void hf_ws_server_lost(struct hf_ws_server *server)
{
    server->count--;
}

static hf_result check_request(struct hf_ws_server *server, struct lws *wsi, char *ret_uri,
                               struct hf_err *err)
{
    char path[sizeof(server->path)] = "";
    char wanted[sizeof(server->subprotocol)] = "";
    (void)lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI);
    (void)lws_hdr_copy(wsi, wanted, sizeof(wanted), WSI_TOKEN_PROTOCOL);
    if (strcmp(path, server->path) != 0) {
        return hf_fail(err, HF_E_DENIED, "path '%.100s': only %s is here", path, server->path);
    }
    if (strcmp(wanted, server->subprotocol) != 0) {
        return hf_fail(err, HF_E_DENIED, "subprotocol '%s': needed is %s", wanted,
                       server->subprotocol);
    }
    if (server->count >= HF_WS_SERVER_CONNECTIONS) {
        return hf_fail(err, HF_E_LIMIT, "%d connections are open", HF_WS_SERVER_CONNECTIONS);
    }
    HF_TRY(hf_tls_peer_uri(lws_get_ssl(wsi), ret_uri, HF_TLS_URI_SIZE, err));
    if (server->callbacks.accept != NULL) {
        HF_TRY(server->callbacks.accept(server->arg, ret_uri, err));
    }
    return hf_done();
}

static int filter(struct hf_ws_server *server, struct lws *wsi)
{
    char uri[HF_TLS_URI_SIZE] = "";
    char address[64] = "";
    struct hf_err err = {0};
    hf_result r = check_request(server, wsi, uri, &err);
    if (hf_ok(r)) {
        return 0;
    }
    lws_get_peer_simple(wsi, address, sizeof(address));
    hf_ws_log_refused("server", uri[0] != '\0' ? uri : address, &err);
    return -1;
}

static int established(struct hf_ws_server *server, struct lws *wsi)
{
    char uri[HF_TLS_URI_SIZE];
    struct hf_err err = {0};
    if (!hf_ok(hf_tls_peer_uri(lws_get_ssl(wsi), uri, sizeof(uri), &err))) {
        hf_ws_log_refused("server", "?", &err);
        return -1;
    }
    struct hf_ws_conn *conn =
        hf_ws_conn_new(server->endpoint->hub, &server->callbacks, server->arg);
    conn->wsi = wsi;
    conn->server = server;
    snprintf(conn->uri, sizeof(conn->uri), "%s", uri);
    lws_get_peer_simple(wsi, conn->address, sizeof(conn->address));
    lws_set_opaque_user_data(wsi, conn);
    server->count++;
    hf_ws_conn_opened(conn);
    return 0;
}

static int handle(struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t len)
{
    struct hf_ws_server *server = lws_get_protocol(wsi)->user;
    struct hf_ws_conn *conn = lws_get_opaque_user_data(wsi);
    switch ((int)reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return filter(server, wsi);
    case LWS_CALLBACK_ESTABLISHED:
        return established(server, wsi);
    case LWS_CALLBACK_RECEIVE:
        return conn == NULL ? -1 : hf_ws_conn_receive(conn, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return conn == NULL ? 0 : hf_ws_conn_writable(conn);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        if (conn != NULL) {
            hf_ws_conn_end(conn, "the connection ended");
        }
        return 0;
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_BODY:
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
    case LWS_CALLBACK_CGI:
        return -1; /* nothing but websockets on this port */
    default:
        return 0;
    }
}

static int on_server(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    (void)user;
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION ||
        reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION) {
        return hf_ws_verify_answer(len);
    }
    if (wsi == NULL || lws_get_protocol(wsi) == NULL || lws_get_protocol(wsi)->user == NULL) {
        return 0;
    }
    struct hf_ws_server *server = lws_get_protocol(wsi)->user;
    struct hf_loop *loop = server->endpoint->hub->loop;
    struct hf_ws_conn *conn = lws_get_opaque_user_data(wsi);
    hf_loop_work_begin(loop);
    if (conn != NULL) {
        hf_ws_conn_enter(conn);
    }
    int n = handle(wsi, reason, in, len);
    if (conn != NULL) {
        hf_ws_conn_leave(conn);
    }
    hf_loop_work_end(loop);
    return n;
}

/* A client that names no subprotocol binds to the first protocol: that one refuses all. */
static int on_refuse(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    (void)user;
    (void)in;
    switch ((int)reason) {
    case LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION:
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        return hf_ws_verify_answer(len);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: {
        char address[64] = "";
        struct hf_err err = {0};
        HF_IGNORE(hf_fail(&err, HF_E_DENIED, "no known subprotocol"), "only logged");
        lws_get_peer_simple(wsi, address, sizeof(address));
        hf_ws_log_refused("server", address, &err);
        return -1;
    }
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
        return -1;
    default:
        return 0;
    }
}

static hf_result listen_on(struct hf_ws_server *server, const char *host, int port,
                           struct hf_err *err)
{
    struct hf_ws_endpoint *e = server->endpoint;
    HF_TRY(hf_ws_endpoint_claim(e, host, port, err));
    e->protocols[0] = (struct lws_protocols){.name = "refuse", .callback = on_refuse, .user = NULL};
    e->protocols[1] = (struct lws_protocols){
        .name = server->subprotocol, .callback = on_server, .rx_buffer_size = 4096, .user = server};
    struct lws_context_creation_info info = {
        .port = port,
        .iface = e->host,
        .vhost_name = "agents",
        .protocols = e->protocols,
        .options = LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   (strchr(host, ':') == NULL ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0),
        .ssl_ca_filepath = e->ca,
        .ssl_cert_filepath = e->certificate,
        .ssl_private_key_filepath = e->key,
        .ssl_options_set = hf_tls_options(),
        .alpn = "http/1.1",
        .timeout_secs = 10,
    };
    e->vhost = lws_create_vhost(e->hub->context, &info);
    if (e->vhost == NULL) {
        return hf_fail(err, HF_E_IO, "cannot listen on %s port %d (in use, or no such address)",
                       host, port);
    }
    server->port = e->port = lws_get_vhost_listen_port(e->vhost);
    return hf_done();
}

hf_result hf_ws_server_new(struct hf_ws_hub *hub, const struct hf_ws_server_config *config,
                           const struct hf_ws_callbacks *callbacks, void *arg,
                           struct hf_ws_server **ret, struct hf_err *err)
{
    char host[HF_WS_HOST_SIZE];
    int port = 0;
    HF_TRY(hf_ws_parse_address(config->listen, host, &port, err));
    if (config->tls.ca == NULL || config->tls.certificate == NULL || config->tls.key == NULL) {
        return hf_fail(err, HF_E_INVALID, "a websocket server needs CA, certificate and key");
    }
    HF_TRY(hf_tls_files_check(&config->tls, err));
    const char *path = config->path == NULL ? "/v1/agent" : config->path;
    const char *subprotocol = config->subprotocol == NULL ? "holdfast.v1" : config->subprotocol;
    struct hf_ws_server *server = hf_alloc(sizeof(*server));
    HF_ASSERT(strlen(path) < sizeof(server->path));
    HF_ASSERT(strlen(subprotocol) < sizeof(server->subprotocol));
    snprintf(server->path, sizeof(server->path), "%s", path);
    snprintf(server->subprotocol, sizeof(server->subprotocol), "%s", subprotocol);
    server->callbacks = *callbacks;
    server->arg = arg;
    server->endpoint = hf_ws_endpoint_new(hub, &config->tls);
    server->endpoint->owner = server;
    server->endpoint->free_owner = hf_free;
    HF_TRY(listen_on(server, host, port, err)); /* the hub frees it */
    *ret = server;
    return hf_done();
}

int hf_ws_server_port(const struct hf_ws_server *server)
{
    return server->port;
}

size_t hf_ws_server_count(const struct hf_ws_server *server)
{
    return server->count;
}
