/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/fault.h"

enum { DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

hf_result hf_posix_sync_dir(int fd, struct hf_err *err)
{
    HF_FAULT("posix.fsync_dir", err);
    while (fsync(fd) != 0) {
        if (errno != EINTR) {
            return hf_fail_errno(err, errno, "fsync of a directory");
        }
    }
    return hf_done();
}

static bool is_durable(struct hf_posix_store *s, const char *full, size_t len)
{
    bool found = false;
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < HF_POSIX_DURABLE_SLOTS && !found; i++) {
        found = strlen(s->durable[i]) == len && len > 0 && memcmp(s->durable[i], full, len) == 0;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

static void note_durable(struct hf_posix_store *s, const char *full, size_t len)
{
    (void)pthread_mutex_lock(&s->lock);
    char *slot = s->durable[s->next_slot++ % HF_POSIX_DURABLE_SLOTS];
    memcpy(slot, full, len);
    slot[len] = '\0';
    (void)pthread_mutex_unlock(&s->lock);
}

static void forget_durable(struct hf_posix_store *s)
{
    (void)pthread_mutex_lock(&s->lock);
    memset(s->durable, 0, sizeof s->durable);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Enters directory `part` of *fd, which it replaces. sync: the entry is fsynced even when it was
 * there, since whoever made it may not have done so yet. */
static hf_result enter(int *fd, const char *part, bool create, bool sync, struct hf_err *err)
{
    bool made = false;
    if (create) {
        made = mkdirat(*fd, part, 0750) == 0;
        if (!made && errno == ENOENT) {
            return hf_fail(err, HF_E_NOT_FOUND, "the directory around \"%s\" was removed", part);
        }
        if (!made && errno != EEXIST) {
            return hf_fail_errno(err, errno, "make directory \"%s\"", part);
        }
        if (made || sync) {
            HF_TRY(hf_posix_sync_dir(*fd, err));
        }
    }
    int next = openat(*fd, part, DIR_FLAGS);
    if (next < 0) {
        int saved = errno;
        if (saved == ENOENT) {
            return hf_fail(err, HF_E_NOT_FOUND, "directory \"%s\" does not exist", part);
        }
        if (saved == ENOTDIR || saved == ELOOP) {
            struct stat st;
            if (!create && fstatat(*fd, part, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISREG(st.st_mode)) {
                return hf_fail(err, HF_E_NOT_FOUND, "\"%s\" is an object, no directory", part);
            }
            return hf_fail(err, HF_E_DENIED,
                           "\"%s\" is no directory; symbolic links are not followed", part);
        }
        return hf_fail_errno(err, saved, "open directory \"%s\"", part);
    }
    (void)close(*fd);
    *fd = next;
    return hf_done();
}

/* The open directory stays readable when it was removed, mounted over or shut away. Whoever asks by
 * its name would get another answer: an object that is not there would look absent (rule W3), one
 * that is written would be lost. */
static hf_result still_named(const struct hf_posix_store *s, struct hf_err *err)
{
    struct stat named;
    struct stat open_one;
    if (stat(s->path, &named) != 0) {
        return hf_fail(err, HF_E_UNREACHABLE, "%s: %s", s->path, strerrordesc_np(errno));
    }
    if (fstat(s->root, &open_one) != 0 || named.st_dev != open_one.st_dev ||
        named.st_ino != open_one.st_ino) {
        return hf_fail(err, HF_E_UNREACHABLE,
                       "%s is not the directory any more that was opened (was it mounted or "
                       "replaced?)",
                       s->path);
    }
    return hf_done();
}

/* Walks the directories named by the first len bytes of full. */
static hf_result walk(struct hf_posix_store *s, const char *full, size_t len, bool create,
                      int *ret_fd, struct hf_err *err)
{
    HF_TRY(still_named(s, err));
    bool sync = create && !is_durable(s, full, len);
    HF_AUTOCLOSE int fd = openat(s->root, ".", DIR_FLAGS);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "open the repository's directory");
    }
    for (size_t at = 0; at < len;) {
        char part[256];
        size_t n = 0;
        while (at + n < len && full[at + n] != '/') {
            n++;
        }
        HF_ASSERT(n < sizeof part);
        memcpy(part, full + at, n);
        part[n] = '\0';
        HF_TRY(enter(&fd, part, create, sync, err));
        at += n + 1;
    }
    if (sync && len > 0) {
        note_durable(s, full, len);
    }
    *ret_fd = fd;
    fd = -1;
    return hf_done();
}

hf_result hf_posix_open_dir(struct hf_posix_store *s, const char *full, size_t len, int *ret_fd,
                            struct hf_err *err)
{
    return walk(s, full, len, false, ret_fd, err);
}

hf_result hf_posix_open_parent(struct hf_posix_store *s, const char *full, bool create, int *ret_fd,
                               const char **ret_leaf, struct hf_err *err)
{
    const char *slash = strrchr(full, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - full) + 1;
    HF_TRY(walk(s, full, len, create, ret_fd, err));
    *ret_leaf = full + len;
    return hf_done();
}

void hf_posix_prune(struct hf_posix_store *s, const char *full)
{
    char path[HF_STORE_FULL_SIZE];
    (void)snprintf(path, sizeof path, "%s", full);
    size_t floor = strlen(s->base.prefix);
    for (;;) {
        char *slash = strrchr(path, '/');
        if (slash == NULL || (size_t)(slash - path) < floor) {
            return;
        }
        *slash = '\0';
        HF_AUTOCLOSE int fd = -1;
        const char *leaf = NULL;
        if (!hf_ok(hf_posix_open_parent(s, path, false, &fd, &leaf, NULL))) {
            return;
        }
        if (unlinkat(fd, leaf, AT_REMOVEDIR) != 0) {
            return;
        }
        forget_durable(s);
    }
}
