/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy's JSON codec (docs/api.md). A reader refuses members it does not know: a policy that
 * is half understood would be enforced half.
 */
#include "common/core/policy.h"

#include <inttypes.h>
#include <string.h>

#include "common/core/name.h"

/* --- writing --- */

static void put_regions(hf_json *o, const char *key, const struct hf_policy_regions *regions)
{
    hf_json *a = hf_json_array();
    for (size_t i = 0; i < regions->count; i++) {
        hf_json_push_text(a, regions->v[i].s);
    }
    hf_json_put(o, key, a);
}

static void put_failover(hf_json *o, const struct hf_policy *p)
{
    hf_json *f = hf_json_object();
    hf_json_put_text(f, "mode", HF_FAILOVER_MODE_NAMES[p->failover.mode]);
    put_regions(f, "prefer", &p->failover.prefer);
    put_regions(f, "exclude", &p->failover.exclude);
    hf_json *m = hf_json_object();
    if (p->failover.max_loss_time.us == HF_POLICY_NO_TIME_LIMIT.us) {
        hf_json_put_null(m, "time_ms");
    } else {
        hf_json_put_i64(m, "time_ms", p->failover.max_loss_time.us / 1000);
    }
    if (p->failover.max_loss_wal == HF_POLICY_NO_WAL_LIMIT) {
        hf_json_put_null(m, "wal_bytes");
    } else {
        hf_json_put_u64(m, "wal_bytes", p->failover.max_loss_wal);
    }
    hf_json_put(f, "max_loss", m);
    hf_json_put_text(f, "on_excess_loss", HF_EXCESS_LOSS_NAMES[p->failover.on_excess_loss]);
    hf_json_put(o, "failover", f);
}

static void put_route(hf_json *o, const struct hf_policy *p)
{
    if (!p->route.present) {
        hf_json_put_null(o, "route");
        return;
    }
    hf_json *r = hf_json_object();
    hf_json_put_text(r, "provider", p->route.provider.s);
    hf_json_put_text(r, "name", p->route.name);
    hf_json_put_text(r, "type", HF_ROUTE_TYPE_NAMES[p->route.type]);
    hf_json_put_i64(r, "ttl_ms", p->route.ttl.us / 1000);
    hf_json_put(o, "route", r);
}

static void put_backups(hf_json *o, const struct hf_policy *p)
{
    hf_json *a = hf_json_array();
    for (size_t i = 0; i < p->backup_count; i++) {
        const struct hf_policy_backup *b = &p->backups[i];
        hf_json *v = hf_json_object();
        hf_json_put_text(v, "name", b->name.s);
        hf_json_put_text(v, "type", HF_POLICY_BACKUP_TYPE_NAMES[b->type]);
        hf_json_put_text(v, "cron", b->cron);
        hf_json_put_text(v, "zone", b->zone);
        hf_json_put_text(v, "from", HF_POLICY_BACKUP_FROM_NAMES[b->from]);
        hf_json *keep = hf_json_object();
        hf_json_put_int(keep, "last", b->keep_last);
        hf_json_put(v, "keep", keep);
        hf_json_push(a, v);
    }
    hf_json_put(o, "backups", a);
}

hf_json *hf_policy_to_json(const struct hf_policy *p)
{
    hf_json *o = hf_json_object();
    hf_json_put_int(o, "version", HF_POLICY_VERSION);
    hf_json_put_text(o, "tenant", p->tenant.s);
    hf_json_put_text(o, "name", p->cluster.s);
    hf_json *nodes = hf_json_object();
    for (size_t i = 0; i < p->node_count; i++) {
        hf_json *n = hf_json_object();
        hf_json_put_text(n, "region", p->nodes[i].region.s);
        hf_json_put(nodes, p->nodes[i].name.s, n);
    }
    hf_json_put(o, "nodes", nodes);
    hf_json_put_text(o, "level", HF_LEVEL_NAMES[p->level]);
    hf_json *b = hf_json_object();
    hf_json_put_text(b, "kind", HF_BOOTSTRAP_NAMES[p->bootstrap.kind]);
    hf_json_put_text(b, "name", p->bootstrap.name.s);
    hf_json_put(o, "bootstrap", b);
    hf_json *rpo = hf_json_object();
    hf_json_put_i64(rpo, "target_ms", p->rpo.target.us / 1000);
    hf_json_put_text(rpo, "enforcement", HF_ENFORCEMENT_NAMES[p->rpo.enforcement]);
    hf_json_put_text(rpo, "unknown", HF_ENFORCEMENT_NAMES[p->rpo.unknown]);
    hf_json_put(o, "rpo", rpo);
    hf_json *rto = hf_json_object();
    hf_json_put_i64(rto, "target_ms", p->rto_target.us / 1000);
    hf_json_put(o, "rto", rto);
    put_failover(o, p);
    hf_json *wal = hf_json_object();
    hf_json_put_text(wal, "acknowledge", HF_ACKNOWLEDGE_NAMES[p->acknowledge.kind]);
    hf_json_put_int(wal, "others", p->acknowledge.others);
    hf_json_put(o, "wal", wal);
    put_route(o, p);
    put_backups(o, p);
    return o;
}

