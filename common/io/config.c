/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/core/name.h"
#include "common/io/config_internal.h"
#include "common/io/config_value.h"

enum { LIST_TEXT_MAX = 400 };

/* One load: where messages say they are. */
struct loader {
    const char *file;
    const char *directory;
    struct hf_err *err;
};

static hf_result apply_section(const struct loader *l, const struct hf_option *table,
                               const struct hf_yaml *map, const char *path, char *base);

static hf_result fail_node(const struct loader *l, const struct hf_yaml *node, const char *path,
                           const char *message)
{
    return hf_fail(l->err, HF_E_INVALID, "%s:%d:%d: %s%s%s", l->file, node->line, node->column,
                   path, path[0] == '\0' ? "" : ": ", message);
}

/* --- defaults --- */

static void fill_defaults(const struct hf_option *table, char *base)
{
    for (const struct hf_option *o = table; o->type != HF_OPTION_END; o++) {
        if (o->type == HF_OPTION_SECTION) {
            fill_defaults(o->sub, base + o->offset);
        } else if (hf_config_value_scalar(o) && o->fallback != NULL) {
            /* a default that its own option refuses is a programmer's error */
            HF_ASSERT(hf_ok(hf_config_value_parse(o, o->fallback, "", base, NULL)));
        }
    }
}

/* --- the file's values --- */

static const struct hf_option *find_option(const struct hf_option *table, const char *key)
{
    for (const struct hf_option *o = table; o->type != HF_OPTION_END; o++) {
        if (strcmp(o->key, key) == 0) {
            return o;
        }
    }
    return NULL;
}

static hf_result unknown_key(const struct loader *l, const struct hf_option *table,
                             const struct hf_yaml *member)
{
    HF_BUF(allowed, LIST_TEXT_MAX);
    for (const struct hf_option *o = table; o->type != HF_OPTION_END; o++) {
        HF_TRY(hf_buf_printf(&allowed, l->err, "%s%s", o == table ? "" : ", ", o->key));
    }
    return hf_fail(l->err, HF_E_INVALID, "%s:%d:%d: unknown key \"%.64s\"; allowed: %s", l->file,
                   member->key_line, member->key_column, member->key, hf_buf_text(&allowed));
}

static hf_result wrong_kind(const struct loader *l, const struct hf_option *o,
                            const struct hf_yaml *node, const char *path)
{
    HF_BUF(text, LIST_TEXT_MAX);
    HF_TRY(hf_buf_append_str(&text, "allowed: ", l->err));
    HF_TRY(hf_config_value_allowed(o, &text, l->err));
    return fail_node(l, node, path, hf_buf_text(&text));
}

static hf_result apply_scalar(const struct loader *l, const struct hf_option *o,
                              const struct hf_yaml *node, const char *path, char *base)
{
    if (node->kind != HF_YAML_SCALAR) {
        return wrong_kind(l, o, node, path);
    }
    struct hf_err why;
    if (!hf_ok(hf_config_value_parse(o, node->text, l->directory, base, &why))) {
        return fail_node(l, node, path, why.text);
    }
    return hf_done();
}

static hf_result check_count(const struct loader *l, const struct hf_option *o,
                             const struct hf_yaml *node, const char *path)
{
    if (node->count < o->min_items || node->count > o->max_items) {
        char message[96];
        (void)snprintf(message, sizeof message, "%zu given; allowed: %zu to %zu", node->count,
                       o->min_items, o->max_items);
        return fail_node(l, node, path, message);
    }
    return hf_done();
}

static hf_result apply_item(const struct loader *l, const struct hf_option *o,
                            const struct hf_yaml *item, const char *path, char *at)
{
    if (o->type == HF_OPTION_LIST) {
        return apply_scalar(l, &o->sub[0], item, path, at);
    }
    fill_defaults(o->sub, at);
    if (o->type == HF_OPTION_MAP) {
        hf_name name;
        if (!hf_ok(hf_name_parse("", item->key, &name, NULL))) {
            return hf_fail(l->err, HF_E_INVALID,
                           "%s:%d:%d: %s: \"%.64s\" is not a name; allowed: " HF_NAME_ALLOWED,
                           l->file, item->key_line, item->key_column, path, item->key);
        }
        memcpy(at, &name, sizeof name);
    }
    if (item->kind != HF_YAML_MAP) {
        return wrong_kind(l, &(struct hf_option){.type = HF_OPTION_SECTION}, item, path);
    }
    return apply_section(l, o->sub, item, path, at);
}

