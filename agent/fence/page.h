/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads and writes the lease page (include/holdfast/page.h, docs/protocol.md section 2).
 * Invariants: the agent writes only its half, the fencer only its own, each under its own seqlock;
 * a reader gets a consistent copy or an error, never a mixture; a page of another boot, another
 * time namespace or another layout is refused (rule L3). No function here allocates after
 * hf_page_open, so that the fencer can use them.
 */
#ifndef HF_FENCE_PAGE_H
#define HF_FENCE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/page.h"
#include "holdfast/types.h"

/* This boot and this time namespace: what a page's stamps must agree with. */
struct hf_page_identity {
    char boot[40];
    uint64_t time_namespace;
};
hf_result hf_page_identity_read(struct hf_page_identity *ret, struct hf_err *err) HF_MUST_USE;

/* A mapped page. Zero it before the first open. */
struct hf_page_map {
    volatile struct hf_page *page;
    int fd;
    struct hf_page_identity identity;
};

/* Maps the file shared; makes it (mode 0600, zeroed) when it does not exist and `create`. Does not
 * look at the content. HF_E_NOT_FOUND, HF_E_INVALID (wrong size), HF_E_IO. */
hf_result hf_page_open(const char *path, bool create, struct hf_page_map *ret,
                       struct hf_err *err) HF_MUST_USE;
/* For the commit guard: an existing page, mapped for reading alone; writing through it would fault.
 * Errors as hf_page_open. */
hf_result hf_page_open_reader(const char *path, struct hf_page_map *ret,
                              struct hf_err *err) HF_MUST_USE;
void hf_page_close(struct hf_page_map *map);

/* The fields of the agent. */
struct hf_page_state {
    hf_generation generation;
    hf_epoch epoch;
    uint64_t serial;
    hf_lclk deadline;
    hf_lclk commits_until; /* INT64_MAX = no limit */
    bool open;
    bool guard;
    hf_epoch newest_epoch;
    bool armed;
    uint32_t postmaster_pid;
    uint64_t postmaster_start;
    hf_dur grace;
    char data_dir[1024];
    char primary[HF_PAGE_PRIMARY_SIZE]; /* where writes go now, if it is another node; "" unknown */
    bool synchronous;                   /* target 0: an answer needs a standby's flush (rule E3) */
};
/* The part that the commit guard asks for several times a transaction: small, so that a look costs
 * tens of nanoseconds. */
struct hf_page_lease {
    hf_epoch epoch;
    uint64_t serial;
    hf_lclk deadline;
    hf_lclk commits_until; /* INT64_MAX = no limit */
    bool open;
    bool synchronous;
    hf_epoch newest_epoch;
};
/* The fields of the fencer. */
struct hf_page_fencer {
    uint32_t pid;
    hf_lclk alive;
    hf_epoch fenced_epoch;
    uint64_t fenced_serial;
    hf_lclk began;
    hf_lclk ended;
};

/* One consistent copy of the agent's half. HF_E_AGAIN: it was being written all the time (the
 * writer may have died within); HF_E_INVALID: not a page of ours; HF_E_STALE: of another boot or
 * time namespace. All mean: closed, with an unknown deadline. Any thread or process. */
hf_result hf_page_read(const struct hf_page_map *map, struct hf_page_state *ret,
                       struct hf_err *err) HF_MUST_USE;
hf_result hf_page_read_lease(const struct hf_page_map *map, struct hf_page_lease *ret,
                             struct hf_err *err) HF_MUST_USE;
hf_result hf_page_read_fencer(const struct hf_page_map *map, struct hf_page_fencer *ret,
                              struct hf_err *err) HF_MUST_USE;
/* Publish. One thread of the agent; the fencer. A sequence that a dead writer left odd is taken
 * over. */
void hf_page_write(const struct hf_page_map *map, const struct hf_page_state *state);
void hf_page_write_fencer(const struct hf_page_map *map, const struct hf_page_fencer *state);

/* May PostgreSQL accept commits of this epoch at `now`? False for a page that cannot be read. */
bool hf_page_is_open(const struct hf_page_map *map, hf_epoch epoch, hf_lclk now);

#endif
