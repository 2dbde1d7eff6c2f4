/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/link/link.h"

#include <stdio.h>
#include <string.h>

#include "agent/link/outbox.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/core/identity.h"
#include "common/io/log.h"

/* Slots of the latest-wins messages of a connection. */
enum { SLOT_BEAT = 0, RESEND_SECONDS = 10, ORIGIN_SHIFT = 8 };

struct peer {
    struct hf_link *link;
    unsigned index;
    unsigned opened; /* how often: a reply finds the connection that its question came on */
    struct hf_ws_client *client;
    struct hf_ws_conn *conn; /* NULL while not open */
};

struct hf_link {
    const struct hf_config_agent *config;
    hf_link_message fn;
    void *arg;
    char prefix[HF_TLS_URI_SIZE];
    struct hf_message *in;    /* large: kept for reuse */
    struct hf_message *hello; /* first message of a connection */
    struct hf_outbox *outbox;
    struct hf_timer *resend;
    size_t count;
    struct peer peers[HF_MAX_COORDINATORS];
};

static hf_result accept_peer(void *arg, const char *uri, struct hf_err *err)
{
    struct peer *p = arg;
    struct hf_identity id;
    HF_TRY(hf_identity_parse(uri, p->link->config->tls.trust_domain, &id, err));
    return id.kind == HF_IDENTITY_COORDINATOR
               ? hf_done()
               : hf_fail(err, HF_E_DENIED, "%s is no coordinator", uri);
}

static void send_text(struct peer *p, const char *text, size_t len)
{
    struct hf_err err;
    if (p->conn != NULL && !hf_ok(hf_ws_send(p->conn, text, len, &err))) {
        hf_log(HF_LOG_WARNING, "LINK_SEND", "message not sent",
               HF_KV("coordinator", p->link->config->coordinators[p->index]), HF_KV_ERR(&err));
    }
}

static bool encode(const struct hf_message *m, struct hf_buf *out)
{
    struct hf_err err;
    if (hf_ok(hf_message_encode(m, out, &err))) {
        return true;
    }
    hf_log(HF_LOG_ERROR, "LINK_ENCODE", "own message breaks a bound",
           HF_KV("type", hf_message_type_name(m->type)), HF_KV_ERR(&err));
    return false;
}

static void send_reports(struct peer *p)
{
    size_t len = 0;
    const char *text;
    for (size_t i = 0; (text = hf_outbox_at(p->link->outbox, i, &len)) != NULL; i++) {
        if (p->conn == NULL || hf_ws_queued(p->conn) > HF_WS_FIFO_MAX / 2) {
            return; /* the next round */
        }
        send_text(p, text, len);
    }
}

static void on_open(void *arg, struct hf_ws_conn *conn)
{
    struct peer *p = arg;
    HF_BUF(text, HF_MESSAGE_MAX);
    p->conn = conn;
    p->opened++;
    hf_log(HF_LOG_INFO, "LINK_UP", "connected to a coordinator",
           HF_KV("coordinator", hf_ws_peer_uri(conn)));
    if (encode(p->link->hello, &text)) {
        send_text(p, hf_buf_text(&text), text.len);
    }
    send_reports(p);
}

static void on_message(void *arg, struct hf_ws_conn *conn, const char *text, size_t len)
{
    struct peer *p = arg;
    struct hf_link *link = p->link;
    struct hf_err err;
    hf_result r = hf_message_decode(text, len, link->in, &err);
    if (!hf_ok(r)) {
        hf_log(HF_LOG_WARNING, "LINK_REFUSED", "message refused",
               HF_KV("coordinator", hf_ws_peer_uri(conn)), HF_KV_ERR(&err));
        if (r.code != HF_E_UNSUPPORTED) {
            hf_ws_close(conn, "message breaks a bound");
        }
        return;
    }
    if (link->in->type == HF_MESSAGE_REPORT_ACK) {
        hf_outbox_ack(link->outbox, link->in->report_ack.id);
        return;
    }
    link->fn(link->arg, (p->opened << ORIGIN_SHIFT) | p->index, link->in);
}

static void on_closed(void *arg, struct hf_ws_conn *conn, const char *reason)
{
    struct peer *p = arg;
    (void)conn;
    p->conn = NULL;
    hf_log(HF_LOG_WARNING, "LINK_DOWN", "connection to a coordinator lost",
           HF_KV("coordinator", p->link->config->coordinators[p->index]), HF_KV("reason", reason));
}

static void on_durable(void *arg, const char *text, size_t len)
{
    struct hf_link *link = arg;
    for (size_t i = 0; i < link->count; i++) {
        send_text(&link->peers[i], text, len);
    }
}

static void on_resend(void *arg)
{
    struct hf_link *link = arg;
    for (size_t i = 0; i < link->count; i++) {
        send_reports(&link->peers[i]);
    }
}

