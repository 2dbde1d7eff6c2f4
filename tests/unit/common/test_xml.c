/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/io/crypto.h"
#include "common/io/s3_xml.h"
#include "common/io/xml.h"

static hf_result record(void *arg, const char *path, const char *text, size_t len,
                        struct hf_err *err)
{
    return hf_buf_printf(arg, err, "%s=%.*s;", path, (int)len, text);
}

static hf_result read_in_steps(const char *document, size_t step, size_t max, struct hf_buf *out,
                               struct hf_err *err)
{
    HF_AUTOXML struct hf_xml *x = hf_xml_new(max, record, out);
    size_t len = strlen(document);
    for (size_t at = 0; at < len; at += step) {
        HF_TRY(hf_xml_feed(x, document + at, len - at < step ? len - at : step, err));
    }
    return hf_xml_finish(x, err);
}

static void reports_elements_whatever_the_pieces(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *document = "<?xml version=\"1.0\"?>\n<a:R xmlns:a=\"urn:x\"><K>1&amp;2</K>"
                           "<L><M>x</M>tail</L><N/></a:R>";
    for (size_t step = 1; step < 60; step++) {
        HF_BUF(out, 1000);
        assert_true(hf_ok(read_in_steps(document, step, 1000, &out, &err)));
        assert_string_equal(hf_buf_text(&out), "R/K=1&2;R/L/M=x;R/L=tail;R/N=;R=;");
    }
}

static void refuses_what_is_unbounded_or_broken(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_BUF(out, 100000);
    assert_int_equal(
        read_in_steps("<!DOCTYPE r [<!ENTITY a \"aaaa\">]><r>&a;</r>", 7, 1000, &out, &err).code,
        HF_E_CORRUPT);
    assert_int_equal(read_in_steps("<a><b></a>", 99, 1000, &out, &err).code, HF_E_CORRUPT);
    assert_int_equal(read_in_steps("<a><b>", 99, 1000, &out, &err).code, HF_E_CORRUPT);
    assert_int_equal(read_in_steps("", 99, 1000, &out, &err).code, HF_E_CORRUPT);
    assert_int_equal(read_in_steps("<a>0123456789</a>", 99, 10, &out, &err).code, HF_E_LIMIT);
    HF_BUF(deep, 100000);
    for (int i = 0; i < HF_XML_DEPTH + 1; i++) {
        assert_true(hf_ok(hf_buf_append_str(&deep, "<a>", &err)));
    }
    assert_int_equal(read_in_steps(hf_buf_text(&deep), 99, 100000, &out, &err).code, HF_E_LIMIT);
    hf_buf_reset(&deep);
    assert_true(hf_ok(hf_buf_append_str(&deep, "<a>", &err)));
    for (int i = 0; i < HF_XML_TEXT_MAX / 8 + 1; i++) {
        assert_true(hf_ok(hf_buf_append_str(&deep, "01234567", &err)));
    }
    assert_int_equal(read_in_steps(hf_buf_text(&deep), 99, 100000, &out, &err).code, HF_E_LIMIT);
    hf_buf_reset(&deep);
    assert_true(hf_ok(hf_buf_append_str(&deep, "<", &err)));
    for (int i = 0; i < HF_XML_PATH_SIZE; i++) {
        assert_true(hf_ok(hf_buf_append_str(&deep, "n", &err)));
    }
    assert_true(hf_ok(hf_buf_append_str(&deep, "/>", &err)));
    assert_int_equal(read_in_steps(hf_buf_text(&deep), 99, 100000, &out, &err).code, HF_E_LIMIT);
}

