/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory. Allocation of small, bounded things aborts when the system has none left (there is no
 * way on from there); bulk memory comes from pools by reservation. An arena holds everything of
 * one operation and is freed as a whole.
 */
#ifndef HF_BASE_MEM_H
#define HF_BASE_MEM_H

#include <stddef.h>

/* Never return NULL. hf_alloc zeroes. */
void *hf_alloc(size_t size);
void *hf_alloc_array(size_t count, size_t size); /* overflow aborts */
void *hf_realloc(void *p, size_t size);
char *hf_strdup(const char *text);
void hf_free(void *p);

/* For __attribute__((cleanup)): frees *pointer. */
void hf_free_cleanup(void *pointer_to_pointer);
#define HF_AUTOFREE __attribute__((cleanup(hf_free_cleanup)))
/* For file descriptors: closes when >= 0. */
void hf_close_cleanup(int *fd);
#define HF_AUTOCLOSE __attribute__((cleanup(hf_close_cleanup)))

/* Overwrites memory that held a secret; not optimised away. */
void hf_wipe(void *p, size_t n);

struct hf_arena;
/* An arena that hands out at most max_bytes; exceeding it aborts: bound the input first. */
struct hf_arena *hf_arena_new(size_t max_bytes);
void hf_arena_free(struct hf_arena *arena);
void *hf_arena_alloc(struct hf_arena *arena, size_t size); /* zeroed, 16-aligned */
char *hf_arena_strdup(struct hf_arena *arena, const char *text);
size_t hf_arena_used(const struct hf_arena *arena);

#endif
