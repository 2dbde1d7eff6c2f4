/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifest: memory, labels, encoding. Decoding is in manifest_decode.c.
 */
#include "agent/core/manifest.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/manifest_format.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/core/json.h"

static const char *const TYPES[] = {"full", "diff", "incr"};
static const char *const SOURCES[] = {"cluster", "database", "files", "volume"};

const char *hf_backup_type_name(enum hf_backup_type type)
{
    return TYPES[type];
}

const char *hf_backup_source_name(enum hf_backup_source source)
{
    return SOURCES[source];
}

struct hf_manifest *hf_manifest_new(void)
{
    struct hf_manifest *m = hf_alloc(sizeof(*m));
    m->backup_label = hf_strdup("");
    m->tablespace_map = hf_strdup("");
    return m;
}

void hf_manifest_free(struct hf_manifest *m)
{
    if (m == NULL) {
        return;
    }
    hf_free(m->backup_label);
    hf_free(m->tablespace_map);
    hf_free(m->tablespaces);
    hf_free(m->collations);
    hf_free(m->findings);
    hf_free(m->shards);
    hf_free(m->packs);
    hf_free(m);
}

void hf_manifest_cleanup(struct hf_manifest **m)
{
    hf_manifest_free(*m);
}

/* --- labels --------------------------------------------------------------------------------- */

/* Year, month, day of a day counted from 1970-01-01, in the Gregorian calendar: eras of 400 years
 * that begin on the first of March, so that the leap day is the last of its year. */
static void civil_day(int64_t day, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    day += 719468;
    int64_t era = day / 146097;
    unsigned of_era = (unsigned)(day % 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned shifted = (5 * of_year + 2) / 153; /* 0 = March */
    *ret_day = of_year - (153 * shifted + 2) / 5 + 1;
    *ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
    *ret_year = (unsigned)(era * 400) + year + (*ret_month <= 2 ? 1 : 0);
}

void hf_backup_label_make(hf_wall at, enum hf_backup_type type, char ret[HF_LABEL_SIZE])
{
    static const char LETTERS[] = "FDI";
    int64_t seconds = at.us < 0 ? 0 : at.us / 1000000;
    unsigned of_day = (unsigned)(seconds % 86400);
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;
    civil_day(seconds / 86400, &year, &month, &day);
    snprintf(ret, HF_LABEL_SIZE, "%04u%02u%02uT%02u%02u%02uZ-%c", year % 10000, month, day,
             of_day / 3600, of_day / 60 % 60, of_day % 60, LETTERS[type]);
}

hf_result hf_backup_label_check(const char *label, struct hf_err *err)
{
    static const char FORM[] = "00000000T000000Z-A";
    bool good = strlen(label) == sizeof(FORM) - 1;
    for (size_t i = 0; good && i < sizeof(FORM) - 1; i++) {
        char c = label[i];
        good = FORM[i] == '0'   ? c >= '0' && c <= '9'
               : FORM[i] == 'A' ? c == 'F' || c == 'D' || c == 'I'
                                : c == FORM[i];
    }
    if (!good) {
        return hf_fail(err, HF_E_INVALID,
                       "backup label \"%.64s\": allowed is YYYYMMDDTHHMMSSZ-F (or D, I)", label);
    }
    return hf_done();
}

/* --- encoding ------------------------------------------------------------------------------- */

static void put_base64(hf_json *o, const char *key, const char *text)
{
    size_t n = strlen(text);
    HF_AUTOFREE char *encoded = hf_alloc(HF_BASE64_SIZE(n));
    hf_base64_encode(text, n, encoded);
    hf_json_put_text(o, key, encoded);
}

static hf_json *tables(const struct hf_manifest *m)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < m->tablespace_count; i++) {
        hf_json *o = hf_json_object();
        hf_json_put_u64(o, "oid", m->tablespaces[i].oid);
        hf_json_put_text(o, "path", m->tablespaces[i].path);
        hf_json_push(array, o);
    }
    return array;
}

static hf_json *collations(const struct hf_manifest *m)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < m->collation_count; i++) {
        hf_json *o = hf_json_object();
        hf_json_put_text(o, "name", m->collations[i].name);
        hf_json_put_text(o, "provider", m->collations[i].provider);
        hf_json_put_text(o, "version", m->collations[i].version);
        hf_json_push(array, o);
    }
    return array;
}

