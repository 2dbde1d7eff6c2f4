/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of commands; the help is printed from it.
 */
#include "coordinator/ctl/ctl.h"

#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

const struct hf_ctl_option HF_CTL_GLOBALS[] = {
    {.name = "output",
     .letter = 'o',
     .argument = HF_CTL_VALUE,
     .value = "table|json",
     .doc = "how results are printed"},
    {.name = "api",
     .alias = "coordinators",
     .argument = HF_CTL_VALUE,
     .value = "URL,...",
     .doc = "coordinators, asked in this order"},
    {.name = "ca",
     .argument = HF_CTL_VALUE,
     .value = "FILE",
     .doc = "certificate authority of the coordinators"},
    {.name = "cert",
     .alias = "certificate",
     .argument = HF_CTL_VALUE,
     .value = "FILE",
     .doc = "own certificate"},
    {.name = "key", .argument = HF_CTL_VALUE, .value = "FILE", .doc = "its private key"},
    {.name = "config",
     .argument = HF_CTL_VALUE,
     .value = "FILE",
     .doc = "file with these options ($HOLDFAST_CONFIG, ~/.config/holdfast/client.yaml)"},
    {.name = "help", .letter = 'h', .argument = HF_CTL_FLAG, .doc = "help, of a command too"},
    END};

#define WAIT                                                                                       \
    {                                                                                              \
        .name = "wait", .argument = HF_CTL_OPTIONAL, .value = "TIME",                              \
        .doc = "until it ends, at most TIME (10m)"                                                 \
    }

static const struct hf_ctl_option APPLY[] = {
    {.name = "file", .letter = 'f', .argument = HF_CTL_VALUE, .value = "FILE", .doc = "the policy"},
    {.name = "revision",
     .argument = HF_CTL_VALUE,
     .value = "N",
     .doc = "only if the cluster is at this revision (else: the one that is read before)"},
    END};
static const struct hf_ctl_option PAUSE[] = {
    {.name = "reason", .argument = HF_CTL_VALUE, .value = "TEXT", .doc = "for the others"}, END};
static const struct hf_ctl_option BACKUP[] = {
    {.name = "type", .argument = HF_CTL_VALUE, .value = "full", .doc = "what is copied"},
    {.name = "node", .argument = HF_CTL_VALUE, .value = "NODE", .doc = "which node does it"},
    {.name = "name",
     .argument = HF_CTL_VALUE,
     .value = "NAME",
     .doc = "entry of the policy that it counts for"},
    WAIT,
    END};
static const struct hf_ctl_option PLAN[] = {
    {.name = "to", .argument = HF_CTL_VALUE, .value = "NODE|REGION", .doc = "the next primary"},
    END};
static const struct hf_ctl_option RUN[] = {
    {.name = "to", .argument = HF_CTL_VALUE, .value = "NODE|REGION", .doc = "the next primary"},
    WAIT,
    END};
#define GOES_ON                                                                                    \
    {                                                                                              \
        .name = "primary", .argument = HF_CTL_VALUE, .value = "NODE",                              \
        .doc = "who leads from now on (else: the one that does, or the furthest)"                  \
    }
static const struct hf_ctl_option RECOVERY_PLAN[] = {GOES_ON, END};
static const struct hf_ctl_option RECOVERY_RUN[] = {
    GOES_ON,
    {.name = "reason", .argument = HF_CTL_VALUE, .value = "TEXT", .doc = "kept with it; needed"},
    WAIT,
    END};
static const struct hf_ctl_option CA_INIT[] = {
    {.name = "dir", .argument = HF_CTL_VALUE, .value = "DIR", .doc = "directory of the authority"},
    {.name = "trust-domain",
     .argument = HF_CTL_VALUE,
     .value = "NAME",
     .doc = "of the identities (hf.local)"},
    {.name = "days", .argument = HF_CTL_VALUE, .value = "N", .doc = "validity (3650)"},
    END};
static const struct hf_ctl_option CA_ISSUE[] = {
    {.name = "dir", .argument = HF_CTL_VALUE, .value = "DIR", .doc = "directory of the authority"},
    {.name = "tenant", .argument = HF_CTL_VALUE, .value = "T", .doc = "agent, user of one tenant"},
    {.name = "region", .argument = HF_CTL_VALUE, .value = "R", .doc = "agent"},
    {.name = "name", .argument = HF_CTL_VALUE, .value = "N", .doc = "of whom it is for"},
    {.name = "role",
     .argument = HF_CTL_VALUE,
     .value = "ROLE",
     .doc = "user: viewer, operator, admin"},
    {.name = "host",
     .argument = HF_CTL_VALUE,
     .value = "IP|DNS",
     .doc = "address in the certificate; may be given again",
     .repeated = true},
    {.name = "days", .argument = HF_CTL_VALUE, .value = "N", .doc = "validity (825)"},
    {.name = "renew", .argument = HF_CTL_FLAG, .doc = "replace the files that are there"},
    END};
