/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/ws.h"

#include "common/base/mem.h"
#include "common/io/log.h"
#include "common/io/ws_internal.h"

#include <libwebsockets.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hf_ws_verify_answer(size_t preverified)
{
    return preverified == 1 ? 0 : 1;
}

void hf_ws_log_refused(const char *side, const char *peer, const struct hf_err *err)
{
    hf_log(HF_LOG_WARNING, "WS_REFUSED", "a websocket peer was refused", HF_KV("side", side),
           HF_KV("peer", peer), HF_KV_ERR(err));
}

hf_result hf_ws_parse_address(const char *text, char ret_host[HF_WS_HOST_SIZE], int *ret_port,
                              struct hf_err *err)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon == NULL ? 0 : (size_t)(colon - text);
    char host[HF_WS_HOST_SIZE];
    char *end;
    long port = colon == NULL ? -1 : strtol(colon + 1, &end, 10);
    if (n == 0 || n >= sizeof(host) || port < 0 || port > 65535 || colon[1] == '\0' ||
        *end != '\0') {
        return hf_fail(err, HF_E_INVALID, "address '%.200s': needed is HOST:PORT", text);
    }
    bool bracketed = text[0] == '[' && text[n - 1] == ']';
    memcpy(host, text + bracketed, n - 2u * bracketed);
    host[n - 2u * bracketed] = '\0';
    unsigned char address[sizeof(struct in6_addr)];
    if (strcmp(host, "localhost") != 0 && inet_pton(AF_INET, host, address) != 1 &&
        inet_pton(AF_INET6, host, address) != 1) {
        return hf_fail(err, HF_E_INVALID,
                       "address '%.200s': the host must be an IP address or localhost", text);
    }
    snprintf(ret_host, HF_WS_HOST_SIZE, "%s", strcmp(host, "localhost") == 0 ? "127.0.0.1" : host);
    *ret_port = (int)port;
    return hf_done();
}

static char *copy(const char *text)
{
    return text == NULL ? NULL : hf_strdup(text);
}

struct hf_ws_endpoint *hf_ws_endpoint_new(struct hf_ws_hub *hub, const struct hf_tls_files *tls)
{
    struct hf_ws_endpoint *e = hf_alloc(sizeof(*e));
    e->hub = hub;
    e->protocols = hf_alloc_array(HF_WS_PROTOCOLS, sizeof(*e->protocols));
    if (tls != NULL) {
        e->ca = copy(tls->ca);
        e->certificate = copy(tls->certificate);
        e->key = copy(tls->key);
    }
    e->next = hub->endpoints;
    hub->endpoints = e;
    return e;
}

hf_result hf_ws_endpoint_claim(struct hf_ws_endpoint *e, const char *host, int port,
                               struct hf_err *err)
{
    for (const struct hf_ws_endpoint *o = e->hub->endpoints; o != NULL; o = o->next) {
        if (o != e && port != 0 && o->port == port && o->vhost != NULL) {
            return hf_fail(err, HF_E_IO, "port %d is taken by another listener of this process",
                           port);
        }
    }
    snprintf(e->host, sizeof(e->host), "%s", host);
    return hf_done();
}

static void endpoint_free(struct hf_ws_endpoint *e)
{
    if (e->free_owner != NULL) {
        e->free_owner(e->owner);
    }
    hf_free(e->protocols);
    hf_free(e->ca);
    hf_free(e->certificate);
    hf_free(e->key);
    hf_free(e);
}

/* The hub's own protocol: carries the loop's descriptor. */
static int on_loop(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    (void)user;
    (void)in;
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_RX_FILE: {
        const struct lws_protocols *protocol = lws_get_protocol(wsi);
        struct hf_ws_endpoint *e = protocol->user;
        hf_loop_dispatch(e->hub->loop);
        return 0;
    }
    case LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION:
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        /* libwebsockets asks the first vhost's first protocol, whoever's connection it is. */
        return hf_ws_verify_answer(len);
    default:
        return 0;
    }
}

static void on_lws_log(int level, const char *line)
{
    hf_log(level == LLL_ERR ? HF_LOG_INFO : HF_LOG_DEBUG, "WS_LIBRARY", "libwebsockets says",
           HF_KV("line", line));
}

static hf_result adopt_loop(struct hf_ws_hub *hub, struct hf_err *err)
{
    struct hf_ws_endpoint *e = hf_ws_endpoint_new(hub, NULL);
    e->protocols[0] = (struct lws_protocols){.name = "loop", .callback = on_loop, .user = e};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER, .vhost_name = "loop", .protocols = e->protocols};
    e->vhost = lws_create_vhost(hub->context, &info);
    /* libwebsockets closes what it adopted: it gets a duplicate of the same epoll. */
    int fd = e->vhost == NULL ? -1 : fcntl(hf_loop_fd(hub->loop), F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "descriptor of the event loop for libwebsockets");
    }
    lws_sock_file_fd_type descriptor = {.filefd = fd};
    if (lws_adopt_descriptor_vhost(e->vhost, LWS_ADOPT_RAW_FILE_DESC, descriptor, "loop", NULL) ==
        NULL) {
        return hf_fail(err, HF_E_INTERNAL, "libwebsockets does not adopt the event loop");
    }
    return hf_done();
}

static void on_step(void *arg)
{
    (void)arg;
}

hf_result hf_ws_hub_new(struct hf_loop *loop, struct hf_ws_hub **ret, struct hf_err *err)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .gid = -1,
        .uid = -1,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .timeout_secs = 10,
        .max_http_header_data2 = 8192,
        .max_http_header_pool = 1024,
    };
    struct hf_ws_hub *hub = hf_alloc(sizeof(*hub));
    hub->loop = loop;
    hub->step = hf_timer_new(loop, on_step, NULL);
    hub->context = lws_create_context(&info);
    hf_result r = hub->context == NULL
                      ? hf_fail(err, HF_E_INTERNAL, "libwebsockets gives no context")
                      : adopt_loop(hub, err);
    if (!hf_ok(r)) {
        hf_ws_hub_free(hub);
        return r;
    }
    *ret = hub;
    return hf_done();
}

void hf_ws_hub_free(struct hf_ws_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    HF_ASSERT(hub->servicing == 0);
    hub->freeing = true;
    if (hub->context != NULL) {
        lws_context_destroy(hub->context); /* closes all: the ends are reported */
    }
    while (hub->endpoints != NULL) {
        struct hf_ws_endpoint *e = hub->endpoints;
        hub->endpoints = e->next;
        endpoint_free(e);
    }
    hf_timer_free(hub->step);
    hf_free(hub);
}

static hf_result service(struct hf_ws_hub *hub, struct hf_err *err)
{
    hub->servicing++;
    int n = lws_service(hub->context, 0);
    hub->servicing--;
    return n < 0 ? hf_fail(err, HF_E_IO, "libwebsockets' service ended (%d)", n) : hf_done();
}

hf_result hf_ws_run(struct hf_ws_hub *hub, struct hf_err *err)
{
    while (!hf_loop_stopped(hub->loop)) {
        HF_TRY(service(hub, err));
    }
    return hf_done();
}

hf_result hf_ws_step(struct hf_ws_hub *hub, hf_dur max_wait, struct hf_err *err)
{
    /* libwebsockets ignores a timeout: a timer of the loop ends the wait. */
    hf_timer_after(hub->step, max_wait);
    hf_result r = service(hub, err);
    hf_timer_cancel(hub->step);
    return r;
}

struct hf_loop *hf_ws_loop(struct hf_ws_hub *hub)
{
    return hub->loop;
}
