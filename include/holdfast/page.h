/* SPDX-License-Identifier: Apache-2.0
 *
 * The lease page: how the agent tells the fencer and the commit guard until when PostgreSQL may
 * accept commits (docs/protocol.md, section 2). Layout only; agent/fence/page.h reads and writes.
 * Invariant: one writer for each half; a reader that cannot validate the page treats it as closed.
 */
#ifndef HOLDFAST_PAGE_H
#define HOLDFAST_PAGE_H

#include <stddef.h>
#include <stdint.h>

#define HF_PAGE_MAGIC "HFPAGE1"
enum { HF_PAGE_SIZE = 4096, HF_PAGE_VERSION = 1, HF_PAGE_READ_TRIES = 1000 };
enum { HF_PAGE_PRIMARY_SIZE = 272 };

struct hf_page {
    char magic[8];
    uint32_t version;
    uint32_t sequence; /* odd while the agent writes */
    char boot[40];
    uint64_t time_namespace;
    uint64_t generation;
    uint64_t epoch;
    uint64_t serial;
    int64_t deadline_us;
    int64_t commits_until_us;
    uint32_t open;
    uint32_t guard;
    uint64_t newest_epoch;
    uint32_t postmaster_pid;
    uint32_t armed;
    uint64_t postmaster_start;
    int64_t grace_us;
    char data_dir[1024];
    char primary[HF_PAGE_PRIMARY_SIZE];
    uint32_t synchronous;
    char reserved[2048 - 1444];
    /* The fencer's half. */
    uint32_t fencer_sequence;
    uint32_t fencer_pid;
    int64_t fencer_alive_us;
    uint64_t fenced_epoch;
    uint64_t fenced_serial;
    int64_t fence_began_us;
    int64_t fence_ended_us;
    char reserved_fencer[HF_PAGE_SIZE - 2048 - 48];
};
_Static_assert(sizeof(struct hf_page) == HF_PAGE_SIZE, "layout of docs/protocol.md");
_Static_assert(offsetof(struct hf_page, deadline_us) == 88, "layout of docs/protocol.md");
_Static_assert(offsetof(struct hf_page, data_dir) == 144, "layout of docs/protocol.md");
_Static_assert(offsetof(struct hf_page, primary) == 1168, "layout of docs/protocol.md");
_Static_assert(offsetof(struct hf_page, synchronous) == 1440, "layout of docs/protocol.md");
_Static_assert(offsetof(struct hf_page, fencer_sequence) == 2048, "layout of docs/protocol.md");

#endif
