/* SPDX-License-Identifier: Apache-2.0
 *
 * Every fault point of the common library by table: each is injected once, and one clear error
 * says which it was. A point that is not in the table fails. (tests/tidy sees to it that those of
 * agent and coordinator are in some test.)
 */
#include "tests/unit/common/s3_peer.h"

#include "common/io/clock.h"
#include "common/io/etcd.h"
#include "common/io/fault.h"
#include "common/io/files.h"
#include "common/io/http.h"
#include "common/io/log.h"
#include "common/io/postgres.h"
#include "common/io/process.h"
#include "common/io/ws.h"
#include "tests/unit/common/pg_fixture.h"
#include "tests/unit/common/tls_fixture.h"

#define COORD_URI "spiffe://lab/coordinator/eu"

static struct tls_fixture tls;
static struct pg_fixture pg;
static struct hf_loop *loop;
static struct hf_ws_hub *hub;
static struct hf_store *posix;

static const char *place(const char *name)
{
    return fixture_path(&tls, name, "");
}

/* --- each provokes one edge; the error that comes of it ----------------------------------------
 */

static void write_file(struct hf_err *err)
{
    HF_IGNORE(hf_file_write_durable(place("f"), "new", 3, 0600, err), "looked at by its text");
}

static void read_file(struct hf_err *err)
{
    HF_BUF(text, 1000);
    HF_IGNORE(hf_file_read(place("ca.pem"), &text, err), "looked at by its text");
}

static void remove_tree(struct hf_err *err)
{
    HF_IGNORE(hf_dir_remove_tree(place("absent"), err), "looked at by its text");
}

static void put_object(struct hf_err *err)
{
    static int number;
    char key[32];
    snprintf(key, sizeof key, "k%d", number++);
    HF_IGNORE(
        hf_store_put(posix, key, "x", 1, (struct hf_store_put_options){.create_once = true}, err),
        "looked at by its text");
}

static void stream_object(struct hf_err *err)
{
    struct hf_store_writer *w = NULL;
    if (!hf_ok(hf_store_writer_open(posix, "stream", &w, err))) {
        return;
    }
    if (!hf_ok(hf_store_writer_write(w, "x", 1, err))) {
        hf_store_writer_abort(w);
        return;
    }
    HF_IGNORE(hf_store_writer_commit(w, err), "looked at by its text");
}

static hf_result sink(void *arg, const void *bytes, size_t len, struct hf_err *err)
{
    (void)arg, (void)bytes, (void)len, (void)err;
    return hf_done();
}

static void get_object(struct hf_err *err)
{
    HF_IGNORE(hf_store_get(posix, "there", 0, UINT64_MAX, sink, NULL, err), "by its text");
}

static void head_object(struct hf_err *err)
{
    struct hf_store_meta meta;
    HF_IGNORE(hf_store_head(posix, "there", &meta, err), "looked at by its text");
}

static hf_result visit(void *arg, const struct hf_store_entry *entry, struct hf_err *err)
{
    (void)arg, (void)entry, (void)err;
    return hf_done();
}

static void list_objects(struct hf_err *err)
{
    HF_IGNORE(hf_store_list(posix, "", NULL, false, visit, NULL, err), "looked at by its text");
}

static void delete_object(struct hf_err *err)
{
    HF_IGNORE(hf_store_delete(posix, "there", err), "looked at by its text");
}

static void put_s3(struct hf_err *err)
{
    struct peer *p = start(NULL, 0); /* nothing may reach it */
    struct hf_store *s = open_store(p, 1);
    HF_IGNORE(
        hf_store_put(s, "k", "x", 1, (struct hf_store_put_options){.create_once = false}, err),
        "looked at by its text");
    finish(p, s);
}

static void spawn(struct hf_err *err)
{
    const char *argv[] = {"/bin/true", NULL};
    struct hf_process_spec spec = {.argv = argv};
    struct hf_process_output out;
    HF_IGNORE(hf_process_run(&spec, HF_SEC(10), &out, err), "looked at by its text");
}

static void ask_database(struct hf_err *err)
{
    const struct hf_pg_config config = {.host = pg.dir,
                                        .port = pg.port,
                                        .user = "tester",
                                        .dbname = "postgres",
                                        .connect_timeout = HF_SEC(20)};
    struct hf_pg_sync *c = NULL;
    struct hf_pg_result *r = NULL;
    if (hf_ok(hf_pg_sync_connect(&config, &c, err)) &&
        hf_ok(hf_pg_sync_query(c, "SELECT 1", 0, NULL, HF_SEC(20), &r, err))) {
        hf_pg_result_free(r);
    }
    hf_pg_sync_close(c);
}

