/* SPDX-License-Identifier: Apache-2.0
 *
 * The users' API (docs/api.md): requests in, one answer each. Knows nothing of HTTP's transport:
 * coordinator_main.c joins it to the server.
 * Invariants: every request is answered exactly once; what a user may not see is not found; reads
 * are answered from memory by every coordinator, changes by the leader alone; a request with an
 * unknown member is refused whole. Loop thread only.
 */
#ifndef HF_COORDINATOR_API_H
#define HF_COORDINATOR_API_H

#include "coordinator/api/target.h"
#include "coordinator/lead/carry.h"

enum { HF_API_BODY_MAX = 65536 };

struct hf_api {
    const struct hf_config_coordinator *config;
    const char *url; /* of this coordinator's users' address */
    struct hf_loop *loop;
    struct hf_warm *warm;
    struct hf_tree *tree;
    struct hf_leader *leader;
    struct hf_carry *carry;
    struct hf_hub *hub;
    struct hf_history *history;
};

struct hf_api_request {
    const char *method;
    const char *path;
    const char *peer_uri; /* "" = no certificate */
    const char *body;
    size_t body_len;
    const char *if_match;      /* "" = not given */
    const char *if_none_match; /* "" = not given */
};

/* type: "application/json" or Prometheus' text. Called exactly once, within the call or later. */
typedef void (*hf_api_respond)(void *arg, int status, const char *type, const char *body,
                               size_t len);
void hf_api_serve(struct hf_api *api, const struct hf_api_request *request, hf_api_respond respond,
                  void *arg);

/* Who leads as far as this coordinator knows: false = nobody. */
bool hf_api_leader(const struct hf_api *api, hf_lclk now, hf_name *ret_name,
                   char ret_url[HF_ADDRESS_SIZE]);

/* --- parts, each a value that the caller owns --- */
hf_json *hf_api_version_json(const struct hf_api *api, hf_lclk now);
hf_json *hf_api_clusters_json(const struct hf_api *api, const struct hf_identity *who, hf_lclk now);
hf_json *hf_api_cluster_json(const struct hf_warm_cluster *c);
hf_json *hf_api_status_json(const struct hf_api *api, const struct hf_warm_cluster *c, hf_lclk now,
                            hf_wall wall);
const char *hf_api_verdict(const struct hf_warm_cluster *c, hf_lclk now, hf_dur silent);
hf_json *hf_api_operations_json(const struct hf_warm_cluster *c);
/* NULL: no such operation. */
hf_json *hf_api_operation_json(const struct hf_warm_cluster *c, const char *id);
/* The newest operation for the status, or NULL. */
hf_json *hf_api_last_json(const struct hf_warm_cluster *c);
hf_json *hf_api_plan_json(const struct hf_warm_cluster *c, enum hf_plan_kind kind,
                          const struct hf_plan *plan, hf_result result, const struct hf_err *err);
hf_json *hf_api_reasons_json(const char (*reasons)[HF_REASON_SIZE], int count);
hf_result hf_api_metrics_text(const struct hf_api *api, const struct hf_identity *who, hf_lclk now,
                              struct hf_buf *out, struct hf_err *err) HF_MUST_USE;

/* Helpers of the parts. */
void hf_api_put_instant(hf_json *v, const char *key, int64_t us);    /* 0 = null */
void hf_api_put_name(hf_json *v, const char *key, const char *text); /* "" = null */
void hf_api_put_lsn(hf_json *v, const char *key, hf_lsn lsn);        /* 0 = null */

#endif
