/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop: one epoll descriptor that carries watched descriptors, a timerfd for the heap of
 * timers (kept by the lease clock), an eventfd for posts from other threads, a signalfd. It runs by
 * itself (hf_loop_run), or nested in another loop, which polls hf_loop_fd() and calls
 * hf_loop_dispatch() (the websocket hub does so).
 * Invariants: every function except hf_loop_post, hf_loop_stop and hf_loop_stall_max belongs to the
 * loop's thread (the one that runs it; before it runs: the one that made it); callbacks may remove
 * any watch or timer, also their own, during a dispatch: nothing removed is called afterwards; no
 * callback blocks (longest dispatch is kept, limit 20 ms).
 */
#ifndef HF_IO_LOOP_H
#define HF_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

struct hf_loop;
struct hf_watch;
struct hf_timer;

hf_result hf_loop_new(struct hf_loop **ret, struct hf_err *err) HF_MUST_USE;
/* Frees the loop with the watches and timers that are left (their handles are void then: owners
 * that free their own do so before); posts not yet run are dropped. Not from a callback. NULL
 * allowed. */
void hf_loop_free(struct hf_loop *loop);

/* Runs until hf_loop_stop. HF_E_IO only when epoll itself fails. */
hf_result hf_loop_run(struct hf_loop *loop, struct hf_err *err) HF_MUST_USE;
/* Waits at most so long for something to be ready, dispatches once, returns. For tests and for
 * command lines that wait for one result. */
hf_result hf_loop_step(struct hf_loop *loop, hf_dur max_wait, struct hf_err *err) HF_MUST_USE;
/* From any thread and from callbacks; hf_loop_run returns after the present dispatch. */
void hf_loop_stop(struct hf_loop *loop);
bool hf_loop_stopped(const struct hf_loop *loop);

/* Nested use: readable when something is ready; dispatch runs it without waiting. */
int hf_loop_fd(const struct hf_loop *loop);
void hf_loop_dispatch(struct hf_loop *loop);

/* Descriptors. Level triggered. HF_LOOP_HANGUP is only reported (error or hang-up; always together
 * with the wanted bits, so that a reader that ignores it sees end of file or the error itself). The
 * descriptor stays the caller's: unwatch before closing it. */
enum { HF_LOOP_READ = 1, HF_LOOP_WRITE = 2, HF_LOOP_HANGUP = 4 };
typedef void (*hf_watch_fn)(void *arg, int fd, unsigned events);
hf_result hf_loop_watch(struct hf_loop *loop, int fd, unsigned events, hf_watch_fn fn, void *arg,
                        struct hf_watch **ret, struct hf_err *err) HF_MUST_USE;
void hf_loop_modify(struct hf_watch *watch, unsigned events);
void hf_loop_unwatch(struct hf_watch *watch); /* frees it; NULL allowed */

/* Timers. Made once, started and cancelled as often as wanted; the caller frees. They never fire
 * early by the lease clock. A periodic one that is late fires once, then keeps its phase. */
typedef void (*hf_timer_fn)(void *arg);
struct hf_timer *hf_timer_new(struct hf_loop *loop, hf_timer_fn fn, void *arg);
void hf_timer_after(struct hf_timer *timer, hf_dur delay);  /* once; replaces what was set */
void hf_timer_at(struct hf_timer *timer, hf_lclk when);     /* once, at an instant */
void hf_timer_every(struct hf_timer *timer, hf_dur period); /* first after one period, >= 1 ms */
void hf_timer_cancel(struct hf_timer *timer);
bool hf_timer_pending(const struct hf_timer *timer);
void hf_timer_free(struct hf_timer *timer); /* NULL allowed; allowed in its own callback */

/* Runs fn(arg) on the loop's thread, in order of posting. Thread safe. HF_E_LIMIT when
 * HF_LOOP_POSTS are waiting (arg stays the caller's). */
enum { HF_LOOP_POSTS = 4096 };
typedef void (*hf_post_fn)(void *arg);
hf_result hf_loop_post(struct hf_loop *loop, hf_post_fn fn, void *arg,
                       struct hf_err *err) HF_MUST_USE;

/* Signals, by signalfd. Blocks the signal in the calling thread: call before other threads are
 * started. One function a signal. Children started by hf_process get a clean mask. */
typedef void (*hf_signal_fn)(void *arg, int signal);
hf_result hf_loop_signal(struct hf_loop *loop, int signal, hf_signal_fn fn, void *arg,
                         struct hf_err *err) HF_MUST_USE;

/* The longest time for which callbacks kept the loop from looking at its descriptors, since the
 * start or the last reset (monotonic time). hf_loop_stall_max may be called from any thread. */
hf_dur hf_loop_stall_max(const struct hf_loop *loop);
void hf_loop_stall_reset(struct hf_loop *loop);
/* For an outer loop that calls back by itself: brackets such work, so that it counts as a stall.
 * May nest; only the outermost pair measures. */
void hf_loop_work_begin(struct hf_loop *loop);
void hf_loop_work_end(struct hf_loop *loop);

#endif
