/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of the keys in etcd (docs/protocol.md, section 4). Pure.
 * Invariant: parse(format(k)) == k; a key that is not of one of the known shapes is KEY_OTHER and
 * is left alone.
 */
#ifndef HF_COORDINATOR_KEYS_H
#define HF_COORDINATOR_KEYS_H

#include "common/base/err.h"
#include "holdfast/types.h"

enum { HF_KEY_SIZE = 640, HF_KEY_PREFIX_SIZE = 256 };

enum hf_key_kind {
    HF_KEY_OTHER,
    HF_KEY_GENERATION,
    HF_KEY_CLAIM,
    HF_KEY_RENEWAL,
    HF_KEY_POLICY,
    HF_KEY_STATE,
    HF_KEY_PLAN,
    HF_KEY_TIMELINE,
    HF_KEY_NODE
};

struct hf_key {
    enum hf_key_kind kind;
    hf_name tenant;
    hf_name cluster;
    char id[HF_LABEL_SIZE]; /* plan, node, or timeline's number */
};

/* ret: HF_KEY_SIZE bytes. tenant and cluster are valid names; id as in struct hf_key, "" else. */
void hf_key_format(const char *prefix, const struct hf_key *key, char ret[HF_KEY_SIZE]);
void hf_key_parse(const char *prefix, const char *text, struct hf_key *ret);
/* "<prefix>/clusters/" and "<prefix>/clusters/T/C/". */
void hf_key_clusters(const char *prefix, char ret[HF_KEY_SIZE]);
void hf_key_cluster(const char *prefix, const hf_name *tenant, const hf_name *cluster,
                    char ret[HF_KEY_SIZE]);

#endif
