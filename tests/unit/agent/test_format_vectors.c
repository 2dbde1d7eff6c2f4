/* SPDX-License-Identifier: Apache-2.0
 *
 * The repository format against committed bytes (tests/data/repository, described in
 * docs/repository-format.md): what the first version wrote must be readable for ever. The bytes
 * were written once by `HF_WRITE_VECTORS=DIR agent_test_format_vectors`; never write them again for
 * a format version that was released.
 */
#include "repository_rig.h"

#include "agent/core/filemap.h"
#include "agent/repo/keys_internal.h"
#include "common/base/hex.h"
#include "common/io/crypto.h"
#include "manifest_sample.h"

#define DATA  "data/repository/"
#define LABEL "20261121T002100Z-F"

static const char SEGMENT[] = "wal/00000001/000000010000000000000003";

/* Plaintext of the WAL vector: 5000 bytes, of which the first frame compresses. */
static void wal_plain(uint8_t *bytes)
{
    for (size_t i = 0; i < 5000; i++) {
        bytes[i] = (uint8_t)(i < 4096 ? i / 256 : i * 7 + i / 3);
    }
}

static void read_vector(const char *name, struct hf_buf *out)
{
    struct hf_err err = {0};
    char path[256];
    snprintf(path, sizeof(path), DATA "%s", name);
    OK(hf_file_read(path, out, &err));
}

/* --- writing, once -------------------------------------------------------------------------- */

static void write_vector(const char *dir, const char *name, const void *bytes, size_t len)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void seal_vector(struct hf_keyring *ring, const char *dir, const char *file,
                        const struct hf_seal_params *p, const void *bytes, size_t len)
{
    struct hf_err err = {0};
    HF_BUF(sealed, 1 << 20);
    OK(hf_object_seal(ring, p, bytes, len, &sealed, &err));
    write_vector(dir, file, sealed.data, sealed.len);
}

