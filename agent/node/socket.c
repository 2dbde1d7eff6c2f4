/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/log.h"

enum { HEADER = 4, BACKLOG = 64 };

struct conn {
    struct hf_socket *socket;
    int fd; /* -1 = free place */
    struct hf_watch *watch;
    uint64_t ticket; /* of the request under way, 0 = none */
    size_t got;
    char in[HEADER + HF_SOCKET_FRAME_MAX];
    struct hf_buf out;
    bool closing; /* after `out` is written */
};

struct hf_socket {
    struct hf_loop *loop;
    char path[108];
    int fd;
    struct hf_watch *watch;
    hf_socket_request fn;
    void *arg;
    uint64_t tickets;
    struct conn conns[HF_SOCKET_CONNECTIONS];
};

static void drop(struct conn *c)
{
    hf_loop_unwatch(c->watch);
    close(c->fd);
    hf_buf_free(&c->out);
    c->watch = NULL;
    c->fd = -1;
    c->ticket = 0;
}

static void want(struct conn *c)
{
    unsigned events = c->out.len > 0 ? HF_LOOP_WRITE : 0;
    events |= c->ticket == 0 && !c->closing ? HF_LOOP_READ : 0;
    hf_loop_modify(c->watch, events);
}

static void flush(struct conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (n <= 0) {
            drop(c);
            return;
        }
        hf_buf_consume(&c->out, (size_t)n);
    }
    if (c->closing && c->out.len == 0) {
        drop(c);
        return;
    }
    want(c);
}

