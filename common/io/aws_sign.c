/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/aws_sign.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"

static bool unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

hf_result hf_aws_encode(const char *text, bool keep_slash, struct hf_buf *out, struct hf_err *err)
{
    static const char HEX[] = "0123456789ABCDEF";
    for (; *text != '\0'; text++) {
        if (unreserved(*text) || (keep_slash && *text == '/')) {
            HF_TRY(hf_buf_append(out, text, 1, err));
        } else {
            unsigned char c = (unsigned char)*text;
            char coded[3] = {'%', HEX[c >> 4], HEX[c & 15]};
            HF_TRY(hf_buf_append(out, coded, sizeof coded, err));
        }
    }
    return hf_done();
}

static int compare_pairs(const void *a, const void *b)
{
    const struct hf_aws_pair *x = a;
    const struct hf_aws_pair *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->value, y->value);
}

static hf_result sorted(const struct hf_aws_pair *pairs, size_t count,
                        struct hf_aws_pair ret[HF_AWS_PAIRS_MAX], struct hf_err *err)
{
    if (count > HF_AWS_PAIRS_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%zu parameters, at most %d are allowed", count,
                       HF_AWS_PAIRS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        ret[i] = pairs[i];
        if (ret[i].value == NULL) {
            ret[i].value = "";
        }
    }
    qsort(ret, count, sizeof *ret, compare_pairs);
    return hf_done();
}

hf_result hf_aws_query(const struct hf_aws_pair *pairs, size_t count, struct hf_buf *out,
                       struct hf_err *err)
{
    /* the order is that of the encoded names; ours are plain words, which encode to themselves */
    struct hf_aws_pair in_order[HF_AWS_PAIRS_MAX];
    HF_TRY(sorted(pairs, count, in_order, err));
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            HF_TRY(hf_buf_append_str(out, "&", err));
        }
        HF_TRY(hf_aws_encode(in_order[i].name, false, out, err));
        HF_TRY(hf_buf_append_str(out, "=", err));
        HF_TRY(hf_aws_encode(in_order[i].value, false, out, err));
    }
    return hf_done();
}

/* A header's value with white space at the ends cut off and runs of it made one space. */
static hf_result append_trimmed(const char *value, struct hf_buf *out, struct hf_err *err)
{
    value += strspn(value, " \t");
    while (*value != '\0') {
        size_t n = strcspn(value, " \t");
        HF_TRY(hf_buf_append(out, value, n, err));
        value += n;
        value += strspn(value, " \t");
        if (*value != '\0') {
            HF_TRY(hf_buf_append_str(out, " ", err));
        }
    }
    return hf_done();
}

static hf_result append_names(const struct hf_aws_pair *headers, size_t count, struct hf_buf *out,
                              struct hf_err *err)
{
    for (size_t i = 0; i < count; i++) {
        HF_TRY(hf_buf_printf(out, err, "%s%s", i == 0 ? "" : ";", headers[i].name));
    }
    return hf_done();
}

/* SHA-256 of the canonical request, as hex. */
static hf_result hash_request(const struct hf_aws_sign *r, const struct hf_aws_pair *headers,
                              char ret[HF_HEX_SIZE(HF_SHA256_SIZE)], struct hf_err *err)
{
    HF_BUF(text, HF_AWS_TEXT_MAX * 2);
    HF_TRY(hf_buf_printf(&text, err, "%s\n%s\n%s\n", r->method, r->path, r->query));
    for (size_t i = 0; i < r->header_count; i++) {
        HF_TRY(hf_buf_printf(&text, err, "%s:", headers[i].name));
        HF_TRY(append_trimmed(headers[i].value, &text, err));
        HF_TRY(hf_buf_append_str(&text, "\n", err));
    }
    HF_TRY(hf_buf_append_str(&text, "\n", err));
    HF_TRY(append_names(headers, r->header_count, &text, err));
    HF_TRY(hf_buf_printf(&text, err, "\n%s", r->payload_hash));
    uint8_t digest[HF_SHA256_SIZE];
    hf_sha256(text.data, text.len, digest);
    hf_hex_encode(digest, sizeof digest, ret);
    return hf_done();
}

/* HMAC(HMAC(HMAC(HMAC("AWS4" + key, date), region), service), "aws4_request") */
static void derive_key(const struct hf_aws_sign *r, uint8_t ret[HF_SHA256_SIZE])
{
    size_t n = r->credentials->key.len + 4;
    uint8_t *first = hf_alloc(n);
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, hf_secret_text(&r->credentials->key), n - 4);
    uint8_t a[HF_SHA256_SIZE];
    uint8_t b[HF_SHA256_SIZE];
    hf_hmac_sha256(first, n, r->stamp, 8, a);
    hf_hmac_sha256(a, sizeof a, r->region, strlen(r->region), b);
    hf_hmac_sha256(b, sizeof b, r->service, strlen(r->service), a);
    hf_hmac_sha256(a, sizeof a, "aws4_request", 12, ret);
    hf_wipe(first, n);
    hf_free(first);
    hf_wipe(a, sizeof a);
    hf_wipe(b, sizeof b);
}

hf_result hf_aws_sign(const struct hf_aws_sign *request, struct hf_buf *ret_authorization,
                      struct hf_err *err)
{
    HF_ASSERT(strlen(request->stamp) == 16);
    struct hf_aws_pair headers[HF_AWS_PAIRS_MAX];
    HF_TRY(sorted(request->headers, request->header_count, headers, err));
    char hashed[HF_HEX_SIZE(HF_SHA256_SIZE)];
    HF_TRY(hash_request(request, headers, hashed, err));
    HF_BUF(scope, 512);
    HF_TRY(hf_buf_printf(&scope, err, "%.8s/%s/%s/aws4_request", request->stamp, request->region,
                         request->service));
    HF_BUF(to_sign, 1024);
    HF_TRY(hf_buf_printf(&to_sign, err, "AWS4-HMAC-SHA256\n%s\n%s\n%s", request->stamp,
                         hf_buf_text(&scope), hashed));
    uint8_t key[HF_SHA256_SIZE];
    derive_key(request, key);
    uint8_t signature[HF_SHA256_SIZE];
    hf_hmac_sha256(key, sizeof key, to_sign.data, to_sign.len, signature);
    hf_wipe(key, sizeof key);
    char signature_text[HF_HEX_SIZE(HF_SHA256_SIZE)];
    hf_hex_encode(signature, sizeof signature, signature_text);
    HF_TRY(hf_buf_append_str(ret_authorization, "AWS4-HMAC-SHA256 Credential=", err));
    HF_TRY(hf_buf_append(ret_authorization, hf_secret_text(&request->credentials->id),
                         request->credentials->id.len, err));
    HF_TRY(hf_buf_printf(ret_authorization, err, "/%s,SignedHeaders=", hf_buf_text(&scope)));
    HF_TRY(append_names(headers, request->header_count, ret_authorization, err));
    return hf_buf_printf(ret_authorization, err, ",Signature=%s", signature_text);
}
