/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cli/context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/backup/pgsource.h"
#include "common/base/mem.h"
#include "common/io/log.h"

void hf_cli_cleanup(struct hf_cli *cli)
{
    hf_site_close(&cli->site);
    hf_free(cli->config);
    cli->config = NULL;
}

/* --- options -------------------------------------------------------------------------------- */

static bool take(const struct hf_cli_option *options, int argc, char **argv, int *at)
{
    for (size_t i = 0; options != NULL && options[i].name != NULL; i++) {
        const struct hf_cli_option *o = &options[i];
        size_t n = strlen(o->name);
        if (strncmp(argv[*at], o->name, n) != 0) {
            continue;
        }
        if (o->flag != NULL && argv[*at][n] == '\0') {
            *o->flag = true;
            return true;
        }
        if (o->value != NULL && argv[*at][n] == '=') {
            *o->value = argv[*at] + n + 1;
            return true;
        }
        if (o->value != NULL && argv[*at][n] == '\0' && *at + 1 < argc) {
            *o->value = argv[++*at];
            return true;
        }
    }
    return false;
}

bool hf_cli_parse(struct hf_cli *cli, int argc, char **argv, const struct hf_cli_option *options,
                  size_t max_words)
{
    const char *output = "table";
    const struct hf_cli_option common[] = {{"--config", &cli->config_path, NULL},
                                           {"-c", &cli->config_path, NULL},
                                           {"--region", &cli->region, NULL},
                                           {"--output", &output, NULL},
                                           {"-o", &output, NULL},
                                           {NULL, NULL, NULL}};
    cli->verb = argv[0];
    cli->config_path = HF_CLI_DEFAULT_CONFIG;
    for (int i = 1; i < argc; i++) {
        if (take(options, argc, argv, &i) || take(common, argc, argv, &i)) {
            continue;
        }
        if (argv[i][0] == '-' || cli->word_count == max_words ||
            cli->word_count == sizeof(cli->words) / sizeof(cli->words[0])) {
            fprintf(stderr,
                    "holdfast-agent %s: \"%s\" is not understood; see holdfast-agent help\n",
                    cli->verb, argv[i]);
            return false;
        }
        cli->words[cli->word_count++] = argv[i];
    }
    cli->json = strcmp(output, "json") == 0;
    if (!cli->json && strcmp(output, "table") != 0) {
        fprintf(stderr, "holdfast-agent %s: -o %s: allowed are table, json\n", cli->verb, output);
        return false;
    }
    return true;
}

bool hf_cli_number(const char *what, const char *text, uint64_t most, uint64_t *ret)
{
    char *end = NULL;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || v > most) {
        fprintf(stderr, "%s %s: allowed is a number from 0 to %llu\n", what, text,
                (unsigned long long)most);
        return false;
    }
    *ret = v;
    return true;
}

/* --- what is opened ------------------------------------------------------------------------- */

static void fill_pg(struct hf_cli *cli)
{
    const struct hf_config_postgresql *p = &cli->config->postgresql;
    const char *colon = strrchr(p->advertise, ':');
    snprintf(cli->pg_port, sizeof(cli->pg_port), "%.6s", colon == NULL ? "5432" : colon + 1);
    cli->pg = (struct hf_pg_config){.host = p->socket_dir,
                                    .port = cli->pg_port,
                                    .dbname = p->database,
                                    .user = p->user,
                                    .passfile = p->passfile[0] == '\0' ? NULL : p->passfile,
                                    .application_name = "holdfast-backup"};
}

hf_result hf_cli_load(struct hf_cli *cli, struct hf_err *err)
{
    hf_log_init("holdfast-agent", HF_LOG_WARNING, HF_LOG_STDERR);
    cli->config = hf_alloc(sizeof(*cli->config));
    HF_TRY(hf_config_agent_load(cli->config_path, cli->config, NULL, err));
    if (cli->config->has_postgresql) {
        fill_pg(cli);
    }
    return hf_done();
}

hf_result hf_cli_open(struct hf_cli *cli, uint64_t system_id, struct hf_err *err)
{
    if (cli->config == NULL) {
        HF_TRY(hf_cli_load(cli, err));
    }
    HF_TRY(hf_site_open(cli->config, cli->region, system_id, &cli->site, err));
    cli->repositories = hf_site_compact(&cli->site);
    return hf_done();
}

hf_result hf_cli_system_id(struct hf_cli *cli, uint64_t *ret, struct hf_err *err)
{
    struct hf_pgsource *source = NULL;
    if (!cli->config->has_postgresql) {
        return hf_fail(err, HF_E_INVALID, "%s: no postgresql section: this is an archive region",
                       cli->config_path);
    }
    HF_TRY(hf_pgsource_open(&cli->pg, &source, err));
    *ret = hf_pgsource_system_id(source);
    hf_pgsource_close(source);
    return hf_done();
}

/* --- output --------------------------------------------------------------------------------- */

int hf_cli_fail(const struct hf_cli *cli, const struct hf_err *err)
{
    fprintf(stderr, "holdfast-agent %s: %s\n", cli->verb, err->text);
    switch (err->code) {
    case HF_E_NOT_FOUND:
        return HF_CLI_NOT_FOUND;
    case HF_E_DENIED:
        return HF_CLI_DENIED;
    case HF_E_STALE:
        return HF_CLI_STALE;
    case HF_E_UNREACHABLE:
    case HF_E_TIMEOUT:
        return HF_CLI_UNREACHABLE;
    case HF_OK:
    case HF_E_INVALID:
    case HF_E_EXISTS:
    case HF_E_CONFLICT:
    case HF_E_AGAIN:
    case HF_E_CORRUPT:
    case HF_E_LIMIT:
    case HF_E_IO:
    case HF_E_CANCELED:
    case HF_E_UNSUPPORTED:
    case HF_E_REFUSED:
    case HF_E_INTERNAL:
        break;
    }
    return HF_CLI_FAILURE;
}

int hf_cli_print_json(hf_json *value)
{
    HF_AUTOJSON hf_json *owned = value;
    HF_BUF(text, 64 << 20);
    struct hf_err err = {0};
    if (!hf_ok(hf_json_write(owned, &text, &err))) {
        fprintf(stderr, "holdfast-agent: %s\n", err.text);
        return HF_CLI_FAILURE;
    }
    puts(hf_buf_text(&text));
    return HF_CLI_OK;
}

const char *hf_cli_size(uint64_t bytes, char *text, size_t size)
{
    static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t unit = 0;
    while (v >= 1024 && unit < 5) {
        v /= 1024;
        unit++;
    }
    snprintf(text, size, unit == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, UNITS[unit]);
    return text;
}

bool hf_cli_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}
