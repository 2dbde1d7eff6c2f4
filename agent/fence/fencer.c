/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fence/fencer.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/clock.h"

enum { PRIORITY = 40, STACK_PREFAULT = 131072, LIMIT_SECONDS = 5, UNLINK_CHECK_STEPS = 100 };
enum { EXIT_OTHER_RUNS = 3, LOCK_TRIES = 10 };

enum hf_fence_why hf_fencer_decide(bool readable, bool seen, const struct hf_page_state *page,
                                   const struct hf_page_fencer *own, hf_lclk now, hf_dur *ret_wait)
{
    *ret_wait = HF_US(HF_FENCER_STEP_US);
    if (!seen) {
        return readable ? HF_FENCE_NOT : HF_FENCE_UNREADABLE;
    }
    bool done = own->fenced_epoch.v == page->epoch.v && own->fenced_serial == page->serial;
    if (!page->armed || done) {
        return HF_FENCE_NOT;
    }
    if (page->newest_epoch.v > page->epoch.v) {
        return HF_FENCE_NEWER_EPOCH;
    }
    hf_lclk due = page->guard ? hf_lclk_add(page->deadline, page->grace) : page->deadline;
    if (hf_lclk_reached(now, due)) {
        return HF_FENCE_DEADLINE;
    }
    hf_dur left = hf_lclk_sub(due, now);
    if (left.us < ret_wait->us) {
        *ret_wait = left;
    }
    return HF_FENCE_NOT;
}

static const char *why_text(enum hf_fence_why why)
{
    static const char *const texts[] = {
        [HF_FENCE_NOT] = "not",
        [HF_FENCE_DEADLINE] = "the lease is over",
        [HF_FENCE_NEWER_EPOCH] = "a newer epoch is known",
        [HF_FENCE_UNREADABLE] = "the lease page cannot be read",
    };
    return texts[why];
}

/* One line a fence; stack only. */
static void say(const char *what, const struct hf_fencer *f, enum hf_fence_why why, const char *how)
{
    char line[512];
    int n = snprintf(line, sizeof(line),
                     "holdfast-fencer: %s why=\"%s\" epoch=%llu serial=%llu took_us=%lld %s\n",
                     what, why_text(why), (unsigned long long)f->last.epoch.v,
                     (unsigned long long)f->last.serial,
                     (long long)(f->own.ended.us - f->own.began.us), how);
    if (n > 0 &&
        write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1)) {
        return; /* nobody can be told that nobody can be told */
    }
}

static void fence(struct hf_fencer *f, enum hf_fence_why why)
{
    struct hf_err err;
    const struct hf_instance_end how = {.patience = HF_MS(HF_FENCER_PATIENCE_MS),
                                        .limit = HF_SEC(LIMIT_SECONDS)};
    f->own.began = hf_clock_lease();
    hf_page_write_fencer(&f->map, &f->own);
    pid_t pid = f->seen ? (pid_t)f->last.postmaster_pid : 0;
    uint64_t start = f->seen ? f->last.postmaster_start : 0;
    if (pid == 0) {
        struct hf_postmaster found;
        hf_instance_postmaster(&f->instance, &found);
        pid = found.pid;
        start = found.start;
    }
    hf_result r = hf_instance_end(&f->instance, pid, start, &how, &err);
    f->own.ended = hf_clock_lease();
    if (hf_ok(r) && f->seen) {
        f->own.fenced_epoch = f->last.epoch;
        f->own.fenced_serial = f->last.serial;
    }
    hf_page_write_fencer(&f->map, &f->own);
    say(hf_ok(r) ? "fenced" : "not every process ended", f, why, hf_ok(r) ? "" : err.text);
}

hf_dur hf_fencer_step(struct hf_fencer *f)
{
    struct hf_page_state now_read;
    bool readable = hf_ok(hf_page_read(&f->map, &now_read, NULL));
    if (readable) {
        if (strcmp(now_read.data_dir, f->instance.data_dir) != 0) {
            hf_instance_init(&f->instance, now_read.data_dir);
        }
        f->last = now_read;
        f->seen = true;
    }
    /* One who holds a lease asks whether it is still good: errs towards "later". */
    hf_lclk now = hf_clock_lease_high();
    hf_dur wait;
    enum hf_fence_why why = hf_fencer_decide(readable, f->seen, &f->last, &f->own, now, &wait);
    f->own.alive = now;
    if (why == HF_FENCE_NOT) {
        hf_page_write_fencer(&f->map, &f->own);
        return wait;
    }
    /* Nothing to end and no page: not worth a line every 10 ms. */
    size_t count = 0;
    pid_t one;
    if (why == HF_FENCE_UNREADABLE &&
        hf_ok(hf_instance_list(&f->instance, &one, 1, &count, NULL)) && count == 0) {
        return wait;
    }
    fence(f, why);
    return wait;
}

/* --- the program --- */

