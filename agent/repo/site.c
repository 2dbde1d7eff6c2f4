/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/repo/site.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/log.h"

/* impatient: for those that have other repositories to turn to, or are asked again anyway. */
static hf_result open_store(const struct hf_config_repository *r, bool impatient,
                            struct hf_store **ret, struct hf_err *err)
{
    struct hf_store_config c = {
        .type = r->type == HF_CONFIG_S3 ? HF_STORE_S3 : HF_STORE_POSIX,
        .name = r->region.s,
        .prefix = r->prefix,
        .path = r->path,
        .endpoint = r->endpoint,
        .bucket = r->bucket,
        .signing_region = r->signing_region,
        .host_addressing = r->addressing == HF_CONFIG_ADDRESSING_HOST,
        .credentials = r->credentials,
        .ca = r->ca[0] == '\0' ? NULL : r->ca,
        .stall_timeout = HF_MS(impatient ? 8000 : 0),
        .attempts = impatient ? 2 : 0,
    };
    return hf_store_open(&c, ret, err);
}

hf_result hf_site_store(const struct hf_config_agent *config, const char *region,
                        struct hf_store **ret, struct hf_err *err)
{
    char known[256] = "";
    for (size_t i = 0; i < config->repository_count; i++) {
        const struct hf_config_repository *r = &config->repositories[i];
        if (strcmp(r->region.s, region) == 0) {
            return open_store(r, false, ret, err);
        }
        size_t len = strlen(known);
        snprintf(known + len, sizeof(known) - len, "%s%s", len > 0 ? ", " : "", r->region.s);
    }
    return hf_fail(err, HF_E_NOT_FOUND, "no repository is configured for region %s; there are: %s",
                   region, known[0] == '\0' ? "none" : known);
}

/* --- keys ----------------------------------------------------------------------------------- */

static hf_result open_ring(const struct hf_config_agent *config, uint64_t system_id,
                           struct hf_keyring **ret, struct hf_err *err)
{
    struct hf_kek keks[HF_CONFIG_MAX_KEYS] = {0};
    struct hf_cluster_id id = {.system_id = system_id};
    size_t n = config->encryption.key_count;
    hf_result r = hf_done();
    memcpy(id.tenant, config->tenant.s, sizeof(id.tenant));
    memcpy(id.cluster, config->cluster.s, sizeof(id.cluster));
    for (size_t i = 0; i < n && hf_ok(r); i++) {
        const struct hf_config_key *key = &config->encryption.keys[i];
        memcpy(keks[i].id, key->name.s, sizeof(keks[i].id));
        r = hf_config_key_read(key, keks[i].key, err);
    }
    if (hf_ok(r)) {
        r = hf_keyring_new(&id, config->name.s, keks, n, config->encryption.active.s, ret, err);
    }
    hf_wipe(keks, sizeof(keks));
    return r;
}

/* --- repositories --------------------------------------------------------------------------- */

static bool wanted(const struct hf_config_agent *config, size_t i, const char *region, bool own)
{
    const char *name = config->repositories[i].region.s;
    if (region != NULL) {
        return own && strcmp(name, region) == 0;
    }
    return own == (strcmp(name, config->region.s) == 0);
}

/* The region of the i-th place: the own one first, then as configured. */
static const char *region_at(const struct hf_site *s, const char *region, size_t at)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < s->config->repository_count; i++) {
            if (wanted(s->config, i, region, pass == 0) && at-- == 0) {
                return s->config->repositories[i].region.s;
            }
        }
    }
    return "?";
}

static hf_result open_stores(struct hf_site *s, const char *region, bool impatient,
                             struct hf_err *err)
{
    const struct hf_config_agent *config = s->config;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < config->repository_count; i++) {
            if (wanted(config, i, region, pass == 0)) {
                hf_result r = open_store(&config->repositories[i], impatient, &s->stores[s->count],
                                         &s->errors[s->count]);
                s->count++;
                (void)r; /* without its store the repository counts as unreachable, by its error */
            }
        }
    }
    if (s->count == 0) {
        struct hf_store *none = NULL;
        return hf_site_store(config, region == NULL ? config->region.s : region, &none, err);
    }
    return hf_done();
}

