/* SPDX-License-Identifier: Apache-2.0
 *
 * coordinator.yaml: what one coordinator's host needs.
 * Invariant: as config_agent.h; the history dsn holds no password (it is in passfile).
 */
#ifndef HF_IO_CONFIG_COORDINATOR_H
#define HF_IO_CONFIG_COORDINATOR_H

#include "common/io/config_agent.h"

enum {
    HF_CONFIG_MAX_ETCD = 8,
    HF_CONFIG_MAX_DNS = 8,
    HF_CONFIG_MAX_AUTHORITATIVE = 8,
    HF_CONFIG_MAX_COMMAND = 16,
    HF_CONFIG_WORD_SIZE = 256,
    HF_CONFIG_DSN_SIZE = 1024
};

enum hf_config_user_auth { HF_CONFIG_AUTH_CERTIFICATE };
enum hf_config_dns_type {
    HF_CONFIG_DNS_POWERDNS,
    HF_CONFIG_DNS_RFC2136,
    HF_CONFIG_DNS_EXEC,
    HF_CONFIG_DNS_CLOUDFLARE,
    HF_CONFIG_DNS_ROUTE53
};

struct hf_config_dns {
    hf_name name; /* as route.provider of the policies names it */
    enum hf_config_dns_type type;
    char url[HF_CONFIG_URL_SIZE];
    char api_key_file[HF_PATH_SIZE];
    char server_id[HF_NAME_SIZE];
    char server[HF_ADDRESS_SIZE];                             /* rfc2136 */
    char key_file[HF_PATH_SIZE];                              /* rfc2136 */
    char command[HF_CONFIG_MAX_COMMAND][HF_CONFIG_WORD_SIZE]; /* exec: an argument vector */
    size_t command_count;
    char token_file[HF_PATH_SIZE];      /* cloudflare */
    char credentials[HF_PATH_SIZE];     /* route53; "" = the environment */
    char signing_region[HF_NAME_SIZE];  /* route53 */
    char zone_id[HF_NAME_SIZE];         /* cloudflare, route53 */
    hf_dur sync_timeout;                /* route53 */
    char zone[HF_POLICY_DNS_NAME_SIZE]; /* absolute, ends in a dot */
    char authoritative[HF_CONFIG_MAX_AUTHORITATIVE][HF_ADDRESS_SIZE]; /* asked to verify a change */
    size_t authoritative_count;
    hf_dur timeout;
};

struct hf_config_coordinator {
    int32_t version;
    hf_name name;
    hf_name region;
    char state_dir[HF_PATH_SIZE];
    struct hf_config_tls tls;
    struct {
        char listen[HF_ADDRESS_SIZE];
    } agents;
    struct {
        char listen[HF_ADDRESS_SIZE];
        char advertise[HF_CONFIG_URL_SIZE]; /* "" = https://<listen>: where followers send users */
        enum hf_config_user_auth auth;
    } users;
    struct {
        char endpoints[HF_CONFIG_MAX_ETCD][HF_CONFIG_URL_SIZE];
        size_t endpoint_count;
        char prefix[256];
        bool has_tls;
        struct hf_config_tls tls; /* trust_domain unused */
        hf_dur timeout;
    } etcd;
    struct {
        hf_dur ttl;              /* L */
        int32_t rate_margin_ppm; /* of the lease clocks, rule L1 */
    } lease;
    struct {
        bool present;
        char dsn[HF_CONFIG_DSN_SIZE];
        char passfile[HF_PATH_SIZE];
        uint64_t spool_max; /* bytes */
    } history;
    struct hf_config_dns dns[HF_CONFIG_MAX_DNS];
    size_t dns_count;
    struct hf_config_log log;
};

/* As hf_config_agent_load. */
hf_result hf_config_coordinator_load(const char *path, struct hf_config_coordinator *ret,
                                     struct hf_config **ret_config, struct hf_err *err) HF_MUST_USE;
const struct hf_config_dns *hf_config_coordinator_dns(const struct hf_config_coordinator *c,
                                                      const char *name);

extern const struct hf_option HF_CONFIG_COORDINATOR_OPTIONS[];

#endif
