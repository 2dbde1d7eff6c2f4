/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/config_cluster.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/io/config_agent.h"

static const char *const NODE_OR_REGION[] = {"NODE", "NODE", "REGION"};
static const char *const ACKNOWLEDGE_ARGS[] = {NULL, "N", NULL};

#define END                                                                                        \
    {                                                                                              \
        .type = HF_OPTION_END                                                                      \
    }
#define DAY_US INT64_C(86400000000)

static const struct hf_option NODE_OPTIONS[] = {{.key = "region",
                                                 .type = HF_OPTION_NAME,
                                                 .required = true,
                                                 .doc = "failure domain of the node",
                                                 HF_OPTION_AT(struct hf_policy_node, region)},
                                                END};

static const struct hf_option RPO_OPTIONS[] = {
    {.key = "target",
     .type = HF_OPTION_DURATION,
     .min = 0,
     .max = DAY_US,
     .fallback = "5s",
     .doc = "most that the loss of a region may cost; 0 = nothing",
     HF_OPTION_AT(struct hf_policy, rpo.target)},
    {.key = "enforcement",
     .type = HF_OPTION_ENUM,
     .values = HF_ENFORCEMENT_NAMES,
     .fallback = "alert",
     .doc = "what is done when the target is in danger; no difference yet between observe and "
            "alert: above the target the status warns and the verdict is AT_RISK; throttle and "
            "block are refused",
     HF_OPTION_AT(struct hf_policy, rpo.enforcement)},
    {.key = "unknown",
     .type = HF_OPTION_ENUM,
     .values = HF_ENFORCEMENT_NAMES,
     .fallback = "alert",
     .doc = "what is done while the exposure cannot be measured; no effect yet: the status warns "
            "whatever is set; throttle and block are refused",
     HF_OPTION_AT(struct hf_policy, rpo.unknown)},
    END};

static const struct hf_option RTO_OPTIONS[] = {{.key = "target",
                                                .type = HF_OPTION_DURATION,
                                                .min = 1000000,
                                                .max = DAY_US,
                                                .fallback = "60s",
                                                .doc = "most that an outage should last; no "
                                                       "effect yet: nothing is measured "
                                                       "against it",
                                                HF_OPTION_AT(struct hf_policy, rto_target)},
                                               END};

static const struct hf_option REGION_NAME[] = {
    {.key = "", .type = HF_OPTION_NAME, .size = sizeof(hf_name)}, END};

static const struct hf_option MAX_LOSS_OPTIONS[] = {
    {.key = "time",
     .type = HF_OPTION_DURATION,
     .min = 0,
     .max = 365 * DAY_US,
     .doc = "longest span of commits that an automatic failover may lose; no limit without it",
     HF_OPTION_AT(struct hf_policy, failover.max_loss_time)},
    {.key = "wal",
     .type = HF_OPTION_SIZE,
     .min = 0,
     .max = INT64_C(1) << 50,
     .doc = "most WAL that it may lose; no limit without it",
     HF_OPTION_AT(struct hf_policy, failover.max_loss_wal)},
    END};

static const struct hf_option FAILOVER_OPTIONS[] = {
    {.key = "mode",
     .type = HF_OPTION_ENUM,
     .values = HF_FAILOVER_MODE_NAMES,
     .fallback = "automatic",
     .doc = "ask: a plan waits for a person; manual: only by command",
     HF_OPTION_AT(struct hf_policy, failover.mode)},
    {.key = "prefer",
     .type = HF_OPTION_LIST,
     .sub = REGION_NAME,
     .doc = "regions, best first, among nodes that lose the same",
     HF_OPTION_ARRAY(struct hf_policy, failover.prefer.v, failover.prefer.count)},
    {.key = "exclude",
     .type = HF_OPTION_LIST,
     .sub = REGION_NAME,
     .doc = "regions that are never promoted, at a person's request neither",
     HF_OPTION_ARRAY(struct hf_policy, failover.exclude.v, failover.exclude.count)},
    {.key = "max_loss",
     .type = HF_OPTION_SECTION,
     .sub = MAX_LOSS_OPTIONS,
     .doc = "predicted loss that an automatic failover accepts"},
    {.key = "on_excess_loss",
     .type = HF_OPTION_ENUM,
     .values = HF_EXCESS_LOSS_NAMES,
     .fallback = "wait",
     .doc =
         "above max_loss; wait and ask (no difference yet): the plan waits for a person; promote: "
         "it goes on",
     HF_OPTION_AT(struct hf_policy, failover.on_excess_loss)},
    END};

static const struct hf_option WAL_OPTIONS[] = {
    {.key = "acknowledge",
     .type = HF_OPTION_TAGGED,
     .values = HF_ACKNOWLEDGE_NAMES,
     .args = ACKNOWLEDGE_ARGS,
     .arg_type = HF_OPTION_INT,
     .min = 1,
     .max = HF_MAX_REGIONS - 1,
     .arg_offset = offsetof(struct hf_policy, acknowledge.others),
     .arg_size = sizeof(int32_t),
     .fallback = "own",
     .doc = "when archived WAL counts as done for PostgreSQL: durable in the own region's "
            "repository, in N others besides, or in all; only own is accepted by this version",
     HF_OPTION_AT(struct hf_policy, acknowledge.kind)},
    END};

