/* SPDX-License-Identifier: Apache-2.0
 *
 * Which backup, along which timeline, to which end (rule B10).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backup/publish.h"
#include "agent/restore/restore_internal.h"
#include "common/base/mem.h"
#include "common/core/timeline.h"
#include "common/io/clock.h"

/* Clocks of the database and of the store may differ by so much. */
static const int64_t STORE_CLOCK_US = (int64_t)5 * 1000000;

/* The history of a timeline, from any repository: .history is asked of all of them (rule W3). */
static hf_result read_history(const struct hf_restore *r, hf_tli timeline, struct hf_history *ret,
                              struct hf_err *err)
{
    if (timeline.v == 1) {
        *ret = (struct hf_history){.timeline = timeline};
        return hf_done();
    }
    hf_result got = hf_fail(err, HF_E_NOT_FOUND, "no repository");
    for (size_t i = 0; i < r->request->repository_count; i++) {
        HF_BUF(text, 65536);
        got = hf_repository_history(r->request->repositories[i], timeline, &text, err);
        if (hf_ok(got)) {
            return hf_history_parse(timeline, hf_buf_text(&text), text.len, ret, err);
        }
    }
    return hf_fail_context(err, "history of timeline %u", timeline.v);
}

/* The newest epoch's timeline; without epochs (stand-alone) the highest one with a history. */
static hf_result newest_timeline(const struct hf_restore *r, hf_tli *ret, struct hf_err *err)
{
    HF_AUTOFREE struct hf_epoch_record *epochs =
        hf_alloc_array(HF_REPO_MAX_EPOCHS, sizeof(*epochs));
    hf_tli highest = HF_TLI(0);
    hf_epoch newest = HF_EPOCH(0);
    for (size_t i = 0; i < r->request->repository_count; i++) {
        size_t n = 0;
        hf_tli here = HF_TLI(0);
        struct hf_repository *repository = r->request->repositories[i];
        struct hf_err ignored;
        hf_result got = hf_repository_epochs(repository, epochs, HF_REPO_MAX_EPOCHS, &n,
                                             i == 0 ? err : &ignored);
        if (!hf_ok(got) && i == 0) {
            return got;
        }
        if (hf_ok(got) && n > 0 && epochs[n - 1].epoch.v > newest.v) {
            newest = epochs[n - 1].epoch;
            *ret = epochs[n - 1].timeline;
        }
        if (hf_ok(hf_repository_timeline_highest(repository, &here, &ignored)) &&
            here.v > highest.v) {
            highest = here;
        }
    }
    if (newest.v > 0) {
        return hf_done();
    }
    for (; highest.v > 1; highest.v--) {
        struct hf_history h;
        struct hf_err ignored;
        if (hf_ok(read_history(r, highest, &h, &ignored))) {
            break; /* others are only reserved */
        }
    }
    *ret = HF_TLI(highest.v == 0 ? 1 : highest.v);
    return hf_done();
}

/* Why a backup does not serve the target; HF_OK when it does. */
static hf_result fits(const struct hf_restore *r, const struct hf_manifest *m,
                      const struct hf_history *h, struct hf_err *err)
{
    const struct hf_restore_request *q = r->request;
    if (!hf_history_contains(h, m->timeline, m->stop)) {
        return hf_fail(err, HF_E_REFUSED,
                       "backup %s was taken on timeline %u up to %" PRIX64 ", which is no part of "
                       "the history of timeline %u",
                       m->label, m->timeline.v, m->stop.v, h->timeline.v);
    }
    if (q->target == HF_TARGET_LSN && q->target_lsn.v < m->stop.v) {
        return hf_fail(err, HF_E_REFUSED,
                       "target %X/%X lies before the stop of backup %s, %X/%X (rule B10)",
                       (unsigned)(q->target_lsn.v >> 32), (unsigned)q->target_lsn.v, m->label,
                       (unsigned)(m->stop.v >> 32), (unsigned)m->stop.v);
    }
    if (q->target == HF_TARGET_TIME && q->target_time.us < m->completed_at.us) {
        char target[HF_CLOCK_TEXT_SIZE];
        char stop[HF_CLOCK_TEXT_SIZE];
        hf_clock_wall_text(q->target_time, target, sizeof(target));
        hf_clock_wall_text(m->completed_at, stop, sizeof(stop));
        return hf_fail(err, HF_E_REFUSED,
                       "target time %s lies before the stop of backup %s, %s (rule B10)", target,
                       m->label, stop);
    }
    return hf_done();
}

