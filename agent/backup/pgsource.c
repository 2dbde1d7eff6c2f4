/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/pgsource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/lsn.h"

/* A checkpoint that is spread takes up to checkpoint_timeout; more than a day is a fault. */
static const hf_dur START_TIMEOUT = {(int64_t)6 * 3600 * 1000000};
static const hf_dur ASK_TIMEOUT = {(int64_t)30 * 1000000};

struct hf_pgsource {
    struct hf_pg_sync *conn;
    uint32_t version;
    uint64_t system_id;
    uint32_t block_size;
    uint32_t segment_size;
    bool checksums;
    bool standby;
    bool archiving;
    char data_directory[HF_PATH_SIZE];
    struct hf_manifest_tablespace *tablespaces;
    size_t tablespace_count;
    struct hf_manifest_collation *collations;
    size_t collation_count;
    char (*config)[HF_PATH_SIZE]; /* files outside the data directory, sorted */
    size_t config_count;
};

static hf_result ask(struct hf_pgsource *s, const char *sql, struct hf_pg_result **ret,
                     struct hf_err *err)
{
    return hf_pg_sync_query(s->conn, sql, 0, NULL, ASK_TIMEOUT, ret, err);
}

static hf_result get_u32(const struct hf_pg_result *r, int row, int column, uint32_t *ret,
                         struct hf_err *err)
{
    uint64_t v = 0;
    HF_TRY(hf_pg_u64(r, row, column, &v, err));
    if (v > UINT32_MAX) {
        return hf_fail(err, HF_E_INVALID, "PostgreSQL answered %llu where 32 bits are expected",
                       (unsigned long long)v);
    }
    *ret = (uint32_t)v;
    return hf_done();
}

/* --- what it says about itself -------------------------------------------------------------- */

static hf_result ask_identity(struct hf_pgsource *s, struct hf_err *err)
{
    static const char SQL[] =
        "SELECT (pg_catalog.pg_control_system()).system_identifier::text,"
        " current_setting('block_size'),"
        " (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'),"
        " current_setting('data_checksums'), current_setting('data_directory'),"
        " pg_catalog.pg_is_in_recovery(), current_setting('archive_mode')";
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    HF_TRY(ask(s, SQL, &r, err));
    /* The identifier's type is signed in SQL, unsigned in pg_control. */
    s->system_id = (uint64_t)strtoll(hf_pg_text(r, 0, 0), NULL, 10);
    HF_TRY(get_u32(r, 0, 1, &s->block_size, err));
    HF_TRY(get_u32(r, 0, 2, &s->segment_size, err));
    s->checksums = strcmp(hf_pg_text(r, 0, 3), "on") == 0;
    HF_TRY(hf_pg_bool(r, 0, 5, &s->standby, err));
    s->archiving = strcmp(hf_pg_text(r, 0, 6), "off") != 0;
    if (hf_pg_length(r, 0, 4) >= sizeof(s->data_directory)) {
        return hf_fail(err, HF_E_LIMIT, "data directory of %zu bytes, allowed are %zu",
                       hf_pg_length(r, 0, 4), sizeof(s->data_directory) - 1);
    }
    snprintf(s->data_directory, sizeof(s->data_directory), "%s", hf_pg_text(r, 0, 4));
    if (s->system_id == 0 || !hf_segment_size_valid(s->segment_size) || s->block_size != 8192) {
        return hf_fail(err, HF_E_UNSUPPORTED,
                       "PostgreSQL with WAL segments of %u and blocks of %u bytes; supported are "
                       "blocks of 8192",
                       s->segment_size, s->block_size);
    }
    return hf_done();
}

