/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/policy.h"

#include <stdio.h>
#include <string.h>

#include "common/core/name.h"

enum { PATH_SIZE = HF_POLICY_PATH_SIZE };

const char *const HF_LEVEL_NAMES[] = {"observe", "backup", "measure", "route", "manage", NULL};
const char *const HF_BOOTSTRAP_NAMES[] = {"adopt", "init", "restore", NULL};
const char *const HF_ENFORCEMENT_NAMES[] = {"observe", "alert", "throttle", "block", NULL};
const char *const HF_FAILOVER_MODE_NAMES[] = {"automatic", "ask", "manual", NULL};
const char *const HF_EXCESS_LOSS_NAMES[] = {"wait", "ask", "promote", NULL};
const char *const HF_ACKNOWLEDGE_NAMES[] = {"own", "other", "all", NULL};
const char *const HF_ROUTE_TYPE_NAMES[] = {"A", "AAAA", "CNAME", NULL};
const char *const HF_POLICY_BACKUP_TYPE_NAMES[] = {"full", NULL};
const char *const HF_POLICY_BACKUP_FROM_NAMES[] = {"standby", "primary", NULL};

void hf_policy_init(struct hf_policy *policy)
{
    memset(policy, 0, sizeof *policy);
    policy->version = HF_POLICY_VERSION;
    policy->level = HF_LEVEL_OBSERVE;
    policy->rpo.target = HF_SEC(5);
    policy->rpo.enforcement = HF_ENFORCE_ALERT;
    policy->rpo.unknown = HF_ENFORCE_ALERT;
    policy->rto_target = HF_SEC(60);
    policy->failover.mode = HF_FAILOVER_AUTOMATIC;
    policy->failover.max_loss_time = HF_POLICY_NO_TIME_LIMIT;
    policy->failover.max_loss_wal = HF_POLICY_NO_WAL_LIMIT;
    policy->failover.on_excess_loss = HF_EXCESS_WAIT;
    policy->acknowledge.kind = HF_ACKNOWLEDGE_OWN;
    policy->route.ttl = HF_SEC(2);
}

const struct hf_policy_node *hf_policy_node(const struct hf_policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->node_count; i++) {
        if (hf_name_is(&policy->nodes[i].name, name)) {
            return &policy->nodes[i];
        }
    }
    return NULL;
}

static size_t position(const struct hf_policy_regions *regions, const hf_name *region)
{
    for (size_t i = 0; i < regions->count; i++) {
        if (hf_name_equal(&regions->v[i], region)) {
            return i;
        }
    }
    return SIZE_MAX;
}

void hf_policy_node_regions(const struct hf_policy *policy, struct hf_policy_regions *ret)
{
    memset(ret, 0, sizeof *ret);
    for (size_t i = 0; i < policy->node_count; i++) {
        if (position(ret, &policy->nodes[i].region) == SIZE_MAX && ret->count < HF_MAX_REGIONS) {
            ret->v[ret->count++] = policy->nodes[i].region;
        }
    }
}

size_t hf_policy_preference(const struct hf_policy *policy, const hf_name *region)
{
    size_t at = position(&policy->failover.prefer, region);
    return at == SIZE_MAX ? policy->failover.prefer.count : at;
}

bool hf_policy_excluded(const struct hf_policy *policy, const hf_name *region)
{
    return position(&policy->failover.exclude, region) != SIZE_MAX;
}

static void blame(char *ret_path, const char *path)
{
    if (ret_path != NULL) {
        (void)snprintf(ret_path, PATH_SIZE, "%s", path);
    }
}

static hf_result check_nodes(const struct hf_policy *p, char *ret_path, struct hf_err *err)
{
    blame(ret_path, "nodes");
    if (p->node_count == 0 || p->node_count > HF_MAX_NODES) {
        return hf_fail(err, HF_E_INVALID, "%zu nodes; allowed: 1 to %d", p->node_count,
                       HF_MAX_NODES);
    }
    struct hf_policy_regions regions;
    hf_policy_node_regions(p, &regions);
    for (size_t i = 0; i < p->node_count; i++) {
        if (position(&regions, &p->nodes[i].region) == SIZE_MAX) {
            return hf_fail(err, HF_E_INVALID, "more than %d regions", HF_MAX_REGIONS);
        }
        if (hf_policy_node(p, p->nodes[i].name.s) != &p->nodes[i]) {
            return hf_fail(err, HF_E_INVALID, "node \"%s\" is given twice", p->nodes[i].name.s);
        }
    }
    return hf_done();
}

