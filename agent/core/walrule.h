/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules about WAL files, pure: what a segment must look like before it is archived, and which
 * segment may be handed to a recovery (rules W1, W4).
 * Invariant: a segment of a parent timeline that holds anything past the fork of the target line is
 * never handed out, whatever lies in the repositories.
 */
#ifndef HF_AGENT_CORE_WALRULE_H
#define HF_AGENT_CORE_WALRULE_H

#include <stddef.h>
#include <stdint.h>

#include "common/core/timeline.h"
#include "common/core/walname.h"

/* The long page header at the start of a segment (PostgreSQL: access/xlog_internal.h) against the
 * name: whole, of this system, of this position, of this timeline or one before it (the first
 * segment after a switch begins with pages of the parent). HF_E_CORRUPT names the difference.
 * system_id 0 = not checked. */
hf_result hf_wal_check_segment(const uint8_t *bytes, size_t len, const struct hf_wal_name *name,
                               uint32_t segment_size, uint64_t system_id,
                               struct hf_err *err) HF_MUST_USE;

/* A name whose segment size is not known: parsed with the likeliest size that allows it, 16 MiB
 * first. Good for the name itself (formats back to the same text with *ret_size); the segment's
 * number and position need the real size. HF_E_INVALID when no size allows it. */
hf_result hf_wal_name_any(const char *text, struct hf_wal_name *ret, uint32_t *ret_size,
                          struct hf_err *err) HF_MUST_USE;

enum hf_wal_serve {
    HF_WAL_SERVE,
    HF_WAL_BEYOND_FORK,  /* on the history, but past the fork or around it */
    HF_WAL_OTHER_HISTORY /* a timeline that is no ancestor of the target */
};
/* May this segment be replayed on the way to the target line? */
enum hf_wal_serve hf_wal_may_serve(const struct hf_history *target, const struct hf_wal_name *name,
                                   uint32_t segment_size);

#endif
