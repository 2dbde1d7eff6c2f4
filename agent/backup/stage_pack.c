/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing: frames are compressed, sealed and appended to the worker's own pack, which goes to every
 * repository at once. The last frame of a pack is its frame table.
 */
#include <stdio.h>
#include <string.h>

#include "agent/backup/stage.h"
#include "agent/core/bytes.h"
#include "agent/repo/object.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/fault.h"

enum { MAX_FRAMES = 4096, TABLE_ENTRY = 12 };

struct pack_stage {
    struct hf_stage base;
    struct hf_map_pack *pack; /* NULL: none is open */
    struct hf_fanout_stream *stream;
    struct hf_sealer *sealer;
    uint8_t *table;
    uint32_t frames;
};

static void drop_pack(struct pack_stage *s)
{
    hf_sealer_free(s->sealer);
    hf_fanout_abort(s->stream);
    s->sealer = NULL;
    s->stream = NULL;
    s->pack = NULL;
}

static hf_result open_pack(struct pack_stage *s, struct hf_err *err)
{
    struct hf_backup_shared *shared = s->base.shared;
    char leaf[32];
    struct hf_map_pack *pack = hf_alloc(sizeof(*pack));
    snprintf(leaf, sizeof(leaf), "pack-%08u", atomic_fetch_add(&shared->pack_number, 1) + 1);
    hf_name_of_backup(shared->label, leaf, pack->name);
    struct hf_seal_params params = {.kind = HF_OBJECT_PACK,
                                    .name = pack->name,
                                    .epoch = shared->epoch,
                                    .frame_size = HF_PLAN_FRAME,
                                    .zstd_level = shared->zstd_level};
    hf_result r = hf_fanout_open(shared->fanout, pack->name, &s->stream, err);
    if (hf_ok(r)) {
        r = hf_sealer_new(shared->ring, &params, hf_fanout_write, s->stream, &s->sealer, err);
    }
    if (!hf_ok(r)) {
        drop_pack(s);
        hf_free(pack);
        return r;
    }
    hf_sealer_digest(s->sealer, pack->digest);
    s->pack = pack;
    s->frames = 0;
    /* From here on the list owns it: parts refer to it until the last shard is written. */
    pthread_mutex_lock(&shared->lock);
    if (shared->pack_count == shared->pack_room) {
        shared->pack_room = shared->pack_room == 0 ? 64 : shared->pack_room * 2;
        shared->packs = hf_realloc(shared->packs, shared->pack_room * sizeof(*shared->packs));
        shared->pack_sizes =
            hf_realloc(shared->pack_sizes, shared->pack_room * sizeof(*shared->pack_sizes));
    }
    struct hf_manifest_pack *sizes = &shared->pack_sizes[shared->pack_count];
    *sizes = (struct hf_manifest_pack){0};
    memcpy(sizes->name, pack->name, sizeof(sizes->name));
    hf_hex_encode(pack->digest, HF_MAP_DIGEST_SIZE, sizes->digest);
    shared->packs[shared->pack_count++] = pack;
    pthread_mutex_unlock(&shared->lock);
    return hf_done();
}

static hf_result close_pack(struct pack_stage *s, struct hf_err *err)
{
    struct hf_backup_shared *shared = s->base.shared;
    if (s->pack == NULL) {
        return hf_done();
    }
    HF_FAULT("backup.pack", err);
    HF_TRY(hf_sealer_write(s->sealer, s->table, (size_t)s->frames * TABLE_ENTRY, err));
    HF_TRY(hf_sealer_finish(s->sealer, err));
    uint64_t size = hf_sealer_offset(s->sealer);
    struct hf_fanout_stream *stream = s->stream;
    s->stream = NULL; /* commit frees it */
    HF_TRY(hf_fanout_commit(stream, err));
    atomic_fetch_add(&shared->stored_bytes, size);
    pthread_mutex_lock(&shared->lock);
    for (size_t i = shared->pack_count; i > 0; i--) {
        if (shared->packs[i - 1] == s->pack) {
            shared->pack_sizes[i - 1].stored_bytes = size;
            shared->pack_sizes[i - 1].frames = s->frames;
            break;
        }
    }
    pthread_mutex_unlock(&shared->lock);
    drop_pack(s);
    return hf_done();
}

static bool pack_full(const struct pack_stage *s)
{
    uint64_t need = hf_sealer_offset(s->sealer) + 2 * (HF_PLAN_FRAME + HF_FRAME_OVERHEAD);
    return s->frames == MAX_FRAMES || need > s->base.shared->pack_size;
}

static hf_result pack_process(struct hf_stage *stage, struct hf_frame_job *job,
                              struct hf_map_source *frame, struct hf_err *err)
{
    struct pack_stage *s = (struct pack_stage *)stage;
    struct hf_frame_ref ref;
    if (s->pack != NULL && pack_full(s)) {
        HF_TRY(close_pack(s, err));
    }
    if (s->pack == NULL) {
        HF_TRY(open_pack(s, err));
    }
    HF_TRY(hf_sealer_frame(s->sealer, job->plain, job->len, &ref, err));
    struct hf_writer w = hf_writer_of(s->table + (size_t)s->frames * TABLE_ENTRY, TABLE_ENTRY);
    hf_write_le(&w, ref.offset, 4);
    hf_write_le(&w, ref.stored_len, 4);
    hf_write_le(&w, ref.plain_len, 4);
    s->frames++;
    *frame = (struct hf_map_source){.pack = s->pack,
                                    .index = ref.index,
                                    .pack_offset = (uint32_t)ref.offset,
                                    .stored_len = ref.stored_len,
                                    .plain_len = ref.plain_len};
    return hf_done();
}

static hf_result pack_finish(struct hf_stage *stage, struct hf_err *err)
{
    return close_pack((struct pack_stage *)stage, err);
}

static void pack_free(struct hf_stage *stage)
{
    struct pack_stage *s = (struct pack_stage *)stage;
    drop_pack(s);
    hf_free(s->table);
    hf_free(s);
}

struct hf_stage *hf_stage_pack_new(struct hf_backup_shared *shared)
{
    static const struct hf_stage_ops OPS = {
        .name = "pack", .process = pack_process, .finish = pack_finish, .free = pack_free};
    struct pack_stage *s = hf_alloc(sizeof(*s));
    s->base = (struct hf_stage){.ops = &OPS, .shared = shared};
    s->table = hf_alloc((size_t)MAX_FRAMES * TABLE_ENTRY);
    return &s->base;
}
