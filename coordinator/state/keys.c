/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/state/keys.h"

#include "common/core/name.h"

#include <stdio.h>
#include <string.h>

void hf_key_clusters(const char *prefix, char ret[HF_KEY_SIZE])
{
    (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/", prefix);
}

void hf_key_cluster(const char *prefix, const hf_name *tenant, const hf_name *cluster,
                    char ret[HF_KEY_SIZE])
{
    (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/%s/%s/", prefix, tenant->s, cluster->s);
}

void hf_key_format(const char *prefix, const struct hf_key *key, char ret[HF_KEY_SIZE])
{
    const char *t = key->tenant.s;
    const char *c = key->cluster.s;
    switch (key->kind) {
    case HF_KEY_GENERATION:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/generation", prefix);
        break;
    case HF_KEY_CLAIM:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/leader/claim", prefix);
        break;
    case HF_KEY_RENEWAL:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/leader/renewal", prefix);
        break;
    case HF_KEY_POLICY:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/%s/%s/policy", prefix, t, c);
        break;
    case HF_KEY_STATE:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/%s/%s/state", prefix, t, c);
        break;
    case HF_KEY_PLAN:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/%s/%s/plans/%s", prefix, t, c, key->id);
        break;
    case HF_KEY_TIMELINE:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/%s/%s/timelines/%s", prefix, t, c, key->id);
        break;
    case HF_KEY_NODE:
        (void)snprintf(ret, HF_KEY_SIZE, "%s/clusters/%s/%s/nodes/%s", prefix, t, c, key->id);
        break;
    case HF_KEY_OTHER:
    default:
        ret[0] = '\0';
        break;
    }
}

/* Takes one part up to the next '/' or the end; NULL when it is empty or too long. */
static const char *key_part(const char *at, char *ret, size_t size)
{
    size_t n = strcspn(at, "/");
    if (n == 0 || n >= size) {
        return NULL;
    }
    memcpy(ret, at, n);
    ret[n] = '\0';
    return at + n;
}

static enum hf_key_kind key_leaf(const char *at, char id[HF_LABEL_SIZE])
{
    static const struct {
        const char *folder;
        enum hf_key_kind kind;
    } folders[] = {
        {"plans/", HF_KEY_PLAN}, {"timelines/", HF_KEY_TIMELINE}, {"nodes/", HF_KEY_NODE}};
    if (strcmp(at, "policy") == 0) {
        return HF_KEY_POLICY;
    }
    if (strcmp(at, "state") == 0) {
        return HF_KEY_STATE;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        size_t n = strlen(folders[i].folder);
        if (strncmp(at, folders[i].folder, n) == 0) {
            const char *end = key_part(at + n, id, HF_LABEL_SIZE);
            return end != NULL && *end == '\0' ? folders[i].kind : HF_KEY_OTHER;
        }
    }
    return HF_KEY_OTHER;
}

void hf_key_parse(const char *prefix, const char *text, struct hf_key *ret)
{
    *ret = (struct hf_key){.kind = HF_KEY_OTHER};
    size_t n = strlen(prefix);
    if (strncmp(text, prefix, n) != 0 || text[n] != '/') {
        return;
    }
    const char *at = text + n + 1;
    if (strcmp(at, "generation") == 0) {
        ret->kind = HF_KEY_GENERATION;
    } else if (strcmp(at, "leader/claim") == 0) {
        ret->kind = HF_KEY_CLAIM;
    } else if (strcmp(at, "leader/renewal") == 0) {
        ret->kind = HF_KEY_RENEWAL;
    } else if (strncmp(at, "clusters/", 9) == 0) {
        struct hf_key found = {.kind = HF_KEY_OTHER};
        at = key_part(at + 9, found.tenant.s, sizeof found.tenant.s);
        if (at == NULL || *at != '/' || !hf_name_valid(found.tenant.s, strlen(found.tenant.s))) {
            return;
        }
        at = key_part(at + 1, found.cluster.s, sizeof found.cluster.s);
        if (at == NULL || *at != '/' || !hf_name_valid(found.cluster.s, strlen(found.cluster.s))) {
            return;
        }
        found.kind = key_leaf(at + 1, found.id);
        *ret = found;
    }
}
