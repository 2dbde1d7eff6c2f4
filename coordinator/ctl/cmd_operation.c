/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast backup list|create, failover plan|run, switchover plan|run, operation list|show; waiting
 * for an operation.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/core/units.h"
#include "coordinator/ctl/ctl.h"
#include "coordinator/ctl/table.h"

enum { MAX_BACKUPS = 1000, MAX_OPERATIONS = 100, MAX_STEPS = 100, WAIT_DEFAULT_S = 600 };

static hf_result get(struct hf_ctl *ctl, const struct hf_ctl_cluster *which, const char *rest,
                     hf_json **ret, struct hf_err *err)
{
    char path[HF_CTL_PATH_SIZE];
    hf_ctl_path(which, rest, path);
    struct hf_ctl_request request = {.method = "GET", .path = path};
    return hf_ctl_call(ctl, &request, ret, err);
}

static hf_result post(struct hf_ctl *ctl, const struct hf_ctl_cluster *which, const char *rest,
                      const hf_json *body, hf_json **ret, struct hf_err *err)
{
    char path[HF_CTL_PATH_SIZE];
    hf_ctl_path(which, rest, path);
    struct hf_ctl_request request = {.method = "POST", .path = path, .body = body};
    return hf_ctl_call(ctl, &request, ret, err);
}

static void human_size(const hf_json *o, const char *key, char ret[HF_UNITS_SIZE])
{
    uint64_t n = 0;
    if (hf_ctl_u64(o, key, &n)) {
        hf_units_human_size(n, ret);
    } else {
        memcpy(ret, "?", 2);
    }
}

static void human_ms(const hf_json *o, const char *key, char ret[HF_UNITS_SIZE])
{
    uint64_t n = 0;
    if (hf_ctl_u64(o, key, &n) && n < (uint64_t)INT64_MAX / 1000) {
        hf_units_human_duration(HF_MS(n), ret);
    } else {
        memcpy(ret, "?", 2);
    }
}

/* --- backups --- */

static void join_regions(const hf_json *b, char ret[128])
{
    const hf_json *list = hf_json_member(b, "regions");
    size_t len = 0;
    ret[0] = '\0';
    for (size_t i = 0; list != NULL && i < hf_json_size(list); i++) {
        int n = snprintf(ret + len, 128 - len, "%s%s", i == 0 ? "" : ",",
                         hf_json_text(hf_json_at(list, i)));
        if (n < 0 || (size_t)n >= 128 - len) {
            return;
        }
        len += (size_t)n;
    }
}

hf_result hf_ctl_backup_list(struct hf_ctl *ctl, struct hf_err *err)
{
    static const struct hf_ctl_column columns[] = {
        {"BACKUP", false, 2}, {"TYPE", false, 2},    {"NODE", false, 2},
        {"STATE", false, 2},  {"STARTED", false, 2}, {"SIZE", true, 2},
        {"STORED", true, 2},  {"REGIONS", false, 1}, {NULL, false, 0}};
    struct hf_ctl_cluster which;
    HF_AUTOJSON hf_json *v = NULL;
    const hf_json *list = NULL;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    HF_TRY(get(ctl, &which, "/backups", &v, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, v, err);
    }
    HF_TRY(hf_json_get_array(v, "backups", MAX_BACKUPS, &list, err));
    HF_AUTOTABLE struct hf_ctl_table *table = NULL;
    HF_TRY(hf_ctl_table_new(columns, &table, err));
    for (size_t i = 0; i < hf_json_size(list); i++) {
        const hf_json *b = hf_json_at(list, i);
        char size[HF_UNITS_SIZE];
        char stored[HF_UNITS_SIZE];
        char regions[128];
        human_size(b, "size_bytes", size);
        human_size(b, "stored_bytes", stored);
        join_regions(b, regions);
        const char *cells[] = {hf_ctl_text(b, "label", "?"),
                               hf_ctl_text(b, "type", "?"),
                               hf_ctl_text(b, "node", "?"),
                               hf_ctl_text(b, "state", "?"),
                               hf_ctl_text(b, "started_at", "?"),
                               size,
                               stored,
                               regions};
        HF_TRY(hf_ctl_table_row(table, cells, err));
    }
    return hf_ctl_table_print(table, ctl->out, err);
}

