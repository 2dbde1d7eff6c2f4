/* SPDX-License-Identifier: Apache-2.0
 *
 * Catching up a region by the two listings.
 */
#include <stdio.h>
#include <string.h>

#include "agent/backup/publish.h"
#include "agent/replicate/copy.h"
#include "common/base/mem.h"

enum { PAGE = 256 };

/* A listing read page by page, so that two of them can be merged. */
struct pager {
    struct hf_store *store;
    const char *prefix;
    char after[HF_STORE_KEY_SIZE];
    char keys[PAGE][HF_STORE_KEY_SIZE];
    size_t count;
    size_t at;
    bool ended;
};

static hf_result collect(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct pager *p = arg;
    if (p->count == PAGE) {
        return hf_fail(err, HF_E_CANCELED, "page is full");
    }
    (void)snprintf(p->keys[p->count++], HF_STORE_KEY_SIZE, "%s", entry->key);
    return hf_done();
}

/* The key under the reader, NULL at the end. */
static hf_result peek(struct pager *p, const char **ret, struct hf_err *err)
{
    if (p->at == p->count && !p->ended) {
        p->at = p->count = 0;
        const char *after = p->after[0] == '\0' ? NULL : p->after;
        hf_result r = hf_store_list(p->store, p->prefix, after, false, collect, p, err);
        if (r.code != HF_E_CANCELED) {
            HF_TRY(r);
            p->ended = true;
        }
        if (p->count > 0) {
            memcpy(p->after, p->keys[p->count - 1], sizeof p->after);
        }
    }
    *ret = p->at < p->count ? p->keys[p->at] : NULL;
    return hf_done();
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static hf_result into_buffer(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

/* One run over both listings. */
struct pass {
    struct hf_repository *from;
    struct hf_repository *to;
    const atomic_bool *cancel;
    struct hf_catch_up *ret;
    uint64_t gone;  /* objects that the source lost while they were copied */
    bool manifests; /* only manifests; else everything but them */
};

static hf_result run_pass(struct pass *p, const char *below, struct hf_err *err);

/* --- one object ----------------------------------------------------------------------------- */

/* A conflict is counted and left alone: what follows must not stay behind for it. */
static hf_result bring_object(struct pass *p, const char *key, struct hf_err *err)
{
    uint64_t bytes = 0;
    struct hf_err mine = {0};
    hf_result r = hf_replicate_object(p->from, p->to, key, &bytes, &mine);
    if (hf_ok(r)) {
        p->ret->copied += bytes > 0 ? 1 : 0;
        p->ret->bytes += bytes;
        return r;
    }
    if (r.code == HF_E_CONFLICT) {
        p->ret->conflicts++;
        (void)snprintf(p->ret->conflict, sizeof p->ret->conflict, "%s", key);
        return hf_done();
    }
    if (r.code == HF_E_NOT_FOUND) {
        p->gone++; /* expired at the source meanwhile */
        return hf_done();
    }
    *err = mine;
    return r;
}

/* --- one backup ----------------------------------------------------------------------------- */

static bool label_of(const char *key, char ret[HF_LABEL_SIZE])
{
    const char *end = strrchr(key, '/');
    const char *start = end;
    while (start > key && start[-1] != '/') {
        start--;
    }
    size_t len = (size_t)(end - start);
    if (len == 0 || len >= HF_LABEL_SIZE) {
        return false;
    }
    memcpy(ret, start, len);
    ret[len] = '\0';
    return hf_ok(hf_backup_label_check(ret, NULL));
}

static hf_result put_pending(struct pass *p, const char *key, const char *label, struct hf_err *err)
{
    char pending[HF_OBJECT_NAME_SIZE];
    char to_key[HF_STORE_KEY_SIZE];
    struct hf_store *to = hf_repository_store(p->to);
    HF_BUF(bytes, HF_MANIFEST_MAX_BYTES + (1 << 20));
    hf_name_of_backup(label, "pending", pending);
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(p->to)), pending, to_key, err));
    HF_TRY(
        hf_store_get(hf_repository_store(p->from), key, 0, UINT64_MAX, into_buffer, &bytes, err));
    struct hf_store_put_options once = {.create_once = true};
    hf_result r = hf_store_put(to, to_key, bytes.data, bytes.len, once, err);
    if (r.code == HF_E_UNSUPPORTED) {
        r = hf_store_put(to, to_key, bytes.data, bytes.len, (struct hf_store_put_options){0}, err);
    }
    return r.code == HF_E_EXISTS ? hf_done() : r;
}

