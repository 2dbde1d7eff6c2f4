/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and joining of the file map.
 */
#include "agent/core/filemap.h"

#include <string.h>

#include "agent/core/bytes.h"
#include "agent/core/filemap_format.h"
#include "common/base/mem.h"

struct hf_map_shard {
    uint8_t *bytes;
    struct hf_reader at; /* within bytes */
    struct hf_map_pack *packs;
    size_t pack_count;
    struct hf_map_frame *frames;
    size_t frame_count;
    size_t entry_count;
    size_t entry_next;
    struct hf_map_extent *extents; /* of the current entry, HF_MAP_MAX_EXTENTS */
    struct hf_map_entry last;
};

static int compare_paths(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    unsigned x = *a == '/' ? 1 : (unsigned char)*a;
    unsigned y = *b == '/' ? 1 : (unsigned char)*b;
    return x < y ? -1 : x > y;
}

int hf_map_compare(const struct hf_map_entry *a, const struct hf_map_entry *b)
{
    if (a->space != b->space) {
        return a->space < b->space ? -1 : 1;
    }
    int paths = compare_paths(a->path, b->path);
    if (paths != 0) {
        return paths;
    }
    return a->part_offset < b->part_offset ? -1 : a->part_offset > b->part_offset;
}

bool hf_map_path_valid(const char *path)
{
    if (path[0] == '\0' || path[0] == '/') {
        return false;
    }
    const char *part = path;
    for (;;) {
        const char *end = strchrnul(part, '/');
        size_t n = (size_t)(end - part);
        if (n == 0 || (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        for (const char *c = part; c < end; c++) {
            if ((unsigned char)*c < 0x20) {
                return false;
            }
        }
        if (*end == '\0') {
            return true;
        }
        part = end + 1;
    }
}

bool hf_map_entry_valid(const struct hf_map_entry *e)
{
    bool file = e->kind == HF_MAP_FILE;
    size_t hashes = (e->part_len + (size_t)HF_MAP_PAGE - 1) / HF_MAP_PAGE;
    return hf_map_path_valid(e->path) && e->kind <= HF_MAP_LINK && e->mode <= 07777 &&
           e->part_len <= HF_MAP_PART_BYTES && e->part_offset % HF_MAP_PART_BYTES == 0 &&
           e->part_offset <= e->file_size && e->part_len <= e->file_size - e->part_offset &&
           (file || (e->file_size == 0 && e->extent_count == 0 && e->hash_count == 0)) &&
           (e->kind == HF_MAP_LINK) == (e->link[0] != '\0') &&
           e->extent_count <= HF_MAP_MAX_EXTENTS && (e->hash_count == 0 || e->hash_count == hashes);
}

/* --- opening -------------------------------------------------------------------------------- */

static bool read_tables(struct hf_map_shard *s)
{
    struct hf_reader *r = &s->at;
    const uint8_t *magic = hf_read_bytes(r, sizeof(HF_MAP_MAGIC));
    s->pack_count = hf_read_u32(r);
    s->frame_count = hf_read_u32(r);
    s->entry_count = hf_read_u32(r);
    if (!r->ok || memcmp(magic, HF_MAP_MAGIC, sizeof(HF_MAP_MAGIC)) != 0 ||
        s->pack_count > HF_MAP_MAX_PACKS || s->frame_count > HF_MAP_MAX_FRAMES ||
        s->entry_count > r->left) {
        return false;
    }
    s->packs = hf_alloc_array(s->pack_count + 1, sizeof(*s->packs));
    for (size_t i = 0; i < s->pack_count; i++) {
        hf_read_text(r, s->packs[i].name, sizeof(s->packs[i].name));
        hf_read_copy(r, s->packs[i].digest, sizeof(s->packs[i].digest));
    }
    s->frames = hf_alloc_array(s->frame_count + 1, sizeof(*s->frames));
    for (size_t i = 0; r->ok && i < s->frame_count; i++) {
        struct hf_map_frame *f = &s->frames[i];
        f->pack = hf_read_u32(r);
        f->index = hf_read_u32(r);
        f->offset = hf_read_u32(r);
        f->stored_len = hf_read_u32(r);
        f->plain_len = hf_read_u32(r);
        if (f->pack >= s->pack_count || f->plain_len > HF_OBJECT_FRAME_MAX ||
            f->stored_len > HF_OBJECT_FRAME_MAX + 64) {
            return false;
        }
    }
    return r->ok;
}

hf_result hf_map_shard_open(const void *bytes, size_t len, struct hf_map_shard **ret,
                            struct hf_err *err)
{
    if (len > HF_MAP_SHARD_MAX) {
        return hf_fail(err, HF_E_CORRUPT, "map shard of %zu bytes, allowed are %d", len,
                       HF_MAP_SHARD_MAX);
    }
    struct hf_map_shard *s = hf_alloc(sizeof(*s));
    s->bytes = hf_alloc(len + 1);
    memcpy(s->bytes, bytes, len);
    s->at = hf_reader_of(s->bytes, len);
    if (!read_tables(s)) {
        hf_map_shard_free(s);
        return hf_fail(err, HF_E_CORRUPT, "map shard: tables are malformed or cut short");
    }
    s->extents = hf_alloc_array(HF_MAP_MAX_EXTENTS, sizeof(*s->extents));
    *ret = s;
    return hf_done();
}

void hf_map_shard_free(struct hf_map_shard *s)
{
    if (s == NULL) {
        return;
    }
    hf_free(s->bytes);
    hf_free(s->packs);
    hf_free(s->frames);
    hf_free(s->extents);
    hf_free(s);
}

size_t hf_map_shard_entries(const struct hf_map_shard *s)
{
    return s->entry_count;
}

size_t hf_map_shard_packs(const struct hf_map_shard *s)
{
    return s->pack_count;
}

const struct hf_map_pack *hf_map_shard_pack(const struct hf_map_shard *s, size_t i)
{
    HF_ASSERT(i < s->pack_count);
    return &s->packs[i];
}

const struct hf_map_frame *hf_map_shard_frame(const struct hf_map_shard *s, size_t i)
{
    HF_ASSERT(i < s->frame_count);
    return &s->frames[i];
}

/* Extents lie in order within the part and within their frames. */
static bool read_extents(struct hf_map_shard *s, const struct hf_map_entry *e)
{
    uint64_t end = 0;
    for (size_t i = 0; i < e->extent_count; i++) {
        struct hf_map_extent *x = &s->extents[i];
        x->offset = hf_read_u32(&s->at);
        x->len = hf_read_u32(&s->at);
        x->frame = hf_read_u32(&s->at);
        x->frame_offset = hf_read_u32(&s->at);
        if (!s->at.ok || x->frame >= s->frame_count || x->len == 0 || x->offset < end ||
            (uint64_t)x->offset + x->len > e->part_len ||
            (uint64_t)x->frame_offset + x->len > s->frames[x->frame].plain_len) {
            return false;
        }
        end = (uint64_t)x->offset + x->len;
    }
    return true;
}

hf_result hf_map_shard_next(struct hf_map_shard *s, struct hf_map_entry *ret, bool *ret_more,
                            struct hf_err *err)
{
    if (s->entry_next == s->entry_count) {
        if (s->at.left != 0) {
            return hf_fail(err, HF_E_CORRUPT, "map shard: %zu bytes after its last entry",
                           s->at.left);
        }
        *ret_more = false;
        return hf_done();
    }
    struct hf_map_entry e = {0};
    struct hf_reader *r = &s->at;
    e.space = hf_read_u32(r);
    e.kind = (enum hf_map_kind)hf_read_u8(r);
    e.mode = hf_read_u32(r);
    e.mtime_us = (int64_t)hf_read_u64(r);
    e.file_size = hf_read_u64(r);
    e.part_offset = hf_read_u64(r);
    e.part_len = hf_read_u32(r);
    hf_read_text(r, e.path, sizeof(e.path));
    hf_read_text(r, e.link, sizeof(e.link));
    e.extent_count = hf_read_u32(r);
    e.hash_count = hf_read_u32(r);
    if (!r->ok || !hf_map_entry_valid(&e) || !read_extents(s, &e)) {
        return hf_fail(err, HF_E_CORRUPT, "map shard: entry %zu (%.200s) is malformed",
                       s->entry_next, e.path);
    }
    e.extents = s->extents;
    e.hashes = hf_read_bytes(r, e.hash_count * HF_MAP_HASH_SIZE);
    if (!r->ok) {
        return hf_fail(err, HF_E_CORRUPT, "map shard: cut short in %.200s", e.path);
    }
    if (s->entry_next > 0 && hf_map_compare(&s->last, &e) >= 0) {
        return hf_fail(err, HF_E_CORRUPT, "map shard: %.200s is out of order", e.path);
    }
    s->last = e;
    s->entry_next++;
    *ret = e;
    *ret_more = true;
    return hf_done();
}

/* --- joining -------------------------------------------------------------------------------- */

static hf_result advance(hf_map_source_fn next, void *arg, struct hf_map_entry *current, bool *has,
                         bool first, struct hf_err *err)
{
    struct hf_map_entry e = {0};
    bool more = false;
    HF_TRY(next(arg, &e, &more, err));
    if (more && !first && hf_map_compare(current, &e) >= 0) {
        return hf_fail(err, HF_E_CORRUPT, "file map: %.200s is out of order", e.path);
    }
    if (more) {
        *current = e;
    }
    *has = more;
    return hf_done();
}

hf_result hf_map_join_next(struct hf_map_join *j, const struct hf_map_entry **ret_left,
                           const struct hf_map_entry **ret_right, struct hf_err *err)
{
    /* Which of the current ones were given out last time: they are replaced first. */
    int order = !j->started            ? 0
                : j->has_l && j->has_r ? hf_map_compare(&j->l, &j->r)
                : j->has_l             ? -1
                                       : 1;
    if (!j->started || (j->has_l && order <= 0)) {
        HF_TRY(advance(j->left, j->left_arg, &j->l, &j->has_l, !j->started, err));
    }
    if (!j->started || (j->has_r && order >= 0)) {
        HF_TRY(advance(j->right, j->right_arg, &j->r, &j->has_r, !j->started, err));
    }
    j->started = true;
    order = j->has_l && j->has_r ? hf_map_compare(&j->l, &j->r) : j->has_l ? -1 : 1;
    *ret_left = j->has_l && order <= 0 ? &j->l : NULL;
    *ret_right = j->has_r && order >= 0 ? &j->r : NULL;
    return hf_done();
}
