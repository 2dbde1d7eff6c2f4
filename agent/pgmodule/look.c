/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <math.h>
#include <sys/stat.h>

#include "common/io/clock.h"

/* A writer that was preempted within a write is waited for, this often by a millisecond. */
enum { WRITER_WAITS = 100 };

static struct hf_page_map map;

/* Is the mapped file the one that the path names now? */
static bool same_file(void)
{
    struct stat named;
    struct stat mapped;
    return stat(hf_guard_page, &named) == 0 && fstat(map.fd, &mapped) == 0 &&
           named.st_dev == mapped.st_dev && named.st_ino == mapped.st_ino;
}

/* Maps what the path names, in place of an older file; the older one stays when there is none. */
static bool open_again(struct hf_err *why)
{
    struct hf_page_map fresh = {.fd = -1};

    if (!hf_ok(hf_page_open_reader(hf_guard_page, &fresh, why))) {
        return false;
    }
    hf_page_close(&map);
    map = fresh;
    return true;
}

void hf_look_prepare(void)
{
    struct hf_err why;

    (void)open_again(&why);
}

static bool read_lease(struct hf_look *look)
{
    for (int i = 0; i < WRITER_WAITS; i++) {
        hf_result r = hf_page_read_lease(&map, &look->lease, &look->why);
        if (r.code != HF_E_AGAIN) {
            return hf_ok(r);
        }
        pg_usleep(1000);
    }
    return false;
}

static enum hf_look_state judge(struct hf_look *look)
{
    const struct hf_page_lease *lease = &look->lease;

    if (map.page == NULL || !read_lease(look)) {
        look->lease = (struct hf_page_lease){.serial = 0};
        look->now = hf_clock_lease_high();
        return HF_LOOK_UNREADABLE;
    }
    /* After the page: a pause between the two can only make the lease look shorter. */
    look->now = hf_clock_lease_high();
    if (!lease->open) {
        return HF_LOOK_CLOSED;
    }
    if (lease->newest_epoch.v > lease->epoch.v) {
        return HF_LOOK_SUPERSEDED;
    }
    return hf_lclk_before(look->now, lease->deadline) ? HF_LOOK_OPEN : HF_LOOK_OVER;
}

bool hf_look_is_open(struct hf_look *ret)
{
    ret->state = judge(ret);
    if (ret->state == HF_LOOK_OPEN) {
        return true;
    }
    /* Only now, when nothing is lost by it, the cost of asking for the file's identity. */
    if (map.page == NULL ? open_again(&ret->why) : !same_file() && open_again(&ret->why)) {
        ret->state = judge(ret);
    }
    return ret->state == HF_LOOK_OPEN;
}

bool hf_look_primary(char ret[HF_PAGE_PRIMARY_SIZE])
{
    struct hf_page_state state;

    if (map.page == NULL || !hf_ok(hf_page_read(&map, &state, NULL)) || state.primary[0] == '\0') {
        return false;
    }
    memcpy(ret, state.primary, HF_PAGE_PRIMARY_SIZE);
    return true;
}

const char *hf_look_name(enum hf_look_state state)
{
    static const char *const names[] = {
        [HF_LOOK_OPEN] = "open",     [HF_LOOK_UNREADABLE] = "unreadable",
        [HF_LOOK_CLOSED] = "closed", [HF_LOOK_SUPERSEDED] = "superseded",
        [HF_LOOK_OVER] = "over",
    };

    return names[state];
}

void hf_look_explain(const struct hf_look *look, char *ret, size_t size)
{
    unsigned long long epoch = look->lease.epoch.v;

    switch (look->state) {
    case HF_LOOK_OPEN:
        snprintf(ret, size, "The lease of epoch %llu is good.", epoch);
        break;
    case HF_LOOK_UNREADABLE:
        snprintf(ret, size, "The lease page cannot be used: %s.", look->why.text);
        break;
    case HF_LOOK_CLOSED:
        snprintf(ret, size, "The lease page is closed; its last epoch is %llu.", epoch);
        break;
    case HF_LOOK_SUPERSEDED:
        snprintf(ret, size, "Epoch %llu is superseded by epoch %llu.", epoch,
                 (unsigned long long)look->lease.newest_epoch.v);
        break;
    case HF_LOOK_OVER:
        snprintf(ret, size, "The lease of epoch %llu ended %.3f s ago.", epoch,
                 (double)hf_lclk_sub(look->now, look->lease.deadline).us / 1e6);
        break;
    }
}
