/* SPDX-License-Identifier: Apache-2.0
 *
 * What is judged at the databases: acknowledgements against fence points, what promotions lose,
 * timelines, who follows whom.
 */
#include "tests/sim/check.h"
#include "tests/sim/world.h"

#include <string.h>

typedef unsigned long long ull;

bool sim_history_contains(const struct sim_world *w, uint32_t of, uint32_t t, uint64_t lsn)
{
    const struct sim_truth *truth = &w->truth;
    for (int depth = 0; of != 0 && of < SIM_TIMELINES && depth < SIM_TIMELINES; depth++) {
        if (of == t) {
            return true;
        }
        uint32_t parent = truth->timeline[of].parent;
        if (parent == t) {
            return lsn <= truth->timeline[of].fork;
        }
        of = parent;
    }
    return false;
}

/* When the node's right to acknowledge ended, or will. */
static sim_time right_ends(const struct sim_world *w, int node)
{
    const struct sim_page *page = &w->pages[node];
    sim_time end = w->truth.page_end[node];
    if (page->open && page->boot == w->hosts[node].boot) {
        end = sim_clock_instant(w, node, page->deadline);
    }
    /* Nothing on a machine acts while it is paused. */
    sim_time thawed = w->hosts[node].paused_until;
    return thawed > end && thawed <= w->now ? thawed : end;
}

void sim_check_ack(struct sim_world *w, int node, uint64_t lsn, bool stalled)
{
    struct sim_truth *t = &w->truth;
    uint64_t e = t->page_epoch[node].v;
    SIM_TRACE(w, "%s: acknowledges %llx timeline %u epoch %llu", sim_node_names[node], (ull)lsn,
              w->pgs[node].timeline, (ull)e);
    if (t->acks < SIM_ACKS) {
        t->ack[t->acks++] = (struct sim_ack){.at = w->now,
                                             .lsn = lsn,
                                             .timeline = w->pgs[node].timeline,
                                             .epoch = (uint32_t)e,
                                             .stalled = stalled};
        /* The lesser guarantee: judged here, predicted by nobody. */
        t->ack[t->acks - 1].lost = e != 0 && t->fenced_at[e] != 0;
    }
    if (e == 0 || t->fenced_at[e] == 0) {
        return;
    }
    sim_time late = w->now - right_ends(w, node);
    if (w->cfg.guard || late > w->cfg.fencer_bound) {
        sim_fail(w, SIM_CHECK_FENCE,
                 "%s acknowledges under epoch %llu, fenced %lld us ago, %lld us after its page's "
                 "end",
                 sim_node_names[node], (ull)e, (long long)(w->now - t->fenced_at[e]),
                 (long long)late);
    }
    w->stats.late_commits++;
}

void sim_check_received(struct sim_world *w, int node)
{
    const struct sim_truth *t = &w->truth;
    int u = w->pgs[node].upstream;
    if (t->final[node] != 0 && w->pgs[node].lsn > t->final[node] && u >= 0 &&
        t->page_epoch[u].v < t->final_epoch[node].v) {
        sim_fail(w, SIM_CHECK_FINAL,
                 "%s receives up to %llx from %s after its final position %llx of epoch %llu",
                 sim_node_names[node], (ull)w->pgs[node].lsn, sim_node_names[u],
                 (ull)t->final[node], (ull)t->final_epoch[node].v);
    }
}

void sim_check_follow(struct sim_world *w, int node, int source)
{
    const struct sim_pg *p = &w->pgs[node];
    const struct sim_pg *s = &w->pgs[source];
    if (s->timeline == 0 || (s->processes && s->in_recovery)) {
        return; /* it was the primary when this was decided; a standby's history may lag */
    }
    if (!sim_history_contains(w, s->timeline, p->timeline, p->lsn)) {
        sim_fail(w, SIM_CHECK_FOLLOW, "%s at %llx of timeline %u follows %s on timeline %u",
                 sim_node_names[node], (ull)p->lsn, p->timeline, sim_node_names[source],
                 s->timeline);
    }
}

struct loss {
    int count;
    sim_time oldest;
    sim_time newest;
    uint64_t bytes;
    uint32_t epoch; /* of the newest */
};

/* Where timeline `t` leaves the history of `of`; 0 when it is no part of it. */
static uint64_t divergence(const struct sim_world *w, uint32_t of, uint32_t t)
{
    uint32_t child = of;
    while (child != 0 && child < SIM_TIMELINES && child != t) {
        if (w->truth.timeline[child].parent == t) {
            return w->truth.timeline[child].fork;
        }
        child = w->truth.timeline[child].parent;
    }
    return w->truth.timeline[t].fork;
}

static struct loss find_lost(struct sim_world *w, uint32_t timeline)
{
    struct sim_truth *t = &w->truth;
    struct loss loss = {0};
    for (int i = t->acks - 1; i >= 0; i--) {
        struct sim_ack *a = &t->ack[i];
        if (a->lost || sim_history_contains(w, timeline, a->timeline, a->lsn)) {
            continue;
        }
        a->lost = true;
        SIM_TRACE(w, "lost: %llx of timeline %u, acknowledged at %lld us under epoch %u",
                  (ull)a->lsn, a->timeline, (long long)a->at, a->epoch);
        if (loss.count == 0 || a->at > loss.newest) {
            loss.newest = a->at;
            loss.epoch = a->epoch;
        }
        loss.oldest = loss.count == 0 || a->at < loss.oldest ? a->at : loss.oldest;
        loss.count++;
        uint64_t behind = a->lsn - divergence(w, timeline, a->timeline);
        loss.bytes = behind > loss.bytes ? behind : loss.bytes;
    }
    return loss;
}

