/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives a DNS provider of a coordinator.yaml without a coordinator:
 *   route_probe FILE PROVIDER NAME TYPE VALUE TTL SECONDS task   until it is verified
 *   route_probe FILE PROVIDER NAME TYPE VALUE TTL SECONDS once   read, wait for a line, set
 * Prints a line a step, "CODE: text" when it failed, and leaves with status 1 then.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "coordinator/route/route.h"

struct outcome {
    bool ended;
    hf_result result;
    struct hf_route_seen seen;
    struct hf_err err;
};

static void ended(void *arg, hf_result result, const struct hf_route_seen *seen,
                  const struct hf_err *err)
{
    struct outcome *o = arg;
    o->ended = true;
    o->result = result;
    o->err = *err;
    if (seen != NULL) {
        o->seen = *seen;
    }
}

static int fail(const struct hf_err *err)
{
    (void)printf("%s: %s\n", hf_code_name(err->code), err->text);
    return 1;
}

static void step(struct hf_loop *loop)
{
    if (!hf_ok(hf_loop_step(loop, HF_MS(20), NULL))) {
        exit(2);
    }
}

static int run_task(const struct hf_route_env *env, const struct hf_route_record *record,
                    hf_lclk end)
{
    struct hf_route_task *t = NULL;
    struct hf_err err;
    const hf_name node = {"probe"};
    if (!hf_ok(hf_route_task_new(env->loop, env->http, env->config, record, &node, &t, &err))) {
        return fail(&err);
    }
    while (hf_route_task_state(t) != HF_ROUTE_DONE && hf_lclk_before(hf_clock_lease(), end)) {
        step(env->loop);
    }
    bool done = hf_route_task_state(t) == HF_ROUTE_DONE;
    (void)printf("%s%s\n", done ? "done" : "not done: ", hf_route_task_problem(t));
    hf_route_task_free(t);
    return done ? 0 : 1;
}

static int finish(const struct hf_route_env *env, struct outcome *o)
{
    while (!o->ended) {
        step(env->loop);
    }
    return hf_ok(o->result) ? 0 : fail(&o->err);
}

static int run_once(const struct hf_route_env *env, const struct hf_route_record *record)
{
    const struct hf_route_provider *p = hf_route_provider_of(env->config->type);
    struct outcome reading = {.ended = false};
    struct outcome setting = {.ended = false};
    struct hf_route_call *call = NULL;
    struct hf_err err;
    char line[64];
    if (!hf_ok(p->read(env, record, ended, &reading, &call, &err))) {
        return fail(&err);
    }
    if (finish(env, &reading) != 0) {
        return 1;
    }
    const struct hf_route_seen *seen = &reading.seen;
    (void)printf("read found=%d count=%d ttl=%" PRId64 " first=%s\n", seen->found, seen->count,
                 seen->ttl.us / 1000000, seen->values[0]);
    (void)fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
        return 0;
    }
    if (!hf_ok(p->set(env, record, seen, ended, &setting, &call, &err))) {
        return fail(&err);
    }
    if (finish(env, &setting) != 0) {
        return 1;
    }
    (void)printf("set\n");
    return 0;
}

static int prepare(char **argv, struct hf_config_coordinator *config, struct hf_route_env *env,
                   struct hf_route_record *record, struct hf_err *err)
{
    if (!hf_ok(hf_config_coordinator_load(argv[1], config, NULL, err))) {
        return 1;
    }
    env->config = hf_config_coordinator_dns(config, argv[2]);
    while (env->config != NULL && strcmp(HF_ROUTE_TYPE_NAMES[record->type], argv[4]) != 0 &&
           record->type != HF_ROUTE_CNAME) {
        record->type++;
    }
    if (env->config == NULL) {
        (void)hf_fail(err, HF_E_NOT_FOUND, "%s has no DNS provider %s", argv[1], argv[2]);
        return 1;
    }
    (void)snprintf(record->name, sizeof record->name, "%s", argv[3]);
    (void)snprintf(record->value, sizeof record->value, "%s", argv[5]);
    record->ttl = HF_SEC(strtol(argv[6], NULL, 10));
    return hf_ok(hf_loop_new(&env->loop, err)) &&
                   hf_ok(hf_http_client_new(env->loop, 4, &env->http, err))
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    HF_AUTOFREE struct hf_config_coordinator *config = hf_alloc(sizeof *config);
    struct hf_route_env env = {.loop = NULL};
    struct hf_route_record record = {.type = HF_ROUTE_A};
    struct hf_err err = {.code = HF_OK};
    if (argc != 9) {
        (void)fprintf(stderr,
                      "usage: route_probe FILE PROVIDER NAME TYPE VALUE TTL SECONDS task|once\n");
        return 2;
    }
    hf_log_init("route_probe", HF_LOG_WARNING, HF_LOG_STDERR);
    if (prepare(argv, config, &env, &record, &err) != 0) {
        return fail(&err);
    }
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(strtol(argv[7], NULL, 10)));
    int status =
        strcmp(argv[8], "task") == 0 ? run_task(&env, &record, end) : run_once(&env, &record);
    hf_http_client_free(env.http);
    hf_loop_free(env.loop);
    return status;
}
