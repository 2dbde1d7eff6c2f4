/* SPDX-License-Identifier: Apache-2.0
 *
 * The WAL part within the running agent.
 */
#include <string.h>

#include "agent/node/agent.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"

struct wal_request {
    struct hf_agent *agent;
    uint64_t ticket;
};

static void on_answer(void *arg, hf_result result, const hf_json *json, const struct hf_err *err)
{
    struct wal_request *r = arg;
    if (r->agent->socket != NULL) {
        hf_socket_answer(r->agent->socket, r->ticket, result, json, err);
    }
    hf_free(r);
}

void hf_agent_wal_request(struct hf_agent *a, uint64_t ticket, const hf_json *request)
{
    struct wal_request *r = hf_alloc(sizeof(*r));
    r->agent = a;
    r->ticket = ticket;
    hf_wal_service_request(a->wal, request, on_answer, r);
}

/* A primary archives under its epoch and on its own timeline; anybody else reads along the line
 * that the leader names. The timeline of a node that was just promoted is told only after
 * PostgreSQL itself has said it: the record of an epoch is never changed. */
void hf_agent_wal_update(struct hf_agent *a)
{
    if (a->wal == NULL) {
        return;
    }
    struct hf_agent_core *c = a->core;
    bool writable = a->seen.running && a->seen.known && !a->seen.in_recovery;
    uint64_t system_id = a->seen.system_id;
    if (c->state == HF_NODE_PRIMARY || c->state == HF_NODE_STOPPING) {
        if (writable) {
            hf_wal_service_update(a->wal, system_id, c->record.led, a->seen.timeline);
        }
    } else {
        hf_wal_service_update(a->wal, system_id, HF_EPOCH(0),
                              writable ? a->seen.timeline : c->view.timeline);
    }
    struct hf_wal_facts f;
    hf_wal_service_facts(a->wal, &f);
    c->repository_known = f.repository_known;
    c->repository_ok = f.repository_ok;
    c->wal_to = f.wal_to;
    c->wal_timeline = f.wal_timeline;
    c->archive_queue = f.archive_queue;
    memcpy(c->newest_backup, f.newest_backup, sizeof(c->newest_backup));
}

static hf_result command(struct hf_agent *a, const char *verb, const char *arguments, char *ret,
                         size_t size, struct hf_err *err)
{
    HF_BUF(text, size - 1);
    HF_TRY(hf_pgconf_shell_word(&text, a->paths.program, err));
    HF_TRY(hf_buf_printf(&text, err, " %s --config ", verb));
    HF_TRY(hf_pgconf_shell_word(&text, a->paths.config, err));
    HF_TRY(hf_buf_printf(&text, err, " %s", arguments));
    memcpy(ret, hf_buf_text(&text), text.len + 1);
    return hf_done();
}

hf_result hf_agent_wal_start(struct hf_agent *a, struct hf_err *err)
{
    if (a->config->repository_count == 0) {
        return hf_done();
    }
    struct hf_op_env *e = &a->op_env;
    HF_TRY(
        command(a, "archive-push", "\"%p\"", e->archive_command, sizeof(e->archive_command), err));
    HF_TRY(command(a, "archive-get", "--standby %f \"%p\"", e->restore_command,
                   sizeof(e->restore_command), err));
    return hf_wal_service_new(a->config, a->loop, a->work, &a->wal, err);
}
