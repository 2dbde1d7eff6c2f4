/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the S3 driver (store_s3*.c only): one request with everything that S3 wants around it.
 *
 * A call is attempted until it has an answer that more attempts would not change. Transport
 * failures, 408, 409, 429, 5xx and the codes that S3 means to be retried are repeated with backoff
 * and jitter; a wrong clock is corrected once by the server's Date; refused credentials are read
 * from their file again once, in case they were rotated. A write that was sent without an answer is
 * remembered (unknown), so that its end is HF_E_TIMEOUT and never a false "did not happen".
 */
#ifndef HF_IO_STORE_S3_H
#define HF_IO_STORE_S3_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/io/http_sync.h"
#include "common/io/aws_sign.h"
#include "common/io/s3_xml.h"
#include "common/io/store_driver.h"

enum {
    HF_S3_PART_SIZE = 8 << 20, /* above it an object is uploaded in parts of this size */
    HF_S3_PARTS_MAX = 10000,
    HF_S3_UPLOAD_ID_SIZE = 1024,
    HF_S3_ETAG_SIZE = 130,
    HF_S3_CALL_PAIRS = 8,
    HF_S3_RESUMES_MAX = 100 /* of one get, each after progress */
};

enum hf_s3_conditional { HF_S3_COND_UNKNOWN, HF_S3_COND_YES, HF_S3_COND_NO };

struct hf_s3_store {
    struct hf_store base;
    struct hf_http_sync *http;
    char url[HF_ADDRESS_SIZE + 128]; /* scheme and host, without path */
    char host[HF_ADDRESS_SIZE + 80]; /* as the Host header has it */
    char root[80];                   /* "/bucket", or "" when the bucket is in the host name */
    char region[HF_NAME_SIZE];
    char bucket[72];
    char *credentials_path;
    bool tls;
    hf_dur connect_timeout;
    hf_dur stall_timeout;
    hf_dur total_timeout;
    int attempts;
    atomic_int conditional; /* enum hf_s3_conditional */
    pthread_mutex_t lock;
    struct hf_aws_credentials credentials; /* under lock */
    int64_t skew_us;                       /* server's clock minus ours; under lock */
};

static inline struct hf_s3_store *hf_s3_of(struct hf_store *store)
{
    return (struct hf_s3_store *)store;
}

struct hf_s3_call {
    const char *method;
    const char *key; /* full key; NULL: the bucket itself */
    struct hf_aws_pair query[HF_S3_CALL_PAIRS];
    size_t query_count;
    struct hf_aws_pair headers[HF_S3_CALL_PAIRS]; /* lower-case names; all are signed */
    size_t header_count;
    const void *body;
    size_t body_len;
    bool error_in_200; /* a 200 may carry an <Error> */
    hf_http_sync_sink sink;
    void *sink_arg;
    bool sink_failed; /* set by the sink: the failure is its own, no more attempts */
    /* results */
    struct hf_http_sync_reply reply;
    struct hf_s3_error error; /* of the last answer that was one */
    bool unknown;             /* an attempt was sent and its outcome is not known */
    /* inner */
    bool skew_tried;
    bool credentials_tried;
    char payload_hash[65]; /* filled by the first attempt */
};
#define HF_S3_CALL_INIT(verb, full_key)                                                            \
    ((struct hf_s3_call){.method = (verb),                                                         \
                         .key = (full_key),                                                        \
                         .reply = HF_HTTP_SYNC_REPLY_INIT(HF_S3_ERROR_BYTES_MAX)})
void hf_s3_call_free(struct hf_s3_call *call);
#define HF_AUTOCALL __attribute__((cleanup(hf_s3_call_free)))

void hf_s3_call_query(struct hf_s3_call *call, const char *name, const char *value);
void hf_s3_call_header(struct hf_s3_call *call, const char *name, const char *value);

enum hf_s3_verdict {
    HF_S3_DONE,
    HF_S3_RETRY,     /* after a pause */
    HF_S3_RETRY_NOW, /* something was corrected; at most twice a call */
    HF_S3_FAILED
};
/* One attempt. DONE: 2xx. Otherwise err says what, and reply.status and error are what came. */
enum hf_s3_verdict hf_s3_attempt(struct hf_s3_store *s, struct hf_s3_call *call,
                                 struct hf_err *err);
/* Sleeps before attempt number `attempt` + 1 (attempt counts from 1). */
void hf_s3_pause(const struct hf_s3_call *call, int attempt);
/* Attempts until done or given up:
 *   HF_E_NOT_FOUND (NoSuchKey, NoSuchUpload), HF_E_EXISTS (412), HF_E_UNSUPPORTED (501),
 *   HF_E_DENIED, HF_E_CORRUPT (416), HF_E_INVALID (the configuration is wrong), HF_E_IO;
 *   given up: HF_E_TIMEOUT when the outcome is unknown, else HF_E_UNREACHABLE or HF_E_AGAIN. */
hf_result hf_s3_perform(struct hf_s3_store *s, struct hf_s3_call *call,
                        struct hf_err *err) HF_MUST_USE;

/* store_s3_write.c */
hf_result hf_s3_conditional(struct hf_store *store, bool *ret, struct hf_err *err);
hf_result hf_s3_put(struct hf_store *store, const char *key, const void *bytes, size_t len,
                    bool create_once, struct hf_err *err);
/* store_s3_multipart.c */
hf_result hf_s3_writer_open(struct hf_store *store, const char *key, struct hf_store_writer **ret,
                            struct hf_err *err);
hf_result hf_s3_writer_write(struct hf_store_writer *w, const void *bytes, size_t len,
                             struct hf_err *err);
hf_result hf_s3_writer_commit(struct hf_store_writer *w, struct hf_err *err);
void hf_s3_writer_abort(struct hf_store_writer *w);
/* store_s3_read.c */
hf_result hf_s3_get(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                    hf_store_sink sink, void *arg, struct hf_err *err);
hf_result hf_s3_head(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                     struct hf_err *err);
hf_result hf_s3_list(struct hf_store *store, const char *prefix, const char *after, bool delimiter,
                     hf_store_visit visit, void *arg, struct hf_err *err);

#endif
