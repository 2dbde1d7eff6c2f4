/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports that coordinators have not yet acknowledged: a bounded directory of small files, with a
 * copy in memory.
 * Invariants: a report is handed out for sending only when its file is durable, and again until it
 * is acknowledged (at least once); the same id is kept once; when full, new reports are refused,
 * never old ones dropped. Loop thread only; the disk is written by worker threads.
 */
#ifndef HF_LINK_OUTBOX_H
#define HF_LINK_OUTBOX_H

#include "common/core/message.h"
#include "common/io/worker.h"

enum { HF_OUTBOX_REPORTS = 256, HF_OUTBOX_BYTES = 4194304 };

struct hf_outbox;

/* Called when a report has become durable and may be sent. */
typedef void (*hf_outbox_ready)(void *arg, const char *text, size_t len);

/* Loads what is there (blocking: at start); a file that cannot be read as a report is put aside
 * (renamed to *.bad) and logged. */
hf_result hf_outbox_open(const char *directory, struct hf_pool *pool, hf_outbox_ready ready,
                         void *arg, struct hf_outbox **ret, struct hf_err *err) HF_MUST_USE;
/* After the pool was freed. NULL allowed. */
void hf_outbox_free(struct hf_outbox *o);
/* HF_E_EXISTS: this id waits already. HF_E_LIMIT: full. HF_E_INVALID: id is not of A-Z a-z 0-9 . _
 * -
 */
hf_result hf_outbox_add(struct hf_outbox *o, const struct hf_report *report,
                        struct hf_err *err) HF_MUST_USE;
/* Acknowledged: forgotten, here and on disk. An unknown id is fine. */
void hf_outbox_ack(struct hf_outbox *o, const char *id);
/* The i-th durable report's message text, or NULL: for sending all of them again. */
const char *hf_outbox_at(const struct hf_outbox *o, size_t i, size_t *ret_len);
size_t hf_outbox_count(const struct hf_outbox *o); /* durable or not yet */

#endif
