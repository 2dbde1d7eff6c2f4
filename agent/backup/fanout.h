/* SPDX-License-Identifier: Apache-2.0
 *
 * One stream of ciphertext to several repositories at once, so that each source byte is read,
 * compressed and sealed once. The first repository is the own region's: it must succeed. Another
 * one that fails, or holds the backup up for long, is left behind; the replication queue copies
 * the ciphertext there later (rule W9).
 *
 * Invariant: what a call reported as done is durable in the first repository. Any thread; a stream
 * belongs to one thread at a time.
 */
#ifndef HF_AGENT_BACKUP_FANOUT_H
#define HF_AGENT_BACKUP_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/repo/repository.h"
#include "common/base/err.h"

struct hf_fanout;
/* Borrows the repositories (1..HF_MAX_REGIONS). */
struct hf_fanout *hf_fanout_new(struct hf_repository *const *repositories, size_t n);
void hf_fanout_free(struct hf_fanout *f); /* NULL allowed */
size_t hf_fanout_count(const struct hf_fanout *f);
/* False: left behind, and why. */
bool hf_fanout_alive(struct hf_fanout *f, size_t i, struct hf_err *ret_why);
/* Leaves a repository behind (not the first). */
void hf_fanout_drop(struct hf_fanout *f, size_t i, const struct hf_err *why);

/* A whole object, create-once. */
hf_result hf_fanout_put(struct hf_fanout *f, const char *name, const void *bytes, size_t len,
                        struct hf_err *err) HF_MUST_USE;

struct hf_fanout_stream;
hf_result hf_fanout_open(struct hf_fanout *f, const char *name, struct hf_fanout_stream **ret,
                         struct hf_err *err) HF_MUST_USE;
/* Usable as a sealer's sink (arg is the stream). */
hf_result hf_fanout_write(void *stream, const void *bytes, size_t len,
                          struct hf_err *err) HF_MUST_USE;
/* Frees the stream whatever the result. */
hf_result hf_fanout_commit(struct hf_fanout_stream *s, struct hf_err *err) HF_MUST_USE;
void hf_fanout_abort(struct hf_fanout_stream *s); /* NULL allowed */

#endif
