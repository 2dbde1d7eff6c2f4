/* SPDX-License-Identifier: Apache-2.0
 *
 * One agent's core and its world, for the tests that walk its decisions: events in, effects out. A
 * test program has one of each; standby(), prepared() and primary() begin anew.
 */
#ifndef HF_TESTS_AGENT_RIG_H
#define HF_TESTS_AGENT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/core/agent_core.h"

#define L_US 6000000

static struct hf_agent_core c;
static struct hf_agent_effects fx;
static int64_t now_us;
static uint64_t sequence;
static struct hf_pg_observation pg;

static inline hf_name name(const char *text)
{
    hf_name n = {0};
    (void)snprintf(n.s, sizeof n.s, "%s", text);
    return n;
}

static inline void step(struct hf_agent_event e)
{
    hf_agent_core_step(&c, &e, (hf_lclk){now_us}, &fx);
}

static inline void tick_after(int64_t us)
{
    now_us += us;
    step((struct hf_agent_event){.kind = HF_EVENT_TICK});
}

static inline void look(void)
{
    pg.clock_us = now_us;
    step((struct hf_agent_event){.kind = HF_EVENT_PG, .pg = &pg});
}

static inline const struct hf_agent_effect *effect(enum hf_agent_effect_kind kind)
{
    for (int i = 0; i < fx.count; i++) {
        if (fx.list[i].kind == kind) {
            return &fx.list[i];
        }
    }
    return NULL;
}

static inline int position(enum hf_agent_effect_kind kind)
{
    for (int i = 0; i < fx.count; i++) {
        if (fx.list[i].kind == kind) {
            return i;
        }
    }
    return -1;
}

static inline void config_for(struct hf_agent_config *config)
{
    *config = (struct hf_agent_config){.node = name("us-1"),
                                       .managed = true,
                                       .heartbeat = HF_MS(250),
                                       .ttl = {L_US},
                                       .margin_ppm = 10000,
                                       .grace = HF_SEC(15)};
}

static inline void start_agent(const struct hf_agent_record *record, bool first_start,
                               const char *boot)
{
    struct hf_agent_config config;
    config_for(&config);
    hf_agent_core_init(&c, &config, record, first_start, boot, 77, (hf_lclk){now_us});
    tick_after(0);
}

static inline void standby(void)
{
    now_us = 5000000000;
    sequence = 0;
    start_agent(NULL, true, "boot-a");
    pg = (struct hf_pg_observation){.complete = true,
                                    .running = true,
                                    .processes = true,
                                    .known = true,
                                    .in_recovery = true,
                                    .streaming = true,
                                    .system_id = 42,
                                    .timeline = {1},
                                    .flushed = {0x5000}};
    look();
    assert_int_equal(c.state, HF_NODE_STANDBY);
}

static inline void command(enum hf_command_kind kind, uint64_t epoch, const char *id)
{
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_COMMAND;
    m.command = (struct hf_command){.kind = kind,
                                    .generation = {1},
                                    .term = 10,
                                    .sequence = ++sequence,
                                    .epoch = {epoch},
                                    .seq = c.beat,
                                    .life = c.life,
                                    .ttl = HF_SEC(5),
                                    .node = name("eu-1")};
    (void)snprintf(m.command.id, sizeof m.command.id, "%s", id);
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static inline void done(bool ok, uint64_t end)
{
    step((struct hf_agent_event){.kind = HF_EVENT_EFFECT_DONE,
                                 .effect_id = c.effect_running,
                                 .ok = ok,
                                 .error = ok ? NULL : "it failed",
                                 .end = {end},
                                 .timeline = {1}});
}

static inline void grant_of(uint64_t seq, uint64_t epoch, uint64_t serial, uint64_t version)
{
    struct hf_message m;
    memset(&m, 0, sizeof m);
    m.type = HF_MESSAGE_GRANT;
    m.grant = (struct hf_grant){.seq = seq,
                                .life = c.life,
                                .generation = {1},
                                .epoch = {epoch},
                                .term = 10,
                                .serial = serial,
                                .ttl = {L_US}};
    m.grant.candidates.version = version;
    m.grant.candidates.count = 2;
    m.grant.candidates.members[0] = name("ap-1");
    m.grant.candidates.members[1] = name("eu-1");
    step((struct hf_agent_event){.kind = HF_EVENT_MESSAGE, .message = &m});
}

static inline void prepared(void)
{
    standby();
    command(HF_COMMAND_PREPARE, 2, "prepare.2.us-1");
    assert_int_equal(c.state, HF_NODE_PREPARING);
    done(true, 0x6000);
    assert_int_equal(c.state, HF_NODE_PREPARED);
}

static inline void primary(void)
{
    prepared();
    command(HF_COMMAND_LEAD, 2, "lead.2.us-1");
    assert_int_equal(c.state, HF_NODE_ELECTED);
    tick_after(250000);
    grant_of(c.beat, 2, c.serial, 3);
    assert_int_equal(c.state, HF_NODE_STARTING);
    done(true, 0);
    assert_int_equal(c.state, HF_NODE_PRIMARY);
    pg.in_recovery = false;
    pg.timeline = HF_TLI(2);
    look();
}

#endif