static hf_json *findings(const struct hf_manifest *m)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < m->finding_count; i++) {
        hf_json *o = hf_json_object();
        hf_json_put_text(o, "path", m->findings[i].path);
        hf_json_put_u64(o, "block", m->findings[i].block);
        hf_json_push(array, o);
    }
    return array;
}

static hf_json *shards(const struct hf_manifest *m)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < m->shard_count; i++) {
        hf_json *o = hf_json_object();
        hf_json_put_text(o, "name", m->shards[i].name);
        hf_json_put_text(o, "digest", m->shards[i].digest);
        hf_json_put_u64(o, "entries", m->shards[i].entries);
        hf_json_push(array, o);
    }
    return array;
}

static hf_json *packs(const struct hf_manifest *m)
{
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < m->pack_count; i++) {
        hf_json *o = hf_json_object();
        hf_json_put_text(o, "name", m->packs[i].name);
        hf_json_put_text(o, "digest", m->packs[i].digest);
        hf_json_put_u64(o, "bytes", m->packs[i].stored_bytes);
        hf_json_put_u64(o, "frames", m->packs[i].frames);
        hf_json_push(array, o);
    }
    return array;
}

static void put_origin(hf_json *o, const struct hf_manifest *m)
{
    hf_json_put_int(o, "version", HF_MANIFEST_VERSION);
    hf_json_put_text(o, "label", m->label);
    hf_json_put_text(o, "type", TYPES[m->type]);
    hf_json_put_text(o, "source", SOURCES[m->source]);
    hf_json_put_text(o, "tenant", m->tenant);
    hf_json_put_text(o, "cluster", m->cluster);
    hf_json_put_u64(o, "system_id", m->system_id);
    hf_json_put_u64(o, "epoch", m->epoch.v);
    hf_json_put_text(o, "region", m->region);
    hf_json_put_text(o, "writer", m->writer);
    hf_json_put_text(o, "program", m->program);
    hf_json *parents = hf_json_array();
    for (size_t i = 0; i < m->parent_count; i++) {
        hf_json_push_text(parents, m->parents[i]);
    }
    hf_json_put(o, "parents", parents);
    hf_json_put_text(o, "predecessor", m->predecessor);
    hf_json_put_text(o, "predecessor_digest", m->predecessor_digest);
}

static void put_cluster(hf_json *o, const struct hf_manifest *m)
{
    char secret[HF_HEX_SIZE(HF_SECRET_ID_SIZE)];
    hf_hex_encode(m->secret_id, HF_SECRET_ID_SIZE, secret);
    hf_json_put_u64(o, "pg_version_num", m->pg_version_num);
    hf_json_put_u64(o, "block_size", m->block_size);
    hf_json_put_u64(o, "segment_size", m->segment_size);
    hf_json_put_bool(o, "data_checksums", m->data_checksums);
    hf_json_put_bool(o, "from_standby", m->from_standby);
    hf_json_put_i64(o, "started_at", m->started_at.us);
    hf_json_put_i64(o, "completed_at", m->completed_at.us);
    hf_json_put_u64(o, "timeline", m->timeline.v);
    hf_json_put_u64(o, "start", m->start.v);
    hf_json_put_u64(o, "stop", m->stop.v);
    put_base64(o, "backup_label", m->backup_label);
    put_base64(o, "tablespace_map", m->tablespace_map);
    hf_json_put_text(o, "secret_id", secret);
}

hf_result hf_manifest_encode(const struct hf_manifest *m, struct hf_buf *out, struct hf_err *err)
{
    HF_TRY(hf_manifest_check(m, HF_E_INVALID, err));
    HF_AUTOJSON hf_json *o = hf_json_object();
    put_origin(o, m);
    put_cluster(o, m);
    hf_json_put(o, "tablespaces", tables(m));
    hf_json_put(o, "collations", collations(m));
    hf_json_put_u64(o, "findings_total", m->findings_total);
    hf_json_put(o, "findings", findings(m));
    hf_json_put_u64(o, "entries", m->entries);
    hf_json_put_u64(o, "original_bytes", m->original_bytes);
    hf_json_put_u64(o, "read_bytes", m->read_bytes);
    hf_json_put_u64(o, "stored_bytes", m->stored_bytes);
    hf_json_put_u64(o, "pages_checked", m->pages_checked);
    hf_json_put(o, "shards", shards(m));
    hf_json_put(o, "packs", packs(m));
    return hf_json_write(o, out, err);
}