static hf_result ask_tablespaces(struct hf_pgsource *s, struct hf_err *err)
{
    static const char SQL[] = "SELECT oid, pg_catalog.pg_tablespace_location(oid)"
                              " FROM pg_catalog.pg_tablespace"
                              " WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid";
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    HF_TRY(ask(s, SQL, &r, err));
    int n = hf_pg_rows(r);
    if (n > HF_MANIFEST_MAX_TABLESPACES) {
        return hf_fail(err, HF_E_LIMIT, "%d tablespaces, allowed are %d", n,
                       HF_MANIFEST_MAX_TABLESPACES);
    }
    s->tablespaces = hf_alloc_array((size_t)n + 1, sizeof(*s->tablespaces));
    for (int i = 0; i < n; i++) {
        struct hf_manifest_tablespace *t = &s->tablespaces[s->tablespace_count++];
        HF_TRY(get_u32(r, i, 0, &t->oid, err));
        snprintf(t->path, sizeof(t->path), "%s", hf_pg_text(r, i, 1));
    }
    return hf_done();
}

/* Versions of the libraries that decide the order of indexes (rule B11). */
static hf_result ask_collations(struct hf_pgsource *s, struct hf_err *err)
{
    static const char SQL_DATABASES[] =
        "SELECT 'database ' || datname, CASE datlocprovider WHEN 'i' THEN 'icu' ELSE 'libc' END,"
        " datcollversion FROM pg_catalog.pg_database WHERE datcollversion IS NOT NULL"
        " ORDER BY datname LIMIT 1000";
    static const char SQL_OLD[] =
        "SELECT 'pg_collation', CASE collprovider WHEN 'i' THEN 'icu' ELSE 'libc' END, collversion"
        " FROM pg_catalog.pg_collation WHERE collversion IS NOT NULL GROUP BY 2, 3 LIMIT 16";
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    HF_TRY(ask(s, s->version >= 150000 ? SQL_DATABASES : SQL_OLD, &r, err));
    int n = hf_pg_rows(r);
    s->collations = hf_alloc_array((size_t)n + 1, sizeof(*s->collations));
    for (int i = 0; i < n; i++) {
        struct hf_manifest_collation *c = &s->collations[s->collation_count++];
        snprintf(c->name, sizeof(c->name), "%.63s", hf_pg_text(r, i, 0));
        snprintf(c->provider, sizeof(c->provider), "%.63s", hf_pg_text(r, i, 1));
        snprintf(c->version, sizeof(c->version), "%.63s", hf_pg_text(r, i, 2));
    }
    return hf_done();
}

/* Debian keeps the configuration outside the data directory: it belongs to the backup. */
static hf_result ask_config(struct hf_pgsource *s, struct hf_err *err)
{
    static const char SQL[] =
        "SELECT f FROM (SELECT sourcefile AS f FROM pg_catalog.pg_settings"
        " WHERE sourcefile IS NOT NULL"
        " UNION SELECT setting FROM pg_catalog.pg_settings WHERE name IN ('config_file', "
        "'hba_file',"
        " 'ident_file', 'ssl_cert_file', 'ssl_key_file', 'ssl_ca_file', 'ssl_crl_file')) x"
        " WHERE f LIKE '/%' ORDER BY f COLLATE \"C\"";
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    size_t prefix = strlen(s->data_directory);
    HF_TRY(ask(s, SQL, &r, err));
    int n = hf_pg_rows(r);
    if (n > HF_SCAN_MAX_CONFIG) {
        return hf_fail(err, HF_E_LIMIT, "%d configuration files, allowed are %d", n,
                       HF_SCAN_MAX_CONFIG);
    }
    s->config = hf_alloc_array((size_t)n + 1, sizeof(*s->config));
    for (int i = 0; i < n; i++) {
        const char *path = hf_pg_text(r, i, 0);
        bool inside = strncmp(path, s->data_directory, prefix) == 0 && path[prefix] == '/';
        if (!inside && strlen(path) < HF_PATH_SIZE) {
            snprintf(s->config[s->config_count++], HF_PATH_SIZE, "%s", path);
        }
    }
    return hf_done();
}

