/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast-agent: dispatch to the verbs.
 */
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/cli/repository_verbs.h"

static const struct hf_cli_verb verbs[] = {
    {"run", "[--config FILE]", "the daemon", hf_cli_run},
    {"status", "[--config FILE]", "what the running agent says of itself, as JSON", hf_cli_status},
    {"init", "[--repository DIR] [--socket-dir DIR] [--port N] [--no-backup]",
     "finds PostgreSQL, makes repository, key and configuration, takes the first backup",
     hf_cli_init},
    {"backup", "[--type full] [--wait SECONDS] [--spread] [--copy-wal]",
     "takes a backup into every configured repository", hf_cli_backup},
    {"restore",
     "--to DIR [LABEL] [--target latest|immediate] [--target-time T] [--target-lsn L] [--timeline "
     "N]"
     " [--action promote|pause|shutdown] [--tablespace OID=DIR,...] [--port N] [--socket-dir DIR]"
     " [--standby]",
     "restores into an empty directory", hf_cli_restore},
    {"list", "", "backups of a repository", hf_cli_list},
    {"verify", "[LABEL]", "reads and authenticates what backups need", hf_cli_verify},
    {"expire", "--keep-last N [--dry-run]", "deletes older backups", hf_cli_expire},
    {"archive-push", "PATH", "archive_command: archives one file of pg_wal", hf_cli_archive_push},
    {"archive-get", "[--target-timeline N] [--standby] NAME PATH",
     "restore_command: fetches one file of the archive", hf_cli_archive_get},
    {"replicate", "", "copies to the other regions what they lack", hf_cli_replicate},
    {"check", "", "tries everything that a backup needs", hf_cli_check},
};

static int usage(FILE *to)
{
    fprintf(to, "usage: holdfast-agent VERB [OPTION...]\n");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        fprintf(to, "  %-14s %-40s %s\n", verbs[i].name, verbs[i].usage, verbs[i].help);
    }
    fprintf(to, "  %-14s %-40s %s\n", "version", "", "prints the version");
    return to == stdout ? 0 : 2;
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
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "holdfast-agent: no verb \"%s\"\n", argv[1]);
    return usage(stderr);
}
