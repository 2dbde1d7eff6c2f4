/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/plan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct hf_plan {
    struct hf_scan *scan;
    hf_plan_take take;
    void *take_arg;
    size_t window_max;

    pthread_mutex_t order; /* held while parts are taken; before `lock` */
    pthread_mutex_t lock;  /* protects all below */
    pthread_cond_t changed;
    struct hf_part *head, *tail; /* in the map's order */
    size_t window_bytes;
    size_t inflight; /* jobs that are with workers */
    bool ended;      /* the scan has given all */
    bool stopped;
    bool has_item;
    struct hf_scan_item item; /* being cut */
    uint64_t item_at;         /* next byte to be handed out */
    struct hf_part *part;     /* being cut */
};

struct hf_plan *hf_plan_new(struct hf_scan *scan, size_t window_bytes, hf_plan_take take, void *arg)
{
    struct hf_plan *p = hf_alloc(sizeof(*p));
    p->scan = scan;
    p->take = take;
    p->take_arg = arg;
    p->window_max = window_bytes;
    pthread_mutex_init(&p->order, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    return p;
}

static void part_free(struct hf_part *part)
{
    hf_free(part->path);
    hf_free(part->link);
    hf_free(part->hashes);
    hf_free(part->sources);
    hf_free(part);
}

void hf_plan_free(struct hf_plan *p)
{
    if (p == NULL) {
        return;
    }
    while (p->head != NULL) {
        struct hf_part *part = p->head;
        p->head = part->next;
        part_free(part);
    }
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->order);
    hf_free(p);
}

