/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/store.h"

struct place {
    char dir[64];
    struct hf_store *store;
};

static struct hf_store *open_at(const char *dir, const char *prefix)
{
    struct hf_err err = {0};
    const struct hf_store_config c = {
        .type = HF_STORE_POSIX, .name = "eu", .prefix = prefix, .path = dir};
    struct hf_store *s = NULL;
    hf_result r = hf_store_open(&c, &s, &err);
    if (!hf_ok(r)) {
        print_error("%s\n", err.text);
    }
    assert_true(hf_ok(r));
    return s;
}

static int setup(void **state)
{
    struct place *p = hf_alloc(sizeof *p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/holdfast-test-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    p->store = open_at(p->dir, "lab/");
    *state = p;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct place *p = *state;
    hf_store_close(p->store);
    int r = nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    hf_free(p);
    return r;
}

static hf_result put(struct hf_store *s, const char *key, const char *text, bool once,
                     struct hf_err *err)
{
    return hf_store_put(s, key, text, strlen(text),
                        (struct hf_store_put_options){.create_once = once}, err);
}

static hf_result append(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    return hf_buf_append(arg, bytes, len, err);
}

static void assert_content(struct hf_store *s, const char *key, const char *text)
{
    struct hf_err err = {0};
    HF_BUF(b, 1 << 20);
    assert_true(hf_ok(hf_store_get(s, key, 0, UINT64_MAX, append, &b, &err)));
    assert_string_equal(hf_buf_text(&b), text);
}

static hf_result note(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    return hf_buf_printf(arg, err, "%s%s ", e->key, e->is_prefix ? "*" : "");
}

static void assert_list(struct hf_store *s, const char *prefix, const char *after, bool delimiter,
                        const char *wanted)
{
    struct hf_err err = {0};
    HF_BUF(b, 1 << 20);
    hf_result r = hf_store_list(s, prefix, after, delimiter, note, &b, &err);
    if (!hf_ok(r)) {
        print_error("%s\n", err.text);
    }
    assert_true(hf_ok(r));
    assert_string_equal(hf_buf_text(&b), wanted);
}

static int files_in(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    if (d != NULL) {
        assert_int_equal(closedir(d), 0);
    }
    return n - 2;
}

static void assert_no_leftovers(const struct place *p)
{
    char temp[80];
    (void)snprintf(temp, sizeof temp, "%s/+tmp", p->dir);
    assert_int_equal(files_in(temp), 0);
}

static void objects_come_and_go(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    assert_true(hf_ok(put(p->store, "a/b/c", "one", true, &err)));
    assert_content(p->store, "a/b/c", "one");
    assert_int_equal(put(p->store, "a/b/c", "two", true, &err).code, HF_E_EXISTS);
    assert_content(p->store, "a/b/c", "one");
    assert_true(hf_ok(put(p->store, "a/b/c", "three", false, &err)));
    assert_content(p->store, "a/b/c", "three");
    assert_true(hf_ok(put(p->store, "empty", "", true, &err)));
    assert_content(p->store, "empty", "");
    assert_int_equal(put(p->store, "a/b/c/d", "x", true, &err).code, HF_E_DENIED);
    assert_int_equal(hf_store_get(p->store, "a/b/c/d", 0, 1, append, NULL, &err).code,
                     HF_E_NOT_FOUND);
    struct hf_store_meta m = {0};
    assert_true(hf_ok(hf_store_head(p->store, "a/b/c", &m, &err)));
    assert_int_equal(m.size, 5);
    assert_int_equal(hf_store_head(p->store, "a/b", &m, &err).code, HF_E_NOT_FOUND);
    assert_int_equal(hf_store_head(p->store, "nothing", &m, &err).code, HF_E_NOT_FOUND);
    assert_true(hf_ok(hf_store_delete(p->store, "a/b/c", &err)));
    assert_true(hf_ok(hf_store_delete(p->store, "a/b/c", &err)));
    assert_int_equal(hf_store_head(p->store, "a/b/c", &m, &err).code, HF_E_NOT_FOUND);
    assert_list(p->store, "", NULL, true, "empty ");
    assert_no_leftovers(p);
}

static void ranges(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    assert_true(hf_ok(put(p->store, "r", "0123456789", true, &err)));
    static const struct {
        uint64_t offset;
        uint64_t len;
        enum hf_code code;
        const char *text;
    } cases[] = {
        {0, 10, HF_OK, "0123456789"},
        {3, 4, HF_OK, "3456"},
        {9, 1, HF_OK, "9"},
        {4, UINT64_MAX, HF_OK, "456789"},
        {10, UINT64_MAX, HF_OK, ""},
        {10, 0, HF_OK, ""},
        {0, 0, HF_OK, ""},
        {11, UINT64_MAX, HF_E_CORRUPT, ""},
        {9, 2, HF_E_CORRUPT, ""},
        {11, 0, HF_E_CORRUPT, ""},
        {UINT64_MAX, 1, HF_E_INVALID, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HF_BUF(b, 100);
        assert_int_equal(
            hf_store_get(p->store, "r", cases[i].offset, cases[i].len, append, &b, &err).code,
            cases[i].code);
        assert_string_equal(hf_buf_text(&b), cases[i].text);
    }
    HF_BUF(small, 4);
    assert_int_equal(hf_store_get(p->store, "r", 0, 10, append, &small, &err).code, HF_E_LIMIT);
}

static void only_keys_are_taken(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    char too_long[HF_STORE_KEY_SIZE + 1];
    memset(too_long, 'a', sizeof too_long);
    too_long[200] = '/';
    too_long[HF_STORE_KEY_SIZE] = '\0';
    char long_part[300];
    memset(long_part, 'a', sizeof long_part);
    long_part[256] = '\0';
    const char *const wrong[] = {"",      "/",      "/a",     "a/",       "a//b",   ".",
                                 "..",    "../a",   "a/../b", "a/.",      "a b",    "a\\b",
                                 "a%2fb", "+tmp/x", "a\nb",   "\xc3\xa9", too_long, long_part};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(put(p->store, wrong[i], "x", true, &err).code, HF_E_INVALID);
        assert_int_equal(hf_store_get(p->store, wrong[i], 0, 1, append, NULL, &err).code,
                         HF_E_INVALID);
        assert_int_equal(hf_store_delete(p->store, wrong[i], &err).code, HF_E_INVALID);
    }
    too_long[HF_STORE_KEY_SIZE - 1] = '\0';
    too_long[400] = '/';
    assert_true(hf_ok(put(p->store, too_long, "x", true, &err)));
    assert_content(p->store, too_long, "x");
    const char *const wrong_prefix[] = {"../", "a/../", "/", "a//", "+"};
    for (size_t i = 0; i < sizeof wrong_prefix / sizeof *wrong_prefix; i++) {
        HF_BUF(b, 10);
        assert_int_equal(hf_store_list(p->store, wrong_prefix[i], NULL, false, note, &b, &err).code,
                         HF_E_INVALID);
    }
}

static void lists_in_byte_order(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    const char *const keys[] = {"b/x", "b-1", "b.1", "b0", "a/z/1", "a/z/2", "a/y", "c", "B", "_"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        assert_true(hf_ok(put(p->store, keys[i], "x", true, &err)));
    }
    assert_list(p->store, "", NULL, false, "B _ a/y a/z/1 a/z/2 b-1 b.1 b/x b0 c ");
    assert_list(p->store, "", NULL, true, "B _ a/* b-1 b.1 b/* b0 c ");
    assert_list(p->store, "b", NULL, false, "b-1 b.1 b/x b0 ");
    assert_list(p->store, "b", NULL, true, "b-1 b.1 b/* b0 ");
    assert_list(p->store, "a/", NULL, true, "a/y a/z/* ");
    assert_list(p->store, "a/z", NULL, true, "a/z/* ");
    assert_list(p->store, "a/z/", NULL, false, "a/z/1 a/z/2 ");
    assert_list(p->store, "zz/", NULL, false, "");
    assert_list(p->store, "c/", NULL, false, "");
    assert_list(p->store, "", "a/z/1", false, "a/z/2 b-1 b.1 b/x b0 c ");
    assert_list(p->store, "", "a/z", false, "a/z/1 a/z/2 b-1 b.1 b/x b0 c ");
    assert_list(p->store, "", "b.1", false, "b/x b0 c ");
    assert_list(p->store, "", "b/y", false, "b0 c ");
    assert_list(p->store, "", "a/", true, "b-1 b.1 b/* b0 c ");
    assert_list(p->store, "b", "c", false, "");
    /* without a prefix the same tree is one level higher, and the temporary directory not in it */
    struct hf_store *whole = open_at(p->dir, "");
    assert_list(whole, "", NULL, true, "lab/* ");
    assert_list(whole, "lab/a", NULL, true, "lab/a/* ");
    hf_store_close(whole);
}

static hf_result stop_at_second(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    int *n = arg;
    return ++*n == 2 ? hf_fail(err, HF_E_CANCELED, "enough at %s", e->key) : hf_done();
}

struct counted {
    int count;
    char last[HF_STORE_KEY_SIZE];
};

static hf_result count_in_order(void *arg, const struct hf_store_entry *e, struct hf_err *err)
{
    struct counted *c = arg;
    if (strcmp(e->key, c->last) <= 0) {
        return hf_fail(err, HF_E_INTERNAL, "%s after %s", e->key, c->last);
    }
    (void)snprintf(c->last, sizeof c->last, "%s", e->key);
    c->count++;
    return hf_done();
}

static void big_directories_in_bounded_batches(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    assert_true(hf_ok(put(p->store, "d/0", "", true, &err)));
    char dir[80];
    (void)snprintf(dir, sizeof dir, "%s/lab/d", p->dir);
    HF_AUTOCLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    enum { COUNT = 40000 };
    for (unsigned i = 0; i < COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%08x", i * 2654435761U);
        int f = openat(fd, name, O_CREAT | O_WRONLY | O_EXCL, 0600);
        assert_true(f >= 0);
        assert_int_equal(close(f), 0);
    }
    struct counted c = {0};
    assert_true(hf_ok(hf_store_list(p->store, "d/", NULL, false, count_in_order, &c, &err)));
    assert_int_equal(c.count, COUNT + 1);
    int n = 0;
    assert_int_equal(hf_store_list(p->store, "", NULL, false, stop_at_second, &n, &err).code,
                     HF_E_CANCELED);
    assert_int_equal(n, 2);
}

static void nothing_leads_out(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    assert_true(hf_ok(put(p->store, "a/in", "x", true, &err)));
    char outside[] = "/tmp/holdfast-outside-XXXXXX";
    assert_non_null(mkdtemp(outside));
    char path[128];
    (void)snprintf(path, sizeof path, "%s/lab/out", p->dir);
    assert_int_equal(symlink(outside, path), 0);
    (void)snprintf(path, sizeof path, "%s/lab/a/link", p->dir);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(put(p->store, "out/x", "x", true, &err).code, HF_E_DENIED);
    assert_int_equal(hf_store_get(p->store, "a/link", 0, 1, append, NULL, &err).code, HF_E_DENIED);
    struct hf_store_meta m;
    assert_int_equal(hf_store_head(p->store, "out/x", &m, &err).code, HF_E_DENIED);
    assert_int_equal(hf_store_delete(p->store, "out/x", &err).code, HF_E_DENIED);
    assert_list(p->store, "", NULL, false, "a/in ");
    assert_list(p->store, "", NULL, true, "a/* ");
    /* create-once finds the name taken by the link and leaves both alone */
    assert_int_equal(put(p->store, "a/link", "x", true, &err).code, HF_E_EXISTS);
    assert_int_equal(files_in(outside), 0);
    assert_int_equal(rmdir(outside), 0);
}

static void streams(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    struct hf_store_writer *w = NULL;
    assert_true(hf_ok(hf_store_writer_open(p->store, "s/1", &w, &err)));
    assert_true(hf_ok(hf_store_writer_write(w, "one ", 4, &err)));
    assert_list(p->store, "", NULL, false, "");
    assert_true(hf_ok(hf_store_writer_write(w, "two", 3, &err)));
    assert_true(hf_ok(hf_store_writer_commit(w, &err)));
    assert_content(p->store, "s/1", "one two");
    assert_true(hf_ok(hf_store_writer_open(p->store, "s/1", &w, &err)));
    assert_int_equal(hf_store_writer_commit(w, &err).code, HF_E_EXISTS);
    assert_content(p->store, "s/1", "one two");
    assert_true(hf_ok(hf_store_writer_open(p->store, "s/2", &w, &err)));
    assert_true(hf_ok(hf_store_writer_write(w, "gone", 4, &err)));
    hf_store_writer_abort(w);
    assert_list(p->store, "", NULL, false, "s/1 ");
    assert_no_leftovers(p);
}

struct racer {
    struct hf_store *store;
    int number;
    atomic_int *winners;
    atomic_int *others;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    char text[16];
    (void)snprintf(text, sizeof text, "%d", r->number);
    for (int i = 0; i < 20; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "race/%d/one", i);
        struct hf_err err = {0};
        hf_result x = put(r->store, key, text, true, &err);
        if (hf_ok(x)) {
            atomic_fetch_add(r->winners, 1);
        } else if (x.code == HF_E_EXISTS) {
            atomic_fetch_add(r->others, 1);
        }
    }
    return NULL;
}

