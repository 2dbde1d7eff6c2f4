/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast cluster list|show|apply|pause|resume, holdfast version
 */
#include <inttypes.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/policy.h"
#include "common/io/config_cluster.h"
#include "coordinator/ctl/ctl.h"
#include "coordinator/ctl/table.h"

static void number_text(const hf_json *o, const char *key, char ret[24])
{
    uint64_t n = 0;
    if (hf_ctl_u64(o, key, &n)) {
        (void)snprintf(ret, 24, "%" PRIu64, n);
    } else {
        memcpy(ret, "?", 2);
    }
}

hf_result hf_ctl_cluster_list(struct hf_ctl *ctl, struct hf_err *err)
{
    static const struct hf_ctl_column columns[] = {
        {"CLUSTER", false, 2}, {"LEVEL", false, 2},   {"VERDICT", false, 2}, {"PAUSED", false, 2},
        {"EPOCH", true, 2},    {"PRIMARY", false, 2}, {"REGION", false, 1},  {NULL, false, 0}};
    HF_AUTOJSON hf_json *v = NULL;
    const hf_json *clusters = NULL;
    struct hf_ctl_request request = {.method = "GET", .path = "/v1/clusters"};
    HF_TRY(hf_ctl_call(ctl, &request, &v, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, v, err);
    }
    HF_TRY(hf_json_get_array(v, "clusters", HF_MAX_CLUSTERS, &clusters, err));
    HF_AUTOTABLE struct hf_ctl_table *table = NULL;
    HF_TRY(hf_ctl_table_new(columns, &table, err));
    for (size_t i = 0; i < hf_json_size(clusters); i++) {
        const hf_json *c = hf_json_at(clusters, i);
        char name[2 * HF_NAME_SIZE];
        char epoch[24];
        (void)snprintf(name, sizeof name, "%.60s/%.60s", hf_ctl_text(c, "tenant", "?"),
                       hf_ctl_text(c, "cluster", "?"));
        number_text(c, "epoch", epoch);
        int paused = hf_ctl_flag(c, "paused");
        const char *cells[] = {name,
                               hf_ctl_text(c, "level", "?"),
                               hf_ctl_text(c, "verdict", "UNKNOWN"),
                               paused < 0   ? "?"
                               : paused > 0 ? "yes"
                                            : "no",
                               epoch,
                               hf_ctl_text(c, "primary", "?"),
                               hf_ctl_text(c, "primary_region", "?")};
        HF_TRY(hf_ctl_table_row(table, cells, err));
    }
    return hf_ctl_table_print(table, ctl->out, err);
}

static hf_result get_cluster(struct hf_ctl *ctl, const struct hf_ctl_cluster *which, hf_json **ret,
                             struct hf_err *err)
{
    char path[HF_CTL_PATH_SIZE];
    hf_ctl_path(which, "", path);
    struct hf_ctl_request request = {.method = "GET", .path = path};
    return hf_ctl_call(ctl, &request, ret, err);
}

/* Members of an object of texts, numbers and flags, one a line. */
static void print_members(const hf_json *o, FILE *out)
{
    for (size_t i = 0; o != NULL && i < hf_json_size(o); i++) {
        const hf_json *m = hf_json_at(o, i);
        const char *key = hf_json_key(m);
        char number[24];
        const char *text = hf_json_text(m);
        int flag = hf_ctl_flag(o, key);
        number_text(o, key, number);
        if (hf_json_is_text(m)) {
            (void)fprintf(out, "%-12.32s ", key);
            hf_ctl_print_text(out, text);
        } else {
            (void)fprintf(out, "%-12.32s %s", key,
                          flag == 1   ? "true"
                          : flag == 0 ? "false"
                                      : number);
        }
        (void)fputc('\n', out);
    }
}

hf_result hf_ctl_cluster_show(struct hf_ctl *ctl, struct hf_err *err)
{
    struct hf_ctl_cluster which;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    HF_AUTOJSON hf_json *v = NULL;
    HF_TRY(get_cluster(ctl, &which, &v, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, v, err);
    }
    (void)fprintf(ctl->out, "%s/%s  revision ", which.tenant.s, which.cluster.s);
    hf_ctl_print_text(ctl->out, hf_ctl_text(v, "revision", "?"));
    (void)fputs("\n\n", ctl->out);
    print_members(hf_json_member(v, "state"), ctl->out);
    const hf_json *policy = hf_json_member(v, "policy");
    HF_BUF(text, HF_POLICY_JSON_MAX);
    if (policy != NULL) {
        HF_TRY(hf_json_write(policy, &text, err));
        (void)fputs("policy       ", ctl->out);
        hf_ctl_print_text(ctl->out, hf_buf_text(&text));
        (void)fputc('\n', ctl->out);
    }
    return hf_done();
}

/* Is this the policy that the coordinator has already? */
static bool same_policy(const hf_json *current, const hf_json *wanted)
{
    struct hf_policy p;
    const hf_json *policy = hf_json_member(current, "policy");
    if (policy == NULL || !hf_ok(hf_policy_from_json(policy, &p, NULL))) {
        return false;
    }
    HF_AUTOJSON hf_json *again = hf_policy_to_json(&p);
    HF_BUF(a, HF_POLICY_JSON_MAX);
    HF_BUF(b, HF_POLICY_JSON_MAX);
    return hf_ok(hf_json_write(again, &a, NULL)) && hf_ok(hf_json_write(wanted, &b, NULL)) &&
           strcmp(hf_buf_text(&a), hf_buf_text(&b)) == 0;
}

