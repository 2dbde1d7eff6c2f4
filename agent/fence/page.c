/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fence/page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"

/* The two halves of the file, as offsets of struct hf_page. */
enum { AGENT_HALF = 2048 };

hf_result hf_page_identity_read(struct hf_page_identity *ret, struct hf_err *err)
{
    struct hf_page_identity id = {.time_namespace = 0};
    char boot[HF_BOOT_ID_SIZE];
    HF_TRY(hf_clock_boot_id(boot, err));
    _Static_assert(sizeof(id.boot) >= sizeof(boot), "a boot id fits");
    memcpy(id.boot, boot, sizeof(boot));
    HF_TRY(hf_clock_time_namespace(&id.time_namespace, err));
    *ret = id;
    return hf_done();
}

static hf_result page_file(int fd, const char *path, bool create, struct hf_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return hf_fail_errno(err, errno, "stat %s", path);
    }
    if (st.st_size == 0 && create) {
        /* Blocks are reserved now: a write into a hole on a full disk would be a SIGBUS. */
        int code = posix_fallocate(fd, 0, HF_PAGE_SIZE);
        return code == 0 ? hf_done() : hf_fail_errno(err, code, "reserve %s", path);
    }
    if (st.st_size != HF_PAGE_SIZE) {
        return hf_fail(err, HF_E_INVALID, "%s: %lld bytes, a lease page has %d", path,
                       (long long)st.st_size, (int)HF_PAGE_SIZE);
    }
    return hf_done();
}

/* Opens and maps with these flags; the page's content is not looked at. */
static hf_result map_file(const char *path, int flags, int protection, struct hf_page_map *ret,
                          struct hf_err *err)
{
    struct hf_page_map map = {.fd = -1};
    HF_TRY(hf_page_identity_read(&map.identity, err));
    HF_AUTOCLOSE int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == ENOENT ? hf_fail(err, HF_E_NOT_FOUND, "%s: no such file", path)
                               : hf_fail_errno(err, errno, "open %s", path);
    }
    HF_TRY(page_file(fd, path, (flags & O_CREAT) != 0, err));
    void *at = mmap(NULL, HF_PAGE_SIZE, protection, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return hf_fail_errno(err, errno, "map %s", path);
    }
    map.page = at;
    map.fd = fd;
    fd = -1;
    *ret = map;
    return hf_done();
}

hf_result hf_page_open(const char *path, bool create, struct hf_page_map *ret, struct hf_err *err)
{
    return map_file(path, O_RDWR | (create ? O_CREAT : 0), PROT_READ | PROT_WRITE, ret, err);
}

hf_result hf_page_open_reader(const char *path, struct hf_page_map *ret, struct hf_err *err)
{
    return map_file(path, O_RDONLY, PROT_READ, ret, err);
}

void hf_page_close(struct hf_page_map *map)
{
    if (map->page != NULL) {
        /* munmap takes no volatile pointer; nobody reads through it afterwards. */
        union {
            volatile struct hf_page *shared;
            void *plain;
        } at = {.shared = map->page};
        munmap(at.plain, HF_PAGE_SIZE);
        map->page = NULL;
        close(map->fd);
        map->fd = -1;
    }
}

/* Copies in words: no reader may see half of a 64-bit field even when the sequence is ignored. */
static void copy_from(void *to, const volatile void *from, size_t n)
{
    uint64_t *out = to;
    const volatile uint64_t *in = from;
    for (size_t i = 0; i < n / sizeof(uint64_t); i++) {
        out[i] = __atomic_load_n(&in[i], __ATOMIC_RELAXED);
    }
}

static void copy_to(volatile void *to, const void *from, size_t n)
{
    volatile uint64_t *out = to;
    const uint64_t *in = from;
    for (size_t i = 0; i < n / sizeof(uint64_t); i++) {
        __atomic_store_n(&out[i], in[i], __ATOMIC_RELAXED);
    }
}