static void load_tls(struct hf_err *err)
{
    struct hf_tls_files files = fixture_files(&tls, "ca", "coord");
    HF_IGNORE(hf_tls_files_check(&files, err), "looked at by its text");
}

/* --- asynchronous ones: a loop until they end --------------------------------------------------
 */

struct ended {
    bool over;
    struct hf_err *err;
};

static void run_until(const bool *over)
{
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    while (!*over && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_ws_step(hub, HF_MS(20), NULL)));
    }
    assert_true(*over);
}

static void on_http(void *arg, const struct hf_http_response *response)
{
    struct ended *e = arg;
    e->over = true;
    if (response->err != NULL) {
        *e->err = *response->err;
    }
}

static void ask_http(struct hf_err *err)
{
    struct hf_http_client *client = NULL;
    struct hf_http_call *call = NULL;
    struct ended e = {.err = err};
    const struct hf_http_client_request request = {
        .url = "http://127.0.0.1:1/", .done = on_http, .arg = &e};
    assert_true(hf_ok(hf_http_client_new(loop, 1, &client, err)));
    assert_true(hf_ok(hf_http_client_start(client, &request, &call, err)));
    run_until(&e.over);
    hf_http_client_free(client);
}

static void on_etcd(void *arg, const struct hf_etcd_reply *reply)
{
    struct ended *e = arg;
    e->over = true;
    if (reply->err != NULL) {
        *e->err = *reply->err;
    }
}

static void ask_etcd(struct hf_err *err)
{
    const char *const endpoints[] = {"http://127.0.0.1:1"};
    const struct hf_etcd_config config = {.endpoints = endpoints, .endpoint_count = 1};
    const struct hf_etcd_range range = {.key = "/k"};
    struct hf_etcd *etcd = NULL;
    struct ended e = {.err = err};
    assert_true(hf_ok(hf_etcd_new(loop, &config, &etcd, err)));
    if (hf_ok(hf_etcd_get(etcd, &range, on_etcd, &e, err))) {
        run_until(&e.over);
    }
    hf_etcd_free(etcd);
}

static hf_result on_accept(void *arg, const char *uri, struct hf_err *err)
{
    (void)arg, (void)uri, (void)err;
    return hf_done();
}

static void on_open(void *arg, struct hf_ws_conn *conn)
{
    (void)arg;
    HF_IGNORE(hf_ws_send(conn, "hello", 5, NULL), "both sides greet");
}

static void on_message(void *arg, struct hf_ws_conn *conn, const char *text, size_t len)
{
    (void)arg, (void)conn, (void)text, (void)len;
}

/* The first end that names a fault; the other side only sees the connection end. */
static void on_closed(void *arg, struct hf_ws_conn *conn, const char *reason)
{
    struct ended *e = arg;
    (void)conn;
    if (strstr(reason, "fault point") != NULL && !e->over) {
        snprintf(e->err->text, sizeof e->err->text, "%s", reason);
        e->over = true;
    }
}

static void talk_by_websocket(struct hf_err *err)
{
    static const struct hf_ws_callbacks callbacks = {on_accept, on_open, on_message, on_closed};
    struct ended e = {.err = err};
    struct hf_ws_server *server = NULL;
    struct hf_ws_client *client = NULL;
    char url[64];
    const struct hf_ws_server_config listen = {.listen = "127.0.0.1:0",
                                               .tls = fixture_files(&tls, "ca", "coord")};
    assert_true(hf_ok(hf_ws_server_new(hub, &listen, &callbacks, &e, &server, err)));
    snprintf(url, sizeof url, "wss://127.0.0.1:%d", hf_ws_server_port(server));
    const struct hf_ws_client_config config = {.url = url,
                                               .tls = fixture_files(&tls, "ca", "agent"),
                                               .backoff_min = HF_MS(20),
                                               .backoff_max = HF_MS(60)};
    assert_true(hf_ok(hf_ws_client_new(hub, &config, &callbacks, &e, &client, err)));
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(20));
    while (!e.over && !hf_lclk_reached(hf_clock_lease(), end)) {
        assert_true(hf_ok(hf_ws_step(hub, HF_MS(20), NULL)));
        if (strstr(hf_ws_client_problem(client), "fault point") != NULL) {
            snprintf(err->text, sizeof err->text, "%s", hf_ws_client_problem(client));
            e.over = true;
        }
    }
    hf_ws_client_free(client);
}