static const char LISTING[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
    "<Prefix>p%2F</Prefix><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>1/abc==</NextContinuationToken>"
    "<Contents><Key>p%2Fb</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>"
    "<ETag>&quot;x&quot;</ETag><Size>42</Size><Owner><ID>u</ID></Owner></Contents>"
    "<Contents><Key>p%2Fz+%01</Key><Size>0</Size></Contents>"
    "<CommonPrefixes><Prefix>p%2Fc%2F</Prefix></CommonPrefixes></ListBucketResult>";

static hf_result read_listing(struct hf_s3_list *l, const char *text, size_t len,
                              struct hf_err *err)
{
    hf_s3_list_reset(l);
    HF_TRY(hf_s3_list_feed(l, text, len, err));
    return hf_s3_list_finish(l, err);
}

static void reads_listings(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_s3_list *l = hf_s3_list_new();
    assert_true(hf_ok(read_listing(l, LISTING, sizeof LISTING - 1, &err)));
    size_t n = 0;
    const struct hf_s3_entry *e = hf_s3_list_entries(l, &n);
    assert_int_equal(n, 3);
    assert_string_equal(e[0].key, "p/b");
    assert_int_equal(e[0].size, 42);
    assert_int_equal(e[0].modified.us, INT64_C(1795219200000000));
    assert_string_equal(e[1].key, "p/c/");
    assert_true(e[1].is_prefix);
    assert_string_equal(e[2].key, "p/z \x01");
    assert_string_equal(hf_s3_list_token(l), "1/abc==");
    /* cut anywhere it is an error, never a shorter listing */
    for (size_t cut = 0; cut < sizeof LISTING - 1; cut++) {
        assert_false(hf_ok(read_listing(l, LISTING, cut, &err)));
    }
    const char *const wrong[] = {
        "<html/>",
        "<Error><Code>SlowDown</Code></Error>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>"
        "</ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%0</Key><Size>1</Size>"
        "</Contents></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00b</Key><Size>1</Size>"
        "</Contents></ListBucketResult>",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(hf_ok(read_listing(l, wrong[i], strlen(wrong[i]), &err)));
        assert_true(err.text[0] != '\0');
    }
    hf_s3_list_free(l);
}

static void a_page_is_bounded(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_BUF(page, 1 << 20);
    assert_true(hf_ok(hf_buf_append_str(&page, "<ListBucketResult>", &err)));
    for (int i = 0; i <= HF_S3_LIST_ENTRIES; i++) {
        assert_true(hf_ok(
            hf_buf_printf(&page, &err, "<Contents><Key>k%d</Key><Size>1</Size></Contents>", i)));
    }
    assert_true(hf_ok(hf_buf_append_str(&page, "</ListBucketResult>", &err)));
    struct hf_s3_list *l = hf_s3_list_new();
    assert_int_equal(read_listing(l, hf_buf_text(&page), page.len, &err).code, HF_E_LIMIT);
    hf_s3_list_free(l);
}

static void reads_errors_and_results(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_s3_error e = {0};
    const char *text = "<Error><Code>SlowDown</Code><Message>a\nb \xc3\xa9</Message></Error>";
    assert_true(hf_s3_error_parse(text, strlen(text), &e));
    assert_string_equal(e.code, "SlowDown");
    assert_string_equal(e.message, "a?b ??");
    assert_false(hf_s3_error_parse("", 0, &e));
    assert_false(hf_s3_error_parse("<html>404</html>", 16, &e));
    char id[16] = "before";
    text = "<InitiateMultipartUploadResult><UploadId>2~abc</UploadId>"
           "</InitiateMultipartUploadResult>";
    assert_true(hf_ok(hf_s3_upload_id_parse(text, strlen(text), id, sizeof id, &err)));
    assert_string_equal(id, "2~abc");
    assert_int_equal(hf_s3_upload_id_parse(text, strlen(text), id, 6, &err).code, HF_OK);
    assert_int_equal(hf_s3_upload_id_parse(text, strlen(text), id, 5, &err).code, HF_E_CORRUPT);
    assert_int_equal(hf_s3_upload_id_parse("<a/>", 4, id, sizeof id, &err).code, HF_E_CORRUPT);
    assert_string_equal(id, "2~abc");
    text = "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>";
    assert_true(hf_s3_complete_parse(text, strlen(text)));
    assert_false(hf_s3_complete_parse(text, strlen(text) - 1));
}

/* Mangled documents give errors or results, never anything else (watched by the sanitisers). */
static void mangled_documents_do_no_harm(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_s3_list *l = hf_s3_list_new();
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        char text[sizeof LISTING];
        memcpy(text, LISTING, sizeof text);
        for (int i = 0; i < 1 + round % 4; i++) {
            seed = seed * 1664525U + 1013904223U;
            text[(seed >> 8) % (sizeof text - 1)] = (char)(seed >> 3);
        }
        if (hf_ok(read_listing(l, text, sizeof text - 1, &err))) {
            size_t n = 0;
            const struct hf_s3_entry *e = hf_s3_list_entries(l, &n);
            for (size_t i = 0; i < n; i++) {
                assert_true(strlen(e[i].key) > 0);
            }
        }
    }
    hf_s3_list_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_elements_whatever_the_pieces),
        cmocka_unit_test(refuses_what_is_unbounded_or_broken),
        cmocka_unit_test(reads_listings),
        cmocka_unit_test(a_page_is_bounded),
        cmocka_unit_test(reads_errors_and_results),
        cmocka_unit_test(mangled_documents_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
