/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs of holdfast-agent: one table, from which dispatch and usage come. agent_main.c holds
 * the table; each capability folder has the functions.
 * Invariant: a verb returns its exit status (0 ok, 1 failure, 2 usage) and prints errors itself;
 * archive-get is the one with its own rule (docs/protocol.md, section 3).
 */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

struct hf_cli_verb {
    const char *name;
    const char *usage;                 /* after the name */
    const char *help;                  /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

/* run --config FILE: the daemon. */
int hf_cli_run(int argc, char **argv);
/* status --config FILE: asks the running agent at its socket, prints its JSON answer. */
int hf_cli_status(int argc, char **argv);
/* archive-push --config FILE PATH: the archive_command's. */
int hf_cli_archive_push(int argc, char **argv);
/* archive-get --config FILE [--target-timeline N] [--standby] NAME PATH: the restore_command's.
 * Ends with 0, 1 or 255 and nothing else. */
int hf_cli_archive_get(int argc, char **argv);
/* replicate --config FILE: copies to every other region what it lacks of the own region's
 * repository, once. */
int hf_cli_replicate(int argc, char **argv);

#endif
