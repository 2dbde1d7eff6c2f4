/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wal/wal_fetch.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/walrule.h"
#include "agent/repo/wal_object.h"
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/files.h"

int hf_wal_fetch_status(hf_result result, bool standby)
{
    if (hf_ok(result)) {
        return 0;
    }
    return result.code == HF_E_NOT_FOUND || standby ? 1 : 255;
}

/* Asks every repository in turn until one has it. */
static hf_result from_anywhere(const struct hf_site *site, const struct hf_wal_name *name,
                               uint32_t segment_size, struct hf_buf *out, struct hf_err *err)
{
    bool unknown = false;
    bool corrupt = false;
    struct hf_err why = {0};
    for (size_t i = 0; i < site->count; i++) {
        if (site->repositories[i] == NULL) {
            unknown = true;
            why = site->errors[i];
            continue;
        }
        hf_buf_reset(out);
        struct hf_err e = {0};
        hf_result r = hf_wal_object_get(site->repositories[i], name, segment_size, out, NULL, &e);
        if (hf_ok(r)) {
            return r;
        }
        if (r.code == HF_E_CORRUPT) {
            corrupt = true;
            why = e;
        } else if (r.code != HF_E_NOT_FOUND) {
            unknown = true;
            why = e;
        }
    }
    hf_buf_reset(out);
    if (corrupt) {
        return hf_fail(err, HF_E_CORRUPT, "%s", why.text);
    }
    if (unknown) {
        return hf_fail(err, HF_E_AGAIN, "whether it is archived is unknown: %s", why.text);
    }
    return hf_fail(err, HF_E_NOT_FOUND, "no repository has it");
}

static hf_result segment_size_of(const struct hf_site *site, const struct hf_wal_fetch *fetch,
                                 uint32_t *ret, struct hf_err *err)
{
    if (fetch->segment_size != 0) {
        *ret = fetch->segment_size;
        return hf_done();
    }
    *ret = 16U << 20; /* initdb's own, until a repository says otherwise */
    for (size_t i = 0; i < site->count; i++) {
        struct hf_system_identity id;
        struct hf_err e = {0};
        if (site->repositories[i] == NULL) {
            continue;
        }
        hf_result r = hf_repository_identity(site->repositories[i], &id, &e);
        if (hf_ok(r)) {
            *ret = id.segment_size;
            return r;
        }
        if (r.code != HF_E_NOT_FOUND) {
            *err = e;
            return r;
        }
    }
    return hf_done();
}

/* The line that the cluster is on: the newest of what its leader says and what the epoch records
 * say. 0 when there is neither. */
static hf_result newest_line(const struct hf_site *site, hf_tli hint, hf_tli *ret,
                             struct hf_err *err)
{
    HF_AUTOFREE struct hf_epoch_record *records =
        hf_alloc_array(HF_REPO_MAX_EPOCHS, sizeof *records);
    hf_tli newest = hint;
    for (size_t i = 0; i < site->count; i++) {
        size_t n = 0;
        struct hf_err e = site->errors[i];
        hf_result r = {HF_E_AGAIN};
        if (site->repositories[i] != NULL) {
            r = hf_repository_epochs(site->repositories[i], records, HF_REPO_MAX_EPOCHS, &n, &e);
        }
        if (!hf_ok(r) && hint.v == 0) {
            return hf_fail(err, HF_E_AGAIN, "the cluster's timeline is unknown: %s", e.text);
        }
        if (n > 0 && records[n - 1].timeline.v > newest.v) {
            newest = records[n - 1].timeline;
        }
    }
    *ret = newest;
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
    HF_BUF(text, 65536);
    struct hf_wal_name name = {.kind = HF_WAL_HISTORY, .timeline = line};
    HF_TRY(from_anywhere(site, &name, 16U << 20, &text, err));
    return hf_history_parse(line, text.data, text.len, ret, err);
}

/* W4: nothing of a parent past the fork, nothing of a line that is no ancestor. */
static hf_result check_line(const struct hf_site *site, const struct hf_wal_name *name,
                            uint32_t segment_size, const struct hf_wal_fetch *fetch,
                            struct hf_err *err)
{
    struct hf_history h;
    hf_tli target = fetch->target;
    if (target.v == 0) {
        HF_TRY(newest_line(site, fetch->hint, &target, err));
    }
    /* A standby that has learnt of a newer line asks for it: judged by that line's own past, which
     * must contain the target. */
    hf_tli line = name->timeline.v > target.v ? name->timeline : target;
    if (line.v == 0 || (line.v == name->timeline.v && target.v == 0)) {
        return hf_done();
    }
    hf_result r = history_of(site, line, &h, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_AGAIN, "the history of timeline %u is not archived yet", line.v);
    }
    HF_TRY(r);
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

hf_result hf_wal_fetch(const struct hf_site *site, const struct hf_wal_fetch *fetch,
                       struct hf_err *err)
{
    struct hf_wal_name name;
    uint32_t segment_size = 16U << 20;
    HF_FAULT("wal.fetch", err);
    if (strstr(fetch->name, ".history") == NULL) {
        HF_TRY(segment_size_of(site, fetch, &segment_size, err));
    }
    HF_TRY(hf_wal_name_parse(fetch->name, segment_size, &name, err));
    if (name.kind == HF_WAL_SEGMENT) {
        HF_TRY(check_line(site, &name, segment_size, fetch, err));
    }
    HF_BUF(plain,
           name.kind == HF_WAL_SEGMENT || name.kind == HF_WAL_PARTIAL ? segment_size : 65536);
    HF_TRY(from_anywhere(site, &name, segment_size, &plain, err));
    return hf_file_write_durable(fetch->path, plain.data, plain.len, 0600, err);
}
