/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/history/backups.h"

#include "common/base/mem.h"
#include "common/core/name.h"
#include "common/io/files.h"
#include "common/io/log.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BACKUPS_FILE_MAX = 16 * 1024 * 1024, BACKUPS_PATH_SIZE = 1400 };

struct backup_entry {
    char label[HF_LABEL_SIZE];
    hf_json *value;
};

struct backup_list {
    hf_name tenant;
    hf_name cluster;
    size_t count;
    struct backup_entry entries[HF_BACKUPS_MAX]; /* by label, oldest first */
};

struct hf_backups {
    pthread_mutex_t lock;
    char directory[1024];
    int count;
    struct backup_list *lists[HF_MAX_CLUSTERS];
};

static void list_free(struct backup_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        hf_json_free(l->entries[i].value);
    }
    hf_free(l);
}

static struct backup_list *find_list(struct hf_backups *b, const char *tenant, const char *cluster)
{
    for (int i = 0; i < b->count; i++) {
        if (hf_name_is(&b->lists[i]->tenant, tenant) &&
            hf_name_is(&b->lists[i]->cluster, cluster)) {
            return b->lists[i];
        }
    }
    return NULL;
}

static hf_result get_list(struct hf_backups *b, const char *tenant, const char *cluster,
                          struct backup_list **ret, struct hf_err *err)
{
    struct backup_list *l = find_list(b, tenant, cluster);
    if (l == NULL) {
        hf_name t;
        hf_name c;
        HF_TRY(hf_name_parse("tenant", tenant, &t, err));
        HF_TRY(hf_name_parse("cluster", cluster, &c, err));
        if (b->count == HF_MAX_CLUSTERS) {
            return hf_fail(err, HF_E_LIMIT, "backups of %d clusters are kept already", b->count);
        }
        l = hf_alloc(sizeof *l);
        l->tenant = t;
        l->cluster = c;
        b->lists[b->count++] = l;
    }
    *ret = l;
    return hf_done();
}

/* Labels begin with their time: their order is the order in time. */
static hf_result list_put(struct backup_list *l, const hf_json *backup, struct hf_err *err)
{
    char label[HF_LABEL_SIZE];
    HF_TRY(hf_json_get_text(backup, "label", label, sizeof label, err));
    if (label[0] == '\0') {
        return hf_fail(err, HF_E_INVALID, "a backup's label is empty");
    }
    size_t at = l->count;
    while (at > 0 && strcmp(l->entries[at - 1].label, label) > 0) {
        at--;
    }
    if (at > 0 && strcmp(l->entries[at - 1].label, label) == 0) {
        hf_json_free(l->entries[at - 1].value);
        l->entries[at - 1].value = hf_json_copy(backup);
        return hf_done();
    }
    if (l->count == HF_BACKUPS_MAX) {
        if (at == 0) {
            return hf_done(); /* older than all that are kept */
        }
        hf_json_free(l->entries[0].value);
        memmove(&l->entries[0], &l->entries[1], (l->count - 1) * sizeof l->entries[0]);
        l->count--;
        at--;
    }
    memmove(&l->entries[at + 1], &l->entries[at], (l->count - at) * sizeof l->entries[0]);
    memcpy(l->entries[at].label, label, sizeof label);
    l->entries[at].value = hf_json_copy(backup);
    l->count++;
    return hf_done();
}

static hf_json *list_json(const struct backup_list *l, bool newest_first)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; l != NULL && i < l->count; i++) {
        size_t at = newest_first ? l->count - 1 - i : i;
        hf_json_push(array, hf_json_copy(l->entries[at].value));
    }
    return array;
}

