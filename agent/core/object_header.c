/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/object_header.h"

#include <stdbool.h>
#include <string.h>

#include "agent/core/bytes.h"

static const uint8_t MAGIC[8] = {'H', 'O', 'L', 'D', 'F', 'A', 'S', 'T'};

/* Zero in this version; between plain_len and the texts. */
enum { RESERVED = HF_OBJECT_HEADER_FIXED - 128 };

const char *hf_object_kind_name(enum hf_object_kind kind)
{
    switch (kind) {
    case HF_OBJECT_PACK:
        return "pack";
    case HF_OBJECT_MAP:
        return "map";
    case HF_OBJECT_MANIFEST:
        return "manifest";
    case HF_OBJECT_BEGIN:
        return "begin";
    case HF_OBJECT_EXPIRING:
        return "expiring";
    case HF_OBJECT_WAL:
        return "wal";
    case HF_OBJECT_HISTORY:
        return "history";
    case HF_OBJECT_TAIL:
        return "tail";
    case HF_OBJECT_LABEL:
        return "label";
    case HF_OBJECT_RECORD:
        return "record";
    case HF_OBJECT_SECRET:
        return "secret";
    case HF_OBJECT_STATE:
        return "state";
    }
    return "unknown";
}

static bool within_bounds(const struct hf_object_header *h)
{
    return h->kind >= HF_OBJECT_PACK && h->kind <= HF_OBJECT_KIND_LAST &&
           (h->flags & ~(uint32_t)HF_OBJECT_HAS_CONTENT) == 0 &&
           h->frame_size >= HF_OBJECT_FRAME_MIN && h->frame_size <= HF_OBJECT_FRAME_MAX &&
           h->system_id != 0 && h->tenant[0] != '\0' && h->cluster[0] != '\0' &&
           h->writer[0] != '\0' && h->name[0] != '\0';
}

hf_result hf_object_header_encode(const struct hf_object_header *h, uint8_t *out, size_t room,
                                  size_t *ret_len, struct hf_err *err)
{
    if (!within_bounds(h)) {
        return hf_fail(err, HF_E_INVALID, "object header of %s: a field is out of its bounds",
                       h->name);
    }
    static const uint8_t zeros[RESERVED];
    size_t texts = strlen(h->tenant) + strlen(h->cluster) + strlen(h->writer) + strlen(h->name);
    size_t total = HF_OBJECT_HEADER_FIXED + texts + (size_t)4 * 2;
    struct hf_writer w = hf_writer_of(out, room);
    hf_write_bytes(&w, MAGIC, sizeof(MAGIC));
    hf_write_le(&w, HF_OBJECT_VERSION, 2);
    hf_write_le(&w, (uint64_t)h->kind, 2);
    hf_write_le(&w, total, 4);
    hf_write_le(&w, h->flags, 4);
    hf_write_le(&w, h->frame_size, 4);
    hf_write_le(&w, h->system_id, 8);
    hf_write_le(&w, h->epoch.v, 8);
    hf_write_bytes(&w, h->dek_id, sizeof(h->dek_id));
    hf_write_bytes(&w, h->salt, sizeof(h->salt));
    hf_write_bytes(&w, h->content_hash, sizeof(h->content_hash));
    hf_write_bytes(&w, h->secret_id, sizeof(h->secret_id));
    hf_write_le(&w, h->plain_len, 8);
    hf_write_bytes(&w, zeros, RESERVED);
    hf_write_text(&w, h->tenant);
    hf_write_text(&w, h->cluster);
    hf_write_text(&w, h->writer);
    hf_write_text(&w, h->name);
    if (!w.ok || w.len != total) {
        return hf_fail(err, HF_E_LIMIT, "object header of %s needs %zu bytes, room is %zu", h->name,
                       total, room);
    }
    *ret_len = total;
    return hf_done();
}

hf_result hf_object_header_peek(const uint8_t *bytes, size_t len, size_t *ret_header_len,
                                struct hf_err *err)
{
    struct hf_reader r = hf_reader_of(bytes, len);
    const uint8_t *magic = hf_read_bytes(&r, sizeof(MAGIC));
    if (magic == NULL || memcmp(magic, MAGIC, sizeof(MAGIC)) != 0) {
        return hf_fail(err, HF_E_CORRUPT, "does not begin as an object of Holdfast");
    }
    unsigned version = hf_read_u16(&r);
    hf_read_u16(&r);
    size_t total = hf_read_u32(&r);
    if (!r.ok) {
        return hf_fail(err, HF_E_CORRUPT, "cut short within its header");
    }
    if (version != HF_OBJECT_VERSION) {
        return hf_fail(err, HF_E_CORRUPT, "object format version %u, this program knows %d",
                       version, HF_OBJECT_VERSION);
    }
    if (total <= HF_OBJECT_HEADER_FIXED || total > HF_OBJECT_HEADER_MAX) {
        return hf_fail(err, HF_E_CORRUPT, "header length %zu, allowed are %d to %d", total,
                       HF_OBJECT_HEADER_FIXED + 1, HF_OBJECT_HEADER_MAX);
    }
    *ret_header_len = total;
    return hf_done();
}

hf_result hf_object_header_decode(const uint8_t *bytes, size_t len, struct hf_object_header *ret,
                                  struct hf_err *err)
{
    size_t total = 0;
    HF_TRY(hf_object_header_peek(bytes, len, &total, err));
    if (total != len) {
        return hf_fail(err, HF_E_CORRUPT, "header says %zu bytes, there are %zu", total, len);
    }
    struct hf_object_header h = {0};
    struct hf_reader r = hf_reader_of(bytes, len);
    hf_read_bytes(&r, 10);
    h.kind = (enum hf_object_kind)hf_read_u16(&r);
    hf_read_u32(&r);
    h.flags = hf_read_u32(&r);
    h.frame_size = hf_read_u32(&r);
    h.system_id = hf_read_u64(&r);
    h.epoch.v = hf_read_u64(&r);
    hf_read_copy(&r, h.dek_id, sizeof(h.dek_id));
    hf_read_copy(&r, h.salt, sizeof(h.salt));
    hf_read_copy(&r, h.content_hash, sizeof(h.content_hash));
    hf_read_copy(&r, h.secret_id, sizeof(h.secret_id));
    h.plain_len = hf_read_u64(&r);
    uint64_t reserved = 0;
    for (size_t used = len - r.left; used < HF_OBJECT_HEADER_FIXED; used++) {
        reserved |= hf_read_u8(&r);
    }
    hf_read_text(&r, h.tenant, sizeof(h.tenant));
    hf_read_text(&r, h.cluster, sizeof(h.cluster));
    hf_read_text(&r, h.writer, sizeof(h.writer));
    hf_read_text(&r, h.name, sizeof(h.name));
    if (!r.ok || r.left != 0 || reserved != 0 || !within_bounds(&h)) {
        return hf_fail(err, HF_E_CORRUPT, "object header is malformed");
    }
    *ret = h;
    return hf_done();
}