/* --- the table ---------------------------------------------------------------------------------
 */

static const struct row {
    const char *name;
    void (*provoke)(struct hf_err *err);
} rows[] = {
    {"etcd.send", ask_etcd},
    {"files.fsync", write_file},
    {"files.read", read_file},
    {"files.remove_tree", remove_tree},
    {"files.rename", write_file},
    {"files.sync_directory", write_file},
    {"files.write", write_file},
    {"http.send", ask_http},
    {"posix.fsync", put_object},
    {"posix.fsync_dir", put_object},
    {"posix.link", put_object},
    {"posix.temp_open", put_object},
    {"posix.unlink", delete_object},
    {"posix.write", put_object},
    {"postgres.connect", ask_database},
    {"postgres.query", ask_database},
    {"process.spawn", spawn},
    {"s3.request", put_s3},
    {"store.delete", delete_object},
    {"store.get", get_object},
    {"store.head", head_object},
    {"store.list", list_objects},
    {"store.put", put_object},
    {"store.writer.commit", stream_object},
    {"store.writer.open", stream_object},
    {"store.writer.write", stream_object},
    {"tls.files", load_tls},
    {"ws.connect", talk_by_websocket},
    {"ws.receive", talk_by_websocket},
    {"ws.send", talk_by_websocket},
};

static const struct row *row_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static void every_point_gives_one_clear_error(void **state)
{
    (void)state;
    const char *names[256];
    size_t n = hf_fault_list(names, 256);
    if (n == 0) {
        skip();
    }
    size_t bad = n == sizeof rows / sizeof rows[0] ? 0 : 1;
    for (size_t i = 0; i < n; i++) {
        char config[96];
        char wanted[96];
        struct hf_err err = {0};
        const struct row *row = row_of(names[i]);
        if (row == NULL) {
            print_error("fault point %s is not in the table\n", names[i]);
            bad++;
            continue;
        }
        snprintf(config, sizeof config, "%s=error", names[i]);
        snprintf(wanted, sizeof wanted, "fault point %s", names[i]);
        assert_true(hf_ok(hf_fault_configure(config, &err)));
        row->provoke(&err);
        assert_true(hf_ok(hf_fault_configure(NULL, NULL)));
        const char *at = strstr(err.text, wanted);
        if (at == NULL || strstr(at + 1, "fault point") != NULL) {
            print_error("%s: \"%s\"\n", names[i], err.text);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

/* Without a fault each of them works where there is a peer: the errors above are the faults'. */
static void nothing_fails_without_a_fault(void **state)
{
    (void)state;
    static void (*const works[])(struct hf_err *) = {
        write_file, remove_tree, put_object,   stream_object, list_objects,
        spawn,      load_tls,    ask_database, head_object,   get_object};
    struct hf_err err = {0};
    assert_true(
        hf_ok(hf_store_put(posix, "there", "x", 1, (struct hf_store_put_options){0}, &err)));
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        err = (struct hf_err){0};
        works[i](&err);
        assert_string_equal(err.text, "");
    }
}

static int make(void **state)
{
    (void)state;
    hf_log_init("test", HF_LOG_ERROR, HF_LOG_STDERR);
    if (!fixture_make(&tls) || !fixture_ca(&tls, "ca") ||
        !fixture_cert(&tls, "ca", "coord", "URI:" COORD_URI ",IP:127.0.0.1") ||
        !fixture_cert(&tls, "ca", "agent", "URI:spiffe://lab/tenant/demo/region/eu/agent/eu-1")) {
        return -1;
    }
    const struct hf_store_config c = {
        .type = HF_STORE_POSIX, .name = "eu", .prefix = "lab/", .path = tls.dir};
    return pg_fixture_start(&pg) && hf_ok(hf_loop_new(&loop, NULL)) &&
                   hf_ok(hf_ws_hub_new(loop, &hub, NULL)) && hf_ok(hf_store_open(&c, &posix, NULL))
               ? 0
               : -1;
}

static int drop(void **state)
{
    (void)state;
    hf_store_close(posix);
    hf_ws_hub_free(hub);
    hf_loop_free(loop);
    pg_fixture_stop(&pg);
    fixture_drop(&tls);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_fails_without_a_fault),
        cmocka_unit_test(every_point_gives_one_clear_error),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
