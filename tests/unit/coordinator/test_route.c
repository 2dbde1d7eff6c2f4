/* SPDX-License-Identifier: Apache-2.0
 *
 * The published name against a scripted PowerDNS API and a scripted authoritative server, both in
 * the test's own loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "common/io/ws_http.h"
#include "coordinator/route/dns_query.h"
#include "coordinator/route/route.h"

static const char NAME[] = "db.main.hf.test.";

struct world {
    struct hf_loop *loop;
    struct hf_ws_hub *ws;
    struct hf_http_server *api;
    struct hf_http_client *http;
    struct hf_watch *watch;
    int dns;
    struct hf_config_dns config;
    char key_file[64];
    /* what the servers hold */
    char published[64]; /* by the API */
    int ttl;
    bool lagging; /* the authoritative server still answers the old address */
    char old[64];
    bool authoritative;
    int reads, writes, questions;
    int fail_writes; /* that many answers are 500 */
};

/* Turns a question into its answer: one A record, built by hand. */
static size_t answer_packet(const struct world *w, uint8_t *p, size_t len, const char *value)
{
    struct in_addr address;
    static const uint8_t head[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 2, 0, 4};
    assert_int_equal(inet_pton(AF_INET, value, &address), 1);
    p[2] = (uint8_t)(0x80 | (w->authoritative ? 0x04 : 0));
    p[3] = 0;
    p[7] = 1;
    memcpy(p + len, head, sizeof head);
    memcpy(p + len + sizeof head, &address, 4);
    return len + sizeof head + 4;
}

static void on_question(void *arg, int fd, unsigned events)
{
    struct world *w = arg;
    uint8_t packet[512];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    (void)events;
    ssize_t n = recvfrom(fd, packet, 400, 0, (struct sockaddr *)&from, &from_len);
    assert_true(n > 12);
    w->questions++;
    assert_int_equal(packet[2] & 0x01, 0); /* no recursion is asked for */
    uint8_t other[512];
    memcpy(other, packet, (size_t)n);
    other[0] = (uint8_t)(other[0] ^ 0xff); /* a forged answer first: another id */
    size_t len = answer_packet(w, other, (size_t)n, "10.9.9.9");
    assert_int_equal(sendto(fd, other, len, 0, (struct sockaddr *)&from, from_len), len);
    len = answer_packet(w, packet, (size_t)n, w->lagging ? w->old : w->published);
    assert_int_equal(sendto(fd, packet, len, 0, (struct sockaddr *)&from, from_len), len);
}

static void take_patch(struct world *w, struct hf_http_request *r)
{
    size_t len = 0;
    const char *body = hf_http_body(r, &len);
    HF_AUTOJSON hf_json *v = NULL;
    assert_true(hf_ok(hf_json_parse(body, len, 65536, &v, NULL)));
    const hf_json *set = hf_json_at(hf_json_member(v, "rrsets"), 0);
    assert_string_equal(hf_json_text(hf_json_member(set, "changetype")), "REPLACE");
    assert_string_equal(hf_json_text(hf_json_member(set, "name")), NAME);
    const hf_json *record = hf_json_at(hf_json_member(set, "records"), 0);
    memcpy(w->old, w->published, sizeof w->old);
    snprintf(w->published, sizeof w->published, "%s",
             hf_json_text(hf_json_member(record, "content")));
    w->ttl = 2;
}

static void on_api(void *arg, struct hf_http_request *r)
{
    struct world *w = arg;
    char body[512];
    assert_non_null(strstr(hf_http_path(r), "/api/v1/servers/localhost/zones/hf.test."));
    if (strcmp(hf_http_method(r), "PATCH") == 0) {
        w->writes++;
        if (w->fail_writes > 0) {
            w->fail_writes--;
            hf_http_respond(r, 500, "text/plain", "busy", 4);
            return;
        }
        take_patch(w, r);
        hf_http_respond(r, 204, "application/json", "", 0);
        return;
    }
    w->reads++;
    snprintf(body, sizeof body,
             "{\"rrsets\":[{\"name\":\"other.hf.test.\",\"type\":\"A\",\"ttl\":5,\"records\":[]},"
             "{\"name\":\"%s\",\"type\":\"A\",\"ttl\":%d,\"records\":[{\"content\":\"%s\","
             "\"disabled\":false}]}]}",
             NAME, w->ttl, w->published);
    hf_http_respond(r, 200, "application/json", body, strlen(body));
}

