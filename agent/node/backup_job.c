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
#include "common/io/clock.h"
#include "common/io/log.h"

struct hf_backup_job {
    struct hf_job job; /* first */
    struct hf_agent *agent;
    uint64_t id;
    hf_epoch epoch;
    uint64_t system_id;
    char command[HF_LABEL_SIZE];
    hf_wall began;
    hf_wall ended;
    struct hf_backup_result backup;
    char regions[HF_MAX_REGIONS][HF_NAME_SIZE];
    size_t region_count;
    hf_result result;
    struct hf_err err;
};

static hf_result back_up(struct hf_backup_job *b, struct hf_err *err)
{
    const struct hf_config_agent *config = b->agent->config;
    HF_AUTOSITE struct hf_site site = {.count = 0};
    struct hf_pg_config pg;
    char port[8];
    hf_health_pg_config(&config->postgresql, port, &pg);
    pg.options = NULL;
    HF_TRY(hf_site_open(config, NULL, b->system_id, &site, err));
    size_t open = hf_site_compact(&site);
    for (size_t i = 0; i < open; i++) {
        snprintf(b->regions[i], HF_NAME_SIZE, "%s", hf_repository_region(site.repositories[i]));
    }
    b->region_count = open;
    const struct hf_backup_request request = {
        .pg = &pg,
        .repositories = site.repositories,
        .repository_count = open,
        .region = config->region.s,
        .epoch = b->epoch,
        .type = HF_BACKUP_FULL,
        .workers = config->backup.workers,
        .zstd_level = config->backup.zstd_level,
        .pack_size = config->backup.pack_size,
        .memory = config->backup.memory,
        .cancel = &b->job.canceled,
    };
    return hf_backup_run(&request, &b->backup, err);
}
