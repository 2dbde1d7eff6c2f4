/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/repo/keys_internal.h"

#include <string.h>

#include "agent/core/bytes.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"

static const uint8_t WRAP_MAGIC[8] = {'H', 'F', 'D', 'E', 'K', 'W', 'R', 'P'};
enum { WRAP_VERSION = 1 };

static void kek_fingerprint(const struct hf_kek *kek, uint8_t ret[HF_KEK_FINGERPRINT_SIZE])
{
    static const char INFO[] = "holdfast kek fingerprint v1";
    hf_hkdf_sha256(kek->key, HF_KEK_SIZE, "", 0, INFO, sizeof(INFO) - 1, ret,
                   HF_KEK_FINGERPRINT_SIZE);
}

/* A wrapping key for this DEK alone. */
static void wrapping_key(const struct hf_kek *kek, const uint8_t *dek_id, uint8_t ret[32])
{
    static const char INFO[] = "holdfast dek wrap v1";
    hf_hkdf_sha256(kek->key, HF_KEK_SIZE, dek_id, HF_DEK_ID_SIZE, INFO, sizeof(INFO) - 1, ret, 32);
}

hf_result hf_wrap_make(const struct hf_cluster_id *cluster, const struct hf_kek *kek,
                       const struct hf_dek *dek, struct hf_wrap *ret, struct hf_err *err)
{
    uint8_t fingerprint[HF_KEK_FINGERPRINT_SIZE];
    uint8_t key[32];
    kek_fingerprint(kek, fingerprint);
    wrapping_key(kek, dek->id, key);
    struct hf_writer w = hf_writer_of(ret->bytes, sizeof(ret->bytes));
    hf_write_bytes(&w, WRAP_MAGIC, sizeof(WRAP_MAGIC));
    hf_write_le(&w, WRAP_VERSION, 2);
    hf_write_le(&w, 0, 2);
    hf_write_le(&w, cluster->system_id, 8);
    hf_write_le(&w, (uint64_t)dek->created.us, 8);
    hf_write_bytes(&w, dek->id, HF_DEK_ID_SIZE);
    hf_write_bytes(&w, fingerprint, sizeof(fingerprint));
    hf_write_text(&w, cluster->tenant);
    hf_write_text(&w, cluster->cluster);
    hf_write_text(&w, dek->writer);
    hf_write_text(&w, kek->id);
    if (!w.ok || w.left < HF_WRAPPED_KEY_SIZE) {
        return hf_fail(err, HF_E_LIMIT, "key wrap does not fit into %d bytes", HF_WRAP_MAX);
    }
    hf_key_wrap(key, ret->bytes, w.len, dek->key, w.p);
    hf_wipe(key, sizeof(key));
    memcpy(ret->dek_id, dek->id, HF_DEK_ID_SIZE);
    memcpy(ret->kek_id, kek->id, sizeof(ret->kek_id));
    ret->len = w.len + HF_WRAPPED_KEY_SIZE;
    return hf_done();
}

hf_result hf_wrap_open(const struct hf_cluster_id *cluster, const struct hf_kek *kek,
                       const uint8_t *bytes, size_t len, struct hf_dek *ret, struct hf_err *err)
{
    struct hf_dek dek = {0};
    uint8_t fingerprint[HF_KEK_FINGERPRINT_SIZE];
    uint8_t stated[HF_KEK_FINGERPRINT_SIZE] = {0};
    char tenant[HF_NAME_SIZE] = "";
    char name[HF_NAME_SIZE] = "";
    char kek_id[HF_NAME_SIZE] = "";
    struct hf_reader r = hf_reader_of(bytes, len);
    const uint8_t *magic = hf_read_bytes(&r, sizeof(WRAP_MAGIC));
    unsigned version = hf_read_u16(&r);
    unsigned reserved = hf_read_u16(&r);
    uint64_t system_id = hf_read_u64(&r);
    dek.created.us = (int64_t)hf_read_u64(&r);
    hf_read_copy(&r, dek.id, sizeof(dek.id));
    hf_read_copy(&r, stated, sizeof(stated));
    hf_read_text(&r, tenant, sizeof(tenant));
    hf_read_text(&r, name, sizeof(name));
    hf_read_text(&r, dek.writer, sizeof(dek.writer));
    hf_read_text(&r, kek_id, sizeof(kek_id));
    if (!r.ok || magic == NULL || memcmp(magic, WRAP_MAGIC, sizeof(WRAP_MAGIC)) != 0 ||
        version != WRAP_VERSION || reserved != 0 || r.left != HF_WRAPPED_KEY_SIZE) {
        return hf_fail(err, HF_E_CORRUPT, "key wrap is malformed or cut short");
    }
    if (strcmp(tenant, cluster->tenant) != 0 || strcmp(name, cluster->cluster) != 0 ||
        system_id != cluster->system_id || strcmp(kek_id, kek->id) != 0) {
        return hf_fail(err, HF_E_CORRUPT,
                       "key wrap is of %s/%s/%llu under key %s, not of this name", tenant, name,
                       (unsigned long long)system_id, kek_id);
    }
    kek_fingerprint(kek, fingerprint);
    if (!hf_crypto_equal(fingerprint, stated, sizeof(stated))) {
        return hf_fail(err, HF_E_DENIED, "wrong key: %s of this host is not the %s that wrapped it",
                       kek->id, kek_id);
    }
    uint8_t key[32];
    wrapping_key(kek, dek.id, key);
    hf_result opened = hf_key_unwrap(key, bytes, len - HF_WRAPPED_KEY_SIZE, r.p, dek.key, err);
    hf_wipe(key, sizeof(key));
    if (!hf_ok(opened)) {
        return hf_fail(err, HF_E_CORRUPT, "key wrap does not authenticate");
    }
    *ret = dek;
    hf_wipe(&dek, sizeof(dek));
    return hf_done();
}
