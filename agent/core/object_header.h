/* SPDX-License-Identifier: Apache-2.0
 *
 * The header that opens every encrypted object of a repository (docs/repository-format.md): who
 * wrote what, for which cluster, under which key. Pure codec, no cryptography.
 *
 * Invariant: one header has exactly one encoding; decoding refuses every other one (unknown
 * version, kind or flag, wrong length, bytes left over), so that the digest of the encoded header
 * stands for its meaning.
 */
#ifndef HF_AGENT_CORE_OBJECT_HEADER_H
#define HF_AGENT_CORE_OBJECT_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum {
    HF_OBJECT_VERSION = 1,
    HF_OBJECT_NAME_SIZE = 256,    /* logical name, with the NUL */
    HF_OBJECT_HEADER_FIXED = 160, /* bytes before the texts */
    HF_OBJECT_HEADER_MAX = 160 + 4 * 2 + 3 * HF_NAME_SIZE + HF_OBJECT_NAME_SIZE,
    HF_OBJECT_MAC_SIZE = 16,    /* follows the header */
    HF_OBJECT_FRAME_MIN = 4096, /* bounds of frame_size */
    HF_OBJECT_FRAME_MAX = 1 << 20,
    HF_DEK_ID_SIZE = 16,
    HF_SECRET_ID_SIZE = 16,
    HF_OBJECT_SALT_SIZE = 32
};

/* What an object is. Numbers are part of the format; never reuse one. */
enum hf_object_kind {
    HF_OBJECT_PACK = 1,     /* frames of file content, the last one is the frame table */
    HF_OBJECT_MAP = 2,      /* a shard of the file map */
    HF_OBJECT_MANIFEST = 3, /* root of a backup, published last (B5) */
    HF_OBJECT_BEGIN = 4,    /* a backup has begun (B4) */
    HF_OBJECT_EXPIRING = 5, /* a backup is being deleted (B4) */
    HF_OBJECT_WAL = 6,      /* a whole WAL segment */
    HF_OBJECT_HISTORY = 7,  /* a timeline history file */
    HF_OBJECT_TAIL = 8,     /* part of a segment (W6) */
    HF_OBJECT_LABEL = 9,    /* a .backup file of the archive, or a .partial segment */
    HF_OBJECT_RECORD = 10,  /* identity, epoch and timeline records: JSON */
    HF_OBJECT_SECRET = 11,  /* the cluster's hash secret (C4) */
    HF_OBJECT_STATE = 12,   /* exported tenant state */
    HF_OBJECT_KIND_LAST = HF_OBJECT_STATE
};

enum {
    HF_OBJECT_HAS_CONTENT = 1 << 0 /* content_hash, secret_id and plain_len are set */
};

struct hf_object_header {
    enum hf_object_kind kind;
    uint32_t flags;
    uint32_t frame_size; /* most plaintext bytes of a frame */
    uint64_t system_id;
    hf_epoch epoch; /* the writer's (W1) */
    uint8_t dek_id[HF_DEK_ID_SIZE];
    uint8_t salt[HF_OBJECT_SALT_SIZE];
    uint8_t content_hash[16];             /* keyed XXH3-128 of the whole plaintext (W2) */
    uint8_t secret_id[HF_SECRET_ID_SIZE]; /* of the hash's key */
    uint64_t plain_len;
    char tenant[HF_NAME_SIZE];
    char cluster[HF_NAME_SIZE];
    char writer[HF_NAME_SIZE]; /* agent's name */
    char
        name[HF_OBJECT_NAME_SIZE]; /* logical name: the key below <tenant>/<cluster>/<system id>/ */
};

/* Stable name of a kind ("pack"), for messages. Never NULL. */
const char *hf_object_kind_name(enum hf_object_kind kind);

/* Writes the one encoding; room >= HF_OBJECT_HEADER_MAX always suffices. HF_E_INVALID when a field
 * is out of its bounds. */
hf_result hf_object_header_encode(const struct hf_object_header *h, uint8_t *out, size_t room,
                                  size_t *ret_len, struct hf_err *err) HF_MUST_USE;

/* Length of the header that begins with these bytes (at least 16). HF_E_CORRUPT: no object of ours,
 * a version that this program does not know, or an impossible length. */
hf_result hf_object_header_peek(const uint8_t *bytes, size_t len, size_t *ret_header_len,
                                struct hf_err *err) HF_MUST_USE;

/* Exactly len bytes. HF_E_CORRUPT with what is wrong. */
hf_result hf_object_header_decode(const uint8_t *bytes, size_t len, struct hf_object_header *ret,
                                  struct hf_err *err) HF_MUST_USE;

#endif
