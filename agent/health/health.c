/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/health/health.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "common/io/process.h"

/* What the worker thread looks at; owned by the pool while `running`. */
struct look {
    struct hf_job job;
    struct hf_health *health;
    uint64_t round;
    struct hf_instance instance;
    char copying_mark[HF_PATH_SIZE];
    struct hf_postmaster last; /* of the look before */
    /* results */
    bool complete;
    bool processes;
    uint64_t system_id; /* of pg_control, 0 = none */
    bool disk_known;
    uint64_t disk_free;
    struct hf_postmaster postmaster;
};

struct hf_health {
    struct hf_loop *loop;
    struct hf_pool *pool;
    const struct hf_config_postgresql *postgresql;
    char page[HF_PATH_SIZE + 32];
    hf_health_fn fn;
    void *arg;
    struct hf_timer *timer;
    uint64_t round; /* raised by reset: older results are dropped */

    struct look look;
    bool looking;
    bool freed;
    bool looked; /* seen and postmaster are from a look of this round */
    struct hf_pg_observation seen;
    struct hf_postmaster postmaster;

    struct hf_pg *pg;
    struct hf_postmaster connected_to;
    hf_lclk asked_at;
    hf_lclk answered_at; /* instant before which the answer was true; 0 = none */
    bool complained;
};

/* On a standby positions that a receiver got are no less than those that were replayed, although
 * pg_last_wal_receive_lsn() restarts at a segment's beginning, or is NULL. A primary's checkpoint
 * names its old timeline for a while after a promotion; the name of its WAL file does not.
 * latest_end_lsn is the sender's end, as its newest message had it (replication/walreceiver.c:
 * ProcessWalSndrMessage). */
static const char question[] =
    "SELECT pg_is_in_recovery(),"
    " (SELECT system_identifier::text FROM pg_control_system()),"
    " CASE WHEN pg_is_in_recovery() THEN"
    "  GREATEST(w.received_tli, (SELECT timeline_id FROM pg_control_checkpoint()),"
    "   (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::text"
    " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))"
    "  ::bit(32)::bigint::text END,"
    " coalesce(CASE WHEN pg_is_in_recovery() THEN"
    "  GREATEST(w.written_lsn, pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    " ELSE pg_current_wal_insert_lsn() END, '0/0'),"
    " coalesce(CASE WHEN pg_is_in_recovery() THEN"
    "  GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    " ELSE pg_current_wal_flush_lsn() END, '0/0'),"
    " coalesce(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
    " ELSE pg_current_wal_flush_lsn() END, '0/0'),"
    " coalesce(w.status = 'streaming', false),"
    " coalesce(w.latest_end_lsn, '0/0'),"
    " coalesce(greatest(0, extract(epoch FROM"
    "  clock_timestamp() - w.last_msg_receipt_time) * 1000000)::bigint, 0)::text"
    " FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver w ON true";

/* Asked once for each connection. A name with a dot may be set without the library: only what the
 * library itself defined has that context. */
static const char guard_question[] =
    "SELECT coalesce((SELECT p.setting FROM pg_settings p, pg_settings m"
    " WHERE p.name = 'holdfast.page' AND p.context = 'postmaster'"
    " AND m.name = 'holdfast.managed' AND m.context = 'postmaster' AND m.setting = 'on'), '')";

void hf_health_pg_config(const struct hf_config_postgresql *pg, char port[8],
                         struct hf_pg_config *ret)
{
    const char *colon = strrchr(pg->advertise, ':');
    snprintf(port, 8, "%s", colon == NULL ? "5432" : colon + 1);
    *ret = (struct hf_pg_config){
        .host = pg->socket_dir,
        .port = port,
        .dbname = pg->database,
        .user = pg->user,
        .passfile = pg->passfile[0] != '\0' ? pg->passfile : NULL,
        .application_name = "holdfast-agent",
        .options = "-c statement_timeout=2000 -c synchronous_commit=local",
        .connect_timeout = HF_HEALTH_SQL_LIMIT,
    };
}

static bool same_process(const struct hf_postmaster *a, const struct hf_postmaster *b)
{
    return a->pid == b->pid && a->start == b->start;
}

static bool still_lives(const struct hf_postmaster *p)
{
    uint64_t start = 0;
    char state = 'Z';
    return p->pid > 1 && hf_ok(hf_proc_start_time(p->pid, &start, NULL)) && start == p->start &&
           hf_ok(hf_proc_state(p->pid, &state, NULL, NULL)) && state != 'Z' && state != 'X';
}

/* The system identifier opens the file, the version of its layout follows (PostgreSQL:
 * catalog/pg_control.h); known also while the server is down. */
static uint64_t control_system_id(const char *path)
{
    struct {
        uint64_t system_id;
        uint32_t version;
    } head;
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        head.version < 1000 || head.version > 9999) {
        return 0;
    }
    return head.system_id;
}