static int make_world(void **state)
{
    struct world *w = hf_alloc(sizeof *w);
    struct hf_err err = {0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    const struct hf_http_server_config api = {.listen = "127.0.0.1:0"};
    *state = w;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    if (!hf_ok(hf_loop_new(&w->loop, &err)) || !hf_ok(hf_ws_hub_new(w->loop, &w->ws, &err)) ||
        !hf_ok(hf_http_server_new(w->ws, &api, on_api, w, &w->api, &err)) ||
        !hf_ok(hf_http_client_new(w->loop, 4, &w->http, &err))) {
        print_error("%s\n", err.text);
        return -1;
    }
    w->dns = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(w->dns, (struct sockaddr *)&a, sizeof a) != 0 ||
        getsockname(w->dns, (struct sockaddr *)&a, &len) != 0 ||
        !hf_ok(hf_loop_watch(w->loop, w->dns, HF_LOOP_READ, on_question, w, &w->watch, &err))) {
        return -1;
    }
    (void)snprintf(w->key_file, sizeof w->key_file, "/tmp/hf-route-XXXXXX");
    int fd = mkstemp(w->key_file);
    if (fd < 0 || write(fd, "secret\n", 7) != 7 || close(fd) != 0) {
        return -1;
    }
    snprintf(w->config.url, sizeof w->config.url, "http://127.0.0.1:%d",
             hf_http_server_port(w->api));
    snprintf(w->config.api_key_file, sizeof w->config.api_key_file, "%s", w->key_file);
    snprintf(w->config.zone, sizeof w->config.zone, "hf.test.");
    snprintf(w->config.authoritative[0], HF_ADDRESS_SIZE, "127.0.0.1:%d", ntohs(a.sin_port));
    w->config.authoritative_count = 1;
    w->config.timeout = HF_SEC(2);
    w->authoritative = true;
    w->ttl = 2;
    (void)snprintf(w->published, sizeof w->published, "127.0.1.1");
    (void)snprintf(w->old, sizeof w->old, "127.0.1.1");
    return 0;
}

static int drop_world(void **state)
{
    struct world *w = *state;
    unlink(w->key_file);
    hf_loop_unwatch(w->watch);
    close(w->dns);
    hf_http_client_free(w->http);
    hf_ws_hub_free(w->ws);
    hf_loop_free(w->loop);
    hf_free(w);
    return 0;
}

static struct hf_route_task *begin(struct world *w, const char *value)
{
    struct hf_route_task *t = NULL;
    struct hf_route_record record = {.type = HF_ROUTE_A, .ttl = HF_SEC(2)};
    const hf_name node = {"us-1"};
    snprintf(record.name, sizeof record.name, "%s", NAME);
    snprintf(record.value, sizeof record.value, "%s", value);
    assert_true(hf_ok(hf_route_task_new(w->loop, w->http, &w->config, &record, &node, &t, NULL)));
    return t;
}

static bool run_until_done(struct world *w, const struct hf_route_task *t, int64_t limit_ms)
{
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_MS(limit_ms));
    while (hf_route_task_state(t) != HF_ROUTE_DONE && hf_lclk_before(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_ws_step(w->ws, HF_MS(20), NULL)));
    }
    return hf_route_task_state(t) == HF_ROUTE_DONE;
}

static void sets_and_verifies(void **state)
{
    struct world *w = *state;
    struct hf_route_task *t = begin(w, "127.0.2.1");
    assert_true(run_until_done(w, t, 20000));
    assert_int_equal(w->writes, 1);
    assert_string_equal(w->published, "127.0.2.1");
    assert_int_equal(hf_route_task_old_ttl(t).us, 2000000);
    assert_true(w->questions >= 1);
    hf_route_task_free(t);
}

