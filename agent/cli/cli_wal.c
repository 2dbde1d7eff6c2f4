/* SPDX-License-Identifier: Apache-2.0
 *
 * archive-push, archive-get, replicate: what PostgreSQL's archive_command and restore_command run,
 * and catching up other regions by hand. They ask the running agent, and work by themselves where
 * that is safe without one.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/backup/publish.h"
#include "agent/cli/cli.h"
#include "agent/cli/context.h"
#include "agent/node/socket.h"
#include "agent/replicate/copy.h"
#include "agent/wal/control_file.h"
#include "agent/wal/wal_direct.h"
#include "common/io/clock.h"

enum {
    PUSH_WAIT_S = 300, /* for the agent's answer; PostgreSQL runs the command again */
    AGAIN_S = 10,      /* while the agent says "again" */
    GET_WAIT_S = 120,
    ASKED_LONG_MS = 5000,
    OTHERS_S = 5,     /* what a file of the archive waits for other regions, with no agent */
    RETRY_S = 30,     /* in targeted recovery the unknown stops PostgreSQL: not at once */
    GET_UNKNOWN = 255 /* the one status above 125 that archive-get ends with */
};

/* --- common --------------------------------------------------------------------------------- */

/* PostgreSQL gives %p relative to its data directory, where it runs the command. */
static hf_result absolute(const char *path, char ret[HF_PATH_SIZE], struct hf_err *err)
{
    char here[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(here, sizeof here) == NULL) {
        return hf_fail(err, HF_E_IO, "the directory that \"%s\" is relative to is not known", path);
    }
    int n = snprintf(ret, HF_PATH_SIZE, "%s%s%s", here, path[0] == '/' ? "" : "/", path);
    if (n < 0 || n >= HF_PATH_SIZE) {
        return hf_fail(err, HF_E_LIMIT, "path \"%.80s\": at most %d bytes", path, HF_PATH_SIZE - 1);
    }
    return hf_done();
}

/* Of the data directory that the path lies in (DIR/pg_wal/FILE), else of the configured one; 0 when
 * neither is known: a clone or an older incarnation on this host must not be taken for the
 * configured cluster. */
static uint64_t system_of(const struct hf_config_agent *config, const char *path)
{
    char dir[HF_PATH_SIZE];
    uint64_t id = 0;
    (void)snprintf(dir, sizeof dir, "%s", path);
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(dir, '/');
        if (slash == NULL) {
            break;
        }
        *slash = '\0';
    }
    if (hf_ok(hf_control_file_system(dir, &id, NULL)) || !config->has_postgresql) {
        return id;
    }
    HF_IGNORE(hf_control_file_system(config->postgresql.data_dir, &id, NULL), "then it stays 0");
    return id;
}

static hf_json *request_new(const char *verb, const char *name, const char *path, uint64_t system)
{
    hf_json *o = hf_json_object();
    hf_json_put_int(o, "v", 1);
    hf_json_put_text(o, "do", verb);
    hf_json_put_text(o, "name", name);
    hf_json_put_text(o, "path", path);
    if (system != 0) {
        hf_json_put_u64(o, "system", system);
    }
    return o;
}

/* The agent's answer as a result. */
static hf_result read_answer(const hf_json *answer, struct hf_err *err)
{
    bool ok = false;
    char code[32] = "";
    char text[480] = "";
    HF_TRY(hf_json_get_bool_opt(answer, "ok", &ok, err));
    if (ok) {
        return hf_done();
    }
    HF_TRY(hf_json_get_text(answer, "code", code, sizeof code, err));
    HF_IGNORE(hf_json_get_text_opt(answer, "message", text, sizeof text, NULL), "the code decides");
    enum hf_code found = HF_E_INTERNAL;
    for (int i = HF_E_INVALID; i < HF_E_INTERNAL; i++) {
        if (strcmp(hf_code_name((enum hf_code)i), code) == 0) {
            found = (enum hf_code)i;
        }
    }
    return hf_fail(err, found, "%s", text);
}

