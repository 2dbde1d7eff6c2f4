/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"

static ExecutorRun_hook_type next_run;
static ProcessUtility_hook_type next_utility;
static object_access_hook_type next_access;

/* The arguments of a ProcessUtility hook, by version. */
#if PG_VERSION_NUM >= 140000
#define UTILITY_PARAMETERS                                                                         \
    PlannedStmt *pstmt, const char *text, bool read_only_tree, ProcessUtilityContext context,      \
        ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver,               \
        QueryCompletion *completion
#define UTILITY_ARGUMENTS                                                                          \
    pstmt, text, read_only_tree, context, params, environment, receiver, completion
#else
#define UTILITY_PARAMETERS                                                                         \
    PlannedStmt *pstmt, const char *text, ProcessUtilityContext context, ParamListInfo params,     \
        QueryEnvironment *environment, DestReceiver *receiver, QueryCompletion *completion
#define UTILITY_ARGUMENTS pstmt, text, context, params, environment, receiver, completion
#endif

/* ExecutorRun rather than ExecutorStart: it is passed at every FETCH of an open portal, by every
 * query of a function, and by nothing that only plans. */
#if PG_VERSION_NUM >= 180000
static void on_run(QueryDesc *query, ScanDirection direction, uint64 count)
{
    hf_guard_statement(true);
    if (next_run) {
        next_run(query, direction, count);
    } else {
        standard_ExecutorRun(query, direction, count);
    }
}
#else
static void on_run(QueryDesc *query, ScanDirection direction, uint64 count, bool once)
{
    hf_guard_statement(true);
    if (next_run) {
        next_run(query, direction, count, once);
    } else {
        standard_ExecutorRun(query, direction, count, once);
    }
}
#endif

/* What a session and a person need on a node without a lease, and what changes and shows nothing
 * of the database. COMMIT and PREPARE TRANSACTION are judged when they come to it. */
static bool is_harmless(const Node *command)
{
    switch (nodeTag(command)) {
    case T_TransactionStmt:
    case T_VariableSetStmt:
    case T_VariableShowStmt:
    case T_DiscardStmt:
    case T_DeallocateStmt:
    case T_ClosePortalStmt:
    case T_UnlistenStmt:
    case T_AlterSystemStmt:
    case T_CheckPointStmt:
        return true;
    default:
        return false;
    }
}

static bool finishes_prepared(const Node *command, bool *ret_commits)
{
    if (!IsA(command, TransactionStmt)) {
        return false;
    }
    *ret_commits = ((const TransactionStmt *)command)->kind == TRANS_STMT_COMMIT_PREPARED;
    return *ret_commits || ((const TransactionStmt *)command)->kind == TRANS_STMT_ROLLBACK_PREPARED;
}

static void run_utility(UTILITY_PARAMETERS)
{
    if (next_utility) {
        next_utility(UTILITY_ARGUMENTS);
    } else {
        standard_ProcessUtility(UTILITY_ARGUMENTS);
    }
}

static void on_utility(UTILITY_PARAMETERS)
{
    bool commits;

    if (finishes_prepared(pstmt->utilityStmt, &commits)) {
        hf_guard_before_finish_prepared(commits);
        run_utility(UTILITY_ARGUMENTS);
        hf_guard_after_finish_prepared(commits);
        return;
    }
    if (is_harmless(pstmt->utilityStmt)) {
        hf_guard_harmless_seen();
        run_utility(UTILITY_ARGUMENTS);
        hf_guard_keep_read_only();
        return;
    }
    hf_guard_statement(!IsA(pstmt->utilityStmt, NotifyStmt));
    hf_guard_utility_level(1);
    PG_TRY();
    {
        run_utility(UTILITY_ARGUMENTS);
    }
    PG_FINALLY();
    {
        hf_guard_utility_level(-1);
    }
    PG_END_TRY();
    hf_guard_keep_read_only();
}

/* The protocol's function call passes neither executor nor utility commands; no portal is active
 * then. And after a COMMIT within a block PL/pgSQL evaluates simple expressions by itself. */
static void on_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
    if (access == OAT_FUNCTION_EXECUTE && (ActivePortal == NULL || !hf_guard_is_checked())) {
        hf_guard_statement(true);
    }
    if (next_access) {
        next_access(access, class_id, object_id, sub_id, arg);
    }
}

void hf_guard_statement_init(void)
{
    next_run = ExecutorRun_hook;
    ExecutorRun_hook = on_run;
    next_utility = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
    next_access = object_access_hook;
    object_access_hook = on_access;
}