/* --- reading --- */

/* Refuses members that are not in the list (ends with NULL). */
static hf_result known_members(const hf_json *o, const char *what, const char *const *known,
                               struct hf_err *err)
{
    if (!hf_json_is_object(o)) {
        return hf_fail(err, HF_E_INVALID, "%s must be an object", what);
    }
    for (size_t i = 0; i < hf_json_size(o); i++) {
        const char *key = hf_json_key(hf_json_at(o, i));
        size_t k = 0;
        while (known[k] != NULL && strcmp(known[k], key) != 0) {
            k++;
        }
        if (known[k] == NULL) {
            return hf_fail(err, HF_E_INVALID, "%s has an unknown member \"%.64s\"", what, key);
        }
    }
    return hf_done();
}

#define KNOWN(o, what, err, ...)                                                                   \
    known_members((o), (what), (const char *const[]){__VA_ARGS__, NULL}, (err))

static hf_result get_name(const hf_json *o, const char *key, hf_name *ret, struct hf_err *err)
{
    char text[HF_NAME_SIZE + 1] = "";
    HF_TRY(hf_json_get_text(o, key, text, sizeof text, err));
    return hf_name_parse(key, text, ret, err);
}

/* An enum by its names; a missing member leaves *ret. */
static hf_result get_enum(const hf_json *o, const char *key, const char *const *names,
                          unsigned *ret, struct hf_err *err)
{
    char text[HF_NAME_SIZE] = "";
    if (hf_json_member(o, key) == NULL) {
        return hf_done();
    }
    HF_TRY(hf_json_get_text(o, key, text, sizeof text, err));
    for (unsigned i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return hf_done();
        }
    }
    return hf_fail(err, HF_E_INVALID, "member \"%s\" has the unknown value \"%s\"", key, text);
}

#define GET_ENUM(o, key, names, field, err)                                                        \
    do {                                                                                           \
        unsigned value_ = (unsigned)(field);                                                       \
        HF_TRY(get_enum((o), (key), (names), &value_, (err)));                                     \
        (field) = (__typeof__(field))value_;                                                       \
    } while (0)

static hf_result get_ms(const hf_json *o, const char *key, hf_dur *ret, struct hf_err *err)
{
    int64_t ms = ret->us / 1000;
    if (hf_json_member(o, key) == NULL) {
        return hf_done();
    }
    HF_TRY(hf_json_get_i64(o, key, &ms, err));
    if (ms < 0 || ms > INT64_MAX / 1000 - 1) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" is out of bounds", key);
    }
    *ret = HF_MS(ms);
    return hf_done();
}

static hf_result get_count(const hf_json *o, const char *key, int32_t max, int32_t *ret,
                           struct hf_err *err)
{
    int64_t n = *ret;
    HF_TRY(hf_json_get_i64_opt(o, key, &n, err));
    if (n < 0 || n > max) {
        return hf_fail(err, HF_E_INVALID, "member \"%s\" is %" PRId64 "; allowed: 0 to %d", key, n,
                       max);
    }
    *ret = (int32_t)n;
    return hf_done();
}

