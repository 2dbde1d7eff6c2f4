/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "coordinator/history/backups.h"
#include "coordinator/history/spool.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/hf-history-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int drop_root(void **state)
{
    (void)state;
    return hf_ok(hf_dir_remove_tree(root, NULL)) ? 0 : -1;
}

static hf_result put(struct hf_spool *s, const char *id, const char *body, bool informational)
{
    struct hf_event e = {.informational = informational, .body = HF_BUF_INIT(HF_EVENT_MAX)};
    struct hf_err err;
    snprintf(e.id, sizeof e.id, "%s", id);
    snprintf(e.kind, sizeof e.kind, "step");
    assert_true(hf_ok(hf_buf_append_str(&e.body, body, &err)));
    hf_result r = hf_spool_append(s, &e, &err);
    hf_buf_free(&e.body);
    return r;
}

static size_t peek_ids(struct hf_spool *s, char ids[][HF_EVENT_ID_SIZE], uint64_t *numbers)
{
    struct hf_event events[8];
    size_t count = 0;
    assert_true(hf_ok(hf_spool_peek(s, 8, events, numbers, &count, NULL)));
    for (size_t i = 0; i < count; i++) {
        memcpy(ids[i], events[i].id, HF_EVENT_ID_SIZE);
        hf_buf_free(&events[i].body);
    }
    return count;
}

static void events_survive_and_come_once_in_order(void **state)
{
    (void)state;
    struct hf_spool *s = NULL;
    char ids[8][HF_EVENT_ID_SIZE];
    uint64_t numbers[8];
    assert_true(hf_ok(hf_spool_open(root, 1 << 20, &s, NULL)));
    assert_true(hf_ok(put(s, "a", "{\"x\":1}", false)));
    assert_true(hf_ok(put(s, "b", "{}", true)));
    assert_int_equal(put(s, "a", "{\"x\":1}", false).code, HF_E_EXISTS);
    assert_int_equal(put(s, "a", "{\"x\":2}", false).code, HF_E_CONFLICT);
    hf_spool_close(s);
    assert_true(hf_ok(hf_spool_open(root, 1 << 20, &s, NULL)));
    assert_int_equal(put(s, "a", "{\"x\":1}", false).code, HF_E_EXISTS);
    assert_true(hf_ok(put(s, "c", "{}", false)));
    assert_int_equal(peek_ids(s, ids, numbers), 3);
    assert_string_equal(ids[0], "a");
    assert_string_equal(ids[1], "b");
    assert_string_equal(ids[2], "c");
    assert_true(hf_ok(hf_spool_remove(s, numbers[0], NULL)));
    assert_int_equal(peek_ids(s, ids, numbers), 2);
    assert_string_equal(ids[0], "b");
    hf_spool_close(s);
}

static void a_full_spool_drops_the_informational_first(void **state)
{
    (void)state;
    struct hf_spool *s = NULL;
    struct hf_spool_stats stats;
    char ids[8][HF_EVENT_ID_SIZE];
    uint64_t numbers[8];
    assert_true(hf_ok(hf_spool_open(root, 3 * 4096, &s, NULL)));
    assert_true(hf_ok(put(s, "info-1", "{}", true)));
    assert_true(hf_ok(put(s, "keep-1", "{}", false)));
    assert_true(hf_ok(put(s, "info-2", "{}", true)));
    assert_true(hf_ok(put(s, "keep-2", "{}", false))); /* info-1 gives way */
    assert_int_equal(peek_ids(s, ids, numbers), 3);
    assert_string_equal(ids[0], "keep-1");
    assert_string_equal(ids[1], "info-2");
    assert_true(hf_ok(put(s, "keep-3", "{}", false))); /* info-2 gives way */
    assert_int_equal(put(s, "keep-4", "{}", false).code, HF_E_LIMIT);
    assert_int_equal(put(s, "info-3", "{}", true).code, HF_E_LIMIT);
    hf_spool_stats(s, &stats);
    assert_int_equal(stats.events, 3);
    assert_int_equal(stats.dropped, 3);
    assert_int_equal(stats.refused, 1);
    assert_true(stats.bytes <= 3 * 4096);
    hf_spool_close(s);
}

