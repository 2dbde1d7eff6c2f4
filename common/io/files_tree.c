/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/files.h"

enum { TREE_DEPTH_MAX = 64 };

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

static hf_result remove_below(int parent, const char *name, dev_t device, int depth,
                              struct hf_err *err);

static hf_result remove_entry(int directory, const char *name, dev_t device, int depth,
                              struct hf_err *err)
{
    struct stat st;
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "stat %s", name);
    }
    if (S_ISDIR(st.st_mode)) {
        return remove_below(directory, name, device, depth + 1, err);
    }
    if (unlinkat(directory, name, 0) != 0 && errno != ENOENT) {
        return hf_fail_errno(err, errno, "unlink %s", name);
    }
    return hf_done();
}

static hf_result remove_below(int parent, const char *name, dev_t device, int depth,
                              struct hf_err *err)
{
    if (depth > TREE_DEPTH_MAX) {
        return hf_fail(err, HF_E_LIMIT, "deeper than %d directories", TREE_DEPTH_MAX);
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "open %s", name);
    }
    struct stat st;
    __attribute__((cleanup(closedir_cleanup))) DIR *d = fdopendir(fd);
    if (d == NULL || fstat(fd, &st) != 0) {
        return hf_fail_errno(err, errno, "open %s", name);
    }
    if (st.st_dev != device) {
        return hf_fail(err, HF_E_REFUSED, "%s is another file system", name);
    }
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (e == NULL && errno != 0) {
            return hf_fail_errno(err, errno, "list %s", name);
        }
        if (e == NULL) {
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        hf_result r = remove_entry(dirfd(d), e->d_name, device, depth, err);
        if (!hf_ok(r)) {
            return hf_fail_context(err, "%s", name);
        }
    }
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return hf_fail_errno(err, errno, "rmdir %s", name);
    }
    return hf_done();
}

hf_result hf_dir_remove_tree(const char *path, struct hf_err *err)
{
    HF_FAULT("files.remove_tree", err);
    if (path[0] != '/' || path[strspn(path, "/.")] == '\0' || strstr(path, "/..") != NULL) {
        return hf_fail(err, HF_E_INVALID, "'%s': an absolute path below / is needed", path);
    }
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "stat %s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return hf_fail(err, HF_E_INVALID, "%s is not a directory", path);
    }
    return remove_below(AT_FDCWD, path, st.st_dev, 0, err);
}
