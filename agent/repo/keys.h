/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of one cluster's repositories: key-encryption keys (KEK) come from this host's
 * configuration; data-encryption keys (DEK), one per writer, lie in the repositories, wrapped, as
 * create-once objects keys/<dek>/<kek> (rule C2); the secret of the page and WAL hashes lies there
 * too, sealed under a DEK (rule C4).
 *
 * Invariants: a DEK or secret never leaves this module except into a cipher or hash; a wrap that
 * does not authenticate for this tenant, cluster and system identifier is refused; a key is
 * durable in every repository that data goes to before the first byte sealed under it.
 * Any thread: the ring locks itself.
 */
#ifndef HF_AGENT_REPO_KEYS_H
#define HF_AGENT_REPO_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/object_header.h"
#include "common/base/err.h"
#include "common/io/hash.h"
#include "common/io/store.h"
#include "holdfast/types.h"

enum {
    HF_KEYRING_MAX_KEKS = 16,
    HF_KEYRING_MAX_DEKS = 1024,
    HF_KEYRING_MAX_SECRETS = 16,
    HF_KEK_SIZE = 32
};

/* Which incarnation of which cluster. system_id 0 is not allowed. */
struct hf_cluster_id {
    char tenant[HF_NAME_SIZE];
    char cluster[HF_NAME_SIZE];
    uint64_t system_id;
};

/* A key-encryption key as this host's configuration names and gives it. */
struct hf_kek {
    char id[HF_NAME_SIZE]; /* name in the repository, [a-z0-9-] */
    uint8_t key[HF_KEK_SIZE];
};

struct hf_keyring;

/* Copies the keys; the one named by active wraps new DEKs. HF_E_INVALID: a bad name, active is not
 * among them, system identifier 0. */
hf_result hf_keyring_new(const struct hf_cluster_id *id, const char *writer,
                         const struct hf_kek *keks, size_t n, const char *active,
                         struct hf_keyring **ret, struct hf_err *err) HF_MUST_USE;
void hf_keyring_free(struct hf_keyring *ring); /* NULL allowed; wipes */
const struct hf_cluster_id *hf_keyring_cluster(const struct hf_keyring *ring);
const char *hf_keyring_writer(const struct hf_keyring *ring);

/* Reads every wrap and secret of this cluster in the store that is not known yet. Wraps under
 * unknown KEKs are passed over and counted; a wrap that names one of our KEKs and does not open
 * is HF_E_CORRUPT. HF_E_DENIED when there are wraps and none opens: the KEK is not theirs. */
hf_result hf_keyring_load(struct hf_keyring *ring, struct hf_store *store,
                          struct hf_err *err) HF_MUST_USE;

/* Makes sure that this writer has a DEK and the cluster a hash secret: the newest one of this
 * writer, else a new one; and that both are in the store (create-once, the same bytes in every
 * store). Call for each store before the first object goes there. */
hf_result hf_keyring_prepare(struct hf_keyring *ring, struct hf_store *store,
                             struct hf_err *err) HF_MUST_USE;

/* For sealing: the prepared DEK's id, and the hash key with its id. HF_E_REFUSED before
 * hf_keyring_prepare. The hash key stays valid as long as the ring. */
hf_result hf_keyring_active(const struct hf_keyring *ring, uint8_t ret_dek_id[HF_DEK_ID_SIZE],
                            const struct hf_hash_key **ret_hash_key,
                            uint8_t ret_secret_id[HF_SECRET_ID_SIZE],
                            struct hf_err *err) HF_MUST_USE;
/* The hash key of an id. HF_E_DENIED: not in the ring. */
hf_result hf_keyring_hash_key(const struct hf_keyring *ring,
                              const uint8_t secret_id[HF_SECRET_ID_SIZE],
                              const struct hf_hash_key **ret, struct hf_err *err) HF_MUST_USE;

/* Keys of one object: for its frames and for its header's code (rule C1). HF_E_DENIED when the DEK
 * is not in the ring: the object was written under a foreign key, or one that is newer than the
 * last load. Never HF_E_NOT_FOUND: an object that is there must not look absent (rule W3). */
hf_result hf_keyring_object_keys(const struct hf_keyring *ring,
                                 const uint8_t dek_id[HF_DEK_ID_SIZE],
                                 const uint8_t salt[HF_OBJECT_SALT_SIZE], const char *name,
                                 uint8_t ret_frame_key[32], uint8_t ret_mac_key[32],
                                 struct hf_err *err) HF_MUST_USE;

/* How many DEKs are open, and how many wraps no KEK of ours opens. */
void hf_keyring_counts(const struct hf_keyring *ring, size_t *ret_open, size_t *ret_closed);

/* Writes a new random KEK file (0600, create-once). HF_E_EXISTS. */
hf_result hf_kek_file_create(const char *path, struct hf_err *err) HF_MUST_USE;

#endif
