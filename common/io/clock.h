/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks and randomness of this host. The lease clock is MONOTONIC_RAW + (BOOTTIME - MONOTONIC)
 * (rule L3): time daemons slew MONOTONIC and BOOTTIME by up to 8.3 %, RAW is not slewed, and the
 * difference adds the time spent suspended.
 * Invariant: three clocks cannot be read at one instant; whatever happens between the reads (a
 * preemption, a suspend), each function errs only in the direction that it names.
 *
 * Which direction is safe depends on the part played:
 *   low  (never later than the true time at return): the start of a lease that one holds (stamp
 *        taken before sending a heartbeat), and "now" of one who waits for another's lease to end;
 *   high (never earlier than the true time at the call): "now" of one who holds a lease and asks
 *        whether it is still good, and the start of a wait for another's lease.
 * A pause after the reading is not covered by any clock: check again after the act (rule L7).
 * Thread safe. Never fail: these clocks exist on every kernel that the project supports.
 */
#ifndef HF_IO_CLOCK_H
#define HF_IO_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "holdfast/types.h"

/* Reads RAW, then BOOTTIME, then MONOTONIC: every delay between them makes the value smaller. */
hf_lclk hf_clock_lease_low(void);
/* Reads RAW, then MONOTONIC, then BOOTTIME: every delay between the last two makes it greater. */
hf_lclk hf_clock_lease_high(void);
/* For a snapshot's single `now` and for timers: reads again until the three reads lie within 50 us
 * of each other (at most 200 times, then errs high), so that the error is far below any margin. */
hf_lclk hf_clock_lease(void);

/* Wall clock: for people, never for a decision. */
hf_wall hf_clock_wall(void);
/* "2026-11-21T00:21:00.123Z" in UTC. Truncates nothing: size must be >= HF_CLOCK_TEXT_SIZE. */
enum { HF_CLOCK_TEXT_SIZE = 32 };
void hf_clock_wall_text(hf_wall t, char *ret, size_t size);

/* The kernel's boot id (36 characters) and the inode of this process' time namespace: a stamp of
 * the lease clock means something only together with both. HF_E_IO. */
enum { HF_BOOT_ID_SIZE = 37 };
hf_result hf_clock_boot_id(char ret[HF_BOOT_ID_SIZE], struct hf_err *err) HF_MUST_USE;
hf_result hf_clock_time_namespace(uint64_t *ret, struct hf_err *err) HF_MUST_USE;

/* From the kernel's generator; aborts when the kernel has none (cannot happen after boot). */
void hf_random_bytes(void *ret, size_t n);
uint64_t hf_random_u64(void);

#endif