static hf_result ask_all(struct hf_pgsource *s, struct hf_err *err)
{
    HF_TRY(ask(s,
               "SET statement_timeout = 0; SET lock_timeout = 0; SET client_encoding = 'UTF8';"
               "SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = local",
               NULL, err));
    if (s->version >= 140000) {
        HF_TRY(ask(s, "SET idle_session_timeout = 0", NULL, err));
    }
    HF_TRY(ask_identity(s, err));
    HF_TRY(ask_tablespaces(s, err));
    HF_TRY(ask_collations(s, err));
    return ask_config(s, err);
}

hf_result hf_pgsource_open(const struct hf_pg_config *pg, struct hf_pgsource **ret,
                           struct hf_err *err)
{
    struct hf_pg_sync *conn = NULL;
    HF_TRY(hf_pg_sync_connect(pg, &conn, err));
    struct hf_pgsource *s = hf_alloc(sizeof(*s));
    s->conn = conn;
    s->version = (uint32_t)hf_pg_sync_server_version(conn);
    hf_result r = ask_all(s, err);
    if (!hf_ok(r)) {
        hf_pgsource_close(s);
        return r;
    }
    *ret = s;
    return hf_done();
}

void hf_pgsource_close(struct hf_pgsource *s)
{
    if (s == NULL) {
        return;
    }
    hf_pg_sync_close(s->conn);
    hf_free(s->tablespaces);
    hf_free(s->collations);
    hf_free(s->config);
    hf_free(s);
}

uint64_t hf_pgsource_system_id(const struct hf_pgsource *s)
{
    return s->system_id;
}

uint32_t hf_pgsource_segment_size(const struct hf_pgsource *s)
{
    return s->segment_size;
}

uint32_t hf_pgsource_block_size(const struct hf_pgsource *s)
{
    return s->block_size;
}

uint32_t hf_pgsource_version(const struct hf_pgsource *s)
{
    return s->version;
}

bool hf_pgsource_checksums(const struct hf_pgsource *s)
{
    return s->checksums;
}

bool hf_pgsource_archiving(const struct hf_pgsource *s)
{
    return s->archiving;
}

bool hf_pgsource_standby(const struct hf_pgsource *s)
{
    return s->standby;
}

const char *hf_pgsource_data_directory(const struct hf_pgsource *s)
{
    return s->data_directory;
}

void hf_pgsource_describe(const struct hf_pgsource *s, struct hf_manifest *m)
{
    m->system_id = s->system_id;
    m->pg_version_num = s->version;
    m->block_size = s->block_size;
    m->segment_size = s->segment_size;
    m->data_checksums = s->checksums;
    m->from_standby = s->standby;
    m->tablespaces = hf_alloc_array(s->tablespace_count + 1, sizeof(*m->tablespaces));
    memcpy(m->tablespaces, s->tablespaces, s->tablespace_count * sizeof(*m->tablespaces));
    m->tablespace_count = s->tablespace_count;
    m->collations = hf_alloc_array(s->collation_count + 1, sizeof(*m->collations));
    memcpy(m->collations, s->collations, s->collation_count * sizeof(*m->collations));
    m->collation_count = s->collation_count;
}

hf_result hf_pgsource_roots(const struct hf_pgsource *s, struct hf_scan_root *ret, size_t room,
                            size_t *ret_n, struct hf_err *err)
{
    size_t n = 1 + s->tablespace_count + s->config_count;
    if (n > room) {
        return hf_fail(err, HF_E_LIMIT, "%zu places to back up, allowed are %zu", n, room);
    }
    ret[0].space = HF_MAP_SPACE_DATA;
    snprintf(ret[0].path, sizeof(ret[0].path), "%s", s->data_directory);
    for (size_t i = 0; i < s->tablespace_count; i++) {
        struct hf_scan_root *root = &ret[1 + i];
        root->space = s->tablespaces[i].oid;
        int len = snprintf(root->path, sizeof(root->path), "%.900s/pg_tblspc/%u", s->data_directory,
                           s->tablespaces[i].oid);
        HF_ASSERT(len > 0 && (size_t)len < sizeof(root->path));
    }
    for (size_t i = 0; i < s->config_count; i++) {
        struct hf_scan_root *root = &ret[1 + s->tablespace_count + i];
        root->space = HF_MAP_SPACE_CONFIG;
        snprintf(root->path, sizeof(root->path), "%s", s->config[i]);
    }
    *ret_n = n;
    return hf_done();
}

