/* SPDX-License-Identifier: Apache-2.0
 *
 * A repository's object store: one table of functions a driver (posix directory, S3), the same
 * keys in both. Blocking: called from worker threads and from the command line only, never from
 * the loop thread. A handle may be used by several threads at once.
 *
 * Invariants: an object is seen whole or not at all; a create-once put never replaces; what
 * hf_store_put or hf_store_writer_commit reported as done survives a crash of this host (posix:
 * rules B13; S3: the store's word). Keys are relative, made of [A-Za-z0-9._/-], at most
 * HF_STORE_KEY_SIZE with the NUL, in at most 32 parts of at most 255, none empty, "." or ".."; the
 * store's prefix is put before them by the driver. Every S3 call ends within its attempts'
 * timeouts; a directory on a network file system that hangs blocks the calling thread in the
 * kernel.
 */
#ifndef HF_IO_STORE_H
#define HF_IO_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_STORE_KEY_SIZE = 512 };

enum hf_store_type { HF_STORE_POSIX, HF_STORE_S3 };

/* Where and how; parsed from configuration. Strings are borrowed for the call of hf_store_open. */
struct hf_store_config {
    enum hf_store_type type;
    const char *name;     /* region, for messages */
    const char *prefix;   /* put before every key, may be "" */
    const char *path;     /* posix: directory, must exist */
    const char *endpoint; /* S3: "http[s]://host[:port]" */
    const char *bucket;
    const char *signing_region;
    bool host_addressing;    /* bucket as host name; default is path */
    const char *credentials; /* file: access_key_id = ..., secret_access_key = ..., optional
                                session_token = ... (lines) */
    const char *ca;          /* PEM file, NULL = the system's */
    hf_dur connect_timeout;  /* 0 = 3 s */
    hf_dur stall_timeout;    /* no byte moved for so long; 0 = 15 s */
    hf_dur total_timeout;    /* of one attempt; 0 = 120 s */
    int attempts;            /* of transient errors, with backoff and jitter; 0 = 5 */
};

struct hf_store;

/* Checks the configuration and opens; S3 makes no request yet. */
hf_result hf_store_open(const struct hf_store_config *config, struct hf_store **ret,
                        struct hf_err *err) HF_MUST_USE;
void hf_store_close(struct hf_store *store); /* NULL allowed; no call may be under way */
const char *hf_store_name(const struct hf_store *store);
enum hf_store_type hf_store_type_of(const struct hf_store *store);
/* True when create-once puts are enforced by the store itself (posix; S3 with If-None-Match, probed
 * once, rule W2). */
hf_result hf_store_conditional(struct hf_store *store, bool *ret, struct hf_err *err) HF_MUST_USE;

struct hf_store_put_options {
    bool create_once; /* fail with HF_E_EXISTS when the name is taken (content not compared) */
};
/* One object from memory, at most 5 GiB for S3. HF_E_EXISTS; HF_E_UNSUPPORTED (create_once where
 * the store cannot); HF_E_TIMEOUT: it may or may not be there, look. */
hf_result hf_store_put(struct hf_store *store, const char *key, const void *bytes, size_t len,
                       struct hf_store_put_options options, struct hf_err *err) HF_MUST_USE;

/* One object in pieces (S3: multipart above part size). Create-once where the store can; names of
 * streamed objects must be unique by construction besides. */
struct hf_store_writer;
hf_result hf_store_writer_open(struct hf_store *store, const char *key,
                               struct hf_store_writer **ret, struct hf_err *err) HF_MUST_USE;
hf_result hf_store_writer_write(struct hf_store_writer *w, const void *bytes, size_t len,
                                struct hf_err *err) HF_MUST_USE;
/* Makes it visible and durable; frees w whatever the result. HF_E_EXISTS as hf_store_put. */
hf_result hf_store_writer_commit(struct hf_store_writer *w, struct hf_err *err) HF_MUST_USE;
/* Leaves nothing behind (best effort for S3: stale uploads are collected later); frees w. */
void hf_store_writer_abort(struct hf_store_writer *w);

/* Receives pieces in order; a failure ends the read with it. */
typedef hf_result (*hf_store_sink)(void *arg, const void *bytes, size_t len, struct hf_err *err);

/* Bytes [offset, offset+len) of an object, len = UINT64_MAX: to the end. HF_E_NOT_FOUND only when
 * the store answered that the object does not exist; a range beyond the end is HF_E_CORRUPT.
 * Transient failures are retried from where they stopped. */
hf_result hf_store_get(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                       hf_store_sink sink, void *arg, struct hf_err *err) HF_MUST_USE;

struct hf_store_meta {
    uint64_t size;
    hf_wall modified;
};
hf_result hf_store_head(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                        struct hf_err *err) HF_MUST_USE;

/* Every key that begins with prefix, in byte order, read page by page; after != NULL: only keys
 * greater than it. With delimiter true, keys with a '/' beyond the prefix are folded into one call
 * with is_prefix (key ends in '/'; `after` is compared with the folded key). Objects whose names
 * are no keys are somebody else's and skipped. S3 only: the object ".create-once-probe" may be
 * there. The callback may return HF_E_CANCELED to stop early (then the call returns that). */
struct hf_store_entry {
    const char *key;
    uint64_t size;
    hf_wall modified;
    bool is_prefix;
};
typedef hf_result (*hf_store_visit)(void *arg, const struct hf_store_entry *entry,
                                    struct hf_err *err);
hf_result hf_store_list(struct hf_store *store, const char *prefix, const char *after,
                        bool delimiter, hf_store_visit visit, void *arg,
                        struct hf_err *err) HF_MUST_USE;

/* Absent is success. */
hf_result hf_store_delete(struct hf_store *store, const char *key, struct hf_err *err) HF_MUST_USE;

#endif
