/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of a repository: small sealed JSON objects, each create-once; and the list of backups.
 */
#include "agent/repo/repository.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/json.h"

/* Seals and stores. HF_E_EXISTS when the name is taken. */
static hf_result put_record(struct hf_repository *r, const char *name, const hf_json *json,
                            hf_epoch epoch, struct hf_err *err)
{
    HF_BUF(text, HF_REPO_RECORD_MAX);
    HF_TRY(hf_json_write(json, &text, err));
    HF_TRY(hf_keyring_prepare(hf_repository_ring(r), hf_repository_store(r), err));
    struct hf_seal_params params = {.kind = HF_OBJECT_RECORD,
                                    .name = name,
                                    .epoch = epoch,
                                    .frame_size = HF_REPO_RECORD_MAX,
                                    .zstd_level = -1};
    return hf_object_put(hf_repository_ring(r), hf_repository_store(r), &params, text.data,
                         text.len, err);
}

static hf_result get_record(struct hf_repository *r, const char *name, hf_json **ret,
                            struct hf_err *err)
{
    HF_BUF(text, HF_REPO_RECORD_MAX);
    struct hf_open_params params = {.kind = HF_OBJECT_RECORD, .name = name};
    HF_TRY(hf_object_get(hf_repository_ring(r), hf_repository_store(r), &params, &text, NULL, err));
    hf_result parsed = hf_json_parse(hf_buf_text(&text), text.len, HF_REPO_RECORD_MAX, ret, err);
    return hf_ok(parsed) ? parsed : hf_fail_context(err, "%s", name);
}

/* --- identity ------------------------------------------------------------------------------- */

static const char IDENTITY_NAME[] = "identity/00000001";

hf_result hf_repository_identity(struct hf_repository *r, struct hf_system_identity *ret,
                                 struct hf_err *err)
{
    HF_AUTOJSON hf_json *json = NULL;
    uint64_t system_id = 0;
    uint64_t version = 0;
    uint64_t segment = 0;
    uint64_t block = 0;
    bool checksums = false;
    HF_TRY(get_record(r, IDENTITY_NAME, &json, err));
    HF_TRY(hf_json_get_u64(json, "system_id", &system_id, err));
    HF_TRY(hf_json_get_u64(json, "pg_version_num", &version, err));
    HF_TRY(hf_json_get_u64(json, "segment_size", &segment, err));
    HF_TRY(hf_json_get_u64(json, "block_size", &block, err));
    HF_TRY(hf_json_get_bool_opt(json, "data_checksums", &checksums, err));
    if (system_id != hf_keyring_cluster(hf_repository_ring(r))->system_id || version > 10000000 ||
        !hf_segment_size_valid(segment) || block == 0 || block > 65536) {
        return hf_fail(err, HF_E_CORRUPT,
                       "%s: system identifier %" PRIu64 ", version %" PRIu64
                       ", segments of %" PRIu64 ", blocks of %" PRIu64 " bytes do not fit",
                       IDENTITY_NAME, system_id, version, segment, block);
    }
    *ret = (struct hf_system_identity){.system_id = system_id,
                                       .pg_version_num = (uint32_t)version,
                                       .segment_size = (uint32_t)segment,
                                       .block_size = (uint32_t)block,
                                       .data_checksums = checksums};
    return hf_done();
}

hf_result hf_repository_identity_ensure(struct hf_repository *r,
                                        const struct hf_system_identity *id, hf_epoch epoch,
                                        struct hf_err *err)
{
    HF_AUTOJSON hf_json *json = hf_json_object();
    hf_json_put_u64(json, "system_id", id->system_id);
    hf_json_put_u64(json, "pg_version_num", id->pg_version_num);
    hf_json_put_u64(json, "segment_size", id->segment_size);
    hf_json_put_u64(json, "block_size", id->block_size);
    hf_json_put_bool(json, "data_checksums", id->data_checksums);
    hf_result put = put_record(r, IDENTITY_NAME, json, epoch, err);
    if (put.code != HF_E_EXISTS) {
        return put;
    }
    struct hf_system_identity there;
    HF_TRY(hf_repository_identity(r, &there, err));
    if (there.segment_size != id->segment_size || there.block_size != id->block_size) {
        return hf_fail(err, HF_E_CONFLICT,
                       "repository %s holds a cluster with WAL segments of %u and blocks of %u "
                       "bytes, this one has %u and %u",
                       hf_repository_name(r), there.segment_size, there.block_size,
                       id->segment_size, id->block_size);
    }
    return hf_done();
}

/* --- epochs --------------------------------------------------------------------------------- */

