/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast config check|show|docs: configuration files, read exactly as the programs read them.
 */
#include <string.h>

#include "common/base/mem.h"
#include "common/core/identity.h"
#include "common/io/config_agent.h"
#include "common/io/config_cluster.h"
#include "common/io/config_coordinator.h"
#include "common/io/x509.h"
#include "common/io/yaml.h"
#include "coordinator/ctl/client_config.h"
#include "coordinator/ctl/ctl.h"

enum { SHOW_MAX = 1024 * 1024 };

enum kind { KIND_AGENT, KIND_COORDINATOR, KIND_CLUSTER, KIND_CLIENT };
static const char *const KINDS[] = {"agent", "coordinator", "cluster", "client"};
enum { KIND_COUNT = 4 };

/* One file, loaded as its kind. */
struct loaded {
    enum kind kind;
    struct hf_config *config;
    union {
        struct hf_config_agent agent;
        struct hf_config_coordinator coordinator;
        struct hf_policy policy;
        struct hf_ctl_client_config client;
    } values;
};

static void loaded_cleanup(struct loaded **l)
{
    if (*l != NULL) {
        hf_config_free((*l)->config);
        hf_free(*l);
        *l = NULL;
    }
}

/* By what only one of them has. */
static hf_result guess_kind(const char *path, enum kind *ret, struct hf_err *err)
{
    struct hf_yaml_doc *doc = NULL;
    HF_TRY(hf_yaml_load(path, &doc, err));
    const struct hf_yaml *root = hf_yaml_root(doc);
    enum kind kind = KIND_AGENT;
    if (hf_yaml_member(root, "etcd") != NULL || hf_yaml_member(root, "agents") != NULL) {
        kind = KIND_COORDINATOR;
    } else if (hf_yaml_member(root, "nodes") != NULL || hf_yaml_member(root, "bootstrap") != NULL) {
        kind = KIND_CLUSTER;
    } else if (hf_yaml_member(root, "api") != NULL) {
        kind = KIND_CLIENT;
    }
    hf_yaml_free(doc);
    *ret = kind;
    return hf_done();
}

static hf_result which_kind(struct hf_ctl *ctl, const char *path, enum kind *ret,
                            struct hf_err *err)
{
    const char *named = hf_ctl_arg(&ctl->args, "kind");
    if (named == NULL) {
        return guess_kind(path, ret, err);
    }
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        if (strcmp(KINDS[i], named) == 0) {
            *ret = (enum kind)i;
            return hf_done();
        }
    }
    return hf_ctl_usage(ctl, err, "--kind %.32s; allowed: agent, coordinator, cluster, client",
                        named);
}

static hf_result load(struct hf_ctl *ctl, const char *path, struct loaded *l, struct hf_err *err)
{
    HF_TRY(which_kind(ctl, path, &l->kind, err));
    switch (l->kind) {
    case KIND_AGENT:
        return hf_config_agent_load(path, &l->values.agent, &l->config, err);
    case KIND_COORDINATOR:
        return hf_config_coordinator_load(path, &l->values.coordinator, &l->config, err);
    case KIND_CLUSTER:
        return hf_config_cluster_load(path, &l->values.policy, &l->config, err);
    case KIND_CLIENT:
        return hf_config_load(path, HF_CTL_CLIENT_OPTIONS, &l->values.client,
                              sizeof l->values.client, &l->config, err);
    }
    return hf_fail(err, HF_E_INTERNAL, "unknown kind of file");
}

/* --- the files that it names --- */

static hf_result check_tls(const struct hf_config_tls *tls, const struct hf_identity *expected,
                           struct hf_err *err)
{
    struct hf_x509_info info;
    struct hf_identity found;
    char uri[HF_IDENTITY_URI_SIZE];
    HF_TRY(hf_x509_matches(tls->certificate, tls->key, err));
    HF_TRY(hf_x509_verify(tls->ca, tls->certificate, false, err));
    HF_TRY(hf_x509_read(tls->certificate, &info, err));
    HF_TRY(hf_identity_parse(info.uri, tls->trust_domain, &found, err));
    HF_TRY(hf_identity_format(expected, tls->trust_domain, uri, sizeof uri, err));
    if (strcmp(uri, info.uri) != 0) {
        return hf_fail(err, HF_E_INVALID, "%s is for %s; needed: %s", tls->certificate, info.uri,
                       uri);
    }
    return hf_done();
}

