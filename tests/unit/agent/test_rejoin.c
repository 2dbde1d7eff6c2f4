/* SPDX-License-Identifier: Apache-2.0
 *
 * What a rejoin decides: the way, the fork, whose files are whose. Tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/node/op_control.h"
#include "agent/node/op_rejoin.h"
#include "agent/rejoin/choose.h"
#include "agent/rejoin/fork.h"

enum { SEGMENT = 16 << 20 };

/* --- the way -------------------------------------------------------------------------------- */

static const struct hf_rejoin_facts FIT = {.has_data = true,
                                           .pages_logged = true,
                                           .end_known = true,
                                           .fork_known = true,
                                           .diverged = true,
                                           .version = 15,
                                           .source_version = 15,
                                           .system_id = 7,
                                           .source_system_id = 7};

static void test_what_fits_is_rewound(void **state)
{
    (void)state;
    struct hf_rejoin_choice c = hf_rejoin_choose(&FIT, HF_REJOIN_FOLLOW);
    assert_int_equal(c.way, HF_REJOIN_REWIND);
    assert_string_equal(c.passed[HF_REJOIN_FOLLOW].word, "diverged");
    assert_null(c.passed[HF_REJOIN_REWIND].word);
    c = hf_rejoin_choose(&FIT, HF_REJOIN_COPY); /* the rewind failed */
    assert_int_equal(c.way, HF_REJOIN_COPY);
    for (int i = 0; i < HF_REJOIN_WAYS; i++) {
        assert_null(c.passed[i].word);
    }
}

static void test_what_did_not_diverge_follows_as_it_is(void **state)
{
    (void)state;
    struct hf_rejoin_facts facts = FIT;
    facts.diverged = false;
    facts.pages_logged = false; /* asks for nothing that only a rewind needs */
    struct hf_rejoin_choice c = hf_rejoin_choose(&facts, HF_REJOIN_FOLLOW);
    assert_int_equal(c.way, HF_REJOIN_FOLLOW);
    assert_null(c.passed[HF_REJOIN_FOLLOW].word);
    /* When no WAL came, there is nothing to rewind either. */
    facts.pages_logged = true;
    c = hf_rejoin_choose(&facts, HF_REJOIN_REWIND);
    assert_int_equal(c.way, HF_REJOIN_COPY);
    assert_string_equal(c.passed[HF_REJOIN_REWIND].word, "not_diverged");
    assert_null(c.passed[HF_REJOIN_FOLLOW].word);
}

static void test_what_does_not_fit_is_copied_and_says_why(void **state)
{
    (void)state;
    struct row {
        const char *reason;
        struct hf_rejoin_facts facts;
    } rows[8];
    size_t n = 0;
#define ROW(why, member, value)                                                                    \
    rows[n] = (struct row){.reason = (why), .facts = FIT};                                         \
    rows[n++].facts.member = (value)
    ROW("half_made", half_made, true);
    ROW("no_data", has_data, false);
    ROW("other_version", version, 14);
    ROW("other_version", version, 0);
    ROW("other_system", system_id, 8);
    ROW("end_unknown", end_known, false);
    ROW("fork_unknown", fork_known, false);
    ROW("pages_not_logged", pages_logged, false);
#undef ROW
    for (size_t i = 0; i < n; i++) {
        struct hf_rejoin_choice c = hf_rejoin_choose(&rows[i].facts, HF_REJOIN_FOLLOW);
        assert_int_equal(c.way, HF_REJOIN_COPY);
        assert_string_equal(c.passed[HF_REJOIN_REWIND].word, rows[i].reason);
        assert_non_null(c.passed[HF_REJOIN_REWIND].text);
        /* A directory like that is not started as it is either, diverged or not. */
        rows[i].facts.diverged = false;
        c = hf_rejoin_choose(&rows[i].facts, HF_REJOIN_FOLLOW);
        if (strcmp(rows[i].reason, "pages_not_logged") != 0) {
            assert_int_equal(c.way, HF_REJOIN_COPY);
            assert_string_equal(c.passed[HF_REJOIN_FOLLOW].word, rows[i].reason);
        }
    }
    /* The first of several reasons is the one that is named; nothing forbids the last way. */
    static const struct hf_rejoin_facts nothing = {.half_made = true};
    struct hf_rejoin_choice c = hf_rejoin_choose(&nothing, HF_REJOIN_FOLLOW);
    assert_string_equal(c.passed[HF_REJOIN_FOLLOW].word, "half_made");
    assert_string_equal(c.passed[HF_REJOIN_REWIND].word, "half_made");
    assert_string_equal(hf_rejoin_way_name(c.way), "copy");
    assert_string_equal(hf_rejoin_way_name(HF_REJOIN_REWIND), "rewind");
    assert_string_equal(hf_rejoin_way_name(HF_REJOIN_FOLLOW), "follow");
}

