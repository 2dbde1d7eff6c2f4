/* SPDX-License-Identifier: Apache-2.0
 *
 * Saving; names.
 */
#include "agent/rejoin/salvage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/walrule.h"
#include "agent/rejoin/salvage_internal.h"
#include "agent/repo/site.h"
#include "agent/repo/wal_object.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/log.h"

/* --- names ---------------------------------------------------------------------------------- */

void hf_salvage_id(hf_tli timeline, hf_lsn fork, char ret[HF_SALVAGE_ID_SIZE])
{
    snprintf(ret, HF_SALVAGE_ID_SIZE, "%08X-%016" PRIX64, timeline.v, fork.v);
}

static bool is_id(const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    return strlen(text) == 25 && strspn(text, digits) == 8 && text[8] == '-' &&
           strspn(text + 9, digits) == 16;
}

hf_result hf_salvage_parse(const char *text, hf_name *ret_node, char ret_id[HF_SALVAGE_ID_SIZE],
                           struct hf_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - text);
    if (len == 0 || len >= sizeof(ret_node->s) || strspn(text, letters) != len ||
        !is_id(slash + 1)) {
        return hf_fail(err, HF_E_INVALID,
                       "\"%.80s\": NODE/TIMELINE-FORK is expected, e.g. "
                       "eu-1/00000001-0000000003000100",
                       text);
    }
    *ret_node = (hf_name){.s = ""};
    memcpy(ret_node->s, text, len);
    snprintf(ret_id, HF_SALVAGE_ID_SIZE, "%s", slash + 1);
    return hf_done();
}

void hf_salvage_object(const char *node, const char *id, const char *leaf,
                       struct hf_content_name *ret)
{
    struct hf_wal_name name;
    uint32_t any = 0;
    ret->kind = HF_OBJECT_RECORD;
    if (hf_ok(hf_wal_name_any(leaf, &name, &any, NULL))) {
        ret->kind = name.kind == HF_WAL_HISTORY ? HF_OBJECT_HISTORY : HF_OBJECT_WAL;
    }
    snprintf(ret->logical, sizeof(ret->logical), "salvage/%.63s/%.31s/%.47s", node, id, leaf);
}

void hf_salvage_directory(const struct hf_config_agent *config, const char *id, char *ret,
                          size_t size)
{
    snprintf(ret, size, "%s/salvage%s%s", config->state_dir, id[0] != '\0' ? "/" : "", id);
}

/* --- saving --------------------------------------------------------------------------------- */

/* Takes one file; leaf: its name there. */
typedef hf_result (*put_fn)(void *to, const struct hf_salvage *s, const char *leaf,
                            const struct hf_buf *bytes, struct hf_err *err);

static hf_result put_object(void *to, const struct hf_salvage *s, const char *leaf,
                            const struct hf_buf *bytes, struct hf_err *err)
{
    struct hf_repository *r = to;
    struct hf_content_name name;
    hf_hash128 content;
    HF_BUF(sealed, bytes->len + (bytes->len >> 8) + 65536);
    hf_salvage_object(s->config->name.s, s->id, leaf, &name);
    HF_TRY(hf_content_seal(hf_repository_ring(r), &name, s->epoch, s->config->backup.zstd_level,
                           bytes->data, bytes->len, &sealed, &content, err));
    return hf_content_put(r, &name, &sealed, bytes->data, bytes->len, err);
}

static hf_result put_file(void *to, const struct hf_salvage *s, const char *leaf,
                          const struct hf_buf *bytes, struct hf_err *err)
{
    char path[HF_PATH_SIZE + 256];
    (void)s;
    snprintf(path, sizeof(path), "%s/%s", (const char *)to, leaf);
    hf_result made = hf_file_create_once(path, bytes->data, bytes->len, 0600, err);
    if (made.code != HF_E_EXISTS) {
        return made;
    }
    HF_BUF(there, HF_WAL_OBJECT_MAX);
    HF_TRY(hf_file_read(path, &there, err));
    bool same = there.len == bytes->len && memcmp(there.data, bytes->data, bytes->len) == 0;
    return same ? hf_done() : hf_fail(err, HF_E_CONFLICT, "%s has other content", path);
}

static hf_result put_all(const struct hf_salvage *s, put_fn put, void *to, const char *report,
                         struct hf_err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        char path[HF_PATH_SIZE + 256];
        HF_BUF(bytes, HF_WAL_OBJECT_MAX);
        if (s->canceled != NULL && s->canceled(s->arg)) {
            return hf_fail(err, HF_E_CANCELED, "canceled");
        }
        snprintf(path, sizeof(path), "%s/%s", s->wal_dir, s->files[i].s);
        HF_TRY(hf_file_read(path, &bytes, err));
        HF_TRY(put(to, s, s->files[i].s, &bytes, err));
    }
    return put(to, s, report, s->report, err);
}

static hf_result save_here(const struct hf_salvage *s, char *ret_where, size_t size,
                           struct hf_err *err)
{
    char directory[HF_PATH_SIZE + 128];
    char report[HF_PATH_SIZE + 256];
    hf_salvage_directory(s->config, s->id, directory, sizeof(directory));
    snprintf(report, sizeof(report), "%s/" HF_SALVAGE_REPORT_FILE, directory);
    HF_TRY(hf_dir_make(directory, 0700, err));
    if (!hf_file_exists(report)) {
        HF_TRY(put_all(s, put_file, directory, HF_SALVAGE_REPORT_FILE, err));
    }
    snprintf(ret_where, size, "%s", directory);
    return hf_done();
}

/* A report that is there already was put after everything else of its id. */
static hf_result save_there(const struct hf_salvage *s, struct hf_repository *r,
                            struct hf_store *store, struct hf_err *err)
{
    struct hf_content_name name;
    char key[HF_STORE_KEY_SIZE];
    struct hf_store_meta meta;
    HF_TRY(hf_keyring_prepare(hf_repository_ring(r), store, err));
    hf_salvage_object(s->config->name.s, s->id, HF_SALVAGE_REPORT, &name);
    HF_TRY(hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), name.logical, key, err));
    hf_result head = hf_store_head(store, key, &meta, err);
    if (head.code != HF_E_NOT_FOUND) {
        return head;
    }
    return put_all(s, put_object, r, HF_SALVAGE_REPORT, err);
}

hf_result hf_salvage_save(const struct hf_salvage *s, char *ret_where, size_t size,
                          struct hf_err *err)
{
    HF_AUTOSITE struct hf_site site = {0};
    if (s->config->repository_count == 0) {
        return save_here(s, ret_where, size, err);
    }
    HF_TRY(hf_site_open_any(s->config, s->system_id, &site, err));
    hf_result r = hf_fail(err, HF_E_UNREACHABLE, "no repository is open");
    for (size_t i = 0; i < site.count; i++) {
        if (site.repositories[i] == NULL) {
            continue;
        }
        r = save_there(s, site.repositories[i], site.stores[i], err);
        if (hf_ok(r)) {
            snprintf(ret_where, size, "%s", hf_site_region(&site, i));
            return r;
        }
        if (r.code == HF_E_CANCELED) {
            return r;
        }
        hf_log(HF_LOG_WARNING, "SALVAGE_REGION", "a repository does not take the salvaged WAL",
               HF_KV("region", hf_site_region(&site, i)), HF_KV_ERR(err));
    }
    return r;
}