hf_result hf_ctl_backup_create(struct hf_ctl *ctl, struct hf_err *err)
{
    static const char *const options[] = {"node", "name"};
    struct hf_ctl_cluster which;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    HF_AUTOJSON hf_json *body = hf_json_object();
    const char *type = hf_ctl_arg(&ctl->args, "type");
    hf_json_put_text(body, "type", type == NULL ? "full" : type);
    for (size_t i = 0; i < 2; i++) {
        const char *value = hf_ctl_arg(&ctl->args, options[i]);
        if (value != NULL) {
            hf_json_put_text(body, options[i], value);
        }
    }
    HF_AUTOJSON hf_json *accepted = NULL;
    HF_TRY(post(ctl, &which, "/backups", body, &accepted, err));
    return hf_ctl_follow(ctl, &which, accepted, err);
}

/* --- failover, switchover --- */

static void print_reasons(FILE *out, const hf_json *o)
{
    const hf_json *list = hf_json_member(o, "reasons");
    for (size_t i = 0; list != NULL && i < hf_json_size(list); i++) {
        const hf_json *r = hf_json_at(list, i);
        (void)fputs("  ", out);
        hf_ctl_print_text(out, hf_ctl_text(r, "rule", "?"));
        (void)fputs("  ", out);
        hf_ctl_print_text(out, hf_ctl_text(r, "text", ""));
        (void)fputc('\n', out);
    }
}

static void print_plan(FILE *out, const hf_json *plan)
{
    char bytes[HF_UNITS_SIZE];
    char age[HF_UNITS_SIZE];
    human_size(plan, "predicted_bytes", bytes);
    human_ms(plan, "predicted_ms", age);
    hf_ctl_print_text(out, hf_ctl_text(plan, "kind", "failover"));
    (void)fputs(" from ", out);
    hf_ctl_print_text(out, hf_ctl_text(plan, "from", "?"));
    (void)fputs(" to ", out);
    hf_ctl_print_text(out, hf_ctl_text(plan, "to", "?"));
    (void)fprintf(out, ": %s, predicted loss ≤%s/%s\n",
                  hf_ctl_flag(plan, "allowed") == 1 ? "allowed" : "REFUSED", bytes, age);
    print_reasons(out, plan);
    const hf_json *steps = hf_json_member(plan, "steps");
    for (size_t i = 0; steps != NULL && i < hf_json_size(steps); i++) {
        (void)fprintf(out, "  %2zu. ", i + 1);
        hf_ctl_print_text(out, hf_ctl_text(hf_json_at(steps, i), "name", "?"));
        (void)fputs("  ", out);
        hf_ctl_print_text(out, hf_ctl_text(hf_json_at(steps, i), "text", ""));
        (void)fputc('\n', out);
    }
}

static hf_json *target_body(const struct hf_ctl *ctl)
{
    hf_json *body = hf_json_object();
    const char *to = hf_ctl_arg(&ctl->args, "to");
    to = to != NULL ? to : hf_ctl_arg(&ctl->args, "primary");
    if (to != NULL) {
        hf_json_put_text(body, "to", to);
    }
    return body;
}

static hf_result plan(struct hf_ctl *ctl, const char *path, struct hf_err *err)
{
    struct hf_ctl_cluster which;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    HF_AUTOJSON hf_json *body = target_body(ctl);
    HF_AUTOJSON hf_json *answer = NULL;
    HF_TRY(post(ctl, &which, path, body, &answer, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, answer, err);
    }
    print_plan(ctl->out, answer);
    return hf_done();
}

hf_result hf_ctl_failover_plan(struct hf_ctl *ctl, struct hf_err *err)
{
    return plan(ctl, "/failover/plan", err);
}

hf_result hf_ctl_switchover_plan(struct hf_ctl *ctl, struct hf_err *err)
{
    return plan(ctl, "/switchover/plan", err);
}

