/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys as they lie in repositories: keys/<dek>/<kek> and secret/<id>.
 */
#include "agent/repo/keys.h"

#include <stdio.h>
#include <string.h>

#include "agent/repo/keys_internal.h"
#include "agent/repo/object.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/crypto.h"
#include "common/io/fault.h"

enum { SECRET_FRAME = HF_OBJECT_FRAME_MIN };

static void wrap_name(const struct hf_wrap *wrap, char ret[HF_OBJECT_NAME_SIZE])
{
    char hex[HF_HEX_SIZE(HF_DEK_ID_SIZE)];
    hf_hex_encode(wrap->dek_id, HF_DEK_ID_SIZE, hex);
    snprintf(ret, HF_OBJECT_NAME_SIZE, "keys/%s/%s", hex, wrap->kek_id);
}

static void secret_name(const uint8_t *id, char ret[HF_OBJECT_NAME_SIZE])
{
    char hex[HF_HEX_SIZE(HF_SECRET_ID_SIZE)];
    hf_hex_encode(id, HF_SECRET_ID_SIZE, hex);
    snprintf(ret, HF_OBJECT_NAME_SIZE, "secret/%s", hex);
}

static struct hf_wrap *find_wrap(struct hf_keyring *ring, const char *name)
{
    for (size_t i = 0; i < ring->wrap_count; i++) {
        char known[HF_OBJECT_NAME_SIZE];
        wrap_name(ring->wraps[i], known);
        if (strcmp(known, name) == 0) {
            return ring->wraps[i];
        }
    }
    return NULL;
}

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

/* --- loading -------------------------------------------------------------------------------- */

struct names {
    char (*v)[HF_OBJECT_NAME_SIZE];
    size_t count;
    size_t max;
    size_t skip; /* bytes of the key before the logical name */
};

static hf_result collect(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    struct names *names = arg;
    const char *name = entry->key + names->skip;
    if (names->count == names->max) {
        return hf_fail(err, HF_E_LIMIT, "more than %zu keys in the repository", names->max);
    }
    if (strlen(name) < HF_OBJECT_NAME_SIZE) {
        snprintf(names->v[names->count++], HF_OBJECT_NAME_SIZE, "%s", name);
    }
    return hf_done();
}

static hf_result list_names(struct hf_keyring *ring, struct hf_store *store, const char *below,
                            struct names *names, struct hf_err *err)
{
    char prefix[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(&ring->cluster, below, prefix, err));
    names->skip = strlen(prefix) - strlen(below);
    names->count = 0;
    return hf_store_list(store, prefix, NULL, false, collect, names, err);
}

static hf_result add_wrap(struct hf_keyring *ring, const struct hf_wrap *wrap, struct hf_err *err)
{
    if (ring->wrap_count == HF_KEYRING_MAX_WRAPS) {
        return hf_fail(err, HF_E_LIMIT, "more than %d wrapped keys", HF_KEYRING_MAX_WRAPS);
    }
    struct hf_wrap *copy = hf_alloc(sizeof(*copy));
    *copy = *wrap;
    ring->wraps[ring->wrap_count++] = copy;
    return hf_done();
}

/* "keys/<32 hex>/<kek>"; anything else there is not ours and is passed over. */
static bool parse_wrap_name(const char *name, struct hf_wrap *ret)
{
    char hex[HF_HEX_SIZE(HF_DEK_ID_SIZE)] = "";
    char kek[HF_NAME_SIZE] = "";
    int end = 0;
    if (sscanf(name, "keys/%32[0-9a-f]/%63[a-z0-9-]%n", hex, kek, &end) != 2 || name[end] != '\0' ||
        !hf_ok(hf_hex_decode(hex, ret->dek_id, HF_DEK_ID_SIZE, NULL))) {
        return false;
    }
    memcpy(ret->kek_id, kek, sizeof(kek));
    return true;
}