static void epoch_name(hf_epoch epoch, char ret[HF_OBJECT_NAME_SIZE])
{
    snprintf(ret, HF_OBJECT_NAME_SIZE, "epoch/%016" PRIx64, epoch.v);
}

static hf_result read_epoch(struct hf_repository *r, hf_epoch epoch, struct hf_epoch_record *ret,
                            struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    HF_AUTOJSON hf_json *json = NULL;
    struct hf_epoch_record e = {0};
    uint64_t timeline = 0;
    epoch_name(epoch, name);
    HF_TRY(get_record(r, name, &json, err));
    HF_TRY(hf_json_get_u64(json, "epoch", &e.epoch.v, err));
    HF_TRY(hf_json_get_u64(json, "parent_epoch", &e.parent_epoch.v, err));
    HF_TRY(hf_json_get_u64(json, "timeline", &timeline, err));
    HF_TRY(hf_json_get_u64(json, "fork", &e.fork.v, err));
    HF_TRY(hf_json_get_text(json, "primary", e.primary, sizeof(e.primary), err));
    if (e.epoch.v != epoch.v || timeline == 0 || timeline > UINT32_MAX) {
        return hf_fail(err, HF_E_CORRUPT, "%s: says epoch %" PRIu64 ", timeline %" PRIu64, name,
                       e.epoch.v, timeline);
    }
    e.timeline.v = (uint32_t)timeline;
    *ret = e;
    return hf_done();
}

hf_result hf_repository_epoch_put(struct hf_repository *r, const struct hf_epoch_record *record,
                                  struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    HF_AUTOJSON hf_json *json = hf_json_object();
    epoch_name(record->epoch, name);
    hf_json_put_u64(json, "epoch", record->epoch.v);
    hf_json_put_u64(json, "parent_epoch", record->parent_epoch.v);
    hf_json_put_u64(json, "timeline", record->timeline.v);
    hf_json_put_u64(json, "fork", record->fork.v);
    hf_json_put_text(json, "primary", record->primary);
    hf_result put = put_record(r, name, json, record->epoch, err);
    if (put.code != HF_E_EXISTS) {
        return put;
    }
    struct hf_epoch_record there;
    HF_TRY(read_epoch(r, record->epoch, &there, err));
    if (there.timeline.v != record->timeline.v || there.fork.v != record->fork.v ||
        there.parent_epoch.v != record->parent_epoch.v ||
        strcmp(there.primary, record->primary) != 0) {
        return hf_fail(err, HF_E_CONFLICT,
                       "epoch %" PRIu64 " is recorded in repository %s for %s on timeline %u",
                       record->epoch.v, hf_repository_name(r), there.primary, there.timeline.v);
    }
    return hf_done();
}

struct numbers {
    size_t skip;
    int base;
    uint64_t *v;
    size_t room;
    size_t count;
};

static hf_result visit_number(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct numbers *n = arg;
    char *end = NULL;
    uint64_t v = strtoull(entry->key + n->skip, &end, n->base);
    if (end == entry->key + n->skip || *end != '\0') {
        return hf_done();
    }
    if (n->count == n->room) {
        return hf_fail(err, HF_E_LIMIT, "more than %zu records", n->room);
    }
    n->v[n->count++] = v;
    return hf_done();
}

/* Numbers in the names of all objects directly below a folder. */
static hf_result list_numbers(struct hf_repository *r, const char *below, int base, uint64_t *v,
                              size_t room, size_t *ret_n, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), below, prefix, err));
    struct numbers n = {.skip = strlen(prefix), .base = base, .v = v, .room = room};
    HF_TRY(hf_store_list(hf_repository_store(r), prefix, NULL, false, visit_number, &n, err));
    *ret_n = n.count;
    return hf_done();
}

hf_result hf_repository_epochs(struct hf_repository *r, struct hf_epoch_record *ret, size_t room,
                               size_t *ret_n, struct hf_err *err)
{
    HF_AUTOFREE uint64_t *epochs = hf_alloc_array(HF_REPO_MAX_EPOCHS, sizeof(*epochs));
    size_t n = 0;
    size_t most = room < HF_REPO_MAX_EPOCHS ? room : HF_REPO_MAX_EPOCHS;
    HF_TRY(list_numbers(r, "epoch/", 16, epochs, most, &n, err));
    for (size_t i = 0; i < n; i++) {
        HF_TRY(read_epoch(r, HF_EPOCH(epochs[i]), &ret[i], err));
    }
    *ret_n = n;
    return hf_done();
}

/* --- timelines ------------------------------------------------------------------------------ */

