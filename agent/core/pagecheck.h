/* SPDX-License-Identifier: Apache-2.0
 *
 * PostgreSQL's data page checksum (storage/checksum.h: an FNV-1a variant with 32 interleaved sums)
 * and what a page says about itself (storage/bufpage.h). Pure.
 * Invariant: a page that PostgreSQL wrote with checksums on passes; a new (all zero header) page
 * has none and passes.
 */
#ifndef HF_AGENT_CORE_PAGECHECK_H
#define HF_AGENT_CORE_PAGECHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/types.h"

enum { HF_PAGE_SIZE = 8192, HF_PAGE_BLOCKS_PER_FILE = 131072 };

/* The checksum that a page of block `block` of its relation fork must carry. */
uint16_t hf_page_checksum(const uint8_t page[HF_PAGE_SIZE], uint32_t block);
/* True when the page is new or carries its checksum. */
bool hf_page_valid(const uint8_t page[HF_PAGE_SIZE], uint32_t block);
/* Position of the WAL record that changed the page last. */
hf_lsn hf_page_lsn(const uint8_t page[HF_PAGE_SIZE]);

/* Whether a file name (without directory) is a relation's file, whose pages carry checksums:
 * "16384", "16384.2", "16384_fsm", "16384_vm.1", "16384_init". The segment's number. */
bool hf_relation_file(const char *name, uint32_t *ret_segment);

#endif
