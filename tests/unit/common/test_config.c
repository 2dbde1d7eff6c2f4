/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/config.h"
#include "holdfast/types.h"

struct item {
    hf_name name;
    int32_t weight;
};

struct sample {
    hf_name name;
    char text[16];
    char path[64];
    char url[64];
    char address[64];
    enum { RED, GREEN } color;
    bool flag;
    int32_t small;
    int64_t large;
    hf_dur time;
    uint64_t bytes;
    int32_t rate;
    enum { OWN, OTHER, UNIT } tag;
    char unit[16];
    hf_name names[2];
    size_t name_count;
    struct item items[2];
    size_t item_count;
    struct item records[2];
    size_t record_count;
    bool has_part;
    struct {
        int32_t depth;
    } part;
};

static const char *const COLORS[] = {"red", "green", NULL};
static const char *const TAGS[] = {"own", "other", "systemd", NULL};
static const char *const TAG_ARGS[] = {NULL, NULL, "UNIT"};
static const char *const SCHEMES[] = {"http", "https", NULL};

static const struct hf_option ITEM[] = {{.key = "weight",
                                         .type = HF_OPTION_INT,
                                         .fallback = "7",
                                         .min = 1,
                                         .max = 9,
                                         .doc = "w",
                                         HF_OPTION_AT(struct item, weight)},
                                        {.type = HF_OPTION_END}};
static const struct hf_option RECORD[] = {{.key = "name",
                                           .type = HF_OPTION_NAME,
                                           .required = true,
                                           .doc = "n",
                                           HF_OPTION_AT(struct item, name)},
                                          {.key = "weight",
                                           .type = HF_OPTION_INT,
                                           .fallback = "7",
                                           .doc = "w",
                                           HF_OPTION_AT(struct item, weight)},
                                          {.type = HF_OPTION_END}};
static const struct hf_option PART[] = {{.key = "depth",
                                         .type = HF_OPTION_INT,
                                         .required = true,
                                         .doc = "d",
                                         HF_OPTION_AT(struct sample, part.depth)},
                                        {.type = HF_OPTION_END}};
static const struct hf_option NAME_ITEM[] = {
    {.key = "", .type = HF_OPTION_NAME, .size = sizeof(hf_name)}, {.type = HF_OPTION_END}};

static const struct hf_option TABLE[] = {
    {.key = "name",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "its name",
     HF_OPTION_AT(struct sample, name)},
    {.key = "text", .type = HF_OPTION_TEXT, .doc = "a|b", HF_OPTION_AT(struct sample, text)},
    {.key = "path",
     .type = HF_OPTION_PATH,
     .fallback = "/var/x",
     .doc = "p",
     HF_OPTION_AT(struct sample, path)},
    {.key = "url",
     .type = HF_OPTION_URL,
     .values = SCHEMES,
     .doc = "u",
     HF_OPTION_AT(struct sample, url)},
    {.key = "address", .type = HF_OPTION_ADDRESS, .doc = "a", HF_OPTION_AT(struct sample, address)},
    {.key = "color",
     .type = HF_OPTION_ENUM,
     .values = COLORS,
     .fallback = "green",
     .doc = "c",
     HF_OPTION_AT(struct sample, color)},
    {.key = "flag",
     .type = HF_OPTION_BOOL,
     .fallback = "true",
     .doc = "f",
     HF_OPTION_AT(struct sample, flag)},
    {.key = "small",
     .type = HF_OPTION_INT,
     .min = -5,
     .max = 5,
     .doc = "s",
     HF_OPTION_AT(struct sample, small)},
    {.key = "large", .type = HF_OPTION_INT, .doc = "l", HF_OPTION_AT(struct sample, large)},
    {.key = "time",
     .type = HF_OPTION_DURATION,
     .min = 1000000,
     .max = 60000000,
     .fallback = "6s",
     .doc = "t",
     HF_OPTION_AT(struct sample, time)},
    {.key = "bytes",
     .type = HF_OPTION_SIZE,
     .min = 1024,
     .max = 1 << 20,
     .fallback = "64kB",
     .doc = "b",
     HF_OPTION_AT(struct sample, bytes)},
    {.key = "rate",
     .type = HF_OPTION_PERCENT,
     .min = 0,
     .max = 200000,
     .fallback = "1%",
     .doc = "r",
     HF_OPTION_AT(struct sample, rate)},
    {.key = "tag",
     .type = HF_OPTION_TAGGED,
     .values = TAGS,
     .args = TAG_ARGS,
     .arg_type = HF_OPTION_TEXT,
     .arg_offset = offsetof(struct sample, unit),
     .arg_size = 16,
     .fallback = "own",
     .doc = "g",
     HF_OPTION_AT(struct sample, tag)},
    {.key = "names",
     .type = HF_OPTION_LIST,
     .sub = NAME_ITEM,
     .doc = "n",
     HF_OPTION_ARRAY(struct sample, names, name_count)},
    {.key = "items",
     .type = HF_OPTION_MAP,
     .sub = ITEM,
     .doc = "i",
     HF_OPTION_ARRAY(struct sample, items, item_count)},
    {.key = "records",
     .type = HF_OPTION_RECORDS,
     .sub = RECORD,
     .doc = "i",
     HF_OPTION_ARRAY(struct sample, records, record_count)},
    {.key = "part",
     .type = HF_OPTION_SECTION,
     .sub = PART,
     .has_present = true,
     .present_offset = offsetof(struct sample, has_part),
     .doc = "p",
     .offset = 0},
    {.type = HF_OPTION_END}};

