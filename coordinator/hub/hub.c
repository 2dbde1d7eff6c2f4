/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/hub/hub.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"

#include <stdio.h>
#include <string.h>

enum {
    HUB_SESSIONS_MAX = HF_MAX_CLUSTERS * HF_MAX_NODES,
    SLOT_GRANT = 0,
    SLOT_VIEW = 1,
    SLOT_COMMAND = 2, /* and one more for each kind */
    RELAY_BURST = 256,
    RELAY_PER_SECOND = 128
};
_Static_assert(SLOT_COMMAND + HF_COMMAND_KINDS <= HF_WS_LATEST_SLOTS, "a slot a kind");

static const hf_dur HELLO_LIMIT = {5000000};

struct session {
    struct hf_hub *hub;
    struct hf_ws_conn *conn;
    struct hf_identity identity;
    struct hf_warm_node *node; /* NULL until hello */
    hf_lclk opened;
    hf_lclk relay_at; /* bucket of relayed messages */
    int relay_left;
    struct session *next;
    struct session *previous;
};

struct hf_hub {
    struct hf_warm *warm;
    struct hf_ws_server *server;
    char trust_domain[HF_TRUST_DOMAIN_SIZE];
    int margin_ppm;
    struct hf_hub_callbacks callbacks;
    void *arg;
    size_t count;
    struct session *sessions;
    struct hf_hub_counters counters;
    struct hf_message message; /* the one being decoded */
    struct hf_message answer;
};

static hf_result hub_accept(void *arg, const char *uri, struct hf_err *err)
{
    struct hf_hub *h = arg;
    struct hf_identity identity;
    hf_result r = hf_identity_parse(uri, h->trust_domain, &identity, err);
    if (hf_ok(r) && identity.kind != HF_IDENTITY_AGENT) {
        r = hf_fail(err, HF_E_DENIED, "%s is not an agent's certificate", uri);
    }
    if (hf_ok(r) && h->count >= HUB_SESSIONS_MAX) {
        r = hf_fail(err, HF_E_LIMIT, "%d sessions are open already", (int)HUB_SESSIONS_MAX);
    }
    if (!hf_ok(r)) {
        h->counters.refused++;
        hf_log(HF_LOG_WARNING, "AGENT_REFUSED", "a connection was refused", HF_KV("uri", uri),
               HF_KV_ERR(err));
    }
    return r;
}

static void hub_open(void *arg, struct hf_ws_conn *conn)
{
    struct hf_hub *h = arg;
    struct session *s = hf_alloc(sizeof *s);
    struct hf_err err;
    s->hub = h;
    s->conn = conn;
    s->opened = hf_clock_lease();
    s->relay_at = s->opened;
    s->relay_left = RELAY_BURST;
    s->next = h->sessions;
    if (h->sessions != NULL) {
        h->sessions->previous = s;
    }
    h->sessions = s;
    h->count++;
    hf_ws_set_user(conn, s);
    if (!hf_ok(hf_identity_parse(hf_ws_peer_uri(conn), h->trust_domain, &s->identity, &err))) {
        hf_ws_close(conn, err.text);
        return;
    }
    h->counters.accepted++;
}

static void session_detach(struct session *s)
{
    struct hf_warm_node *n = s->node;
    s->node = NULL;
    if (n != NULL && n->session == s) {
        n->session = NULL;
        n->view.connected = false;
        s->hub->callbacks.session(s->hub->arg, n, false);
    }
}

static void hub_closed(void *arg, struct hf_ws_conn *conn, const char *reason)
{
    struct hf_hub *h = arg;
    struct session *s = hf_ws_user(conn);
    if (s == NULL) {
        return;
    }
    hf_log(HF_LOG_INFO, "AGENT_GONE", "an agent's connection is closed",
           HF_KV("uri", hf_ws_peer_uri(conn)), HF_KV("reason", reason));
    session_detach(s);
    if (s->next != NULL) {
        s->next->previous = s->previous;
    }
    if (s->previous != NULL) {
        s->previous->next = s->next;
    } else {
        h->sessions = s->next;
    }
    h->count--;
    hf_ws_set_user(conn, NULL);
    hf_free(s);
}

