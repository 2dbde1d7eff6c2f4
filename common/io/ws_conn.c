/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/log.h"
#include "common/io/ws_internal.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>

struct hf_ws_conn *hf_ws_conn_new(struct hf_ws_hub *hub, const struct hf_ws_callbacks *callbacks,
                                  void *arg)
{
    struct hf_ws_conn *conn = hf_alloc(sizeof(*conn));
    conn->hub = hub;
    conn->callbacks = callbacks;
    conn->arg = arg;
    conn->incoming = HF_BUF_INIT(HF_WS_MESSAGE_MAX);
    return conn;
}

static void conn_free(struct hf_ws_conn *conn)
{
    for (int i = 0; i < HF_WS_LATEST_SLOTS; i++) {
        hf_free(conn->slots[i]);
    }
    while (conn->first != NULL) {
        struct hf_ws_message *m = conn->first;
        conn->first = m->next;
        hf_free(m);
    }
    hf_buf_free(&conn->incoming);
    hf_free(conn);
}

void hf_ws_conn_enter(struct hf_ws_conn *conn)
{
    conn->depth++;
}

void hf_ws_conn_leave(struct hf_ws_conn *conn)
{
    if (--conn->depth == 0 && conn->ended) {
        conn_free(conn);
    }
}

void hf_ws_conn_opened(struct hf_ws_conn *conn)
{
    conn->open = true;
    hf_ws_conn_enter(conn);
    if (conn->callbacks->open != NULL) {
        conn->callbacks->open(conn->arg, conn);
    }
    hf_ws_conn_leave(conn);
}

void hf_ws_conn_end(struct hf_ws_conn *conn, const char *reason)
{
    if (conn->ended) {
        return;
    }
    conn->ended = true;
    conn->closing = true;
    if (conn->wsi != NULL) {
        lws_set_opaque_user_data(conn->wsi, NULL);
        conn->wsi = NULL;
    }
    const char *why = conn->reason[0] != '\0' ? conn->reason : reason;
    hf_ws_conn_enter(conn);
    if (conn->open && conn->callbacks->closed != NULL) {
        conn->callbacks->closed(conn->arg, conn, why);
    }
    if (conn->server != NULL && conn->open) {
        hf_ws_server_lost(conn->server);
    }
    if (conn->client != NULL) {
        hf_ws_client_lost(conn->client, why);
    }
    hf_ws_conn_leave(conn);
}

