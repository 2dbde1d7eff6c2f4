/* SPDX-License-Identifier: Apache-2.0
 *
 * pg_rewind makes every file of the directory like the source's, also those that are a node's own:
 * postgresql.conf with its port, pg_hba.conf, the certificate. They are kept aside and put back.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/node/op_rejoin.h"
#include "common/base/mem.h"
#include "common/io/files.h"

enum {
    FILE_MAX = 8 << 20,
    TOTAL_MAX = 64 << 20,
    FILES_MAX = 1024,
    DEPTH_MAX = 4,
    PATH_BYTES = HF_PATH_SIZE + 1024
};

/* What PostgreSQL makes itself at the top of its directory (storage/fd.c, postmaster.c, xlog.c,
 * backup/basebackup.c), and what it leaves when it dies. */
static const char *const FILES[] = {"PG_VERSION",
                                    "pg_*",
                                    "backup_label*",
                                    "tablespace_map*",
                                    "backup_manifest*",
                                    "postmaster.pid",
                                    "postmaster.opts",
                                    "standby.signal",
                                    "recovery.signal",
                                    "recovery.done",
                                    "promote",
                                    "logrotate",
                                    "current_logfiles*",
                                    "core",
                                    "core.*",
                                    ".s.PGSQL.*",
                                    "*.tmp",
                                    NULL};
static const char *const DIRECTORIES[] = {"base",       "global",     "pg_*", "log",
                                          "lost+found", "pgsql_tmp*", NULL};
/* Which of these names are a node's own nevertheless. */
static const char *const CONFIGURATION[] = {"pg_hba.conf", "pg_ident.conf", NULL};

static bool matches(const char *const *patterns, const char *name)
{
    for (; *patterns != NULL; patterns++) {
        if (fnmatch(*patterns, name, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool hf_rejoin_is_own(const char *name, bool is_directory)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    return is_directory ? !matches(DIRECTORIES, name)
                        : matches(CONFIGURATION, name) || !matches(FILES, name);
}

struct walk {
    const char *other; /* the directory of the same layout on the other side */
    size_t files;
    size_t bytes;
};

typedef hf_result (*visit_fn)(struct walk *w, const char *path, const char *relative,
                              const struct stat *st, struct hf_err *err);

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

/* Files and links below root/relative that are a node's own, depth first. */
static hf_result walk_own(struct walk *w, const char *root, const char *relative, int depth,
                          visit_fn visit, struct hf_err *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s%s%s", root, relative[0] != '\0' ? "/" : "", relative);
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(path);
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", path);
    }
    if (depth > DEPTH_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%s: own files lie deeper than %d directories", path,
                       (int)DEPTH_MAX);
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char below[512];
        struct stat st;
        int n = snprintf(below, sizeof(below), "%s%s%s", relative, relative[0] != '\0' ? "/" : "",
                         e->d_name);
        if (n < 0 || (size_t)n >= sizeof(below)) {
            return hf_fail(err, HF_E_LIMIT, "%s: a name below it is longer than %zu", path,
                           sizeof(below) - 1);
        }
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return hf_fail_errno(err, errno, "stat %s/%s", root, below);
        }
        bool directory = S_ISDIR(st.st_mode);
        bool dots = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
        if (dots || (depth == 0 && !hf_rejoin_is_own(e->d_name, directory))) {
            continue;
        }
        if (directory) {
            HF_TRY(walk_own(w, root, below, depth + 1, visit, err));
        } else if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) {
            snprintf(path, sizeof(path), "%s/%s", root, below);
            HF_TRY(visit(w, path, below, &st, err));
        }
    }
    return hf_done();
}

/* --- one file ------------------------------------------------------------------------------- */

static hf_result make_parent(const char *path, struct hf_err *err)
{
    char parent[PATH_BYTES];
    snprintf(parent, sizeof(parent), "%s", path);
    *strrchr(parent, '/') = '\0';
    return hf_dir_make(parent, 0700, err);
}

static hf_result link_again(const char *from, const char *to, struct hf_err *err)
{
    char target[HF_PATH_SIZE];
    ssize_t n = readlink(from, target, sizeof(target) - 1);
    if (n < 0) {
        return hf_fail_errno(err, errno, "read link %s", from);
    }
    target[n] = '\0';
    if ((unlink(to) != 0 && errno != ENOENT) || symlink(target, to) != 0) {
        return hf_fail_errno(err, errno, "link %s", to);
    }
    return hf_done();
}

static hf_result copy_one(struct walk *w, const char *path, const char *relative,
                          const struct stat *st, struct hf_err *err)
{
    char to[PATH_BYTES];
    HF_BUF(bytes, FILE_MAX);
    snprintf(to, sizeof(to), "%s/%s", w->other, relative);
    w->files++;
    w->bytes += (size_t)st->st_size;
    if (w->files > FILES_MAX || w->bytes > TOTAL_MAX) {
        return hf_fail(err, HF_E_LIMIT, "%s: more than %d own files, or %d bytes of them", path,
                       (int)FILES_MAX, (int)TOTAL_MAX);
    }
    HF_TRY(make_parent(to, err));
    if (S_ISLNK(st->st_mode)) {
        return link_again(path, to, err);
    }
    HF_TRY(hf_file_read(path, &bytes, err));
    return hf_file_write_durable(to, bytes.data, bytes.len, st->st_mode & 07777, err);
}

/* What the source has and this node had not. */
static hf_result remove_foreign(struct walk *w, const char *path, const char *relative,
                                const struct stat *st, struct hf_err *err)
{
    char kept[PATH_BYTES];
    struct stat there;
    (void)st;
    snprintf(kept, sizeof(kept), "%s/%s", w->other, relative);
    return lstat(kept, &there) == 0 ? hf_done() : hf_file_remove_durable(path, err);
}

hf_result hf_rejoin_keep(const char *data_dir, const char *keep, struct hf_err *err)
{
    struct walk w = {.other = keep};
    HF_TRY(hf_dir_remove_tree(keep, err));
    HF_TRY(hf_dir_make(keep, 0700, err));
    HF_TRY(walk_own(&w, data_dir, "", 0, copy_one, err));
    return hf_dir_sync(keep, err);
}

hf_result hf_rejoin_put_back(const char *data_dir, const char *keep, struct hf_err *err)
{
    struct walk removing = {.other = keep};
    struct walk copying = {.other = data_dir};
    HF_TRY(walk_own(&removing, data_dir, "", 0, remove_foreign, err));
    HF_TRY(walk_own(&copying, keep, "", 0, copy_one, err));
    HF_TRY(hf_dir_sync(data_dir, err));
    return hf_dir_remove_tree(keep, err);
}
