/* SPDX-License-Identifier: Apache-2.0
 *
 * From map shards to files: directories, links and empty files are made here, in the map's order;
 * the content is written by the workers, frame by frame.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/restore/restore_internal.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/files.h"

enum { PATHS_MAX = 64 << 20 };

/* The pieces of one shard. */
struct gathered {
    struct hf_restore_piece *pieces;
    size_t count, room;
    struct hf_arena *paths;
};

hf_result hf_restore_object(const struct hf_restore *r, const struct hf_open_params *params,
                            struct hf_buf *out, struct hf_err *err)
{
    hf_result got = hf_fail(err, HF_E_NOT_FOUND, "no repository");
    for (size_t i = 0; i < r->request->repository_count; i++) {
        struct hf_repository *repository = r->request->repositories[i];
        hf_buf_reset(out);
        got = hf_object_get(hf_repository_ring(repository), hf_repository_store(repository), params,
                            out, NULL, err);
        if (hf_ok(got)) {
            return got;
        }
    }
    return got;
}

/* --- what is not content -------------------------------------------------------------------- */

static hf_result make_parent(const char *path, struct hf_err *err)
{
    char parent[HF_PATH_SIZE * 2];
    snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    HF_ASSERT(slash != NULL);
    *slash = '\0';
    return hf_dir_make(parent, 0700, err);
}

static hf_result make_file(const struct hf_map_entry *e, const char *path, struct hf_err *err)
{
    if (e->part_offset > 0) {
        return hf_done(); /* made with its first part */
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, e->mode & 0700);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "create %s", path);
    }
    /* Full length at once: what no piece covers is a hole. */
    bool ok = ftruncate(fd, (off_t)e->file_size) == 0 && fchmod(fd, e->mode) == 0;
    int saved = errno;
    close(fd);
    return ok ? hf_done() : hf_fail_errno(err, saved, "set length and mode of %s", path);
}

static hf_result make_entry(const struct hf_map_entry *e, const char *path, struct hf_err *err)
{
    switch (e->kind) {
    case HF_MAP_DIR:
        if (mkdir(path, e->mode | 0700) != 0 && errno != EEXIST) {
            return hf_fail_errno(err, errno, "create directory %s", path);
        }
        return hf_done();
    case HF_MAP_LINK:
        if (symlink(e->link, path) != 0) {
            return hf_fail_errno(err, errno, "create link %s", path);
        }
        return hf_done();
    case HF_MAP_FILE:
        if (e->space == HF_MAP_SPACE_CONFIG) {
            HF_TRY(make_parent(path, err));
        }
        return make_file(e, path, err);
    }
    return hf_fail(err, HF_E_CORRUPT, "%s: unknown kind", path);
}

/* --- pieces --------------------------------------------------------------------------------- */

static void gather(struct gathered *g, const struct hf_map_shard *shard,
                   const struct hf_map_entry *e, const char *path)
{
    const char *kept = e->extent_count > 0 ? hf_arena_strdup(g->paths, path) : NULL;
    for (size_t i = 0; i < e->extent_count; i++) {
        const struct hf_map_extent *x = &e->extents[i];
        if (g->count == g->room) {
            g->room = g->room == 0 ? 4096 : g->room * 2;
            g->pieces = hf_realloc(g->pieces, g->room * sizeof(*g->pieces));
        }
        struct hf_restore_piece *p = &g->pieces[g->count++];
        *p = (struct hf_restore_piece){.frame = *hf_map_shard_frame(shard, x->frame),
                                       .path = kept,
                                       .offset = e->part_offset + x->offset,
                                       .len = x->len,
                                       .frame_offset = x->frame_offset};
        p->pack = hf_map_shard_pack(shard, p->frame.pack);
    }
}

static int compare_pieces(const void *a, const void *b)
{
    const struct hf_restore_piece *x = a;
    const struct hf_restore_piece *y = b;
    int packs = x->pack == y->pack ? 0 : strcmp(x->pack->name, y->pack->name);
    if (packs != 0) {
        return packs;
    }
    if (x->frame.index != y->frame.index) {
        return x->frame.index < y->frame.index ? -1 : 1;
    }
    return x->frame_offset < y->frame_offset ? -1 : x->frame_offset > y->frame_offset;
}

static hf_result walk_shard(struct hf_restore *r, struct hf_map_shard *shard, bool control,
                            struct gathered *g, uint64_t *ret_entries, struct hf_err *err)
{
    char path[HF_PATH_SIZE * 2];
    uint64_t entries = 0;
    for (;;) {
        struct hf_map_entry e;
        bool more = false;
        HF_TRY(hf_map_shard_next(shard, &e, &more, err));
        if (!more) {
            *ret_entries = entries;
            return hf_done();
        }
        entries++;
        if ((e.space == HF_MAP_SPACE_CONTROL) != control) {
            continue;
        }
        HF_TRY(hf_restore_path(r, &e, path, sizeof(path), err));
        HF_TRY(make_entry(&e, path, err));
        r->files += e.kind == HF_MAP_FILE && e.part_offset == 0 ? 1 : 0;
        gather(g, shard, &e, path);
    }
}

static hf_result extract_shard(struct hf_restore *r, const struct hf_manifest_shard *named,
                               bool control, struct hf_err *err)
{
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    struct hf_map_shard *shard = NULL;
    struct gathered g = {0};
    uint64_t entries = 0;
    HF_BUF(plain, HF_MAP_SHARD_MAX);
    HF_TRY(hf_hex_decode(named->digest, digest, sizeof(digest), err));
    struct hf_open_params params = {.kind = HF_OBJECT_MAP, .name = named->name, .digest = digest};
    HF_TRY(hf_restore_object(r, &params, &plain, err));
    hf_result done = hf_map_shard_open(plain.data, plain.len, &shard, err);
    if (!hf_ok(done)) {
        return hf_fail_context(err, "%s", named->name);
    }
    hf_buf_free(&plain);
    g.paths = hf_arena_new(PATHS_MAX);
    done = walk_shard(r, shard, control, &g, &entries, err);
    if (hf_ok(done) && entries != named->entries) {
        done = hf_fail(err, HF_E_CORRUPT, "%s: %llu entries, the manifest says %llu", named->name,
                       (unsigned long long)entries, (unsigned long long)named->entries);
    }
    if (hf_ok(done) && g.count > 0) {
        qsort(g.pieces, g.count, sizeof(*g.pieces), compare_pieces);
        done = hf_restore_write_pieces(r, g.pieces, g.count, err);
    }
    hf_free(g.pieces);
    hf_arena_free(g.paths);
    hf_map_shard_free(shard);
    return done;
}

hf_result hf_restore_extract(struct hf_restore *r, bool control, struct hf_err *err)
{
    const struct hf_manifest *m = r->manifest;
    /* pg_control sorts last: it is in the last shard. */
    size_t first = control ? m->shard_count - 1 : 0;
    uint64_t before = r->files;
    for (size_t i = first; i < m->shard_count; i++) {
        HF_TRY(extract_shard(r, &m->shards[i], control, err));
    }
    if (control && r->files == before) {
        return hf_fail(err, HF_E_CORRUPT, "backup %s: its file map has no pg_control", m->label);
    }
    return hf_done();
}
