/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backup/publish.h"
#include "agent/core/filemap.h"
#include "agent/repo/wal_object.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/core/lsn.h"

struct verify {
    struct hf_repository *repository;
    const atomic_bool *cancel;
    hf_verify_problem problem;
    void *arg;
    struct hf_verify_report report;
    const char *label;
    const struct hf_manifest *manifest;
    struct hf_map_entry last; /* order goes on across shards */
    bool has_last;
};

static void note(struct verify *v, const char *object, const struct hf_err *why)
{
    v->report.problems++;
    if (v->problem != NULL) {
        v->problem(v->arg, v->label, object, why);
    }
}

static hf_result check_cancel(const struct verify *v, struct hf_err *err)
{
    if (v->cancel != NULL && atomic_load(v->cancel)) {
        return hf_fail(err, HF_E_CANCELED, "verify has been stopped");
    }
    return hf_done();
}

/* --- packs ---------------------------------------------------------------------------------- */

struct count {
    struct hf_opener *opener;
    uint64_t bytes;
};

static hf_result swallow(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    (void)arg;
    (void)bytes;
    (void)len;
    (void)err;
    return hf_done();
}

static hf_result feed(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    struct count *c = arg;
    c->bytes += len;
    return hf_opener_feed(c->opener, bytes, len, err);
}

static hf_result read_pack(struct verify *v, const struct hf_manifest_pack *pack,
                           struct hf_err *err)
{
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    char key[HF_STORE_KEY_SIZE];
    const struct hf_keyring *ring = hf_repository_ring(v->repository);
    struct count c = {0};
    HF_TRY(hf_hex_decode(pack->digest, digest, sizeof(digest), err));
    HF_TRY(hf_object_key(hf_keyring_cluster(ring), pack->name, key, err));
    struct hf_open_params params = {.kind = HF_OBJECT_PACK, .name = pack->name, .digest = digest};
    HF_TRY(hf_opener_new(ring, &params, swallow, NULL, &c.opener, err));
    hf_result r =
        hf_store_get(hf_repository_store(v->repository), key, 0, UINT64_MAX, feed, &c, err);
    if (hf_ok(r)) {
        r = hf_opener_finish(c.opener, err);
    }
    hf_opener_free(c.opener);
    v->report.bytes += c.bytes;
    if (hf_ok(r) && c.bytes != pack->stored_bytes) {
        r = hf_fail(err, HF_E_CORRUPT, "%s: %" PRIu64 " bytes, the manifest says %" PRIu64,
                    pack->name, c.bytes, pack->stored_bytes);
    }
    return r;
}

static hf_result verify_packs(struct verify *v, struct hf_err *err)
{
    for (size_t i = 0; i < v->manifest->pack_count; i++) {
        struct hf_err why = {0};
        HF_TRY(check_cancel(v, err));
        v->report.objects++;
        if (!hf_ok(read_pack(v, &v->manifest->packs[i], &why))) {
            note(v, v->manifest->packs[i].name, &why);
        }
    }
    return hf_done();
}

/* --- maps ----------------------------------------------------------------------------------- */

static bool pack_listed(const struct hf_manifest *m, const struct hf_map_pack *pack)
{
    char hex[HF_DIGEST_HEX_SIZE];
    hf_hex_encode(pack->digest, HF_MAP_DIGEST_SIZE, hex);
    for (size_t i = 0; i < m->pack_count; i++) {
        if (strcmp(m->packs[i].name, pack->name) == 0) {
            return strcmp(m->packs[i].digest, hex) == 0;
        }
    }
    return false;
}

