/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing and fetching what was salvaged.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/rejoin/salvage_internal.h"
#include "common/base/mem.h"
#include "common/io/files.h"

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

struct entries {
    size_t skip; /* bytes of a key before the node's name */
    struct hf_salvage_entry *v;
    size_t room;
    size_t count;
};

/* The entry of node and id; the last one or a new one: names come in order. */
static hf_result entry_of(struct entries *es, const hf_name *node, const char *id,
                          struct hf_salvage_entry **ret, struct hf_err *err)
{
    HF_ASSERT(es->v != NULL);
    struct hf_salvage_entry *e = es->count > 0 ? &es->v[es->count - 1] : NULL;
    if (e == NULL || strcmp(e->node.s, node->s) != 0 || strcmp(e->id, id) != 0) {
        if (es->count == es->room) {
            return hf_fail(err, HF_E_LIMIT, "more than %zu salvaged histories", es->room);
        }
        e = &es->v[es->count++];
        *e = (struct hf_salvage_entry){.node = *node};
        snprintf(e->id, sizeof(e->id), "%s", id);
    }
    *ret = e;
    return hf_done();
}

static void add_file(struct hf_salvage_entry *e, const char *leaf, const char *report,
                     uint64_t size)
{
    if (strcmp(leaf, report) == 0) {
        e->complete = true;
    } else {
        e->files++;
    }
    e->stored_bytes += size;
}

/* --- in a repository ------------------------------------------------------------------------ */

/* "<node>/<id>/<leaf>"; false: somebody else's. */
static bool split_key(const char *key, hf_name *node, char id[HF_SALVAGE_ID_SIZE],
                      const char **ret_leaf)
{
    char text[HF_NAME_SIZE + HF_SALVAGE_ID_SIZE + 2];
    const char *slash = strrchr(key, '/');
    if (slash == NULL || (size_t)(slash - key) >= sizeof(text)) {
        return false;
    }
    memcpy(text, key, (size_t)(slash - key));
    text[slash - key] = '\0';
    *ret_leaf = slash + 1;
    return hf_ok(hf_salvage_parse(text, node, id, NULL));
}

static hf_result visit(void *arg, const struct hf_store_entry *object, struct hf_err *err)
{
    struct entries *es = arg;
    struct hf_salvage_entry *e = NULL;
    hf_name node;
    char id[HF_SALVAGE_ID_SIZE];
    const char *leaf = NULL;
    if (!split_key(object->key + es->skip, &node, id, &leaf)) {
        return hf_done();
    }
    HF_TRY(entry_of(es, &node, id, &e, err));
    add_file(e, leaf, HF_SALVAGE_REPORT, object->size);
    return hf_done();
}

static hf_result list_objects(struct hf_repository *r, struct entries *es, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), "salvage/", prefix, err));
    es->skip = strlen(prefix);
    return hf_store_list(hf_repository_store(r), prefix, NULL, false, visit, es, err);
}

struct fetch {
    struct hf_repository *r;
    size_t skip;
    const char *node;
    const char *id;
    const char *to;
    uint64_t files;
};

static hf_result write_file(const char *to, const char *leaf, const struct hf_buf *bytes,
                            struct hf_err *err)
{
    char path[HF_PATH_SIZE + 256];
    snprintf(path, sizeof(path), "%s/%s", to, leaf);
    return hf_file_create_once(path, bytes->data, bytes->len, 0600, err);
}

static hf_result visit_fetch(void *arg, const struct hf_store_entry *object, struct hf_err *err)
{
    struct fetch *f = arg;
    const char *leaf = object->key + f->skip;
    struct hf_content_name name;
    HF_BUF(bytes, HF_WAL_OBJECT_MAX);
    if (strchr(leaf, '/') != NULL || strlen(leaf) >= HF_WAL_NAME_SIZE) {
        return hf_done();
    }
    hf_salvage_object(f->node, f->id, leaf, &name);
    HF_TRY(hf_content_get(f->r, &name, &bytes, err));
    f->files++;
    bool report = strcmp(leaf, HF_SALVAGE_REPORT) == 0;
    return write_file(f->to, report ? HF_SALVAGE_REPORT_FILE : leaf, &bytes, err);
}

static hf_result fetch_objects(struct fetch *f, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    char prefix[HF_STORE_KEY_SIZE];
    snprintf(name, sizeof(name), "salvage/%.63s/%.31s/", f->node, f->id);
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(f->r)), name, prefix, err));
    f->skip = strlen(prefix);
    return hf_store_list(hf_repository_store(f->r), prefix, NULL, false, visit_fetch, f, err);
}

