/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "coordinator/route/tsig.h"

enum { FILE_MAX = 4096, WORD_SIZE = 1024, SECRET_MIN = 8, SECRET_MAX = 512 };

void hf_tsig_key_free(struct hf_tsig_key *key)
{
    hf_secret_free(&key->secret);
}

static hf_result set_algorithm(const char *text, struct hf_tsig_key *key, struct hf_err *err)
{
    size_t n = strlen(text);
    n -= n > 0 && text[n - 1] == '.' ? 1 : 0;
    if (n == 11 && strncasecmp(text, "hmac-sha256", n) == 0) {
        key->algorithm = HF_TSIG_SHA256;
    } else if (n == 11 && strncasecmp(text, "hmac-sha512", n) == 0) {
        key->algorithm = HF_TSIG_SHA512;
    } else {
        return hf_fail(err, HF_E_INVALID,
                       "the TSIG key's algorithm is not allowed; allowed: hmac-sha256, "
                       "hmac-sha512");
    }
    return hf_done();
}

static hf_result set_name(const char *text, struct hf_tsig_key *key, struct hf_err *err)
{
    size_t n = strlen(text);
    n -= n > 0 && text[n - 1] == '.' ? 1 : 0;
    size_t label = 0;
    bool good = n > 0 && n <= HF_TSIG_NAME_SIZE - 3;
    for (size_t i = 0; good && i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        label = c == '.' ? 0 : label + 1;
        good = (isalnum(c) || c == '-' || c == '_' || c == '.') && label <= 63 &&
               (c != '.' || (i > 0 && text[i - 1] != '.'));
        key->name[i] = (char)tolower(c);
    }
    if (!good) {
        return hf_fail(err, HF_E_INVALID, "the TSIG key's name is not a DNS name");
    }
    key->name[n] = '\0';
    return hf_done();
}

static hf_result set_secret(const char *text, struct hf_tsig_key *key, struct hf_err *err)
{
    uint8_t bytes[SECRET_MAX];
    size_t n = 0;
    if (!hf_ok(hf_base64_decode(text, bytes, sizeof bytes, &n, NULL)) || n < SECRET_MIN) {
        hf_wipe(bytes, sizeof bytes);
        return hf_fail(err, HF_E_INVALID, "the TSIG key's secret is not base64 of %d to %d bytes",
                       (int)SECRET_MIN, (int)SECRET_MAX);
    }
    hf_secret_set(&key->secret, bytes, n);
    hf_wipe(bytes, sizeof bytes);
    return hf_done();
}

/* The next word of BIND's format: a text in quotes, one of { } ;, or a plain word. "" at the end.
 */
static hf_result next_word(const char **text, char ret[WORD_SIZE], struct hf_err *err)
{
    const char *p = *text;
    while (isspace((unsigned char)*p) || *p == '#' || (p[0] == '/' && p[1] == '/')) {
        p += isspace((unsigned char)*p) ? 1 : strcspn(p, "\n");
    }
    bool quoted = *p == '"';
    p += quoted ? 1 : 0;
    size_t n = quoted ? strcspn(p, "\"\n") : strcspn(p, " \t\r\n{};\"");
    n = !quoted && n == 0 && *p != '\0' ? 1 : n;
    if (n >= WORD_SIZE || (quoted && p[n] != '"')) {
        return hf_fail(err, HF_E_INVALID, "the TSIG key's file is not closed properly");
    }
    memcpy(ret, p, n);
    ret[n] = '\0';
    *text = p + n + (quoted ? 1 : 0);
    return hf_done();
}

/* key "NAME" { algorithm ALGORITHM; secret "BASE64"; }; */
static hf_result parse_bind(const char *text, struct hf_tsig_key *key, char word[WORD_SIZE],
                            struct hf_err *err)
{
    HF_TRY(next_word(&text, word, err)); /* key */
    HF_TRY(next_word(&text, word, err));
    HF_TRY(set_name(word, key, err));
    HF_TRY(next_word(&text, word, err));
    while (strcmp(word, "{") == 0 || strcmp(word, ";") == 0) {
        HF_TRY(next_word(&text, word, err));
        if (strcmp(word, "}") == 0) {
            break;
        }
        bool algorithm = strcasecmp(word, "algorithm") == 0;
        if (!algorithm && strcasecmp(word, "secret") != 0) {
            return hf_fail(err, HF_E_INVALID, "the TSIG key's file has an unknown statement");
        }
        HF_TRY(next_word(&text, word, err));
        HF_TRY(algorithm ? set_algorithm(word, key, err) : set_secret(word, key, err));
        HF_TRY(next_word(&text, word, err));
    }
    if (strcmp(word, "}") != 0) {
        return hf_fail(err, HF_E_INVALID, "the TSIG key's file is not closed properly");
    }
    return hf_done();
}

/* [ALGORITHM:]NAME:SECRET */
static hf_result parse_line(const char *text, struct hf_tsig_key *key, char word[WORD_SIZE],
                            struct hf_err *err)
{
    size_t n = strcspn(text, " \t\r\n");
    if (n >= WORD_SIZE || text[n + strspn(text + n, " \t\r\n")] != '\0') {
        return hf_fail(err, HF_E_INVALID, "the TSIG key's file has more than one line");
    }
    memcpy(word, text, n);
    word[n] = '\0';
    char *second = strchr(word, ':');
    if (second == NULL) {
        return hf_fail(err, HF_E_INVALID,
                       "the TSIG key's file is neither ALGORITHM:NAME:SECRET nor as tsig-keygen "
                       "writes it");
    }
    *second++ = '\0';
    char *third = strchr(second, ':');
    const char *name = word;
    const char *secret = second;
    if (third != NULL) {
        *third++ = '\0';
        HF_TRY(set_algorithm(word, key, err));
        name = second;
        secret = third;
    }
    HF_TRY(set_name(name, key, err));
    return set_secret(secret, key, err);
}

hf_result hf_tsig_key_parse(const char *text, struct hf_tsig_key *ret, struct hf_err *err)
{
    HF_AUTOTSIG struct hf_tsig_key key = {.algorithm = HF_TSIG_SHA256};
    char word[WORD_SIZE];
    const char *start = text;
    hf_result r = next_word(&start, word, err); /* past comments */
    bool bind = hf_ok(r) && strcasecmp(word, "key") == 0;
    if (hf_ok(r)) {
        start -= bind ? 3 : strlen(word);
        r = bind ? parse_bind(start, &key, word, err) : parse_line(start, &key, word, err);
    }
    hf_wipe(word, sizeof word);
    HF_TRY(r);
    if (key.secret.len == 0) {
        return hf_fail(err, HF_E_INVALID, "the TSIG key's file has no secret");
    }
    hf_tsig_key_free(ret);
    *ret = key;
    key = (struct hf_tsig_key){.algorithm = HF_TSIG_SHA256};
    return hf_done();
}

hf_result hf_tsig_key_read(const char *path, struct hf_tsig_key *ret, struct hf_err *err)
{
    HF_AUTOSECRET struct hf_secret file = {0};
    HF_TRY(hf_secret_read_file(path, FILE_MAX, &file, err));
    hf_result r = hf_tsig_key_parse(hf_secret_text(&file), ret, err);
    return hf_ok(r) ? r : hf_fail_context(err, "%s", path);
}
