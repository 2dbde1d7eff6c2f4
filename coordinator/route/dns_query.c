/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/dns_query.h"

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"

#include <ldns/ldns.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct hf_dns_query {
    struct hf_loop *loop;
    struct hf_watch *watch;
    struct hf_timer *timer;
    int fd;
    int tries;
    uint16_t id;
    enum hf_route_type type;
    char name[HF_POLICY_DNS_NAME_SIZE];
    char server[HF_ADDRESS_SIZE];
    uint8_t packet[HF_DNS_PACKET_MAX];
    size_t packet_len;
    hf_dns_done done;
    void *arg;
    struct hf_err failure; /* of the last try */
};

static ldns_rr_type rr_type(enum hf_route_type type)
{
    switch (type) {
    case HF_ROUTE_AAAA:
        return LDNS_RR_TYPE_AAAA;
    case HF_ROUTE_CNAME:
        return LDNS_RR_TYPE_CNAME;
    case HF_ROUTE_A:
    default:
        return LDNS_RR_TYPE_A;
    }
}

hf_result hf_dns_build(const char *name, enum hf_route_type type, uint16_t id, uint8_t *ret,
                       size_t size, size_t *ret_len, struct hf_err *err)
{
    ldns_rdf *owner = ldns_dname_new_frm_str(name);
    if (owner == NULL) {
        return hf_fail(err, HF_E_INVALID, "%s is not a DNS name", name);
    }
    /* No recursion: the servers are asked for what they hold themselves. */
    ldns_pkt *packet = ldns_pkt_query_new(owner, rr_type(type), LDNS_RR_CLASS_IN, 0);
    if (packet == NULL) {
        ldns_rdf_deep_free(owner);
        return hf_fail(err, HF_E_INTERNAL, "no DNS packet for %s", name);
    }
    ldns_pkt_set_id(packet, id);
    uint8_t *wire = NULL;
    size_t len = 0;
    ldns_status status = ldns_pkt2wire(&wire, packet, &len);
    ldns_pkt_free(packet);
    hf_result r = hf_done();
    if (status != LDNS_STATUS_OK || len > size) {
        r = hf_fail(err, HF_E_INVALID, "DNS question for %s: %s", name,
                    ldns_get_errorstr_by_id(status));
    } else {
        memcpy(ret, wire, len);
        *ret_len = len;
    }
    LDNS_FREE(wire);
    return r;
}

static bool same_question(const ldns_pkt *packet, const ldns_rdf *owner, ldns_rr_type type)
{
    const ldns_rr_list *questions = ldns_pkt_question(packet);
    if (ldns_rr_list_rr_count(questions) != 1) {
        return false;
    }
    const ldns_rr *q = ldns_rr_list_rr(questions, 0);
    return ldns_rr_get_type(q) == type && ldns_dname_compare(ldns_rr_owner(q), owner) == 0;
}

static void take_answers(const ldns_pkt *packet, const ldns_rdf *owner, ldns_rr_type type,
                         struct hf_dns_answer *ret)
{
    const ldns_rr_list *answers = ldns_pkt_answer(packet);
    for (size_t i = 0; i < ldns_rr_list_rr_count(answers); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answers, i);
        if (ldns_rr_get_type(rr) != type || ldns_dname_compare(ldns_rr_owner(rr), owner) != 0 ||
            ldns_rr_rd_count(rr) != 1) {
            continue;
        }
        if (ret->count < HF_DNS_VALUES) {
            char *text = ldns_rdf2str(ldns_rr_rdf(rr, 0));
            (void)snprintf(ret->values[ret->count], sizeof ret->values[0], "%s",
                           text != NULL ? text : "");
            LDNS_FREE(text);
        }
        ret->count++;
        ret->ttl = HF_SEC(ldns_rr_ttl(rr));
    }
}

hf_result hf_dns_parse(const uint8_t *bytes, size_t len, const char *name, enum hf_route_type type,
                       uint16_t id, struct hf_dns_answer *ret, struct hf_err *err)
{
    ldns_pkt *packet = NULL;
    ldns_status status = ldns_wire2pkt(&packet, bytes, len);
    if (status != LDNS_STATUS_OK) {
        return hf_fail(err, HF_E_CORRUPT, "DNS answer: %s", ldns_get_errorstr_by_id(status));
    }
    ldns_rdf *owner = ldns_dname_new_frm_str(name);
    hf_result r = hf_done();
    if (owner == NULL) {
        r = hf_fail(err, HF_E_INVALID, "%s is not a DNS name", name);
    } else if (!ldns_pkt_qr(packet) || ldns_pkt_id(packet) != id ||
               !same_question(packet, owner, rr_type(type))) {
        r = hf_fail(err, HF_E_STALE, "DNS packet is not the answer to the question");
    } else if (ldns_pkt_tc(packet)) {
        r = hf_fail(err, HF_E_CORRUPT, "DNS answer for %s is truncated", name);
    } else {
        struct hf_dns_answer answer = {.rcode = (int)ldns_pkt_get_rcode(packet),
                                       .authoritative = ldns_pkt_aa(packet)};
        take_answers(packet, owner, rr_type(type), &answer);
        *ret = answer;
    }
    ldns_rdf_deep_free(owner);
    ldns_pkt_free(packet);
    return r;
}

