/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"

void *hf_alloc(size_t size)
{
    void *p = calloc(1, size == 0 ? 1 : size);
    HF_ASSERT(p != NULL);
    return p;
}

void *hf_alloc_array(size_t count, size_t size)
{
    size_t total = 0;
    HF_ASSERT(!__builtin_mul_overflow(count, size, &total));
    return hf_alloc(total);
}

void *hf_realloc(void *p, size_t size)
{
    void *q = realloc(p, size == 0 ? 1 : size);
    HF_ASSERT(q != NULL);
    return q;
}

char *hf_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = hf_alloc(n);
    memcpy(copy, text, n);
    return copy;
}

void hf_free(void *p)
{
    free(p);
}

void hf_free_cleanup(void *pointer_to_pointer)
{
    void **p = pointer_to_pointer;
    free(*p);
    *p = NULL;
}

void hf_close_cleanup(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

void hf_wipe(void *p, size_t n)
{
    explicit_bzero(p, n);
}

struct chunk {
    struct chunk *next;
    size_t size;
    size_t used;
    _Alignas(16) unsigned char bytes[];
};

struct hf_arena {
    struct chunk *head;
    size_t used;
    size_t max;
};

struct hf_arena *hf_arena_new(size_t max_bytes)
{
    struct hf_arena *arena = hf_alloc(sizeof *arena);
    arena->max = max_bytes;
    return arena;
}

void hf_arena_free(struct hf_arena *arena)
{
    if (arena == NULL) {
        return;
    }
    struct chunk *c = arena->head;
    while (c != NULL) {
        struct chunk *next = c->next;
        free(c);
        c = next;
    }
    free(arena);
}

void *hf_arena_alloc(struct hf_arena *arena, size_t size)
{
    HF_ASSERT(size <= arena->max);
    size_t rounded = (size + 15U) & ~(size_t)15U;
    HF_ASSERT(arena->used + rounded <= arena->max + 15U);
    if (arena->head == NULL || arena->head->size - arena->head->used < rounded) {
        size_t room = rounded > 16384 ? rounded : 16384;
        struct chunk *c = hf_alloc(sizeof *c + room);
        c->size = room;
        c->next = arena->head;
        arena->head = c;
    }
    void *p = arena->head->bytes + arena->head->used;
    arena->head->used += rounded;
    arena->used += rounded;
    return p;
}

char *hf_arena_strdup(struct hf_arena *arena, const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = hf_arena_alloc(arena, n);
    memcpy(copy, text, n);
    return copy;
}

size_t hf_arena_used(const struct hf_arena *arena)
{
    return arena->used;
}
