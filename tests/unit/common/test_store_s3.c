/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing to S3 against a scripted peer: retries, create-once, multipart uploads, clock,
 * credentials.
 */
#include "tests/unit/common/s3_peer.h"

static void transient_failures_are_retried_with_the_same_bytes(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PUT_K, "500 Internal", NULL, XML_ERROR("InternalError"), KEEP, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
        {PUT_K, NULL, NULL, NULL, RESET, 0},
        {PUT_K, "429 Many", NULL, NULL, KEEP, 0},
        {PUT_K, "400 Bad", NULL, XML_ERROR("RequestTimeout"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 6);
    assert_true(hf_ok(put(s, false, &err)));
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(header(p, i, "content-md5"), p->body_md5[i]);
        assert_null(header(p, i, "if-none-match"));
        assert_non_null(header(p, i, "authorization"));
        uint8_t digest[HF_SHA256_SIZE];
        char text[HF_HEX_SIZE(HF_SHA256_SIZE)];
        hf_sha256("content", 7, digest);
        hf_hex_encode(digest, sizeof digest, text);
        assert_string_equal(header(p, i, "x-amz-content-sha256"), text);
    }
    finish(p, s);
}

static void giving_up_tells_what_is_known(void **state)
{
    (void)state;
    static const struct step slow[] = {
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(slow);
    struct hf_store *s = open_store(p, 2);
    assert_int_equal(put(s, false, &err).code, HF_E_AGAIN);
    assert_non_null(strstr(err.text, "store eu: put k"));
    assert_non_null(strstr(err.text, "503 SlowDown: as it were"));
    finish(p, s);

    static const struct step lost[] = {
        {PUT_K, NULL, NULL, NULL, RESET, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
    };
    p = START(lost);
    s = open_store(p, 2);
    assert_int_equal(put(s, false, &err).code, HF_E_TIMEOUT);
    finish(p, s);

    /* a kept connection breaks, and the request is sent again below us */
    static const struct step kept[] = {
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
        {PUT_K, NULL, NULL, NULL, RESET, 0},
        {PUT_K, "503 Slow", NULL, XML_ERROR("SlowDown"), KEEP, 0},
    };
    p = START(kept);
    s = open_store(p, 1);
    assert_true(hf_ok(put(s, false, &err)));
    assert_int_equal(put(s, false, &err).code, HF_E_TIMEOUT);
    finish(p, s);

    p = start(NULL, 0);
    s = open_store(p, 2);
    assert_int_equal(shutdown(p->listener, SHUT_RDWR), 0);
    assert_int_equal(put(s, false, &err).code, HF_E_UNREACHABLE);
    finish(p, s);
}

static void create_once(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PROBE, "200 OK", NULL, NULL, KEEP, 0},
        {PROBE, "412 Failed", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0},
        {PUT_K, "409 Conflict", NULL, XML_ERROR("ConditionalRequestConflict"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
        {PUT_K, "412 Failed", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0},
        /* the answer to our own put does not come, the next attempt finds it: look (rule W2) */
        {PUT_K, NULL, NULL, NULL, STALL, 0},
        {PUT_K, "412 Failed", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    assert_true(hf_ok(put(s, true, &err)));
    assert_string_equal(header(p, 2, "if-none-match"), "*");
    assert_string_equal(header(p, 3, "if-none-match"), "*");
    assert_int_equal(put(s, true, &err).code, HF_E_EXISTS);
    assert_int_equal(put(s, true, &err).code, HF_E_EXISTS);
    finish(p, s);
}

static void stores_without_create_once_are_found_out_once(void **state)
{
    (void)state;
    static const struct step refuses[] = {
        {PROBE, "501 Not", NULL, XML_ERROR("NotImplemented"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    static const struct step ignores[] = {
        {PROBE, "200 OK", NULL, NULL, KEEP, 0},
        {PROBE, "200 OK", NULL, NULL, KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    for (int i = 0; i < 2; i++) {
        struct hf_err err = {0};
        struct peer *p = i == 0 ? START(refuses) : START(ignores);
        struct hf_store *s = open_store(p, 3);
        bool conditional = true;
        assert_true(hf_ok(hf_store_conditional(s, &conditional, &err)));
        assert_false(conditional);
        assert_int_equal(put(s, true, &err).code, HF_E_UNSUPPORTED);
        assert_int_equal(put(s, true, &err).code, HF_E_UNSUPPORTED);
        assert_true(hf_ok(put(s, false, &err)));
        finish(p, s);
    }
}

#define UPLOADS  "POST /bucket/lab/k?uploads= HTTP/1.1"
#define PART(n)  "PUT /bucket/lab/k?partNumber=" n "&uploadId=u%2F1 HTTP/1.1"
#define COMPLETE "POST /bucket/lab/k?uploadId=u%2F1 HTTP/1.1"
#define ABORT    "DELETE /bucket/lab/k?uploadId=u%2F1 HTTP/1.1"
#define STARTED                                                                                    \
    "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>"
#define COMPLETED "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
#define UPLOAD_STEPS                                                                               \
    {UPLOADS, "200 OK", NULL, STARTED, KEEP, 0}, {PART("1"), NULL, NULL, NULL, RESET, 0},          \
        {PART("1"), "200 OK", "ETag: \"e1\"\r\n", NULL, KEEP, 0},                                  \
        {PART("2"), "200 OK", "ETag: \"e2\"\r\n", NULL, KEEP, 0},                                  \
        {HEAD_K, "404 N", NULL, NULL, KEEP, 0},                                                    \
        {GET_K, "404 N", NULL, XML_ERROR("NoSuchKey"), KEEP, 0},                                   \
    {                                                                                              \
        PROBE, "412 F", NULL, XML_ERROR("PreconditionFailed"), KEEP, 0                             \
    }
enum { UPLOAD_SIZE = (8 << 20) + 100 };

static hf_result upload(struct hf_store *s, struct hf_err *err)
{
    HF_AUTOFREE char *bytes = hf_alloc(UPLOAD_SIZE);
    memset(bytes, 'x', UPLOAD_SIZE);
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_store_writer_open(s, "k", &w, err));
    hf_result r = hf_store_writer_write(w, bytes, UPLOAD_SIZE, err);
    if (!hf_ok(r)) {
        hf_store_writer_abort(w);
        return r;
    }
    return hf_store_writer_commit(w, err);
}

static void a_success_that_carries_an_error_is_retried(void **state)
{
    (void)state;
    static const struct step steps[] = {
        UPLOAD_STEPS,
        {COMPLETE, "200 OK", NULL, XML_ERROR("InternalError"), KEEP, 0},
        {COMPLETE, "200 OK", NULL, COMPLETED, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    assert_true(hf_ok(upload(s, &err)));
    assert_string_equal(header(p, 2, "content-md5"), p->body_md5[2]);
    assert_string_equal(header(p, 7, "if-none-match"), "*");
    static const char LIST[] =
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part><Part>"
        "<PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part></CompleteMultipartUpload>";
    uint8_t digest[HF_MD5_SIZE];
    char text[HF_BASE64_SIZE(HF_MD5_SIZE)];
    assert_true(hf_ok(hf_md5(LIST, sizeof LIST - 1, digest, &err)));
    hf_base64_encode(digest, sizeof digest, text);
    assert_string_equal(p->body_md5[8], text);
    finish(p, s);
}

static void a_lost_answer_to_complete_is_looked_into(void **state)
{
    (void)state;
    static const struct step steps[] = {
        UPLOAD_STEPS,
        {COMPLETE, NULL, NULL, NULL, RESET, 0},
        {COMPLETE, "404 N", NULL, XML_ERROR("NoSuchUpload"), KEEP, 0},
        {HEAD_K, "200 OK", NULL, NULL, KEEP, UPLOAD_SIZE},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 3);
    hf_result r = upload(s, &err);
    if (!hf_ok(r)) {
        print_error("%s\n", err.text);
    }
    assert_true(hf_ok(r));
    finish(p, s);
}

static void a_failed_upload_is_taken_back(void **state)
{
    (void)state;
    static const struct step fatal[] = {
        UPLOAD_STEPS,
        {COMPLETE, "200 OK", NULL, XML_ERROR("InvalidPart"), KEEP, 0},
        {ABORT, "204 No", NULL, NULL, KEEP, 0},
    };
    static const struct step exists[] = {
        {UPLOADS, "200 OK", NULL, STARTED, KEEP, 0},
        {PART("1"), "200 OK", "ETag: \"e1\"\r\n", NULL, KEEP, 0},
        {PART("2"), "200 OK", "ETag: \"e2\"\r\n", NULL, KEEP, 0},
        {HEAD_K, "200 OK", NULL, NULL, KEEP, 5},
        {ABORT, "204 No", NULL, NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(fatal);
    struct hf_store *s = open_store(p, 3);
    assert_int_equal(upload(s, &err).code, HF_E_IO);
    assert_non_null(strstr(err.text, "InvalidPart"));
    finish(p, s);
    p = START(exists);
    s = open_store(p, 3);
    assert_int_equal(upload(s, &err).code, HF_E_EXISTS);
    finish(p, s);
}

static void a_wrong_clock_is_corrected_once(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PUT_K, "403 F", "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
         XML_ERROR("RequestTimeTooSkewed"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
        {HEAD_K, "403 F", "Date: Mon, 24 May 2010 00:00:00 GMT\r\n", NULL, KEEP, 0},
        {HEAD_K, "403 F", "Date: Fri, 24 May 2013 00:00:00 GMT\r\n", NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 1);
    assert_true(hf_ok(put(s, false, &err)));
    assert_memory_equal(header(p, 1, "x-amz-date"), "20130524T0000", 13);
    struct hf_store_meta m;
    assert_int_equal(hf_store_head(s, "k", &m, &err).code, HF_E_DENIED);
    assert_memory_equal(header(p, 3, "x-amz-date"), "20100524T0000", 13);
    finish(p, s);
}

static void rotated_credentials_are_read_again(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {PUT_K, "403 F", NULL, XML_ERROR("InvalidAccessKeyId"), KEEP, 0},
        {PUT_K, "403 F", NULL, XML_ERROR("InvalidAccessKeyId"), KEEP, 0},
        {PUT_K, "200 OK", NULL, NULL, KEEP, 0},
    };
    struct hf_err err = {0};
    struct peer *p = START(steps);
    struct hf_store *s = open_store(p, 1);
    assert_int_equal(put(s, false, &err).code, HF_E_DENIED);
    write_credentials(p, "ROTATED");
    assert_true(hf_ok(put(s, false, &err)));
    assert_non_null(strstr(header(p, 1, "authorization"), "Credential=AKID/"));
    assert_non_null(strstr(header(p, 2, "authorization"), "Credential=ROTATED/"));
    finish(p, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transient_failures_are_retried_with_the_same_bytes),
        cmocka_unit_test(giving_up_tells_what_is_known),
        cmocka_unit_test(create_once),
        cmocka_unit_test(stores_without_create_once_are_found_out_once),
        cmocka_unit_test(a_success_that_carries_an_error_is_retried),
        cmocka_unit_test(a_lost_answer_to_complete_is_looked_into),
        cmocka_unit_test(a_failed_upload_is_taken_back),
        cmocka_unit_test(a_wrong_clock_is_corrected_once),
        cmocka_unit_test(rotated_credentials_are_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