static hf_result apply_array(const struct loader *l, const struct hf_option *o,
                             const struct hf_yaml *node, const char *path, char *base)
{
    enum hf_yaml_kind kind = o->type == HF_OPTION_MAP ? HF_YAML_MAP : HF_YAML_LIST;
    if (node->kind != kind) {
        return wrong_kind(l, o, node, path);
    }
    HF_TRY(check_count(l, o, node, path));
    size_t count = 0;
    for (const struct hf_yaml *item = node->first; item != NULL; item = item->next, count++) {
        char sub[HF_CONFIG_PATH_SIZE];
        if (kind == HF_YAML_MAP) {
            hf_config_path_key(path, item->key, sub);
        } else {
            hf_config_path_index(path, count, sub);
        }
        HF_TRY(apply_item(l, o, item, sub, base + o->offset + count * o->size));
    }
    memcpy(base + o->count_offset, &count, sizeof count);
    return hf_done();
}

static hf_result apply_option(const struct loader *l, const struct hf_option *o,
                              const struct hf_yaml *node, const char *path, char *base)
{
    if (hf_config_value_scalar(o)) {
        return apply_scalar(l, o, node, path, base);
    }
    if (o->type != HF_OPTION_SECTION) {
        return apply_array(l, o, node, path, base);
    }
    if (o->has_present) {
        bool present = true;
        memcpy(base + o->present_offset, &present, sizeof present);
    }
    bool empty = node->kind == HF_YAML_SCALAR && !node->quoted && node->text[0] == '\0';
    if (node->kind != HF_YAML_MAP && !empty) {
        return wrong_kind(l, o, node, path);
    }
    return apply_section(l, o->sub, node, path, base + o->offset);
}

/* A section that is left out and has required options: they are missing too, unless leaving it out
 * has a meaning of its own (has_present). */
static hf_result apply_missing(const struct loader *l, const struct hf_option *o,
                               const struct hf_yaml *map, const char *path)
{
    if (!o->required && o->min_items == 0) {
        return hf_done();
    }
    HF_BUF(text, LIST_TEXT_MAX);
    HF_TRY(hf_buf_append_str(&text, "is missing; allowed: ", l->err));
    HF_TRY(hf_config_value_allowed(o, &text, l->err));
    return fail_node(l, map, path, hf_buf_text(&text));
}

static hf_result apply_section(const struct loader *l, const struct hf_option *table,
                               const struct hf_yaml *map, const char *path, char *base)
{
    for (const struct hf_yaml *m = map->first; m != NULL; m = m->next) {
        if (find_option(table, m->key) == NULL) {
            return unknown_key(l, table, m);
        }
    }
    for (const struct hf_option *o = table; o->type != HF_OPTION_END; o++) {
        char sub[HF_CONFIG_PATH_SIZE];
        hf_config_path_key(path, o->key, sub);
        const struct hf_yaml *member = hf_yaml_member(map, o->key);
        HF_TRY(member != NULL ? apply_option(l, o, member, sub, base)
                              : apply_missing(l, o, map, sub));
    }
    return hf_done();
}

static hf_result apply_document(struct hf_config *c, void *ret_values, size_t size,
                                struct hf_err *err)
{
    const struct hf_yaml *root = hf_yaml_root(c->doc);
    struct loader l = {.file = hf_yaml_name(c->doc), .directory = c->directory, .err = err};
    if (root->kind != HF_YAML_MAP) {
        return fail_node(&l, root, "", "allowed: key: value lines");
    }
    HF_AUTOFREE char *values = hf_alloc(size);
    fill_defaults(c->table, values);
    HF_TRY(apply_section(&l, c->table, root, "", values));
    memcpy(ret_values, values, size);
    return hf_done();
}

/* Takes over the document. */
static hf_result finish(struct hf_yaml_doc *doc, const char *directory,
                        const struct hf_option *table, void *ret_values, size_t size,
                        struct hf_config **ret, struct hf_err *err)
{
    HF_AUTOCONFIG struct hf_config *c = hf_alloc(sizeof *c);
    c->doc = doc;
    c->directory = hf_strdup(directory);
    c->table = table;
    HF_TRY(apply_document(c, ret_values, size, err));
    *ret = c;
    c = NULL;
    return hf_done();
}

