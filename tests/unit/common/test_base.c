/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"

static void buffer_keeps_its_maximum(void **state)
{
    (void)state;
    HF_BUF(b, 10);
    struct hf_err err = {0};
    assert_true(hf_ok(hf_buf_append(&b, "0123456789", 10, &err)));
    assert_int_equal(hf_buf_append(&b, "x", 1, &err).code, HF_E_LIMIT);
    assert_int_equal(b.len, 10);
    assert_string_equal(hf_buf_text(&b), "0123456789");
    hf_buf_consume(&b, 4);
    assert_string_equal(hf_buf_text(&b), "456789");
    assert_true(hf_ok(hf_buf_printf(&b, &err, "%d", 1234)));
    assert_string_equal(hf_buf_text(&b), "4567891234");
    assert_int_equal(hf_buf_printf(&b, &err, "%d", 5).code, HF_E_LIMIT);
    assert_string_equal(hf_buf_text(&b), "4567891234");
}

static void error_keeps_code_under_context(void **state)
{
    (void)state;
    struct hf_err err = {0};
    hf_result r = hf_fail(&err, HF_E_STALE, "epoch %d is below %d", 1, 2);
    assert_int_equal(r.code, HF_E_STALE);
    r = hf_fail_context(&err, "command %s", "c-1");
    assert_int_equal(r.code, HF_E_STALE);
    assert_string_equal(err.text, "command c-1: epoch 1 is below 2");
    r = hf_fail_errno(&err, ENOENT, "open %s", "x");
    assert_int_equal(r.code, HF_E_IO);
    assert_string_equal(err.text, "open x: No such file or directory");
}

static void arena_counts(void **state)
{
    (void)state;
    struct hf_arena *a = hf_arena_new(1 << 20);
    for (int i = 0; i < 1000; i++) {
        char *p = hf_arena_strdup(a, "some text");
        assert_string_equal(p, "some text");
        assert_int_equal((uintptr_t)p % 16, 0);
    }
    assert_int_equal(hf_arena_used(a), 16000);
    hf_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_keeps_its_maximum),
        cmocka_unit_test(error_keeps_code_under_context),
        cmocka_unit_test(arena_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
