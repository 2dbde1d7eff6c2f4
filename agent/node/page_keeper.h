/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's writer of the lease page: what the core decided, together with what is seen of the
 * postmaster.
 * Invariants: the page is armed from its opening until every process of the instance is proven
 * gone, or PostgreSQL is seen in recovery while the page is closed; closing keeps the deadline: a
 * restarted agent that has no lease leaves the old one to the fencer; the newest epoch only grows.
 * Loop thread only.
 */
#ifndef HF_NODE_PAGE_KEEPER_H
#define HF_NODE_PAGE_KEEPER_H

#include "agent/core/agent_core.h"
#include "agent/fence/instance.h"
#include "agent/fence/page.h"

struct hf_page_keeper {
    struct hf_page_map map;
    struct hf_page_state state;
    bool confirmed; /* the fencer's report of this tenure was passed on */
};

/* Opens or makes the page; takes over what a page of this boot says. grace: from the end of a lease
 * to the hard fence while the commit guard is loaded. */
hf_result hf_page_keeper_open(struct hf_page_keeper *k, const char *path, const char *data_dir,
                              hf_dur grace, struct hf_err *err) HF_MUST_USE;
void hf_page_keeper_close(struct hf_page_keeper *k);
/* HF_EFFECT_PAGE. */
void hf_page_keeper_apply(struct hf_page_keeper *k, const struct hf_agent_effect *e,
                          hf_generation generation);
/* Highest epoch that this agent adopted. */
void hf_page_keeper_epoch(struct hf_page_keeper *k, hf_epoch newest);
/* Where writes go now, for the hint of a refusal: the other node's address, "" = this node leads,
 * or it is not known. */
void hf_page_keeper_primary(struct hf_page_keeper *k, const char *address);
/* Who the postmaster is, and whether it has the commit guard: a postmaster that was not asked yet
 * has none, so that the fencer does not wait for a grace that nobody guards. */
void hf_page_keeper_seen(struct hf_page_keeper *k, const struct hf_pg_observation *seen,
                         const struct hf_postmaster *postmaster);
/* Every process of the instance was ended by the agent itself. */
void hf_page_keeper_ended(struct hf_page_keeper *k);
/* True once for each tenure that the fencer has ended. */
bool hf_page_keeper_fenced(struct hf_page_keeper *k, struct hf_page_fencer *ret);

#endif