static void put_frame(struct hf_buf *out, const hf_json *answer)
{
    HF_BUF(text, HF_SOCKET_FRAME_MAX);
    struct hf_err err;
    if (!hf_ok(hf_json_write(answer, &text, &err))) {
        static const char too_long[] = "{\"ok\":false,\"code\":\"limit\",\"message\":\"answer\"}";
        hf_buf_reset(&text);
        HF_IGNORE(hf_buf_append_str(&text, too_long, NULL), "shorter than the bound");
    }
    uint32_t n = (uint32_t)text.len;
    const unsigned char header[HEADER] = {(unsigned char)n, (unsigned char)(n >> 8),
                                          (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
    HF_IGNORE(hf_buf_append(out, header, sizeof(header), NULL), "one answer at a time fits");
    HF_IGNORE(hf_buf_append(out, text.data, text.len, NULL), "one answer at a time fits");
}

static hf_json *make_answer(hf_result result, const hf_json *members, const struct hf_err *err)
{
    hf_json *o = hf_json_object();
    hf_json_put_bool(o, "ok", hf_ok(result));
    if (!hf_ok(result)) {
        hf_json_put_text(o, "code", hf_code_name(result.code));
        hf_json_put_text(o, "message", err == NULL ? "" : err->text);
    }
    for (size_t i = 0; members != NULL && i < hf_json_size(members); i++) {
        const hf_json *m = hf_json_at(members, i);
        hf_json_put(o, hf_json_key(m), hf_json_copy(m));
    }
    return o;
}

static void answer_conn(struct conn *c, hf_result result, const hf_json *members,
                        const struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = make_answer(result, members, err);
    c->ticket = 0;
    put_frame(&c->out, o);
    flush(c);
}

void hf_socket_answer(struct hf_socket *s, uint64_t ticket, hf_result result,
                      const hf_json *members, const struct hf_err *err)
{
    for (int i = 0; i < HF_SOCKET_CONNECTIONS; i++) {
        if (s->conns[i].fd >= 0 && s->conns[i].ticket == ticket && ticket != 0) {
            answer_conn(&s->conns[i], result, members, err);
            return;
        }
    }
}

static hf_result take_request(struct conn *c, size_t len, hf_json **ret, char *verb, size_t size,
                              struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = NULL;
    uint64_t version = 0;
    HF_TRY(hf_json_parse(c->in + HEADER, len, HF_SOCKET_FRAME_MAX, &o, err));
    HF_TRY(hf_json_get_u64(o, "v", &version, err));
    if (version != 1) {
        return hf_fail(err, HF_E_UNSUPPORTED, "v: 1 is spoken here");
    }
    HF_TRY(hf_json_get_text(o, "do", verb, size, err));
    *ret = o;
    o = NULL;
    return hf_done();
}

static void refuse(struct conn *c, hf_result result, const struct hf_err *err)
{
    c->closing = true;
    answer_conn(c, result, NULL, err);
}

static void serve(struct conn *c, size_t len)
{
    HF_AUTOJSON hf_json *request = NULL;
    char verb[32];
    struct hf_err err;
    hf_result r = take_request(c, len, &request, verb, sizeof(verb), &err);
    c->got = 0;
    if (!hf_ok(r)) {
        refuse(c, r, &err);
        return;
    }
    c->ticket = ++c->socket->tickets;
    want(c);
    c->socket->fn(c->socket->arg, c->ticket, verb, request);
}

static void receive(struct conn *c)
{
    size_t need = HEADER;
    if (c->got >= HEADER) {
        const unsigned char *h = (const unsigned char *)c->in;
        size_t len = h[0] | (size_t)h[1] << 8 | (size_t)h[2] << 16 | (size_t)h[3] << 24;
        if (len == 0 || len > HF_SOCKET_FRAME_MAX) {
            struct hf_err err;
            refuse(c, hf_fail(&err, HF_E_LIMIT, "frame: 1 to %d bytes", HF_SOCKET_FRAME_MAX), &err);
            return;
        }
        need = HEADER + len;
    }
    ssize_t n = recv(c->fd, c->in + c->got, need - c->got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        drop(c);
        return;
    }
    c->got += (size_t)n;
    if (c->got == need && need > HEADER) {
        serve(c, need - HEADER);
    }
}

static void on_conn(void *arg, int fd, unsigned events)
{
    struct conn *c = arg;
    (void)fd;
    if ((events & HF_LOOP_WRITE) != 0) {
        flush(c);
        return;
    }
    if ((events & HF_LOOP_READ) != 0) {
        receive(c);
    } else if ((events & HF_LOOP_HANGUP) != 0) {
        drop(c); /* the client went away while it waited */
    }
}

static void on_accept(void *arg, int fd, unsigned events)
{
    struct hf_socket *s = arg;
    struct hf_err err;
    (void)events;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (peer < 0) {
        return;
    }
    for (int i = 0; i < HF_SOCKET_CONNECTIONS; i++) {
        struct conn *c = &s->conns[i];
        if (c->fd >= 0) {
            continue;
        }
        *c = (struct conn){.socket = s, .fd = peer};
        c->out = HF_BUF_INIT(2 * (HEADER + HF_SOCKET_FRAME_MAX));
        if (!hf_ok(hf_loop_watch(s->loop, peer, HF_LOOP_READ, on_conn, c, &c->watch, &err))) {
            hf_log(HF_LOG_ERROR, "SOCKET_WATCH", "connection refused", HF_KV_ERR(&err));
            close(peer);
            c->fd = -1;
        }
        return;
    }
    close(peer); /* all places are taken: PostgreSQL tries again */
}

static hf_result listen_at(const char *path, int *ret, struct hf_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return hf_fail(err, HF_E_LIMIT, "socket \"%s\": at most %zu bytes", path,
                       sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    HF_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "socket");
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return hf_fail_errno(err, errno, "remove %s", path);
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, 0660) != 0 || listen(fd, BACKLOG) != 0) {
        return hf_fail_errno(err, errno, "listen at %s", path);
    }
    *ret = fd;
    fd = -1;
    return hf_done();
}

hf_result hf_socket_new(struct hf_loop *loop, const char *path, hf_socket_request fn, void *arg,
                        struct hf_socket **ret, struct hf_err *err)
{
    int fd = -1;
    HF_FAULT("socket.listen", err);
    HF_TRY(listen_at(path, &fd, err));
    struct hf_socket *s = hf_alloc(sizeof(*s));
    s->loop = loop;
    s->fd = fd;
    s->fn = fn;
    s->arg = arg;
    snprintf(s->path, sizeof(s->path), "%s", path);
    for (int i = 0; i < HF_SOCKET_CONNECTIONS; i++) {
        s->conns[i].fd = -1;
    }
    hf_result r = hf_loop_watch(loop, fd, HF_LOOP_READ, on_accept, s, &s->watch, err);
    if (!hf_ok(r)) {
        hf_socket_free(s);
        return r;
    }
    *ret = s;
    return hf_done();
}

void hf_socket_free(struct hf_socket *s)
{
    if (s == NULL) {
        return;
    }
    for (int i = 0; i < HF_SOCKET_CONNECTIONS; i++) {
        if (s->conns[i].fd >= 0) {
            drop(&s->conns[i]);
        }
    }
    hf_loop_unwatch(s->watch);
    close(s->fd);
    unlink(s->path);
    hf_free(s);
}
