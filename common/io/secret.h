/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: a type of its own, so that no formatter prints one by accident (it is a struct: passing
 * it to a "%s" does not compile under -Wformat), wiped when freed, and read only from files that
 * others cannot read.
 * Invariant: bytes of a secret are in no error text and no log; a file that group or world may
 * read is refused before its content is read.
 */
#ifndef HF_IO_SECRET_H
#define HF_IO_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { HF_SECRET_MAX = 16384 }; /* bytes of one secret */

/* Owned by its scope; data[len] is a NUL that does not count. Not to be copied by assignment. */
struct hf_secret {
    uint8_t *data; /* NULL when empty */
    size_t len;
};

#define HF_AUTOSECRET __attribute__((cleanup(hf_secret_free)))

/* Replaces the content by a copy of n <= HF_SECRET_MAX bytes (more: programmer's error). */
void hf_secret_set(struct hf_secret *s, const void *bytes, size_t n);
void hf_secret_copy(struct hf_secret *to, const struct hf_secret *from);
/* Wipes and empties; may be called again. */
void hf_secret_free(struct hf_secret *s);
/* As a C string, "" when empty: for the one call that needs it, never for a format. */
const char *hf_secret_text(const struct hf_secret *s);

/* Checks who may read the open file: it must be a regular file without any permission for group or
 * world (0600 or less); one of root's may be readable by its group (0640). HF_E_DENIED names the
 * path, the mode and what is allowed. */
hf_result hf_secret_check_fd(int fd, const char *path, struct hf_err *err) HF_MUST_USE;

/* Reads a whole file of at most max_bytes (<= HF_SECRET_MAX) after hf_secret_check_fd. Bytes as
 * they are: hf_secret_trim takes a final line end away. HF_E_NOT_FOUND, HF_E_DENIED, HF_E_LIMIT,
 * HF_E_IO. */
hf_result hf_secret_read_file(const char *path, size_t max_bytes, struct hf_secret *ret,
                              struct hf_err *err) HF_MUST_USE;
/* Takes white space at the end away. */
void hf_secret_trim(struct hf_secret *s);

#endif
