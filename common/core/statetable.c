/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/statetable.h"

#include "common/core/fields.h"

#define ROW(from, to, guard, effect, comment)                                                      \
    {                                                                                              \
        HF_NODE_##from, HF_NODE_##to, guard, effect, comment                                       \
    }

const struct hf_node_row hf_node_table[] = {
    /* What a first look finds. */
    ROW(UNKNOWN, EMPTY, "no complete data directory", "", "a new node, or a half-made copy"),
    ROW(UNKNOWN, DOWN, "complete, not running, not leading", "", ""),
    ROW(UNKNOWN, UNMANAGED, "writable, no epoch adopted yet", "", "before adoption"),
    ROW(UNKNOWN, STANDBY, "running in recovery", "", ""),
    ROW(UNKNOWN, PRIMARY, "writable, led is the adopted epoch", "ask under a new serial",
        "the agent restarted; the page of its last life still holds"),
    ROW(UNKNOWN, FENCING, "writable without right, or led and gone", "kill",
        "a hand promotion, or a crash while the agent was away"),
    ROW(UNKNOWN, ARCHIVE, "configured without PostgreSQL", "", ""),
    /* What happens by itself. */
    ROW(EMPTY, DOWN, "directory became complete", "", "somebody made it by hand"),
    ROW(EMPTY, UNMANAGED, "writable, no epoch adopted", "", ""),
    ROW(EMPTY, STANDBY, "running in recovery", "", ""),
    ROW(EMPTY, FENCING, "writable without right", "kill", ""),
    ROW(DOWN, EMPTY, "directory is gone", "", ""),
    ROW(DOWN, STANDBY, "running in recovery", "", "started outside Holdfast: in recovery (L8)"),
    ROW(DOWN, UNMANAGED, "writable, no epoch adopted", "", ""),
    ROW(DOWN, FENCING, "writable without right", "kill", ""),
    ROW(UNMANAGED, DOWN, "stopped", "", ""),
    ROW(UNMANAGED, EMPTY, "directory is gone", "", ""),
    ROW(UNMANAGED, STANDBY, "running in recovery", "", ""),
    ROW(STANDBY, DOWN, "stopped", "", ""),
    ROW(STANDBY, EMPTY, "directory is gone", "", ""),
    ROW(STANDBY, UNMANAGED, "promoted by hand, no epoch adopted", "", ""),
    ROW(STANDBY, FENCING, "promoted by hand", "kill", "commits nothing without a lease"),
    ROW(PREPARED, FENCING, "promoted by hand", "kill", ""),
    ROW(PREPARED, EMPTY, "directory is gone", "", ""),
    /* prepare (L9) */
    ROW(STANDBY, PREPARING, "prepare", "persist epoch; stop receiving", ""),
    ROW(DOWN, PREPARING, "prepare", "persist epoch; find the end of the WAL", ""),
    ROW(PREPARED, PREPARING, "prepare of a newer epoch", "persist epoch; look again", ""),
    ROW(ELECTED, PREPARING, "prepare of a newer epoch, nothing begun", "persist epoch", ""),
    ROW(FOLLOWING, PREPARING, "prepare, when following ended", "stop receiving", ""),
    ROW(COPYING, PREPARING, "prepare, when the copy ended", "stop receiving", ""),
    ROW(PREPARING, PREPARED, "end known", "", "final position goes out with the heartbeat"),
    ROW(PREPARING, STANDBY, "could not stop receiving", "", "the leader asks again"),
    ROW(PREPARING, DOWN, "end not found", "", "the leader asks again"),
    ROW(PREPARING, EMPTY, "directory is gone", "", ""),
    ROW(PREPARING, FENCING, "writable without right", "kill", ""),
    /* lead */
    ROW(PREPARED, ELECTED, "lead of the prepared epoch, promise over or released",
        "persist led, serial", "asks for the lease"),
    ROW(UNMANAGED, ELECTED, "lead (bootstrap)", "persist epoch, led, serial", ""),
    ROW(DOWN, ELECTED, "lead (bootstrap), no epoch adopted yet", "persist epoch, led, serial", ""),
    ROW(ELECTED, STARTING, "lease granted", "open the page; promote, start, or adopt", ""),
    ROW(ELECTED, FENCING, "view or command of a newer epoch, or writable and lease over", "kill",
        ""),
    ROW(STARTING, PRIMARY, "writable under the lease", "", ""),
    ROW(STARTING, FENCING, "failed, lease over, or newer epoch", "close the page; kill", ""),
    ROW(PRIMARY, FENCING, "lease over, postmaster gone, or newer epoch", "close the page; kill",
        ""),
    ROW(PRIMARY, STOPPING, "stop", "persist order; clean shutdown",
        "the lease is held until nothing is left"),
    ROW(STOPPING, FENCING, "PostgreSQL ended, or not in time, or lease over, or newer epoch",
        "close the page; kill what is left", ""),
    ROW(FENCING, DOWN, "no process left", "persist surrender", "the epoch is given up for good"),
    ROW(FENCING, EMPTY, "no process left, directory gone", "persist surrender", ""),
    ROW(FENCING, PREPARING, "no process left, prepare waits", "persist surrender; find the end",
        ""),
    /* follow, copy */
    ROW(STANDBY, FOLLOWING, "follow", "point to the primary", ""),
    ROW(PREPARED, FOLLOWING, "follow", "point to the primary", ""),
    ROW(DOWN, FOLLOWING, "follow", "start as a standby", ""),
    ROW(FOLLOWING, STANDBY, "running in recovery", "", ""),
    ROW(FOLLOWING, DOWN, "did not start", "", "the leader decides again"),
    ROW(FOLLOWING, EMPTY, "directory is gone", "", ""),
    ROW(FOLLOWING, FENCING, "writable without right", "kill", ""),
    ROW(EMPTY, COPYING, "copy", "persist copying; copy", ""),
    ROW(DOWN, COPYING, "copy", "persist copying; copy", ""),
    ROW(STANDBY, COPYING, "copy", "persist copying; copy", ""),
    ROW(PREPARED, COPYING, "copy", "persist copying; copy", ""),
    ROW(COPYING, STANDBY, "complete and running", "persist copied", ""),
    ROW(COPYING, EMPTY, "failed", "", "a half-made directory never starts"),
    ROW(COPYING, FENCING, "writable without right", "kill", ""),
};
const size_t hf_node_table_rows = sizeof hf_node_table / sizeof *hf_node_table;
#undef ROW

