/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading: buffered, with bounded readahead, each byte once, never beyond the first-seen size.
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
#include "common/io/fault.h"

enum { READAHEAD = 4 << 20, CONTROL_TRIES = 10 };

struct read_stage {
    struct hf_stage base;
    int fd; /* of the file read last */
    uint32_t space;
    char path[HF_MAP_PATH_SIZE];
};

static hf_result open_file(struct read_stage *s, const struct hf_part *part, bool *ret_gone,
                           struct hf_err *err)
{
    char full[HF_PATH_SIZE * 2];
    *ret_gone = false;
    if (s->fd >= 0 && s->space == part->space && strcmp(s->path, part->path) == 0) {
        return hf_done();
    }
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
    HF_TRY(hf_scan_path(s->base.shared->scan, part->space, part->path, full, sizeof(full), err));
    s->fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd < 0 && part->space == HF_MAP_SPACE_CONFIG) {
        s->fd = open(full, O_RDONLY | O_CLOEXEC);
    }
    if (s->fd < 0) {
        *ret_gone = errno == ENOENT;
        return *ret_gone ? hf_done() : hf_fail_errno(err, errno, "open %s", full);
    }
    s->space = part->space;
    snprintf(s->path, sizeof(s->path), "%s", part->path);
    return hf_done();
}

static hf_result read_at(int fd, uint8_t *to, size_t len, uint64_t offset, size_t *ret_got,
                         const char *path, struct hf_err *err)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, to + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hf_fail_errno(err, errno, "read %s at %llu", path,
                                 (unsigned long long)(offset + got));
        }
        if (n == 0) {
            break;
        }
        got += (size_t)n;
    }
    *ret_got = got;
    return hf_done();
}

/* pg_control may be written while we read it: two equal readings in a row are one whole. */
static hf_result read_control(int fd, uint8_t *to, size_t len, size_t *ret_got, struct hf_err *err)
{
    uint8_t again[HF_PAGE_SIZE];
    struct timespec pause = {.tv_nsec = 2000000};
    if (len > sizeof(again)) {
        return hf_fail(err, HF_E_LIMIT, "pg_control of %zu bytes, allowed are %zu", len,
                       sizeof(again));
    }
    HF_TRY(read_at(fd, to, len, 0, ret_got, "pg_control", err));
    for (int i = 0; i < CONTROL_TRIES; i++) {
        size_t got = 0;
        HF_TRY(read_at(fd, again, len, 0, &got, "pg_control", err));
        if (got == *ret_got && memcmp(again, to, got) == 0) {
            return hf_done();
        }
        memcpy(to, again, got);
        *ret_got = got;
        nanosleep(&pause, NULL);
    }
    return hf_fail(err, HF_E_AGAIN, "pg_control changes too often to be read");
}

static hf_result read_process(struct hf_stage *stage, struct hf_frame_job *job,
                              struct hf_map_source *frame, struct hf_err *err)
{
    struct read_stage *s = (struct read_stage *)stage;
    (void)frame;
    HF_FAULT("backup.read", err);
    for (size_t i = 0; i < job->count; i++) {
        struct hf_piece *p = &job->pieces[i];
        size_t got = 0;
        HF_TRY(open_file(s, p->part, &p->vanished, err));
        if (!p->vanished && p->part->space == HF_MAP_SPACE_CONTROL) {
            HF_TRY(read_control(s->fd, job->plain + p->at, p->len, &got, err));
        } else if (!p->vanished) {
            if (p->offset % READAHEAD == 0 && p->part->file_size > p->offset + p->len) {
                (void)posix_fadvise(s->fd, (off_t)(p->offset + p->len), READAHEAD,
                                    POSIX_FADV_WILLNEED);
            }
            HF_TRY(read_at(s->fd, job->plain + p->at, p->len, p->offset, &got, s->path, err));
        }
        memset(job->plain + p->at + got, 0, p->len - got);
        p->got = (uint32_t)got;
        atomic_fetch_add(&s->base.shared->read_bytes, got);
    }
    return hf_done();
}

static void read_free(struct hf_stage *stage)
{
    struct read_stage *s = (struct read_stage *)stage;
    if (s->fd >= 0) {
        close(s->fd);
    }
    hf_free(s);
}

struct hf_stage *hf_stage_read_new(struct hf_backup_shared *shared)
{
    static const struct hf_stage_ops OPS = {
        .name = "read", .process = read_process, .free = read_free};
    struct read_stage *s = hf_alloc(sizeof(*s));
    s->base = (struct hf_stage){.ops = &OPS, .shared = shared};
    s->fd = -1;
    return &s->base;
}
