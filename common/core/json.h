/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON at the edge, over cJSON (the only module that includes it). Reading is strict: a bounded
 * text, a bounded depth, typed getters that name the path of what is wrong and what is allowed.
 * 64-bit numbers cross JSON as decimal strings (etcd does the same).
 * Invariant: a getter that fails leaves its output untouched.
 */
#ifndef HF_CORE_JSON_H
#define HF_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct cJSON;
typedef struct cJSON hf_json;

/* Parses exactly one value of at most max_bytes; nothing but white space may follow. Depth at most
 * 32, duplicate keys refused. The caller frees with hf_json_free. HF_E_INVALID, HF_E_LIMIT. */
hf_result hf_json_parse(const char *text, size_t len, size_t max_bytes, hf_json **ret,
                        struct hf_err *err) HF_MUST_USE;
void hf_json_free(hf_json *v);
void hf_json_cleanup(hf_json **v);
#define HF_AUTOJSON __attribute__((cleanup(hf_json_cleanup)))

/* Members of an object. Required unless the name says _opt: then a missing member (or null) leaves
 * the output as it is and succeeds. */
hf_result hf_json_get_text(const hf_json *o, const char *key, char *ret, size_t size,
                           struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_text_opt(const hf_json *o, const char *key, char *ret, size_t size,
                               struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_u64(const hf_json *o, const char *key, uint64_t *ret, struct hf_err *err)
    HF_MUST_USE; /* decimal string, or an integer below 2^53 */
hf_result hf_json_get_u64_opt(const hf_json *o, const char *key, uint64_t *ret,
                              struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_i64(const hf_json *o, const char *key, int64_t *ret,
                          struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_i64_opt(const hf_json *o, const char *key, int64_t *ret,
                              struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_bool_opt(const hf_json *o, const char *key, bool *ret,
                               struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_double_opt(const hf_json *o, const char *key, double *ret,
                                 struct hf_err *err) HF_MUST_USE;
/* Borrowed pointers into the document; NULL when a missing optional. */
hf_result hf_json_get_object(const hf_json *o, const char *key, const hf_json **ret,
                             struct hf_err *err) HF_MUST_USE;
hf_result hf_json_get_array(const hf_json *o, const char *key, size_t max_items,
                            const hf_json **ret, struct hf_err *err) HF_MUST_USE;
const hf_json *hf_json_member(const hf_json *o, const char *key); /* NULL when absent */
bool hf_json_is_object(const hf_json *v);
bool hf_json_is_array(const hf_json *v);
bool hf_json_is_text(const hf_json *v);
size_t hf_json_size(const hf_json *v);                 /* items of an array or object */
const hf_json *hf_json_at(const hf_json *v, size_t i); /* item of an array or object */
/* The first n items of an array in one pass (hf_json_at walks from the start each time); n <= size.
 */
void hf_json_items(const hf_json *v, const hf_json **ret, size_t n);
const char *hf_json_key(const hf_json *v);  /* name of a member, "" if none */
const char *hf_json_text(const hf_json *v); /* text of a string, "" otherwise */

/* Building. New objects and arrays are owned by the caller until put into another. */
hf_json *hf_json_object(void);
hf_json *hf_json_array(void);
void hf_json_put_text(hf_json *o, const char *key, const char *value);
void hf_json_put_u64(hf_json *o, const char *key, uint64_t value); /* as a decimal string */
void hf_json_put_i64(hf_json *o, const char *key, int64_t value);  /* as a decimal string */
void hf_json_put_int(hf_json *o, const char *key, int value);      /* as a number */
void hf_json_put_double(hf_json *o, const char *key, double value);
void hf_json_put_bool(hf_json *o, const char *key, bool value);
void hf_json_put_null(hf_json *o, const char *key);
void hf_json_put(hf_json *o, const char *key, hf_json *value); /* takes ownership */
void hf_json_push(hf_json *array, hf_json *value);             /* takes ownership */
void hf_json_push_text(hf_json *array, const char *value);
hf_json *hf_json_copy(const hf_json *v);

/* Compact text, in order of insertion. HF_E_LIMIT when the buffer is too small. */
hf_result hf_json_write(const hf_json *v, struct hf_buf *out, struct hf_err *err) HF_MUST_USE;

#endif
