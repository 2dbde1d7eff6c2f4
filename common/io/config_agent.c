/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/config_agent.h"

#include <string.h>
#include <sys/un.h>

#include "common/base/mem.h"
#include "common/core/name.h"

static const char *const LEVELS[] = {"debug", "info", "warning", "error", NULL};
static const char *const TARGETS[] = {"auto", "journald", "stderr", NULL};
static const char *const MANAGE[] = {"observe", "process", "systemd", NULL};
static const char *const MANAGE_ARGS[] = {NULL, NULL, "UNIT"};
static const char *const REPOSITORY_TYPES[] = {"posix", "s3", NULL};
static const char *const ADDRESSING[] = {"path", "host", NULL};
static const char *const WSS[] = {"wss", NULL};
static const char *const HTTP[] = {"http", "https", NULL};

#define END                                                                                        \
    {                                                                                              \
        .type = HF_OPTION_END                                                                      \
    }

const struct hf_option HF_CONFIG_TLS_OPTIONS[] = {
    {.key = "ca",
     .type = HF_OPTION_PATH,
     .required = true,
     .doc = "certificate authority (PEM); only its certificates are accepted",
     HF_OPTION_AT(struct hf_config_tls, ca)},
    {.key = "certificate",
     .type = HF_OPTION_PATH,
     .required = true,
     .doc = "own certificate (PEM); its URI SAN is the identity",
     HF_OPTION_AT(struct hf_config_tls, certificate)},
    {.key = "key",
     .type = HF_OPTION_PATH,
     .required = true,
     .doc = "private key of the certificate (PEM, mode 0600)",
     HF_OPTION_AT(struct hf_config_tls, key)},
    {.key = "trust_domain",
     .type = HF_OPTION_TEXT,
     .fallback = "hf.local",
     .doc = "of the identities, as given to `holdfast ca init`",
     HF_OPTION_AT(struct hf_config_tls, trust_domain)},
    END};

const struct hf_option HF_CONFIG_LOG_OPTIONS[] = {
    {.key = "level",
     .type = HF_OPTION_ENUM,
     .values = LEVELS,
     .fallback = "info",
     .doc = "least important entries that are written",
     HF_OPTION_AT(struct hf_config_log, level)},
    {.key = "target",
     .type = HF_OPTION_ENUM,
     .values = TARGETS,
     .fallback = "auto",
     .doc = "auto: journald under systemd, else standard error",
     HF_OPTION_AT(struct hf_config_log, target)},
    END};

static const struct hf_option KEEP_OPTIONS[] = {
    {.key = "last",
     .type = HF_OPTION_INT,
     .fallback = "0",
     .min = 0,
     .max = 10000,
     .doc =
         "newest backups of this entry that are kept, 0 = all; no effect yet: nothing expires by "
         "itself",
     HF_OPTION_AT(struct hf_policy_backup, keep_last)},
    END};

const struct hf_option HF_CONFIG_BACKUP_POLICY_OPTIONS[] = {
    {.key = "name",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "of this entry",
     HF_OPTION_AT(struct hf_policy_backup, name)},
    {.key = "type",
     .type = HF_OPTION_ENUM,
     .values = HF_POLICY_BACKUP_TYPE_NAMES,
     .fallback = "full",
     .doc = "what is copied",
     HF_OPTION_AT(struct hf_policy_backup, type)},
    {.key = "cron",
     .type = HF_OPTION_TEXT,
     .text_optional = true,
     .doc = "when: minute hour day month weekday, or @hourly, @daily, @weekly, @monthly, @yearly; "
            "no effect yet: a backup starts only when asked (warning UNSCHEDULED)",
     HF_OPTION_AT(struct hf_policy_backup, cron)},
    {.key = "zone",
     .type = HF_OPTION_TEXT,
     .fallback = "UTC",
     .doc = "time zone of cron (IANA name); no effect yet, as cron",
     HF_OPTION_AT(struct hf_policy_backup, zone)},
    {.key = "from",
     .type = HF_OPTION_ENUM,
     .values = HF_POLICY_BACKUP_FROM_NAMES,
     .fallback = "standby",
     .doc = "node that is read by backup create --name; standby: the primary when there is no "
            "standby",
     HF_OPTION_AT(struct hf_policy_backup, from)},
    {.key = "keep",
     .type = HF_OPTION_SECTION,
     .sub = KEEP_OPTIONS,
     .doc = "retention",
     .offset = 0},
    END};

