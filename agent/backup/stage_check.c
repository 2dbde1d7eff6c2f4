/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking page checksums, and hashing pages for change detection (rule B1).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/backup/stage.h"
#include "agent/core/pagecheck.h"
#include "common/base/mem.h"

/* A page that fails is read again: PostgreSQL may have been writing it. */
enum { REREADS = 5, REREAD_PAUSE_NS = 3000000 };

static void note_finding(struct hf_backup_shared *shared, const struct hf_part *part,
                         uint32_t block)
{
    pthread_mutex_lock(&shared->lock);
    shared->findings_total++;
    if (shared->finding_count < HF_MANIFEST_MAX_FINDINGS) {
        struct hf_manifest_finding *f = &shared->findings[shared->finding_count++];
        if (part->space == HF_MAP_SPACE_DATA) {
            snprintf(f->path, sizeof(f->path), "%.250s", part->path);
        } else {
            snprintf(f->path, sizeof(f->path), "pg_tblspc/%u/%.220s", part->space, part->path);
        }
        f->block = block;
    }
    pthread_mutex_unlock(&shared->lock);
}

/* True when a later reading is sound; it then stands in the place of the first. */
static bool reread(const struct hf_backup_shared *shared, const struct hf_part *part,
                   uint64_t offset, uint8_t *page, uint32_t block)
{
    char full[HF_PATH_SIZE * 2];
    uint8_t again[HF_PAGE_SIZE];
    struct timespec pause = {.tv_nsec = REREAD_PAUSE_NS};
    struct hf_err ignored;
    if (!hf_ok(hf_scan_path(shared->scan, part->space, part->path, full, sizeof(full), &ignored))) {
        return false;
    }
    HF_AUTOCLOSE int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    for (int i = 0; fd >= 0 && i < REREADS; i++) {
        nanosleep(&pause, NULL);
        ssize_t n = pread(fd, again, sizeof(again), (off_t)offset);
        if (n != (ssize_t)sizeof(again)) {
            return n >= 0; /* truncated meanwhile: not damage */
        }
        if (hf_page_valid(again, block)) {
            memcpy(page, again, sizeof(again));
            return true;
        }
    }
    return fd < 0; /* gone meanwhile: not damage */
}

static hf_result check_process(struct hf_stage *stage, struct hf_frame_job *job,
                               struct hf_map_source *frame, struct hf_err *err)
{
    struct hf_backup_shared *shared = stage->shared;
    uint64_t checked = 0;
    (void)frame;
    (void)err;
    for (size_t i = 0; shared->checksums && i < job->count; i++) {
        const struct hf_piece *p = &job->pieces[i];
        const struct hf_part *part = p->part;
        if (!part->relation || p->vanished) {
            continue;
        }
        for (uint32_t at = 0; at + HF_PAGE_SIZE <= p->got; at += HF_PAGE_SIZE) {
            uint8_t *page = job->plain + p->at + at;
            uint64_t offset = p->offset + at;
            uint32_t in_file = (uint32_t)(offset / HF_PAGE_SIZE);
            uint32_t block = part->segment * (uint32_t)HF_PAGE_BLOCKS_PER_FILE + in_file;
            checked++;
            if (!hf_page_valid(page, block) && !reread(shared, part, offset, page, block)) {
                note_finding(shared, part, in_file);
            }
        }
    }
    atomic_fetch_add(&shared->pages_checked, checked);
    return hf_done();
}

static hf_result hash_process(struct hf_stage *stage, struct hf_frame_job *job,
                              struct hf_map_source *frame, struct hf_err *err)
{
    (void)frame;
    (void)err;
    for (size_t i = 0; i < job->count; i++) {
        const struct hf_piece *p = &job->pieces[i];
        uint32_t len = p->whole ? p->got : p->len;
        size_t page = (p->offset - p->part->part_offset) / HF_MAP_PAGE;
        for (uint32_t at = 0; at < len; at += HF_MAP_PAGE, page++) {
            uint32_t n = len - at < HF_MAP_PAGE ? len - at : HF_MAP_PAGE;
            hf_hash128 h = hf_hash(stage->shared->hash_key, job->plain + p->at + at, n);
            memcpy(p->part->hashes + page * HF_MAP_HASH_SIZE, h.b, HF_MAP_HASH_SIZE);
        }
    }
    return hf_done();
}

static void stage_free(struct hf_stage *stage)
{
    hf_free(stage);
}

struct hf_stage *hf_stage_check_new(struct hf_backup_shared *shared)
{
    static const struct hf_stage_ops OPS = {
        .name = "check", .process = check_process, .free = stage_free};
    struct hf_stage *s = hf_alloc(sizeof(*s));
    *s = (struct hf_stage){.ops = &OPS, .shared = shared};
    return s;
}

struct hf_stage *hf_stage_hash_new(struct hf_backup_shared *shared)
{
    static const struct hf_stage_ops OPS = {
        .name = "hash", .process = hash_process, .free = stage_free};
    struct hf_stage *s = hf_alloc(sizeof(*s));
    *s = (struct hf_stage){.ops = &OPS, .shared = shared};
    return s;
}
