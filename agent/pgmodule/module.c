/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

bool hf_guard_managed = false;
char *hf_guard_page = NULL;
bool hf_guard_stale_reads = false;

void _PG_init(void);

static bool check_page(char **value, void **extra, GucSource source)
{
    (void)extra;
    (void)source;
    if (**value != '\0' && **value != '/') {
        GUC_check_errdetail("The path of the lease page must be absolute.");
        return false;
    }
    return true;
}

static void define_settings(void)
{
    DefineCustomBoolVariable("holdfast.managed", "This node takes commits only under a lease.",
                             NULL, &hf_guard_managed, false, PGC_POSTMASTER, 0, NULL, NULL, NULL);
    DefineCustomStringVariable("holdfast.page", "File of the lease page that the agent keeps.",
                               NULL, &hf_guard_page, "", PGC_POSTMASTER, 0, check_page, NULL, NULL);
    DefineCustomBoolVariable("holdfast.stale_reads",
                             "Without a lease, read-only transactions are answered all the same.",
                             "What they show may be older than what the cluster's primary has.",
                             &hf_guard_stale_reads, false, PGC_SUSET, 0, NULL, NULL, NULL);
#if PG_VERSION_NUM >= 150000
    MarkGUCPrefixReserved("holdfast");
#else
    EmitWarningsOnPlaceholders("holdfast");
#endif
}

/* Rule L8: any start outside Holdfast comes up in recovery, or not at all. The working directory is
 * the data directory by now. */
static void check_start(void)
{
    struct hf_look look;
    char reason[640];

    if (access("standby.signal", F_OK) == 0 || access("recovery.signal", F_OK) == 0) {
        return;
    }
    if (hf_look_is_open(&look)) {
        return;
    }
    hf_look_explain(&look, reason, sizeof(reason));
    ereport(FATAL,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("a node that Holdfast manages does not start by itself as a primary"),
             errdetail("The data directory has neither standby.signal nor recovery.signal, and "
                       "there is no lease. %s",
                       reason),
             errhint("Let the Holdfast agent start it, or create standby.signal to start it in "
                     "recovery.")));
}

void _PG_init(void)
{
    if (!process_shared_preload_libraries_in_progress) {
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("holdfast must be loaded by shared_preload_libraries")));
    }
    define_settings();
    /* Single-user mode and pg_upgrade serve no clients. */
    if (!hf_guard_managed || !IsPostmasterEnvironment || IsBinaryUpgrade) {
        return;
    }
    if (hf_guard_page[0] == '\0') {
        ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("holdfast.managed is on and holdfast.page is empty")));
    }
    hf_look_prepare();
    check_start();
    hf_guard_counters_init();
    hf_guard_transaction_init();
    hf_guard_statement_init();
}
