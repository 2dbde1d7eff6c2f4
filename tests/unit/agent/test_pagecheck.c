/* SPDX-License-Identifier: Apache-2.0
 *
 * Page checksums against pages that PostgreSQL 15 itself wrote (tests/data/repository/pages.bin:
 * heap, index, free space map and visibility map pages, each after its block number).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/core/pagecheck.h"

enum { PAGES = 6 };

static void real_pages_pass_and_altered_ones_do_not(void **state)
{
    uint8_t page[HF_PAGE_SIZE];
    uint32_t block = 0;
    int n = 0;
    int with_lsn = 0;
    (void)state;
    FILE *f = fopen("data/repository/pages.bin", "rb");
    assert_non_null(f);
    while (fread(&block, sizeof(block), 1, f) == 1) {
        assert_int_equal(fread(page, sizeof(page), 1, f), 1);
        n++;
        assert_true(hf_page_valid(page, block));
        assert_false(hf_page_valid(page, block + 1)); /* a page in another's place */
        for (size_t i = 0; i < sizeof(page); i += 61) {
            page[i] ^= 4;
            assert_false(hf_page_valid(page, block));
            page[i] ^= 4;
        }
        with_lsn += hf_page_lsn(page).v > 0 ? 1 : 0; /* maps have none until they are logged */
    }
    fclose(f);
    assert_int_equal(n, PAGES);
    assert_true(with_lsn >= 4);
}

static void a_new_page_has_no_checksum(void **state)
{
    uint8_t page[HF_PAGE_SIZE] = {0};
    (void)state;
    assert_true(hf_page_valid(page, 5));
    page[14] = 1; /* pd_upper */
    assert_false(hf_page_valid(page, 5));
}

static void names_of_relation_files(void **state)
{
    static const struct {
        const char *name;
        bool is;
        uint32_t segment;
    } CASES[] = {{"16384", true, 0},
                 {"16384.2", true, 2},
                 {"16384_fsm", true, 0},
                 {"16384_vm.1", true, 1},
                 {"16384_init", true, 0},
                 {"PG_VERSION", false, 0},
                 {"pg_filenode.map", false, 0},
                 {"16384_x", false, 0},
                 {"16384.", false, 0},
                 {"t3_16384", false, 0},
                 {"", false, 0},
                 {"16384.1.2", false, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint32_t segment = 0;
        assert_int_equal(hf_relation_file(CASES[i].name, &segment), CASES[i].is);
        assert_int_equal(segment, CASES[i].segment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_pages_pass_and_altered_ones_do_not),
        cmocka_unit_test(a_new_page_has_no_checksum),
        cmocka_unit_test(names_of_relation_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