/* The plan is read first: what runs is refused (stale) if the cluster's epoch moved since. */
static hf_result run(struct hf_ctl *ctl, const char *plan_path, const char *run_path,
                     struct hf_err *err)
{
    struct hf_ctl_cluster which;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    HF_AUTOJSON hf_json *body = target_body(ctl);
    HF_AUTOJSON hf_json *found = NULL;
    HF_AUTOJSON hf_json *accepted = NULL;
    HF_TRY(post(ctl, &which, plan_path, body, &found, err));
    if (!ctl->json) {
        print_plan(ctl->out, found);
    }
    if (hf_ctl_flag(found, "allowed") != 1) {
        if (ctl->json) {
            HF_TRY(hf_ctl_print_json(ctl, found, err));
        }
        return hf_fail(err, HF_E_REFUSED, "the plan is refused; see its reasons");
    }
    uint64_t epoch = 0;
    HF_TRY(hf_json_get_u64(found, "epoch", &epoch, err));
    hf_json_put_u64(body, "epoch", epoch);
    const char *reason = hf_ctl_arg(&ctl->args, "reason");
    if (reason != NULL) {
        hf_json_put_text(body, "reason", reason);
    }
    HF_TRY(post(ctl, &which, run_path, body, &accepted, err));
    return hf_ctl_follow(ctl, &which, accepted, err);
}

hf_result hf_ctl_failover_run(struct hf_ctl *ctl, struct hf_err *err)
{
    return run(ctl, "/failover/plan", "/failover/run", err);
}

hf_result hf_ctl_switchover_run(struct hf_ctl *ctl, struct hf_err *err)
{
    return run(ctl, "/switchover/plan", "/switchover/run", err);
}

hf_result hf_ctl_recovery_plan(struct hf_ctl *ctl, struct hf_err *err)
{
    return plan(ctl, "/recovery/plan", err);
}

hf_result hf_ctl_recovery_run(struct hf_ctl *ctl, struct hf_err *err)
{
    if (hf_ctl_arg(&ctl->args, "reason") == NULL) {
        return hf_ctl_usage(ctl, err, "recovery run needs --reason TEXT");
    }
    return run(ctl, "/recovery/plan", "/recovery/run", err);
}

/* --- operations --- */

hf_result hf_ctl_operation_list(struct hf_ctl *ctl, struct hf_err *err)
{
    static const struct hf_ctl_column columns[] = {
        {"OPERATION", false, 2}, {"KIND", false, 2},   {"FROM", false, 2},    {"TO", false, 2},
        {"STATE", false, 2},     {"RESULT", false, 2}, {"STARTED", false, 1}, {NULL, false, 0}};
    struct hf_ctl_cluster which;
    HF_AUTOJSON hf_json *v = NULL;
    const hf_json *list = NULL;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    HF_TRY(get(ctl, &which, "/operations", &v, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, v, err);
    }
    HF_TRY(hf_json_get_array(v, "operations", MAX_OPERATIONS, &list, err));
    HF_AUTOTABLE struct hf_ctl_table *table = NULL;
    HF_TRY(hf_ctl_table_new(columns, &table, err));
    for (size_t i = 0; i < hf_json_size(list); i++) {
        const hf_json *o = hf_json_at(list, i);
        const char *cells[] = {hf_ctl_text(o, "id", "?"),        hf_ctl_text(o, "kind", "?"),
                               hf_ctl_text(o, "from", "-"),      hf_ctl_text(o, "to", "-"),
                               hf_ctl_text(o, "state", "?"),     hf_ctl_text(o, "result", "-"),
                               hf_ctl_text(o, "started_at", "?")};
        HF_TRY(hf_ctl_table_row(table, cells, err));
    }
    return hf_ctl_table_print(table, ctl->out, err);
}

static bool operation_path(const char *id, char ret[HF_LABEL_SIZE + 16])
{
    size_t len = strlen(id);
    if (len == 0 || len >= HF_LABEL_SIZE ||
        strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != len) {
        return false;
    }
    (void)snprintf(ret, HF_LABEL_SIZE + 16, "/operations/%s", id);
    return true;
}

static void print_operation(FILE *out, const hf_json *o)
{
    static const char *const members[] = {"id",     "kind",       "from",        "to",     "state",
                                          "result", "started_at", "finished_at", "message"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        (void)fprintf(out, "%-12s ", members[i]);
        hf_ctl_print_text(out, hf_ctl_text(o, members[i], "-"));
        (void)fputc('\n', out);
    }
    print_reasons(out, o);
    const hf_json *steps = hf_json_member(o, "steps");
    for (size_t i = 0; steps != NULL && i < hf_json_size(steps) && i < MAX_STEPS; i++) {
        const hf_json *s = hf_json_at(steps, i);
        (void)fputs("  ", out);
        hf_ctl_print_text(out, hf_ctl_text(s, "name", "?"));
        (void)fputs("  ", out);
        hf_ctl_print_text(out, hf_ctl_text(s, "state", "?"));
        (void)fputs("  ", out);
        hf_ctl_print_text(out, hf_ctl_text(s, "at", ""));
        (void)fputc('\n', out);
    }
}

