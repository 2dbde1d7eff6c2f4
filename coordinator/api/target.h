/* SPDX-License-Identifier: Apache-2.0
 *
 * Which operation a request names, what it needs, and how a failure is told (docs/api.md). Pure.
 * Invariant: every operation has one row; who may not see a tenant learns nothing of it: its
 * clusters are not found.
 */
#ifndef HF_COORDINATOR_API_TARGET_H
#define HF_COORDINATOR_API_TARGET_H

#include "common/core/identity.h"
#include "common/core/json.h"

enum hf_api_op {
    HF_API_VERSION,
    HF_API_METRICS,
    HF_API_CLUSTERS,
    HF_API_CLUSTER,
    HF_API_CLUSTER_PUT,
    HF_API_PAUSE,
    HF_API_RESUME,
    HF_API_STATUS,
    HF_API_BACKUPS,
    HF_API_BACKUP_CREATE,
    HF_API_FAILOVER_PLAN,
    HF_API_FAILOVER_RUN,
    HF_API_SWITCH_PLAN,
    HF_API_SWITCH_RUN,
    HF_API_RECOVERY_PLAN,
    HF_API_RECOVERY_RUN,
    HF_API_OPERATIONS,
    HF_API_OPERATION,
    HF_API_OPS
};

struct hf_api_target {
    enum hf_api_op op;
    hf_name tenant; /* "" for operations without a cluster */
    hf_name cluster;
    char id[HF_LABEL_SIZE]; /* HF_API_OPERATION */
};

/* HF_E_NOT_FOUND: no such path; HF_E_UNSUPPORTED: no such method there. */
hf_result hf_api_target_parse(const char *method, const char *path, struct hf_api_target *ret,
                              struct hf_err *err) HF_MUST_USE;
enum hf_role hf_api_role(enum hf_api_op op);
bool hf_api_needs_leader(enum hf_api_op op);
const char *hf_api_op_name(enum hf_api_op op);
/* HF_E_DENIED: not a user, or not this role; HF_E_NOT_FOUND: another tenant's. */
hf_result hf_api_authorize(const struct hf_identity *who, const struct hf_api_target *target,
                           struct hf_err *err) HF_MUST_USE;

struct hf_api_failure {
    int status;
    const char *code;
    char rule[64]; /* "" = none */
    char value[64];
    char limit[64];
};
/* Status and code of a failed result. A text "RULE_ID: ..." of HF_E_REFUSED gives the rule. */
void hf_api_failure_of(hf_result result, const struct hf_err *err, struct hf_api_failure *ret);
/* {"error": {...}}; the caller owns it. */
hf_json *hf_api_failure_json(const struct hf_api_failure *f, const char *message);
/* Splits "RULE_ID: text": the rule's length, 0 = there is none; *ret_text after it. */
size_t hf_api_rule(const char *reason, const char **ret_text);

#endif