static hf_result newest_incarnation(struct hf_site *s, uint64_t *ret, struct hf_err *err)
{
    uint64_t newest = 0;
    struct hf_err first = {0};
    for (size_t i = 0; i < s->count; i++) {
        uint64_t ids[HF_REPO_MAX_INCARNATIONS] = {0};
        size_t n = 0;
        struct hf_err mine = s->errors[i];
        hf_result r = {mine.code};
        if (s->stores[i] != NULL) {
            r = hf_repository_incarnations(s->stores[i], s->config->tenant.s, s->config->cluster.s,
                                           ids, HF_REPO_MAX_INCARNATIONS, &n, &mine);
        }
        if (!hf_ok(r) && first.code == HF_OK) {
            first = mine;
        }
        /* Identifiers begin with the second in which initdb ran: the highest is the newest. */
        if (hf_ok(r) && n > 0 && ids[n - 1] > newest) {
            newest = ids[n - 1];
        }
    }
    if (newest == 0 && first.code != HF_OK) {
        *err = first;
        return (hf_result){first.code};
    }
    if (newest == 0) {
        return hf_fail(err, HF_E_NOT_FOUND, "no repository holds anything of %s/%s",
                       s->config->tenant.s, s->config->cluster.s);
    }
    *ret = newest;
    return hf_done();
}

static hf_result open_all(struct hf_site *s, const char *region, uint64_t system_id, bool any,
                          struct hf_err *err)
{
    size_t open = 0;
    HF_TRY(open_stores(s, region, any, err));
    if (system_id == 0) {
        HF_TRY(newest_incarnation(s, &system_id, err));
    }
    HF_TRY(open_ring(s->config, system_id, &s->ring, err));
    for (size_t i = 0; i < s->count; i++) {
        hf_result r = {s->errors[i].code};
        if (s->stores[i] != NULL) {
            r = hf_repository_open(s->stores[i], s->ring, &s->repositories[i], &s->errors[i]);
        }
        open += hf_ok(r) ? 1 : 0;
        if (!hf_ok(r) && i == 0 && !any) {
            *err = s->errors[0];
            return hf_fail_context(err, "repository %s", region_at(s, region, 0));
        }
        if (!hf_ok(r)) {
            hf_log(HF_LOG_WARNING, "REPOSITORY_UNREACHABLE", "a repository cannot be opened",
                   HF_KV("region", region_at(s, region, i)), HF_KV_ERR(&s->errors[i]));
        }
    }
    if (open == 0) {
        *err = s->errors[0];
        return hf_fail_context(err, "no repository can be opened");
    }
    return hf_done();
}

static hf_result open_site(const struct hf_config_agent *config, const char *region,
                           uint64_t system_id, bool any, struct hf_site *ret, struct hf_err *err)
{
    struct hf_site s = {.config = config};
    hf_result r = open_all(&s, region, system_id, any, err);
    if (!hf_ok(r)) {
        hf_site_close(&s);
        return r;
    }
    *ret = s;
    return hf_done();
}

hf_result hf_site_open(const struct hf_config_agent *config, const char *region, uint64_t system_id,
                       struct hf_site *ret, struct hf_err *err)
{
    return open_site(config, region, system_id, false, ret, err);
}

hf_result hf_site_open_any(const struct hf_config_agent *config, uint64_t system_id,
                           struct hf_site *ret, struct hf_err *err)
{
    return open_site(config, NULL, system_id, true, ret, err);
}

const char *hf_site_region(const struct hf_site *site, size_t i)
{
    return region_at(site, NULL, i);
}

void hf_site_close(struct hf_site *site)
{
    for (size_t i = 0; i < site->count; i++) {
        hf_repository_close(site->repositories[i]);
        hf_store_close(site->stores[i]);
    }
    hf_keyring_free(site->ring);
    *site = (struct hf_site){0};
}

size_t hf_site_compact(struct hf_site *site)
{
    size_t open = 0;
    for (size_t i = 0; i < site->count; i++) {
        if (site->repositories[i] != NULL) {
            struct hf_repository *r = site->repositories[i];
            struct hf_store *store = site->stores[i];
            site->repositories[i] = site->repositories[open];
            site->stores[i] = site->stores[open];
            site->repositories[open] = r;
            site->stores[open] = store;
            open++;
        }
    }
    return open;
}