static const struct hf_option HTTP_OPTIONS[] = {
    {.key = "listen",
     .type = HF_OPTION_ADDRESS,
     .min = 0,
     .max = 65535,
     .doc =
         "address of /primary, /read-write, /replica, /read-only, /health and /metrics; without it "
         "there are none",
     HF_OPTION_AT(struct hf_config_agent, http.listen)},
    END};

static const struct hf_option POSTGRESQL_OPTIONS[] = {
    {.key = "data_dir",
     .type = HF_OPTION_PATH,
     .required = true,
     .doc = "PGDATA",
     HF_OPTION_AT(struct hf_config_postgresql, data_dir)},
    {.key = "bin_dir",
     .type = HF_OPTION_PATH,
     .required = true,
     .doc = "where postgres and pg_ctl are",
     HF_OPTION_AT(struct hf_config_postgresql, bin_dir)},
    {.key = "config_file",
     .type = HF_OPTION_PATH,
     .doc = "postgresql.conf when it is outside data_dir, as Debian has it",
     HF_OPTION_AT(struct hf_config_postgresql, config_file)},
    {.key = "socket_dir",
     .type = HF_OPTION_PATH,
     .fallback = "/var/run/postgresql",
     .doc = "directory of the server's UNIX socket, which the agent connects to",
     HF_OPTION_AT(struct hf_config_postgresql, socket_dir)},
    {.key = "advertise",
     .type = HF_OPTION_ADDRESS,
     .required = true,
     .doc = "address for the other nodes and for DNS; the same port in all regions",
     HF_OPTION_AT(struct hf_config_postgresql, advertise)},
    {.key = "manage",
     .type = HF_OPTION_TAGGED,
     .values = MANAGE,
     .args = MANAGE_ARGS,
     .arg_type = HF_OPTION_TEXT,
     .arg_offset = offsetof(struct hf_config_postgresql, unit),
     .arg_size = HF_CONFIG_ARG_SIZE,
     .fallback = "observe",
     .doc =
         "who starts PostgreSQL: nobody here, the agent itself, or a systemd unit that the agent "
         "commands; with coordinators the last two archive WAL only while the node leads its "
         "cluster, so below level manage archiving needs observe",
     HF_OPTION_AT(struct hf_config_postgresql, manage)},
    {.key = "fence_grace",
     .type = HF_OPTION_DURATION,
     .min = 0,
     .max = INT64_C(600) * 1000000,
     .fallback = "15s",
     .doc = "with the commit guard: how long after the end of a lease PostgreSQL may wait for "
            "another grant, committing nothing, before it is ended; without the guard it is ended "
            "at the end of the lease",
     HF_OPTION_AT(struct hf_config_postgresql, fence_grace)},
    {.key = "user",
     .type = HF_OPTION_TEXT,
     .fallback = "holdfast",
     .doc = "role of the agent's connections",
     HF_OPTION_AT(struct hf_config_postgresql, user)},
    {.key = "replication_user",
     .type = HF_OPTION_TEXT,
     .fallback = "holdfast_repl",
     .doc = "role of streaming replication and of pg_rewind",
     HF_OPTION_AT(struct hf_config_postgresql, replication_user)},
    {.key = "database",
     .type = HF_OPTION_TEXT,
     .fallback = "postgres",
     .doc = "database that the agent's connections use",
     HF_OPTION_AT(struct hf_config_postgresql, database)},
    {.key = "passfile",
     .type = HF_OPTION_PATH,
     .doc = "passwords of both roles (PostgreSQL's .pgpass format, mode 0600)",
     HF_OPTION_AT(struct hf_config_postgresql, passfile)},
    END};

static const struct hf_option REPOSITORY_OPTIONS[] = {
    {.key = "type",
     .type = HF_OPTION_ENUM,
     .values = REPOSITORY_TYPES,
     .required = true,
     .doc = "a directory, or an S3 bucket",
     HF_OPTION_AT(struct hf_config_repository, type)},
    {.key = "path",
     .type = HF_OPTION_PATH,
     .doc = "posix: the directory",
     HF_OPTION_AT(struct hf_config_repository, path)},
    {.key = "prefix",
     .type = HF_OPTION_TEXT,
     .text_optional = true,
     .doc = "put before every key; A-Z, a-z, 0-9, ., _, - and / between parts",
     HF_OPTION_AT(struct hf_config_repository, prefix)},
    {.key = "endpoint",
     .type = HF_OPTION_URL,
     .values = HTTP,
     .doc = "s3: address of the service",
     HF_OPTION_AT(struct hf_config_repository, endpoint)},
    {.key = "bucket",
     .type = HF_OPTION_TEXT,
     .doc = "s3: must exist",
     HF_OPTION_AT(struct hf_config_repository, bucket)},
    {.key = "signing_region",
     .type = HF_OPTION_TEXT,
     .fallback = "us-east-1",
     .doc = "s3: region name that requests are signed for",
     HF_OPTION_AT(struct hf_config_repository, signing_region)},
    {.key = "addressing",
     .type = HF_OPTION_ENUM,
     .values = ADDRESSING,
     .fallback = "path",
     .doc = "s3: bucket in the path, or as host name",
     HF_OPTION_AT(struct hf_config_repository, addressing)},
    {.key = "credentials",
     .type = HF_OPTION_PATH,
     .doc = "s3: file of lines access_key_id = ..., secret_access_key = ..., optionally "
            "session_token = ... (mode 0600)",
     HF_OPTION_AT(struct hf_config_repository, credentials)},
    {.key = "ca",
     .type = HF_OPTION_PATH,
     .doc = "s3: certificate authority (PEM) of an https endpoint; the system's without it",
     HF_OPTION_AT(struct hf_config_repository, ca)},
    END};

