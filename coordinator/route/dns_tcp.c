/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/dns_tcp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "coordinator/route/dns_query.h"

struct hf_dns_tcp {
    struct hf_watch *watch;
    struct hf_timer *timer;
    int fd;
    bool connected; /* something may have been sent */
    char server[HF_ADDRESS_SIZE];
    uint8_t *out; /* length and message */
    size_t out_len, sent;
    uint8_t *in; /* length and answer */
    size_t received;
    hf_dns_tcp_done done;
    void *arg;
};

static void tcp_free(struct hf_dns_tcp *t)
{
    hf_loop_unwatch(t->watch);
    hf_timer_free(t->timer);
    if (t->fd >= 0) {
        (void)close(t->fd);
    }
    hf_free(t->out);
    hf_free(t->in);
    hf_free(t);
}

void hf_dns_tcp_cancel(struct hf_dns_tcp *t)
{
    if (t != NULL) {
        tcp_free(t);
    }
}

static void tcp_fail(struct hf_dns_tcp *t, const struct hf_err *err)
{
    hf_dns_tcp_done done = t->done;
    void *arg = t->arg;
    tcp_free(t);
    done(arg, (hf_result){err->code}, NULL, 0, err);
}

/* saved_errno 0: the server closed the connection. */
static void tcp_broken(struct hf_dns_tcp *t, int saved_errno)
{
    struct hf_err err;
    if (saved_errno == 0) {
        (void)hf_fail(&err, HF_E_TIMEOUT, "DNS server %s closed the connection without an answer",
                      t->server);
    } else {
        (void)hf_fail_errno(&err, saved_errno, "DNS server %s", t->server);
        err.code = t->connected ? HF_E_TIMEOUT : HF_E_UNREACHABLE;
    }
    tcp_fail(t, &err);
}

static void tcp_late(void *arg)
{
    struct hf_dns_tcp *t = arg;
    struct hf_err err;
    (void)hf_fail(&err, t->connected ? HF_E_TIMEOUT : HF_E_UNREACHABLE,
                  t->connected ? "DNS server %s: no answer in time"
                               : "DNS server %s: no connection",
                  t->server);
    tcp_fail(t, &err);
}

static void tcp_send(struct hf_dns_tcp *t)
{
    int problem = 0;
    socklen_t len = sizeof problem;
    if (!t->connected) {
        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &problem, &len) != 0 || problem != 0) {
            tcp_broken(t, problem != 0 ? problem : errno);
            return;
        }
        t->connected = true;
    }
    ssize_t n = send(t->fd, t->out + t->sent, t->out_len - t->sent, MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            tcp_broken(t, errno);
        }
        return;
    }
    t->sent += (size_t)n;
    if (t->sent == t->out_len) {
        hf_loop_modify(t->watch, HF_LOOP_READ);
    }
}

static void tcp_receive(struct hf_dns_tcp *t)
{
    size_t want = 2;
    if (t->received >= 2) {
        want += (size_t)t->in[0] << 8 | t->in[1];
    }
    ssize_t n = recv(t->fd, t->in + t->received, want - t->received, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            tcp_broken(t, n == 0 ? 0 : errno);
        }
        return;
    }
    t->received += (size_t)n;
    if (t->received < 2 || t->received < 2 + ((size_t)t->in[0] << 8 | t->in[1])) {
        return;
    }
    hf_dns_tcp_done done = t->done;
    void *arg = t->arg;
    HF_AUTOFREE uint8_t *answer = t->in;
    size_t len = t->received - 2;
    t->in = NULL;
    tcp_free(t);
    done(arg, hf_done(), answer + 2, len, NULL);
}

static void tcp_ready(void *arg, int fd, unsigned events)
{
    struct hf_dns_tcp *t = arg;
    (void)fd;
    (void)events; /* an error shows itself in the next call */
    if (t->sent < t->out_len) {
        tcp_send(t);
    } else {
        tcp_receive(t);
    }
}

static hf_result tcp_open(struct hf_dns_tcp *t, struct hf_loop *loop, struct hf_err *err)
{
    struct sockaddr_storage address;
    socklen_t len = 0;
    HF_TRY(hf_dns_address(t->server, &address, &len, err));
    t->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0) {
        return hf_fail_errno(err, errno, "DNS socket");
    }
    if (connect(t->fd, (const struct sockaddr *)&address, len) != 0 && errno != EINPROGRESS) {
        (void)hf_fail_errno(err, errno, "DNS server %s", t->server);
        return err != NULL ? (err->code = HF_E_UNREACHABLE, (hf_result){HF_E_UNREACHABLE})
                           : (hf_result){HF_E_UNREACHABLE};
    }
    return hf_loop_watch(loop, t->fd, HF_LOOP_WRITE, tcp_ready, t, &t->watch, err);
}

hf_result hf_dns_tcp_start(struct hf_loop *loop, const char *server, const uint8_t *packet,
                           size_t len, hf_dur timeout, hf_dns_tcp_done done, void *arg,
                           struct hf_dns_tcp **ret, struct hf_err *err)
{
    if (len > HF_DNS_TCP_MAX) {
        return hf_fail(err, HF_E_LIMIT, "DNS message of %zu bytes", len);
    }
    struct hf_dns_tcp *t = hf_alloc(sizeof *t);
    t->fd = -1;
    t->done = done;
    t->arg = arg;
    (void)snprintf(t->server, sizeof t->server, "%s", server);
    t->out = hf_alloc(len + 2);
    t->out[0] = (uint8_t)(len >> 8);
    t->out[1] = (uint8_t)len;
    memcpy(t->out + 2, packet, len);
    t->out_len = len + 2;
    t->in = hf_alloc(HF_DNS_TCP_MAX + 2);
    hf_result r = tcp_open(t, loop, err);
    if (!hf_ok(r)) {
        tcp_free(t);
        return r;
    }
    t->timer = hf_timer_new(loop, tcp_late, t);
    hf_timer_after(t->timer, timeout);
    *ret = t;
    return hf_done();
}