static hf_result parse(const char *text, struct sample *ret, struct hf_config **ret_config,
                       struct hf_err *err)
{
    return hf_config_parse("f.yaml", "/etc/hf", text, strlen(text), TABLE, ret, sizeof *ret,
                           ret_config, err);
}

static void every_type(void **state)
{
    (void)state;
    struct sample s;
    struct hf_config *c = NULL;
    struct hf_err err = {0};
    const char *text = "name: eu-1\ntext: hello\npath: a/b\nurl: https://h.example:8443/x\n"
                       "address: \"[::1]:5432\"\ncolor: red\nflag: false\nsmall: -5\n"
                       "large: -9223372036854775808\ntime: 1500ms\nbytes: 1MB\nrate: 8.3%\n"
                       "tag: systemd:pg.service\nnames: [a, b]\nitems: {x: {weight: 3}, y: {}}\n"
                       "records:\n  - {name: r1}\n  - name: r2\n    weight: -2\npart: {depth: 4}\n";
    if (!hf_ok(parse(text, &s, &c, &err))) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(s.name.s, "eu-1");
    assert_string_equal(s.text, "hello");
    assert_string_equal(s.path, "/etc/hf/a/b");
    assert_string_equal(s.url, "https://h.example:8443/x");
    assert_string_equal(s.address, "[::1]:5432");
    assert_int_equal(s.color, RED);
    assert_false(s.flag);
    assert_int_equal(s.small, -5);
    assert_true(s.large == INT64_MIN);
    assert_int_equal(s.time.us, 1500000);
    assert_int_equal(s.bytes, 1 << 20);
    assert_int_equal(s.rate, 83000);
    assert_int_equal(s.tag, UNIT);
    assert_string_equal(s.unit, "pg.service");
    assert_int_equal(s.name_count, 2);
    assert_string_equal(s.names[1].s, "b");
    assert_int_equal(s.item_count, 2);
    assert_string_equal(s.items[0].name.s, "x");
    assert_int_equal(s.items[0].weight, 3);
    assert_int_equal(s.items[1].weight, 7);
    assert_int_equal(s.record_count, 2);
    assert_string_equal(s.records[1].name.s, "r2");
    assert_int_equal(s.records[1].weight, -2);
    assert_true(s.has_part);
    assert_int_equal(s.part.depth, 4);
    assert_true(hf_config_given(c, "records[1].weight"));
    assert_false(hf_config_given(c, "records[0].weight"));
    assert_false(hf_ok(hf_config_fail(c, "records[1].weight", &err, "no %d", 1)));
    assert_string_equal(err.text, "f.yaml:19:13: records[1].weight: no 1");
    hf_config_free(c);
}

