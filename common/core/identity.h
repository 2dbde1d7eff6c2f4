/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a certificate speaks for: its URI SAN, parsed strictly. Pure.
 *   spiffe://TRUST-DOMAIN/tenant/T/region/R/agent/A
 *   spiffe://TRUST-DOMAIN/coordinator/NAME
 *   spiffe://TRUST-DOMAIN/user/NAME/role/ROLE            (every tenant)
 *   spiffe://TRUST-DOMAIN/user/NAME/role/ROLE/tenant/T   (one tenant)
 * Invariant: exactly these shapes, every part a valid name (common/core/name.h), the trust domain
 * equal to one's own; no escapes, no query, no trailing slash: one identity has one spelling.
 */
#ifndef HF_CORE_IDENTITY_H
#define HF_CORE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_TRUST_DOMAIN_SIZE = 128, HF_IDENTITY_URI_SIZE = 512 };

enum hf_identity_kind { HF_IDENTITY_AGENT, HF_IDENTITY_COORDINATOR, HF_IDENTITY_USER };

/* Each role may do what the ones before it may. */
enum hf_role { HF_ROLE_VIEWER, HF_ROLE_OPERATOR, HF_ROLE_ADMIN };

struct hf_identity {
    enum hf_identity_kind kind;
    hf_name tenant;    /* agent; user of one tenant; empty for a user of every tenant */
    hf_name region;    /* agent only */
    hf_name name;      /* of the agent, coordinator or user */
    enum hf_role role; /* user only */
};

/* HF_E_DENIED: not one of ours (other trust domain, other shape); the text says what is wrong. */
hf_result hf_identity_parse(const char *uri, const char *trust_domain, struct hf_identity *ret,
                            struct hf_err *err) HF_MUST_USE;
/* HF_E_INVALID when a part is not a valid name. size >= HF_IDENTITY_URI_SIZE. */
hf_result hf_identity_format(const struct hf_identity *identity, const char *trust_domain,
                             char *ret_uri, size_t size, struct hf_err *err) HF_MUST_USE;

/* May this user see (viewer) or act on (operator, admin) what belongs to the tenant? */
bool hf_identity_may(const struct hf_identity *user, const hf_name *tenant, enum hf_role role);

const char *hf_role_name(enum hf_role role);
hf_result hf_role_parse(const char *text, enum hf_role *ret, struct hf_err *err) HF_MUST_USE;
/* [a-z0-9.-], at most HF_TRUST_DOMAIN_SIZE - 1. */
bool hf_trust_domain_valid(const char *text);

#endif
