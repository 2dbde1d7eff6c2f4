/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings and the signal file that the agent keeps in the data directory. Settings go to
 * postgresql.auto.conf: every server reads it last, wherever its other configuration lies, and a
 * reload applies them.
 * Invariants: lines of settings that are not ours stay as they are; the file is replaced durably,
 * never half-written; values are quoted, so that no value becomes a second setting.
 */
#ifndef HF_NODE_PGCONF_H
#define HF_NODE_PGCONF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum { HF_PGCONF_FILE_MAX = 1048576, HF_PGCONF_VALUE_SIZE = 4096 };

struct hf_pgconf_entry {
    const char *name;
    const char *value; /* NULL: remove our line */
};

/* Pure: `text` without assignments of the entries' names, then the entries. */
hf_result hf_pgconf_merge(const char *text, const struct hf_pgconf_entry *entries, size_t count,
                          struct hf_buf *out, struct hf_err *err) HF_MUST_USE;
/* Blocking. Does not write when nothing would change. */
hf_result hf_pgconf_set(const char *data_dir, const struct hf_pgconf_entry *entries, size_t count,
                        struct hf_err *err) HF_MUST_USE;
/* The value that the file assigns last; HF_E_NOT_FOUND. */
hf_result hf_pgconf_get(const char *data_dir, const char *name, char *ret, size_t size,
                        struct hf_err *err) HF_MUST_USE;

/* standby.signal: while it is there, any start comes up in recovery (rule L8). Durable. */
hf_result hf_pgconf_signal_put(const char *data_dir, struct hf_err *err) HF_MUST_USE;
hf_result hf_pgconf_signal_remove(const char *data_dir, struct hf_err *err) HF_MUST_USE;

/* Appends key='value' of a conninfo (libpq): quotes and backslashes escaped. */
hf_result hf_pgconf_conninfo(struct hf_buf *out, const char *key, const char *value,
                             struct hf_err *err) HF_MUST_USE;
/* A shell word in single quotes, for restore_command and archive_command. HF_E_INVALID: has a
 * quote, a percent sign or a control character. */
hf_result hf_pgconf_shell_word(struct hf_buf *out, const char *word,
                               struct hf_err *err) HF_MUST_USE;

/* "holdfast_eu_1" of node "eu-1". size >= 80. */
void hf_pgconf_slot_name(const char *node, char *ret, size_t size);

#endif
