/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/backup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/backup/pgsource.h"
#include "agent/backup/publish.h"
#include "agent/backup/run.h"
#include "agent/backup/shards.h"
#include "agent/backup/walcopy.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/log.h"

enum {
    PACK_MAX = 64 << 20,
    PACK_MIN = 1 << 20,
    MEMORY_DEFAULT = 96 << 20,
    /* A worker: plaintext, pending and sealed frame, zstd's context, a part of a multipart upload
     * for each repository. */
    WORKER_BYTES = 4 << 20,
    SHARDS_BYTES = 20 << 20,
    WINDOW_MIN = 2 << 20
};

struct backup {
    const struct hf_backup_request *request;
    struct hf_pgsource *source;
    struct hf_fanout *fanout;
    struct hf_scan *scan;
    struct hf_plan *plan;
    struct hf_shards *shards;
    struct hf_manifest *manifest;
    struct hf_backup_shared shared;
    enum hf_backup_phase phase;
    hf_lclk begun;
};

static void backup_cleanup(struct backup *b)
{
    hf_plan_free(b->plan);
    hf_shards_free(b->shards);
    hf_scan_free(b->scan);
    hf_fanout_free(b->fanout);
    hf_pgsource_close(b->source);
    hf_manifest_free(b->manifest);
    for (size_t i = 0; i < b->shared.pack_count; i++) {
        hf_free(b->shared.packs[i]);
    }
    hf_free(b->shared.packs);
    hf_free(b->shared.pack_sizes);
    hf_free(b->shared.findings);
    pthread_mutex_destroy(&b->shared.lock);
}

static void tick(void *arg)
{
    struct backup *b = arg;
    if (b->request->progress == NULL) {
        return;
    }
    struct hf_backup_progress p = {
        .phase = b->phase,
        .label = b->manifest->label,
        .read_bytes = atomic_load(&b->shared.read_bytes),
        .stored_bytes = atomic_load(&b->shared.stored_bytes),
        .elapsed = hf_lclk_sub(hf_clock_lease(), b->begun),
    };
    b->request->progress(b->request->progress_arg, &p);
}

/* --- before --------------------------------------------------------------------------------- */

/* Keys and identity go to each repository before any data (rule C2). Another region's that does
 * not answer is left behind. */
static hf_result prepare_repositories(struct backup *b, struct hf_err *err)
{
    const struct hf_backup_request *q = b->request;
    struct hf_system_identity id = {.system_id = hf_pgsource_system_id(b->source),
                                    .pg_version_num = hf_pgsource_version(b->source),
                                    .segment_size = hf_pgsource_segment_size(b->source),
                                    .block_size = hf_pgsource_block_size(b->source),
                                    .data_checksums = hf_pgsource_checksums(b->source)};
    for (size_t i = 0; i < q->repository_count; i++) {
        struct hf_err mine = {0};
        struct hf_repository *r = q->repositories[i];
        hf_result done = hf_keyring_prepare(hf_repository_ring(r), hf_repository_store(r), &mine);
        if (hf_ok(done)) {
            done = hf_repository_identity_ensure(r, &id, q->epoch, &mine);
        }
        if (!hf_ok(done) && i == 0) {
            *err = mine;
            return hf_fail_context(err, "repository %s", hf_repository_name(r));
        }
        if (!hf_ok(done)) {
            hf_fanout_drop(b->fanout, i, &mine);
        }
    }
    return hf_done();
}

/* The newest manifest of the own repository: the chain shows what was taken away (rule B9). */
static hf_result find_predecessor(struct backup *b, struct hf_err *err)
{
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*list));
    size_t n = 0;
    HF_TRY(hf_repository_backups(b->request->repositories[0], list, HF_REPO_MAX_BACKUPS, &n, err));
    for (size_t i = n; i > 0; i--) {
        const struct hf_backup_entry *e = &list[i - 1];
        HF_AUTOMANIFEST struct hf_manifest *m = NULL;
        uint8_t digest[HF_OBJECT_DIGEST_SIZE];
        if (!e->published) {
            continue;
        }
        HF_TRY(
            hf_backup_manifest(b->request->repositories[0], e->label, "manifest", &m, digest, err));
        snprintf(b->manifest->predecessor, sizeof(b->manifest->predecessor), "%s", e->label);
        hf_hex_encode(digest, sizeof(digest), b->manifest->predecessor_digest);
        return hf_done();
    }
    return hf_done();
}

