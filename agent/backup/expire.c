/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/expire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/publish.h"
#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/clock.h"
#include "common/io/fault.h"

enum { OBJECTS_MAX = 1 << 20 };

struct expire {
    struct hf_repository *repository;
    bool dry_run;
    char (*named)[HF_OBJECT_NAME_SIZE]; /* packs and maps that kept backups need, sorted */
    size_t named_count, named_room;
    struct hf_expire_report report;
};

/* --- what is needed ------------------------------------------------------------------------- */

static void need(struct expire *x, const char *name)
{
    if (x->named_count == x->named_room) {
        x->named_room = x->named_room == 0 ? 256 : x->named_room * 2;
        x->named = hf_realloc(x->named, x->named_room * HF_OBJECT_NAME_SIZE);
    }
    snprintf(x->named[x->named_count++], HF_OBJECT_NAME_SIZE, "%s", name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool needed(const struct expire *x, const char *name)
{
    char key[HF_OBJECT_NAME_SIZE];
    snprintf(key, sizeof(key), "%s", name);
    return x->named_count > 0 &&
           bsearch(key, x->named, x->named_count, HF_OBJECT_NAME_SIZE, compare_names) != NULL;
}

static hf_result need_backup(struct expire *x, const struct hf_backup_entry *e, struct hf_err *err)
{
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    HF_TRY(hf_backup_manifest(x->repository, e->label, e->published ? "manifest" : "pending", &m,
                              NULL, err));
    if (x->named_count + m->shard_count + m->pack_count > OBJECTS_MAX) {
        return hf_fail(err, HF_E_LIMIT, "kept backups name more than %d objects", OBJECTS_MAX);
    }
    for (size_t i = 0; i < m->shard_count; i++) {
        need(x, m->shards[i].name);
    }
    for (size_t i = 0; i < m->pack_count; i++) {
        need(x, m->packs[i].name);
    }
    return hf_done();
}

/* --- deleting ------------------------------------------------------------------------------- */

static hf_result mark(struct expire *x, const char *label, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    HF_BUF(text, HF_REPO_RECORD_MAX);
    HF_AUTOJSON hf_json *json = hf_json_object();
    struct hf_keyring *ring = hf_repository_ring(x->repository);
    hf_json_put_text(json, "label", label);
    hf_json_put_i64(json, "at", hf_clock_wall().us);
    hf_json_put_text(json, "agent", hf_keyring_writer(ring));
    HF_TRY(hf_json_write(json, &text, err));
    HF_TRY(hf_keyring_prepare(ring, hf_repository_store(x->repository), err));
    hf_name_of_backup(label, "expiring", name);
    struct hf_seal_params params = {.kind = HF_OBJECT_EXPIRING,
                                    .name = name,
                                    .frame_size = HF_REPO_RECORD_MAX,
                                    .zstd_level = -1};
    hf_result put =
        hf_object_put(ring, hf_repository_store(x->repository), &params, text.data, text.len, err);
    return put.code == HF_E_EXISTS ? hf_done() : put;
}

struct doomed {
    struct expire *x;
    size_t skip;
    char (*names)[HF_OBJECT_NAME_SIZE];
    size_t count, room;
};

static hf_result visit_object(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct doomed *d = arg;
    const char *name = entry->key + d->skip;
    (void)err;
    const char *leaf = strrchr(name, '/');
    /* The mark and the beginning go last: they say why the rest is not there. */
    if (leaf == NULL || strcmp(leaf, "/expiring") == 0 || strcmp(leaf, "/begin") == 0 ||
        strlen(name) >= HF_OBJECT_NAME_SIZE || needed(d->x, name)) {
        return hf_done();
    }
    d->x->report.objects++;
    d->x->report.bytes += entry->size;
    if (d->count == d->room) {
        d->room = d->room == 0 ? 64 : d->room * 2;
        d->names = hf_realloc(d->names, d->room * HF_OBJECT_NAME_SIZE);
    }
    snprintf(d->names[d->count++], HF_OBJECT_NAME_SIZE, "%s", name);
    return hf_done();
}

static hf_result delete_name(struct expire *x, const char *name, struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    const struct hf_cluster_id *id = hf_keyring_cluster(hf_repository_ring(x->repository));
    HF_TRY(hf_object_key(id, name, key, err));
    return hf_store_delete(hf_repository_store(x->repository), key, err);
}

static hf_result delete_leaf(struct expire *x, const char *label, const char *leaf,
                             struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    hf_name_of_backup(label, leaf, name);
    return delete_name(x, name, err);
}

static hf_result delete_backup(struct expire *x, const char *label, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    char prefix[HF_STORE_KEY_SIZE];
    const struct hf_cluster_id *id = hf_keyring_cluster(hf_repository_ring(x->repository));
    struct doomed d = {.x = x};
    hf_name_of_backup(label, "", name);
    HF_TRY(hf_object_key(id, name, prefix, err));
    d.skip = strlen(prefix) - strlen(name);
    hf_result r = hf_store_list(hf_repository_store(x->repository), prefix, NULL, false,
                                visit_object, &d, err);
    if (hf_ok(r) && !x->dry_run) {
        r = mark(x, label, err);
        if (hf_ok(r)) {
            r = delete_leaf(x, label, "manifest", err);
        }
        for (size_t i = 0; i < d.count && hf_ok(r); i++) {
            if (i % 16 == 0 && HF_FAULT_HIT("expire.delete")) {
                r = hf_fail(err, HF_E_IO, "fault point expire.delete");
                break;
            }
            r = delete_name(x, d.names[i], err);
        }
        if (hf_ok(r)) {
            r = delete_leaf(x, label, "begin", err);
        }
        if (hf_ok(r)) {
            r = delete_leaf(x, label, "expiring", err);
        }
    }
    hf_free(d.names);
    return r;
}

/* --- deciding ------------------------------------------------------------------------------- */

static hf_result decide(struct expire *x, const struct hf_backup_entry *list, size_t n,
                        uint64_t keep_last, const char *verified, bool *expire,
                        hf_expire_decision decision, void *arg, struct hf_err *err)
{
    uint64_t newer = 0;
    for (size_t i = n; i > 0; i--) {
        const struct hf_backup_entry *e = &list[i - 1];
        char why[128];
        bool keep = true;
        if (!e->published && !e->expiring) {
            snprintf(why, sizeof(why), "%s", e->wal_pending ? "waits for WAL" : "may be under way");
        } else if (e->published && newer < keep_last) {
            newer++;
            snprintf(why, sizeof(why), "number %llu of the newest %llu", (unsigned long long)newer,
                     (unsigned long long)keep_last);
        } else if (verified != NULL && strcmp(e->label, verified) == 0) {
            snprintf(why, sizeof(why), "last verified copy");
        } else {
            keep = false;
            snprintf(why, sizeof(why), "%s",
                     e->expiring ? "its expiry had begun" : "older than those that are kept");
        }
        expire[i - 1] = !keep;
        x->report.kept += keep ? 1 : 0;
        x->report.expired += keep ? 0 : 1;
        if (decision != NULL) {
            decision(arg, e->label, keep, why);
        }
        if (keep && (e->published || e->wal_pending)) {
            HF_TRY(need_backup(x, e, err));
        }
    }
    return hf_done();
}

static hf_result run(struct expire *x, uint64_t keep_last, const char *verified,
                     hf_expire_decision decision, void *arg, struct hf_err *err)
{
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*list));
    HF_AUTOFREE bool *expire = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*expire));
    size_t n = 0;
    HF_TRY(hf_repository_backups(x->repository, list, HF_REPO_MAX_BACKUPS, &n, err));
    HF_TRY(decide(x, list, n, keep_last, verified, expire, decision, arg, err));
    if (x->named_count > 1) {
        qsort(x->named, x->named_count, HF_OBJECT_NAME_SIZE, compare_names);
    }
    /* Dependants first: a later backup may name objects of an earlier one, never the other way. */
    for (size_t i = n; i > 0; i--) {
        if (expire[i - 1]) {
            HF_TRY(delete_backup(x, list[i - 1].label, err));
        }
    }
    return hf_done();
}

hf_result hf_expire_run(struct hf_repository *r, uint64_t keep_last, const char *verified,
                        bool dry_run, hf_expire_decision decision, void *arg,
                        struct hf_expire_report *ret, struct hf_err *err)
{
    struct expire x = {.repository = r, .dry_run = dry_run};
    if (keep_last == 0) {
        return hf_fail(err, HF_E_REFUSED,
                       "keep 0: the last copy is never deleted; at least 1 is kept");
    }
    hf_result done = run(&x, keep_last, verified, decision, arg, err);
    hf_free(x.named);
    HF_TRY(done);
    *ret = x.report;
    return hf_done();
}
