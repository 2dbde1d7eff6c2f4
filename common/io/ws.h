/* SPDX-License-Identifier: Apache-2.0
 *
 * Websockets over TLS, on libwebsockets' default poll loop. A hub is one libwebsockets context
 * bound to an event loop: the loop's descriptor is adopted, so that hf_ws_run drives both on one
 * thread. Servers (own port, client certificates mandatory, path and subprotocol fixed), clients
 * (reconnect by themselves), and the HTTP servers of common/io/ws_http.h live in it.
 * Invariants: everything here is called on the loop's thread only (other threads use hf_loop_post);
 * a peer is announced only after its certificate was verified against the CA, it asked for the
 * right path and subprotocol, and the accept callback agreed; `open` and `closed` come in pairs,
 * exactly once each; a connection's pointer is good from `open` until `closed` returns; every queue
 * is bounded, and overflow closes the connection with a reason.
 */
#ifndef HF_IO_WS_H
#define HF_IO_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "holdfast/types.h"

enum {
    HF_WS_MESSAGE_MAX = 262144, /* bytes of one text message, in or out */
    HF_WS_FIFO_MAX = 256,       /* messages waiting in the queue of one connection */
    HF_WS_FIFO_BYTES = 4194304, /* and their bytes */
    HF_WS_LATEST_SLOTS = 16,    /* latest-wins slots of one connection */
    HF_WS_SERVER_CONNECTIONS = 4096,
    HF_WS_CLIENTS = 8 /* clients of one hub */
};

struct hf_ws_hub;
struct hf_ws_server;
struct hf_ws_client;
struct hf_ws_conn;

hf_result hf_ws_hub_new(struct hf_loop *loop, struct hf_ws_hub **ret,
                        struct hf_err *err) HF_MUST_USE;
/* Closes everything (closed callbacks run) and frees servers and clients that are left. Do it
 * before hf_loop_free. NULL allowed; not from a callback. */
void hf_ws_hub_free(struct hf_ws_hub *hub);
/* Drives the hub and its loop until hf_loop_stop. */
hf_result hf_ws_run(struct hf_ws_hub *hub, struct hf_err *err) HF_MUST_USE;
/* One round of both, waiting at most so long: for tests. */
hf_result hf_ws_step(struct hf_ws_hub *hub, hf_dur max_wait, struct hf_err *err) HF_MUST_USE;
struct hf_loop *hf_ws_loop(struct hf_ws_hub *hub);

/* All with the arg given at creation. accept may be NULL (any verified peer with a URI name). */
struct hf_ws_callbacks {
    /* Server: before the upgrade is answered; client: before it counts as open. uri = identity of
     * the peer. Anything but HF_OK refuses; its text is logged. */
    hf_result (*accept)(void *arg, const char *uri, struct hf_err *err);
    void (*open)(void *arg, struct hf_ws_conn *conn);
    /* One whole text message, NUL-terminated besides; borrowed for the call. */
    void (*message)(void *arg, struct hf_ws_conn *conn, const char *text, size_t len);
    /* reason: short text for the log. */
    void (*closed)(void *arg, struct hf_ws_conn *conn, const char *reason);
};

/* --- connections (both sides) --- */

/* Queues one message after those that wait; the bytes are copied. HF_E_LIMIT: the queue is full and
 * the connection is being closed for it. HF_E_CANCELED: it is closing already. */
hf_result hf_ws_send(struct hf_ws_conn *conn, const char *text, size_t len,
                     struct hf_err *err) HF_MUST_USE;
/* Latest wins: replaces what waits in that slot (0 .. HF_WS_LATEST_SLOTS-1), if it was not sent
 * yet. Slots go out before the queue, lowest number first. Never fails for a full queue. */
hf_result hf_ws_send_latest(struct hf_ws_conn *conn, unsigned slot, const char *text, size_t len,
                            struct hf_err *err) HF_MUST_USE;
/* Messages of the FIFO that still wait. */
size_t hf_ws_queued(const struct hf_ws_conn *conn);
/* Closes soon; closed is called later, not from within this call. */
void hf_ws_close(struct hf_ws_conn *conn, const char *reason);
const char *hf_ws_peer_uri(const struct hf_ws_conn *conn);
const char *hf_ws_peer_address(const struct hf_ws_conn *conn); /* "127.0.1.1", for logs */
/* A pointer of the owner's. */
void hf_ws_set_user(struct hf_ws_conn *conn, void *user);
void *hf_ws_user(const struct hf_ws_conn *conn);

/* --- server --- */

struct hf_ws_server_config {
    const char *listen;      /* "127.0.1.1:7443", port 0 = any free one */
    const char *path;        /* NULL = "/v1/agent" */
    const char *subprotocol; /* NULL = "holdfast.v1" */
    struct hf_tls_files tls; /* all three needed */
};
/* HF_E_INVALID, HF_E_IO (address in use). */
hf_result hf_ws_server_new(struct hf_ws_hub *hub, const struct hf_ws_server_config *config,
                           const struct hf_ws_callbacks *callbacks, void *arg,
                           struct hf_ws_server **ret, struct hf_err *err) HF_MUST_USE;
int hf_ws_server_port(const struct hf_ws_server *server);
size_t hf_ws_server_count(const struct hf_ws_server *server); /* open connections */

/* --- client --- */

struct hf_ws_client_config {
    const char *url;         /* "wss://host:port", host an IP address or localhost */
    const char *path;        /* NULL = "/v1/agent" */
    const char *subprotocol; /* NULL = "holdfast.v1" */
    struct hf_tls_files tls; /* all three needed */
    /* The server's URI name must begin with this ("spiffe://lab/coordinator/"); NULL: its
     * certificate must name the URL's host. */
    const char *server_uri_prefix;
    hf_dur connect_timeout; /* 0 = 5 s: TCP, TLS and upgrade together */
    hf_dur backoff_min;     /* 0 = 250 ms; doubles with full jitter */
    hf_dur backoff_max;     /* 0 = 5 s */
};
/* Starts connecting at once and connects again after each loss, until freed. */
hf_result hf_ws_client_new(struct hf_ws_hub *hub, const struct hf_ws_client_config *config,
                           const struct hf_ws_callbacks *callbacks, void *arg,
                           struct hf_ws_client **ret, struct hf_err *err) HF_MUST_USE;
/* Closes (closed is called, before it returns, if open) and ends reconnecting. NULL allowed. */
void hf_ws_client_free(struct hf_ws_client *client);
struct hf_ws_conn *hf_ws_client_conn(struct hf_ws_client *client); /* NULL while not open */
/* Why it is not connected, "" when it is: for status displays. */
const char *hf_ws_client_problem(const struct hf_ws_client *client);

#endif
