/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings, signal file, quoting; the end of a WAL record; lines of pg_waldump; the agent's socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/node/op.h"
#include "agent/node/op_goal.h"
#include "agent/node/pgconf.h"
#include "agent/node/socket.h"
#include "common/io/fault.h"
#include "common/io/files.h"

static char directory[64];

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/hf-pgconf-XXXXXX");
    assert_non_null(mkdtemp(directory));
    return 0;
}
static int teardown(void **state)
{
    struct hf_err err;
    (void)state;
    return hf_ok(hf_dir_remove_tree(directory, &err)) ? 0 : 1;
}

static void test_foreign_lines_stay(void **state)
{
    (void)state;
    struct hf_err err;
    HF_BUF(out, 65536);
    static const char text[] = "# Do not edit\n"
                               "work_mem = '4MB'\n"
                               "  Primary_Conninfo = 'host=old'\n"
                               "primary_conninfo_x = '1'\n"
                               "restart_after_crash=on";
    const struct hf_pgconf_entry entries[] = {{"primary_conninfo", "host='a b' \\x"},
                                              {"restart_after_crash", NULL}};
    assert_true(hf_ok(hf_pgconf_merge(text, entries, 2, &out, &err)));
    assert_string_equal(hf_buf_text(&out), "# Do not edit\n"
                                           "work_mem = '4MB'\n"
                                           "primary_conninfo_x = '1'\n"
                                           "primary_conninfo = 'host=''a b'' \\\\x'\n");
    const struct hf_pgconf_entry evil[] = {{"port", "1\nshared_preload_libraries = 'x'"}};
    assert_int_equal(hf_pgconf_merge("", evil, 1, &out, &err).code, HF_E_INVALID);
}

static void test_set_and_get(void **state)
{
    (void)state;
    struct hf_err err;
    char value[64];
    const struct hf_pgconf_entry one[] = {{"a", "it's \\ ok"}, {"b", ""}};
    const struct hf_pgconf_entry two[] = {{"a", NULL}};
    assert_true(hf_ok(hf_pgconf_set(directory, one, 2, &err)));
    assert_true(hf_ok(hf_pgconf_get(directory, "a", value, sizeof(value), &err)));
    assert_string_equal(value, "it's \\ ok");
    assert_true(hf_ok(hf_pgconf_get(directory, "b", value, sizeof(value), &err)));
    assert_string_equal(value, "");
    assert_true(hf_ok(hf_pgconf_set(directory, two, 1, &err)));
    assert_int_equal(hf_pgconf_get(directory, "a", value, sizeof(value), &err).code,
                     HF_E_NOT_FOUND);
    char path[96];
    snprintf(path, sizeof(path), "%s/standby.signal", directory);
    assert_true(hf_ok(hf_pgconf_signal_put(directory, &err)));
    assert_true(hf_file_exists(path));
    assert_true(hf_ok(hf_pgconf_signal_put(directory, &err)));
    assert_true(hf_ok(hf_pgconf_signal_remove(directory, &err)));
    assert_false(hf_file_exists(path));
    assert_true(hf_ok(hf_pgconf_signal_remove(directory, &err)));
}

static void test_quoting(void **state)
{
    (void)state;
    struct hf_err err;
    HF_BUF(out, 256);
    char slot[80];
    assert_true(hf_ok(hf_pgconf_conninfo(&out, "host", "10.0.0.1", &err)));
    assert_true(hf_ok(hf_pgconf_conninfo(&out, "passfile", "/a 'b'\\c", &err)));
    assert_string_equal(hf_buf_text(&out), "host='10.0.0.1' passfile='/a \\'b\\'\\\\c'");
    hf_buf_reset(&out);
    assert_true(hf_ok(hf_pgconf_shell_word(&out, "/a b/$(x);c", &err)));
    assert_string_equal(hf_buf_text(&out), "'/a b/$(x);c'");
    assert_int_equal(hf_pgconf_shell_word(&out, "/a'b", &err).code, HF_E_INVALID);
    assert_int_equal(hf_pgconf_shell_word(&out, "/a%p", &err).code, HF_E_INVALID);
    hf_pgconf_slot_name("eu-1", slot, sizeof(slot));
    assert_string_equal(slot, "holdfast_eu_1");
}

