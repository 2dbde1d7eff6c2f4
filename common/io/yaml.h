/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML files into a small tree whose nodes know their line and column. The only module that uses
 * libyaml. A safe subset: one document, maps, lists and scalars; anchors, aliases, tags, duplicate
 * keys and keys that are not scalars are refused.
 * Invariant: whatever the file holds, at most HF_YAML_MAX_BYTES are read, the depth is at most
 * HF_YAML_MAX_DEPTH, the nodes at most HF_YAML_MAX_NODES.
 */
#ifndef HF_IO_YAML_H
#define HF_IO_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

enum {
    HF_YAML_MAX_BYTES = 1024 * 1024,
    HF_YAML_MAX_DEPTH = 16,
    HF_YAML_MAX_NODES = 65536,
    HF_YAML_MAX_MEMBERS = 4096 /* keys of one map */
};

enum hf_yaml_kind { HF_YAML_SCALAR, HF_YAML_LIST, HF_YAML_MAP };

struct hf_yaml {
    enum hf_yaml_kind kind;
    int line, column; /* of the value, from 1 */
    const char *key;  /* of a map's member, else NULL */
    int key_line, key_column;
    const char *text;            /* scalar: its text, never NULL */
    bool quoted;                 /* scalar: written with quotes or as a block */
    size_t count;                /* list, map: children */
    const struct hf_yaml *first; /* list, map */
    const struct hf_yaml *next;  /* sibling */
};

struct hf_yaml_doc;

/* Texts: "FILE:LINE:COL: ...". HF_E_INVALID, HF_E_LIMIT, HF_E_NOT_FOUND, HF_E_IO. The caller frees.
 * An empty document is an empty map. */
hf_result hf_yaml_load(const char *path, struct hf_yaml_doc **ret, struct hf_err *err) HF_MUST_USE;
/* name stands for the file in messages. */
hf_result hf_yaml_parse(const char *name, const char *text, size_t len, struct hf_yaml_doc **ret,
                        struct hf_err *err) HF_MUST_USE;
void hf_yaml_free(struct hf_yaml_doc *doc); /* NULL allowed */

const struct hf_yaml *hf_yaml_root(const struct hf_yaml_doc *doc);
const char *hf_yaml_name(const struct hf_yaml_doc *doc);
/* NULL when absent. */
const struct hf_yaml *hf_yaml_member(const struct hf_yaml *map, const char *key);

#endif
