/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/config_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/core/name.h"
#include "common/core/units.h"
#include "holdfast/types.h"

enum { ALLOWED_MAX = 400 };

bool hf_config_value_scalar(const struct hf_option *o)
{
    return o->type != HF_OPTION_SECTION && o->type != HF_OPTION_LIST &&
           o->type != HF_OPTION_RECORDS && o->type != HF_OPTION_MAP && o->type != HF_OPTION_END;
}

void hf_config_path_key(const char *path, const char *key, char ret[HF_CONFIG_PATH_SIZE])
{
    int n = snprintf(ret, HF_CONFIG_PATH_SIZE, "%s%s%s", path, path[0] == '\0' ? "" : ".", key);
    HF_ASSERT(n >= 0);
}

void hf_config_path_index(const char *path, size_t index, char ret[HF_CONFIG_PATH_SIZE])
{
    int n = snprintf(ret, HF_CONFIG_PATH_SIZE, "%s[%zu]", path, index);
    HF_ASSERT(n >= 0);
}

/* --- what is allowed --- */

static hf_result allowed_values(const struct hf_option *o, struct hf_buf *out, struct hf_err *err)
{
    for (size_t i = 0; o->values[i] != NULL; i++) {
        HF_TRY(hf_buf_printf(out, err, "%s%s", i == 0 ? "" : ", ", o->values[i]));
        if (o->args != NULL && o->args[i] != NULL) {
            HF_TRY(hf_buf_printf(out, err, ":%s", o->args[i]));
        }
    }
    return hf_done();
}

static bool bounded(const struct hf_option *o)
{
    return o->min != 0 || o->max != 0;
}

static void format_bound(const struct hf_option *o, int64_t value, char out[HF_UNITS_SIZE])
{
    if (o->type == HF_OPTION_DURATION) {
        hf_units_format_duration(HF_US(value), out);
    } else if (o->type == HF_OPTION_SIZE) {
        hf_units_format_size((uint64_t)value, out);
    } else if (o->type == HF_OPTION_PERCENT) {
        hf_units_format_percent((int32_t)value, out);
    } else {
        (void)snprintf(out, HF_UNITS_SIZE, "%" PRId64, value);
    }
}

static hf_result allowed_range(const struct hf_option *o, const char *what, struct hf_buf *out,
                               struct hf_err *err)
{
    HF_TRY(hf_buf_append_str(out, what, err));
    if (!bounded(o)) {
        return hf_done();
    }
    char low[HF_UNITS_SIZE];
    char high[HF_UNITS_SIZE];
    format_bound(o, o->min, low);
    format_bound(o, o->max, high);
    return hf_buf_printf(out, err, ", from %s to %s", low, high);
}

hf_result hf_config_value_allowed(const struct hf_option *o, struct hf_buf *out, struct hf_err *err)
{
    switch (o->type) {
    case HF_OPTION_NAME:
        return hf_buf_append_str(out, "a name: " HF_NAME_ALLOWED, err);
    case HF_OPTION_TEXT:
        return hf_buf_printf(out, err, "a text of at most %zu bytes", o->size - 1);
    case HF_OPTION_PATH:
        return hf_buf_printf(out, err, "a path of at most %zu bytes", o->size - 1);
    case HF_OPTION_URL:
        HF_TRY(hf_buf_append_str(out,
                                 "SCHEME://HOST[:PORT][/PATH] without user and password, "
                                 "SCHEME one of ",
                                 err));
        return allowed_values(o, out, err);
    case HF_OPTION_ADDRESS:
        return hf_buf_append_str(out, "HOST:PORT or [IPV6]:PORT", err);
    case HF_OPTION_ENUM:
    case HF_OPTION_TAGGED:
        return allowed_values(o, out, err);
    case HF_OPTION_BOOL:
        return hf_buf_append_str(out, "true, false", err);
    case HF_OPTION_INT:
        return allowed_range(o, "a whole number", out, err);
    case HF_OPTION_DURATION:
        return allowed_range(o, HF_UNITS_DURATION_ALLOWED, out, err);
    case HF_OPTION_SIZE:
        return allowed_range(o, HF_UNITS_SIZE_ALLOWED, out, err);
    case HF_OPTION_PERCENT:
        return allowed_range(o, HF_UNITS_PERCENT_ALLOWED, out, err);
    case HF_OPTION_SECTION:
        return hf_buf_append_str(out, "a section (key: value lines)", err);
    case HF_OPTION_LIST:
        HF_TRY(hf_buf_printf(out, err, "a list of %zu to %zu: ", o->min_items, o->max_items));
        return hf_config_value_allowed(&o->sub[0], out, err);
    case HF_OPTION_RECORDS:
        return hf_buf_printf(out, err, "a list of %zu to %zu sections", o->min_items, o->max_items);
    case HF_OPTION_MAP:
        return hf_buf_printf(out, err, "%zu to %zu sections by name", o->min_items, o->max_items);
    case HF_OPTION_END:
        break;
    }
    return hf_fail(err, HF_E_INTERNAL, "option \"%s\" has no type", o->key);
}

