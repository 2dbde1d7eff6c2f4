/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoding and checking of manifests.
 */
#include "agent/core/manifest.h"

#include <inttypes.h>
#include <string.h>

#include "agent/core/manifest_format.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/core/json.h"
#include "common/core/lsn.h"

static bool digest_valid(const char *hex)
{
    return strlen(hex) == HF_DIGEST_HEX_SIZE - 1 &&
           strspn(hex, "0123456789abcdef") == HF_DIGEST_HEX_SIZE - 1;
}

/* "backup/<label>/<leaf>": nothing else may be named by a manifest. */
static bool object_name_valid(const char *name)
{
    const char *label = name + strlen("backup/");
    if (strncmp(name, "backup/", strlen("backup/")) != 0) {
        return false;
    }
    const char *slash = strchr(label, '/');
    char copy[HF_LABEL_SIZE] = "";
    if (slash == NULL || (size_t)(slash - label) >= sizeof(copy) || slash[1] == '\0' ||
        strchr(slash + 1, '/') != NULL) {
        return false;
    }
    memcpy(copy, label, (size_t)(slash - label));
    return hf_ok(hf_backup_label_check(copy, NULL));
}

static hf_result check_objects(const struct hf_manifest *m, enum hf_code code, struct hf_err *err)
{
    uint64_t entries = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->shard_count; i++) {
        if (!object_name_valid(m->shards[i].name) || !digest_valid(m->shards[i].digest)) {
            return hf_fail(err, code, "manifest %s: shard %zu has no valid name or digest",
                           m->label, i);
        }
        entries += m->shards[i].entries;
    }
    for (size_t i = 0; i < m->pack_count; i++) {
        if (!object_name_valid(m->packs[i].name) || !digest_valid(m->packs[i].digest)) {
            return hf_fail(err, code, "manifest %s: pack %zu has no valid name or digest", m->label,
                           i);
        }
        bytes += m->packs[i].stored_bytes;
    }
    if (entries != m->entries || bytes != m->stored_bytes) {
        return hf_fail(err, code,
                       "manifest %s: counts do not add up (%" PRIu64 " of %" PRIu64
                       " entries, %" PRIu64 " of %" PRIu64 " bytes)",
                       m->label, entries, m->entries, bytes, m->stored_bytes);
    }
    return hf_done();
}

hf_result hf_manifest_check(const struct hf_manifest *m, enum hf_code code, struct hf_err *err)
{
    hf_result label = hf_backup_label_check(m->label, err);
    if (!hf_ok(label)) {
        return hf_fail(err, code, "manifest: label \"%.64s\" is malformed", m->label);
    }
    if (m->tenant[0] == '\0' || m->cluster[0] == '\0' || m->system_id == 0 ||
        m->writer[0] == '\0') {
        return hf_fail(err, code, "manifest %s: does not say whose it is", m->label);
    }
    if (m->source == HF_SOURCE_CLUSTER &&
        (m->timeline.v == 0 || m->start.v == 0 || m->stop.v <= m->start.v ||
         !hf_segment_size_valid(m->segment_size) || m->block_size == 0 ||
         m->backup_label[0] == '\0')) {
        return hf_fail(err, code,
                       "manifest %s: timeline %u, start %" PRIx64 ", stop %" PRIx64
                       ", segments of %u bytes or backup_label do not fit",
                       m->label, m->timeline.v, m->start.v, m->stop.v, m->segment_size);
    }
    if (m->predecessor[0] != '\0' && !digest_valid(m->predecessor_digest)) {
        return hf_fail(err, code, "manifest %s: no digest of its predecessor", m->label);
    }
    return check_objects(m, code, err);
}

/* --- decoding ------------------------------------------------------------------------------- */

