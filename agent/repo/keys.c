/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/repo/keys.h"

#include <stdio.h>
#include <string.h>

#include "agent/repo/keys_internal.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/core/name.h"
#include "common/io/crypto.h"
#include "common/io/files.h"

hf_result hf_keyring_new(const struct hf_cluster_id *id, const char *writer,
                         const struct hf_kek *keks, size_t n, const char *active,
                         struct hf_keyring **ret, struct hf_err *err)
{
    if (n == 0 || n > HF_KEYRING_MAX_KEKS) {
        return hf_fail(err, HF_E_INVALID, "%zu encryption keys, allowed are 1 to %d", n,
                       HF_KEYRING_MAX_KEKS);
    }
    if (id->system_id == 0) {
        return hf_fail(err, HF_E_INVALID, "system identifier 0");
    }
    hf_name checked;
    HF_TRY(hf_name_parse("tenant", id->tenant, &checked, err));
    HF_TRY(hf_name_parse("cluster", id->cluster, &checked, err));
    HF_TRY(hf_name_parse("writer", writer, &checked, err));
    size_t found = n;
    for (size_t i = 0; i < n; i++) {
        HF_TRY(hf_name_parse("encryption key", keks[i].id, &checked, err));
        if (strcmp(keks[i].id, active) == 0) {
            found = i;
        }
    }
    if (found == n) {
        return hf_fail(err, HF_E_INVALID, "active encryption key %s is not among the keys", active);
    }
    struct hf_keyring *ring = hf_alloc(sizeof(*ring));
    ring->cluster = *id;
    snprintf(ring->writer, sizeof(ring->writer), "%s", writer);
    memcpy(ring->keks, keks, n * sizeof(*keks));
    ring->kek_count = n;
    ring->active_kek = found;
    pthread_mutex_init(&ring->lock, NULL);
    ring->deks = hf_alloc_array(HF_KEYRING_MAX_DEKS, sizeof(*ring->deks));
    *ret = ring;
    return hf_done();
}

void hf_keyring_free(struct hf_keyring *ring)
{
    if (ring == NULL) {
        return;
    }
    for (size_t i = 0; i < ring->wrap_count; i++) {
        hf_free(ring->wraps[i]);
    }
    for (size_t i = 0; i < ring->secret_count; i++) {
        hf_wipe(ring->secrets[i], sizeof(*ring->secrets[i]));
        hf_free(ring->secrets[i]);
    }
    hf_wipe(ring->deks, HF_KEYRING_MAX_DEKS * sizeof(*ring->deks));
    hf_free(ring->deks);
    pthread_mutex_destroy(&ring->lock);
    hf_wipe(ring, sizeof(*ring));
    hf_free(ring);
}

const struct hf_cluster_id *hf_keyring_cluster(const struct hf_keyring *ring)
{
    return &ring->cluster;
}

const char *hf_keyring_writer(const struct hf_keyring *ring)
{
    return ring->writer;
}

const struct hf_kek *hf_keyring_find_kek(const struct hf_keyring *ring, const char *id)
{
    for (size_t i = 0; i < ring->kek_count; i++) {
        if (strcmp(ring->keks[i].id, id) == 0) {
            return &ring->keks[i];
        }
    }
    return NULL;
}

const struct hf_dek *hf_keyring_find_dek(const struct hf_keyring *ring, const uint8_t *id)
{
    for (size_t i = 0; i < ring->dek_count; i++) {
        if (memcmp(ring->deks[i].id, id, HF_DEK_ID_SIZE) == 0) {
            return &ring->deks[i];
        }
    }
    return NULL;
}

hf_result hf_keyring_add_dek(struct hf_keyring *ring, const struct hf_dek *dek, struct hf_err *err)
{
    if (hf_keyring_find_dek(ring, dek->id) != NULL) {
        return hf_done();
    }
    if (ring->dek_count == HF_KEYRING_MAX_DEKS) {
        return hf_fail(err, HF_E_LIMIT, "more than %d data keys", HF_KEYRING_MAX_DEKS);
    }
    ring->deks[ring->dek_count++] = *dek;
    return hf_done();
}

/* The ring is const for those who only read; its lock is not part of what they read. */
static void ring_lock(const struct hf_keyring *ring)
{
    pthread_mutex_lock((pthread_mutex_t *)(uintptr_t)&ring->lock);
}

static void ring_unlock(const struct hf_keyring *ring)
{
    pthread_mutex_unlock((pthread_mutex_t *)(uintptr_t)&ring->lock);
}