/* --- parsing; each returns whether the text is allowed --- */

static bool within(const struct hf_option *o, int64_t value)
{
    return !bounded(o) || (value >= o->min && value <= o->max);
}

static bool parse_int(const char *text, int64_t *ret)
{
    bool negative = text[0] == '-';
    const char *p = text + (negative ? 1 : 0);
    if (*p == '\0') {
        return false;
    }
    int64_t v = 0;
    for (; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, *p - '0', &v)) {
            return false;
        }
    }
    if (!negative && v == INT64_MIN) {
        return false;
    }
    *ret = negative ? v : -v;
    return true;
}

static bool store_int(const struct hf_option *o, const char *text, char *at)
{
    int64_t v = 0;
    if (!parse_int(text, &v) || !within(o, v)) {
        return false;
    }
    if (o->size == sizeof v) {
        memcpy(at, &v, sizeof v);
        return true;
    }
    HF_ASSERT(o->size == sizeof(int32_t));
    if (v < INT32_MIN || v > INT32_MAX) {
        return false;
    }
    int32_t narrow = (int32_t)v;
    memcpy(at, &narrow, sizeof narrow);
    return true;
}

static bool plain_text(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool store_text(const char *text, size_t size, char *at)
{
    size_t len = strlen(text);
    if (len >= size || !plain_text(text)) {
        return false;
    }
    memcpy(at, text, len + 1);
    return true;
}

static bool store_path(const struct hf_option *o, const char *text, const char *directory, char *at)
{
    char path[4096];
    if (text[0] == '\0') {
        return false;
    }
    int n = text[0] == '/' ? snprintf(path, sizeof path, "%s", text)
                           : snprintf(path, sizeof path, "%s/%s", directory, text);
    return n > 0 && (size_t)n < sizeof path && store_text(path, o->size, at);
}

/* HOST[:PORT]; *ret_end is after it. */
static bool scan_host(const char *text, const char **ret_end)
{
    const char *p = text;
    if (*p == '[') {
        size_t n = strspn(p + 1, "0123456789abcdefABCDEF:.");
        if (n < 2 || p[1 + n] != ']') {
            return false;
        }
        *ret_end = p + n + 2;
        return true;
    }
    size_t n = strspn(p, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_");
    *ret_end = p + n;
    return n > 0 && n < 256;
}

static bool scan_port(const char *text, int64_t min, int64_t max, const char **ret_end)
{
    int64_t port = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9' && p - text < 6; p++) {
        port = port * 10 + (*p - '0');
    }
    *ret_end = p;
    return p > text && port >= min && port <= max;
}

static bool store_address(const struct hf_option *o, const char *text, char *at)
{
    const char *end = NULL;
    int64_t min = bounded(o) ? o->min : 1;
    int64_t max = bounded(o) ? o->max : 65535;
    return scan_host(text, &end) && *end == ':' && scan_port(end + 1, min, max, &end) &&
           *end == '\0' && store_text(text, o->size, at);
}

static bool store_url(const struct hf_option *o, const char *text, char *at)
{
    const char *separator = strstr(text, "://");
    if (separator == NULL) {
        return false;
    }
    size_t len = (size_t)(separator - text);
    size_t i = 0;
    while (o->values[i] != NULL &&
           (strlen(o->values[i]) != len || strncmp(o->values[i], text, len) != 0)) {
        i++;
    }
    const char *end = NULL;
    if (o->values[i] == NULL || !scan_host(separator + 3, &end)) {
        return false;
    }
    if (*end == ':' && !scan_port(end + 1, 1, 65535, &end)) {
        return false;
    }
    if (*end != '\0' && *end != '/') {
        return false;
    }
    return strpbrk(end, " @\"'<>\\^`{|}?#") == NULL && store_text(text, o->size, at);
}

static bool find_value(const struct hf_option *o, const char *text, size_t len, unsigned *ret)
{
    for (unsigned i = 0; o->values[i] != NULL; i++) {
        if (strlen(o->values[i]) == len && strncmp(o->values[i], text, len) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool store_enum(const struct hf_option *o, const char *text, char *at)
{
    unsigned v = 0;
    HF_ASSERT(o->size == sizeof v);
    if (!find_value(o, text, strlen(text), &v)) {
        return false;
    }
    memcpy(at, &v, sizeof v);
    return true;
}

static bool store_argument(const struct hf_option *o, const char *text, char *base)
{
    char *at = base + o->arg_offset;
    if (o->arg_type == HF_OPTION_NAME) {
        hf_name name;
        if (!hf_ok(hf_name_parse("", text, &name, NULL))) {
            return false;
        }
        memcpy(at, &name, sizeof name);
        return true;
    }
    if (o->arg_type == HF_OPTION_INT) {
        struct hf_option number = {.size = sizeof(int32_t), .min = o->min, .max = o->max};
        return store_int(&number, text, at);
    }
    return text[0] != '\0' && store_text(text, o->arg_size, at);
}

static bool store_tagged(const struct hf_option *o, const char *text, char *base)
{
    unsigned tag = 0;
    size_t len = strcspn(text, ":");
    HF_ASSERT(o->size == sizeof tag);
    if (!find_value(o, text, len, &tag)) {
        return false;
    }
    bool wants = o->args != NULL && o->args[tag] != NULL;
    bool has = text[len] == ':';
    if (wants != has) {
        return false;
    }
    memset(base + o->arg_offset, 0, o->arg_size);
    if (wants && !store_argument(o, text + len + 1, base)) {
        return false;
    }
    memcpy(base + o->offset, &tag, sizeof tag);
    return true;
}

static bool store_bool(const char *text, char *at)
{
    bool v = strcmp(text, "true") == 0;
    if (!v && strcmp(text, "false") != 0) {
        return false;
    }
    memcpy(at, &v, sizeof v);
    return true;
}

static bool store_units(const struct hf_option *o, const char *text, char *at)
{
    hf_dur d = {0};
    uint64_t bytes = 0;
    int32_t ppm = 0;
    if (o->type == HF_OPTION_DURATION) {
        if (!hf_ok(hf_units_parse_duration(text, &d, NULL)) || !within(o, d.us)) {
            return false;
        }
        memcpy(at, &d, sizeof d);
    } else if (o->type == HF_OPTION_SIZE) {
        if (!hf_ok(hf_units_parse_size(text, &bytes, NULL)) || !within(o, (int64_t)bytes)) {
            return false;
        }
        memcpy(at, &bytes, sizeof bytes);
    } else {
        if (!hf_ok(hf_units_parse_percent(text, &ppm, NULL)) || !within(o, ppm)) {
            return false;
        }
        memcpy(at, &ppm, sizeof ppm);
    }
    return true;
}

static bool store_value(const struct hf_option *o, const char *text, const char *directory,
                        char *base)
{
    char *at = base + o->offset;
    hf_name name;
    switch (o->type) {
    case HF_OPTION_NAME:
        if (!hf_ok(hf_name_parse("", text, &name, NULL))) {
            return false;
        }
        memcpy(at, &name, sizeof name);
        return true;
    case HF_OPTION_TEXT:
        return (text[0] != '\0' || o->text_optional) && store_text(text, o->size, at);
    case HF_OPTION_PATH:
        return store_path(o, text, directory, at);
    case HF_OPTION_URL:
        return store_url(o, text, at);
    case HF_OPTION_ADDRESS:
        return store_address(o, text, at);
    case HF_OPTION_ENUM:
        return store_enum(o, text, at);
    case HF_OPTION_BOOL:
        return store_bool(text, at);
    case HF_OPTION_INT:
        return store_int(o, text, at);
    case HF_OPTION_TAGGED:
        return store_tagged(o, text, base);
    case HF_OPTION_DURATION:
    case HF_OPTION_SIZE:
    case HF_OPTION_PERCENT:
        return store_units(o, text, at);
    case HF_OPTION_END:
    case HF_OPTION_SECTION:
    case HF_OPTION_LIST:
    case HF_OPTION_RECORDS:
    case HF_OPTION_MAP:
        break;
    }
    return false;
}

hf_result hf_config_value_parse(const struct hf_option *o, const char *text, const char *directory,
                                void *base, struct hf_err *err)
{
    if (store_value(o, text, directory, base)) {
        return hf_done();
    }
    HF_BUF(allowed, ALLOWED_MAX);
    HF_TRY(hf_config_value_allowed(o, &allowed, err));
    /* a URL may hold a password that is refused here: do not repeat it */
    bool shown = o->type != HF_OPTION_URL || strchr(text, '@') == NULL;
    return hf_fail(err, HF_E_INVALID, "value \"%.64s\" is not allowed; allowed: %s",
                   shown ? text : "...", hf_buf_text(&allowed));
}

/* --- formatting --- */

static hf_result format_int(const struct hf_option *o, const char *at, struct hf_buf *out,
                            struct hf_err *err)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    if (o->size == sizeof wide) {
        memcpy(&wide, at, sizeof wide);
    } else {
        memcpy(&narrow, at, sizeof narrow);
        wide = narrow;
    }
    return hf_buf_printf(out, err, "%" PRId64, wide);
}

static hf_result format_tagged(const struct hf_option *o, const char *base, struct hf_buf *out,
                               struct hf_err *err)
{
    unsigned tag = 0;
    memcpy(&tag, base + o->offset, sizeof tag);
    HF_TRY(hf_buf_append_str(out, o->values[tag], err));
    if (o->args == NULL || o->args[tag] == NULL) {
        return hf_done();
    }
    if (o->arg_type == HF_OPTION_INT) {
        int32_t number = 0;
        memcpy(&number, base + o->arg_offset, sizeof number);
        return hf_buf_printf(out, err, ":%d", number);
    }
    return hf_buf_printf(out, err, ":%s", base + o->arg_offset);
}

static hf_result format_units(const struct hf_option *o, const char *at, struct hf_buf *out,
                              struct hf_err *err)
{
    char text[HF_UNITS_SIZE];
    if (o->type == HF_OPTION_DURATION) {
        hf_dur d;
        memcpy(&d, at, sizeof d);
        hf_units_format_duration(d, text);
        return hf_buf_append_str(out, d.us == INT64_MAX ? "none" : text, err);
    }
    if (o->type == HF_OPTION_SIZE) {
        uint64_t bytes = 0;
        memcpy(&bytes, at, sizeof bytes);
        hf_units_format_size(bytes, text);
        return hf_buf_append_str(out, bytes == UINT64_MAX ? "none" : text, err);
    }
    int32_t ppm = 0;
    memcpy(&ppm, at, sizeof ppm);
    hf_units_format_percent(ppm, text);
    return hf_buf_append_str(out, text, err);
}

hf_result hf_config_value_format(const struct hf_option *o, const void *base, struct hf_buf *out,
                                 struct hf_err *err)
{
    const char *at = (const char *)base + o->offset;
    unsigned v = 0;
    bool flag = false;
    switch (o->type) {
    case HF_OPTION_NAME:
    case HF_OPTION_TEXT:
    case HF_OPTION_PATH:
    case HF_OPTION_URL:
    case HF_OPTION_ADDRESS:
        return hf_buf_append_str(out, at, err);
    case HF_OPTION_ENUM:
        memcpy(&v, at, sizeof v);
        return hf_buf_append_str(out, o->values[v], err);
    case HF_OPTION_BOOL:
        memcpy(&flag, at, sizeof flag);
        return hf_buf_append_str(out, flag ? "true" : "false", err);
    case HF_OPTION_INT:
        return format_int(o, at, out, err);
    case HF_OPTION_TAGGED:
        return format_tagged(o, base, out, err);
    case HF_OPTION_DURATION:
    case HF_OPTION_SIZE:
    case HF_OPTION_PERCENT:
        return format_units(o, at, out, err);
    case HF_OPTION_END:
    case HF_OPTION_SECTION:
    case HF_OPTION_LIST:
    case HF_OPTION_RECORDS:
    case HF_OPTION_MAP:
        break;
    }
    return hf_fail(err, HF_E_INTERNAL, "option \"%s\" is no single value", o->key);
}
