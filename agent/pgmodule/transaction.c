/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

/* The server's libpq.h is wanted for one function table; with GSSAPI it would need the headers of
 * Kerberos for a member of struct Port, which is not looked at here. */
#undef ENABLE_GSS

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "replication/walsender.h"
#include "storage/ipc.h"

/* What this process knows of its transaction. */
static struct {
    bool seen;          /* any command at all came from the client */
    bool ran;           /* something that could hand out data or change it */
    bool checked;       /* hf_guard_statement() let it pass */
    bool read_only;     /* forced to, under holdfast.stale_reads */
    bool wrote;         /* at PRE_COMMIT or PRE_PREPARE */
    bool finished;      /* COMMIT PREPARED or ROLLBACK PREPARED is done: no ERROR any more */
    bool ending;        /* the client will get no answer any more */
    int utility_level;  /* kept over the commits within a utility command */
    TimestampTz before; /* the client's last message when the transaction before this one ended */
} txn;

enum hf_guard_kind hf_guard_process_kind(void)
{
    /* A session being set up or torn down answers nobody. */
    if (proc_exit_inprogress || !IsNormalProcessingMode() || IsParallelWorker()) {
        return HF_GUARD_EXEMPT;
    }
    if (am_walsender) {
        return am_db_walsender ? HF_GUARD_CLIENT : HF_GUARD_EXEMPT;
    }
    if (MyBackendType == B_BACKEND) {
        return HF_GUARD_CLIENT;
    }
    return MyBackendType == B_BG_WORKER ? HF_GUARD_WORKER : HF_GUARD_EXEMPT;
}

static bool has_xid(void)
{
    return TransactionIdIsValid(GetTopTransactionIdIfAny());
}

static bool ran(void)
{
    return txn.ran || txn.utility_level > 0;
}

static void end_silently(const char *what, const struct hf_look *look)
{
    if (!txn.ending) {
        txn.ending = true;
        hf_guard_end_silently(what, look);
    }
}

void hf_guard_harmless_seen(void)
{
    txn.seen = true;
}

void hf_guard_statement(bool may_be_stale)
{
    struct hf_look look;

    if (hf_guard_process_kind() != HF_GUARD_CLIENT) {
        return;
    }
    /* Noted in recovery too: the node may be promoted before this transaction ends. */
    txn.seen = txn.ran = txn.checked = true;
    if (RecoveryInProgress() || hf_look_is_open(&look)) {
        return;
    }
    if (may_be_stale && hf_guard_stale_reads && !has_xid()) {
        /* PostgreSQL itself now refuses everything that writes, nextval() included. */
        txn.read_only = XactReadOnly = true;
        return;
    }
    hf_guard_refuse(&look);
}

bool hf_guard_is_checked(void)
{
    return txn.checked;
}

void hf_guard_keep_read_only(void)
{
    if (txn.read_only) {
        XactReadOnly = true;
    }
}

void hf_guard_utility_level(int change)
{
    txn.utility_level += change;
    /* What follows a transaction that ended within the command belongs to the command too. */
    txn.seen = txn.ran = true;
}

/* Lease, enforcement, lease again; and the commit's level. Returns when it may go on. */
static void admit(enum hf_guard_kind kind, bool durable)
{
    struct hf_look look;

    if (!hf_look_is_open(&look)) {
        if (kind == HF_GUARD_CLIENT && hf_guard_stale_reads && !durable) {
            return;
        }
        hf_guard_refuse(&look);
    }
    if (!durable) {
        return;
    }
    hf_guard_hold(&look, kind == HF_GUARD_CLIENT);
    if (look.state != HF_LOOK_OPEN) {
        hf_guard_refuse(&look);
    }
    if (look.lease.synchronous) {
        hf_guard_sync_raise();
    }
}

/* Transactions that nobody asked for, between two messages of the client: to take in invalidations
 * or to deliver notifications. The latter lie in the client's buffer by now, and they tell of
 * another transaction's commit: past the deadline they must not be flushed. */
