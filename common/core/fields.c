/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/fields.h"

#include <stdio.h>
#include <string.h>

static void put_candidates(hf_json *o, const char *name, const struct hf_candidates *c)
{
    hf_json *v = hf_json_object();
    hf_json_put_u64(v, "version", c->version);
    hf_json *members = hf_json_array();
    for (int i = 0; i < c->count; i++) {
        hf_json_push_text(members, c->members[i].s);
    }
    hf_json_put(v, "members", members);
    hf_json_put(o, name, v);
}

static hf_result get_candidates(const hf_json *o, const char *name, struct hf_candidates *ret,
                                struct hf_err *err)
{
    if (hf_json_member(o, name) == NULL) {
        return hf_done();
    }
    const hf_json *v = NULL;
    const hf_json *members = NULL;
    struct hf_candidates c = {0};
    HF_TRY(hf_json_get_object(o, name, &v, err));
    HF_TRY(hf_json_get_u64(v, "version", &c.version, err));
    HF_TRY(hf_json_get_array(v, "members", HF_MAX_NODES, &members, err));
    for (size_t i = 0; i < hf_json_size(members); i++) {
        HF_TRY(hf_name_parse("candidate", hf_json_text(hf_json_at(members, i)), &c.members[c.count],
                             err));
        c.count++;
    }
    *ret = c;
    return hf_done();
}

hf_result hf_names_find(const char *const *names, const char *text, const char *what, int *ret,
                        struct hf_err *err)
{
    char allowed[200] = "";
    size_t used = 0;
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return hf_done();
        }
        if (used < sizeof allowed) {
            int n =
                snprintf(allowed + used, sizeof allowed - used, "%s%s", i ? ", " : "", names[i]);
            used += n < 0 ? 0 : (size_t)n;
        }
    }
    return hf_fail(err, HF_E_INVALID, "%s \"%.40s\" is none of: %s", what, text, allowed);
}

void hf_fields_put(hf_json *o, const struct hf_field *fields, const void *record)
{
    char text[HF_LSN_SIZE];
    for (const struct hf_field *f = fields; f->type != HF_FIELD_END; f++) {
        const void *at = (const char *)record + f->offset;
        switch (f->type) {
        case HF_FIELD_TEXT:
            hf_json_put_text(o, f->name, at);
            break;
        case HF_FIELD_NAME:
            hf_json_put_text(o, f->name, ((const hf_name *)at)->s);
            break;
        case HF_FIELD_U64:
            hf_json_put_u64(o, f->name, *(const uint64_t *)at);
            break;
        case HF_FIELD_I64:
            hf_json_put_i64(o, f->name, *(const int64_t *)at);
            break;
        case HF_FIELD_U32:
            hf_json_put_u64(o, f->name, *(const uint32_t *)at);
            break;
        case HF_FIELD_BOOL:
            hf_json_put_bool(o, f->name, *(const bool *)at);
            break;
        case HF_FIELD_LSN:
            hf_json_put_text(o, f->name, hf_lsn_format(*(const hf_lsn *)at, text));
            break;
        case HF_FIELD_ENUM:
            hf_json_put_text(o, f->name, f->names[*(const unsigned *)at]);
            break;
        case HF_FIELD_CANDIDATES:
            put_candidates(o, f->name, at);
            break;
        case HF_FIELD_END:
            break;
        }
    }
}

static hf_result get_name(const hf_json *o, const struct hf_field *f, hf_name *ret,
                          struct hf_err *err)
{
    char text[HF_NAME_SIZE] = "";
    HF_TRY(hf_json_get_text_opt(o, f->name, text, sizeof text, err));
    if (text[0] == '\0') {
        memset(ret, 0, sizeof *ret);
        return hf_done();
    }
    return hf_name_parse(f->name, text, ret, err);
}

static hf_result get_u32(const hf_json *o, const struct hf_field *f, uint32_t *ret,
                         struct hf_err *err)
{
    uint64_t v = *ret;
    HF_TRY(hf_json_get_u64_opt(o, f->name, &v, err));
    if (v > UINT32_MAX) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" is above 4294967295", f->name);
    }
    *ret = (uint32_t)v;
    return hf_done();
}

static hf_result get_field(const hf_json *o, const struct hf_field *f, void *at, struct hf_err *err)
{
    char text[64] = "";
    int index = 0;
    switch (f->type) {
    case HF_FIELD_TEXT:
        return hf_json_get_text_opt(o, f->name, at, f->size, err);
    case HF_FIELD_NAME:
        return get_name(o, f, at, err);
    case HF_FIELD_U64:
        return hf_json_get_u64_opt(o, f->name, at, err);
    case HF_FIELD_I64:
        return hf_json_get_i64_opt(o, f->name, at, err);
    case HF_FIELD_U32:
        return get_u32(o, f, at, err);
    case HF_FIELD_BOOL:
        return hf_json_get_bool_opt(o, f->name, at, err);
    case HF_FIELD_LSN:
        HF_TRY(hf_json_get_text_opt(o, f->name, text, sizeof text, err));
        return text[0] == '\0' ? hf_done() : hf_lsn_parse(text, at, err);
    case HF_FIELD_ENUM:
        HF_TRY(hf_json_get_text_opt(o, f->name, text, sizeof text, err));
        if (text[0] != '\0') {
            HF_TRY(hf_names_find(f->names, text, f->name, &index, err));
            *(unsigned *)at = (unsigned)index;
        }
        return hf_done();
    case HF_FIELD_CANDIDATES:
        return get_candidates(o, f->name, at, err);
    case HF_FIELD_END:
        break;
    }
    return hf_done();
}

hf_result hf_fields_get(const hf_json *o, const struct hf_field *fields, void *record,
                        struct hf_err *err)
{
    for (const struct hf_field *f = fields; f->type != HF_FIELD_END; f++) {
        HF_TRY(get_field(o, f, (char *)record + f->offset, err));
    }
    return hf_done();
}

hf_result hf_fields_encode(const struct hf_field *fields, const void *record, struct hf_buf *out,
                           struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = hf_json_object();
    hf_fields_put(o, fields, record);
    return hf_json_write(o, out, err);
}

hf_result hf_fields_decode(const char *text, size_t len, size_t max_bytes,
                           const struct hf_field *fields, void *record, struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = NULL;
    HF_TRY(hf_json_parse(text, len, max_bytes, &o, err));
    if (!hf_json_is_object(o)) {
        return hf_fail(err, HF_E_INVALID, "a record must be a JSON object");
    }
    return hf_fields_get(o, fields, record, err);
}
