/* SPDX-License-Identifier: Apache-2.0
 *
 * The effect BACKUP: a backup into every configured repository, beside everything else; its result
 * is a report that survives until a coordinator has it.
 */
#include <stdio.h>
#include <string.h>

#include "agent/backup/backup.h"
#include "agent/backup/publish.h"
#include "agent/node/agent.h"
#include "agent/repo/site.h"
#include "common/base/mem.h"
#include "common/core/lsn.h"
#include "common/io/clock.h"
#include "common/io/log.h"

enum { PUBLISH_STEP_MS = 1000 };
#define PUBLISH_PATIENCE HF_SEC(900)

struct hf_backup_job {
    struct hf_job job; /* first */
    struct hf_agent *agent;
    uint64_t id;
    hf_epoch epoch;
    uint64_t system_id;
    char command[HF_LABEL_SIZE];
    char primary[HF_ADDRESS_SIZE]; /* of the cluster, when this node is a standby; else "" */
    hf_wall began;
    hf_wall ended;
    struct hf_backup_result backup;
    char regions[HF_MAX_REGIONS][HF_NAME_SIZE];
    size_t region_count;
    hf_result result;
    struct hf_err err;
};

/* A standby cannot switch WAL: the primary is asked to, so that the last segment that the backup
 * needs is archived although nobody writes (rule B3). */
static void switch_upstream(const struct hf_backup_job *b)
{
    struct hf_err err;
    if (b->primary[0] != '\0' && !hf_ok(hf_op_remote(&b->agent->config->postgresql, b->primary,
                                                     "SELECT pg_switch_wal()", &err))) {
        hf_log(HF_LOG_WARNING, "SWITCH_FAILED", "the primary did not switch its WAL",
               HF_KV("primary", b->primary), HF_KV_ERR(&err));
    }
}

/* Publishing waits for WAL that is archived beside this (rule B5). */
static void publish_rest(struct hf_backup_job *b, struct hf_site *site)
{
    hf_lclk until = hf_lclk_add(hf_clock_lease(), PUBLISH_PATIENCE);
    switch_upstream(b);
    for (;;) {
        bool waits = false;
        for (size_t i = 0; i < b->region_count; i++) {
            struct hf_err why;
            bool published = false;
            if (b->backup.state[i] != HF_BACKUP_WAL_PENDING) {
                continue;
            }
            if (hf_ok(hf_backup_publish(site->repositories[i], b->backup.label, &published, NULL, 0,
                                        &why)) &&
                published) {
                b->backup.state[i] = HF_BACKUP_PUBLISHED;
            }
            waits = waits || b->backup.state[i] == HF_BACKUP_WAL_PENDING;
        }
        if (!waits || hf_job_canceled(&b->job) || hf_lclk_reached(hf_clock_lease(), until)) {
            return;
        }
        hf_op_sleep_ms(PUBLISH_STEP_MS);
    }
}

static hf_result back_up(struct hf_backup_job *b, struct hf_err *err)
{
    const struct hf_config_agent *config = b->agent->config;
    HF_AUTOSITE struct hf_site site = {.count = 0};
    struct hf_pg_config pg;
    char port[8];
    hf_health_pg_config(&config->postgresql, port, &pg);
    pg.options = NULL;
    HF_TRY(hf_site_open(config, NULL, b->system_id, &site, err));
    b->region_count = hf_site_compact(&site);
    for (size_t i = 0; i < b->region_count; i++) {
        snprintf(b->regions[i], HF_NAME_SIZE, "%s", hf_repository_name(site.repositories[i]));
    }
    const struct hf_backup_request request = {
        .pg = &pg,
        .repositories = site.repositories,
        .repository_count = b->region_count,
        .region = config->region.s,
        .epoch = b->epoch,
        .type = HF_BACKUP_FULL,
        .workers = config->backup.workers,
        .zstd_level = config->backup.zstd_level,
        .pack_size = config->backup.pack_size,
        .memory = config->backup.memory,
        .cancel = &b->job.canceled,
    };
    HF_TRY(hf_backup_run(&request, &b->backup, err));
    publish_rest(b, &site);
    return hf_done();
}

static void backup_run(struct hf_job *job)
{
    struct hf_backup_job *b = (struct hf_backup_job *)job;
    b->began = hf_clock_wall();
    b->result = back_up(b, &b->err);
    b->ended = hf_clock_wall();
}