static struct hf_message *make_hello(const struct hf_config_agent *config, const char *boot)
{
    struct hf_message *m = hf_alloc(sizeof(*m));
    m->type = HF_MESSAGE_HELLO;
    struct hf_hello *h = &m->hello;
    h->tenant = config->tenant;
    h->cluster = config->cluster;
    h->region = config->region;
    h->node = config->name;
    snprintf(h->address, sizeof(h->address), "%s",
             config->has_postgresql ? config->postgresql.advertise : "");
    snprintf(h->version, sizeof(h->version), "%s", HF_VERSION);
    snprintf(h->boot, sizeof(h->boot), "%s", boot);
    return m;
}

static hf_result connect_all(struct hf_link *link, struct hf_ws_hub *hub, struct hf_err *err)
{
    static const struct hf_ws_callbacks callbacks = {
        .accept = accept_peer, .open = on_open, .message = on_message, .closed = on_closed};
    const struct hf_config_agent *c = link->config;
    for (size_t i = 0; i < c->coordinator_count; i++) {
        struct peer *p = &link->peers[i];
        const struct hf_ws_client_config config = {
            .url = c->coordinators[i],
            .tls = {.ca = c->tls.ca, .certificate = c->tls.certificate, .key = c->tls.key},
            .server_uri_prefix = link->prefix,
            .connect_timeout = HF_SEC(3),
            .backoff_min = HF_MS(200),
            .backoff_max = HF_SEC(2),
        };
        p->link = link;
        p->index = (unsigned)i;
        link->count++;
        HF_TRY(hf_ws_client_new(hub, &config, &callbacks, p, &p->client, err));
    }
    return hf_done();
}

hf_result hf_link_new(struct hf_ws_hub *hub, struct hf_pool *pool,
                      const struct hf_config_agent *config, const char *boot, hf_link_message fn,
                      void *arg, struct hf_link **ret, struct hf_err *err)
{
    char directory[HF_PATH_SIZE + 16];
    struct hf_link *link = hf_alloc(sizeof(*link));
    link->config = config;
    link->fn = fn;
    link->arg = arg;
    link->in = hf_alloc(sizeof(*link->in));
    link->hello = make_hello(config, boot);
    snprintf(link->prefix, sizeof(link->prefix), "spiffe://%s/coordinator/",
             config->tls.trust_domain);
    snprintf(directory, sizeof(directory), "%s/outbox", config->state_dir);
    hf_result r = hf_outbox_open(directory, pool, on_durable, link, &link->outbox, err);
    if (hf_ok(r)) {
        r = connect_all(link, hub, err);
    }
    if (!hf_ok(r)) {
        hf_link_free(link);
        return r;
    }
    link->resend = hf_timer_new(hf_ws_loop(hub), on_resend, link);
    hf_timer_every(link->resend, HF_SEC(RESEND_SECONDS));
    *ret = link;
    return hf_done();
}

void hf_link_free(struct hf_link *link)
{
    if (link == NULL) {
        return;
    }
    for (size_t i = 0; i < link->count; i++) {
        hf_ws_client_free(link->peers[i].client);
    }
    hf_timer_free(link->resend);
    hf_outbox_free(link->outbox);
    hf_free(link->hello);
    hf_free(link->in);
    hf_free(link);
}

void hf_link_send(struct hf_link *link, const struct hf_message *m)
{
    HF_BUF(text, HF_MESSAGE_MAX);
    struct hf_err err;
    if (hf_link_connected(link) == 0 || !encode(m, &text)) {
        return;
    }
    for (size_t i = 0; i < link->count; i++) {
        struct peer *p = &link->peers[i];
        if (p->conn == NULL) {
            continue;
        }
        if (m->type != HF_MESSAGE_HEARTBEAT) {
            send_text(p, hf_buf_text(&text), text.len);
        } else if (!hf_ok(
                       hf_ws_send_latest(p->conn, SLOT_BEAT, hf_buf_text(&text), text.len, &err))) {
            hf_log(HF_LOG_DEBUG, "LINK_SEND", "heartbeat not sent", HF_KV_ERR(&err));
        }
    }
}

void hf_link_reply(struct hf_link *link, unsigned origin, const struct hf_message *m)
{
    HF_BUF(text, HF_MESSAGE_MAX);
    unsigned index = origin & ((1U << ORIGIN_SHIFT) - 1);
    if (index < link->count && link->peers[index].opened == origin >> ORIGIN_SHIFT &&
        encode(m, &text)) {
        send_text(&link->peers[index], hf_buf_text(&text), text.len);
    }
}

hf_result hf_link_report(struct hf_link *link, const struct hf_report *report, struct hf_err *err)
{
    return hf_outbox_add(link->outbox, report, err);
}

size_t hf_link_connected(const struct hf_link *link)
{
    size_t n = 0;
    for (size_t i = 0; i < link->count; i++) {
        n += link->peers[i].conn != NULL ? 1 : 0;
    }
    return n;
}

size_t hf_link_reports(const struct hf_link *link)
{
    return hf_outbox_count(link->outbox);
}
