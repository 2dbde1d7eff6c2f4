/* SPDX-License-Identifier: Apache-2.0
 *
 * What the table of options tells people: effective values with their origin, and the reference.
 */
#include <stdio.h>
#include <string.h>

#include "common/io/config.h"
#include "common/io/config_internal.h"
#include "common/io/config_value.h"

enum { LINE_MAX_BYTES = 8192, ORIGIN_COLUMN = 60 };

struct show {
    const char *file;
    struct hf_buf *out;
    struct hf_err *err;
};

static hf_result show_section(const struct show *s, const struct hf_option *table,
                              const struct hf_yaml *node, const char *path, const char *base);

/* "path: value", padded, and the origin. */
static hf_result put_line(const struct show *s, const struct hf_yaml *node, const char *path,
                          const char *value)
{
    HF_BUF(line, LINE_MAX_BYTES);
    HF_TRY(hf_buf_printf(&line, s->err, "%s: %s", path, value[0] == '\0' ? "-" : value));
    HF_TRY(hf_buf_printf(s->out, s->err, "%-*s # ", ORIGIN_COLUMN, hf_buf_text(&line)));
    if (node == NULL) {
        return hf_buf_append_str(s->out, value[0] == '\0' ? "not set\n" : "default\n", s->err);
    }
    return hf_buf_printf(s->out, s->err, "%s:%d\n", s->file, node->line);
}

static hf_result show_list(const struct show *s, const struct hf_option *o,
                           const struct hf_yaml *node, const char *path, const char *base)
{
    size_t count = 0;
    memcpy(&count, base + o->count_offset, sizeof count);
    HF_BUF(value, LINE_MAX_BYTES - HF_CONFIG_PATH_SIZE - 16);
    HF_TRY(hf_buf_append_str(&value, "[", s->err));
    for (size_t i = 0; i < count; i++) {
        HF_TRY(hf_buf_append_str(&value, i == 0 ? "" : ", ", s->err));
        HF_TRY(hf_config_value_format(&o->sub[0], base + o->offset + i * o->size, &value, s->err));
    }
    HF_TRY(hf_buf_append_str(&value, "]", s->err));
    return put_line(s, node, path, hf_buf_text(&value));
}

static hf_result show_items(const struct show *s, const struct hf_option *o,
                            const struct hf_yaml *node, const char *path, const char *base)
{
    size_t count = 0;
    memcpy(&count, base + o->count_offset, sizeof count);
    if (count == 0) {
        return put_line(s, node, path, "");
    }
    const struct hf_yaml *item = node == NULL ? NULL : node->first;
    for (size_t i = 0; i < count; i++) {
        const char *at = base + o->offset + i * o->size;
        char sub[HF_CONFIG_PATH_SIZE];
        if (o->type == HF_OPTION_MAP) {
            hf_config_path_key(path, at, sub); /* the name is at its start */
        } else {
            hf_config_path_index(path, i, sub);
        }
        HF_TRY(show_section(s, o->sub, item, sub, at));
        item = item == NULL ? NULL : item->next;
    }
    return hf_done();
}

static hf_result show_option(const struct show *s, const struct hf_option *o,
                             const struct hf_yaml *node, const char *path, const char *base)
{
    if (o->type == HF_OPTION_SECTION) {
        if (o->has_present && node == NULL) {
            return put_line(s, NULL, path, "");
        }
        return show_section(s, o->sub, node, path, base + o->offset);
    }
    if (o->type == HF_OPTION_LIST) {
        return show_list(s, o, node, path, base);
    }
    if (o->type == HF_OPTION_MAP || o->type == HF_OPTION_RECORDS) {
        return show_items(s, o, node, path, base);
    }
    HF_BUF(value, LINE_MAX_BYTES - HF_CONFIG_PATH_SIZE - 16);
    HF_TRY(hf_config_value_format(o, base, &value, s->err));
    return put_line(s, node, path, hf_buf_text(&value));
}

static hf_result show_section(const struct show *s, const struct hf_option *table,
                              const struct hf_yaml *node, const char *path, const char *base)
{
    for (const struct hf_option *o = table; o->type != HF_OPTION_END; o++) {
        char sub[HF_CONFIG_PATH_SIZE];
        hf_config_path_key(path, o->key, sub);
        HF_TRY(show_option(s, o, hf_yaml_member(node, o->key), sub, base));
    }
    return hf_done();
}

hf_result hf_config_show(const struct hf_config *config, const void *values, struct hf_buf *out,
                         struct hf_err *err)
{
    struct show s = {.file = hf_yaml_name(config->doc), .out = out, .err = err};
    return show_section(&s, config->table, hf_yaml_root(config->doc), "", values);
}

/* --- the reference --- */

/* A cell of a Markdown table: '|' would end it. */
static hf_result put_cell(struct hf_buf *out, const char *text, struct hf_err *err)
{
    for (const char *p = text; *p != '\0'; p++) {
        HF_TRY(hf_buf_append(out, *p == '|' ? "\\|" : p, *p == '|' ? 2 : 1, err));
    }
    return hf_done();
}

static hf_result docs_row(const struct hf_option *o, const char *path, struct hf_buf *out,
                          struct hf_err *err)
{
    HF_BUF(allowed, LINE_MAX_BYTES);
    HF_TRY(hf_config_value_allowed(o, &allowed, err));
    HF_TRY(hf_buf_printf(out, err, "| `%s` | ", path));
    HF_TRY(put_cell(out, hf_buf_text(&allowed), err));
    bool needed = o->required || o->min_items > 0;
    if (needed) {
        HF_TRY(hf_buf_append_str(out, " | required | ", err));
    } else if (o->fallback != NULL) {
        HF_TRY(hf_buf_printf(out, err, " | `%s` | ", o->fallback));
    } else {
        HF_TRY(hf_buf_append_str(out, " | | ", err));
    }
    HF_TRY(put_cell(out, o->doc, err));
    return hf_buf_append_str(out, " |\n", err);
}

static hf_result docs_section(const struct hf_option *table, const char *path, struct hf_buf *out,
                              struct hf_err *err)
{
    for (const struct hf_option *o = table; o->type != HF_OPTION_END; o++) {
        char sub[HF_CONFIG_PATH_SIZE];
        hf_config_path_key(path, o->key, sub);
        HF_TRY(docs_row(o, sub, out, err));
        if (hf_config_value_scalar(o) || o->type == HF_OPTION_LIST) {
            continue;
        }
        const char *suffix = o->type == HF_OPTION_MAP       ? ".NAME"
                             : o->type == HF_OPTION_RECORDS ? "[]"
                                                            : "";
        char below[HF_CONFIG_PATH_SIZE + 8];
        (void)snprintf(below, sizeof below, "%s%s", sub, suffix);
        HF_TRY(docs_section(o->sub, below, out, err));
    }
    return hf_done();
}

hf_result hf_config_docs(const struct hf_option *table, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_buf_append_str(
        out, "| option | allowed | default | what it is |\n|---|---|---|---|\n", err));
    return docs_section(table, "", out, err);
}
