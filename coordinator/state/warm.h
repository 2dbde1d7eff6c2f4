/* SPDX-License-Identifier: Apache-2.0
 *
 * What this coordinator knows of every cluster: the records of etcd (kept by watch, on leaders and
 * followers alike) and the newest heartbeat of every node. In memory only.
 * Invariants: a record only moves forward by mod_revision; a node's view only by arrival; at most
 * HF_MAX_CLUSTERS clusters and HF_MAX_NODES nodes of each. Pointers to clusters and nodes stay good
 * until hf_warm_free, except that a node that is neither connected nor in the policy may give its
 * place to another. Loop thread only.
 */
#ifndef HF_COORDINATOR_WARM_H
#define HF_COORDINATOR_WARM_H

#include "coordinator/core/cluster.h"
#include "coordinator/state/keys.h"

enum { HF_WARM_PLANS = 64 }; /* the 50 that are kept, and those about to be removed */

struct hf_warm_plan {
    struct hf_plan plan;
    int64_t created; /* revision: their order */
    int64_t revision;
};

/* A backup that somebody asked for: known to the coordinator that was asked, and to every other
 * from the heartbeats of the node that makes it. */
enum { HF_WARM_BACKUPS = 32 };
#define HF_BACKUP_ID_PREFIX "backup-"
struct hf_warm_backup {
    char id[HF_LABEL_SIZE];
    hf_name node;
    char type[16];           /* "" = not known here */
    char name[HF_NAME_SIZE]; /* entry of the policy, "" none */
    bool asked_here;         /* this coordinator sends the command */
    bool begun;              /* a heartbeat showed it */
    bool finished;
    bool failed;
    char error[HF_ERROR_SIZE];
    int64_t started_us; /* wall clock, for people */
    int64_t finished_us;
    hf_lclk asked_at;
};

struct hf_warm_cluster;

struct hf_warm_node {
    struct hf_warm_cluster *cluster;
    struct hf_node_view view;
    struct hf_hello hello;
    hf_wall seen_wall;
    void *session; /* the hub's; NULL = not connected */
    hf_lclk connected_at;
};

struct hf_warm_cluster {
    hf_name tenant;
    hf_name cluster;
    struct hf_policy *policy; /* NULL = none known */
    int64_t policy_revision;
    bool has_state;
    struct hf_cluster_state state;
    int64_t state_revision;
    int plan_count;
    struct hf_warm_plan *plans[HF_WARM_PLANS]; /* oldest first */
    int node_count;
    struct hf_warm_node *nodes[HF_MAX_NODES];
    struct hf_exposure_ring *ring; /* of the last primary; NULL = nothing known */
    int backup_count;
    struct hf_warm_backup backups[HF_WARM_BACKUPS]; /* oldest first */
    void *led;                                      /* the leader's, see coordinator/lead/carry.h */
};

struct hf_warm {
    int count;
    struct hf_warm_cluster *clusters[HF_MAX_CLUSTERS];
    hf_generation generation; /* 0 = not read yet, or none made yet */
    int64_t generation_revision;
    uint64_t generation_etcd; /* the etcd that it was made in, by cluster id; 0 = it does not say */
    uint64_t etcd;            /* the one that answers, 0 = not known yet */
    /* Why etcd is not believed (L12), from when this process saw it until a new generation is
     * begun; "" = nothing was seen. */
    char went_back[HF_REASON_SIZE];
};

/* Forgets every record: etcd's are to be read anew, whatever their revisions. Nodes stay. */
void hf_warm_forget(struct hf_warm *warm);
/* "RULE_ID: text" when what etcd says is not to be believed, NULL otherwise; text: HF_REASON_SIZE
 * bytes that may hold it. */
const char *hf_warm_doubt(const struct hf_warm *warm, char *text);

void hf_warm_free(struct hf_warm *warm);

struct hf_warm_cluster *hf_warm_find(const struct hf_warm *warm, const char *tenant,
                                     const char *cluster);
/* Finds or adds. HF_E_LIMIT. */
hf_result hf_warm_get(struct hf_warm *warm, const hf_name *tenant, const hf_name *cluster,
                      struct hf_warm_cluster **ret, struct hf_err *err) HF_MUST_USE;
struct hf_warm_node *hf_warm_node(const struct hf_warm_cluster *c, const char *node);
/* Finds or adds a node. HF_E_LIMIT. */
hf_result hf_warm_node_get(struct hf_warm_cluster *c, const hf_name *node,
                           struct hf_warm_node **ret, struct hf_err *err) HF_MUST_USE;

/* One record of etcd. value NULL = deleted. Older than what is known: ignored. *ret_cluster is the
 * cluster that changed, NULL when none did. HF_E_INVALID, HF_E_LIMIT: it is left as it was. */
hf_result hf_warm_apply(struct hf_warm *warm, const struct hf_key *key, const char *value,
                        size_t len, int64_t create_revision, int64_t mod_revision,
                        struct hf_warm_cluster **ret_cluster, struct hf_err *err) HF_MUST_USE;

/* The plan that state names, NULL when none runs or it is not here (yet). */
struct hf_warm_plan *hf_warm_running(const struct hf_warm_cluster *c);
struct hf_warm_plan *hf_warm_plan(const struct hf_warm_cluster *c, const char *id);

/* A heartbeat arrived. Older ones of the same life are ignored: false. */
bool hf_warm_beat(struct hf_warm_node *n, const struct hf_heartbeat *beat, hf_lclk now,
                  hf_wall wall, int margin_ppm);

struct hf_warm_backup *hf_warm_backup(struct hf_warm_cluster *c, const char *id);
/* Adds one; the oldest finished one makes room. HF_E_LIMIT when none is finished. */
hf_result hf_warm_backup_add(struct hf_warm_cluster *c, const char *id, const hf_name *node,
                             struct hf_warm_backup **ret, struct hf_err *err) HF_MUST_USE;

/* The view for the pure decisions: nodes in the policy's order. The cluster has policy and state.
 * The caller fills now, wall, leader's members, outstanding, control, control_doubt and route_done,
 * then settles it. */
void hf_warm_view(const struct hf_warm_cluster *c, struct hf_cluster_view *ret);

#endif
