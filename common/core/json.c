/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/base/mem.h"

enum { MAX_DEPTH = 32 };

static bool depth_ok(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

static bool has_duplicates(const cJSON *v)
{
    if (cJSON_IsObject(v)) {
        for (const cJSON *a = v->child; a != NULL; a = a->next) {
            for (const cJSON *b = a->next; b != NULL; b = b->next) {
                if (strcmp(a->string, b->string) == 0) {
                    return true;
                }
            }
        }
    }
    if (cJSON_IsObject(v) || cJSON_IsArray(v)) {
        for (const cJSON *a = v->child; a != NULL; a = a->next) {
            if (has_duplicates(a)) {
                return true;
            }
        }
    }
    return false;
}

hf_result hf_json_parse(const char *text, size_t len, size_t max_bytes, hf_json **ret,
                        struct hf_err *err)
{
    if (len > max_bytes) {
        return hf_fail(err, HF_E_LIMIT, "JSON of %zu bytes; at most %zu are allowed", len,
                       max_bytes);
    }
    if (memchr(text, '\0', len) != NULL) {
        return hf_fail(err, HF_E_INVALID, "JSON contains a NUL byte");
    }
    if (!depth_ok(text, len)) {
        return hf_fail(err, HF_E_LIMIT, "JSON nested deeper than %d", MAX_DEPTH);
    }
    HF_AUTOFREE char *copy = hf_alloc(len + 1);
    memcpy(copy, text, len);
    const char *end = NULL;
    cJSON *v = cJSON_ParseWithOpts(copy, &end, 1);
    if (v == NULL) {
        size_t at = end == NULL ? 0 : (size_t)(end - copy);
        return hf_fail(err, HF_E_INVALID, "not JSON at byte %zu", at);
    }
    if (has_duplicates(v)) {
        cJSON_Delete(v);
        return hf_fail(err, HF_E_INVALID, "JSON object with a key given twice");
    }
    *ret = v;
    return hf_done();
}

void hf_json_free(hf_json *v)
{
    cJSON_Delete(v);
}

void hf_json_cleanup(hf_json **v)
{
    cJSON_Delete(*v);
    *v = NULL;
}

const hf_json *hf_json_member(const hf_json *o, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(o, key);
    return m == NULL || cJSON_IsNull(m) ? NULL : m;
}

static hf_result missing(const char *key, struct hf_err *err)
{
    return hf_fail(err, HF_E_INVALID, "member \"%s\" is missing", key);
}

hf_result hf_json_get_text_opt(const hf_json *o, const char *key, char *ret, size_t size,
                               struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return hf_done();
    }
    if (!cJSON_IsString(m)) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" must be a string", key);
    }
    size_t n = strlen(m->valuestring);
    if (n >= size) {
        return hf_fail(err, HF_E_LIMIT, "member \"%s\" has %zu bytes; at most %zu are allowed", key,
                       n, size - 1);
    }
    memcpy(ret, m->valuestring, n + 1);
    return hf_done();
}

hf_result hf_json_get_text(const hf_json *o, const char *key, char *ret, size_t size,
                           struct hf_err *err)
{
    if (hf_json_member(o, key) == NULL) {
        return missing(key, err);
    }
    return hf_json_get_text_opt(o, key, ret, size, err);
}

static bool integral(const cJSON *m)
{
    return cJSON_IsNumber(m) && m->valuedouble == floor(m->valuedouble) &&
           fabs(m->valuedouble) <= 9007199254740992.0;
}

hf_result hf_json_get_u64_opt(const hf_json *o, const char *key, uint64_t *ret, struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return hf_done();
    }
    if (integral(m) && m->valuedouble >= 0) {
        *ret = (uint64_t)m->valuedouble;
        return hf_done();
    }
    if (cJSON_IsString(m) && m->valuestring[0] >= '0' && m->valuestring[0] <= '9') {
        char *end = NULL;
        errno = 0;
        unsigned long long v = strtoull(m->valuestring, &end, 10);
        if (errno == 0 && *end == '\0') {
            *ret = v;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "member \"%s\" must be an unsigned 64-bit decimal string",
                   key);
}

hf_result hf_json_get_u64(const hf_json *o, const char *key, uint64_t *ret, struct hf_err *err)
{
    if (hf_json_member(o, key) == NULL) {
        return missing(key, err);
    }
    return hf_json_get_u64_opt(o, key, ret, err);
}

hf_result hf_json_get_i64_opt(const hf_json *o, const char *key, int64_t *ret, struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return hf_done();
    }
    if (integral(m)) {
        *ret = (int64_t)m->valuedouble;
        return hf_done();
    }
    if (cJSON_IsString(m) && m->valuestring[0] != '\0' &&
        strchr("-0123456789", m->valuestring[0]) != NULL) {
        char *end = NULL;
        errno = 0;
        long long v = strtoll(m->valuestring, &end, 10);
        if (errno == 0 && *end == '\0' && end != m->valuestring) {
            *ret = v;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "member \"%s\" must be a 64-bit decimal string", key);
}

