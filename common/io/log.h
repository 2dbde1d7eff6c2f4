/* SPDX-License-Identifier: Apache-2.0
 *
 * Structured log: a level, a stable event id, a constant text, typed key=value fields. Goes to
 * journald as fields when the process runs under systemd (or so configured), else to standard
 * error, one line an event with the UTC time. Invariants: thread safe; a line is at most 4 KiB and
 * control characters in values are escaped, so that data cannot forge a line; no more than 50 lines
 * of one event id in 10 s (suppressed ones are counted and reported); secrets have no field type.
 * Edges log once, at the outermost place; cores do not log.
 */
#ifndef HF_IO_LOG_H
#define HF_IO_LOG_H

#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_NOTICE, HF_LOG_WARNING, HF_LOG_ERROR };
enum hf_log_target { HF_LOG_AUTO, HF_LOG_STDERR, HF_LOG_JOURNALD };

/* Before threads start; may be called again. program: for the line's prefix, constant string.
 * Without a call: INFO, AUTO. */
void hf_log_init(const char *program, enum hf_log_level level, enum hf_log_target target);
/* "debug" "info" "notice" "warning" "error"; "auto" "stderr" "journald". HF_E_INVALID. */
hf_result hf_log_level_parse(const char *text, enum hf_log_level *ret,
                             struct hf_err *err) HF_MUST_USE;
hf_result hf_log_target_parse(const char *text, enum hf_log_target *ret,
                              struct hf_err *err) HF_MUST_USE;

enum hf_log_kind { HF_LOG_TEXT, HF_LOG_I64, HF_LOG_U64, HF_LOG_LSN, HF_LOG_DUR, HF_LOG_BOOL };
struct hf_log_field {
    const char *key; /* [a-z][a-z0-9_]*, at most 48; NULL ends the list */
    enum hf_log_kind kind;
    union {
        const char *text; /* NULL is shown as ? */
        int64_t i64;
        uint64_t u64;
        bool yes;
    } v;
};
#define HF_KV(k, value) ((struct hf_log_field){.key = (k), .kind = HF_LOG_TEXT, .v.text = (value)})
#define HF_KV_I64(k, value)                                                                        \
    ((struct hf_log_field){.key = (k), .kind = HF_LOG_I64, .v.i64 = (value)})
#define HF_KV_U64(k, value)                                                                        \
    ((struct hf_log_field){.key = (k), .kind = HF_LOG_U64, .v.u64 = (value)})
#define HF_KV_BOOL(k, value)                                                                       \
    ((struct hf_log_field){.key = (k), .kind = HF_LOG_BOOL, .v.yes = (value)})
/* hf_lsn as X/X, hf_dur in ms with three decimals (name the key ..._ms). */
#define HF_KV_LSN(k, value)                                                                        \
    ((struct hf_log_field){.key = (k), .kind = HF_LOG_LSN, .v.u64 = (value).v})
#define HF_KV_DUR(k, value)                                                                        \
    ((struct hf_log_field){.key = (k), .kind = HF_LOG_DUR, .v.i64 = (value).us})
/* code and error text as two fields (code=, error=). */
#define HF_KV_ERR(e) HF_KV("code", hf_code_name((e)->code)), HF_KV("error", (e)->text)

/* hf_log(HF_LOG_WARNING, "STORE_UNREACHABLE", "repository cannot be reached", HF_KV("region", r))
 */
#ifdef __cppcheck__ /* version 2.10 does not parse __VA_OPT__ */
#define hf_log(level, event, text, ...) hf_log_write((level), (event), (text), NULL)
#else
#define hf_log(level, event, text, ...)                                                            \
    hf_log_write((level), (event), (text),                                                         \
                 (const struct hf_log_field[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
#endif

/* event: [A-Z][A-Z0-9_]*, constant string; text: constant, without data; fields end with a NULL
 * key, at most 24 are shown. */
void hf_log_write(enum hf_log_level level, const char *event, const char *text,
                  const struct hf_log_field *fields);

#endif
