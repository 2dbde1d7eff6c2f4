/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports that wait for an acknowledgement: durable before sent, kept over a restart, once by id.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/link/outbox.h"
#include "common/io/files.h"
#include "common/io/loop.h"

static char directory[64];
static struct hf_loop *loop;
static struct hf_pool *pool;
static int ready;

static void on_ready(void *arg, const char *text, size_t len)
{
    (void)arg;
    assert_int_equal(strlen(text), len);
    ready++;
}

static int setup(void **state)
{
    struct hf_err err;
    (void)state;
    ready = 0;
    snprintf(directory, sizeof(directory), "/tmp/hf-outbox-XXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_true(hf_ok(hf_loop_new(&loop, &err)));
    assert_true(hf_ok(hf_pool_new(loop, 2, 1024, &pool, &err)));
    return 0;
}

static int teardown(void **state)
{
    struct hf_err err;
    (void)state;
    hf_loop_free(loop);
    return hf_ok(hf_dir_remove_tree(directory, &err)) ? 0 : 1;
}

static struct hf_outbox *open_box(void)
{
    struct hf_err err;
    struct hf_outbox *o = NULL;
    assert_true(hf_ok(hf_outbox_open(directory, pool, on_ready, NULL, &o, &err)));
    return o;
}

static struct hf_report report(const char *id)
{
    struct hf_report r = {.kind = "backup", .body = "{\"label\":\"x\"}"};
    snprintf(r.id, sizeof(r.id), "%s", id);
    return r;
}

static void turn_until_ready(int n)
{
    struct hf_err err;
    for (int i = 0; i < 1000 && ready < n; i++) {
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(5), &err)));
    }
    assert_int_equal(ready, n);
}

static void test_durable_then_sent_until_acknowledged(void **state)
{
    (void)state;
    struct hf_err err;
    struct hf_outbox *o = open_box();
    struct hf_report a = report("a");
    struct hf_report b = report("b");
    size_t len = 0;
    assert_true(hf_ok(hf_outbox_add(o, &a, &err)));
    assert_null(hf_outbox_at(o, 0, &len)); /* not durable yet: not to be sent */
    assert_int_equal(hf_outbox_add(o, &a, &err).code, HF_E_EXISTS);
    assert_true(hf_ok(hf_outbox_add(o, &b, &err)));
    turn_until_ready(2);
    assert_non_null(strstr(hf_outbox_at(o, 0, &len), "\"id\":\"a\""));
    assert_non_null(hf_outbox_at(o, 1, &len));
    assert_null(hf_outbox_at(o, 2, &len));
    hf_outbox_ack(o, "a");
    hf_outbox_ack(o, "unknown");
    assert_int_equal(hf_outbox_count(o), 1);
    hf_pool_free(pool); /* waits for what runs */
    hf_outbox_free(o);

    /* Another life of the agent finds what was not acknowledged. */
    assert_true(hf_ok(hf_pool_new(loop, 2, 64, &pool, &err)));
    o = open_box();
    assert_int_equal(hf_outbox_count(o), 1);
    assert_non_null(strstr(hf_outbox_at(o, 0, &len), "\"id\":\"b\""));
    hf_pool_free(pool);
    hf_outbox_free(o);
}

static void test_bounds_and_damage(void **state)
{
    (void)state;
    struct hf_err err;
    char path[128];
    snprintf(path, sizeof(path), "%s/torn.json", directory);
    assert_true(hf_ok(hf_file_write_durable(path, "{\"v\":1,", 7, 0600, &err)));
    struct hf_outbox *o = open_box();
    assert_int_equal(hf_outbox_count(o), 0);
    assert_false(hf_file_exists(path)); /* put aside */
    struct hf_report bad = report("../../etc/passwd");
    assert_int_equal(hf_outbox_add(o, &bad, &err).code, HF_E_INVALID);
    bad = report("");
    assert_int_equal(hf_outbox_add(o, &bad, &err).code, HF_E_INVALID);
    for (int i = 0; i < HF_OUTBOX_REPORTS; i++) {
        char id[32];
        snprintf(id, sizeof(id), "r%d", i);
        struct hf_report r = report(id);
        assert_true(hf_ok(hf_outbox_add(o, &r, &err)));
    }
    struct hf_report more = report("more");
    assert_int_equal(hf_outbox_add(o, &more, &err).code, HF_E_LIMIT);
    hf_pool_free(pool);
    hf_outbox_free(o);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_durable_then_sent_until_acknowledged),
        T(test_bounds_and_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
