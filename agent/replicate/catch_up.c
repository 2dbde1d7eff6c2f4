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

struct pass {
    const char *prefix;
    bool manifests; /* only manifests, published by their rule; else everything but them */
};

static hf_result into_buffer(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

/* A manifest arrives as the pending one and is published when its WAL is there. */
static hf_result bring_manifest(struct hf_repository *from, struct hf_repository *to,
                                const char *key, bool *ret_published, struct hf_err *err)
{
    char label[HF_LABEL_SIZE];
    char pending[HF_OBJECT_NAME_SIZE];
    char to_key[HF_STORE_KEY_SIZE];
    const char *end = strrchr(key, '/');
    const char *start = end - 1;
    while (start > key && start[-1] != '/') {
        start--;
    }
    (void)snprintf(label, sizeof label, "%.*s", (int)(end - start), start);
    hf_name_of_backup(label, "pending", pending);
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(to)), pending, to_key, err));
    HF_BUF(bytes, 16U << 20);
    struct hf_store_put_options once = {.create_once = true};
    hf_result r =
        hf_store_get(hf_repository_store(from), key, 0, UINT64_MAX, into_buffer, &bytes, err);
    HF_TRY(r);
    r = hf_store_put(hf_repository_store(to), to_key, bytes.data, bytes.len, once, err);
    if (r.code != HF_E_EXISTS) {
        HF_TRY(r);
    }
    return hf_backup_publish(to, label, ret_published, NULL, 0, err);
}

static hf_result bring(struct hf_repository *from, struct hf_repository *to,
                       const struct pass *pass, const char *key, struct hf_catch_up *ret,
                       struct hf_err *err)
{
    bool manifest = ends_with(key, "/manifest");
    if (manifest != pass->manifests || ends_with(key, "/pending")) {
        return hf_done();
    }
    bool there = true;
    hf_result r = manifest ? bring_manifest(from, to, key, &there, err)
                           : hf_replicate_object(from, to, key, err);
    if (r.code == HF_E_CONFLICT) {
        ret->conflicts++;
        (void)snprintf(ret->conflict, sizeof ret->conflict, "%s", key);
        return hf_done();
    }
    if (r.code == HF_E_NOT_FOUND) {
        return hf_done(); /* expired at the source meanwhile */
    }
    HF_TRY(r);
    ret->copied += there ? 1 : 0;
    ret->missing += there ? 0 : 1;
    return hf_done();
}

static hf_result run_pass(struct hf_repository *from, struct hf_repository *to,
                          const struct pass *pass, const atomic_bool *cancel,
                          struct hf_catch_up *ret, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(from)), pass->prefix, prefix, err));
    HF_AUTOFREE struct pager *a = hf_alloc(sizeof *a);
    HF_AUTOFREE struct pager *b = hf_alloc(sizeof *b);
    a->store = hf_repository_store(from);
    b->store = hf_repository_store(to);
    a->prefix = b->prefix = prefix;
    for (;;) {
        const char *have = NULL;
        const char *there = NULL;
        if (cancel != NULL && atomic_load(cancel)) {
            return hf_fail(err, HF_E_CANCELED, "canceled");
        }
        HF_TRY(peek(a, &have, err));
        HF_TRY(peek(b, &there, err));
        if (have == NULL) {
            return hf_done();
        }
        int order = there == NULL ? -1 : strcmp(have, there);
        if (order < 0) {
            HF_TRY(bring(from, to, pass, have, ret, err));
        }
        a->at += order <= 0 ? 1 : 0;
        b->at += order >= 0 ? 1 : 0;
    }
}

hf_result hf_replicate_catch_up(struct hf_repository *from, struct hf_repository *to,
                                const atomic_bool *cancel, struct hf_catch_up *ret,
                                struct hf_err *err)
{
    static const struct pass passes[] = {
        {"keys/", false}, {"identity/", false}, {"epoch/", false},  {"timeline/", false},
        {"wal/", false},  {"conflict/", false}, {"backup/", false}, {"backup/", true}};
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        HF_TRY(run_pass(from, to, &passes[i], cancel, ret, err));
    }
    return hf_done();
}
