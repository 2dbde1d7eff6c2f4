/* SPDX-License-Identifier: Apache-2.0
 *
 * Salvaged WAL: what is read from pg_waldump's lines, names, the directory of a host without
 * repositories.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/rejoin/report.h"
#include "agent/rejoin/salvage.h"
#include "common/base/mem.h"
#include "common/io/files.h"

static struct hf_lost *lost;

static int setup(void **state)
{
    (void)state;
    lost = hf_alloc(sizeof(*lost));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hf_free(lost);
    return 0;
}

static void take(const char *line)
{
    hf_lost_line(lost, line);
}

static void test_lines_of_pg_waldump(void **state)
{
    (void)state;
    take("rmgr: Heap        len (rec/tot):     54/    54, tx:        735, lsn: 0/03000108, prev "
         "0/030000D0, desc: INSERT off 3 flags 0x08, blkref #0: rel 1663/5/16385 blk 0");
    take("rmgr: Transaction len (rec/tot):     34/    34, tx:        735, lsn: 0/03000140, prev "
         "0/03000108, desc: COMMIT 2026-11-28 01:00:00.250000 UTC");
    take("rmgr: Btree       len (rec/tot):     64/    64, tx:        736, lsn: 1/03000168, prev "
         "0/03000140, desc: INSERT_LEAF off 2, blkref #0: rel 1663/5/16390 blk 1, blkref #1: rel "
         "1663/5/16385 blk 7 FPW");
    take("rmgr: Transaction len (rec/tot):    130/   130, tx:        736, lsn: 1/030001A8, prev "
         "1/03000168, desc: COMMIT 2026-11-28 00:59:59.000001 UTC; inval msgs: catcache 54; sync");
    take("rmgr: Transaction len (rec/tot):     34/    34, tx:        737, lsn: 1/03000230, prev "
         "1/030001A8, desc: ABORT 2026-11-28 02:00:00.000000 UTC");
    take("rmgr: Transaction len (rec/tot):     70/    70, tx:          0, lsn: 1/03000258, prev "
         "1/03000230, desc: COMMIT_PREPARED 734: 2026-11-28 01:00:01.000000 UTC");
    take("pg_waldump: error: error in WAL record at 1/3000258: invalid record length");
    take("");
    take("rmgr: Transaction");
    assert_int_equal(lost->records, 6);
    assert_int_equal(lost->transaction_count, 3);
    assert_int_equal(lost->transactions[0].xid, 735);
    assert_int_equal(lost->transactions[0].lsn.v, 0x3000140);
    assert_string_equal(lost->transactions[0].at, "2026-11-28T01:00:00.250000Z");
    assert_int_equal(lost->transactions[1].lsn.v, 0x1030001A8);
    assert_int_equal(lost->transactions[2].xid, 734);
    assert_string_equal(lost->first, "2026-11-28T00:59:59.000001Z");
    assert_string_equal(lost->last, "2026-11-28T01:00:01.000000Z");
    assert_int_equal(lost->relation_count, 2);
    assert_int_equal(lost->relations[0].node, 16385);
    assert_int_equal(lost->relations[0].records, 2);
    assert_int_equal(lost->relations[1].database, 5);
}

static void test_beyond_the_bounds_it_is_counted(void **state)
{
    (void)state;
    char line[256];
    for (unsigned i = 0; i < 2 * HF_LOST_RELATIONS_MAX; i++) {
        (void)snprintf(line, sizeof(line),
                       "rmgr: Heap len (rec/tot): 54/ 54, tx: 1, lsn: 0/1, prev 0/0, desc: INSERT"
                       " off 3, blkref #0: rel 1663/5/%u blk 0",
                       i);
        take(line);
    }
    for (unsigned i = 0; i < HF_LOST_TRANSACTIONS_MAX + 10; i++) {
        (void)snprintf(line, sizeof(line),
                       "rmgr: Transaction len (rec/tot): 34/ 34, tx: %u, lsn: 0/1, prev 0/0, desc:"
                       " COMMIT 2026-11-28 01:00:00.%06u UTC",
                       i, i);
        take(line);
    }
    assert_int_equal(lost->relation_count, HF_LOST_RELATIONS_MAX);
    assert_int_equal(lost->relations_unnamed, HF_LOST_RELATIONS_MAX);
    assert_int_equal(lost->transaction_count, HF_LOST_TRANSACTIONS_MAX + 10);
    assert_string_equal(lost->last, "2026-11-28T01:00:00.004105Z");
    /* The largest report fits. */
    struct hf_err err = {0};
    HF_AUTOJSON hf_json *report = hf_json_object();
    HF_BUF(text, HF_SALVAGE_REPORT_MAX);
    for (size_t i = 0; i < HF_LOST_RELATIONS_MAX; i++) {
        memset(lost->relations[i].name, '\x01', HF_LOST_NAME_SIZE - 1);
        memset(lost->relations[i].database_name, '\x01', HF_LOST_NAME_SIZE - 1);
    }
    hf_lost_json(lost, report);
    assert_true(hf_ok(hf_json_write(report, &text, &err)));
}

