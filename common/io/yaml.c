/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

/* Worst case by the bounds above: every node, every byte of text twice (with its NULs). */
enum { ARENA_MAX = HF_YAML_MAX_NODES * 224 + 8 * HF_YAML_MAX_BYTES };

struct hf_yaml_doc {
    struct hf_arena *arena;
    char *name;
    struct hf_yaml *root;
    size_t nodes;
};

struct reader {
    yaml_parser_t parser;
    struct hf_yaml_doc *doc;
    struct hf_err *err;
};

static hf_result fail_at(const struct reader *r, const yaml_mark_t *mark, enum hf_code code,
                         const char *what)
{
    return hf_fail(r->err, code, "%s:%zu:%zu: %s", r->doc->name, mark->line + 1, mark->column + 1,
                   what);
}

static void event_cleanup(yaml_event_t *event)
{
    yaml_event_delete(event);
}

#define AUTO_EVENT __attribute__((cleanup(event_cleanup)))

/* *event must be zeroed; its owner deletes it. */
static hf_result next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event) == 0) {
        char what[256];
        (void)snprintf(what, sizeof what, "%s%s%s",
                       r->parser.problem == NULL ? "not YAML" : r->parser.problem,
                       r->parser.context == NULL ? "" : " ",
                       r->parser.context == NULL ? "" : r->parser.context);
        return fail_at(r, &r->parser.problem_mark, HF_E_INVALID, what);
    }
    return hf_done();
}

static hf_result refuse_extras(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor,
                               const yaml_char_t *tag)
{
    if (anchor != NULL) {
        return fail_at(r, &e->start_mark, HF_E_INVALID, "anchors (&name) are not allowed");
    }
    if (tag != NULL) {
        return fail_at(r, &e->start_mark, HF_E_INVALID, "tags (!name) are not allowed");
    }
    return hf_done();
}

static hf_result new_node(struct reader *r, const yaml_event_t *e, enum hf_yaml_kind kind,
                          struct hf_yaml **ret)
{
    if (r->doc->nodes == HF_YAML_MAX_NODES) {
        return fail_at(r, &e->start_mark, HF_E_LIMIT, "too many values in one file");
    }
    r->doc->nodes++;
    struct hf_yaml *n = hf_arena_alloc(r->doc->arena, sizeof *n);
    n->kind = kind;
    n->line = (int)e->start_mark.line + 1;
    n->column = (int)e->start_mark.column + 1;
    n->text = "";
    *ret = n;
    return hf_done();
}

static hf_result read_scalar(struct reader *r, const yaml_event_t *e, struct hf_yaml **ret)
{
    HF_TRY(refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag));
    const char *text = (const char *)e->data.scalar.value;
    if (memchr(text, '\0', e->data.scalar.length) != NULL) {
        return fail_at(r, &e->start_mark, HF_E_INVALID, "a NUL character is not allowed");
    }
    HF_TRY(new_node(r, e, HF_YAML_SCALAR, ret));
    (*ret)->text = hf_arena_strdup(r->doc->arena, text);
    (*ret)->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return hf_done();
}

static hf_result read_value(struct reader *r, const yaml_event_t *e, int depth,
                            struct hf_yaml **ret);

static hf_result read_list(struct reader *r, const yaml_event_t *start, int depth,
                           struct hf_yaml **ret)
{
    HF_TRY(
        refuse_extras(r, start, start->data.sequence_start.anchor, start->data.sequence_start.tag));
    HF_TRY(new_node(r, start, HF_YAML_LIST, ret));
    const struct hf_yaml **tail = &(*ret)->first;
    for (;;) {
        AUTO_EVENT yaml_event_t e = {0};
        HF_TRY(next_event(r, &e));
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            return hf_done();
        }
        struct hf_yaml *item = NULL;
        HF_TRY(read_value(r, &e, depth + 1, &item));
        *tail = item;
        tail = &item->next;
        (*ret)->count++;
    }
}

static hf_result read_key(struct reader *r, const yaml_event_t *e, const struct hf_yaml *map)
{
    if (e->type == YAML_ALIAS_EVENT) {
        return fail_at(r, &e->start_mark, HF_E_INVALID, "aliases (*name) are not allowed");
    }
    if (e->type != YAML_SCALAR_EVENT) {
        return fail_at(r, &e->start_mark, HF_E_INVALID, "a key must be a plain text");
    }
    HF_TRY(refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag));
    const char *key = (const char *)e->data.scalar.value;
    if (strlen(key) != e->data.scalar.length || key[0] == '\0') {
        return fail_at(r, &e->start_mark, HF_E_INVALID, "an empty key is not allowed");
    }
    const struct hf_yaml *same = hf_yaml_member(map, key);
    if (same != NULL) {
        char what[160];
        (void)snprintf(what, sizeof what, "key \"%.64s\" is given twice (first at line %d)", key,
                       same->key_line);
        return fail_at(r, &e->start_mark, HF_E_INVALID, what);
    }
    return hf_done();
}

