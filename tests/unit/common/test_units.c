/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/core/name.h"
#include "common/core/units.h"

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1 = refused */
        const char *printed;
    } cases[] = {
        {"5s", 5000000, "5s"},
        {"500ms", 500000, "500ms"},
        {"1.5s", 1500000, "1500ms"},
        {"2m", 120000000, "2m"},
        {"90s", 90000000, "90s"},
        {"1h", INT64_C(3600000000), "1h"},
        {"7d", INT64_C(604800000000), "7d"},
        {"0", 0, "0s"},
        {"0s", 0, "0s"},
        {"1us", 1, "1us"},
        {"0.000001s", 1, "1us"},
        {"0.5us", -1, NULL},
        {"5", -1, NULL},
        {"", -1, NULL},
        {"s", -1, NULL},
        {"5 s", -1, NULL},
        {"-5s", -1, NULL},
        {"5S", -1, NULL},
        {"5.s", -1, NULL},
        {"5sec", -1, NULL},
        {"1e3s", -1, NULL},
        {"1.1234567s", -1, NULL},
        {"99999999999999999999s", -1, NULL},
        {"9223372036855s", -1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hf_dur d = {-7};
        struct hf_err err;
        hf_result r = hf_units_parse_duration(cases[i].text, &d, &err);
        if (cases[i].us < 0) {
            assert_int_equal(r.code, HF_E_INVALID);
            assert_int_equal(d.us, -7);
            assert_non_null(strstr(err.text, "allowed:"));
        } else {
            assert_true(hf_ok(r));
            assert_int_equal(d.us, cases[i].us);
            char out[HF_UNITS_SIZE];
            hf_units_format_duration(d, out);
            assert_string_equal(out, cases[i].printed);
        }
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
        const char *printed;
    } cases[] = {
        {"64MB", INT64_C(67108864), "64MB"},
        {"2GB", INT64_C(2147483648), "2GB"},
        {"1.5kB", 1536, "1536B"},
        {"1024kB", 1048576, "1MB"},
        {"0", 0, "0B"},
        {"1TB", INT64_C(1) << 40, "1TB"},
        {"100B", 100, "100B"},
        {"64", -1, NULL},
        {"64mb", -1, NULL},
        {"64 MB", -1, NULL},
        {"8388608TB", -1, NULL},
        {"1KB", -1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 7;
        hf_result r = hf_units_parse_size(cases[i].text, &bytes, NULL);
        if (cases[i].bytes < 0) {
            assert_int_equal(r.code, HF_E_INVALID);
            assert_int_equal(bytes, 7);
        } else {
            assert_true(hf_ok(r));
            assert_int_equal(bytes, cases[i].bytes);
            char out[HF_UNITS_SIZE];
            hf_units_format_size(bytes, out);
            assert_string_equal(out, cases[i].printed);
        }
    }
}

static void percents(void **state)
{
    (void)state;
    int32_t ppm = 0;
    char out[HF_UNITS_SIZE];
    assert_true(hf_ok(hf_units_parse_percent("1%", &ppm, NULL)));
    assert_int_equal(ppm, 10000);
    hf_units_format_percent(ppm, out);
    assert_string_equal(out, "1%");
    assert_true(hf_ok(hf_units_parse_percent("8.3%", &ppm, NULL)));
    assert_int_equal(ppm, 83000);
    hf_units_format_percent(ppm, out);
    assert_string_equal(out, "8.3%");
    assert_false(hf_ok(hf_units_parse_percent("1", &ppm, NULL)));
    assert_false(hf_ok(hf_units_parse_percent("%", &ppm, NULL)));
    assert_false(hf_ok(hf_units_parse_percent("0.00001%", &ppm, NULL)));
    assert_false(hf_ok(hf_units_parse_percent("900000%", &ppm, NULL)));
}

static void for_people(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } durations_[] = {
        {200000, "0.2s"},     {0, "0.0s"},           {4600000, "4.6s"},
        {9949999, "9.9s"},    {9960000, "10s"},      {41000000, "41s"},
        {192000000, "3m12s"}, {7260000000, "2h01m"}, {INT64_C(180000000000), "2d02h"},
        {-500000, "-0.5s"},
    };
    for (size_t i = 0; i < sizeof durations_ / sizeof durations_[0]; i++) {
        char out[HF_UNITS_SIZE];
        hf_units_human_duration(HF_US(durations_[i].us), out);
        assert_string_equal(out, durations_[i].text);
    }
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes_[] = {
        {0, "0B"},
        {1023, "1023B"},
        {49152, "48kB"},
        {31744, "31kB"},
        {1572864, "1.5MB"},
        {16777216, "16MB"},
        {UINT64_C(1) << 33, "8GB"},
    };
    for (size_t i = 0; i < sizeof sizes_ / sizeof sizes_[0]; i++) {
        char out[HF_UNITS_SIZE];
        hf_units_human_size(sizes_[i].bytes, out);
        assert_string_equal(out, sizes_[i].text);
    }
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a", "eu-1", "0", "a--b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const bad[] = {
        "",         "-a",
        "a-",       "A",
        "a_b",      "a.b",
        "a/b",      "a b",
        "\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    hf_name n;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(hf_ok(hf_name_parse("node", good[i], &n, NULL)));
        assert_true(hf_name_is(&n, good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hf_err err;
        assert_int_equal(hf_name_parse("node", bad[i], &n, &err).code, HF_E_INVALID);
        assert_non_null(strstr(err.text, "allowed:"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),  cmocka_unit_test(sizes), cmocka_unit_test(percents),
        cmocka_unit_test(for_people), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
