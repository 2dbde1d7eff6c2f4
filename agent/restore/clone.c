/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes a restored directory a clone that touches nothing of its cluster (rule B12).
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/restore/restore_internal.h"

/* Libraries that only watch or that tables need to be read; whatever runs jobs or archives by
 * itself (pg_cron, holdfast) is not among them. */
static const char *const PRELOAD[] = {"pg_stat_statements", "auto_explain", "pgaudit",
                                      "pg_hint_plan",       "timescaledb",  NULL};

/* "name = 'value'" of one line; true when it gives `name` a value. */
static bool line_value(const char *line, size_t len, const char *name, char *ret, size_t size)
{
    const char *end = line + len;
    const char *at = line;
    size_t n = strlen(name);
    while (at < end && isspace((unsigned char)*at)) {
        at++;
    }
    if ((size_t)(end - at) <= n || strncasecmp(at, name, n) != 0) {
        return false;
    }
    at += n;
    if (*at != '=' && !isspace((unsigned char)*at)) {
        return false;
    }
    while (at < end && (isspace((unsigned char)*at) || *at == '=')) {
        at++;
    }
    size_t used = 0;
    bool quoted = at < end && *at == '\'';
    at += quoted ? 1 : 0;
    for (; at < end && used + 1 < size; at++) {
        if (quoted && *at == '\'' && (at + 1 == end || at[1] != '\'')) {
            break;
        }
        if (quoted && *at == '\'') {
            at++; /* doubled */
        }
        if (!quoted && (*at == '#' || isspace((unsigned char)*at))) {
            break;
        }
        ret[used++] = *at;
    }
    ret[used] = '\0';
    return true;
}

void hf_restore_setting(const char *text, const char *name, char *ret, size_t size)
{
    ret[0] = '\0';
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        (void)line_value(line, len, name, ret, size);
        line += len;
        line += *line == '\n' ? 1 : 0;
    }
}

static bool allowed(const char *const *list, const char *name, size_t len)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (strlen(list[i]) == len && strncmp(list[i], name, len) == 0) {
            return true;
        }
    }
    return false;
}

static hf_result preload(const struct hf_restore *r, const char *existing, struct hf_buf *out,
                         struct hf_err *err)
{
    const char *const *list = r->request->preload != NULL ? r->request->preload : PRELOAD;
    char value[1024];
    bool first = true;
    hf_restore_setting(existing, "shared_preload_libraries", value, sizeof(value));
    HF_TRY(hf_buf_append_str(out, "shared_preload_libraries = '", err));
    for (const char *at = value; *at != '\0';) {
        at += strspn(at, ", \"");
        size_t len = strcspn(at, ", \"");
        if (len > 0 && allowed(list, at, len)) {
            HF_TRY(hf_buf_printf(out, err, "%s%.*s", first ? "" : ",", (int)len, at));
            first = false;
        }
        at += len;
    }
    return hf_buf_append_str(out, "'\n", err);
}

hf_result hf_restore_clone_settings(const struct hf_restore *r, const char *existing,
                                    struct hf_buf *out, struct hf_err *err)
{
    const struct hf_restore_request *q = r->request;
    HF_TRY(hf_buf_append_str(out,
                             "archive_mode = 'off'\n"
                             "synchronous_standby_names = ''\n"
                             "primary_conninfo = ''\n"
                             "primary_slot_name = ''\n"
                             "max_logical_replication_workers = '0'\n",
                             err));
    if (r->manifest->pg_version_num >= 150000) {
        HF_TRY(hf_buf_append_str(out, "archive_library = ''\n", err));
    }
    HF_TRY(preload(r, existing, out, err));
    if (q->port != 0) {
        HF_TRY(hf_buf_printf(out, err, "port = '%u'\n", q->port));
    }
    if (q->socket_dir != NULL) {
        HF_TRY(hf_buf_printf(out, err, "unix_socket_directories = '%s'\n", q->socket_dir));
    }
    return hf_done();
}
