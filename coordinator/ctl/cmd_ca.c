/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast ca init|issue: the installation's own certificate authority.
 */
#include <stdlib.h>
#include <string.h>

#include "common/core/identity.h"
#include "common/core/name.h"
#include "common/io/x509.h"
#include "coordinator/ctl/ctl.h"

enum { MAX_DAYS = 36500, FILE_SIZE = 160 };

static hf_result days_of(struct hf_ctl *ctl, int *ret, struct hf_err *err)
{
    const char *text = hf_ctl_arg(&ctl->args, "days");
    *ret = 0;
    if (text == NULL) {
        return hf_done();
    }
    char *end = NULL;
    long n = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < 1 || n > MAX_DAYS) {
        return hf_ctl_usage(ctl, err, "--days %.32s; allowed: 1 to %d", text, MAX_DAYS);
    }
    *ret = (int)n;
    return hf_done();
}

static hf_result directory_of(struct hf_ctl *ctl, const char **ret, struct hf_err *err)
{
    const char *dir = hf_ctl_arg(&ctl->args, "dir");
    if (dir == NULL || dir[0] == '\0') {
        return hf_ctl_usage(ctl, err, "--dir DIR is missing");
    }
    *ret = dir;
    return hf_done();
}

hf_result hf_ctl_ca_init(struct hf_ctl *ctl, struct hf_err *err)
{
    const char *dir = NULL;
    int days = 0;
    HF_TRY(directory_of(ctl, &dir, err));
    HF_TRY(days_of(ctl, &days, err));
    const char *domain = hf_ctl_arg(&ctl->args, "trust-domain");
    HF_TRY(hf_x509_ca_init(dir, domain == NULL ? "hf.local" : domain, days, err));
    if (ctl->json) {
        HF_AUTOJSON hf_json *v = hf_json_object();
        hf_json_put_text(v, "directory", dir);
        return hf_ctl_print_json(ctl, v, err);
    }
    (void)fprintf(ctl->out, "%s/ca.pem made; %s/ca.key is its secret: keep it offline\n", dir, dir);
    return hf_done();
}

/* What each kind of certificate needs and is for. */
static const struct kind {
    const char *name;
    const char *prefix; /* of the file's name */
    bool identity;
    enum hf_identity_kind identity_kind;
    bool tenant, region, named, role; /* required options */
    bool server, client;
} KINDS[] = {
    {"agent", "agent-", true, HF_IDENTITY_AGENT, true, true, true, false, true, true},
    {"coordinator", "coordinator-", true, HF_IDENTITY_COORDINATOR, false, false, true, false, true,
     true},
    /* an etcd member dials itself with its server certificate: it needs both uses */
    {"etcd", "etcd-", false, HF_IDENTITY_USER, false, false, true, false, true, true},
    {"etcd-client", "etcd-client", false, HF_IDENTITY_USER, false, false, false, false, false,
     true},
    {"user", "user-", true, HF_IDENTITY_USER, false, false, true, true, false, true},
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(KINDS[i].name, name) == 0) {
            return &KINDS[i];
        }
    }
    return NULL;
}

static hf_result name_option(struct hf_ctl *ctl, const char *option, bool required, bool allowed,
                             hf_name *ret, struct hf_err *err)
{
    const char *text = hf_ctl_arg(&ctl->args, option);
    if (text == NULL) {
        return required ? hf_ctl_usage(ctl, err, "--%s is missing", option) : hf_done();
    }
    if (!required && !allowed) {
        return hf_ctl_usage(ctl, err, "--%s does not belong to this kind", option);
    }
    if (!hf_ok(hf_name_parse(option, text, ret, err))) {
        ctl->exit = HF_CTL_EXIT_USAGE;
        return (hf_result){HF_E_INVALID};
    }
    return hf_done();
}

static hf_result read_identity(struct hf_ctl *ctl, const struct kind *k, struct hf_identity *ret,
                               struct hf_err *err)
{
    struct hf_identity id = {.kind = k->identity_kind};
    HF_TRY(name_option(ctl, "tenant", k->tenant, k->role, &id.tenant, err));
    HF_TRY(name_option(ctl, "region", k->region, false, &id.region, err));
    HF_TRY(name_option(ctl, "name", k->named, !k->identity, &id.name, err));
    const char *role = hf_ctl_arg(&ctl->args, "role");
    if (k->role != (role != NULL)) {
        return hf_ctl_usage(ctl, err,
                            k->role ? "--role is missing; allowed: viewer, operator, admin"
                                    : "--role belongs to users");
    }
    if (role != NULL && !hf_ok(hf_role_parse(role, &id.role, err))) {
        ctl->exit = HF_CTL_EXIT_USAGE;
        return (hf_result){HF_E_INVALID};
    }
    *ret = id;
    return hf_done();
}

static hf_result issue(struct hf_ctl *ctl, const struct kind *k, const char *dir,
                       const struct hf_identity *id, struct hf_err *err)
{
    char domain[HF_TRUST_DOMAIN_SIZE];
    char uri[HF_IDENTITY_URI_SIZE] = "";
    char file[FILE_SIZE];
    const char *hosts[HF_X509_MAX_HOSTS + 1];
    HF_TRY(hf_x509_ca_trust_domain(dir, domain, err));
    if (k->identity) {
        HF_TRY(hf_identity_format(id, domain, uri, sizeof uri, err));
    }
    bool several = !k->named && !hf_name_empty(&id->name);
    (void)snprintf(file, sizeof file, "%s%s%s", k->prefix, several ? "-" : "", id->name.s);
    struct hf_x509_request request = {
        .file = file,
        .common_name = hf_name_empty(&id->name) ? k->name : id->name.s,
        .uri = k->identity ? uri : NULL,
        .hosts = hosts,
        .host_count = hf_ctl_arg_all(&ctl->args, "host", hosts, HF_X509_MAX_HOSTS + 1),
        .server = k->server,
        .client = k->client,
        .renew = hf_ctl_arg(&ctl->args, "renew") != NULL,
    };
    HF_TRY(days_of(ctl, &request.days, err));
    HF_TRY(hf_x509_issue(dir, &request, err));
    if (ctl->json) {
        HF_AUTOJSON hf_json *v = hf_json_object();
        hf_json_put_text(v, "file", file);
        hf_json_put_text(v, "identity", uri);
        return hf_ctl_print_json(ctl, v, err);
    }
    (void)fprintf(ctl->out, "%s/%s.pem and .key made%s%s\n", dir, file, uri[0] == '\0' ? "" : ": ",
                  uri);
    return hf_done();
}

hf_result hf_ctl_ca_issue(struct hf_ctl *ctl, struct hf_err *err)
{
    const char *dir = NULL;
    const struct kind *k = kind_of(ctl->args.words[0]);
    if (k == NULL) {
        return hf_ctl_usage(ctl, err,
                            "\"%.32s\"; allowed: agent, coordinator, etcd, etcd-client, user",
                            ctl->args.words[0]);
    }
    HF_TRY(directory_of(ctl, &dir, err));
    struct hf_identity id;
    HF_TRY(read_identity(ctl, k, &id, err));
    return issue(ctl, k, dir, &id, err);
}
