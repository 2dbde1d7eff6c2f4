/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/s3_xml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/s3_time.h"
#include "common/io/xml.h"

struct hf_s3_list {
    struct hf_xml *xml;
    struct hf_s3_entry entries[HF_S3_LIST_ENTRIES + 1];
    size_t count;
    struct hf_s3_entry current; /* the <Contents> being read */
    bool has_size;
    bool url_encoded;
    bool seen_root;
    bool truncated;
    char token[HF_S3_TOKEN_SIZE];
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undoes encoding-type=url in place; false when it is malformed or holds a NUL. */
static bool url_decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        if (*in == '+') {
            *out++ = ' ';
        } else if (*in == '%') {
            int high = hex_value(in[1]);
            int low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0 || (high == 0 && low == 0)) {
                return false;
            }
            *out++ = (char)(high * 16 + low);
            in += 2;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
    return true;
}

static hf_result take_entry(struct hf_s3_list *l, struct hf_s3_entry *e, struct hf_err *err)
{
    if (e->key == NULL || e->key[0] == '\0') {
        return hf_fail(err, HF_E_CORRUPT, "listing: an entry without a key");
    }
    if (l->count == HF_S3_LIST_ENTRIES) {
        return hf_fail(err, HF_E_LIMIT, "listing: a page has more than %d entries",
                       HF_S3_LIST_ENTRIES);
    }
    l->entries[l->count++] = *e;
    *e = (struct hf_s3_entry){0};
    return hf_done();
}

static hf_result take_key(struct hf_s3_entry *e, const char *text, size_t len, struct hf_err *err)
{
    /* encoded, a key may be three times as long */
    if (len >= (size_t)3 * HF_S3_KEY_SIZE || e->key != NULL || memchr(text, '\0', len) != NULL) {
        return hf_fail(err, HF_E_CORRUPT, "listing: a malformed key");
    }
    e->key = hf_alloc(len + 1);
    memcpy(e->key, text, len);
    return hf_done();
}

static hf_result take_size(struct hf_s3_entry *e, const char *text, struct hf_err *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-') {
        return hf_fail(err, HF_E_CORRUPT, "listing: a malformed size");
    }
    e->size = v;
    return hf_done();
}

static hf_result take_prefix(struct hf_s3_list *l, const char *text, size_t len, struct hf_err *err)
{
    struct hf_s3_entry e = {.is_prefix = true};
    hf_result r = take_key(&e, text, len, err);
    if (hf_ok(r)) {
        r = take_entry(l, &e, err);
    }
    hf_free(e.key);
    return r;
}

static hf_result take_token(struct hf_s3_list *l, const char *text, size_t len, struct hf_err *err)
{
    if (len >= sizeof l->token) {
        return hf_fail(err, HF_E_LIMIT, "listing: the continuation token is longer than %zu",
                       sizeof l->token - 1);
    }
    memcpy(l->token, text, len);
    l->token[len] = '\0';
    return hf_done();
}

static hf_result on_list_element(void *arg, const char *path, const char *text, size_t len,
                                 struct hf_err *err)
{
    struct hf_s3_list *l = arg;
    static const char ROOT[] = "ListBucketResult/";
    if (strcmp(path, "ListBucketResult") == 0) {
        l->seen_root = true;
        return hf_done();
    }
    if (strncmp(path, ROOT, sizeof ROOT - 1) != 0) {
        return hf_done();
    }
    const char *name = path + sizeof ROOT - 1;
    if (strcmp(name, "Contents/Key") == 0) {
        return take_key(&l->current, text, len, err);
    }
    if (strcmp(name, "Contents/Size") == 0) {
        l->has_size = true;
        return take_size(&l->current, text, err);
    }
    if (strcmp(name, "Contents/LastModified") == 0) {
        return hf_s3_time_parse(text, &l->current.modified, err);
    }
    if (strcmp(name, "Contents") == 0) {
        if (!l->has_size) {
            return hf_fail(err, HF_E_CORRUPT, "listing: an entry without a size");
        }
        l->has_size = false;
        return take_entry(l, &l->current, err);
    }
    if (strcmp(name, "CommonPrefixes/Prefix") == 0) {
        return take_prefix(l, text, len, err);
    }
    if (strcmp(name, "IsTruncated") == 0) {
        l->truncated = strcmp(text, "true") == 0;
    } else if (strcmp(name, "EncodingType") == 0) {
        l->url_encoded = strcmp(text, "url") == 0;
    } else if (strcmp(name, "NextContinuationToken") == 0) {
        return take_token(l, text, len, err);
    }
    return hf_done();
}

static void clear(struct hf_s3_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        hf_free(l->entries[i].key);
    }
    hf_free(l->current.key);
    hf_xml_free(l->xml);
    *l = (struct hf_s3_list){0};
}

