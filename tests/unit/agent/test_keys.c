/* SPDX-License-Identifier: Apache-2.0 */
#include "repository_rig.h"

#include "agent/repo/keys_internal.h"

static void another_process_finds_the_same_keys(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    uint8_t a[HF_DEK_ID_SIZE];
    uint8_t b[HF_DEK_ID_SIZE];
    uint8_t sa[HF_SECRET_ID_SIZE];
    uint8_t sb[HF_SECRET_ID_SIZE];
    const struct hf_hash_key *ka = NULL;
    const struct hf_hash_key *kb = NULL;
    (void)state;
    rig_open(&g);
    OK(hf_keyring_active(g.ring, a, &ka, sa, &err));

    struct hf_keyring *again = rig_ring(&RIG_ID, "eu-1", 0);
    OK(hf_keyring_load(again, g.store, &err));
    OK(hf_keyring_prepare(again, g.store, &err));
    OK(hf_keyring_active(again, b, &kb, sb, &err));
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_equal(sa, sb, sizeof(sa));
    assert_memory_equal(ka->b, kb->b, HF_HASH_KEY_SIZE);
    hf_keyring_free(again);

    /* Another writer: a key of its own, the cluster's hash secret. */
    struct hf_keyring *other = rig_ring(&RIG_ID, "us-1", 0);
    OK(hf_keyring_load(other, g.store, &err));
    OK(hf_keyring_prepare(other, g.store, &err));
    OK(hf_keyring_active(other, b, &kb, sb, &err));
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_equal(sa, sb, sizeof(sa));
    hf_keyring_free(other);
    rig_close(&g);
}

static void nothing_is_sealed_before_its_key_is_durable(void **state)
{
    struct hf_err err = {0};
    (void)state;
    struct hf_keyring *ring = rig_ring(&RIG_ID, "eu-1", 0);
    HF_BUF(out, 4096);
    struct hf_seal_params p = {.kind = HF_OBJECT_RECORD, .name = "x", .frame_size = 4096};
    REFUSED(HF_E_REFUSED, hf_object_seal(ring, &p, "x", 1, &out, &err));
    hf_keyring_free(ring);
}

static void a_wrong_kek_is_named(void **state)
{
    struct rig g = {0};
    struct hf_err err = {0};
    (void)state;
    rig_open(&g);
    struct hf_keyring *wrong = rig_ring(&RIG_ID, "eu-1", 1);
    REFUSED(HF_E_DENIED, hf_keyring_load(wrong, g.store, &err));
    assert_non_null(strstr(err.text, "wrong key"));
    assert_non_null(strstr(err.text, "k1"));
    hf_keyring_free(wrong);

    struct hf_kek stranger = rig_kek("k2", 9);
    struct hf_keyring *ring = NULL;
    OK(hf_keyring_new(&RIG_ID, "eu-1", &stranger, 1, "k2", &ring, &err));
    REFUSED(HF_E_DENIED, hf_keyring_load(ring, g.store, &err));
    assert_non_null(strstr(err.text, "does not have"));
    hf_keyring_free(ring);
    rig_close(&g);
}

/* A second region gets every key that opens what lies in the first one, before any data. */
static void keys_reach_every_repository(void **state)
{
    struct rig g = {0};
    char dir[] = "/tmp/hf-repo2-XXXXXX";
    struct hf_err err = {0};
    size_t open = 0;
    size_t closed = 0;
    (void)state;
    rig_open(&g);
    struct hf_keyring *other = rig_ring(&RIG_ID, "us-1", 0);
    OK(hf_keyring_load(other, g.store, &err));
    assert_non_null(mkdtemp(dir));
    struct hf_store *second = rig_store(dir);
    OK(hf_keyring_prepare(other, second, &err));
    hf_keyring_free(other);
    struct hf_keyring *reader = rig_ring(&RIG_ID, "ap-1", 0);
    OK(hf_keyring_load(reader, second, &err));
    hf_keyring_counts(reader, &open, &closed);
    assert_int_equal(open, 2);
    assert_int_equal(closed, 0);
    hf_keyring_free(reader);
    hf_store_close(second);
    OK(hf_dir_remove_tree(dir, &err));
    rig_close(&g);
}

static void every_altered_wrap_is_refused(void **state)
{
    struct hf_err err = {0};
    struct hf_kek kek = rig_kek("k1", 3);
    struct hf_dek dek = {.writer = "eu-1", .created = {1000}};
    struct hf_dek got;
    struct hf_wrap wrap = {0};
    (void)state;
    memset(dek.id, 7, sizeof(dek.id));
    memset(dek.key, 9, sizeof(dek.key));
    OK(hf_wrap_make(&RIG_ID, &kek, &dek, &wrap, &err));
    OK(hf_wrap_open(&RIG_ID, &kek, wrap.bytes, wrap.len, &got, &err));
    assert_memory_equal(got.key, dek.key, sizeof(dek.key));
    assert_string_equal(got.writer, "eu-1");
    for (size_t i = 0; i < wrap.len; i++) {
        wrap.bytes[i] ^= 0x10;
        hf_result r = hf_wrap_open(&RIG_ID, &kek, wrap.bytes, wrap.len, &got, &err);
        assert_true(r.code == HF_E_CORRUPT || r.code == HF_E_DENIED);
        wrap.bytes[i] ^= 0x10;
    }
    for (size_t len = 0; len < wrap.len; len++) {
        REFUSED(HF_E_CORRUPT, hf_wrap_open(&RIG_ID, &kek, wrap.bytes, len, &got, &err));
    }
    struct hf_cluster_id other = RIG_ID;
    snprintf(other.tenant, sizeof(other.tenant), "rival");
    REFUSED(HF_E_CORRUPT, hf_wrap_open(&other, &kek, wrap.bytes, wrap.len, &got, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_process_finds_the_same_keys),
        cmocka_unit_test(nothing_is_sealed_before_its_key_is_durable),
        cmocka_unit_test(a_wrong_kek_is_named),
        cmocka_unit_test(keys_reach_every_repository),
        cmocka_unit_test(every_altered_wrap_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
