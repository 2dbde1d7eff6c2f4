/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wal/wal_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/walrule.h"
#include "agent/repo/wal_object.h"
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/files.h"

enum { HISTORY_MAX_BYTES = 65536 };

int hf_wal_fetch_status(hf_result result, bool standby)
{
    if (hf_ok(result)) {
        return 0;
    }
    return result.code == HF_E_NOT_FOUND || standby ? 1 : 255;
}

/* --- asking every repository ---------------------------------------------------------------- */

static hf_result first_key(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    (void)arg;
    return hf_fail(err, HF_E_CANCELED, "%s", entry->key);
}

/* A store in which the cluster has no key is not its repository: perhaps the file system is not
 * mounted. Its "not found" says nothing. */
static hf_result may_deny(struct hf_repository *r, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), "keys/", prefix, err));
    hf_result listed =
        hf_store_list(hf_repository_store(r), prefix, NULL, false, first_key, NULL, err);
    if (hf_ok(listed)) {
        return hf_fail(err, HF_E_AGAIN,
                       "repository %s holds nothing of this cluster (is it mounted?)",
                       hf_repository_name(r));
    }
    return listed.code == HF_E_CANCELED ? hf_done() : listed;
}

/* HF_E_NOT_FOUND: proven by this repository. */
static hf_result from_one(struct hf_repository *r, const struct hf_wal_name *name,
                          uint32_t parsed_with, struct hf_buf *out, struct hf_err *err)
{
    hf_buf_reset(out);
    hf_result got = hf_wal_object_read(r, name, parsed_with, out, err);
    if (got.code == HF_E_NOT_FOUND) {
        struct hf_err why = {0};
        hf_result proven = may_deny(r, &why);
        if (!hf_ok(proven)) {
            return hf_fail(err, HF_E_AGAIN, "%s", why.text);
        }
    }
    return got;
}

/* Asks every repository in turn until one has it. */
static hf_result from_anywhere(const struct hf_site *site, const struct hf_wal_name *name,
                               uint32_t parsed_with, struct hf_buf *out, struct hf_err *err)
{
    bool unknown = false;
    bool corrupt = false;
    struct hf_err why = {0};
    for (size_t i = 0; i < site->count; i++) {
        struct hf_err e = site->errors[i];
        hf_result r = {HF_E_AGAIN};
        if (site->repositories[i] != NULL) {
            r = from_one(site->repositories[i], name, parsed_with, out, &e);
        }
        if (hf_ok(r)) {
            return r;
        }
        if (r.code == HF_E_CORRUPT) {
            corrupt = true;
            why = unknown ? why : e;
        } else if (r.code != HF_E_NOT_FOUND) {
            unknown = true;
            why = e;
        }
    }
    hf_buf_reset(out);
    if (unknown) {
        return hf_fail(err, HF_E_AGAIN, "whether it is archived is unknown: %s", why.text);
    }
    if (corrupt) {
        return hf_fail(err, HF_E_CORRUPT, "%s", why.text);
    }
    return hf_fail(err, HF_E_NOT_FOUND, "no repository has it");
}

/* --- which line (W4) ------------------------------------------------------------------------ */

struct histories {
    size_t skip;
    uint32_t highest;
};

static hf_result visit_history(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct histories *h = arg;
    char *end = NULL;
    (void)err;
    unsigned long v = strtoul(entry->key + h->skip, &end, 16);
    if (end == entry->key + h->skip + 8 && strcmp(end, ".history") == 0 && v > h->highest &&
        v <= UINT32_MAX) {
        h->highest = (uint32_t)v;
    }
    return hf_done();
}

/* What one repository knows: its newest epoch's line, and the highest that has a history. */
static hf_result lines_of(struct hf_repository *r, struct hf_epoch_record *records,
                          struct hf_epoch_record *newest, hf_tli *highest, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    size_t n = 0;
    struct histories h = {.highest = highest->v};
    HF_TRY(may_deny(r, err));
    HF_TRY(hf_repository_epochs(r, records, HF_REPO_MAX_EPOCHS, &n, err));
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), "wal/", prefix, err));
    h.skip = strlen(prefix);
    HF_TRY(hf_store_list(hf_repository_store(r), prefix, NULL, true, visit_history, &h, err));
    if (n > 0 && records[n - 1].epoch.v > newest->epoch.v) {
        *newest = records[n - 1];
    }
    *highest = HF_TLI(h.highest);
    return hf_done();
}

/* The line that the cluster is on. The leader knows; its word is older than a newer epoch's record
 * at most. Without it: of the newest epoch, or a higher one that was archived (a promotion whose
 * record is not written yet, or one without coordinators). 0 when there is nothing. */
static hf_result newest_line(const struct hf_site *site, hf_tli hint, hf_tli *ret,
                             struct hf_err *err)
{
    HF_AUTOFREE struct hf_epoch_record *records =
        hf_alloc_array(HF_REPO_MAX_EPOCHS, sizeof *records);
    struct hf_epoch_record newest = {0};
    hf_tli highest = {0};
    for (size_t i = 0; i < site->count; i++) {
        struct hf_err e = site->errors[i];
        hf_result r = {HF_E_AGAIN};
        if (site->repositories[i] != NULL) {
            r = lines_of(site->repositories[i], records, &newest, &highest, &e);
        }
        if (!hf_ok(r) && hint.v == 0) {
            return hf_fail(err, HF_E_AGAIN, "the cluster's timeline is unknown: %s", e.text);
        }
    }
    uint32_t line = newest.timeline.v > hint.v ? newest.timeline.v : hint.v;
    *ret = HF_TLI(hint.v == 0 && highest.v > line ? highest.v : line);
    return hf_done();
}

