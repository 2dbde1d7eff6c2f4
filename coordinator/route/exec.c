/* SPDX-License-Identifier: Apache-2.0
 *
 * A hook: a program of the operator's that sets the name, by argument vector, never by a shell.
 * Reading asks the authoritative servers, not the hook: whoever wrote it, what counts is what they
 * answer, and a hook has one task only. The name counts as set there when every server that answers
 * has it; servers that do not answer are left to the verification after setting.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/process.h"
#include "coordinator/route/dns_query.h"
#include "coordinator/route/route_provider.h"

enum { OUTPUT_MAX = 4096, SAID_MAX = 240 };

struct hf_route_call {
    struct hf_route_env env;
    struct hf_route_record record;
    hf_route_done done;
    void *arg;
    /* reading */
    struct hf_dns_query *query;
    size_t asked;
    bool differs; /* a server answered something else */
    struct hf_route_seen seen;
    /* setting */
    struct hf_process *process;
    struct hf_timer *timer;
    bool late;
};

/* The program and what it has started. Its group's number is its own until it is reaped. */
static void kill_group(const struct hf_route_call *c)
{
    if (c->process != NULL && hf_process_running(c->process)) {
        (void)kill(-hf_process_pid(c->process), SIGKILL);
    }
}

static void call_free(struct hf_route_call *c)
{
    kill_group(c);
    hf_process_free(c->process);
    hf_timer_free(c->timer);
    hf_dns_query_cancel(c->query);
    hf_free(c);
}

static void call_end(struct hf_route_call *c, hf_result result, bool tell, const struct hf_err *err)
{
    hf_route_done done = c->done;
    void *owner = c->arg;
    struct hf_route_seen seen = c->seen;
    call_free(c);
    done(owner, result, tell ? &seen : NULL, err);
}

/* --- reading --- */

static hf_result ask_next(struct hf_route_call *c, struct hf_err *err);

static void answered(void *arg, hf_result result, const struct hf_dns_answer *answer,
                     const struct hf_err *problem)
{
    struct hf_route_call *c = arg;
    struct hf_err err = {.code = HF_OK};
    (void)problem; /* a server that is away says nothing about the others */
    c->query = NULL;
    c->asked++;
    if (hf_ok(result) && answer->authoritative) {
        struct hf_route_seen one = {.count = 0};
        for (int i = 0; i < answer->count; i++) {
            hf_route_seen_add(&one, answer->ttl, i < HF_DNS_VALUES ? answer->values[i] : "");
        }
        hf_route_seen_compare(&one, &c->record);
        c->differs = c->differs || !one.found;
        if (one.ttl.us >= c->seen.ttl.us) { /* the highest TTL is what clients may keep */
            c->seen = one;
        }
    }
    if (c->asked < c->env.config->authoritative_count) {
        hf_result r = ask_next(c, &err);
        if (!hf_ok(r)) {
            call_end(c, r, false, &err);
        }
        return;
    }
    c->seen.found = c->seen.found && !c->differs;
    call_end(c, hf_done(), true, &err);
}

static hf_result ask_next(struct hf_route_call *c, struct hf_err *err)
{
    return hf_dns_query_start(c->env.loop, c->env.config->authoritative[c->asked], c->record.name,
                              c->record.type, answered, c, &c->query, err);
}

static struct hf_route_call *call_new(const struct hf_route_env *env,
                                      const struct hf_route_record *record, hf_route_done done,
                                      void *arg)
{
    struct hf_route_call *c = hf_alloc(sizeof *c);
    c->env = *env;
    c->record = *record;
    c->done = done;
    c->arg = arg;
    return c;
}

static hf_result exec_read(const struct hf_route_env *env, const struct hf_route_record *record,
                           hf_route_done done, void *arg, struct hf_route_call **ret,
                           struct hf_err *err)
{
    struct hf_route_call *c = call_new(env, record, done, arg);
    hf_result r = ask_next(c, err);
    if (!hf_ok(r)) {
        call_free(c);
        return r;
    }
    *ret = c;
    return hf_done();
}

/* --- setting --- */