/* A crash leaves temporary files; a bad disk leaves one that cannot be read. */
static void what_cannot_be_read_is_in_nobody_s_way(void **state)
{
    (void)state;
    struct hf_spool *s = NULL;
    struct hf_spool_stats stats;
    char ids[8][HF_EVENT_ID_SIZE];
    uint64_t numbers[8];
    char path[512] = "";
    assert_true(hf_ok(hf_spool_open(root, 1 << 20, &s, NULL)));
    assert_true(hf_ok(put(s, "a", "{}", false)));
    DIR *dir = opendir(root);
    const struct dirent *d = NULL;
    while ((d = readdir(dir)) != NULL) {
        if (strstr(d->d_name, ".event") != NULL) {
            snprintf(path, sizeof path, "%s/%.255s", root, d->d_name);
        }
    }
    closedir(dir);
    assert_true(hf_ok(hf_file_write_durable(path, "{\"id\":", 6, 0600, NULL)));
    snprintf(path, sizeof path, "%s/junk.tmp", root);
    assert_true(hf_ok(hf_file_write_durable(path, "x", 1, 0600, NULL)));
    assert_true(hf_ok(put(s, "b", "{}", false)));
    hf_spool_close(s);
    assert_true(hf_ok(hf_spool_open(root, 1 << 20, &s, NULL)));
    assert_int_equal(peek_ids(s, ids, numbers), 1);
    assert_string_equal(ids[0], "b");
    hf_spool_stats(s, &stats);
    assert_int_equal(stats.unreadable, 1);
    hf_spool_close(s);
}

static hf_json *backup(const char *label, const char *state_text)
{
    hf_json *v = hf_json_object();
    hf_json_put_text(v, "label", label);
    hf_json_put_text(v, "state", state_text);
    return v;
}

static void put_backup(struct hf_backups *b, const char *cluster, const char *label,
                       const char *state_text)
{
    HF_AUTOJSON hf_json *v = backup(label, state_text);
    assert_true(hf_ok(hf_backups_put(b, "t", cluster, v, NULL)));
}

static void backups_are_listed_newest_first_and_kept(void **state)
{
    (void)state;
    struct hf_backups *b = NULL;
    char text[64];
    assert_true(hf_ok(hf_backups_open(root, &b, NULL)));
    put_backup(b, "c", "20261121T000000Z-F", "complete");
    put_backup(b, "c", "20261123T000000Z-F", "wal-pending");
    put_backup(b, "c", "20261122T000000Z-F", "complete");
    put_backup(b, "c", "20261123T000000Z-F", "complete");
    put_backup(b, "other", "20261124T000000Z-F", "complete");
    HF_AUTOJSON hf_json *nothing = hf_json_object();
    assert_int_equal(hf_backups_put(b, "t", "c", nothing, NULL).code, HF_E_INVALID);
    hf_backups_close(b);
    assert_true(hf_ok(hf_backups_open(root, &b, NULL)));
    HF_AUTOJSON hf_json *list = hf_backups_list(b, "t", "c");
    assert_int_equal(hf_json_size(list), 3);
    assert_true(hf_ok(hf_json_get_text(hf_json_at(list, 0), "label", text, sizeof text, NULL)));
    assert_string_equal(text, "20261123T000000Z-F");
    assert_true(hf_ok(hf_json_get_text(hf_json_at(list, 0), "state", text, sizeof text, NULL)));
    assert_string_equal(text, "complete");
    HF_AUTOJSON hf_json *none = hf_backups_list(b, "t", "unknown");
    assert_int_equal(hf_json_size(none), 0);
    hf_backups_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_survive_and_come_once_in_order, make_root,
                                        drop_root),
        cmocka_unit_test_setup_teardown(a_full_spool_drops_the_informational_first, make_root,
                                        drop_root),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_in_nobody_s_way, make_root,
                                        drop_root),
        cmocka_unit_test_setup_teardown(backups_are_listed_newest_first_and_kept, make_root,
                                        drop_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