static hf_result load_wrap(struct hf_keyring *ring, struct hf_store *store, const char *name,
                           bool *ret_wrong_key, struct hf_err *err)
{
    struct hf_wrap wrap = {0};
    if (!parse_wrap_name(name, &wrap)) {
        return hf_done();
    }
    const struct hf_kek *kek = hf_keyring_find_kek(ring, wrap.kek_id);
    if (kek == NULL) {
        ring->closed_count++;
    }
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(&ring->cluster, name, key, err));
    HF_BUF(bytes, HF_WRAP_MAX);
    hf_result got = hf_store_get(store, key, 0, UINT64_MAX, append, &bytes, err);
    if (got.code == HF_E_NOT_FOUND) {
        return hf_done(); /* retired since it was listed */
    }
    HF_TRY(got);
    memcpy(wrap.bytes, bytes.data, bytes.len);
    wrap.len = bytes.len;
    struct hf_dek dek = {0};
    if (kek != NULL) {
        hf_result opened = hf_wrap_open(&ring->cluster, kek, wrap.bytes, wrap.len, &dek, err);
        if (opened.code == HF_E_DENIED) {
            *ret_wrong_key = true;
            ring->closed_count++;
        } else if (!hf_ok(opened)) {
            return hf_fail_context(err, "%s in repository %s", name, hf_store_name(store));
        } else if (memcmp(dek.id, wrap.dek_id, HF_DEK_ID_SIZE) != 0) {
            return hf_fail(err, HF_E_CORRUPT, "%s in repository %s: wraps another data key", name,
                           hf_store_name(store));
        } else {
            HF_TRY(hf_keyring_add_dek(ring, &dek, err));
        }
        hf_wipe(&dek, sizeof(dek));
    }
    return add_wrap(ring, &wrap, err);
}

