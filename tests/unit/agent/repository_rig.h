/* SPDX-License-Identifier: Apache-2.0
 *
 * A repository in a temporary directory, for the tests of its format.
 */
#ifndef HF_TEST_REPOSITORY_RIG_H
#define HF_TEST_REPOSITORY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/repo/repository.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/files.h"

#define OK(expression)                                                                             \
    do {                                                                                           \
        hf_result r_ = (expression);                                                               \
        if (!hf_ok(r_)) {                                                                          \
            print_error("%s:%d: %s: %s\n", __FILE__, __LINE__, #expression, err.text);             \
        }                                                                                          \
        assert_true(hf_ok(r_));                                                                    \
    } while (0)
#define REFUSED(expected, expression) assert_int_equal((expression).code, (expected))

static const struct hf_cluster_id RIG_ID = {
    .tenant = "demo", .cluster = "main", .system_id = UINT64_C(7123456789012345678)};

struct rig {
    char dir[64];
    struct hf_store *store;
    struct hf_keyring *ring;
    struct hf_repository *repository;
};

static inline struct hf_kek rig_kek(const char *id, uint8_t first)
{
    struct hf_kek kek = {0};
    snprintf(kek.id, sizeof(kek.id), "%s", id);
    for (size_t i = 0; i < HF_KEK_SIZE; i++) {
        kek.key[i] = (uint8_t)(first + i);
    }
    return kek;
}

static inline struct hf_keyring *rig_ring(const struct hf_cluster_id *id, const char *writer,
                                          uint8_t first)
{
    struct hf_err err = {0};
    struct hf_kek kek = rig_kek("k1", first);
    struct hf_keyring *ring = NULL;
    OK(hf_keyring_new(id, writer, &kek, 1, "k1", &ring, &err));
    return ring;
}

static inline struct hf_store *rig_store(const char *dir)
{
    struct hf_err err = {0};
    struct hf_store *store = NULL;
    struct hf_store_config c = {.type = HF_STORE_POSIX, .name = "eu", .prefix = "", .path = dir};
    OK(hf_store_open(&c, &store, &err));
    return store;
}

static inline void rig_open(struct rig *g)
{
    struct hf_err err = {0};
    snprintf(g->dir, sizeof(g->dir), "/tmp/hf-repo-XXXXXX");
    assert_non_null(mkdtemp(g->dir));
    g->store = rig_store(g->dir);
    g->ring = rig_ring(&RIG_ID, "eu-1", 0);
    OK(hf_repository_open(g->store, g->ring, &g->repository, &err));
    OK(hf_keyring_prepare(g->ring, g->store, &err));
}

static inline void rig_close(struct rig *g)
{
    struct hf_err err = {0};
    hf_repository_close(g->repository);
    hf_keyring_free(g->ring);
    hf_store_close(g->store);
    OK(hf_dir_remove_tree(g->dir, &err));
}

static inline hf_result rig_append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

#endif