hf_result hf_keyring_active(const struct hf_keyring *ring, uint8_t ret_dek_id[HF_DEK_ID_SIZE],
                            const struct hf_hash_key **ret_hash_key,
                            uint8_t ret_secret_id[HF_SECRET_ID_SIZE], struct hf_err *err)
{
    ring_lock(ring);
    bool ready = ring->prepared && ring->active_dek < ring->dek_count &&
                 (ret_hash_key == NULL || ring->active_secret < ring->secret_count);
    if (ready) {
        memcpy(ret_dek_id, ring->deks[ring->active_dek].id, HF_DEK_ID_SIZE);
    }
    if (ready && ret_hash_key != NULL) {
        *ret_hash_key = &ring->secrets[ring->active_secret]->key;
        memcpy(ret_secret_id, ring->secrets[ring->active_secret]->id, HF_SECRET_ID_SIZE);
    }
    ring_unlock(ring);
    if (!ready) {
        return hf_fail(err, HF_E_REFUSED,
                       "no data key is durable in the repository yet (rule C2): nothing is sealed");
    }
    return hf_done();
}

hf_result hf_keyring_hash_key(const struct hf_keyring *ring,
                              const uint8_t secret_id[HF_SECRET_ID_SIZE],
                              const struct hf_hash_key **ret, struct hf_err *err)
{
    const struct hf_hash_key *found = NULL;
    ring_lock(ring);
    for (size_t i = 0; i < ring->secret_count; i++) {
        if (memcmp(ring->secrets[i]->id, secret_id, HF_SECRET_ID_SIZE) == 0) {
            found = &ring->secrets[i]->key;
        }
    }
    ring_unlock(ring);
    if (found == NULL) {
        char hex[HF_HEX_SIZE(HF_SECRET_ID_SIZE)];
        hf_hex_encode(secret_id, HF_SECRET_ID_SIZE, hex);
        return hf_fail(err, HF_E_DENIED, "hash secret %s is not in the ring", hex);
    }
    *ret = found;
    return hf_done();
}

hf_result hf_keyring_object_keys(const struct hf_keyring *ring,
                                 const uint8_t dek_id[HF_DEK_ID_SIZE],
                                 const uint8_t salt[HF_OBJECT_SALT_SIZE], const char *name,
                                 uint8_t ret_frame_key[32], uint8_t ret_mac_key[32],
                                 struct hf_err *err)
{
    static const char INFO[] = "holdfast object v1";
    uint8_t info[sizeof(INFO) + HF_OBJECT_NAME_SIZE];
    size_t name_len = strlen(name);
    HF_ASSERT(name_len < HF_OBJECT_NAME_SIZE);
    memcpy(info, INFO, sizeof(INFO)); /* with its NUL between label and name */
    memcpy(info + sizeof(INFO), name, name_len);
    uint8_t keys[64];
    ring_lock(ring);
    const struct hf_dek *dek = hf_keyring_find_dek(ring, dek_id);
    if (dek != NULL) {
        hf_hkdf_sha256(dek->key, sizeof(dek->key), salt, HF_OBJECT_SALT_SIZE, info,
                       sizeof(INFO) + name_len, keys, sizeof(keys));
    }
    ring_unlock(ring);
    if (dek == NULL) {
        char hex[HF_HEX_SIZE(HF_DEK_ID_SIZE)];
        hf_hex_encode(dek_id, HF_DEK_ID_SIZE, hex);
        return hf_fail(err, HF_E_DENIED,
                       "foreign key: %s is sealed under data key %s, which none of ours opens",
                       name, hex);
    }
    memcpy(ret_frame_key, keys, 32);
    memcpy(ret_mac_key, keys + 32, 32);
    hf_wipe(keys, sizeof(keys));
    return hf_done();
}

void hf_keyring_counts(const struct hf_keyring *ring, size_t *ret_open, size_t *ret_closed)
{
    ring_lock(ring);
    *ret_open = ring->dek_count;
    *ret_closed = ring->closed_count;
    ring_unlock(ring);
}

hf_result hf_kek_file_create(const char *path, struct hf_err *err)
{
    uint8_t key[HF_KEK_SIZE];
    char text[HF_HEX_SIZE(HF_KEK_SIZE) + 1];
    hf_random(key, sizeof(key));
    hf_hex_encode(key, sizeof(key), text);
    text[sizeof(text) - 2] = '\n';
    hf_result r = hf_file_create_once(path, text, sizeof(text) - 1, 0600, err);
    hf_wipe(key, sizeof(key));
    hf_wipe(text, sizeof(text));
    return r;
}
