/* SPDX-License-Identifier: Apache-2.0
 *
 * The directories that a restore writes into.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/restore/restore_internal.h"
#include "common/base/mem.h"
#include "common/io/files.h"

const char *hf_restore_tablespace_path(const struct hf_restore *r, uint32_t oid)
{
    for (size_t i = 0; i < r->request->tablespace_count; i++) {
        if (r->request->tablespaces[i].oid == oid) {
            return r->request->tablespaces[i].path;
        }
    }
    for (size_t i = 0; i < r->manifest->tablespace_count; i++) {
        if (r->manifest->tablespaces[i].oid == oid) {
            return r->manifest->tablespaces[i].path;
        }
    }
    return NULL;
}

static hf_result check_empty(const char *path, struct hf_err *err)
{
    if (path[0] != '/') {
        return hf_fail(err, HF_E_INVALID, "%s: an absolute path is wanted", path);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "look into %s", path);
    }
    hf_result r = hf_done();
    for (struct dirent *d = readdir(dir); d != NULL && hf_ok(r); d = readdir(dir)) {
        if (strcmp(d->d_name, "postmaster.pid") == 0) {
            r = hf_fail(err, HF_E_REFUSED, "%s belongs to a PostgreSQL that runs or crashed", path);
        } else if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
            r = hf_fail(err, HF_E_REFUSED,
                        "%s is not empty (%.100s): a restore never writes over anything", path,
                        d->d_name);
        }
    }
    closedir(dir);
    return r;
}

hf_result hf_restore_place_check(const struct hf_restore *r, struct hf_err *err)
{
    HF_TRY(check_empty(r->request->directory, err));
    for (size_t i = 0; i < r->manifest->tablespace_count; i++) {
        const struct hf_manifest_tablespace *t = &r->manifest->tablespaces[i];
        hf_result checked = check_empty(hf_restore_tablespace_path(r, t->oid), err);
        if (!hf_ok(checked)) {
            return hf_fail_context(err, "tablespace %u (choose another place for it)", t->oid);
        }
    }
    return hf_done();
}

hf_result hf_restore_place_make(const struct hf_restore *r, struct hf_err *err)
{
    char marker[HF_PATH_SIZE * 2];
    char text[HF_LABEL_SIZE + 64];
    const char *directory = r->request->directory;
    HF_TRY(hf_dir_make(directory, 0700, err));
    snprintf(marker, sizeof(marker), "%s/%s", directory, HF_RESTORE_MARKER);
    int n = snprintf(text, sizeof(text), "restore of %s has not ended; do not start\n",
                     r->manifest->label);
    HF_TRY(hf_file_write_durable(marker, text, (size_t)n, 0600, err));
    for (size_t i = 0; i < r->manifest->tablespace_count; i++) {
        const char *path = hf_restore_tablespace_path(r, r->manifest->tablespaces[i].oid);
        HF_TRY(hf_dir_make(path, 0700, err));
    }
    return hf_done();
}

hf_result hf_restore_path(const struct hf_restore *r, const struct hf_map_entry *e, char *ret,
                          size_t size, struct hf_err *err)
{
    const char *base = r->request->directory;
    const char *between = "";
    if (e->space == HF_MAP_SPACE_CONFIG) {
        between = "/" HF_RESTORE_CONFIG;
    } else if (e->space != HF_MAP_SPACE_DATA && e->space != HF_MAP_SPACE_CONTROL) {
        base = hf_restore_tablespace_path(r, e->space);
    }
    if (base == NULL) {
        return hf_fail(err, HF_E_CORRUPT,
                       "%.200s lies in tablespace %u, which the manifest does "
                       "not know",
                       e->path, e->space);
    }
    int n = snprintf(ret, size, "%s%s/%s", base, between, e->path);
    if (n < 0 || (size_t)n >= size) {
        return hf_fail(err, HF_E_LIMIT, "path of %d bytes for %.200s, allowed are %zu", n, e->path,
                       size - 1);
    }
    return hf_done();
}

static hf_result sync_one(const char *path, struct hf_err *err)
{
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0) {
        return hf_fail_errno(err, errno, "make %s durable", path);
    }
    return hf_done();
}

hf_result hf_restore_place_sync(const struct hf_restore *r, struct hf_err *err)
{
    HF_TRY(sync_one(r->request->directory, err));
    for (size_t i = 0; i < r->manifest->tablespace_count; i++) {
        HF_TRY(sync_one(hf_restore_tablespace_path(r, r->manifest->tablespaces[i].oid), err));
    }
    return hf_done();
}
