/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy of one cluster: what its people want (cluster.yaml, kept in etcd as JSON). A plain
 * bounded struct that the pure cores decide by, and its JSON codec.
 * Invariant: a policy that came through hf_policy_from_json or the cluster.yaml parser satisfies
 * hf_policy_check; parse(write(p)) == p. Holds no secrets.
 */
#ifndef HF_CORE_POLICY_H
#define HF_CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/core/json.h"
#include "holdfast/types.h"

enum {
    HF_POLICY_VERSION = 1,
    HF_POLICY_MAX_BACKUPS = 8,
    HF_POLICY_CRON_SIZE = 128,
    HF_POLICY_ZONE_SIZE = 64,
    HF_POLICY_DNS_NAME_SIZE = 256,
    HF_POLICY_PATH_SIZE = 128,
    HF_POLICY_JSON_MAX = 64 * 1024 /* bytes of its JSON text */
};

/* Adoption levels, each includes the ones before it. */
enum hf_level {
    HF_LEVEL_OBSERVE, /* reads only; says what it would do */
    HF_LEVEL_BACKUP,  /* backups and archive */
    HF_LEVEL_MEASURE, /* exposure, alerts */
    HF_LEVEL_ROUTE,   /* DNS, health endpoints */
    HF_LEVEL_MANAGE   /* leases, fencing, failover */
};

enum hf_bootstrap_kind {
    HF_BOOTSTRAP_ADOPT,  /* name = node whose running PostgreSQL is taken as the primary */
    HF_BOOTSTRAP_INIT,   /* name = node that gets a new, empty PostgreSQL */
    HF_BOOTSTRAP_RESTORE /* name = region whose repository is restored from */
};

enum hf_enforcement { HF_ENFORCE_OBSERVE, HF_ENFORCE_ALERT, HF_ENFORCE_THROTTLE, HF_ENFORCE_BLOCK };

enum hf_failover_mode { HF_FAILOVER_AUTOMATIC, HF_FAILOVER_ASK, HF_FAILOVER_MANUAL };
enum hf_excess_loss { HF_EXCESS_WAIT, HF_EXCESS_ASK, HF_EXCESS_PROMOTE };

/* When WAL is acknowledged to PostgreSQL: durable in the own region, in that many other regions
 * besides, or in all. */
enum hf_acknowledge_kind { HF_ACKNOWLEDGE_OWN, HF_ACKNOWLEDGE_OTHER, HF_ACKNOWLEDGE_ALL };

enum hf_route_type { HF_ROUTE_A, HF_ROUTE_AAAA, HF_ROUTE_CNAME };

enum hf_policy_backup_type { HF_POLICY_BACKUP_FULL };
enum hf_policy_backup_from { HF_POLICY_FROM_STANDBY, HF_POLICY_FROM_PRIMARY };

#define HF_POLICY_NO_TIME_LIMIT ((hf_dur){INT64_MAX})
#define HF_POLICY_NO_WAL_LIMIT  UINT64_MAX

struct hf_policy_node {
    hf_name name;
    hf_name region;
};

struct hf_policy_backup {
    hf_name name;
    enum hf_policy_backup_type type;
    char cron[HF_POLICY_CRON_SIZE];  /* five fields or @daily and the like; "" = never by itself */
    char zone[HF_POLICY_ZONE_SIZE];  /* IANA name */
    enum hf_policy_backup_from from; /* standby: the primary when there is none */
    int32_t keep_last;               /* newest backups kept; 0 = all */
};

struct hf_policy_regions {
    hf_name v[HF_MAX_REGIONS];
    size_t count;
};