static hf_result walk(struct verify *v, const char *name, struct hf_map_shard *shard,
                      uint64_t *ret_entries, struct hf_err *err)
{
    uint64_t entries = 0;
    for (size_t i = 0; i < hf_map_shard_packs(shard); i++) {
        const struct hf_map_pack *pack = hf_map_shard_pack(shard, i);
        if (!pack_listed(v->manifest, pack)) {
            return hf_fail(err, HF_E_CORRUPT, "%s: uses %s, which the manifest does not name", name,
                           pack->name);
        }
    }
    for (;; entries++) {
        struct hf_map_entry e;
        bool more = false;
        HF_TRY(hf_map_shard_next(shard, &e, &more, err));
        if (!more) {
            *ret_entries = entries;
            return hf_done();
        }
        if (v->has_last && hf_map_compare(&v->last, &e) >= 0) {
            return hf_fail(err, HF_E_CORRUPT, "%s: %.200s is out of order", name, e.path);
        }
        v->last = e;
        v->has_last = true;
    }
}

static hf_result read_shard(struct verify *v, const struct hf_manifest_shard *named,
                            struct hf_err *err)
{
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    HF_BUF(plain, HF_MAP_SHARD_MAX);
    struct hf_map_shard *shard = NULL;
    uint64_t entries = 0;
    HF_TRY(hf_hex_decode(named->digest, digest, sizeof(digest), err));
    struct hf_open_params params = {.kind = HF_OBJECT_MAP, .name = named->name, .digest = digest};
    HF_TRY(hf_object_get(hf_repository_ring(v->repository), hf_repository_store(v->repository),
                         &params, &plain, NULL, err));
    HF_TRY(hf_map_shard_open(plain.data, plain.len, &shard, err));
    hf_result r = walk(v, named->name, shard, &entries, err);
    hf_map_shard_free(shard);
    if (hf_ok(r) && entries != named->entries) {
        r = hf_fail(err, HF_E_CORRUPT, "%s: %" PRIu64 " entries, the manifest says %" PRIu64,
                    named->name, entries, named->entries);
    }
    v->report.bytes += plain.len;
    return r;
}

static hf_result verify_maps(struct verify *v, struct hf_err *err)
{
    v->has_last = false;
    for (size_t i = 0; i < v->manifest->shard_count; i++) {
        struct hf_err why = {0};
        HF_TRY(check_cancel(v, err));
        v->report.objects++;
        if (!hf_ok(read_shard(v, &v->manifest->shards[i], &why))) {
            note(v, v->manifest->shards[i].name, &why);
        }
    }
    struct hf_err why = {0};
    if (v->report.problems == 0 && v->manifest->source == HF_SOURCE_CLUSTER &&
        (!v->has_last || v->last.space != HF_MAP_SPACE_CONTROL)) {
        HF_IGNORE(hf_fail(&why, HF_E_CORRUPT, "the file map has no pg_control at its end"),
                  "noted below");
        note(v, "map", &why);
    }
    return hf_done();
}

/* --- WAL ------------------------------------------------------------------------------------ */

static hf_result read_segment(struct verify *v, const struct hf_wal_name *name, struct hf_err *err)
{
    const struct hf_manifest *m = v->manifest;
    HF_BUF(plain, m->segment_size);
    struct hf_object_header h;
    const struct hf_hash_key *key = NULL;
    HF_TRY(hf_wal_object_get(v->repository, name, m->segment_size, &plain, &h, err));
    HF_TRY(hf_keyring_hash_key(hf_repository_ring(v->repository), h.secret_id, &key, err));
    hf_hash128 hash = hf_hash(key, plain.data, plain.len);
    if (memcmp(hash.b, h.content_hash, sizeof(hash.b)) != 0) {
        return hf_fail(err, HF_E_CORRUPT, "%s: content does not fit its hash", h.name);
    }
    v->report.bytes += plain.len;
    return hf_done();
}

static hf_result verify_wal(struct verify *v, struct hf_err *err)
{
    const struct hf_manifest *m = v->manifest;
    uint64_t last = hf_lsn_segment(HF_LSN(m->stop.v - 1), m->segment_size);
    for (uint64_t n = hf_lsn_segment(m->start, m->segment_size); n <= last; n++) {
        struct hf_wal_name name = {.kind = HF_WAL_SEGMENT, .timeline = m->timeline, .segment = n};
        char logical[HF_OBJECT_NAME_SIZE];
        struct hf_err why = {0};
        HF_TRY(check_cancel(v, err));
        v->report.wal_segments++;
        if (!hf_ok(read_segment(v, &name, &why))) {
            hf_name_of_wal(&name, m->segment_size, logical);
            note(v, logical, &why);
        }
    }
    if (m->timeline.v > 1) {
        struct hf_err why = {0};
        HF_BUF(history, 65536);
        if (!hf_ok(hf_repository_history(v->repository, m->timeline, &history, &why))) {
            note(v, "history", &why);
        }
    }
    return hf_done();
}

