/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/aws_sign.h"
#include "common/io/s3_time.h"

/* Amazon S3 API reference, "Signature calculations for the Authorization header", examples. */
static const char EMPTY[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char STAMP[] = "20130524T000000Z";

static void expect(const char *method, const char *path, const char *query,
                   const struct hf_aws_pair *extra, size_t extra_count, const char *hash,
                   const char *signed_headers, const char *signature)
{
    struct hf_err err = {0};
    struct hf_aws_credentials c = {0};
    hf_secret_set(&c.id, "AKIAIOSFODNN7EXAMPLE", 20);
    hf_secret_set(&c.key, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 40);
    struct hf_aws_pair headers[8] = {
        {"x-amz-date", STAMP},
        {"host", "examplebucket.s3.amazonaws.com"},
        {"x-amz-content-sha256", hash},
    };
    for (size_t i = 0; i < extra_count; i++) {
        headers[3 + i] = extra[i];
    }
    const struct hf_aws_sign r = {
        .method = method,
        .path = path,
        .query = query,
        .headers = headers,
        .header_count = 3 + extra_count,
        .payload_hash = hash,
        .service = "s3",
        .region = "us-east-1",
        .stamp = STAMP,
        .credentials = &c,
    };
    HF_BUF(out, 4096);
    assert_true(hf_ok(hf_aws_sign(&r, &out, &err)));
    char wanted[1024];
    (void)snprintf(wanted, sizeof wanted,
                   "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                   "aws4_request,SignedHeaders=%s,Signature=%s",
                   signed_headers, signature);
    assert_string_equal(hf_buf_text(&out), wanted);
    hf_aws_credentials_free(&c);
}

static void published_examples(void **state)
{
    (void)state;
    const struct hf_aws_pair range = {"range", "bytes=0-9"};
    expect("GET", "/test.txt", "", &range, 1, EMPTY, "host;range;x-amz-content-sha256;x-amz-date",
           "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");

    HF_BUF(path, 100);
    struct hf_err err = {0};
    assert_true(hf_ok(hf_aws_encode("/test$file.text", true, &path, &err)));
    const struct hf_aws_pair put[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                      {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    expect("PUT", hf_buf_text(&path), "", put, 2,
           "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
           "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
           "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");

    HF_BUF(query, 100);
    const struct hf_aws_pair lifecycle = {"lifecycle", NULL};
    assert_true(hf_ok(hf_aws_query(&lifecycle, 1, &query, &err)));
    expect("GET", "/", hf_buf_text(&query), NULL, 0, EMPTY, "host;x-amz-content-sha256;x-amz-date",
           "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");

    hf_buf_reset(&query);
    const struct hf_aws_pair list[] = {{"prefix", "J"}, {"max-keys", "2"}};
    assert_true(hf_ok(hf_aws_query(list, 2, &query, &err)));
    expect("GET", "/", hf_buf_text(&query), NULL, 0, EMPTY, "host;x-amz-content-sha256;x-amz-date",
           "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

/* AWS's test suite for version 4, case get-vanilla: another service than S3. */
static void another_service(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_aws_credentials c = {0};
    hf_secret_set(&c.id, "AKIDEXAMPLE", 11);
    hf_secret_set(&c.key, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40);
    const struct hf_aws_pair headers[] = {{"host", "example.amazonaws.com"},
                                          {"x-amz-date", "20150830T123600Z"}};
    const struct hf_aws_sign r = {.method = "GET",
                                  .path = "/",
                                  .query = "",
                                  .headers = headers,
                                  .header_count = 2,
                                  .payload_hash = EMPTY,
                                  .service = "service",
                                  .region = "us-east-1",
                                  .stamp = "20150830T123600Z",
                                  .credentials = &c};
    HF_BUF(out, 4096);
    assert_true(hf_ok(hf_aws_sign(&r, &out, &err)));
    assert_string_equal(
        hf_buf_text(&out),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        "SignedHeaders=host;x-amz-date,"
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    hf_aws_credentials_free(&c);
}

static void credentials_of_the_environment(void **state)
{
    (void)state;
    struct hf_err err = {0};
    struct hf_aws_credentials c = {0};
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    assert_int_equal(hf_aws_credentials_env(&c, &err).code, HF_E_NOT_FOUND);
    setenv("AWS_SECRET_ACCESS_KEY", "geheim with space", 1);
    assert_int_equal(hf_aws_credentials_env(&c, &err).code, HF_E_INVALID);
    assert_null(strstr(err.text, "geheim"));
    setenv("AWS_SECRET_ACCESS_KEY", "geheim", 1);
    assert_true(hf_ok(hf_aws_credentials_env(&c, &err)));
    assert_string_equal(hf_secret_text(&c.key), "geheim");
    assert_int_equal(c.token.len, 0);
    setenv("AWS_SESSION_TOKEN", long_text, 1);
    assert_int_equal(hf_aws_credentials_env(&c, &err).code, HF_E_INVALID);
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_ACCESS_KEY_ID");
    hf_aws_credentials_free(&c);
}

static void encodes_as_s3_wants(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_BUF(out, 200);
    assert_true(hf_ok(hf_aws_encode("aZ09-_.~ /+=\xc3\xa9", true, &out, &err)));
    assert_string_equal(hf_buf_text(&out), "aZ09-_.~%20/%2B%3D%C3%A9");
    hf_buf_reset(&out);
    const struct hf_aws_pair pairs[] = {{"uploadId", "a/b+c="}, {"partNumber", "7"}};
    assert_true(hf_ok(hf_aws_query(pairs, 2, &out, &err)));
    assert_string_equal(hf_buf_text(&out), "partNumber=7&uploadId=a%2Fb%2Bc%3D");
}

static void times(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char stamp[HF_S3_STAMP_SIZE];
    hf_wall t = {0};
    assert_true(hf_ok(hf_s3_time_parse("Fri, 24 May 2013 00:00:00 GMT", &t, &err)));
    hf_s3_stamp(t, stamp);
    assert_string_equal(stamp, STAMP);
    assert_true(hf_ok(hf_s3_time_parse("2013-05-24T00:00:01.123Z", &t, &err)));
    assert_int_equal(t.us, INT64_C(1369353601000000));
    assert_true(hf_ok(hf_s3_time_parse("2013-05-24T00:00:01Z", &t, &err)));
    const char *const wrong[] = {"",
                                 "now",
                                 "2013-13-24T00:00:01Z",
                                 "Fri, 24 Mai 2013 00:00:00 GMT",
                                 "2013-05-24T00:00:01",
                                 "Fri, 24 May 2013 25:00:00 GMT"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(hf_s3_time_parse(wrong[i], &t, &err).code, HF_E_INVALID);
    }
}

static hf_result read_text(const char *path, const char *text, struct hf_aws_credentials *c,
                           struct hf_err *err)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return hf_aws_credentials_read(path, c, err);
}

static void credentials_files(void **state)
{
    (void)state;
    struct hf_err err = {0};
    char path[] = "/tmp/holdfast-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    struct hf_aws_credentials c = {0};
    assert_true(
        hf_ok(read_text(path, "# eu\naccess_key_id = AK\nsecret_access_key=s/k+=\n", &c, &err)));
    assert_string_equal(hf_secret_text(&c.id), "AK");
    assert_string_equal(hf_secret_text(&c.key), "s/k+=");
    assert_int_equal(c.token.len, 0);
    assert_true(
        hf_ok(read_text(path,
                        "[default]\r\naws_access_key_id = A\r\naws_secret_access_key = B\r\n"
                        "aws_session_token = T",
                        &c, &err)));
    assert_string_equal(hf_secret_text(&c.token), "T");
    const char *const wrong[] = {
        "access_key_id = A\n",
        "access_key_id = A\nsecret_access_key = hush hush\n",
        "access_key_id = A\nsecret_access_key =\n",
        "access_key_id = A\nsecret_access_key = hush\nregion = x\n",
        "access_key_id = A\naccess_key_id = B\nsecret_access_key = hush\n",
        "hush",
        "",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_text(path, wrong[i], &c, &err).code, HF_E_INVALID);
        assert_non_null(strstr(err.text, path));
        assert_null(strstr(err.text, "hush"));
        assert_string_equal(hf_secret_text(&c.id), "A");
    }
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(hf_aws_credentials_read(path, &c, &err).code, HF_E_DENIED);
    hf_aws_credentials_free(&c);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples),
        cmocka_unit_test(another_service),
        cmocka_unit_test(credentials_of_the_environment),
        cmocka_unit_test(encodes_as_s3_wants),
        cmocka_unit_test(times),
        cmocka_unit_test(credentials_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
