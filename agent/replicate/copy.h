/* SPDX-License-Identifier: Apache-2.0
 *
 * Ciphertext from repository to repository, as it is (rule W9): nothing is read from PostgreSQL
 * again, nothing is sealed again. Blocking; worker threads.
 * Invariants: an object appears at the destination whole, create-once, and with the source's size;
 * a name that is taken there by other content is HF_E_CONFLICT and stays as it is.
 */
#ifndef HF_AGENT_REPLICATE_COPY_H
#define HF_AGENT_REPLICATE_COPY_H

#include <stdatomic.h>

#include "agent/repo/repository.h"

/* key: the store's, below its prefix. HF_OK also when the same object is there already (*ret_bytes
 * 0): the same bytes, or for WAL and records, which may have been sealed once a region, the same
 * content. HF_E_NOT_FOUND: the source does not have it. */
hf_result hf_replicate_object(struct hf_repository *from, struct hf_repository *to, const char *key,
                              uint64_t *ret_bytes, struct hf_err *err) HF_MUST_USE;

struct hf_catch_up {
    uint64_t copied;
    uint64_t bytes;
    uint64_t missing;   /* manifests that wait for their WAL or packs there */
    uint64_t conflicts; /* names taken by other content: left alone, the last is in `conflict` */
    char conflict[HF_STORE_KEY_SIZE];
};
/* Copies everything of the cluster that `from` has and `to` lacks, in an order in which what is
 * there is always usable: keys, records, WAL, then the published backups, each manifest after
 * everything of its backup, and only where all the WAL that it needs has arrived (B5). Marks of
 * expiry stay in their region. Lists page by page: memory does not grow with the repository. Ends
 * early with HF_E_CANCELED. */
hf_result hf_replicate_catch_up(struct hf_repository *from, struct hf_repository *to,
                                const atomic_bool *cancel, struct hf_catch_up *ret,
                                struct hf_err *err) HF_MUST_USE;

#endif
