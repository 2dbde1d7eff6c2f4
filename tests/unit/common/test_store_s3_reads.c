/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading from S3 against a scripted peer: resumed and refused reads, absence, listings, bounds.
 */
#include "tests/unit/common/s3_peer.h"

static void reads_go_on_where_they_stopped(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {GET_K, "200 OK", "ETag: \"v1\"\r\n", "0123", RESET, 10},
        {GET_K, "503 Slow", NULL, NULL, KEEP, 0},
        {GET_K, "206 Partial", "ETag: \"v1\"\r\nContent-Range: bytes 4-9/10\r\n", "45", STALL, 6},
        {GET_K, "206 Partial", "ETag: \"v1\"\r\nContent-Range: bytes 6-9/10\r\n", "6789", KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 2);
    HF_BUF(b, 100);
    assert_true(hf_ok(hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err)));
    assert_string_equal(hf_buf_text(&b), "0123456789");
    assert_null(header(p, 0, "range"));
    assert_string_equal(header(p, 1, "range"), "bytes=4-");
    assert_string_equal(header(p, 1, "if-match"), "\"v1\"");
    assert_string_equal(header(p, 3, "range"), "bytes=6-");
    finish(p, s);
}

struct bad_read {
    struct step steps[2];
    size_t count;
    enum hf_code code;
};