/* "If-Match: 17", or "If-None-Match: *" for a cluster that is not there. */
static hf_result precondition(struct hf_ctl *ctl, const struct hf_ctl_cluster *which,
                              const hf_json *wanted, char ret[64], bool *ret_same,
                              struct hf_err *err)
{
    const char *named = hf_ctl_arg(&ctl->args, "revision");
    if (named != NULL) {
        if (strlen(named) > 20 || strspn(named, "0123456789") != strlen(named)) {
            return hf_ctl_usage(ctl, err, "--revision %.32s; allowed: a number", named);
        }
        (void)snprintf(ret, 64, "If-Match: %.20s", named);
        return hf_done();
    }
    HF_AUTOJSON hf_json *current = NULL;
    hf_result r = get_cluster(ctl, which, &current, err);
    if (r.code == HF_E_NOT_FOUND) {
        ctl->exit = HF_CTL_EXIT_DONE;
        (void)snprintf(ret, 64, "If-None-Match: *");
        return hf_done();
    }
    HF_TRY(r);
    uint64_t revision = 0;
    HF_TRY(hf_json_get_u64(current, "revision", &revision, err));
    *ret_same = same_policy(current, wanted);
    (void)snprintf(ret, 64, "If-Match: %" PRIu64, revision);
    return hf_done();
}

static hf_result send_policy(struct hf_ctl *ctl, const struct hf_policy *policy, struct hf_err *err)
{
    struct hf_ctl_cluster which = {.tenant = policy->tenant, .cluster = policy->cluster};
    HF_AUTOJSON hf_json *wanted = hf_policy_to_json(policy);
    HF_AUTOJSON hf_json *answer = NULL;
    char condition[64];
    bool same = false;
    HF_TRY(precondition(ctl, &which, wanted, condition, &same, err));
    if (same && !ctl->json) {
        (void)fprintf(ctl->out, "%s/%s is unchanged\n", which.tenant.s, which.cluster.s);
        return hf_done();
    }
    char path[HF_CTL_PATH_SIZE];
    hf_ctl_path(&which, "", path);
    struct hf_ctl_request request = {
        .method = "PUT", .path = path, .precondition = condition, .body = wanted};
    HF_TRY(hf_ctl_call(ctl, &request, &answer, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, answer, err);
    }
    (void)fprintf(ctl->out, "%s/%s applied, revision ", which.tenant.s, which.cluster.s);
    hf_ctl_print_text(ctl->out, hf_ctl_text(answer, "revision", "?"));
    (void)fputc('\n', ctl->out);
    return hf_done();
}

hf_result hf_ctl_cluster_apply(struct hf_ctl *ctl, struct hf_err *err)
{
    const char *file = hf_ctl_arg(&ctl->args, "file");
    if (file == NULL) {
        return hf_ctl_usage(ctl, err, "cluster apply needs -f FILE");
    }
    HF_AUTOFREE struct hf_policy *policy = hf_alloc(sizeof *policy);
    HF_TRY(hf_config_cluster_load(file, policy, NULL, err));
    return send_policy(ctl, policy, err);
}

static hf_result set_paused(struct hf_ctl *ctl, const char *verb, struct hf_err *err)
{
    struct hf_ctl_cluster which;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    char path[HF_CTL_PATH_SIZE];
    hf_ctl_path(&which, verb, path);
    HF_AUTOJSON hf_json *body = hf_json_object();
    HF_AUTOJSON hf_json *answer = NULL;
    const char *reason = hf_ctl_arg(&ctl->args, "reason");
    if (reason != NULL) {
        hf_json_put_text(body, "reason", reason);
    }
    struct hf_ctl_request request = {.method = "POST", .path = path, .body = body};
    HF_TRY(hf_ctl_call(ctl, &request, &answer, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, answer, err);
    }
    int paused = hf_ctl_flag(answer, "paused");
    (void)fprintf(ctl->out, "%s/%s is %s\n", which.tenant.s, which.cluster.s,
                  paused == 1 ? "paused" : "not paused");
    return hf_done();
}

hf_result hf_ctl_cluster_pause(struct hf_ctl *ctl, struct hf_err *err)
{
    return set_paused(ctl, "/pause", err);
}

hf_result hf_ctl_cluster_resume(struct hf_ctl *ctl, struct hf_err *err)
{
    return set_paused(ctl, "/resume", err);
}

hf_result hf_ctl_version(struct hf_ctl *ctl, struct hf_err *err)
{
    HF_AUTOJSON hf_json *answer = NULL;
    struct hf_ctl_request request = {.method = "GET", .path = "/v1/version"};
    /* the command's own version must come out without any coordinator */
    struct hf_err why;
    bool asked = hf_ok(hf_ctl_call(ctl, &request, &answer, &why));
    ctl->exit = HF_CTL_EXIT_DONE;
    if (ctl->json) {
        HF_AUTOJSON hf_json *both = hf_json_object();
        hf_json_put_text(both, "holdfast", HF_VERSION);
        if (asked) {
            hf_json_put(both, "coordinator", answer);
            answer = NULL;
        } else {
            hf_json_put_null(both, "coordinator");
        }
        return hf_ctl_print_json(ctl, both, err);
    }
    (void)fprintf(ctl->out, "holdfast %s\n", HF_VERSION);
    if (asked) {
        (void)fputs("coordinator ", ctl->out);
        hf_ctl_print_text(ctl->out, hf_ctl_text(answer, "coordinator", "?"));
        (void)fputc(' ', ctl->out);
        hf_ctl_print_text(ctl->out, hf_ctl_text(answer, "version", "?"));
        (void)fputs(", leader ", ctl->out);
        hf_ctl_print_text(ctl->out, hf_ctl_text(answer, "leader", "?"));
        (void)fputc('\n', ctl->out);
    }
    return hf_done();
}