/* --- the fork ------------------------------------------------------------------------------- */

static struct hf_history history(uint32_t timeline, const char *text)
{
    struct hf_history h;
    struct hf_err err = {0};
    assert_true(hf_ok(hf_history_parse(HF_TLI(timeline), text, strlen(text), &h, &err)));
    return h;
}

static void test_where_they_part(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint32_t own, source;
        const char *own_text, *source_text;
        uint32_t fork;
        uint64_t lsn;
    } rows[] = {
        {"the source comes from here", 1, 2, "", "1\t0/3000100\tx\n", 1, 0x3000100},
        {"two further on", 1, 4, "", "1\t0/3000100\tx\n2\t0/5000000\tx\n", 1, 0x3000100},
        {"from the middle", 2, 4, "1\t0/3000100\tx\n", "1\t0/3000100\tx\n2\t0/5000000\tx\n", 2,
         0x5000000},
        {"its history file is lost", 2, 4, "", "1\t0/3000100\tx\n2\t0/5000000\tx\n", 2, 0x5000000},
        {"two futures of one", 3, 2, "1\t0/4000000\tx\n", "1\t0/3000100\tx\n", 1, 0x3000100},
        {"and the other way round", 3, 2, "1\t0/2000000\tx\n", "1\t0/3000100\tx\n", 1, 0x2000000},
        {"both from one position", 3, 2, "1\t0/3000100\tx\n", "1\t0/3000100\tx\n", 1, 0x3000100},
        {"the same", 2, 2, "1\t0/3000100\tx\n", "1\t0/3000100\tx\n", 2, UINT64_MAX},
        {"nothing in common", 3, 2, "", "1\t0/3000100\tx\n", 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_history own = history(rows[i].own, rows[i].own_text);
        struct hf_history source = history(rows[i].source, rows[i].source_text);
        struct hf_rejoin_fork fork;
        hf_rejoin_fork_find(&own, &source, &fork);
        if (fork.timeline.v != rows[i].fork || fork.lsn.v != rows[i].lsn) {
            fail_msg("%s: %u at %llx", rows[i].what, fork.timeline.v,
                     (unsigned long long)fork.lsn.v);
        }
    }
}

static bool holds(const struct hf_rejoin_piece *pieces, int n, const char *text)
{
    struct hf_wal_name name;
    struct hf_err err = {0};
    assert_true(hf_ok(hf_wal_name_parse(text, SEGMENT, &name, &err)));
    return hf_rejoin_holds(pieces, n, &name, SEGMENT);
}

static void test_which_files_hold_what_lies_beyond(void **state)
{
    (void)state;
    struct hf_rejoin_piece p[HF_HISTORY_MAX + 1];
    struct hf_history own = history(1, "");
    const struct hf_rejoin_fork fork = {.timeline = HF_TLI(1), .lsn = HF_LSN(0x3000100)};
    int n = hf_rejoin_pieces(&own, &fork, HF_LSN(0x5000000), p);
    assert_int_equal(n, 1);
    assert_false(holds(p, n, "000000010000000000000002"));
    assert_true(holds(p, n, "000000010000000000000003")); /* the fork lies in it */
    assert_true(holds(p, n, "000000010000000000000004"));
    assert_false(holds(p, n, "000000010000000000000005")); /* prepared for later */
    assert_false(holds(p, n, "000000020000000000000004")); /* another timeline */
    assert_false(holds(p, n, "000000010000000000000004.partial"));
    /* Ends at the fork, or before it: nothing. */
    assert_int_equal(hf_rejoin_pieces(&own, &fork, HF_LSN(0x3000100), p), 0);
    assert_int_equal(hf_rejoin_pieces(&own, &fork, HF_LSN(0x2000000), p), 0);
    const struct hf_rejoin_fork same = {.timeline = HF_TLI(1), .lsn = HF_LSN(UINT64_MAX)};
    assert_int_equal(hf_rejoin_pieces(&own, &same, HF_LSN(UINT64_MAX), p), 0);
}

