/* SPDX-License-Identifier: Apache-2.0
 *
 * Streamed objects: up to one part's size they are one put; above, a multipart upload whose parts
 * are sent as they fill, so that memory is one part's.
 */
#include "common/io/store_s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"

enum { PART_XML_MAX = 256 };

struct s3_writer {
    struct hf_store_writer base;
    struct hf_buf part;                   /* bytes not yet sent */
    char upload_id[HF_S3_UPLOAD_ID_SIZE]; /* "": no multipart upload (yet) */
    int parts;                            /* sent */
    uint64_t size;                        /* of all parts sent */
    struct hf_buf list;                   /* <Part> elements */
};

hf_result hf_s3_writer_open(struct hf_store *store, const char *key, struct hf_store_writer **ret,
                            struct hf_err *err)
{
    (void)store;
    (void)key;
    (void)err;
    struct s3_writer *w = hf_alloc(sizeof *w);
    w->part = HF_BUF_INIT(HF_S3_PART_SIZE);
    w->list = HF_BUF_INIT((size_t)HF_S3_PARTS_MAX * PART_XML_MAX);
    *ret = &w->base;
    return hf_done();
}

static void writer_free(struct s3_writer *w)
{
    hf_buf_free(&w->part);
    hf_buf_free(&w->list);
    hf_free(w);
}

static hf_result begin_upload(struct s3_writer *w, const char *full, struct hf_err *err)
{
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("POST", full);
    hf_s3_call_query(&call, "uploads", NULL);
    call.body = "";
    call.error_in_200 = true;
    HF_TRY(hf_s3_perform(hf_s3_of(w->base.store), &call, err));
    return hf_s3_upload_id_parse(hf_buf_text(&call.reply.body), call.reply.body.len, w->upload_id,
                                 sizeof w->upload_id, err);
}

/* An entity tag goes back to the store inside XML. */
static hf_result note_part(struct s3_writer *w, int number, const char *etag, struct hf_err *err)
{
    if (etag == NULL || etag[0] == '\0' || strlen(etag) >= HF_S3_ETAG_SIZE ||
        strpbrk(etag, "<>&") != NULL) {
        return hf_fail(err, HF_E_CORRUPT, "part %d: the answer has no usable ETag", number);
    }
    return hf_buf_printf(&w->list, err, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>",
                         number, etag);
}

static hf_result send_part(struct s3_writer *w, struct hf_err *err)
{
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(w->base.store, w->base.key, full);
    if (w->upload_id[0] == '\0') {
        HF_TRY(begin_upload(w, full, err));
    }
    if (w->parts == HF_S3_PARTS_MAX) {
        return hf_fail(err, HF_E_LIMIT, "more than %d parts of %d bytes", HF_S3_PARTS_MAX,
                       HF_S3_PART_SIZE);
    }
    uint8_t digest[HF_MD5_SIZE];
    char digest_text[HF_BASE64_SIZE(HF_MD5_SIZE)];
    HF_TRY(hf_md5(w->part.data, w->part.len, digest, err));
    hf_base64_encode(digest, sizeof digest, digest_text);
    char number[16];
    (void)snprintf(number, sizeof number, "%d", w->parts + 1);
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("PUT", full);
    hf_s3_call_query(&call, "partNumber", number);
    hf_s3_call_query(&call, "uploadId", w->upload_id);
    hf_s3_call_header(&call, "content-md5", digest_text);
    call.body = w->part.data;
    call.body_len = w->part.len;
    hf_result r = hf_s3_perform(hf_s3_of(w->base.store), &call, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_IO, "the multipart upload was ended by somebody else");
    }
    HF_TRY(r);
    HF_TRY(note_part(w, w->parts + 1, hf_http_sync_header(&call.reply, "etag"), err));
    w->parts++;
    w->size += w->part.len;
    hf_buf_reset(&w->part);
    return hf_done();
}

hf_result hf_s3_writer_write(struct hf_store_writer *base, const void *bytes, size_t len,
                             struct hf_err *err)
{
    struct s3_writer *w = (struct s3_writer *)base;
    const char *at = bytes;
    while (len > 0) {
        if (w->part.len == HF_S3_PART_SIZE) {
            HF_TRY(send_part(w, err));
        }
        size_t room = HF_S3_PART_SIZE - w->part.len;
        size_t n = len < room ? len : room;
        HF_TRY(hf_buf_append(&w->part, at, n, err));
        at += n;
        len -= n;
    }
    return hf_done();
}