static void defaults(void **state)
{
    (void)state;
    struct sample s;
    HF_AUTOCONFIG struct hf_config *c = NULL;
    assert_true(hf_ok(parse("name: a\n", &s, &c, NULL)));
    assert_string_equal(s.text, "");
    assert_string_equal(s.path, "/var/x");
    assert_int_equal(s.color, GREEN);
    assert_true(s.flag);
    assert_int_equal(s.time.us, 6000000);
    assert_int_equal(s.bytes, 65536);
    assert_int_equal(s.rate, 10000);
    assert_int_equal(s.tag, OWN);
    assert_int_equal(s.name_count, 0);
    assert_false(s.has_part);
}

static void bad_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } cases[] = {
        {"name: a\ncolour: red\n", "f.yaml:2:1: unknown key \"colour\"; allowed: name, text, path"},
        {"name: a\npart: {deep: 1}\n", "f.yaml:2:8: unknown key \"deep\"; allowed: depth"},
        {"items: {}\n", "f.yaml:1:1: name: is missing; allowed: a name"},
        {"name: a\npart: {}\n", "f.yaml:2:7: part.depth: is missing"},
        {"name: a\nrecords: [{weight: 1}]\n", "f.yaml:2:11: records[0].name: is missing"},
        {"name: A\n", "f.yaml:1:7: name: value \"A\" is not allowed; allowed: a name"},
        {"name: [a]\n", "f.yaml:1:7: name: allowed: a name"},
        {"name: a\ntext: 0123456789abcdef\n", "f.yaml:2:7: text: value \"0123456789abcdef\""},
        {"name: a\ntext: \"x\\ny\"\n", "f.yaml:2:7: text: value"},
        {"name: a\npath: \"\"\n", "f.yaml:2:7: path: value"},
        {"name: a\nurl: ftp://h\n", "f.yaml:2:6: url: value \"ftp://h\" is not allowed; allowed: "
                                    "SCHEME://HOST"},
        {"name: a\nurl: http://u:secret@h/\n", "f.yaml:2:6: url: value \"...\" is not allowed"},
        {"name: a\nurl: http://\n", "f.yaml:2:6: url"},
        {"name: a\nurl: http://h:0/\n", "f.yaml:2:6: url"},
        {"name: a\nurl: \"http://h/a b\"\n", "f.yaml:2:6: url"},
        {"name: a\naddress: h\n", "f.yaml:2:10: address: value \"h\" is not allowed; allowed: "
                                  "HOST:PORT or [IPV6]:PORT"},
        {"name: a\naddress: h:65536\n", "f.yaml:2:10: address"},
        {"name: a\naddress: h:0\n", "f.yaml:2:10: address"},
        {"name: a\naddress: ::1:5432\n", "f.yaml:2:10: address"},
        {"name: a\naddress: h:12x\n", "f.yaml:2:10: address"},
        {"name: a\ncolor: blue\n", "f.yaml:2:8: color: value \"blue\" is not allowed; allowed: "
                                   "red, green"},
        {"name: a\nflag: yes\n", "f.yaml:2:7: flag: value \"yes\" is not allowed; allowed: true, "
                                 "false"},
        {"name: a\nsmall: 6\n", "f.yaml:2:8: small: value \"6\" is not allowed; allowed: a whole "
                                "number, from -5 to 5"},
        {"name: a\nsmall: 1.5\n", "f.yaml:2:8: small"},
        {"name: a\nsmall: 0x1\n", "f.yaml:2:8: small"},
        {"name: a\nsmall:\n", "f.yaml:2:7: small: value \"\""},
        {"name: a\nlarge: 9223372036854775808\n", "f.yaml:2:8: large"},
        {"name: a\ntime: 5\n", "f.yaml:2:7: time: value \"5\" is not allowed; allowed: a number "
                               "with us, ms, s, m, h or d, as 500ms or 5s, from 1s to 1m"},
        {"name: a\ntime: 61s\n", "f.yaml:2:7: time"},
        {"name: a\nbytes: 1B\n", "f.yaml:2:8: bytes: value \"1B\" is not allowed; allowed: a "
                                 "number with B, kB, MB, GB or TB, as 64MB, from 1kB to 1MB"},
        {"name: a\nrate: 21%\n", "f.yaml:2:7: rate"},
        {"name: a\nrate: 5\n", "f.yaml:2:7: rate"},
        {"name: a\ntag: systemd\n", "f.yaml:2:6: tag: value \"systemd\" is not allowed; allowed: "
                                    "own, other, systemd:UNIT"},
        {"name: a\ntag: \"systemd:\"\n", "f.yaml:2:6: tag"},
        {"name: a\ntag: own:x\n", "f.yaml:2:6: tag"},
        {"name: a\ntag: systemd:0123456789abcdefgh\n", "f.yaml:2:6: tag"},
        {"name: a\nnames: [a, b, c]\n", "f.yaml:2:8: names: 3 given; allowed: 0 to 2"},
        {"name: a\nnames: [a, B]\n", "f.yaml:2:12: names[1]: value \"B\""},
        {"name: a\nnames: a\n", "f.yaml:2:8: names: allowed: a list of 0 to 2: a name"},
        {"name: a\nitems: {x: 1}\n", "f.yaml:2:12: items.x: allowed: a section"},
        {"name: a\nitems: {X: {}}\n", "f.yaml:2:9: items.X: \"X\" is not a name"},
        {"name: a\nitems: {x: {weight: 0}}\n", "f.yaml:2:21: items.x.weight: value \"0\""},
        {"name: a\nitems: []\n", "f.yaml:2:8: items: allowed: 0 to 2 sections by name"},
        {"name: a\npart: 5\n", "f.yaml:2:7: part: allowed: a section"},
        {"- a\n", "f.yaml:1:1: allowed: key: value lines"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sample s = {.small = 42};
        struct hf_config *c = NULL;
        struct hf_err err = {0};
        hf_result r = parse(cases[i].text, &s, &c, &err);
        if (r.code != HF_E_INVALID ||
            strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[i].text, err.text, cases[i].message);
        }
        assert_null(c);
        assert_int_equal(s.small, 42);
        assert_null(strstr(err.text, "secret"));
    }
}

