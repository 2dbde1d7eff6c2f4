/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/core/manifest.h"
#include "common/base/mem.h"
#include "manifest_sample.h"

#define OK(e) assert_true(hf_ok(e))

static void what_is_written_is_read(void **state)
{
    struct hf_err err = {0};
    HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
    HF_AUTOMANIFEST struct hf_manifest *back = NULL;
    HF_BUF(text, 65536);
    HF_BUF(again, 65536);
    (void)state;
    OK(hf_manifest_encode(m, &text, &err));
    OK(hf_manifest_decode(hf_buf_text(&text), text.len, &back, &err));
    assert_string_equal(back->backup_label, m->backup_label);
    assert_int_equal(back->stop.v, m->stop.v);
    assert_int_equal(back->pack_count, 2);
    assert_string_equal(back->packs[1].name, m->packs[1].name);
    assert_string_equal(back->tablespaces[0].path, "/srv/fast");
    assert_int_equal(back->findings[0].block, 77);
    OK(hf_manifest_encode(back, &again, &err));
    assert_string_equal(hf_buf_text(&text), hf_buf_text(&again));
}

static void every_cut_is_refused(void **state)
{
    struct hf_err err = {0};
    HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
    struct hf_manifest *back = NULL;
    HF_BUF(text, 65536);
    (void)state;
    OK(hf_manifest_encode(m, &text, &err));
    for (size_t len = 0; len < text.len; len++) {
        assert_int_equal(hf_manifest_decode(text.data, len, &back, &err).code, HF_E_CORRUPT);
    }
}

typedef void (*spoil)(struct hf_manifest *m);
static void no_stop(struct hf_manifest *m)
{
    m->stop = m->start;
}
static void no_timeline(struct hf_manifest *m)
{
    m->timeline = HF_TLI(0);
}
static void bad_label(struct hf_manifest *m)
{
    snprintf(m->label, sizeof(m->label), "../../x");
}
static void pack_elsewhere(struct hf_manifest *m)
{
    snprintf(m->packs[0].name, sizeof(m->packs[0].name), "keys/x");
}
static void pack_upwards(struct hf_manifest *m)
{
    snprintf(m->packs[0].name, sizeof(m->packs[0].name), "backup/../keys/x");
}
static void no_digest(struct hf_manifest *m)
{
    m->shards[0].digest[0] = '\0';
}
static void wrong_sum(struct hf_manifest *m)
{
    m->stored_bytes++;
}
static void wrong_entries(struct hf_manifest *m)
{
    m->entries--;
}
static void no_owner(struct hf_manifest *m)
{
    m->system_id = 0;
}
static void no_backup_label(struct hf_manifest *m)
{
    m->backup_label[0] = '\0';
}
static void odd_segments(struct hf_manifest *m)
{
    m->segment_size = 12345;
}
static void predecessor_without_digest(struct hf_manifest *m)
{
    m->predecessor_digest[0] = '\0';
}

static void what_does_not_fit_is_refused(void **state)
{
    static const spoil SPOILS[] = {no_stop,         no_timeline,   bad_label,
                                   pack_elsewhere,  pack_upwards,  no_digest,
                                   wrong_sum,       wrong_entries, no_owner,
                                   no_backup_label, odd_segments,  predecessor_without_digest};
    struct hf_err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(SPOILS) / sizeof(SPOILS[0]); i++) {
        HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
        HF_BUF(text, 65536);
        SPOILS[i](m);
        assert_int_equal(hf_manifest_encode(m, &text, &err).code, HF_E_INVALID);
    }
}

static void values_beyond_their_bounds_are_refused(void **state)
{
    static const char *const CHANGES[][2] = {
        {"\"version\":1", "\"version\":2"},
        {"\"type\":\"full\"", "\"type\":\"half\""},
        {"\"timeline\":\"1\"", "\"timeline\":\"4294967296\""},
        {"\"start\":\"", "\"start\":\"x"},
        {"\"parents\":[]", "\"parents\":[\"../x\"]"},
        {"\"findings\":[{", "\"findings\":[{\"extra\":1},{"},
    };
    struct hf_err err = {0};
    struct hf_manifest *back = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof(CHANGES) / sizeof(CHANGES[0]); i++) {
        HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
        HF_BUF(text, 65536);
        HF_BUF(changed, 65536);
        OK(hf_manifest_encode(m, &text, &err));
        const char *at = strstr(hf_buf_text(&text), CHANGES[i][0]);
        assert_non_null(at);
        OK(hf_buf_append(&changed, text.data, (size_t)(at - text.data), &err));
        OK(hf_buf_append_str(&changed, CHANGES[i][1], &err));
        OK(hf_buf_append_str(&changed, at + strlen(CHANGES[i][0]), &err));
        assert_int_equal(hf_manifest_decode(changed.data, changed.len, &back, &err).code,
                         HF_E_CORRUPT);
    }
}

static void labels_sort_by_time(void **state)
{
    char a[HF_LABEL_SIZE];
    char b[HF_LABEL_SIZE];
    struct hf_err err = {0};
    (void)state;
    hf_backup_label_make((hf_wall){INT64_C(1795220460) * 1000000}, HF_BACKUP_FULL, a);
    hf_backup_label_make((hf_wall){INT64_C(1795220461) * 1000000}, HF_BACKUP_INCR, b);
    assert_string_equal(a, "20261121T002100Z-F");
    assert_string_equal(b, "20261121T002101Z-I");
    OK(hf_backup_label_check(a, &err));
    hf_backup_label_make((hf_wall){INT64_C(951868799) * 1000000}, HF_BACKUP_DIFF, b);
    assert_string_equal(b, "20000229T235959Z-D");
    hf_backup_label_make((hf_wall){INT64_C(4107542400) * 1000000}, HF_BACKUP_FULL, b);
    assert_string_equal(b, "21000301T000000Z-F");
    assert_int_equal(hf_backup_label_check("20261121T002100Z-X", &err).code, HF_E_INVALID);
    assert_int_equal(hf_backup_label_check("20261121T002100Z-FF", &err).code, HF_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(values_beyond_their_bounds_are_refused),
        cmocka_unit_test(labels_sort_by_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
