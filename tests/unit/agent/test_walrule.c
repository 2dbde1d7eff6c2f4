/* SPDX-License-Identifier: Apache-2.0
 *
 * What a segment must look like, and which segment may be replayed.
 */
#include "wal_rig.h"

#include "agent/core/walrule.h"

struct header_case {
    const char *what;
    uint32_t timeline; /* in the header */
    uint64_t number;
    uint64_t system;
    size_t cut;          /* bytes missing at the end */
    uint16_t magic;      /* 0 = right */
    uint16_t info;       /* 0 = long header */
    uint32_t says_size;  /* 0 = right */
    const char *refused; /* part of the text; NULL = taken */
};

static const struct header_case HEADERS[] = {
    {"whole", 3, 7, 42, 0, 0, 0, 0, NULL},
    {"first pages are the parent's", 2, 7, 42, 0, 0, 0, 0, NULL},
    {"of a later timeline", 4, 7, 42, 0, 0, 0, 0, "timeline 4"},
    {"of timeline 0", 0, 7, 42, 0, 0, 0, 0, "timeline 0"},
    {"of another position", 3, 8, 42, 0, 0, 0, 0, "another position"},
    {"of another system", 3, 7, 43, 0, 0, 0, 0, "system 43"},
    {"cut by a byte", 3, 7, 42, 1, 0, 0, 0, "bytes"},
    {"shorter than its header", 3, 7, 42, (1 << 20) - 39, 0, 0, 0, "39 bytes"},
    {"empty", 3, 7, 42, 1 << 20, 0, 0, 0, "0 bytes"},
    {"zeros where its header should be", 3, 7, 42, 0, 0xFFFF, 0, 0, "page header"},
    {"a short page header", 3, 7, 42, 0, 0, 1, 0, "page header"},
    {"says another segment size", 3, 7, 42, 0, 0, 0, 16 << 20, "segment size"},
};

static void segments_are_checked(void **state)
{
    (void)state;
    for (uint32_t size = 1 << 20; size <= 64 << 20; size *= 2) {
        const struct hf_wal_name name = {
            .kind = HF_WAL_SEGMENT, .timeline = HF_TLI(3), .segment = 7};
        for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
            const struct header_case *c = &HEADERS[i];
            struct hf_err err = {0};
            HF_AUTOFREE uint8_t *b = segment_new(size, c->timeline, c->number, c->system, 0x5a);
            if (c->magic != 0) {
                memset(b, 0, 2);
            }
            put_number(b + 2, c->info == 0 ? 2 : c->info, 2);
            uint32_t says = c->says_size == size ? size * 2 : c->says_size;
            put_number(b + 32, says == 0 ? size : says, 4);
            size_t cut = c->cut > (1 << 19) ? size - ((1 << 20) - c->cut) : c->cut;
            hf_result r = hf_wal_check_segment(b, size - cut, &name, size, 42, &err);
            if (c->refused == NULL) {
                assert_true(hf_ok(r));
            } else {
                assert_int_equal(r.code, HF_E_CORRUPT);
                if (strstr(err.text, c->refused) == NULL) {
                    fail_msg("%s: \"%s\" does not say \"%s\"", c->what, err.text, c->refused);
                }
            }
        }
    }
}

static void an_unknown_system_is_not_compared(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const struct hf_wal_name name = {.kind = HF_WAL_SEGMENT, .timeline = HF_TLI(1), .segment = 1};
    HF_AUTOFREE uint8_t *b = segment_new(SEGMENT, 1, 1, 99, 0);
    OK(hf_wal_check_segment(b, SEGMENT, &name, SEGMENT, 0, &err));
}

/* 1 forks to 2 at 0/380000, 2 forks to 3 at 0/600000 (a boundary); 5 left 1 at 0/380000 too. */
static const char HISTORY_3[] = "1\t0/380000\tno recovery target\n2\t0/600000\tafter 9\n";

struct serve_case {
    uint32_t timeline;
    uint64_t number;
    enum hf_wal_serve serve;
};

static const struct serve_case SERVES[] = {
    {1, 0, HF_WAL_SERVE},         {1, 2, HF_WAL_SERVE},          {1, 3, HF_WAL_BEYOND_FORK},
    {1, 4, HF_WAL_BEYOND_FORK},   {2, 3, HF_WAL_SERVE},          {2, 5, HF_WAL_SERVE},
    {2, 6, HF_WAL_BEYOND_FORK},   {2, 4000, HF_WAL_BEYOND_FORK}, {3, 6, HF_WAL_SERVE},
    {3, 4000, HF_WAL_SERVE},      {4, 1, HF_WAL_OTHER_HISTORY},  {5, 3, HF_WAL_OTHER_HISTORY},
    {5, 0, HF_WAL_OTHER_HISTORY},
};

static void only_the_history_is_served(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_history h;
    OK(hf_history_parse(HF_TLI(3), HISTORY_3, strlen(HISTORY_3), &h, &err));
    for (size_t i = 0; i < sizeof SERVES / sizeof *SERVES; i++) {
        const struct hf_wal_name name = {.kind = HF_WAL_SEGMENT,
                                         .timeline = HF_TLI(SERVES[i].timeline),
                                         .segment = SERVES[i].number};
        enum hf_wal_serve got = hf_wal_may_serve(&h, &name, SEGMENT);
        if (got != SERVES[i].serve) {
            fail_msg("timeline %u segment %llu: %d instead of %d", SERVES[i].timeline,
                     (unsigned long long)SERVES[i].number, got, SERVES[i].serve);
        }
    }
}

static void names_parse_without_a_size(void **state)
{
    (void)state;
    static const char *const names[] = {
        "000000010000000000000001",
        "0000000100000000000001A3",
        "0000000100000000000000FF.partial",
        "000000010000000000000002.00000028.backup",
        "000000010000000000000003.03FFFFFF.backup",
        "0000000100000000000001A3.00000028.backup",
        "00000002.history",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct hf_err err = {0};
        struct hf_wal_name n;
        uint32_t size = 0;
        char text[HF_WAL_NAME_SIZE];
        OK(hf_wal_name_any(names[i], &n, &size, &err));
        assert_string_equal(hf_wal_name_format(&n, size, text), names[i]);
    }
    struct hf_wal_name n;
    uint32_t size = 0;
    REFUSED(HF_E_INVALID, hf_wal_name_any("../../etc/passwd", &n, &size, NULL));
    REFUSED(HF_E_INVALID, hf_wal_name_any("000000010000000000001000", &n, &size, NULL));
    REFUSED(HF_E_INVALID, hf_wal_name_any("00000000.history", &n, &size, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_checked),
        cmocka_unit_test(an_unknown_system_is_not_compared),
        cmocka_unit_test(only_the_history_is_served),
        cmocka_unit_test(names_parse_without_a_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
