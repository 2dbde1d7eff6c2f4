/* SPDX-License-Identifier: Apache-2.0
 *
 * Compression of single frames in memory, over zstd (compress.c alone includes it), with reusable
 * contexts. Whether a frame is kept raw because it does not shrink is the caller's decision.
 * Invariant: decompression writes exactly the size that the caller expects, or fails; a frame that
 * declares another size, none, or is followed by anything is refused before any byte is written.
 */
#ifndef HF_IO_COMPRESS_H
#define HF_IO_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { HF_COMPRESS_LEVEL_MIN = 1, HF_COMPRESS_LEVEL_MAX = 19, HF_COMPRESS_LEVEL_DEFAULT = 3 };

/* One thread at a time. level is clamped to its bounds. */
struct hf_compressor;
struct hf_compressor *hf_compressor_new(int level);
void hf_compressor_free(struct hf_compressor *c); /* NULL allowed */

/* Room that always suffices for len bytes. */
size_t hf_compress_bound(size_t len);
/* One frame that declares its content size. HF_E_LIMIT: does not fit into room bytes (give room =
 * len - 1 to learn that it does not shrink). */
hf_result hf_compress_frame(struct hf_compressor *c, const void *bytes, size_t len, void *out,
                            size_t room, size_t *ret_len, struct hf_err *err) HF_MUST_USE;

/* One thread at a time. */
struct hf_decompressor;
struct hf_decompressor *hf_decompressor_new(void);
void hf_decompressor_free(struct hf_decompressor *d); /* NULL allowed */

/* Exactly one frame of exactly expected_len content bytes into out. HF_E_CORRUPT otherwise. */
hf_result hf_decompress_frame(struct hf_decompressor *d, const void *frame, size_t frame_len,
                              void *out, size_t expected_len, struct hf_err *err) HF_MUST_USE;

#endif
