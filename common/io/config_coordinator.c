/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/config_coordinator.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/core/name.h"

static const char *const AUTH[] = {"certificate", NULL};
static const char *const DNS_TYPES[] = {"powerdns",   "rfc2136", "exec",
                                        "cloudflare", "route53", NULL};
static const char *const HTTP[] = {"http", "https", NULL};
static const char *const HTTPS[] = {"https", NULL};

#define END                                                                                        \
    {                                                                                              \
        .type = HF_OPTION_END                                                                      \
    }

static const struct hf_option AGENTS_OPTIONS[] = {
    {.key = "listen",
     .type = HF_OPTION_ADDRESS,
     .required = true,
     .min = 0,
     .max = 65535,
     .doc = "address for agents (wss, client certificate needed)",
     HF_OPTION_AT(struct hf_config_coordinator, agents.listen)},
    END};

static const struct hf_option USERS_OPTIONS[] = {
    {.key = "listen",
     .type = HF_OPTION_ADDRESS,
     .required = true,
     .min = 0,
     .max = 65535,
     .doc = "address for users (https); not the agents' port",
     HF_OPTION_AT(struct hf_config_coordinator, users.listen)},
    {.key = "advertise",
     .type = HF_OPTION_URL,
     .values = HTTPS,
     .doc = "how users reach this coordinator, when listen is not it",
     HF_OPTION_AT(struct hf_config_coordinator, users.advertise)},
    {.key = "auth",
     .type = HF_OPTION_ENUM,
     .values = AUTH,
     .fallback = "certificate",
     .doc = "how users are known",
     HF_OPTION_AT(struct hf_config_coordinator, users.auth)},
    END};

static const struct hf_option ETCD_URL[] = {
    {.key = "", .type = HF_OPTION_URL, .values = HTTP, .size = HF_CONFIG_URL_SIZE}, END};

static const struct hf_option ETCD_OPTIONS[] = {
    {.key = "endpoints",
     .type = HF_OPTION_LIST,
     .sub = ETCD_URL,
     .min_items = 1,
     .doc = "every member, the nearest first",
     HF_OPTION_ARRAY(struct hf_config_coordinator, etcd.endpoints, etcd.endpoint_count)},
    {.key = "prefix",
     .type = HF_OPTION_TEXT,
     .fallback = "/holdfast/v1",
     .doc = "put before every key",
     HF_OPTION_AT(struct hf_config_coordinator, etcd.prefix)},
    {.key = "tls",
     .type = HF_OPTION_SECTION,
     .sub = HF_CONFIG_TLS_OPTIONS,
     .has_present = true,
     .present_offset = offsetof(struct hf_config_coordinator, etcd.has_tls),
     .doc = "client certificate for etcd; needed for https endpoints",
     HF_OPTION_AT(struct hf_config_coordinator, etcd.tls)},
    {.key = "timeout",
     .type = HF_OPTION_DURATION,
     .min = 50000,
     .max = 10000000,
     .fallback = "500ms",
     .doc = "of one request to one member, then the next is asked",
     HF_OPTION_AT(struct hf_config_coordinator, etcd.timeout)},
    END};

static const struct hf_option LEASE_OPTIONS[] = {
    {.key = "ttl",
     .type = HF_OPTION_DURATION,
     .min = 1000000,
     .max = 60000000,
     .fallback = "6s",
     .doc = "length L of leadership and of a primary's lease",
     HF_OPTION_AT(struct hf_config_coordinator, lease.ttl)},
    {.key = "rate_margin",
     .type = HF_OPTION_PERCENT,
     .min = 1000,
     .max = 200000,
     .fallback = "1%",
     .doc = "how much two lease clocks may differ in rate",
     HF_OPTION_AT(struct hf_config_coordinator, lease.rate_margin_ppm)},
    END};

static const struct hf_option HISTORY_OPTIONS[] = {
    {.key = "dsn",
     .type = HF_OPTION_TEXT,
     .required = true,
     .doc = "connection string of the history database, without a password",
     HF_OPTION_AT(struct hf_config_coordinator, history.dsn)},
    {.key = "passfile",
     .type = HF_OPTION_PATH,
     .doc = "its password (PostgreSQL's .pgpass format, mode 0600)",
     HF_OPTION_AT(struct hf_config_coordinator, history.passfile)},
    {.key = "spool_max",
     .type = HF_OPTION_SIZE,
     .min = 1 << 20,
     .max = INT64_C(64) << 30,
     .fallback = "256MB",
     .doc = "disk space in state_dir for events while the database is away",
     HF_OPTION_AT(struct hf_config_coordinator, history.spool_max)},
    END};

