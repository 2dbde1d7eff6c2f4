/* SPDX-License-Identifier: Apache-2.0
 *
 * WAL segments and history files as objects (rule W2): one name, create-once; the authenticated
 * header holds a keyed hash of the plaintext.
 * Invariant: same name and same content is success, same name and other content is HF_E_CONFLICT
 * and nothing is overwritten. Any thread.
 */
#ifndef HF_AGENT_REPO_WAL_OBJECT_H
#define HF_AGENT_REPO_WAL_OBJECT_H

#include "agent/repo/repository.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/core/walname.h"

enum { HF_WAL_OBJECT_MAX = 1 << 30 };

/* --- whole files of any name whose header carries the hash of the content --- */

struct hf_content_name {
    enum hf_object_kind kind;
    char logical[HF_OBJECT_NAME_SIZE];
};
/* As hf_wal_object_seal, _put and _read below, which give the archive's names to them. */
hf_result hf_content_seal(const struct hf_keyring *ring, const struct hf_content_name *name,
                          hf_epoch epoch, int zstd_level, const void *bytes, size_t len,
                          struct hf_buf *out, hf_hash128 *ret_content,
                          struct hf_err *err) HF_MUST_USE;
hf_result hf_content_put(struct hf_repository *r, const struct hf_content_name *name,
                         const struct hf_buf *sealed, const void *plain, size_t plain_len,
                         struct hf_err *err) HF_MUST_USE;
hf_result hf_content_get(struct hf_repository *r, const struct hf_content_name *name,
                         struct hf_buf *out, struct hf_err *err) HF_MUST_USE;

/* --- the archive --- */

/* Seals a file of the archive (at most HF_WAL_OBJECT_MAX bytes in memory) into out: what is stored
 * in every repository, queued, or copied. */
hf_result hf_wal_object_seal(const struct hf_keyring *ring, const struct hf_wal_name *name,
                             uint32_t segment_size, hf_epoch epoch, int zstd_level,
                             const void *bytes, size_t len, struct hf_buf *out,
                             hf_hash128 *ret_content, struct hf_err *err) HF_MUST_USE;

/* Puts sealed bytes; when the name is taken, compares contents by the stored header. HF_E_CONFLICT:
 * other content is there. */
hf_result hf_wal_object_put(struct hf_repository *r, const struct hf_wal_name *name,
                            uint32_t segment_size, const struct hf_buf *sealed, const void *plain,
                            size_t plain_len, struct hf_err *err) HF_MUST_USE;

/* Reads and opens one into out. HF_E_NOT_FOUND, HF_E_CORRUPT. ret may be NULL: its header. */
hf_result hf_wal_object_get(struct hf_repository *r, const struct hf_wal_name *name,
                            uint32_t segment_size, struct hf_buf *out, struct hf_object_header *ret,
                            struct hf_err *err) HF_MUST_USE;

/* The same where the segment size is not known: name was parsed with parsed_with, the content is
 * as long as it was when it was archived. Nothing is checked but that it is authentic. */
hf_result hf_wal_object_read(struct hf_repository *r, const struct hf_wal_name *name,
                             uint32_t parsed_with, struct hf_buf *out,
                             struct hf_err *err) HF_MUST_USE;

#endif
