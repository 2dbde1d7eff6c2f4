/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast-agent run: brings the parts up, keeps them, takes them down.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "agent/node/agent.h"
#include "agent/node/child.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "common/io/service.h"

enum { CONTROL_THREADS = 6, WORK_THREADS = 8, QUEUE = 1024, HEARTBEAT_MS = 250, CARE_MS = 1000 };

static hf_result fill_paths(const char *config, struct hf_agent *a, struct hf_err *err)
{
    struct hf_agent_paths *p = &a->paths;
    const char *state = a->config->state_dir;
    char absolute[PATH_MAX];
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (realpath(config, absolute) == NULL || n <= 0) {
        return hf_fail_errno(err, errno, "%s", config);
    }
    program[n] = '\0';
    if (strlen(absolute) >= sizeof(p->config) || (size_t)n >= sizeof(p->program)) {
        return hf_fail(err, HF_E_LIMIT, "%s: path longer than %d bytes", absolute, HF_PATH_SIZE);
    }
    snprintf(p->config, sizeof(p->config), "%.*s", HF_PATH_SIZE - 1, absolute);
    snprintf(p->program, sizeof(p->program), "%.*s", HF_PATH_SIZE - 1, program);
    char *slash = strrchr(program, '/');
    *slash = '\0';
    snprintf(p->fencer, sizeof(p->fencer), "%.1000s/holdfast-fencer", program);
    snprintf(p->lock, sizeof(p->lock), "%s/agent.lock", state);
    snprintf(p->record, sizeof(p->record), "%s/agent.json", state);
    snprintf(p->born, sizeof(p->born), "%s/agent.born", state);
    snprintf(p->page, sizeof(p->page), "%s/lease.page", state);
    snprintf(p->fencer_lock, sizeof(p->fencer_lock), "%s/fencer.lock", state);
    snprintf(p->fencer_log, sizeof(p->fencer_log), "%s/fencer.log", state);
    return hf_done();
}