static hf_result check_region_list(const struct hf_policy *p, const struct hf_policy_regions *list,
                                   struct hf_err *err)
{
    struct hf_policy_regions known;
    hf_policy_node_regions(p, &known);
    for (size_t i = 0; i < list->count; i++) {
        if (position(&known, &list->v[i]) == SIZE_MAX) {
            return hf_fail(err, HF_E_INVALID, "no node of the cluster is in region \"%s\"",
                           list->v[i].s);
        }
        if (position(list, &list->v[i]) != i) {
            return hf_fail(err, HF_E_INVALID, "region \"%s\" is given twice", list->v[i].s);
        }
    }
    return hf_done();
}

static hf_result check_failover(const struct hf_policy *p, char *ret_path, struct hf_err *err)
{
    blame(ret_path, "failover.prefer");
    HF_TRY(check_region_list(p, &p->failover.prefer, err));
    blame(ret_path, "failover.exclude");
    HF_TRY(check_region_list(p, &p->failover.exclude, err));
    for (size_t i = 0; i < p->failover.exclude.count; i++) {
        if (position(&p->failover.prefer, &p->failover.exclude.v[i]) != SIZE_MAX) {
            return hf_fail(err, HF_E_INVALID, "region \"%s\" is both preferred and excluded",
                           p->failover.exclude.v[i].s);
        }
    }
    return hf_done();
}

static hf_result check_bootstrap(const struct hf_policy *p, char *ret_path, struct hf_err *err)
{
    blame(ret_path, "bootstrap");
    const char *name = p->bootstrap.name.s;
    if (p->bootstrap.kind != HF_BOOTSTRAP_RESTORE) {
        if (hf_policy_node(p, name) == NULL) {
            return hf_fail(err, HF_E_INVALID, "\"%s\" is not one of the nodes", name);
        }
        return hf_done();
    }
    /* an archive region has a repository but no node, so any region may be named */
    if (name[0] == '\0') {
        return hf_fail(err, HF_E_INVALID, "restore needs a region");
    }
    return hf_done();
}

