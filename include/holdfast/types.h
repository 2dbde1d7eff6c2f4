/* SPDX-License-Identifier: Apache-2.0
 *
 * Value types shared by every program. Each is a struct of one member, so that a position in the
 * WAL, an epoch and an instant cannot be mixed by accident; the compiler refuses it.
 */
#ifndef HOLDFAST_TYPES_H
#define HOLDFAST_TYPES_H

#include <stdbool.h>
#include <stdint.h>

/* A byte position in the WAL (PostgreSQL: XLogRecPtr). 0 = unknown. Positions compare only along
 * one timeline history (common/core/timeline.h). Text form "%X/%X". */
typedef struct {
    uint64_t v;
} hf_lsn;

/* PostgreSQL timeline number, 1.. ; 0 = unknown. */
typedef struct {
    uint32_t v;
} hf_tli;

/* Per cluster, burnt when a choice of primary is persisted; 0 = none yet (rule L11). */
typedef struct {
    uint64_t v;
} hf_epoch;

/* Of the control plane; a restored or imported control plane starts a new one (rule L12). */
typedef struct {
    uint64_t v;
} hf_generation;

/* Microseconds, signed; the only unit of durations. */
typedef struct {
    int64_t us;
} hf_dur;

/* An instant of the lease clock of ONE machine and boot: MONOTONIC_RAW + (BOOTTIME - MONOTONIC)
 * (rule L3). Never sent to another machine; only differences (hf_dur) travel. */
typedef struct {
    int64_t us;
} hf_lclk;

/* Wall clock, microseconds since 1970-01-01 UTC: for people, never for a decision. */
typedef struct {
    int64_t us;
} hf_wall;

#define HF_LSN(x)        ((hf_lsn){(uint64_t)(x)})
#define HF_TLI(x)        ((hf_tli){(uint32_t)(x)})
#define HF_EPOCH(x)      ((hf_epoch){(uint64_t)(x)})
#define HF_GENERATION(x) ((hf_generation){(uint64_t)(x)})
#define HF_US(x)         ((hf_dur){(int64_t)(x)})
#define HF_MS(x)         ((hf_dur){(int64_t)(x)*1000})
#define HF_SEC(x)        ((hf_dur){(int64_t)(x)*1000000})

/* Bounds of names that come from outside. A name is [a-z0-9]([a-z0-9-]*[a-z0-9])?; the sizes
 * include the final NUL. */
enum {
    HF_NAME_SIZE = 64,       /* tenant, cluster, region, node, coordinator, provider */
    HF_ADDRESS_SIZE = 272,   /* host:port */
    HF_PATH_SIZE = 1024,     /* a path on this host */
    HF_LABEL_SIZE = 64,      /* backup label, operation id */
    HF_MAX_NODES = 16,       /* nodes of one cluster */
    HF_MAX_REGIONS = 8,      /* regions of one installation */
    HF_MAX_COORDINATORS = 8, /* endpoints that an agent connects to */
    HF_MAX_CLUSTERS = 256    /* clusters of one coordinator */
};

typedef struct {
    char s[HF_NAME_SIZE];
} hf_name;

static inline hf_lclk hf_lclk_add(hf_lclk t, hf_dur d)
{
    return (hf_lclk){t.us + d.us};
}
static inline hf_dur hf_lclk_sub(hf_lclk a, hf_lclk b)
{
    return (hf_dur){a.us - b.us};
}
static inline bool hf_lclk_before(hf_lclk a, hf_lclk b)
{
    return a.us < b.us;
}
static inline bool hf_lclk_reached(hf_lclk now, hf_lclk at)
{
    return now.us >= at.us;
}

#endif
