/* SPDX-License-Identifier: Apache-2.0
 *
 * What the encoding and the decoding half of the manifest share. Nothing else includes it.
 */
#ifndef HF_AGENT_CORE_MANIFEST_FORMAT_H
#define HF_AGENT_CORE_MANIFEST_FORMAT_H

#include "agent/core/manifest.h"

const char *hf_backup_source_name(enum hf_backup_source source);

/* The invariant of the header; fails with code. */
hf_result hf_manifest_check(const struct hf_manifest *m, enum hf_code code,
                            struct hf_err *err) HF_MUST_USE;

#endif