static hf_result get_choice(const hf_json *o, const char *key, const char *(*name)(int), int n,
                            int *ret, struct hf_err *err)
{
    char text[HF_NAME_SIZE];
    HF_TRY(hf_json_get_text(o, key, text, sizeof(text), err));
    for (int i = 0; i < n; i++) {
        if (strcmp(text, name(i)) == 0) {
            *ret = i;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_CORRUPT, "%s: \"%s\" is not known", key, text);
}

static const char *type_name(int i)
{
    return hf_backup_type_name((enum hf_backup_type)i);
}

static const char *source_name(int i)
{
    return hf_backup_source_name((enum hf_backup_source)i);
}

static hf_result get_u32(const hf_json *o, const char *key, uint32_t *ret, struct hf_err *err)
{
    uint64_t v = 0;
    HF_TRY(hf_json_get_u64(o, key, &v, err));
    if (v > UINT32_MAX) {
        return hf_fail(err, HF_E_CORRUPT, "%s: %" PRIu64 ", allowed is up to %u", key, v,
                       UINT32_MAX);
    }
    *ret = (uint32_t)v;
    return hf_done();
}

static hf_result get_base64(const hf_json *o, const char *key, char **ret, struct hf_err *err)
{
    size_t size = HF_BASE64_SIZE(HF_MANIFEST_LABEL_MAX);
    HF_AUTOFREE char *text = hf_alloc(size);
    HF_TRY(hf_json_get_text(o, key, text, size, err));
    char *bytes = hf_alloc(HF_MANIFEST_LABEL_MAX + 1);
    size_t len = 0;
    hf_result r = hf_base64_decode(text, (uint8_t *)bytes, HF_MANIFEST_LABEL_MAX, &len, err);
    if (hf_ok(r) && memchr(bytes, 0, len) != NULL) {
        r = hf_fail(err, HF_E_CORRUPT, "%s: holds a NUL", key);
    }
    if (!hf_ok(r)) {
        hf_free(bytes);
        return r;
    }
    hf_free(*ret);
    *ret = bytes;
    return hf_done();
}

static hf_result get_origin(const hf_json *o, struct hf_manifest *m, struct hf_err *err)
{
    uint64_t version = 0;
    int choice = 0;
    HF_TRY(hf_json_get_u64(o, "version", &version, err));
    if (version != HF_MANIFEST_VERSION) {
        return hf_fail(err, HF_E_CORRUPT, "manifest version %" PRIu64 ", this program knows %d",
                       version, HF_MANIFEST_VERSION);
    }
    HF_TRY(hf_json_get_text(o, "label", m->label, sizeof(m->label), err));
    HF_TRY(get_choice(o, "type", type_name, 3, &choice, err));
    m->type = (enum hf_backup_type)choice;
    HF_TRY(get_choice(o, "source", source_name, 4, &choice, err));
    m->source = (enum hf_backup_source)choice;
    HF_TRY(hf_json_get_text(o, "tenant", m->tenant, sizeof(m->tenant), err));
    HF_TRY(hf_json_get_text(o, "cluster", m->cluster, sizeof(m->cluster), err));
    HF_TRY(hf_json_get_u64(o, "system_id", &m->system_id, err));
    HF_TRY(hf_json_get_u64(o, "epoch", &m->epoch.v, err));
    HF_TRY(hf_json_get_text(o, "region", m->region, sizeof(m->region), err));
    HF_TRY(hf_json_get_text(o, "writer", m->writer, sizeof(m->writer), err));
    HF_TRY(hf_json_get_text(o, "program", m->program, sizeof(m->program), err));
    HF_TRY(hf_json_get_text(o, "predecessor", m->predecessor, sizeof(m->predecessor), err));
    HF_TRY(hf_json_get_text(o, "predecessor_digest", m->predecessor_digest,
                            sizeof(m->predecessor_digest), err));
    const hf_json *parents = NULL;
    HF_TRY(hf_json_get_array(o, "parents", HF_MANIFEST_MAX_PARENTS, &parents, err));
    m->parent_count = hf_json_size(parents);
    for (size_t i = 0; i < m->parent_count; i++) {
        const char *label = hf_json_text(hf_json_at(parents, i));
        HF_TRY(hf_backup_label_check(label, err));
        memcpy(m->parents[i], label, strlen(label) + 1); /* the check bounds it */
    }
    return hf_done();
}

static hf_result get_cluster(const hf_json *o, struct hf_manifest *m, struct hf_err *err)
{
    char secret[HF_HEX_SIZE(HF_SECRET_ID_SIZE)];
    HF_TRY(get_u32(o, "pg_version_num", &m->pg_version_num, err));
    HF_TRY(get_u32(o, "block_size", &m->block_size, err));
    HF_TRY(get_u32(o, "segment_size", &m->segment_size, err));
    HF_TRY(hf_json_get_bool_opt(o, "data_checksums", &m->data_checksums, err));
    HF_TRY(hf_json_get_bool_opt(o, "from_standby", &m->from_standby, err));
    HF_TRY(hf_json_get_i64(o, "started_at", &m->started_at.us, err));
    HF_TRY(hf_json_get_i64(o, "completed_at", &m->completed_at.us, err));
    HF_TRY(get_u32(o, "timeline", &m->timeline.v, err));
    HF_TRY(hf_json_get_u64(o, "start", &m->start.v, err));
    HF_TRY(hf_json_get_u64(o, "stop", &m->stop.v, err));
    HF_TRY(get_base64(o, "backup_label", &m->backup_label, err));
    HF_TRY(get_base64(o, "tablespace_map", &m->tablespace_map, err));
    HF_TRY(hf_json_get_text(o, "secret_id", secret, sizeof(secret), err));
    HF_TRY(hf_hex_decode(secret, m->secret_id, HF_SECRET_ID_SIZE, err));
    HF_TRY(hf_json_get_u64(o, "findings_total", &m->findings_total, err));
    HF_TRY(hf_json_get_u64(o, "entries", &m->entries, err));
    HF_TRY(hf_json_get_u64(o, "original_bytes", &m->original_bytes, err));
    HF_TRY(hf_json_get_u64(o, "read_bytes", &m->read_bytes, err));
    HF_TRY(hf_json_get_u64(o, "stored_bytes", &m->stored_bytes, err));
    HF_TRY(hf_json_get_u64(o, "pages_checked", &m->pages_checked, err));
    return hf_done();
}

static hf_result get_lists(const hf_json *o, struct hf_manifest *m, struct hf_err *err)
{
    const hf_json *a = NULL;
    HF_TRY(hf_json_get_array(o, "tablespaces", HF_MANIFEST_MAX_TABLESPACES, &a, err));
    m->tablespace_count = hf_json_size(a);
    m->tablespaces = hf_alloc_array(m->tablespace_count + 1, sizeof(*m->tablespaces));
    for (size_t i = 0; i < m->tablespace_count; i++) {
        struct hf_manifest_tablespace *t = &m->tablespaces[i];
        HF_TRY(get_u32(hf_json_at(a, i), "oid", &t->oid, err));
        HF_TRY(hf_json_get_text(hf_json_at(a, i), "path", t->path, sizeof(t->path), err));
    }
    HF_TRY(hf_json_get_array(o, "collations", HF_MANIFEST_MAX_COLLATIONS, &a, err));
    m->collation_count = hf_json_size(a);
    m->collations = hf_alloc_array(m->collation_count + 1, sizeof(*m->collations));
    for (size_t i = 0; i < m->collation_count; i++) {
        struct hf_manifest_collation *c = &m->collations[i];
        const hf_json *item = hf_json_at(a, i);
        HF_TRY(hf_json_get_text(item, "name", c->name, sizeof(c->name), err));
        HF_TRY(hf_json_get_text(item, "provider", c->provider, sizeof(c->provider), err));
        HF_TRY(hf_json_get_text(item, "version", c->version, sizeof(c->version), err));
    }
    HF_TRY(hf_json_get_array(o, "findings", HF_MANIFEST_MAX_FINDINGS, &a, err));
    m->finding_count = hf_json_size(a);
    m->findings = hf_alloc_array(m->finding_count + 1, sizeof(*m->findings));
    for (size_t i = 0; i < m->finding_count; i++) {
        struct hf_manifest_finding *f = &m->findings[i];
        HF_TRY(hf_json_get_text(hf_json_at(a, i), "path", f->path, sizeof(f->path), err));
        HF_TRY(get_u32(hf_json_at(a, i), "block", &f->block, err));
    }
    return hf_done();
}

static hf_result get_objects(const hf_json *o, struct hf_manifest *m, struct hf_err *err)
{
    const hf_json *a = NULL;
    HF_TRY(hf_json_get_array(o, "shards", HF_MANIFEST_MAX_SHARDS, &a, err));
    m->shard_count = hf_json_size(a);
    m->shards = hf_alloc_array(m->shard_count + 1, sizeof(*m->shards));
    for (size_t i = 0; i < m->shard_count; i++) {
        struct hf_manifest_shard *s = &m->shards[i];
        const hf_json *item = hf_json_at(a, i);
        HF_TRY(hf_json_get_text(item, "name", s->name, sizeof(s->name), err));
        HF_TRY(hf_json_get_text(item, "digest", s->digest, sizeof(s->digest), err));
        HF_TRY(hf_json_get_u64(item, "entries", &s->entries, err));
    }
    HF_TRY(hf_json_get_array(o, "packs", HF_MANIFEST_MAX_PACKS, &a, err));
    m->pack_count = hf_json_size(a);
    m->packs = hf_alloc_array(m->pack_count + 1, sizeof(*m->packs));
    for (size_t i = 0; i < m->pack_count; i++) {
        struct hf_manifest_pack *p = &m->packs[i];
        const hf_json *item = hf_json_at(a, i);
        HF_TRY(hf_json_get_text(item, "name", p->name, sizeof(p->name), err));
        HF_TRY(hf_json_get_text(item, "digest", p->digest, sizeof(p->digest), err));
        HF_TRY(hf_json_get_u64(item, "bytes", &p->stored_bytes, err));
        HF_TRY(get_u32(item, "frames", &p->frames, err));
    }
    return hf_done();
}

static hf_result get_all(const hf_json *o, struct hf_manifest *m, struct hf_err *err)
{
    HF_TRY(get_origin(o, m, err));
    HF_TRY(get_cluster(o, m, err));
    HF_TRY(get_lists(o, m, err));
    HF_TRY(get_objects(o, m, err));
    return hf_manifest_check(m, HF_E_CORRUPT, err);
}

hf_result hf_manifest_decode(const char *text, size_t len, struct hf_manifest **ret,
                             struct hf_err *err)
{
    HF_AUTOJSON hf_json *o = NULL;
    struct hf_err why = {0};
    HF_AUTOMANIFEST struct hf_manifest *m = hf_manifest_new();
    hf_result r = hf_json_parse(text, len, HF_MANIFEST_MAX_BYTES, &o, &why);
    if (hf_ok(r)) {
        r = get_all(o, m, &why);
    }
    if (!hf_ok(r)) {
        return hf_fail(err, HF_E_CORRUPT, "manifest: %.400s", why.text);
    }
    *ret = m;
    m = NULL;
    return hf_done();
}
