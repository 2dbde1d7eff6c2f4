/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/log.h"
#include "common/io/ws_internal.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>

struct hf_ws_client {
    struct hf_ws_endpoint *endpoint;
    struct hf_ws_callbacks callbacks;
    void *arg;
    struct hf_ws_conn *conn; /* of the present attempt or connection */
    struct hf_timer *timer;  /* next attempt, or the end of this one */
    int port;
    char path[256];
    char subprotocol[HF_WS_SUBPROTOCOL_SIZE];
    char authority[HF_WS_HOST_SIZE + 16];
    char *server_uri_prefix;
    hf_dur connect_timeout;
    hf_dur backoff_min;
    hf_dur backoff_max;
    int64_t backoff_us; /* of the next wait, before jitter */
    bool freed;
    char problem[HF_WS_PROBLEM_SIZE];
};

static void note_problem(struct hf_ws_client *client, const char *reason)
{
    snprintf(client->problem, sizeof(client->problem), "%s", reason);
}

/* Full jitter between the least wait and the present bound, so that agents do not come back all at
 * once; the bound doubles. */
static hf_dur next_wait(struct hf_ws_client *client)
{
    int64_t least = client->backoff_min.us;
    int64_t span = client->backoff_us - least;
    int64_t wait = least + (span > 0 ? (int64_t)(hf_random_u64() % (uint64_t)span) : 0);
    client->backoff_us *= 2;
    if (client->backoff_us > client->backoff_max.us) {
        client->backoff_us = client->backoff_max.us;
    }
    return HF_US(wait);
}

void hf_ws_client_lost(struct hf_ws_client *client, const char *reason)
{
    client->conn = NULL;
    if (client->freed || client->endpoint->hub->freeing) {
        return;
    }
    if (strcmp(client->problem, reason) != 0) {
        hf_log(HF_LOG_WARNING, "WS_DISCONNECTED", "no connection to a coordinator",
               HF_KV("to", client->authority), HF_KV("reason", reason));
    }
    note_problem(client, reason);
    hf_timer_after(client->timer, next_wait(client));
}

static void attempt(struct hf_ws_client *client)
{
    struct hf_ws_endpoint *e = client->endpoint;
    struct hf_ws_conn *conn = hf_ws_conn_new(e->hub, &client->callbacks, client->arg);
    conn->client = client;
    client->conn = conn;
    if (HF_FAULT_HIT("ws.connect")) {
        hf_ws_conn_end(conn, "fault point ws.connect");
        return;
    }
    hf_timer_after(client->timer, client->connect_timeout);
    struct lws_client_connect_info info = {
        .context = e->hub->context,
        .vhost = e->vhost,
        .address = e->host,
        .port = client->port,
        .path = client->path,
        .host = client->authority,
        .origin = client->authority,
        .protocol = client->subprotocol,
        .local_protocol_name = client->subprotocol,
        .ietf_version_or_minus_one = -1,
        .alpn = "http/1.1",
        /* The host's name is checked by us, or the URI name instead of it. */
        .ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK,
        .opaque_user_data = conn,
        .pwsi = &conn->wsi,
    };
    struct lws *wsi = lws_client_connect_via_info(&info);
    /* It may have failed, with or without a callback, before it returned. */
    if (wsi == NULL && client->conn == conn) {
        conn->wsi = NULL;
        hf_ws_conn_end(conn, "cannot connect");
    }
}

static void on_timer(void *arg)
{
    struct hf_ws_client *client = arg;
    if (client->conn == NULL) {
        attempt(client);
    } else if (!client->conn->open) {
        hf_ws_close(client->conn, "no answer in time");
    }
}

static hf_result check_server(struct hf_ws_client *client, struct lws *wsi, char *ret_uri,
                              struct hf_err *err)
{
    void *ssl = lws_get_ssl(wsi);
    hf_result named = hf_tls_peer_uri(ssl, ret_uri, HF_TLS_URI_SIZE, err);
    if (client->server_uri_prefix != NULL) {
        HF_TRY(named);
        size_t n = strlen(client->server_uri_prefix);
        if (strncmp(ret_uri, client->server_uri_prefix, n) != 0 || ret_uri[n] == '\0') {
            return hf_fail(err, HF_E_DENIED, "the server is %.120s, needed is %s...", ret_uri,
                           client->server_uri_prefix);
        }
    } else if (!hf_tls_peer_is_host(ssl, client->endpoint->host)) {
        return hf_fail(err, HF_E_DENIED, "the server's certificate is not verified for %s",
                       client->endpoint->host);
    }
    return client->callbacks.accept == NULL ? hf_done()
                                            : client->callbacks.accept(client->arg, ret_uri, err);
}