bool hf_dns_answer_is(const struct hf_dns_answer *answer, const char *value)
{
    return answer->rcode == 0 && answer->authoritative && answer->count == 1 &&
           strcasecmp(answer->values[0], value) == 0;
}

/* --- the query --- */

hf_result hf_dns_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                         struct hf_err *err)
{
    char host[HF_ADDRESS_SIZE];
    const char *colon = strrchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : 0;
    if (n == 0 || n >= sizeof host) {
        return hf_fail(err, HF_E_INVALID, "DNS server %s is not an address with a port", text);
    }
    memcpy(host, text, n);
    host[n] = '\0';
    char *end = NULL;
    errno = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (errno != 0 || end == colon + 1 || *end != '\0' || port == 0 || port > 65535) {
        return hf_fail(err, HF_E_INVALID, "DNS server %s has no port from 1 to 65535", text);
    }
    *ret = (struct sockaddr_storage){0};
    if (host[0] == '[' && host[n - 1] == ']') {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        host[n - 1] = '\0';
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        *ret_len = sizeof *in6;
        if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1) {
            return hf_done();
        }
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        *ret_len = sizeof *in;
        if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "DNS server %s is not a numeric address", text);
}

static void query_free(struct hf_dns_query *q)
{
    hf_loop_unwatch(q->watch);
    hf_timer_free(q->timer);
    if (q->fd >= 0) {
        (void)close(q->fd);
    }
    hf_free(q);
}

void hf_dns_query_cancel(struct hf_dns_query *q)
{
    if (q != NULL) {
        query_free(q);
    }
}

static void query_end(struct hf_dns_query *q, hf_result result, const struct hf_dns_answer *answer)
{
    hf_dns_done done = q->done;
    void *arg = q->arg;
    struct hf_err err = q->failure;
    query_free(q);
    done(arg, result, answer, &err);
}

static void query_try(void *arg)
{
    struct hf_dns_query *q = arg;
    if (q->tries == HF_DNS_TRIES) {
        if (q->failure.code == HF_OK) {
            (void)hf_fail(&q->failure, HF_E_TIMEOUT, "DNS server %s: no answer to %d questions",
                          q->server, (int)HF_DNS_TRIES);
        }
        query_end(q, (hf_result){q->failure.code}, NULL);
        return;
    }
    q->tries++;
    if (HF_FAULT_HIT("dns.send")) {
        (void)hf_fail(&q->failure, HF_E_UNREACHABLE, "DNS server %s: fault point dns.send",
                      q->server);
    } else if (send(q->fd, q->packet, q->packet_len, MSG_NOSIGNAL) < 0) {
        (void)hf_fail_errno(&q->failure, errno, "DNS server %s", q->server);
        q->failure.code = HF_E_UNREACHABLE;
    }
    hf_timer_after(q->timer, HF_MS(HF_DNS_TRY_MS));
}

static void query_readable(void *arg, int fd, unsigned events)
{
    struct hf_dns_query *q = arg;
    uint8_t packet[4096];
    struct hf_dns_answer answer;
    (void)events;
    ssize_t n = recv(fd, packet, sizeof packet, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) { /* refused: the next try may find it */
            (void)hf_fail_errno(&q->failure, errno, "DNS server %s", q->server);
            q->failure.code = HF_E_UNREACHABLE;
        }
        return;
    }
    hf_result r = hf_dns_parse(packet, (size_t)n, q->name, q->type, q->id, &answer, &q->failure);
    if (hf_ok(r)) {
        q->failure.code = HF_OK;
        query_end(q, r, &answer);
    }
    /* Another packet than the answer is dropped: the real one may come yet. */
}

static hf_result query_open(struct hf_dns_query *q, struct hf_err *err)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    HF_TRY(hf_dns_address(q->server, &address, &len, err));
    q->fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (q->fd < 0) {
        return hf_fail_errno(err, errno, "DNS socket");
    }
    /* Connected: the kernel drops what comes from anybody else. */
    if (connect(q->fd, (const struct sockaddr *)&address, len) != 0) {
        return hf_fail_errno(err, errno, "DNS server %s", q->server);
    }
    return hf_loop_watch(q->loop, q->fd, HF_LOOP_READ, query_readable, q, &q->watch, err);
}

hf_result hf_dns_query_start(struct hf_loop *loop, const char *server, const char *name,
                             enum hf_route_type type, hf_dns_done done, void *arg,
                             struct hf_dns_query **ret, struct hf_err *err)
{
    struct hf_dns_query *q = hf_alloc(sizeof *q);
    q->loop = loop;
    q->fd = -1;
    q->type = type;
    q->done = done;
    q->arg = arg;
    q->id = (uint16_t)hf_random_u64();
    (void)snprintf(q->name, sizeof q->name, "%s", name);
    (void)snprintf(q->server, sizeof q->server, "%s", server);
    hf_result r = hf_dns_build(name, type, q->id, q->packet, sizeof q->packet, &q->packet_len, err);
    if (hf_ok(r)) {
        r = query_open(q, err);
    }
    if (!hf_ok(r)) {
        query_free(q);
        return r;
    }
    q->timer = hf_timer_new(loop, query_try, q);
    hf_timer_after(q->timer, HF_MS(1));
    *ret = q;
    return hf_done();
}
