/* SPDX-License-Identifier: Apache-2.0
 *
 * cluster.yaml: the policy of one cluster, for `holdfast cluster apply -f`.
 * Invariant: what it returns satisfies hf_policy_check.
 */
#ifndef HF_IO_CONFIG_CLUSTER_H
#define HF_IO_CONFIG_CLUSTER_H

#include "common/core/policy.h"
#include "common/io/config.h"

/* ret_config may be NULL; else the caller frees it. HF_E_INVALID with FILE:LINE:COL. */
hf_result hf_config_cluster_load(const char *path, struct hf_policy *ret,
                                 struct hf_config **ret_config, struct hf_err *err) HF_MUST_USE;

extern const struct hf_option HF_CONFIG_CLUSTER_OPTIONS[];

#endif