hf_result hf_json_get_i64(const hf_json *o, const char *key, int64_t *ret, struct hf_err *err)
{
    if (hf_json_member(o, key) == NULL) {
        return missing(key, err);
    }
    return hf_json_get_i64_opt(o, key, ret, err);
}

hf_result hf_json_get_bool_opt(const hf_json *o, const char *key, bool *ret, struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return hf_done();
    }
    if (!cJSON_IsBool(m)) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" must be true or false", key);
    }
    *ret = cJSON_IsTrue(m) != 0;
    return hf_done();
}

hf_result hf_json_get_double_opt(const hf_json *o, const char *key, double *ret, struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return hf_done();
    }
    if (!cJSON_IsNumber(m)) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" must be a number", key);
    }
    *ret = m->valuedouble;
    return hf_done();
}

hf_result hf_json_get_object(const hf_json *o, const char *key, const hf_json **ret,
                             struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return missing(key, err);
    }
    if (!cJSON_IsObject(m)) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" must be an object", key);
    }
    *ret = m;
    return hf_done();
}

hf_result hf_json_get_array(const hf_json *o, const char *key, size_t max_items,
                            const hf_json **ret, struct hf_err *err)
{
    const cJSON *m = hf_json_member(o, key);
    if (m == NULL) {
        return missing(key, err);
    }
    if (!cJSON_IsArray(m)) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" must be an array", key);
    }
    if ((size_t)cJSON_GetArraySize(m) > max_items) {
        return hf_fail(err, HF_E_LIMIT, "member \"%s\" has %d items; at most %zu are allowed", key,
                       cJSON_GetArraySize(m), max_items);
    }
    *ret = m;
    return hf_done();
}

bool hf_json_is_object(const hf_json *v)
{
    return cJSON_IsObject(v) != 0;
}
bool hf_json_is_array(const hf_json *v)
{
    return cJSON_IsArray(v) != 0;
}
bool hf_json_is_text(const hf_json *v)
{
    return cJSON_IsString(v) != 0;
}
size_t hf_json_size(const hf_json *v)
{
    return v == NULL ? 0 : (size_t)cJSON_GetArraySize(v);
}
void hf_json_items(const hf_json *v, const hf_json **ret, size_t n)
{
    const cJSON *item = v == NULL ? NULL : v->child;
    for (size_t i = 0; i < n; i++) {
        HF_ASSERT(item != NULL);
        ret[i] = item;
        item = item->next;
    }
}

const hf_json *hf_json_at(const hf_json *v, size_t i)
{
    return cJSON_GetArrayItem(v, (int)i);
}
const char *hf_json_key(const hf_json *v)
{
    return v == NULL || v->string == NULL ? "" : v->string;
}
const char *hf_json_text(const hf_json *v)
{
    return cJSON_IsString(v) ? v->valuestring : "";
}

static cJSON *made(cJSON *v)
{
    HF_ASSERT(v != NULL);
    return v;
}

hf_json *hf_json_object(void)
{
    return made(cJSON_CreateObject());
}
hf_json *hf_json_array(void)
{
    return made(cJSON_CreateArray());
}
void hf_json_put(hf_json *o, const char *key, hf_json *value)
{
    HF_ASSERT(cJSON_AddItemToObject(o, key, value) != 0);
}
void hf_json_put_text(hf_json *o, const char *key, const char *value)
{
    hf_json_put(o, key, made(cJSON_CreateString(value)));
}
void hf_json_put_u64(hf_json *o, const char *key, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    hf_json_put_text(o, key, text);
}
void hf_json_put_i64(hf_json *o, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    hf_json_put_text(o, key, text);
}
void hf_json_put_int(hf_json *o, const char *key, int value)
{
    hf_json_put(o, key, made(cJSON_CreateNumber(value)));
}
void hf_json_put_double(hf_json *o, const char *key, double value)
{
    hf_json_put(o, key, made(cJSON_CreateNumber(value)));
}
void hf_json_put_bool(hf_json *o, const char *key, bool value)
{
    hf_json_put(o, key, made(cJSON_CreateBool(value)));
}
void hf_json_put_null(hf_json *o, const char *key)
{
    hf_json_put(o, key, made(cJSON_CreateNull()));
}
void hf_json_push(hf_json *array, hf_json *value)
{
    HF_ASSERT(cJSON_AddItemToArray(array, value) != 0);
}
void hf_json_push_text(hf_json *array, const char *value)
{
    hf_json_push(array, made(cJSON_CreateString(value)));
}
hf_json *hf_json_copy(const hf_json *v)
{
    return made(cJSON_Duplicate(v, 1));
}

hf_result hf_json_write(const hf_json *v, struct hf_buf *out, struct hf_err *err)
{
    char *text = cJSON_PrintUnformatted(v);
    HF_ASSERT(text != NULL);
    hf_result r = hf_buf_append_str(out, text, err);
    cJSON_free(text);
    return r;
}
