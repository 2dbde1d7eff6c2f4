/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/ctl/table.h"

#include <stdlib.h>
#include <string.h>

#include <libsmartcols/libsmartcols.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

enum { MAX_COLUMNS = 16, CELL_MAX = 512, PRINTED_MAX = 4 * 1024 * 1024 };

struct hf_ctl_table {
    struct libscols_table *table;
    const struct hf_ctl_column *columns;
    size_t count;
};

static hf_result failed(struct hf_err *err)
{
    return hf_fail(err, HF_E_INTERNAL, "cannot make a table");
}

/* libsmartcols knows one separator for all columns: wider gaps are part of the texts. */
static hf_result with_gap(const struct hf_ctl_column *column, bool last, const char *text,
                          struct hf_buf *ret, struct hf_err *err)
{
    hf_buf_reset(ret);
    HF_TRY(hf_buf_printf(ret, err, "%.*s", CELL_MAX - 16, text));
    for (int i = 1; i < column->gap && !last; i++) {
        HF_TRY(hf_buf_append_str(ret, " ", err));
    }
    return hf_done();
}

hf_result hf_ctl_table_new(const struct hf_ctl_column *columns, struct hf_ctl_table **ret,
                           struct hf_err *err)
{
    HF_AUTOTABLE struct hf_ctl_table *t = hf_alloc(sizeof *t);
    t->columns = columns;
    while (columns[t->count].title != NULL) {
        t->count++;
    }
    HF_ASSERT(t->count <= MAX_COLUMNS);
    t->table = scols_new_table();
    if (t->table == NULL || scols_table_set_column_separator(t->table, " ") != 0) {
        return failed(err);
    }
    HF_BUF(title, CELL_MAX);
    for (size_t i = 0; i < t->count; i++) {
        HF_TRY(with_gap(&columns[i], i + 1 == t->count, columns[i].title, &title, err));
        if (scols_table_new_column(t->table, hf_buf_text(&title), 0,
                                   columns[i].right ? SCOLS_FL_RIGHT : 0) == NULL) {
            return failed(err);
        }
    }
    *ret = t;
    t = NULL;
    return hf_done();
}

void hf_ctl_table_free(struct hf_ctl_table *t)
{
    if (t != NULL) {
        scols_unref_table(t->table);
        hf_free(t);
    }
}

void hf_ctl_table_cleanup(struct hf_ctl_table **t)
{
    hf_ctl_table_free(*t);
    *t = NULL;
}

hf_result hf_ctl_table_row(struct hf_ctl_table *t, const char *const *cells, struct hf_err *err)
{
    struct libscols_line *line = scols_table_new_line(t->table, NULL);
    if (line == NULL) {
        return failed(err);
    }
    HF_BUF(cell, CELL_MAX);
    for (size_t i = 0; i < t->count; i++) {
        HF_TRY(with_gap(&t->columns[i], i + 1 == t->count, cells[i], &cell, err));
        if (scols_line_set_data(line, i, hf_buf_text(&cell)) != 0) {
            return failed(err);
        }
    }
    return hf_done();
}

/* Lines without the blanks that fill the last column. */
static hf_result put_trimmed(const char *text, FILE *out, struct hf_err *err)
{
    for (const char *line = text; *line != '\0';) {
        size_t n = strcspn(line, "\n");
        size_t len = n;
        while (len > 0 && line[len - 1] == ' ') {
            len--;
        }
        if (fprintf(out, "%.*s\n", (int)len, line) < 0) {
            return hf_fail(err, HF_E_IO, "cannot write the table");
        }
        line += n + (line[n] == '\n');
    }
    return hf_done();
}

hf_result hf_ctl_table_print(struct hf_ctl_table *t, FILE *out, struct hf_err *err)
{
    char *text = NULL;
    /* not cut at the terminal's width: a table that is piped or copied stays whole */
    if (scols_table_set_termforce(t->table, SCOLS_TERMFORCE_NEVER) != 0 ||
        scols_print_table_to_string(t->table, &text) != 0) {
        return failed(err);
    }
    hf_result r = put_trimmed(text == NULL ? "" : text, out, err);
    free(text);
    return r;
}