static void between_messages(void)
{
    struct hf_look look;

    if (txn.seen || GetCurrentStatementStartTimestamp() != txn.before || !pq_is_send_pending() ||
        hf_guard_stale_reads || hf_look_is_open(&look)) {
        return;
    }
    end_silently("notifications are not delivered past the lease", &look);
    CHECK_FOR_INTERRUPTS();
}

static void before_commit(void)
{
    enum hf_guard_kind kind = hf_guard_process_kind();

    if (kind == HF_GUARD_EXEMPT || txn.ending || RecoveryInProgress()) {
        return;
    }
    /* The apply of COMMIT PREPARED writes without an identifier of its own. Elsewhere WAL alone
     * says nothing: reads prune pages and set hint bits, which is no change to anybody. */
    txn.wrote = has_xid() || (IsLogicalWorker() && XactLastRecEnd != InvalidXLogRecPtr);
    if (txn.finished) {
        struct hf_look look;
        if (!hf_look_is_open(&look)) {
            end_silently("a prepared transaction was finished as the lease ended", &look);
        }
        return;
    }
    if (kind == HF_GUARD_CLIENT && !ran() && !txn.wrote) {
        between_messages();
        return;
    }
    if (kind == HF_GUARD_CLIENT || txn.wrote) {
        admit(kind, txn.wrote);
    }
}

/* The record is durable, the standby was waited for; only the answer can still be withheld. */
static void after_commit(XLogRecPtr end)
{
    enum hf_guard_kind kind = hf_guard_process_kind();
    struct hf_look look;
    bool wrote;

    if (kind == HF_GUARD_EXEMPT || txn.ending || RecoveryInProgress()) {
        return;
    }
    wrote = txn.wrote || has_xid(); /* NOTIFY gets one after PRE_COMMIT */
    if (!wrote && !(kind == HF_GUARD_CLIENT && ran())) {
        return;
    }
    if (!hf_look_is_open(&look)) {
        if (wrote || !hf_guard_stale_reads) {
            end_silently("the lease ended during the commit", &look);
        }
    } else if (wrote && look.lease.synchronous && !hf_guard_sync_reached(end)) {
        end_silently("no synchronous standby confirmed the commit", &look);
    }
}

static void begin_anew(void)
{
    int level = txn.utility_level;
    bool ending = txn.ending;

    memset(&txn, 0, sizeof(txn));
    txn.utility_level = level;
    txn.ending = ending;
    txn.before = GetCurrentStatementStartTimestamp();
}

static void on_transaction(XactEvent event, void *arg)
{
    (void)arg;
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        before_commit();
        break;
    case XACT_EVENT_COMMIT:
        after_commit(XactLastCommitEnd);
        begin_anew();
        break;
    case XACT_EVENT_PREPARE:
        /* The record's end is not kept: past its beginning is what can be asked for. */
        after_commit(ProcLastRecPtr + 1);
        begin_anew();
        break;
    case XACT_EVENT_ABORT:
        begin_anew();
        break;
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PARALLEL_ABORT:
        break;
    }
}

void hf_guard_before_finish_prepared(bool commits)
{
    enum hf_guard_kind kind = hf_guard_process_kind();

    if (kind == HF_GUARD_EXEMPT || RecoveryInProgress()) {
        return;
    }
    txn.seen = txn.ran = true;
    if (commits) {
        admit(kind, true);
    } else {
        struct hf_look look;
        if (!hf_look_is_open(&look)) {
            hf_guard_refuse(&look);
        }
    }
}

void hf_guard_after_finish_prepared(bool commits)
{
    struct hf_look look;

    if (hf_guard_process_kind() == HF_GUARD_EXEMPT || RecoveryInProgress()) {
        return;
    }
    txn.finished = true;
    if (!hf_look_is_open(&look)) {
        end_silently("the lease ended while a prepared transaction was finished", &look);
    } else if (commits && look.lease.synchronous && !hf_guard_sync_reached(XactLastRecEnd)) {
        end_silently("no synchronous standby confirmed a prepared transaction", &look);
    }
}

void hf_guard_transaction_init(void)
{
    RegisterXactCallback(on_transaction, NULL);
}