static hf_result check_route(const struct hf_policy *p, char *ret_path, struct hf_err *err)
{
    blame(ret_path, "route");
    if (!p->route.present) {
        return hf_done();
    }
    size_t len = strlen(p->route.name);
    if (len < 2 || p->route.name[len - 1] != '.' || p->route.name[0] == '.' ||
        strspn(p->route.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != len ||
        strstr(p->route.name, "..") != NULL) {
        blame(ret_path, "route.name");
        return hf_fail(err, HF_E_INVALID,
                       "\"%s\" is not a full name; allowed: labels of a-z, 0-9, - and _, a dot at "
                       "the end",
                       p->route.name);
    }
    if (hf_name_empty(&p->route.provider)) {
        return hf_fail(err, HF_E_INVALID, "provider is missing");
    }
    if (p->route.ttl.us < 1000000 || p->route.ttl.us % 1000000 != 0) {
        blame(ret_path, "route.ttl");
        return hf_fail(err, HF_E_INVALID, "a TTL is a whole number of seconds, at least 1s");
    }
    return hf_done();
}

static bool cron_shape(const char *cron)
{
    if (cron[0] == '\0') {
        return true;
    }
    if (cron[0] == '@') {
        return strcmp(cron, "@hourly") == 0 || strcmp(cron, "@daily") == 0 ||
               strcmp(cron, "@weekly") == 0 || strcmp(cron, "@monthly") == 0 ||
               strcmp(cron, "@yearly") == 0;
    }
    int fields = 0;
    for (const char *p = cron; *p != '\0';) {
        p += strspn(p, " \t");
        size_t n = strcspn(p, " \t");
        fields += n > 0;
        for (size_t i = 0; i < n; i++) {
            bool word = (p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z') ||
                        (p[i] >= 'A' && p[i] <= 'Z');
            if (!word && strchr("*,-/#", p[i]) == NULL) {
                return false;
            }
        }
        p += n;
    }
    return fields == 5;
}

hf_result hf_policy_check_cron(const char *cron, struct hf_err *err)
{
    if (!cron_shape(cron)) {
        return hf_fail(err, HF_E_INVALID,
                       "\"%s\" is not a schedule; allowed: five fields (minute hour day month "
                       "weekday), @hourly, @daily, @weekly, @monthly, @yearly",
                       cron);
    }
    return hf_done();
}

static hf_result check_backups(const struct hf_policy *p, char *ret_path, struct hf_err *err)
{
    char path[PATH_SIZE];
    for (size_t i = 0; i < p->backup_count; i++) {
        (void)snprintf(path, sizeof path, "backups[%zu].name", i);
        blame(ret_path, path);
        for (size_t k = 0; k < i; k++) {
            if (hf_name_equal(&p->backups[i].name, &p->backups[k].name)) {
                return hf_fail(err, HF_E_INVALID, "backup \"%s\" is given twice",
                               p->backups[i].name.s);
            }
        }
        (void)snprintf(path, sizeof path, "backups[%zu].cron", i);
        blame(ret_path, path);
        HF_TRY(hf_policy_check_cron(p->backups[i].cron, err));
    }
    return hf_done();
}

/* Durations are kept in milliseconds (docs/api.md). */
static hf_result check_duration(const char *path, hf_dur d, char *ret_path, struct hf_err *err)
{
    blame(ret_path, path);
    if (d.us < 0 || d.us % 1000 != 0) {
        return hf_fail(err, HF_E_INVALID, "allowed: a whole number of milliseconds, 0 or more");
    }
    return hf_done();
}

hf_result hf_policy_check_enforced(const struct hf_policy *policy, struct hf_err *err)
{
    if (policy->level == HF_LEVEL_ROUTE) {
        return hf_fail(err, HF_E_REFUSED,
                       "NOT_ENFORCED: level: at \"route\" nothing more is done than at \"measure\" "
                       "by this version; the name follows the primary at level \"manage\"");
    }
    if (policy->acknowledge.kind != HF_ACKNOWLEDGE_OWN) {
        return hf_fail(err, HF_E_REFUSED,
                       "NOT_ENFORCED: wal.acknowledge: WAL is acknowledged when it is durable in "
                       "the own region; only \"own\" is carried out by this version");
    }
    if (policy->rpo.enforcement == HF_ENFORCE_THROTTLE ||
        policy->rpo.enforcement == HF_ENFORCE_BLOCK || policy->rpo.unknown == HF_ENFORCE_THROTTLE ||
        policy->rpo.unknown == HF_ENFORCE_BLOCK) {
        return hf_fail(err, HF_E_REFUSED,
                       "NOT_ENFORCED: rpo: commits are neither delayed nor held by this version; "
                       "\"observe\" and \"alert\" are carried out");
    }
    if (policy->bootstrap.kind != HF_BOOTSTRAP_ADOPT) {
        return hf_fail(err, HF_E_REFUSED,
                       "NOT_ENFORCED: bootstrap: make the first database by hand (initdb, or "
                       "holdfast-agent restore), then \"adopt:NODE\"");
    }
    return hf_done();
}

hf_result hf_policy_check_change(const struct hf_policy *from, const struct hf_policy *to,
                                 struct hf_err *err)
{
    if (from->level == HF_LEVEL_MANAGE && to->level < HF_LEVEL_MANAGE) {
        return hf_fail(
            err, HF_E_REFUSED,
            "LEVEL_LOWERED: the cluster is at level \"manage\" and cannot go back to "
            "\"%s\" in this version: its primary would go on under a lease and be fenced "
            "at the end of it; \"holdfast cluster pause\" stops automatic decisions",
            HF_LEVEL_NAMES[to->level]);
    }
    return hf_done();
}

hf_result hf_policy_check(const struct hf_policy *policy, char *ret_path, struct hf_err *err)
{
    HF_TRY(check_nodes(policy, ret_path, err));
    HF_TRY(check_bootstrap(policy, ret_path, err));
    HF_TRY(check_failover(policy, ret_path, err));
    struct hf_policy_regions regions;
    hf_policy_node_regions(policy, &regions);
    blame(ret_path, "wal.acknowledge");
    /* an archive region is a region too, though no node is there: HF_MAX_REGIONS is the bound */
    if (policy->acknowledge.kind == HF_ACKNOWLEDGE_OTHER &&
        (policy->acknowledge.others < 1 || policy->acknowledge.others >= HF_MAX_REGIONS)) {
        return hf_fail(err, HF_E_INVALID, "other:%d; allowed: other:1 to other:%d",
                       policy->acknowledge.others, HF_MAX_REGIONS - 1);
    }
    HF_TRY(check_duration("rpo.target", policy->rpo.target, ret_path, err));
    HF_TRY(check_duration("rto.target", policy->rto_target, ret_path, err));
    if (policy->failover.max_loss_time.us != HF_POLICY_NO_TIME_LIMIT.us) {
        HF_TRY(check_duration("failover.max_loss.time", policy->failover.max_loss_time, ret_path,
                              err));
    }
    HF_TRY(check_route(policy, ret_path, err));
    return check_backups(policy, ret_path, err);
}
