/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/repo/wal_object.h"

#include <string.h>

#include "common/base/mem.h"

hf_result hf_content_seal(const struct hf_keyring *ring, const struct hf_content_name *name,
                          hf_epoch epoch, int zstd_level, const void *bytes, size_t len,
                          struct hf_buf *out, hf_hash128 *ret_content, struct hf_err *err)
{
    uint8_t dek[HF_DEK_ID_SIZE];
    uint8_t secret[HF_SECRET_ID_SIZE];
    const struct hf_hash_key *hash_key = NULL;
    HF_TRY(hf_keyring_active(ring, dek, &hash_key, secret, err));
    struct hf_seal_params params = {.kind = name->kind,
                                    .name = name->logical,
                                    .epoch = epoch,
                                    .zstd_level = zstd_level,
                                    .has_content = true,
                                    .content_hash = hf_hash(hash_key, bytes, len),
                                    .plain_len = len};
    HF_TRY(hf_object_seal(ring, &params, bytes, len, out, err));
    *ret_content = params.content_hash;
    return hf_done();
}

hf_result hf_wal_object_seal(const struct hf_keyring *ring, const struct hf_wal_name *name,
                             uint32_t segment_size, hf_epoch epoch, int zstd_level,
                             const void *bytes, size_t len, struct hf_buf *out,
                             hf_hash128 *ret_content, struct hf_err *err)
{
    struct hf_content_name n;
    n.kind = hf_name_of_wal(name, segment_size, n.logical);
    return hf_content_seal(ring, &n, epoch, zstd_level, bytes, len, out, ret_content, err);
}

/* Keys that another writer made after ours were loaded (a new primary's first segment). */
static hf_result load_keys_again(struct hf_repository *r, struct hf_err *err)
{
    return hf_keyring_load(hf_repository_ring(r), hf_repository_store(r), err);
}

static hf_result read_header(struct hf_repository *r, const struct hf_open_params *params,
                             struct hf_object_header *ret, const struct hf_hash_key **ret_key,
                             struct hf_err *err)
{
    const struct hf_keyring *ring = hf_repository_ring(r);
    HF_TRY(hf_object_head(ring, hf_repository_store(r), params, ret, err));
    if ((ret->flags & HF_OBJECT_HAS_CONTENT) == 0) {
        return hf_fail(err, HF_E_CORRUPT, "%s: carries no hash of its content", params->name);
    }
    return hf_keyring_hash_key(ring, ret->secret_id, ret_key, err);
}

/* The name is taken: by the same content? */
static hf_result compare(struct hf_repository *r, const char *logical, enum hf_object_kind kind,
                         const void *plain, size_t len, struct hf_err *err)
{
    struct hf_object_header h;
    struct hf_open_params params = {.kind = kind, .name = logical};
    const struct hf_hash_key *key = NULL;
    hf_result read = read_header(r, &params, &h, &key, err);
    if (read.code == HF_E_DENIED) {
        HF_TRY(load_keys_again(r, err));
        read = read_header(r, &params, &h, &key, err);
    }
    if (read.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_AGAIN, "%s: was there a moment ago and is not now", logical);
    }
    HF_TRY(read);
    hf_hash128 mine = hf_hash(key, plain, len);
    if (h.plain_len != len || memcmp(h.content_hash, mine.b, sizeof(mine.b)) != 0) {
        return hf_fail(err, HF_E_CONFLICT,
                       "%s: repository %s has other content under this name, written by %s in "
                       "epoch %llu (rule W2); nothing is overwritten",
                       logical, hf_repository_name(r), h.writer, (unsigned long long)h.epoch.v);
    }
    return hf_done();
}

hf_result hf_content_put(struct hf_repository *r, const struct hf_content_name *name,
                         const struct hf_buf *sealed, const void *plain, size_t plain_len,
                         struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), name->logical, key, err));
    struct hf_store_put_options options = {.create_once = true};
    bool conditional = false;
    HF_TRY(hf_store_conditional(hf_repository_store(r), &conditional, err));
    if (!conditional) {
        /* One writer holds the lease; it looks before it writes (rule W2). */
        struct hf_store_meta meta;
        hf_result head = hf_store_head(hf_repository_store(r), key, &meta, err);
        if (hf_ok(head)) {
            return compare(r, name->logical, name->kind, plain, plain_len, err);
        }
        if (head.code != HF_E_NOT_FOUND) {
            return head;
        }
        options.create_once = false;
    }
    hf_result put =
        hf_store_put(hf_repository_store(r), key, sealed->data, sealed->len, options, err);
    return put.code == HF_E_EXISTS ? compare(r, name->logical, name->kind, plain, plain_len, err)
                                   : put;
}

hf_result hf_wal_object_put(struct hf_repository *r, const struct hf_wal_name *name,
                            uint32_t segment_size, const struct hf_buf *sealed, const void *plain,
                            size_t plain_len, struct hf_err *err)
{
    struct hf_content_name n;
    n.kind = hf_name_of_wal(name, segment_size, n.logical);
    return hf_content_put(r, &n, sealed, plain, plain_len, err);
}

hf_result hf_content_get(struct hf_repository *r, const struct hf_content_name *name,
                         struct hf_buf *out, struct hf_err *err)
{
    struct hf_open_params params = {.kind = name->kind, .name = name->logical};
    struct hf_store *store = hf_repository_store(r);
    hf_result got = hf_object_get(hf_repository_ring(r), store, &params, out, NULL, err);
    if (got.code == HF_E_DENIED) {
        HF_TRY(load_keys_again(r, err));
        got = hf_object_get(hf_repository_ring(r), store, &params, out, NULL, err);
    }
    return got;
}

hf_result hf_wal_object_read(struct hf_repository *r, const struct hf_wal_name *name,
                             uint32_t parsed_with, struct hf_buf *out, struct hf_err *err)
{
    struct hf_content_name n;
    n.kind = hf_name_of_wal(name, parsed_with, n.logical);
    return hf_content_get(r, &n, out, err);
}

hf_result hf_wal_object_get(struct hf_repository *r, const struct hf_wal_name *name,
                            uint32_t segment_size, struct hf_buf *out, struct hf_object_header *ret,
                            struct hf_err *err)
{
    struct hf_content_name n;
    n.kind = hf_name_of_wal(name, segment_size, n.logical);
    struct hf_open_params params = {.kind = n.kind, .name = n.logical};
    size_t before = out->len;
    HF_TRY(hf_content_get(r, &n, out, err));
    if (n.kind == HF_OBJECT_WAL && out->len - before != segment_size) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %zu bytes instead of a segment of %u", n.logical,
                       out->len - before, segment_size);
    }
    if (ret != NULL) {
        HF_TRY(hf_object_head(hf_repository_ring(r), hf_repository_store(r), &params, ret, err));
    }
    return hf_done();
}