static hf_result put_begin(struct backup *b, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    HF_BUF(text, HF_REPO_RECORD_MAX);
    HF_BUF(sealed, HF_REPO_RECORD_MAX * 2);
    HF_AUTOJSON hf_json *json = hf_json_object();
    struct hf_manifest *m = b->manifest;
    hf_name_of_backup(m->label, "begin", name);
    hf_json_put_text(json, "label", m->label);
    hf_json_put_u64(json, "epoch", m->epoch.v);
    hf_json_put_text(json, "agent", m->writer);
    hf_json_put_text(json, "region", m->region);
    hf_json_put_i64(json, "started_at", m->started_at.us);
    hf_json_put(json, "parents", hf_json_array());
    HF_TRY(hf_json_write(json, &text, err));
    struct hf_seal_params params = {.kind = HF_OBJECT_BEGIN,
                                    .name = name,
                                    .epoch = m->epoch,
                                    .frame_size = HF_REPO_RECORD_MAX,
                                    .zstd_level = -1};
    HF_TRY(hf_object_seal(b->shared.ring, &params, text.data, text.len, &sealed, err));
    return hf_fanout_put(b->fanout, name, sealed.data, sealed.len, err);
}

/* A label is a second: when it is taken, the next one is tried. */
static hf_result begin(struct backup *b, struct hf_err *err)
{
    enum { TRIES = 5 };
    struct timespec pause = {.tv_sec = 1};
    struct hf_manifest *m = b->manifest;
    HF_FAULT("backup.begin", err);
    for (int i = 0; i < TRIES; i++) {
        m->started_at = hf_clock_wall();
        hf_backup_label_make(m->started_at, m->type, m->label);
        hf_result put = put_begin(b, err);
        if (put.code != HF_E_EXISTS) {
            return put;
        }
        nanosleep(&pause, NULL);
    }
    return hf_fail(err, HF_E_EXISTS, "backup label %s is taken", m->label);
}

static hf_result open_all(struct backup *b, struct hf_err *err)
{
    const struct hf_backup_request *q = b->request;
    const struct hf_keyring *ring = hf_repository_ring(q->repositories[0]);
    struct hf_manifest *m = b->manifest;
    if (q->type != HF_BACKUP_FULL) {
        return hf_fail(err, HF_E_UNSUPPORTED, "backup type %s; supported is full",
                       hf_backup_type_name(q->type));
    }
    HF_TRY(hf_pgsource_open(q->pg, &b->source, err));
    if (hf_pgsource_system_id(b->source) != hf_keyring_cluster(ring)->system_id) {
        return hf_fail(err, HF_E_REFUSED,
                       "PostgreSQL has system identifier %llu, the repository is of %llu",
                       (unsigned long long)hf_pgsource_system_id(b->source),
                       (unsigned long long)hf_keyring_cluster(ring)->system_id);
    }
    hf_pgsource_describe(b->source, m);
    b->fanout = hf_fanout_new(q->repositories, q->repository_count);
    HF_TRY(prepare_repositories(b, err));
    m->type = q->type;
    m->source = HF_SOURCE_CLUSTER;
    m->epoch = q->epoch;
    snprintf(m->tenant, sizeof(m->tenant), "%s", hf_keyring_cluster(ring)->tenant);
    snprintf(m->cluster, sizeof(m->cluster), "%s", hf_keyring_cluster(ring)->cluster);
    snprintf(m->region, sizeof(m->region), "%s", q->region);
    snprintf(m->writer, sizeof(m->writer), "%s", hf_keyring_writer(ring));
    snprintf(m->program, sizeof(m->program), "holdfast %s", HF_VERSION);
    HF_TRY(find_predecessor(b, err));
    b->shared.ring = ring;
    uint8_t dek[HF_DEK_ID_SIZE];
    return hf_keyring_active(ring, dek, &b->shared.hash_key, m->secret_id, err);
}

/* --- copying -------------------------------------------------------------------------------- */

static hf_result copy_files(struct backup *b, struct hf_err *err)
{
    const struct hf_backup_request *q = b->request;
    enum { ROOTS = HF_SCAN_MAX_ROOTS + HF_SCAN_MAX_CONFIG };
    HF_AUTOFREE struct hf_scan_root *roots = hf_alloc_array(ROOTS, sizeof(*roots));
    size_t root_count = 0;
    size_t memory = q->memory == 0 ? MEMORY_DEFAULT : (size_t)q->memory;
    int workers = q->workers < 1 ? 1 : q->workers > 16 ? 16 : q->workers;
    while (workers > 1 && (size_t)workers * WORKER_BYTES + SHARDS_BYTES + WINDOW_MIN > memory) {
        workers--;
    }
    size_t used = (size_t)workers * WORKER_BYTES + SHARDS_BYTES;
    size_t window = memory > used + WINDOW_MIN ? (memory - used) / 2 : WINDOW_MIN;

    HF_TRY(hf_pgsource_roots(b->source, roots, ROOTS, &root_count, err));
    HF_TRY(hf_scan_new(roots, root_count, &b->scan, err));
    b->shared.scan = b->scan;
    b->shared.fanout = b->fanout;
    b->shared.label = b->manifest->label;
    b->shared.epoch = b->manifest->epoch;
    b->shared.zstd_level = q->zstd_level;
    b->shared.pack_size = q->pack_size == 0 || q->pack_size > PACK_MAX ? PACK_MAX
                          : q->pack_size < PACK_MIN                    ? PACK_MIN
                                                                       : q->pack_size;
    b->shared.checksums = hf_pgsource_checksums(b->source);
    b->shared.findings = hf_alloc_array(HF_MANIFEST_MAX_FINDINGS, sizeof(*b->shared.findings));
    b->shards = hf_shards_new(&b->shared);
    b->plan = hf_plan_new(b->scan, window, hf_shards_take, b->shards);
    HF_TRY(hf_pipeline_run(&b->shared, b->plan, workers, q->cancel, tick, b, err));
    return hf_shards_finish(b->shards, b->manifest, err);
}

