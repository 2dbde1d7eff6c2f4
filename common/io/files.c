/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"

static hf_result open_fail(struct hf_err *err, int saved, const char *what, const char *path)
{
    if (saved == ENOENT || saved == ENOTDIR) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s: no such file", path);
    }
    return hf_fail_errno(err, saved, "%s %s", what, path);
}

static hf_result read_fd(int fd, const char *path, struct hf_buf *ret, struct hf_err *err)
{
    HF_FAULT("files.read", err);
    size_t before = ret->len;
    for (;;) {
        /* One byte of room past the maximum is not there: so try for 1 byte when it is full. */
        size_t room = ret->max - ret->len;
        char extra;
        char *to = &extra;
        size_t want = 1;
        if (room > 0) {
            want = room < 65536 ? room : 65536;
            HF_TRY(hf_buf_reserve(ret, want, &to, err));
        }
        ssize_t n = read(fd, to, want);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || room == 0) {
            if (n == 0) {
                return hf_done();
            }
            int saved = errno;
            ret->len = before;
            return n < 0 ? hf_fail_errno(err, saved, "read %s", path)
                         : hf_fail(err, HF_E_LIMIT, "%s: longer than %zu bytes", path, ret->max);
        }
        ret->len += (size_t)n;
        ret->data[ret->len] = '\0';
    }
}

hf_result hf_file_read(const char *path, struct hf_buf *ret, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return open_fail(err, errno, "open", path);
    }
    return read_fd(fd, path, ret, err);
}

hf_result hf_file_read_secret(const char *path, struct hf_buf *ret, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return open_fail(err, errno, "open", path);
    }
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    size_t n = credentials == NULL ? 0 : strlen(credentials);
    bool credential = n > 0 && strncmp(path, credentials, n) == 0 && path[n] == '/';
    if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0 && !credential) {
        return hf_fail(err, HF_E_DENIED,
                       "%s: mode %04o; a secret may not be open to others (at most 0640)", path,
                       (unsigned)(st.st_mode & 07777));
    }
    return read_fd(fd, path, ret, err);
}

hf_result hf_file_write_all(int fd, const void *bytes, size_t len, struct hf_err *err)
{
    HF_FAULT("files.write", err);
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return hf_fail_errno(err, n == 0 ? EIO : errno, "write");
        }
        p += n;
        len -= (size_t)n;
    }
    return hf_done();
}

/* The directory part of path ("." when there is none). */
static hf_result parent_of(const char *path, char *ret, size_t size, struct hf_err *err)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    if (n + 2 > size || path[0] == '\0') {
        return hf_fail(err, HF_E_INVALID, "path of %zu bytes, allowed 1 to %zu", strlen(path),
                       size - 2);
    }
    if (slash == NULL) {
        memcpy(ret, ".", 2);
    } else {
        memcpy(ret, path, n == 0 ? 1 : n);
        ret[n == 0 ? 1 : n] = '\0';
    }
    return hf_done();
}

hf_result hf_dir_sync(const char *path, struct hf_err *err)
{
    HF_FAULT("files.sync_directory", err);
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return open_fail(err, errno, "open", path);
    }
    return fsync(fd) == 0 ? hf_done() : hf_fail_errno(err, errno, "fsync of directory %s", path);
}

static hf_result sync_parent(const char *path, struct hf_err *err)
{
    char directory[PATH_MAX];
    HF_TRY(parent_of(path, directory, sizeof(directory), err));
    return hf_dir_sync(directory, err);
}

/* Writes and fsyncs a new file; on failure nothing of that name is left. */
static hf_result fill_temporary(const char *path, const void *bytes, size_t len, mode_t mode,
                                struct hf_err *err)
{
    HF_AUTOCLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return open_fail(err, errno, "create", path);
    }
    hf_result r = hf_file_write_all(fd, bytes, len, err);
#ifdef HF_FAULTS
    if (hf_ok(r) && HF_FAULT_HIT("files.fsync")) {
        r = hf_fail(err, HF_E_IO, "fault point files.fsync");
    }
#endif
    if (hf_ok(r) && fsync(fd) != 0) {
        r = hf_fail_errno(err, errno, "fsync");
    }
    int closing = fd;
    fd = -1;
    if (close(closing) != 0 && hf_ok(r)) { /* NFS reports write errors here */
        r = hf_fail_errno(err, errno, "close");
    }
    if (!hf_ok(r)) {
        (void)unlink(path);
        return hf_fail_context(err, "%s", path);
    }
    return r;
}

static hf_result temporary_name(const char *path, char *ret, size_t size, struct hf_err *err)
{
    int n = snprintf(ret, size, "%s.tmp-%016llx", path, (unsigned long long)hf_random_u64());
    if (n < 0 || (size_t)n >= size) {
        return hf_fail(err, HF_E_INVALID, "path of %zu bytes is too long", strlen(path));
    }
    return hf_done();
}

hf_result hf_file_write_durable(const char *path, const void *bytes, size_t len, mode_t mode,
                                struct hf_err *err)
{
    char temporary[PATH_MAX];
    HF_TRY(temporary_name(path, temporary, sizeof(temporary), err));
    HF_TRY(fill_temporary(temporary, bytes, len, mode, err));
#ifdef HF_FAULTS
    if (HF_FAULT_HIT("files.rename")) {
        (void)unlink(temporary);
        return hf_fail(err, HF_E_IO, "fault point files.rename");
    }
#endif
    if (rename(temporary, path) != 0) {
        int saved = errno;
        (void)unlink(temporary);
        return hf_fail_errno(err, saved, "rename to %s", path);
    }
    return sync_parent(path, err);
}

hf_result hf_file_create_once(const char *path, const void *bytes, size_t len, mode_t mode,
                              struct hf_err *err)
{
    char temporary[PATH_MAX];
    HF_TRY(temporary_name(path, temporary, sizeof(temporary), err));
    HF_TRY(fill_temporary(temporary, bytes, len, mode, err));
    hf_result r = hf_done();
    if (link(temporary, path) != 0) {
        int saved = errno;
        struct stat a;
        struct stat b;
        /* NFS may answer EEXIST to its own repeated request: the same inode is our success. */
        bool own = saved == EEXIST && stat(temporary, &a) == 0 && stat(path, &b) == 0 &&
                   a.st_ino == b.st_ino && a.st_dev == b.st_dev;
        if (saved == EEXIST && !own) {
            r = hf_fail(err, HF_E_EXISTS, "%s exists", path);
        } else if (!own) {
            r = hf_fail_errno(err, saved, "link to %s", path);
        }
    }
    (void)unlink(temporary);
    return hf_ok(r) ? sync_parent(path, err) : r;
}

hf_result hf_file_remove_durable(const char *path, struct hf_err *err)
{
    if (unlink(path) != 0) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "unlink %s", path);
    }
    return sync_parent(path, err);
}

bool hf_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

hf_result hf_dir_make(const char *path, mode_t mode, struct hf_err *err)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(part)) {
        return hf_fail(err, HF_E_INVALID, "path of %zu bytes, allowed 1 to %zu", len,
                       sizeof(part) - 1);
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) == 0) {
            HF_TRY(sync_parent(part, err));
        } else if (errno != EEXIST) {
            return hf_fail_errno(err, errno, "mkdir %s", part);
        }
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return hf_fail(err, HF_E_INVALID, "%s is not a directory", path);
    }
    return hf_done();
}
