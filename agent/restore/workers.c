/* SPDX-License-Identifier: Apache-2.0
 *
 * The workers of a restore: each takes a run of neighbouring frames of one pack, reads them with
 * one request, opens them and writes their pieces. Pages of zeros stay holes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/restore/restore_internal.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"

enum { RUN_BYTES = 4 << 20, ZERO_UNIT = 8192, FLUSH_MIN = 64 << 10, MAX_WORKERS = 16 };

struct crew {
    struct hf_restore *restore;
    const struct hf_restore_piece *pieces;
    size_t count;
    pthread_mutex_t lock; /* protects next, failure, last_tick */
    size_t next;
    bool stopped;
    struct hf_err failure;
    hf_lclk last_tick;
};

struct hand {
    struct crew *crew;
    struct hf_buf stored; /* of a run */
    uint8_t *plain;
    /* The pack read last, in the repository that served it. */
    struct hf_frame_reader *reader;
    const struct hf_map_pack *pack;
    size_t repository;
    int fd; /* the file written last */
    const char *path;
};

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

/* --- writing -------------------------------------------------------------------------------- */

static bool all_zero(const uint8_t *p, size_t n)
{
    return n > 0 && p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static hf_result open_target(struct hand *h, const char *path, struct hf_err *err)
{
    if (h->path == path && h->fd >= 0) {
        return hf_done();
    }
    if (h->fd >= 0 && close(h->fd) != 0) {
        h->fd = -1;
        return hf_fail_errno(err, errno, "close %s", h->path);
    }
    h->fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    h->path = path;
    return h->fd >= 0 ? hf_done() : hf_fail_errno(err, errno, "open %s", path);
}

static hf_result write_at(int fd, const uint8_t *bytes, size_t len, uint64_t offset,
                          const char *path, struct hf_err *err)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hf_fail_errno(err, errno, "write %s", path);
        }
        bytes += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return hf_done();
}

static hf_result write_piece(struct hand *h, const struct hf_restore_piece *p, struct hf_err *err)
{
    const uint8_t *bytes = h->plain + p->frame_offset;
    HF_FAULT("restore.write", err);
    HF_TRY(open_target(h, p->path, err));
    /* Neighbouring units that are not zero go out together. */
    for (uint32_t at = 0; at < p->len;) {
        uint32_t begin = at;
        while (at < p->len) {
            uint32_t n = p->len - at < ZERO_UNIT ? p->len - at : ZERO_UNIT;
            if (all_zero(bytes + at, n)) {
                break;
            }
            at += n;
        }
        HF_TRY(write_at(h->fd, bytes + begin, at - begin, p->offset + begin, p->path, err));
        if (at < p->len) {
            at += p->len - at < ZERO_UNIT ? p->len - at : ZERO_UNIT;
        }
    }
    if (p->len >= FLUSH_MIN) {
        (void)sync_file_range(h->fd, (off_t)p->offset, p->len, SYNC_FILE_RANGE_WRITE);
    }
    atomic_fetch_add(&h->crew->restore->written, p->len);
    return hf_done();
}

/* --- reading -------------------------------------------------------------------------------- */

static hf_result use_pack(struct hand *h, const struct hf_map_pack *pack, size_t repository,
                          struct hf_err *err)
{
    const struct hf_restore_request *q = h->crew->restore->request;
    if (h->pack == pack && h->repository == repository && h->reader != NULL) {
        return hf_done();
    }
    hf_frame_reader_free(h->reader);
    h->reader = NULL;
    struct hf_open_params params = {
        .kind = HF_OBJECT_PACK, .name = pack->name, .digest = pack->digest};
    HF_TRY(hf_frame_reader_new(hf_repository_ring(q->repositories[repository]),
                               hf_repository_store(q->repositories[repository]), &params,
                               &h->reader, err));
    h->pack = pack;
    h->repository = repository;
    return hf_done();
}

/* One run from one repository. */
static hf_result read_run(struct hand *h, const struct hf_restore_piece *pieces, size_t n,
                          size_t repository, struct hf_err *err)
{
    struct hf_repository *r = h->crew->restore->request->repositories[repository];
    const struct hf_map_frame *first = &pieces[0].frame;
    const struct hf_map_frame *last = &pieces[n - 1].frame;
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(use_pack(h, pieces[0].pack, repository, err));
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), h->pack->name, key, err));
    hf_buf_reset(&h->stored);
    hf_result got =
        hf_store_get(hf_repository_store(r), key, first->offset,
                     last->offset + last->stored_len - first->offset, append, &h->stored, err);
    if (!hf_ok(got)) {
        return hf_fail_context(err, "%s", h->pack->name);
    }
    uint32_t opened = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct hf_map_frame *f = &pieces[i].frame;
        if (f->index != opened) {
            struct hf_frame_ref ref = {.index = f->index,
                                       .offset = f->offset,
                                       .stored_len = f->stored_len,
                                       .plain_len = f->plain_len};
            const uint8_t *stored = (const uint8_t *)h->stored.data + (f->offset - first->offset);
            HF_TRY(hf_frame_reader_open(h->reader, &ref, false, stored, h->plain, err));
            opened = f->index;
        }
        HF_TRY(write_piece(h, &pieces[i], err));
    }
    return hf_done();
}

