/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/fault.h"

enum { READ_SIZE = 256 * 1024, PUT_TRIES = 2 };

struct posix_writer {
    struct hf_store_writer base;
    struct hf_posix_temp temp;
};

static struct hf_posix_store *posix_of(struct hf_store *store)
{
    return (struct hf_posix_store *)store;
}

static void posix_close(struct hf_store *store)
{
    struct hf_posix_store *s = posix_of(store);
    (void)close(s->root);
    hf_free(s->path);
    if (s->temp >= 0) {
        (void)close(s->temp);
    }
    (void)pthread_mutex_destroy(&s->lock);
    hf_free(s);
}

static hf_result posix_conditional(struct hf_store *store, bool *ret, struct hf_err *err)
{
    return hf_posix_temp_links(posix_of(store), ret, err);
}

/* Writes all of it under +tmp and makes the content durable. */
static hf_result write_temp(struct hf_posix_store *s, const void *bytes, size_t len,
                            struct hf_posix_temp *ret, struct hf_err *err)
{
    struct hf_posix_temp t = {.fd = -1};
    HF_TRY(hf_posix_temp_open(s, &t, err));
    hf_result r = hf_posix_temp_write(&t, bytes, len, err);
    if (hf_ok(r)) {
        r = hf_posix_temp_finish(&t, err);
    }
    if (!hf_ok(r)) {
        hf_posix_temp_drop(s, &t);
        return r;
    }
    *ret = t;
    return hf_done();
}

static hf_result posix_put(struct hf_store *store, const char *key, const void *bytes, size_t len,
                           bool create_once, struct hf_err *err)
{
    struct hf_posix_store *s = posix_of(store);
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    struct hf_posix_temp t = {.fd = -1};
    hf_result r = hf_done();
    /* after a failed fsync the whole file is written anew, once; the fsync is never repeated */
    for (int i = 0; i < PUT_TRIES; i++) {
        r = write_temp(s, bytes, len, &t, err);
        if (hf_ok(r)) {
            break;
        }
    }
    HF_TRY(r);
    return hf_posix_temp_publish(s, &t, full, create_once, err);
}

static hf_result posix_writer_open(struct hf_store *store, const char *key,
                                   struct hf_store_writer **ret, struct hf_err *err)
{
    (void)key; /* where it goes is known at commit */
    struct hf_posix_temp t = {.fd = -1};
    HF_TRY(hf_posix_temp_open(posix_of(store), &t, err));
    struct posix_writer *w = hf_alloc(sizeof *w);
    w->temp = t;
    *ret = &w->base;
    return hf_done();
}

static hf_result posix_writer_write(struct hf_store_writer *base, const void *bytes, size_t len,
                                    struct hf_err *err)
{
    struct posix_writer *w = (struct posix_writer *)base;
    return hf_posix_temp_write(&w->temp, bytes, len, err);
}

static void posix_writer_abort(struct hf_store_writer *base)
{
    struct posix_writer *w = (struct posix_writer *)base;
    hf_posix_temp_drop(posix_of(base->store), &w->temp);
    hf_free(w);
}

static hf_result posix_writer_commit(struct hf_store_writer *base, struct hf_err *err)
{
    struct posix_writer *w = (struct posix_writer *)base;
    struct hf_posix_store *s = posix_of(base->store);
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(base->store, base->key, full);
    hf_result r = hf_posix_temp_finish(&w->temp, err);
    if (hf_ok(r)) {
        r = hf_posix_temp_publish(s, &w->temp, full, true, err);
    }
    posix_writer_abort(base);
    return r;
}

/* Opens an object for reading. */
static hf_result open_object(struct hf_store *store, const char *key, int *ret_fd,
                             struct stat *ret_stat, struct hf_err *err)
{
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    HF_AUTOCLOSE int dir = -1;
    const char *leaf = NULL;
    HF_TRY(hf_posix_open_parent(posix_of(store), full, false, &dir, &leaf, err));
    HF_AUTOCLOSE int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int saved = errno;
        if (saved == ENOENT) {
            return hf_fail(err, HF_E_NOT_FOUND, "does not exist");
        }
        if (saved == ELOOP) {
            return hf_fail(err, HF_E_DENIED, "is a symbolic link; those are not followed");
        }
        return hf_fail_errno(err, saved, "open");
    }
    if (fstat(fd, ret_stat) != 0) {
        return hf_fail_errno(err, errno, "stat");
    }
    if (S_ISDIR(ret_stat->st_mode)) {
        return hf_fail(err, HF_E_NOT_FOUND, "does not exist (a directory has this name)");
    }
    if (!S_ISREG(ret_stat->st_mode)) {
        return hf_fail(err, HF_E_DENIED, "is no regular file");
    }
    *ret_fd = fd;
    fd = -1;
    return hf_done();
}

