/* SPDX-License-Identifier: Apache-2.0
 *
 * The repositories of this host as agent.yaml names them, opened for one incarnation of its
 * cluster: stores, key ring, repositories.
 * Invariant: index 0 is the own region's, when it was asked for. A repository that cannot be opened
 * is kept with its error, so that the others still serve. Blocking; any one thread.
 */
#ifndef HF_AGENT_REPO_SITE_H
#define HF_AGENT_REPO_SITE_H

#include "agent/repo/repository.h"
#include "common/base/err.h"
#include "common/io/config_agent.h"
#include "common/io/store.h"

struct hf_site {
    const struct hf_config_agent *config; /* borrowed */
    size_t count;
    struct hf_store *stores[HF_MAX_REGIONS]; /* NULL: see errors */
    struct hf_keyring *ring;
    struct hf_repository *repositories[HF_MAX_REGIONS]; /* NULL: see errors */
    struct hf_err errors[HF_MAX_REGIONS];
};

/* Opens the store of one region. HF_E_NOT_FOUND names the regions that there are. */
hf_result hf_site_store(const struct hf_config_agent *config, const char *region,
                        struct hf_store **ret, struct hf_err *err) HF_MUST_USE;

/* Reads the KEKs and opens every configured repository, the own region's first; region not NULL:
 * only that one. system_id 0: the newest incarnation that the repositories hold (HF_E_NOT_FOUND
 * when they hold none). Fails when the first repository does not open. */
hf_result hf_site_open(const struct hf_config_agent *config, const char *region, uint64_t system_id,
                       struct hf_site *ret, struct hf_err *err) HF_MUST_USE;
/* The same for those that have others to turn to: fails only when no repository opens at all, and a
 * store that hangs is given up after some 20 s. */
hf_result hf_site_open_any(const struct hf_config_agent *config, uint64_t system_id,
                           struct hf_site *ret, struct hf_err *err) HF_MUST_USE;
/* The region whose repository has place i, also when it did not open. For sites of all regions,
 * before hf_site_compact. */
const char *hf_site_region(const struct hf_site *site, size_t i);
void hf_site_close(struct hf_site *site); /* may be zeroed */
#define HF_AUTOSITE __attribute__((cleanup(hf_site_close)))

/* Moves those that opened to the front; returns how many. */
size_t hf_site_compact(struct hf_site *site);

#endif