/* --- the backup's session ------------------------------------------------------------------- */

hf_result hf_pgsource_start(struct hf_pgsource *s, const char *label, bool fast, struct hf_err *err)
{
    const char *const params[] = {label, fast ? "t" : "f"};
    const char *sql = s->version >= 150000 ? "SELECT pg_catalog.pg_backup_start($1, $2::bool)"
                                           : "SELECT pg_catalog.pg_start_backup($1, $2::bool, "
                                             "false)";
    return hf_pg_sync_query(s->conn, sql, 2, params, START_TIMEOUT, NULL, err);
}

/* "NAME: value" of a line of backup_label. */
static const char *label_value(const char *label, const char *name)
{
    for (const char *line = label; line != NULL && *line != '\0';) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
            return line + strlen(name) + 1 + strspn(line + strlen(name) + 1, " ");
        }
        const char *end = strchr(line, '\n');
        line = end == NULL ? NULL : end + 1;
    }
    return NULL;
}

static hf_result read_label(struct hf_manifest *m, struct hf_err *err)
{
    const char *start = label_value(m->backup_label, "START WAL LOCATION");
    const char *timeline = label_value(m->backup_label, "START TIMELINE");
    char text[HF_LSN_SIZE] = "";
    if (start == NULL || timeline == NULL || sscanf(start, "%17[0-9A-F/]", text) != 1) {
        return hf_fail(err, HF_E_INVALID, "backup_label has no start location and timeline");
    }
    HF_TRY(hf_lsn_parse(text, &m->start, err));
    m->timeline = HF_TLI(strtoul(timeline, NULL, 10));
    return hf_done();
}

hf_result hf_pgsource_stop(struct hf_pgsource *s, struct hf_manifest *m, struct hf_err *err)
{
    const char *sql = s->version >= 150000
                          ? "SELECT lsn, labelfile, spcmapfile, pg_catalog.pg_is_in_recovery()"
                            " FROM pg_catalog.pg_backup_stop(false)"
                          : "SELECT lsn, labelfile, spcmapfile, pg_catalog.pg_is_in_recovery()"
                            " FROM pg_catalog.pg_stop_backup(false, false)";
    HF_AUTOPGRESULT struct hf_pg_result *r = NULL;
    bool standby = false;
    HF_TRY(hf_pg_sync_query(s->conn, sql, 0, NULL, ASK_TIMEOUT, &r, err));
    HF_TRY(hf_pg_lsn(r, 0, 0, &m->stop, err));
    HF_TRY(hf_pg_bool(r, 0, 3, &standby, err));
    if (standby != s->standby) {
        return hf_fail(err, HF_E_REFUSED, "the standby was promoted during the backup (rule B3)");
    }
    if (hf_pg_length(r, 0, 1) > HF_MANIFEST_LABEL_MAX ||
        hf_pg_length(r, 0, 2) > HF_MANIFEST_LABEL_MAX) {
        return hf_fail(err, HF_E_LIMIT, "backup_label or tablespace_map over %d bytes",
                       HF_MANIFEST_LABEL_MAX);
    }
    hf_free(m->backup_label);
    hf_free(m->tablespace_map);
    m->backup_label = hf_strdup(hf_pg_text(r, 0, 1));
    m->tablespace_map = hf_strdup(hf_pg_text(r, 0, 2));
    return read_label(m, err);
}
