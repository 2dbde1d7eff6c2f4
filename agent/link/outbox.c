/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/link/outbox.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/log.h"

enum { FILE_NAME_SIZE = HF_LABEL_SIZE + 16 };

struct entry {
    char id[HF_LABEL_SIZE];
    char *text; /* the whole message */
    size_t len;
    bool durable;
};

/* One write or removal on a worker. */
struct task {
    struct hf_job job;
    struct hf_outbox *outbox;
    bool remove;
    char path[HF_PATH_SIZE + FILE_NAME_SIZE];
    char id[HF_LABEL_SIZE];
    char *text;
    size_t len;
    hf_result result;
    struct hf_err err;
};

struct hf_outbox {
    char directory[HF_PATH_SIZE];
    struct hf_pool *pool;
    hf_outbox_ready ready;
    void *arg;
    size_t count;
    size_t bytes;
    struct entry entries[HF_OUTBOX_REPORTS];
};

static bool id_valid(const char *id)
{
    size_t n = strnlen(id, HF_LABEL_SIZE);
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)id[i]) && strchr("._-", id[i]) == NULL) {
            return false;
        }
    }
    return n > 0 && n < HF_LABEL_SIZE && id[0] != '.';
}

static struct entry *find(struct hf_outbox *o, const char *id)
{
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->entries[i].id, id) == 0) {
            return &o->entries[i];
        }
    }
    return NULL;
}

static void append(struct hf_outbox *o, const char *id, char *text, size_t len, bool durable)
{
    struct entry *e = &o->entries[o->count++];
    *e = (struct entry){.text = text, .len = len, .durable = durable};
    snprintf(e->id, sizeof(e->id), "%s", id);
    o->bytes += len;
}

static hf_result load_one(struct hf_outbox *o, const char *path, struct hf_err *err)
{
    HF_BUF(text, HF_MESSAGE_MAX);
    HF_TRY(hf_file_read(path, &text, err));
    struct hf_message *m = hf_alloc(sizeof(*m));
    hf_result r = hf_message_decode(hf_buf_text(&text), text.len, m, err);
    if (hf_ok(r) && (m->type != HF_MESSAGE_REPORT || !id_valid(m->report.id))) {
        r = hf_fail(err, HF_E_INVALID, "%s: not a report", path);
    }
    bool room = o->count < HF_OUTBOX_REPORTS && o->bytes + text.len <= HF_OUTBOX_BYTES;
    if (hf_ok(r) && room && find(o, m->report.id) == NULL) {
        append(o, m->report.id, hf_strdup(hf_buf_text(&text)), text.len, true);
    }
    hf_free(m);
    return r;
}

static hf_result load(struct hf_outbox *o, struct hf_err *err)
{
    DIR *d = opendir(o->directory);
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", o->directory);
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        char path[HF_PATH_SIZE + 300];
        char bad[HF_PATH_SIZE + 310];
        struct hf_err why;
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", o->directory, e->d_name);
        if (hf_ok(load_one(o, path, &why))) {
            continue;
        }
        snprintf(bad, sizeof(bad), "%s.bad", path);
        hf_log(HF_LOG_ERROR, "OUTBOX_DAMAGED", "a waiting report cannot be read; put aside",
               HF_KV("file", path), HF_KV_ERR(&why));
        if (rename(path, bad) != 0) {
            hf_log(HF_LOG_ERROR, "OUTBOX_DAMAGED", "and cannot be renamed", HF_KV("file", path));
        }
    }
    closedir(d);
    return hf_done();
}

hf_result hf_outbox_open(const char *directory, struct hf_pool *pool, hf_outbox_ready ready,
                         void *arg, struct hf_outbox **ret, struct hf_err *err)
{
    HF_TRY(hf_dir_make(directory, 0700, err));
    struct hf_outbox *o = hf_alloc(sizeof(*o));
    snprintf(o->directory, sizeof(o->directory), "%s", directory);
    o->pool = pool;
    o->ready = ready;
    o->arg = arg;
    hf_result r = load(o, err);
    if (!hf_ok(r)) {
        hf_outbox_free(o);
        return r;
    }
    *ret = o;
    return hf_done();
}

void hf_outbox_free(struct hf_outbox *o)
{
    for (size_t i = 0; o != NULL && i < o->count; i++) {
        hf_free(o->entries[i].text);
    }
    hf_free(o);
}