struct hf_policy {
    int32_t version; /* HF_POLICY_VERSION */
    hf_name tenant;
    hf_name cluster;
    struct hf_policy_node nodes[HF_MAX_NODES]; /* order of cluster.yaml */
    size_t node_count;                         /* at least 1 */
    enum hf_level level;
    struct {
        enum hf_bootstrap_kind kind;
        hf_name name; /* node or region, by kind */
    } bootstrap;
    struct {
        hf_dur target; /* 0 = nothing may be lost */
        enum hf_enforcement enforcement;
        enum hf_enforcement unknown; /* what to do while the exposure cannot be measured */
    } rpo;
    hf_dur rto_target;
    struct {
        enum hf_failover_mode mode;
        struct hf_policy_regions prefer;  /* best first */
        struct hf_policy_regions exclude; /* never promoted automatically */
        hf_dur max_loss_time;             /* HF_POLICY_NO_TIME_LIMIT */
        uint64_t max_loss_wal;            /* bytes; HF_POLICY_NO_WAL_LIMIT */
        enum hf_excess_loss on_excess_loss;
    } failover;
    struct {
        enum hf_acknowledge_kind kind;
        int32_t others; /* HF_ACKNOWLEDGE_OTHER: 1.. */
    } acknowledge;
    struct {
        bool present;
        hf_name provider;                   /* key of "dns" in coordinator.yaml */
        char name[HF_POLICY_DNS_NAME_SIZE]; /* absolute, ends in a dot */
        enum hf_route_type type;
        hf_dur ttl; /* whole seconds */
    } route;
    struct hf_policy_backup backups[HF_POLICY_MAX_BACKUPS];
    size_t backup_count;
};

/* Every default, no nodes, no names. */
void hf_policy_init(struct hf_policy *policy);

/* What no single value shows: names unique, bootstrap names a node or region of the cluster,
 * preferred regions exist and are not excluded, others fewer than regions. On failure ret_path (of
 * at least HF_POLICY_PATH_SIZE, may be NULL) names the offending option as in cluster.yaml
 * ("failover.prefer"). HF_E_INVALID. */
hf_result hf_policy_check(const struct hf_policy *policy, char *ret_path,
                          struct hf_err *err) HF_MUST_USE;

/* What this version accepts in a file but cannot keep yet: a promise that nobody enforces is worse
 * than none. HF_E_REFUSED names the option and what is carried out instead. */
hf_result hf_policy_check_enforced(const struct hf_policy *policy, struct hf_err *err) HF_MUST_USE;
/* May the policy of a cluster that has `from` become `to`? HF_E_REFUSED: LEVEL_LOWERED, as long as
 * agents are not told to let go of a lease without ending PostgreSQL. */
hf_result hf_policy_check_change(const struct hf_policy *from, const struct hf_policy *to,
                                 struct hf_err *err) HF_MUST_USE;

/* The shape of a schedule: "" (never), five fields, or @daily and the like. HF_E_INVALID. */
hf_result hf_policy_check_cron(const char *cron, struct hf_err *err) HF_MUST_USE;

const struct hf_policy_node *hf_policy_node(const struct hf_policy *policy, const char *name);
/* Distinct regions of the nodes, in order of first mention. */
void hf_policy_node_regions(const struct hf_policy *policy, struct hf_policy_regions *ret);
/* Position in failover.prefer; regions not named there come after all that are. */
size_t hf_policy_preference(const struct hf_policy *policy, const hf_name *region);
bool hf_policy_excluded(const struct hf_policy *policy, const hf_name *region);

/* JSON as in docs/api.md. The caller owns the value. */
hf_json *hf_policy_to_json(const struct hf_policy *policy);
/* Unknown members are refused. HF_E_INVALID, HF_E_LIMIT. */
hf_result hf_policy_from_json(const hf_json *v, struct hf_policy *ret,
                              struct hf_err *err) HF_MUST_USE;

/* Names of the enums' values as in cluster.yaml; the arrays end with NULL, index = value. */
extern const char *const HF_LEVEL_NAMES[];
extern const char *const HF_BOOTSTRAP_NAMES[];
extern const char *const HF_ENFORCEMENT_NAMES[];
extern const char *const HF_FAILOVER_MODE_NAMES[];
extern const char *const HF_EXCESS_LOSS_NAMES[];
extern const char *const HF_ACKNOWLEDGE_NAMES[];
extern const char *const HF_ROUTE_TYPE_NAMES[];
extern const char *const HF_POLICY_BACKUP_TYPE_NAMES[];
extern const char *const HF_POLICY_BACKUP_FROM_NAMES[];

#endif
