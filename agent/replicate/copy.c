/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/replicate/copy.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/io/fault.h"

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

/* The name is taken at the destination. Two sealings of one content differ in their bytes: WAL and
 * history objects carry a keyed hash of the content, everything else is sealed once. */
static hf_result compare(struct hf_repository *from, struct hf_repository *to, const char *key,
                         struct hf_err *err)
{
    const struct hf_cluster_id *id = hf_keyring_cluster(hf_repository_ring(from));
    char base[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(id, "", base, err));
    const char *name = key + strlen(base);
    struct hf_store_meta a;
    struct hf_store_meta b;
    HF_TRY(hf_store_head(hf_repository_store(from), key, &a, err));
    HF_TRY(hf_store_head(hf_repository_store(to), key, &b, err));
    if (strncmp(name, "wal/", 4) == 0) {
        struct hf_open_params params = {.name = name};
        struct hf_object_header ha;
        struct hf_object_header hb;
        HF_TRY(
            hf_object_head(hf_repository_ring(from), hf_repository_store(from), &params, &ha, err));
        HF_TRY(
            hf_object_head(hf_repository_ring(from), hf_repository_store(to), &params, &hb, err));
        bool comparable = memcmp(ha.secret_id, hb.secret_id, sizeof ha.secret_id) == 0;
        if (comparable && ha.plain_len == hb.plain_len &&
            memcmp(ha.content_hash, hb.content_hash, sizeof ha.content_hash) == 0) {
            return hf_done();
        }
    } else if (a.size == b.size) {
        return hf_done();
    }
    return hf_fail(err, HF_E_CONFLICT, "%s: repositories %s and %s hold different content", name,
                   hf_repository_name(from), hf_repository_name(to));
}

hf_result hf_replicate_object(struct hf_repository *from, struct hf_repository *to, const char *key,
                              struct hf_err *err)
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
        return compare(from, to, key, err);
    }
    HF_TRY(r);
    struct hf_store_meta meta;
    HF_TRY(hf_store_head(hf_repository_store(to), key, &meta, err));
    if (meta.size != t.bytes) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %llu bytes were sent, %s shows %llu", key,
                       (unsigned long long)t.bytes, hf_repository_name(to),
                       (unsigned long long)meta.size);
    }
    return hf_done();
}
