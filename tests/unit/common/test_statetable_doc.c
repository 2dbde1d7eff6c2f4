/* SPDX-License-Identifier: Apache-2.0
 *
 * docs/state-table.md is printed from the state table; this test keeps the two equal. With
 * HF_UPDATE_DOCS=1 it writes the page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/core/statetable.h"

static const char *const page = "../docs/state-table.md";

static void node_part(struct hf_buf *b, struct hf_err *err)
{
    assert_true(hf_ok(hf_buf_append_str(
        b,
        "# The state table\n\nPrinted from `common/core/statetable.c`, the one table that both the "
        "agent and the coordinator are compiled with. Neither makes a transition that has no row "
        "here.\n\n## Nodes\n\n```mermaid\nstateDiagram-v2\n",
        err)));
    for (size_t i = 0; i < hf_node_table_rows; i++) {
        assert_true(hf_ok(hf_buf_printf(b, err, "    %s --> %s\n",
                                        hf_node_state_name(hf_node_table[i].from),
                                        hf_node_state_name(hf_node_table[i].to))));
    }
    assert_true(hf_ok(hf_buf_append_str(
        b, "```\n\n| from | to | when | effect | why |\n|---|---|---|---|---|\n", err)));
    for (size_t i = 0; i < hf_node_table_rows; i++) {
        const struct hf_node_row *r = &hf_node_table[i];
        assert_true(
            hf_ok(hf_buf_printf(b, err, "| %s | %s | %s | %s | %s |\n", hf_node_state_name(r->from),
                                hf_node_state_name(r->to), r->guard, r->effect, r->comment)));
    }
}

static void plan_part(struct hf_buf *b, struct hf_err *err)
{
    assert_true(hf_ok(hf_buf_append_str(b, "\n## Plans\n\n```mermaid\nstateDiagram-v2\n", err)));
    for (size_t i = 0; i < hf_step_table_rows; i++) {
        assert_true(
            hf_ok(hf_buf_printf(b, err, "    %s --> %s\n", hf_step_name(hf_step_table[i].from),
                                hf_step_name(hf_step_table[i].to))));
    }
    assert_true(hf_ok(hf_buf_append_str(
        b, "```\n\n| from | to | when | effect | why |\n|---|---|---|---|---|\n", err)));
    for (size_t i = 0; i < hf_step_table_rows; i++) {
        const struct hf_step_row *r = &hf_step_table[i];
        assert_true(
            hf_ok(hf_buf_printf(b, err, "| %s | %s | %s | %s | %s |\n", hf_step_name(r->from),
                                hf_step_name(r->to), r->guard, r->effect, r->comment)));
    }
}

static void page_equals_table(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_BUF(b, 65536);
    node_part(&b, &err);
    plan_part(&b, &err);
    const char *update = getenv("HF_UPDATE_DOCS");
    if (update != NULL && strcmp(update, "1") == 0) {
        FILE *out = fopen(page, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(b.data, 1, b.len, out), b.len);
        assert_int_equal(fclose(out), 0);
    }
    FILE *in = fopen(page, "r");
    assert_non_null(in);
    static char text[65536];
    size_t n = fread(text, 1, sizeof text - 1, in);
    (void)fclose(in);
    text[n] = '\0';
    assert_string_equal(text, b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(page_equals_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