/* From the nearest repository that has it sound; writing again what was written is harmless. */
static hf_result do_run(struct hand *h, const struct hf_restore_piece *pieces, size_t n,
                        struct hf_err *err)
{
    size_t repositories = h->crew->restore->request->repository_count;
    struct hf_err first = {0};
    for (size_t i = 0; i < repositories; i++) {
        hf_result r = read_run(h, pieces, n, i, err);
        if (hf_ok(r) || r.code == HF_E_CANCELED) {
            return r;
        }
        if (i == 0) {
            first = *err;
        }
    }
    *err = first;
    return (hf_result){first.code};
}

/* --- the crew ------------------------------------------------------------------------------- */

static void report(struct crew *crew)
{
    const struct hf_restore *r = crew->restore;
    hf_lclk now = hf_clock_lease();
    if (r->request->progress == NULL || hf_lclk_sub(now, crew->last_tick).us < 250000) {
        return;
    }
    crew->last_tick = now;
    struct hf_restore_progress p = {.label = r->manifest->label,
                                    .total_bytes = r->manifest->original_bytes,
                                    .written_bytes = atomic_load(&r->written),
                                    .elapsed = hf_lclk_sub(now, r->begun)};
    r->request->progress(r->request->progress_arg, &p);
}

/* The next run: neighbouring frames of one pack. False at the end. */
static bool take_run(struct crew *crew, size_t *ret_first, size_t *ret_n)
{
    const struct hf_restore_request *q = crew->restore->request;
    pthread_mutex_lock(&crew->lock);
    if (q->cancel != NULL && atomic_load(q->cancel) && !crew->stopped) {
        crew->stopped = true;
        HF_IGNORE(hf_fail(&crew->failure, HF_E_CANCELED, "the restore has been stopped"),
                  "kept in failure");
    }
    size_t first = crew->next;
    size_t i = first;
    while (!crew->stopped && i < crew->count) {
        const struct hf_restore_piece *p = &crew->pieces[i];
        const struct hf_restore_piece *begin = &crew->pieces[first];
        const struct hf_restore_piece *before = i > first ? &crew->pieces[i - 1] : p;
        bool same = p->frame.index == before->frame.index;
        if (i > first &&
            (p->pack != begin->pack ||
             (!same && p->frame.offset != before->frame.offset + before->frame.stored_len) ||
             p->frame.offset + p->frame.stored_len - begin->frame.offset > RUN_BYTES)) {
            break;
        }
        i++;
    }
    crew->next = i;
    report(crew);
    pthread_mutex_unlock(&crew->lock);
    *ret_first = first;
    *ret_n = i - first;
    return i > first;
}

static void *hand_main(void *arg)
{
    struct crew *crew = arg;
    struct hand h = {.crew = crew, .fd = -1};
    struct hf_err err = {0};
    hf_result r = hf_done();
    size_t first = 0;
    size_t n = 0;
    h.stored = HF_BUF_INIT(RUN_BYTES + HF_OBJECT_FRAME_MAX + 4096);
    h.plain = hf_alloc(HF_OBJECT_FRAME_MAX);
    while (hf_ok(r) && take_run(crew, &first, &n)) {
        r = do_run(&h, crew->pieces + first, n, &err);
    }
    if (h.fd >= 0 && close(h.fd) != 0 && hf_ok(r)) {
        r = hf_fail_errno(&err, errno, "close %s", h.path);
    }
    hf_frame_reader_free(h.reader);
    hf_buf_free(&h.stored);
    hf_free(h.plain);
    if (!hf_ok(r)) {
        pthread_mutex_lock(&crew->lock);
        crew->stopped = true;
        if (crew->failure.code == HF_OK) {
            crew->failure = err;
        }
        pthread_mutex_unlock(&crew->lock);
    }
    return NULL;
}

hf_result hf_restore_write_pieces(struct hf_restore *r, const struct hf_restore_piece *pieces,
                                  size_t n, struct hf_err *err)
{
    struct crew crew = {.restore = r, .pieces = pieces, .count = n};
    pthread_t threads[MAX_WORKERS];
    int wanted = r->request->workers < 1 ? 1 : r->request->workers;
    int started = 0;
    wanted = wanted > MAX_WORKERS ? MAX_WORKERS : wanted;
    pthread_mutex_init(&crew.lock, NULL);
    while (started < wanted && pthread_create(&threads[started], NULL, hand_main, &crew) == 0) {
        started++;
    }
    if (started == 0) {
        hand_main(&crew); /* slower, but it goes on */
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_destroy(&crew.lock);
    if (crew.failure.code != HF_OK) {
        *err = crew.failure;
        return (hf_result){crew.failure.code};
    }
    return hf_done();
}
