/* SPDX-License-Identifier: Apache-2.0
 *
 * What the writing and the reading half of the file map share. Nothing else includes it.
 */
#ifndef HF_AGENT_CORE_FILEMAP_FORMAT_H
#define HF_AGENT_CORE_FILEMAP_FORMAT_H

#include "agent/core/filemap.h"

static const uint8_t HF_MAP_MAGIC[8] = {'H', 'F', 'M', 'A', 'P', '0', '0', '1'};

/* Relative, without empty, "." and ".." parts and control characters. */
bool hf_map_path_valid(const char *path);
/* Every field but the extents themselves. */
bool hf_map_entry_valid(const struct hf_map_entry *e);

#endif