static const struct hf_option AUTHORITATIVE[] = {
    {.key = "", .type = HF_OPTION_ADDRESS, .size = HF_ADDRESS_SIZE}, END};

static const struct hf_option WORD[] = {
    {.key = "", .type = HF_OPTION_TEXT, .size = HF_CONFIG_WORD_SIZE, .text_optional = true}, END};

static const struct hf_option DNS_OPTIONS[] = {
    {.key = "type",
     .type = HF_OPTION_ENUM,
     .values = DNS_TYPES,
     .required = true,
     .doc = "protocol",
     HF_OPTION_AT(struct hf_config_dns, type)},
    {.key = "url",
     .type = HF_OPTION_URL,
     .values = HTTP,
     .doc = "powerdns: of the server's API; cloudflare, route53: of another API than the "
            "provider's own",
     HF_OPTION_AT(struct hf_config_dns, url)},
    {.key = "api_key_file",
     .type = HF_OPTION_PATH,
     .doc = "powerdns: the API's key (mode 0600)",
     HF_OPTION_AT(struct hf_config_dns, api_key_file)},
    {.key = "server_id",
     .type = HF_OPTION_TEXT,
     .fallback = "localhost",
     .doc = "powerdns: of the server in the API's paths",
     HF_OPTION_AT(struct hf_config_dns, server_id)},
    {.key = "server",
     .type = HF_OPTION_ADDRESS,
     .doc = "rfc2136: primary server of the zone, a numeric address; asked over TCP",
     HF_OPTION_AT(struct hf_config_dns, server)},
    {.key = "key_file",
     .type = HF_OPTION_PATH,
     .doc = "rfc2136: TSIG key, as tsig-keygen writes it or ALGORITHM:NAME:SECRET (mode 0600)",
     HF_OPTION_AT(struct hf_config_dns, key_file)},
    {.key = "command",
     .type = HF_OPTION_LIST,
     .sub = WORD,
     .doc = "exec: program (absolute path) and arguments that set the name; no shell",
     HF_OPTION_ARRAY(struct hf_config_dns, command, command_count)},
    {.key = "token_file",
     .type = HF_OPTION_PATH,
     .doc = "cloudflare: API token with the right to edit DNS of the zone (mode 0600)",
     HF_OPTION_AT(struct hf_config_dns, token_file)},
    {.key = "credentials",
     .type = HF_OPTION_PATH,
     .doc = "route53: file of lines access_key_id = ..., secret_access_key = ..., optionally "
            "session_token = ... (mode 0600); without it AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the service's environment",
     HF_OPTION_AT(struct hf_config_dns, credentials)},
    {.key = "signing_region",
     .type = HF_OPTION_TEXT,
     .fallback = "us-east-1",
     .doc = "route53: region name that requests are signed for",
     HF_OPTION_AT(struct hf_config_dns, signing_region)},
    {.key = "zone_id",
     .type = HF_OPTION_TEXT,
     .doc =
         "route53: of the hosted zone; cloudflare: of the zone, looked up by its name without it",
     HF_OPTION_AT(struct hf_config_dns, zone_id)},
    {.key = "sync_timeout",
     .type = HF_OPTION_DURATION,
     .min = 1000000,
     .max = 600000000,
     .fallback = "2m",
     .doc = "route53: longest wait for a change to be INSYNC",
     HF_OPTION_AT(struct hf_config_dns, sync_timeout)},
    {.key = "zone",
     .type = HF_OPTION_TEXT,
     .required = true,
     .doc = "that names are changed in; ends in a dot",
     HF_OPTION_AT(struct hf_config_dns, zone)},
    {.key = "authoritative",
     .type = HF_OPTION_LIST,
     .sub = AUTHORITATIVE,
     .min_items = 1,
     .doc = "servers that are asked whether a change is there",
     HF_OPTION_ARRAY(struct hf_config_dns, authoritative, authoritative_count)},
    {.key = "timeout",
     .type = HF_OPTION_DURATION,
     .min = 100000,
     .max = 60000000,
     .fallback = "3s",
     .doc = "of one request, or one run of a command",
     HF_OPTION_AT(struct hf_config_dns, timeout)},
    END};

