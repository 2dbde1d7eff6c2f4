/* SPDX-License-Identifier: Apache-2.0
 *
 * Building of the file map's shards.
 */
#include "agent/core/filemap.h"

#include <string.h>

#include "agent/core/bytes.h"
#include "agent/core/filemap_format.h"
#include "common/base/mem.h"

enum {
    FRAME_BYTES = 20,
    EXTENT_BYTES = 16,
    ENTRY_BYTES = 4 + 1 + 4 + 8 + 8 + 8 + 4 + 2 + 2 + 4 + 4,
    TABLE_BYTES = 8 + 3 * 4,
    /* A frame is looked for among the latest ones only: naming it twice costs 20 bytes. */
    FRAME_LOOKBACK = 64
};

struct hf_map_builder {
    const struct hf_map_pack **packs;
    size_t pack_count;
    struct hf_map_frame *frames;
    size_t frame_count;
    struct hf_buf entries; /* encoded */
    size_t entry_count;
    size_t table_bytes;
    struct hf_map_entry last;
    bool has_last;
};

struct hf_map_builder *hf_map_builder_new(void)
{
    struct hf_map_builder *b = hf_alloc(sizeof(*b));
    b->packs = hf_alloc_array(HF_MAP_MAX_PACKS, sizeof(struct hf_map_pack *));
    b->frames = hf_alloc_array(HF_MAP_MAX_FRAMES, sizeof(*b->frames));
    b->entries = HF_BUF_INIT(HF_MAP_SHARD_BYTES);
    return b;
}

void hf_map_builder_free(struct hf_map_builder *b)
{
    if (b == NULL) {
        return;
    }
    hf_free(b->packs);
    hf_free(b->frames);
    hf_buf_free(&b->entries);
    hf_free(b);
}

size_t hf_map_builder_entries(const struct hf_map_builder *b)
{
    return b->entry_count;
}

void hf_map_builder_reset(struct hf_map_builder *b)
{
    b->pack_count = 0;
    b->frame_count = 0;
    b->entry_count = 0;
    b->table_bytes = 0;
    hf_buf_reset(&b->entries);
}

static size_t place_pack(struct hf_map_builder *b, const struct hf_map_pack *pack)
{
    for (size_t i = b->pack_count; i > 0; i--) {
        if (b->packs[i - 1] == pack) {
            return i - 1;
        }
    }
    b->packs[b->pack_count] = pack;
    b->table_bytes += 2 + strlen(pack->name) + HF_MAP_DIGEST_SIZE;
    return b->pack_count++;
}

static size_t place_frame(struct hf_map_builder *b, const struct hf_map_source *s)
{
    size_t pack = place_pack(b, s->pack);
    size_t oldest = b->frame_count > FRAME_LOOKBACK ? b->frame_count - FRAME_LOOKBACK : 0;
    for (size_t i = b->frame_count; i > oldest; i--) {
        const struct hf_map_frame *f = &b->frames[i - 1];
        if (f->pack == pack && f->index == s->index) {
            return i - 1;
        }
    }
    b->frames[b->frame_count] = (struct hf_map_frame){.pack = (uint32_t)pack,
                                                      .index = s->index,
                                                      .offset = s->pack_offset,
                                                      .stored_len = s->stored_len,
                                                      .plain_len = s->plain_len};
    b->table_bytes += FRAME_BYTES;
    return b->frame_count++;
}

/* Changes of pack along the sources: at least the number of packs. */
static size_t count_packs(const struct hf_map_source *s, size_t n)
{
    size_t packs = 0;
    for (size_t i = 0; i < n; i++) {
        packs += i == 0 || s[i].pack != s[i - 1].pack ? 1 : 0;
    }
    return packs;
}

/* The most that the entry can add, counting every source as a new frame. */
static bool fits(const struct hf_map_builder *b, const struct hf_map_entry *e,
                 const struct hf_map_source *s, size_t n)
{
    size_t more = ENTRY_BYTES + strlen(e->path) + strlen(e->link) +
                  n * (EXTENT_BYTES + FRAME_BYTES) + e->hash_count * HF_MAP_HASH_SIZE;
    size_t packs = count_packs(s, n);
    more += packs * (2 + HF_OBJECT_NAME_SIZE + HF_MAP_DIGEST_SIZE);
    return TABLE_BYTES + b->table_bytes + b->entries.len + more <= HF_MAP_SHARD_BYTES &&
           b->frame_count + n <= HF_MAP_MAX_FRAMES && b->pack_count + packs <= HF_MAP_MAX_PACKS;
}

