/* SPDX-License-Identifier: Apache-2.0
 *
 * list, verify, expire.
 */
#include <stdio.h>
#include <string.h>

#include "agent/backup/expire.h"
#include "agent/backup/publish.h"
#include "agent/backup/verify.h"
#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"
#include "common/base/mem.h"
#include "common/core/lsn.h"
#include "common/io/clock.h"

/* --- list ----------------------------------------------------------------------------------- */

static const char *state_of(const struct hf_backup_entry *e)
{
    return e->expiring      ? "expiring"
           : e->published   ? "complete"
           : e->wal_pending ? "wal-pending"
                            : "unfinished";
}

static void describe(hf_json *o, const struct hf_manifest *m)
{
    char text[HF_CLOCK_TEXT_SIZE];
    char lsn[HF_LSN_SIZE];
    hf_json_put_text(o, "type", hf_backup_type_name(m->type));
    hf_clock_wall_text(m->started_at, text, sizeof(text));
    hf_json_put_text(o, "started_at", text);
    hf_clock_wall_text(m->completed_at, text, sizeof(text));
    hf_json_put_text(o, "completed_at", text);
    hf_json_put_u64(o, "timeline", m->timeline.v);
    hf_json_put_text(o, "start", hf_lsn_format(m->start, lsn));
    hf_json_put_text(o, "stop", hf_lsn_format(m->stop, lsn));
    hf_json_put_u64(o, "size_bytes", m->original_bytes);
    hf_json_put_u64(o, "stored_bytes", m->stored_bytes);
    hf_json_put_u64(o, "page_findings", m->findings_total);
    hf_json_put_text(o, "writer", m->writer);
    hf_json_put_text(o, "region", m->region);
    hf_json_put_u64(o, "pg_version_num", m->pg_version_num);
}

static void print_row(const struct hf_backup_entry *e, const struct hf_manifest *m)
{
    char size[32] = "?";
    char stored[32];
    char stop[HF_LSN_SIZE] = "?";
    double seconds = 0;
    hf_cli_size(e->stored_bytes, stored, sizeof(stored));
    if (m != NULL) {
        hf_cli_size(m->original_bytes, size, sizeof(size));
        hf_lsn_format(m->stop, stop);
        seconds = (double)(m->completed_at.us - m->started_at.us) / 1e6;
    }
    printf("%-20s %-11s %10s %10s %3u %-18s %6.1f s %s\n", e->label, state_of(e), size, stored,
           m != NULL ? m->timeline.v : 0, stop, seconds, m != NULL ? m->writer : "?");
}

static hf_result list_one(struct hf_cli *cli, const struct hf_backup_entry *e, hf_json *array,
                          struct hf_err *err)
{
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    if (e->published || e->wal_pending) {
        HF_TRY(hf_backup_manifest(cli->site.repositories[0], e->label,
                                  e->published ? "manifest" : "pending", &m, NULL, err));
    }
    if (!cli->json) {
        print_row(e, m);
        return hf_done();
    }
    hf_json *o = hf_json_object();
    hf_json_put_text(o, "label", e->label);
    hf_json_put_text(o, "state", state_of(e));
    if (m != NULL) {
        describe(o, m);
    }
    hf_json_push(array, o);
    return hf_done();
}

int hf_cli_list(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    HF_AUTOFREE struct hf_backup_entry *list = hf_alloc_array(HF_REPO_MAX_BACKUPS, sizeof(*list));
    size_t n = 0;
    if (!hf_cli_parse(&cli, argc, argv, NULL, 0)) {
        return HF_CLI_USAGE;
    }
    hf_result r = hf_cli_open(&cli, 0, &err);
    if (hf_ok(r)) {
        r = hf_repository_backups(cli.site.repositories[0], list, HF_REPO_MAX_BACKUPS, &n, &err);
    }
    if (!hf_ok(r)) {
        return hf_cli_fail(&cli, &err);
    }
    hf_json *array = hf_json_array();
    int code = HF_CLI_OK;
    if (!cli.json) {
        printf("%-20s %-11s %10s %10s %3s %-18s %8s %s\n", "BACKUP", "STATE", "SIZE", "STORED",
               "TL", "CONSISTENT FROM", "TOOK", "BY");
    }
    for (size_t i = 0; i < n; i++) {
        if (!hf_ok(list_one(&cli, &list[i], array, &err))) {
            code = hf_cli_fail(&cli, &err); /* the others are shown all the same */
        }
    }
    if (!cli.json) {
        hf_json_free(array);
        return code;
    }
    hf_json *o = hf_json_object();
    hf_json_put_text(o, "repository", hf_repository_name(cli.site.repositories[0]));
    hf_json_put(o, "backups", array);
    int printed = hf_cli_print_json(o);
    return code != HF_CLI_OK ? code : printed;
}

/* --- verify --------------------------------------------------------------------------------- */