const struct hf_option HF_CONFIG_COORDINATOR_OPTIONS[] = {
    {.key = "version",
     .type = HF_OPTION_INT,
     .min = 1,
     .max = 1,
     .required = true,
     .doc = "of this file's format",
     HF_OPTION_AT(struct hf_config_coordinator, version)},
    {.key = "name",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "of this coordinator; the certificate's URI SAN ends in it",
     HF_OPTION_AT(struct hf_config_coordinator, name)},
    {.key = "region",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "failure domain of this host",
     HF_OPTION_AT(struct hf_config_coordinator, region)},
    {.key = "state_dir",
     .type = HF_OPTION_PATH,
     .fallback = "/var/lib/holdfast-coordinator",
     .doc = "spool",
     HF_OPTION_AT(struct hf_config_coordinator, state_dir)},
    {.key = "tls",
     .type = HF_OPTION_SECTION,
     .sub = HF_CONFIG_TLS_OPTIONS,
     .required = true,
     .doc = "identity of this coordinator, towards agents and users",
     HF_OPTION_AT(struct hf_config_coordinator, tls)},
    {.key = "agents",
     .type = HF_OPTION_SECTION,
     .sub = AGENTS_OPTIONS,
     .required = true,
     .doc = "where agents connect"},
    {.key = "users",
     .type = HF_OPTION_SECTION,
     .sub = USERS_OPTIONS,
     .required = true,
     .doc = "where users connect"},
    {.key = "etcd",
     .type = HF_OPTION_SECTION,
     .sub = ETCD_OPTIONS,
     .required = true,
     .doc = "where the truth is kept"},
    {.key = "lease",
     .type = HF_OPTION_SECTION,
     .sub = LEASE_OPTIONS,
     .doc = "the same at every coordinator"},
    {.key = "history",
     .type = HF_OPTION_SECTION,
     .sub = HISTORY_OPTIONS,
     .has_present = true,
     .present_offset = offsetof(struct hf_config_coordinator, history.present),
     .doc = "database for people; nothing stops without it"},
    {.key = "dns",
     .type = HF_OPTION_MAP,
     .sub = DNS_OPTIONS,
     .doc = "providers, by the name that policies use (route.provider)",
     HF_OPTION_ARRAY(struct hf_config_coordinator, dns, dns_count)},
    {.key = "log",
     .type = HF_OPTION_SECTION,
     .sub = HF_CONFIG_LOG_OPTIONS,
     .doc = "what is logged where",
     HF_OPTION_AT(struct hf_config_coordinator, log)},
    END};

const struct hf_config_dns *hf_config_coordinator_dns(const struct hf_config_coordinator *c,
                                                      const char *name)
{
    for (size_t i = 0; i < c->dns_count; i++) {
        if (hf_name_is(&c->dns[i].name, name)) {
            return &c->dns[i];
        }
    }
    return NULL;
}

/* A password in a connection string would be shown by `config show` and in /proc. */
static bool dsn_has_password(const char *dsn)
{
    if (strstr(dsn, "://") != NULL) {
        const char *at = strchr(dsn, '@');
        const char *colon = strchr(strstr(dsn, "://") + 3, ':');
        if (at != NULL && colon != NULL && colon < at) {
            return true;
        }
    }
    for (const char *p = dsn; *p != '\0'; p++) {
        size_t n = strncasecmp(p, "password", 8) == 0 ? 8 : 0;
        n = strncasecmp(p, "sslpassword", 11) == 0 ? 11 : n;
        if (n > 0 && (p == dsn || strchr(" ?&", p[-1]) != NULL)) {
            const char *q = p + n;
            q += strspn(q, " ");
            if (*q == '=') {
                return true;
            }
        }
    }
    return false;
}

static hf_result check_etcd(const struct hf_config *file, const struct hf_config_coordinator *c,
                            struct hf_err *err)
{
    for (size_t i = 0; i < c->etcd.endpoint_count; i++) {
        if (strncmp(c->etcd.endpoints[i], "https:", 6) == 0 && !c->etcd.has_tls) {
            return hf_config_fail(file, "etcd.endpoints", err, "https needs the section etcd.tls");
        }
    }
    size_t len = strlen(c->etcd.prefix);
    if (c->etcd.prefix[0] != '/' || c->etcd.prefix[len - 1] == '/' ||
        strspn(c->etcd.prefix, "abcdefghijklmnopqrstuvwxyz0123456789/_.-") != len) {
        return hf_config_fail(file, "etcd.prefix", err,
                              "value \"%s\" is not allowed; allowed: / and parts of a-z, 0-9, _, . "
                              "and -, as /holdfast/v1",
                              c->etcd.prefix);
    }
    return hf_done();
}

