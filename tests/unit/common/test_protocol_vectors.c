/* SPDX-License-Identifier: Apache-2.0
 *
 * The committed frames of tests/data/protocol/messages.jsonl: one message a line, as it goes over
 * the wire. Another implementation can be checked against them; ours must write the same bytes.
 * With HF_UPDATE_DOCS=1 the file is written anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/core/message.h"

static const char *const path = "data/protocol/messages.jsonl";

static hf_name name(const char *text)
{
    hf_name n = {0};
    (void)snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

static void candidates(struct hf_candidates *c)
{
    *c = (struct hf_candidates){.version = 3, .count = 2, .members = {name("us-1"), name("ap-1")}};
}

static void fill_beat(struct hf_heartbeat *b)
{
    *b = (struct hf_heartbeat){.seq = 42,
                               .life = 0x1122334455667788,
                               .clock_us = 9000000001,
                               .read_ago = {180000},
                               .generation = {1},
                               .epoch = {2},
                               .prepared = {2},
                               .state = HF_NODE_PRIMARY,
                               .system_id = 7300000000000000001,
                               .timeline = {2},
                               .written = {0x7019D18},
                               .flushed = {0x7019D00},
                               .guard = true,
                               .want_lease = true,
                               .lease_epoch = {2},
                               .lease_serial = 5,
                               .lease_remaining = {5900000},
                               .lease_source = HF_LEASE_ETCD,
                               .surrendered = {1},
                               .surrendered_serial = 4,
                               .candidates_acked = 3,
                               .candidates_known = 4,
                               .term = 76,
                               .op = "lead.2.us-1",
                               .op_status = HF_OP_DONE,
                               .repository_known = true,
                               .repository_ok = true,
                               .wal_to = {0x7000000},
                               .wal_timeline = {2},
                               .newest_backup = "20261121T002100Z-F",
                               .disk_known = true,
                               .disk_free = 12345678901,
                               .pg_silent = true};
}

static void make(enum hf_message_type type, struct hf_message *m)
{
    memset(m, 0, sizeof *m);
    m->type = type;
    switch (type) {
    case HF_MESSAGE_HELLO:
        m->hello = (struct hf_hello){name("demo"),
                                     name("main"),
                                     name("us"),
                                     name("us-1"),
                                     "127.0.2.1:5432",
                                     "0.1.0",
                                     "f8b1c1d2-0000-4000-8000-0123456789ab"};
        break;
    case HF_MESSAGE_HEARTBEAT:
        fill_beat(&m->heartbeat);
        break;
    case HF_MESSAGE_GRANT:
        m->grant = (struct hf_grant){.seq = 42,
                                     .life = 0x1122334455667788,
                                     .generation = {1},
                                     .epoch = {2},
                                     .term = 77,
                                     .serial = 5,
                                     .ttl = {6000000}};
        candidates(&m->grant.candidates);
        break;
    case HF_MESSAGE_VIEW:
        m->view = (struct hf_view){.generation = {1},
                                   .epoch = {2},
                                   .term = 77,
                                   .primary = name("us-1"),
                                   .primary_address = "127.0.2.1:5432",
                                   .timeline = {2},
                                   .ttl = {6000000}};
        candidates(&m->view.candidates);
        break;
    case HF_MESSAGE_COMMAND:
        m->command = (struct hf_command){.id = "lead.2.us-1",
                                         .kind = HF_COMMAND_LEAD,
                                         .generation = {1},
                                         .term = 77,
                                         .sequence = 12,
                                         .epoch = {2},
                                         .seq = 41,
                                         .life = 0x1122334455667788,
                                         .ttl = {5000000},
                                         .timeline = {2},
                                         .released_epoch = {1},
                                         .released_serial = 4,
                                         .from_generation = {3}};
        break;
    case HF_MESSAGE_PROMISE_REQUEST:
        m->promise_request =
            (struct hf_promise_request){9, name("us-1"), name("ap-1"), {1}, {2}, 5, 3, {6000000}};
        break;
    case HF_MESSAGE_PROMISE_REPLY:
        m->promise_reply = (struct hf_promise_reply){9, name("us-1"), name("ap-1"),      {2},
                                                     5, false,        "OTHER_CANDIDATES"};
        break;
    case HF_MESSAGE_REPORT:
        m->report = (struct hf_report){"b-1", "backup", "{\"label\":\"20261121T002100Z-F\"}"};
        break;
    case HF_MESSAGE_REPORT_ACK:
        m->report_ack = (struct hf_report_ack){"b-1"};
        break;
    case HF_MESSAGE_TYPES:
        break;
    }
}

static void frames_are_the_committed_ones(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_BUF(all, 65536);
    for (int type = 0; type < HF_MESSAGE_TYPES; type++) {
        struct hf_message m;
        make((enum hf_message_type)type, &m);
        assert_true(hf_ok(hf_message_encode(&m, &all, &err)));
        assert_true(hf_ok(hf_buf_append_str(&all, "\n", &err)));
    }
    const char *update = getenv("HF_UPDATE_DOCS");
    if (update != NULL && strcmp(update, "1") == 0) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(all.data, 1, all.len, out), all.len);
        assert_int_equal(fclose(out), 0);
    }
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    static char text[65536];
    size_t n = fread(text, 1, sizeof text - 1, in);
    (void)fclose(in);
    text[n] = '\0';
    assert_string_equal(text, all.data);
    /* And each is read back to the same. */
    int lines = 0;
    for (char *line = text; *line != '\0'; lines++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        struct hf_message m;
        assert_true(hf_ok(hf_message_decode(line, (size_t)(end - line), &m, &err)));
        assert_int_equal(m.type, lines);
        line = end + 1;
    }
    assert_int_equal(lines, HF_MESSAGE_TYPES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(frames_are_the_committed_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