hf_result hf_repository_timeline_reserve(struct hf_repository *r, hf_tli timeline, hf_epoch epoch,
                                         const char *node, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    snprintf(name, sizeof(name), "timeline/%08X", timeline.v);
    HF_AUTOJSON hf_json *json = hf_json_object();
    hf_json_put_u64(json, "timeline", timeline.v);
    hf_json_put_u64(json, "epoch", epoch.v);
    hf_json_put_text(json, "node", node);
    hf_result put = put_record(r, name, json, epoch, err);
    if (put.code != HF_E_EXISTS) {
        return put;
    }
    HF_AUTOJSON hf_json *there = NULL;
    char holder[HF_NAME_SIZE] = "";
    uint64_t holder_epoch = 0;
    HF_TRY(get_record(r, name, &there, err));
    HF_TRY(hf_json_get_u64(there, "epoch", &holder_epoch, err));
    HF_TRY(hf_json_get_text(there, "node", holder, sizeof(holder), err));
    if (holder_epoch != epoch.v || strcmp(holder, node) != 0) {
        return hf_fail(err, HF_E_CONFLICT,
                       "timeline %u is reserved in repository %s by %s in epoch %" PRIu64
                       " (rule L14)",
                       timeline.v, hf_repository_name(r), holder, holder_epoch);
    }
    return hf_done();
}

struct highest {
    size_t skip;
    uint32_t timeline;
};

static hf_result visit_timeline(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct highest *h = arg;
    (void)err;
    /* "<8 hex>", "<8 hex>/" or "<8 hex>.history" */
    char *end = NULL;
    uint64_t v = strtoull(entry->key + h->skip, &end, 16);
    if (end == entry->key + h->skip + 8 && v <= UINT32_MAX && v > h->timeline &&
        (*end == '\0' || strcmp(end, "/") == 0 || strcmp(end, ".history") == 0)) {
        h->timeline = (uint32_t)v;
    }
    return hf_done();
}

hf_result hf_repository_timeline_highest(struct hf_repository *r, hf_tli *ret, struct hf_err *err)
{
    static const char *const FOLDERS[] = {"timeline/", "wal/"};
    struct highest h = {0};
    for (size_t i = 0; i < 2; i++) {
        char prefix[HF_STORE_KEY_SIZE];
        HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), FOLDERS[i], prefix, err));
        h.skip = strlen(prefix);
        HF_TRY(hf_store_list(hf_repository_store(r), prefix, NULL, true, visit_timeline, &h, err));
    }
    *ret = HF_TLI(h.timeline);
    return hf_done();
}

/* --- backups -------------------------------------------------------------------------------- */

struct backups {
    size_t skip;
    struct hf_backup_entry *v;
    size_t room;
    size_t count;
};

static hf_result visit_backup_object(void *arg, const struct hf_store_entry *entry,
                                     struct hf_err *err)
{
    struct backups *b = arg;
    const char *label = entry->key + b->skip;
    const char *slash = strchr(label, '/');
    if (slash == NULL || slash == label || (size_t)(slash - label) >= HF_LABEL_SIZE) {
        return hf_done();
    }
    size_t len = (size_t)(slash - label);
    const char *leaf = slash + 1;
    HF_ASSERT(b->v != NULL);
    struct hf_backup_entry *e = b->count > 0 ? &b->v[b->count - 1] : NULL;
    if (e == NULL || strncmp(e->label, label, len) != 0 || e->label[len] != '\0') {
        if (b->count == b->room) {
            return hf_fail(err, HF_E_LIMIT, "more than %zu backups in the repository", b->room);
        }
        e = &b->v[b->count++];
        *e = (struct hf_backup_entry){0};
        memcpy(e->label, label, len);
    }
    e->begun = e->begun || strcmp(leaf, "begin") == 0;
    e->wal_pending = e->wal_pending || strcmp(leaf, "pending") == 0;
    e->published = e->published || strcmp(leaf, "manifest") == 0;
    e->expiring = e->expiring || strcmp(leaf, "expiring") == 0;
    e->objects++;
    e->stored_bytes += entry->size;
    return hf_done();
}

hf_result hf_repository_backups(struct hf_repository *r, struct hf_backup_entry *ret, size_t room,
                                size_t *ret_n, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), "backup/", prefix, err));
    struct backups b = {.skip = strlen(prefix), .v = ret, .room = room};
    HF_TRY(
        hf_store_list(hf_repository_store(r), prefix, NULL, false, visit_backup_object, &b, err));
    for (size_t i = 0; i < b.count; i++) {
        ret[i].wal_pending = ret[i].wal_pending && !ret[i].published;
    }
    *ret_n = b.count;
    return hf_done();
}
