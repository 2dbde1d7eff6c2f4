/* SPDX-License-Identifier: Apache-2.0
 *
 * Named fault points: places at an edge where a test can make the outside world fail. Compiled only
 * with HF_FAULTS; otherwise HF_FAULT is nothing at all. The set of names is in the binary (a linker
 * section), so that a test can list them and fail on one that it did not try.
 *
 * Environment HF_FAULT="name=action[;name=action...]", actions:
 *   error[:N]   the next N passages (default: all) fail with HF_E_IO, "fault point NAME"
 *   error@K[:N] the same, beginning with the K-th passage (1 = first)
 *   kill[@K]    the process kills itself (SIGKILL)
 *   stop[@K]    the process stops itself (SIGSTOP) until continued
 *   delay:MS    sleeps, then goes on
 * Invariant: an unknown name or action in HF_FAULT ends the process at the first passage: a test
 * that injects nothing must not pass. Thread safe.
 */
#ifndef HF_IO_FAULT_H
#define HF_IO_FAULT_H

#include <stddef.h>

#include "common/base/err.h"

#ifdef HF_FAULTS

struct hf_fault_point {
    const char *name;
};
/* Passes the point: HF_OK, or the injected failure. */
hf_result hf_fault_pass(const struct hf_fault_point *point, struct hf_err *err) HF_MUST_USE;

/* `HF_FAULT("files.fsync", err);` returns the injected failure from the function around it. */
#define HF_FAULT(fault_name, err)                                                                  \
    do {                                                                                           \
        static const struct hf_fault_point hf_fault_here_                                          \
            __attribute__((section("hf_faults"), used, aligned(sizeof(void *)))) = {fault_name};   \
        HF_TRY(hf_fault_pass(&hf_fault_here_, (err)));                                             \
    } while (0)
/* For places that do not return hf_result: true when a failure is injected. */
#define HF_FAULT_HIT(fault_name)                                                                   \
    __extension__({                                                                                \
        static const struct hf_fault_point hf_fault_here_                                          \
            __attribute__((section("hf_faults"), used, aligned(sizeof(void *)))) = {fault_name};   \
        !hf_ok(hf_fault_pass(&hf_fault_here_, NULL));                                              \
    })

#else

#define HF_FAULT(fault_name, err)                                                                  \
    do {                                                                                           \
    } while (0)
#define HF_FAULT_HIT(fault_name) (false)

#endif

/* Distinct names in this binary, sorted; at most max. Returns how many there are (0 without
 * HF_FAULTS). */
size_t hf_fault_list(const char **ret_names, size_t max);
/* Configures as the environment would, replacing it; for tests within one process. HF_E_INVALID.
 * HF_E_UNSUPPORTED without HF_FAULTS. NULL or "" clears. */
hf_result hf_fault_configure(const char *text, struct hf_err *err) HF_MUST_USE;

#endif
