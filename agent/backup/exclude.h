/* SPDX-License-Identifier: Apache-2.0
 *
 * What a base backup leaves out, by name. Pure.
 */
#ifndef HF_AGENT_BACKUP_EXCLUDE_H
#define HF_AGENT_BACKUP_EXCLUDE_H

#include <stdbool.h>

/* Files and directories that are left out wherever they are. */
bool hf_exclude_name(const char *name);
/* Files in the data directory itself that are left out. */
bool hf_exclude_top(const char *name);
/* Directories (path below the data directory) that are kept, but empty. */
bool hf_exclude_content(const char *path);
/* Directories that hold relations: "global", "base/<oid>"; in a tablespace "PG_.../<oid>". */
bool hf_relation_directory(bool tablespace, const char *path);
/* Temporary relations: t<backend>_<relfilenode>[_fork][.segment]. */
bool hf_temporary_relation(const char *name);

#endif
