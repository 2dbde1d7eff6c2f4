/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors. Every function that can fail returns hf_result (must be used) and fills a caller-owned
 * struct hf_err, which travels with the job. Outputs (ret_...) stay untouched on failure.
 * Invariant: a result other than HF_OK always comes with a text that says what, where and what is
 * allowed; texts never contain secrets.
 */
#ifndef HF_BASE_ERR_H
#define HF_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum hf_code {
    HF_OK = 0,
    HF_E_INVALID,     /* malformed or out of bounds input */
    HF_E_NOT_FOUND,   /* proven absent */
    HF_E_EXISTS,      /* create-once: there already, same content */
    HF_E_CONFLICT,    /* there already with other content, or compare-and-swap lost */
    HF_E_AGAIN,       /* transient: retry with backoff is right */
    HF_E_TIMEOUT,     /* no answer in time: the outcome of a write is unknown */
    HF_E_UNREACHABLE, /* could not connect: nothing was sent */
    HF_E_DENIED,      /* authentication or authorisation */
    HF_E_CORRUPT,     /* fails authentication, checksum or structure */
    HF_E_LIMIT,       /* a stated bound is reached */
    HF_E_STALE,       /* lower generation, epoch, term or sequence (rule L10) */
    HF_E_IO,          /* the operating system said no; text has errno */
    HF_E_CANCELED,    /* asked to stop */
    HF_E_UNSUPPORTED, /* the peer or store cannot do it (S3 501) */
    HF_E_REFUSED,     /* a rule refuses; text names the rule, the value, the limit */
    HF_E_INTERNAL
};

struct hf_err {
    enum hf_code code;
    char text[512];
};

typedef struct {
    enum hf_code code;
} hf_result;

#define HF_MUST_USE     __attribute__((warn_unused_result))
#define HF_PRINTF(f, a) __attribute__((format(printf, f, a)))

static inline bool hf_ok(hf_result r)
{
    return r.code == HF_OK;
}
static inline hf_result hf_done(void)
{
    return (hf_result){HF_OK};
}

/* Sets *err (err may be NULL) and returns the failed result: `return hf_fail(err, ...)`. The text
 * is truncated at its bound. */
hf_result hf_fail(struct hf_err *err, enum hf_code code, const char *format, ...) HF_PRINTF(3, 4);

/* Like hf_fail, and appends ": <text of saved_errno>". */
hf_result hf_fail_errno(struct hf_err *err, int saved_errno, const char *format, ...)
    HF_PRINTF(3, 4);

/* Puts "<context>: " before the text that is there; keeps the code. Returns that code. */
hf_result hf_fail_context(struct hf_err *err, const char *format, ...) HF_PRINTF(2, 3);

/* Stable lower-case name of a code ("not_found"), for logs and JSON. Never NULL. */
const char *hf_code_name(enum hf_code code);

/* Early return on failure, for linear code with cleanup attributes. */
#define HF_TRY(expression)                                                                         \
    do {                                                                                           \
        hf_result hf_try_ = (expression);                                                          \
        if (!hf_ok(hf_try_)) {                                                                     \
            return hf_try_;                                                                        \
        }                                                                                          \
    } while (0)

/* Explicitly drops a result, with the reason beside it. */
#define HF_IGNORE(expression, why)                                                                 \
    do {                                                                                           \
        hf_result hf_ignored_ = (expression);                                                      \
        (void)hf_ignored_;                                                                         \
        (void)(why);                                                                               \
    } while (0)

/* A programmer's error: aborts in release builds too. Never for input from outside. */
#define HF_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            hf_assert_failed(#condition, __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)
void hf_assert_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#if defined(__clang_analyzer__) && !defined(HF_ERR_DEFINES)
/* The analyzer looks at one file at a time: tell it that a failure is never HF_OK, or it follows
 * paths on which an output was not set and HF_TRY went on. */
static inline hf_result hf_analyzer_failed(hf_result r)
{
    HF_ASSERT(!hf_ok(r));
    return r;
}
#define hf_fail(...)         hf_analyzer_failed((hf_fail)(__VA_ARGS__))
#define hf_fail_errno(...)   hf_analyzer_failed((hf_fail_errno)(__VA_ARGS__))
#define hf_fail_context(...) hf_analyzer_failed((hf_fail_context)(__VA_ARGS__))
#endif

#endif