/* The lock is held. */
static bool knows_secret(const struct hf_keyring *ring, const uint8_t *id)
{
    for (size_t i = 0; i < ring->secret_count; i++) {
        if (memcmp(ring->secrets[i]->id, id, HF_SECRET_ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

/* Owns the secret. Another thread may have loaded the same one meanwhile. */
static hf_result take_secret(struct hf_keyring *ring, struct hf_ring_secret *secret,
                             struct hf_err *err)
{
    hf_result r = hf_done();
    pthread_mutex_lock(&ring->lock);
    bool known = knows_secret(ring, secret->id);
    bool room = ring->secret_count < HF_KEYRING_MAX_SECRETS;
    if (!known && room) {
        ring->secrets[ring->secret_count++] = secret;
    }
    pthread_mutex_unlock(&ring->lock);
    if (!known && !room) {
        r = hf_fail(err, HF_E_LIMIT, "more than %d hash secrets", HF_KEYRING_MAX_SECRETS);
    }
    if (known || !room) {
        hf_wipe(secret, sizeof(*secret));
        hf_free(secret);
    }
    return r;
}

static hf_result load_secret(struct hf_keyring *ring, struct hf_store *store, const char *name,
                             struct hf_err *err)
{
    uint8_t id[HF_SECRET_ID_SIZE];
    if (!hf_ok(hf_hex_decode(name + strlen("secret/"), id, sizeof(id), NULL))) {
        return hf_done();
    }
    pthread_mutex_lock(&ring->lock);
    bool known = knows_secret(ring, id);
    pthread_mutex_unlock(&ring->lock);
    if (known) {
        return hf_done();
    }
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(&ring->cluster, name, key, err));
    HF_BUF(sealed, HF_SEALED_SECRET_MAX);
    HF_TRY(hf_store_get(store, key, 0, UINT64_MAX, append, &sealed, err));
    HF_BUF(plain, HF_HASH_KEY_SIZE);
    struct hf_open_params params = {.kind = HF_OBJECT_SECRET, .name = name};
    hf_result opened = hf_object_open(ring, &params, sealed.data, sealed.len, &plain, err);
    if (opened.code == HF_E_DENIED) {
        return hf_done(); /* under a data key that is not ours; its writer has it */
    }
    HF_TRY(opened);
    if (plain.len != HF_HASH_KEY_SIZE) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %zu bytes, allowed are %d", name, plain.len,
                       HF_HASH_KEY_SIZE);
    }
    struct hf_ring_secret *secret = hf_alloc(sizeof(*secret));
    memcpy(secret->id, id, sizeof(id));
    memcpy(secret->key.b, plain.data, HF_HASH_KEY_SIZE);
    memcpy(secret->sealed, sealed.data, sealed.len);
    secret->sealed_len = sealed.len;
    hf_wipe(plain.data, plain.len);
    return take_secret(ring, secret, err);
}

hf_result hf_keyring_load(struct hf_keyring *ring, struct hf_store *store, struct hf_err *err)
{
    HF_AUTOFREE char(*room)[HF_OBJECT_NAME_SIZE] =
        hf_alloc_array(HF_KEYRING_MAX_WRAPS, HF_OBJECT_NAME_SIZE);
    struct names names = {.v = room, .max = HF_KEYRING_MAX_WRAPS};
    bool wrong_key = false;
    HF_TRY(list_names(ring, store, "keys/", &names, err));
    size_t seen = names.count;
    for (size_t i = 0; i < names.count; i++) {
        pthread_mutex_lock(&ring->lock);
        hf_result r = find_wrap(ring, room[i]) != NULL
                          ? hf_done()
                          : load_wrap(ring, store, room[i], &wrong_key, err);
        pthread_mutex_unlock(&ring->lock);
        HF_TRY(r);
    }
    if (seen > 0 && ring->dek_count == 0) {
        return hf_fail(err, HF_E_DENIED,
                       "repository %s has %zu wrapped keys and none opens: %s (active key %s)",
                       hf_store_name(store), seen,
                       wrong_key ? "wrong key" : "they are under keys that this host does not have",
                       ring->keks[ring->active_kek].id);
    }
    HF_TRY(list_names(ring, store, "secret/", &names, err));
    for (size_t i = 0; i < names.count; i++) {
        HF_TRY(load_secret(ring, store, room[i], err));
    }
    return hf_done();
}

/* --- preparing ------------------------------------------------------------------------------ */

/* The lock is held. */
static hf_result choose_dek(struct hf_keyring *ring, struct hf_err *err)
{
    size_t best = ring->dek_count;
    for (size_t i = 0; i < ring->dek_count; i++) {
        if (strcmp(ring->deks[i].writer, ring->writer) == 0 &&
            (best == ring->dek_count || ring->deks[i].created.us > ring->deks[best].created.us)) {
            best = i;
        }
    }
    if (best == ring->dek_count) {
        struct hf_dek dek = {.created = hf_clock_wall()};
        struct hf_wrap wrap = {0};
        hf_random(dek.id, sizeof(dek.id));
        hf_random(dek.key, sizeof(dek.key));
        memcpy(dek.writer, ring->writer, sizeof(dek.writer));
        HF_TRY(hf_wrap_make(&ring->cluster, &ring->keks[ring->active_kek], &dek, &wrap, err));
        HF_TRY(add_wrap(ring, &wrap, err));
        HF_TRY(hf_keyring_add_dek(ring, &dek, err));
        hf_wipe(&dek, sizeof(dek));
    }
    ring->active_dek = best;
    ring->prepared = true;
    return hf_done();
}

/* The smallest id, so that writers that know the same secrets choose the same one. */
static hf_result choose_secret(struct hf_keyring *ring, struct hf_err *err)
{
    if (ring->secret_count == 0) {
        struct hf_ring_secret *secret = hf_alloc(sizeof(*secret));
        char name[HF_OBJECT_NAME_SIZE];
        hf_random(secret->id, sizeof(secret->id));
        hf_random(secret->key.b, sizeof(secret->key.b));
        secret_name(secret->id, name);
        HF_BUF(sealed, HF_SEALED_SECRET_MAX);
        struct hf_seal_params params = {
            .kind = HF_OBJECT_SECRET, .name = name, .frame_size = SECRET_FRAME, .zstd_level = -1};
        hf_result r =
            hf_object_seal(ring, &params, secret->key.b, sizeof(secret->key.b), &sealed, err);
        if (!hf_ok(r)) {
            hf_free(secret);
            return r;
        }
        memcpy(secret->sealed, sealed.data, sealed.len);
        secret->sealed_len = sealed.len;
        pthread_mutex_lock(&ring->lock);
        ring->secrets[ring->secret_count++] = secret;
        pthread_mutex_unlock(&ring->lock);
    }
    pthread_mutex_lock(&ring->lock);
    size_t best = 0;
    for (size_t i = 1; i < ring->secret_count; i++) {
        if (memcmp(ring->secrets[i]->id, ring->secrets[best]->id, HF_SECRET_ID_SIZE) < 0) {
            best = i;
        }
    }
    ring->active_secret = best;
    pthread_mutex_unlock(&ring->lock);
    return hf_done();
}

static hf_result put_once(struct hf_keyring *ring, struct hf_store *store, const char *name,
                          const uint8_t *bytes, size_t len, struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(&ring->cluster, name, key, err));
    struct hf_store_put_options once = {.create_once = true};
    hf_result r = hf_store_put(store, key, bytes, len, once, err);
    if (r.code == HF_E_EXISTS) {
        return hf_done(); /* ids are random: only the same bytes can be there */
    }
    if (r.code == HF_E_UNSUPPORTED) {
        return hf_store_put(store, key, bytes, len, (struct hf_store_put_options){0}, err);
    }
    return r;
}

