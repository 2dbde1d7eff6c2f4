/* SPDX-License-Identifier: Apache-2.0
 *
 * WAL that a rejoin would lose, kept: in a repository under salvage/<node>/<id>/, sealed like
 * everything there, or, on a host without repositories, as files of a directory. Segments first,
 * the report last (docs/repository-format.md, section 8). Blocking.
 * Invariants: create-once: what is there with the same content counts as saved, other content is
 * never overwritten; a report is there only when everything that it speaks of is.
 */
#ifndef HF_REJOIN_SALVAGE_H
#define HF_REJOIN_SALVAGE_H

#include "agent/repo/repository.h"
#include "common/base/buf.h"
#include "common/core/walname.h"
#include "common/io/config_agent.h"

enum {
    HF_SALVAGE_ID_SIZE = 32,
    HF_SALVAGE_FILES_MAX = 65536,
    HF_SALVAGE_ENTRIES_MAX = 1024,
    HF_SALVAGE_REPORT_MAX = 4 << 20
};

/* "00000001-0000000003000100": the timeline that was left, and where. */
void hf_salvage_id(hf_tli timeline, hf_lsn fork, char ret[HF_SALVAGE_ID_SIZE]);
/* "eu-1/00000001-0000000003000100" as people name it. HF_E_INVALID. */
hf_result hf_salvage_parse(const char *text, hf_name *ret_node, char ret_id[HF_SALVAGE_ID_SIZE],
                           struct hf_err *err) HF_MUST_USE;

typedef struct {
    char s[HF_WAL_NAME_SIZE];
} hf_salvage_file;

struct hf_salvage {
    const struct hf_config_agent *config;
    uint64_t system_id;
    hf_epoch epoch;
    const char *id;
    const char *wal_dir;
    const hf_salvage_file *files; /* names in wal_dir */
    size_t count;
    const struct hf_buf *report; /* JSON */
    bool (*canceled)(void *arg); /* asked before each file; NULL = never */
    void *arg;
};
/* Into the first repository that takes all of it, the own region's first; without repositories into
 * <state_dir>/salvage/<id>/. ret_where: region or directory. HF_E_CANCELED; anything else: why the
 * last one did not take it. */
hf_result hf_salvage_save(const struct hf_salvage *s, char *ret_where, size_t size,
                          struct hf_err *err) HF_MUST_USE;

/* --- reading it --- */

struct hf_salvage_entry {
    hf_name node;
    char id[HF_SALVAGE_ID_SIZE];
    uint64_t files;
    uint64_t stored_bytes;
    bool complete; /* the report is there */
};
/* r NULL: of this host's directory. */
hf_result hf_salvage_list(struct hf_repository *r, const struct hf_config_agent *config,
                          struct hf_salvage_entry *ret, size_t room, size_t *ret_n,
                          struct hf_err *err) HF_MUST_USE;
/* HF_E_NOT_FOUND: not complete there. */
hf_result hf_salvage_report(struct hf_repository *r, const struct hf_config_agent *config,
                            const hf_name *node, const char *id, struct hf_buf *out,
                            struct hf_err *err) HF_MUST_USE;
/* Every file and the report (report.json) into a directory, which is made; nothing there is
 * overwritten (HF_E_EXISTS). HF_E_NOT_FOUND. */
hf_result hf_salvage_fetch(struct hf_repository *r, const struct hf_config_agent *config,
                           const hf_name *node, const char *id, const char *to, uint64_t *ret_files,
                           struct hf_err *err) HF_MUST_USE;

#endif
