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

/* key: the store's, below its prefix. HF_OK also when the same object is there already. */
hf_result hf_replicate_object(struct hf_repository *from, struct hf_repository *to, const char *key,
                              struct hf_err *err) HF_MUST_USE;

struct hf_catch_up {
    uint64_t copied;
    uint64_t bytes;
    uint64_t missing; /* still, when it ended */
    uint64_t
        conflicts; /* names taken by other content: left alone, the last one is in `conflict` */
    char conflict[HF_STORE_KEY_SIZE];
};
/* Copies everything of the cluster that `from` has and `to` lacks, in an order in which what is
 * there is always usable: keys, records, WAL, packs and maps; manifests last, and only where all
 * the WAL that they need has arrived (B5). Lists page by page: memory does not grow with the
 * repository. Ends early with HF_E_CANCELED. */
hf_result hf_replicate_catch_up(struct hf_repository *from, struct hf_repository *to,
                                const atomic_bool *cancel, struct hf_catch_up *ret,
                                struct hf_err *err) HF_MUST_USE;

#endif