static hf_result load_file(struct hf_backups *b, const char *name, struct hf_err *err)
{
    char path[BACKUPS_PATH_SIZE];
    char tenant[HF_NAME_SIZE];
    char cluster[HF_NAME_SIZE];
    HF_BUF(text, BACKUPS_FILE_MAX);
    HF_AUTOJSON hf_json *v = NULL;
    const hf_json *array = NULL;
    struct backup_list *l = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", b->directory, name);
    HF_TRY(hf_file_read(path, &text, err));
    HF_TRY(hf_json_parse(hf_buf_text(&text), text.len, BACKUPS_FILE_MAX, &v, err));
    HF_TRY(hf_json_get_text(v, "tenant", tenant, sizeof tenant, err));
    HF_TRY(hf_json_get_text(v, "cluster", cluster, sizeof cluster, err));
    HF_TRY(hf_json_get_array(v, "backups", HF_BACKUPS_MAX, &array, err));
    HF_TRY(get_list(b, tenant, cluster, &l, err));
    for (size_t i = 0; i < hf_json_size(array); i++) {
        HF_TRY(list_put(l, hf_json_at(array, i), err));
    }
    return hf_done();
}

hf_result hf_backups_open(const char *directory, struct hf_backups **ret, struct hf_err *err)
{
    HF_TRY(hf_dir_make(directory, 0700, err));
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return hf_fail_errno(err, errno, "%s", directory);
    }
    struct hf_backups *b = hf_alloc(sizeof *b);
    (void)snprintf(b->directory, sizeof b->directory, "%s", directory);
    (void)pthread_mutex_init(&b->lock, NULL);
    const struct dirent *d = NULL;
    while ((d = readdir(dir)) != NULL) {
        size_t n = strlen(d->d_name);
        struct hf_err why;
        if (n > 5 && strcmp(d->d_name + n - 5, ".json") == 0 &&
            !hf_ok(load_file(b, d->d_name, &why))) {
            hf_log(HF_LOG_ERROR, "BACKUPS_UNREADABLE", "a list of backups cannot be read",
                   HF_KV("file", d->d_name), HF_KV_ERR(&why));
        }
    }
    (void)closedir(dir);
    *ret = b;
    return hf_done();
}

void hf_backups_close(struct hf_backups *b)
{
    if (b == NULL) {
        return;
    }
    for (int i = 0; i < b->count; i++) {
        list_free(b->lists[i]);
    }
    (void)pthread_mutex_destroy(&b->lock);
    hf_free(b);
}

static hf_result save_list(const struct hf_backups *b, const struct backup_list *l,
                           struct hf_err *err)
{
    char path[BACKUPS_PATH_SIZE];
    HF_BUF(text, BACKUPS_FILE_MAX);
    HF_AUTOJSON hf_json *v = hf_json_object();
    hf_json_put_text(v, "tenant", l->tenant.s);
    hf_json_put_text(v, "cluster", l->cluster.s);
    hf_json_put(v, "backups", list_json(l, false));
    HF_TRY(hf_json_write(v, &text, err));
    /* A dot is not part of a name: one file a pair, whatever the names. */
    (void)snprintf(path, sizeof path, "%s/%s.%s.json", b->directory, l->tenant.s, l->cluster.s);
    return hf_file_write_durable(path, text.data, text.len, 0600, err);
}

hf_result hf_backups_put(struct hf_backups *b, const char *tenant, const char *cluster,
                         const hf_json *backup, struct hf_err *err)
{
    struct backup_list *l = NULL;
    (void)pthread_mutex_lock(&b->lock);
    hf_result r = get_list(b, tenant, cluster, &l, err);
    if (hf_ok(r)) {
        r = list_put(l, backup, err);
    }
    if (hf_ok(r)) {
        r = save_list(b, l, err);
    }
    (void)pthread_mutex_unlock(&b->lock);
    return r;
}

hf_json *hf_backups_list(struct hf_backups *b, const char *tenant, const char *cluster)
{
    (void)pthread_mutex_lock(&b->lock);
    hf_json *v = list_json(find_list(b, tenant, cluster), true);
    (void)pthread_mutex_unlock(&b->lock);
    return v;
}