static hf_result read_nodes(const hf_json *o, struct hf_policy *p, struct hf_err *err)
{
    const hf_json *nodes = NULL;
    HF_TRY(hf_json_get_object(o, "nodes", &nodes, err));
    size_t count = hf_json_size(nodes);
    if (count == 0 || count > HF_MAX_NODES) {
        return hf_fail(err, HF_E_LIMIT, "%zu nodes; allowed: 1 to %d", count, HF_MAX_NODES);
    }
    for (size_t i = 0; i < count; i++) {
        const hf_json *n = hf_json_at(nodes, i);
        HF_TRY(hf_name_parse("node", hf_json_key(n), &p->nodes[i].name, err));
        HF_TRY(KNOWN(n, "node", err, "region"));
        HF_TRY(get_name(n, "region", &p->nodes[i].region, err));
    }
    p->node_count = count;
    return hf_done();
}

static hf_result read_regions(const hf_json *o, const char *key, struct hf_policy_regions *ret,
                              struct hf_err *err)
{
    const hf_json *a = NULL;
    if (hf_json_member(o, key) == NULL) {
        return hf_done();
    }
    HF_TRY(hf_json_get_array(o, key, HF_MAX_REGIONS, &a, err));
    for (size_t i = 0; i < hf_json_size(a); i++) {
        HF_TRY(hf_name_parse("region", hf_json_text(hf_json_at(a, i)), &ret->v[i], err));
    }
    ret->count = hf_json_size(a);
    return hf_done();
}

static hf_result read_failover(const hf_json *o, struct hf_policy *p, struct hf_err *err)
{
    const hf_json *f = hf_json_member(o, "failover");
    if (f == NULL) {
        return hf_done();
    }
    HF_TRY(KNOWN(f, "failover", err, "mode", "prefer", "exclude", "max_loss", "on_excess_loss"));
    GET_ENUM(f, "mode", HF_FAILOVER_MODE_NAMES, p->failover.mode, err);
    HF_TRY(read_regions(f, "prefer", &p->failover.prefer, err));
    HF_TRY(read_regions(f, "exclude", &p->failover.exclude, err));
    GET_ENUM(f, "on_excess_loss", HF_EXCESS_LOSS_NAMES, p->failover.on_excess_loss, err);
    const hf_json *m = hf_json_member(f, "max_loss");
    if (m == NULL) {
        return hf_done();
    }
    HF_TRY(KNOWN(m, "max_loss", err, "time_ms", "wal_bytes"));
    HF_TRY(get_ms(m, "time_ms", &p->failover.max_loss_time, err));
    return hf_json_get_u64_opt(m, "wal_bytes", &p->failover.max_loss_wal, err);
}

static hf_result read_targets(const hf_json *o, struct hf_policy *p, struct hf_err *err)
{
    const hf_json *rpo = hf_json_member(o, "rpo");
    if (rpo != NULL) {
        HF_TRY(KNOWN(rpo, "rpo", err, "target_ms", "enforcement", "unknown"));
        HF_TRY(get_ms(rpo, "target_ms", &p->rpo.target, err));
        GET_ENUM(rpo, "enforcement", HF_ENFORCEMENT_NAMES, p->rpo.enforcement, err);
        GET_ENUM(rpo, "unknown", HF_ENFORCEMENT_NAMES, p->rpo.unknown, err);
    }
    const hf_json *rto = hf_json_member(o, "rto");
    if (rto != NULL) {
        HF_TRY(KNOWN(rto, "rto", err, "target_ms"));
        HF_TRY(get_ms(rto, "target_ms", &p->rto_target, err));
    }
    const hf_json *wal = hf_json_member(o, "wal");
    if (wal != NULL) {
        HF_TRY(KNOWN(wal, "wal", err, "acknowledge", "others"));
        GET_ENUM(wal, "acknowledge", HF_ACKNOWLEDGE_NAMES, p->acknowledge.kind, err);
        HF_TRY(get_count(wal, "others", HF_MAX_REGIONS - 1, &p->acknowledge.others, err));
    }
    return hf_done();
}

static hf_result read_route(const hf_json *o, struct hf_policy *p, struct hf_err *err)
{
    const hf_json *r = hf_json_member(o, "route");
    if (r == NULL) {
        return hf_done();
    }
    HF_TRY(KNOWN(r, "route", err, "provider", "name", "type", "ttl_ms"));
    p->route.present = true;
    HF_TRY(get_name(r, "provider", &p->route.provider, err));
    HF_TRY(hf_json_get_text(r, "name", p->route.name, sizeof p->route.name, err));
    GET_ENUM(r, "type", HF_ROUTE_TYPE_NAMES, p->route.type, err);
    return get_ms(r, "ttl_ms", &p->route.ttl, err);
}

