/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "access/xact.h"
#include "replication/syncrep.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "utils/guc.h"

void hf_guard_sync_raise(void)
{
    if (synchronous_commit >= SYNCHRONOUS_COMMIT_REMOTE_FLUSH) {
        return;
    }
    /* As by SET LOCAL: gone with the transaction, whatever becomes of it. */
    (void)set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_LOCAL, true, 0, false);
}

bool hf_guard_sync_reached(XLogRecPtr end)
{
    XLogRecPtr reached;

    if (XLogRecPtrIsInvalid(end)) {
        return true; /* nothing was written */
    }
    LWLockAcquire(SyncRepLock, LW_SHARED);
    reached = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
    LWLockRelease(SyncRepLock);
    return reached >= end;
}