static hf_result ask(const struct hf_cli *cli, hf_json *request, int64_t wait_s, struct hf_err *err)
{
    HF_AUTOJSON hf_json *owned = request;
    HF_AUTOJSON hf_json *answer = NULL;
    HF_TRY(hf_socket_ask(cli->config->socket, owned, HF_MS(wait_s * 1000), &answer, err));
    return read_answer(answer, err);
}

static void say(const struct hf_cli *cli, const struct hf_err *err)
{
    (void)fprintf(stderr, "holdfast-agent %s: %s\n", cli->verb, err->text);
}

/* --- archive-push --------------------------------------------------------------------------- */

/* An agent that has just started opens its repositories first: no reason to fail a command, after
 * which PostgreSQL would wait longer. */
static hf_result ask_to_push(const struct hf_cli *cli, const char *name, const char *path,
                             uint64_t system, struct hf_err *err)
{
    hf_lclk until = hf_lclk_add(hf_clock_lease(), HF_MS(AGAIN_S * 1000));
    for (;;) {
        hf_result r = ask(cli, request_new("archive-push", name, path, system), PUSH_WAIT_S, err);
        if (r.code != HF_E_AGAIN || hf_clock_lease().us > until.us) {
            return r;
        }
        const struct timespec pause = {.tv_nsec = 250000000};
        (void)nanosleep(&pause, NULL);
    }
}

static hf_result push(struct hf_cli *cli, size_t *ret_late, struct hf_err *err)
{
    char path[HF_PATH_SIZE];
    HF_TRY(hf_cli_load(cli, err));
    HF_TRY(absolute(cli->words[0], path, err));
    const char *name = strrchr(path, '/') + 1;
    uint64_t system = system_of(cli->config, path);
    hf_result asked = ask_to_push(cli, name, path, system, err);
    if (asked.code != HF_E_UNREACHABLE || cli->config->coordinator_count > 0) {
        return asked; /* under coordinators only the agent knows who leads (rule B12) */
    }
    if (system == 0) {
        return hf_fail(err, HF_E_INVALID, "%.300s: which PostgreSQL it is of is not known", path);
    }
    return hf_wal_direct_push(cli->config, system, name, path, HF_MS(OTHERS_S * 1000), ret_late,
                              err);
}

int hf_cli_archive_push(int argc, char **argv)
{
    struct hf_cli cli = {0};
    struct hf_err err = {0};
    size_t late = 0;
    if (!hf_cli_parse(&cli, argc, argv, NULL, 1) || cli.word_count != 1) {
        (void)fprintf(stderr, "usage: holdfast-agent archive-push --config FILE PATH\n");
        return HF_CLI_USAGE;
    }
    hf_result r = push(&cli, &late, &err);
    if (!hf_ok(r)) {
        say(&cli, &err);
    }
    if (late > 0) {
        (void)fprintf(stderr, "holdfast-agent archive-push: %zu regions did not answer in %d s\n",
                      late, OTHERS_S);
        _exit(HF_CLI_OK); /* threads still use the configuration */
    }
    hf_cli_cleanup(&cli);
    return hf_ok(r) ? HF_CLI_OK : HF_CLI_FAILURE;
}

/* --- archive-get ---------------------------------------------------------------------------- */

