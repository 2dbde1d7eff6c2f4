/* SPDX-License-Identifier: Apache-2.0
 *
 * The program: options that all commands have, which cluster is meant, exit codes.
 */
#include "coordinator/ctl/ctl.h"

#include <locale.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/name.h"

enum { HELP_MAX = 65536, POLL_MS = 500 };

hf_result hf_ctl_usage(struct hf_ctl *ctl, struct hf_err *err, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctl->exit = HF_CTL_EXIT_USAGE;
    return hf_fail(err, HF_E_INVALID, "%s", text);
}

/* --- the coordinators --- */

static hf_result client_config(struct hf_ctl *ctl, struct hf_ctl_client_config *ret,
                               struct hf_err *err)
{
    HF_TRY(hf_ctl_client_config_load(hf_ctl_arg(&ctl->args, "config"), ret, err));
    if (hf_ctl_arg(&ctl->args, "api") != NULL) {
        HF_TRY(hf_ctl_client_config_urls(hf_ctl_arg(&ctl->args, "api"), ret, err));
    }
    struct {
        const char *option;
        char *to;
    } files[] = {{"ca", ret->ca}, {"cert", ret->certificate}, {"key", ret->key}};
    for (size_t i = 0; i < 3; i++) {
        const char *value = hf_ctl_arg(&ctl->args, files[i].option);
        if (value != NULL) {
            if (strlen(value) >= HF_PATH_SIZE) {
                return hf_fail(err, HF_E_LIMIT, "--%s: path too long", files[i].option);
            }
            memcpy(files[i].to, value, strlen(value) + 1);
        }
    }
    return hf_done();
}

static hf_result connect_client(struct hf_ctl *ctl, struct hf_err *err)
{
    if (ctl->client != NULL) {
        return hf_done();
    }
    HF_AUTOFREE struct hf_ctl_client_config *config = hf_alloc(sizeof *config);
    hf_result r = client_config(ctl, config, err);
    if (hf_ok(r)) {
        memcpy(ctl->default_cluster, config->cluster, sizeof ctl->default_cluster);
        r = hf_ctl_client_new(config, &ctl->client, err);
    }
    if (!hf_ok(r)) {
        ctl->exit = HF_CTL_EXIT_USAGE;
    }
    return r;
}

static int exit_of(enum hf_code code)
{
    if (code == HF_E_NOT_FOUND) {
        return HF_CTL_EXIT_NOT_FOUND;
    }
    if (code == HF_E_EXISTS) {
        return HF_CTL_EXIT_IN_PROGRESS;
    }
    if (code == HF_E_DENIED) {
        return HF_CTL_EXIT_DENIED;
    }
    if (code == HF_E_STALE) {
        return HF_CTL_EXIT_STALE;
    }
    if (code == HF_E_UNREACHABLE || code == HF_E_TIMEOUT) {
        return HF_CTL_EXIT_UNREACHABLE;
    }
    return HF_CTL_EXIT_FAILURE;
}

hf_result hf_ctl_call(struct hf_ctl *ctl, const struct hf_ctl_request *request, hf_json **ret,
                      struct hf_err *err)
{
    HF_TRY(connect_client(ctl, err));
    hf_json *answer = NULL;
    hf_result r = hf_ctl_client_call(ctl->client, request, &answer, err);
    if (!hf_ok(r)) {
        ctl->exit = exit_of(r.code);
        return r;
    }
    if (ret == NULL) {
        hf_json_free(answer);
    } else {
        *ret = answer;
    }
    return hf_done();
}

/* --- which cluster --- */

static hf_result split_cluster(struct hf_ctl *ctl, const char *text, struct hf_ctl_cluster *ret,
                               struct hf_err *err)
{
    struct hf_ctl_cluster which = {0};
    const char *slash = strchr(text, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - text);
    if (slash == NULL || !hf_name_valid(text, n) || !hf_name_valid(slash + 1, strlen(slash + 1))) {
        return hf_ctl_usage(ctl, err, "\"%.80s\"; allowed: TENANT/CLUSTER", text);
    }
    memcpy(which.tenant.s, text, n);
    memcpy(which.cluster.s, slash + 1, strlen(slash + 1));
    *ret = which;
    return hf_done();
}

/* The only cluster that this user sees. */
static hf_result only_cluster(struct hf_ctl *ctl, struct hf_ctl_cluster *ret, struct hf_err *err)
{
    HF_AUTOJSON hf_json *v = NULL;
    const hf_json *clusters = NULL;
    struct hf_ctl_request request = {.method = "GET", .path = "/v1/clusters"};
    HF_TRY(hf_ctl_call(ctl, &request, &v, err));
    HF_TRY(hf_json_get_array(v, "clusters", HF_MAX_CLUSTERS, &clusters, err));
    if (hf_json_size(clusters) == 0) {
        ctl->exit = HF_CTL_EXIT_NOT_FOUND;
        return hf_fail(err, HF_E_NOT_FOUND, "there is no cluster (holdfast cluster apply -f FILE)");
    }
    if (hf_json_size(clusters) > 1) {
        return hf_ctl_usage(ctl, err, "there are %zu clusters: name one as TENANT/CLUSTER",
                            hf_json_size(clusters));
    }
    struct hf_ctl_cluster which;
    const hf_json *one = hf_json_at(clusters, 0);
    HF_TRY(hf_name_parse("tenant", hf_ctl_text(one, "tenant", ""), &which.tenant, err));
    HF_TRY(hf_name_parse("cluster", hf_ctl_text(one, "cluster", ""), &which.cluster, err));
    *ret = which;
    return hf_done();
}

