/* SPDX-License-Identifier: Apache-2.0
 *
 * One cluster's part of one repository: the layout of its keys, its records (identity, epochs,
 * timelines), the list of its backups and of its WAL. Everything is create-once; the listing is
 * the truth, there is no catalogue.
 *
 * Invariants: a backup exists when its manifest does; an epoch or timeline record, once there,
 * never changes; what is returned was authenticated.
 * A handle may be used by several threads at once. Store and ring are borrowed and outlive it.
 */
#ifndef HF_AGENT_REPO_REPOSITORY_H
#define HF_AGENT_REPO_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/repo/keys.h"
#include "agent/repo/object.h"
#include "common/base/err.h"
#include "common/core/walname.h"
#include "common/io/store.h"
#include "holdfast/types.h"

enum {
    HF_REPO_MAX_EPOCHS = 4096,
    HF_REPO_MAX_BACKUPS = 4096,
    HF_REPO_MAX_INCARNATIONS = 64,
    HF_REPO_RECORD_MAX = 16384 /* bytes of a record's JSON */
};

struct hf_repository;

/* Loads the wraps that the store holds. Nothing needs to be there yet. */
hf_result hf_repository_open(struct hf_store *store, struct hf_keyring *ring,
                             struct hf_repository **ret, struct hf_err *err) HF_MUST_USE;
void hf_repository_close(struct hf_repository *r); /* NULL allowed */
struct hf_store *hf_repository_store(const struct hf_repository *r);
struct hf_keyring *hf_repository_ring(const struct hf_repository *r);
const char *hf_repository_name(const struct hf_repository *r); /* the store's: region */

/* Incarnations (system identifiers) of a cluster that the store holds, ascending; at most room. */
hf_result hf_repository_incarnations(struct hf_store *store, const char *tenant,
                                     const char *cluster, uint64_t *ret, size_t room, size_t *ret_n,
                                     struct hf_err *err) HF_MUST_USE;

/* --- identity records: identity/<n>, what the incarnation is ------------------------------- */
struct hf_system_identity {
    uint64_t system_id;
    uint32_t pg_version_num; /* 150020 */
    uint32_t segment_size;   /* WAL, bytes */
    uint32_t block_size;
    bool data_checksums;
};
/* Writes identity/00000001 if there is none. HF_E_CONFLICT when one is there that differs in
 * system identifier, segment or block size. */
hf_result hf_repository_identity_ensure(struct hf_repository *r,
                                        const struct hf_system_identity *id, hf_epoch epoch,
                                        struct hf_err *err) HF_MUST_USE;
/* The newest record. HF_E_NOT_FOUND. */
hf_result hf_repository_identity(struct hf_repository *r, struct hf_system_identity *ret,
                                 struct hf_err *err) HF_MUST_USE;

/* --- epoch records: epoch/<16 hex>, fence what superseded primaries write (W1) -------------- */
struct hf_epoch_record {
    hf_epoch epoch;
    hf_epoch parent_epoch; /* 0 = none */
    hf_tli timeline;       /* that this epoch's primary writes */
    hf_lsn fork;           /* where timeline leaves the parent's; 0 = unknown or first */
    char primary[HF_NAME_SIZE];
};
/* Create-once; HF_OK again when the same record is there, HF_E_CONFLICT when another one is. */
hf_result hf_repository_epoch_put(struct hf_repository *r, const struct hf_epoch_record *record,
                                  struct hf_err *err) HF_MUST_USE;
/* All, ascending by epoch; at most room. */
hf_result hf_repository_epochs(struct hf_repository *r, struct hf_epoch_record *ret, size_t room,
                               size_t *ret_n, struct hf_err *err) HF_MUST_USE;

/* --- timeline reservations: timeline/<8 hex> (L14) ------------------------------------------ */
/* Reserves the number for (epoch, node). HF_OK again for the same one, HF_E_CONFLICT when another
 * has it. */
hf_result hf_repository_timeline_reserve(struct hf_repository *r, hf_tli timeline, hf_epoch epoch,
                                         const char *node, struct hf_err *err) HF_MUST_USE;
/* The highest number that is reserved or has any WAL or history here; 0 when none. */
hf_result hf_repository_timeline_highest(struct hf_repository *r, hf_tli *ret,
                                         struct hf_err *err) HF_MUST_USE;

/* --- logical names ------------------------------------------------------------------------- */
/* "wal/<8 hex>/<file name>" of segments, partial segments and backup history files;
 * "wal/<8 hex>.history" of a timeline history. The kind of object that it is stored as. */
enum hf_object_kind hf_name_of_wal(const struct hf_wal_name *name, uint32_t segment_size,
                                   char ret[HF_OBJECT_NAME_SIZE]);
/* "conflict/<16 hex epoch>/<file name>-<16 hex>": where other content of a taken name is kept apart
 * (W2); the last part is the beginning of its content hash. */
void hf_name_of_conflict(hf_epoch epoch, const char *file_name, const hf_hash128 *content,
                         char ret[HF_OBJECT_NAME_SIZE]);
/* "tail/<8 hex>/<24 hex>/<16 hex>-<16 hex>" (W6). */
void hf_name_of_tail(const struct hf_wal_name *segment, uint32_t segment_size, hf_lsn from,
                     hf_lsn to, char ret[HF_OBJECT_NAME_SIZE]);
/* "backup/<label>/<leaf>". */
void hf_name_of_backup(const char *label, const char *leaf, char ret[HF_OBJECT_NAME_SIZE]);

/* --- WAL as the listing shows it ------------------------------------------------------------ */
/* Whether every segment first..last (numbers) of a timeline is stored here; else the first missing
 * one. One listing, no reading. */
hf_result hf_repository_wal_present(struct hf_repository *r, hf_tli timeline, uint64_t first,
                                    uint64_t last, uint32_t segment_size, bool *ret_complete,
                                    uint64_t *ret_first_missing, struct hf_err *err) HF_MUST_USE;
/* How far the archive is contiguous from segment `first`: the last segment number of the unbroken
 * run; HF_E_NOT_FOUND when `first` itself is not there. */
hf_result hf_repository_wal_contiguous(struct hf_repository *r, hf_tli timeline, uint64_t first,
                                       uint32_t segment_size, uint64_t *ret_last,
                                       struct hf_err *err) HF_MUST_USE;
/* The text of a timeline's history file, authenticated. HF_E_NOT_FOUND. */
hf_result hf_repository_history(struct hf_repository *r, hf_tli timeline, struct hf_buf *out,
                                struct hf_err *err) HF_MUST_USE;

/* --- backups -------------------------------------------------------------------------------- */
struct hf_backup_entry {
    char label[HF_LABEL_SIZE];
    bool begun;       /* begin is there */
    bool wal_pending; /* complete, waits for WAL in this repository (B5) */
    bool published;   /* manifest is there */
    bool expiring;
    uint64_t objects; /* packs, maps and records */
    uint64_t stored_bytes;
};
/* All that the listing shows, in order of labels (= of time); at most room. */
hf_result hf_repository_backups(struct hf_repository *r, struct hf_backup_entry *ret, size_t room,
                                size_t *ret_n, struct hf_err *err) HF_MUST_USE;

#endif
