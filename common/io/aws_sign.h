/* SPDX-License-Identifier: Apache-2.0
 *
 * AWS Signature Version 4, by hand on HMAC-SHA256, for S3 and Route 53 (AWS General Reference,
 * "Signature Version 4 signing process"; Amazon S3 API reference, "Authenticating requests: using
 * the Authorization header"). Pure: the time comes in. Other services than S3 sign the path encoded
 * twice: the caller gives such a path only where that makes no difference.
 * Invariant: what is signed is what is sent: the caller sends path, canonical query and headers
 * exactly as they are here. No secret is in any output besides the signature made with it.
 */
#ifndef HF_IO_AWS_SIGN_H
#define HF_IO_AWS_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/secret.h"
#include "holdfast/types.h"

#define HF_AWS_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"

enum { HF_AWS_PAIRS_MAX = 24, HF_AWS_TEXT_MAX = 8192 };

struct hf_aws_pair {
    const char *name;
    const char *value;
};

struct hf_aws_credentials {
    struct hf_secret id;
    struct hf_secret key;
    struct hf_secret token; /* empty: none */
};
void hf_aws_credentials_free(struct hf_aws_credentials *c);
/* From AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the environment, within
 * the bounds of a file's. HF_E_NOT_FOUND, HF_E_INVALID. */
hf_result hf_aws_credentials_env(struct hf_aws_credentials *ret, struct hf_err *err) HF_MUST_USE;
/* "name = value" lines (access_key_id, secret_access_key, optional session_token), '#' comments;
 * [section] lines are ignored and aws_ prefixes accepted, so that an AWS file of one profile works.
 * The file must be private (hf_secret_check_fd). Errors name the line, never its value. */
hf_result hf_aws_credentials_read(const char *path, struct hf_aws_credentials *ret,
                                  struct hf_err *err) HF_MUST_USE;

/* Appends text percent-encoded as S3 wants it (unreserved characters of RFC 3986 stay). */
hf_result hf_aws_encode(const char *text, bool keep_slash, struct hf_buf *out,
                        struct hf_err *err) HF_MUST_USE;
/* Appends the pairs encoded and sorted: "a=1&b=2"; a value NULL gives "name=". */
hf_result hf_aws_query(const struct hf_aws_pair *pairs, size_t count, struct hf_buf *out,
                       struct hf_err *err) HF_MUST_USE;

struct hf_aws_sign {
    const char *method;
    const char *path;                  /* encoded, begins with '/' */
    const char *query;                 /* from hf_aws_query, "" for none */
    const struct hf_aws_pair *headers; /* all that are to be signed, lower-case names, any order;
                                         host, x-amz-date and, for S3, x-amz-content-sha256 among
                                         them */
    size_t header_count;               /* <= HF_AWS_PAIRS_MAX */
    const char *payload_hash;          /* lower-case hex of SHA-256, or HF_AWS_UNSIGNED_PAYLOAD */
    const char *service;               /* "s3", "route53" */
    const char *region;
    const char *stamp; /* hf_s3_stamp, the same as x-amz-date */
    const struct hf_aws_credentials *credentials;
};
/* Appends the value of the Authorization header. HF_E_LIMIT. */
hf_result hf_aws_sign(const struct hf_aws_sign *request, struct hf_buf *ret_authorization,
                      struct hf_err *err) HF_MUST_USE;

#endif