static void test_end_of_a_record(void **state)
{
    (void)state;
    const uint64_t segment = 16 * 1024 * 1024;
    static const struct {
        uint64_t lsn, length, end;
    } cases[] = {
        {0x1000028, 114, 0x10000A0},            /* within a page, aligned to 8 */
        {0x1530CA8, 54, 0x1530CE0},             /* 0xCA8 + 54 = 0xCDE */
        {0x1001FE0, 32, 0x1002000},             /* ends with its page */
        {0x1001FE0, 33, 0x1002020},             /* one byte on the next: 24 of header, 1, aligned */
        {0x1FFFFE0, 40, 0x2000030},             /* next segment: 40 of header */
        {0x1001FE0, 32 + 8168 + 10, 0x1004028}, /* two headers of 24 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(hf_op_record_end(HF_LSN(cases[i].lsn), cases[i].length, segment).v,
                         cases[i].end);
    }
}

static void test_lines_of_waldump(void **state)
{
    (void)state;
    hf_lsn lsn;
    uint64_t length;
    assert_true(hf_op_waldump_line(
        "rmgr: Heap        len (rec/tot):     54/  8254, tx:        735, lsn: 2/01530CA8, prev "
        "2/01530C70, desc: INSERT off 1 flags 0x00",
        &lsn, &length));
    assert_int_equal(lsn.v, 0x201530CA8);
    assert_int_equal(length, 8254);
    assert_false(
        hf_op_waldump_line("pg_waldump: error: error in WAL record at 0/1530CA8", &lsn, &length));
    assert_false(hf_op_waldump_line("rmgr: Heap len (rec/tot): x", &lsn, &length));
    assert_false(hf_op_waldump_line("", &lsn, &length));
}

/* --- socket --- */

static struct hf_loop *loop;
static struct hf_socket *server;
static char socket_path[96];

static void on_request(void *arg, uint64_t ticket, const char *verb, const hf_json *request)
{
    struct hf_err err;
    (void)arg;
    (void)request;
    if (strcmp(verb, "status") == 0) {
        HF_AUTOJSON hf_json *o = hf_json_object();
        hf_json_put_text(o, "node", "eu-1");
        hf_socket_answer(server, ticket, hf_done(), o, NULL);
    } else {
        hf_socket_answer(server, ticket, hf_fail(&err, HF_E_UNSUPPORTED, "no"), NULL, &err);
    }
}

static void *ask_twice(void *arg)
{
    struct hf_err err;
    char **ret = arg;
    for (int i = 0; i < 2; i++) {
        HF_AUTOJSON hf_json *request = hf_json_object();
        HF_AUTOJSON hf_json *answer = NULL;
        HF_BUF(text, 8192);
        hf_json_put_int(request, "v", 1);
        hf_json_put_text(request, "do", i == 0 ? "status" : "other");
        if (hf_ok(hf_socket_ask(socket_path, request, HF_SEC(10), &answer, &err)) &&
            hf_ok(hf_json_write(answer, &text, &err))) {
            ret[i] = strdup(hf_buf_text(&text));
        }
    }
    hf_loop_stop(loop);
    return NULL;
}

static void test_socket(void **state)
{
    (void)state;
    struct hf_err err;
    char *answers[2] = {NULL, NULL};
    pthread_t client;
    snprintf(socket_path, sizeof(socket_path), "%s/agent.sock", directory);
    assert_true(hf_ok(hf_loop_new(&loop, &err)));
    assert_true(hf_ok(hf_socket_new(loop, socket_path, on_request, NULL, &server, &err)));
    assert_int_equal(pthread_create(&client, NULL, ask_twice, answers), 0);
    assert_true(hf_ok(hf_loop_run(loop, &err)));
    pthread_join(client, NULL);
    assert_string_equal(answers[0], "{\"ok\":true,\"node\":\"eu-1\"}");
    assert_string_equal(answers[1], "{\"ok\":false,\"code\":\"unsupported\",\"message\":\"no\"}");
    free(answers[0]);
    free(answers[1]);
    hf_socket_free(server);
    assert_false(hf_file_exists(socket_path));
    HF_AUTOJSON hf_json *nothing = hf_json_object();
    hf_json *answer = NULL;
    assert_int_equal(hf_socket_ask(socket_path, nothing, HF_SEC(1), &answer, &err).code,
                     HF_E_UNREACHABLE);
    hf_loop_free(loop);
}

static void test_socket_faults(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_socket *s = NULL;
    HF_AUTOJSON hf_json *request = hf_json_object();
    hf_json *answer = NULL;
    if (!hf_ok(hf_fault_configure("socket.ask=error;socket.listen=error", &err))) {
        skip();
    }
    assert_int_equal(hf_socket_ask(socket_path, request, HF_SEC(1), &answer, &err).code, HF_E_IO);
    assert_string_equal(err.text, "fault point socket.ask");
    assert_int_equal(hf_socket_new(NULL, socket_path, on_request, NULL, &s, &err).code, HF_E_IO);
    assert_string_equal(err.text, "fault point socket.listen");
    assert_true(hf_ok(hf_fault_configure(NULL, &err)));
}

/* --- histories that lead nowhere --- */

static void make(const char *name)
{
    char path[300];
    struct hf_err err;
    snprintf(path, sizeof(path), "%s/pg_wal/%s", directory, name);
    assert_true(hf_ok(hf_file_write_durable(path, "1\t0/3000100\tx\n", 14, 0600, &err)));
}

static bool there(const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/pg_wal/%s", directory, name);
    return hf_file_exists(path);
}

static void test_a_history_above_all_wal_is_no_goal(void **state)
{
    (void)state;
    struct hf_err err;
    char wal[100];
    char status[120];
    snprintf(wal, sizeof(wal), "%s/pg_wal", directory);
    snprintf(status, sizeof(status), "%s/archive_status", wal);
    assert_true(hf_ok(hf_dir_make(wal, 0700, &err)));
    assert_true(hf_ok(hf_dir_make(status, 0700, &err)));
    static const char *const stay[] = {
        "000000080000000000000001", "000000090000000000000002",
        "00000007.history",         "00000008.history",
        "00000009.history",         "archive_status/00000009.history.ready"};
    static const char *const go[] = {"0000000A.history", "0000000B.history",
                                     "archive_status/0000000B.history.ready",
                                     "archive_status/0000000A.history.done"};
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
        make(stay[i]);
    }
    for (size_t i = 0; i < sizeof(go) / sizeof(go[0]); i++) {
        make(go[i]);
    }
    assert_int_equal(hf_op_history_newest(wal, true).v, 11);
    assert_int_equal(hf_op_history_newest(wal, false).v, 9);
    /* pg_control may know of a timeline that no segment is left of. */
    assert_true(hf_ok(hf_op_history_forget_above(wal, HF_TLI(11), &err)));
    assert_true(there("0000000A.history") && there("0000000B.history"));
    assert_true(hf_ok(hf_op_history_forget_above(wal, HF_TLI(8), &err)));
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
        assert_true(there(stay[i]));
    }
    for (size_t i = 0; i < sizeof(go) / sizeof(go[0]); i++) {
        assert_false(there(go[i]));
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_lines_stay),
        T(test_set_and_get),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_end_of_a_record),
        cmocka_unit_test(test_lines_of_waldump),
        T(test_a_history_above_all_wal_is_no_goal),
        T(test_socket),
        T(test_socket_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
