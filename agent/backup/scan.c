/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backup/exclude.h"
#include "agent/core/pagecheck.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

enum { NAMES_MAX = 256 << 20 }; /* bytes of names in one directory */

static const char CONTROL[] = "global/pg_control";

/* One directory on the way down. */
struct level {
    struct hf_buf blob; /* names, each with its NUL */
    char **names;       /* sorted, into the blob */
    size_t count;
    size_t next;
    size_t path_len; /* of the directory itself in scan.path */
    bool relations;
};

struct hf_scan {
    struct hf_scan_root *roots;
    size_t root_count;
    size_t root;
    bool root_open;
    bool control_done;
    char path[HF_MAP_PATH_SIZE]; /* of the current directory, relative */
    struct level levels[HF_SCAN_MAX_DEPTH];
    size_t depth;
};

hf_result hf_scan_new(const struct hf_scan_root *roots, size_t n, struct hf_scan **ret,
                      struct hf_err *err)
{
    if (n == 0 || n > HF_SCAN_MAX_ROOTS + HF_SCAN_MAX_CONFIG) {
        return hf_fail(err, HF_E_LIMIT, "%zu directories to back up, allowed are 1 to %d", n,
                       HF_SCAN_MAX_ROOTS);
    }
    struct hf_scan *s = hf_alloc(sizeof(*s));
    s->roots = hf_alloc_array(n, sizeof(*roots));
    memcpy(s->roots, roots, n * sizeof(*roots));
    s->root_count = n;
    *ret = s;
    return hf_done();
}

static void close_level(struct level *l)
{
    hf_buf_free(&l->blob);
    hf_free(l->names);
    *l = (struct level){0};
}

void hf_scan_free(struct hf_scan *s)
{
    if (s == NULL) {
        return;
    }
    while (s->depth > 0) {
        close_level(&s->levels[--s->depth]);
    }
    hf_free(s->roots);
    hf_free(s);
}

hf_result hf_scan_path(const struct hf_scan *s, uint32_t space, const char *path, char *ret,
                       size_t size, struct hf_err *err)
{
    const char *base = s->roots[0].path;
    if (space == HF_MAP_SPACE_CONFIG) {
        base = "";
    } else if (space != HF_MAP_SPACE_CONTROL) {
        for (size_t i = 0; i < s->root_count; i++) {
            if (s->roots[i].space == space) {
                base = s->roots[i].path;
            }
        }
    }
    int n = snprintf(ret, size, "%s%s%s", base, path[0] == '\0' ? "" : "/", path);
    if (n < 0 || (size_t)n >= size) {
        return hf_fail(err, HF_E_LIMIT, "path of %d bytes below %.200s, allowed are %zu", n, base,
                       size - 1);
    }
    return hf_done();
}

/* --- one directory -------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* An unlogged relation has an init fork; only that one is kept. */
static bool unlogged(const struct level *l, const char *name)
{
    char init[NAME_MAX + 8];
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > 10 || strncmp(name + digits, "_init", 5) == 0) {
        return false;
    }
    snprintf(init, sizeof(init), "%.*s_init", (int)digits, name);
    const char *key = init;
    return bsearch(&key, l->names, l->count, sizeof(*l->names), compare_names) != NULL;
}

static hf_result read_names(int fd, const char *path, struct level *l, struct hf_err *err)
{
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int saved = errno;
        close(fd);
        return hf_fail_errno(err, saved, "read directory %s", path);
    }
    hf_result r = hf_done();
    l->blob = HF_BUF_INIT(NAMES_MAX);
    size_t count = 0;
    errno = 0;
    for (struct dirent *d = readdir(dir); d != NULL && hf_ok(r); d = readdir(dir)) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
            r = hf_buf_append(&l->blob, d->d_name, strlen(d->d_name) + 1, err);
            count++;
        }
        errno = 0;
    }
    if (hf_ok(r) && errno != 0) {
        r = hf_fail_errno(err, errno, "read directory %s", path);
    }
    closedir(dir);
    HF_TRY(r);
    l->names = hf_alloc_array(count + 1, sizeof(*l->names));
    char *at = l->blob.data;
    for (size_t i = 0; i < count; i++) {
        l->names[i] = at;
        at += strlen(at) + 1;
    }
    l->count = count;
    qsort(l->names, count, sizeof(*l->names), compare_names);
    return hf_done();
}

/* Opens scan.path as the next level; a directory that is gone is an empty one. */
static hf_result descend(struct hf_scan *s, struct hf_err *err)
{
    char full[HF_PATH_SIZE * 2];
    const struct hf_scan_root *root = &s->roots[s->root];
    if (s->depth == HF_SCAN_MAX_DEPTH) {
        return hf_fail(err, HF_E_LIMIT, "%.200s is more than %d directories deep", s->path,
                       HF_SCAN_MAX_DEPTH);
    }
    HF_TRY(hf_scan_path(s, root->space, s->path, full, sizeof(full), err));
    struct level *l = &s->levels[s->depth];
    *l = (struct level){.path_len = strlen(s->path)};
    l->relations = hf_relation_directory(root->space != HF_MAP_SPACE_DATA, s->path);
    int fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        return hf_fail_errno(err, errno, "open directory %s", full);
    }
    s->depth++;
    return fd < 0 ? hf_done() : read_names(fd, full, l, err);
}

