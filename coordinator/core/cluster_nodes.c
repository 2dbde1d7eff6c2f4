/* SPDX-License-Identifier: Apache-2.0
 *
 * What a leader thinks of single nodes, and how it attaches them to the primary.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/core/cluster_parts.h"

const struct hf_node_view *hf_view_node(const struct hf_cluster_view *v, const hf_name *name)
{
    for (int i = 0; i < v->node_count; i++) {
        if (hf_name_equal(&v->nodes[i].name, name)) {
            return &v->nodes[i];
        }
    }
    return NULL;
}

hf_dur hf_node_silence(const struct hf_cluster_view *v, const struct hf_node_view *n)
{
    return hf_lclk_sub(v->now, n->seen ? n->seen_at : v->leader_since);
}

bool hf_node_present(const struct hf_cluster_view *v, const struct hf_node_view *n)
{
    return n->seen && n->connected && hf_node_silence(v, n).us < v->ttl.us / 2;
}

bool hf_node_foreign(const struct hf_cluster_view *v, const struct hf_node_view *n)
{
    return n->beat.system_id != 0 && v->state->system_id != 0 &&
           n->beat.system_id != v->state->system_id;
}

/* In force at the primary is the set that it acknowledged or the one that it was told since: only
 * members of both are certainly asked for a promise. Before the first acknowledgement of a term
 * nothing but the told set can be in force. */
bool hf_node_eligible(const struct hf_cluster_view *v, const hf_name *name)
{
    const struct hf_cluster_state *s = v->state;
    return hf_candidates_contain(&s->candidates, name) &&
           (s->acked.version == 0 || hf_candidates_contain(&s->acked, name));
}

bool hf_node_prepared(const struct hf_node_view *n, hf_epoch epoch)
{
    return n->seen && n->beat.prepared.v == epoch.v && n->beat.final_known &&
           n->beat.state == HF_NODE_PREPARED;
}

bool hf_on_history(const struct hf_cluster_view *v, hf_tli timeline, hf_lsn end)
{
    const struct hf_cluster_state *s = v->state;
    if (timeline.v == s->timeline.v) {
        return true;
    }
    return timeline.v != 0 && timeline.v == s->parent.v && end.v <= s->fork.v;
}

static void attach_command(const struct hf_cluster_view *v, struct hf_decision *out,
                           const struct hf_node_view *n, const struct hf_node_view *primary,
                           enum hf_command_kind kind)
{
    struct hf_command *c = hf_decide_command(out, n, kind, v->state->epoch);
    c->node = primary->name;
    c->timeline = v->state->timeline;
    memcpy(c->address, primary->address, sizeof c->address);
    if (kind != HF_COMMAND_COPY) {
        return;
    }
    /* A rejoin that ended must be a new command when it is wanted again. */
    unsigned attempt = 1;
    unsigned last = 0;
    char stem[HF_LABEL_SIZE];
    (void)snprintf(stem, sizeof stem, "%.40s", c->id);
    size_t len = strlen(stem);
    if (strncmp(n->beat.op, stem, len) == 0 && n->beat.op[len] == '.' &&
        sscanf(n->beat.op + len + 1, "%u", &last) == 1) {
        attempt =
            n->beat.op_status == HF_OP_RUNNING || n->beat.op_status == HF_OP_NONE ? last : last + 1;
    }
    (void)snprintf(c->id, sizeof c->id, "%.40s.%u", stem, attempt);
}

/* Returns true when the node is on its way but not there. */
static bool attach(const struct hf_cluster_view *v, struct hf_decision *out,
                   const struct hf_node_view *n, const struct hf_node_view *primary)
{
    const struct hf_heartbeat *b = &n->beat;
    switch (b->state) {
    case HF_NODE_EMPTY:
        attach_command(v, out, n, primary, HF_COMMAND_COPY);
        return true;
    case HF_NODE_DOWN:
        /* Where its WAL ends decides between following and rejoining. */
        (void)hf_decide_command(out, n, HF_COMMAND_PREPARE, v->state->epoch);
        return true;
    case HF_NODE_PREPARED:
        if (b->prepared.v != v->state->epoch.v || !b->final_known) {
            (void)hf_decide_command(out, n, HF_COMMAND_PREPARE, v->state->epoch);
        } else if (hf_on_history(v, b->final_timeline, b->final)) {
            attach_command(v, out, n, primary, HF_COMMAND_FOLLOW);
        } else {
            hf_decide_warn(out,
                           "DIVERGED: the WAL of %s does not end in the primary's last two "
                           "timelines; what the primary lacks is saved, then the node follows, is "
                           "rewound or copied anew",
                           n->name.s);
            attach_command(v, out, n, primary, HF_COMMAND_COPY);
        }
        return true;
    case HF_NODE_STANDBY:
        if (b->streaming) {
            return false;
        }
        if (b->epoch.v < v->state->epoch.v) {
            (void)hf_decide_command(out, n, HF_COMMAND_PREPARE, v->state->epoch);
        } else if (b->timeline.v == v->state->timeline.v || b->timeline.v == 0 ||
                   hf_on_history(v, b->timeline, b->flushed)) {
            attach_command(v, out, n, primary, HF_COMMAND_FOLLOW);
        } else {
            (void)hf_decide_command(out, n, HF_COMMAND_PREPARE, v->state->epoch);
        }
        return true;
    case HF_NODE_PRIMARY:
    case HF_NODE_STARTING:
    case HF_NODE_ELECTED:
        (void)hf_decide_command(out, n, HF_COMMAND_PREPARE, v->state->epoch);
        return true;
    case HF_NODE_UNMANAGED:
        hf_decide_warn(out, "UNMANAGED: %s is writable and was never adopted", n->name.s);
        return false;
    case HF_NODE_PREPARING:
    case HF_NODE_STOPPING:
    case HF_NODE_FENCING:
    case HF_NODE_COPYING:
    case HF_NODE_FOLLOWING:
        return true;
    case HF_NODE_UNKNOWN:
    case HF_NODE_ARCHIVE:
    case HF_NODE_STATES:
        return false;
    }
    return false;
}

int hf_nodes_attach(const struct hf_cluster_view *v, struct hf_decision *out)
{
    const struct hf_node_view *primary = hf_view_node(v, &v->state->primary);
    int pending = 0;
    if (primary == NULL || primary->beat.state != HF_NODE_PRIMARY || !hf_node_present(v, primary) ||
        v->state->timeline.v == 0) {
        return 0;
    }
    for (int i = 0; i < v->node_count; i++) {
        const struct hf_node_view *n = &v->nodes[i];
        if (n == primary || !hf_node_present(v, n)) {
            continue;
        }
        if (hf_node_foreign(v, n)) {
            hf_decide_warn(out,
                           "FOREIGN_SYSTEM: %s has another system identifier; it is left alone",
                           n->name.s);
            continue;
        }
        if (n->beat.system_id == 0 &&
            (n->beat.state == HF_NODE_DOWN || n->beat.state == HF_NODE_PREPARED ||
             n->beat.state == HF_NODE_STANDBY)) {
            /* Whose data it holds is not known: nothing that could overwrite it. */
            hf_decide_warn(out, "UNKNOWN_SYSTEM: %s does not say whose data it holds", n->name.s);
            continue;
        }
        pending += attach(v, out, n, primary) ? 1 : 0;
    }
    return pending;
}
