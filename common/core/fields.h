/* SPDX-License-Identifier: Apache-2.0
 *
 * Records to JSON and back by a table of fields, so that encoder and decoder cannot drift apart.
 * Pure. Invariant: decode(encode(x)) == x for every value within the table's bounds; a decode that
 * fails leaves the struct partly filled: decode into a local and copy on success.
 */
#ifndef HF_CORE_FIELDS_H
#define HF_CORE_FIELDS_H

#include "common/core/json.h"
#include "common/core/message.h"

enum hf_field_type {
    HF_FIELD_TEXT, /* char[size] */
    HF_FIELD_NAME, /* hf_name, may be empty */
    HF_FIELD_U64,  /* uint64_t and the newtypes of one */
    HF_FIELD_I64,  /* int64_t, hf_dur, hf_lclk */
    HF_FIELD_U32,  /* uint32_t, hf_tli */
    HF_FIELD_BOOL,
    HF_FIELD_LSN,
    HF_FIELD_ENUM,       /* int-sized enum with names */
    HF_FIELD_CANDIDATES, /* struct hf_candidates */
    HF_FIELD_END
};

struct hf_field {
    const char *name;
    enum hf_field_type type;
    size_t offset;
    size_t size;              /* TEXT */
    const char *const *names; /* ENUM: NULL-terminated */
};

#define HF_FIELD(type_, record, member)                                                            \
    {                                                                                              \
#member, HF_FIELD_##type_, offsetof(record, member), sizeof(((record *)0)->member), NULL   \
    }
#define HF_FIELD_AS(name_, type_, record, member)                                                  \
    {                                                                                              \
        name_, HF_FIELD_##type_, offsetof(record, member), sizeof(((record *)0)->member), NULL     \
    }
#define HF_FIELD_NAMES(record, member, names_)                                                     \
    {                                                                                              \
#member, HF_FIELD_ENUM, offsetof(record, member), sizeof(((record *)0)->member), names_    \
    }
#define HF_FIELDS_END                                                                              \
    {                                                                                              \
        NULL, HF_FIELD_END, 0, 0, NULL                                                             \
    }

/* Adds every field to the object. */
void hf_fields_put(hf_json *o, const struct hf_field *fields, const void *record);
/* Reads every field; a missing one keeps its value in the record (start from zero). */
hf_result hf_fields_get(const hf_json *o, const struct hf_field *fields, void *record,
                        struct hf_err *err) HF_MUST_USE;
/* A whole record as a text and back, at most max_bytes. */
hf_result hf_fields_encode(const struct hf_field *fields, const void *record, struct hf_buf *out,
                           struct hf_err *err) HF_MUST_USE;
hf_result hf_fields_decode(const char *text, size_t len, size_t max_bytes,
                           const struct hf_field *fields, void *record,
                           struct hf_err *err) HF_MUST_USE;
/* Position in a NULL-terminated list. HF_E_INVALID names what is allowed. */
hf_result hf_names_find(const char *const *names, const char *text, const char *what, int *ret,
                        struct hf_err *err) HF_MUST_USE;

#endif
