/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of the websocket hub; ws*.c only (they alone include libwebsockets).
 */
#ifndef HF_IO_WS_INTERNAL_H
#define HF_IO_WS_INTERNAL_H

#include "common/base/buf.h"
#include "common/io/ws.h"

enum {
    HF_WS_PROBLEM_SIZE = 256,
    HF_WS_HOST_SIZE = 256,
    HF_WS_SUBPROTOCOL_SIZE = 64,
    HF_WS_PROTOCOLS = 3
};

/* libwebsockets' own; this header must not include it. */
struct lws;
struct lws_context;
struct lws_protocols;
struct lws_vhost;

/* Something with a libwebsockets vhost. Lives until the hub is freed: libwebsockets keeps pointers
 * into it (protocols, paths). */
struct hf_ws_endpoint {
    struct hf_ws_hub *hub;
    struct lws_vhost *vhost;
    struct lws_protocols *protocols; /* HF_WS_PROTOCOLS of them; .user points to the owner below */
    void *owner;
    void (*free_owner)(void *owner);
    char *ca;
    char *certificate;
    char *key;
    char host[HF_WS_HOST_SIZE];
    int port; /* of a listener; 0 = none */
    char subprotocol[HF_WS_SUBPROTOCOL_SIZE];
    struct hf_ws_endpoint *next;
};

struct hf_ws_hub {
    struct hf_loop *loop;
    struct lws_context *context;
    struct hf_ws_endpoint *endpoints;
    struct hf_timer *step;
    int clients;
    int servicing; /* within lws_service */
    bool freeing;
};

struct hf_ws_message {
    struct hf_ws_message *next;
    size_t len;
    unsigned char bytes[]; /* LWS_PRE, then the text */
};

struct hf_ws_conn {
    struct hf_ws_hub *hub;
    struct lws *wsi;
    const struct hf_ws_callbacks *callbacks;
    void *arg;
    struct hf_ws_server *server; /* one of the two */
    struct hf_ws_client *client;
    void *user;
    bool open;    /* announced */
    bool closing; /* no more is taken or delivered */
    bool ended;   /* closed was called; memory waits for the callback on the stack */
    int depth;
    struct hf_ws_message *slots[HF_WS_LATEST_SLOTS];
    struct hf_ws_message *first;
    struct hf_ws_message *last;
    size_t queued;
    size_t queued_bytes;
    struct hf_buf incoming;
    char uri[HF_TLS_URI_SIZE];
    char address[64];
    char reason[128];
};

/* "host:port", host an IP address or localhost ([v6] in brackets). */
hf_result hf_ws_parse_address(const char *text, char ret_host[HF_WS_HOST_SIZE], int *ret_port,
                              struct hf_err *err) HF_MUST_USE;
/* A new endpoint with copies of the TLS paths; registered with the hub (freed there). */
struct hf_ws_endpoint *hf_ws_endpoint_new(struct hf_ws_hub *hub, const struct hf_tls_files *tls);
/* Records where a listener's endpoint will listen. libwebsockets would let two vhosts share one
 * port and choose by the name that the client gives: a port with client certificates must have no
 * neighbour without. HF_E_IO. */
hf_result hf_ws_endpoint_claim(struct hf_ws_endpoint *e, const char *host, int port,
                               struct hf_err *err) HF_MUST_USE;
/* For callbacks of protocols[0]: the answer to libwebsockets' certificate verification. */
int hf_ws_verify_answer(size_t preverified);
void hf_ws_log_refused(const char *side, const char *peer, const struct hf_err *err);

/* ws_conn.c */
struct hf_ws_conn *hf_ws_conn_new(struct hf_ws_hub *hub, const struct hf_ws_callbacks *callbacks,
                                  void *arg);
/* Around what may call the owner: its memory stays until the outermost leave. */
void hf_ws_conn_enter(struct hf_ws_conn *conn);
void hf_ws_conn_leave(struct hf_ws_conn *conn);
/* Announces it. */
void hf_ws_conn_opened(struct hf_ws_conn *conn);
/* Takes a piece of a message; non-zero = close (libwebsockets' return code). */
int hf_ws_conn_receive(struct hf_ws_conn *conn, const char *bytes, size_t len);
/* Sends the next message; non-zero = close. */
int hf_ws_conn_writable(struct hf_ws_conn *conn);
/* The end: calls closed if it was open, detaches from libwebsockets, frees. */
void hf_ws_conn_end(struct hf_ws_conn *conn, const char *reason);

/* ws_client.c: the connection of a client has ended; connects again. */
void hf_ws_client_lost(struct hf_ws_client *client, const char *reason);
/* ws_server.c */
void hf_ws_server_lost(struct hf_ws_server *server);

#endif
