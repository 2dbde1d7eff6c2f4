/* SPDX-License-Identifier: Apache-2.0
 *
 * The `holdfast` command: what its commands share.
 * Invariant: results go to `out` and only there; the exit code is one of enum hf_ctl_exit; nothing
 * of a server's answer reaches the terminal with control characters in it.
 */
#ifndef HF_CTL_CTL_H
#define HF_CTL_CTL_H

#include <stdbool.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/core/json.h"
#include "coordinator/ctl/args.h"
#include "coordinator/ctl/client.h"
#include "holdfast/types.h"

enum hf_ctl_exit {
    HF_CTL_EXIT_DONE = 0,
    HF_CTL_EXIT_FAILURE = 1,
    HF_CTL_EXIT_USAGE = 2,
    HF_CTL_EXIT_NOT_FOUND = 10,
    HF_CTL_EXIT_IN_PROGRESS = 11,
    HF_CTL_EXIT_DENIED = 12,
    HF_CTL_EXIT_STALE = 13,
    HF_CTL_EXIT_UNREACHABLE = 14,
    HF_CTL_EXIT_WAIT_OVER = 15
};

struct hf_ctl {
    struct hf_ctl_args args;
    bool json; /* -o json */
    FILE *out;
    FILE *diagnostics;
    int exit;                               /* of a failed command; 0 = HF_CTL_EXIT_FAILURE */
    struct hf_ctl_client *client;           /* made at first use */
    char default_cluster[HF_NAME_SIZE * 2]; /* of the client's configuration, "" = none */
    int poll_ms;                            /* between looks at an operation */
};

/* The whole program, but for the process: returns the exit code. */
int hf_ctl_main(int argc, const char *const *argv, FILE *out, FILE *diagnostics);

/* Wrong usage: exit code 2. */
hf_result hf_ctl_usage(struct hf_ctl *ctl, struct hf_err *err, const char *format, ...)
    HF_PRINTF(3, 4) HF_MUST_USE;

/* One request to the coordinators (client.h); sets the exit code on failure. ret may be NULL. */
hf_result hf_ctl_call(struct hf_ctl *ctl, const struct hf_ctl_request *request, hf_json **ret,
                      struct hf_err *err) HF_MUST_USE;

/* "T/C" of the command's first word, the client's configuration, or the only cluster that there
 * is. */
struct hf_ctl_cluster {
    hf_name tenant;
    hf_name cluster;
};
hf_result hf_ctl_which_cluster(struct hf_ctl *ctl, struct hf_ctl_cluster *ret,
                               struct hf_err *err) HF_MUST_USE;
/* "/v1/clusters/T/C<rest>" */
enum { HF_CTL_PATH_SIZE = 512 };
void hf_ctl_path(const struct hf_ctl_cluster *which, const char *rest, char ret[HF_CTL_PATH_SIZE]);

/* Prints an answer as JSON and a line end. */
hf_result hf_ctl_print_json(struct hf_ctl *ctl, const hf_json *v, struct hf_err *err) HF_MUST_USE;
/* Prints text with control characters replaced. */
void hf_ctl_print_text(FILE *out, const char *text);

/* Members of an answer, for people: the fallback when missing, null, or of another type. */
const char *hf_ctl_text(const hf_json *o, const char *key, const char *fallback);
bool hf_ctl_u64(const hf_json *o, const char *key, uint64_t *ret);
/* true, false; -1 = null or missing */
int hf_ctl_flag(const hf_json *o, const char *key);

/* After a 202: prints the operation; with --wait looks until it ends. */
hf_result hf_ctl_follow(struct hf_ctl *ctl, const struct hf_ctl_cluster *which,
                        const hf_json *accepted, struct hf_err *err) HF_MUST_USE;

/* The commands. */
hf_result hf_ctl_status(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_cluster_list(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_cluster_show(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_cluster_apply(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_cluster_pause(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_cluster_resume(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_backup_list(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_backup_create(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_failover_plan(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_failover_run(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_switchover_plan(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_switchover_run(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_recovery_plan(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_recovery_run(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_operation_list(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_operation_show(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_ca_init(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_ca_issue(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_config_check(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_config_show(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_config_docs(struct hf_ctl *ctl, struct hf_err *err);
hf_result hf_ctl_version(struct hf_ctl *ctl, struct hf_err *err);

/* `holdfast status` of a status document (docs/api.md). */
hf_result hf_ctl_render_status(const hf_json *status, FILE *out, struct hf_err *err) HF_MUST_USE;

extern const struct hf_ctl_command HF_CTL_COMMANDS[];
extern const struct hf_ctl_option HF_CTL_GLOBALS[];

#endif