/* Options that belong to some types only: by type, needed or just allowed. */
static const struct {
    enum hf_config_dns_type type;
    const char *key;
    bool needed;
} DNS_OWN[] = {
    {HF_CONFIG_DNS_POWERDNS, "url", true},         {HF_CONFIG_DNS_POWERDNS, "api_key_file", true},
    {HF_CONFIG_DNS_POWERDNS, "server_id", false},  {HF_CONFIG_DNS_RFC2136, "server", true},
    {HF_CONFIG_DNS_RFC2136, "key_file", true},     {HF_CONFIG_DNS_EXEC, "command", true},
    {HF_CONFIG_DNS_CLOUDFLARE, "url", false},      {HF_CONFIG_DNS_CLOUDFLARE, "token_file", true},
    {HF_CONFIG_DNS_CLOUDFLARE, "zone_id", false},  {HF_CONFIG_DNS_ROUTE53, "url", false},
    {HF_CONFIG_DNS_ROUTE53, "credentials", false}, {HF_CONFIG_DNS_ROUTE53, "signing_region", false},
    {HF_CONFIG_DNS_ROUTE53, "zone_id", true},      {HF_CONFIG_DNS_ROUTE53, "sync_timeout", false},
};

static hf_result check_dns(const struct hf_config *file, const struct hf_config_dns *d,
                           struct hf_err *err)
{
    enum { COUNT = sizeof DNS_OWN / sizeof DNS_OWN[0] };
    char where[192];
    for (size_t i = 0; i < COUNT; i++) {
        bool own = false;
        bool needed = false;
        for (size_t k = 0; k < COUNT; k++) {
            if (strcmp(DNS_OWN[k].key, DNS_OWN[i].key) == 0 && DNS_OWN[k].type == d->type) {
                own = true;
                needed = DNS_OWN[k].needed;
            }
        }
        (void)snprintf(where, sizeof where, "dns.%s.%s", d->name.s, DNS_OWN[i].key);
        bool empty = d->type == HF_CONFIG_DNS_EXEC && d->command_count == 0;
        if (needed && (empty || !hf_config_given(file, where))) {
            return hf_config_fail(file, where, err, "is missing: type %s needs it",
                                  DNS_TYPES[d->type]);
        }
        if (!own && hf_config_given(file, where)) {
            return hf_config_fail(file, where, err, "is not an option of type %s",
                                  DNS_TYPES[d->type]);
        }
    }
    if (d->command_count > 0 && d->command[0][0] != '/') {
        (void)snprintf(where, sizeof where, "dns.%s.command", d->name.s);
        return hf_config_fail(file, where, err, "value \"%.64s\" is not an absolute path",
                              d->command[0]);
    }
    for (const char *p = d->zone_id; *p != '\0'; p++) { /* it stands in paths */
        if (!isalnum((unsigned char)*p)) {
            (void)snprintf(where, sizeof where, "dns.%s.zone_id", d->name.s);
            return hf_config_fail(file, where, err, "value \"%.64s\": allowed are A-Z, a-z and 0-9",
                                  d->zone_id);
        }
    }
    (void)snprintf(where, sizeof where, "dns.%s.zone", d->name.s);
    size_t len = strlen(d->zone);
    if (len == 0 || d->zone[len - 1] != '.') {
        return hf_config_fail(file, where, err, "value \"%.64s\" does not end in a dot", d->zone);
    }
    return hf_done();
}

static hf_result check_coordinator(const struct hf_config *file,
                                   const struct hf_config_coordinator *c, struct hf_err *err)
{
    HF_TRY(check_etcd(file, c, err));
    if (!hf_trust_domain_valid(c->tls.trust_domain)) {
        return hf_config_fail(file, "tls.trust_domain", err, "allowed: a-z, 0-9, . and -");
    }
    const char *colon = strrchr(c->agents.listen, ':');
    if (strcmp(c->agents.listen, c->users.listen) == 0 && strcmp(colon, ":0") != 0) {
        return hf_config_fail(file, "users.listen", err, "must not be the agents' address");
    }
    if (c->history.present && dsn_has_password(c->history.dsn)) {
        return hf_config_fail(file, "history.dsn", err,
                              "a password is not allowed here; allowed: passfile");
    }
    for (size_t i = 0; i < c->dns_count; i++) {
        HF_TRY(check_dns(file, &c->dns[i], err));
    }
    return hf_done();
}

hf_result hf_config_coordinator_load(const char *path, struct hf_config_coordinator *ret,
                                     struct hf_config **ret_config, struct hf_err *err)
{
    HF_AUTOFREE struct hf_config_coordinator *c = hf_alloc(sizeof *c);
    HF_AUTOCONFIG struct hf_config *file = NULL;
    HF_TRY(hf_config_load(path, HF_CONFIG_COORDINATOR_OPTIONS, c, sizeof *c, &file, err));
    HF_TRY(check_coordinator(file, c, err));
    memcpy(ret, c, sizeof *c);
    if (ret_config != NULL) {
        *ret_config = file;
        file = NULL;
    }
    return hf_done();
}
