/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/page_keeper.h"

#include <stdio.h>
#include <string.h>

#include "common/io/log.h"

static void publish(struct hf_page_keeper *k)
{
    hf_page_write(&k->map, &k->state);
}

hf_result hf_page_keeper_open(struct hf_page_keeper *k, const char *path, const char *data_dir,
                              hf_dur grace, struct hf_err *err)
{
    struct hf_page_keeper made = {.confirmed = false};
    struct hf_err why;
    if (strlen(data_dir) >= sizeof(made.state.data_dir)) {
        return hf_fail(err, HF_E_LIMIT, "data directory \"%s\": at most %zu bytes", data_dir,
                       sizeof(made.state.data_dir) - 1);
    }
    HF_TRY(hf_page_open(path, true, &made.map, err));
    if (!hf_ok(hf_page_read(&made.map, &made.state, &why))) {
        hf_log(HF_LOG_INFO, "PAGE_NEW", "lease page begun anew", HF_KV_ERR(&why));
        made.state = (struct hf_page_state){.commits_until = {INT64_MAX}};
    }
    made.state.grace = grace;
    snprintf(made.state.data_dir, sizeof(made.state.data_dir), "%s", data_dir);
    *k = made;
    publish(k);
    return hf_done();
}

void hf_page_keeper_close(struct hf_page_keeper *k)
{
    hf_page_close(&k->map);
}

void hf_page_keeper_apply(struct hf_page_keeper *k, const struct hf_agent_effect *e,
                          hf_generation generation)
{
    struct hf_page_state *s = &k->state;
    s->generation = generation;
    if (e->open) {
        bool other = s->epoch.v != e->epoch.v || s->serial != e->serial;
        k->confirmed = k->confirmed && !other;
        s->epoch = e->epoch;
        s->serial = e->serial;
        s->deadline = e->deadline;
        s->armed = true;
    }
    s->open = e->open;
    publish(k);
}

void hf_page_keeper_epoch(struct hf_page_keeper *k, hf_epoch newest)
{
    if (newest.v > k->state.newest_epoch.v) {
        k->state.newest_epoch = newest;
        publish(k);
    }
}

void hf_page_keeper_primary(struct hf_page_keeper *k, const char *address)
{
    if (strcmp(k->state.primary, address) != 0) {
        memset(k->state.primary, 0, sizeof(k->state.primary));
        snprintf(k->state.primary, sizeof(k->state.primary), "%s", address);
        publish(k);
    }
}

void hf_page_keeper_seen(struct hf_page_keeper *k, const struct hf_pg_observation *seen,
                         const struct hf_postmaster *postmaster)
{
    struct hf_page_state *s = &k->state;
    bool standby = seen->known && seen->in_recovery && !s->open;
    bool same =
        s->postmaster_pid == (uint32_t)postmaster->pid && s->postmaster_start == postmaster->start;
    bool guard = seen->known ? seen->guard : same && s->guard;
    if (same && guard == s->guard && !(s->armed && standby)) {
        return;
    }
    s->guard = guard;
    s->postmaster_pid = (uint32_t)postmaster->pid;
    s->postmaster_start = postmaster->start;
    s->armed = s->armed && !standby;
    publish(k);
}

void hf_page_keeper_ended(struct hf_page_keeper *k)
{
    k->state.armed = false;
    k->state.guard = false;
    k->state.postmaster_pid = 0;
    k->state.postmaster_start = 0;
    publish(k);
}

bool hf_page_keeper_fenced(struct hf_page_keeper *k, struct hf_page_fencer *ret)
{
    struct hf_page_fencer f;
    if (k->confirmed || !k->state.armed || !hf_ok(hf_page_read_fencer(&k->map, &f, NULL)) ||
        f.fenced_epoch.v == 0 || f.fenced_epoch.v != k->state.epoch.v ||
        f.fenced_serial != k->state.serial) {
        return false;
    }
    k->confirmed = true;
    *ret = f;
    return true;
}