static hf_result read_map(struct reader *r, const yaml_event_t *start, int depth,
                          struct hf_yaml **ret)
{
    HF_TRY(
        refuse_extras(r, start, start->data.mapping_start.anchor, start->data.mapping_start.tag));
    HF_TRY(new_node(r, start, HF_YAML_MAP, ret));
    const struct hf_yaml **tail = &(*ret)->first;
    for (;;) {
        AUTO_EVENT yaml_event_t key = {0};
        HF_TRY(next_event(r, &key));
        if (key.type == YAML_MAPPING_END_EVENT) {
            return hf_done();
        }
        if ((*ret)->count == HF_YAML_MAX_MEMBERS) {
            return fail_at(r, &key.start_mark, HF_E_LIMIT, "too many keys in one map");
        }
        HF_TRY(read_key(r, &key, *ret));
        AUTO_EVENT yaml_event_t e = {0};
        HF_TRY(next_event(r, &e));
        struct hf_yaml *value = NULL;
        HF_TRY(read_value(r, &e, depth + 1, &value));
        value->key = hf_arena_strdup(r->doc->arena, (const char *)key.data.scalar.value);
        value->key_line = (int)key.start_mark.line + 1;
        value->key_column = (int)key.start_mark.column + 1;
        *tail = value;
        tail = &value->next;
        (*ret)->count++;
    }
}

static hf_result read_value(struct reader *r, const yaml_event_t *e, int depth,
                            struct hf_yaml **ret)
{
    if (depth > HF_YAML_MAX_DEPTH) {
        return fail_at(r, &e->start_mark, HF_E_LIMIT, "nested too deep; allowed: 16 levels");
    }
    if (e->type == YAML_SCALAR_EVENT) {
        return read_scalar(r, e, ret);
    }
    if (e->type == YAML_SEQUENCE_START_EVENT) {
        return read_list(r, e, depth, ret);
    }
    if (e->type == YAML_MAPPING_START_EVENT) {
        return read_map(r, e, depth, ret);
    }
    return fail_at(r, &e->start_mark, HF_E_INVALID, "aliases (*name) are not allowed");
}

/* The document's root, or an empty map for a file of comments. */
static hf_result read_stream(struct reader *r)
{
    AUTO_EVENT yaml_event_t stream = {0};
    HF_TRY(next_event(r, &stream));
    AUTO_EVENT yaml_event_t document = {0};
    HF_TRY(next_event(r, &document));
    if (document.type == YAML_STREAM_END_EVENT) {
        return new_node(r, &document, HF_YAML_MAP, &r->doc->root);
    }
    AUTO_EVENT yaml_event_t first = {0};
    HF_TRY(next_event(r, &first));
    HF_TRY(read_value(r, &first, 1, &r->doc->root));
    AUTO_EVENT yaml_event_t end = {0};
    HF_TRY(next_event(r, &end));
    AUTO_EVENT yaml_event_t more = {0};
    HF_TRY(next_event(r, &more));
    if (more.type != YAML_STREAM_END_EVENT) {
        return fail_at(r, &more.start_mark, HF_E_INVALID, "only one document is allowed");
    }
    return hf_done();
}

hf_result hf_yaml_parse(const char *name, const char *text, size_t len, struct hf_yaml_doc **ret,
                        struct hf_err *err)
{
    if (len > HF_YAML_MAX_BYTES) {
        return hf_fail(err, HF_E_LIMIT, "%s: %zu bytes; allowed: %d", name, len, HF_YAML_MAX_BYTES);
    }
    struct hf_yaml_doc *doc = hf_alloc(sizeof *doc);
    doc->arena = hf_arena_new(ARENA_MAX);
    doc->name = hf_strdup(name);
    struct reader r = {.doc = doc, .err = err};
    HF_ASSERT(yaml_parser_initialize(&r.parser) != 0);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    hf_result result = read_stream(&r);
    yaml_parser_delete(&r.parser);
    if (!hf_ok(result)) {
        hf_yaml_free(doc);
        return result;
    }
    *ret = doc;
    return hf_done();
}

static hf_result read_file(const char *path, struct hf_buf *out, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int saved = errno;
        if (saved == ENOENT) {
            return hf_fail(err, HF_E_NOT_FOUND, "%s: no such file", path);
        }
        return hf_fail_errno(err, saved, "cannot open %s", path);
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return hf_fail(err, HF_E_INVALID, "%s: not a regular file", path);
    }
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return hf_fail_errno(err, errno, "cannot read %s", path);
        }
        if (n == 0) {
            return hf_done();
        }
        if (!hf_ok(hf_buf_append(out, chunk, (size_t)n, NULL))) {
            return hf_fail(err, HF_E_LIMIT, "%s: larger than %d bytes", path, HF_YAML_MAX_BYTES);
        }
    }
}

hf_result hf_yaml_load(const char *path, struct hf_yaml_doc **ret, struct hf_err *err)
{
    HF_BUF(text, HF_YAML_MAX_BYTES);
    HF_TRY(read_file(path, &text, err));
    return hf_yaml_parse(path, hf_buf_text(&text), text.len, ret, err);
}

void hf_yaml_free(struct hf_yaml_doc *doc)
{
    if (doc != NULL) {
        hf_arena_free(doc->arena);
        hf_free(doc->name);
        hf_free(doc);
    }
}

const struct hf_yaml *hf_yaml_root(const struct hf_yaml_doc *doc)
{
    return doc->root;
}

const char *hf_yaml_name(const struct hf_yaml_doc *doc)
{
    return doc->name;
}

const struct hf_yaml *hf_yaml_member(const struct hf_yaml *map, const char *key)
{
    if (map == NULL || map->kind != HF_YAML_MAP) {
        return NULL;
    }
    for (const struct hf_yaml *m = map->first; m != NULL; m = m->next) {
        if (strcmp(m->key, key) == 0) {
            return m;
        }
    }
    return NULL;
}
