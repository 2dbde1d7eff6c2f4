/* SPDX-License-Identifier: Apache-2.0
 *
 * A cluster's part of a repository: handle, names, WAL as the listing shows it.
 */
#include "agent/repo/repository.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/mem.h"

struct hf_repository {
    struct hf_store *store;
    struct hf_keyring *ring;
};

hf_result hf_repository_open(struct hf_store *store, struct hf_keyring *ring,
                             struct hf_repository **ret, struct hf_err *err)
{
    HF_TRY(hf_keyring_load(ring, store, err));
    struct hf_repository *r = hf_alloc(sizeof(*r));
    r->store = store;
    r->ring = ring;
    *ret = r;
    return hf_done();
}

void hf_repository_close(struct hf_repository *r)
{
    hf_free(r);
}

struct hf_store *hf_repository_store(const struct hf_repository *r)
{
    return r->store;
}

struct hf_keyring *hf_repository_ring(const struct hf_repository *r)
{
    return r->ring;
}

const char *hf_repository_name(const struct hf_repository *r)
{
    return hf_store_name(r->store);
}

/* --- names ---------------------------------------------------------------------------------- */

enum hf_object_kind hf_name_of_wal(const struct hf_wal_name *name, uint32_t segment_size,
                                   char ret[HF_OBJECT_NAME_SIZE])
{
    char file[HF_WAL_NAME_SIZE];
    hf_wal_name_format(name, segment_size, file);
    if (name->kind == HF_WAL_HISTORY) {
        snprintf(ret, HF_OBJECT_NAME_SIZE, "wal/%s", file);
        return HF_OBJECT_HISTORY;
    }
    snprintf(ret, HF_OBJECT_NAME_SIZE, "wal/%08X/%s", name->timeline.v, file);
    return name->kind == HF_WAL_SEGMENT ? HF_OBJECT_WAL : HF_OBJECT_LABEL;
}

void hf_name_of_conflict(hf_epoch epoch, const char *file_name, const hf_hash128 *content,
                         char ret[HF_OBJECT_NAME_SIZE])
{
    char hex[HF_HEX_SIZE(8)];
    hf_hex_encode(content->b, 8, hex);
    snprintf(ret, HF_OBJECT_NAME_SIZE, "conflict/%016" PRIx64 "/%s-%s", epoch.v, file_name, hex);
}

void hf_name_of_tail(const struct hf_wal_name *segment, uint32_t segment_size, hf_lsn from,
                     hf_lsn to, char ret[HF_OBJECT_NAME_SIZE])
{
    char file[HF_WAL_NAME_SIZE];
    hf_wal_name_format(segment, segment_size, file);
    snprintf(ret, HF_OBJECT_NAME_SIZE, "tail/%08X/%s/%016" PRIx64 "-%016" PRIx64,
             segment->timeline.v, file, from.v, to.v);
}

void hf_name_of_backup(const char *label, const char *leaf, char ret[HF_OBJECT_NAME_SIZE])
{
    snprintf(ret, HF_OBJECT_NAME_SIZE, "backup/%s/%s", label, leaf);
}

/* --- incarnations --------------------------------------------------------------------------- */

struct incarnations {
    const char *prefix;
    uint64_t *ids;
    size_t room;
    size_t count;
};