static const struct hf_option ROUTE_OPTIONS[] = {{.key = "provider",
                                                  .type = HF_OPTION_NAME,
                                                  .required = true,
                                                  .doc = "one of dns in coordinator.yaml",
                                                  HF_OPTION_AT(struct hf_policy, route.provider)},
                                                 {.key = "name",
                                                  .type = HF_OPTION_TEXT,
                                                  .required = true,
                                                  .doc = "that clients use; ends in a dot",
                                                  HF_OPTION_AT(struct hf_policy, route.name)},
                                                 {.key = "type",
                                                  .type = HF_OPTION_ENUM,
                                                  .values = HF_ROUTE_TYPE_NAMES,
                                                  .fallback = "A",
                                                  .doc = "of the record",
                                                  HF_OPTION_AT(struct hf_policy, route.type)},
                                                 {.key = "ttl",
                                                  .type = HF_OPTION_DURATION,
                                                  .min = 1000000,
                                                  .max = DAY_US,
                                                  .fallback = "2s",
                                                  .doc = "of the record, whole seconds",
                                                  HF_OPTION_AT(struct hf_policy, route.ttl)},
                                                 END};

const struct hf_option HF_CONFIG_CLUSTER_OPTIONS[] = {
    {.key = "version",
     .type = HF_OPTION_INT,
     .min = 1,
     .max = 1,
     .required = true,
     .doc = "of this file's format",
     HF_OPTION_AT(struct hf_policy, version)},
    {.key = "tenant",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "owner of the cluster",
     HF_OPTION_AT(struct hf_policy, tenant)},
    {.key = "name",
     .type = HF_OPTION_NAME,
     .required = true,
     .doc = "of the cluster",
     HF_OPTION_AT(struct hf_policy, cluster)},
    {.key = "nodes",
     .type = HF_OPTION_MAP,
     .sub = NODE_OPTIONS,
     .min_items = 1,
     .doc = "PostgreSQL nodes by name",
     HF_OPTION_ARRAY(struct hf_policy, nodes, node_count)},
    {.key = "level",
     .type = HF_OPTION_ENUM,
     .values = HF_LEVEL_NAMES,
     .fallback = "observe",
     .doc = "how much Holdfast may do; each level includes those before it; route is refused, and "
            "manage is not left again, in this version",
     HF_OPTION_AT(struct hf_policy, level)},
    {.key = "bootstrap",
     .type = HF_OPTION_TAGGED,
     .values = HF_BOOTSTRAP_NAMES,
     .args = NODE_OR_REGION,
     .arg_type = HF_OPTION_NAME,
     .arg_offset = offsetof(struct hf_policy, bootstrap.name),
     .arg_size = sizeof(hf_name),
     .required = true,
     .doc = "where the first primary comes from: a running one, a new one, a repository; only "
            "adopt is accepted by this version",
     HF_OPTION_AT(struct hf_policy, bootstrap.kind)},
    {.key = "rpo",
     .type = HF_OPTION_SECTION,
     .sub = RPO_OPTIONS,
     .doc = "recovery point objective"},
    {.key = "rto", .type = HF_OPTION_SECTION, .sub = RTO_OPTIONS, .doc = "recovery time objective"},
    {.key = "failover",
     .type = HF_OPTION_SECTION,
     .sub = FAILOVER_OPTIONS,
     .doc = "who may be promoted, and when"},
    {.key = "wal", .type = HF_OPTION_SECTION, .sub = WAL_OPTIONS, .doc = "WAL archive"},
    {.key = "route",
     .type = HF_OPTION_SECTION,
     .sub = ROUTE_OPTIONS,
     .has_present = true,
     .present_offset = offsetof(struct hf_policy, route.present),
     .doc = "the DNS name that follows the primary"},
    {.key = "backups",
     .type = HF_OPTION_RECORDS,
     .sub = HF_CONFIG_BACKUP_POLICY_OPTIONS,
     .doc = "named kinds of backups; nothing is scheduled and nothing expires by itself yet",
     HF_OPTION_ARRAY(struct hf_policy, backups, backup_count)},
    END};

static hf_result check_cluster(const struct hf_config *c, struct hf_policy *p, struct hf_err *err)
{
    if (!hf_config_given(c, "failover.max_loss.time")) {
        p->failover.max_loss_time = HF_POLICY_NO_TIME_LIMIT;
    }
    if (!hf_config_given(c, "failover.max_loss.wal")) {
        p->failover.max_loss_wal = HF_POLICY_NO_WAL_LIMIT;
    }
    char path[HF_POLICY_PATH_SIZE] = "";
    struct hf_err why;
    if (!hf_ok(hf_policy_check(p, path, &why))) {
        return hf_config_fail(c, path, err, "%s", why.text);
    }
    return hf_done();
}

hf_result hf_config_cluster_load(const char *path, struct hf_policy *ret,
                                 struct hf_config **ret_config, struct hf_err *err)
{
    HF_AUTOFREE struct hf_policy *p = hf_alloc(sizeof *p);
    HF_AUTOCONFIG struct hf_config *c = NULL;
    HF_TRY(hf_config_load(path, HF_CONFIG_CLUSTER_OPTIONS, p, sizeof *p, &c, err));
    HF_TRY(check_cluster(c, p, err));
    *ret = *p;
    if (ret_config != NULL) {
        *ret_config = c;
        c = NULL;
    }
    return hf_done();
}