static hf_result read_backup(const hf_json *v, struct hf_policy_backup *b, struct hf_err *err)
{
    HF_TRY(KNOWN(v, "backup", err, "name", "type", "cron", "zone", "from", "keep"));
    HF_TRY(get_name(v, "name", &b->name, err));
    GET_ENUM(v, "type", HF_POLICY_BACKUP_TYPE_NAMES, b->type, err);
    HF_TRY(hf_json_get_text_opt(v, "cron", b->cron, sizeof b->cron, err));
    memcpy(b->zone, "UTC", sizeof "UTC");
    HF_TRY(hf_json_get_text_opt(v, "zone", b->zone, sizeof b->zone, err));
    GET_ENUM(v, "from", HF_POLICY_BACKUP_FROM_NAMES, b->from, err);
    const hf_json *keep = hf_json_member(v, "keep");
    if (keep == NULL) {
        return hf_done();
    }
    HF_TRY(KNOWN(keep, "keep", err, "last"));
    return get_count(keep, "last", 10000, &b->keep_last, err);
}

static hf_result read_backups(const hf_json *o, struct hf_policy *p, struct hf_err *err)
{
    const hf_json *a = NULL;
    if (hf_json_member(o, "backups") == NULL) {
        return hf_done();
    }
    HF_TRY(hf_json_get_array(o, "backups", HF_POLICY_MAX_BACKUPS, &a, err));
    for (size_t i = 0; i < hf_json_size(a); i++) {
        HF_TRY(read_backup(hf_json_at(a, i), &p->backups[i], err));
    }
    p->backup_count = hf_json_size(a);
    return hf_done();
}

static hf_result read_bootstrap(const hf_json *o, struct hf_policy *p, struct hf_err *err)
{
    const hf_json *b = NULL;
    HF_TRY(hf_json_get_object(o, "bootstrap", &b, err));
    HF_TRY(KNOWN(b, "bootstrap", err, "kind", "name"));
    if (hf_json_member(b, "kind") == NULL) {
        return hf_fail(err, HF_E_INVALID, "member \"kind\" is missing");
    }
    GET_ENUM(b, "kind", HF_BOOTSTRAP_NAMES, p->bootstrap.kind, err);
    return get_name(b, "name", &p->bootstrap.name, err);
}

static hf_result read_policy(const hf_json *v, struct hf_policy *p, struct hf_err *err)
{
    HF_TRY(KNOWN(v, "policy", err, "version", "tenant", "name", "nodes", "level", "bootstrap",
                 "rpo", "rto", "failover", "wal", "route", "backups"));
    int64_t version = 0;
    HF_TRY(hf_json_get_i64(v, "version", &version, err));
    if (version != HF_POLICY_VERSION) {
        return hf_fail(err, HF_E_INVALID, "policy version %" PRId64 "; allowed: %d", version,
                       HF_POLICY_VERSION);
    }
    HF_TRY(get_name(v, "tenant", &p->tenant, err));
    HF_TRY(get_name(v, "name", &p->cluster, err));
    HF_TRY(read_nodes(v, p, err));
    GET_ENUM(v, "level", HF_LEVEL_NAMES, p->level, err);
    HF_TRY(read_bootstrap(v, p, err));
    HF_TRY(read_targets(v, p, err));
    HF_TRY(read_failover(v, p, err));
    HF_TRY(read_route(v, p, err));
    return read_backups(v, p, err);
}

hf_result hf_policy_from_json(const hf_json *v, struct hf_policy *ret, struct hf_err *err)
{
    struct hf_policy p;
    hf_policy_init(&p);
    hf_result r = read_policy(v, &p, err);
    if (!hf_ok(r)) {
        return hf_fail_context(err, "policy");
    }
    char path[HF_POLICY_PATH_SIZE] = "";
    r = hf_policy_check(&p, path, err);
    if (!hf_ok(r)) {
        return hf_fail_context(err, "policy: %s", path);
    }
    *ret = p;
    return hf_done();
}
