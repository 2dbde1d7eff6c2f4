/* SPDX-License-Identifier: Apache-2.0
 *
 * The root of a backup: small, complete, authenticated (it is sealed as an object). It names every
 * map shard and every pack by the digest of its header, so that restore trusts nothing that it does
 * not authenticate (rules B8, B9). Stored as JSON, one encoding; pure codec.
 *
 * Invariant: what decodes is within every bound below and consistent (start before stop, shards in
 * order, counts that add up).
 */
#ifndef HF_AGENT_CORE_MANIFEST_H
#define HF_AGENT_CORE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/core/object_header.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "holdfast/types.h"

enum {
    HF_MANIFEST_VERSION = 1,
    HF_MANIFEST_MAX_BYTES = 64 << 20,
    HF_MANIFEST_MAX_SHARDS = 65536,
    HF_MANIFEST_MAX_PACKS = 1 << 20,
    HF_MANIFEST_MAX_PARENTS = 64,
    HF_MANIFEST_MAX_TABLESPACES = 256,
    HF_MANIFEST_MAX_COLLATIONS = 1024,
    HF_MANIFEST_MAX_FINDINGS = 1000, /* named; all are counted */
    HF_MANIFEST_LABEL_MAX = 16384,   /* bytes of backup_label, tablespace_map */
    HF_DIGEST_HEX_SIZE = 65
};

enum hf_backup_type { HF_BACKUP_FULL, HF_BACKUP_DIFF, HF_BACKUP_INCR };
enum hf_backup_source { HF_SOURCE_CLUSTER, HF_SOURCE_DATABASE, HF_SOURCE_FILES, HF_SOURCE_VOLUME };

struct hf_manifest_shard {
    char name[HF_OBJECT_NAME_SIZE]; /* logical; may be an earlier backup's */
    char digest[HF_DIGEST_HEX_SIZE];
    uint64_t entries;
};

struct hf_manifest_pack {
    char name[HF_OBJECT_NAME_SIZE]; /* logical; may be an earlier backup's */
    char digest[HF_DIGEST_HEX_SIZE];
    uint64_t stored_bytes;
    uint32_t frames;
};

struct hf_manifest_tablespace {
    uint32_t oid;
    char path[HF_PATH_SIZE];
};

struct hf_manifest_collation {
    char name[HF_NAME_SIZE];     /* "database postgres", "pg_catalog.en_US" ... */
    char provider[HF_NAME_SIZE]; /* libc | icu */
    char version[HF_NAME_SIZE];
};

/* A page whose checksum does not fit its content, after rereading. */
struct hf_manifest_finding {
    char path[HF_OBJECT_NAME_SIZE];
    uint32_t block; /* in the file */
};

struct hf_manifest {
    char label[HF_LABEL_SIZE];
    enum hf_backup_type type;
    enum hf_backup_source source;
    char tenant[HF_NAME_SIZE];
    char cluster[HF_NAME_SIZE];
    uint64_t system_id;
    hf_epoch epoch;
    char region[HF_NAME_SIZE];
    char writer[HF_NAME_SIZE];  /* agent */
    char program[HF_NAME_SIZE]; /* version of Holdfast */
    char parents[HF_MANIFEST_MAX_PARENTS][HF_LABEL_SIZE];
    size_t parent_count;
    char predecessor[HF_LABEL_SIZE]; /* newest manifest of the writer's own repository, "" = none */
    char predecessor_digest[HF_DIGEST_HEX_SIZE];

    uint32_t pg_version_num;
    uint32_t block_size;
    uint32_t segment_size;
    bool data_checksums;
    bool from_standby;
    hf_wall started_at;
    hf_wall completed_at;
    hf_tli timeline;
    hf_lsn start;                         /* redo: WAL is needed from here */
    hf_lsn stop;                          /* consistent from here on */
    char *backup_label;                   /* bytes as PostgreSQL gave them, NUL after */
    char *tablespace_map;                 /* "" when there are no tablespaces */
    uint8_t secret_id[HF_SECRET_ID_SIZE]; /* of the page hashes' key */

    struct hf_manifest_tablespace *tablespaces;
    size_t tablespace_count;
    struct hf_manifest_collation *collations;
    size_t collation_count;
    struct hf_manifest_finding *findings;
    size_t finding_count;
    uint64_t findings_total;

    struct hf_manifest_shard *shards;
    size_t shard_count;
    struct hf_manifest_pack *packs; /* that this backup needs, its own and its parents' */
    size_t pack_count;

    uint64_t entries;        /* files, directories, links (parts of large files count once each) */
    uint64_t original_bytes; /* of the files */
    uint64_t read_bytes;
    uint64_t stored_bytes; /* of the packs */
    uint64_t pages_checked;
};

/* Owns everything below it. */
struct hf_manifest *hf_manifest_new(void);
void hf_manifest_free(struct hf_manifest *m); /* NULL allowed */
void hf_manifest_cleanup(struct hf_manifest **m);
#define HF_AUTOMANIFEST __attribute__((cleanup(hf_manifest_cleanup)))

/* Appends to out (declare its maximum, at most HF_MANIFEST_MAX_BYTES). */
hf_result hf_manifest_encode(const struct hf_manifest *m, struct hf_buf *out,
                             struct hf_err *err) HF_MUST_USE;
/* HF_E_CORRUPT with the name of the field and what is allowed. */
hf_result hf_manifest_decode(const char *text, size_t len, struct hf_manifest **ret,
                             struct hf_err *err) HF_MUST_USE;

const char *hf_backup_type_name(enum hf_backup_type type);

/* "20261121T002100Z-F": the second in UTC and the type's letter (F, D, I). Labels sort by time. */
void hf_backup_label_make(hf_wall at, enum hf_backup_type type, char ret[HF_LABEL_SIZE]);
/* HF_E_INVALID with the form that is allowed. */
hf_result hf_backup_label_check(const char *label, struct hf_err *err) HF_MUST_USE;

#endif
