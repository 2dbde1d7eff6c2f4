/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/aws_sign.h"

#include <stdlib.h>
#include <string.h>

void hf_aws_credentials_free(struct hf_aws_credentials *c)
{
    hf_secret_free(&c->id);
    hf_secret_free(&c->key);
    hf_secret_free(&c->token);
}

/* The secret that a line's name stands for; NULL: unknown. */
static struct hf_secret *member(struct hf_aws_credentials *c, const char *name, size_t len)
{
    if (len > 4 && strncmp(name, "aws_", 4) == 0) {
        name += 4;
        len -= 4;
    }
    if (len == 13 && strncmp(name, "access_key_id", len) == 0) {
        return &c->id;
    }
    if (len == 17 && strncmp(name, "secret_access_key", len) == 0) {
        return &c->key;
    }
    if (len == 13 && strncmp(name, "session_token", len) == 0) {
        return &c->token;
    }
    return NULL;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Values go into HTTP headers: printable characters only. */
static bool printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '!' || text[i] > '~') {
            return false;
        }
    }
    return len > 0;
}

static hf_result parse_line(const char *path, int number, const char *line, size_t len,
                            struct hf_aws_credentials *c, struct hf_err *err)
{
    while (len > 0 && blank(line[0])) {
        line++;
        len--;
    }
    while (len > 0 && blank(line[len - 1])) {
        len--;
    }
    if (len == 0 || line[0] == '#' || line[0] == '[') {
        return hf_done();
    }
    const char *equals = memchr(line, '=', len);
    size_t name_len = equals == NULL ? 0 : (size_t)(equals - line);
    while (name_len > 0 && blank(line[name_len - 1])) {
        name_len--;
    }
    struct hf_secret *s = member(c, line, name_len);
    if (s == NULL || equals == NULL) {
        return hf_fail(
            err, HF_E_INVALID,
            "%s:%d: allowed are access_key_id, secret_access_key and session_token, each "
            "\"name = value\"",
            path, number);
    }
    const char *value = equals + 1;
    size_t value_len = len - (size_t)(value - line);
    while (value_len > 0 && blank(value[0])) {
        value++;
        value_len--;
    }
    if (!printable(value, value_len)) {
        return hf_fail(err, HF_E_INVALID,
                       "%s:%d: the value is empty or has other than printable "
                       "characters",
                       path, number);
    }
    if (s->len > 0) {
        return hf_fail(err, HF_E_INVALID, "%s:%d: given twice", path, number);
    }
    hf_secret_set(s, value, value_len);
    return hf_done();
}

static hf_result from_env(const char *name, size_t max, struct hf_secret *ret, struct hf_err *err)
{
    const char *text = getenv(name);
    size_t n = text == NULL ? 0 : strlen(text);
    if (n == 0) {
        return hf_done();
    }
    if (n > max || !printable(text, n)) {
        return hf_fail(err, HF_E_INVALID, "%s: allowed are at most %zu printable characters", name,
                       max);
    }
    hf_secret_set(ret, text, n);
    return hf_done();
}

hf_result hf_aws_credentials_env(struct hf_aws_credentials *ret, struct hf_err *err)
{
    __attribute__((cleanup(hf_aws_credentials_free))) struct hf_aws_credentials c = {0};
    HF_TRY(from_env("AWS_ACCESS_KEY_ID", 256, &c.id, err));
    HF_TRY(from_env("AWS_SECRET_ACCESS_KEY", 4096, &c.key, err));
    HF_TRY(from_env("AWS_SESSION_TOKEN", 4096, &c.token, err));
    if (c.id.len == 0 || c.key.len == 0) {
        return hf_fail(err, HF_E_NOT_FOUND,
                       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both in the "
                       "environment");
    }
    hf_aws_credentials_free(ret);
    *ret = c;
    c = (struct hf_aws_credentials){0};
    return hf_done();
}

hf_result hf_aws_credentials_read(const char *path, struct hf_aws_credentials *ret,
                                  struct hf_err *err)
{
    HF_AUTOSECRET struct hf_secret file = {0};
    HF_TRY(hf_secret_read_file(path, 16000, &file, err));
    __attribute__((cleanup(hf_aws_credentials_free))) struct hf_aws_credentials c = {0};
    const char *line = hf_secret_text(&file);
    const char *end = line + file.len;
    for (int number = 1; line < end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t len = stop == NULL ? (size_t)(end - line) : (size_t)(stop - line);
        HF_TRY(parse_line(path, number, line, len, &c, err));
        line += len + 1;
    }
    if (c.id.len == 0 || c.id.len > 256 || c.key.len == 0 || c.token.len > 4096) {
        return hf_fail(err, HF_E_INVALID,
                       "%s: access_key_id (at most 256 characters) and secret_access_key are "
                       "needed; session_token at most 4096",
                       path);
    }
    hf_aws_credentials_free(ret);
    *ret = c;
    c = (struct hf_aws_credentials){0};
    return hf_done();
}
