/* SPDX-License-Identifier: Apache-2.0
 *
 * Encrypted objects: sealing a stream of plaintext into header and frames, and opening it again
 * (docs/repository-format.md, rule C1). Frames are compressed one by one (kept raw when that saves
 * less than 3 %), then sealed with AES-256-GCM; the nonce is the frame's number and whether it is
 * the last one, the associated data is the header's digest and the frame's prefix.
 *
 * Invariants: plaintext that was given out is authentic, in its place, of the object that was
 * asked for; an object that ends before its last frame, or goes on after it, is refused. The salt
 * is new for each sealing: to retry, send the same ciphertext again.
 * One thread at a time for each sealer or opener.
 */
#ifndef HF_AGENT_REPO_OBJECT_H
#define HF_AGENT_REPO_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/object_header.h"
#include "agent/repo/keys.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/hash.h"
#include "common/io/store.h"
#include "holdfast/types.h"

enum {
    HF_FRAME_SIZE_DEFAULT = 128 << 10,
    HF_FRAME_PREFIX_SIZE = 8,
    HF_FRAME_OVERHEAD = HF_FRAME_PREFIX_SIZE + 16, /* prefix and tag */
    HF_OBJECT_DIGEST_SIZE = 32
};

/* Receives ciphertext (sealing) or plaintext (opening), in order: the same shape as a store's. */
typedef hf_store_sink hf_object_sink;

struct hf_seal_params {
    enum hf_object_kind kind;
    const char *name;    /* logical name, e.g. "wal/00000001/000000010000000000000003" */
    hf_epoch epoch;      /* the writer's */
    uint32_t frame_size; /* 0 = HF_FRAME_SIZE_DEFAULT */
    int zstd_level;      /* 0 = default level, -1 = never compress */
    /* Set for WAL and history objects (W2): of the whole plaintext, with the ring's hash key. */
    bool has_content;
    hf_hash128 content_hash;
    uint64_t plain_len;
};

/* Where a frame lies in its object. */
struct hf_frame_ref {
    uint32_t index;
    uint64_t offset;     /* of its prefix */
    uint32_t stored_len; /* prefix, ciphertext and tag */
    uint32_t plain_len;
};

struct hf_sealer;
/* Gives the header to the sink at once. The ring must be prepared (hf_keyring_prepare) and outlive
 * the sealer. */
hf_result hf_sealer_new(const struct hf_keyring *ring, const struct hf_seal_params *params,
                        hf_object_sink sink, void *arg, struct hf_sealer **ret,
                        struct hf_err *err) HF_MUST_USE;
/* Any amount; cut into frames of frame_size. */
hf_result hf_sealer_write(struct hf_sealer *s, const void *bytes, size_t len,
                          struct hf_err *err) HF_MUST_USE;
/* Exactly one frame of at most frame_size, after what was written before is flushed. */
hf_result hf_sealer_frame(struct hf_sealer *s, const void *bytes, size_t len,
                          struct hf_frame_ref *ret, struct hf_err *err) HF_MUST_USE;
/* Writes the last frame (what is left, maybe nothing). Nothing may follow. */
hf_result hf_sealer_finish(struct hf_sealer *s, struct hf_err *err) HF_MUST_USE;
void hf_sealer_free(struct hf_sealer *s); /* NULL allowed */
/* Of the header: names exactly this sealing of this object. */
void hf_sealer_digest(const struct hf_sealer *s, uint8_t ret[HF_OBJECT_DIGEST_SIZE]);
uint64_t hf_sealer_offset(const struct hf_sealer *s); /* ciphertext bytes so far */

/* What the object must be; anything else is HF_E_CORRUPT with the name of the difference. */
struct hf_open_params {
    enum hf_object_kind kind;
    const char *name;
    const uint8_t *digest; /* of the header, HF_OBJECT_DIGEST_SIZE bytes; NULL = any */
};

struct hf_opener;
/* The ring must outlive the opener. */
hf_result hf_opener_new(const struct hf_keyring *ring, const struct hf_open_params *params,
                        hf_object_sink sink, void *arg, struct hf_opener **ret,
                        struct hf_err *err) HF_MUST_USE;