static int filter(struct hf_ws_conn *conn, struct lws *wsi)
{
    struct hf_err err = {0};
    hf_result r = check_server(conn->client, wsi, conn->uri, &err);
    if (conn->ended || hf_ok(r)) { /* accept may have freed the client */
        return conn->ended ? -1 : 0;
    }
    hf_ws_log_refused("client", conn->client->authority, &err);
    snprintf(conn->reason, sizeof(conn->reason), "%.127s", err.text);
    return -1;
}

static void established(struct hf_ws_conn *conn)
{
    struct hf_ws_client *client = conn->client;
    hf_timer_cancel(client->timer);
    client->backoff_us = client->backoff_min.us;
    client->problem[0] = '\0';
    lws_get_peer_simple(conn->wsi, conn->address, sizeof(conn->address));
    hf_ws_conn_opened(conn);
}

static int handle(struct hf_ws_conn *conn, struct lws *wsi, enum lws_callback_reasons reason,
                  void *in, size_t len)
{
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
        return filter(conn, wsi);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        if (conn->closing) {
            return -1;
        }
        established(conn);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return hf_ws_conn_receive(conn, in, len);
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return hf_ws_conn_writable(conn);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR: {
        char text[100];
        snprintf(text, sizeof(text), "%.*s", (int)(in == NULL ? 0 : len),
                 in == NULL ? "" : (const char *)in);
        hf_ws_conn_end(conn, text[0] == '\0' ? "cannot connect" : text);
        return 0;
    }
    case LWS_CALLBACK_CLIENT_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY:
        hf_ws_conn_end(conn, "the connection ended");
        return 0;
    default:
        return 0;
    }
}

static int on_client(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                     size_t len)
{
    (void)user;
    if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION ||
        reason == LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION) {
        return hf_ws_verify_answer(len);
    }
    struct hf_ws_conn *conn = wsi == NULL ? NULL : lws_get_opaque_user_data(wsi);
    if (conn == NULL) {
        /* Freed by its owner meanwhile: what would still bring it up is refused. */
        return reason == LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH ||
                       reason == LWS_CALLBACK_CLIENT_ESTABLISHED ||
                       reason == LWS_CALLBACK_CLIENT_RECEIVE
                   ? -1
                   : 0;
    }
    struct hf_loop *loop = conn->hub->loop;
    hf_loop_work_begin(loop);
    hf_ws_conn_enter(conn);
    int n = handle(conn, wsi, reason, in, len);
    hf_ws_conn_leave(conn);
    hf_loop_work_end(loop);
    return n;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* The endpoint of a client that was freed is used again where it fits, since libwebsockets keeps
 * pointers into it. */
static struct hf_ws_endpoint *find_endpoint(struct hf_ws_hub *hub,
                                            const struct hf_ws_client_config *config,
                                            const char *subprotocol, const char *host)
{
    for (struct hf_ws_endpoint *e = hub->endpoints; e != NULL; e = e->next) {
        if (e->protocols[0].callback == on_client && e->owner == NULL && e->vhost != NULL &&
            same(e->ca, config->tls.ca) && same(e->certificate, config->tls.certificate) &&
            same(e->key, config->tls.key) && same(e->subprotocol, subprotocol) &&
            same(e->host, host)) {
            return e;
        }
    }
    return NULL;
}

static void free_client(void *owner)
{
    struct hf_ws_client *client = owner;
    if (client == NULL) {
        return;
    }
    hf_timer_free(client->timer);
    hf_free(client->server_uri_prefix);
    hf_free(client);
}

