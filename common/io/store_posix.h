/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the posix driver (store_posix*.c only).
 *
 * An object is a regular file at <path>/<prefix>/<key>. Paths are walked part by part without
 * following symbolic links below <path>, so that nothing in the tree leads out of it. New content
 * is written under <path>/+tmp ('+' is in no key, so the name cannot be one), fsynced, closed, then
 * linked (create-once) or renamed to its name, and the directory is fsynced (rule B13). Names that
 * are no keys are not ours and are never listed, read or removed.
 */
#ifndef HF_IO_STORE_POSIX_H
#define HF_IO_STORE_POSIX_H

#include <pthread.h>
#include <sys/types.h>

#include "common/io/store_driver.h"

#define HF_POSIX_TEMP_DIR "+tmp"

enum { HF_POSIX_DURABLE_SLOTS = 32, HF_POSIX_TEMP_NAME_SIZE = 64 };

struct hf_posix_store {
    struct hf_store base;
    int root;   /* directory <path> */
    char *path; /* must go on naming it */
    int temp;   /* directory +tmp; opened by the first write, under lock */
    pthread_mutex_t lock;
    /* Directories whose whole chain of entries this handle has fsynced, as "a/b/"; under lock. */
    char durable[HF_POSIX_DURABLE_SLOTS][HF_STORE_FULL_SIZE];
    unsigned next_slot;
};

/* A file being written under +tmp. */
struct hf_posix_temp {
    int fd; /* -1 once closed */
    char name[HF_POSIX_TEMP_NAME_SIZE];
    dev_t dev;
    ino_t ino;
};

/* Opens the directory that holds the object; *ret_leaf points into full. create: missing ones are
 * made, and the chain of entries is durable on return. HF_E_NOT_FOUND: without create a part is
 * missing; with create one was removed meanwhile. The caller closes. */
hf_result hf_posix_open_parent(struct hf_posix_store *s, const char *full, bool create, int *ret_fd,
                               const char **ret_leaf, struct hf_err *err) HF_MUST_USE;
/* Opens the directory named by the first len bytes of full ("" = the root itself). */
hf_result hf_posix_open_dir(struct hf_posix_store *s, const char *full, size_t len, int *ret_fd,
                            struct hf_err *err) HF_MUST_USE;
/* Removes directories left empty above full, up to the store's prefix; best effort. */
void hf_posix_prune(struct hf_posix_store *s, const char *full);

hf_result hf_posix_temp_open(struct hf_posix_store *s, struct hf_posix_temp *ret,
                             struct hf_err *err) HF_MUST_USE;
hf_result hf_posix_temp_write(struct hf_posix_temp *t, const void *bytes, size_t len,
                              struct hf_err *err) HF_MUST_USE;
/* fsync and close, each checked. */
hf_result hf_posix_temp_finish(struct hf_posix_temp *t, struct hf_err *err) HF_MUST_USE;
/* Gives the finished file its name, durably; the temporary name is gone whatever the result.
 * HF_E_EXISTS with create_once when the name is taken by another file. */
hf_result hf_posix_temp_publish(struct hf_posix_store *s, struct hf_posix_temp *t, const char *full,
                                bool create_once, struct hf_err *err) HF_MUST_USE;
void hf_posix_temp_drop(struct hf_posix_store *s, struct hf_posix_temp *t);
/* Whether the file system has hard links that refuse a taken name. */
hf_result hf_posix_temp_links(struct hf_posix_store *s, bool *ret, struct hf_err *err) HF_MUST_USE;

/* fsync of a directory, retried only on EINTR. */
hf_result hf_posix_sync_dir(int fd, struct hf_err *err) HF_MUST_USE;

hf_result hf_posix_list(struct hf_store *store, const char *prefix, const char *after,
                        bool delimiter, hf_store_visit visit, void *arg,
                        struct hf_err *err) HF_MUST_USE;

#endif
