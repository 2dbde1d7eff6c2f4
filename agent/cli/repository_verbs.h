/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs of holdfast-agent that work on repositories, with no coordinator and no running agent.
 * Each returns its exit code (enum hf_cli_exit) and prints errors itself.
 */
#ifndef HF_CLI_REPOSITORY_VERBS_H
#define HF_CLI_REPOSITORY_VERBS_H

#include <stdbool.h>

int hf_cli_init(int argc, char **argv);
int hf_cli_backup(int argc, char **argv);
int hf_cli_restore(int argc, char **argv);
int hf_cli_list(int argc, char **argv);
int hf_cli_verify(int argc, char **argv);
int hf_cli_expire(int argc, char **argv);
int hf_cli_check(int argc, char **argv);
/* Of every configured repository, or of this host where none is configured. */
int hf_cli_salvage(int argc, char **argv);

struct hf_cli;
/* Takes a full backup with the opened repositories, waits for WAL as long as said; for init too. */
int hf_cli_take_backup(struct hf_cli *cli, int wait_s, bool spread, bool copy_wal);

#endif
