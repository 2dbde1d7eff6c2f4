/* SPDX-License-Identifier: Apache-2.0
 *
 * Speaks the coordinators' API (docs/api.md): asks the given coordinators in order, follows a
 * follower's word about its leader, and turns what comes back into one result.
 * Invariants: a request that changes something is sent to another coordinator only after it is
 * certain that the one before did nothing; at most HF_CTL_MAX_HOPS words about a leader are
 * followed; every call ends.
 */
#ifndef HF_CTL_CLIENT_H
#define HF_CTL_CLIENT_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/core/json.h"
#include "holdfast/types.h"

enum {
    HF_CTL_MAX_URLS = HF_MAX_COORDINATORS,
    HF_CTL_URL_SIZE = 512,
    HF_CTL_MAX_HOPS = 3,
    HF_CTL_ANSWER_MAX = 1024 * 1024
};

struct hf_ctl_client_config {
    char urls[HF_CTL_MAX_URLS][HF_CTL_URL_SIZE];
    size_t url_count;
    char ca[HF_PATH_SIZE];
    char certificate[HF_PATH_SIZE];
    char key[HF_PATH_SIZE];
    char cluster[HF_NAME_SIZE * 2]; /* "T/C" that commands are about when none is named */
};

/* The configuration file: path, or $HOLDFAST_CONFIG, or $XDG_CONFIG_HOME/holdfast/client.yaml, or
 * ~/.config/holdfast/client.yaml. Only a path that was named must exist (path or the variable). */
hf_result hf_ctl_client_config_load(const char *path, struct hf_ctl_client_config *ret,
                                    struct hf_err *err) HF_MUST_USE;
/* "URL[,URL...]" into config->urls. https, or http to this host's loopback. */
hf_result hf_ctl_client_config_urls(const char *list, struct hf_ctl_client_config *config,
                                    struct hf_err *err) HF_MUST_USE;

struct hf_ctl_client;
hf_result hf_ctl_client_new(const struct hf_ctl_client_config *config, struct hf_ctl_client **ret,
                            struct hf_err *err) HF_MUST_USE;
void hf_ctl_client_free(struct hf_ctl_client *client); /* NULL allowed */

struct hf_ctl_request {
    const char *method;       /* GET, PUT, POST */
    const char *path;         /* "/v1/..." */
    const char *precondition; /* one header line, or NULL */
    const hf_json *body;      /* NULL = none */
};
/* The caller frees *ret (an object; empty for an empty answer). Failures:
 *   HF_E_DENIED (401, 403), HF_E_NOT_FOUND (404), HF_E_EXISTS (409: another operation runs),
 *   HF_E_STALE (412), HF_E_REFUSED (422), HF_E_INVALID (400), HF_E_UNREACHABLE (none answered, no
 *   leader, 503), HF_E_TIMEOUT (sent, but no answer: a change may have been made), HF_E_INTERNAL.
 */
hf_result hf_ctl_client_call(struct hf_ctl_client *client, const struct hf_ctl_request *request,
                             hf_json **ret, struct hf_err *err) HF_MUST_USE;

#endif
