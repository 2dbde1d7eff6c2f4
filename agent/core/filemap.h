/* SPDX-License-Identifier: Apache-2.0
 *
 * The file map of a backup: for every file, where its bytes lie in packs, and a keyed hash of each
 * 8 KiB (rules B1, B8). Cut into shards of at most 4 MiB, each complete in itself: it names the
 * packs and frames that it uses, so that a later backup can refer to an unchanged shard. Pure
 * codec.
 *
 * Invariants: entries are in the order of hf_map_compare, without duplicates, across all shards of
 * a backup; extents of an entry are in order, do not overlap and lie within the part and within
 * their frames. What no extent covers is zero.
 */
#ifndef HF_AGENT_CORE_FILEMAP_H
#define HF_AGENT_CORE_FILEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/object_header.h"
#include "common/base/buf.h"
#include "common/base/err.h"

enum {
    HF_MAP_SHARD_BYTES = 4 << 20,  /* a shard is closed before it grows beyond */
    HF_MAP_SHARD_MAX = 6 << 20,    /* what a reader accepts */
    HF_MAP_PART_BYTES = 256 << 20, /* larger files are several entries */
    HF_MAP_PAGE = 8192,            /* unit of change detection */
    HF_MAP_HASH_SIZE = 8,          /* first bytes of the keyed XXH3-128 */
    HF_MAP_MAX_PACKS = 4096,       /* of one shard */
    HF_MAP_MAX_FRAMES = 65536,     /* of one shard */
    HF_MAP_MAX_EXTENTS = HF_MAP_PART_BYTES / HF_MAP_PAGE + 1, /* of one entry */
    HF_MAP_PATH_SIZE = 1024,
    HF_MAP_DIGEST_SIZE = 32
};

/* Where a path is relative to; other numbers are OIDs of tablespaces. Entries sort by it first. */
#define HF_MAP_SPACE_DATA   UINT32_C(0)          /* the data directory */
#define HF_MAP_SPACE_CONFIG UINT32_C(0xFFFFFFF0) /* "/": configuration outside it (B11) */
#define HF_MAP_SPACE_CONTROL                                                                       \
    UINT32_C(0xFFFFFFFF) /* the data directory: pg_control, always last                            \
                          */

enum hf_map_kind { HF_MAP_FILE = 0, HF_MAP_DIR = 1, HF_MAP_LINK = 2 };

struct hf_map_pack {
    char name[HF_OBJECT_NAME_SIZE]; /* logical name of the pack */
    uint8_t digest[HF_MAP_DIGEST_SIZE];
};

struct hf_map_frame {
    uint32_t pack; /* index into the shard's packs */
    uint32_t index;
    uint32_t offset; /* in the pack */
    uint32_t stored_len;
    uint32_t plain_len;
};

struct hf_map_extent {
    uint32_t offset; /* in the part */
    uint32_t len;
    uint32_t frame; /* index into the shard's frames */
    uint32_t frame_offset;
};

struct hf_map_entry {
    char path[HF_MAP_PATH_SIZE]; /* relative, without "." and ".." */
    char link[HF_MAP_PATH_SIZE]; /* HF_MAP_LINK: target */
    uint32_t space;
    enum hf_map_kind kind;
    uint32_t mode; /* permission bits */
    int64_t mtime_us;
    uint64_t file_size;
    uint64_t part_offset;
    uint32_t part_len;
    const struct hf_map_extent *extents;
    size_t extent_count;
    const uint8_t *hashes; /* hash_count * HF_MAP_HASH_SIZE */
    size_t hash_count;
};

/* Order of entries: space, path ('/' below every other byte), part offset. */
int hf_map_compare(const struct hf_map_entry *a, const struct hf_map_entry *b);

/* --- building ------------------------------------------------------------------------------- */
/* An extent before its frame has a place in a shard's table. pack must stay valid until the shard
 * is encoded. */
struct hf_map_source {
    uint32_t offset;
    uint32_t len;
    uint32_t frame_offset;
    const struct hf_map_pack *pack;
    uint32_t index;
    uint32_t pack_offset;
    uint32_t stored_len;
    uint32_t plain_len;
};

struct hf_map_builder;
struct hf_map_builder *hf_map_builder_new(void);
void hf_map_builder_free(struct hf_map_builder *b); /* NULL allowed */
/* entry->extents is ignored, sources (sorted by offset) are used. HF_E_LIMIT: does not fit any
 * more, nothing was added: encode, reset, add again. HF_E_INVALID: out of order or out of bounds.
 */
hf_result hf_map_builder_add(struct hf_map_builder *b, const struct hf_map_entry *entry,
                             const struct hf_map_source *sources, size_t n,
                             struct hf_err *err) HF_MUST_USE;
size_t hf_map_builder_entries(const struct hf_map_builder *b);
/* Appends the shard's plaintext to out (maximum HF_MAP_SHARD_MAX). */
hf_result hf_map_builder_encode(const struct hf_map_builder *b, struct hf_buf *out,
                                struct hf_err *err) HF_MUST_USE;
/* For the next shard; the order goes on from the last entry. */
void hf_map_builder_reset(struct hf_map_builder *b);

/* --- reading -------------------------------------------------------------------------------- */
struct hf_map_shard;
/* Copies the plaintext of a shard and checks its tables. HF_E_CORRUPT. */
hf_result hf_map_shard_open(const void *bytes, size_t len, struct hf_map_shard **ret,
                            struct hf_err *err) HF_MUST_USE;
void hf_map_shard_free(struct hf_map_shard *s); /* NULL allowed */
size_t hf_map_shard_entries(const struct hf_map_shard *s);
size_t hf_map_shard_packs(const struct hf_map_shard *s);
const struct hf_map_pack *hf_map_shard_pack(const struct hf_map_shard *s, size_t i);
const struct hf_map_frame *hf_map_shard_frame(const struct hf_map_shard *s, size_t i);
/* The next entry, checked; its pointers are good until the next call. *ret_more false at the end.
 * HF_E_CORRUPT names the entry. */
hf_result hf_map_shard_next(struct hf_map_shard *s, struct hf_map_entry *ret, bool *ret_more,
                            struct hf_err *err) HF_MUST_USE;

/* --- merge-join of two ordered streams of entries (parent and now) --------------------------- */
/* Gives the next entry of a stream; *ret_more false at its end. */
typedef hf_result (*hf_map_source_fn)(void *arg, struct hf_map_entry *ret, bool *ret_more,
                                      struct hf_err *err);
struct hf_map_join {
    hf_map_source_fn left, right;
    void *left_arg, *right_arg;
    struct hf_map_entry l, r; /* current ones */
    bool has_l, has_r, started;
};
/* The next pair in order: an entry of the left stream alone, of the right alone, or of both with
 * the same place; NULL for the one that lacks. Both NULL: the end. Memory: one entry a side.
 * HF_E_CORRUPT when a stream is out of order. */
hf_result hf_map_join_next(struct hf_map_join *j, const struct hf_map_entry **ret_left,
                           const struct hf_map_entry **ret_right, struct hf_err *err) HF_MUST_USE;

#endif