static hf_result session_hello(struct session *s, const struct hf_hello *hello, struct hf_err *err)
{
    struct hf_hub *h = s->hub;
    struct hf_warm_cluster *c = NULL;
    struct hf_warm_node *n = NULL;
    if (s->node != NULL) {
        return hf_fail(err, HF_E_INVALID, "hello came twice");
    }
    HF_TRY(hf_hub_check_hello(&s->identity, hello, err));
    HF_TRY(hf_warm_get(h->warm, &hello->tenant, &hello->cluster, &c, err));
    if (c->policy != NULL) {
        const struct hf_policy_node *p = hf_policy_node(c->policy, hello->node.s);
        if (p != NULL && !hf_name_equal(&p->region, &hello->region)) {
            return hf_fail(err, HF_E_DENIED, "node %s lies in region %s by the policy, not in %s",
                           hello->node.s, p->region.s, hello->region.s);
        }
    }
    HF_TRY(hf_warm_node_get(c, &hello->node, &n, err));
    struct session *old = n->session;
    n->session = s;
    n->hello = *hello;
    n->view.region = hello->region;
    (void)snprintf(n->view.address, sizeof n->view.address, "%s", hello->address);
    n->view.connected = true;
    n->connected_at = hf_clock_lease();
    s->node = n;
    if (old != NULL) {
        old->node = NULL;
        hf_ws_close(old->conn, "replaced by a newer connection of the same node");
    }
    hf_log(HF_LOG_INFO, "AGENT_HERE", "an agent is connected", HF_KV("tenant", c->tenant.s),
           HF_KV("cluster", c->cluster.s), HF_KV("node", n->view.name.s),
           HF_KV("region", n->view.region.s), HF_KV("version", hello->version));
    h->callbacks.session(h->arg, n, true);
    return hf_done();
}

/* A bounded number of relayed messages a second for each sender. */
static bool relay_allowed(struct session *s, hf_lclk now)
{
    int64_t earned = hf_lclk_sub(now, s->relay_at).us * RELAY_PER_SECOND / 1000000;
    if (earned > 0) {
        s->relay_at = now;
        s->relay_left =
            earned > RELAY_BURST - s->relay_left ? RELAY_BURST : s->relay_left + (int)earned;
    }
    if (s->relay_left == 0) {
        return false;
    }
    s->relay_left--;
    return true;
}

static void session_relay(struct session *s, const struct hf_message *m, const char *text,
                          size_t len)
{
    struct hf_hub *h = s->hub;
    const char *why = "";
    struct hf_err err;
    struct hf_warm_node *to = hf_hub_relay_target(s->node, m, &why);
    if (to == NULL) {
        h->counters.relay_dropped++;
        hf_log(HF_LOG_WARNING, "RELAY_REFUSED", "a promise message was not relayed",
               HF_KV("node", s->node->view.name.s), HF_KV("why", why));
        return;
    }
    const struct session *target = to->session;
    if (target == NULL || !relay_allowed(s, hf_clock_lease()) ||
        !hf_ok(hf_ws_send(target->conn, text, len, &err))) {
        h->counters.relay_dropped++; /* another coordinator may reach it; the holder asks again */
        return;
    }
    h->counters.relayed++;
}

static hf_result session_message(struct session *s, const char *text, size_t len,
                                 struct hf_err *err)
{
    struct hf_hub *h = s->hub;
    struct hf_message *m = &h->message;
    hf_lclk arrived = hf_clock_lease_high();
    HF_TRY(hf_message_decode(text, len, m, err));
    if (m->type == HF_MESSAGE_HELLO) {
        return session_hello(s, &m->hello, err);
    }
    if (s->node == NULL) {
        return hf_fail(err, HF_E_INVALID, "%s came before hello", hf_message_type_name(m->type));
    }
    switch (m->type) {
    case HF_MESSAGE_HEARTBEAT:
        h->counters.beats++;
        if (hf_warm_beat(s->node, &m->heartbeat, arrived, hf_clock_wall(), h->margin_ppm)) {
            h->callbacks.beat(h->arg, s->node, arrived);
        }
        return hf_done();
    case HF_MESSAGE_PROMISE_REQUEST:
    case HF_MESSAGE_PROMISE_REPLY:
        session_relay(s, m, text, len);
        return hf_done();
    case HF_MESSAGE_REPORT:
        h->counters.reports++;
        h->callbacks.report(h->arg, s->node, &m->report);
        return hf_done();
    case HF_MESSAGE_HELLO:
    case HF_MESSAGE_GRANT:
    case HF_MESSAGE_VIEW:
    case HF_MESSAGE_COMMAND:
    case HF_MESSAGE_REPORT_ACK:
    case HF_MESSAGE_TYPES:
    default:
        return hf_fail(err, HF_E_INVALID, "an agent does not send %s",
                       hf_message_type_name(m->type));
    }
}

