/* SPDX-License-Identifier: Apache-2.0
 *
 * Regions as directories, a host's configuration over them, and WAL files as PostgreSQL would have
 * written them: small segments with true page headers.
 */
#ifndef HF_TEST_WAL_RIG_H
#define HF_TEST_WAL_RIG_H

#include "repository_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "agent/repo/site.h"
#include "agent/wal/wal_fetch.h"
#include "agent/wal/wal_push.h"
#include "common/core/timeline.h"

enum { SEGMENT = 1 << 20 };
#define SYSTEM RIG_ID.system_id

static const char *const REGIONS[] = {"eu", "us", "ap"};

struct wal_rig {
    char dir[64];
    struct hf_config_agent *config;
};

static inline void path_in(const struct wal_rig *g, char ret[HF_PATH_SIZE], const char *leaf)
{
    (void)snprintf(ret, HF_PATH_SIZE, "%s/%s", g->dir, leaf);
}

static inline void set_name(hf_name *name, const char *text)
{
    (void)snprintf(name->s, sizeof name->s, "%s", text);
}

static inline void rig_make(struct wal_rig *g, size_t regions)
{
    struct hf_err err = {0};
    (void)snprintf(g->dir, sizeof g->dir, "/tmp/hf-wal-XXXXXX");
    assert_non_null(mkdtemp(g->dir));
    struct hf_config_agent *c = g->config = hf_alloc(sizeof *c);
    set_name(&c->tenant, "demo");
    set_name(&c->cluster, "main");
    set_name(&c->region, "eu");
    set_name(&c->name, "eu-1");
    c->has_postgresql = true;
    path_in(g, c->postgresql.data_dir, "pg");
    char wal[HF_PATH_SIZE];
    path_in(g, wal, "pg/pg_wal");
    OK(hf_dir_make(wal, 0700, &err));
    for (size_t i = 0; i < regions; i++) {
        struct hf_config_repository *r = &c->repositories[c->repository_count++];
        set_name(&r->region, REGIONS[i]);
        path_in(g, r->path, REGIONS[i]);
        OK(hf_dir_make(r->path, 0700, &err));
    }
    set_name(&c->encryption.active, "k1");
    set_name(&c->encryption.keys[0].name, "k1");
    path_in(g, c->encryption.keys[0].file, "k1.key");
    c->encryption.key_count = 1;
    OK(hf_kek_file_create(c->encryption.keys[0].file, &err));
    c->backup.zstd_level = 1;
}

static inline void rig_end(struct wal_rig *g)
{
    struct hf_err err = {0};
    hf_free(g->config);
    OK(hf_dir_remove_tree(g->dir, &err));
}

/* Opens everything that can be opened and puts the keys there. */
static inline void rig_site(const struct wal_rig *g, struct hf_site *ret)
{
    struct hf_err err = {0};
    OK(hf_site_open_any(g->config, SYSTEM, ret, &err));
    for (size_t i = 0; i < ret->count; i++) {
        if (ret->repositories[i] != NULL) {
            OK(hf_keyring_prepare(ret->ring, ret->stores[i], &err));
        }
    }
}

static inline void put_number(uint8_t *at, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(v >> (8 * i));
    }
}

/* A segment whose content is `fill`. */
static inline uint8_t *segment_new(uint32_t size, uint32_t timeline, uint64_t number,
                                   uint64_t system, int fill)
{
    uint8_t *b = hf_alloc(size);
    memset(b, fill, size);
    put_number(b, 0xD110, 2);
    put_number(b + 2, 2, 2);
    put_number(b + 4, timeline, 4);
    put_number(b + 8, number * size, 8);
    put_number(b + 24, system, 8);
    put_number(b + 32, size, 4);
    return b;
}

static inline const char *segment_name(uint32_t timeline, uint64_t number,
                                       char ret[HF_WAL_NAME_SIZE])
{
    struct hf_wal_name n = {
        .kind = HF_WAL_SEGMENT, .timeline = HF_TLI(timeline), .segment = number};
    return hf_wal_name_format(&n, SEGMENT, ret);
}

/* Into pg_wal; ret is its path. */
static inline void write_wal(const struct wal_rig *g, const char *name, const void *bytes,
                             size_t len, char ret[HF_PATH_SIZE])
{
    struct hf_err err = {0};
    char leaf[128];
    (void)snprintf(leaf, sizeof leaf, "pg/pg_wal/%s", name);
    path_in(g, ret, leaf);
    OK(hf_file_write_durable(ret, bytes, len, 0600, &err));
}

static inline void write_segment(const struct wal_rig *g, uint32_t timeline, uint64_t number,
                                 int fill, char ret[HF_PATH_SIZE])
{
    char name[HF_WAL_NAME_SIZE];
    HF_AUTOFREE uint8_t *b = segment_new(SEGMENT, timeline, number, SYSTEM, fill);
    write_wal(g, segment_name(timeline, number, name), b, SEGMENT, ret);
}

/* Archives a file of pg_wal into one repository. */
static inline hf_result archive(const struct hf_site *site, size_t region, const char *path,
                                struct hf_err *err)
{
    struct hf_wal_file f = {0};
    HF_TRY(hf_wal_file_seal(site, strrchr(path, '/') + 1, path, 0, HF_EPOCH(1), &f, err));
    hf_result r = hf_wal_file_put(site->repositories[region], &f, err);
    hf_wal_file_free(&f);
    return r;
}

static inline void archive_segment(const struct wal_rig *g, const struct hf_site *site,
                                   size_t region, uint32_t timeline, uint64_t number, int fill)
{
    struct hf_err err = {0};
    char path[HF_PATH_SIZE];
    write_segment(g, timeline, number, fill, path);
    OK(archive(site, region, path, &err));
}

static inline void archive_text(const struct wal_rig *g, const struct hf_site *site, size_t region,
                                const char *name, const char *text)
{
    struct hf_err err = {0};
    char path[HF_PATH_SIZE];
    write_wal(g, name, text, strlen(text), path);
    OK(archive(site, region, path, &err));
}

/* The file of an object in a region's directory; name is logical. */
static inline void object_path(const struct wal_rig *g, const char *region, const char *name,
                               char ret[HF_PATH_SIZE])
{
    (void)snprintf(ret, HF_PATH_SIZE, "%s/%s/demo/main/%llu/%s", g->dir, region,
                   (unsigned long long)SYSTEM, name);
}

static inline bool object_there(const struct wal_rig *g, const char *region, const char *name)
{
    char path[HF_PATH_SIZE];
    object_path(g, region, name, path);
    return hf_file_exists(path);
}

/* Flips one byte, so far from the end. */
static inline void damage(const char *path, off_t from_end)
{
    uint8_t b = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    off_t at = lseek(fd, -from_end, SEEK_END);
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 1;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    close(fd);
}

#endif
