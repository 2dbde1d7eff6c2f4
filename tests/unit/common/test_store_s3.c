/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 driver against a scripted peer: a small HTTP server that plays, request by request, what
 * real stores and networks do to a client.
 */
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

static void reset_connection(int fd)
{
    struct linger hard = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    (void)close(fd);
}

/* Reads one request's head byte by byte (it is a test) and drains its body. */
static bool read_request(struct peer *p, int fd)
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

static void send_text(int fd, const char *text, size_t len)
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

static void send_reply(int fd, const struct step *s)
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
static bool serve(struct peer *p, int fd)
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

static void *run_peer(void *arg)
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

static void write_credentials(const struct peer *p, const char *id)
{
    FILE *f = fopen(p->credentials, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "access_key_id = %s\nsecret_access_key = hush-hush\n", id) > 0);
    assert_int_equal(fclose(f), 0);
}

static struct peer *start(const struct step *steps, size_t count)
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

static struct hf_store *open_store(const struct peer *p, int attempts)
{
    struct hf_err err = {0};
    const struct hf_store_config c = {
        .type = HF_STORE_S3,
        .name = "eu",
        .prefix = "lab",
        .endpoint = p->endpoint,
        .bucket = "bucket",
        .signing_region = "eu-1",
        .credentials = p->credentials,
        .connect_timeout = HF_SEC(2),
        .stall_timeout = HF_MS(300),
        .total_timeout = HF_SEC(20),
        .attempts = attempts,
    };
    struct hf_store *s = NULL;
    assert_true(hf_ok(hf_store_open(&c, &s, &err)));
    return s;
}

/* Every step must have been asked for, and nothing else. */
static void finish(struct peer *p, struct hf_store *s)
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

static const char *header(const struct peer *p, size_t i, const char *name)
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

static hf_result put(struct hf_store *s, bool once, struct hf_err *err)
{
    hf_result r =
        hf_store_put(s, "k", "content", 7, (struct hf_store_put_options){.create_once = once}, err);
    assert_null(strstr(err->text, "hush"));
    return r;
}

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

static hf_result note(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    return hf_buf_printf(arg, err, "%s ", e->key);
}

#define PUT_K        "PUT /bucket/lab/k HTTP/1.1"
#define GET_K        "GET /bucket/lab/k HTTP/1.1"
#define HEAD_K       "HEAD /bucket/lab/k HTTP/1.1"
#define PROBE        "PUT /bucket/lab/.create-once-probe HTTP/1.1"
#define XML_ERROR(c) "<Error><Code>" c "</Code><Message>as it were</Message></Error>"

static void transient_failures_are_retried_with_the_same_bytes(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PUT_K, "500 Internal", NULL, XML_ERROR("InternalError"), KEEP, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
        {PUT_K, NULL, NULL, NULL, RESET, 0},
        {PUT_K, "429 Many", NULL, NULL, KEEP, 0},
        {PUT_K, "400 Bad", NULL, XML_ERROR("RequestTimeout"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 6);
    assert_true(hf_ok(put(s, false, &err)));
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(header(p, i, "content-md5"), p->body_md5[i]);
        assert_null(header(p, i, "if-none-match"));
        assert_non_null(header(p, i, "authorization"));
        uint8_t digest[HF_SHA256_SIZE];
        char text[HF_HEX_SIZE(HF_SHA256_SIZE)];
        hf_sha256("content", 7, digest);
        hf_hex_encode(digest, sizeof digest, text);
        assert_string_equal(header(p, i, "x-amz-content-sha256"), text);
    }
    finish(p, s);
}

