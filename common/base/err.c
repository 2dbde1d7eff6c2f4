/* SPDX-License-Identifier: Apache-2.0 */
#define HF_ERR_DEFINES
#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_text(struct hf_err *err, const char *format, va_list args)
{
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): every caller has va_start just above */
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    if (n < 0) {
        err->text[0] = '\0';
    }
}

hf_result hf_fail(struct hf_err *err, enum hf_code code, const char *format, ...)
{
    HF_ASSERT(code != HF_OK);
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        format_text(err, format, args);
        va_end(args);
        err->code = code;
    }
    return (hf_result){code};
}

hf_result hf_fail_errno(struct hf_err *err, int saved_errno, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        format_text(err, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s",
                       strerrordesc_np(saved_errno) ? strerrordesc_np(saved_errno) : "unknown");
        err->code = HF_E_IO;
    }
    return (hf_result){HF_E_IO};
}

hf_result hf_fail_context(struct hf_err *err, const char *format, ...)
{
    if (err == NULL) {
        return (hf_result){HF_E_INTERNAL};
    }
    char before[sizeof err->text];
    memcpy(before, err->text, sizeof before);
    va_list args;
    va_start(args, format);
    format_text(err, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    (void)snprintf(err->text + used, sizeof err->text - used, ": %s", before);
    return (hf_result){err->code};
}

const char *hf_code_name(enum hf_code code)
{
    switch (code) {
    case HF_OK:
        return "ok";
    case HF_E_INVALID:
        return "invalid";
    case HF_E_NOT_FOUND:
        return "not_found";
    case HF_E_EXISTS:
        return "exists";
    case HF_E_CONFLICT:
        return "conflict";
    case HF_E_AGAIN:
        return "again";
    case HF_E_TIMEOUT:
        return "timeout";
    case HF_E_UNREACHABLE:
        return "unreachable";
    case HF_E_DENIED:
        return "denied";
    case HF_E_CORRUPT:
        return "corrupt";
    case HF_E_LIMIT:
        return "limit";
    case HF_E_STALE:
        return "stale";
    case HF_E_IO:
        return "io";
    case HF_E_CANCELED:
        return "canceled";
    case HF_E_UNSUPPORTED:
        return "unsupported";
    case HF_E_REFUSED:
        return "refused";
    case HF_E_INTERNAL:
        return "internal";
    }
    return "unknown";
}

void hf_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "assertion failed: %s at %s:%d\n", condition, file, line);
    abort();
}