static hf_result check_files(const struct loaded *l, struct hf_err *err)
{
    if (l->kind == KIND_AGENT) {
        const struct hf_config_agent *a = &l->values.agent;
        for (size_t i = 0; i < a->encryption.key_count; i++) {
            unsigned char key[HF_CONFIG_KEY_BYTES];
            HF_TRY(hf_config_key_read(&a->encryption.keys[i], key, err));
            hf_wipe(key, sizeof key);
        }
        struct hf_identity id = {
            .kind = HF_IDENTITY_AGENT, .tenant = a->tenant, .region = a->region, .name = a->name};
        return a->has_tls ? check_tls(&a->tls, &id, err) : hf_done();
    }
    if (l->kind == KIND_COORDINATOR) {
        const struct hf_config_coordinator *c = &l->values.coordinator;
        struct hf_identity id = {.kind = HF_IDENTITY_COORDINATOR, .name = c->name};
        HF_TRY(check_tls(&c->tls, &id, err));
        if (c->etcd.has_tls) {
            HF_TRY(hf_x509_matches(c->etcd.tls.certificate, c->etcd.tls.key, err));
            return hf_x509_verify(c->etcd.tls.ca, c->etcd.tls.certificate, false, err);
        }
    }
    return hf_done();
}

hf_result hf_ctl_config_check(struct hf_ctl *ctl, struct hf_err *err)
{
    size_t wrong = 0;
    for (size_t i = 0; i < ctl->args.word_count; i++) {
        const char *path = ctl->args.words[i];
        __attribute__((cleanup(loaded_cleanup))) struct loaded *l = hf_alloc(sizeof *l);
        struct hf_err why;
        hf_result r = load(ctl, path, l, &why);
        if (ctl->exit == HF_CTL_EXIT_USAGE) {
            return hf_ctl_usage(ctl, err, "%s", why.text);
        }
        if (hf_ok(r) && hf_ctl_arg(&ctl->args, "files") != NULL) {
            r = check_files(l, &why);
        }
        if (hf_ok(r)) {
            (void)fprintf(ctl->out, "%s: right (%s)\n", path, KINDS[l->kind]);
        } else {
            (void)fprintf(ctl->diagnostics, "%s\n", why.text);
            wrong++;
        }
    }
    return wrong == 0 ? hf_done()
                      : hf_fail(err, HF_E_INVALID, "%zu of %zu files are wrong", wrong,
                                ctl->args.word_count);
}

hf_result hf_ctl_config_show(struct hf_ctl *ctl, struct hf_err *err)
{
    __attribute__((cleanup(loaded_cleanup))) struct loaded *l = hf_alloc(sizeof *l);
    HF_TRY(load(ctl, ctl->args.words[0], l, err));
    HF_BUF(text, SHOW_MAX);
    HF_TRY(hf_config_show(l->config, &l->values, &text, err));
    return fputs(hf_buf_text(&text), ctl->out) < 0 ? hf_fail(err, HF_E_IO, "cannot write")
                                                   : hf_done();
}

/* docs/configuration.md; a test compares them. */
hf_result hf_ctl_config_docs(struct hf_ctl *ctl, struct hf_err *err)
{
    static const struct {
        const char *title;
        const char *text;
        const struct hf_option *table;
    } parts[] = {
        {"agent.yaml", "What one host with an agent needs; `holdfast-agent --config`.",
         HF_CONFIG_AGENT_OPTIONS},
        {"coordinator.yaml", "What one coordinator needs; `holdfast-coordinator --config`.",
         HF_CONFIG_COORDINATOR_OPTIONS},
        {"cluster.yaml", "Policy of one cluster; `holdfast cluster apply -f`. It is kept in etcd.",
         HF_CONFIG_CLUSTER_OPTIONS},
        {"client.yaml",
         "For the `holdfast` command: `--config`, `$HOLDFAST_CONFIG`, or "
         "`~/.config/holdfast/client.yaml`.",
         HF_CTL_CLIENT_OPTIONS},
    };
    HF_BUF(text, SHOW_MAX);
    HF_TRY(hf_buf_append_str(
        &text,
        "# Configuration\n\nGenerated by `holdfast config docs` from the tables that the programs "
        "read files with.\n\nPaths are relative to the file that they stand in. No option holds a "
        "secret: secrets are files (mode 0600) or systemd credentials. An unknown key or a value "
        "that is not allowed is an error with file, line and column; `holdfast config check` "
        "finds it, `holdfast config show` prints what is in effect and where it comes from. YAML "
        "is read without anchors, aliases and tags.\n",
        err));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        HF_TRY(hf_buf_printf(&text, err, "\n## %s\n\n%s\n\n", parts[i].title, parts[i].text));
        HF_TRY(hf_config_docs(parts[i].table, &text, err));
    }
    return fputs(hf_buf_text(&text), ctl->out) < 0 ? hf_fail(err, HF_E_IO, "cannot write")
                                                   : hf_done();
}