static void giving_up_tells_what_is_known(void **state)
{
    (void)state;
    static const struct step slow[] = {
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(slow);
    struct hf_store *s = open_store(p, 2);
    assert_int_equal(put(s, false, &err).code, HF_E_AGAIN);
    assert_non_null(strstr(err.text, "store eu: put k"));
    assert_non_null(strstr(err.text, "503 SlowDown: as it were"));
    finish(p, s);

    static const struct step lost[] = {
        {PUT_K, NULL, NULL, NULL, RESET, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
    };
    p = START(lost);
    s = open_store(p, 2);
    assert_int_equal(put(s, false, &err).code, HF_E_TIMEOUT);
    finish(p, s);

    /* a kept connection breaks, and the request is sent again below us */
    static const struct step kept[] = {
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
        {PUT_K, NULL, NULL, NULL, RESET, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
    };
    p = START(kept);
    s = open_store(p, 1);
    assert_true(hf_ok(put(s, false, &err)));
    assert_int_equal(put(s, false, &err).code, HF_E_TIMEOUT);
    finish(p, s);

    p = start(NULL, 0);
    s = open_store(p, 2);
    assert_int_equal(shutdown(p->listener, SHUT_RDWR), 0);
    assert_int_equal(put(s, false, &err).code, HF_E_UNREACHABLE);
    finish(p, s);
}

static void create_once(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PROBE, "200 OK", NULL, NULL, KEEP, 0},
        {PROBE, "412 Failed", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0},
        {PUT_K, "409 Conflict", NULL, XML_ERROR("ConditionalRequestConflict"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
        {PUT_K, "412 Failed", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0},
        /* the answer to our own put does not come, the next attempt finds it: look (rule W2) */
        {PUT_K, NULL, NULL, NULL, STALL, 0},
        {PUT_K, "412 Failed", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    assert_true(hf_ok(put(s, true, &err)));
    assert_string_equal(header(p, 2, "if-none-match"), "*");
    assert_string_equal(header(p, 3, "if-none-match"), "*");
    assert_int_equal(put(s, true, &err).code, HF_E_EXISTS);
    assert_int_equal(put(s, true, &err).code, HF_E_EXISTS);
    finish(p, s);
}

static void stores_without_create_once_are_found_out_once(void **state)
{
    (void)state;
    static const struct step refuses[] = {
        {PROBE, "501 Not", NULL, XML_ERROR("NotImplemented"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    static const struct step ignores[] = {
        {PROBE, "200 OK", NULL, NULL, KEEP, 0},
        {PROBE, "200 OK", NULL, NULL, KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    for (int i = 0; i < 2; i++) {
        struct hf_err err = {0};
        struct peer *p = i == 0 ? START(refuses) : START(ignores);
        struct hf_store *s = open_store(p, 3);
        bool conditional = true;
        assert_true(hf_ok(hf_store_conditional(s, &conditional, &err)));
        assert_false(conditional);
        assert_int_equal(put(s, true, &err).code, HF_E_UNSUPPORTED);
        assert_int_equal(put(s, true, &err).code, HF_E_UNSUPPORTED);
        assert_true(hf_ok(put(s, false, &err)));
        finish(p, s);
    }
}

static void reads_go_on_where_they_stopped(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {GET_K, "200 OK", "ETag: \"v1\"\r\n", "0123", RESET, 10},
        {GET_K, "503 Slow", NULL, NULL, KEEP, 0},
        {GET_K, "206 Partial", "ETag: \"v1\"\r\nContent-Range: bytes 4-9/10\r\n", "45", STALL, 6},
        {GET_K, "206 Partial", "ETag: \"v1\"\r\nContent-Range: bytes 6-9/10\r\n", "6789", KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 2);
    HF_BUF(b, 100);
    assert_true(hf_ok(hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err)));
    assert_string_equal(hf_buf_text(&b), "0123456789");
    assert_null(header(p, 0, "range"));
    assert_string_equal(header(p, 1, "range"), "bytes=4-");
    assert_string_equal(header(p, 1, "if-match"), "\"v1\"");
    assert_string_equal(header(p, 3, "range"), "bytes=6-");
    finish(p, s);
}

struct bad_read {
    struct step steps[2];
    size_t count;
    enum hf_code code;
};

static void wrong_answers_to_reads_are_refused(void **state)
{
    (void)state;
    static const struct bad_read cases[] = {
        /* changed while being read */
        {{{GET_K, "206 P", "ETag: \"v1\"\r\nContent-Range: bytes 2-5/10\r\n", "23", RESET, 4},
          {GET_K, "412 F", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0}},
         2,
         HF_E_CORRUPT},
        /* shrank meanwhile, on a store that ignores If-Match */
        {{{GET_K, "206 P", "Content-Range: bytes 2-5/10\r\n", "23", RESET, 4},
          {GET_K, "206 P", "Content-Range: bytes 4-4/5\r\n", "4", KEEP, 0}},
         2,
         HF_E_CORRUPT},
        /* the whole object, from the start */
        {{{GET_K, "200 OK", NULL, "0123456789", KEEP, 0}}, 1, HF_E_UNSUPPORTED},
        {{{GET_K, "206 P", NULL, "2345", KEEP, 0}}, 1, HF_E_UNSUPPORTED},
        {{{GET_K, "206 P", "Content-Range: bytes 0-3/10\r\n", "0123", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{GET_K, "206 P", "Content-Range: bytes 2-4/5\r\n", "234", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{GET_K, "206 P", "Content-Range: bytes 2-5/10\r\n", "23456", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{GET_K, "416 R", NULL, XML_ERROR("InvalidRange"), KEEP, 0}}, 1, HF_E_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_err err = {0};
        struct peer *p = start(cases[i].steps, cases[i].count);
        struct hf_store *s = open_store(p, 2);
        HF_BUF(b, 100);
        hf_result r = hf_store_get(s, "k", 2, 4, append, &b, &err);
        if (r.code != cases[i].code) {
            print_error("case %zu: %s\n", i, err.text);
        }
        assert_int_equal(r.code, cases[i].code);
        assert_true(strncmp(hf_buf_text(&b), "2345", b.len) == 0);
        finish(p, s);
    }
}

/* "Absent" is only what the store says about this very object: with it PostgreSQL may end recovery
 * (rule W3). */
static void absent_is_the_stores_word_only(void **state)
{
    (void)state;
    static const struct {
        struct step steps[2];
        size_t count;
        enum hf_code code;
    } cases[] = {
        {{{GET_K, "404 N", NULL, XML_ERROR("NoSuchKey"), KEEP, 0}}, 1, HF_E_NOT_FOUND},
        {{{GET_K, "404 N", NULL, XML_ERROR("NoSuchBucket"), KEEP, 0}}, 1, HF_E_INVALID},
        {{{GET_K, "404 N", NULL, "<html>nginx</html>", KEEP, 0}}, 1, HF_E_INVALID},
        {{{GET_K, "404 N", NULL, NULL, KEEP, 0}}, 1, HF_E_INVALID},
        {{{GET_K, "403 F", NULL, XML_ERROR("AccessDenied"), KEEP, 0}}, 1, HF_E_DENIED},
        {{{GET_K, "301 M", NULL, XML_ERROR("PermanentRedirect"), KEEP, 0}}, 1, HF_E_INVALID},
        {{{HEAD_K, "404 N", NULL, NULL, KEEP, 0},
          {GET_K, "404 N", NULL, XML_ERROR("NoSuchKey"), KEEP, 0}},
         2,
         HF_E_NOT_FOUND},
        {{{HEAD_K, "404 N", NULL, NULL, KEEP, 0},
          {GET_K, "404 N", NULL, XML_ERROR("NoSuchBucket"), KEEP, 0}},
         2,
         HF_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_err err = {0};
        struct peer *p = start(cases[i].steps, cases[i].count);
        struct hf_store *s = open_store(p, 2);
        HF_BUF(b, 100);
        struct hf_store_meta m;
        hf_result r = cases[i].count == 1 ? hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err)
                                          : hf_store_head(s, "k", &m, &err);
        assert_int_equal(r.code, cases[i].code);
        finish(p, s);
    }
}

#define UPLOADS  "POST /bucket/lab/k?uploads= HTTP/1.1"
#define PART(n)  "PUT /bucket/lab/k?partNumber=" n "&uploadId=u%2F1 HTTP/1.1"
#define COMPLETE "POST /bucket/lab/k?uploadId=u%2F1 HTTP/1.1"
#define ABORT    "DELETE /bucket/lab/k?uploadId=u%2F1 HTTP/1.1"
#define STARTED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
#define UPLOAD_STEPS                                                                               \
    {UPLOADS, "200 OK", NULL, STARTED, KEEP, 0}, {PART("1"), NULL, NULL, NULL, RESET, 0},          \
        {PART("1"), "200 OK", "ETag: \"e1\"\r\n", NULL, KEEP, 0},                                  \
        {PART("2"), "200 OK", "ETag: \"e2\"\r\n", NULL, KEEP, 0},                                  \
        {HEAD_K, "404 N", NULL, NULL, KEEP, 0},                                                    \
        {GET_K, "404 N", NULL, XML_ERROR("NoSuchKey"), KEEP, 0},                                   \
    {                                                                                              \
        PROBE, "412 F", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0                             \
    }
enum { UPLOAD_SIZE = (8 << 20) + 100 };

static hf_result upload(struct hf_store *s, struct hf_err *err)
{
    HF_AUTOFREE char *bytes = hf_alloc(UPLOAD_SIZE);
    memset(bytes, 'x', UPLOAD_SIZE);
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_store_writer_open(s, "k", &w, err));
    hf_result r = hf_store_writer_write(w, bytes, UPLOAD_SIZE, err);
    if (!hf_ok(r)) {
        hf_store_writer_abort(w);
        return r;
    }
    return hf_store_writer_commit(w, err);
}

static void a_success_that_carries_an_error_is_retried(void **state)
{
    (void)state;
    static const struct step steps[] = {
        UPLOAD_STEPS,
        {COMPLETE, "200 OK", NULL, XML_ERROR("InternalError"), KEEP, 0},
        {COMPLETE, "200 OK", NULL, COMPLETED, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    assert_true(hf_ok(upload(s, &err)));
    assert_string_equal(header(p, 2, "content-md5"), p->body_md5[2]);
    assert_string_equal(header(p, 7, "if-none-match"), "*");
    static const char LIST[] =
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part><Part>"
        "<PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part></CompleteMultipartUpload>";
    uint8_t digest[HF_MD5_SIZE];
    char text[HF_BASE64_SIZE(HF_MD5_SIZE)];
    assert_true(hf_ok(hf_md5(LIST, sizeof LIST - 1, digest, &err)));
    hf_base64_encode(digest, sizeof digest, text);
    assert_string_equal(p->body_md5[8], text);
    finish(p, s);
}

static void a_lost_answer_to_complete_is_looked_into(void **state)
{
    (void)state;
    static const struct step steps[] = {
        UPLOAD_STEPS,
        {COMPLETE, NULL, NULL, NULL, RESET, 0},
        {COMPLETE, "404 N", NULL, XML_ERROR("NoSuchUpload"), KEEP, 0},
        {HEAD_K, "200 OK", NULL, NULL, KEEP, UPLOAD_SIZE},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    hf_result r = upload(s, &err);
    if (!hf_ok(r)) {
        print_error("%s\n", err.text);
    }
    assert_true(hf_ok(r));
    finish(p, s);
}

static void a_failed_upload_is_taken_back(void **state)
{
    (void)state;
    static const struct step fatal[] = {
        UPLOAD_STEPS,
        {COMPLETE, "200 OK", NULL, XML_ERROR("InvalidPart"), KEEP, 0},
        {ABORT, "204 No", NULL, NULL, KEEP, 0},
    };
    static const struct step exists[] = {
        {UPLOADS, "200 OK", NULL, STARTED, KEEP, 0},
        {PART("1"), "200 OK", "ETag: \"e1\"\r\n", NULL, KEEP, 0},
        {PART("2"), "200 OK", "ETag: \"e2\"\r\n", NULL, KEEP, 0},
        {HEAD_K, "200 OK", NULL, NULL, KEEP, 5},
        {ABORT, "204 No", NULL, NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(fatal);
    struct hf_store *s = open_store(p, 3);
    assert_int_equal(upload(s, &err).code, HF_E_IO);
    assert_non_null(strstr(err.text, "InvalidPart"));
    finish(p, s);
    p = START(exists);
    s = open_store(p, 3);
    assert_int_equal(upload(s, &err).code, HF_E_EXISTS);
    finish(p, s);
}

#define LIST_HEAD  "GET /bucket/?encoding-type=url&list-type=2&max-keys=1000&prefix=lab%2F"
#define ENTRY(k)   "<Contents><Key>lab/" k "</Key><Size>1</Size></Contents>"
#define PAGE(rest) "<ListBucketResult>" rest "</ListBucketResult>"
#define MORE(t)                                                                                    \
    "<IsTruncated>true</IsTruncated><NextContinuationToken>" t "</NextContinuationToken>"

static void listings_are_whole(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {LIST_HEAD " HTTP", "200 OK", NULL, "<ListBucketResult>" ENTRY("a"), RESET, 500},
        {LIST_HEAD " HTTP", "200 OK", NULL,
         PAGE(ENTRY("b") ENTRY("a") ENTRY("not%20ours") ENTRY("x//y") MORE("t/1")), KEEP, 0},
        {"GET /bucket/?continuation-token=t%2F1&encoding-type=url", "503 Slow", NULL, NULL, KEEP,
         0},
        {"GET /bucket/?continuation-token=t%2F1&encoding-type=url", "200 OK", NULL,
         PAGE(ENTRY("b") ENTRY("c")), KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    HF_BUF(b, 1000);
    assert_true(hf_ok(hf_store_list(s, "", NULL, false, note, &b, &err)));
    assert_string_equal(hf_buf_text(&b), "a b c ");
    finish(p, s);
}

static void broken_listings_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct step steps[2];
        size_t count;
        enum hf_code code;
    } cases[] = {
        {{{LIST_HEAD, "200 OK", NULL, PAGE("<IsTruncated>true</IsTruncated>"), KEEP, 0}},
         1,
         HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, "<ListBucketResult>" ENTRY("a"), KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, "<html>welcome</html>", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, PAGE("<Contents><Key>other/a</Key><Size>1</Size></Contents>"),
           KEEP, 0}},
         1,
         HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, PAGE(ENTRY("a") MORE("t")), KEEP, 0},
          {"GET /bucket/?continuation-token=t", "200 OK", NULL, PAGE(ENTRY("b") MORE("t")), KEEP,
           0}},
         2,
         HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, PAGE(ENTRY("b") MORE("t")), KEEP, 0},
          {"GET /bucket/?continuation-token=t", "200 OK", NULL, PAGE(ENTRY("a")), KEEP, 0}},
         2,
         HF_E_UNSUPPORTED},
        {{{LIST_HEAD, "404 N", NULL, XML_ERROR("NoSuchBucket"), KEEP, 0}}, 1, HF_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_err err = {0};
        struct peer *p = start(cases[i].steps, cases[i].count);
        struct hf_store *s = open_store(p, 2);
        HF_BUF(b, 100);
        assert_int_equal(hf_store_list(s, "", NULL, false, note, &b, &err).code, cases[i].code);
        finish(p, s);
    }
}

static void a_wrong_clock_is_corrected_once(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PUT_K, "403 F", "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
         XML_ERROR("RequestTimeTooSkewed"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
        {HEAD_K, "403 F", "Date: Mon, 24 May 2010 00:00:00 GMT\r\n", NULL, KEEP, 0},
        {HEAD_K, "403 F", "Date: Fri, 24 May 2013 00:00:00 GMT\r\n", NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 1);
    assert_true(hf_ok(put(s, false, &err)));
    assert_memory_equal(header(p, 1, "x-amz-date"), "20130524T0000", 13);
    struct hf_store_meta m;
    assert_int_equal(hf_store_head(s, "k", &m, &err).code, HF_E_DENIED);
    assert_memory_equal(header(p, 3, "x-amz-date"), "20100524T0000", 13);
    finish(p, s);
}

static void rotated_credentials_are_read_again(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PUT_K, "403 F", NULL, XML_ERROR("InvalidAccessKeyId"), KEEP, 0},
        {PUT_K, "403 F", NULL, XML_ERROR("InvalidAccessKeyId"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 1);
    assert_int_equal(put(s, false, &err).code, HF_E_DENIED);
    write_credentials(p, "ROTATED");
    assert_true(hf_ok(put(s, false, &err)));
    assert_non_null(strstr(header(p, 1, "authorization"), "Credential=AKID/"));
    assert_non_null(strstr(header(p, 2, "authorization"), "Credential=ROTATED/"));
    finish(p, s);
}

static void what_a_peer_sends_is_bounded(void **state)
{
    (void)state;
    HF_AUTOFREE char *flood = hf_alloc(200001);
    memset(flood, 'x', 200000);
    memcpy(flood, "X-Flood: ", 9);
    HF_AUTOFREE char *lines = hf_alloc(41 * 1000 + 1);
    for (int i = 0; i < 41; i++) {
        memcpy(lines + i * 1000, flood, 998);
        memcpy(lines + i * 1000 + 998, "\r\n", 2);
    }
    const struct step steps[] = {
        {GET_K, "200 OK", lines, "x", RESET, 0},
        {GET_K, "403 F", NULL, flood, RESET, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 1);
    HF_BUF(b, 100);
    assert_int_equal(hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err).code, HF_E_LIMIT);
    assert_int_equal(hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err).code, HF_E_LIMIT);
    finish(p, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transient_failures_are_retried_with_the_same_bytes),
        cmocka_unit_test(giving_up_tells_what_is_known),
        cmocka_unit_test(create_once),
        cmocka_unit_test(stores_without_create_once_are_found_out_once),
        cmocka_unit_test(reads_go_on_where_they_stopped),
        cmocka_unit_test(wrong_answers_to_reads_are_refused),
        cmocka_unit_test(absent_is_the_stores_word_only),
        cmocka_unit_test(a_success_that_carries_an_error_is_retried),
        cmocka_unit_test(a_lost_answer_to_complete_is_looked_into),
        cmocka_unit_test(a_failed_upload_is_taken_back),
        cmocka_unit_test(listings_are_whole),
        cmocka_unit_test(broken_listings_are_refused),
        cmocka_unit_test(a_wrong_clock_is_corrected_once),
        cmocka_unit_test(rotated_credentials_are_read_again),
        cmocka_unit_test(what_a_peer_sends_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
