/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded queue of events on disk, for a history database that may be away: a file an event,
 * created whole and durable, named by its number, its class and a hash of its id.
 * Invariants: an event whose append succeeded survives a crash of the host, and is there once by
 * its id as long as it waits; the sum of sizes stays within the bound: the oldest informational
 * events give way, then the newest informational one is dropped, and a durable one is refused only
 * when nothing informational is left; what cannot be read is set aside by number, never in the way
 * of the rest. Thread safe; append, peek and remove block on the disk.
 */
#ifndef HF_COORDINATOR_SPOOL_H
#define HF_COORDINATOR_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum { HF_EVENT_ID_SIZE = 320, HF_EVENT_KIND_SIZE = 32, HF_EVENT_MAX = 98304 };

struct hf_event {
    char id[HF_EVENT_ID_SIZE]; /* unique for ever: the database ignores one that it has */
    char kind[HF_EVENT_KIND_SIZE];
    bool informational; /* may be dropped when the spool is full */
    struct hf_buf body; /* JSON; owned by whoever holds the event */
};

struct hf_spool;
struct hf_spool_stats {
    size_t events;
    uint64_t bytes;
    uint64_t dropped; /* informational, since the start */
    uint64_t refused; /* durable, since the start */
    uint64_t unreadable;
};

/* Makes the directory when missing, and reads what waits in it. */
hf_result hf_spool_open(const char *directory, uint64_t max_bytes, struct hf_spool **ret,
                        struct hf_err *err) HF_MUST_USE;
void hf_spool_close(struct hf_spool *spool); /* NULL allowed */
/* HF_E_EXISTS: it waits already (success for the caller). HF_E_LIMIT: full. HF_E_CONFLICT: another
 * event waits under this id. */
hf_result hf_spool_append(struct hf_spool *spool, const struct hf_event *event,
                          struct hf_err *err) HF_MUST_USE;
/* The oldest events that wait, at most max; their numbers for hf_spool_remove. The caller frees
 * the bodies. */
hf_result hf_spool_peek(struct hf_spool *spool, size_t max, struct hf_event *ret_events,
                        uint64_t *ret_numbers, size_t *ret_count, struct hf_err *err) HF_MUST_USE;
hf_result hf_spool_remove(struct hf_spool *spool, uint64_t number, struct hf_err *err) HF_MUST_USE;
void hf_spool_stats(struct hf_spool *spool, struct hf_spool_stats *ret);

#endif