/* --- a backup ------------------------------------------------------------------------------- */

/* The predecessor, when it is still there, must be the one that was seen (rule B9). */
static void verify_predecessor(struct verify *v)
{
    const struct hf_manifest *m = v->manifest;
    struct hf_manifest *before = NULL;
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    char hex[HF_DIGEST_HEX_SIZE];
    struct hf_err why = {0};
    if (m->predecessor[0] == '\0' ||
        !hf_ok(
            hf_backup_manifest(v->repository, m->predecessor, "manifest", &before, digest, &why))) {
        return; /* expired, or reported on its own */
    }
    hf_hex_encode(digest, sizeof(digest), hex);
    if (strcmp(hex, m->predecessor_digest) != 0) {
        HF_IGNORE(hf_fail(&why, HF_E_CORRUPT,
                          "manifest of %s was replaced since backup %s was taken (rule B9)",
                          m->predecessor, m->label),
                  "noted below");
        note(v, "manifest", &why);
    }
    hf_manifest_free(before);
}

static hf_result verify_backup(struct verify *v, const char *label, struct hf_err *err)
{
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    char name[HF_OBJECT_NAME_SIZE];
    struct hf_err why = {0};
    uint64_t before = v->report.problems;
    v->label = label;
    v->report.backups++;
    v->report.objects++;
    hf_name_of_backup(label, "manifest", name);
    if (!hf_ok(hf_backup_manifest(v->repository, label, "manifest", &m, NULL, &why))) {
        note(v, name, &why);
        return hf_done();
    }
    v->manifest = m;
    verify_predecessor(v);
    HF_TRY(verify_maps(v, err));
    HF_TRY(verify_packs(v, err));
    HF_TRY(verify_wal(v, err));
    v->report.backups_good += v->report.problems == before ? 1 : 0;
    return hf_done();
}

static void verify_records(struct verify *v)
{
    struct hf_system_identity id;
    struct hf_err why = {0};
    size_t n = 0;
    HF_AUTOFREE struct hf_epoch_record *epochs =
        hf_alloc_array(HF_REPO_MAX_EPOCHS, sizeof(*epochs));
    v->label = "";
    v->report.objects++;
    if (!hf_ok(hf_repository_identity(v->repository, &id, &why))) {
        note(v, "identity", &why);
    }
    if (!hf_ok(hf_repository_epochs(v->repository, epochs, HF_REPO_MAX_EPOCHS, &n, &why))) {
        note(v, "epoch", &why);
    }
    v->report.objects += n;
}

hf_result hf_verify_run(struct hf_repository *r, const char *label, const atomic_bool *cancel,
                        hf_verify_problem problem, void *arg, struct hf_verify_report *ret,
                        struct hf_err *err)
{
    struct verify v = {.repository = r, .cancel = cancel, .problem = problem, .arg = arg};
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*list));
    size_t n = 0;
    bool found = label == NULL;
    HF_TRY(hf_repository_backups(r, list, HF_REPO_MAX_BACKUPS, &n, err));
    verify_records(&v);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].published) {
            v.report.unfinished += list[i].wal_pending ? 0 : 1;
        } else if (label == NULL || strcmp(list[i].label, label) == 0) {
            found = true;
            HF_TRY(verify_backup(&v, list[i].label, err));
        }
    }
    if (!found) {
        return hf_fail(err, HF_E_NOT_FOUND, "repository %s has no published backup %s",
                       hf_repository_name(r), label);
    }
    *ret = v.report;
    return hf_done();
}
