/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/pgconf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/io/files.h"

enum { PATH_BYTES = 1200 };

/* Length of the setting's name at the beginning of a line, 0 for a comment or an empty line. */
static size_t name_of(const char *line, size_t len, const char **ret_name)
{
    size_t at = 0;
    while (at < len && (line[at] == ' ' || line[at] == '\t')) {
        at++;
    }
    size_t from = at;
    while (at < len && (isalnum((unsigned char)line[at]) || line[at] == '_' || line[at] == '.')) {
        at++;
    }
    *ret_name = line + from;
    return at - from;
}

static bool is_setting(const char *line, size_t len, const char *name)
{
    const char *found;
    size_t n = name_of(line, len, &found);
    return n == strlen(name) && strncasecmp(found, name, n) == 0;
}

static bool is_ours(const char *line, size_t len, const struct hf_pgconf_entry *entries,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_setting(line, len, entries[i].name)) {
            return true;
        }
    }
    return false;
}

/* name = 'value': quotes doubled, backslashes doubled (PostgreSQL: guc-file.l). */
static hf_result append_entry(struct hf_buf *out, const struct hf_pgconf_entry *e,
                              struct hf_err *err)
{
    HF_TRY(hf_buf_printf(out, err, "%s = '", e->name));
    for (const char *p = e->value; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ') {
            return hf_fail(err, HF_E_INVALID, "%s: control characters are not allowed", e->name);
        }
        if (*p == '\'' || *p == '\\') {
            HF_TRY(hf_buf_append(out, p, 1, err));
        }
        HF_TRY(hf_buf_append(out, p, 1, err));
    }
    return hf_buf_append_str(out, "'\n", err);
}

hf_result hf_pgconf_merge(const char *text, const struct hf_pgconf_entry *entries, size_t count,
                          struct hf_buf *out, struct hf_err *err)
{
    while (*text != '\0') {
        const char *newline = strchr(text, '\n');
        size_t len = newline != NULL ? (size_t)(newline - text) : strlen(text);
        if (!is_ours(text, len, entries, count)) {
            HF_TRY(hf_buf_append(out, text, len, err));
            HF_TRY(hf_buf_append_str(out, "\n", err));
        }
        text += len + (newline != NULL ? 1 : 0);
    }
    for (size_t i = 0; i < count; i++) {
        if (entries[i].value != NULL) {
            HF_TRY(append_entry(out, &entries[i], err));
        }
    }
    return hf_done();
}

static hf_result read_conf(const char *data_dir, char *path, struct hf_buf *ret, struct hf_err *err)
{
    snprintf(path, PATH_BYTES, "%s/postgresql.auto.conf", data_dir);
    if (!hf_file_exists(path)) {
        return hf_done();
    }
    return hf_file_read(path, ret, err);
}

hf_result hf_pgconf_set(const char *data_dir, const struct hf_pgconf_entry *entries, size_t count,
                        struct hf_err *err)
{
    char path[PATH_BYTES];
    HF_BUF(before, HF_PGCONF_FILE_MAX);
    HF_BUF(after, HF_PGCONF_FILE_MAX);
    HF_TRY(read_conf(data_dir, path, &before, err));
    HF_TRY(hf_pgconf_merge(hf_buf_text(&before), entries, count, &after, err));
    if (after.len == before.len && strcmp(hf_buf_text(&after), hf_buf_text(&before)) == 0) {
        return hf_done();
    }
    return hf_file_write_durable(path, hf_buf_text(&after), after.len, 0600, err);
}

hf_result hf_pgconf_get(const char *data_dir, const char *name, char *ret, size_t size,
                        struct hf_err *err)
{
    char path[PATH_BYTES];
    HF_BUF(text, HF_PGCONF_FILE_MAX);
    HF_TRY(read_conf(data_dir, path, &text, err));
    const char *value = NULL;
    for (const char *line = hf_buf_text(&text); *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (is_setting(line, len, name)) {
            const char *quote = memchr(line, '\'', len);
            value = quote != NULL ? quote + 1 : value;
        }
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    if (value == NULL) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s: no %s", path, name);
    }
    size_t n = 0;
    for (const char *p = value; *p != '\0' && *p != '\n'; p++) {
        if (*p == '\'' && p[1] != '\'') {
            break;
        }
        if (*p == '\'' || *p == '\\') {
            p++;
        }
        if (n + 1 >= size) {
            return hf_fail(err, HF_E_LIMIT, "%s: %s is longer than %zu", path, name, size - 1);
        }
        ret[n++] = *p;
    }
    ret[n] = '\0';
    return hf_done();
}

hf_result hf_pgconf_signal_put(const char *data_dir, struct hf_err *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/standby.signal", data_dir);
    return hf_file_exists(path) ? hf_done() : hf_file_write_durable(path, "", 0, 0600, err);
}

hf_result hf_pgconf_signal_remove(const char *data_dir, struct hf_err *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/standby.signal", data_dir);
    HF_TRY(hf_file_remove_durable(path, err));
    snprintf(path, sizeof(path), "%s/recovery.signal", data_dir);
    return hf_file_remove_durable(path, err);
}

hf_result hf_pgconf_conninfo(struct hf_buf *out, const char *key, const char *value,
                             struct hf_err *err)
{
    HF_TRY(hf_buf_printf(out, err, "%s%s='", out->len > 0 ? " " : "", key));
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\'' || *p == '\\') {
            HF_TRY(hf_buf_append_str(out, "\\", err));
        }
        HF_TRY(hf_buf_append(out, p, 1, err));
    }
    return hf_buf_append_str(out, "'", err);
}

hf_result hf_pgconf_shell_word(struct hf_buf *out, const char *word, struct hf_err *err)
{
    for (const char *p = word; *p != '\0'; p++) {
        if (*p == '\'' || *p == '%' || (unsigned char)*p < ' ') {
            return hf_fail(err, HF_E_INVALID,
                           "\"%s\": a path in a command of PostgreSQL may hold no quote, percent "
                           "sign or control character",
                           word);
        }
    }
    return hf_buf_printf(out, err, "'%s'", word);
}

void hf_pgconf_slot_name(const char *node, char *ret, size_t size)
{
    HF_ASSERT(size >= 80);
    int n = snprintf(ret, size, "holdfast_%.63s", node);
    if (n > 63) { /* PostgreSQL: NAMEDATALEN - 1 */
        ret[63] = '\0';
    }
    for (char *p = ret; *p != '\0'; p++) {
        *p = *p == '-' ? '_' : *p;
    }
}
