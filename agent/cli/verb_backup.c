/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/backup/backup.h"
#include "agent/backup/publish.h"
#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"
#include "common/core/lsn.h"

enum { DEFAULT_WAIT_S = 60 };

/* Set by SIGINT and SIGTERM: the backup ends, PostgreSQL is told, nothing is published. */
static atomic_bool canceled;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&canceled, true);
}

static void show(void *arg, const struct hf_backup_progress *p)
{
    static const char *const PHASES[] = {"checkpoint", "copying", "stopping", "publishing"};
    char size[32];
    (void)arg;
    double seconds = (double)p->elapsed.us / 1e6;
    fprintf(stderr, "\r%s  %s  %s  %.0f MB/s  %.0f s   ", p->label, PHASES[p->phase],
            hf_cli_size(p->read_bytes, size, sizeof(size)),
            seconds > 0 ? (double)p->read_bytes / seconds / 1048576 : 0, seconds);
}

static const char *state_name(enum hf_backup_state state)
{
    switch (state) {
    case HF_BACKUP_PUBLISHED:
        return "complete";
    case HF_BACKUP_WAL_PENDING:
        return "wal-pending";
    case HF_BACKUP_BEHIND:
        return "behind";
    }
    return "?";
}

/* Until the WAL has arrived in the own repository, or the time is over. */
static hf_result wait_for_wal(struct hf_cli *cli, struct hf_backup_result *result, int wait_s,
                              char *missing, size_t size, struct hf_err *err)
{
    struct timespec pause = {.tv_nsec = 500000000};
    for (int i = 0; i < wait_s * 2 && !atomic_load(&canceled); i++) {
        bool all = true;
        for (size_t k = 0; k < cli->repositories; k++) {
            bool published = false;
            if (result->state[k] != HF_BACKUP_WAL_PENDING) {
                continue;
            }
            struct hf_err mine = {0};
            hf_result r = hf_backup_publish(cli->site.repositories[k], result->label, &published,
                                            missing, size, &mine);
            if (!hf_ok(r) && k == 0) {
                *err = mine;
                return r;
            }
            result->state[k] = published ? HF_BACKUP_PUBLISHED : HF_BACKUP_WAL_PENDING;
            all = all && published;
        }
        if (all) {
            return hf_done();
        }
        nanosleep(&pause, NULL);
    }
    return hf_done();
}

static int report(const struct hf_cli *cli, const struct hf_backup_result *r, const char *missing)
{
    char a[32];
    char b[32];
    char start[HF_LSN_SIZE];
    char stop[HF_LSN_SIZE];
    double seconds = (double)r->elapsed.us / 1e6;
    if (cli->json) {
        hf_json *o = hf_json_object();
        hf_json *where = hf_json_object();
        hf_json_put_text(o, "label", r->label);
        hf_json_put_u64(o, "size_bytes", r->original_bytes);
        hf_json_put_u64(o, "stored_bytes", r->stored_bytes);
        hf_json_put_u64(o, "timeline", r->timeline.v);
        hf_json_put_text(o, "start", hf_lsn_format(r->start, start));
        hf_json_put_text(o, "stop", hf_lsn_format(r->stop, stop));
        hf_json_put_u64(o, "page_findings", r->findings_total);
        hf_json_put_double(o, "seconds", seconds);
        for (size_t i = 0; i < cli->repositories; i++) {
            hf_json_put_text(where, hf_repository_name(cli->site.repositories[i]),
                             state_name(r->state[i]));
        }
        hf_json_put(o, "repositories", where);
        (void)hf_cli_print_json(o);
    } else {
        printf("backup %s: %s in %llu files, %s stored, %.1f s (%.0f MB/s)\n", r->label,
               hf_cli_size(r->original_bytes, a, sizeof(a)), (unsigned long long)r->entries,
               hf_cli_size(r->stored_bytes, b, sizeof(b)), seconds,
               seconds > 0 ? (double)r->original_bytes / seconds / 1048576 : 0);
        for (size_t i = 0; i < cli->repositories; i++) {
            printf("  %-12s %s\n", hf_repository_name(cli->site.repositories[i]),
                   state_name(r->state[i]));
        }
    }
    if (r->findings_total > 0) {
        fprintf(stderr, "WARNING %llu pages fail their checksum; see verify and the manifest\n",
                (unsigned long long)r->findings_total);
    }
    if (r->state[0] == HF_BACKUP_WAL_PENDING) {
        fprintf(stderr,
                "WARNING the backup waits for WAL (%s): it exists once the archive has it (rule "
                "B5)\n",
                missing);
        return HF_CLI_WAIT_OVER;
    }
    return HF_CLI_OK;
}

int hf_cli_take_backup(struct hf_cli *cli, int wait_s, bool spread, bool copy_wal)
{
    struct hf_err err = {0};
    struct hf_backup_result result;
    char missing[128] = "";
    const struct hf_config_agent *c = cli->config;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct hf_backup_request request = {.pg = &cli->pg,
                                        .repositories = cli->site.repositories,
                                        .repository_count = cli->repositories,
                                        .region = c->region.s,
                                        .type = HF_BACKUP_FULL,
                                        .workers = c->backup.workers,
                                        .zstd_level = c->backup.zstd_level,
                                        .pack_size = c->backup.pack_size,
                                        .memory = c->backup.memory,
                                        .spread = spread,
                                        .copy_wal = copy_wal,
                                        .cancel = &canceled,
                                        .progress = hf_cli_terminal() ? show : NULL};
    hf_result r = hf_backup_run(&request, &result, &err);
    if (hf_cli_terminal()) {
        fputc('\n', stderr);
    }
    if (hf_ok(r)) {
        r = wait_for_wal(cli, &result, wait_s, missing, sizeof(missing), &err);
    }
    return hf_ok(r) ? report(cli, &result, missing) : hf_cli_fail(cli, &err);
}

int hf_cli_backup(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    const char *type = "full";
    const char *wait = NULL;
    bool spread = false;
    bool copy_wal = false;
    uint64_t wait_s = DEFAULT_WAIT_S;
    uint64_t system_id = 0;
    const struct hf_cli_option options[] = {{"--type", &type, NULL},
                                            {"--wait", &wait, NULL},
                                            {"--spread", NULL, &spread},
                                            {"--copy-wal", NULL, &copy_wal},
                                            {NULL, NULL, NULL}};
    if (!hf_cli_parse(&cli, argc, argv, options, 0) ||
        (wait != NULL && !hf_cli_number("--wait", wait, 86400, &wait_s))) {
        return HF_CLI_USAGE;
    }
    if (strcmp(type, "full") != 0) {
        fprintf(stderr, "holdfast-agent backup: --type %s: supported is full\n", type);
        return HF_CLI_USAGE;
    }
    hf_result r = hf_cli_load(&cli, &err);
    if (hf_ok(r)) {
        r = hf_cli_system_id(&cli, &system_id, &err);
    }
    if (hf_ok(r)) {
        r = hf_cli_open(&cli, system_id, &err);
    }
    return hf_ok(r) ? hf_cli_take_backup(&cli, (int)wait_s, spread, copy_wal)
                    : hf_cli_fail(&cli, &err);
}