static const struct hf_option ARGUMENT[] = {
    {.key = "", .type = HF_OPTION_TEXT, .size = HF_CONFIG_ARG_SIZE}, END};

static const struct hf_option KEY_OPTIONS[] = {
    {.key = "file",
     .type = HF_OPTION_PATH,
     .doc = "file with the key: 32 bytes, or 64 hexadecimal digits (mode 0600)",
     HF_OPTION_AT(struct hf_config_key, file)},
    {.key = "credential",
     .type = HF_OPTION_TEXT,
     .doc = "systemd credential with the key: a file in $CREDENTIALS_DIRECTORY",
     HF_OPTION_AT(struct hf_config_key, credential)},
    {.key = "command",
     .type = HF_OPTION_LIST,
     .sub = ARGUMENT,
     .doc = "program (absolute path) and arguments; its standard output is the key; no shell",
     HF_OPTION_ARRAY(struct hf_config_key, command, command_count)},
    END};

static const struct hf_option ENCRYPTION_OPTIONS[] = {
    {.key = "active",
     .type = HF_OPTION_NAME,
     .doc = "key that new data keys are wrapped with; needed with repositories",
     HF_OPTION_AT(struct hf_config_agent, encryption.active)},
    {.key = "keys",
     .type = HF_OPTION_MAP,
     .sub = KEY_OPTIONS,
     .doc = "key-encryption keys by name; each has exactly one of file, credential, command",
     HF_OPTION_ARRAY(struct hf_config_agent, encryption.keys, encryption.key_count)},
    END};

static const struct hf_option BACKUP_OPTIONS[] = {
    {.key = "workers",
     .type = HF_OPTION_INT,
     .min = 1,
     .max = 64,
     .fallback = "2",
     .doc = "threads that compress and encrypt",
     HF_OPTION_AT(struct hf_config_agent, backup.workers)},
    {.key = "zstd_level",
     .type = HF_OPTION_INT,
     .min = 1,
     .max = 19,
     .fallback = "3",
     .doc = "compression: higher is smaller and slower",
     HF_OPTION_AT(struct hf_config_agent, backup.zstd_level)},
    {.key = "pack_size",
     .type = HF_OPTION_SIZE,
     .min = 1 << 20,
     .max = 64 << 20,
     .fallback = "64MB",
     .doc = "largest object of a backup",
     HF_OPTION_AT(struct hf_config_agent, backup.pack_size)},
    {.key = "memory",
     .type = HF_OPTION_SIZE,
     .min = 16 << 20,
     .max = INT64_C(64) << 30,
     .fallback = "96MB",
     .doc = "buffers of a running backup, all together",
     HF_OPTION_AT(struct hf_config_agent, backup.memory)},
    END};

static const struct hf_option WAL_OPTIONS[] = {
    {.key = "queue_max",
     .type = HF_OPTION_SIZE,
     .min = 64 << 20,
     .max = INT64_C(64) << 40,
     .fallback = "2GB",
     .doc = "no effect yet: a lagging region is filled from the own region's repository, and the "
            "queue is the difference of the two listings",
     HF_OPTION_AT(struct hf_config_agent, wal.queue_max)},
    END};

static const struct hf_option STANDALONE_OPTIONS[] = {
    {.key = "backups",
     .type = HF_OPTION_RECORDS,
     .sub = HF_CONFIG_BACKUP_POLICY_OPTIONS,
     .doc = "no effect yet: take backups and expire them by holdfast-agent backup and expire",
     HF_OPTION_ARRAY(struct hf_config_agent, standalone.backups, standalone.backup_count)},
    END};