static void one_winner_of_a_race(void **state)
{
    struct place *p = *state;
    atomic_int winners = 0;
    atomic_int others = 0;
    pthread_t threads[8];
    struct racer racers[8];
    for (int i = 0; i < 8; i++) {
        racers[i] = (struct racer){p->store, i, &winners, &others};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(winners, 20);
    assert_int_equal(others, 140);
    assert_no_leftovers(p);
}

/* Directories vanish when their last object does, while others are being put there. */
static void *put_and_delete(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < 100; i++) {
        char key[48];
        (void)snprintf(key, sizeof key, "x/y/%d-%d", r->number, i);
        struct hf_err err = {0};
        if (hf_ok(put(r->store, key, "x", true, &err)) &&
            hf_ok(hf_store_delete(r->store, key, &err))) {
            atomic_fetch_add(r->winners, 1);
        } else {
            print_error("%s\n", err.text);
        }
    }
    return NULL;
}

static void emptied_directories_race_with_puts(void **state)
{
    struct place *p = *state;
    atomic_int done = 0;
    pthread_t threads[4];
    struct racer racers[4];
    for (int i = 0; i < 4; i++) {
        racers[i] = (struct racer){p->store, i, &done, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_delete, &racers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(done, 400);
}

static void leftovers_are_collected_by_age_and_lock(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    struct hf_store_writer *w = NULL;
    assert_true(hf_ok(hf_store_writer_open(p->store, "k", &w, &err)));
    char temp[80];
    char old[128];
    char young[128];
    (void)snprintf(temp, sizeof temp, "%s/+tmp", p->dir);
    (void)snprintf(old, sizeof old, "%s/1-old", temp);
    (void)snprintf(young, sizeof young, "%s/2-young", temp);
    const char *const made[] = {old, young};
    for (size_t i = 0; i < 2; i++) {
        int fd = open(made[i], O_CREAT | O_WRONLY | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    const struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    assert_int_equal(utimensat(AT_FDCWD, old, long_ago, 0), 0);
    /* the open writer's file is as old, but locked */
    DIR *d = opendir(temp);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] != '.' && strstr(e->d_name, "young") == NULL) {
            assert_int_equal(utimensat(dirfd(d), e->d_name, long_ago, 0), 0);
        }
    }
    assert_int_equal(closedir(d), 0);
    struct hf_store *other = open_at(p->dir, "lab");
    assert_true(hf_ok(put(other, "trigger", "x", true, &err)));
    hf_store_close(other);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(young, F_OK), 0);
    assert_true(hf_ok(hf_store_writer_write(w, "safe", 4, &err)));
    assert_true(hf_ok(hf_store_writer_commit(w, &err)));
    assert_content(p->store, "k", "safe");
}

