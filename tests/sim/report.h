/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers and the summary: seeds are shared out over two processes, each checker is a test of the
 * summary's last line, and so are the promises about the run itself (length, faults, promotions).
 * Invariant: a worker that dies counts as a failure of the seed that it was at.
 */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "tests/sim/world.h"

struct sim_failure {
    uint64_t seed;
    enum sim_check check;
    char text[512];
};
enum { SIM_FAILURES_KEPT = 64 };
struct sim_result {
    struct sim_stats stats;
    uint64_t failures;
    uint64_t by_check[SIM_CHECK_COUNT];
    uint64_t too_short;
    uint64_t too_few_faults;
    uint64_t not_replayed;
    int kept;
    struct sim_failure first; /* of the lowest seed */
    struct sim_failure failure[SIM_FAILURES_KEPT];
};

/* until_first: stop soon after a failure (planted bugs). */
void sim_run_seeds(uint64_t from, uint64_t count, bool until_first, struct sim_result *ret);
/* list: file of seeds that are run first, NULL none. commit: of the sources, printed with a failing
 * seed. Returns the exit status. */
int sim_report_all(const char *list, uint64_t from, uint64_t count, const char *commit);

#endif