static struct hf_map_builder *map_sample(const struct hf_map_pack *pack)
{
    static const uint8_t HASHES[2 * HF_MAP_HASH_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct hf_err err = {0};
    struct hf_map_builder *b = hf_map_builder_new();
    struct hf_map_entry d = {.kind = HF_MAP_DIR, .path = "base", .mode = 0700, .mtime_us = 5};
    struct hf_map_entry e = {.path = "base/1259",
                             .mode = 0600,
                             .mtime_us = 6,
                             .file_size = 16384,
                             .part_len = 16384,
                             .hashes = HASHES,
                             .hash_count = 2};
    struct hf_map_source s = {.len = 16384,
                              .pack = pack,
                              .index = 2,
                              .pack_offset = 4711,
                              .stored_len = 999,
                              .plain_len = 131072};
    OK(hf_map_builder_add(b, &d, NULL, 0, &err));
    OK(hf_map_builder_add(b, &e, &s, 1, &err));
    return b;
}

static const struct hf_map_pack PACK = {.name = "backup/" LABEL "/pack-00000001",
                                        .digest = {0xAB, 0xCD}};

static void write_all(const char *dir)
{
    struct rig g = {0};
    struct hf_err err = {0};
    uint8_t plain[5000];
    rig_open(&g);
    write_vector(dir, "wrap", g.ring->wraps[0]->bytes, g.ring->wraps[0]->len);
    write_vector(dir, "secret", g.ring->secrets[0]->sealed, g.ring->secrets[0]->sealed_len);
    char hex[HF_HEX_SIZE(HF_SECRET_ID_SIZE)];
    hf_hex_encode(g.ring->secrets[0]->id, HF_SECRET_ID_SIZE, hex);
    write_vector(dir, "secret.id", hex, strlen(hex));
    wal_plain(plain);
    struct hf_seal_params wal = {.kind = HF_OBJECT_WAL,
                                 .name = SEGMENT,
                                 .epoch = HF_EPOCH(2),
                                 .frame_size = 4096,
                                 .has_content = true,
                                 .content_hash = hf_hash(&g.ring->secrets[0]->key, plain, 5000),
                                 .plain_len = 5000};
    seal_vector(g.ring, dir, "wal", &wal, plain, sizeof(plain));
    HF_AUTOMANIFEST struct hf_manifest *m = manifest_sample();
    HF_BUF(text, 65536);
    OK(hf_manifest_encode(m, &text, &err));
    struct hf_seal_params manifest = {
        .kind = HF_OBJECT_MANIFEST, .name = "backup/" LABEL "/manifest", .epoch = HF_EPOCH(2)};
    write_vector(dir, "manifest.json", text.data, text.len);
    seal_vector(g.ring, dir, "manifest", &manifest, text.data, text.len);
    struct hf_map_builder *b = map_sample(&PACK);
    HF_BUF(shard, 65536);
    OK(hf_map_builder_encode(b, &shard, &err));
    write_vector(dir, "map.plain", shard.data, shard.len);
    hf_map_builder_free(b);
    rig_close(&g);
}

/* --- reading, for ever ---------------------------------------------------------------------- */

/* A ring that knows the data key of the wrap alone. */
static struct hf_keyring *ring_of_vectors(void)
{
    struct hf_err err = {0};
    struct hf_kek kek = rig_kek("k1", 0);
    struct hf_dek dek;
    HF_BUF(wrap, HF_WRAP_MAX);
    read_vector("wrap", &wrap);
    OK(hf_wrap_open(&RIG_ID, &kek, (const uint8_t *)wrap.data, wrap.len, &dek, &err));
    assert_string_equal(dek.writer, "eu-1");
    struct hf_keyring *ring = rig_ring(&RIG_ID, "reader", 0);
    OK(hf_keyring_add_dek(ring, &dek, &err));
    return ring;
}

static void the_wal_vector_opens(void **state)
{
    struct hf_err err = {0};
    uint8_t plain[5000];
    (void)state;
    struct hf_keyring *ring = ring_of_vectors();
    HF_BUF(sealed, 65536);
    HF_BUF(out, 65536);
    read_vector("wal", &sealed);
    struct hf_open_params o = {.kind = HF_OBJECT_WAL, .name = SEGMENT};
    OK(hf_object_open(ring, &o, sealed.data, sealed.len, &out, &err));
    wal_plain(plain);
    assert_int_equal(out.len, sizeof(plain));
    assert_memory_equal(out.data, plain, sizeof(plain));

    /* Its header, and the keyed hash of its content. */
    struct hf_object_header h;
    size_t len = 0;
    OK(hf_object_header_peek((const uint8_t *)sealed.data, sealed.len, &len, &err));
    OK(hf_object_header_decode((const uint8_t *)sealed.data, len, &h, &err));
    assert_int_equal(h.epoch.v, 2);
    assert_int_equal(h.plain_len, 5000);
    assert_string_equal(h.writer, "eu-1");
    HF_BUF(secret, 4096);
    HF_BUF(id, 64);
    HF_BUF(key, HF_HASH_KEY_SIZE);
    char name[64];
    read_vector("secret", &secret);
    read_vector("secret.id", &id);
    snprintf(name, sizeof(name), "secret/%.32s", hf_buf_text(&id));
    struct hf_open_params s = {.kind = HF_OBJECT_SECRET, .name = name};
    OK(hf_object_open(ring, &s, secret.data, secret.len, &key, &err));
    assert_int_equal(key.len, HF_HASH_KEY_SIZE);
    struct hf_hash_key hash_key;
    memcpy(hash_key.b, key.data, sizeof(hash_key.b));
    hf_hash128 hash = hf_hash(&hash_key, plain, sizeof(plain));
    assert_memory_equal(hash.b, h.content_hash, sizeof(hash.b));
    hf_keyring_free(ring);
}

static void the_manifest_vector_opens(void **state)
{
    struct hf_err err = {0};
    (void)state;
    struct hf_keyring *ring = ring_of_vectors();
    HF_BUF(sealed, 65536);
    HF_BUF(out, 65536);
    HF_BUF(json, 65536);
    HF_BUF(now, 65536);
    read_vector("manifest", &sealed);
    read_vector("manifest.json", &json);
    struct hf_open_params o = {.kind = HF_OBJECT_MANIFEST, .name = "backup/" LABEL "/manifest"};
    OK(hf_object_open(ring, &o, sealed.data, sealed.len, &out, &err));
    assert_string_equal(hf_buf_text(&out), hf_buf_text(&json));
    HF_AUTOMANIFEST struct hf_manifest *m = NULL;
    OK(hf_manifest_decode(out.data, out.len, &m, &err));
    OK(hf_manifest_encode(m, &now, &err));
    assert_string_equal(hf_buf_text(&now), hf_buf_text(&json));
    hf_keyring_free(ring);
}

static void the_map_vector_is_what_is_built(void **state)
{
    struct hf_err err = {0};
    (void)state;
    HF_BUF(there, 65536);
    HF_BUF(now, 65536);
    read_vector("map.plain", &there);
    struct hf_map_builder *b = map_sample(&PACK);
    OK(hf_map_builder_encode(b, &now, &err));
    hf_map_builder_free(b);
    assert_int_equal(now.len, there.len);
    assert_memory_equal(now.data, there.data, now.len);
}

/* One header, byte for byte. */
static void the_header_has_one_encoding(void **state)
{
    static const char HEX[] =
        "484f4c4446415354" /* magic */
        "0100"
        "0600"
        "d9000000" /* version 1, kind 6, 217 bytes */
        "01000000"
        "00000200"                         /* flags, frame size 131072 */
        "4ef3306d8a43db62"                 /* system identifier */
        "0200000000000000"                 /* epoch */
        "11111111111111111111111111111111" /* data key */
        "2222222222222222222222222222222222222222222222222222222222222222" /* salt */
        "33333333333333333333333333333333"                                 /* content hash */
        "44444444444444444444444444444444"                                 /* hash secret */
        "0000000100000000"                                                 /* 16 MiB */
        "0000000000000000000000000000000000000000000000000000000000000000" /* reserved */
        "0400"
        "64656d6f"
        "0400"
        "6d61696e"
        "0400"
        "65752d31" /* demo main eu-1 */
        "2500"
        "77616c2f30303030303030312f"
        "303030303030303130303030303030303030303030303033";
    struct hf_err err = {0};
    struct hf_object_header h = {.kind = HF_OBJECT_WAL,
                                 .flags = HF_OBJECT_HAS_CONTENT,
                                 .frame_size = 131072,
                                 .system_id = UINT64_C(0x62db438a6d30f34e),
                                 .epoch = {2},
                                 .plain_len = 16 << 20,
                                 .tenant = "demo",
                                 .cluster = "main",
                                 .writer = "eu-1"};
    uint8_t bytes[HF_OBJECT_HEADER_MAX];
    char hex[HF_HEX_SIZE(HF_OBJECT_HEADER_MAX)];
    size_t len = 0;
    (void)state;
    memset(h.dek_id, 0x11, sizeof(h.dek_id));
    memset(h.salt, 0x22, sizeof(h.salt));
    memset(h.content_hash, 0x33, sizeof(h.content_hash));
    memset(h.secret_id, 0x44, sizeof(h.secret_id));
    snprintf(h.name, sizeof(h.name), "%s", SEGMENT);
    OK(hf_object_header_encode(&h, bytes, sizeof(bytes), &len, &err));
    hf_hex_encode(bytes, len, hex);
    assert_string_equal(hex, HEX);
    struct hf_object_header back;
    OK(hf_object_header_decode(bytes, len, &back, &err));
    assert_string_equal(back.name, SEGMENT);
    for (size_t n = 0; n < len; n++) {
        assert_false(hf_ok(hf_object_header_decode(bytes, n, &back, &err)));
    }
    bytes[130] = 1; /* reserved */
    REFUSED(HF_E_CORRUPT, hf_object_header_decode(bytes, len, &back, &err));
}

int main(void)
{
    const char *dir = getenv("HF_WRITE_VECTORS");
    if (dir != NULL) {
        write_all(dir);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_has_one_encoding),
        cmocka_unit_test(the_wal_vector_opens),
        cmocka_unit_test(the_manifest_vector_opens),
        cmocka_unit_test(the_map_vector_is_what_is_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
