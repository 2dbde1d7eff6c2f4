/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration files from one table of options: the parser, the messages, `config show` and
 * docs/configuration.md all come from it. An option is declared once: key, type, bounds, default,
 * and where its value goes in a plain struct.
 * Invariants: a struct that hf_config_load filled holds for every option either the file's value
 * or the default, within its bounds; an unknown key or a bad value is an error with
 * FILE:LINE:COL and what is allowed. No option holds a secret itself: secrets are named by path
 * or credential, so that showing a configuration shows none.
 */
#ifndef HF_IO_CONFIG_H
#define HF_IO_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum hf_option_type {
    HF_OPTION_END = 0,  /* closes a table */
    HF_OPTION_NAME,     /* hf_name */
    HF_OPTION_TEXT,     /* char[size] */
    HF_OPTION_PATH,     /* char[size]; relative to the directory of the file, stored absolute */
    HF_OPTION_URL,      /* char[size]; schemes = allowed ones; no user information in it */
    HF_OPTION_ADDRESS,  /* char[size]; HOST:PORT, [IPv6]:PORT */
    HF_OPTION_ENUM,     /* enum (int); values */
    HF_OPTION_BOOL,     /* bool */
    HF_OPTION_INT,      /* int32_t or int64_t by size; min..max */
    HF_OPTION_DURATION, /* hf_dur; min..max in microseconds */
    HF_OPTION_SIZE,     /* uint64_t; min..max in bytes */
    HF_OPTION_PERCENT,  /* int32_t, parts per million; min..max */
    HF_OPTION_TAGGED,  /* "tag" or "tag:argument": tag into an enum, argument into char[arg_size] */
    HF_OPTION_SECTION, /* nested struct; sub */
    HF_OPTION_LIST,    /* array of one scalar type; sub[0] describes the items */
    HF_OPTION_RECORDS, /* array of structs, a YAML list of maps; sub */
    HF_OPTION_MAP      /* array of structs, a YAML map: its key goes to the hf_name at the start of
                          each; sub */
};

struct hf_option {
    const char *key;
    enum hf_option_type type;
    const char *doc;      /* one line for the reference */
    const char *fallback; /* default, as it would be written; NULL = empty (0) */
    bool required;
    bool text_optional;    /* an empty text in the file is allowed */
    size_t offset;         /* in the struct of its table */
    size_t size;           /* of the value; of one item for LIST, RECORDS, MAP */
    size_t present_offset; /* SECTION: bool set when given; with has_present */
    bool has_present;
    size_t count_offset; /* LIST, RECORDS, MAP: size_t */
    size_t max_items;
    size_t min_items;
    int64_t min, max;          /* both 0 = the type's own range */
    const char *const *values; /* ENUM, TAGGED: ends with NULL; index = value. URL: schemes */
    const char *const *args;   /* TAGGED: by tag, what its argument is ("UNIT"); NULL = none */
    enum hf_option_type
        arg_type; /* HF_OPTION_NAME, HF_OPTION_TEXT, HF_OPTION_INT (int32_t, min..max) */
    size_t arg_offset, arg_size;
    const struct hf_option *sub;
};

/* For initialisers: where a member of a struct is. */
#define HF_OPTION_AT(type, member)                                                                 \
    .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
/* LIST, RECORDS, MAP: an array member and its count; max_items is the array's length. */
#define HF_OPTION_ARRAY(type, member, counter)                                                     \
    .offset = offsetof(type, member), .size = sizeof(((type *)0)->member[0]),                      \
    .max_items = sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]),                     \
    .count_offset = offsetof(type, counter)

struct hf_config;

/* Reads the file and fills *ret_values, whose struct the table describes. On failure *ret_values is
 * untouched. The returned handle serves the origin of values, free it with hf_config_free. */
hf_result hf_config_load(const char *path, const struct hf_option *table, void *ret_values,
                         size_t values_size, struct hf_config **ret,
                         struct hf_err *err) HF_MUST_USE;
/* The same from memory; relative paths are taken from directory. */
hf_result hf_config_parse(const char *name, const char *directory, const char *text, size_t len,
                          const struct hf_option *table, void *ret_values, size_t values_size,
                          struct hf_config **ret, struct hf_err *err) HF_MUST_USE;
void hf_config_free(struct hf_config *config); /* NULL allowed */
void hf_config_cleanup(struct hf_config **config);
#define HF_AUTOCONFIG __attribute__((cleanup(hf_config_cleanup)))

/* For checks between options: fails with HF_E_INVALID and "FILE:LINE:COL: PATH: ..."; the position
 * is that of the option (path "a.b", "a[2].b") or of its nearest section that the file has. */
hf_result hf_config_fail(const struct hf_config *config, const char *path, struct hf_err *err,
                         const char *format, ...) HF_PRINTF(4, 5) HF_MUST_USE;
bool hf_config_given(const struct hf_config *config, const char *path);

/* Effective values, a line each: "path: value   # FILE:LINE" or "# default". */
hf_result hf_config_show(const struct hf_config *config, const void *values, struct hf_buf *out,
                         struct hf_err *err) HF_MUST_USE;
/* Markdown tables for docs/configuration.md. */
hf_result hf_config_docs(const struct hf_option *table, struct hf_buf *out,
                         struct hf_err *err) HF_MUST_USE;

/* Path of a credential of systemd ($CREDENTIALS_DIRECTORY/name). HF_E_NOT_FOUND when not set. */
hf_result hf_config_credential_path(const char *name, char *ret, size_t size,
                                    struct hf_err *err) HF_MUST_USE;

#endif
