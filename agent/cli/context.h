/* SPDX-License-Identifier: Apache-2.0
 *
 * What the repository verbs of the command line share: common options, configuration, opened
 * repositories, exit codes, output.
 * Invariant: results go to standard output, everything else to standard error; the exit code is
 * one of enum hf_cli_exit, the same ones as those of the operator's command.
 */
#ifndef HF_CLI_CONTEXT_H
#define HF_CLI_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/repo/site.h"
#include "common/base/err.h"
#include "common/core/json.h"
#include "common/io/config_agent.h"
#include "common/io/postgres.h"

enum hf_cli_exit {
    HF_CLI_OK = 0,
    HF_CLI_FAILURE = 1,
    HF_CLI_USAGE = 2,
    HF_CLI_NOT_FOUND = 10,
    HF_CLI_IN_PROGRESS = 11,
    HF_CLI_DENIED = 12,
    HF_CLI_STALE = 13,
    HF_CLI_UNREACHABLE = 14,
    HF_CLI_WAIT_OVER = 15
};

#define HF_CLI_DEFAULT_CONFIG "/etc/holdfast/agent.yaml"

/* An option of a verb: "--name VALUE", or a switch. */
struct hf_cli_option {
    const char *name;   /* with the dashes; NULL ends the list */
    const char **value; /* set to the argument; NULL for a switch */
    bool *flag;         /* switch: set to true */
};

struct hf_cli {
    const char *verb;
    const char *config_path;
    const char *region; /* NULL: all, the own one first */
    bool json;
    const char *words[4]; /* what is no option */
    size_t word_count;
    struct hf_config_agent *config; /* after hf_cli_load */
    struct hf_site site;            /* after hf_cli_open */
    size_t repositories;            /* that opened; site.repositories[0..) */
    struct hf_pg_config pg;         /* after hf_cli_load, when there is a PostgreSQL */
    char pg_port[8];
};
void hf_cli_cleanup(struct hf_cli *cli);
#define HF_AUTOCLI __attribute__((cleanup(hf_cli_cleanup)))

/* Common options (--config, --region, -o) and those of the verb. False: wrong usage, said so. */
bool hf_cli_parse(struct hf_cli *cli, int argc, char **argv, const struct hf_cli_option *options,
                  size_t max_words);
hf_result hf_cli_load(struct hf_cli *cli, struct hf_err *err) HF_MUST_USE;
/* Loads, and opens the repositories; system_id 0 = newest incarnation. */
hf_result hf_cli_open(struct hf_cli *cli, uint64_t system_id, struct hf_err *err) HF_MUST_USE;
/* The running PostgreSQL's system identifier. */
hf_result hf_cli_system_id(struct hf_cli *cli, uint64_t *ret, struct hf_err *err) HF_MUST_USE;

/* Prints the error and gives its exit code. */
int hf_cli_fail(const struct hf_cli *cli, const struct hf_err *err);
/* Prints as one line of JSON on standard output; takes ownership. */
int hf_cli_print_json(hf_json *value);
/* "1.2 GB" */
const char *hf_cli_size(uint64_t bytes, char *text, size_t size);
bool hf_cli_number(const char *what, const char *text, uint64_t most, uint64_t *ret);
/* Carriage-return progress when standard error is a terminal. */
bool hf_cli_terminal(void);

#endif