hf_result hf_ctl_which_cluster(struct hf_ctl *ctl, struct hf_ctl_cluster *ret, struct hf_err *err)
{
    if (ctl->args.word_count > 0) {
        return split_cluster(ctl, ctl->args.words[0], ret, err);
    }
    HF_TRY(connect_client(ctl, err));
    if (ctl->default_cluster[0] != '\0') {
        return split_cluster(ctl, ctl->default_cluster, ret, err);
    }
    return only_cluster(ctl, ret, err);
}

void hf_ctl_path(const struct hf_ctl_cluster *which, const char *rest, char ret[HF_CTL_PATH_SIZE])
{
    int n = snprintf(ret, HF_CTL_PATH_SIZE, "/v1/clusters/%s/%s%s", which->tenant.s,
                     which->cluster.s, rest);
    HF_ASSERT(n > 0 && n < HF_CTL_PATH_SIZE);
}

/* --- printing --- */

hf_result hf_ctl_print_json(struct hf_ctl *ctl, const hf_json *v, struct hf_err *err)
{
    HF_BUF(text, 2 * HF_CTL_ANSWER_MAX);
    HF_TRY(hf_json_write(v, &text, err));
    if (fprintf(ctl->out, "%s\n", hf_buf_text(&text)) < 0) {
        return hf_fail(err, HF_E_IO, "cannot write the answer");
    }
    return hf_done();
}

void hf_ctl_print_text(FILE *out, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        (void)fputc(*p < 0x20 || *p == 0x7f ? '?' : *p, out);
    }
}

const char *hf_ctl_text(const hf_json *o, const char *key, const char *fallback)
{
    const hf_json *m = o == NULL ? NULL : hf_json_member(o, key);
    return m != NULL && hf_json_is_text(m) ? hf_json_text(m) : fallback;
}

bool hf_ctl_u64(const hf_json *o, const char *key, uint64_t *ret)
{
    return o != NULL && hf_json_member(o, key) != NULL && hf_ok(hf_json_get_u64(o, key, ret, NULL));
}

int hf_ctl_flag(const hf_json *o, const char *key)
{
    bool flag = false;
    if (o == NULL || hf_json_member(o, key) == NULL ||
        !hf_ok(hf_json_get_bool_opt(o, key, &flag, NULL))) {
        return -1;
    }
    return flag ? 1 : 0;
}

/* --- the program --- */

static int print_help(const struct hf_ctl *ctl, FILE *out)
{
    HF_BUF(text, HELP_MAX);
    if (!hf_ok(hf_ctl_help(HF_CTL_COMMANDS, HF_CTL_GLOBALS, ctl->args.command, &text, NULL))) {
        return HF_CTL_EXIT_FAILURE;
    }
    return fputs(hf_buf_text(&text), out) < 0 ? HF_CTL_EXIT_FAILURE : HF_CTL_EXIT_DONE;
}

static hf_result run(struct hf_ctl *ctl, struct hf_err *err)
{
    const char *format = hf_ctl_arg(&ctl->args, "output");
    if (format != NULL && strcmp(format, "json") != 0 && strcmp(format, "table") != 0) {
        return hf_ctl_usage(ctl, err, "-o %.32s; allowed: table, json", format);
    }
    ctl->json = format != NULL && strcmp(format, "json") == 0;
    return ctl->args.command->run(ctl, err);
}

int hf_ctl_main(int argc, const char *const *argv, FILE *out, FILE *diagnostics)
{
    struct hf_ctl ctl = {.out = out, .diagnostics = diagnostics, .poll_ms = POLL_MS};
    struct hf_err err = {0};
    /* output is UTF-8 wherever it runs: what is piped into a file must not depend on a variable */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    if (argc < 2) {
        (void)print_help(&ctl, diagnostics);
        return HF_CTL_EXIT_USAGE;
    }
    if (!hf_ok(hf_ctl_args_parse(HF_CTL_COMMANDS, HF_CTL_GLOBALS, argc - 1, argv + 1, &ctl.args,
                                 &err))) {
        (void)fprintf(diagnostics, "holdfast: %s\n", err.text);
        return HF_CTL_EXIT_USAGE;
    }
    if (ctl.args.help) {
        return print_help(&ctl, out);
    }
    hf_result r = run(&ctl, &err);
    hf_ctl_client_free(ctl.client);
    if (hf_ok(r) && fflush(out) == 0) {
        return HF_CTL_EXIT_DONE;
    }
    (void)fputs("holdfast: ", diagnostics);
    hf_ctl_print_text(diagnostics, hf_ok(r) ? "cannot write the output" : err.text);
    (void)fputc('\n', diagnostics);
    return ctl.exit == 0 ? HF_CTL_EXIT_FAILURE : ctl.exit;
}