/* --- in this host's directory --------------------------------------------------------------- */

typedef hf_result (*file_fn)(void *arg, const char *directory, const char *name,
                             const struct stat *st, struct hf_err *err);

static hf_result each_file(const char *directory, file_fn fn, void *arg, struct hf_err *err)
{
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(directory);
    if (d == NULL && errno == ENOENT) {
        return hf_done();
    }
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", directory);
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct stat st;
        if (e->d_name[0] != '.' && strlen(e->d_name) < HF_WAL_NAME_SIZE &&
            fstatat(dirfd(d), e->d_name, &st, 0) == 0) {
            HF_TRY(fn(arg, directory, e->d_name, &st, err));
        }
    }
    return hf_done();
}

static hf_result count_file(void *arg, const char *directory, const char *name,
                            const struct stat *st, struct hf_err *err)
{
    (void)directory;
    (void)err;
    add_file(arg, name, HF_SALVAGE_REPORT_FILE, (uint64_t)st->st_size);
    return hf_done();
}

struct here {
    struct entries *entries;
    const hf_name *node;
};

static hf_result count_directory(void *arg, const char *directory, const char *name,
                                 const struct stat *st, struct hf_err *err)
{
    struct here *h = arg;
    struct hf_salvage_entry *e = NULL;
    char path[HF_PATH_SIZE + 256];
    if (!S_ISDIR(st->st_mode)) {
        return hf_done();
    }
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    HF_TRY(entry_of(h->entries, h->node, name, &e, err));
    return each_file(path, count_file, e, err);
}

static hf_result fetch_file(void *arg, const char *directory, const char *name,
                            const struct stat *st, struct hf_err *err)
{
    struct fetch *f = arg;
    char path[HF_PATH_SIZE + 256];
    HF_BUF(bytes, HF_WAL_OBJECT_MAX);
    (void)st;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    HF_TRY(hf_file_read(path, &bytes, err));
    f->files++;
    return write_file(f->to, name, &bytes, err);
}

/* --- either --------------------------------------------------------------------------------- */

hf_result hf_salvage_list(struct hf_repository *r, const struct hf_config_agent *config,
                          struct hf_salvage_entry *ret, size_t room, size_t *ret_n,
                          struct hf_err *err)
{
    char directory[HF_PATH_SIZE + 128];
    struct entries es = {.v = ret, .room = room};
    struct here h = {.entries = &es, .node = &config->name};
    if (r != NULL) {
        HF_TRY(list_objects(r, &es, err));
    } else {
        hf_salvage_directory(config, "", directory, sizeof(directory));
        HF_TRY(each_file(directory, count_directory, &h, err));
    }
    *ret_n = es.count;
    return hf_done();
}

hf_result hf_salvage_report(struct hf_repository *r, const struct hf_config_agent *config,
                            const hf_name *node, const char *id, struct hf_buf *out,
                            struct hf_err *err)
{
    char path[HF_PATH_SIZE + 256];
    struct hf_content_name name;
    if (r != NULL) {
        hf_salvage_object(node->s, id, HF_SALVAGE_REPORT, &name);
        return hf_content_get(r, &name, out, err);
    }
    hf_salvage_directory(config, id, path, sizeof(path));
    size_t n = strlen(path);
    snprintf(path + n, sizeof(path) - n, "/" HF_SALVAGE_REPORT_FILE);
    return hf_file_read(path, out, err);
}

hf_result hf_salvage_fetch(struct hf_repository *r, const struct hf_config_agent *config,
                           const hf_name *node, const char *id, const char *to, uint64_t *ret_files,
                           struct hf_err *err)
{
    char directory[HF_PATH_SIZE + 128];
    struct fetch f = {.r = r, .node = node->s, .id = id, .to = to};
    HF_TRY(hf_dir_make(to, 0700, err));
    if (r != NULL) {
        HF_TRY(fetch_objects(&f, err));
    } else if (strcmp(node->s, config->name.s) == 0) {
        hf_salvage_directory(config, id, directory, sizeof(directory));
        HF_TRY(each_file(directory, fetch_file, &f, err));
    }
    if (f.files == 0) {
        return hf_fail(err, HF_E_NOT_FOUND, "nothing was salvaged as %s/%s here", node->s, id);
    }
    *ret_files = f.files;
    return hf_done();
}
