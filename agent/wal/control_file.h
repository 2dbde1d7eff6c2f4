/* SPDX-License-Identifier: Apache-2.0
 *
 * The system identifier from a data directory, with no server running: the first eight bytes of
 * global/pg_control in every supported version (PostgreSQL: catalog/pg_control.h).
 * Invariant: an identifier is only given when the file has the size and a version number of a
 * control file. Blocking.
 */
#ifndef HF_AGENT_WAL_CONTROL_FILE_H
#define HF_AGENT_WAL_CONTROL_FILE_H

#include <stdint.h>

#include "common/base/err.h"

/* HF_E_NOT_FOUND: no such file; HF_E_CORRUPT: it is none of PostgreSQL 13 to 18. */
hf_result hf_control_file_system(const char *data_dir, uint64_t *ret,
                                 struct hf_err *err) HF_MUST_USE;

#endif