struct hf_s3_list *hf_s3_list_new(void)
{
    struct hf_s3_list *l = hf_alloc(sizeof *l);
    hf_s3_list_reset(l);
    return l;
}

void hf_s3_list_free(struct hf_s3_list *l)
{
    if (l != NULL) {
        clear(l);
        hf_free(l);
    }
}

void hf_s3_list_reset(struct hf_s3_list *l)
{
    clear(l);
    l->xml = hf_xml_new(HF_S3_LIST_BYTES_MAX, on_list_element, l);
}

hf_result hf_s3_list_feed(struct hf_s3_list *l, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_xml_feed(l->xml, bytes, len, err);
}

static int compare_entries(const void *a, const void *b)
{
    const struct hf_s3_entry *x = a;
    const struct hf_s3_entry *y = b;
    return strcmp(x->key, y->key);
}

hf_result hf_s3_list_finish(struct hf_s3_list *l, struct hf_err *err)
{
    HF_TRY(hf_xml_finish(l->xml, err));
    if (!l->seen_root) {
        return hf_fail(err, HF_E_CORRUPT, "the answer is no listing");
    }
    if (l->truncated && l->token[0] == '\0') {
        return hf_fail(err, HF_E_CORRUPT, "the listing is cut off without a continuation token");
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->url_encoded && !url_decode(l->entries[i].key)) {
            return hf_fail(err, HF_E_CORRUPT, "listing: a malformed encoded key");
        }
    }
    qsort(l->entries, l->count, sizeof *l->entries, compare_entries);
    return hf_done();
}

const struct hf_s3_entry *hf_s3_list_entries(const struct hf_s3_list *l, size_t *ret_count)
{
    *ret_count = l->count;
    return l->entries;
}

const char *hf_s3_list_token(const struct hf_s3_list *l)
{
    return l->truncated ? l->token : NULL;
}

/* Reads a whole small document. */
static hf_result read_document(const void *bytes, size_t len, hf_xml_element_end on_end, void *arg,
                               struct hf_err *err)
{
    HF_AUTOXML struct hf_xml *x = hf_xml_new(HF_S3_ERROR_BYTES_MAX, on_end, arg);
    HF_TRY(hf_xml_feed(x, bytes, len, err));
    return hf_xml_finish(x, err);
}

struct error_reading {
    struct hf_s3_error error;
    bool seen_root;
};

static void copy_printable(char *to, size_t size, const char *text, size_t len)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++) {
        to[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    }
    to[n] = '\0';
}

static hf_result on_error_element(void *arg, const char *path, const char *text, size_t len,
                                  struct hf_err *err)
{
    (void)err;
    struct error_reading *e = arg;
    if (strcmp(path, "Error/Code") == 0) {
        copy_printable(e->error.code, sizeof e->error.code, text, len);
    } else if (strcmp(path, "Error/Message") == 0) {
        copy_printable(e->error.message, sizeof e->error.message, text, len);
    } else if (strcmp(path, "Error") == 0) {
        e->seen_root = true;
    }
    return hf_done();
}

bool hf_s3_error_parse(const void *bytes, size_t len, struct hf_s3_error *ret)
{
    struct error_reading e = {0};
    if (!hf_ok(read_document(bytes, len, on_error_element, &e, NULL)) || !e.seen_root) {
        return false;
    }
    *ret = e.error;
    return true;
}

struct upload_reading {
    char *id;
    size_t size;
    bool found;
};

static hf_result on_upload_element(void *arg, const char *path, const char *text, size_t len,
                                   struct hf_err *err)
{
    struct upload_reading *u = arg;
    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0) {
        return hf_done();
    }
    if (len == 0 || len >= u->size) {
        return hf_fail(err, HF_E_CORRUPT, "upload id of %zu characters, at most %zu are allowed",
                       len, u->size - 1);
    }
    memcpy(u->id, text, len);
    u->id[len] = '\0';
    u->found = true;
    return hf_done();
}

hf_result hf_s3_upload_id_parse(const void *bytes, size_t len, char *ret, size_t size,
                                struct hf_err *err)
{
    HF_AUTOFREE char *id = hf_alloc(size);
    struct upload_reading u = {id, size, false};
    HF_TRY(read_document(bytes, len, on_upload_element, &u, err));
    if (!u.found) {
        return hf_fail(err, HF_E_CORRUPT, "the answer has no upload id");
    }
    memcpy(ret, id, size);
    return hf_done();
}

static hf_result on_complete_element(void *arg, const char *path, const char *text, size_t len,
                                     struct hf_err *err)
{
    (void)text;
    (void)len;
    (void)err;
    bool *seen = arg;
    *seen = *seen || strcmp(path, "CompleteMultipartUploadResult") == 0;
    return hf_done();
}

bool hf_s3_complete_parse(const void *bytes, size_t len)
{
    bool seen = false;
    return hf_ok(read_document(bytes, len, on_complete_element, &seen, NULL)) && seen;
}
