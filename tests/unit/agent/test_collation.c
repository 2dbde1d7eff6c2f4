/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/restore/restore.h"

enum { MANY = 20 };

static struct hf_manifest_collation collations[MANY];

/* What is said of the first n collations on a host with libc 2.36. */
static const char *said(size_t n, struct hf_buf *out)
{
    const struct hf_manifest m = {.collations = collations, .collation_count = n};
    struct hf_err err;
    hf_buf_reset(out);
    assert_true(hf_ok(hf_restore_collations(&m, "2.36", out, &err)));
    return hf_buf_text(out);
}

static void only_what_differs_or_is_unknown_is_named(void **state)
{
    (void)state;
    HF_BUF(out, HF_RESTORE_TEXT_MAX - 1);
    assert_string_equal(said(0, &out), "");
    collations[0] = (struct hf_manifest_collation){"database same", "libc", "2.36"};
    assert_string_equal(said(1, &out), "");
    collations[1] = (struct hf_manifest_collation){"database old", "libc", "2.31"};
    collations[2] = (struct hf_manifest_collation){"database other", "icu", "153.80"};
    const char *text = said(3, &out);
    assert_null(strstr(text, "same"));
    assert_non_null(strstr(text, "database old: made with libc 2.31, this host has another\n"));
    assert_non_null(strstr(text, "database other: made with icu 153.80, here unknown\n"));
    assert_non_null(strstr(text, "libc 2.36"));
    assert_non_null(strstr(text, "FROM pg_index"));
}

/* A thousand databases do not fill the report. */
static void many_are_counted(void **state)
{
    (void)state;
    HF_BUF(out, HF_RESTORE_TEXT_MAX - 1);
    for (size_t i = 0; i < MANY; i++) {
        collations[i] = (struct hf_manifest_collation){"database x", "libc", "2.31"};
        memset(collations[i].name, 'x', sizeof(collations[i].name) - 1);
        memset(collations[i].version, '9', sizeof(collations[i].version) - 1);
    }
    const char *text = said(MANY, &out);
    assert_non_null(strstr(text, "  and 12 more\n"));
    assert_non_null(strstr(text, "FROM pg_index"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_differs_or_is_unknown_is_named),
        cmocka_unit_test(many_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
