/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole objects in memory, and their keys in the store.
 */
#include "agent/repo/object.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/mem.h"

hf_result hf_object_key(const struct hf_cluster_id *id, const char *name,
                        char ret[HF_STORE_KEY_SIZE], struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    int n = snprintf(key, sizeof(key), "%s/%s/%" PRIu64 "/%s", id->tenant, id->cluster,
                     id->system_id, name);
    if (n < 0 || (size_t)n >= sizeof(key)) {
        return hf_fail(err, HF_E_LIMIT, "object name %.64s...: key of %d bytes, allowed are %d",
                       name, n, HF_STORE_KEY_SIZE - 1);
    }
    snprintf(ret, HF_STORE_KEY_SIZE, "%s", key);
    return hf_done();
}

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

static void sealer_cleanup(struct hf_sealer **s)
{
    hf_sealer_free(*s);
}

static void opener_cleanup(struct hf_opener **o)
{
    hf_opener_free(*o);
}

hf_result hf_object_seal_digest(const struct hf_keyring *ring, const struct hf_seal_params *params,
                                const void *bytes, size_t len, struct hf_buf *out,
                                uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE], struct hf_err *err)
{
    __attribute__((cleanup(sealer_cleanup))) struct hf_sealer *s = NULL;
    HF_TRY(hf_sealer_new(ring, params, append, out, &s, err));
    HF_TRY(hf_sealer_write(s, bytes, len, err));
    HF_TRY(hf_sealer_finish(s, err));
    hf_sealer_digest(s, ret_digest);
    return hf_done();
}

hf_result hf_object_seal(const struct hf_keyring *ring, const struct hf_seal_params *params,
                         const void *bytes, size_t len, struct hf_buf *out, struct hf_err *err)
{
    uint8_t digest[HF_OBJECT_DIGEST_SIZE];
    return hf_object_seal_digest(ring, params, bytes, len, out, digest, err);
}

hf_result hf_object_open(const struct hf_keyring *ring, const struct hf_open_params *params,
                         const void *sealed, size_t len, struct hf_buf *out, struct hf_err *err)
{
    __attribute__((cleanup(opener_cleanup))) struct hf_opener *o = NULL;
    HF_TRY(hf_opener_new(ring, params, append, out, &o, err));
    HF_TRY(hf_opener_feed(o, sealed, len, err));
    return hf_opener_finish(o, err);
}

hf_result hf_object_put(const struct hf_keyring *ring, struct hf_store *store,
                        const struct hf_seal_params *params, const void *bytes, size_t len,
                        struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    uint32_t frame = params->frame_size == 0 ? HF_FRAME_SIZE_DEFAULT : params->frame_size;
    HF_BUF(sealed,
           HF_OBJECT_HEADER_MAX + HF_OBJECT_MAC_SIZE + len + (len / frame + 1) * HF_FRAME_OVERHEAD);
    HF_TRY(hf_object_key(hf_keyring_cluster(ring), params->name, key, err));
    HF_TRY(hf_object_seal(ring, params, bytes, len, &sealed, err));
    struct hf_store_put_options once = {.create_once = true};
    return hf_store_put(store, key, sealed.data, sealed.len, once, err);
}

hf_result hf_object_get(const struct hf_keyring *ring, struct hf_store *store,
                        const struct hf_open_params *params, struct hf_buf *out,
                        uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE], struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    HF_TRY(hf_object_key(hf_keyring_cluster(ring), params->name, key, err));
    __attribute__((cleanup(opener_cleanup))) struct hf_opener *o = NULL;
    HF_TRY(hf_opener_new(ring, params, append, out, &o, err));
    HF_TRY(hf_store_get(store, key, 0, UINT64_MAX, hf_opener_feed, o, err));
    HF_TRY(hf_opener_finish(o, err));
    if (ret_digest != NULL) {
        hf_opener_digest(o, ret_digest);
    }
    return hf_done();
}
