/* SPDX-License-Identifier: Apache-2.0
 *
 * Archiving one file of pg_wal: read once, checked, compressed and encrypted once, then put into
 * repositories (rules W2, W7). Blocking; worker threads and the command line.
 * Invariant: what is reported as durable in a region is there with this content; other content
 * under the same name is kept apart under conflict/ and refused.
 */
#ifndef HF_AGENT_WAL_PUSH_H
#define HF_AGENT_WAL_PUSH_H

#include "agent/repo/site.h"
#include "common/base/buf.h"
#include "common/core/walname.h"

struct hf_wal_file {
    struct hf_wal_name name;
    uint32_t segment_size;
    hf_epoch epoch;
    hf_hash128 content;
    struct hf_buf plain;
    struct hf_buf sealed;
};

/* Reads `path` as the archive file `text`, checks it, seals it under the site's ring. segment_size
 * 0: the file's own size. HF_E_CORRUPT: the content is not what the name says. The caller frees. */
hf_result hf_wal_file_seal(const struct hf_site *site, const char *text, const char *path,
                           uint32_t segment_size, hf_epoch epoch, struct hf_wal_file *ret,
                           struct hf_err *err) HF_MUST_USE;
void hf_wal_file_free(struct hf_wal_file *f);

/* Into one repository. HF_E_CONFLICT: other content is there; this one was kept apart (unless that
 * failed too: the text says so). */
hf_result hf_wal_file_put(struct hf_repository *r, const struct hf_wal_file *f,
                          struct hf_err *err) HF_MUST_USE;

#endif