static void show_names_origins(void **state)
{
    (void)state;
    struct sample s;
    HF_AUTOCONFIG struct hf_config *c = NULL;
    struct hf_err err = {0};
    assert_true(hf_ok(parse("name: a\n\nitems: {x: {weight: 3}}\nnames: [p, q]\n", &s, &c, &err)));
    HF_BUF(out, 65536);
    assert_true(hf_ok(hf_config_show(c, &s, &out, &err)));
    static const char *const lines[] = {
        "name: a                                                      # f.yaml:1\n",
        "text: -                                                      # not set\n",
        "time: 6s                                                     # default\n",
        "items.x.weight: 3                                            # f.yaml:3\n",
        "names: [p, q]                                                # f.yaml:4\n",
        "part: -                                                      # not set\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (strstr(hf_buf_text(&out), lines[i]) == NULL) {
            fail_msg("no \"%s\" in\n%s", lines[i], hf_buf_text(&out));
        }
    }
}

static void reference_has_every_option(void **state)
{
    (void)state;
    HF_BUF(out, 65536);
    assert_true(hf_ok(hf_config_docs(TABLE, &out, NULL)));
    static const char *const lines[] = {
        "| `name` | a name: 1 to 63 of a-z, 0-9 and -, neither first nor last a - | required | its "
        "name |\n",
        "| `text` | a text of at most 15 bytes | | a\\|b |\n",
        "| `tag` | own, other, systemd:UNIT | `own` | g |\n",
        "| `items.NAME.weight` | a whole number, from 1 to 9 | `7` | w |\n",
        "| `records[].name` |",
        "| `part.depth` |",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (strstr(hf_buf_text(&out), lines[i]) == NULL) {
            fail_msg("no \"%s\" in\n%s", lines[i], hf_buf_text(&out));
        }
    }
}

static void credentials(void **state)
{
    (void)state;
    char path[128];
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(hf_config_credential_path("k1", path, sizeof path, NULL).code, HF_E_NOT_FOUND);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1), 0);
    assert_true(hf_ok(hf_config_credential_path("k1", path, sizeof path, NULL)));
    assert_string_equal(path, "/run/credentials/x/k1");
    assert_int_equal(hf_config_credential_path("../k1", path, sizeof path, NULL).code,
                     HF_E_INVALID);
    assert_int_equal(hf_config_credential_path("k1", path, 8, NULL).code, HF_E_LIMIT);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(defaults),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(show_names_origins),
        cmocka_unit_test(reference_has_every_option),
        cmocka_unit_test(credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
