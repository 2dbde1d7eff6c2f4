/* SPDX-License-Identifier: Apache-2.0
 *
 * `holdfast status`: what a person needs to know first, on one screen. Unknown is shown as "?",
 * never as 0.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/core/units.h"
#include "coordinator/ctl/ctl.h"
#include "coordinator/ctl/table.h"

enum { CELL = 160, COLUMNS = 11, MAX_ITEMS = 1000 };

static const struct hf_ctl_column NODE_COLUMNS[] = {
    {"REGION", false, 1},        {"NODE", false, 2},   {"ROLE", false, 2},
    {"STATE", false, 1},         {"TL", true, 1},      {"FLUSHED", false, 2},
    {"LAG", false, 2},           {"SEEN", false, 2},   {"REPOSITORY", false, 2},
    {"NEWEST BACKUP", false, 4}, {"WAL TO", false, 1}, {NULL, false, 0}};

/* "0.2s" of a member in milliseconds, or "?". */
static void duration_of(const hf_json *o, const char *key, char ret[HF_UNITS_SIZE])
{
    uint64_t ms = 0;
    if (hf_ctl_u64(o, key, &ms) && ms < (uint64_t)INT64_MAX / 1000) {
        hf_units_human_duration(HF_MS(ms), ret);
    } else {
        memcpy(ret, "?", 2);
    }
}

static void size_of(const hf_json *o, const char *key, char ret[HF_UNITS_SIZE])
{
    uint64_t bytes = 0;
    if (hf_ctl_u64(o, key, &bytes)) {
        hf_units_human_size(bytes, ret);
    } else {
        memcpy(ret, "?", 2);
    }
}

static void number_of(const hf_json *o, const char *key, char ret[HF_UNITS_SIZE])
{
    uint64_t n = 0;
    if (hf_ctl_u64(o, key, &n)) {
        (void)snprintf(ret, HF_UNITS_SIZE, "%" PRIu64, n);
    } else {
        memcpy(ret, "?", 2);
    }
}

static const char *verdict_sign(const char *verdict)
{
    static const char *const signs[][2] = {
        {"PROTECTED", "✔"},    {"AT_RISK", "▲"}, {"UNPROTECTED", "✖"},
        {"FAILING_OVER", "»"}, {"PAUSED", "‖"},
    };
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (strcmp(signs[i][0], verdict) == 0) {
            return signs[i][1];
        }
    }
    return "?";
}

/* Formats into out with what came from outside made harmless. */
static void put(FILE *out, const char *format, ...) HF_PRINTF(2, 3);
static void put(FILE *out, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is just above */
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hf_ctl_print_text(out, text);
}

static void header(const hf_json *s, FILE *out)
{
    char epoch[HF_UNITS_SIZE];
    char timeline[HF_UNITS_SIZE];
    char lease[HF_UNITS_SIZE];
    number_of(s, "epoch", epoch);
    number_of(s, "timeline", timeline);
    duration_of(s, "lease_remaining_ms", lease);
    const char *verdict = hf_ctl_text(s, "verdict", "UNKNOWN");
    put(out, "%s/%s  epoch %s  primary %s (%s)  timeline %s  lease %s (leader %s)   %s %s",
        hf_ctl_text(s, "tenant", "?"), hf_ctl_text(s, "cluster", "?"), epoch,
        hf_ctl_text(s, "primary", "?"), hf_ctl_text(s, "primary_region", "?"), timeline, lease,
        hf_ctl_text(s, "leader", "?"), verdict_sign(verdict), verdict);
    (void)fputc('\n', out);
}

static void exposure(const hf_json *s, FILE *out)
{
    const hf_json *e = hf_json_member(s, "exposure");
    char age[HF_UNITS_SIZE];
    char bytes[HF_UNITS_SIZE];
    char target[HF_UNITS_SIZE] = "?";
    uint64_t target_ms = 0;
    duration_of(e, "ms", age);
    size_of(e, "bytes", bytes);
    if (hf_ctl_u64(e, "target_ms", &target_ms) && target_ms < (uint64_t)INT64_MAX / 1000) {
        hf_units_format_duration(HF_MS(target_ms), target);
    }
    put(out, "exposure   %s  %s  of target %s (%s)     best copy outside %s: ", age, bytes, target,
        hf_ctl_text(e, "enforcement", "?"), hf_ctl_text(s, "primary_region", "?"));
    const hf_json *best = e == NULL ? NULL : hf_json_member(e, "best");
    if (best == NULL) {
        put(out, "none known");
    } else {
        put(out, "%s %s %s", hf_ctl_text(best, "node", hf_ctl_text(best, "region", "?")),
            hf_ctl_text(best, "state", "?"), hf_ctl_text(best, "lsn", "?"));
    }
    (void)fputc('\n', out);
}

/* "✔ ok" */
static void signed_text(const hf_json *n, const char *flag, const char *key, char ret[CELL])
{
    int ok = hf_ctl_flag(n, flag);
    (void)snprintf(ret, CELL, "%s %.100s",
                   ok < 0   ? "?"
                   : ok > 0 ? "✔"
                            : "✖",
                   hf_ctl_text(n, key, "?"));
}

/* A text that may be known to be none (""), or not known at all. */
static const char *or_none(const hf_json *n, const char *key)
{
    const char *text = hf_ctl_text(n, key, "?");
    return text[0] == '\0' ? "-" : text;
}

