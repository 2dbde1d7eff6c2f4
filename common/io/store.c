/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store.h"

#include <stdio.h>
#include <string.h>

#include "common/io/fault.h"
#include "common/io/store_driver.h"

enum { PART_MAX = 255, PARTS_MAX = 32 };

static bool key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static bool part_valid(const char *part, size_t len)
{
    if (len == 0 || len > PART_MAX || (len == 1 && part[0] == '.') ||
        (len == 2 && part[0] == '.' && part[1] == '.')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!key_character(part[i])) {
            return false;
        }
    }
    return true;
}

bool hf_store_key_valid(const char *text)
{
    if (strnlen(text, HF_STORE_KEY_SIZE) >= HF_STORE_KEY_SIZE) {
        return false;
    }
    for (int parts = 1; parts <= PARTS_MAX; parts++) {
        size_t len = strcspn(text, "/");
        if (!part_valid(text, len)) {
            return false;
        }
        if (text[len] == '\0') {
            return true;
        }
        text += len + 1;
    }
    return false;
}

static hf_result check_key(const char *key, struct hf_err *err)
{
    if (hf_store_key_valid(key)) {
        return hf_done();
    }
    return hf_fail(err, HF_E_INVALID,
                   "object key \"%.80s\": allowed are at most %d characters of [A-Za-z0-9._/-], in "
                   "at most %d parts of at most %d, none empty, \".\" or \"..\"",
                   key, HF_STORE_KEY_SIZE - 1, PARTS_MAX, PART_MAX);
}

/* The beginning of a key: whole parts as in a key, then the beginning of one. */
static hf_result check_key_prefix(const char *prefix, struct hf_err *err)
{
    const char *slash = strrchr(prefix, '/');
    const char *last = slash == NULL ? prefix : slash + 1;
    char whole[HF_STORE_KEY_SIZE];
    bool valid = strlen(prefix) < HF_STORE_KEY_SIZE;
    for (const char *c = last; valid && *c != '\0'; c++) {
        valid = key_character(*c);
    }
    if (valid && slash != NULL) {
        (void)snprintf(whole, sizeof whole, "%.*s", (int)(slash - prefix), prefix);
        valid = hf_store_key_valid(whole);
    }
    if (valid) {
        return hf_done();
    }
    return hf_fail(err, HF_E_INVALID, "key prefix \"%.80s\" is no beginning of an object key",
                   prefix);
}

/* Puts what was being done before the text. */
static hf_result because(hf_result r, struct hf_err *err, const struct hf_store *store,
                         const char *verb, const char *key)
{
    if (hf_ok(r) || err == NULL) {
        return r;
    }
    return hf_fail_context(err, "store %s: %s %s", store->name, verb, key);
}

static hf_result check_config(const struct hf_store_config *c, struct hf_err *err)
{
    if (c->name == NULL || c->name[0] == '\0' || strlen(c->name) >= HF_NAME_SIZE) {
        return hf_fail(err, HF_E_INVALID, "store: a name of at most %d characters is needed",
                       HF_NAME_SIZE - 1);
    }
    const char *prefix = c->prefix == NULL ? "" : c->prefix;
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    char trimmed[HF_STORE_PREFIX_SIZE];
    if (len + 2 > sizeof trimmed) {
        return hf_fail(err, HF_E_INVALID, "store %s: prefix is longer than %zu characters", c->name,
                       sizeof trimmed - 2);
    }
    (void)snprintf(trimmed, sizeof trimmed, "%.*s", (int)len, prefix);
    if (len > 0 && !hf_store_key_valid(trimmed)) {
        return hf_fail(err, HF_E_INVALID, "store %s: prefix \"%.80s\" is no object key", c->name,
                       prefix);
    }
    if (c->connect_timeout.us < 0 || c->stall_timeout.us < 0 || c->total_timeout.us < 0 ||
        c->attempts < 0 || c->attempts > 100) {
        return hf_fail(err, HF_E_INVALID,
                       "store %s: timeouts must not be negative, attempts be 0 to 100", c->name);
    }
    return hf_done();
}

hf_result hf_store_open(const struct hf_store_config *config, struct hf_store **ret,
                        struct hf_err *err)
{
    HF_TRY(check_config(config, err));
    struct hf_store *store = NULL;
    hf_result r = config->type == HF_STORE_POSIX ? hf_store_posix_open(config, &store, err)
                                                 : hf_store_s3_open(config, &store, err);
    if (!hf_ok(r)) {
        return err == NULL ? r : hf_fail_context(err, "store %s", config->name);
    }
    store->type = config->type;
    (void)snprintf(store->name, sizeof store->name, "%s", config->name);
    const char *prefix = config->prefix == NULL ? "" : config->prefix;
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    if (len > 0) {
        (void)snprintf(store->prefix, sizeof store->prefix, "%.*s/", (int)len, prefix);
    }
    *ret = store;
    return hf_done();
}

void hf_store_close(struct hf_store *store)
{
    if (store != NULL) {
        store->driver->close(store);
    }
}

const char *hf_store_name(const struct hf_store *store)
{
    return store->name;
}

enum hf_store_type hf_store_type_of(const struct hf_store *store)
{
    return store->type;
}