static hf_result visit_incarnation(void *arg, const struct hf_store_entry *entry,
                                   struct hf_err *err)
{
    struct incarnations *in = arg;
    char *end = NULL;
    if (!entry->is_prefix) {
        return hf_done();
    }
    uint64_t id = strtoull(entry->key + strlen(in->prefix), &end, 10);
    if (id == 0 || strcmp(end, "/") != 0) {
        return hf_done();
    }
    if (in->count == in->room) {
        return hf_fail(err, HF_E_LIMIT, "more than %zu incarnations below %s", in->room,
                       in->prefix);
    }
    in->ids[in->count++] = id;
    return hf_done();
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

hf_result hf_repository_incarnations(struct hf_store *store, const char *tenant,
                                     const char *cluster, uint64_t *ret, size_t room, size_t *ret_n,
                                     struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    snprintf(prefix, sizeof(prefix), "%s/%s/", tenant, cluster);
    struct incarnations in = {.prefix = prefix, .ids = ret, .room = room};
    HF_TRY(hf_store_list(store, prefix, NULL, true, visit_incarnation, &in, err));
    qsort(ret, in.count, sizeof(*ret), compare_ids);
    *ret_n = in.count;
    return hf_done();
}

/* --- WAL ------------------------------------------------------------------------------------ */

struct wal_run {
    size_t skip; /* bytes of a key before the file's name */
    hf_tli timeline;
    uint32_t segment_size;
    uint64_t next; /* segment that is expected */
    uint64_t last; /* stop after this one */
};

static hf_result visit_segment(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct wal_run *run = arg;
    struct hf_wal_name name;
    if (!hf_ok(hf_wal_name_parse(entry->key + run->skip, run->segment_size, &name, NULL)) ||
        name.kind != HF_WAL_SEGMENT || name.timeline.v != run->timeline.v ||
        name.segment < run->next) {
        return hf_done();
    }
    if (name.segment > run->next) {
        return hf_fail(err, HF_E_CANCELED, "gap");
    }
    if (run->next == run->last) {
        run->next++;
        return hf_fail(err, HF_E_CANCELED, "complete");
    }
    run->next++;
    return hf_done();
}

static hf_result walk_wal(struct hf_repository *r, hf_tli timeline, uint64_t first, uint64_t last,
                          uint32_t segment_size, uint64_t *ret_next, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    char prefix[HF_STORE_KEY_SIZE];
    char after[HF_STORE_KEY_SIZE];
    const struct hf_cluster_id *id = hf_keyring_cluster(r->ring);
    if (!hf_segment_size_valid(segment_size)) {
        return hf_fail(err, HF_E_INVALID, "WAL segment size %u", segment_size);
    }
    snprintf(name, sizeof(name), "wal/%08X/", timeline.v);
    HF_TRY(hf_object_key(id, name, prefix, err));
    struct wal_run run = {.skip = strlen(prefix),
                          .timeline = timeline,
                          .segment_size = segment_size,
                          .next = first,
                          .last = last};
    if (first > 0) {
        struct hf_wal_name before = {
            .kind = HF_WAL_SEGMENT, .timeline = timeline, .segment = first - 1};
        hf_name_of_wal(&before, segment_size, name);
        HF_TRY(hf_object_key(id, name, after, err));
    }
    hf_result listed =
        hf_store_list(r->store, prefix, first > 0 ? after : NULL, false, visit_segment, &run, err);
    if (!hf_ok(listed) && listed.code != HF_E_CANCELED) {
        return listed;
    }
    *ret_next = run.next;
    return hf_done();
}

hf_result hf_repository_wal_present(struct hf_repository *r, hf_tli timeline, uint64_t first,
                                    uint64_t last, uint32_t segment_size, bool *ret_complete,
                                    uint64_t *ret_first_missing, struct hf_err *err)
{
    uint64_t next = 0;
    HF_TRY(walk_wal(r, timeline, first, last, segment_size, &next, err));
    *ret_complete = next > last;
    *ret_first_missing = next;
    return hf_done();
}

hf_result hf_repository_wal_contiguous(struct hf_repository *r, hf_tli timeline, uint64_t first,
                                       uint32_t segment_size, uint64_t *ret_last,
                                       struct hf_err *err)
{
    uint64_t next = 0;
    HF_TRY(walk_wal(r, timeline, first, UINT64_MAX - 1, segment_size, &next, err));
    if (next == first) {
        return hf_fail(err, HF_E_NOT_FOUND,
                       "repository %s has no segment %" PRIu64 " of timeline %u",
                       hf_repository_name(r), first, timeline.v);
    }
    *ret_last = next - 1;
    return hf_done();
}

hf_result hf_repository_history(struct hf_repository *r, hf_tli timeline, struct hf_buf *out,
                                struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    struct hf_wal_name file = {.kind = HF_WAL_HISTORY, .timeline = timeline};
    hf_name_of_wal(&file, 16U << 20, name);
    struct hf_open_params params = {.kind = HF_OBJECT_HISTORY, .name = name};
    return hf_object_get(r->ring, r->store, &params, out, NULL, err);
}
