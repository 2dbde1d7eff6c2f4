/* SPDX-License-Identifier: Apache-2.0
 *
 * What the WAL service does by itself: facts of the own repository, epoch records, catching up
 * other regions. Each is one job at a time.
 */
#include <stdio.h>
#include <string.h>

#include "agent/backup/publish.h"
#include "agent/replicate/copy.h"
#include "agent/wal/wal_internal.h"
#include "common/base/mem.h"
#include "common/core/timeline.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"

/* --- facts -------------------------------------------------------------------------------- */

struct look_job {
    struct hf_job job;
    struct hf_wal_service *s;
    struct hf_wal_site *site;
    hf_tli timeline;
    uint32_t segment_size;
    struct hf_wal_facts facts;
    uint64_t backup_first;
    hf_result result;
    struct hf_err err;
};

static hf_result first_segment(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    const char *leaf = strrchr(entry->key, '/');
    leaf = leaf == NULL ? entry->key : leaf + 1;
    if (strlen(leaf) != 24) {
        return hf_done(); /* .partial, .backup */
    }
    (void)snprintf(arg, HF_WAL_NAME_SIZE, "%s", leaf);
    return hf_fail(err, HF_E_CANCELED, "found");
}

/* The oldest segment of the timeline in the own repository. HF_E_NOT_FOUND. */
static hf_result oldest_segment(const struct look_job *l, uint64_t *ret, struct hf_err *err)
{
    char prefix[64];
    char key[HF_STORE_KEY_SIZE];
    char name[HF_WAL_NAME_SIZE] = "";
    struct hf_wal_name parsed;
    (void)snprintf(prefix, sizeof prefix, "wal/%08X/", l->timeline.v);
    HF_TRY(hf_object_key(hf_keyring_cluster(l->site->site.ring), prefix, key, err));
    hf_result listed = hf_store_list(hf_repository_store(hf_wal_own(l->site)), key, NULL, false,
                                     first_segment, name, err);
    if (hf_ok(listed)) {
        return hf_fail(err, HF_E_NOT_FOUND, "nothing of timeline %u yet", l->timeline.v);
    }
    if (listed.code != HF_E_CANCELED) {
        return listed;
    }
    HF_TRY(hf_wal_name_parse(name, l->segment_size, &parsed, err));
    *ret = parsed.segment;
    return hf_done();
}

/* Contiguous from the end that was known, from the newest backup's start where that is later (an
 * old hole before it costs nothing any more), else from the oldest segment of the timeline. */
static hf_result look_wal(struct look_job *l, struct hf_err *err)
{
    struct hf_repository *r = hf_wal_own(l->site);
    bool known = l->facts.wal_timeline.v == l->timeline.v && l->facts.wal_to.v > 0;
    uint64_t first = known ? l->facts.wal_to.v / l->segment_size - 1 : 0;
    uint64_t last = 0;
    struct hf_err mine = {0};
    hf_result found = {HF_E_NOT_FOUND};
    first = l->backup_first > first ? l->backup_first : first;
    if (first > 0) {
        found = hf_repository_wal_contiguous(r, l->timeline, first, l->segment_size, &last, &mine);
    }
    if (found.code == HF_E_NOT_FOUND) {
        found = oldest_segment(l, &first, &mine);
        if (hf_ok(found)) {
            found =
                hf_repository_wal_contiguous(r, l->timeline, first, l->segment_size, &last, &mine);
        }
    }
    if (!hf_ok(found) && found.code != HF_E_NOT_FOUND) {
        *err = mine;
        return found;
    }
    l->facts.wal_to = HF_LSN(hf_ok(found) ? (last + 1) * l->segment_size : 0);
    l->facts.wal_timeline = l->timeline;
    return hf_done();
}

