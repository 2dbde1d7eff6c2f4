/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables on a terminal (the only module that uses libsmartcols).
 * Invariant: columns line up whatever the texts hold; control characters are never printed.
 */
#ifndef HF_CTL_TABLE_H
#define HF_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/err.h"

struct hf_ctl_column {
    const char *title; /* NULL ends the list */
    bool right;
    int gap; /* spaces after it; 0 = 1 */
};

struct hf_ctl_table;
hf_result hf_ctl_table_new(const struct hf_ctl_column *columns, struct hf_ctl_table **ret,
                           struct hf_err *err) HF_MUST_USE;
void hf_ctl_table_free(struct hf_ctl_table *t);
void hf_ctl_table_cleanup(struct hf_ctl_table **t);
#define HF_AUTOTABLE __attribute__((cleanup(hf_ctl_table_cleanup)))

/* One text a column, copied. */
hf_result hf_ctl_table_row(struct hf_ctl_table *t, const char *const *cells,
                           struct hf_err *err) HF_MUST_USE;
hf_result hf_ctl_table_print(struct hf_ctl_table *t, FILE *out, struct hf_err *err) HF_MUST_USE;

#endif