static void test_what_lies_beyond_may_be_of_two_timelines(void **state)
{
    (void)state;
    struct hf_rejoin_piece p[HF_HISTORY_MAX + 1];
    struct hf_history own = history(3, "1\t0/4000100\tx\n");
    const struct hf_rejoin_fork fork = {.timeline = HF_TLI(1), .lsn = HF_LSN(0x3000100)};
    int n = hf_rejoin_pieces(&own, &fork, HF_LSN(UINT64_MAX), p); /* its end is not known */
    assert_int_equal(n, 2);
    assert_int_equal(p[0].timeline.v, 1);
    assert_int_equal(p[0].to.v, 0x4000100);
    assert_int_equal(p[1].timeline.v, 3);
    assert_int_equal(p[1].from.v, 0x4000100);
    assert_true(holds(p, n, "000000010000000000000004"));
    assert_false(holds(p, n, "000000010000000000000005"));
    assert_true(holds(p, n, "000000030000000000000004"));
    assert_true(holds(p, n, "00000003000000000000000F"));
    assert_true(holds(p, n, "00000003.history"));
    assert_false(holds(p, n, "00000002.history"));
    /* Without a common timeline all of its own one. */
    const struct hf_rejoin_fork none = {.timeline = HF_TLI(0)};
    struct hf_history lost = history(3, "");
    n = hf_rejoin_pieces(&lost, &none, HF_LSN(0x5000000), p);
    assert_int_equal(n, 1);
    assert_true(holds(p, n, "000000030000000000000000"));
}

/* --- files ---------------------------------------------------------------------------------- */

static void test_whose_a_file_is(void **state)
{
    (void)state;
    static const char *const own[] = {"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf",
                                      "pg_ident.conf",   "server.key",           "own.conf"};
    static const char *const data[] = {"PG_VERSION",
                                       "pg_internal.init",
                                       "backup_label",
                                       "backup_label.old",
                                       "postmaster.pid",
                                       "postmaster.opts",
                                       "standby.signal",
                                       "recovery.signal",
                                       "tablespace_map",
                                       "backup_manifest",
                                       "current_logfiles",
                                       "core.1234",
                                       "x.tmp",
                                       ".",
                                       ".."};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        assert_true(hf_rejoin_is_own(own[i], false));
    }
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        assert_false(hf_rejoin_is_own(data[i], false));
    }
    static const char *const directories[] = {"base", "global", "pg_wal", "pg_tblspc", "log", ".."};
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        assert_false(hf_rejoin_is_own(directories[i], true));
    }
    assert_true(hf_rejoin_is_own("conf.d", true));
}

static void test_where_replay_begins(void **state)
{
    (void)state;
    hf_lsn start = HF_LSN(0);
    assert_true(hf_rejoin_label_start(
        "START WAL LOCATION: 1/2000028 (file 000000010000000100000002)\nCHECKPOINT", &start));
    assert_int_equal(start.v, 0x102000028);
    assert_false(hf_rejoin_label_start("CHECKPOINT LOCATION: 0/2000060\n", &start));
    assert_false(hf_rejoin_label_start("", &start));
}

static void test_lines_of_pg_controldata(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "pg_control version number:            1300",
        "Database system identifier:           7446211111111111111",
        "Database cluster state:               in production",
        "Latest checkpoint's REDO location:    0/3000060",
        "Latest checkpoint's TimeLineID:       3",
        "Minimum recovery ending location:     0/4000000",
        "Min recovery ending loc's timeline:   4",
        "wal_log_hints setting:                off",
        "Bytes per WAL segment:                16777216",
        "Data page checksum version:           0",
    };
    struct hf_op_control c = {.segment_size = 0};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        hf_op_control_line(&c, lines[i]);
    }
    assert_int_equal(c.system_id, UINT64_C(7446211111111111111));
    assert_int_equal(c.redo.v, 0x3000060);
    assert_int_equal(c.timeline.v, 3);
    assert_int_equal(c.minimum.v, 0x4000000);
    assert_int_equal(c.minimum_timeline.v, 4);
    assert_int_equal(c.segment_size, SEGMENT);
    assert_false(c.shut_down);
    assert_false(c.pages_logged);
    hf_op_control_line(&c, "Database cluster state:               shut down in recovery");
    hf_op_control_line(&c, "Data page checksum version:           1");
    assert_true(c.shut_down);
    assert_true(c.pages_logged);
    hf_op_control_line(&c, "Database cluster state:               shutting down");
    hf_op_control_line(&c, "no colon");
    assert_false(c.shut_down);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits_is_rewound),
        cmocka_unit_test(test_what_did_not_diverge_follows_as_it_is),
        cmocka_unit_test(test_what_does_not_fit_is_copied_and_says_why),
        cmocka_unit_test(test_where_they_part),
        cmocka_unit_test(test_which_files_hold_what_lies_beyond),
        cmocka_unit_test(test_what_lies_beyond_may_be_of_two_timelines),
        cmocka_unit_test(test_whose_a_file_is),
        cmocka_unit_test(test_where_replay_begins),
        cmocka_unit_test(test_lines_of_pg_controldata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
