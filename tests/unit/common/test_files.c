/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/files.h"
#include "common/io/log.h"

static char root[64];
static char path_text[4][256];
static const char *in_root(int slot, const char *name)
{
    snprintf(path_text[slot], sizeof(path_text[slot]), "%s/%s", root, name);
    return path_text[slot];
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "%s", "/tmp/hf-files-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}
static int drop_root(void **state)
{
    (void)state;
    return hf_ok(hf_dir_remove_tree(root, NULL)) && access(root, F_OK) != 0 ? 0 : -1;
}

static void write_read_replace(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *p = in_root(0, "a");
    HF_BUF(b, 10);
    assert_int_equal(hf_file_read(p, &b, &err).code, HF_E_NOT_FOUND);
    assert_true(hf_ok(hf_file_write_durable(p, "one", 3, 0600, &err)));
    assert_true(hf_ok(hf_file_write_durable(p, "0123456789", 10, 0640, &err)));
    assert_true(hf_ok(hf_file_read(p, &b, &err)));
    assert_string_equal(hf_buf_text(&b), "0123456789");
    hf_buf_reset(&b);
    assert_true(hf_ok(hf_file_write_durable(p, "0123456789+", 11, 0640, &err)));
    assert_int_equal(hf_file_read(p, &b, &err).code, HF_E_LIMIT);
    assert_int_equal(b.len, 0);
    assert_true(hf_ok(hf_file_remove_durable(p, &err)));
    assert_true(hf_ok(hf_file_remove_durable(p, &err)));
    assert_false(hf_file_exists(p));
}

static void create_once_never_replaces(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *p = in_root(0, "once");
    assert_true(hf_ok(hf_file_create_once(p, "first", 5, 0600, &err)));
    assert_int_equal(hf_file_create_once(p, "second", 6, 0600, &err).code, HF_E_EXISTS);
    HF_BUF(b, 100);
    assert_true(hf_ok(hf_file_read(p, &b, &err)));
    assert_string_equal(hf_buf_text(&b), "first");
    struct stat st;
    assert_int_equal(stat(p, &st), 0);
    assert_int_equal(st.st_nlink, 1); /* the temporary name is gone */
}

static void secrets_want_a_closed_file(void **state)
{
    (void)state;
    struct hf_err err = {0};
    HF_BUF(b, 100);
    const char *p = in_root(0, "secret");
    assert_true(hf_ok(hf_file_write_durable(p, "s", 1, 0600, &err)));
    assert_true(hf_ok(hf_file_read_secret(p, &b, &err)));
    assert_int_equal(chmod(p, 0644), 0);
    assert_int_equal(hf_file_read_secret(p, &b, &err).code, HF_E_DENIED);
    setenv("CREDENTIALS_DIRECTORY", root, 1);
    assert_true(hf_ok(hf_file_read_secret(p, &b, &err)));
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void remove_tree_does_not_follow_links(void **state)
{
    (void)state;
    struct hf_err err = {0};
    assert_true(hf_ok(hf_dir_make(in_root(0, "t/u/v"), 0700, &err)));
    assert_true(hf_ok(hf_dir_make(in_root(1, "keep"), 0700, &err)));
    assert_true(hf_ok(hf_file_write_durable(in_root(2, "keep/file"), "x", 1, 0600, &err)));
    assert_true(hf_ok(hf_file_write_durable(in_root(3, "t/u/v/f"), "x", 1, 0600, &err)));
    assert_int_equal(symlink(path_text[1], in_root(3, "t/u/link")), 0);
    assert_true(hf_ok(hf_dir_remove_tree(in_root(0, "t"), &err)));
    assert_false(hf_file_exists(in_root(0, "t")));
    assert_true(hf_file_exists(in_root(2, "keep/file")));
    assert_int_equal(hf_dir_remove_tree("/", &err).code, HF_E_INVALID);
    assert_int_equal(hf_dir_remove_tree("/..", &err).code, HF_E_INVALID);
    assert_int_equal(hf_dir_remove_tree("", &err).code, HF_E_INVALID);
    assert_int_equal(hf_dir_remove_tree("relative", &err).code, HF_E_INVALID);
    assert_true(hf_ok(hf_dir_remove_tree(in_root(0, "absent"), &err)));
}

#ifdef HF_FAULTS
static void failed_fsync_leaves_the_old_file(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *p = in_root(0, "f");
    assert_true(hf_ok(hf_file_write_durable(p, "old", 3, 0600, &err)));
    static const char *const points[] = {"files.fsync=error:1", "files.write=error:1",
                                         "files.rename=error:1"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(hf_ok(hf_fault_configure(points[i], &err)));
        assert_int_equal(hf_file_write_durable(p, "new", 3, 0600, &err).code, HF_E_IO);
        HF_BUF(b, 10);
        assert_true(hf_ok(hf_file_read(p, &b, &err)));
        assert_string_equal(hf_buf_text(&b), "old");
    }
    /* The next attempt writes a new file from the start, and succeeds. */
    assert_true(hf_ok(hf_file_write_durable(p, "new", 3, 0600, &err)));
    assert_true(hf_ok(hf_fault_configure(NULL, &err)));
}

static void faults_are_listed_and_counted(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *names[64];
    size_t n = hf_fault_list(names, 64);
    bool seen = false;
    for (size_t i = 0; i < n; i++) {
        seen = seen || strcmp(names[i], "files.fsync") == 0;
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
    }
    assert_true(seen);
    assert_int_equal(hf_fault_configure("no.such=error", &err).code, HF_E_INVALID);
    assert_int_equal(hf_fault_configure("files.read=explode", &err).code, HF_E_INVALID);
    assert_true(hf_ok(hf_fault_configure("files.read=error@2:1;files.write=delay:1", &err)));
    assert_true(hf_ok(hf_file_write_durable(in_root(0, "x"), "x", 1, 0600, &err)));
    HF_BUF(b, 10);
    assert_true(hf_ok(hf_file_read(path_text[0], &b, &err)));
    assert_int_equal(hf_file_read(path_text[0], &b, &err).code, HF_E_IO);
    assert_true(hf_ok(hf_file_read(path_text[0], &b, &err)));
    assert_true(hf_ok(hf_fault_configure("", &err)));
}
#else
static void faults_are_not_compiled_in(void **state)
{
    (void)state;
    struct hf_err err = {0};
    const char *names[1];
    assert_int_equal(hf_fault_list(names, 1), 0);
    assert_int_equal(hf_fault_configure("files.read=error", &err).code, HF_E_UNSUPPORTED);
}
#endif

/* Runs log calls with standard error in a file; returns its content. */
static char logged[65536];
static int saved_stderr;
static void log_begin(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    int fd = open(in_root(3, "log"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(saved_stderr >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}
static void log_end(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    HF_BUF(b, sizeof(logged) - 1);
    assert_true(hf_ok(hf_file_read(in_root(3, "log"), &b, NULL)));
    memcpy(logged, hf_buf_text(&b), b.len + 1);
}

static void log_line_has_fields_and_cannot_be_forged(void **state)
{
    (void)state;
    hf_log_init("testing", HF_LOG_INFO, HF_LOG_STDERR);
    log_begin();
    struct hf_err err = {.code = HF_E_TIMEOUT, .text = "no answer"};
    hf_log(HF_LOG_DEBUG, "HIDDEN", "below the level");
    hf_log(HF_LOG_WARNING, "TEST_EVENT", "something happened", HF_KV("name", "eu-1"),
           HF_KV("evil", "a\nb\" c"), HF_KV_I64("n", -5), HF_KV_LSN("lsn", HF_LSN(0x1A0000002)),
           HF_KV_DUR("took_ms", HF_US(1500)), HF_KV_ERR(&err));
    hf_log(HF_LOG_INFO, "NO_FIELDS", "plain");
    log_end();
    assert_null(strstr(logged, "HIDDEN"));
    assert_non_null(strstr(logged, "Z testing warning TEST_EVENT \"something happened\" name=eu-1 "
                                   "evil=\"a\\x0ab\\\" c\" n=-5 lsn=1/A0000002 took_ms=1.500 "
                                   "code=timeout error=\"no answer\"\n"));
    assert_non_null(strstr(logged, "info NO_FIELDS plain\n"));
}

static void log_rate_is_bounded(void **state)
{
    (void)state;
    hf_log_init("testing", HF_LOG_INFO, HF_LOG_STDERR);
    log_begin();
    for (int i = 0; i < 500; i++) {
        hf_log(HF_LOG_INFO, "NOISY", "again", HF_KV_I64("i", i));
    }
    hf_log(HF_LOG_INFO, "OTHER", "not affected");
    log_end();
    int lines = 0;
    for (const char *p = logged; (p = strchr(p, '\n')) != NULL; p++) {
        lines++;
    }
    assert_int_equal(lines, 51);
    assert_non_null(strstr(logged, "OTHER"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, make_root, drop_root)
        T(write_read_replace),
        T(create_once_never_replaces),
        T(secrets_want_a_closed_file),
        T(remove_tree_does_not_follow_links),
#ifdef HF_FAULTS
        T(failed_fsync_leaves_the_old_file),
        T(faults_are_listed_and_counted),
#else
        T(faults_are_not_compiled_in),
#endif
        T(log_line_has_fields_and_cannot_be_forged),
        T(log_rate_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
