/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider for dynamic updates against a scripted server over TCP, in the test's own loop: what
 * it makes of good, bad, late, broken and missing answers. Real servers are in
 * tests/integration/test_rfc2136.py.
 */
#include "dns_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "coordinator/route/route_provider.h"

enum manner { ANSWERS, IN_PIECES, SILENT, CLOSES, CLOSES_HALF };

struct world {
    struct hf_loop *loop;
    struct hf_watch *listening;
    struct hf_watch *reading;
    int listener, client;
    uint8_t in[4096];
    size_t in_len;
    uint8_t out[4096]; /* what IN_PIECES has still to send */
    size_t out_len, out_sent;
    struct hf_config_dns config;
    struct hf_route_env env;
    struct hf_route_record record;
    char key_file[64];
    /* the server's part */
    enum manner manner;
    struct peer_answer answer;
    const char *records; /* wire form of an answer section after the owner's pointer */
    size_t records_len;
    int questions, updates;
    /* what came of a call */
    int ended;
    hf_result result;
    bool told;
    struct hf_route_seen seen;
    struct hf_err err;
};

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void reply(struct world *w)
{
    uint8_t out[4096];
    uint8_t *message = out + 2;
    size_t len = w->in_len - 2;
    const uint8_t *question = w->in + 2;
    bool update = ((question[2] >> 3) & 15) == 5;
    *(update ? &w->updates : &w->questions) += 1;
    w->answer.time_s = hf_clock_wall().us / 1000000;
    size_t n = 12;
    memset(message, 0, 12);
    memcpy(message, question, 3);
    message[2] = (uint8_t)(message[2] | 0x84);
    message[3] = (uint8_t)w->answer.rcode;
    if (!update) { /* the question again, then the records */
        size_t end = 12 + strlen((const char *)question + 12) + 1 + 4;
        memcpy(message + 12, question + 12, end - 12);
        message[5] = 1;
        n = end;
        if (w->records != NULL) {
            message[7] = 1;
            memcpy(message + n, w->records, w->records_len);
            n += w->records_len;
        }
    }
    n = peer_sign(message, n, question, len, &w->answer);
    (void)peer_put(out, n, 2);
    if (w->manner == CLOSES_HALF) {
        send_all(w->client, out, n / 2);
    } else if (w->manner == ANSWERS) {
        send_all(w->client, out, n + 2);
    }
    if (w->manner == IN_PIECES) {
        memcpy(w->out, out, n + 2);
        w->out_len = n + 2;
        w->out_sent = 0;
    }
}

/* Outside of the loop's callbacks, so that the client sees each piece alone. */
static void send_piece(struct world *w)
{
    size_t left = w->out_len - w->out_sent;
    size_t n = left < 7 ? left : 7;
    if (n > 0 && w->client >= 0) {
        send_all(w->client, w->out + w->out_sent, n);
        w->out_sent += n;
    }
}

static void drop_client(struct world *w)
{
    hf_loop_unwatch(w->reading);
    w->reading = NULL;
    if (w->client >= 0) {
        close(w->client);
    }
    w->client = -1;
    w->in_len = 0;
}

static void on_bytes(void *arg, int fd, unsigned events)
{
    struct world *w = arg;
    (void)events;
    ssize_t n = recv(fd, w->in + w->in_len, sizeof w->in - w->in_len, 0);
    if (n <= 0) {
        drop_client(w);
        return;
    }
    w->in_len += (size_t)n;
    if (w->in_len < 2 || w->in_len < 2 + peer_get16(w->in)) {
        return;
    }
    enum manner manner = w->manner;
    if (manner != SILENT) {
        reply(w);
    }
    if (manner == CLOSES || manner == CLOSES_HALF) {
        drop_client(w);
    }
}

static void on_client(void *arg, int fd, unsigned events)
{
    struct world *w = arg;
    (void)events;
    drop_client(w);
    w->client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(w->client >= 0);
    assert_true(
        hf_ok(hf_loop_watch(w->loop, w->client, HF_LOOP_READ, on_bytes, w, &w->reading, NULL)));
}