/* The prediction takes the busiest time of the last minute for what came unseen, as far as the
 * coordinator that made it had seen the primary: in this tenure, this life of its agent, and its
 * own. It is held to that only where the primary had been as busy for as long before. */
static bool as_busy_before(const struct sim_world *w, const struct loss *lost)
{
    const struct sim_truth *t = &w->truth;
    sim_time span = t->top_plan.loss.time.us;
    sim_time least = lost->oldest - 60 * SIM_SECOND;
    least = t->seen_since > least ? t->seen_since : least;
    int first = 0;
    /* What came after the last sample that counts was not seen. */
    sim_time selected = t->top_plan.entered_us[HF_STEP_GAP] - SIM_WALL_START;
    sim_time end = selected - span < lost->oldest ? selected - span : lost->oldest;
    for (int i = 0; i < t->acks && t->ack[i].at < end; i++) {
        const struct sim_ack *a = &t->ack[i];
        while (t->ack[first].at < least || t->ack[first].timeline != a->timeline ||
               t->ack[first].epoch != a->epoch || a->at - t->ack[first].at > span) {
            if (++first >= i) {
                break;
            }
        }
        /* Clearly as busy: its samples are a heartbeat apart. */
        if (first < i && a->epoch == lost->epoch && !a->stalled && !t->ack[first].stalled &&
            a->lsn - t->ack[first].lsn >= lost->bytes + lost->bytes / 8) {
            return true;
        }
    }
    return false;
}

static void check_loss(struct sim_world *w, int node, const struct loss *lost)
{
    const struct hf_plan *p = &w->truth.top_plan;
    const struct hf_policy *policy = &w->etcd.policy;
    bool limited = policy->failover.max_loss_time.us != HF_POLICY_NO_TIME_LIMIT.us ||
                   policy->failover.max_loss_wal != HF_POLICY_NO_WAL_LIMIT;
    if (sim_node_by_name(p->to.s) != node) {
        return; /* a plan that failed since: its choice is no successor */
    }
    if (!p->loss.known) {
        if (limited && !p->confirmed && policy->failover.on_excess_loss != HF_EXCESS_PROMOTE) {
            sim_fail(w, SIM_CHECK_LOSS, "plan %s goes on with an unknown loss", p->id);
        }
        return;
    }
    if (p->kind == HF_PLAN_SWITCHOVER) {
        uint64_t *arrived =
            sim_node_by_name(p->from.s) == node ? &w->stats.switched_back : &w->stats.switched;
        (*arrived)++;
        if (p->loss.bytes == 0 && lost->count > 0) {
            sim_fail(w, SIM_CHECK_LOSS, "switchover %s loses %d commits", p->id, lost->count);
        }
    }
    bool more = lost->bytes > p->loss.bytes;
    bool older = lost->newest - lost->oldest > p->loss.time.us + 50 * SIM_MS;
    /* A machine that was paused with its clock does not know how long nothing was seen. */
    const struct sim_host *h = &w->hosts[SIM_HOST_COORD + w->truth.predictor];
    bool stood = h->stood_until > lost->oldest &&
                 lost->newest - lost->oldest <= p->loss.time.us + h->stood_us + 50 * SIM_MS;
    if (lost->count > 0 && (more || older) && stood) {
        w->stats.stood_still++;
        more = older = false;
    } else if (more && !as_busy_before(w, lost)) {
        w->stats.busier++;
        more = false;
    }
    if (lost->count > 0 && (more || older)) {
        sim_fail(w, SIM_CHECK_LOSS,
                 "plan %s predicted %llu bytes and %lld us; %d commits of %llu bytes and %lld us "
                 "are lost",
                 p->id, (ull)p->loss.bytes, (long long)p->loss.time.us, lost->count,
                 (ull)lost->bytes, (long long)(lost->newest - lost->oldest));
    }
    w->stats.lost_commits += (uint64_t)lost->count;
}

void sim_check_promoted(struct sim_world *w, int node, uint32_t timeline, uint32_t parent,
                        uint64_t fork)
{
    struct sim_truth *t = &w->truth;
    if (timeline >= SIM_TIMELINES) {
        sim_fail(w, SIM_CHECK_TIMELINE, "timeline %u", timeline);
        return;
    }
    struct sim_timeline *l = &t->timeline[timeline];
    if (timeline != parent) {
        if (l->used || l->reserved_epoch == 0) {
            sim_fail(w, SIM_CHECK_TIMELINE, "%s forks timeline %u from %u at %llx: %s",
                     sim_node_names[node], timeline, parent, (ull)fork,
                     l->used ? "it was forked elsewhere already" : "nobody reserved it");
            return;
        }
        l->used = true;
        l->parent = parent;
        l->fork = fork;
        l->node = node;
    }
    struct loss lost = find_lost(w, timeline);
    check_loss(w, node, &lost);
}
