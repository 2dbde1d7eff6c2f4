/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/identity.h"

#include <stdio.h>
#include <string.h>

#include "common/core/name.h"

#define SCHEME "spiffe://"

enum { MAX_PARTS = 6 };

static const char *const ROLE_NAMES[] = {"viewer", "operator", "admin"};
enum { ROLE_COUNT = 3 };

bool hf_trust_domain_valid(const char *text)
{
    size_t len = strnlen(text, HF_TRUST_DOMAIN_SIZE);
    if (len == 0 || len >= HF_TRUST_DOMAIN_SIZE) {
        return false;
    }
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len && text[0] != '.' &&
           text[0] != '-';
}

const char *hf_role_name(enum hf_role role)
{
    HF_ASSERT((unsigned)role < ROLE_COUNT);
    return ROLE_NAMES[role];
}

hf_result hf_role_parse(const char *text, enum hf_role *ret, struct hf_err *err)
{
    for (unsigned i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(text, ROLE_NAMES[i]) == 0) {
            *ret = (enum hf_role)i;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "role \"%.64s\"; allowed: viewer, operator, admin", text);
}

static hf_result not_ours(const char *uri, const char *why, struct hf_err *err)
{
    return hf_fail(err, HF_E_DENIED, "identity \"%.256s\": %s", uri, why);
}

/* Splits "/a/b/c" into valid names; false for anything else. */
static bool split(const char *path, hf_name parts[MAX_PARTS], size_t *ret_count)
{
    size_t count = 0;
    const char *p = path;
    while (*p == '/') {
        p++;
        size_t len = strcspn(p, "/");
        if (count == MAX_PARTS || !hf_name_valid(p, len)) {
            return false;
        }
        parts[count] = (hf_name){0};
        memcpy(parts[count].s, p, len);
        count++;
        p += len;
    }
    *ret_count = count;
    return *p == '\0' && count > 0;
}

static bool from_parts(const hf_name *p, size_t count, struct hf_identity *ret)
{
    struct hf_identity id = {0};
    if (count == 6 && hf_name_is(&p[0], "tenant") && hf_name_is(&p[2], "region") &&
        hf_name_is(&p[4], "agent")) {
        id.kind = HF_IDENTITY_AGENT;
        id.tenant = p[1];
        id.region = p[3];
        id.name = p[5];
    } else if (count == 2 && hf_name_is(&p[0], "coordinator")) {
        id.kind = HF_IDENTITY_COORDINATOR;
        id.name = p[1];
    } else if ((count == 4 || (count == 6 && hf_name_is(&p[4], "tenant"))) &&
               hf_name_is(&p[0], "user") && hf_name_is(&p[2], "role")) {
        id.kind = HF_IDENTITY_USER;
        id.name = p[1];
        if (!hf_ok(hf_role_parse(p[3].s, &id.role, NULL))) {
            return false;
        }
        if (count == 6) {
            id.tenant = p[5];
        }
    } else {
        return false;
    }
    *ret = id;
    return true;
}

hf_result hf_identity_parse(const char *uri, const char *trust_domain, struct hf_identity *ret,
                            struct hf_err *err)
{
    if (strnlen(uri, HF_IDENTITY_URI_SIZE) >= HF_IDENTITY_URI_SIZE) {
        return not_ours(uri, "too long", err);
    }
    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0) {
        return not_ours(uri, "does not begin with " SCHEME, err);
    }
    const char *domain = uri + strlen(SCHEME);
    size_t len = strcspn(domain, "/");
    if (len != strlen(trust_domain) || strncmp(domain, trust_domain, len) != 0) {
        return not_ours(uri, "belongs to another trust domain", err);
    }
    hf_name parts[MAX_PARTS];
    size_t count = 0;
    if (!split(domain + len, parts, &count) || !from_parts(parts, count, ret)) {
        return not_ours(uri,
                        "unknown shape; allowed: /tenant/T/region/R/agent/A, /coordinator/NAME, "
                        "/user/NAME/role/(viewer|operator|admin)[/tenant/T]",
                        err);
    }
    return hf_done();
}

static int format_parts(const struct hf_identity *id, const char *domain, char *out, size_t size)
{
    switch (id->kind) {
    case HF_IDENTITY_AGENT:
        return snprintf(out, size, SCHEME "%s/tenant/%s/region/%s/agent/%s", domain, id->tenant.s,
                        id->region.s, id->name.s);
    case HF_IDENTITY_COORDINATOR:
        return snprintf(out, size, SCHEME "%s/coordinator/%s", domain, id->name.s);
    case HF_IDENTITY_USER:
        return snprintf(out, size, SCHEME "%s/user/%s/role/%s%s%s", domain, id->name.s,
                        hf_role_name(id->role), hf_name_empty(&id->tenant) ? "" : "/tenant/",
                        id->tenant.s);
    }
    return -1;
}

hf_result hf_identity_format(const struct hf_identity *identity, const char *trust_domain,
                             char *ret_uri, size_t size, struct hf_err *err)
{
    if (!hf_trust_domain_valid(trust_domain)) {
        return hf_fail(err, HF_E_INVALID, "trust domain \"%.128s\"; allowed: a-z, 0-9, . and -",
                       trust_domain);
    }
    char uri[HF_IDENTITY_URI_SIZE];
    int n = format_parts(identity, trust_domain, uri, sizeof uri);
    if (n < 0 || (size_t)n >= sizeof uri || (size_t)n >= size) {
        return hf_fail(err, HF_E_LIMIT, "identity longer than %d bytes", HF_IDENTITY_URI_SIZE - 1);
    }
    struct hf_identity again;
    if (!hf_ok(hf_identity_parse(uri, trust_domain, &again, NULL))) {
        return hf_fail(err, HF_E_INVALID, "\"%.256s\" is no identity; names are " HF_NAME_ALLOWED,
                       uri);
    }
    memcpy(ret_uri, uri, (size_t)n + 1);
    return hf_done();
}

bool hf_identity_may(const struct hf_identity *user, const hf_name *tenant, enum hf_role role)
{
    return user->kind == HF_IDENTITY_USER && user->role >= role &&
           (hf_name_empty(&user->tenant) || hf_name_equal(&user->tenant, tenant));
}
