/* SPDX-License-Identifier: Apache-2.0
 *
 * Files on this host: bounded reads, durable writes (rule B13).
 * Invariants: a durable write that reported success survives a crash of the host; a reader sees the
 * old or the new content, never a mixture; after a failed fsync the file is thrown away and the
 * caller writes anew: an fsync is never retried on the same file (the kernel may have dropped the
 * dirty pages). Blocking: worker threads, start-up, or small files on fast local disks only.
 */
#ifndef HF_IO_FILES_H
#define HF_IO_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* Appends the whole file to *ret. HF_E_NOT_FOUND, HF_E_LIMIT (longer than the buffer's maximum),
 * HF_E_IO. */
hf_result hf_file_read(const char *path, struct hf_buf *ret, struct hf_err *err) HF_MUST_USE;
/* The same for a secret: besides refuses (HF_E_DENIED) a file that others may read or write, unless
 * it lies in $CREDENTIALS_DIRECTORY. Wipe the buffer afterwards. */
hf_result hf_file_read_secret(const char *path, struct hf_buf *ret, struct hf_err *err) HF_MUST_USE;

/* Replaces or creates: temporary file beside it, fsync, rename, fsync of the directory. */
hf_result hf_file_write_durable(const char *path, const void *bytes, size_t len, mode_t mode,
                                struct hf_err *err) HF_MUST_USE;
/* Creates by link(): HF_E_EXISTS when the name is taken (content not compared). */
hf_result hf_file_create_once(const char *path, const void *bytes, size_t len, mode_t mode,
                              struct hf_err *err) HF_MUST_USE;
/* All bytes to a descriptor, EINTR and short writes handled. */
hf_result hf_file_write_all(int fd, const void *bytes, size_t len, struct hf_err *err) HF_MUST_USE;

/* Directory and its missing parents; existing is success; new parents' entries are fsynced. */
hf_result hf_dir_make(const char *path, mode_t mode, struct hf_err *err) HF_MUST_USE;
hf_result hf_dir_sync(const char *path, struct hf_err *err) HF_MUST_USE;
/* The directory with all below; never follows a symbolic link, never crosses into another file
 * system; depth at most 64. Absent is success. Refuses (HF_E_INVALID) "/", "" and relative paths.
 */
hf_result hf_dir_remove_tree(const char *path, struct hf_err *err) HF_MUST_USE;
/* Removes and fsyncs the directory; absent is success. */
hf_result hf_file_remove_durable(const char *path, struct hf_err *err) HF_MUST_USE;
bool hf_file_exists(const char *path);

#endif