static void test_a_time_that_is_not_utc_stays_as_it_is(void **state)
{
    (void)state;
    take("rmgr: Transaction len (rec/tot): 34/ 34, tx: 1, lsn: 0/1, prev 0/0, desc: COMMIT "
         "2026-11-28 03:00:00.000000 CET");
    assert_string_equal(lost->first, "2026-11-28 03:00:00.000000 CET");
    take("rmgr: Transaction len (rec/tot): 34/ 34, tx: 2, lsn: 0/1, prev 0/0, desc: COMMIT ");
    assert_int_equal(lost->transaction_count, 2);
}

static void test_names(void **state)
{
    (void)state;
    struct hf_err err = {0};
    hf_name node;
    char id[HF_SALVAGE_ID_SIZE];
    char made[HF_SALVAGE_ID_SIZE];
    hf_salvage_id(HF_TLI(10), HF_LSN(0x1030001A8), made);
    assert_string_equal(made, "0000000A-00000001030001A8");
    assert_true(hf_ok(hf_salvage_parse("eu-1/0000000A-00000001030001A8", &node, id, &err)));
    assert_string_equal(node.s, "eu-1");
    assert_string_equal(id, made);
    static const char *const wrong[] = {
        "",
        "eu-1",
        "/0000000A-00000001030001A8",
        "eu-1/",
        "EU/0000000A-00000001030001A8",
        "../0000000A-00000001030001A8",
        "eu-1/0000000a-00000001030001a8",
        "eu-1/0000000A-00000001030001A8/x",
        "eu-1/0000000A-00000001030001A",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(hf_salvage_parse(wrong[i], &node, id, &err).code, HF_E_INVALID);
    }
}

/* --- a host without repositories ------------------------------------------------------------ */

static void write_file(const char *directory, const char *name, const char *text)
{
    struct hf_err err = {0};
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
    assert_true(hf_ok(hf_file_write_durable(path, text, strlen(text), 0600, &err)));
}

static bool never(void *arg)
{
    return *(bool *)arg;
}

static void test_a_host_without_repositories_keeps_it_itself(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char top[64] = "/tmp/hf-salvage-XXXXXX";
    char where[HF_PATH_SIZE] = "";
    char to[128];
    char path[256];
    bool stop = true;
    uint64_t files = 0;
    size_t n = 0;
    struct hf_salvage_entry list[4];
    assert_non_null(mkdtemp(top));
    HF_AUTOFREE struct hf_config_agent *config = hf_alloc(sizeof(*config));
    (void)snprintf(config->state_dir, sizeof(config->state_dir), "%s/state", top);
    (void)snprintf(config->name.s, sizeof(config->name.s), "eu-1");
    HF_BUF(report, 64);
    assert_true(hf_ok(hf_buf_append_str(&report, "{}", &err)));
    write_file(top, "000000010000000000000003", "three");
    write_file(top, "000000010000000000000004", "four");
    const hf_salvage_file names[] = {{"000000010000000000000003"}, {"000000010000000000000004"}};
    struct hf_salvage s = {.config = config,
                           .id = "00000001-0000000003000100",
                           .wal_dir = top,
                           .files = names,
                           .count = 2,
                           .report = &report,
                           .canceled = never,
                           .arg = &stop};
    assert_int_equal(hf_salvage_save(&s, where, sizeof(where), &err).code, HF_E_CANCELED);
    assert_true(hf_ok(hf_salvage_list(NULL, config, list, 4, &n, &err)));
    assert_int_equal(n, 1); /* begun: without a report it is not complete */
    assert_false(list[0].complete);
    stop = false;
    assert_true(hf_ok(hf_salvage_save(&s, where, sizeof(where), &err)));
    stop = true; /* saved already: no file is read again */
    assert_true(hf_ok(hf_salvage_save(&s, where, sizeof(where), &err)));
    assert_true(hf_ok(hf_salvage_list(NULL, config, list, 4, &n, &err)));
    assert_int_equal(n, 1);
    assert_true(list[0].complete);
    assert_int_equal(list[0].files, 2);
    assert_string_equal(list[0].node.s, "eu-1");
    assert_string_equal(list[0].id, s.id);
    (void)snprintf(to, sizeof(to), "%s/to", top);
    assert_true(hf_ok(hf_salvage_fetch(NULL, config, &list[0].node, s.id, to, &files, &err)));
    assert_int_equal(files, 3);
    HF_BUF(bytes, 64);
    (void)snprintf(path, sizeof(path), "%s/000000010000000000000004", to);
    assert_true(hf_ok(hf_file_read(path, &bytes, &err)));
    assert_string_equal(hf_buf_text(&bytes), "four");
    assert_int_equal(hf_salvage_fetch(NULL, config, &list[0].node, s.id, to, &files, &err).code,
                     HF_E_EXISTS);
    assert_int_equal(
        hf_salvage_fetch(NULL, config, &list[0].node, "00000002-0000000003000100", to, &files, &err)
            .code,
        HF_E_NOT_FOUND);
    assert_true(hf_ok(hf_dir_remove_tree(top, &err)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_of_pg_waldump, setup, teardown),
        cmocka_unit_test_setup_teardown(test_beyond_the_bounds_it_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_time_that_is_not_utc_stays_as_it_is, setup,
                                        teardown),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_host_without_repositories_keeps_it_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
