/* SPDX-License-Identifier: Apache-2.0
 *
 * The agents' side of a coordinator: their websocket sessions. Every coordinator, leading or not,
 * with or without etcd, keeps the newest heartbeat of every node and relays the failsafe's promises
 * between agents of one cluster (rule L4).
 * Invariants: a session speaks for exactly the node of its certificate: hello must agree with it,
 * and nothing before hello counts; a message is relayed only within the sender's own tenant and
 * cluster and only in its own name; one session a node (a newer one replaces the older); at most
 * HF_MAX_CLUSTERS * HF_MAX_NODES sessions. Loop thread only.
 */
#ifndef HF_COORDINATOR_HUB_H
#define HF_COORDINATOR_HUB_H

#include "common/core/identity.h"
#include "common/io/ws.h"
#include "coordinator/state/warm.h"

struct hf_hub;

struct hf_hub_callbacks {
    /* A heartbeat was taken; arrived errs late (rule L2). */
    void (*beat)(void *arg, struct hf_warm_node *n, hf_lclk arrived);
    /* connected, or not any more. */
    void (*session)(void *arg, struct hf_warm_node *n, bool connected);
    /* Must be persisted; then hf_hub_report_ack is called, at once or later, or never. */
    void (*report)(void *arg, struct hf_warm_node *n, const struct hf_report *report);
};

struct hf_hub_config {
    const char *listen;
    struct hf_tls_files tls;
    const char *trust_domain;
    int margin_ppm;
};

/* ws and warm outlive the hub's sessions: free the websocket hub first (that closes all), then
 * this. */
hf_result hf_hub_new(struct hf_ws_hub *ws, struct hf_warm *warm, const struct hf_hub_config *config,
                     const struct hf_hub_callbacks *callbacks, void *arg, struct hf_hub **ret,
                     struct hf_err *err) HF_MUST_USE;
void hf_hub_free(struct hf_hub *hub);
int hf_hub_port(const struct hf_hub *hub);
size_t hf_hub_sessions(const struct hf_hub *hub);

/* Ends sessions that did not say hello in time. Every second or so. */
void hf_hub_tick(struct hf_hub *hub, hf_lclk now);

/* To one node, latest wins by kind of message: an unsent older grant, view, or command of the same
 * kind is replaced (the senders repeat). False when the node is not connected. */
bool hf_hub_send(struct hf_hub *hub, struct hf_warm_node *n, const struct hf_message *m);
void hf_hub_report_ack(struct hf_hub *hub, struct hf_warm_node *n, const char *id);

struct hf_hub_counters {
    uint64_t accepted;
    uint64_t refused; /* by identity or hello */
    uint64_t beats;
    uint64_t relayed;
    uint64_t relay_dropped; /* receiver not connected here, or too many */
    uint64_t reports;
    uint64_t invalid;
};
const struct hf_hub_counters *hf_hub_counters(const struct hf_hub *hub);

/* Pure parts, for tests. */

/* Does the hello agree with the certificate's identity? HF_E_DENIED names what differs. */
hf_result hf_hub_check_hello(const struct hf_identity *identity, const struct hf_hello *hello,
                             struct hf_err *err) HF_MUST_USE;
/* Who must get this promise message that `from` sent: the node, or NULL with *ret_why. */
struct hf_warm_node *hf_hub_relay_target(const struct hf_warm_node *from,
                                         const struct hf_message *m, const char **ret_why);

#endif
