/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.yaml: what one host needs (its paths, secrets' files, addresses). Policy is not here but in
 * the cluster policy (common/core/policy.h).
 * Invariant: a loaded struct is complete and checked: the own region's repository exists when any
 * does, the active encryption key is one of the keys, paths are absolute.
 */
#ifndef HF_IO_CONFIG_AGENT_H
#define HF_IO_CONFIG_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/core/identity.h"
#include "common/core/policy.h"
#include "common/io/config.h"
#include "holdfast/types.h"

enum {
    HF_CONFIG_MAX_KEYS = 8,
    HF_CONFIG_MAX_ARGV = 16,
    HF_CONFIG_ARG_SIZE = 256,
    HF_CONFIG_URL_SIZE = 512
};

enum hf_config_log_level {
    HF_CONFIG_LOG_DEBUG,
    HF_CONFIG_LOG_INFO,
    HF_CONFIG_LOG_WARNING,
    HF_CONFIG_LOG_ERROR
};
enum hf_config_log_target { HF_CONFIG_LOG_AUTO, HF_CONFIG_LOG_JOURNALD, HF_CONFIG_LOG_STDERR };

struct hf_config_log {
    enum hf_config_log_level level;
    enum hf_config_log_target target; /* auto: journald under systemd, else stderr */
};

/* PEM files. */
struct hf_config_tls {
    char ca[HF_PATH_SIZE];
    char certificate[HF_PATH_SIZE];
    char key[HF_PATH_SIZE];
    char trust_domain[HF_TRUST_DOMAIN_SIZE];
};

enum hf_config_manage { HF_MANAGE_OBSERVE, HF_MANAGE_PROCESS, HF_MANAGE_SYSTEMD };

struct hf_config_postgresql {
    char data_dir[HF_PATH_SIZE];
    char bin_dir[HF_PATH_SIZE];
    char config_file[HF_PATH_SIZE]; /* "" = data_dir/postgresql.conf */
    char socket_dir[HF_PATH_SIZE];
    char advertise[HF_ADDRESS_SIZE]; /* host:port for peers and DNS */
    enum hf_config_manage manage;    /* who starts PostgreSQL */
    char unit[HF_CONFIG_ARG_SIZE];   /* HF_MANAGE_SYSTEMD */
    hf_dur fence_grace; /* with the commit guard: from a lease's end to the end of PostgreSQL */
    char user[HF_NAME_SIZE];
    char replication_user[HF_NAME_SIZE];
    char database[HF_NAME_SIZE]; /* that the agent's own connections use */
    char passfile[HF_PATH_SIZE]; /* "" = none */
};

enum hf_config_repository_type { HF_CONFIG_POSIX, HF_CONFIG_S3 };
enum hf_config_addressing { HF_CONFIG_ADDRESSING_PATH, HF_CONFIG_ADDRESSING_HOST };

struct hf_config_repository {
    hf_name region;
    enum hf_config_repository_type type;
    char path[HF_PATH_SIZE]; /* posix */
    char prefix[256];
    char endpoint[HF_CONFIG_URL_SIZE]; /* s3, as the rest */
    char bucket[64];
    char signing_region[64];
    enum hf_config_addressing addressing;
    char credentials[HF_PATH_SIZE]; /* file */
    char ca[HF_PATH_SIZE];          /* "" = the system's */
};

/* Exactly one of file, credential, command. */
struct hf_config_key {
    hf_name name;
    char file[HF_PATH_SIZE];
    char credential[HF_NAME_SIZE]; /* name in $CREDENTIALS_DIRECTORY */
    char command[HF_CONFIG_MAX_ARGV][HF_CONFIG_ARG_SIZE];
    size_t command_count;
};

struct hf_config_agent {
    int32_t version;
    hf_name tenant;
    hf_name cluster;
    hf_name region;
    hf_name name;
    char state_dir[HF_PATH_SIZE];
    char socket[HF_PATH_SIZE]; /* at most 107 bytes: a UNIX socket's bound */
    struct {
        char listen[HF_ADDRESS_SIZE]; /* "" = no HTTP endpoint */
    } http;
    bool has_tls;
    struct hf_config_tls tls;
    char coordinators[HF_MAX_COORDINATORS][HF_CONFIG_URL_SIZE]; /* wss://host:port */
    size_t coordinator_count;                                   /* 0 = stand-alone */
    bool has_postgresql;                                        /* false: archive region */
    struct hf_config_postgresql postgresql;
    struct hf_config_repository repositories[HF_MAX_REGIONS];
    size_t repository_count;
    struct {
        hf_name active; /* key that new objects are encrypted under */
        struct hf_config_key keys[HF_CONFIG_MAX_KEYS];
        size_t key_count;
    } encryption;
    struct {
        int32_t workers;
        int32_t zstd_level;
        uint64_t pack_size;
        uint64_t memory;
    } backup;
    struct {
        uint64_t queue_max; /* bytes kept for lagging regions */
    } wal;
    struct hf_config_log log;
    struct {
        struct hf_policy_backup backups[HF_POLICY_MAX_BACKUPS]; /* while coordinators is empty */
        size_t backup_count;
    } standalone;
};

/* About 60 kB: allocate it, do not put it on a small stack. ret_config may be NULL; else the caller
 * frees it (origins for `config show`). HF_E_INVALID with FILE:LINE:COL; HF_E_NOT_FOUND. */
hf_result hf_config_agent_load(const char *path, struct hf_config_agent *ret,
                               struct hf_config **ret_config, struct hf_err *err) HF_MUST_USE;

/* The own region's repository, or NULL. */
const struct hf_config_repository *hf_config_agent_local(const struct hf_config_agent *agent);
const struct hf_config_key *hf_config_agent_key(const struct hf_config_agent *agent,
                                                const char *name);

/* The bytes of a key by its file, credential or command (run by argument vector, 10 s at most,
 * standard output is the key). 32 bytes, raw, or 64 hexadecimal digits; blocking. The caller wipes.
 */
enum { HF_CONFIG_KEY_BYTES = 32 };
hf_result hf_config_key_read(const struct hf_config_key *key,
                             unsigned char ret[HF_CONFIG_KEY_BYTES],
                             struct hf_err *err) HF_MUST_USE;

extern const struct hf_option HF_CONFIG_AGENT_OPTIONS[];
/* Tables that other files use as sections. */
extern const struct hf_option HF_CONFIG_TLS_OPTIONS[];
extern const struct hf_option HF_CONFIG_LOG_OPTIONS[];
extern const struct hf_option HF_CONFIG_BACKUP_POLICY_OPTIONS[];

#endif