static void wrong_answers_to_reads_are_refused(void **state)
{
    (void)state;
    static const struct bad_read cases[] = {
        /* changed while being read */
        {{{GET_K, "206 P", "ETag: \"v1\"\r\nContent-Range: bytes 2-5/10\r\n", "23", RESET, 4},
          {GET_K, "412 F", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0}},
         2,
         HF_E_CORRUPT},
        /* shrank meanwhile, on a store that ignores If-Match */
        {{{GET_K, "206 P", "Content-Range: bytes 2-5/10\r\n", "23", RESET, 4},
          {GET_K, "206 P", "Content-Range: bytes 4-4/5\r\n", "4", KEEP, 0}},
         2,
         HF_E_CORRUPT},
        /* the whole object, from the start */
        {{{GET_K, "200 OK", NULL, "0123456789", KEEP, 0}}, 1, HF_E_UNSUPPORTED},
        {{{GET_K, "206 P", NULL, "2345", KEEP, 0}}, 1, HF_E_UNSUPPORTED},
        {{{GET_K, "206 P", "Content-Range: bytes 0-3/10\r\n", "0123", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{GET_K, "206 P", "Content-Range: bytes 2-4/5\r\n", "234", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{GET_K, "206 P", "Content-Range: bytes 2-5/10\r\n", "23456", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{GET_K, "416 R", NULL, XML_ERROR("InvalidRange"), KEEP, 0}}, 1, HF_E_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_err err = {0};
        struct peer *p = start(cases[i].steps, cases[i].count);
        struct hf_store *s = open_store(p, 2);
        HF_BUF(b, 100);
        hf_result r = hf_store_get(s, "k", 2, 4, append, &b, &err);
        if (r.code != cases[i].code) {
            print_error("case %zu: %s\n", i, err.text);
        }
        assert_int_equal(r.code, cases[i].code);
        assert_true(strncmp(hf_buf_text(&b), "2345", b.len) == 0);
        finish(p, s);
    }
}

/* "Absent" is only what the store says about this very object: with it PostgreSQL may end recovery
 * (rule W3). */
static void absent_is_the_stores_word_only(void **state)
{
    (void)state;
    static const struct {
        struct step steps[2];
        size_t count;
        enum hf_code code;
    } cases[] = {
        {{{GET_K, "404 N", NULL, XML_ERROR("NoSuchKey"), KEEP, 0}}, 1, HF_E_NOT_FOUND},
        {{{GET_K, "404 N", NULL, XML_ERROR("NoSuchBucket"), KEEP, 0}}, 1, HF_E_INVALID},
        {{{GET_K, "404 N", NULL, "<html>nginx</html>", KEEP, 0}}, 1, HF_E_INVALID},
        {{{GET_K, "404 N", NULL, NULL, KEEP, 0}}, 1, HF_E_INVALID},
        {{{GET_K, "403 F", NULL, XML_ERROR("AccessDenied"), KEEP, 0}}, 1, HF_E_DENIED},
        {{{GET_K, "301 M", NULL, XML_ERROR("PermanentRedirect"), KEEP, 0}}, 1, HF_E_INVALID},
        {{{HEAD_K, "404 N", NULL, NULL, KEEP, 0},
          {GET_K, "404 N", NULL, XML_ERROR("NoSuchKey"), KEEP, 0}},
         2,
         HF_E_NOT_FOUND},
        {{{HEAD_K, "404 N", NULL, NULL, KEEP, 0},
          {GET_K, "404 N", NULL, XML_ERROR("NoSuchBucket"), KEEP, 0}},
         2,
         HF_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_err err = {0};
        struct peer *p = start(cases[i].steps, cases[i].count);
        struct hf_store *s = open_store(p, 2);
        HF_BUF(b, 100);
        struct hf_store_meta m;
        hf_result r = cases[i].count == 1 ? hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err)
                                          : hf_store_head(s, "k", &m, &err);
        assert_int_equal(r.code, cases[i].code);
        finish(p, s);
    }
}

#define LIST_HEAD  "GET /bucket/?encoding-type=url&list-type=2&max-keys=1000&prefix=lab%2F"
#define ENTRY(k)   "<Contents><Key>lab/" k "</Key><Size>1</Size></Contents>"
#define PAGE(rest) "<ListBucketResult>" rest "</ListBucketResult>"
#define MORE(t)                                                                                    \
    "<IsTruncated>true</IsTruncated><NextContinuationToken>" t "</NextContinuationToken>"

static void listings_are_whole(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {LIST_HEAD " HTTP", "200 OK", NULL, "<ListBucketResult>" ENTRY("a"), RESET, 500},
        {LIST_HEAD " HTTP", "200 OK", NULL,
         PAGE(ENTRY("b") ENTRY("a") ENTRY("not%20ours") ENTRY("x//y") MORE("t/1")), KEEP, 0},
        {"GET /bucket/?continuation-token=t%2F1&encoding-type=url", "503 Slow", NULL, NULL, KEEP,
         0},
        {"GET /bucket/?continuation-token=t%2F1&encoding-type=url", "200 OK", NULL,
         PAGE(ENTRY("b") ENTRY("c")), KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    HF_BUF(b, 1000);
    assert_true(hf_ok(hf_store_list(s, "", NULL, false, note, &b, &err)));
    assert_string_equal(hf_buf_text(&b), "a b c ");
    finish(p, s);
}

static void broken_listings_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct step steps[2];
        size_t count;
        enum hf_code code;
    } cases[] = {
        {{{LIST_HEAD, "200 OK", NULL, PAGE("<IsTruncated>true</IsTruncated>"), KEEP, 0}},
         1,
         HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, "<ListBucketResult>" ENTRY("a"), KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, "<html>welcome</html>", KEEP, 0}}, 1, HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, PAGE("<Contents><Key>other/a</Key><Size>1</Size></Contents>"),
           KEEP, 0}},
         1,
         HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, PAGE(ENTRY("a") MORE("t")), KEEP, 0},
          {"GET /bucket/?continuation-token=t", "200 OK", NULL, PAGE(ENTRY("b") MORE("t")), KEEP,
           0}},
         2,
         HF_E_CORRUPT},
        {{{LIST_HEAD, "200 OK", NULL, PAGE(ENTRY("b") MORE("t")), KEEP, 0},
          {"GET /bucket/?continuation-token=t", "200 OK", NULL, PAGE(ENTRY("a")), KEEP, 0}},
         2,
         HF_E_UNSUPPORTED},
        {{{LIST_HEAD, "404 N", NULL, XML_ERROR("NoSuchBucket"), KEEP, 0}}, 1, HF_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hf_err err = {0};
        struct peer *p = start(cases[i].steps, cases[i].count);
        struct hf_store *s = open_store(p, 2);
        HF_BUF(b, 100);
        assert_int_equal(hf_store_list(s, "", NULL, false, note, &b, &err).code, cases[i].code);
        finish(p, s);
    }
}

static void what_a_peer_sends_is_bounded(void **state)
{
    (void)state;
    HF_AUTOFREE char *flood = hf_alloc(200001);
    memset(flood, 'x', 200000);
    memcpy(flood, "X-Flood: ", 9);
    HF_AUTOFREE char *lines = hf_alloc(41 * 1000 + 1);
    for (int i = 0; i < 41; i++) {
        memcpy(lines + i * 1000, flood, 998);
        memcpy(lines + i * 1000 + 998, "\r\n", 2);
    }
    const struct step steps[] = {
        {GET_K, "200 OK", lines, "x", RESET, 0},
        {GET_K, "403 F", NULL, flood, RESET, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 1);
    HF_BUF(b, 100);
    assert_int_equal(hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err).code, HF_E_LIMIT);
    assert_int_equal(hf_store_get(s, "k", 0, UINT64_MAX, append, &b, &err).code, HF_E_LIMIT);
    finish(p, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_go_on_where_they_stopped),
        cmocka_unit_test(wrong_answers_to_reads_are_refused),
        cmocka_unit_test(absent_is_the_stores_word_only),
        cmocka_unit_test(listings_are_whole),
        cmocka_unit_test(broken_listings_are_refused),
        cmocka_unit_test(what_a_peer_sends_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