static const struct hf_option COORDINATOR_URL[] = {
    {.key = "", .type = HF_OPTION_URL, .values = WSS, .size = HF_CONFIG_URL_SIZE}, END};

const struct hf_option HF_CONFIG_AGENT_OPTIONS[] = {
    {.key = "version",
     .type = HF_OPTION_INT,
     .min = 1,
     .max = 1,
     .required = true,
     .doc = "of this file's format",
     HF_OPTION_AT(struct hf_config_agent, version)},
    {.key = "tenant",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "owner of the cluster",
     HF_OPTION_AT(struct hf_config_agent, tenant)},
    {.key = "cluster",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "that the node belongs to",
     HF_OPTION_AT(struct hf_config_agent, cluster)},
    {.key = "region",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "failure domain of this host",
     HF_OPTION_AT(struct hf_config_agent, region)},
    {.key = "name",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "of this node; the certificate's URI SAN ends in it",
     HF_OPTION_AT(struct hf_config_agent, name)},
    {.key = "state_dir",
     .type = HF_OPTION_PATH,
     .fallback = "/var/lib/holdfast",
     .doc = "outbox, WAL queue, promises, lease page; without repositories also salvaged WAL",
     HF_OPTION_AT(struct hf_config_agent, state_dir)},
    {.key = "socket",
     .type = HF_OPTION_PATH,
     .fallback = "/run/holdfast/agent.sock",
     .doc = "UNIX socket of archive-push, archive-get and holdfast.so (at most 107 bytes)",
     HF_OPTION_AT(struct hf_config_agent, socket)},
    {.key = "http",
     .type = HF_OPTION_SECTION,
     .sub = HTTP_OPTIONS,
     .doc = "endpoints for load balancers and monitoring"},
    {.key = "tls",
     .type = HF_OPTION_SECTION,
     .sub = HF_CONFIG_TLS_OPTIONS,
     .has_present = true,
     .present_offset = offsetof(struct hf_config_agent, has_tls),
     .doc = "identity towards the coordinators; needed with coordinators",
     HF_OPTION_AT(struct hf_config_agent, tls)},
    {.key = "coordinators",
     .type = HF_OPTION_LIST,
     .sub = COORDINATOR_URL,
     .doc = "every coordinator; empty: the agent works alone",
     HF_OPTION_ARRAY(struct hf_config_agent, coordinators, coordinator_count)},
    {.key = "postgresql",
     .type = HF_OPTION_SECTION,
     .sub = POSTGRESQL_OPTIONS,
     .has_present = true,
     .present_offset = offsetof(struct hf_config_agent, has_postgresql),
     .doc = "the node's PostgreSQL; left out in an archive region",
     HF_OPTION_AT(struct hf_config_agent, postgresql)},
    {.key = "repositories",
     .type = HF_OPTION_MAP,
     .sub = REPOSITORY_OPTIONS,
     .doc = "by region; the own region's must be among them",
     HF_OPTION_ARRAY(struct hf_config_agent, repositories, repository_count)},
    {.key = "encryption",
     .type = HF_OPTION_SECTION,
     .sub = ENCRYPTION_OPTIONS,
     .doc = "of everything in the repositories"},
    {.key = "backup", .type = HF_OPTION_SECTION, .sub = BACKUP_OPTIONS, .doc = "how backups run"},
    {.key = "wal", .type = HF_OPTION_SECTION, .sub = WAL_OPTIONS, .doc = "WAL archive"},
    {.key = "log",
     .type = HF_OPTION_SECTION,
     .sub = HF_CONFIG_LOG_OPTIONS,
     .doc = "what is logged where",
     HF_OPTION_AT(struct hf_config_agent, log)},
    {.key = "standalone",
     .type = HF_OPTION_SECTION,
     .sub = STANDALONE_OPTIONS,
     .doc = "no effect yet: for an agent that works alone, without coordinators"},
    END};

const struct hf_config_repository *hf_config_agent_local(const struct hf_config_agent *agent)
{
    for (size_t i = 0; i < agent->repository_count; i++) {
        if (hf_name_equal(&agent->repositories[i].region, &agent->region)) {
            return &agent->repositories[i];
        }
    }
    return NULL;
}

const struct hf_config_key *hf_config_agent_key(const struct hf_config_agent *agent,
                                                const char *name)
{
    for (size_t i = 0; i < agent->encryption.key_count; i++) {
        if (hf_name_is(&agent->encryption.keys[i].name, name)) {
            return &agent->encryption.keys[i];
        }
    }
    return NULL;
}
