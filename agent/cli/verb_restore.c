/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"
#include "agent/restore/restore.h"
#include "common/base/mem.h"
#include "common/core/lsn.h"

enum { MAX_TABLESPACES = 16 };

struct words {
    const char *to, *label, *target, *time, *lsn, *timeline, *action, *port, *socket_dir;
    const char *tablespaces; /* OID=PATH[,OID=PATH...] */
    bool standby;
};

static void show(void *arg, const struct hf_restore_progress *p)
{
    char size[32];
    (void)arg;
    double seconds = (double)p->elapsed.us / 1e6;
    fprintf(stderr, "\r%s  %s  %.0f %%  %.0f MB/s   ", p->label,
            hf_cli_size(p->written_bytes, size, sizeof(size)),
            p->total_bytes > 0 ? 100.0 * (double)p->written_bytes / (double)p->total_bytes : 0,
            seconds > 0 ? (double)p->written_bytes / seconds / 1048576 : 0);
}

static hf_result parse_target(const struct words *w, struct hf_restore_request *q,
                              struct hf_err *err)
{
    int given = (w->target != NULL) + (w->time != NULL) + (w->lsn != NULL);
    if (given > 1) {
        return hf_fail(err, HF_E_INVALID,
                       "one of --target, --target-time and --target-lsn is allowed");
    }
    if (w->time != NULL) {
        q->target = HF_TARGET_TIME;
        return hf_restore_parse_time(w->time, &q->target_time, err);
    }
    if (w->lsn != NULL) {
        q->target = HF_TARGET_LSN;
        return hf_lsn_parse(w->lsn, &q->target_lsn, err);
    }
    if (w->target != NULL && strcmp(w->target, "immediate") == 0) {
        q->target = HF_TARGET_IMMEDIATE;
    } else if (w->target != NULL && strcmp(w->target, "latest") != 0) {
        return hf_fail(err, HF_E_INVALID, "--target %s: allowed are latest, immediate", w->target);
    }
    return hf_done();
}

static hf_result parse_numbers(const struct words *w, struct hf_restore_request *q,
                               struct hf_err *err)
{
    static const char *const ACTIONS[] = {"promote", "pause", "shutdown"};
    uint64_t v = 0;
    if (w->timeline != NULL) {
        if (!hf_cli_number("--timeline", w->timeline, UINT32_MAX, &v)) {
            return hf_fail(err, HF_E_INVALID, "--timeline");
        }
        q->timeline = HF_TLI(v);
    }
    if (w->port != NULL) {
        if (!hf_cli_number("--port", w->port, 65535, &v)) {
            return hf_fail(err, HF_E_INVALID, "--port");
        }
        q->port = (uint16_t)v;
    }
    if (w->action == NULL) {
        return hf_done();
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(w->action, ACTIONS[i]) == 0) {
            q->action = (enum hf_restore_action)i;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "--action %s: allowed are promote, pause, shutdown",
                   w->action);
}

static hf_result parse_tablespaces(const char *text, struct hf_restore_tablespace *ret,
                                   size_t *ret_n, struct hf_err *err)
{
    size_t n = 0;
    while (text != NULL && *text != '\0') {
        char *end = NULL;
        unsigned long oid = strtoul(text, &end, 10);
        size_t len = end != NULL && *end == '=' ? strcspn(end + 1, ",") : 0;
        if (oid == 0 || oid > UINT32_MAX || len == 0 || len >= HF_PATH_SIZE ||
            n == MAX_TABLESPACES) {
            return hf_fail(err, HF_E_INVALID,
                           "--tablespace \"%.100s\": allowed is OID=PATH[,OID=PATH...], up to %d",
                           text, MAX_TABLESPACES);
        }
        ret[n].oid = (uint32_t)oid;
        memcpy(ret[n].path, end + 1, len);
        ret[n].path[len] = '\0';
        n++;
        text = end + 1 + len;
        text += *text == ',' ? 1 : 0;
    }
    *ret_n = n;
    return hf_done();
}

