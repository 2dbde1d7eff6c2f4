/* SPDX-License-Identifier: Apache-2.0
 *
 * Exercises the whole contract of common/io/store.h on a real store, given by its arguments:
 *   store_probe posix PATH PREFIX [bench]
 *   store_probe s3 ENDPOINT BUCKET REGION CREDENTIALS PREFIX [bench]
 * HOLDFAST_PROBE_CA: PEM file of trust anchors. The prefix must be empty of objects. Prints a line
 * a check; the first failed one ends it with status 1.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/store.h"

enum { THREADS = 8, LIST_KEYS = 1203, BIG = (20 << 20) + 12345 };

static struct hf_err err;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)printf("FAILED %s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #condition,    \
                         err.text);                                                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_OK(expression)           CHECK(hf_ok(expression))
#define CHECK_CODE(expression, wanted) CHECK((expression).code == (wanted))

static hf_result put(struct hf_store *s, const char *key, const void *bytes, size_t len, bool once)
{
    return hf_store_put(s, key, bytes, len, (struct hf_store_put_options){.create_once = once},
                        &err);
}

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *e)
{
    return hf_buf_append(arg, bytes, len, e);
}

static hf_result get(struct hf_store *s, const char *key, uint64_t offset, uint64_t len,
                     struct hf_buf *out)
{
    hf_buf_reset(out);
    return hf_store_get(s, key, offset, len, append, out, &err);
}

static bool holds(const struct hf_buf *b, const void *bytes, size_t len)
{
    return b->len == len && (len == 0 || memcmp(b->data, bytes, len) == 0);
}

static void objects(struct hf_store *s, bool once)
{
    HF_BUF(b, 1 << 20);
    CHECK_OK(put(s, "o/a", "one", 3, once));
    if (once) {
        CHECK_CODE(put(s, "o/a", "two", 3, true), HF_E_EXISTS);
    } else {
        CHECK_CODE(put(s, "o/a", "two", 3, true), HF_E_UNSUPPORTED);
    }
    CHECK_OK(get(s, "o/a", 0, UINT64_MAX, &b));
    CHECK(holds(&b, "one", 3));
    CHECK_OK(put(s, "o/a", "three", 5, false));
    CHECK_OK(get(s, "o/a", 0, UINT64_MAX, &b));
    CHECK(holds(&b, "three", 5));
    CHECK_OK(put(s, "o/empty", "", 0, once));
    CHECK_OK(get(s, "o/empty", 0, UINT64_MAX, &b));
    CHECK(b.len == 0);
    struct hf_store_meta m = {0};
    CHECK_OK(hf_store_head(s, "o/a", &m, &err));
    CHECK(m.size == 5);
    int64_t age_us = (int64_t)time(NULL) * 1000000 - m.modified.us;
    CHECK(age_us > -60000000 && age_us < 60000000);
    CHECK_OK(hf_store_head(s, "o/empty", &m, &err));
    CHECK(m.size == 0);
    CHECK_CODE(hf_store_head(s, "o/none", &m, &err), HF_E_NOT_FOUND);
    CHECK_CODE(get(s, "o/none", 0, UINT64_MAX, &b), HF_E_NOT_FOUND);
    CHECK_CODE(get(s, "o/none", 5, 10, &b), HF_E_NOT_FOUND);
    CHECK_OK(hf_store_delete(s, "o/a", &err));
    CHECK_OK(hf_store_delete(s, "o/a", &err));
    CHECK_CODE(get(s, "o/a", 0, UINT64_MAX, &b), HF_E_NOT_FOUND);
    CHECK_OK(hf_store_delete(s, "o/empty", &err));
}

static void ranges(struct hf_store *s)
{
    HF_BUF(b, 100);
    CHECK_OK(put(s, "r", "0123456789", 10, false));
    CHECK_OK(get(s, "r", 0, 10, &b));
    CHECK(holds(&b, "0123456789", 10));
    CHECK_OK(get(s, "r", 3, 4, &b));
    CHECK(holds(&b, "3456", 4));
    CHECK_OK(get(s, "r", 9, 1, &b));
    CHECK(holds(&b, "9", 1));
    CHECK_OK(get(s, "r", 4, UINT64_MAX, &b));
    CHECK(holds(&b, "456789", 6));
    CHECK_OK(get(s, "r", 10, UINT64_MAX, &b));
    CHECK(b.len == 0);
    CHECK_OK(get(s, "r", 10, 0, &b));
    CHECK_CODE(get(s, "r", 11, UINT64_MAX, &b), HF_E_CORRUPT);
    CHECK_CODE(get(s, "r", 8, 3, &b), HF_E_CORRUPT);
    CHECK_CODE(get(s, "r", 10, 1, &b), HF_E_CORRUPT);
    CHECK_CODE(get(s, "r", 11, 0, &b), HF_E_CORRUPT);
    CHECK_OK(hf_store_delete(s, "r", &err));
}

static hf_result write_big(struct hf_store *s, const char *key, const char *bytes, size_t len)
{
    struct hf_store_writer *w = NULL;
    HF_TRY(hf_store_writer_open(s, key, &w, &err));
    for (size_t at = 0; at < len;) {
        size_t n = len - at < 777777 ? len - at : 777777;
        hf_result r = hf_store_writer_write(w, bytes + at, n, &err);
        if (!hf_ok(r)) {
            hf_store_writer_abort(w);
            return r;
        }
        at += n;
    }
    return hf_store_writer_commit(w, &err);
}

static void streams(struct hf_store *s)
{
    HF_AUTOFREE char *bytes = hf_alloc(BIG);
    hf_random(bytes, BIG);
    HF_BUF(b, BIG);
    const size_t sizes[] = {0, 1, 8 << 20, (8 << 20) + 1, BIG};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "s/%zu", sizes[i]);
        CHECK_OK(write_big(s, key, bytes, sizes[i]));
        CHECK_OK(get(s, key, 0, UINT64_MAX, &b));
        CHECK(holds(&b, bytes, sizes[i]));
        CHECK_CODE(write_big(s, key, bytes, sizes[i]), HF_E_EXISTS);
    }
    CHECK_OK(get(s, "s/20983865", (8 << 20) - 5, 10, &b));
    CHECK(holds(&b, bytes + (8 << 20) - 5, 10));
    struct hf_store_writer *w = NULL;
    CHECK_OK(hf_store_writer_open(s, "s/aborted", &w, &err));
    CHECK_OK(hf_store_writer_write(w, bytes, (9 << 20), &err));
    hf_store_writer_abort(w);
    struct hf_store_meta m;
    CHECK_CODE(hf_store_head(s, "s/aborted", &m, &err), HF_E_NOT_FOUND);
}

struct seen {
    int count;
    int prefixes;
    char last[HF_STORE_KEY_SIZE];
};

static hf_result see(void *arg, const struct hf_store_entry *e, struct hf_err *ret)
{
    struct seen *seen = arg;
    if (strcmp(e->key, seen->last) <= 0) {
        return hf_fail(ret, HF_E_INTERNAL, "%s after %s", e->key, seen->last);
    }
    (void)snprintf(seen->last, sizeof seen->last, "%s", e->key);
    seen->count++;
    seen->prefixes += e->is_prefix ? 1 : 0;
    return hf_done();
}

static hf_result see_then_stop(void *arg, const struct hf_store_entry *e, struct hf_err *ret)
{
    HF_TRY(see(arg, e, ret));
    return ((struct seen *)arg)->count < 7 ? hf_done() : hf_fail(ret, HF_E_CANCELED, "enough");
}

static struct seen list(struct hf_store *s, const char *prefix, const char *after, bool delimiter)
{
    struct seen seen = {0};
    CHECK_OK(hf_store_list(s, prefix, after, delimiter, see, &seen, &err));
    return seen;
}

static void lists(struct hf_store *s)
{
    char key[64];
    for (int i = 0; i < LIST_KEYS; i++) {
        (void)snprintf(key, sizeof key, "l/%04d", i);
        CHECK_OK(put(s, key, "x", 1, false));
    }
    CHECK_OK(put(s, "l/sub-1/x", "x", 1, false));
    CHECK_OK(put(s, "l/sub/x", "x", 1, false));
    CHECK_OK(put(s, "l/sub/y", "x", 1, false));
    CHECK(list(s, "l/", NULL, false).count == LIST_KEYS + 3);
    struct seen seen = list(s, "l/", NULL, true);
    CHECK(seen.count == LIST_KEYS + 2 && seen.prefixes == 2);
    CHECK(strcmp(seen.last, "l/sub/") == 0);
    CHECK(list(s, "l/", "l/0999", false).count == LIST_KEYS - 1000 + 3);
    CHECK(list(s, "l/", "l/1202", true).count == 2);
    CHECK(list(s, "l/", "l/sub-1/", true).count == 1);
    CHECK(list(s, "l/01", NULL, false).count == 100);
    CHECK(list(s, "l/sub/", NULL, true).count == 2);
    CHECK(list(s, "nothing/", NULL, false).count == 0);
    struct seen some = {0};
    CHECK_CODE(hf_store_list(s, "l/", NULL, false, see_then_stop, &some, &err), HF_E_CANCELED);
    CHECK(some.count == 7);
}

struct racer {
    struct hf_store *store;
    int number;
    atomic_int *winner;
    atomic_int *wins;
    atomic_int *exists;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    char text[64];
    (void)snprintf(text, sizeof text, "writer %d", r->number);
    struct hf_err e = {0};
    hf_result x = hf_store_put(r->store, "race/one", text, strlen(text),
                               (struct hf_store_put_options){.create_once = true}, &e);
    if (hf_ok(x)) {
        atomic_store(r->winner, r->number);
        atomic_fetch_add(r->wins, 1);
    } else if (x.code == HF_E_EXISTS) {
        atomic_fetch_add(r->exists, 1);
    } else {
        (void)printf("racer %d: %s\n", r->number, e.text);
    }
    return NULL;
}

static void races(struct hf_store *s)
{
    for (int round = 0; round < 5; round++) {
        atomic_int winner = -1;
        atomic_int wins = 0;
        atomic_int exists = 0;
        pthread_t threads[THREADS];
        struct racer racers[THREADS];
        for (int i = 0; i < THREADS; i++) {
            racers[i] = (struct racer){s, i, &winner, &wins, &exists};
            CHECK(pthread_create(&threads[i], NULL, race, &racers[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
        }
        CHECK(wins == 1 && exists == THREADS - 1);
        HF_BUF(b, 100);
        char text[64];
        (void)snprintf(text, sizeof text, "writer %d", (int)winner);
        CHECK_OK(get(s, "race/one", 0, UINT64_MAX, &b));
        CHECK(holds(&b, text, strlen(text)));
        CHECK_OK(hf_store_delete(s, "race/one", &err));
    }
}

static hf_result remove_one(void *arg, const struct hf_store_entry *e, struct hf_err *ret)
{
    return hf_store_delete(arg, e->key, ret);
}

static double now_s(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void bench_size(struct hf_store *s, const char *bytes, size_t size, int count)
{
    char key[64];
    HF_BUF(b, 64 << 20);
    double begin = now_s();
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "bench/%zu/%d", size, i);
        CHECK_OK(size > (16 << 20) ? write_big(s, key, bytes, size)
                                   : put(s, key, bytes, size, true));
    }
    double wrote = now_s() - begin;
    begin = now_s();
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "bench/%zu/%d", size, i);
        CHECK_OK(get(s, key, 0, UINT64_MAX, &b));
    }
    double got = now_s() - begin;
    double mb = (double)size * count / 1e6;
    (void)printf("bench %9zu bytes x %3d: put %7.2f ms each %7.1f MB/s, get %7.2f ms each %7.1f "
                 "MB/s\n",
                 size, count, wrote * 1e3 / count, mb / wrote, got * 1e3 / count, mb / got);
}

static void bench(struct hf_store *s)
{
    enum { MAX = 64 << 20 };
    HF_AUTOFREE char *bytes = hf_alloc(MAX);
    hf_random(bytes, MAX);
    bench_size(s, bytes, 100, 50);
    bench_size(s, bytes, 1 << 20, 30);
    bench_size(s, bytes, 16 << 20, 8);
    bench_size(s, bytes, MAX, 3);
}

static struct hf_store *open_store(int argc, char **argv)
{
    struct hf_store_config c = {.name = "probe", .ca = getenv("HOLDFAST_PROBE_CA")};
    if (argc >= 4 && strcmp(argv[1], "posix") == 0) {
        c.type = HF_STORE_POSIX;
        c.path = argv[2];
        c.prefix = argv[3];
    } else if (argc >= 7 && strcmp(argv[1], "s3") == 0) {
        c.type = HF_STORE_S3;
        c.endpoint = argv[2];
        c.bucket = argv[3];
        c.signing_region = argv[4];
        c.credentials = argv[5];
        c.prefix = argv[6];
    } else {
        (void)fprintf(stderr, "usage: store_probe posix PATH PREFIX [bench]\n"
                              "       store_probe s3 ENDPOINT BUCKET REGION CREDENTIALS PREFIX "
                              "[bench]\n");
        exit(2);
    }
    struct hf_store *s = NULL;
    CHECK_OK(hf_store_open(&c, &s, &err));
    return s;
}

int main(int argc, char **argv)
{
    struct hf_store *s = open_store(argc, argv);
    bool once = false;
    CHECK_OK(hf_store_conditional(s, &once, &err));
    (void)printf("ok conditional %s\n", once ? "yes" : "no");
    if (strcmp(argv[argc - 1], "bench") == 0) {
        bench(s);
        CHECK_OK(hf_store_list(s, "", NULL, false, remove_one, s, &err));
        hf_store_close(s);
        return 0;
    }
    objects(s, once);
    (void)printf("ok objects\n");
    ranges(s);
    (void)printf("ok ranges\n");
    streams(s);
    (void)printf("ok streams\n");
    lists(s);
    (void)printf("ok lists\n");
    if (once) {
        races(s);
        (void)printf("ok races\n");
    }
    CHECK_OK(hf_store_list(s, "", NULL, false, remove_one, s, &err));
    CHECK(list(s, "", NULL, false).count == 0);
    (void)printf("ok emptied\n");
    hf_store_close(s);
    return 0;
}