static void hub_message(void *arg, struct hf_ws_conn *conn, const char *text, size_t len)
{
    struct hf_hub *h = arg;
    struct session *s = hf_ws_user(conn);
    struct hf_err err;
    if (s == NULL) {
        return;
    }
    hf_result r = session_message(s, text, len, &err);
    if (hf_ok(r)) {
        return;
    }
    if (r.code == HF_E_DENIED) {
        h->counters.refused++;
    } else {
        h->counters.invalid++;
    }
    hf_log(HF_LOG_WARNING, r.code == HF_E_DENIED ? "AGENT_REFUSED" : "AGENT_MESSAGE_INVALID",
           "an agent's message was refused and its connection closed",
           HF_KV("uri", hf_ws_peer_uri(conn)), HF_KV("address", hf_ws_peer_address(conn)),
           HF_KV_ERR(&err));
    hf_ws_close(conn, err.text);
}

hf_result hf_hub_new(struct hf_ws_hub *ws, struct hf_warm *warm, const struct hf_hub_config *config,
                     const struct hf_hub_callbacks *callbacks, void *arg, struct hf_hub **ret,
                     struct hf_err *err)
{
    static const struct hf_ws_callbacks events = {
        .accept = hub_accept, .open = hub_open, .message = hub_message, .closed = hub_closed};
    const struct hf_ws_server_config server = {.listen = config->listen, .tls = config->tls};
    HF_AUTOFREE struct hf_hub *h = hf_alloc(sizeof *h);
    h->warm = warm;
    h->callbacks = *callbacks;
    h->arg = arg;
    h->margin_ppm = config->margin_ppm;
    (void)snprintf(h->trust_domain, sizeof h->trust_domain, "%s", config->trust_domain);
    HF_TRY(hf_ws_server_new(ws, &server, &events, h, &h->server, err));
    *ret = h;
    h = NULL;
    return hf_done();
}

void hf_hub_free(struct hf_hub *hub)
{
    hf_free(hub);
}

int hf_hub_port(const struct hf_hub *hub)
{
    return hf_ws_server_port(hub->server);
}

size_t hf_hub_sessions(const struct hf_hub *hub)
{
    return hub->count;
}

void hf_hub_tick(struct hf_hub *hub, hf_lclk now)
{
    for (struct session *s = hub->sessions; s != NULL; s = s->next) {
        if (s->node == NULL && hf_lclk_reached(now, hf_lclk_add(s->opened, HELLO_LIMIT))) {
            hf_ws_close(s->conn, "no hello in time, or replaced");
        }
    }
}

bool hf_hub_send(struct hf_hub *hub, struct hf_warm_node *n, const struct hf_message *m)
{
    const struct session *s = n->session;
    struct hf_err err;
    HF_BUF(text, HF_MESSAGE_MAX);
    (void)hub;
    if (s == NULL) {
        return false;
    }
    unsigned slot = SLOT_GRANT;
    if (m->type == HF_MESSAGE_VIEW) {
        slot = SLOT_VIEW;
    } else if (m->type == HF_MESSAGE_COMMAND) {
        slot = SLOT_COMMAND + (unsigned)m->command.kind;
    } else {
        HF_ASSERT(m->type == HF_MESSAGE_GRANT);
    }
    hf_result r = hf_message_encode(m, &text, &err);
    if (hf_ok(r)) {
        r = hf_ws_send_latest(s->conn, slot, text.data, text.len, &err);
    }
    if (!hf_ok(r)) {
        hf_log(HF_LOG_WARNING, "SEND_FAILED", "a message to an agent was not sent",
               HF_KV("node", n->view.name.s), HF_KV("type", hf_message_type_name(m->type)),
               HF_KV_ERR(&err));
    }
    return hf_ok(r);
}

void hf_hub_report_ack(struct hf_hub *hub, struct hf_warm_node *n, const char *id)
{
    const struct session *s = n->session;
    struct hf_message *m = &hub->answer;
    struct hf_err err;
    HF_BUF(text, HF_MESSAGE_MAX);
    if (s == NULL) {
        return; /* the agent sends the report again */
    }
    m->type = HF_MESSAGE_REPORT_ACK;
    (void)snprintf(m->report_ack.id, sizeof m->report_ack.id, "%s", id);
    if (hf_ok(hf_message_encode(m, &text, &err))) {
        HF_IGNORE(hf_ws_send(s->conn, text.data, text.len, &err),
                  "an unacknowledged report comes again");
    }
}

const struct hf_hub_counters *hf_hub_counters(const struct hf_hub *hub)
{
    return &hub->counters;
}
