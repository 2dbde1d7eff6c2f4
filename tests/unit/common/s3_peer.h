/* SPDX-License-Identifier: Apache-2.0
 *
 * A scripted S3 peer for tests of the S3 driver: a small HTTP server that plays, request by
 * request, what real stores and networks do to a client, and notes what it was asked. One
 * connection at a time, one thread; a stall lasts until the client gives up, so that no sleep
 * decides a test.
 */
#ifndef HF_TEST_S3_PEER_H
#define HF_TEST_S3_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/store.h"

enum { HEADS_MAX = 24, HEAD_SIZE = 4096 };

enum then { KEEP, RESET, STALL }; /* after the reply was sent */

struct step {
    const char *expect;  /* the request line begins with it */
    const char *status;  /* NULL: no reply at all */
    const char *headers; /* NULL or lines, each ended by \r\n */
    const char *body;    /* NULL: empty */
    enum then then;
    size_t declare; /* Content-Length, when it is not the body's */
};

struct peer {
    int listener;
    char endpoint[40];
    char credentials[40];
    pthread_t thread;
    const struct step *steps;
    size_t count;
    size_t served;
    char heads[HEADS_MAX][HEAD_SIZE];
    char body_md5[HEADS_MAX][HF_BASE64_SIZE(HF_MD5_SIZE)];
    char trouble[256];
};

static inline void reset_connection(int fd)
{
    struct linger hard = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)close(fd);
}

/* Reads one request's head byte by byte (it is a test) and drains its body. */
static inline bool read_request(struct peer *p, int fd)
{
    char *head = p->heads[p->served];
    size_t len = 0;
    while (len < HEAD_SIZE - 1 && (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0)) {
        if (recv(fd, head + len, 1, 0) != 1) {
            return false;
        }
        len++;
    }
    head[len] = '\0';
    const char *length = strcasestr(head, "\r\ncontent-length:");
    size_t body = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
    HF_AUTOFREE char *bytes = hf_alloc(body + 1);
    for (size_t have = 0; have < body;) {
        ssize_t n = recv(fd, bytes + have, body - have, 0);
        if (n <= 0) {
            return false;
        }
        have += (size_t)n;
    }
    uint8_t digest[HF_MD5_SIZE];
    if (hf_ok(hf_md5(bytes, body, digest, NULL))) {
        hf_base64_encode(digest, sizeof digest, p->body_md5[p->served]);
    }
    return true;
}

static inline void send_text(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        text += n;
        len -= (size_t)n;
    }
}

static inline void send_reply(int fd, const struct step *s)
{
    const char *body = s->body == NULL ? "" : s->body;
    size_t declared = s->declare > 0 ? s->declare : strlen(body);
    const char *headers = s->headers == NULL ? "" : s->headers;
    size_t size = strlen(headers) + 200;
    HF_AUTOFREE char *text = hf_alloc(size);
    (void)snprintf(text, size, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", s->status, declared,
                   headers);
    send_text(fd, text, strlen(text));
    if (strncmp(s->expect, "HEAD", 4) != 0) {
        send_text(fd, body, strlen(body));
    }
}

/* Serves one connection; true while the script goes on. */
static inline bool serve(struct peer *p, int fd)
{
    while (p->served < p->count && read_request(p, fd)) {
        const struct step *s = &p->steps[p->served];
        if (strncmp(p->heads[p->served], s->expect, strlen(s->expect)) != 0) {
            (void)snprintf(p->trouble, sizeof p->trouble, "request %zu is %.60s, expected %s",
                           p->served, p->heads[p->served], s->expect);
            reset_connection(fd);
            return false;
        }
        p->served++;
        if (s->status != NULL) {
            send_reply(fd, s);
        }
        if (s->then == STALL) {
            char c;
            while (recv(fd, &c, 1, 0) > 0) { /* until the client gives up */
            }
        }
        if (s->then != KEEP) {
            /* what was sent must arrive before the reset */
            (void)usleep(s->then == RESET && s->status != NULL ? 20000 : 0);
            reset_connection(fd);
            return p->served < p->count;
        }
    }
    (void)close(fd);
    return p->served < p->count;
}

