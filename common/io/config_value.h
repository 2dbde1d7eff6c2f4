/* SPDX-License-Identifier: Apache-2.0
 *
 * Single values of options: text to struct member and back, and what is allowed in words. Used by
 * the parser, by `config show` and by the reference alike, so that they cannot disagree.
 * Internal to common/io/config*.c.
 */
#ifndef HF_IO_CONFIG_VALUE_H
#define HF_IO_CONFIG_VALUE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/config.h"

/* Parses text into the member of *base (LIST items: base points at the item, offset 0). A relative
 * path is put behind directory. The message is "value \"...\": ...; allowed: ...". */
hf_result hf_config_value_parse(const struct hf_option *o, const char *text, const char *directory,
                                void *base, struct hf_err *err) HF_MUST_USE;
/* The text that would parse to the member's value; "" when empty. */
hf_result hf_config_value_format(const struct hf_option *o, const void *base, struct hf_buf *out,
                                 struct hf_err *err) HF_MUST_USE;
/* "a whole number from 1 to 64", "one of observe, process, systemd:UNIT". */
hf_result hf_config_value_allowed(const struct hf_option *o, struct hf_buf *out,
                                  struct hf_err *err) HF_MUST_USE;
enum { HF_CONFIG_PATH_SIZE = 256 }; /* of an option's path in a message; longer ones are cut */
/* "a" + "b" = "a.b"; "" + "b" = "b"; "a" + 2 = "a[2]". */
void hf_config_path_key(const char *path, const char *key, char ret[HF_CONFIG_PATH_SIZE]);
void hf_config_path_index(const char *path, size_t index, char ret[HF_CONFIG_PATH_SIZE]);
/* Is it a single value (no section, list, map)? */
bool hf_config_value_scalar(const struct hf_option *o);

#endif