static const struct hf_ctl_option CHECK[] = {
    {.name = "kind",
     .argument = HF_CTL_VALUE,
     .value = "KIND",
     .doc = "agent, coordinator, cluster or client (else: by what is in the file)"},
    {.name = "files",
     .argument = HF_CTL_FLAG,
     .doc = "check also the certificates and keys that it names"},
    END};
static const struct hf_ctl_option SHOW[] = {
    {.name = "kind",
     .argument = HF_CTL_VALUE,
     .value = "KIND",
     .doc = "agent, coordinator, cluster or client (else: by what is in the file)"},
    END};

#define WHICH .words = "[TENANT/CLUSTER]", .max_words = 1

const struct hf_ctl_command HF_CTL_COMMANDS[] = {
    {.name = "status", WHICH, .doc = "roles, positions, exposure", .run = hf_ctl_status},
    {.name = "cluster list", .words = "", .doc = "all clusters", .run = hf_ctl_cluster_list},
    {.name = "cluster show",
     WHICH,
     .doc = "policy and state of a cluster",
     .run = hf_ctl_cluster_show},
    {.name = "cluster apply",
     .words = "-f FILE",
     .options = APPLY,
     .doc = "make a cluster, or change its policy",
     .run = hf_ctl_cluster_apply},
    {.name = "cluster pause",
     WHICH,
     .options = PAUSE,
     .doc = "decide nothing automatically until resumed",
     .run = hf_ctl_cluster_pause},
    {.name = "cluster resume",
     WHICH,
     .doc = "decide automatically again",
     .run = hf_ctl_cluster_resume},
    {.name = "pause",
     WHICH,
     .options = PAUSE,
     .doc = "as cluster pause",
     .run = hf_ctl_cluster_pause,
     .hidden = true},
    {.name = "resume",
     WHICH,
     .doc = "as cluster resume",
     .run = hf_ctl_cluster_resume,
     .hidden = true},
    {.name = "backup list", WHICH, .doc = "backups, newest first", .run = hf_ctl_backup_list},
    {.name = "backup create",
     WHICH,
     .options = BACKUP,
     .doc = "take a backup now",
     .run = hf_ctl_backup_create},
    {.name = "failover plan",
     WHICH,
     .options = PLAN,
     .doc = "what a failover would do, and lose; does nothing",
     .run = hf_ctl_failover_plan},
    {.name = "failover run", WHICH, .options = RUN, .doc = "fail over", .run = hf_ctl_failover_run},
    {.name = "switchover plan",
     WHICH,
     .options = PLAN,
     .doc = "whether the primary can be moved without loss now; does nothing",
     .run = hf_ctl_switchover_plan},
    {.name = "switchover run",
     WHICH,
     .options = RUN,
     .doc = "move the primary: no loss, or it leads again",
     .run = hf_ctl_switchover_run},
    {.name = "recovery plan",
     WHICH,
     .options = RECOVERY_PLAN,
     .doc = "etcd was restored: what a new generation would begin with; does nothing",
     .run = hf_ctl_recovery_plan},
    {.name = "recovery run",
     WHICH,
     .options = RECOVERY_RUN,
     .doc = "begin a new generation, into which the agents follow",
     .run = hf_ctl_recovery_run},
    {.name = "operation list",
     WHICH,
     .doc = "first adoption, failovers, backups; newest first",
     .run = hf_ctl_operation_list},
    {.name = "operation show",
     .words = "TENANT/CLUSTER ID",
     .min_words = 2,
     .max_words = 2,
     .doc = "one operation with its steps",
     .run = hf_ctl_operation_show},
    {.name = "ca init",
     .words = "--dir DIR",
     .options = CA_INIT,
     .doc = "make the installation's certificate authority",
     .run = hf_ctl_ca_init},
    {.name = "ca issue",
     .words = "agent|coordinator|etcd|etcd-client|user --dir DIR",
     .min_words = 1,
     .max_words = 1,
     .options = CA_ISSUE,
     .doc = "issue a certificate with its key",
     .run = hf_ctl_ca_issue},
    {.name = "config check",
     .words = "FILE...",
     .min_words = 1,
     .max_words = HF_CTL_MAX_WORDS,
     .options = CHECK,
     .doc = "are these configuration files right?",
     .run = hf_ctl_config_check},
    {.name = "config show",
     .words = "FILE",
     .min_words = 1,
     .max_words = 1,
     .options = SHOW,
     .doc = "effective values of a configuration file, and where they come from",
     .run = hf_ctl_config_show},
    {.name = "config docs",
     .words = "",
     .doc = "the reference of all options, as Markdown",
     .run = hf_ctl_config_docs,
     .hidden = true},
    {.name = "version",
     .words = "",
     .doc = "of this command, and of the coordinator if one is known",
     .run = hf_ctl_version},
    END};