/* Everything of the backup, then its manifest: it arrives as the pending one and is published when
 * its WAL is there. */
static hf_result bring_manifest(struct pass *p, const char *key, struct hf_err *err)
{
    char label[HF_LABEL_SIZE];
    char below[HF_OBJECT_NAME_SIZE];
    bool published = false;
    if (!label_of(key, label)) {
        return hf_done(); /* not ours */
    }
    hf_name_of_backup(label, "", below);
    struct pass objects = {.from = p->from, .to = p->to, .cancel = p->cancel, .ret = p->ret};
    uint64_t conflicts = p->ret->conflicts;
    HF_TRY(run_pass(&objects, below, err));
    if (objects.gone > 0 || p->ret->conflicts > conflicts) {
        p->ret->missing++;
        return hf_done();
    }
    struct hf_err mine = {0};
    hf_result r = put_pending(p, key, label, &mine);
    if (hf_ok(r)) {
        r = hf_backup_publish(p->to, label, &published, NULL, 0, &mine);
    }
    if (r.code == HF_E_NOT_FOUND || r.code == HF_E_REFUSED) {
        return hf_done(); /* expired here or there, or published by another meanwhile */
    }
    if (!hf_ok(r)) {
        *err = mine;
        return r;
    }
    p->ret->copied += published ? 1 : 0;
    p->ret->missing += published ? 0 : 1;
    return r;
}

/* --- the order ------------------------------------------------------------------------------ */

static hf_result bring(struct pass *p, const char *key, struct hf_err *err)
{
    bool backup = strstr(key, "/backup/") != NULL;
    bool manifest = backup && ends_with(key, "/manifest");
    if (manifest != p->manifests ||
        (backup && (ends_with(key, "/pending") || ends_with(key, "/expiring")))) {
        return hf_done();
    }
    return manifest ? bring_manifest(p, key, err) : bring_object(p, key, err);
}

static hf_result run_pass(struct pass *p, const char *below, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(p->from)), below, prefix, err));
    HF_AUTOFREE struct pager *a = hf_alloc(sizeof *a);
    HF_AUTOFREE struct pager *b = hf_alloc(sizeof *b);
    a->store = hf_repository_store(p->from);
    b->store = hf_repository_store(p->to);
    a->prefix = b->prefix = prefix;
    for (;;) {
        const char *have = NULL;
        const char *there = NULL;
        if (p->cancel != NULL && atomic_load(p->cancel)) {
            return hf_fail(err, HF_E_CANCELED, "canceled");
        }
        HF_TRY(peek(a, &have, err));
        HF_TRY(peek(b, &there, err));
        if (have == NULL) {
            return hf_done();
        }
        int order = there == NULL ? -1 : strcmp(have, there);
        if (order < 0) {
            HF_TRY(bring(p, have, err));
        }
        a->at += order <= 0 ? 1 : 0;
        b->at += order >= 0 ? 1 : 0;
    }
}

hf_result hf_replicate_catch_up(struct hf_repository *from, struct hf_repository *to,
                                const atomic_bool *cancel, struct hf_catch_up *ret,
                                struct hf_err *err)
{
    static const char *const folders[] = {"keys/",     "secret/", "identity/", "epoch/",
                                          "timeline/", "wal/",    "conflict/"};
    memset(ret, 0, sizeof *ret);
    struct pass p = {.from = from, .to = to, .cancel = cancel, .ret = ret};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        HF_TRY(run_pass(&p, folders[i], err));
    }
    p.manifests = true; /* a backup that is not published here yet may still be running */
    return run_pass(&p, "backup/", err);
}
