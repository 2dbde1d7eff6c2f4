/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/buf.h"
#include "common/io/yaml.h"

static void tree_has_positions(void **state)
{
    (void)state;
    const char *text = "a: 1\nlist: [x, 'y z']\nmap:\n  deep: {k: v}\n  empty:\n";
    struct hf_yaml_doc *doc = NULL;
    struct hf_err err = {0};
    assert_true(hf_ok(hf_yaml_parse("t.yaml", text, strlen(text), &doc, &err)));
    const struct hf_yaml *root = hf_yaml_root(doc);
    assert_int_equal(root->count, 3);
    const struct hf_yaml *a = hf_yaml_member(root, "a");
    assert_string_equal(a->text, "1");
    assert_int_equal(a->line, 1);
    assert_int_equal(a->column, 4);
    assert_int_equal(a->key_column, 1);
    assert_false(a->quoted);
    const struct hf_yaml *list = hf_yaml_member(root, "list");
    assert_int_equal(list->kind, HF_YAML_LIST);
    assert_int_equal(list->count, 2);
    assert_string_equal(list->first->next->text, "y z");
    assert_true(list->first->next->quoted);
    const struct hf_yaml *v =
        hf_yaml_member(hf_yaml_member(hf_yaml_member(root, "map"), "deep"), "k");
    assert_string_equal(v->text, "v");
    assert_int_equal(v->line, 4);
    assert_int_equal(v->column, 13);
    assert_string_equal(hf_yaml_member(hf_yaml_member(root, "map"), "empty")->text, "");
    assert_null(hf_yaml_member(root, "none"));
    hf_yaml_free(doc);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message; /* begins with */
    } cases[] = {
        {"a: 1\na: 2\n", "t.yaml:2:1: key \"a\" is given twice (first at line 1)"},
        {"a: &x 1\n", "t.yaml:1:4: anchors"},
        {"a: *x\n", "t.yaml:1:4: aliases"},
        {"a: {b: *x}\n", "t.yaml:1:8: aliases"},
        {"? *x\n: 1\n", "t.yaml:1:3: aliases"},
        {"a: !!int 1\n", "t.yaml:1:4: tags"},
        {"a: !mine {b: 1}\n", "t.yaml:1:4: tags"},
        {"a: &m [1]\n", "t.yaml:1:4: anchors"},
        {"{[a]: 1}\n", "t.yaml:1:2: a key must be"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2:1: only one document"},
        {"a: [1, 2\nb: 3\n", "t.yaml:"},
        {"a: \"x\n", "t.yaml:"},
        {"a:\n\t- b\n", "t.yaml:2:1:"},
        {"\"\": 1\n", "t.yaml:1:1: an empty key"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: a NUL"},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "t.yaml:1:17: nested too deep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_yaml_doc *doc = NULL;
        struct hf_err err = {0};
        hf_result r = hf_yaml_parse("t.yaml", cases[i].text, strlen(cases[i].text), &doc, &err);
        assert_false(hf_ok(r));
        assert_null(doc);
        if (strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].text, err.text, cases[i].message);
        }
    }
}

static void bounds(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_yaml_doc *doc = NULL;
    HF_BUF(big, 4 * HF_YAML_MAX_BYTES);
    for (int i = 0; i < HF_YAML_MAX_BYTES / 4; i++) {
        assert_true(hf_ok(hf_buf_append_str(&big, "- a\n", &err)));
    }
    assert_int_equal(hf_yaml_parse("t", hf_buf_text(&big), big.len, &doc, &err).code, HF_E_LIMIT);
    assert_non_null(strstr(err.text, "too many values"));
    assert_true(hf_ok(hf_buf_append_str(&big, "- a\n", &err)));
    assert_int_equal(hf_yaml_parse("t", hf_buf_text(&big), big.len, &doc, &err).code, HF_E_LIMIT);
    hf_buf_reset(&big);
    for (int i = 0; i <= HF_YAML_MAX_MEMBERS; i++) {
        assert_true(hf_ok(hf_buf_printf(&big, &err, "k%d: 1\n", i)));
    }
    assert_int_equal(hf_yaml_parse("t", hf_buf_text(&big), big.len, &doc, &err).code, HF_E_LIMIT);
    assert_non_null(strstr(err.text, "t:4097:1: too many keys"));
}

static void files(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_yaml_doc *doc = NULL;
    assert_int_equal(hf_yaml_load("data/absent.yaml", &doc, &err).code, HF_E_NOT_FOUND);
    assert_string_equal(err.text, "data/absent.yaml: no such file");
    assert_int_equal(hf_yaml_load("data", &doc, &err).code, HF_E_INVALID);
    assert_true(hf_ok(hf_yaml_load("data/agent.yaml", &doc, &err)));
    assert_string_equal(hf_yaml_name(doc), "data/agent.yaml");
    hf_yaml_free(doc);
    assert_true(hf_ok(hf_yaml_parse("t", "# nothing\n", 10, &doc, &err)));
    assert_int_equal(hf_yaml_root(doc)->kind, HF_YAML_MAP);
    assert_int_equal(hf_yaml_root(doc)->count, 0);
    hf_yaml_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_has_positions),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(bounds),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
