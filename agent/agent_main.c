/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast-agent: dispatch to the verbs.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"

#define CONFIG  "[--config FILE]"
#define REGION  CONFIG " [--region REGION]"
#define RESULTS " [-o table|json]"

static const struct hf_cli_verb verbs[] = {
    {"run", CONFIG, "the daemon", hf_cli_run},
    {"status", CONFIG, "what the running agent says of itself, as JSON", hf_cli_status},
    {"init",
     CONFIG " [--socket-dir DIR] [--port N] [--user ROLE] [--repository DIR] [--tenant NAME]"
            " [--cluster NAME] [--name NAME] [--no-backup]" RESULTS,
     "finds PostgreSQL, makes repository, key and configuration, takes the first backup",
     hf_cli_init},
    {"backup", REGION " [--type full] [--wait SECONDS] [--spread] [--copy-wal]" RESULTS,
     "takes a backup into every configured repository", hf_cli_backup},
    {"restore",
     REGION " --to DIR [LABEL | --label LABEL] [--target latest|immediate] [--target-time T]"
            " [--target-lsn L] [--timeline N] [--action promote|pause|shutdown]"
            " [--tablespace OID=DIR,...] [--port N] [--socket-dir DIR] [--standby]" RESULTS,
     "restores into an empty directory", hf_cli_restore},
    {"list", REGION RESULTS, "backups of a repository", hf_cli_list},
    {"verify", REGION " [LABEL]" RESULTS, "reads and authenticates what backups need",
     hf_cli_verify},
    {"expire", REGION " --keep-last N [--dry-run]" RESULTS, "deletes older backups", hf_cli_expire},
    {"archive-push", CONFIG " PATH", "archive_command: archives one file of pg_wal",
     hf_cli_archive_push},
    {"archive-get", CONFIG " [--target-timeline N] [--standby] NAME PATH",
     "restore_command: fetches one file of the archive", hf_cli_archive_get},
    {"replicate", CONFIG, "copies to the other regions what they lack", hf_cli_replicate},
    {"salvage", REGION " list | get NODE/TIMELINE-FORK --to DIR" RESULTS,
     "WAL that was saved before a node rejoined without it", hf_cli_salvage},
    {"check", CONFIG RESULTS, "tries everything that a backup needs", hf_cli_check},
};

static int usage(FILE *to)
{
    fprintf(to, "usage: holdfast-agent VERB [OPTION...]\n");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        fprintf(to, "  %-14s%s\n  %-14s  %s\n", verbs[i].name, verbs[i].help, "", verbs[i].usage);
    }
    fprintf(to, "  %-14s%s\n", "version", "prints the version");
    fprintf(to,
            "FILE is " HF_CLI_DEFAULT_CONFIG " when --config is not given; REGION is one of its "
            "repositories, all of them (the own region's first) without.\n");
    return to == stdout ? 0 : 2;
}

static int usage_of(const struct hf_cli_verb *verb)
{
    printf("usage: holdfast-agent %s %s\n%s\n", verb->name, verb->usage, verb->help);
    return 0;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return usage(stderr);
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        printf("holdfast-agent %s\n", HF_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        return usage(stdout);
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return asks_for_help(argc, argv) ? usage_of(&verbs[i])
                                             : verbs[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "holdfast-agent: no verb \"%s\"\n", argv[1]);
    return usage(stderr);
}