static hf_result take_lock(struct hf_agent *a, struct hf_err *err)
{
    a->lock_fd = open(a->paths.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (a->lock_fd < 0) {
        return hf_fail_errno(err, errno, "open %s", a->paths.lock);
    }
    if (flock(a->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return hf_fail(err, HF_E_CONFLICT, "another agent runs on %s", a->config->state_dir);
    }
    return hf_done();
}

static hf_result make_core(struct hf_agent *a, const char *boot, struct hf_err *err)
{
    struct hf_agent_record *record = NULL;
    bool first = false;
    HF_TRY(hf_agent_record_load(&a->paths, &record, &first, err));
    const struct hf_agent_config config = {
        .node = a->config->name,
        .managed = a->managed,
        .archive = !a->config->has_postgresql,
        .heartbeat = HF_MS(HEARTBEAT_MS),
        .ttl = HF_MS(HF_LEASE_TTL_DEFAULT_MS),
        .margin_ppm = HF_LEASE_MARGIN_DEFAULT_PPM,
        .grace = a->config->postgresql.fence_grace,
    };
    a->core = hf_alloc(sizeof(*a->core));
    hf_agent_core_init(a->core, &config, record, first, boot, hf_random_u64(), hf_clock_lease());
    hf_free(record);
    /* What is taken over at the start is durable before anything rests on it. */
    return hf_agent_record_save(&a->paths, &a->core->record, err);
}

/* --- what comes in --- */

static void on_seen(void *arg, const struct hf_pg_observation *seen,
                    const struct hf_postmaster *postmaster)
{
    struct hf_agent *a = arg;
    a->seen = *seen;
    hf_lag_note(&a->lag, seen);
    if (a->managed) {
        hf_page_keeper_seen(&a->keeper, seen, postmaster);
    }
    const struct hf_agent_event e = {.kind = HF_EVENT_PG, .pg = seen};
    hf_agent_step(a, &e, 0);
}

static void on_message(void *arg, unsigned origin, const struct hf_message *m)
{
    const struct hf_agent_event e = {.kind = HF_EVENT_MESSAGE, .message = m};
    hf_agent_step(arg, &e, origin);
}

static void on_operation(void *arg, const struct hf_op *op)
{
    struct hf_agent *a = arg;
    bool ok = hf_ok(op->result);
    if (op->kind != HF_EFFECT_PG_PROBE && op->kind != HF_EFFECT_PG_DRAIN) {
        /* Looks that were begun before it ended say nothing any more. */
        hf_health_reset(a->health);
        a->seen.known = false;
    }
    if (op->kind == HF_EFFECT_PG_KILL && ok && a->managed) {
        hf_page_keeper_ended(&a->keeper);
    }
    if (op->kind == HF_EFFECT_PG_COPY && ok) {
        memcpy(a->rejoined.way, op->way, sizeof(a->rejoined.way));
        memcpy(a->rejoined.salvaged, op->salvaged, sizeof(a->rejoined.salvaged));
        a->rejoined.took = op->took;
    }
    const struct hf_agent_event e = {.kind = HF_EVENT_EFFECT_DONE,
                                     .effect_id = op->id,
                                     .ok = ok,
                                     .error = ok ? "" : op->err.text,
                                     .end = op->end,
                                     .timeline = op->end_timeline};
    hf_agent_step(a, &e, 0);
}

static void on_request(void *arg, uint64_t ticket, const char *verb, const hf_json *request)
{
    struct hf_agent *a = arg;
    struct hf_err err;
    if (a->wal != NULL && strncmp(verb, "archive-", 8) == 0) {
        hf_agent_wal_request(a, ticket, request);
        return;
    }
    if (strcmp(verb, "status") == 0) {
        HF_AUTOJSON hf_json *status = hf_agent_status(a);
        hf_socket_answer(a->socket, ticket, hf_done(), status, NULL);
        return;
    }
    hf_socket_answer(a->socket, ticket,
                     hf_fail(&err, HF_E_UNSUPPORTED, "do: \"%s\" is not known here", verb), NULL,
                     &err);
}

static void on_stop(void *arg, int signal)
{
    struct hf_agent *a = arg;
    hf_log(HF_LOG_NOTICE, "AGENT_STOPS", "the agent stops; PostgreSQL goes on",
           HF_KV_I64("signal", signal), HF_KV_BOOL("lease_held", a->core->holding));
    hf_service_stopping();
    hf_loop_stop(a->loop);
}

/* --- the fencer --- */

struct fencer_job {
    struct hf_job job;
    struct hf_agent *agent;
    hf_result result;
    struct hf_err err;
};

static hf_result start_fencer(struct hf_agent *a, struct hf_err *err)
{
    const struct hf_fencer_files files = {.program = a->paths.fencer,
                                          .page = a->paths.page,
                                          .lock = a->paths.fencer_lock,
                                          .log = a->paths.fencer_log};
    return hf_fencer_ensure(&files, err);
}

static void fencer_run(struct hf_job *job)
{
    struct fencer_job *f = (struct fencer_job *)job;
    f->result = start_fencer(f->agent, &f->err);
}

static void fencer_done(struct hf_job *job)
{
    struct fencer_job *f = (struct fencer_job *)job;
    f->agent->fencing_started = false;
    if (job->ran && !hf_ok(f->result)) {
        hf_log(HF_LOG_ERROR, "FENCER_ABSENT", "the fencer cannot be started", HF_KV_ERR(&f->err));
    }
    hf_free(f);
}

static void on_care(void *arg)
{
    struct hf_agent *a = arg;
    struct hf_err err;
    (void)hf_child_reap();
    hf_service_status("%s, epoch %llu, %s", hf_node_state_name(a->core->state),
                      (unsigned long long)a->core->record.epoch.v,
                      hf_agent_is_primary(a) ? "primary" : "not primary");
    if (!a->managed || a->fencing_started || hf_fencer_runs(a->paths.fencer_lock)) {
        return;
    }
    hf_log(HF_LOG_ERROR, "FENCER_GONE", "the fencer is gone; started anew");
    struct fencer_job *f = hf_alloc(sizeof(*f));
    f->job = (struct hf_job){.run = fencer_run, .done = fencer_done};
    f->agent = a;
    if (hf_ok(hf_pool_submit(a->control, HF_LANE_URGENT, &f->job, &err))) {
        a->fencing_started = true;
    } else {
        hf_free(f);
    }
}

/* --- up and down --- */

/* An agent that was killed while the directory was half-made (pg_rewind removes the file). */
static hf_result guard_half_made(const struct hf_op_env *e, struct hf_err *err)
{
    const char *directory = e->config->postgresql.data_dir;
    char path[HF_PATH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/PG_VERSION", directory);
    return hf_file_exists(e->copying_mark) && hf_file_exists(path)
               ? hf_pgconf_signal_put(directory, err)
               : hf_done();
}

static hf_result open_postgresql(struct hf_agent *a, struct hf_err *err)
{
    struct hf_op_env *e = &a->op_env;
    const char *state = a->config->state_dir;
    e->config = a->config;
    e->page = &a->keeper.map;
    snprintf(e->log, sizeof(e->log), "%s/postgresql.log", state);
    snprintf(e->copying_mark, sizeof(e->copying_mark), "%s/copying", state);
    if (a->managed) {
        HF_TRY(guard_half_made(e, err));
        HF_TRY(hf_page_keeper_open(&a->keeper, a->paths.page, a->config->postgresql.data_dir,
                                   a->config->postgresql.fence_grace, err));
        snprintf(e->page_path, sizeof(e->page_path), "%s", a->paths.page);
        HF_TRY(start_fencer(a, err));
    }
    a->executor = hf_executor_new(a->control, e, on_operation, a);
    return hf_done();
}

static hf_result start_parts(struct hf_agent *a, const char *boot, struct hf_err *err)
{
    HF_TRY(hf_loop_signal(a->loop, SIGTERM, on_stop, a, err));
    HF_TRY(hf_loop_signal(a->loop, SIGINT, on_stop, a, err));
    HF_TRY(hf_ws_hub_new(a->loop, &a->hub, err));
    HF_TRY(hf_pool_new(a->loop, CONTROL_THREADS, QUEUE, &a->control, err));
    HF_TRY(hf_pool_new(a->loop, WORK_THREADS, QUEUE, &a->work, err));
    HF_TRY(make_core(a, boot, err));
    if (a->config->has_postgresql) {
        HF_TRY(open_postgresql(a, err));
    }
    if (a->config->coordinator_count > 0) {
        HF_TRY(hf_link_new(a->hub, a->control, a->config, boot, on_message, a, &a->link, err));
    }
    HF_TRY(hf_agent_wal_start(a, err));
    hf_agent_step_start(a);
    if (a->config->has_postgresql) {
        const struct hf_health_config config = {.postgresql = &a->config->postgresql,
                                                .page = a->op_env.page_path,
                                                .copying_mark = a->op_env.copying_mark,
                                                .period = HF_MS(HEARTBEAT_MS)};
        HF_TRY(hf_health_new(a->loop, a->control, &config, on_seen, a, &a->health, err));
    }
    HF_TRY(hf_socket_new(a->loop, a->config->socket, on_request, a, &a->socket, err));
    HF_TRY(hf_agent_http_start(a, err));
    a->care = hf_timer_new(a->loop, on_care, a);
    hf_timer_every(a->care, HF_MS(CARE_MS));
    a->watchdog = hf_service_watchdog(a->loop);
    return hf_done();
}

static void stop_parts(struct hf_agent *a)
{
    a->stopping = true;
    if (a->executor != NULL) {
        hf_executor_cancel(a->executor);
    }
    hf_wal_service_free(a->wal);
    a->wal = NULL;
    hf_socket_free(a->socket);
    a->socket = NULL;
    hf_pool_free(a->work);
    hf_agent_backup_free(a);
    hf_pool_free(a->control);
    hf_executor_free(a->executor);
    hf_health_free(a->health);
    hf_link_free(a->link);
    hf_timer_free(a->care);
    hf_timer_free(a->watchdog);
    hf_agent_step_free(a);
    hf_ws_hub_free(a->hub);
    hf_page_keeper_close(&a->keeper);
    hf_loop_free(a->loop);
    hf_free(a->core);
    if (a->lock_fd >= 0) {
        close(a->lock_fd);
    }
}

static void init_log(const struct hf_config_log *log)
{
    static const enum hf_log_level levels[] = {[HF_CONFIG_LOG_DEBUG] = HF_LOG_DEBUG,
                                               [HF_CONFIG_LOG_INFO] = HF_LOG_INFO,
                                               [HF_CONFIG_LOG_WARNING] = HF_LOG_WARNING,
                                               [HF_CONFIG_LOG_ERROR] = HF_LOG_ERROR};
    static const enum hf_log_target targets[] = {[HF_CONFIG_LOG_AUTO] = HF_LOG_AUTO,
                                                 [HF_CONFIG_LOG_JOURNALD] = HF_LOG_JOURNALD,
                                                 [HF_CONFIG_LOG_STDERR] = HF_LOG_STDERR};
    hf_log_init("holdfast-agent", levels[log->level], targets[log->target]);
}

static hf_result run_agent(struct hf_agent *a, const char *config_path, struct hf_err *err)
{
    char boot[HF_BOOT_ID_SIZE];
    HF_TRY(hf_config_agent_load(config_path, a->config, NULL, err));
    a->managed = a->config->has_postgresql && a->config->coordinator_count > 0 &&
                 a->config->postgresql.manage != HF_MANAGE_OBSERVE;
    init_log(&a->config->log);
    HF_TRY(hf_dir_make(a->config->state_dir, 0700, err));
    HF_TRY(fill_paths(config_path, a, err));
    HF_TRY(take_lock(a, err));
    HF_TRY(hf_clock_boot_id(boot, err));
    if (chdir("/") != 0) {
        return hf_fail_errno(err, errno, "chdir /");
    }
    HF_TRY(hf_loop_new(&a->loop, err));
    HF_TRY(start_parts(a, boot, err));
    hf_log(HF_LOG_NOTICE, "AGENT_READY", "the agent is ready", HF_KV("node", a->config->name.s),
           HF_KV_BOOL("managed", a->managed), HF_KV_U64("epoch", a->core->record.epoch.v));
    hf_service_ready();
    return hf_ws_run(a->hub, err);
}

static const char *config_argument(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {NULL, 0, NULL, 0}};
    const char *path = "/etc/holdfast/agent.yaml";
    for (int c; (c = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (c != 'c') {
            return NULL;
        }
        path = optarg;
    }
    return optind == argc ? path : NULL;
}

int hf_cli_run(int argc, char **argv)
{
    struct hf_err err;
    const char *path = config_argument(argc, argv);
    if (path == NULL) {
        fprintf(stderr, "usage: holdfast-agent run [--config FILE]\n");
        return 2;
    }
    struct hf_agent *a = hf_alloc(sizeof(*a));
    a->lock_fd = -1;
    a->config = hf_alloc(sizeof(*a->config));
    a->beat = hf_alloc(sizeof(*a->beat));
    hf_result r = run_agent(a, path, &err);
    if (!hf_ok(r)) {
        hf_log(HF_LOG_ERROR, "AGENT_FAILED", "the agent cannot run", HF_KV_ERR(&err));
        fprintf(stderr, "holdfast-agent: %s\n", err.text);
    }
    stop_parts(a);
    hf_free(a->beat);
    hf_free(a->config);
    hf_free(a);
    return hf_ok(r) ? 0 : 1;
}

int hf_cli_status(int argc, char **argv)
{
    struct hf_err err;
    const char *path = config_argument(argc, argv);
    if (path == NULL) {
        fprintf(stderr, "usage: holdfast-agent status [--config FILE]\n");
        return 2;
    }
    struct hf_config_agent *config = hf_alloc(sizeof(*config));
    HF_AUTOJSON hf_json *request = hf_json_object();
    HF_AUTOJSON hf_json *answer = NULL;
    HF_BUF(text, HF_SOCKET_FRAME_MAX * 2);
    hf_json_put_int(request, "v", 1);
    hf_json_put_text(request, "do", "status");
    hf_result r = hf_config_agent_load(path, config, NULL, &err);
    r = hf_ok(r) ? hf_socket_ask(config->socket, request, HF_SEC(5), &answer, &err) : r;
    r = hf_ok(r) ? hf_json_write(answer, &text, &err) : r;
    hf_free(config);
    if (!hf_ok(r)) {
        fprintf(stderr, "holdfast-agent: %s\n", err.text);
        return 1;
    }
    printf("%s\n", hf_buf_text(&text));
    return 0;
}
