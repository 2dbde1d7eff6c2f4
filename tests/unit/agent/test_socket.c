/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's socket against committed frames (tests/data/protocol/socket-request.bin and
 * socket-answer.bin; docs/protocol.md, section 3): the client sends the one and reads the other,
 * the agent reads the one and sends the other. With HF_UPDATE_DOCS=1 both are written anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/node/socket.h"

enum { FRAME = 4 + HF_SOCKET_FRAME_MAX };

static const char *const request_path = "data/protocol/socket-request.bin";
static const char *const answer_path = "data/protocol/socket-answer.bin";
static char directory[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/hf-socket-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/agent.sock", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    rmdir(directory);
    return 0;
}

static size_t read_file(const char *from, char *ret)
{
    FILE *f = fopen(from, "r");
    assert_non_null(f);
    size_t n = fread(ret, 1, FRAME, f);
    (void)fclose(f);
    return n;
}

/* Made apart from the code that is tested. */
static void frame_is_committed(const char *file, const char *json)
{
    char want[FRAME];
    char is[FRAME];
    size_t n = strlen(json);
    const char header[4] = {(char)(n & 0xFF), (char)(n >> 8 & 0xFF), 0, 0};
    memcpy(want, header, sizeof(header));
    memcpy(want + sizeof(header), json, n);
    const char *update = getenv("HF_UPDATE_DOCS");
    if (update != NULL && strcmp(update, "1") == 0) {
        FILE *out = fopen(file, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(want, 1, n + sizeof(header), out), n + sizeof(header));
        assert_int_equal(fclose(out), 0);
    }
    assert_int_equal(read_file(file, is), n + sizeof(header));
    assert_memory_equal(is, want, n + sizeof(header));
}

static void frames_are_the_committed_ones(void **state)
{
    (void)state;
    frame_is_committed(request_path,
                       "{\"v\":1,\"do\":\"archive-push\",\"name\":\"000000020000000000000007\","
                       "\"path\":\"/data/pg_wal/000000020000000000000007\","
                       "\"system\":\"7300000000000000001\"}");
    frame_is_committed(answer_path, "{\"ok\":true,\"durable\":[\"us\"]}");
}

/* --- the agent's side ------------------------------------------------------------------------ */

struct agent {
    struct hf_loop *loop;
    struct hf_socket *socket;
    int requests;
};

static void on_request(void *arg, uint64_t ticket, const char *verb, const hf_json *request)
{
    struct agent *a = arg;
    char name[64] = "";
    struct hf_err err;
    HF_AUTOJSON hf_json *members = hf_json_object();
    hf_json *durable = hf_json_array();
    assert_string_equal(verb, "archive-push");
    assert_true(hf_ok(hf_json_get_text(request, "name", name, sizeof(name), &err)));
    assert_string_equal(name, "000000020000000000000007");
    hf_json_push_text(durable, "us");
    hf_json_put(members, "durable", durable);
    a->requests++;
    hf_socket_answer(a->socket, ticket, hf_done(), members, NULL);
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void the_agent_reads_and_answers(void **state)
{
    (void)state;
    struct agent a = {0};
    struct hf_err err;
    char request[FRAME];
    char answer[FRAME];
    char got[FRAME];
    size_t request_len = read_file(request_path, request);
    size_t answer_len = read_file(answer_path, answer);
    assert_true(hf_ok(hf_loop_new(&a.loop, &err)));
    assert_true(hf_ok(hf_socket_new(a.loop, path, on_request, &a, &a.socket, &err)));
    int fd = dial();
    /* Also in two pieces. */
    assert_int_equal(send(fd, request, 3, 0), 3);
    assert_true(hf_ok(hf_loop_step(a.loop, HF_MS(100), &err)));
    assert_int_equal(send(fd, request + 3, request_len - 3, 0), request_len - 3);
    for (int i = 0; i < 50 && a.requests == 0; i++) {
        assert_true(hf_ok(hf_loop_step(a.loop, HF_MS(100), &err)));
    }
    assert_int_equal(a.requests, 1);
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), answer_len);
    assert_memory_equal(got, answer, answer_len);
    close(fd);
    hf_socket_free(a.socket);
    hf_loop_free(a.loop);
}

/* --- the client's side ----------------------------------------------------------------------- */

struct peer {
    int fd; /* listens */
    size_t got;
    char in[FRAME];
};

static void *answer_one(void *arg)
{
    struct peer *p = arg;
    char want[FRAME];
    char answer[FRAME];
    size_t want_len = read_file(request_path, want);
    size_t answer_len = read_file(answer_path, answer);
    int fd = accept(p->fd, NULL, NULL);
    while (p->got < want_len) {
        ssize_t n = recv(fd, p->in + p->got, sizeof(p->in) - p->got, 0);
        if (n <= 0) {
            break;
        }
        p->got += (size_t)n;
    }
    (void)send(fd, answer, answer_len, MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void the_client_asks_and_reads(void **state)
{
    (void)state;
    struct peer p = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct hf_err err = {0};
    pthread_t thread;
    char want[FRAME];
    size_t want_len = read_file(request_path, want);
    const hf_json *durable = NULL;
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(p.fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(p.fd, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_one, &p), 0);
    HF_AUTOJSON hf_json *request = hf_json_object();
    HF_AUTOJSON hf_json *answer = NULL;
    hf_json_put_int(request, "v", 1);
    hf_json_put_text(request, "do", "archive-push");
    hf_json_put_text(request, "name", "000000020000000000000007");
    hf_json_put_text(request, "path", "/data/pg_wal/000000020000000000000007");
    hf_json_put_text(request, "system", "7300000000000000001");
    hf_result r = hf_socket_ask(path, request, HF_SEC(30), &answer, &err);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(p.fd);
    assert_true(hf_ok(r));
    assert_int_equal(p.got, want_len);
    assert_memory_equal(p.in, want, want_len);
    assert_true(hf_ok(hf_json_get_array(answer, "durable", 8, &durable, &err)));
    assert_string_equal(hf_json_text(hf_json_at(durable, 0)), "us");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_the_committed_ones),
        cmocka_unit_test_setup_teardown(the_agent_reads_and_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(the_client_asks_and_reads, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