static hf_result get(struct hf_cli *cli, hf_tli target, bool standby, struct hf_err *err)
{
    char path[HF_PATH_SIZE];
    struct hf_err why = {0};
    if (!hf_ok(hf_cli_load(cli, &why))) {
        return hf_fail(err, HF_E_INVALID, "%s", why.text); /* no such file: not "absent" */
    }
    HF_TRY(absolute(cli->words[1], path, err));
    uint64_t system = system_of(cli->config, path);
    hf_json *request = request_new("archive-get", cli->words[0], path, system);
    hf_json_put_bool(request, "standby", standby);
    if (target.v != 0) {
        hf_json_put_u64(request, "target", target.v);
    }
    int64_t begun_us = hf_clock_lease().us;
    hf_result asked = ask(cli, request, GET_WAIT_S, err);
    int64_t spent_ms = (hf_clock_lease().us - begun_us) / 1000;
    if (hf_ok(asked) || asked.code == HF_E_NOT_FOUND || asked.code == HF_E_CORRUPT ||
        spent_ms > ASKED_LONG_MS) {
        return asked; /* a repository hangs: it would for us too */
    }
    /* No agent, or one that cannot tell (it may not know its system yet, while PostgreSQL starts):
     * reading needs no lease. */
    const struct hf_wal_fetch fetch = {.name = cli->words[0], .path = path, .target = target};
    return hf_wal_direct_get(cli->config, system, &fetch,
                             HF_MS(standby ? 0 : RETRY_S * 1000 - spent_ms), err);
}

int hf_cli_archive_get(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    const char *timeline = NULL;
    uint64_t target = 0;
    bool standby = false;
    const struct hf_cli_option options[] = {
        {"--target-timeline", &timeline, NULL}, {"--standby", NULL, &standby}, {NULL, NULL, NULL}};
    if (!hf_cli_parse(&cli, argc, argv, options, 2) || cli.word_count != 2 ||
        (timeline != NULL && !hf_cli_number("--target-timeline", timeline, UINT32_MAX, &target))) {
        (void)fprintf(stderr, "usage: holdfast-agent archive-get --config FILE"
                              " [--target-timeline N] [--standby] NAME PATH\n");
        return GET_UNKNOWN;
    }
    hf_result r = get(&cli, HF_TLI(target), standby, &err);
    if (!hf_ok(r)) {
        say(&cli, &err);
    }
    return hf_wal_fetch_status(r, standby);
}

/* --- replicate ------------------------------------------------------------------------------ */

/* One region; false when it is not whole afterwards. */
static bool catch_up(const struct hf_cli *cli, size_t i)
{
    const struct hf_site *site = &cli->site;
    struct hf_catch_up done = {0};
    struct hf_err err = site->errors[i];
    hf_result r = {err.code};
    if (site->repositories[i] != NULL) {
        r = hf_replicate_catch_up(site->repositories[0], site->repositories[i], NULL, &done, &err);
    }
    if (!hf_ok(r)) {
        (void)fprintf(stderr, "holdfast-agent replicate: %s: %s\n", hf_site_region(site, i),
                      err.text);
    }
    if (done.conflicts > 0) {
        (void)fprintf(stderr, "holdfast-agent replicate: %s: other content under %s\n",
                      hf_site_region(site, i), done.conflict);
    }
    (void)printf("%s: copied %llu, missing %llu, conflicts %llu%s\n", hf_site_region(site, i),
                 (unsigned long long)done.copied, (unsigned long long)done.missing,
                 (unsigned long long)done.conflicts, hf_ok(r) ? "" : ", not complete");
    return hf_ok(r) && done.conflicts == 0;
}

int hf_cli_replicate(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    size_t published = 0;
    size_t pending = 0;
    bool whole = true;
    if (!hf_cli_parse(&cli, argc, argv, NULL, 0)) {
        return HF_CLI_USAGE;
    }
    hf_result r = hf_cli_load(&cli, &err);
    if (hf_ok(r)) {
        uint64_t system = 0;
        if (cli.config->has_postgresql) {
            HF_IGNORE(hf_control_file_system(cli.config->postgresql.data_dir, &system, NULL),
                      "then the newest incarnation");
        }
        r = hf_site_open(cli.config, NULL, system, &cli.site, &err);
    }
    if (hf_ok(r)) {
        r = hf_backup_publish_all(cli.site.repositories[0], &published, &pending, &err);
    }
    if (!hf_ok(r)) {
        return hf_cli_fail(&cli, &err);
    }
    for (size_t i = 1; i < cli.site.count; i++) {
        whole = catch_up(&cli, i) && whole;
    }
    return whole ? HF_CLI_OK : HF_CLI_FAILURE;
}
