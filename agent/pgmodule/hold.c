/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#if PG_VERSION_NUM >= 140000
#include "utils/wait_event.h"
#endif

#include "common/io/clock.h"

/* The page does not wake anybody: it is looked at this often. */
enum { LOOK_EVERY_MS = 10 };

static uint32 wait_event(void)
{
#if PG_VERSION_NUM >= 170000
    static uint32 event = 0;

    if (event == 0) {
        event = WaitEventExtensionNew("HoldfastCommitHold");
    }
    return event;
#else
    return PG_WAIT_EXTENSION;
#endif
}

/* PostgreSQL stops counting a statement's time before its commit begins; a wait of minutes there is
 * just what a client set the limit for. True: it runs, and must be ended. */
static bool arm_statement_timeout(void)
{
    if (StatementTimeout <= 0 || get_timeout_active(STATEMENT_TIMEOUT)) {
        return false;
    }
    enable_timeout_at(
        STATEMENT_TIMEOUT,
        TimestampTzPlusMilliseconds(GetCurrentStatementStartTimestamp(), StatementTimeout));
    return true;
}

static bool must_wait(const struct hf_look *look)
{
    return look->state == HF_LOOK_OPEN && !hf_lclk_before(look->now, look->lease.commits_until);
}

static void wait_for_page(struct hf_look *look)
{
    while (must_wait(look)) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, LOOK_EVERY_MS,
                        wait_event());
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        (void)hf_look_is_open(look);
    }
}

void hf_guard_hold(struct hf_look *look, bool client)
{
    hf_lclk began = look->now;
    volatile bool armed = false;

    if (!must_wait(look)) {
        return;
    }
    hf_guard_count(HF_COUNT_WAITS, 1);
    if (client) {
        armed = arm_statement_timeout();
    }
    PG_TRY();
    {
        wait_for_page(look);
    }
    PG_FINALLY();
    {
        hf_dur waited = hf_lclk_sub(hf_clock_lease_high(), began);

        hf_guard_count(HF_COUNT_WAITED_US, (uint64)waited.us);
        if (armed) {
            disable_timeout(STATEMENT_TIMEOUT, true);
        }
    }
    PG_END_TRY();
    /* A limit that was reached just now must not hit the commit itself. */
    CHECK_FOR_INTERRUPTS();
}