/* Where the WAL that the newest backup needs begins, when it is on this timeline. */
static hf_result look_backup(struct look_job *l, const char *label, struct hf_err *err)
{
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    if (label[0] == '\0' ||
        (strcmp(label, l->facts.newest_backup) == 0 && l->facts.wal_timeline.v == l->timeline.v)) {
        return hf_done();
    }
    HF_TRY(hf_backup_manifest(hf_wal_own(l->site), label, "manifest", &m, NULL, err));
    l->backup_first =
        m->timeline.v == l->timeline.v ? hf_lsn_segment(m->start, m->segment_size) : 0;
    return hf_done();
}

static hf_result look(struct look_job *l, struct hf_err *err)
{
    struct hf_repository *r = hf_wal_own(l->site);
    size_t n = 0;
    size_t published = 0;
    size_t pending = 0;
    char newest[HF_LABEL_SIZE] = "";
    /* Another node's first backup brought a data key of its own (C1). */
    HF_TRY(hf_keyring_load(hf_repository_ring(r), hf_repository_store(r), err));
    /* Backups of this region whose WAL has arrived meanwhile (B5). */
    HF_TRY(hf_backup_publish_all(r, &published, &pending, err));
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof *list);
    HF_TRY(hf_repository_backups(r, list, HF_REPO_MAX_BACKUPS, &n, err));
    for (size_t i = 0; i < n; i++) {
        if (list[i].published && !list[i].expiring) {
            memcpy(newest, list[i].label, sizeof newest);
        }
    }
    if (l->timeline.v != 0) {
        HF_TRY(look_backup(l, newest, err));
        HF_TRY(look_wal(l, err));
    }
    memcpy(l->facts.newest_backup, newest, sizeof newest);
    return hf_done();
}

static void look_run(struct hf_job *job)
{
    struct look_job *l = (struct look_job *)job;
    l->result = look(l, &l->err);
}

static void look_done(struct hf_job *job)
{
    struct look_job *l = (struct look_job *)job;
    struct hf_wal_service *s = l->s;
    s->jobs--;
    s->looking = false;
    if (job->ran && !s->ending && l->site == s->site) {
        if (!hf_ok(l->result) && (s->facts.repository_ok || !s->facts.repository_known)) {
            hf_log(HF_LOG_WARNING, "REPOSITORY_UNKNOWN", "own repository did not answer",
                   HF_KV_ERR(&l->err));
        }
        if (hf_ok(l->result)) {
            s->facts = l->facts;
            s->backup_first = l->backup_first;
        }
        s->look_failures = hf_ok(l->result) ? 0 : s->look_failures + 1;
        s->reopen = s->reopen || s->look_failures >= HF_WAL_SICK;
        s->facts.repository_known = true;
        s->facts.repository_ok = hf_ok(l->result);
    }
    hf_wal_site_drop(l->site);
    hf_free(l);
}

void hf_wal_look(struct hf_wal_service *s)
{
    struct hf_err err = {0};
    struct look_job *l = hf_alloc(sizeof *l);
    l->job.run = look_run;
    l->job.done = look_done;
    l->s = s;
    l->timeline = s->timeline;
    l->segment_size = s->segment_size;
    l->facts = s->facts;
    l->backup_first = s->backup_first;
    l->site = hf_wal_site_hold(s);
    if (!hf_ok(hf_pool_submit(s->pool, HF_LANE_BULK, &l->job, &err))) {
        hf_wal_site_drop(l->site);
        hf_free(l);
        return;
    }
    s->looking = true;
    s->jobs++;
}

/* --- epoch records (W1) --------------------------------------------------------------------- */

struct epoch_job {
    struct hf_job job;
    struct hf_wal_service *s;
    struct hf_wal_site *site;
    struct hf_epoch_record record;
    char history[HF_PATH_SIZE + 64];
    hf_result result;
    struct hf_err err;
};

