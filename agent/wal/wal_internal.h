/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the WAL service; nobody else includes it.
 */
#ifndef HF_AGENT_WAL_INTERNAL_H
#define HF_AGENT_WAL_INTERNAL_H

#include "agent/repo/site.h"
#include "agent/wal/wal_push.h"
#include "agent/wal/wal_service.h"

enum {
    HF_WAL_REQUESTS_MAX = 64, /* under way at once: as many as the socket has connections */
    HF_WAL_FACTS_EVERY_MS = 2000,
    HF_WAL_REOPEN_EVERY_MS = 5000,
    HF_WAL_CATCHUP_EVERY_MS = 30000,
    HF_WAL_RECORD_EVERY_MS = 2000,
    HF_WAL_SICK = 3 /* failures in a row after which stores are opened anew */
};

/* The opened repositories, shared by the jobs that use them. Counted on the loop's thread. */
struct hf_wal_site {
    int users;
    size_t opened;         /* repositories; the own one may be among those that are not */
    uint32_t segment_size; /* by the own repository's identity, 0 = not known */
    struct hf_site site;
};

/* One lagging or healthy other region. */
struct hf_wal_region {
    bool pushing;            /* a file of the archive is on its way there */
    struct hf_job *catching; /* catch-up under way */
    bool lagging;            /* something may be missing there: list and copy */
    int failures;            /* in a row */
    uint64_t missing;        /* files that did not get there since the last catch-up, and manifests
                                that it left waiting */
};

struct hf_wal_service {
    const struct hf_config_agent *config;
    struct hf_loop *loop;
    struct hf_pool *pool;
    struct hf_timer *timer;
    uint64_t system_id;
    hf_epoch epoch;
    hf_tli timeline;
    hf_epoch newest_epoch; /* highest it ever led under: after it, only leading again may archive */
    hf_epoch recorded;     /* epoch record written */
    bool recording;
    int64_t record_ms;
    struct hf_wal_site *site; /* NULL until opened */
    bool opening;
    bool reopen; /* stores fail again and again: take whatever a new opening gives */
    struct hf_err open_error;
    int64_t opened_ms;
    int64_t caught_up_ms;
    struct hf_wal_region regions[HF_MAX_REGIONS]; /* as in site.repositories; 0 is the own */
    bool looking;                                 /* the facts job is under way */
    int64_t looked_ms;
    int look_failures; /* in a row */
    struct hf_wal_facts facts;
    uint64_t backup_first; /* first segment of facts.newest_backup, when of facts.wal_timeline */
    uint32_t segment_size;
    int requests;
    bool ending;
    int jobs; /* of any kind, under way */
};

struct hf_wal_site *hf_wal_site_hold(struct hf_wal_service *s);
void hf_wal_site_drop(struct hf_wal_site *site);
/* HF_E_AGAIN while nothing is open. */
hf_result hf_wal_site_need(struct hf_wal_service *s, struct hf_err *err) HF_MUST_USE;
/* NULL: the own region's repository did not open. */
static inline struct hf_repository *hf_wal_own(const struct hf_wal_site *site)
{
    return site->site.repositories[0];
}

void hf_wal_push_request(struct hf_wal_service *s, const hf_json *request, hf_wal_answer answer,
                         void *arg);
void hf_wal_get_request(struct hf_wal_service *s, const hf_json *request, hf_wal_answer answer,
                        void *arg);
/* Lists and copies what a region lacks, in the background (rule W9). */
void hf_wal_catch_up(struct hf_wal_service *s, size_t region);
void hf_wal_look(struct hf_wal_service *s);
void hf_wal_record_epoch(struct hf_wal_service *s);

#endif
