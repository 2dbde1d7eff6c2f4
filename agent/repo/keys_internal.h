/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a keyring, shared by keys.c (the ring), key_wrap.c (the format of a wrap) and
 * key_store.c (what lies in the repositories). Nothing else includes it.
 */
#ifndef HF_AGENT_REPO_KEYS_INTERNAL_H
#define HF_AGENT_REPO_KEYS_INTERNAL_H

#include <pthread.h>

#include "agent/repo/keys.h"

enum {
    HF_KEK_FINGERPRINT_SIZE = 16,
    HF_WRAP_MAX = 512,           /* bytes of a wrap object */
    HF_KEYRING_MAX_WRAPS = 2048, /* every DEK under a few KEKs */
    HF_SEALED_SECRET_MAX = 4096
};

/* One DEK under one KEK, as bytes of the store. */
struct hf_wrap {
    uint8_t dek_id[HF_DEK_ID_SIZE];
    char kek_id[HF_NAME_SIZE];
    uint8_t bytes[HF_WRAP_MAX];
    size_t len;
};

struct hf_dek {
    uint8_t id[HF_DEK_ID_SIZE];
    uint8_t key[32];
    char writer[HF_NAME_SIZE];
    hf_wall created;
};

struct hf_ring_secret {
    uint8_t id[HF_SECRET_ID_SIZE];
    struct hf_hash_key key;
    uint8_t sealed[HF_SEALED_SECRET_MAX];
    size_t sealed_len;
};

struct hf_keyring {
    struct hf_cluster_id cluster;
    char writer[HF_NAME_SIZE];
    struct hf_kek keks[HF_KEYRING_MAX_KEKS];
    size_t kek_count;
    size_t active_kek;

    pthread_mutex_t lock; /* protects all below; entries, once there, never move or change */
    struct hf_dek *deks;  /* [HF_KEYRING_MAX_DEKS] */
    size_t dek_count;
    struct hf_wrap *wraps[HF_KEYRING_MAX_WRAPS];
    size_t wrap_count;
    size_t closed_count; /* wraps under KEKs that are not ours */
    struct hf_ring_secret *secrets[HF_KEYRING_MAX_SECRETS];
    size_t secret_count;
    bool prepared;
    size_t active_dek;
    size_t active_secret;
};

/* key_wrap.c */
struct hf_wrap_info {
    struct hf_dek dek; /* key only after opening */
    char kek_id[HF_NAME_SIZE];
};
/* Wraps the DEK under the KEK into ret->bytes. */
hf_result hf_wrap_make(const struct hf_cluster_id *cluster, const struct hf_kek *kek,
                       const struct hf_dek *dek, struct hf_wrap *ret,
                       struct hf_err *err) HF_MUST_USE;
/* HF_E_DENIED: the fingerprint is of another KEK of that name; HF_E_CORRUPT: anything else. */
hf_result hf_wrap_open(const struct hf_cluster_id *cluster, const struct hf_kek *kek,
                       const uint8_t *bytes, size_t len, struct hf_dek *ret,
                       struct hf_err *err) HF_MUST_USE;

/* keys.c; the caller holds the lock. */
const struct hf_dek *hf_keyring_find_dek(const struct hf_keyring *ring, const uint8_t *id);
hf_result hf_keyring_add_dek(struct hf_keyring *ring, const struct hf_dek *dek,
                             struct hf_err *err) HF_MUST_USE;
const struct hf_kek *hf_keyring_find_kek(const struct hf_keyring *ring, const char *id);

#endif
