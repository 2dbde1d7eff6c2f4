/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/core/lsn.h"
#include "common/core/timeline.h"
#include "common/core/walname.h"

#define MB16 (16U << 20)

static void lsn_round_trips_and_refuses(void **state)
{
    (void)state;
    struct hf_err err = {0};
    hf_lsn l = {0};
    char text[HF_LSN_SIZE];
    assert_true(hf_ok(hf_lsn_parse("16/B374D848", &l, &err)));
    assert_true(l.v == 0x16B374D848ULL);
    assert_string_equal(hf_lsn_format(l, text), "16/B374D848");
    const char *bad[] = {"", "/", "1", "1/", "/1", "123456789/0", "0/123456789", "0/0 ", "x/1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(hf_lsn_parse(bad[i], &l, &err).code, HF_E_INVALID);
    }
}

static void wal_names_keep_to_the_grammar(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *good[] = {"000000010000000000000001", "0000000A00000010000000FF.partial",
                          "000000010000000000000003.00000028.backup", "00000002.history"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct hf_wal_name n = {0};
        char text[HF_WAL_NAME_SIZE];
        assert_true(hf_ok(hf_wal_name_parse(good[i], MB16, &n, &err)));
        assert_int_equal(n.kind, (enum hf_wal_kind)i);
        assert_string_equal(hf_wal_name_format(&n, MB16, text), good[i]);
    }
    const char *bad[] = {"00000001000000000000000",
                         "0000000100000000000000011",
                         "000000000000000000000001",
                         "00000001000000000000000a",
                         "000000010000000000000100",
                         "000000010000000000000001.part",
                         "00000000.history",
                         "../../etc/passwd",
                         "000000010000000000000003.02000000.backup",
                         ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hf_wal_name n = {0};
        assert_int_equal(hf_wal_name_parse(bad[i], MB16, &n, &err).code, HF_E_INVALID);
    }
}

static void history_knows_its_past(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_history h = {0};
    const char *text = "# comment\n1\t0/5000000\tno recovery target specified\n\n3\t0/7000000\tx\n";
    assert_true(hf_ok(hf_history_parse(HF_TLI(4), text, strlen(text), &h, &err)));
    assert_int_equal(h.count, 2);
    assert_true(hf_history_contains(&h, HF_TLI(1), HF_LSN(0x5000000)));
    assert_false(hf_history_contains(&h, HF_TLI(1), HF_LSN(0x5000001)));
    assert_false(hf_history_contains(&h, HF_TLI(2), HF_LSN(1)));
    assert_true(hf_history_contains(&h, HF_TLI(4), HF_LSN(0x9000000)));
    assert_int_equal(hf_history_timeline_at(&h, HF_LSN(0x5000000)).v, 3);
    assert_int_equal(hf_history_timeline_at(&h, HF_LSN(0x7000000)).v, 4);
    const char *bad[] = {"x", "0\t0/1\t", "4\t0/1\tx", "2\t0/5\tx\n1\t0/6\tx",
                         "1\t0/6\tx\n2\t0/5\tx"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(hf_history_parse(HF_TLI(4), bad[i], strlen(bad[i]), &h, &err).code,
                         HF_E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lsn_round_trips_and_refuses),
        cmocka_unit_test(wal_names_keep_to_the_grammar),
        cmocka_unit_test(history_knows_its_past),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