hf_result hf_ctl_operation_show(struct hf_ctl *ctl, struct hf_err *err)
{
    struct hf_ctl_cluster which;
    char rest[HF_LABEL_SIZE + 16];
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    if (!operation_path(ctl->args.words[1], rest)) {
        return hf_ctl_usage(ctl, err, "\"%.64s\" is no operation's id", ctl->args.words[1]);
    }
    HF_AUTOJSON hf_json *v = NULL;
    HF_TRY(get(ctl, &which, rest, &v, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, v, err);
    }
    print_operation(ctl->out, v);
    return hf_done();
}

/* --- waiting --- */

static int64_t now_us(void)
{
    struct timespec t;
    HF_ASSERT(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void sleep_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

/* Looks until it is finished. Unreachable coordinators are waited for: an operation may well be
 * what took them away. */
static hf_result wait_for(struct hf_ctl *ctl, const struct hf_ctl_cluster *which, const char *rest,
                          hf_dur timeout, hf_json **ret, struct hf_err *err)
{
    int64_t until = now_us() + timeout.us;
    for (;;) {
        hf_json *v = NULL;
        hf_result r = get(ctl, which, rest, &v, err);
        if (hf_ok(r) && strcmp(hf_ctl_text(v, "state", ""), "finished") == 0) {
            *ret = v;
            return hf_done();
        }
        hf_json_free(v);
        if (!hf_ok(r) && r.code != HF_E_UNREACHABLE && r.code != HF_E_TIMEOUT) {
            return r;
        }
        if (now_us() >= until) {
            ctl->exit = HF_CTL_EXIT_WAIT_OVER;
            char text[HF_UNITS_SIZE];
            hf_units_format_duration(timeout, text);
            return hf_fail(err, HF_E_TIMEOUT,
                           "not finished within %s; it goes on: holdfast "
                           "operation show %s/%s %s",
                           text, which->tenant.s, which->cluster.s, strrchr(rest, '/') + 1);
        }
        sleep_ms(ctl->poll_ms);
    }
}

static hf_result report(struct hf_ctl *ctl, const hf_json *finished, struct hf_err *err)
{
    if (ctl->json) {
        HF_TRY(hf_ctl_print_json(ctl, finished, err));
    } else {
        print_operation(ctl->out, finished);
    }
    const char *result = hf_ctl_text(finished, "result", "?");
    if (strcmp(result, "done") != 0) {
        ctl->exit = HF_CTL_EXIT_FAILURE;
        return hf_fail(err, HF_E_REFUSED, "%s %.32s: %.300s", hf_ctl_text(finished, "id", "?"),
                       result, hf_ctl_text(finished, "message", "no message"));
    }
    return hf_done();
}

hf_result hf_ctl_follow(struct hf_ctl *ctl, const struct hf_ctl_cluster *which,
                        const hf_json *accepted, struct hf_err *err)
{
    const char *id = hf_ctl_text(accepted, "operation", "");
    char rest[HF_LABEL_SIZE + 16];
    if (!operation_path(id, rest)) {
        return hf_fail(err, HF_E_CORRUPT, "the coordinator named no operation");
    }
    const char *wait = hf_ctl_arg(&ctl->args, "wait");
    if (wait == NULL) {
        if (ctl->json) {
            return hf_ctl_print_json(ctl, accepted, err);
        }
        (void)fprintf(ctl->out, "%s accepted\n", id);
        return hf_done();
    }
    hf_dur timeout = HF_SEC(WAIT_DEFAULT_S);
    if (wait[0] != '\0') {
        HF_TRY(hf_units_parse_duration(wait, &timeout, err));
    }
    HF_AUTOJSON hf_json *finished = NULL;
    HF_TRY(wait_for(ctl, which, rest, timeout, &finished, err));
    return report(ctl, finished, err);
}