static bool left_out(const struct hf_scan *s, const struct level *l, const char *name)
{
    bool data = s->roots[s->root].space == HF_MAP_SPACE_DATA;
    bool top = l->path_len == 0;
    if (hf_exclude_name(name) || (data && top && hf_exclude_top(name)) ||
        (data && hf_exclude_content(s->path))) {
        return true;
    }
    if (data && strcmp(s->path, "pg_wal") == 0) {
        return strcmp(name, "archive_status") != 0; /* WAL comes from the archive */
    }
    if (!data && top) {
        return strncmp(name, "PG_", 3) != 0; /* other things in a tablespace's directory */
    }
    return l->relations && (hf_temporary_relation(name) || unlogged(l, name));
}

/* Fills the item; *ret_found false when it is gone or of a kind that is not backed up. */
static hf_result examine(const struct hf_scan *s, const struct level *l, const char *name,
                         struct hf_scan_item *item, bool *ret_found, struct hf_err *err)
{
    char full[HF_PATH_SIZE * 2];
    struct stat st;
    *ret_found = false;
    HF_TRY(hf_scan_path(s, item->space, item->path, full, sizeof(full), err));
    if (lstat(full, &st) != 0) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "look at %s", full);
    }
    /* pg_wal may be a link to another disk: in the backup it is a directory. */
    if (S_ISLNK(st.st_mode) && item->space == HF_MAP_SPACE_DATA &&
        strcmp(item->path, "pg_wal") == 0 && stat(full, &st) != 0) {
        return hf_fail_errno(err, errno, "look at %s", full);
    }
    item->mode = st.st_mode & 07777;
    item->mtime_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    if (S_ISDIR(st.st_mode)) {
        item->kind = HF_MAP_DIR;
    } else if (S_ISREG(st.st_mode)) {
        item->kind = HF_MAP_FILE;
        item->size = (uint64_t)st.st_size;
        item->relation = l != NULL && l->relations && hf_relation_file(name, &item->segment);
    } else if (S_ISLNK(st.st_mode)) {
        item->kind = HF_MAP_LINK;
        ssize_t n = readlink(full, item->link, sizeof(item->link) - 1);
        if (n <= 0) {
            return hf_done();
        }
        item->link[n] = '\0';
    } else {
        return hf_done(); /* sockets, pipes: as PostgreSQL's own base backup */
    }
    *ret_found = true;
    return hf_done();
}

/* --- walking -------------------------------------------------------------------------------- */

static hf_result next_in_level(struct hf_scan *s, struct hf_scan_item *item, bool *ret_found,
                               struct hf_err *err)
{
    struct level *l = &s->levels[s->depth - 1];
    const char *name = l->names[l->next++];
    s->path[l->path_len] = '\0';
    if (left_out(s, l, name)) {
        *ret_found = false;
        return hf_done();
    }
    *item = (struct hf_scan_item){.space = s->roots[s->root].space};
    int n = snprintf(item->path, sizeof(item->path), "%s%s%s", s->path, l->path_len > 0 ? "/" : "",
                     name);
    if (n < 0 || (size_t)n >= sizeof(item->path)) {
        return hf_fail(err, HF_E_LIMIT, "path %.200s/%.200s of %d bytes, allowed are %zu", s->path,
                       name, n, sizeof(item->path) - 1);
    }
    if (item->space == HF_MAP_SPACE_DATA && strcmp(item->path, CONTROL) == 0) {
        *ret_found = false; /* comes last of all */
        return hf_done();
    }
    HF_TRY(examine(s, l, name, item, ret_found, err));
    if (*ret_found && item->kind == HF_MAP_DIR) {
        snprintf(s->path, sizeof(s->path), "%s", item->path);
        HF_TRY(descend(s, err));
    }
    return hf_done();
}

static hf_result config_file(struct hf_scan *s, struct hf_scan_item *item, bool *ret_found,
                             struct hf_err *err)
{
    const char *path = s->roots[s->root].path;
    *item = (struct hf_scan_item){.space = HF_MAP_SPACE_CONFIG};
    snprintf(item->path, sizeof(item->path), "%s", path + strspn(path, "/"));
    s->root++;
    return examine(s, NULL, "", item, ret_found, err);
}

static hf_result control_file(struct hf_scan *s, struct hf_scan_item *item, bool *ret_found,
                              struct hf_err *err)
{
    s->control_done = true;
    *item = (struct hf_scan_item){.space = HF_MAP_SPACE_CONTROL};
    snprintf(item->path, sizeof(item->path), "%s", CONTROL);
    HF_TRY(examine(s, NULL, "", item, ret_found, err));
    if (!*ret_found) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s/%s is not there: no data directory",
                       s->roots[0].path, CONTROL);
    }
    return hf_done();
}

hf_result hf_scan_next(struct hf_scan *s, struct hf_scan_item *ret, bool *ret_more,
                       struct hf_err *err)
{
    bool found = false;
    while (!found) {
        if (s->depth > 0 && s->levels[s->depth - 1].next < s->levels[s->depth - 1].count) {
            HF_TRY(next_in_level(s, ret, &found, err));
        } else if (s->depth > 0) {
            close_level(&s->levels[--s->depth]);
            if (s->depth == 0) {
                s->root++;
            }
        } else if (s->root < s->root_count && s->roots[s->root].space == HF_MAP_SPACE_CONFIG) {
            HF_TRY(config_file(s, ret, &found, err));
        } else if (s->root < s->root_count) {
            s->path[0] = '\0';
            HF_TRY(descend(s, err));
        } else if (!s->control_done) {
            HF_TRY(control_file(s, ret, &found, err));
        } else {
            *ret_more = false;
            return hf_done();
        }
    }
    *ret_more = true;
    return hf_done();
}
