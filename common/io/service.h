/* SPDX-License-Identifier: Apache-2.0
 *
 * Talks to the service manager (sd_notify). Does nothing, successfully, when there is none.
 * Invariant: the watchdog is fed from the event loop's own timer, so that a loop that hangs is
 * noticed. Loop thread only.
 */
#ifndef HF_IO_SERVICE_H
#define HF_IO_SERVICE_H

#include "common/base/err.h"
#include "common/io/loop.h"

void hf_service_ready(void);
void hf_service_stopping(void);
/* One line for `systemctl status`; truncated at 256 bytes. */
void hf_service_status(const char *format, ...) HF_PRINTF(1, 2);
/* Feeds the watchdog at half of WATCHDOG_USEC when the manager asks for it; ret may be NULL timer
 * then not. Free the timer with hf_timer_free. */
struct hf_timer *hf_service_watchdog(struct hf_loop *loop);

#endif
