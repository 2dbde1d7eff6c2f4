/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/wal/wal_push.h"

#include <errno.h>
#include <sys/stat.h>

#include "agent/core/walrule.h"
#include "agent/repo/wal_object.h"
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/files.h"

enum { SMALL_FILE_MAX = 65536 };

/* Segments and partial ones are as long as the cluster's segments; other names do not need it. */
static hf_result parse_name(const char *text, const char *path, uint32_t *size,
                            struct hf_wal_name *ret, struct hf_err *err)
{
    uint32_t any = 0;
    struct stat st;
    HF_TRY(hf_wal_name_any(text, ret, &any, err));
    bool whole = ret->kind == HF_WAL_SEGMENT || ret->kind == HF_WAL_PARTIAL;
    if (*size == 0 && whole) {
        if (stat(path, &st) != 0) {
            return hf_fail_errno(err, errno, "%s", path);
        }
        if (st.st_size < 0 || !hf_segment_size_valid((uint64_t)st.st_size)) {
            return hf_fail(err, HF_E_CORRUPT, "%s has %lld bytes, which no segment has", path,
                           (long long)st.st_size);
        }
        *size = (uint32_t)st.st_size;
    }
    *size = *size == 0 ? any : *size;
    return hf_wal_name_parse(text, *size, ret, err);
}

hf_result hf_wal_file_seal(const struct hf_site *site, const char *text, const char *path,
                           uint32_t segment_size, hf_epoch epoch, struct hf_wal_file *ret,
                           struct hf_err *err)
{
    struct hf_wal_file f = {.segment_size = segment_size, .epoch = epoch};
    HF_TRY(parse_name(text, path, &f.segment_size, &f.name, err));
    bool segment = f.name.kind == HF_WAL_SEGMENT || f.name.kind == HF_WAL_PARTIAL;
    size_t most = segment ? f.segment_size : SMALL_FILE_MAX;
    f.plain = HF_BUF_INIT(most);
    f.sealed = HF_BUF_INIT(most + (most >> 8) + 65536);
    hf_result r = hf_file_read(path, &f.plain, err);
    if (hf_ok(r) && segment) {
        r = hf_wal_check_segment((const uint8_t *)f.plain.data, f.plain.len, &f.name,
                                 f.segment_size, hf_keyring_cluster(site->ring)->system_id, err);
    }
    if (hf_ok(r)) {
        r = hf_wal_object_seal(site->ring, &f.name, f.segment_size, epoch,
                               site->config->backup.zstd_level, f.plain.data, f.plain.len,
                               &f.sealed, &f.content, err);
    }
    if (!hf_ok(r)) {
        hf_wal_file_free(&f);
        return r;
    }
    *ret = f;
    return hf_done();
}

void hf_wal_file_free(struct hf_wal_file *f)
{
    hf_buf_free(&f->plain);
    hf_buf_free(&f->sealed);
}

/* W2: keep both apart, overwrite neither. */
static void keep_apart(struct hf_repository *r, const struct hf_wal_file *f, struct hf_err *err)
{
    char text[HF_WAL_NAME_SIZE];
    char logical[HF_OBJECT_NAME_SIZE];
    (void)hf_wal_name_format(&f->name, f->segment_size, text);
    hf_name_of_conflict(f->epoch, text, &f->content, logical);
    struct hf_seal_params params = {.kind = HF_OBJECT_WAL,
                                    .name = logical,
                                    .epoch = f->epoch,
                                    .has_content = true,
                                    .content_hash = f->content,
                                    .plain_len = f->plain.len};
    struct hf_err why = {0};
    hf_result put = hf_object_put(hf_repository_ring(r), hf_repository_store(r), &params,
                                  f->plain.data, f->plain.len, &why);
    if (hf_ok(put) || put.code == HF_E_EXISTS) {
        HF_IGNORE(hf_fail_context(err, "kept apart as %s", logical), "adds to the text");
    } else {
        HF_IGNORE(hf_fail_context(err, "and not kept apart (%.80s)", why.text), "adds to the text");
    }
}

hf_result hf_wal_file_put(struct hf_repository *r, const struct hf_wal_file *f, struct hf_err *err)
{
    HF_FAULT("wal.put", err);
    hf_result put = hf_wal_object_put(r, &f->name, f->segment_size, &f->sealed, f->plain.data,
                                      f->plain.len, err);
    if (put.code == HF_E_CONFLICT) {
        keep_apart(r, f, err);
    }
    return put;
}