static hf_result node_row(struct hf_ctl_table *table, const hf_json *n, struct hf_err *err)
{
    char state[CELL];
    char repository[CELL];
    char timeline[HF_UNITS_SIZE];
    char lag[HF_UNITS_SIZE];
    char seen[HF_UNITS_SIZE];
    signed_text(n, "ok", "state", state);
    signed_text(n, "repository_ok", "repository", repository);
    number_of(n, "timeline", timeline);
    size_of(n, "lag_bytes", lag);
    duration_of(n, "seen_ms", seen);
    const char *role = hf_ctl_text(n, "role", "unknown");
    if (strcmp(role, "primary") == 0 && hf_json_member(n, "lag_bytes") == NULL) {
        memcpy(lag, "-", 2);
    }
    const char *cells[COLUMNS] = {hf_ctl_text(n, "region", "?"),
                                  hf_ctl_text(n, "node", "?"),
                                  role,
                                  state,
                                  timeline,
                                  hf_ctl_text(n, "flushed", "?"),
                                  lag,
                                  seen,
                                  repository,
                                  or_none(n, "newest_backup"),
                                  or_none(n, "wal_to")};
    return hf_ctl_table_row(table, cells, err);
}

static hf_result nodes(const hf_json *s, FILE *out, struct hf_err *err)
{
    const hf_json *list = NULL;
    HF_TRY(hf_json_get_array(s, "nodes", MAX_ITEMS, &list, err));
    HF_AUTOTABLE struct hf_ctl_table *table = NULL;
    HF_TRY(hf_ctl_table_new(NODE_COLUMNS, &table, err));
    for (size_t i = 0; i < hf_json_size(list); i++) {
        HF_TRY(node_row(table, hf_json_at(list, i), err));
    }
    return hf_ctl_table_print(table, out, err);
}

/* "00:31:12Z" of "2026-11-21T00:31:12.000Z". */
static void clock_of(const char *instant, char ret[16])
{
    if (strlen(instant) >= 20 && instant[10] == 'T') {
        (void)snprintf(ret, 16, "%.8sZ", instant + 11);
    } else {
        memcpy(ret, "?", 2);
    }
}

static void last_operation(const hf_json *s, FILE *out)
{
    const hf_json *l = hf_json_member(s, "last");
    if (l == NULL) {
        return;
    }
    char at[16];
    char down[HF_UNITS_SIZE];
    char bytes[HF_UNITS_SIZE];
    char age[HF_UNITS_SIZE];
    char lost[HF_UNITS_SIZE];
    clock_of(hf_ctl_text(l, "at", ""), at);
    duration_of(l, "down_ms", down);
    size_of(l, "predicted_bytes", bytes);
    duration_of(l, "predicted_ms", age);
    number_of(l, "lost_commits", lost);
    put(out, "last       %s %s ", hf_ctl_text(l, "kind", "?"), hf_ctl_text(l, "id", "?"));
    if (hf_ctl_text(l, "from", "")[0] != '\0' || hf_ctl_text(l, "to", "")[0] != '\0') {
        put(out, "%s→%s ", hf_ctl_text(l, "from", "?"), hf_ctl_text(l, "to", "?"));
    }
    put(out, "%s %s", hf_ctl_text(l, "result", "?"), at);
    const char *kind = hf_ctl_text(l, "kind", "");
    if (strcmp(kind, "failover") == 0 || strcmp(kind, "switchover") == 0) {
        put(out, "  down %s  predicted ≤%s/%s  lost %s commits", down, bytes, age, lost);
    }
    (void)fputc('\n', out);
}

static void warnings(const hf_json *s, FILE *out)
{
    const hf_json *list = hf_json_member(s, "warnings");
    for (size_t i = 0; list != NULL && i < hf_json_size(list); i++) {
        const hf_json *w = hf_json_at(list, i);
        const char *value = hf_ctl_text(w, "value", "");
        const char *limit = hf_ctl_text(w, "limit", "");
        put(out, "WARNING %s", hf_ctl_text(w, "text", "?"));
        if (hf_ctl_text(w, "rule", "")[0] != '\0') {
            put(out, " (rule %s", hf_ctl_text(w, "rule", "?"));
            if (value[0] != '\0') {
                put(out, ": %s%s%s", value, limit[0] == '\0' ? "" : " > ", limit);
            }
            put(out, ")");
        }
        (void)fputc('\n', out);
    }
    list = hf_json_member(s, "hints");
    for (size_t i = 0; list != NULL && i < hf_json_size(list); i++) {
        put(out, "HINT    %s", hf_json_text(hf_json_at(list, i)));
        (void)fputc('\n', out);
    }
}

hf_result hf_ctl_render_status(const hf_json *status, FILE *out, struct hf_err *err)
{
    header(status, out);
    exposure(status, out);
    (void)fputc('\n', out);
    HF_TRY(nodes(status, out, err));
    if (hf_json_member(status, "last") != NULL || hf_json_member(status, "warnings") != NULL ||
        hf_json_member(status, "hints") != NULL) {
        (void)fputc('\n', out);
    }
    last_operation(status, out);
    warnings(status, out);
    return hf_done();
}

hf_result hf_ctl_status(struct hf_ctl *ctl, struct hf_err *err)
{
    struct hf_ctl_cluster which;
    HF_TRY(hf_ctl_which_cluster(ctl, &which, err));
    char path[HF_CTL_PATH_SIZE];
    hf_ctl_path(&which, "/status", path);
    HF_AUTOJSON hf_json *status = NULL;
    struct hf_ctl_request request = {.method = "GET", .path = path};
    HF_TRY(hf_ctl_call(ctl, &request, &status, err));
    if (ctl->json) {
        return hf_ctl_print_json(ctl, status, err);
    }
    return hf_ctl_render_status(status, ctl->out, err);
}