void hf_ws_close(struct hf_ws_conn *conn, const char *reason)
{
    if (conn->closing) {
        return;
    }
    conn->closing = true;
    snprintf(conn->reason, sizeof(conn->reason), "%s", reason);
    lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void deliver(struct hf_ws_conn *conn)
{
    if (conn->callbacks->message != NULL) {
        conn->callbacks->message(conn->arg, conn, hf_buf_text(&conn->incoming), conn->incoming.len);
    }
    hf_buf_reset(&conn->incoming);
}

int hf_ws_conn_receive(struct hf_ws_conn *conn, const char *bytes, size_t len)
{
    if (conn->closing) {
        return 0;
    }
    if (HF_FAULT_HIT("ws.receive")) {
        hf_ws_close(conn, "fault point ws.receive");
        return -1;
    }
    if (lws_frame_is_binary(conn->wsi)) {
        hf_ws_close(conn, "binary frame: only text is allowed");
        return -1;
    }
    if (lws_is_first_fragment(conn->wsi)) {
        hf_buf_reset(&conn->incoming);
    }
    if (!hf_ok(hf_buf_append(&conn->incoming, bytes, len, NULL))) {
        snprintf(conn->reason, sizeof(conn->reason), "message longer than %d bytes",
                 HF_WS_MESSAGE_MAX);
        conn->closing = true;
        return -1;
    }
    if (!lws_is_final_fragment(conn->wsi) || lws_remaining_packet_payload(conn->wsi) > 0) {
        return 0;
    }
    hf_ws_conn_enter(conn);
    deliver(conn);
    hf_ws_conn_leave(conn);
    return 0;
}

static struct hf_ws_message *message_new(const char *text, size_t len)
{
    struct hf_ws_message *m = hf_alloc(sizeof(*m) + LWS_PRE + len);
    m->len = len;
    memcpy(m->bytes + LWS_PRE, text, len);
    return m;
}

static hf_result check_send(struct hf_ws_conn *conn, size_t len, struct hf_err *err)
{
    if (conn->closing || conn->wsi == NULL) {
        return hf_fail(err, HF_E_CANCELED, "the connection is closing");
    }
    if (len > HF_WS_MESSAGE_MAX) {
        return hf_fail(err, HF_E_LIMIT, "message of %zu bytes, allowed are %d", len,
                       HF_WS_MESSAGE_MAX);
    }
    return hf_done();
}

hf_result hf_ws_send(struct hf_ws_conn *conn, const char *text, size_t len, struct hf_err *err)
{
    HF_TRY(check_send(conn, len, err));
    if (conn->queued >= HF_WS_FIFO_MAX || conn->queued_bytes + len > HF_WS_FIFO_BYTES) {
        hf_log(HF_LOG_WARNING, "WS_QUEUE_FULL", "a slow peer's connection is closed",
               HF_KV("peer", conn->uri), HF_KV_U64("messages", conn->queued),
               HF_KV_U64("bytes", conn->queued_bytes));
        hf_ws_close(conn, "send queue full");
        return hf_fail(err, HF_E_LIMIT, "send queue full: %d messages or %d bytes wait",
                       HF_WS_FIFO_MAX, HF_WS_FIFO_BYTES);
    }
    struct hf_ws_message *m = message_new(text, len);
    if (conn->last != NULL) {
        conn->last->next = m;
    } else {
        conn->first = m;
    }
    conn->last = m;
    conn->queued++;
    conn->queued_bytes += len;
    lws_callback_on_writable(conn->wsi);
    return hf_done();
}

hf_result hf_ws_send_latest(struct hf_ws_conn *conn, unsigned slot, const char *text, size_t len,
                            struct hf_err *err)
{
    HF_ASSERT(slot < HF_WS_LATEST_SLOTS);
    HF_TRY(check_send(conn, len, err));
    hf_free(conn->slots[slot]);
    conn->slots[slot] = message_new(text, len);
    lws_callback_on_writable(conn->wsi);
    return hf_done();
}

static struct hf_ws_message *next_message(struct hf_ws_conn *conn)
{
    for (int i = 0; i < HF_WS_LATEST_SLOTS; i++) {
        if (conn->slots[i] != NULL) {
            struct hf_ws_message *m = conn->slots[i];
            conn->slots[i] = NULL;
            return m;
        }
    }
    struct hf_ws_message *m = conn->first;
    if (m != NULL) {
        conn->first = m->next;
        conn->last = conn->first == NULL ? NULL : conn->last;
        conn->queued--;
        conn->queued_bytes -= m->len;
    }
    return m;
}

int hf_ws_conn_writable(struct hf_ws_conn *conn)
{
    if (conn->closing) {
        return -1;
    }
    /* The buffer is masked in place by a client: it is written once and thrown away. */
    HF_AUTOFREE struct hf_ws_message *m = next_message(conn);
    if (m == NULL) {
        return 0;
    }
    if (HF_FAULT_HIT("ws.send")) {
        snprintf(conn->reason, sizeof(conn->reason), "fault point ws.send");
        return -1;
    }
    int n = lws_write(conn->wsi, m->bytes + LWS_PRE, m->len, LWS_WRITE_TEXT);
    if (n < (int)m->len) {
        return -1;
    }
    bool more = conn->first != NULL;
    for (int i = 0; i < HF_WS_LATEST_SLOTS && !more; i++) {
        more = conn->slots[i] != NULL;
    }
    if (more) {
        lws_callback_on_writable(conn->wsi);
    }
    return 0;
}

size_t hf_ws_queued(const struct hf_ws_conn *conn)
{
    return conn->queued;
}

const char *hf_ws_peer_uri(const struct hf_ws_conn *conn)
{
    return conn->uri;
}

const char *hf_ws_peer_address(const struct hf_ws_conn *conn)
{
    return conn->address;
}

void hf_ws_set_user(struct hf_ws_conn *conn, void *user)
{
    conn->user = user;
}

void *hf_ws_user(const struct hf_ws_conn *conn)
{
    return conn->user;
}
