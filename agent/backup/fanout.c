/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup/fanout.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/io/log.h"
#include "holdfast/types.h"

/* Another region that has held us up for longer than this, and three times longer than the own
 * one, is left behind. */
enum { PATIENCE_US = 10 * 1000000 };

struct target {
    struct hf_repository *repository;
    _Atomic(bool) dead;
    _Atomic(int64_t) held_us;
    struct hf_err why; /* under the lock */
};

struct hf_fanout {
    size_t count;
    struct target targets[HF_MAX_REGIONS];
    pthread_mutex_t lock;
};

struct hf_fanout_stream {
    struct hf_fanout *fanout;
    struct hf_store_writer *writers[HF_MAX_REGIONS]; /* NULL: none */
};

struct hf_fanout *hf_fanout_new(struct hf_repository *const *repositories, size_t n)
{
    HF_ASSERT(n >= 1 && n <= HF_MAX_REGIONS);
    struct hf_fanout *f = hf_alloc(sizeof(*f));
    f->count = n;
    for (size_t i = 0; i < n; i++) {
        f->targets[i].repository = repositories[i];
    }
    pthread_mutex_init(&f->lock, NULL);
    return f;
}

void hf_fanout_free(struct hf_fanout *f)
{
    if (f == NULL) {
        return;
    }
    pthread_mutex_destroy(&f->lock);
    hf_free(f);
}

size_t hf_fanout_count(const struct hf_fanout *f)
{
    return f->count;
}

bool hf_fanout_alive(struct hf_fanout *f, size_t i, struct hf_err *ret_why)
{
    bool dead = atomic_load(&f->targets[i].dead);
    if (dead && ret_why != NULL) {
        pthread_mutex_lock(&f->lock);
        *ret_why = f->targets[i].why;
        pthread_mutex_unlock(&f->lock);
    }
    return !dead;
}

void hf_fanout_drop(struct hf_fanout *f, size_t i, const struct hf_err *why)
{
    HF_ASSERT(i > 0 && i < f->count);
    pthread_mutex_lock(&f->lock);
    bool first = !atomic_exchange(&f->targets[i].dead, true);
    if (first) {
        f->targets[i].why = *why;
    }
    pthread_mutex_unlock(&f->lock);
    if (first) {
        hf_log(HF_LOG_WARNING, "BACKUP_REPOSITORY_BEHIND",
               "a repository is left behind; the backup is copied there later",
               HF_KV("region", hf_repository_name(f->targets[i].repository)), HF_KV_ERR(why));
    }
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void account(struct hf_fanout *f, size_t i, int64_t begun)
{
    int64_t held = atomic_fetch_add(&f->targets[i].held_us, now_us() - begun) + now_us() - begun;
    int64_t own = atomic_load(&f->targets[0].held_us);
    if (i > 0 && held > PATIENCE_US && held / 3 > own) {
        struct hf_err why = {0};
        HF_IGNORE(
            hf_fail(&why, HF_E_TIMEOUT, "held the backup up for %lld ms", (long long)held / 1000),
            "only its text is wanted");
        hf_fanout_drop(f, i, &why);
    }
}

/* The first repository's failure is the caller's; another's leaves that one behind. */
static hf_result judge(struct hf_fanout *f, size_t i, hf_result r, struct hf_err *mine,
                       struct hf_err *err)
{
    if (hf_ok(r)) {
        return r;
    }
    if (i > 0) {
        hf_fanout_drop(f, i, mine);
        return hf_done();
    }
    HF_IGNORE(hf_fail_context(mine, "repository %s", hf_repository_name(f->targets[0].repository)),
              "the code stays");
    if (err != NULL) {
        *err = *mine;
    }
    return r;
}

hf_result hf_fanout_put(struct hf_fanout *f, const char *name, const void *bytes, size_t len,
                        struct hf_err *err)
{
    struct hf_store_put_options once = {.create_once = true};
    for (size_t i = 0; i < f->count; i++) {
        struct hf_err mine = {0};
        char key[HF_STORE_KEY_SIZE];
        struct hf_repository *r = f->targets[i].repository;
        if (!hf_fanout_alive(f, i, NULL)) {
            continue;
        }
        int64_t begun = now_us();
        hf_result done = hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), name, key, &mine);
        if (hf_ok(done)) {
            done = hf_store_put(hf_repository_store(r), key, bytes, len, once, &mine);
        }
        if (done.code == HF_E_UNSUPPORTED) {
            /* A store without conditional create: names of backups are unique by construction. */
            done = hf_store_put(hf_repository_store(r), key, bytes, len,
                                (struct hf_store_put_options){0}, &mine);
        }
        account(f, i, begun);
        HF_TRY(judge(f, i, done, &mine, err));
    }
    return hf_done();
}

hf_result hf_fanout_open(struct hf_fanout *f, const char *name, struct hf_fanout_stream **ret,
                         struct hf_err *err)
{
    struct hf_fanout_stream *s = hf_alloc(sizeof(*s));
    s->fanout = f;
    for (size_t i = 0; i < f->count; i++) {
        struct hf_err mine = {0};
        char key[HF_STORE_KEY_SIZE];
        struct hf_repository *r = f->targets[i].repository;
        if (!hf_fanout_alive(f, i, NULL)) {
            continue;
        }
        hf_result done = hf_object_key(hf_keyring_cluster(hf_repository_ring(r)), name, key, &mine);
        if (hf_ok(done)) {
            done = hf_store_writer_open(hf_repository_store(r), key, &s->writers[i], &mine);
        }
        done = judge(f, i, done, &mine, err);
        if (!hf_ok(done)) {
            hf_fanout_abort(s);
            return done;
        }
    }
    *ret = s;
    return hf_done();
}

static void abort_one(struct hf_fanout_stream *s, size_t i)
{
    if (s->writers[i] != NULL) {
        hf_store_writer_abort(s->writers[i]);
        s->writers[i] = NULL;
    }
}

hf_result hf_fanout_write(void *stream, const void *bytes, size_t len, struct hf_err *err)
{
    struct hf_fanout_stream *s = stream;
    struct hf_fanout *f = s->fanout;
    for (size_t i = 0; i < f->count; i++) {
        struct hf_err mine = {0};
        if (s->writers[i] == NULL) {
            continue;
        }
        if (!hf_fanout_alive(f, i, NULL)) {
            abort_one(s, i);
            continue;
        }
        int64_t begun = now_us();
        hf_result done = hf_store_writer_write(s->writers[i], bytes, len, &mine);
        account(f, i, begun);
        HF_TRY(judge(f, i, done, &mine, err));
    }
    return hf_done();
}

hf_result hf_fanout_commit(struct hf_fanout_stream *s, struct hf_err *err)
{
    struct hf_fanout *f = s->fanout;
    hf_result result = hf_done();
    for (size_t i = 0; i < f->count && hf_ok(result); i++) {
        struct hf_err mine = {0};
        if (s->writers[i] == NULL) {
            continue;
        }
        if (!hf_fanout_alive(f, i, NULL)) {
            abort_one(s, i);
            continue;
        }
        int64_t begun = now_us();
        hf_result done = hf_store_writer_commit(s->writers[i], &mine);
        s->writers[i] = NULL; /* freed whatever the result */
        account(f, i, begun);
        result = judge(f, i, done, &mine, err);
    }
    hf_fanout_abort(s);
    return result;
}

void hf_fanout_abort(struct hf_fanout_stream *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->fanout->count; i++) {
        abort_one(s, i);
    }
    hf_free(s);
}