static void abort_upload(struct s3_writer *w)
{
    if (w->upload_id[0] == '\0') {
        return;
    }
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(w->base.store, w->base.key, full);
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("DELETE", full);
    hf_s3_call_query(&call, "uploadId", w->upload_id);
    HF_IGNORE(hf_s3_perform(hf_s3_of(w->base.store), &call, NULL),
              "stale uploads are collected later");
    w->upload_id[0] = '\0';
}

void hf_s3_writer_abort(struct hf_store_writer *base)
{
    struct s3_writer *w = (struct s3_writer *)base;
    abort_upload(w);
    writer_free(w);
}

/* The request that completes; *call belongs to the caller, who reads its answer. */
static hf_result send_complete(struct s3_writer *w, struct hf_s3_call *call,
                               const struct hf_buf *body, bool once, struct hf_err *err)
{
    hf_s3_call_query(call, "uploadId", w->upload_id);
    if (once) {
        hf_s3_call_header(call, "if-none-match", "*");
    }
    call->body = body->data;
    call->body_len = body->len;
    call->error_in_200 = true;
    HF_TRY(hf_s3_perform(hf_s3_of(w->base.store), call, err));
    if (!hf_s3_complete_parse(hf_buf_text(&call->reply.body), call->reply.body.len)) {
        call->unknown = true;
        return hf_fail(err, HF_E_TIMEOUT, "the answer is no result of a multipart upload");
    }
    return hf_done();
}

/* The upload is gone after an attempt without an answer: that attempt has succeeded, if an object
 * of exactly this size is there (names of streamed objects are unique). */
static hf_result confirm_complete(struct s3_writer *w, struct hf_err *err)
{
    struct hf_store_meta meta;
    HF_TRY(hf_s3_head(w->base.store, w->base.key, &meta, err));
    if (meta.size != w->size) {
        return hf_fail(err, HF_E_EXISTS, "exists with %" PRIu64 " bytes, %" PRIu64 " were written",
                       meta.size, w->size);
    }
    w->upload_id[0] = '\0';
    return hf_done();
}

static hf_result complete_once(struct s3_writer *w, const struct hf_buf *body, bool once,
                               bool *ret_unsupported, struct hf_err *err)
{
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(w->base.store, w->base.key, full);
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("POST", full);
    hf_result r = send_complete(w, &call, body, once, err);
    *ret_unsupported = once && r.code == HF_E_UNSUPPORTED;
    if (hf_ok(r)) {
        w->upload_id[0] = '\0';
    } else if (r.code == HF_E_NOT_FOUND) {
        r = call.unknown ? confirm_complete(w, err)
                         : hf_fail(err, HF_E_IO, "the multipart upload was ended by somebody else");
    } else if (r.code == HF_E_TIMEOUT) {
        /* it may be complete: ending it now could not undo that, and must not be tried */
        w->upload_id[0] = '\0';
    }
    return r;
}

static hf_result complete(struct s3_writer *w, struct hf_err *err)
{
    struct hf_store_meta meta;
    hf_result there = hf_s3_head(w->base.store, w->base.key, &meta, err);
    if (hf_ok(there)) {
        return hf_fail(err, HF_E_EXISTS, "exists already");
    }
    if (there.code != HF_E_NOT_FOUND) {
        return there;
    }
    bool once = false;
    HF_TRY(hf_s3_conditional(w->base.store, &once, err));
    HF_BUF(body, (size_t)HF_S3_PARTS_MAX * PART_XML_MAX + 256);
    HF_TRY(hf_buf_append_str(&body, "<CompleteMultipartUpload>", err));
    HF_TRY(hf_buf_append(&body, w->list.data, w->list.len, err));
    HF_TRY(hf_buf_append_str(&body, "</CompleteMultipartUpload>", err));
    bool unsupported = false;
    hf_result r = complete_once(w, &body, once, &unsupported, err);
    if (unsupported) {
        r = complete_once(w, &body, false, &unsupported, err);
    }
    return r;
}

static hf_result commit(struct s3_writer *w, struct hf_err *err)
{
    if (w->upload_id[0] == '\0') {
        bool once = false;
        HF_TRY(hf_s3_conditional(w->base.store, &once, err));
        return hf_s3_put(w->base.store, w->base.key, w->part.data, w->part.len, once, err);
    }
    HF_TRY(send_part(w, err));
    return complete(w, err);
}

hf_result hf_s3_writer_commit(struct hf_store_writer *base, struct hf_err *err)
{
    struct s3_writer *w = (struct s3_writer *)base;
    hf_result r = commit(w, err);
    if (!hf_ok(r)) {
        abort_upload(w);
    }
    writer_free(w);
    return r;
}
