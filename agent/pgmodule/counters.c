/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/float.h"

struct counters {
    pg_atomic_uint64 value[HF_COUNTERS];
};

static struct counters *counters;
static shmem_startup_hook_type next_startup;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type next_request;
#endif

void hf_guard_count(enum hf_guard_counter which, uint64 amount)
{
    if (counters != NULL) {
        (void)pg_atomic_fetch_add_u64(&counters->value[which], (int64)amount);
    }
}

#if PG_VERSION_NUM >= 150000
static void on_request(void)
{
    if (next_request) {
        next_request();
    }
    RequestAddinShmemSpace(MAXALIGN(sizeof(struct counters)));
}
#endif

static void on_startup(void)
{
    bool found;

    if (next_startup) {
        next_startup();
    }
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    counters = ShmemInitStruct("holdfast", sizeof(struct counters), &found);
    if (!found) {
        for (int i = 0; i < HF_COUNTERS; i++) {
            pg_atomic_init_u64(&counters->value[i], 0);
        }
    }
    LWLockRelease(AddinShmemInitLock);
}

void hf_guard_counters_init(void)
{
#if PG_VERSION_NUM >= 150000
    next_request = shmem_request_hook;
    shmem_request_hook = on_request;
#else
    RequestAddinShmemSpace(MAXALIGN(sizeof(struct counters)));
#endif
    next_startup = shmem_startup_hook;
    shmem_startup_hook = on_startup;
}

/* -- the view ---------------------------------------------------------------------------------- */

enum {
    COL_MANAGED,
    COL_PAGE,
    COL_STATE,
    COL_EPOCH,
    COL_NEWEST_EPOCH,
    COL_SERIAL,
    COL_DEADLINE_S,
    COL_COMMITS_UNTIL_S,
    COL_SYNCHRONOUS,
    COL_PRIMARY,
    COL_REFUSALS,
    COL_SILENT_ENDS,
    COL_WAITS,
    COL_WAITED_S,
    COLUMNS
};

struct row {
    Datum value[COLUMNS];
    bool null[COLUMNS];
};

static void set(struct row *row, int column, Datum value)
{
    row->value[column] = value;
    row->null[column] = false;
}

static Datum seconds_left(hf_lclk until, hf_lclk now)
{
    return Float8GetDatum(until.us == INT64_MAX ? get_float8_infinity()
                                                : (double)hf_lclk_sub(until, now).us / 1e6);
}

static void set_page(struct row *row)
{
    struct hf_look look;
    char primary[HF_PAGE_PRIMARY_SIZE];

    (void)hf_look_is_open(&look);
    set(row, COL_PAGE, CStringGetTextDatum(hf_guard_page));
    set(row, COL_STATE, CStringGetTextDatum(hf_look_name(look.state)));
    if (look.state == HF_LOOK_UNREADABLE) {
        return;
    }
    set(row, COL_EPOCH, Int64GetDatum((int64)look.lease.epoch.v));
    set(row, COL_NEWEST_EPOCH, Int64GetDatum((int64)look.lease.newest_epoch.v));
    set(row, COL_SERIAL, Int64GetDatum((int64)look.lease.serial));
    set(row, COL_DEADLINE_S, seconds_left(look.lease.deadline, look.now));
    set(row, COL_COMMITS_UNTIL_S, seconds_left(look.lease.commits_until, look.now));
    set(row, COL_SYNCHRONOUS, BoolGetDatum(look.lease.synchronous));
    if (hf_look_primary(primary)) {
        set(row, COL_PRIMARY, CStringGetTextDatum(primary));
    }
}

static void set_counters(struct row *row)
{
    uint64 value[HF_COUNTERS];

    for (int i = 0; i < HF_COUNTERS; i++) {
        value[i] = pg_atomic_read_u64(&counters->value[i]);
    }
    set(row, COL_REFUSALS, Int64GetDatum((int64)value[HF_COUNT_REFUSALS]));
    set(row, COL_SILENT_ENDS, Int64GetDatum((int64)value[HF_COUNT_SILENT_ENDS]));
    set(row, COL_WAITS, Int64GetDatum((int64)value[HF_COUNT_WAITS]));
    set(row, COL_WAITED_S, Float8GetDatum((double)value[HF_COUNT_WAITED_US] / 1e6));
}

/* One row; a column that is not known is NULL, and nearly all are on a node that is not managed. */
PG_FUNCTION_INFO_V1(holdfast_guard_state);
Datum holdfast_guard_state(PG_FUNCTION_ARGS)
{
    TupleDesc shape;
    struct row row;

    if (get_call_result_type(fcinfo, NULL, &shape) != TYPEFUNC_COMPOSITE ||
        shape->natts != COLUMNS) {
        elog(ERROR, "holdfast.guard_state() is of another version than holdfast.so");
    }
    memset(row.null, true, sizeof(row.null));
    set(&row, COL_MANAGED, BoolGetDatum(hf_guard_managed));
    if (counters != NULL) {
        set_page(&row);
        set_counters(&row);
    }
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), row.value, row.null)));
}