/* Ciphertext in order, any pieces; gives plaintext to the sink frame by frame. Usable as a store's
 * sink (arg is the opener). */
hf_result hf_opener_feed(void *opener, const void *bytes, size_t len,
                         struct hf_err *err) HF_MUST_USE;
/* HF_E_CORRUPT when the last frame has not been seen: the object is cut short. */
hf_result hf_opener_finish(struct hf_opener *o, struct hf_err *err) HF_MUST_USE;
void hf_opener_free(struct hf_opener *o); /* NULL allowed */
/* NULL until the header has been seen and authenticated. */
const struct hf_object_header *hf_opener_header(const struct hf_opener *o);
void hf_opener_digest(const struct hf_opener *o, uint8_t ret[HF_OBJECT_DIGEST_SIZE]);

/* Frames of one object at random (packs). Made from the object's header bytes. */
struct hf_frame_reader;
/* Reads and authenticates the header of the object `name` in the store (key = base/name). */
hf_result hf_frame_reader_new(const struct hf_keyring *ring, struct hf_store *store,
                              const struct hf_open_params *params, struct hf_frame_reader **ret,
                              struct hf_err *err) HF_MUST_USE;
/* Opens one frame of ref->stored_len bytes into out (room ref->plain_len). final is false for all
 * but the last frame of the object. */
hf_result hf_frame_reader_open(struct hf_frame_reader *r, const struct hf_frame_ref *ref,
                               bool final, const uint8_t *stored, uint8_t *out,
                               struct hf_err *err) HF_MUST_USE;
void hf_frame_reader_free(struct hf_frame_reader *r); /* NULL allowed */

/* Whole objects in memory. name is logical; the store's key is <tenant>/<cluster>/<system id>/name
 * of the ring's cluster. */
hf_result hf_object_key(const struct hf_cluster_id *id, const char *name,
                        char ret[HF_STORE_KEY_SIZE], struct hf_err *err) HF_MUST_USE;
/* Seals into a buffer (declare its maximum): what is then stored, queued or copied. */
hf_result hf_object_seal(const struct hf_keyring *ring, const struct hf_seal_params *params,
                         const void *bytes, size_t len, struct hf_buf *out,
                         struct hf_err *err) HF_MUST_USE;
/* The same, and the digest that names this sealing. */
hf_result hf_object_seal_digest(const struct hf_keyring *ring, const struct hf_seal_params *params,
                                const void *bytes, size_t len, struct hf_buf *out,
                                uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE],
                                struct hf_err *err) HF_MUST_USE;
/* Opens ciphertext from memory. */
hf_result hf_object_open(const struct hf_keyring *ring, const struct hf_open_params *params,
                         const void *sealed, size_t len, struct hf_buf *out,
                         struct hf_err *err) HF_MUST_USE;
/* Seals and stores create-once. HF_E_EXISTS when the name is taken. */
hf_result hf_object_put(const struct hf_keyring *ring, struct hf_store *store,
                        const struct hf_seal_params *params, const void *bytes, size_t len,
                        struct hf_err *err) HF_MUST_USE;
/* Reads and opens a whole object. HF_E_NOT_FOUND, HF_E_CORRUPT, HF_E_LIMIT (over out->max).
 * ret_digest may be NULL. */
hf_result hf_object_get(const struct hf_keyring *ring, struct hf_store *store,
                        const struct hf_open_params *params, struct hf_buf *out,
                        uint8_t ret_digest[HF_OBJECT_DIGEST_SIZE], struct hf_err *err) HF_MUST_USE;
/* Reads and authenticates the header alone (W2: compare content_hash; the header carries a code of
 * its own). kind 0 = any. */
hf_result hf_object_head(const struct hf_keyring *ring, struct hf_store *store,
                         const struct hf_open_params *params, struct hf_object_header *ret,
                         struct hf_err *err) HF_MUST_USE;

#endif