/* docs/api.md, "Backup". */
static hf_json *report_body(const struct hf_backup_job *b)
{
    char text[HF_CLOCK_TEXT_SIZE];
    char lsn[HF_LSN_SIZE];
    bool all = true;
    hf_json *o = hf_json_object();
    hf_json *regions = hf_json_array();
    for (size_t i = 0; i < b->region_count; i++) {
        if (b->backup.state[i] == HF_BACKUP_PUBLISHED) {
            hf_json_push_text(regions, b->regions[i]);
        } else {
            all = false;
        }
    }
    hf_json_put_text(o, "label", b->backup.label[0] != '\0' ? b->backup.label : b->command);
    hf_json_put_text(o, "type", "full");
    hf_json_put_text(o, "node", b->agent->config->name.s);
    hf_json_put_text(o, "region", b->agent->config->region.s);
    hf_json_put_text(o, "state", !hf_ok(b->result) ? "failed" : all ? "complete" : "wal-pending");
    hf_json_put_text(o, "command", b->command);
    hf_clock_wall_text(b->began, text, sizeof(text));
    hf_json_put_text(o, "started_at", text);
    hf_clock_wall_text(b->ended, text, sizeof(text));
    hf_json_put_text(o, "completed_at", text);
    hf_json_put_u64(o, "size_bytes", b->backup.original_bytes);
    hf_json_put_u64(o, "stored_bytes", b->backup.stored_bytes);
    hf_json_put_text(o, "start_lsn", hf_lsn_format(b->backup.start, lsn));
    hf_json_put_text(o, "stop_lsn", hf_lsn_format(b->backup.stop, lsn));
    hf_json_put_int(o, "timeline", (int)b->backup.timeline.v);
    hf_json_put(o, "regions", regions);
    if (hf_ok(b->result)) {
        hf_json_put_null(o, "error");
    } else {
        hf_json_put_text(o, "error", b->err.text);
    }
    return o;
}

static hf_result report(struct hf_backup_job *b, struct hf_err *err)
{
    HF_BUF(text, HF_BODY_SIZE - 1);
    HF_AUTOJSON hf_json *body = report_body(b);
    HF_TRY(hf_json_write(body, &text, err));
    struct hf_report *r = hf_alloc(sizeof(*r));
    snprintf(r->id, sizeof(r->id), "b-%.40s-%016llx", b->backup.label,
             (unsigned long long)hf_random_u64());
    snprintf(r->kind, sizeof(r->kind), "backup");
    memcpy(r->body, hf_buf_text(&text), text.len + 1);
    hf_result result = hf_link_report(b->agent->link, r, err);
    hf_free(r);
    return result;
}

static void backup_done(struct hf_job *job)
{
    struct hf_backup_job *b = (struct hf_backup_job *)job;
    struct hf_agent *a = b->agent;
    struct hf_err err;
    if (a->stopping) {
        return; /* freed with the agent */
    }
    a->backup = NULL;
    if (!job->ran) {
        b->result = hf_fail(&b->err, HF_E_CANCELED, "canceled before it began");
    }
    hf_log(hf_ok(b->result) ? HF_LOG_NOTICE : HF_LOG_ERROR, "BACKUP_ENDED", "backup ended",
           HF_KV("label", b->backup.label), HF_KV("command", b->command),
           HF_KV_BOOL("ok", hf_ok(b->result)), HF_KV("error", hf_ok(b->result) ? "" : b->err.text),
           HF_KV_U64("stored_bytes", b->backup.stored_bytes));
    if (a->link != NULL && !hf_ok(report(b, &err))) {
        hf_log(HF_LOG_ERROR, "REPORT_LOST", "the backup's report could not be kept",
               HF_KV_ERR(&err));
    }
    const struct hf_agent_event e = {.kind = HF_EVENT_EFFECT_DONE,
                                     .effect_id = b->id,
                                     .ok = hf_ok(b->result),
                                     .error = hf_ok(b->result) ? "" : b->err.text};
    hf_free(b);
    hf_agent_step(a, &e, 0);
}

static void backup_refused(void *arg)
{
    backup_done(arg);
}

void hf_agent_backup_start(struct hf_agent *a, const struct hf_agent_effect *e)
{
    struct hf_err err;
    HF_ASSERT(a->backup == NULL); /* the core begins one at a time */
    struct hf_backup_job *b = hf_alloc(sizeof(*b));
    b->job.run = backup_run;
    b->job.done = backup_done;
    b->agent = a;
    b->id = e->id;
    b->epoch = e->epoch;
    b->system_id = a->seen.system_id;
    memcpy(b->command, e->command, sizeof(b->command));
    if (a->seen.in_recovery) {
        memcpy(b->primary, a->core->view.primary_address, sizeof(b->primary));
    }
    a->backup = b;
    hf_log(HF_LOG_NOTICE, "BACKUP_BEGINS", "backup begins", HF_KV("command", b->command));
    if (!hf_ok(hf_pool_submit(a->work, HF_LANE_BULK, &b->job, &err))) {
        /* Too much waits: it is tried again by the next command; the core hears of it in its next
         * round, never from within an effect. */
        b->job.ran = false;
        b->result = hf_fail(&b->err, HF_E_LIMIT, "%s", err.text);
        HF_IGNORE(hf_loop_post(a->loop, backup_refused, b, NULL), "then the command times out");
    }
}

void hf_agent_backup_free(struct hf_agent *a)
{
    hf_free(a->backup);
    a->backup = NULL;
}
