/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive with no agent running: what the service does, done once by the calling process.
 * Invariants: success means durable in the own region; other regions get the same ciphertext as far
 * as they answer in time, the rest is copied later (rule W9). Blocking.
 */
#ifndef HF_AGENT_WAL_DIRECT_H
#define HF_AGENT_WAL_DIRECT_H

#include <stddef.h>

#include "agent/wal/wal_fetch.h"
#include "common/io/config_agent.h"

/* Archives the file `name` of pg_wal that lies at `path`. Other regions get `patience` together.
 * *ret_late: regions that still wait on their store when it is over: their threads run on and use
 * `config`, so the caller then ends the process by _exit() and frees nothing. */
hf_result hf_wal_direct_push(const struct hf_config_agent *config, uint64_t system_id,
                             const char *name, const char *path, hf_dur patience, size_t *ret_late,
                             struct hf_err *err) HF_MUST_USE;

/* Fetches with newly opened repositories, again and again while the answer is unknown and patience
 * lasts. system_id 0: the newest incarnation. Results as hf_wal_fetch; a site that does not open is
 * HF_E_AGAIN or the error itself, never HF_E_NOT_FOUND. */
hf_result hf_wal_direct_get(const struct hf_config_agent *config, uint64_t system_id,
                            const struct hf_wal_fetch *fetch, hf_dur patience,
                            struct hf_err *err) HF_MUST_USE;

#endif
