/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing in byte order of whole keys. A directory sorts as its name and '/', so that "a-b" comes
 * before "a/c" as in an object store. Of each directory on the way at most BATCH names are in
 * memory: a larger one is read again for the next ones.
 */
#include "common/io/store_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

enum { BATCH = 16384, DEPTH = 48 };

struct walk {
    const char *after; /* NULL: from the start */
    bool delimiter;
    hf_store_visit visit;
    void *arg;
};

/* The least names beyond `last`, as a heap with the greatest on top while it is being filled. */
struct batch {
    char **names;
    size_t count;
    size_t capacity;
    bool more; /* there were others that did not fit */
};

static void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        hf_free(b->names[i]);
    }
    b->count = 0;
    b->more = false;
}

static void batch_free(struct batch *b)
{
    batch_clear(b);
    hf_free(b->names);
    b->names = NULL;
}

static void swap(char **a, char **b)
{
    char *t = *a;
    *a = *b;
    *b = t;
}

static void sift_up(char **names, size_t i)
{
    while (i > 0 && strcmp(names[i], names[(i - 1) / 2]) > 0) {
        swap(&names[i], &names[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
}

static void sift_down(char **names, size_t count)
{
    for (size_t i = 0;;) {
        size_t greatest = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++) {
            if (strcmp(names[child], names[greatest]) > 0) {
                greatest = child;
            }
        }
        if (greatest == i) {
            return;
        }
        swap(&names[i], &names[greatest]);
        i = greatest;
    }
}

static void batch_add(struct batch *b, const char *name)
{
    if (b->count == BATCH) {
        b->more = true;
        if (strcmp(name, b->names[0]) < 0) {
            hf_free(b->names[0]);
            b->names[0] = hf_strdup(name);
            sift_down(b->names, b->count);
        }
        return;
    }
    if (b->count == b->capacity) {
        b->capacity = b->capacity == 0 ? 64 : b->capacity * 2;
        b->names = hf_realloc(b->names, b->capacity * sizeof *b->names);
    }
    b->names[b->count] = hf_strdup(name);
    sift_up(b->names, b->count++);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The sort name of an entry ("name" or "name/"); false for what is no key part or no object. */
static bool sort_name(int dir, const struct dirent *e, char ret[258])
{
    if (!hf_store_key_valid(e->d_name)) {
        return false;
    }
    unsigned char type = e->d_type;
    if (type == DT_UNKNOWN) {
        struct stat st;
        if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return false;
        }
        type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
    }
    if (type != DT_DIR && type != DT_REG) {
        return false;
    }
    (void)snprintf(ret, 258, "%s%s", e->d_name, type == DT_DIR ? "/" : "");
    return true;
}

static DIR *open_stream(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
    }
    return stream;
}

/* Reads the directory for the least names that begin with filter and are greater than last. */
static hf_result batch_fill(struct batch *b, int dir, const char *filter, const char *last,
                            struct hf_err *err)
{
    DIR *stream = open_stream(dir);
    if (stream == NULL) {
        return hf_fail_errno(err, errno, "open directory");
    }
    int failed = 0;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(stream);
        if (e == NULL) {
            failed = errno;
            break;
        }
        char name[258];
        if (sort_name(dir, e, name) && strncmp(name, filter, strlen(filter)) == 0 &&
            strcmp(name, last) > 0) {
            batch_add(b, name);
        }
    }
    (void)closedir(stream);
    if (failed != 0) {
        return hf_fail_errno(err, failed, "read directory");
    }
    if (b->count > 1) {
        qsort(b->names, b->count, sizeof *b->names, compare_names);
    }
    return hf_done();
}

/* Opens subdirectory "name/" of dir; -1 with errno. */
static int open_sub(int dir, const char *name)
{
    char part[258];
    (void)snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "/"), name);
    return openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whether there is any object below: an object store has no empty directories. */