/* --- after ---------------------------------------------------------------------------------- */

static void fill_manifest(struct backup *b)
{
    struct hf_manifest *m = b->manifest;
    m->completed_at = hf_clock_wall();
    m->packs = b->shared.pack_sizes;
    m->pack_count = b->shared.pack_count;
    b->shared.pack_sizes = NULL;
    m->findings = b->shared.findings;
    m->finding_count = b->shared.finding_count;
    m->findings_total = b->shared.findings_total;
    b->shared.findings = NULL;
    m->read_bytes = atomic_load(&b->shared.read_bytes);
    m->pages_checked = atomic_load(&b->shared.pages_checked);
    for (size_t i = 0; i < m->pack_count; i++) {
        m->stored_bytes += m->packs[i].stored_bytes;
    }
}

/* The sealed manifest, as `pending` until its WAL has arrived. */
static hf_result put_pending(struct backup *b, struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    HF_BUF(text, HF_MANIFEST_MAX_BYTES);
    HF_BUF(sealed, HF_MANIFEST_MAX_BYTES + (1 << 20));
    HF_FAULT("backup.pending", err);
    HF_TRY(hf_manifest_encode(b->manifest, &text, err));
    hf_name_of_backup(b->manifest->label, "manifest", name);
    struct hf_seal_params params = {
        .kind = HF_OBJECT_MANIFEST, .name = name, .epoch = b->manifest->epoch};
    HF_TRY(hf_object_seal(b->shared.ring, &params, text.data, text.len, &sealed, err));
    hf_name_of_backup(b->manifest->label, "pending", name);
    return hf_fanout_put(b->fanout, name, sealed.data, sealed.len, err);
}

static hf_result publish(struct backup *b, struct hf_backup_result *out, struct hf_err *err)
{
    const struct hf_backup_request *q = b->request;
    for (size_t i = 0; i < q->repository_count; i++) {
        struct hf_err mine = {0};
        bool published = false;
        if (!hf_fanout_alive(b->fanout, i, NULL)) {
            out->state[i] = HF_BACKUP_BEHIND;
            continue;
        }
        hf_result r = hf_done();
        if (!hf_pgsource_standby(b->source) && (q->copy_wal || !hf_pgsource_archiving(b->source))) {
            r = hf_backup_copy_wal(q->repositories[i], b->manifest,
                                   hf_pgsource_data_directory(b->source), q->zstd_level, &mine);
        }
        if (hf_ok(r)) {
            r = hf_backup_publish(q->repositories[i], b->manifest->label, &published, NULL, 0,
                                  &mine);
        }
        if (!hf_ok(r) && i == 0) {
            *err = mine;
            return r;
        }
        out->state[i] = published ? HF_BACKUP_PUBLISHED : HF_BACKUP_WAL_PENDING;
    }
    return hf_done();
}

static void fill_result(const struct backup *b, struct hf_backup_result *out)
{
    const struct hf_manifest *m = b->manifest;
    snprintf(out->label, sizeof(out->label), "%s", m->label);
    out->system_id = m->system_id;
    out->timeline = m->timeline;
    out->start = m->start;
    out->stop = m->stop;
    out->original_bytes = m->original_bytes;
    out->stored_bytes = m->stored_bytes;
    out->entries = m->entries;
    out->pages_checked = m->pages_checked;
    out->findings_total = m->findings_total;
    out->elapsed = hf_lclk_sub(hf_clock_lease(), b->begun);
}

hf_result hf_backup_run(const struct hf_backup_request *request, struct hf_backup_result *ret,
                        struct hf_err *err)
{
    __attribute__((cleanup(backup_cleanup))) struct backup b = {
        .request = request, .manifest = hf_manifest_new(), .begun = hf_clock_lease()};
    struct hf_backup_result out = {0};
    pthread_mutex_init(&b.shared.lock, NULL);
    HF_TRY(open_all(&b, err));
    HF_TRY(begin(&b, err));
    tick(&b);
    HF_TRY(hf_pgsource_start(b.source, b.manifest->label, !request->spread, err));
    b.phase = HF_BACKUP_COPYING;
    HF_TRY(copy_files(&b, err));
    b.phase = HF_BACKUP_STOPPING;
    tick(&b);
    HF_TRY(hf_pgsource_stop(b.source, b.manifest, err));
    fill_manifest(&b);
    b.phase = HF_BACKUP_PUBLISHING;
    tick(&b);
    HF_TRY(put_pending(&b, err));
    HF_TRY(publish(&b, &out, err));
    fill_result(&b, &out);
    *ret = out;
    return hf_done();
}