static hf_result read_manifest(const struct hf_restore *r, const char *label,
                               struct hf_manifest **ret, struct hf_err *err)
{
    hf_result got = hf_fail(err, HF_E_NOT_FOUND, "no repository");
    for (size_t i = 0; i < r->request->repository_count; i++) {
        got = hf_backup_manifest(r->request->repositories[i], label, "manifest", ret, NULL, err);
        if (hf_ok(got)) {
            return got;
        }
    }
    return hf_fail_context(err, "manifest of backup %s", label);
}

/* The newest published backup that fits; what the newest one lacks is the error. */
static hf_result choose_newest(struct hf_restore *r, const struct hf_history *h, struct hf_err *err)
{
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*list));
    size_t n = 0;
    struct hf_err first = {0};
    HF_TRY(hf_repository_backups(r->request->repositories[0], list, HF_REPO_MAX_BACKUPS, &n, err));
    for (size_t i = n; i > 0; i--) {
        struct hf_manifest *m = NULL;
        struct hf_err why = {0};
        if (!list[i - 1].published || list[i - 1].expiring) {
            continue;
        }
        HF_TRY(read_manifest(r, list[i - 1].label, &m, err));
        if (hf_ok(fits(r, m, h, &why))) {
            r->manifest = m;
            return hf_done();
        }
        hf_manifest_free(m);
        if (first.code == HF_OK) {
            first = why;
        }
    }
    if (first.code != HF_OK) {
        *err = first;
        return (hf_result){first.code};
    }
    return hf_fail(err, HF_E_NOT_FOUND, "repository %s has no published backup",
                   hf_repository_name(r->request->repositories[0]));
}

struct newest {
    hf_wall modified;
};

static hf_result visit_newest(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct newest *n = arg;
    (void)err;
    if (entry->modified.us > n->modified.us) {
        n->modified = entry->modified;
    }
    return hf_done();
}

/* A time after the last WAL arrived cannot be reached: PostgreSQL 13 and later would refuse to open
 * (FATAL). Then recovery goes to the archive's end, and the caller says so. */
static hf_result judge_time(struct hf_restore *r, struct hf_err *err)
{
    struct newest n = {{0}};
    char name[HF_OBJECT_NAME_SIZE];
    char prefix[HF_STORE_KEY_SIZE];
    for (size_t i = 0; i < r->request->repository_count; i++) {
        struct hf_repository *repository = r->request->repositories[i];
        struct hf_err ignored;
        snprintf(name, sizeof(name), "wal/%08X/", r->timeline.v);
        HF_TRY(
            hf_object_key(hf_keyring_cluster(hf_repository_ring(repository)), name, prefix, err));
        HF_IGNORE(hf_store_list(hf_repository_store(repository), prefix, NULL, false, visit_newest,
                                &n, &ignored),
                  "a repository that does not answer says nothing about the end");
    }
    r->to_end = r->request->target_time.us > n.modified.us + STORE_CLOCK_US;
    return hf_done();
}

hf_result hf_restore_choose(struct hf_restore *r, struct hf_err *err)
{
    struct hf_history h;
    r->timeline = r->request->timeline;
    if (r->timeline.v == 0) {
        HF_TRY(newest_timeline(r, &r->timeline, err));
    }
    HF_TRY(read_history(r, r->timeline, &h, err));
    if (r->request->label == NULL) {
        HF_TRY(choose_newest(r, &h, err));
    } else {
        HF_TRY(read_manifest(r, r->request->label, &r->manifest, err));
        HF_TRY(fits(r, r->manifest, &h, err));
    }
    if (r->request->target == HF_TARGET_TIME) {
        HF_TRY(judge_time(r, err));
    }
    return hf_done();
}