/* Worker thread. */
static void task_run(struct hf_job *job)
{
    struct task *t = (struct task *)job;
    t->result = t->remove ? hf_file_remove_durable(t->path, &t->err)
                          : hf_file_write_durable(t->path, t->text, t->len, 0600, &t->err);
}

static void forget(struct hf_outbox *o, struct entry *e)
{
    o->bytes -= e->len;
    hf_free(e->text);
    size_t at = (size_t)(e - o->entries);
    memmove(e, e + 1, (o->count - at - 1) * sizeof(*e));
    o->count--;
}

static void task_done(struct hf_job *job)
{
    struct task *t = (struct task *)job;
    struct entry *e = t->remove ? NULL : find(t->outbox, t->id);
    if (!job->ran) {
        task_run(job); /* the agent stops: a report must not be lost to that */
    }
    if (!hf_ok(t->result)) {
        /* A removal that failed leads to one more report, which is told apart by its id; a report
         * that is not on disk is sent all the same, as long as this process lives. */
        hf_log(HF_LOG_ERROR, "OUTBOX_DISK", "a report's file could not be changed",
               HF_KV("file", t->path), HF_KV_ERR(&t->err));
    }
    if (e != NULL && job->ran) {
        e->durable = true;
        t->outbox->ready(t->outbox->arg, e->text, e->len);
    }
    hf_free(t->text);
    hf_free(t);
}

static void submit(struct hf_outbox *o, bool remove, const char *id, const char *text, size_t len)
{
    struct hf_err err;
    struct task *t = hf_alloc(sizeof(*t));
    t->job.run = task_run;
    t->job.done = task_done;
    t->outbox = o;
    t->remove = remove;
    snprintf(t->id, sizeof(t->id), "%s", id);
    snprintf(t->path, sizeof(t->path), "%s/%s.json", o->directory, id);
    t->text = text != NULL ? hf_strdup(text) : NULL;
    t->len = len;
    if (!hf_ok(hf_pool_submit(o->pool, HF_LANE_URGENT, &t->job, &err))) {
        hf_log(HF_LOG_ERROR, "OUTBOX_DISK", "no worker for a report's file", HF_KV("id", id),
               HF_KV_ERR(&err));
        hf_free(t->text);
        hf_free(t);
    }
}

hf_result hf_outbox_add(struct hf_outbox *o, const struct hf_report *report, struct hf_err *err)
{
    if (!id_valid(report->id)) {
        return hf_fail(err, HF_E_INVALID, "report id: letters, digits, dot, underscore, minus");
    }
    if (find(o, report->id) != NULL) {
        return hf_fail(err, HF_E_EXISTS, "report %s waits already", report->id);
    }
    HF_BUF(text, HF_MESSAGE_MAX);
    struct hf_message *m = hf_alloc(sizeof(*m));
    m->type = HF_MESSAGE_REPORT;
    m->report = *report;
    hf_result r = hf_message_encode(m, &text, err);
    hf_free(m);
    HF_TRY(r);
    if (o->count == HF_OUTBOX_REPORTS || o->bytes + text.len > HF_OUTBOX_BYTES) {
        return hf_fail(err, HF_E_LIMIT, "outbox: at most %d reports and %d bytes wait",
                       (int)HF_OUTBOX_REPORTS, (int)HF_OUTBOX_BYTES);
    }
    append(o, report->id, hf_strdup(hf_buf_text(&text)), text.len, false);
    submit(o, false, report->id, hf_buf_text(&text), text.len);
    return hf_done();
}

void hf_outbox_ack(struct hf_outbox *o, const char *id)
{
    struct entry *e = find(o, id);
    if (e != NULL && e->durable) {
        forget(o, e);
        submit(o, true, id, NULL, 0);
    }
}

const char *hf_outbox_at(const struct hf_outbox *o, size_t i, size_t *ret_len)
{
    size_t n = 0;
    for (size_t at = 0; at < o->count; at++) {
        if (o->entries[at].durable && n++ == i) {
            *ret_len = o->entries[at].len;
            return o->entries[at].text;
        }
    }
    return NULL;
}

size_t hf_outbox_count(const struct hf_outbox *o)
{
    return o->count;
}
