/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/fault.h"

/* A leftover is removed when it has not been written to for STALE_S and nobody has it locked; where
 * locks do not work (some network file systems), after STALE_UNLOCKED_S. */
enum { STALE_S = 3600, STALE_UNLOCKED_S = 86400, STALE_EXAMINED = 10000, PUBLISH_TRIES = 50 };

static int lock_file(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &whole);
}

static void remove_if_stale(int dir, const char *name, time_t now)
{
    HF_AUTOCLOSE int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || now - st.st_mtime < STALE_S) {
        return;
    }
    if (lock_file(fd) != 0 &&
        (errno == EAGAIN || errno == EACCES || now - st.st_mtime < STALE_UNLOCKED_S)) {
        return;
    }
    (void)unlinkat(dir, name, 0);
}

/* now: the file system's own clock, as a file written just now shows it; that of a file server may
 * differ from this host's. */
static void remove_stale(int temp_dir, time_t now)
{
    int fd = openat(temp_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    for (int i = 0; i < STALE_EXAMINED; i++) {
        const struct dirent *e = readdir(dir);
        if (e == NULL) {
            break;
        }
        if (e->d_name[0] != '.') {
            remove_if_stale(temp_dir, e->d_name, now);
        }
    }
    (void)closedir(dir);
}

static hf_result make_temp_dir(const struct hf_posix_store *s, int *ret, struct hf_err *err)
{
    if (mkdirat(s->root, HF_POSIX_TEMP_DIR, 0750) != 0 && errno != EEXIST) {
        return hf_fail_errno(err, errno, "make directory " HF_POSIX_TEMP_DIR);
    }
    int fd = openat(s->root, HF_POSIX_TEMP_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "open directory " HF_POSIX_TEMP_DIR);
    }
    *ret = fd;
    return hf_done();
}

/* *ret_first: this handle's first write, the time to look for leftovers. */
static hf_result temp_dir(struct hf_posix_store *s, bool *ret_first, struct hf_err *err)
{
    hf_result r = hf_done();
    (void)pthread_mutex_lock(&s->lock);
    if (s->temp < 0) {
        r = make_temp_dir(s, &s->temp, err);
        *ret_first = hf_ok(r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

hf_result hf_posix_temp_open(struct hf_posix_store *s, struct hf_posix_temp *ret,
                             struct hf_err *err)
{
    HF_FAULT("posix.temp_open", err);
    bool first = false;
    HF_TRY(temp_dir(s, &first, err));
    struct hf_posix_temp t = {.fd = -1};
    uint8_t noise[8];
    char text[HF_HEX_SIZE(sizeof noise)];
    hf_random(noise, sizeof noise);
    hf_hex_encode(noise, sizeof noise, text);
    (void)snprintf(t.name, sizeof t.name, "%d-%s", (int)getpid(), text);
    HF_AUTOCLOSE int fd =
        openat(s->temp, t.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "create a temporary file");
    }
    (void)lock_file(fd); /* where locks do not work age alone protects */
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int saved = errno;
        (void)unlinkat(s->temp, t.name, 0);
        return hf_fail_errno(err, saved, "stat of a temporary file");
    }
    if (first) {
        remove_stale(s->temp, st.st_mtime);
    }
    t.dev = st.st_dev;
    t.ino = st.st_ino;
    t.fd = fd;
    fd = -1;
    *ret = t;
    return hf_done();
}

hf_result hf_posix_temp_write(struct hf_posix_temp *t, const void *bytes, size_t len,
                              struct hf_err *err)
{
    HF_FAULT("posix.write", err);
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = write(t->fd, at, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hf_fail_errno(err, errno, "write");
        }
        at += n;
        len -= (size_t)n;
    }
    return hf_done();
}

static hf_result sync_file(int fd, struct hf_err *err)
{
    HF_FAULT("posix.fsync", err);
    while (fsync(fd) != 0) {
        if (errno != EINTR) {
            /* the kernel may have dropped the dirty pages: only writing all again helps */
            return hf_fail_errno(err, errno, "fsync");
        }
    }
    return hf_done();
}

