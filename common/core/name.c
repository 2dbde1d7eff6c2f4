/* SPDX-License-Identifier: Apache-2.0 */
#include "common/core/name.h"

#include <string.h>

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool hf_name_valid(const char *text, size_t len)
{
    if (len == 0 || len >= HF_NAME_SIZE || !alphanumeric(text[0]) || !alphanumeric(text[len - 1])) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (!alphanumeric(text[i]) && text[i] != '-') {
            return false;
        }
    }
    return true;
}

hf_result hf_name_parse(const char *what, const char *text, hf_name *ret, struct hf_err *err)
{
    size_t len = strnlen(text, HF_NAME_SIZE);
    if (!hf_name_valid(text, len)) {
        return hf_fail(err, HF_E_INVALID, "%s \"%.*s\" is not a name; allowed: " HF_NAME_ALLOWED,
                       what, HF_NAME_SIZE, text);
    }
    hf_name name = {0};
    memcpy(name.s, text, len);
    *ret = name;
    return hf_done();
}

bool hf_name_equal(const hf_name *a, const hf_name *b)
{
    return strcmp(a->s, b->s) == 0;
}

bool hf_name_is(const hf_name *a, const char *text)
{
    return strcmp(a->s, text) == 0;
}

bool hf_name_empty(const hf_name *a)
{
    return a->s[0] == '\0';
}
