/* SPDX-License-Identifier: Apache-2.0
 *
 * The records in etcd: read at the start, kept by watch, written by guarded transactions.
 * Invariants: every write compares leader/claim's mod_revision with the writer's term and each
 * record's mod_revision with the one that it was decided from; a timeline number is created once;
 * a write of unknown outcome is never repeated here: the owner reads the cluster back first.
 * Loop thread only.
 */
#ifndef HF_COORDINATOR_TREE_H
#define HF_COORDINATOR_TREE_H

#include "common/io/etcd.h"
#include "coordinator/state/warm.h"

struct hf_tree;

struct hf_tree_callbacks {
    /* Every record was read (again). From now on `fresh` until the watch breaks. */
    void (*loaded)(void *arg);
    /* A record of this cluster changed, by whomever. */
    void (*changed)(void *arg, struct hf_warm_cluster *c);
};

/* warm, etcd and loop outlive the tree. prefix is copied. */
hf_result hf_tree_new(struct hf_loop *loop, struct hf_etcd *etcd, const char *prefix,
                      struct hf_warm *warm, const struct hf_tree_callbacks *callbacks, void *arg,
                      struct hf_tree **ret, struct hf_err *err) HF_MUST_USE;
/* After hf_etcd_free only: answers under way would find it gone. */
void hf_tree_free(struct hf_tree *tree);

/* Reads everything anew (at the start, and when leadership was won): `loaded` is called when it is
 * done; retries by itself. */
void hf_tree_load(struct hf_tree *tree);
/* etcd was restored, or is another one: what was read of it is forgotten and read anew. why:
 * "RULE_ID: text", kept until a new generation is begun. */
void hf_tree_went_back(struct hf_tree *tree, const char *why);
/* True while a load is under way or waits to be tried again. */
bool hf_tree_loading(const struct hf_tree *tree);
/* What is in memory is as new as the watch delivers. */
bool hf_tree_fresh(const struct hf_tree *tree);
const char *hf_tree_prefix(const struct hf_tree *tree);
/* The last time that etcd took for a guarded write or a read, 0 = none yet. */
hf_dur hf_tree_latency(const struct hf_tree *tree);
void hf_tree_note_latency(struct hf_tree *tree, hf_dur took);

enum hf_write_result {
    HF_WRITE_DONE,     /* and the records in memory are already the new ones */
    HF_WRITE_LOST,     /* a compare failed: another leader, or a record changed */
    HF_WRITE_NOT_DONE, /* nothing was sent */
    HF_WRITE_UNKNOWN   /* it may have happened, or happen yet */
};
typedef void (*hf_tree_written)(void *arg, enum hf_write_result result, int64_t revision,
                                const struct hf_err *err);

/* What to write; members that are NULL or 0 are not written. Values are encoded within the call. */
struct hf_tree_write {
    uint64_t term;
    struct hf_warm_cluster *cluster;
    const struct hf_policy *policy;
    int64_t policy_revision; /* to be compared with: 0 = must be absent */
    const struct hf_cluster_state *state;
    const struct hf_plan *plan;
    hf_tli reserve;      /* timelines/N, created once for plan */
    hf_generation begin; /* the control plane's generation from now on, in the etcd that answers */
    bool prune;          /* removes the oldest finished plans beyond those that are kept */
};
/* State, plan and generation are compared with the revisions in memory. done is called once, later.
 */
hf_result hf_tree_write(struct hf_tree *tree, const struct hf_tree_write *write,
                        hf_tree_written done, void *arg, struct hf_err *err) HF_MUST_USE;

/* Coarse health of nodes: names and JSON values, guarded by the term alone. At most 16. */
struct hf_tree_health {
    hf_name node;
    char value[512];
};
hf_result hf_tree_write_health(struct hf_tree *tree, uint64_t term, const struct hf_warm_cluster *c,
                               const struct hf_tree_health *nodes, size_t count,
                               hf_tree_written done, void *arg, struct hf_err *err) HF_MUST_USE;
/* Creates `generation` with 1, guarded by the term and its absence. */
hf_result hf_tree_write_generation(struct hf_tree *tree, uint64_t term, hf_tree_written done,
                                   void *arg, struct hf_err *err) HF_MUST_USE;
/* Reads one cluster's records back. done: HF_WRITE_DONE = memory is as etcd was asked, else
 * HF_WRITE_NOT_DONE. */
hf_result hf_tree_read_back(struct hf_tree *tree, const struct hf_warm_cluster *c,
                            hf_tree_written done, void *arg, struct hf_err *err) HF_MUST_USE;

enum { HF_PLANS_KEPT = 50 };

#endif