/* What a reader copies: whole words from the page's beginning, and of its middle. */
struct extent {
    size_t head;
    size_t middle_from;
    size_t middle;
};
static const struct extent WHOLE = {.head = sizeof(struct hf_page)};
static const struct extent LEASE = {.head = offsetof(struct hf_page, data_dir),
                                    .middle_from = offsetof(struct hf_page, synchronous),
                                    .middle = sizeof(uint64_t)};

/* These parts of the page, consistent by the given sequence. False: written all the time. */
static bool read_copy(const struct hf_page_map *map, const volatile uint32_t *sequence,
                      const struct extent *what, struct hf_page *ret)
{
    for (int i = 0; i < HF_PAGE_READ_TRIES; i++) {
        uint32_t before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
        if (before % 2 == 0) {
            copy_from(ret, map->page, what->head);
            copy_from((char *)ret + what->middle_from,
                      (const volatile char *)map->page + what->middle_from, what->middle);
            atomic_thread_fence(memory_order_acquire);
            if (__atomic_load_n(sequence, __ATOMIC_RELAXED) == before) {
                return true;
            }
        }
    }
    return false;
}

static hf_result check(const struct hf_page_map *map, const struct hf_page *p, struct hf_err *err)
{
    if (memcmp(p->magic, HF_PAGE_MAGIC, sizeof(p->magic)) != 0 || p->version != HF_PAGE_VERSION) {
        return hf_fail(err, HF_E_INVALID, "not a lease page of layout %d", (int)HF_PAGE_VERSION);
    }
    if (memcmp(p->boot, map->identity.boot, sizeof(p->boot)) != 0) {
        return hf_fail(err, HF_E_STALE, "lease page of another boot");
    }
    if (p->time_namespace != map->identity.time_namespace) {
        return hf_fail(err, HF_E_STALE, "lease page of another time namespace");
    }
    if (p->open > 1 || p->guard > 1 || p->armed > 1 || p->synchronous > 1) {
        return hf_fail(err, HF_E_INVALID, "lease page with values out of bounds");
    }
    return hf_done();
}

hf_result hf_page_read_lease(const struct hf_page_map *map, struct hf_page_lease *ret,
                             struct hf_err *err)
{
    struct hf_page p;
    if (!read_copy(map, &map->page->sequence, &LEASE, &p)) {
        return hf_fail(err, HF_E_AGAIN, "lease page is being written");
    }
    HF_TRY(check(map, &p, err));
    *ret = (struct hf_page_lease){
        .epoch = HF_EPOCH(p.epoch),
        .serial = p.serial,
        .deadline = {p.deadline_us},
        .commits_until = {p.commits_until_us},
        .open = p.open == 1,
        .synchronous = p.synchronous == 1,
        .newest_epoch = HF_EPOCH(p.newest_epoch),
    };
    return hf_done();
}

hf_result hf_page_read(const struct hf_page_map *map, struct hf_page_state *ret, struct hf_err *err)
{
    struct hf_page p;
    if (!read_copy(map, &map->page->sequence, &WHOLE, &p)) {
        return hf_fail(err, HF_E_AGAIN, "lease page is being written");
    }
    HF_TRY(check(map, &p, err));
    if (memchr(p.data_dir, '\0', sizeof(p.data_dir)) == NULL ||
        memchr(p.primary, '\0', sizeof(p.primary)) == NULL) {
        return hf_fail(err, HF_E_INVALID, "lease page with texts out of bounds");
    }
    *ret = (struct hf_page_state){
        .generation = HF_GENERATION(p.generation),
        .epoch = HF_EPOCH(p.epoch),
        .serial = p.serial,
        .deadline = {p.deadline_us},
        .commits_until = {p.commits_until_us},
        .open = p.open == 1,
        .guard = p.guard == 1,
        .newest_epoch = HF_EPOCH(p.newest_epoch),
        .armed = p.armed == 1,
        .postmaster_pid = p.postmaster_pid,
        .postmaster_start = p.postmaster_start,
        .grace = {p.grace_us},
        .synchronous = p.synchronous == 1,
    };
    memcpy(ret->data_dir, p.data_dir, sizeof(ret->data_dir));
    memcpy(ret->primary, p.primary, sizeof(ret->primary));
    return hf_done();
}