static void writes_nothing_when_it_is_there_already(void **state)
{
    struct world *w = *state;
    struct hf_route_task *t = begin(w, "127.0.1.1");
    assert_true(run_until_done(w, t, 20000));
    assert_int_equal(w->writes, 0);
    hf_route_task_free(t);
}

static void is_not_done_before_the_server_answers_it(void **state)
{
    struct world *w = *state;
    w->lagging = true;
    struct hf_route_task *t = begin(w, "127.0.2.1");
    assert_false(run_until_done(w, t, 1200));
    assert_int_equal(w->writes, 1);
    assert_true(w->questions >= 2);
    assert_true(hf_route_task_problem(t)[0] != '\0');
    w->lagging = false;
    assert_true(run_until_done(w, t, 20000));
    assert_string_equal(hf_route_task_problem(t), "");
    hf_route_task_free(t);
}

static void an_answer_without_authority_does_not_count(void **state)
{
    struct world *w = *state;
    w->authoritative = false;
    struct hf_route_task *t = begin(w, "127.0.1.1");
    assert_false(run_until_done(w, t, 800));
    hf_route_task_free(t);
}

static void tries_again_when_the_api_fails(void **state)
{
    struct world *w = *state;
    w->fail_writes = 2;
    struct hf_route_task *t = begin(w, "127.0.2.1");
    assert_true(run_until_done(w, t, 20000));
    assert_int_equal(w->writes, 3);
    hf_route_task_free(t);
}

static void a_question_that_cannot_be_sent_is_asked_again(void **state)
{
    struct world *w = *state;
    struct hf_err err;
    if (!hf_ok(hf_fault_configure("dns.send=error:3", &err))) {
        skip();
    }
    struct hf_route_task *t = begin(w, "127.0.2.1");
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    while (hf_route_task_problem(t)[0] == '\0' && hf_lclk_before(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_ws_step(w->ws, HF_MS(20), NULL)));
    }
    assert_non_null(strstr(hf_route_task_problem(t), "fault point dns.send"));
    assert_true(run_until_done(w, t, 20000));
    assert_string_equal(hf_route_task_problem(t), "");
    assert_true(hf_ok(hf_fault_configure(NULL, &err)));
    hf_route_task_free(t);
}

static void a_ttl_above_the_wanted_one_is_told_and_lowered(void **state)
{
    struct world *w = *state;
    w->ttl = 3600;
    struct hf_route_task *t = begin(w, "127.0.1.1"); /* same value, other TTL */
    assert_true(run_until_done(w, t, 20000));
    assert_int_equal(w->writes, 1);
    assert_int_equal(w->ttl, 2);
    assert_int_equal(hf_route_task_old_ttl(t).us, 3600000000);
    hf_lclk now = hf_clock_lease();
    assert_true(hf_route_task_ttl_high(t, now));
    assert_true(hf_route_task_ttl_high(t, hf_lclk_add(now, HF_SEC(3590))));
    assert_false(hf_route_task_ttl_high(t, hf_lclk_add(now, HF_SEC(3600))));
    hf_route_task_free(t);
    t = begin(w, "127.0.1.1");
    assert_true(run_until_done(w, t, 20000));
    assert_false(hf_route_task_ttl_high(t, now));
    hf_route_task_free(t);
}

static void nothing_happens_after_a_cancel(void **state)
{
    struct world *w = *state;
    struct hf_route_task *t = begin(w, "127.0.2.1");
    for (int i = 0; i < 3; i++) {
        assert_true(hf_ok(hf_ws_step(w->ws, HF_MS(5), NULL)));
    }
    hf_route_task_free(t);
    int writes = w->writes;
    for (int i = 0; i < 20; i++) {
        assert_true(hf_ok(hf_ws_step(w->ws, HF_MS(5), NULL)));
    }
    assert_int_equal(w->writes, writes);
}

