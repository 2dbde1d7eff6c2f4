/* SPDX-License-Identifier: Apache-2.0
 *
 * The XML documents of S3 that the store reads: ListObjectsV2, errors, results of multipart
 * uploads. Bounded; what is not such a document is an error, never an empty result.
 */
#ifndef HF_IO_S3_XML_H
#define HF_IO_S3_XML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum {
    HF_S3_LIST_ENTRIES = 1000, /* of one page */
    HF_S3_KEY_SIZE = 1025,
    HF_S3_TOKEN_SIZE = 4096,
    HF_S3_LIST_BYTES_MAX = 8 << 20,
    HF_S3_ERROR_BYTES_MAX = 64 << 10
};

struct hf_s3_entry {
    char *key; /* decoded */
    uint64_t size;
    hf_wall modified;
    bool is_prefix;
};

/* One page: a streaming parser and what it found. */
struct hf_s3_list;
struct hf_s3_list *hf_s3_list_new(void);
void hf_s3_list_free(struct hf_s3_list *l); /* NULL allowed */
void hf_s3_list_reset(struct hf_s3_list *l);
hf_result hf_s3_list_feed(struct hf_s3_list *l, const void *bytes, size_t len,
                          struct hf_err *err) HF_MUST_USE;
/* After the last byte: sorts the page by key. HF_E_CORRUPT when it is no complete listing. */
hf_result hf_s3_list_finish(struct hf_s3_list *l, struct hf_err *err) HF_MUST_USE;
const struct hf_s3_entry *hf_s3_list_entries(const struct hf_s3_list *l, size_t *ret_count);
/* NULL: this was the last page. */
const char *hf_s3_list_token(const struct hf_s3_list *l);

/* <Error>: code and message, each "" when missing. false: the bytes are no such document. */
struct hf_s3_error {
    char code[64];
    char message[200]; /* printable characters only */
};
bool hf_s3_error_parse(const void *bytes, size_t len, struct hf_s3_error *ret);

/* UploadId of <InitiateMultipartUploadResult>. HF_E_CORRUPT. */
hf_result hf_s3_upload_id_parse(const void *bytes, size_t len, char *ret, size_t size,
                                struct hf_err *err) HF_MUST_USE;
/* Whether it is a <CompleteMultipartUploadResult> (a 200 may carry an error instead). */
bool hf_s3_complete_parse(const void *bytes, size_t len);

#endif