static int report(const struct hf_cli *cli, const struct words *w,
                  const struct hf_restore_result *r)
{
    char size[32];
    double seconds = (double)r->elapsed.us / 1e6;
    if (cli->json) {
        hf_json *o = hf_json_object();
        hf_json_put_text(o, "label", r->label);
        hf_json_put_text(o, "directory", w->to);
        hf_json_put_u64(o, "timeline", r->timeline.v);
        hf_json_put_u64(o, "files", r->files);
        hf_json_put_u64(o, "bytes", r->bytes);
        hf_json_put_bool(o, "to_end", r->to_end);
        hf_json_put_double(o, "seconds", seconds);
        if (r->collations[0] != '\0') {
            hf_json_put_text(o, "collations", r->collations);
        }
        (void)hf_cli_print_json(o);
    } else {
        printf("restored %s into %s: %s in %llu files, %.1f s (%.0f MB/s); recovery follows "
               "timeline %u\n",
               r->label, w->to, hf_cli_size(r->bytes, size, sizeof(size)),
               (unsigned long long)r->files, seconds,
               seconds > 0 ? (double)r->bytes / seconds / 1048576 : 0, r->timeline.v);
    }
    if (r->to_end) {
        fprintf(stderr,
                "NOTE the target time lies after the last WAL in the archive: recovery goes "
                "to the archive's end (rule B10)\n");
    }
    if (r->collations[0] != '\0') {
        fprintf(stderr, "WARNING collations (rule B11):\n%s", r->collations);
    }
    return HF_CLI_OK;
}

static hf_result run(struct hf_cli *cli, const struct words *w, struct hf_restore_result *ret,
                     struct hf_err *err)
{
    struct hf_restore_tablespace spaces[MAX_TABLESPACES];
    char self[HF_PATH_SIZE];
    struct hf_restore_request q = {.label = w->label,
                                   .directory = w->to,
                                   .tablespaces = spaces,
                                   .socket_dir = w->socket_dir,
                                   .mode = w->standby ? HF_RESTORE_STANDBY : HF_RESTORE_CLONE,
                                   .progress = hf_cli_terminal() ? show : NULL};
    HF_TRY(parse_target(w, &q, err));
    HF_TRY(parse_numbers(w, &q, err));
    HF_TRY(parse_tablespaces(w->tablespaces, spaces, &q.tablespace_count, err));
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *config = realpath(cli->config_path, NULL);
    if (n <= 0 || config == NULL) {
        int saved = errno;
        free(config);
        return hf_fail_errno(err, saved, "find %s", config == NULL ? cli->config_path : "myself");
    }
    self[n] = '\0';
    q.agent = self;
    q.config = config;
    hf_result r = hf_cli_open(cli, 0, err);
    if (hf_ok(r)) {
        q.repositories = cli->site.repositories;
        q.repository_count = cli->repositories;
        q.workers = cli->config->backup.workers;
        r = hf_restore_run(&q, ret, err);
    }
    free(config);
    return r;
}

int hf_cli_restore(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    struct words w = {0};
    struct hf_restore_result result;
    const struct hf_cli_option options[] = {{"--to", &w.to, NULL},
                                            {"--label", &w.label, NULL},
                                            {"--target", &w.target, NULL},
                                            {"--target-time", &w.time, NULL},
                                            {"--target-lsn", &w.lsn, NULL},
                                            {"--timeline", &w.timeline, NULL},
                                            {"--action", &w.action, NULL},
                                            {"--port", &w.port, NULL},
                                            {"--socket-dir", &w.socket_dir, NULL},
                                            {"--tablespace", &w.tablespaces, NULL},
                                            {"--standby", NULL, &w.standby},
                                            {NULL, NULL, NULL}};
    if (!hf_cli_parse(&cli, argc, argv, options, 1)) {
        return HF_CLI_USAGE;
    }
    if (w.to == NULL || w.to[0] != '/') {
        fprintf(stderr, "holdfast-agent restore: --to DIRECTORY (absolute) is needed\n");
        return HF_CLI_USAGE;
    }
    if (cli.word_count == 1) {
        w.label = cli.words[0];
    }
    hf_result r = run(&cli, &w, &result, &err);
    if (hf_cli_terminal()) {
        fputc('\n', stderr);
    }
    if (!hf_ok(r)) {
        int code = hf_cli_fail(&cli, &err);
        return err.code == HF_E_INVALID ? HF_CLI_USAGE : code;
    }
    return report(&cli, &w, &result);
}