static volatile sig_atomic_t asked_to_end;

static void on_term(int signal)
{
    (void)signal;
    asked_to_end = 1;
}

struct fencer_args {
    const char *page;
    const char *lock;
};

static bool parse(int argc, char **argv, struct fencer_args *ret)
{
    static const struct option options[] = {{"page", required_argument, NULL, 'p'},
                                            {"lock", required_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p':
            ret->page = optarg;
            break;
        case 'l':
            ret->lock = optarg;
            break;
        default:
            return false;
        }
    }
    return ret->page != NULL && ret->lock != NULL && optind == argc;
}

/* Held for life; the number in it is for people and for the agent. -1: another runs. */
static int take_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    /* An agent that asks whether the lock is held holds it for a moment itself. */
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (i == LOCK_TRIES) {
            close(fd);
            return -1;
        }
        struct timespec t = {.tv_nsec = HF_FENCER_STEP_US * 1000L};
        nanosleep(&t, NULL);
    }
    char text[32];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        dprintf(STDERR_FILENO, "holdfast-fencer: cannot write %s\n", path);
    }
    return fd;
}

static void on_signal(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    HF_ASSERT(sigaction(signal, &action, NULL) == 0);
}

/* What cannot be had is said once; the fencer works without. */
static void harden(void)
{
    on_signal(SIGTERM, on_term);
    on_signal(SIGHUP, SIG_IGN);
    on_signal(SIGINT, SIG_IGN);
    on_signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_NAME, "holdfast-fencer", 0, 0, 0);
    volatile char stack[STACK_PREFAULT];
    for (size_t i = 0; i < sizeof(stack); i += 1024) {
        stack[i] = 0;
    }
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        dprintf(STDERR_FILENO, "holdfast-fencer: not locked in memory: %s\n", strerror(errno));
    }
    const struct sched_param p = {.sched_priority = PRIORITY};
    if (sched_setscheduler(0, SCHED_FIFO, &p) != 0) {
        dprintf(STDERR_FILENO, "holdfast-fencer: no real-time priority: %s\n", strerror(errno));
    }
    HF_AUTOCLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "-900", 4) != 4) {
        dprintf(STDERR_FILENO, "holdfast-fencer: may be chosen when memory runs out\n");
    }
}

static bool page_removed(const struct hf_fencer *f)
{
    struct stat st;
    return fstat(f->map.fd, &st) == 0 && st.st_nlink == 0;
}

static void watch(struct hf_fencer *f)
{
    for (unsigned step = 0;; step++) {
        hf_dur wait = hf_fencer_step(f);
        bool busy =
            f->seen && f->last.armed &&
            !(f->own.fenced_epoch.v == f->last.epoch.v && f->own.fenced_serial == f->last.serial);
        bool look = step % UNLINK_CHECK_STEPS == 0;
        if (!busy && (asked_to_end || (look && page_removed(f)))) {
            return;
        }
        struct timespec t = {.tv_nsec = (wait.us > 0 ? wait.us : 1) * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    }
}

int hf_fencer_main(int argc, char **argv)
{
    static const char usage[] = "usage: holdfast-fencer --page FILE --lock FILE\n";
    struct fencer_args args = {.page = NULL};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        dprintf(STDOUT_FILENO, "%sEnds PostgreSQL when its lease is over; the agent starts it.\n",
                usage);
        return 0;
    }
    if (!parse(argc, argv, &args)) {
        dprintf(STDERR_FILENO, "%s", usage);
        return 2;
    }
    static struct hf_fencer f;
    struct hf_err err;
    HF_AUTOCLOSE int lock = take_lock(args.lock);
    if (lock < 0) {
        dprintf(STDERR_FILENO, "holdfast-fencer: another one runs (%s)\n", args.lock);
        return EXIT_OTHER_RUNS;
    }
    if (!hf_ok(hf_page_open(args.page, false, &f.map, &err))) {
        dprintf(STDERR_FILENO, "holdfast-fencer: %s\n", err.text);
        return 1;
    }
    /* Whose processes it ends is said by the page: one that says nothing is of no use. */
    if (!hf_ok(hf_page_read(&f.map, &f.last, &err))) {
        dprintf(STDERR_FILENO, "holdfast-fencer: %s\n", err.text);
        return 1;
    }
    hf_instance_init(&f.instance, f.last.data_dir);
    f.seen = true;
    /* What an earlier fencer of this page did stays true. */
    if (!hf_ok(hf_page_read_fencer(&f.map, &f.own, NULL))) {
        f.own = (struct hf_page_fencer){.pid = 0};
    }
    f.own.pid = (uint32_t)getpid();
    harden();
    if (chdir("/") != 0) {
        dprintf(STDERR_FILENO, "holdfast-fencer: chdir /: %s\n", strerror(errno));
    }
    watch(&f);
    hf_page_close(&f.map);
    return 0;
}