/* What is left for PostgreSQL, which is not root, where the path lies. */
static bool space_left(const char *path, uint64_t *ret_bytes)
{
    struct statvfs volume;
    if (statvfs(path, &volume) != 0) {
        return false;
    }
    *ret_bytes = (uint64_t)volume.f_bavail * volume.f_frsize;
    return true;
}

/* Worker thread. pg_wal may be a link to another volume. */
static void look_at_volumes(struct look *l)
{
    char path[HF_PATH_SIZE + 32];
    uint64_t data = 0;
    uint64_t wal = 0;
    snprintf(path, sizeof(path), "%s/pg_wal", l->instance.data_dir);
    l->disk_known = space_left(l->instance.data_dir, &data) && space_left(path, &wal);
    l->disk_free = data < wal ? data : wal;
}

/* Worker thread. */
static void look_run(struct hf_job *job)
{
    struct look *l = (struct look *)job;
    char path[HF_PATH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/PG_VERSION", l->instance.data_dir);
    l->complete = hf_file_exists(path);
    snprintf(path, sizeof(path), "%s/global/pg_control", l->instance.data_dir);
    l->complete = l->complete && hf_file_exists(path) && !hf_file_exists(l->copying_mark);
    l->system_id = l->complete ? control_system_id(path) : 0;
    hf_instance_postmaster(&l->instance, &l->postmaster);
    if (l->postmaster.pid == 0 && still_lives(&l->last)) {
        l->postmaster = l->last; /* its file was away for a moment; it is not */
    }
    size_t count = 0;
    pid_t one;
    l->processes = l->postmaster.pid != 0 ||
                   !hf_ok(hf_instance_list(&l->instance, &one, 1, &count, NULL)) || count > 0;
    look_at_volumes(l);
}

static void report(struct hf_health *h)
{
    struct hf_pg_observation seen = h->seen;
    hf_dur age = hf_lclk_sub(hf_clock_lease(), h->answered_at);
    seen.known = seen.running && h->answered_at.us != 0 && age.us <= HF_HEALTH_FRESH.us &&
                 same_process(&h->connected_to, &h->postmaster);
    h->fn(h->arg, &seen, &h->postmaster);
}

static void drop_connection(struct hf_health *h)
{
    hf_pg_close(h->pg);
    h->pg = NULL;
}

static hf_result take_answer(const struct hf_pg_result *res, struct hf_pg_observation *ret,
                             struct hf_err *err)
{
    struct hf_pg_observation o = *ret;
    uint64_t timeline = 0;
    uint64_t heard_ago = 0;
    if (hf_pg_rows(res) != 1) {
        return hf_fail(err, HF_E_INVALID, "%d rows instead of one", hf_pg_rows(res));
    }
    HF_TRY(hf_pg_bool(res, 0, 0, &o.in_recovery, err));
    HF_TRY(hf_pg_u64(res, 0, 1, &o.system_id, err));
    HF_TRY(hf_pg_u64(res, 0, 2, &timeline, err));
    HF_TRY(hf_pg_lsn(res, 0, 3, &o.written, err));
    HF_TRY(hf_pg_lsn(res, 0, 4, &o.flushed, err));
    HF_TRY(hf_pg_lsn(res, 0, 5, &o.replayed, err));
    HF_TRY(hf_pg_bool(res, 0, 6, &o.streaming, err));
    HF_TRY(hf_pg_lsn(res, 0, 7, &o.upstream, err));
    HF_TRY(hf_pg_u64(res, 0, 8, &heard_ago, err));
    o.heard_ago = HF_US(heard_ago);
    o.timeline = HF_TLI(timeline);
    *ret = o;
    return hf_done();
}

static void complain(struct hf_health *h, const struct hf_err *err)
{
    if (!h->complained) {
        h->complained = true;
        hf_log(HF_LOG_WARNING, "PG_NO_ANSWER", "PostgreSQL does not answer", HF_KV_ERR(err));
    }
}

static void on_answer(void *arg, hf_result result, const struct hf_pg_result *res,
                      const struct hf_err *err)
{
    struct hf_health *h = arg;
    struct hf_err own;
    if (!hf_ok(result)) {
        complain(h, err);
        drop_connection(h);
        return;
    }
    if (!hf_ok(take_answer(res, &h->seen, &own))) {
        complain(h, &own);
        return;
    }
    h->complained = false;
    h->seen.clock_us = h->asked_at.us;
    h->answered_at = h->asked_at;
    if (h->looked) {
        report(h);
    }
}

static void ask(struct hf_health *h)
{
    struct hf_err err;
    h->asked_at = hf_clock_lease_low();
    if (!hf_ok(hf_pg_query(h->pg, question, 0, NULL, HF_HEALTH_SQL_LIMIT, on_answer, h, &err))) {
        complain(h, &err);
        drop_connection(h);
    }
}

static void on_guard_answer(void *arg, hf_result result, const struct hf_pg_result *res,
                            const struct hf_err *err)
{
    struct hf_health *h = arg;
    if (!hf_ok(result)) {
        complain(h, err);
        drop_connection(h);
        return;
    }
    h->seen.guard =
        hf_pg_rows(res) == 1 && h->page[0] != '\0' && strcmp(hf_pg_text(res, 0, 0), h->page) == 0;
    ask(h);
}

static void on_connected(void *arg, hf_result result, const struct hf_err *err)
{
    struct hf_health *h = arg;
    if (!hf_ok(result)) {
        if (result.code != HF_E_AGAIN) {
            complain(h, err);
        }
        drop_connection(h);
        return;
    }
    struct hf_err own;
    if (!hf_ok(hf_pg_query(h->pg, guard_question, 0, NULL, HF_HEALTH_SQL_LIMIT, on_guard_answer, h,
                           &own))) {
        complain(h, &own);
        drop_connection(h);
    }
}

static void on_lost(void *arg, const struct hf_err *err)
{
    struct hf_health *h = arg;
    (void)err; /* the next look says what happened */
    drop_connection(h);
}

static void ask_or_connect(struct hf_health *h)
{
    if (h->pg != NULL) {
        if (hf_pg_state(h->pg) == HF_PG_IDLE) {
            ask(h);
        }
        return;
    }
    char port[8];
    struct hf_pg_config config;
    struct hf_err err;
    hf_health_pg_config(h->postgresql, port, &config);
    h->connected_to = h->postmaster;
    h->answered_at = (hf_lclk){0};
    h->seen.guard = false;
    if (!hf_ok(hf_pg_connect(h->loop, &config, on_connected, on_lost, h, &h->pg, &err))) {
        complain(h, &err);
    }
}

static void on_timer(void *arg);

static void look_done(struct hf_job *job)
{
    struct look *l = (struct look *)job;
    struct hf_health *h = l->health;
    h->looking = false;
    if (h->freed) {
        hf_free(h);
        return;
    }
    if (!l->job.ran || l->round != h->round) {
        if (l->round != h->round) {
            on_timer(h); /* a reset came meanwhile: what it wanted to know waits for this */
        }
        return;
    }
    bool other = !same_process(&l->postmaster, &h->postmaster);
    h->postmaster = l->postmaster;
    h->seen.complete = l->complete;
    h->seen.system_id = l->system_id;
    h->seen.running = l->postmaster.pid != 0;
    h->seen.processes = l->processes;
    h->seen.disk_known = l->disk_known;
    h->seen.disk_free = l->disk_free;
    h->looked = true;
    if (other || !h->seen.running) {
        drop_connection(h);
        h->answered_at = (hf_lclk){0};
    }
    report(h);
    if (h->seen.running && l->round == h->round) {
        ask_or_connect(h);
    }
}

static void on_timer(void *arg)
{
    struct hf_health *h = arg;
    struct hf_err err;
    if (h->looking) {
        return; /* a slow disk: the next period */
    }
    h->look.job = (struct hf_job){.run = look_run, .done = look_done};
    h->look.round = h->round;
    h->look.last = h->postmaster;
    if (hf_ok(hf_pool_submit(h->pool, HF_LANE_URGENT, &h->look.job, &err))) {
        h->looking = true;
    } else {
        hf_log(HF_LOG_WARNING, "HEALTH_BUSY", "no worker for a look at PostgreSQL",
               HF_KV_ERR(&err));
    }
}

hf_result hf_health_new(struct hf_loop *loop, struct hf_pool *pool,
                        const struct hf_health_config *config, hf_health_fn fn, void *arg,
                        struct hf_health **ret, struct hf_err *err)
{
    if (config->period.us < 1000) {
        return hf_fail(err, HF_E_INVALID, "period of looks: at least 1 ms");
    }
    struct hf_health *h = hf_alloc(sizeof(*h));
    h->loop = loop;
    h->pool = pool;
    h->postgresql = config->postgresql;
    h->fn = fn;
    h->arg = arg;
    h->look.health = h;
    hf_instance_init(&h->look.instance, config->postgresql->data_dir);
    snprintf(h->page, sizeof(h->page), "%s", config->page == NULL ? "" : config->page);
    snprintf(h->look.copying_mark, sizeof(h->look.copying_mark), "%s", config->copying_mark);
    h->timer = hf_timer_new(loop, on_timer, h);
    hf_timer_every(h->timer, config->period);
    on_timer(h);
    *ret = h;
    return hf_done();
}

void hf_health_free(struct hf_health *h)
{
    if (h == NULL) {
        return;
    }
    hf_timer_free(h->timer);
    drop_connection(h);
    h->freed = true;
    if (!h->looking) {
        hf_free(h);
    }
}

void hf_health_reset(struct hf_health *h)
{
    h->round++;
    h->looked = false;
    h->answered_at = (hf_lclk){0};
    h->seen = (struct hf_pg_observation){.known = false};
    drop_connection(h);
    on_timer(h);
}