/* The last line of what the program said, without control characters. */
static void last_line(const char *text, char ret[SAID_MAX])
{
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL) {
        n--;
    }
    size_t begin = n;
    while (begin > 0 && text[begin - 1] != '\n' && n - begin < SAID_MAX - 1) {
        begin--;
    }
    for (size_t i = 0; i < n - begin; i++) {
        unsigned char c = (unsigned char)text[begin + i];
        ret[i] = c < 32 || c == 127 ? ' ' : (char)c;
    }
    ret[n - begin] = '\0';
}

static void exited(void *arg, const struct hf_process_exit *result)
{
    struct hf_route_call *c = arg;
    struct hf_err err = {.code = HF_OK};
    hf_result r = hf_done();
    char said[SAID_MAX];
    const char *program = c->env.config->command[0];
    last_line(result->errout[0] != '\0' ? result->errout : result->out, said);
    if (c->late) {
        r = hf_fail(&err, HF_E_TIMEOUT, "%s did not end within %" PRId64 " ms and was killed",
                    program, c->env.config->timeout.us / 1000);
    } else if (result->signaled) {
        r = hf_fail(&err, HF_E_AGAIN, "%s ended by signal %d: %s", program, result->status, said);
    } else if (result->status != 0) {
        r = hf_fail(&err, HF_E_REFUSED, "%s: exit %d: %s", program, result->status, said);
    }
    call_end(c, r, false, &err);
}

static void too_late(void *arg)
{
    struct hf_route_call *c = arg;
    c->late = true;
    kill_group(c);
}

/* What a hook gets besides its arguments; nothing of the coordinator's own environment. */
struct hook_env {
    char name[sizeof("HOLDFAST_NAME=") + HF_POLICY_DNS_NAME_SIZE];
    char type[32];
    char value[sizeof("HOLDFAST_VALUE=") + HF_ADDRESS_SIZE];
    char ttl[48];
    char zone[sizeof("HOLDFAST_ZONE=") + HF_POLICY_DNS_NAME_SIZE];
    const char *all[8];
};

static void fill_env(const struct hf_route_call *c, struct hook_env *ret)
{
    (void)snprintf(ret->name, sizeof ret->name, "HOLDFAST_NAME=%s", c->record.name);
    (void)snprintf(ret->type, sizeof ret->type, "HOLDFAST_TYPE=%s",
                   HF_ROUTE_TYPE_NAMES[c->record.type]);
    (void)snprintf(ret->value, sizeof ret->value, "HOLDFAST_VALUE=%s", c->record.value);
    (void)snprintf(ret->ttl, sizeof ret->ttl, "HOLDFAST_TTL=%" PRId64, c->record.ttl.us / 1000000);
    (void)snprintf(ret->zone, sizeof ret->zone, "HOLDFAST_ZONE=%s", c->env.config->zone);
    const char *const all[] = {ret->name,
                               ret->type,
                               ret->value,
                               ret->ttl,
                               ret->zone,
                               "LC_ALL=C",
                               "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                               NULL};
    memcpy(ret->all, all, sizeof all);
}

static hf_result exec_set(const struct hf_route_env *env, const struct hf_route_record *record,
                          const struct hf_route_seen *seen, hf_route_done done, void *arg,
                          struct hf_route_call **ret, struct hf_err *err)
{
    struct hf_route_call *c = call_new(env, record, done, arg);
    struct hook_env hook = {.all = {NULL}};
    const char *argv[HF_CONFIG_MAX_COMMAND + 1] = {NULL};
    (void)seen; /* a hook knows no condition */
    for (size_t i = 0; i < env->config->command_count; i++) {
        argv[i] = env->config->command[i];
    }
    fill_env(c, &hook);
    const struct hf_process_spec spec = {.argv = argv,
                                         .env = hook.all,
                                         .directory = "/",
                                         .new_session = true,
                                         .capture = true,
                                         .capture_max = OUTPUT_MAX};
    hf_result r = hf_process_start(env->loop, &spec, exited, c, &c->process, err);
    if (!hf_ok(r)) {
        call_free(c);
        return r;
    }
    c->timer = hf_timer_new(env->loop, too_late, c);
    hf_timer_after(c->timer, env->config->timeout);
    *ret = c;
    return hf_done();
}

static void exec_cancel(struct hf_route_call *call)
{
    if (call != NULL) {
        call_free(call);
    }
}

const struct hf_route_provider hf_route_exec = {
    .type = "exec", .read = exec_read, .set = exec_set, .cancel = exec_cancel};
