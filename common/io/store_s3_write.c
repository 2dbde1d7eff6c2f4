/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_s3.h"

#include <string.h>

#include "common/base/hex.h"
#include "common/io/crypto.h"

static const uint64_t PUT_MAX = (uint64_t)5 << 30;

/* One PUT. once: with If-None-Match. */
static hf_result put_object(struct hf_s3_store *s, const char *full, const void *bytes, size_t len,
                            bool once, struct hf_err *err)
{
    uint8_t digest[HF_MD5_SIZE];
    char digest_text[HF_BASE64_SIZE(HF_MD5_SIZE)];
    HF_TRY(hf_md5(len > 0 ? bytes : "", len, digest, err));
    hf_base64_encode(digest, sizeof digest, digest_text);
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("PUT", full);
    hf_s3_call_header(&call, "content-md5", digest_text);
    if (once) {
        hf_s3_call_header(&call, "if-none-match", "*");
    }
    call.body = len > 0 ? bytes : "";
    call.body_len = len;
    return hf_s3_perform(s, &call, err);
}

/* A store may refuse If-None-Match (501) or, worse, ignore it. So a small object is created twice:
 * only a store that says 412 to one of both enforces it. The object stays, so that every later
 * probe is one request. */
static hf_result probe(struct hf_s3_store *s, struct hf_err *err)
{
    static const char KEY[] = ".create-once-probe";
    static const char TEXT[] = "This object shows that the store enforces create-once puts.\n";
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(&s->base, KEY, full);
    for (int i = 0; i < 2; i++) {
        hf_result r = put_object(s, full, TEXT, sizeof TEXT - 1, true, err);
        if (r.code == HF_E_EXISTS) {
            atomic_store(&s->conditional, HF_S3_COND_YES);
            return hf_done();
        }
        if (r.code == HF_E_UNSUPPORTED) {
            atomic_store(&s->conditional, HF_S3_COND_NO);
            return hf_done();
        }
        HF_TRY(r);
    }
    atomic_store(&s->conditional, HF_S3_COND_NO);
    return hf_done();
}

hf_result hf_s3_conditional(struct hf_store *store, bool *ret, struct hf_err *err)
{
    struct hf_s3_store *s = hf_s3_of(store);
    if (atomic_load(&s->conditional) == HF_S3_COND_UNKNOWN) {
        HF_TRY(probe(s, err));
    }
    *ret = atomic_load(&s->conditional) == HF_S3_COND_YES;
    return hf_done();
}

hf_result hf_s3_put(struct hf_store *store, const char *key, const void *bytes, size_t len,
                    bool create_once, struct hf_err *err)
{
    struct hf_s3_store *s = hf_s3_of(store);
    if ((uint64_t)len > PUT_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%zu bytes, at most 5 GiB are allowed in one put", len);
    }
    if (create_once) {
        bool conditional = false;
        HF_TRY(hf_s3_conditional(store, &conditional, err));
        if (!conditional) {
            return hf_fail(err, HF_E_UNSUPPORTED, "the store does not enforce create-once puts");
        }
    }
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    hf_result r = put_object(s, full, bytes, len, create_once, err);
    if (create_once && r.code == HF_E_UNSUPPORTED) {
        atomic_store(&s->conditional, HF_S3_COND_NO);
    }
    return r;
}
