/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/replicate/copy.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/io/fault.h"

enum { HEAD_BYTES = HF_OBJECT_HEADER_MAX + HF_OBJECT_MAC_SIZE };

struct transfer {
    struct hf_store_writer *writer;
    uint64_t bytes;
};

static hf_result pass_on(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    struct transfer *t = arg;
    t->bytes += len;
    return hf_store_writer_write(t->writer, bytes, len, err);
}

/* --- the name is taken ---------------------------------------------------------------------- */

static hf_result into_hash(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    (void)err;
    hf_hash_stream_update(arg, bytes, len);
    return hf_done();
}

/* Reads all of it; as much memory as one frame. */
static hf_result digest_of(struct hf_repository *r, const char *name, const char *key,
                           const struct hf_hash_key *hash, hf_hash128 *ret, struct hf_err *err)
{
    struct hf_open_params params = {.name = name};
    struct hf_hash_stream *stream = hf_hash_stream_new(hash);
    struct hf_opener *opener = NULL;
    hf_result done = hf_opener_new(hf_repository_ring(r), &params, into_hash, stream, &opener, err);
    if (hf_ok(done)) {
        done =
            hf_store_get(hf_repository_store(r), key, 0, UINT64_MAX, hf_opener_feed, opener, err);
    }
    if (hf_ok(done)) {
        done = hf_opener_finish(opener, err);
    }
    if (hf_ok(done)) {
        *ret = hf_hash_stream_digest(stream);
    }
    hf_opener_free(opener);
    hf_hash_stream_free(stream);
    return done;
}

/* Two sealings of one content differ in their bytes: the contents decide, by the hashes in the
 * headers where those are of one secret, else by reading both. */
static hf_result same_content(struct hf_repository *from, struct hf_repository *to,
                              const char *name, const char *key, bool *ret, struct hf_err *err)
{
    const struct hf_keyring *ring = hf_repository_ring(from);
    struct hf_open_params params = {.name = name};
    struct hf_object_header a;
    struct hf_object_header b;
    HF_TRY(hf_object_head(ring, hf_repository_store(from), &params, &a, err));
    HF_TRY(hf_object_head(ring, hf_repository_store(to), &params, &b, err));
    bool hashed = (a.flags & b.flags & HF_OBJECT_HAS_CONTENT) != 0;
    if (hashed && memcmp(a.secret_id, b.secret_id, sizeof a.secret_id) == 0) {
        *ret = a.plain_len == b.plain_len &&
               memcmp(a.content_hash, b.content_hash, sizeof a.content_hash) == 0;
        return hf_done();
    }
    if (!hashed) {
        HF_BUF(x, HF_REPO_RECORD_MAX);
        HF_BUF(y, HF_REPO_RECORD_MAX);
        HF_TRY(hf_object_get(ring, hf_repository_store(from), &params, &x, NULL, err));
        HF_TRY(hf_object_get(ring, hf_repository_store(to), &params, &y, NULL, err));
        *ret = x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0);
        return hf_done();
    }
    const struct hf_hash_key *hash = NULL;
    hf_hash128 x;
    hf_hash128 y;
    HF_TRY(hf_keyring_hash_key(ring, a.secret_id, &hash, err));
    HF_TRY(digest_of(from, name, key, hash, &x, err));
    HF_TRY(digest_of(to, name, key, hash, &y, err));
    *ret = hf_hash_equal(x, y);
    return hf_done();
}

struct head {
    uint8_t b[HEAD_BYTES];
    size_t len;
};

static hf_result keep_head(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    struct head *h = arg;
    size_t n = sizeof h->b - h->len;
    n = n < len ? n : len;
    memcpy(h->b + h->len, bytes, n);
    h->len += n;
    return h->len == sizeof h->b ? hf_fail(err, HF_E_CANCELED, "enough") : hf_done();
}

static hf_result read_head(struct hf_repository *r, const char *key, struct head *ret,
                           uint64_t *ret_size, struct hf_err *err)
{
    struct hf_store_meta meta;
    HF_TRY(hf_store_head(hf_repository_store(r), key, &meta, err));
    ret->len = 0;
    hf_result got = hf_store_get(hf_repository_store(r), key, 0, UINT64_MAX, keep_head, ret, err);
    *ret_size = meta.size;
    return got.code == HF_E_CANCELED ? hf_done() : got;
}

/* The same sealing: its beginning holds the salt and the header's code. */
static hf_result same_bytes(struct hf_repository *from, struct hf_repository *to, const char *key,
                            bool *ret, struct hf_err *err)
{
    struct head a;
    struct head b;
    uint64_t size_a = 0;
    uint64_t size_b = 0;
    HF_TRY(read_head(from, key, &a, &size_a, err));
    HF_TRY(read_head(to, key, &b, &size_b, err));
    *ret = size_a == size_b && a.len == b.len && memcmp(a.b, b.b, a.len) == 0;
    return hf_done();
}

/* WAL and records may have been sealed once for each region; everything else is sealed once. */
static bool sealed_often(const char *name)
{
    static const char *const folders[] = {"wal/", "conflict/", "epoch/", "timeline/", "identity/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (strncmp(name, folders[i], strlen(folders[i])) == 0) {
            return true;
        }
    }
    return false;
}

static hf_result compare(struct hf_repository *from, struct hf_repository *to, const char *key,
                         struct hf_err *err)
{
    char base[HF_STORE_KEY_SIZE];
    bool same = false;
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(from)), "", base, err));
    const char *name = key + strlen(base);
    HF_TRY(same_bytes(from, to, key, &same, err));
    if (!same && sealed_often(name)) {
        hf_result r = same_content(from, to, name, key, &same, err);
        if (r.code == HF_E_DENIED) { /* sealed under a key that came later than ours */
            HF_TRY(hf_keyring_load(hf_repository_ring(from), hf_repository_store(to), err));
            r = same_content(from, to, name, key, &same, err);
        }
        HF_TRY(r);
    }
    if (same) {
        return hf_done();
    }
    return hf_fail(err, HF_E_CONFLICT, "%s: repositories %s and %s hold different content", name,
                   hf_repository_name(from), hf_repository_name(to));
}

/* --- copying -------------------------------------------------------------------------------- */

hf_result hf_replicate_object(struct hf_repository *from, struct hf_repository *to, const char *key,
                              uint64_t *ret_bytes, struct hf_err *err)
{
    struct transfer t = {0};
    HF_FAULT("replicate.copy", err);
    HF_TRY(hf_store_writer_open(hf_repository_store(to), key, &t.writer, err));
    hf_result r = hf_store_get(hf_repository_store(from), key, 0, UINT64_MAX, pass_on, &t, err);
    if (!hf_ok(r)) {
        hf_store_writer_abort(t.writer);
        return r;
    }
    r = hf_store_writer_commit(t.writer, err);
    if (r.code == HF_E_EXISTS) {
        HF_TRY(compare(from, to, key, err));
        *ret_bytes = 0;
        return hf_done();
    }
    HF_TRY(r);
    struct hf_store_meta meta;
    HF_TRY(hf_store_head(hf_repository_store(to), key, &meta, err));
    if (meta.size != t.bytes) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %llu bytes were sent, %s shows %llu", key,
                       (unsigned long long)t.bytes, hf_repository_name(to),
                       (unsigned long long)meta.size);
    }
    *ret_bytes = t.bytes;
    return hf_done();
}
