/* SPDX-License-Identifier: Apache-2.0
 *
 * The running PostgreSQL that a backup is taken of: what it says about itself, and the session that
 * holds the non-exclusive backup open (pg_backup_start and pg_backup_stop; before version 15
 * pg_start_backup and pg_stop_backup).
 *
 * Invariant: the session that started the backup stops it; when it is lost, PostgreSQL ends the
 * backup by itself and nothing is published. From a standby the backup fails when the standby has
 * been promoted meanwhile (rule B3). One thread.
 */
#ifndef HF_AGENT_BACKUP_PGSOURCE_H
#define HF_AGENT_BACKUP_PGSOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/backup/scan.h"
#include "agent/core/manifest.h"
#include "common/base/err.h"
#include "common/io/postgres.h"
#include "holdfast/types.h"

struct hf_pgsource;
/* Connects and asks. The role needs pg_read_all_settings and EXECUTE on the backup functions and
 * pg_control_system; this process must be able to read the data directory. */
hf_result hf_pgsource_open(const struct hf_pg_config *pg, struct hf_pgsource **ret,
                           struct hf_err *err) HF_MUST_USE;
void hf_pgsource_close(struct hf_pgsource *s); /* NULL allowed; ends a backup under way */

uint64_t hf_pgsource_system_id(const struct hf_pgsource *s);
uint32_t hf_pgsource_segment_size(const struct hf_pgsource *s);
bool hf_pgsource_checksums(const struct hf_pgsource *s);
bool hf_pgsource_archiving(const struct hf_pgsource *s); /* archive_mode is not off */
bool hf_pgsource_standby(const struct hf_pgsource *s);
const char *hf_pgsource_data_directory(const struct hf_pgsource *s);

/* Version, sizes, tablespaces, collations, whether it is a standby. */
void hf_pgsource_describe(const struct hf_pgsource *s, struct hf_manifest *m);
uint32_t hf_pgsource_version(const struct hf_pgsource *s);
uint32_t hf_pgsource_block_size(const struct hf_pgsource *s);
/* What the scan begins at: data directory, tablespaces, configuration outside (rule B11). */
hf_result hf_pgsource_roots(const struct hf_pgsource *s, struct hf_scan_root *ret, size_t room,
                            size_t *ret_n, struct hf_err *err) HF_MUST_USE;

/* fast: an immediate checkpoint. Waits for it: minutes are normal without. */
hf_result hf_pgsource_start(struct hf_pgsource *s, const char *label, bool fast,
                            struct hf_err *err) HF_MUST_USE;
/* Fills start, stop, timeline, backup_label, tablespace_map. Does not wait for the archive.
 * HF_E_REFUSED when the standby was promoted. */
hf_result hf_pgsource_stop(struct hf_pgsource *s, struct hf_manifest *m,
                           struct hf_err *err) HF_MUST_USE;

#endif
