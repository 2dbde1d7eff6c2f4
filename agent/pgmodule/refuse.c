/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "miscadmin.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"

enum { EXPLANATION = 640 };

void hf_guard_refuse(const struct hf_look *look)
{
    char detail[EXPLANATION];
    char primary[HF_PAGE_PRIMARY_SIZE];
    uint64_t newest = Max(look->lease.newest_epoch.v, look->lease.epoch.v);

    hf_look_explain(look, detail, sizeof(detail));
    hf_guard_count(HF_COUNT_REFUSALS, 1);
    if (hf_look_primary(primary)) {
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                        errmsg("transaction refused: this node holds no lease as primary"),
                        errdetail("%s", detail),
                        errhint("Connect to the primary of epoch %llu: %s.",
                                (unsigned long long)newest, primary)));
    }
    ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                    errmsg("transaction refused: this node holds no lease as primary"),
                    errdetail("%s", detail),
                    errhint("Connect to the primary of the cluster, of epoch %llu or newer; this "
                            "node does not know which one it is.",
                            (unsigned long long)newest)));
}

void hf_guard_end_silently(const char *what, const struct hf_look *look)
{
    char detail[EXPLANATION];

    /* First of all: not even the message below may push out what lies in the client's buffer. */
    whereToSendOutput = DestNone;
    ProcDiePending = true;
    InterruptPending = true;
    hf_guard_count(HF_COUNT_SILENT_ENDS, 1);
    hf_look_explain(look, detail, sizeof(detail));
    ereport(LOG, (errmsg("connection ended without an answer: %s", what), errdetail("%s", detail)));
}