static hf_result read_range(int fd, uint64_t offset, uint64_t len, hf_store_sink sink, void *arg,
                            struct hf_err *err)
{
    HF_AUTOFREE char *room = hf_alloc(READ_SIZE);
    while (len > 0) {
        size_t want = len < READ_SIZE ? (size_t)len : READ_SIZE;
        ssize_t n = pread(fd, room, want, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hf_fail_errno(err, errno, "read");
        }
        if (n == 0) {
            return hf_fail(err, HF_E_CORRUPT, "became shorter while being read");
        }
        HF_TRY(sink(arg, room, (size_t)n, err));
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return hf_done();
}

static hf_result posix_get(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                           hf_store_sink sink, void *arg, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = -1;
    struct stat st;
    HF_TRY(open_object(store, key, &fd, &st, err));
    uint64_t size = (uint64_t)st.st_size;
    if (offset > size || (len != UINT64_MAX && len > size - offset)) {
        return hf_fail(err, HF_E_CORRUPT,
                       "has %" PRIu64 " bytes, the range from %" PRIu64 " goes beyond", size,
                       offset);
    }
    if (len == UINT64_MAX) {
        len = size - offset;
    }
    (void)posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_SEQUENTIAL);
    return read_range(fd, offset, len, sink, arg, err);
}

static hf_result posix_head(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                            struct hf_err *err)
{
    HF_AUTOCLOSE int fd = -1;
    struct stat st;
    HF_TRY(open_object(store, key, &fd, &st, err));
    ret->size = (uint64_t)st.st_size;
    ret->modified = (hf_wall){st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000};
    return hf_done();
}

static hf_result posix_remove(struct hf_store *store, const char *key, struct hf_err *err)
{
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    HF_AUTOCLOSE int dir = -1;
    const char *leaf = NULL;
    hf_result r = hf_posix_open_parent(posix_of(store), full, false, &dir, &leaf, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_done();
    }
    HF_TRY(r);
    HF_FAULT("posix.unlink", err);
    if (unlinkat(dir, leaf, 0) != 0) {
        int saved = errno;
        if (saved == ENOENT || saved == EISDIR) {
            return hf_done();
        }
        return hf_fail_errno(err, saved, "unlink");
    }
    HF_TRY(hf_posix_sync_dir(dir, err));
    hf_posix_prune(posix_of(store), full);
    return hf_done();
}

static const struct hf_store_driver POSIX_DRIVER = {
    .close = posix_close,
    .conditional = posix_conditional,
    .put = posix_put,
    .writer_open = posix_writer_open,
    .writer_write = posix_writer_write,
    .writer_commit = posix_writer_commit,
    .writer_abort = posix_writer_abort,
    .get = posix_get,
    .head = posix_head,
    .list = hf_posix_list,
    .remove = posix_remove,
};

hf_result hf_store_posix_open(const struct hf_store_config *config, struct hf_store **ret,
                              struct hf_err *err)
{
    if (config->path == NULL || config->path[0] != '/') {
        return hf_fail(err, HF_E_INVALID, "path: an absolute directory is needed");
    }
    HF_AUTOCLOSE int root = open(config->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        int saved = errno;
        if (saved == ENOENT || saved == ENOTDIR) {
            return hf_fail(err, HF_E_UNREACHABLE, "%s: no such directory (is it mounted?)",
                           config->path);
        }
        return hf_fail_errno(err, saved, "open directory %s", config->path);
    }
    struct hf_posix_store *s = hf_alloc(sizeof *s);
    s->base.driver = &POSIX_DRIVER;
    s->root = root;
    s->path = hf_strdup(config->path);
    s->temp = -1;
    HF_ASSERT(pthread_mutex_init(&s->lock, NULL) == 0);
    root = -1;
    *ret = &s->base;
    return hf_done();
}