static bool has_object(int dir, int depth)
{
    DIR *stream = open_stream(dir);
    bool found = false;
    for (const struct dirent *e; stream != NULL && !found && (e = readdir(stream)) != NULL;) {
        char name[258];
        if (!sort_name(dir, e, name)) {
            continue;
        }
        if (name[strlen(name) - 1] != '/') {
            found = true;
        } else if (depth < DEPTH) {
            HF_AUTOCLOSE int sub = open_sub(dir, name);
            found = sub >= 0 && has_object(sub, depth + 1);
        }
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
    return found;
}

static hf_result visit_file(const struct walk *w, int dir, const char *name, const char *key,
                            struct hf_err *err)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        /* removed since the directory was read */
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "stat %s", key);
    }
    struct hf_store_entry e = {
        .key = key,
        .size = (uint64_t)st.st_size,
        .modified = {st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000},
    };
    return w->visit(w->arg, &e, err);
}

static hf_result walk_dir(const struct walk *w, int dir, const char *at, const char *filter,
                          int depth, struct hf_err *err);

static hf_result visit_name(const struct walk *w, int dir, const char *at, const char *name,
                            int depth, struct hf_err *err)
{
    char key[HF_STORE_KEY_SIZE];
    int n = snprintf(key, sizeof key, "%s%s", at, name);
    if (n < 0 || (size_t)n >= sizeof key) {
        return hf_done(); /* longer than any key: not ours */
    }
    bool beyond = w->after == NULL || strcmp(key, w->after) > 0;
    if (name[strlen(name) - 1] != '/') {
        return beyond ? visit_file(w, dir, name, key, err) : hf_done();
    }
    if (w->delimiter ? !beyond : !beyond && strncmp(w->after, key, strlen(key)) != 0) {
        return hf_done(); /* all that is below comes before `after` too */
    }
    HF_AUTOCLOSE int sub = open_sub(dir, name);
    if (sub < 0) {
        return errno == ENOENT ? hf_done() : hf_fail_errno(err, errno, "open directory %s", key);
    }
    if (!w->delimiter) {
        return walk_dir(w, sub, key, "", depth + 1, err);
    }
    if (!has_object(sub, depth + 1)) {
        return hf_done();
    }
    struct hf_store_entry e = {.key = key, .is_prefix = true};
    return w->visit(w->arg, &e, err);
}

static hf_result visit_batch(const struct walk *w, int dir, const char *at, const struct batch *b,
                             int depth, struct hf_err *err)
{
    for (size_t i = 0; i < b->count; i++) {
        HF_TRY(visit_name(w, dir, at, b->names[i], depth, err));
    }
    return hf_done();
}

static hf_result walk_dir(const struct walk *w, int dir, const char *at, const char *filter,
                          int depth, struct hf_err *err)
{
    if (depth > DEPTH) {
        return hf_fail(err, HF_E_LIMIT, "directories more than %d deep at %s", DEPTH, at);
    }
    __attribute__((cleanup(batch_free))) struct batch b = {0};
    char last[258] = "";
    do {
        batch_clear(&b);
        HF_TRY(batch_fill(&b, dir, filter, last, err));
        HF_TRY(visit_batch(w, dir, at, &b, depth, err));
        if (b.count > 0) {
            (void)snprintf(last, sizeof last, "%s", b.names[b.count - 1]);
        }
    } while (b.more);
    return hf_done();
}

hf_result hf_posix_list(struct hf_store *store, const char *prefix, const char *after,
                        bool delimiter, hf_store_visit visit, void *arg, struct hf_err *err)
{
    struct hf_posix_store *s = (struct hf_posix_store *)store;
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, prefix, full);
    const char *slash = strrchr(full, '/');
    size_t dir_len = slash == NULL ? 0 : (size_t)(slash - full) + 1;
    HF_AUTOCLOSE int dir = -1;
    hf_result r = hf_posix_open_dir(s, full, dir_len, &dir, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_done();
    }
    HF_TRY(r);
    struct walk w = {after, delimiter, visit, arg};
    char at[HF_STORE_KEY_SIZE];
    const char *own_slash = strrchr(prefix, '/');
    (void)snprintf(at, sizeof at, "%.*s", own_slash == NULL ? 0 : (int)(own_slash - prefix) + 1,
                   prefix);
    return walk_dir(&w, dir, at, full + dir_len, 0, err);
}
