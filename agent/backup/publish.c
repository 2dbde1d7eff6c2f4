/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/publish.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/lsn.h"
#include "common/io/fault.h"

enum { SEALED_MAX = HF_MANIFEST_MAX_BYTES + (1 << 20) };

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

static hf_result leaf_key(struct hf_repository *r, const char *label, const char *leaf,
                          char ret[HF_STORE_KEY_SIZE], struct hf_err *err)
{
    char name[HF_OBJECT_NAME_SIZE];
    hf_name_of_backup(label, leaf, name);
    return hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), name, ret, err);
}

static hf_result exists(struct hf_repository *r, const char *label, const char *leaf, bool *ret,
                        struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    struct hf_store_meta meta;
    HF_TRY(leaf_key(r, label, leaf, key, err));
    hf_result head = hf_store_head(hf_repository_store(r), key, &meta, err);
    if (!hf_ok(head) && head.code != HF_E_NOT_FOUND) {
        return head;
    }
    *ret = hf_ok(head);
    return hf_done();
}

/* The sealed bytes that lie under the leaf, opened as the manifest that they are. */
static hf_result read_sealed(struct hf_repository *r, const char *label, const char *leaf,
                             struct hf_buf *sealed, struct hf_manifest **ret, uint8_t *ret_digest,
                             struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    char name[HF_OBJECT_NAME_SIZE];
    HF_BUF(plain, HF_MANIFEST_MAX_BYTES);
    HF_TRY(leaf_key(r, label, leaf, key, err));
    HF_TRY(hf_store_get(hf_repository_store(r), key, 0, UINT64_MAX, append, sealed, err));
    hf_name_of_backup(label, "manifest", name);
    struct hf_open_params params = {.kind = HF_OBJECT_MANIFEST, .name = name};
    struct hf_opener *o = NULL;
    HF_TRY(hf_opener_new(hf_repository_ring(r), &params, append, &plain, &o, err));
    hf_result opened = hf_opener_feed(o, sealed->data, sealed->len, err);
    if (hf_ok(opened)) {
        opened = hf_opener_finish(o, err);
    }
    if (hf_ok(opened) && ret_digest != NULL) {
        hf_opener_digest(o, ret_digest);
    }
    hf_opener_free(o);
    HF_TRY(opened);
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    hf_result decoded = hf_manifest_decode(hf_buf_text(&plain), plain.len, &m, err);
    if (!hf_ok(decoded)) {
        return hf_fail_context(err, "%s", name);
    }
    if (strcmp(m->label, label) != 0) {
        return hf_fail(err, HF_E_CORRUPT, "%s: is the manifest of %s", name, m->label);
    }
    *ret = m;
    m = NULL;
    return hf_done();
}

hf_result hf_backup_manifest(struct hf_repository *r, const char *label, const char *leaf,
                             struct hf_manifest **ret, uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE],
                             struct hf_err *err)
{
    HF_BUF(sealed, SEALED_MAX);
    HF_TRY(hf_backup_label_check(label, err));
    return read_sealed(r, label, leaf, &sealed, ret, ret_digest, err);
}

hf_result hf_backup_wal_complete(struct hf_repository *r, const struct hf_manifest *m,
                                 bool *ret_complete, char *missing, size_t missing_size,
                                 struct hf_err *err)
{
    uint64_t first = hf_lsn_segment(m->start, m->segment_size);
    uint64_t last = hf_lsn_segment(HF_LSN(m->stop.v - 1), m->segment_size);
    uint64_t gap = 0;
    bool complete = false;
    HF_TRY(hf_repository_wal_present(r, m->timeline, first, last, m->segment_size, &complete, &gap,
                                     err));
    if (!complete && missing != NULL) {
        struct hf_wal_name name = {.kind = HF_WAL_SEGMENT, .timeline = m->timeline, .segment = gap};
        char text[HF_WAL_NAME_SIZE];
        snprintf(missing, missing_size, "segment %s",
                 hf_wal_name_format(&name, m->segment_size, text));
    }
    if (complete && m->timeline.v > 1) {
        HF_BUF(history, 65536);
        hf_result got = hf_repository_history(r, m->timeline, &history, err);
        if (!hf_ok(got) && got.code != HF_E_NOT_FOUND) {
            return got;
        }
        complete = hf_ok(got);
        if (!complete && missing != NULL) {
            snprintf(missing, missing_size, "%08X.history", m->timeline.v);
        }
    }
    *ret_complete = complete;
    return hf_done();
}

hf_result hf_backup_publish(struct hf_repository *r, const char *label, bool *ret_published,
                            char *missing, size_t missing_size, struct hf_err *err)
{
    HF_BUF(sealed, SEALED_MAX);
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    bool there = false;
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(hf_backup_label_check(label, err));
    HF_TRY(exists(r, label, "manifest", &there, err));
    if (!there) {
        bool complete = false;
        bool expiring = false;
        HF_TRY(read_sealed(r, label, "pending", &sealed, &m, NULL, err));
        HF_TRY(exists(r, label, "expiring", &expiring, err));
        if (expiring) {
            return hf_fail(err, HF_E_REFUSED, "backup %s is being expired (rule B4)", label);
        }
        HF_TRY(hf_backup_wal_complete(r, m, &complete, missing, missing_size, err));
        if (!complete) {
            *ret_published = false;
            return hf_done();
        }
        HF_FAULT("backup.manifest", err);
        HF_TRY(leaf_key(r, label, "manifest", key, err));
        struct hf_store_put_options once = {.create_once = true};
        hf_result put =
            hf_store_put(hf_repository_store(r), key, sealed.data, sealed.len, once, err);
        if (put.code == HF_E_UNSUPPORTED) {
            put = hf_store_put(hf_repository_store(r), key, sealed.data, sealed.len,
                               (struct hf_store_put_options){0}, err);
        }
        if (!hf_ok(put) && put.code != HF_E_EXISTS) {
            return put;
        }
    }
    HF_TRY(leaf_key(r, label, "pending", key, err));
    HF_TRY(hf_store_delete(hf_repository_store(r), key, err));
    *ret_published = true;
    return hf_done();
}

hf_result hf_backup_publish_all(struct hf_repository *r, size_t *ret_published, size_t *ret_pending,
                                struct hf_err *err)
{
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*list));
    size_t n = 0;
    size_t done = 0;
    size_t pending = 0;
    HF_TRY(hf_repository_backups(r, list, HF_REPO_MAX_BACKUPS, &n, err));
    for (size_t i = 0; i < n; i++) {
        bool published = false;
        if (!list[i].wal_pending || list[i].expiring) {
            continue;
        }
        HF_TRY(hf_backup_publish(r, list[i].label, &published, NULL, 0, err));
        done += published ? 1 : 0;
        pending += published ? 0 : 1;
    }
    *ret_published = done;
    *ret_pending = pending;
    return hf_done();
}
