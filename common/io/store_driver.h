/* SPDX-License-Identifier: Apache-2.0
 *
 * Between store.c and its drivers; nothing else includes it. store.c has checked keys, prefixes and
 * arguments before a driver is called, puts store and key into error texts, and passes the fault
 * points; a driver puts the store's prefix before keys (hf_store_full_key).
 */
#ifndef HF_IO_STORE_DRIVER_H
#define HF_IO_STORE_DRIVER_H

#include "common/io/store.h"

enum { HF_STORE_PREFIX_SIZE = 256, HF_STORE_FULL_SIZE = HF_STORE_PREFIX_SIZE + HF_STORE_KEY_SIZE };

struct hf_store_driver {
    void (*close)(struct hf_store *store); /* frees it */
    hf_result (*conditional)(struct hf_store *store, bool *ret, struct hf_err *err);
    hf_result (*put)(struct hf_store *store, const char *key, const void *bytes, size_t len,
                     bool create_once, struct hf_err *err);
    hf_result (*writer_open)(struct hf_store *store, const char *key, struct hf_store_writer **ret,
                             struct hf_err *err);
    hf_result (*writer_write)(struct hf_store_writer *w, const void *bytes, size_t len,
                              struct hf_err *err);
    hf_result (*writer_commit)(struct hf_store_writer *w, struct hf_err *err); /* frees w */
    void (*writer_abort)(struct hf_store_writer *w);                           /* frees w */
    hf_result (*get)(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                     hf_store_sink sink, void *arg, struct hf_err *err);
    hf_result (*head)(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                      struct hf_err *err);
    hf_result (*list)(struct hf_store *store, const char *prefix, const char *after, bool delimiter,
                      hf_store_visit visit, void *arg, struct hf_err *err);
    hf_result (*remove)(struct hf_store *store, const char *key, struct hf_err *err);
};

/* First member of each driver's own store. */
struct hf_store {
    const struct hf_store_driver *driver;
    enum hf_store_type type;
    char name[HF_NAME_SIZE];
    char prefix[HF_STORE_PREFIX_SIZE]; /* "" or ends in '/' */
};

/* First member of each driver's own writer. */
struct hf_store_writer {
    struct hf_store *store;
    char key[HF_STORE_KEY_SIZE];
};

/* The drivers' own opening; the common part (driver, type, name, prefix) is filled by store.c. */
hf_result hf_store_posix_open(const struct hf_store_config *config, struct hf_store **ret,
                              struct hf_err *err) HF_MUST_USE;
hf_result hf_store_s3_open(const struct hf_store_config *config, struct hf_store **ret,
                           struct hf_err *err) HF_MUST_USE;

/* prefix + key; always fits. */
void hf_store_full_key(const struct hf_store *store, const char *key, char ret[HF_STORE_FULL_SIZE]);
/* Whether text is a key by the grammar of store.h. */
bool hf_store_key_valid(const char *text);

#endif