static bool listed(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->v[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Everything that opens objects goes to every store: keys are replicated before data (C2). */
static hf_result copy_keys(struct hf_keyring *ring, struct hf_store *store, struct hf_err *err)
{
    HF_AUTOFREE char(*room)[HF_OBJECT_NAME_SIZE] =
        hf_alloc_array(HF_KEYRING_MAX_WRAPS, HF_OBJECT_NAME_SIZE);
    struct names names = {.v = room, .max = HF_KEYRING_MAX_WRAPS};
    char name[HF_OBJECT_NAME_SIZE];
    pthread_mutex_lock(&ring->lock); /* entries never move: their numbers are enough */
    size_t wraps = ring->wrap_count;
    size_t secrets = ring->secret_count;
    pthread_mutex_unlock(&ring->lock);
    HF_TRY(list_names(ring, store, "keys/", &names, err));
    for (size_t i = 0; i < wraps; i++) {
        wrap_name(ring->wraps[i], name);
        if (!listed(&names, name)) {
            HF_TRY(put_once(ring, store, name, ring->wraps[i]->bytes, ring->wraps[i]->len, err));
        }
    }
    HF_TRY(list_names(ring, store, "secret/", &names, err));
    for (size_t i = 0; i < secrets; i++) {
        secret_name(ring->secrets[i]->id, name);
        if (!listed(&names, name)) {
            HF_TRY(put_once(ring, store, name, ring->secrets[i]->sealed,
                            ring->secrets[i]->sealed_len, err));
        }
    }
    return hf_done();
}

hf_result hf_keyring_prepare(struct hf_keyring *ring, struct hf_store *store, struct hf_err *err)
{
    HF_FAULT("keys.prepare", err);
    pthread_mutex_lock(&ring->lock);
    hf_result r = ring->prepared ? hf_done() : choose_dek(ring, err);
    pthread_mutex_unlock(&ring->lock);
    HF_TRY(r);
    HF_TRY(choose_secret(ring, err));
    return copy_keys(ring, store, err);
}
