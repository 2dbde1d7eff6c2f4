/* SPDX-License-Identifier: Apache-2.0
 *
 * The cheapest way: all of this node's WAL is the source's too, so its directory is started as a
 * standby as it is. The leader cannot see that of a node that was away for several timelines.
 */
#include <stdio.h>

#include "agent/node/op_rejoin.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/fault.h"
#include "common/io/log.h"

enum { STEP_MS = 200 };
/* Without anything new replayed. Longer than it takes to fetch a segment from a repository. */
#define IDLE_LIMIT HF_SEC(30)

static void close_sync(struct hf_pg_sync **c)
{
    hf_pg_sync_close(*c);
}

struct progress {
    bool streams; /* on the source's timeline */
    hf_lsn replayed;
};

static hf_result look(struct hf_rejoin *r, struct progress *ret, struct hf_err *err)
{
    __attribute__((cleanup(close_sync))) struct hf_pg_sync *c = NULL;
    HF_AUTOPGRESULT struct hf_pg_result *found = NULL;
    char sql[256];
    snprintf(sql, sizeof(sql),
             "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver"
             " WHERE status = 'streaming' AND received_tli = %u),"
             " coalesce(pg_last_wal_replay_lsn(), '0/0')",
             r->source.timeline.v);
    HF_TRY(hf_op_connect(r->op, &c, err));
    HF_TRY(hf_pg_sync_query(c, sql, 0, NULL, HF_SEC(5), &found, err));
    HF_TRY(hf_pg_bool(found, 0, 0, &ret->streams, err));
    return hf_pg_lsn(found, 0, 1, &ret->replayed, err);
}

/* A standby whose next WAL is nowhere would wait for ever: then another way must be taken. */
static hf_result wait_streaming(struct hf_rejoin *r, struct hf_err *err)
{
    hf_lsn replayed = HF_LSN(0);
    hf_lclk moved = hf_clock_lease();
    for (;;) {
        struct progress now = {.streams = false};
        struct hf_err why;
        HF_TRY(hf_op_check(r->op, err));
        HF_FAULT("rejoin.stream", err);
        hf_result looked = look(r, &now, &why);
        if (hf_ok(looked) && now.streams) {
            return hf_done();
        }
        hf_lclk t = hf_clock_lease();
        if (hf_ok(looked) && now.replayed.v > replayed.v) {
            replayed = now.replayed;
            moved = t;
        }
        if (hf_lclk_sub(t, moved).us > IDLE_LIMIT.us) {
            char lsn[HF_LSN_SIZE];
            return hf_fail(err, HF_E_TIMEOUT, "nothing after %s came from %s for %d s",
                           hf_lsn_format(replayed, lsn), r->op->address,
                           (int)(IDLE_LIMIT.us / 1000000));
        }
        hf_op_sleep_ms(STEP_MS);
    }
}

hf_result hf_rejoin_follow(struct hf_rejoin *r, struct hf_err *err)
{
    HF_TRY(hf_op_follow(r->op, err));
    return wait_streaming(r, err);
}
