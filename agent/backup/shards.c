/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/shards.h"

#include <stdio.h>
#include <string.h>

#include "agent/repo/object.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/fault.h"

struct hf_shards {
    struct hf_backup_shared *shared;
    struct hf_map_builder *builder;
    struct hf_manifest_shard *list;
    size_t count, room;
    uint64_t entries;
    uint64_t original_bytes;
};

struct hf_shards *hf_shards_new(struct hf_backup_shared *shared)
{
    struct hf_shards *s = hf_alloc(sizeof(*s));
    s->shared = shared;
    s->builder = hf_map_builder_new();
    return s;
}

void hf_shards_free(struct hf_shards *s)
{
    if (s == NULL) {
        return;
    }
    hf_map_builder_free(s->builder);
    hf_free(s->list);
    hf_free(s);
}

static hf_result flush(struct hf_shards *s, struct hf_err *err)
{
    char leaf[32];
    struct hf_manifest_shard shard = {.entries = hf_map_builder_entries(s->builder)};
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    HF_BUF(plain, HF_MAP_SHARD_MAX);
    HF_BUF(sealed, HF_MAP_SHARD_MAX + (1 << 20));
    if (shard.entries == 0) {
        return hf_done();
    }
    HF_FAULT("backup.map", err);
    if (s->count == HF_MANIFEST_MAX_SHARDS) {
        return hf_fail(err, HF_E_LIMIT, "file map of more than %d shards", HF_MANIFEST_MAX_SHARDS);
    }
    snprintf(leaf, sizeof(leaf), "map-%08u", (unsigned)s->count + 1);
    hf_name_of_backup(s->shared->label, leaf, shard.name);
    struct hf_seal_params params = {.kind = HF_OBJECT_MAP,
                                    .name = shard.name,
                                    .epoch = s->shared->epoch,
                                    .zstd_level = s->shared->zstd_level};
    HF_TRY(hf_map_builder_encode(s->builder, &plain, err));
    HF_TRY(hf_object_seal_digest(s->shared->ring, &params, plain.data, plain.len, &sealed, digest,
                                 err));
    hf_hex_encode(digest, sizeof(digest), shard.digest);
    HF_TRY(hf_fanout_put(s->shared->fanout, shard.name, sealed.data, sealed.len, err));
    if (s->count == s->room) {
        s->room = s->room == 0 ? 64 : s->room * 2;
        s->list = hf_realloc(s->list, s->room * sizeof(*s->list));
    }
    s->list[s->count++] = shard;
    s->entries += shard.entries;
    hf_map_builder_reset(s->builder);
    return hf_done();
}

hf_result hf_shards_take(void *arg, const struct hf_part *part, struct hf_err *err)
{
    struct hf_shards *s = arg;
    struct hf_map_entry e = {.space = part->space,
                             .kind = part->kind,
                             .mode = part->mode,
                             .mtime_us = part->mtime_us,
                             .file_size = part->file_size,
                             .part_offset = part->part_offset,
                             .part_len = part->part_len,
                             .hashes = part->hashes};
    snprintf(e.path, sizeof(e.path), "%s", part->path);
    snprintf(e.link, sizeof(e.link), "%s", part->link);
    e.hash_count = (part->part_len + (size_t)HF_MAP_PAGE - 1) / HF_MAP_PAGE;
    hf_result r = hf_map_builder_add(s->builder, &e, part->sources, part->source_count, err);
    if (r.code == HF_E_LIMIT) {
        HF_TRY(flush(s, err));
        r = hf_map_builder_add(s->builder, &e, part->sources, part->source_count, err);
    }
    HF_TRY(r);
    s->original_bytes += part->part_len;
    return hf_done();
}

hf_result hf_shards_finish(struct hf_shards *s, struct hf_manifest *m, struct hf_err *err)
{
    HF_TRY(flush(s, err));
    m->shards = s->list;
    m->shard_count = s->count;
    m->entries = s->entries;
    m->original_bytes = s->original_bytes;
    s->list = NULL;
    s->count = 0;
    return hf_done();
}