hf_result hf_page_read_fencer(const struct hf_page_map *map, struct hf_page_fencer *ret,
                              struct hf_err *err)
{
    struct hf_page p;
    if (!read_copy(map, &map->page->fencer_sequence, &WHOLE, &p)) {
        return hf_fail(err, HF_E_AGAIN, "lease page is being written by the fencer");
    }
    *ret = (struct hf_page_fencer){
        .pid = p.fencer_pid,
        .alive = {p.fencer_alive_us},
        .fenced_epoch = HF_EPOCH(p.fenced_epoch),
        .fenced_serial = p.fenced_serial,
        .began = {p.fence_began_us},
        .ended = {p.fence_ended_us},
    };
    return hf_done();
}

/* Between begin_write and end_write readers see an odd sequence. A writer that died within left it
 * odd: the next one goes on from there. */
static uint32_t begin_write(volatile uint32_t *sequence)
{
    uint32_t s = __atomic_load_n(sequence, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(sequence, s, __ATOMIC_RELAXED);
    atomic_thread_fence(memory_order_release);
    return s;
}

static void end_write(volatile uint32_t *sequence, uint32_t s)
{
    __atomic_store_n(sequence, s + 1, __ATOMIC_RELEASE);
}

void hf_page_write(const struct hf_page_map *map, const struct hf_page_state *state)
{
    struct hf_page p = {.version = HF_PAGE_VERSION};
    p.time_namespace = map->identity.time_namespace;
    memcpy(p.magic, HF_PAGE_MAGIC, sizeof(p.magic));
    memcpy(p.boot, map->identity.boot, sizeof(p.boot));
    p.generation = state->generation.v;
    p.epoch = state->epoch.v;
    p.serial = state->serial;
    p.deadline_us = state->deadline.us;
    p.commits_until_us = state->commits_until.us;
    p.open = state->open;
    p.guard = state->guard;
    p.newest_epoch = state->newest_epoch.v;
    p.armed = state->armed;
    p.postmaster_pid = state->postmaster_pid;
    p.postmaster_start = state->postmaster_start;
    p.grace_us = state->grace.us;
    memcpy(p.data_dir, state->data_dir, sizeof(p.data_dir));
    memcpy(p.primary, state->primary, sizeof(p.primary));
    p.synchronous = state->synchronous;

    /* The sequence shares its word with the version: both are set around the copy. */
    volatile struct hf_page *page = map->page;
    uint32_t s = begin_write(&page->sequence);
    copy_to(page->magic, p.magic, sizeof(p.magic));
    __atomic_store_n(&page->version, p.version, __ATOMIC_RELAXED);
    const size_t body = offsetof(struct hf_page, boot);
    copy_to((volatile char *)page + body, (const char *)&p + body, AGENT_HALF - body);
    end_write(&page->sequence, s);
}

void hf_page_write_fencer(const struct hf_page_map *map, const struct hf_page_fencer *state)
{
    volatile struct hf_page *page = map->page;
    struct hf_page p = {.fencer_pid = state->pid,
                        .fencer_alive_us = state->alive.us,
                        .fenced_epoch = state->fenced_epoch.v,
                        .fenced_serial = state->fenced_serial,
                        .fence_began_us = state->began.us,
                        .fence_ended_us = state->ended.us};
    const size_t body = offsetof(struct hf_page, fencer_alive_us);
    uint32_t s = begin_write(&page->fencer_sequence);
    __atomic_store_n(&page->fencer_pid, p.fencer_pid, __ATOMIC_RELAXED);
    copy_to((volatile char *)page + body, (const char *)&p + body,
            offsetof(struct hf_page, reserved_fencer) - body);
    end_write(&page->fencer_sequence, s);
}

bool hf_page_is_open(const struct hf_page_map *map, hf_epoch epoch, hf_lclk now)
{
    struct hf_page_state s;
    return hf_ok(hf_page_read(map, &s, NULL)) && s.open && s.epoch.v == epoch.v &&
           s.newest_epoch.v <= s.epoch.v && hf_lclk_before(now, s.deadline);
}