/* Where this line leaves its parent: by PostgreSQL's own file, else by the archived one. */
static hf_result fork_of(struct epoch_job *e, hf_lsn *ret, struct hf_err *err)
{
    struct hf_history h;
    HF_BUF(text, 65536);
    hf_result r = hf_file_read(e->history, &text, err);
    if (r.code == HF_E_NOT_FOUND) {
        r = hf_repository_history(hf_wal_own(e->site), e->record.timeline, &text, err);
    }
    HF_TRY(r);
    HF_TRY(hf_history_parse(e->record.timeline, text.data, text.len, &h, err));
    if (h.count > 0) {
        *ret = h.entries[h.count - 1].end;
    }
    return hf_done();
}

/* The parent's epoch from the newest record below. */
static hf_result fill_record(struct epoch_job *e, struct hf_err *err)
{
    struct hf_epoch_record *r = &e->record;
    HF_AUTOFREE struct hf_epoch_record *known = hf_alloc_array(HF_REPO_MAX_EPOCHS, sizeof *known);
    size_t n = 0;
    HF_TRY(hf_repository_epochs(hf_wal_own(e->site), known, HF_REPO_MAX_EPOCHS, &n, err));
    for (size_t i = 0; i < n; i++) {
        if (known[i].epoch.v == r->epoch.v) {
            *r = known[i]; /* written before, perhaps when less was known of the past */
            return hf_done();
        }
        if (known[i].epoch.v > r->epoch.v) {
            break;
        }
        /* A promotion starts a new timeline: before it shows, the record would be wrong for ever.
         */
        if (known[i].timeline.v == r->timeline.v && strcmp(known[i].primary, r->primary) != 0) {
            return hf_fail(err, HF_E_AGAIN, "timeline %u is that of epoch %llu of %s",
                           r->timeline.v, (unsigned long long)known[i].epoch.v, known[i].primary);
        }
        r->parent_epoch = known[i].epoch;
    }
    return r->timeline.v > 1 ? fork_of(e, &r->fork, err) : hf_done();
}

static void epoch_run(struct hf_job *job)
{
    struct epoch_job *e = (struct epoch_job *)job;
    struct hf_site *site = &e->site->site;
    e->result = fill_record(e, &e->err);
    if (hf_ok(e->result)) {
        e->result = hf_repository_epoch_put(site->repositories[0], &e->record, &e->err);
    }
    /* The sooner the others have it, the sooner their readers ignore the superseded line; what does
     * not arrive now comes with the catch-up. */
    for (size_t i = 1; hf_ok(e->result) && i < site->count; i++) {
        struct hf_err ignored = {0};
        if (site->repositories[i] != NULL) {
            HF_IGNORE(hf_repository_epoch_put(site->repositories[i], &e->record, &ignored),
                      "the catch-up brings it");
        }
    }
}

static void epoch_done(struct hf_job *job)
{
    struct epoch_job *e = (struct epoch_job *)job;
    struct hf_wal_service *s = e->s;
    s->jobs--;
    s->recording = false;
    if (job->ran && hf_ok(e->result)) {
        s->recorded = e->record.epoch;
    } else if (job->ran) {
        hf_log(HF_LOG_WARNING, "EPOCH_NOT_RECORDED", "the repository lacks this epoch's record",
               HF_KV_U64("epoch", e->record.epoch.v), HF_KV_ERR(&e->err));
    }
    hf_wal_site_drop(e->site);
    hf_free(e);
}

void hf_wal_record_epoch(struct hf_wal_service *s)
{
    struct hf_err err = {0};
    int64_t now = hf_clock_lease().us / 1000;
    if (s->epoch.v == 0 || s->timeline.v == 0 || s->recording || s->recorded.v >= s->epoch.v ||
        now - s->record_ms < HF_WAL_RECORD_EVERY_MS) {
        return;
    }
    s->record_ms = now;
    struct epoch_job *e = hf_alloc(sizeof *e);
    e->job.run = epoch_run;
    e->job.done = epoch_done;
    e->s = s;
    e->record.epoch = s->epoch;
    e->record.timeline = s->timeline;
    (void)snprintf(e->record.primary, sizeof e->record.primary, "%s", s->config->name.s);
    (void)snprintf(e->history, sizeof e->history, "%s/pg_wal/%08X.history",
                   s->config->postgresql.data_dir, s->timeline.v);
    e->site = hf_wal_site_hold(s);
    if (!hf_ok(hf_pool_submit(s->pool, HF_LANE_URGENT, &e->job, &err))) {
        hf_wal_site_drop(e->site);
        hf_free(e);
        return;
    }
    s->recording = true;
    s->jobs++;
}