static int make_world(void **state)
{
    struct world *w = hf_alloc(sizeof *w);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char key[128];
    char base64[64];
    *state = w;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    w->client = -1;
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!hf_ok(hf_loop_new(&w->loop, NULL)) ||
        bind(w->listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(w->listener, 4) != 0 ||
        getsockname(w->listener, (struct sockaddr *)&a, &len) != 0 ||
        !hf_ok(
            hf_loop_watch(w->loop, w->listener, HF_LOOP_READ, on_client, w, &w->listening, NULL))) {
        return -1;
    }
    hf_base64_encode(PEER_SECRET, sizeof PEER_SECRET - 1, base64);
    int n = snprintf(key, sizeof key, "hmac-sha256:k.test:%s\n", base64);
    (void)snprintf(w->key_file, sizeof w->key_file, "/tmp/hf-route-XXXXXX");
    int fd = mkstemp(w->key_file);
    if (fd < 0 || write(fd, key, (size_t)n) != n || close(fd) != 0) {
        return -1;
    }
    snprintf(w->config.server, sizeof w->config.server, "127.0.0.1:%d", ntohs(a.sin_port));
    snprintf(w->config.key_file, sizeof w->config.key_file, "%s", w->key_file);
    snprintf(w->config.zone, sizeof w->config.zone, "hf.test.");
    w->config.type = HF_CONFIG_DNS_RFC2136;
    w->config.timeout = HF_MS(300);
    w->env = (struct hf_route_env){.loop = w->loop, .config = &w->config};
    w->record = (struct hf_route_record){
        .name = "db.hf.test.", .type = HF_ROUTE_A, .ttl = HF_SEC(2), .value = "127.0.2.1"};
    return 0;
}

static int drop_world(void **state)
{
    struct world *w = *state;
    drop_client(w);
    hf_loop_unwatch(w->listening);
    if (w->listener >= 0) {
        close(w->listener);
    }
    unlink(w->key_file);
    hf_loop_free(w->loop);
    hf_free(w);
    return 0;
}

static void ended(void *arg, hf_result result, const struct hf_route_seen *seen,
                  const struct hf_err *err)
{
    struct world *w = arg;
    w->ended++;
    w->result = result;
    w->err = *err;
    w->told = seen != NULL;
    if (seen != NULL) {
        w->seen = *seen;
    }
}

static struct hf_route_call *begin(struct world *w, const struct hf_route_seen *seen)
{
    struct hf_route_call *call = NULL;
    const struct hf_route_provider *p = hf_route_provider_of(w->config.type);
    struct hf_err err;
    hf_result r = seen == NULL ? p->read(&w->env, &w->record, ended, w, &call, &err)
                               : p->set(&w->env, &w->record, seen, ended, w, &call, &err);
    if (!hf_ok(r)) {
        fail_msg("%s", err.text);
    }
    return call;
}

static void run(struct world *w)
{
    int before = w->ended;
    for (int i = 0; i < 500 && w->ended == before; i++) {
        assert_true(hf_ok(hf_loop_step(w->loop, HF_MS(10), NULL)));
        send_piece(w);
    }
    assert_int_equal(w->ended, before + 1);
}

static enum hf_code reads(struct world *w)
{
    (void)begin(w, NULL);
    run(w);
    assert_int_equal(w->told, hf_ok(w->result));
    return w->result.code;
}

static enum hf_code sets(struct world *w)
{
    const struct hf_route_seen seen = {.count = 1, .values = {"127.0.1.1"}};
    (void)begin(w, &seen);
    run(w);
    assert_false(w->told);
    return w->result.code;
}

/* One record of the asked name: type, class, TTL 60, data. */
static const char A_1[] = "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\177\0\1\1";
static const char A_2[] = "\xc0\x0c\0\1\0\1\0\0\0\2\0\4\177\0\2\1";
static const char ALIAS[] = "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1x\xc0\x0f";

