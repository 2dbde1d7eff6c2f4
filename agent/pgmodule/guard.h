/* SPDX-License-Identifier: Apache-2.0
 *
 * The commit guard inside PostgreSQL: what its parts share. docs/commit-guard.md says what it
 * guarantees; README.md here says how the parts work together.
 * Invariant: on a managed node that is out of recovery no client is told of a commit, given a
 * sequence's value or shown data by a transaction that is judged after the lease is over; what
 * cannot be read counts as over.
 * Every function here runs in the one thread of a backend (or of the postmaster, where it says so).
 */
#ifndef HF_PGMODULE_GUARD_H
#define HF_PGMODULE_GUARD_H

#include "postgres.h"

#include "access/xlogdefs.h"

#include "agent/fence/page.h"

/* -- settings (module.c) ----------------------------------------------------------------------- */

extern bool hf_guard_managed;     /* holdfast.managed */
extern char *hf_guard_page;       /* holdfast.page */
extern bool hf_guard_stale_reads; /* holdfast.stale_reads */

/* -- the page, as seen now (look.c) ------------------------------------------------------------ */

enum hf_look_state {
    HF_LOOK_OPEN,
    HF_LOOK_UNREADABLE, /* no page, or not of this boot, time namespace or layout */
    HF_LOOK_CLOSED,     /* by the agent; also before it first opens the page */
    HF_LOOK_SUPERSEDED, /* a newer epoch is known */
    HF_LOOK_OVER        /* open, and past its deadline */
};

struct hf_look {
    enum hf_look_state state;
    struct hf_page_lease lease; /* zero when unreadable */
    hf_lclk now;                /* read after the page, errs high */
    struct hf_err why;          /* set when unreadable */
};

/* Maps the page when it can be; in the postmaster, so that its children inherit the mapping. */
void hf_look_prepare(void);
/* True: transactions are accepted at ret->now. Opens the page again when its file was replaced.
 * Waits up to 100 ms for a page that is just being written. */
bool hf_look_is_open(struct hf_look *ret);
/* Where writes go now, by the page; false when it does not say. */
bool hf_look_primary(char ret[HF_PAGE_PRIMARY_SIZE]);
/* A stable word for the view: "open", "unreadable", "closed", "superseded", "over". */
const char *hf_look_name(enum hf_look_state state);
/* One sentence that says why it is not open, with the values that it compared. */
void hf_look_explain(const struct hf_look *look, char *ret, size_t size);

/* -- saying no (refuse.c) ---------------------------------------------------------------------- */

/* ERROR 25006. Only where the transaction can still be aborted. */
void hf_guard_refuse(const struct hf_look *look) pg_attribute_noreturn();
/* Where it cannot: nothing more goes to the client, and the process ends at its next chance to be
 * interrupted. `what` says for the log what the client will not hear. */
void hf_guard_end_silently(const char *what, const struct hf_look *look);

/* -- the transaction (transaction.c) ----------------------------------------------------------- */

enum hf_guard_kind { HF_GUARD_EXEMPT, HF_GUARD_CLIENT, HF_GUARD_WORKER };
enum hf_guard_kind hf_guard_process_kind(void);

/* Before anything that may hand out data, change it or take a sequence's value: refuses, or forces
 * the transaction to read only (holdfast.stale_reads; not for NOTIFY, which PostgreSQL allows in
 * such transactions). Counts the transaction as one that ran. */
void hf_guard_statement(bool may_be_stale);
/* Was that asked at least once in this transaction? */
bool hf_guard_is_checked(void);
/* A harmless command was seen (SET, SHOW, ROLLBACK...): only noted. */
void hf_guard_harmless_seen(void);
/* After any utility command: a command cannot undo that the transaction was forced to read only. */
void hf_guard_keep_read_only(void);
/* Within a utility command that may end transactions and begin others: +1 / -1. */
void hf_guard_utility_level(int change);
/* Around COMMIT PREPARED (`commits`) and ROLLBACK PREPARED. */
void hf_guard_before_finish_prepared(bool commits);
void hf_guard_after_finish_prepared(bool commits);
void hf_guard_transaction_init(void);

/* -- waiting (hold.c) -------------------------------------------------------------------------- */

/* While look is open and its commits_until has passed: waits until that moved on or the page is not
 * open any more; look is the newest then. ERROR when canceled or timed out, FATAL when terminated:
 * the caller can still abort. */
void hf_guard_hold(struct hf_look *look, bool client);

/* -- target 0 (sync.c) ------------------------------------------------------------------------- */

/* Raises synchronous_commit for the rest of this transaction (rule E3). */
void hf_guard_sync_raise(void);
/* Has a synchronous standby flushed up to here, as far as PostgreSQL's waiters are told? */
bool hf_guard_sync_reached(XLogRecPtr end);

/* -- hooks (statement.c) ----------------------------------------------------------------------- */

void hf_guard_statement_init(void);

/* -- counters (counters.c) --------------------------------------------------------------------- */

enum hf_guard_counter {
    HF_COUNT_REFUSALS,
    HF_COUNT_SILENT_ENDS,
    HF_COUNT_WAITS,
    HF_COUNT_WAITED_US,
    HF_COUNTERS
};
void hf_guard_count(enum hf_guard_counter which, uint64 amount);
void hf_guard_counters_init(void);

#endif