static void configuration_is_checked(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    struct hf_store *s = NULL;
    struct hf_store_config c = {
        .type = HF_STORE_POSIX, .name = "eu", .prefix = "../x", .path = p->dir};
    assert_int_equal(hf_store_open(&c, &s, &err).code, HF_E_INVALID);
    c.prefix = "";
    c.path = "relative";
    assert_int_equal(hf_store_open(&c, &s, &err).code, HF_E_INVALID);
    c.path = "/nonexistent/holdfast";
    assert_int_equal(hf_store_open(&c, &s, &err).code, HF_E_UNREACHABLE);
    c.path = p->dir;
    c.name = "";
    assert_int_equal(hf_store_open(&c, &s, &err).code, HF_E_INVALID);
    assert_null(s);
    bool conditional = false;
    assert_true(hf_ok(hf_store_conditional(p->store, &conditional, &err)));
    assert_true(conditional);
    assert_no_leftovers(p);
}

#ifdef HF_FAULTS
/* Each step of a put fails in turn: nothing is visible, nothing is left, the next put works. A
 * first failed fsync is answered by writing the whole file anew. */
static void each_failed_step_leaves_nothing(void **state)
{
    struct place *p = *state;
    struct hf_err err = {0};
    const char *const points[] = {"posix.temp_open=error", "posix.write=error",
                                  "posix.fsync=error",     "posix.link=error",
                                  "posix.fsync_dir=error", "store.put=error"};
    assert_true(hf_ok(put(p->store, "first", "x", true, &err)));
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%zu", i);
        assert_true(hf_ok(hf_fault_configure(points[i], &err)));
        assert_int_equal(put(p->store, key, "x", true, &err).code, HF_E_IO);
        assert_true(hf_ok(hf_fault_configure(NULL, &err)));
        hf_result r = put(p->store, key, "x", true, &err);
        /* only after the name was given may it be there */
        assert_int_equal(r.code, strstr(points[i], "fsync_dir") ? HF_E_EXISTS : HF_OK);
        assert_no_leftovers(p);
    }
    assert_true(hf_ok(hf_fault_configure("posix.fsync=error:1", &err)));
    assert_true(hf_ok(put(p->store, "again", "content", true, &err)));
    assert_true(hf_ok(hf_fault_configure("store.writer.commit=error", &err)));
    struct hf_store_writer *w = NULL;
    assert_true(hf_ok(hf_store_writer_open(p->store, "w", &w, &err)));
    assert_int_equal(hf_store_writer_commit(w, &err).code, HF_E_IO);
    assert_true(hf_ok(hf_fault_configure(NULL, &err)));
    assert_content(p->store, "again", "content");
    assert_no_leftovers(p);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(objects_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(only_keys_are_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_in_byte_order, setup, teardown),
        cmocka_unit_test_setup_teardown(big_directories_in_bounded_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_leads_out, setup, teardown),
        cmocka_unit_test_setup_teardown(streams, setup, teardown),
        cmocka_unit_test_setup_teardown(one_winner_of_a_race, setup, teardown),
        cmocka_unit_test_setup_teardown(emptied_directories_race_with_puts, setup, teardown),
        cmocka_unit_test_setup_teardown(leftovers_are_collected_by_age_and_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(configuration_is_checked, setup, teardown),
#ifdef HF_FAULTS
        cmocka_unit_test_setup_teardown(each_failed_step_leaves_nothing, setup, teardown),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
