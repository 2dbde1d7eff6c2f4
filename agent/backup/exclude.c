/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/exclude.h"

#include <stddef.h>
#include <string.h>

static bool among(const char *name, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool hf_exclude_name(const char *name)
{
    return begins(name, "pgsql_tmp") || begins(name, "pg_internal.init");
}

bool hf_exclude_top(const char *name)
{
    static const char *const FILES[] = {"postmaster.pid",
                                        "postmaster.opts",
                                        "postgresql.auto.conf.tmp",
                                        "current_logfiles.tmp",
                                        "backup_label",
                                        "tablespace_map",
                                        "backup_manifest",
                                        "backup_label.old",
                                        "tablespace_map.old",
                                        "standby.signal",
                                        "recovery.signal",
                                        "recovery.done",
                                        "holdfast-restore.unfinished",
                                        NULL};
    return among(name, FILES);
}

bool hf_exclude_content(const char *path)
{
    /* pg_wal/archive_status must be there, so pg_wal itself is walked and filtered elsewhere. */
    static const char *const DIRECTORIES[] = {"pg_wal/archive_status",
                                              "pg_wal/summaries",
                                              "pg_replslot",
                                              "pg_dynshmem",
                                              "pg_notify",
                                              "pg_serial",
                                              "pg_snapshots",
                                              "pg_stat_tmp",
                                              "pg_subtrans",
                                              "pg_tblspc",
                                              NULL};
    return among(path, DIRECTORIES);
}

static bool all_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

bool hf_relation_directory(bool tablespace, const char *path)
{
    if (tablespace) {
        const char *slash = strchr(path, '/');
        return begins(path, "PG_") && slash != NULL && all_digits(slash + 1);
    }
    return strcmp(path, "global") == 0 || (begins(path, "base/") && all_digits(path + 5));
}

bool hf_temporary_relation(const char *name)
{
    if (name[0] != 't') {
        return false;
    }
    size_t backend = strspn(name + 1, "0123456789");
    const char *rest = name + 1 + backend;
    return backend > 0 && rest[0] == '_' && rest[1] >= '0' && rest[1] <= '9';
}
