/* SPDX-License-Identifier: Apache-2.0
 *
 * The fencer: a tiny process that ends PostgreSQL when its lease is over, whatever has become of
 * the agent. It has no network, allocates nothing after its start, runs locked in memory and with
 * real-time priority where it may.
 * Invariants: it acts only while the page is armed; it ends PostgreSQL at the deadline (with the
 * commit guard loaded: a grace later) or when a newer epoch is known; it reports "fenced" only
 * after it found no process of the instance left; one fencer runs a page (flock). A page that
 * cannot be read counts as the last one that could, and as expired when there was none.
 */
#ifndef HF_FENCE_FENCER_H
#define HF_FENCE_FENCER_H

#include "agent/fence/instance.h"
#include "agent/fence/page.h"

enum { HF_FENCER_STEP_US = 10000, HF_FENCER_PATIENCE_MS = 200 };

enum hf_fence_why { HF_FENCE_NOT, HF_FENCE_DEADLINE, HF_FENCE_NEWER_EPOCH, HF_FENCE_UNREADABLE };

/* What the fencer knows. */
struct hf_fencer {
    struct hf_page_map map;
    struct hf_instance instance;
    bool seen; /* `last` was read from the page */
    struct hf_page_state last;
    struct hf_page_fencer own;
};

/* Pure. *ret_wait: how long to sleep before the next look, at most HF_FENCER_STEP_US. */
enum hf_fence_why hf_fencer_decide(bool readable, bool seen, const struct hf_page_state *page,
                                   const struct hf_page_fencer *own, hf_lclk now, hf_dur *ret_wait);

/* One look at the page and, if due, the fence. Publishes its half. Returns how long to sleep. */
hf_dur hf_fencer_step(struct hf_fencer *f);

/* The whole program: argv = --page FILE --lock FILE. Returns the exit status: 0 ended by SIGTERM
 * while not armed or because the page was removed, 1 no usable page, 3 another fencer runs. */
int hf_fencer_main(int argc, char **argv);

#endif