/* The history of a line, from any repository; timeline 1 has no past. */
static hf_result history_of(const struct hf_site *site, hf_tli line, struct hf_history *ret,
                            struct hf_err *err)
{
    memset(ret, 0, sizeof *ret);
    ret->timeline = line;
    if (line.v <= 1) {
        return hf_done();
    }
    HF_BUF(text, HISTORY_MAX_BYTES);
    struct hf_wal_name name = {.kind = HF_WAL_HISTORY, .timeline = line};
    hf_result r = from_anywhere(site, &name, 16U << 20, &text, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_AGAIN, "the history of timeline %u is not archived yet", line.v);
    }
    HF_TRY(r);
    return hf_history_parse(line, text.data, text.len, ret, err);
}

/* Nothing of a parent past the fork, nothing of a line that is no ancestor. */
static hf_result check_line(const struct hf_site *site, const struct hf_wal_name *name,
                            uint32_t segment_size, const struct hf_wal_fetch *fetch,
                            struct hf_err *err)
{
    struct hf_history h;
    hf_tli target = fetch->target;
    if (target.v == 0) {
        HF_TRY(newest_line(site, fetch->hint, &target, err));
    }
    if (target.v == 0 || target.v == name->timeline.v) {
        return hf_done();
    }
    /* A standby that has learnt of a newer line asks for it: judged by that line's own past, which
     * must contain the target. */
    hf_tli line = name->timeline.v > target.v ? name->timeline : target;
    HF_TRY(history_of(site, line, &h, err));
    if (line.v != target.v && hf_history_end_of(&h, target).v == 0) {
        return hf_fail(err, HF_E_NOT_FOUND, "timeline %u does not descend from %u (rule W4)",
                       line.v, target.v);
    }
    enum hf_wal_serve serve = hf_wal_may_serve(&h, name, segment_size);
    if (serve != HF_WAL_SERVE) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s on the way to timeline %u (rule W4)",
                       serve == HF_WAL_BEYOND_FORK ? "lies past the fork" : "is of another history",
                       line.v);
    }
    return hf_done();
}

/* What was read is the segment of that name, and belongs to the line. */
static hf_result check_segment(const struct hf_site *site, const struct hf_wal_fetch *fetch,
                               const struct hf_buf *plain, struct hf_err *err)
{
    struct hf_wal_name name;
    uint32_t size = (uint32_t)plain->len;
    if (!hf_segment_size_valid(plain->len) ||
        !hf_ok(hf_wal_name_parse(fetch->name, size, &name, NULL))) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %zu bytes, which no such segment has", fetch->name,
                       plain->len);
    }
    HF_TRY(hf_wal_check_segment((const uint8_t *)plain->data, plain->len, &name, size,
                                hf_keyring_cluster(site->ring)->system_id, err));
    return check_line(site, &name, size, fetch, err);
}

/* A standby looks for the newest timeline by counting up to the first history that is missing, and
 * makes what it finds its goal (PostgreSQL: access/timeline.c, findNewestTimeLine). So a number
 * below the line that was reserved and never used, or is no ancestor of it, or is lost with a
 * region, must not end the count; and while the line's own history cannot be had, nothing below it
 * is answered: a start with such a number as its goal never finds its checkpoint. */
static hf_result below_the_line(const struct hf_site *site, hf_tli line, hf_tli timeline,
                                hf_result found, struct hf_buf *plain, struct hf_err *err)
{
    struct hf_history h;
    HF_TRY(history_of(site, line, &h, err));
    if (hf_ok(found) && hf_history_end_of(&h, timeline).v != 0) {
        return hf_done();
    }
    hf_buf_reset(plain);
    return hf_buf_append(plain, HF_HISTORY_UNUSED, sizeof(HF_HISTORY_UNUSED) - 1, err);
}

static hf_result fetch_history(const struct hf_site *site, const struct hf_wal_fetch *fetch,
                               hf_tli timeline, hf_result found, struct hf_buf *plain,
                               struct hf_err *err)
{
    hf_tli line = fetch->target;
    if (line.v == 0) {
        HF_TRY(newest_line(site, fetch->hint, &line, err));
    }
    if (timeline.v < line.v) {
        return below_the_line(site, line, timeline, found, plain, err);
    }
    return hf_ok(found) ? found : hf_fail(err, HF_E_NOT_FOUND, "no repository has it");
}

hf_result hf_wal_fetch(const struct hf_site *site, const struct hf_wal_fetch *fetch,
                       struct hf_err *err)
{
    struct hf_wal_name name;
    uint32_t parsed_with = 0;
    HF_FAULT("wal.fetch", err);
    if (strcmp(fetch->name, "00000001.history") == 0) {
        return hf_fail(err, HF_E_NOT_FOUND, "timeline 1 has no history");
    }
    HF_TRY(hf_wal_name_any(fetch->name, &name, &parsed_with, err));
    bool small = name.kind == HF_WAL_HISTORY || name.kind == HF_WAL_BACKUP;
    HF_BUF(plain, small ? HISTORY_MAX_BYTES : HF_WAL_OBJECT_MAX);
    hf_result found = from_anywhere(site, &name, parsed_with, &plain, err);
    if ((hf_ok(found) || found.code == HF_E_NOT_FOUND) && name.kind == HF_WAL_HISTORY) {
        found = fetch_history(site, fetch, name.timeline, found, &plain, err);
    }
    HF_TRY(found);
    if (name.kind == HF_WAL_SEGMENT) {
        HF_TRY(check_segment(site, fetch, &plain, err));
    }
    hf_result written = hf_file_write_durable(fetch->path, plain.data, plain.len, 0600, err);
    if (written.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_IO, "%s: its directory does not exist", fetch->path);
    }
    return written;
}