static void records_fit_their_type(void **state)
{
    (void)state;
    HF_AUTOFREE struct hf_policy *p = hf_alloc(sizeof *p);
    struct hf_route_record r;
    hf_policy_init(p);
    p->route.present = true;
    snprintf(p->route.name, sizeof p->route.name, "%s", NAME);
    p->route.ttl = HF_SEC(2);
    p->route.type = HF_ROUTE_A;
    assert_true(hf_ok(hf_route_record_make(p, "127.0.2.1:5432", &r, NULL)));
    assert_string_equal(r.value, "127.0.2.1");
    assert_false(hf_ok(hf_route_record_make(p, "db.example:5432", &r, NULL)));
    assert_false(hf_ok(hf_route_record_make(p, "", &r, NULL)));
    assert_false(hf_ok(hf_route_record_make(p, ":5432", &r, NULL)));
    p->route.type = HF_ROUTE_AAAA;
    assert_true(hf_ok(hf_route_record_make(p, "[2001:DB8:0::1]:5432", &r, NULL)));
    assert_string_equal(r.value, "2001:db8::1");
    assert_false(hf_ok(hf_route_record_make(p, "127.0.2.1:5432", &r, NULL)));
    p->route.type = HF_ROUTE_CNAME;
    assert_true(hf_ok(hf_route_record_make(p, "db.example:5432", &r, NULL)));
    assert_string_equal(r.value, "db.example.");
}

static void packets_are_read_strictly(void **state)
{
    (void)state;
    struct world w = {.authoritative = true};
    uint8_t packet[512];
    size_t len = 0;
    struct hf_dns_answer a;
    assert_true(hf_ok(hf_dns_build(NAME, HF_ROUTE_A, 0x1234, packet, sizeof packet, &len, NULL)));
    assert_int_equal(packet[0], 0x12);
    /* The question itself is no answer. */
    assert_int_equal(hf_dns_parse(packet, len, NAME, HF_ROUTE_A, 0x1234, &a, NULL).code,
                     HF_E_STALE);
    size_t n = answer_packet(&w, packet, len, "127.0.2.1");
    assert_true(hf_ok(hf_dns_parse(packet, n, NAME, HF_ROUTE_A, 0x1234, &a, NULL)));
    assert_true(hf_dns_answer_is(&a, "127.0.2.1"));
    assert_false(hf_dns_answer_is(&a, "127.0.2.10"));
    assert_int_equal(a.ttl.us, 2000000);
    assert_int_equal(hf_dns_parse(packet, n, NAME, HF_ROUTE_A, 0x1235, &a, NULL).code, HF_E_STALE);
    assert_int_equal(hf_dns_parse(packet, n, "x.hf.test.", HF_ROUTE_A, 0x1234, &a, NULL).code,
                     HF_E_STALE);
    assert_int_equal(hf_dns_parse(packet, n, NAME, HF_ROUTE_AAAA, 0x1234, &a, NULL).code,
                     HF_E_STALE);
    packet[3] = 3; /* NXDOMAIN */
    assert_true(hf_ok(hf_dns_parse(packet, n, NAME, HF_ROUTE_A, 0x1234, &a, NULL)));
    assert_false(hf_dns_answer_is(&a, "127.0.2.1"));
    packet[3] = 0;
    packet[2] |= 0x02; /* truncated */
    assert_int_equal(hf_dns_parse(packet, n, NAME, HF_ROUTE_A, 0x1234, &a, NULL).code,
                     HF_E_CORRUPT);
    for (size_t cut = 0; cut < n; cut++) { /* every prefix: refused, never read past its end */
        assert_false(hf_ok(hf_dns_parse(packet, cut, NAME, HF_ROUTE_A, 0x1234, &a, NULL)));
    }
    assert_false(hf_ok(hf_dns_build("a..b", HF_ROUTE_A, 1, packet, sizeof packet, &len, NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_and_verifies, make_world, drop_world),
        cmocka_unit_test_setup_teardown(writes_nothing_when_it_is_there_already, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(is_not_done_before_the_server_answers_it, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(an_answer_without_authority_does_not_count, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(tries_again_when_the_api_fails, make_world, drop_world),
        cmocka_unit_test_setup_teardown(a_question_that_cannot_be_sent_is_asked_again, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(a_ttl_above_the_wanted_one_is_told_and_lowered, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(nothing_happens_after_a_cancel, make_world, drop_world),
        cmocka_unit_test(records_fit_their_type),
        cmocka_unit_test(packets_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
