/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.yaml: loading, and what no single option shows.
 */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/base/mem.h"
#include "common/core/name.h"
#include "common/io/config_agent.h"

enum { WHERE_SIZE = 160 };

static bool prefix_valid(const char *prefix)
{
    size_t len = strlen(prefix);
    if (len == 0) {
        return true;
    }
    if (strspn(prefix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/") !=
        len) {
        return false;
    }
    for (const char *p = prefix;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && strncmp(p, "..", 2) == 0)) {
            return false;
        }
        p += n;
        if (*p == '\0') {
            return true;
        }
    }
}

static hf_result check_repository(const struct hf_config *c, const struct hf_config_repository *r,
                                  struct hf_err *err)
{
    char where[WHERE_SIZE];
    (void)snprintf(where, sizeof where, "repositories.%s", r->region.s);
    bool s3 = r->type == HF_CONFIG_S3;
    if (!s3 && r->path[0] == '\0') {
        return hf_config_fail(c, where, err, "a posix repository needs path");
    }
    if (!s3 && (r->endpoint[0] != '\0' || r->bucket[0] != '\0' || r->credentials[0] != '\0')) {
        return hf_config_fail(c, where, err,
                              "endpoint, bucket and credentials belong to type s3, not posix");
    }
    if (s3 && r->path[0] != '\0') {
        return hf_config_fail(c, where, err, "path belongs to type posix, not s3");
    }
    if (s3 && (r->endpoint[0] == '\0' || r->bucket[0] == '\0' || r->credentials[0] == '\0')) {
        return hf_config_fail(c, where, err,
                              "an s3 repository needs endpoint, bucket and credentials");
    }
    if (!prefix_valid(r->prefix)) {
        (void)snprintf(where, sizeof where, "repositories.%s.prefix", r->region.s);
        return hf_config_fail(c, where, err,
                              "value \"%s\" is not allowed; allowed: parts of A-Z, a-z, 0-9, ., _ "
                              "and - with / between them",
                              r->prefix);
    }
    return hf_done();
}

static hf_result check_repositories(const struct hf_config *c, const struct hf_config_agent *a,
                                    struct hf_err *err)
{
    for (size_t i = 0; i < a->repository_count; i++) {
        HF_TRY(check_repository(c, &a->repositories[i], err));
    }
    if (a->repository_count > 0 && hf_config_agent_local(a) == NULL) {
        return hf_config_fail(c, "repositories", err,
                              "the own region's \"%s\" is not among the repositories", a->region.s);
    }
    if (!a->has_postgresql && a->repository_count == 0) {
        return hf_config_fail(c, "", err,
                              "neither postgresql nor repositories: an archive region needs its "
                              "repository");
    }
    return hf_done();
}

static hf_result check_key(const struct hf_config *c, const struct hf_config_key *k,
                           struct hf_err *err)
{
    char where[WHERE_SIZE];
    (void)snprintf(where, sizeof where, "encryption.keys.%s", k->name.s);
    int ways = (k->file[0] != '\0') + (k->credential[0] != '\0') + (k->command_count > 0);
    if (ways != 1) {
        return hf_config_fail(c, where, err,
                              "%d ways to get the key; allowed: exactly one of file, credential, "
                              "command",
                              ways);
    }
    if (k->command_count > 0 && k->command[0][0] != '/') {
        return hf_config_fail(c, where, err, "command[0] must be an absolute path");
    }
    if (strchr(k->credential, '/') != NULL || k->credential[0] == '.') {
        return hf_config_fail(c, where, err, "credential must be a plain file name");
    }
    return hf_done();
}

static hf_result check_encryption(const struct hf_config *c, const struct hf_config_agent *a,
                                  struct hf_err *err)
{
    for (size_t i = 0; i < a->encryption.key_count; i++) {
        HF_TRY(check_key(c, &a->encryption.keys[i], err));
    }
    const char *active = a->encryption.active.s;
    if (active[0] == '\0' && a->repository_count > 0) {
        return hf_config_fail(c, "encryption", err,
                              "active is missing: repositories are always encrypted");
    }
    if (active[0] != '\0' && hf_config_agent_key(a, active) == NULL) {
        return hf_config_fail(c, "encryption.active", err, "\"%s\" is not one of the keys", active);
    }
    return hf_done();
}

static hf_result check_backups(const struct hf_config *c, const struct hf_config_agent *a,
                               struct hf_err *err)
{
    for (size_t i = 0; i < a->standalone.backup_count; i++) {
        char where[WHERE_SIZE];
        (void)snprintf(where, sizeof where, "standalone.backups[%zu].cron", i);
        struct hf_err why;
        if (!hf_ok(hf_policy_check_cron(a->standalone.backups[i].cron, &why))) {
            return hf_config_fail(c, where, err, "%s", why.text);
        }
        for (size_t k = 0; k < i; k++) {
            if (hf_name_equal(&a->standalone.backups[i].name, &a->standalone.backups[k].name)) {
                (void)snprintf(where, sizeof where, "standalone.backups[%zu].name", i);
                return hf_config_fail(c, where, err, "backup \"%s\" is given twice",
                                      a->standalone.backups[i].name.s);
            }
        }
    }
    return hf_done();
}

static hf_result check_agent(const struct hf_config *c, const struct hf_config_agent *a,
                             struct hf_err *err)
{
    size_t socket_max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    if (strlen(a->socket) > socket_max) {
        return hf_config_fail(c, "socket", err, "longer than %zu bytes (with the directory)",
                              socket_max);
    }
    if (a->coordinator_count > 0 && !a->has_tls) {
        return hf_config_fail(c, "coordinators", err, "coordinators need the section tls");
    }
    if (a->has_tls && !hf_trust_domain_valid(a->tls.trust_domain)) {
        return hf_config_fail(c, "tls.trust_domain", err, "allowed: a-z, 0-9, . and -");
    }
    HF_TRY(check_repositories(c, a, err));
    HF_TRY(check_encryption(c, a, err));
    return check_backups(c, a, err);
}

hf_result hf_config_agent_load(const char *path, struct hf_config_agent *ret,
                               struct hf_config **ret_config, struct hf_err *err)
{
    HF_AUTOFREE struct hf_config_agent *a = hf_alloc(sizeof *a);
    HF_AUTOCONFIG struct hf_config *c = NULL;
    HF_TRY(hf_config_load(path, HF_CONFIG_AGENT_OPTIONS, a, sizeof *a, &c, err));
    HF_TRY(check_agent(c, a, err));
    memcpy(ret, a, sizeof *a);
    if (ret_config != NULL) {
        *ret_config = c;
        c = NULL;
    }
    return hf_done();
}