static inline void *run_peer(void *arg)
{
    struct peer *p = arg;
    for (bool more = p->count > 0; more;) {
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0) {
            break;
        }
        more = serve(p, fd);
    }
    return NULL;
}

static inline void write_credentials(const struct peer *p, const char *id)
{
    FILE *f = fopen(p->credentials, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "access_key_id = %s\nsecret_access_key = hush-hush\n", id) > 0);
    assert_int_equal(fclose(f), 0);
}

static inline struct peer *start(const struct step *steps, size_t count)
{
    struct peer *p = hf_alloc(sizeof *p);
    p->steps = steps;
    p->count = count;
    assert_true(count <= HEADS_MAX);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(p->endpoint, sizeof p->endpoint, "http://127.0.0.1:%d", ntohs(a.sin_port));
    (void)snprintf(p->credentials, sizeof p->credentials, "/tmp/holdfast-test-XXXXXX");
    int fd = mkstemp(p->credentials);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    write_credentials(p, "AKID");
    assert_int_equal(pthread_create(&p->thread, NULL, run_peer, p), 0);
    return p;
}
#define START(steps) start(steps, sizeof(steps) / sizeof *(steps))

static inline struct hf_store *open_store(const struct peer *p, int attempts)
{
    struct hf_err err = {0};
    bool stalls = false; /* else a busy machine is no stall */
    for (size_t i = 0; i < p->count; i++) {
        stalls = stalls || p->steps[i].then == STALL;
    }
    const struct hf_store_config c = {
        .type = HF_STORE_S3,
        .name = "eu",
        .prefix = "lab",
        .endpoint = p->endpoint,
        .bucket = "bucket",
        .signing_region = "eu-1",
        .credentials = p->credentials,
        .connect_timeout = HF_SEC(2),
        .stall_timeout = HF_SEC(stalls ? 2 : 15),
        .total_timeout = HF_SEC(20),
        .attempts = attempts,
    };
    struct hf_store *s = NULL;
    assert_true(hf_ok(hf_store_open(&c, &s, &err)));
    return s;
}

/* Every step must have been asked for, and nothing else. */
static inline void finish(struct peer *p, struct hf_store *s)
{
    hf_store_close(s);
    if (p->served < p->count) {
        (void)shutdown(p->listener, SHUT_RDWR);
    }
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    if (p->trouble[0] != '\0' || p->served != p->count) {
        print_error("served %zu of %zu; %s\n", p->served, p->count, p->trouble);
    }
    assert_int_equal(p->served, p->count);
    assert_string_equal(p->trouble, "");
    assert_int_equal(close(p->listener), 0);
    assert_int_equal(unlink(p->credentials), 0);
    hf_free(p);
}

static inline const char *header(const struct peer *p, size_t i, const char *name)
{
    static char value[512];
    char line[80];
    (void)snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = strcasestr(p->heads[i], line);
    if (at == NULL) {
        return NULL;
    }
    at += strlen(line);
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static inline hf_result put(struct hf_store *s, bool once, struct hf_err *err)
{
    hf_result r =
        hf_store_put(s, "k", "content", 7, (struct hf_store_put_options){.create_once = once}, err);
    assert_null(strstr(err->text, "hush"));
    return r;
}

static inline hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

static inline hf_result note(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    return hf_buf_printf(arg, err, "%s ", e->key);
}

#define PUT_K        "PUT /bucket/lab/k HTTP/1.1"
#define GET_K        "GET /bucket/lab/k HTTP/1.1"
#define HEAD_K       "HEAD /bucket/lab/k HTTP/1.1"
#define PROBE        "PUT /bucket/lab/.create-once-probe HTTP/1.1"
#define XML_ERROR(c) "<Error><Code>" c "</Code><Message>as it were</Message></Error>"

#endif