static void reads_what_is_there(void **state)
{
    struct world *w = *state;
    assert_int_equal(reads(w), HF_OK);
    assert_int_equal(w->seen.count, 0);
    assert_false(w->seen.found);
    assert_int_equal(w->seen.ttl.us, 0);
    w->records = A_1;
    w->records_len = sizeof A_1 - 1;
    assert_int_equal(reads(w), HF_OK);
    assert_int_equal(w->seen.count, 1);
    assert_string_equal(w->seen.values[0], "127.0.1.1");
    assert_int_equal(w->seen.ttl.us, 60000000);
    assert_false(w->seen.found);
    w->records = A_2;
    w->manner = IN_PIECES;
    assert_int_equal(reads(w), HF_OK);
    assert_true(w->seen.found);
    w->record.ttl = HF_SEC(3);
    assert_int_equal(reads(w), HF_OK);
    assert_false(w->seen.found);
    w->records = ALIAS;
    w->records_len = sizeof ALIAS - 1;
    assert_int_equal(reads(w), HF_E_REFUSED);
    assert_non_null(strstr(w->err.text, "is a CNAME"));
    w->records = NULL;
    w->answer.rcode = 3; /* NXDOMAIN: nothing is there */
    assert_int_equal(reads(w), HF_OK);
    assert_int_equal(w->seen.count, 0);
    w->answer.rcode = 5;
    assert_int_equal(reads(w), HF_E_DENIED);
}

static void sets_and_says_why_not(void **state)
{
    struct world *w = *state;
    assert_int_equal(sets(w), HF_OK);
    assert_int_equal(w->updates, 1);
    w->answer.rcode = 8;
    assert_int_equal(sets(w), HF_E_CONFLICT);
    assert_non_null(strstr(w->err.text, "NXRRSET"));
    w->answer.rcode = 2;
    assert_int_equal(sets(w), HF_E_AGAIN);
    w->answer = (struct peer_answer){.wrong_mac = true};
    assert_int_equal(sets(w), HF_E_DENIED);
    w->answer = (struct peer_answer){.rcode = 9, .tsig_error = 16, .no_mac = true};
    assert_int_equal(sets(w), HF_E_DENIED);
    assert_non_null(strstr(w->err.text, "BADSIG"));
}

static void every_silence_ends(void **state)
{
    struct world *w = *state;
    w->manner = SILENT;
    assert_int_equal(sets(w), HF_E_TIMEOUT);
    assert_non_null(strstr(w->err.text, "no answer in time"));
    w->manner = CLOSES_HALF;
    assert_int_equal(sets(w), HF_E_TIMEOUT);
    assert_non_null(strstr(w->err.text, "closed the connection"));
    hf_loop_unwatch(w->listening);
    w->listening = NULL;
    close(w->listener);
    w->listener = -1;
    assert_int_equal(sets(w), HF_E_UNREACHABLE);
    assert_non_null(strstr(w->err.text, "refused"));
}

static void a_cancelled_call_is_not_heard_of(void **state)
{
    struct world *w = *state;
    const struct hf_route_provider *p = hf_route_provider_of(w->config.type);
    p->cancel(NULL);
    for (int steps = 0; steps < 4; steps++) {
        struct hf_route_call *call = begin(w, NULL);
        for (int i = 0; i < steps && w->ended == 0; i++) {
            assert_true(hf_ok(hf_loop_step(w->loop, HF_MS(1), NULL)));
        }
        if (w->ended > 0) {
            break;
        }
        p->cancel(call);
        for (int i = 0; i < 20; i++) {
            assert_true(hf_ok(hf_loop_step(w->loop, HF_MS(1), NULL)));
        }
        assert_int_equal(w->ended, 0);
    }
}

static void what_cannot_begin_says_so(void **state)
{
    struct world *w = *state;
    struct hf_route_call *call = NULL;
    const struct hf_route_provider *p = hf_route_provider_of(w->config.type);
    struct hf_err err;
    snprintf(w->config.server, sizeof w->config.server, "ns.example:53");
    assert_int_equal(p->read(&w->env, &w->record, ended, w, &call, &err).code, HF_E_INVALID);
    assert_non_null(strstr(err.text, "numeric"));
    snprintf(w->config.key_file, sizeof w->config.key_file, "/nowhere/key");
    assert_int_equal(p->read(&w->env, &w->record, ended, w, &call, &err).code, HF_E_NOT_FOUND);
    assert_int_equal(w->ended, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_is_there, make_world, drop_world),
        cmocka_unit_test_setup_teardown(sets_and_says_why_not, make_world, drop_world),
        cmocka_unit_test_setup_teardown(every_silence_ends, make_world, drop_world),
        cmocka_unit_test_setup_teardown(a_cancelled_call_is_not_heard_of, make_world, drop_world),
        cmocka_unit_test_setup_teardown(what_cannot_begin_says_so, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
