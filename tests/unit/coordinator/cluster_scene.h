/* SPDX-License-Identifier: Apache-2.0
 *
 * A healthy cluster of three regions as a leader sees it, and the few verbs that tests of its
 * decisions share. Included once by each of them.
 */
#ifndef TEST_CLUSTER_SCENE_H
#define TEST_CLUSTER_SCENE_H

#include <stdio.h>
#include <string.h>

#include "coordinator/core/cluster.h"

#define L_US 6000000
enum { EU, US, AP };

static struct hf_policy policy;
static struct hf_cluster_state state;
static struct hf_plan plan;
static struct hf_cluster_view v;
static struct hf_decision out;
static const char *const nodes[] = {"eu-1", "us-1", "ap-1"};
static const char *const regions[] = {"eu", "us", "ap"};

__attribute__((unused)) static hf_name name(const char *text)
{
    hf_name n = {0};
    (void)snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

__attribute__((unused)) static void node(int i, enum hf_node_state s)
{
    v.nodes[i].beat.state = s;
}

__attribute__((unused)) static void healthy(void)
{
    hf_policy_init(&policy);
    policy.level = HF_LEVEL_MANAGE;
    policy.bootstrap.kind = HF_BOOTSTRAP_ADOPT;
    policy.bootstrap.name = name("eu-1");
    policy.node_count = 3;
    policy.failover.prefer.count = 1;
    policy.failover.prefer.v[0] = name("us");
    memset(&v, 0, sizeof v);
    memset(&state, 0, sizeof state);
    memset(&plan, 0, sizeof plan);
    v.now = (hf_lclk){100000000};
    v.leader_since = (hf_lclk){50000000};
    v.listening_since = (hf_lclk){50000000};
    v.ttl = HF_US(L_US);
    v.margin_ppm = 10000;
    v.policy = &policy;
    v.state = &state;
    v.node_count = 3;
    v.route_done = true;
    state.generation = HF_GENERATION(1);
    state.epoch = HF_EPOCH(1);
    state.primary = name("eu-1");
    state.primary_epoch = HF_EPOCH(1);
    state.timeline = HF_TLI(1);
    state.system_id = 42;
    state.candidates.version = 2;
    state.candidates.count = 2;
    state.candidates.members[0] = name("us-1");
    state.candidates.members[1] = name("ap-1");
    state.acked = state.candidates;
    for (int i = 0; i < 3; i++) {
        struct hf_node_view *n = &v.nodes[i];
        policy.nodes[i].name = n->name = name(nodes[i]);
        policy.nodes[i].region = n->region = name(regions[i]);
        (void)snprintf(n->address, sizeof n->address, "127.0.%d.1:5432", i + 1);
        n->seen = n->connected = true;
        n->seen_at = (hf_lclk){v.now.us - 100000};
        n->beat.epoch = HF_EPOCH(1);
        n->beat.generation = HF_GENERATION(1);
        n->beat.system_id = 42;
        n->beat.timeline = HF_TLI(1);
        n->beat.flushed = HF_LSN(0x5000);
        n->beat.state = i == EU ? HF_NODE_PRIMARY : HF_NODE_STANDBY;
        n->beat.streaming = i != EU;
    }
    v.nodes[EU].beat.guard = true;
    v.nodes[EU].beat.want_lease = true;
    v.nodes[EU].beat.lease_epoch = HF_EPOCH(1);
    v.nodes[EU].beat.lease_serial = 1;
    v.nodes[EU].beat.lease_remaining = HF_SEC(5);
    v.nodes[EU].beat.candidates_acked = 2;
    v.outstanding.until = (hf_lclk){v.now.us + 5000000};
}

__attribute__((unused)) static void silence(int i, int64_t us)
{
    v.nodes[i].seen_at = (hf_lclk){v.now.us - us};
    v.nodes[i].connected = false;
}

__attribute__((unused)) static void decide(void)
{
    hf_cluster_decide(&v, &out);
    assert_false(out.write && out.commands > 0);
}

/* Takes what was written as the new truth. */
__attribute__((unused)) static void written(void)
{
    assert_true(out.write);
    state = out.state;
    if (out.write_plan) {
        plan = out.plan;
        v.plan = state.plan[0] != '\0' ? &plan : NULL;
    }
    v.step_since = v.now;
}

__attribute__((unused)) static const struct hf_command *command_to(int i, enum hf_command_kind kind)
{
    for (int k = 0; k < out.commands; k++) {
        if (out.command[k].command.kind == kind && strcmp(out.command[k].to.s, nodes[i]) == 0) {
            return &out.command[k].command;
        }
    }
    return NULL;
}

__attribute__((unused)) static void eu_lost(void)
{
    silence(EU, 7000000);
    v.outstanding.until = (hf_lclk){v.now.us - 1};
}

__attribute__((unused)) static void prepare_answers(int i, uint64_t end)
{
    struct hf_heartbeat *b = &v.nodes[i].beat;
    b->state = HF_NODE_PREPARED;
    b->streaming = false;
    b->epoch = b->prepared = state.epoch;
    b->final = HF_LSN(end);
    b->final_timeline = HF_TLI(1);
    b->final_known = true;
}

#endif