#define ROW(from, to, guard, effect, comment)                                                      \
    {                                                                                              \
        HF_STEP_##from, HF_STEP_##to, guard, effect, comment                                       \
    }

const struct hf_step_row hf_step_table[] = {
    ROW(DRAIN, STOP, "archive drained, target streams and is near", "drain to the primary",
        "nothing has happened to clients yet"),
    ROW(DRAIN, FAILED, "not drained in time, target gone, or primary lost", "",
        "a failover follows if it is lost"),
    ROW(STOP, PREPARE, "surrendered, late, or primary lost", "stop to the primary; burn the epoch",
        "from here on as a failover"),
    ROW(STOP, FAILED, "refused by the primary, which leads on", "", ""),
    ROW(PREPARE, FENCE, "every reachable candidate is prepared, at least one with a known end",
        "prepare to every node", "L9"),
    ROW(PREPARE, FAILED, "etcd was restored", "", "void (L12)"),
    ROW(FENCE, SELECT, "surrender, or every lease and promise over", "persist fenced",
        "L2, L4, L6"),
    ROW(FENCE, FAILED, "etcd was restored", "", "void (L12)"),
    ROW(SELECT, GAP, "highest final position among the prepared", "persist choice and loss",
        "L11: re-selection burns another epoch"),
    ROW(SELECT, FAILED, "nobody can be chosen any more", "", ""),
    ROW(GAP, LOSS, "what repositories hold beyond the choice is named", "", ""),
    ROW(GAP, FAILED, "etcd was restored", "", "void (L12)"),
    ROW(LOSS, CONFIRM, "policy wants a person", "", ""),
    ROW(LOSS, RESERVE, "loss within the policy", "", ""),
    ROW(LOSS, FAILED, "etcd was restored", "", "void (L12)"),
    ROW(CONFIRM, RESERVE, "a person confirmed", "", ""),
    ROW(CONFIRM, FAILED, "etcd was restored", "", "void (L12)"),
    ROW(RESERVE, LEAD, "timeline number created once", "persist timeline", "L14"),
    ROW(RESERVE, FAILED, "etcd was restored", "", "void (L12)"),
    ROW(LEAD, ROUTE, "the choice is writable under its lease", "lead to the choice", ""),
    ROW(LEAD, FAILED, "surrendered, or silent past its lease", "", "the next plan burns another"),
    ROW(ROUTE, REPOINT, "name verified at the servers, or late", "publish the address", ""),
    ROW(ROUTE, FAILED, "the new primary is gone", "", ""),
    ROW(REPOINT, VERIFY, "every reachable node follows, or late", "follow or copy to the others",
        ""),
    ROW(REPOINT, FAILED, "the new primary is gone", "", ""),
    ROW(VERIFY, DONE, "a commit from outside, or late with a warning", "probe from another node",
        ""),
    ROW(VERIFY, FAILED, "the new primary is gone", "", ""),
};
const size_t hf_step_table_rows = sizeof hf_step_table / sizeof *hf_step_table;
#undef ROW

const char *const hf_step_names[HF_STEPS + 1] = {
    "drain",   "stop", "prepare", "fence",   "select", "gap",  "loss",   "confirm",
    "reserve", "lead", "route",   "repoint", "verify", "done", "failed", NULL};
const char *const hf_plan_kind_names[HF_PLAN_KINDS + 1] = {"bootstrap", "failover", "switchover",
                                                           "recovery", NULL};

bool hf_node_may(enum hf_node_state from, enum hf_node_state to)
{
    for (size_t i = 0; i < hf_node_table_rows; i++) {
        if (hf_node_table[i].from == from && hf_node_table[i].to == to) {
            return true;
        }
    }
    return false;
}

bool hf_step_may(enum hf_step from, enum hf_step to)
{
    for (size_t i = 0; i < hf_step_table_rows; i++) {
        if (hf_step_table[i].from == from && hf_step_table[i].to == to) {
            return true;
        }
    }
    return false;
}

const char *hf_step_name(enum hf_step s)
{
    return s < HF_STEPS ? hf_step_names[s] : "unknown";
}
const char *hf_plan_kind_name(enum hf_plan_kind k)
{
    return k < HF_PLAN_KINDS ? hf_plan_kind_names[k] : "unknown";
}

hf_result hf_step_parse(const char *text, enum hf_step *ret, struct hf_err *err)
{
    int index = 0;
    HF_TRY(hf_names_find(hf_step_names, text, "step", &index, err));
    *ret = (enum hf_step)index;
    return hf_done();
}
hf_result hf_plan_kind_parse(const char *text, enum hf_plan_kind *ret, struct hf_err *err)
{
    int index = 0;
    HF_TRY(hf_names_find(hf_plan_kind_names, text, "plan kind", &index, err));
    *ret = (enum hf_plan_kind)index;
    return hf_done();
}