void hf_store_full_key(const struct hf_store *store, const char *key, char ret[HF_STORE_FULL_SIZE])
{
    int n = snprintf(ret, HF_STORE_FULL_SIZE, "%s%s", store->prefix, key);
    HF_ASSERT(n >= 0 && n < HF_STORE_FULL_SIZE);
}

hf_result hf_store_conditional(struct hf_store *store, bool *ret, struct hf_err *err)
{
    return because(store->driver->conditional(store, ret, err), err, store, "probe", "create-once");
}

static hf_result put(struct hf_store *store, const char *key, const void *bytes, size_t len,
                     struct hf_store_put_options options, struct hf_err *err)
{
    HF_TRY(check_key(key, err));
    HF_FAULT("store.put", err);
    return store->driver->put(store, key, bytes, len, options.create_once, err);
}

hf_result hf_store_put(struct hf_store *store, const char *key, const void *bytes, size_t len,
                       struct hf_store_put_options options, struct hf_err *err)
{
    return because(put(store, key, bytes, len, options, err), err, store, "put", key);
}

static hf_result writer_open(struct hf_store *store, const char *key, struct hf_store_writer **ret,
                             struct hf_err *err)
{
    HF_TRY(check_key(key, err));
    HF_FAULT("store.writer.open", err);
    struct hf_store_writer *w = NULL;
    HF_TRY(store->driver->writer_open(store, key, &w, err));
    w->store = store;
    (void)snprintf(w->key, sizeof w->key, "%s", key);
    *ret = w;
    return hf_done();
}

hf_result hf_store_writer_open(struct hf_store *store, const char *key,
                               struct hf_store_writer **ret, struct hf_err *err)
{
    return because(writer_open(store, key, ret, err), err, store, "write", key);
}

static hf_result writer_write(struct hf_store_writer *w, const void *bytes, size_t len,
                              struct hf_err *err)
{
    HF_FAULT("store.writer.write", err);
    return w->store->driver->writer_write(w, bytes, len, err);
}

hf_result hf_store_writer_write(struct hf_store_writer *w, const void *bytes, size_t len,
                                struct hf_err *err)
{
    return because(writer_write(w, bytes, len, err), err, w->store, "write", w->key);
}

static hf_result writer_commit(struct hf_store_writer *w, struct hf_err *err)
{
    struct hf_store *store = w->store;
    if (HF_FAULT_HIT("store.writer.commit")) {
        store->driver->writer_abort(w);
        return hf_fail(err, HF_E_IO, "fault point store.writer.commit");
    }
    return store->driver->writer_commit(w, err);
}

hf_result hf_store_writer_commit(struct hf_store_writer *w, struct hf_err *err)
{
    struct hf_store *store = w->store;
    char key[HF_STORE_KEY_SIZE];
    (void)snprintf(key, sizeof key, "%s", w->key);
    return because(writer_commit(w, err), err, store, "commit", key);
}

void hf_store_writer_abort(struct hf_store_writer *w)
{
    if (w != NULL) {
        w->store->driver->writer_abort(w);
    }
}

static hf_result get(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                     hf_store_sink sink, void *arg, struct hf_err *err)
{
    HF_TRY(check_key(key, err));
    if (offset > INT64_MAX || (len != UINT64_MAX && len > INT64_MAX - offset)) {
        return hf_fail(err, HF_E_INVALID, "range beyond 2^63 bytes");
    }
    HF_FAULT("store.get", err);
    return store->driver->get(store, key, offset, len, sink, arg, err);
}

hf_result hf_store_get(struct hf_store *store, const char *key, uint64_t offset, uint64_t len,
                       hf_store_sink sink, void *arg, struct hf_err *err)
{
    return because(get(store, key, offset, len, sink, arg, err), err, store, "get", key);
}

static hf_result head(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                      struct hf_err *err)
{
    HF_TRY(check_key(key, err));
    HF_FAULT("store.head", err);
    return store->driver->head(store, key, ret, err);
}

hf_result hf_store_head(struct hf_store *store, const char *key, struct hf_store_meta *ret,
                        struct hf_err *err)
{
    return because(head(store, key, ret, err), err, store, "head", key);
}

static hf_result list(struct hf_store *store, const char *prefix, const char *after, bool delimiter,
                      hf_store_visit visit, void *arg, struct hf_err *err)
{
    HF_TRY(check_key_prefix(prefix, err));
    if (after != NULL) {
        HF_TRY(check_key_prefix(after, err));
    }
    HF_FAULT("store.list", err);
    return store->driver->list(store, prefix, after, delimiter, visit, arg, err);
}

hf_result hf_store_list(struct hf_store *store, const char *prefix, const char *after,
                        bool delimiter, hf_store_visit visit, void *arg, struct hf_err *err)
{
    return because(list(store, prefix, after, delimiter, visit, arg, err), err, store, "list",
                   prefix);
}

static hf_result delete_key(struct hf_store *store, const char *key, struct hf_err *err)
{
    HF_TRY(check_key(key, err));
    HF_FAULT("store.delete", err);
    return store->driver->remove(store, key, err);
}

hf_result hf_store_delete(struct hf_store *store, const char *key, struct hf_err *err)
{
    return because(delete_key(store, key, err), err, store, "delete", key);
}