static hf_result make_endpoint(struct hf_ws_hub *hub, const struct hf_ws_client_config *config,
                               const char *subprotocol, const char *host,
                               struct hf_ws_endpoint **ret, struct hf_err *err)
{
    struct hf_ws_endpoint *e = find_endpoint(hub, config, subprotocol, host);
    if (e == NULL) {
        e = hf_ws_endpoint_new(hub, &config->tls);
        snprintf(e->host, sizeof(e->host), "%s", host);
        snprintf(e->subprotocol, sizeof(e->subprotocol), "%s", subprotocol);
        e->free_owner = free_client;
        e->protocols[0] = (struct lws_protocols){
            .name = e->subprotocol, .callback = on_client, .rx_buffer_size = 4096, .user = NULL};
        struct lws_context_creation_info info = {
            .port = CONTEXT_PORT_NO_LISTEN_SERVER,
            .vhost_name = "client",
            .protocols = e->protocols,
            .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                       LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                       (strchr(host, ':') == NULL ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0),
            .client_ssl_ca_filepath = e->ca,
            .client_ssl_cert_filepath = e->certificate,
            .client_ssl_private_key_filepath = e->key,
            .timeout_secs = 10,
        };
        e->vhost = lws_create_vhost(hub->context, &info);
    }
    if (e->vhost == NULL) {
        return hf_fail(err, HF_E_INTERNAL, "libwebsockets gives no client for %s", host);
    }
    *ret = e;
    return hf_done();
}

static hf_result parse_url(const char *url, char *ret_host, int *ret_port, struct hf_err *err)
{
    if (strncmp(url, "wss://", 6) != 0 || strchr(url + 6, '/') != NULL) {
        return hf_fail(err, HF_E_INVALID, "'%.200s': needed is wss://HOST:PORT", url);
    }
    return hf_ws_parse_address(url + 6, ret_host, ret_port, err);
}

static hf_dur or_default(hf_dur d, hf_dur otherwise)
{
    return d.us > 0 ? d : otherwise;
}

hf_result hf_ws_client_new(struct hf_ws_hub *hub, const struct hf_ws_client_config *config,
                           const struct hf_ws_callbacks *callbacks, void *arg,
                           struct hf_ws_client **ret, struct hf_err *err)
{
    char host[HF_WS_HOST_SIZE];
    int port = 0;
    HF_TRY(parse_url(config->url, host, &port, err));
    if (config->tls.ca == NULL || config->tls.certificate == NULL || config->tls.key == NULL) {
        return hf_fail(err, HF_E_INVALID, "a websocket client needs CA, certificate and key");
    }
    if (hub->clients >= HF_WS_CLIENTS) {
        return hf_fail(err, HF_E_LIMIT, "%d websocket clients", HF_WS_CLIENTS);
    }
    HF_TRY(hf_tls_files_check(&config->tls, err));
    const char *path = config->path == NULL ? "/v1/agent" : config->path;
    const char *subprotocol = config->subprotocol == NULL ? "holdfast.v1" : config->subprotocol;
    HF_ASSERT(strlen(path) < 256 && strlen(subprotocol) < HF_WS_SUBPROTOCOL_SIZE);
    struct hf_ws_endpoint *e = NULL;
    HF_TRY(make_endpoint(hub, config, subprotocol, host, &e, err));
    struct hf_ws_client *client = hf_alloc(sizeof(*client));
    snprintf(client->path, sizeof(client->path), "%s", path);
    snprintf(client->subprotocol, sizeof(client->subprotocol), "%s", subprotocol);
    snprintf(client->authority, sizeof(client->authority), "%s", config->url + 6);
    client->port = port;
    client->endpoint = e;
    e->owner = client;
    client->callbacks = *callbacks;
    client->arg = arg;
    client->server_uri_prefix =
        config->server_uri_prefix == NULL ? NULL : hf_strdup(config->server_uri_prefix);
    client->connect_timeout = or_default(config->connect_timeout, HF_SEC(5));
    client->backoff_min = or_default(config->backoff_min, HF_MS(250));
    client->backoff_max = or_default(config->backoff_max, HF_SEC(5));
    client->backoff_us = client->backoff_min.us;
    client->timer = hf_timer_new(hub->loop, on_timer, client);
    note_problem(client, "connecting");
    hf_timer_after(client->timer, HF_US(0));
    hub->clients++;
    *ret = client;
    return hf_done();
}

void hf_ws_client_free(struct hf_ws_client *client)
{
    if (client == NULL) {
        return;
    }
    client->freed = true;
    struct hf_ws_conn *conn = client->conn;
    if (conn != NULL) {
        struct lws *wsi = conn->wsi;
        hf_ws_conn_end(conn, "closed by its owner");
        if (wsi != NULL) {
            lws_set_timeout(wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        }
    }
    client->endpoint->hub->clients--;
    client->endpoint->owner = NULL;
    free_client(client);
}

struct hf_ws_conn *hf_ws_client_conn(struct hf_ws_client *client)
{
    return client->conn != NULL && client->conn->open && !client->conn->ended ? client->conn : NULL;
}

const char *hf_ws_client_problem(const struct hf_ws_client *client)
{
    return client->problem;
}