hf_result hf_posix_temp_finish(struct hf_posix_temp *t, struct hf_err *err)
{
    HF_TRY(sync_file(t->fd, err));
    int fd = t->fd;
    t->fd = -1;
    if (close(fd) != 0 && errno != EINTR) {
        return hf_fail_errno(err, errno, "close");
    }
    return hf_done();
}

void hf_posix_temp_drop(struct hf_posix_store *s, struct hf_posix_temp *t)
{
    if (t->fd >= 0) {
        (void)close(t->fd);
        t->fd = -1;
    }
    if (t->name[0] != '\0') {
        (void)unlinkat(s->temp, t->name, 0);
        t->name[0] = '\0';
    }
}

/* The name is taken: by this very file when the answer to an earlier link got lost on the way. */
static bool is_own(const struct hf_posix_temp *t, int dir, const char *leaf)
{
    struct stat st;
    return fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == t->dev &&
           st.st_ino == t->ino;
}

/* errno of giving the file its name, 0 when done. */
static int give_name(int temp_dir_fd, const struct hf_posix_temp *t, int dir, const char *leaf,
                     bool create_once)
{
    int r = create_once ? linkat(temp_dir_fd, t->name, dir, leaf, 0)
                        : renameat(temp_dir_fd, t->name, dir, leaf);
    int failed = r == 0 ? 0 : errno;
    if (create_once && failed == EEXIST && is_own(t, dir, leaf)) {
        return 0;
    }
    return failed;
}

static hf_result publish(struct hf_posix_store *s, const struct hf_posix_temp *t, const char *full,
                         bool create_once, struct hf_err *err)
{
    HF_FAULT("posix.link", err);
    int failed = ENOENT;
    /* a directory found empty may be removed by another process before its first entry comes */
    for (int i = 0; i < PUBLISH_TRIES && failed == ENOENT; i++) {
        HF_AUTOCLOSE int dir = -1;
        const char *leaf = NULL;
        hf_result r = hf_posix_open_parent(s, full, true, &dir, &leaf, err);
        if (r.code == HF_E_NOT_FOUND) {
            continue;
        }
        HF_TRY(r);
        failed = give_name(s->temp, t, dir, leaf, create_once);
        if (failed == 0 || failed == EEXIST) {
            /* also when it is another's: who then finds the same content there will call it
             * durable, and the other may have crashed before its own fsync */
            HF_TRY(hf_posix_sync_dir(dir, err));
        }
    }
    if (failed == 0) {
        return hf_done();
    }
    if (create_once && failed == EEXIST) {
        return hf_fail(err, HF_E_EXISTS, "exists already");
    }
    if (create_once && (failed == EPERM || failed == EOPNOTSUPP)) {
        return hf_fail(err, HF_E_UNSUPPORTED, "the file system has no hard links");
    }
    return hf_fail_errno(err, failed, "give the object its name");
}

hf_result hf_posix_temp_publish(struct hf_posix_store *s, struct hf_posix_temp *t, const char *full,
                                bool create_once, struct hf_err *err)
{
    hf_result r = publish(s, t, full, create_once, err);
    hf_posix_temp_drop(s, t);
    return r;
}

hf_result hf_posix_temp_links(struct hf_posix_store *s, bool *ret, struct hf_err *err)
{
    struct hf_posix_temp t = {.fd = -1};
    HF_TRY(hf_posix_temp_open(s, &t, err));
    char other[HF_POSIX_TEMP_NAME_SIZE + 4];
    (void)snprintf(other, sizeof other, "%s-l", t.name);
    int first = linkat(s->temp, t.name, s->temp, other, 0) == 0 ? 0 : errno;
    int second = linkat(s->temp, t.name, s->temp, other, 0) == 0 ? 0 : errno;
    (void)unlinkat(s->temp, other, 0);
    hf_posix_temp_drop(s, &t);
    if (first != 0 && first != EPERM && first != EOPNOTSUPP) {
        return hf_fail_errno(err, first, "link");
    }
    *ret = first == 0 && second == EEXIST;
    return hf_done();
}