void hf_plan_stop(struct hf_plan *p)
{
    pthread_mutex_lock(&p->lock);
    p->stopped = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* --- cutting; the lock is held -------------------------------------------------------------- */

static struct hf_part *open_part(struct hf_plan *p)
{
    const struct hf_scan_item *item = &p->item;
    uint64_t left = item->size - p->item_at;
    struct hf_part *part = hf_alloc(sizeof(*part));
    part->path = hf_strdup(item->path);
    part->link = hf_strdup(item->link);
    part->space = item->space;
    part->kind = item->kind;
    part->mode = item->mode;
    part->mtime_us = item->mtime_us;
    part->file_size = item->size;
    part->part_offset = p->item_at;
    part->part_len = (uint32_t)(left < HF_MAP_PART_BYTES ? left : HF_MAP_PART_BYTES);
    part->relation = item->relation;
    part->segment = item->segment;
    size_t pages = (part->part_len + (size_t)HF_MAP_PAGE - 1) / HF_MAP_PAGE;
    part->hashes = hf_alloc(pages * HF_MAP_HASH_SIZE + 1);
    part->memory = sizeof(*part) + strlen(part->path) + pages * HF_MAP_HASH_SIZE +
                   (part->part_len / HF_PLAN_FRAME + 2) * sizeof(struct hf_map_source) + 64;
    part->cut = part->part_len == 0;
    p->window_bytes += part->memory;
    if (p->tail == NULL) {
        p->head = part;
    } else {
        p->tail->next = part;
    }
    p->tail = part;
    return part;
}

/* Takes as much of the current part as fits; false when not even a page fits. */
static bool cut_piece(struct hf_plan *p, struct hf_frame_job *job)
{
    struct hf_part *part = p->part;
    uint64_t end = part->part_offset + part->part_len;
    uint64_t left = end - p->item_at;
    uint64_t room = HF_PLAN_FRAME - job->len;
    uint64_t n = left;
    if (n > room) {
        n = room - room % HF_MAP_PAGE;
    }
    if (n == 0 || job->count == HF_PLAN_MAX_PIECES) {
        return false;
    }
    job->pieces[job->count++] = (struct hf_piece){.part = part,
                                                  .offset = p->item_at,
                                                  .len = (uint32_t)n,
                                                  .at = job->len,
                                                  .whole = n == part->file_size};
    job->len += (uint32_t)n;
    part->pending++;
    p->item_at += n;
    if (p->item_at == end) {
        part->cut = true;
        p->part = NULL;
        p->has_item = p->item_at < p->item.size;
    }
    return true;
}

/* The next file into p->part. Directories, links and empty files are complete at once. */
static hf_result next_part(struct hf_plan *p, struct hf_err *err)
{
    while (p->part == NULL && !p->ended) {
        if (!p->has_item) {
            bool more = false;
            HF_TRY(hf_scan_next(p->scan, &p->item, &more, err));
            p->item_at = 0;
            p->has_item = more;
            p->ended = !more;
        }
        if (!p->has_item) {
            continue;
        }
        if (p->item.space == HF_MAP_SPACE_CONTROL && p->inflight > 0) {
            return hf_done(); /* not before all others are back */
        }
        struct hf_part *part = open_part(p);
        if (part->cut) {
            p->has_item = false;
        } else {
            p->part = part;
        }
        if (p->window_bytes > p->window_max) {
            return hf_done();
        }
    }
    return hf_done();
}

/* --- draining ------------------------------------------------------------------------------- */

static bool complete(const struct hf_part *part)
{
    return part != NULL && part->cut && part->pending == 0;
}

static int compare_sources(const void *a, const void *b)
{
    const struct hf_map_source *x = a;
    const struct hf_map_source *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Takes complete parts from the head, in order. Neither lock is held. */
static hf_result drain(struct hf_plan *p, bool wait, struct hf_err *err)
{
    if (wait) {
        pthread_mutex_lock(&p->order);
    } else if (pthread_mutex_trylock(&p->order) != 0) {
        return hf_done(); /* another worker is at it, and goes on until nothing is left */
    }
    hf_result r = hf_done();
    pthread_mutex_lock(&p->lock);
    while (hf_ok(r) && complete(p->head)) {
        struct hf_part *part = p->head;
        p->head = part->next;
        if (p->head == NULL) {
            p->tail = NULL;
        }
        pthread_mutex_unlock(&p->lock);
        if (part->source_count > 1) {
            qsort(part->sources, part->source_count, sizeof(*part->sources), compare_sources);
        }
        if (!part->vanished) {
            r = p->take(p->take_arg, part, err);
        }
        pthread_mutex_lock(&p->lock);
        p->window_bytes -= part->memory;
        part_free(part);
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&p->order);
    return r;
}

/* --- the workers' side ---------------------------------------------------------------------- */

/* Waits until the window has room or the head can be drained. The lock is held, and is held again
 * afterwards. */
static hf_result make_room(struct hf_plan *p, struct hf_err *err)
{
    while (!p->stopped && p->window_bytes > p->window_max && p->head != p->part) {
        if (complete(p->head)) {
            pthread_mutex_unlock(&p->lock);
            hf_result r = drain(p, true, err);
            pthread_mutex_lock(&p->lock);
            HF_TRY(r);
        } else {
            pthread_cond_wait(&p->changed, &p->lock);
        }
    }
    return hf_done();
}

static hf_result fill_job(struct hf_plan *p, struct hf_frame_job *job, struct hf_err *err)
{
    for (;;) {
        if (p->stopped) {
            return hf_fail(err, HF_E_CANCELED, "the backup has been stopped");
        }
        if (p->part == NULL && !p->ended) {
            if (p->window_bytes > p->window_max) {
                if (job->count > 0) {
                    return hf_done(); /* what we hold must come back for the window to move */
                }
                HF_TRY(make_room(p, err));
                continue;
            }
            HF_TRY(next_part(p, err));
        }
        if (p->part != NULL) {
            if (!cut_piece(p, job)) {
                return hf_done();
            }
        } else if (p->ended || job->count > 0) {
            return hf_done();
        } else if (p->window_bytes <= p->window_max) {
            pthread_cond_wait(&p->changed, &p->lock); /* pg_control waits for the others */
        }
    }
}

hf_result hf_plan_next(struct hf_plan *p, struct hf_frame_job *job, bool *ret_more,
                       struct hf_err *err)
{
    job->count = 0;
    job->len = 0;
    pthread_mutex_lock(&p->lock);
    hf_result r = fill_job(p, job, err);
    if (hf_ok(r) && job->count > 0) {
        p->inflight++;
    }
    pthread_mutex_unlock(&p->lock);
    HF_TRY(r);
    *ret_more = job->count > 0;
    return hf_done();
}

static void add_source(struct hf_part *part, const struct hf_map_source *source)
{
    if (part->source_count == part->source_room) {
        part->source_room = part->source_room == 0 ? 1 : part->source_room * 2;
        part->sources = hf_realloc(part->sources, part->source_room * sizeof(*part->sources));
    }
    part->sources[part->source_count++] = *source;
}

hf_result hf_plan_done(struct hf_plan *p, struct hf_frame_job *job,
                       const struct hf_map_source *frame, struct hf_err *err)
{
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < job->count; i++) {
        const struct hf_piece *piece = &job->pieces[i];
        struct hf_part *part = piece->part;
        part->vanished = part->vanished || piece->vanished;
        uint32_t len = piece->len;
        if (piece->whole && piece->got < piece->len) {
            len = piece->got; /* it became shorter before it was read */
            part->file_size = len;
            part->part_len = len;
        }
        if (len > 0 && !piece->vanished) {
            struct hf_map_source source = *frame;
            source.offset = (uint32_t)(piece->offset - part->part_offset);
            source.len = len;
            source.frame_offset = piece->at;
            add_source(part, &source);
        }
        part->pending--;
    }
    p->inflight--;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    return drain(p, false, err);
}

hf_result hf_plan_finish(struct hf_plan *p, struct hf_err *err)
{
    HF_TRY(drain(p, true, err));
    if (p->head != NULL || !p->ended) {
        return hf_fail(err, HF_E_INTERNAL, "the backup's plan is not complete at %.200s",
                       p->head != NULL ? p->head->path : "its end");
    }
    return hf_done();
}