static bool sources_valid(const struct hf_map_entry *e, const struct hf_map_source *s, size_t n)
{
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i].len == 0 || s[i].offset < end || (uint64_t)s[i].offset + s[i].len > e->part_len ||
            (uint64_t)s[i].frame_offset + s[i].len > s[i].plain_len) {
            return false;
        }
        end = (uint64_t)s[i].offset + s[i].len;
    }
    return true;
}

hf_result hf_map_builder_add(struct hf_map_builder *b, const struct hf_map_entry *entry,
                             const struct hf_map_source *sources, size_t n, struct hf_err *err)
{
    struct hf_map_entry e = *entry;
    e.extents = NULL;
    e.extent_count = n;
    if (!hf_map_entry_valid(&e) || !sources_valid(&e, sources, n)) {
        return hf_fail(err, HF_E_INVALID, "file map: %.200s is out of its bounds", e.path);
    }
    if (b->has_last && hf_map_compare(&b->last, &e) >= 0) {
        return hf_fail(err, HF_E_INVALID, "file map: %.200s after %.200s is out of order", e.path,
                       b->last.path);
    }
    if (!fits(b, &e, sources, n)) {
        return hf_fail(err, HF_E_LIMIT, "map shard is full");
    }
    size_t size = ENTRY_BYTES + strlen(e.path) + strlen(e.link) + n * EXTENT_BYTES +
                  e.hash_count * HF_MAP_HASH_SIZE;
    char *room = NULL;
    HF_TRY(hf_buf_reserve(&b->entries, size, &room, err));
    struct hf_writer w = hf_writer_of(room, size);
    hf_write_le(&w, e.space, 4);
    hf_write_le(&w, (uint64_t)e.kind, 1);
    hf_write_le(&w, e.mode, 4);
    hf_write_le(&w, (uint64_t)e.mtime_us, 8);
    hf_write_le(&w, e.file_size, 8);
    hf_write_le(&w, e.part_offset, 8);
    hf_write_le(&w, e.part_len, 4);
    hf_write_text(&w, e.path);
    hf_write_text(&w, e.link);
    hf_write_le(&w, n, 4);
    hf_write_le(&w, e.hash_count, 4);
    for (size_t i = 0; i < n; i++) {
        hf_write_le(&w, sources[i].offset, 4);
        hf_write_le(&w, sources[i].len, 4);
        hf_write_le(&w, place_frame(b, &sources[i]), 4);
        hf_write_le(&w, sources[i].frame_offset, 4);
    }
    hf_write_bytes(&w, e.hashes, e.hash_count * HF_MAP_HASH_SIZE);
    HF_ASSERT(w.ok && w.left == 0);
    b->entries.len += size;
    b->entry_count++;
    b->last = e;
    b->has_last = true;
    return hf_done();
}

hf_result hf_map_builder_encode(const struct hf_map_builder *b, struct hf_buf *out,
                                struct hf_err *err)
{
    size_t size = TABLE_BYTES + b->table_bytes;
    char *room = NULL;
    HF_TRY(hf_buf_reserve(out, size + b->entries.len, &room, err));
    struct hf_writer w = hf_writer_of(room, size + b->entries.len);
    hf_write_bytes(&w, HF_MAP_MAGIC, sizeof(HF_MAP_MAGIC));
    hf_write_le(&w, b->pack_count, 4);
    hf_write_le(&w, b->frame_count, 4);
    hf_write_le(&w, b->entry_count, 4);
    for (size_t i = 0; i < b->pack_count; i++) {
        hf_write_text(&w, b->packs[i]->name);
        hf_write_bytes(&w, b->packs[i]->digest, HF_MAP_DIGEST_SIZE);
    }
    for (size_t i = 0; i < b->frame_count; i++) {
        const struct hf_map_frame *f = &b->frames[i];
        hf_write_le(&w, f->pack, 4);
        hf_write_le(&w, f->index, 4);
        hf_write_le(&w, f->offset, 4);
        hf_write_le(&w, f->stored_len, 4);
        hf_write_le(&w, f->plain_len, 4);
    }
    if (b->entries.len > 0) {
        hf_write_bytes(&w, b->entries.data, b->entries.len);
    }
    HF_ASSERT(w.ok && w.left == 0);
    out->len += size + b->entries.len;
    return hf_done();
}