/* --- catching up ---------------------------------------------------------------------------- */

struct catch_job {
    struct hf_job job;
    struct hf_wal_service *s;
    struct hf_wal_site *site;
    size_t region;
    uint64_t missing; /* as it began */
    struct hf_catch_up done;
    hf_result result;
    struct hf_err err;
};

static void catch_run(struct hf_job *job)
{
    struct catch_job *c = (struct catch_job *)job;
    struct hf_site *site = &c->site->site;
    c->result = hf_replicate_catch_up(site->repositories[0], site->repositories[c->region],
                                      &job->canceled, &c->done, &c->err);
}

static void catch_failed(struct hf_wal_service *s, struct catch_job *c)
{
    struct hf_wal_region *region = &s->regions[c->region];
    region->failures++;
    region->lagging = true;
    region->missing += region->missing == 0 ? 1 : 0; /* how many is not known, but it is not 0 */
    s->reopen = s->reopen || region->failures >= HF_WAL_SICK;
    hf_log(HF_LOG_WARNING, "REGION_LAGS", "a region could not be caught up",
           HF_KV("region", hf_site_region(&c->site->site, c->region)),
           HF_KV_I64("failures", region->failures), HF_KV_ERR(&c->err));
}

static void catch_done(struct hf_job *job)
{
    struct catch_job *c = (struct catch_job *)job;
    struct hf_wal_service *s = c->s;
    struct hf_wal_region *region = &s->regions[c->region];
    const char *name = hf_site_region(&c->site->site, c->region);
    s->jobs--;
    region->catching = NULL;
    if (job->ran && hf_ok(c->result)) {
        region->failures = 0;
        /* What was pushed meanwhile and did not arrive is for the next one. */
        region->missing = c->done.missing + (region->missing - c->missing);
        if (c->done.copied > 0) {
            hf_log(HF_LOG_INFO, "REGION_CAUGHT_UP", "copied what a region lacked",
                   HF_KV("region", name), HF_KV_U64("objects", c->done.copied),
                   HF_KV_U64("bytes", c->done.bytes), HF_KV_U64("missing", c->done.missing));
        }
        if (c->done.conflicts > 0) {
            hf_log(HF_LOG_ERROR, "REPLICA_CONFLICT", "regions hold different content",
                   HF_KV("region", name), HF_KV_U64("objects", c->done.conflicts),
                   HF_KV("last", c->done.conflict));
        }
    } else if (job->ran && !s->ending) {
        catch_failed(s, c);
    }
    hf_wal_site_drop(c->site);
    hf_free(c);
}

void hf_wal_catch_up(struct hf_wal_service *s, size_t region)
{
    struct hf_err err = {0};
    struct hf_wal_region *r = &s->regions[region];
    /* After failures only with the periodic round, so that a dead region costs next to nothing. */
    bool round = hf_clock_lease().us / 1000 - s->caught_up_ms < 500;
    if (s->site->site.repositories[region] == NULL || (r->failures >= HF_WAL_SICK && !round)) {
        return;
    }
    struct catch_job *c = hf_alloc(sizeof *c);
    c->job.run = catch_run;
    c->job.done = catch_done;
    c->s = s;
    c->region = region;
    c->missing = r->missing;
    c->site = hf_wal_site_hold(s);
    if (!hf_ok(hf_pool_submit(s->pool, HF_LANE_BULK, &c->job, &err))) {
        hf_wal_site_drop(c->site);
        hf_free(c);
        return;
    }
    r->catching = &c->job;
    r->lagging = false;
    s->jobs++;
}
