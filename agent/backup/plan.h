/* SPDX-License-Identifier: Apache-2.0
 *
 * The backup's plan: cuts the files that the scan gives into frames of up to 128 KiB, gathered
 * across pages and small files, hands them to the workers, and puts what they did with them back
 * into the order of the file map.
 *
 * Invariants: every byte of a file, up to its first-seen size, is in exactly one piece; a piece of
 * a relation holds whole pages; pg_control is handed out when no other frame is under way; the
 * parts that wait for their turn in the map are bounded (window_bytes): a worker that would exceed
 * it drains or waits. Any worker may call; the plan locks itself.
 */
#ifndef HF_AGENT_BACKUP_PLAN_H
#define HF_AGENT_BACKUP_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/backup/scan.h"
#include "agent/core/filemap.h"
#include "common/base/err.h"

enum { HF_PLAN_FRAME = 128 << 10, HF_PLAN_MAX_PIECES = 128 };

/* A file, or 256 MiB of one; a directory or a link. */
struct hf_part {
    char *path;
    char *link;
    uint32_t space;
    enum hf_map_kind kind;
    uint32_t mode;
    int64_t mtime_us;
    uint64_t file_size;
    uint64_t part_offset;
    uint32_t part_len;
    bool relation;
    uint32_t segment;
    uint8_t *hashes; /* written by the workers, each its own pages */
    struct hf_map_source *sources;
    size_t source_count, source_room;
    size_t pending; /* pieces that are not back */
    bool cut;       /* all pieces handed out */
    bool vanished;
    size_t memory;
    struct hf_part *next;
};

struct hf_piece {
    struct hf_part *part;
    uint64_t offset; /* in the file */
    uint32_t len;
    uint32_t at;  /* in the frame */
    uint32_t got; /* bytes that were there; the rest is zero */
    bool whole;   /* the file in one piece: it may come out shorter */
    bool vanished;
};

/* One frame's worth of work; owned by a worker. */
struct hf_frame_job {
    struct hf_piece pieces[HF_PLAN_MAX_PIECES];
    size_t count;
    uint32_t len;
    uint8_t *plain; /* HF_PLAN_FRAME bytes */
};

/* Takes the parts in the map's order, one call at a time. */
typedef hf_result (*hf_plan_take)(void *arg, const struct hf_part *part, struct hf_err *err);

struct hf_plan;
/* Borrows the scan. */
struct hf_plan *hf_plan_new(struct hf_scan *scan, size_t window_bytes, hf_plan_take take,
                            void *arg);
void hf_plan_free(struct hf_plan *p); /* NULL allowed */
/* Fills the job; *ret_more false when all has been handed out. May wait for other workers. */
hf_result hf_plan_next(struct hf_plan *p, struct hf_frame_job *job, bool *ret_more,
                       struct hf_err *err) HF_MUST_USE;
/* Gives the job back: where its bytes lie now. frame's offset, len and frame_offset are filled in
 * here. Drains what is complete. */
hf_result hf_plan_done(struct hf_plan *p, struct hf_frame_job *job,
                       const struct hf_map_source *frame, struct hf_err *err) HF_MUST_USE;
/* A worker failed: wakes and ends the others. */
void hf_plan_stop(struct hf_plan *p);
/* After all workers ended well: everything has been taken. */
hf_result hf_plan_finish(struct hf_plan *p, struct hf_err *err) HF_MUST_USE;

#endif
