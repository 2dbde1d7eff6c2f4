/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside of the tree module: shared by reading (tree.c) and writing (tree_write.c).
 */
#ifndef HF_COORDINATOR_TREE_INTERNAL_H
#define HF_COORDINATOR_TREE_INTERNAL_H

#include "coordinator/state/tree.h"

struct hf_tree {
    struct hf_etcd *etcd;
    struct hf_warm *warm;
    struct hf_tree_callbacks callbacks;
    void *arg;
    char prefix[HF_KEY_PREFIX_SIZE];
    struct hf_timer *retry;
    struct hf_etcd_watch *watch;
    bool loading;   /* until `loaded` was called */
    bool load_busy; /* a request is under way */
    bool load_again;
    bool load_failed;
    bool connected;
    hf_lclk load_began;
    hf_dur latency;
};

#endif
