/* SPDX-License-Identifier: Apache-2.0
 *
 * check: everything that a backup needs, to a round trip of one object in each repository.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/backup/pgsource.h"
#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"

struct checks {
    const struct hf_cli *cli;
    hf_json *array;
    int failed;
};

static void note(struct checks *c, const char *what, const char *where, hf_result r,
                 const char *text)
{
    bool good = hf_ok(r);
    c->failed += good ? 0 : 1;
    hf_json *o = hf_json_object();
    hf_json_put_text(o, "check", what);
    hf_json_put_text(o, "where", where);
    hf_json_put_bool(o, "ok", good);
    hf_json_put_text(o, "text", text);
    hf_json_push(c->array, o);
    if (!c->cli->json) {
        printf("%-8s %-12s %-20s %s\n", good ? "ok" : "FAILED", what, where, text);
    }
}

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

static hf_result same(const struct hf_buf *got, const uint8_t *sent, size_t len, struct hf_err *err)
{
    if (got->len != len || memcmp(got->data, sent, len) != 0) {
        return hf_fail(err, HF_E_CORRUPT, "what was read is not what was written");
    }
    return hf_done();
}

/* Written, read again, refused a second time, deleted. */
static hf_result round_trip(struct hf_store *store, const char *tenant, char *text, size_t size,
                            struct hf_err *err)
{
    uint8_t bytes[64];
    char hex[HF_HEX_SIZE(8)];
    char key[HF_STORE_KEY_SIZE];
    bool conditional = false;
    HF_BUF(got, sizeof(bytes));
    hf_random(bytes, sizeof(bytes));
    hf_hex_encode(bytes, 8, hex);
    snprintf(key, sizeof(key), "%s/check/%s", tenant, hex);
    HF_TRY(hf_store_conditional(store, &conditional, err));
    struct hf_store_put_options once = {.create_once = conditional};
    HF_TRY(hf_store_put(store, key, bytes, sizeof(bytes), once, err));
    hf_result r = hf_store_get(store, key, 0, UINT64_MAX, append, &got, err);
    if (hf_ok(r)) {
        r = same(&got, bytes, sizeof(bytes), err);
    }
    if (hf_ok(r) && conditional) {
        hf_result again = hf_store_put(store, key, bytes, sizeof(bytes), once, err);
        r = again.code == HF_E_EXISTS
                ? hf_done()
                : hf_fail(err, HF_E_CORRUPT, "the same name could be created twice");
    }
    HF_TRY(hf_store_delete(store, key, err));
    HF_TRY(r);
    snprintf(text, size, "one object written, read and deleted; create-once %s",
             conditional ? "by the store" : "NOT by the store: one writer at a time (rule W2)");
    return hf_done();
}

static void check_repositories(struct checks *c)
{
    const struct hf_config_agent *config = c->cli->config;
    for (size_t i = 0; i < config->repository_count; i++) {
        const char *region = config->repositories[i].region.s;
        struct hf_store *store = NULL;
        struct hf_err err = {0};
        char text[128] = "";
        hf_result r = hf_site_store(config, region, &store, &err);
        if (hf_ok(r)) {
            r = round_trip(store, config->tenant.s, text, sizeof(text), &err);
        }
        note(c, "repository", region, r, hf_ok(r) ? text : err.text);
        hf_store_close(store);
    }
}

static void check_keys(struct checks *c)
{
    const struct hf_config_agent *config = c->cli->config;
    for (size_t i = 0; i < config->encryption.key_count; i++) {
        unsigned char bytes[HF_CONFIG_KEY_BYTES];
        struct hf_err err = {0};
        hf_result r = hf_config_key_read(&config->encryption.keys[i], bytes, &err);
        hf_wipe(bytes, sizeof(bytes));
        note(c, "key", config->encryption.keys[i].name.s, r, hf_ok(r) ? "readable" : err.text);
    }
}

static void check_postgresql(struct checks *c, struct hf_cli *cli)
{
    struct hf_pgsource *source = NULL;
    struct hf_err err = {0};
    char text[256];
    hf_result r = hf_pgsource_open(&cli->pg, &source, &err);
    if (!hf_ok(r)) {
        note(c, "postgresql", cli->config->postgresql.socket_dir, r, err.text);
        return;
    }
    snprintf(text, sizeof(text), "version %u, system identifier %llu, data checksums %s",
             hf_pgsource_version(source), (unsigned long long)hf_pgsource_system_id(source),
             hf_pgsource_checksums(source) ? "on" : "OFF: damaged pages are not noticed");
    note(c, "postgresql", cli->config->postgresql.socket_dir, r, text);
    snprintf(text, sizeof(text), "%.200s/global/pg_control", hf_pgsource_data_directory(source));
    bool readable = access(text, R_OK) == 0;
    r = readable ? hf_done() : hf_fail(&err, HF_E_DENIED, "%.200s cannot be read", text);
    note(c, "files", hf_pgsource_data_directory(source), r, readable ? "readable" : err.text);
    r = hf_done();
    if (!hf_pgsource_archiving(source)) {
        r = hf_fail(&err, HF_E_REFUSED,
                    "archive_mode is off: a backup can be restored only to its own end");
    }
    note(c, "archiving", "archive_mode", r, hf_ok(r) ? "on" : err.text);
    hf_pgsource_close(source);
}

int hf_cli_check(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    if (!hf_cli_parse(&cli, argc, argv, NULL, 0)) {
        return HF_CLI_USAGE;
    }
    if (!hf_ok(hf_cli_load(&cli, &err))) {
        return hf_cli_fail(&cli, &err);
    }
    struct checks c = {.cli = &cli, .array = hf_json_array()};
    check_keys(&c);
    check_repositories(&c);
    if (cli.config->has_postgresql) {
        check_postgresql(&c, &cli);
    }
    hf_result r = hf_cli_open(&cli, 0, &err);
    bool empty = r.code == HF_E_NOT_FOUND;
    note(&c, "decrypt", "repositories", empty ? hf_done() : r,
         empty      ? "nothing is stored yet"
         : hf_ok(r) ? "the newest data key opens"
                    : err.text);
    if (cli.json) {
        hf_json *o = hf_json_object();
        hf_json_put(o, "checks", c.array);
        (void)hf_cli_print_json(o);
    } else {
        hf_json_free(c.array);
    }
    return c.failed == 0 ? HF_CLI_OK : HF_CLI_FAILURE;
}