/* Absolute directory of a file, resolved now: a later change of directory must not matter. */
static hf_result directory_of(const char *path, char **ret, struct hf_err *err)
{
    HF_AUTOFREE char *copy = hf_strdup(path);
    char *slash = strrchr(copy, '/');
    const char *directory = slash == NULL ? "." : slash == copy ? "/" : copy;
    if (slash != NULL) {
        *slash = '\0';
        directory = slash == copy ? "/" : copy;
    }
    char *real = realpath(directory, NULL);
    if (real == NULL) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s: no such directory", directory);
    }
    *ret = real;
    return hf_done();
}

hf_result hf_config_load(const char *path, const struct hf_option *table, void *ret_values,
                         size_t values_size, struct hf_config **ret, struct hf_err *err)
{
    HF_AUTOFREE char *directory = NULL;
    HF_TRY(directory_of(path, &directory, err));
    struct hf_yaml_doc *doc = NULL;
    HF_TRY(hf_yaml_load(path, &doc, err));
    return finish(doc, directory, table, ret_values, values_size, ret, err);
}

hf_result hf_config_parse(const char *name, const char *directory, const char *text, size_t len,
                          const struct hf_option *table, void *ret_values, size_t values_size,
                          struct hf_config **ret, struct hf_err *err)
{
    struct hf_yaml_doc *doc = NULL;
    HF_TRY(hf_yaml_parse(name, text, len, &doc, err));
    return finish(doc, directory, table, ret_values, values_size, ret, err);
}

void hf_config_free(struct hf_config *config)
{
    if (config != NULL) {
        hf_yaml_free(config->doc);
        hf_free(config->directory);
        hf_free(config);
    }
}

void hf_config_cleanup(struct hf_config **config)
{
    hf_config_free(*config);
    *config = NULL;
}

/* --- positions --- */

/* The child that the next part of *path names; moves *path on. NULL when absent. */
static const struct hf_yaml *step(const struct hf_yaml *node, const char **path)
{
    const char *p = *path;
    if (*p == '[') {
        char *end = NULL;
        unsigned long index = strtoul(p + 1, &end, 10);
        *path = *end == ']' ? end + 1 : end;
        const struct hf_yaml *item = node->kind == HF_YAML_LIST ? node->first : NULL;
        for (; item != NULL && index > 0; index--) {
            item = item->next;
        }
        return item;
    }
    p += *p == '.';
    char key[HF_NAME_SIZE * 2];
    size_t n = strcspn(p, ".[");
    *path = p + n;
    (void)snprintf(key, sizeof key, "%.*s", (int)n, p);
    return hf_yaml_member(node, key);
}

/* The node at the path, or the nearest above it. */
static const struct hf_yaml *locate(const struct hf_config *config, const char *path,
                                    bool *ret_exact)
{
    const struct hf_yaml *node = hf_yaml_root(config->doc);
    while (*path != '\0') {
        const struct hf_yaml *child = step(node, &path);
        if (child == NULL) {
            *ret_exact = false;
            return node;
        }
        node = child;
    }
    *ret_exact = true;
    return node;
}

hf_result hf_config_fail(const struct hf_config *config, const char *path, struct hf_err *err,
                         const char *format, ...)
{
    bool exact = false;
    const struct hf_yaml *node = locate(config, path, &exact);
    char message[400];
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is just above */
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct loader l = {.file = hf_yaml_name(config->doc), .err = err};
    return fail_node(&l, node, path, message);
}

bool hf_config_given(const struct hf_config *config, const char *path)
{
    bool exact = false;
    (void)locate(config, path, &exact);
    return exact;
}

hf_result hf_config_credential_path(const char *name, char *ret, size_t size, struct hf_err *err)
{
    const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
    if (directory == NULL || directory[0] != '/') {
        return hf_fail(err, HF_E_NOT_FOUND,
                       "credential \"%s\": CREDENTIALS_DIRECTORY is not set (systemd's "
                       "LoadCredential= does)",
                       name);
    }
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        return hf_fail(err, HF_E_INVALID, "credential \"%s\"; allowed: a plain file name", name);
    }
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (n < 0 || (size_t)n >= sizeof path || (size_t)n >= size) {
        return hf_fail(err, HF_E_LIMIT, "credential \"%s\": path longer than %zu bytes", name,
                       size);
    }
    memcpy(ret, path, (size_t)n + 1);
    return hf_done();
}