struct problems {
    const struct hf_cli *cli;
    hf_json *array;
};

static void on_problem(void *arg, const char *backup, const char *object, const struct hf_err *why)
{
    struct problems *p = arg;
    fprintf(stderr, "PROBLEM %s %s: %s\n", backup, object, why->text);
    hf_json *o = hf_json_object();
    hf_json_put_text(o, "backup", backup);
    hf_json_put_text(o, "object", object);
    hf_json_put_text(o, "code", hf_code_name(why->code));
    hf_json_put_text(o, "error", why->text);
    hf_json_push(p->array, o);
}

static void print_report(const struct hf_cli *cli, const struct hf_verify_report *v,
                         hf_json *problems)
{
    char size[32];
    if (!cli->json) {
        hf_json_free(problems);
        printf(
            "repository %s: %llu of %llu backups good, %llu objects, %llu WAL segments, %s read, "
            "%llu problems, %llu unfinished\n",
            hf_repository_name(cli->site.repositories[0]), (unsigned long long)v->backups_good,
            (unsigned long long)v->backups, (unsigned long long)v->objects,
            (unsigned long long)v->wal_segments, hf_cli_size(v->bytes, size, sizeof(size)),
            (unsigned long long)v->problems, (unsigned long long)v->unfinished);
        return;
    }
    hf_json *o = hf_json_object();
    hf_json_put_text(o, "repository", hf_repository_name(cli->site.repositories[0]));
    hf_json_put_u64(o, "backups", v->backups);
    hf_json_put_u64(o, "good", v->backups_good);
    hf_json_put_u64(o, "objects", v->objects);
    hf_json_put_u64(o, "wal_segments", v->wal_segments);
    hf_json_put_u64(o, "bytes", v->bytes);
    hf_json_put_u64(o, "unfinished", v->unfinished);
    hf_json_put(o, "problems", problems);
    (void)hf_cli_print_json(o);
}

int hf_cli_verify(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    struct hf_verify_report report;
    if (!hf_cli_parse(&cli, argc, argv, NULL, 1)) {
        return HF_CLI_USAGE;
    }
    hf_result r = hf_cli_open(&cli, 0, &err);
    if (!hf_ok(r)) {
        return hf_cli_fail(&cli, &err);
    }
    struct problems p = {.cli = &cli, .array = hf_json_array()};
    r = hf_verify_run(cli.site.repositories[0], cli.word_count > 0 ? cli.words[0] : NULL, NULL,
                      on_problem, &p, &report, &err);
    if (!hf_ok(r)) {
        hf_json_free(p.array);
        return hf_cli_fail(&cli, &err);
    }
    print_report(&cli, &report, p.array);
    return report.problems == 0 ? HF_CLI_OK : HF_CLI_FAILURE;
}

/* --- expire --------------------------------------------------------------------------------- */

static void on_decision(void *arg, const char *label, bool keep, const char *why)
{
    const struct hf_cli *cli = arg;
    fprintf(cli->json ? stderr : stdout, "%-20s %-7s %s\n", label, keep ? "keep" : "expire", why);
}

int hf_cli_expire(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    struct hf_expire_report report;
    const char *keep = NULL;
    bool dry_run = false;
    uint64_t keep_last = 0;
    char size[32];
    const struct hf_cli_option options[] = {
        {"--keep-last", &keep, NULL}, {"--dry-run", NULL, &dry_run}, {NULL, NULL, NULL}};
    if (!hf_cli_parse(&cli, argc, argv, options, 0)) {
        return HF_CLI_USAGE;
    }
    if (keep == NULL || !hf_cli_number("--keep-last", keep, HF_REPO_MAX_BACKUPS, &keep_last)) {
        fprintf(stderr, "holdfast-agent expire: --keep-last N is needed\n");
        return HF_CLI_USAGE;
    }
    hf_result r = hf_cli_open(&cli, 0, &err);
    if (hf_ok(r)) {
        r = hf_expire_run(cli.site.repositories[0], keep_last, NULL, dry_run, on_decision, &cli,
                          &report, &err);
    }
    if (!hf_ok(r)) {
        return hf_cli_fail(&cli, &err);
    }
    if (cli.json) {
        hf_json *o = hf_json_object();
        hf_json_put_bool(o, "dry_run", dry_run);
        hf_json_put_u64(o, "kept", report.kept);
        hf_json_put_u64(o, "expired", report.expired);
        hf_json_put_u64(o, "objects", report.objects);
        hf_json_put_u64(o, "bytes", report.bytes);
        return hf_cli_print_json(o);
    }
    printf("%s %llu backups, %llu objects, %s; kept %llu\n", dry_run ? "would expire" : "expired",
           (unsigned long long)report.expired, (unsigned long long)report.objects,
           hf_cli_size(report.bytes, size, sizeof(size)), (unsigned long long)report.kept);
    return HF_CLI_OK;
}
