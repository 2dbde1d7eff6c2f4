/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/hex.h"

#include <string.h>

static const char HEX[] = "0123456789abcdef";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void hf_hex_encode(const void *bytes, size_t n, char *ret)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = HEX[b[i] >> 4];
        ret[2 * i + 1] = HEX[b[i] & 15];
    }
    ret[2 * n] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

hf_result hf_hex_decode(const char *text, uint8_t *ret, size_t n, struct hf_err *err)
{
    size_t len = strnlen(text, 2 * n + 1);
    if (len != 2 * n) {
        return hf_fail(err, HF_E_INVALID, "hexadecimal text must have exactly %zu digits", 2 * n);
    }
    for (size_t i = 0; i < len; i++) {
        if (hex_digit(text[i]) < 0) {
            return hf_fail(err, HF_E_INVALID, "not a hexadecimal digit at position %zu", i);
        }
    }
    for (size_t i = 0; i < n; i++) {
        ret[i] = (uint8_t)(hex_digit(text[2 * i]) * 16 + hex_digit(text[2 * i + 1]));
    }
    return hf_done();
}

void hf_base64_encode(const void *bytes, size_t n, char *ret)
{
    const uint8_t *b = bytes;
    size_t o = 0;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t v = (uint32_t)b[i] << 16;
        v |= left > 1 ? (uint32_t)b[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)b[i + 2] : 0;
        ret[o++] = BASE64[v >> 18];
        ret[o++] = BASE64[(v >> 12) & 63];
        ret[o++] = left > 1 ? BASE64[(v >> 6) & 63] : '=';
        ret[o++] = left > 2 ? BASE64[v & 63] : '=';
    }
    ret[o] = '\0';
}

static int base64_digit(char c)
{
    const char *p = c == '\0' ? NULL : strchr(BASE64, c);
    return p == NULL ? -1 : (int)(p - BASE64);
}

/* One group of four characters; pad = how many '=' it ends in. */
static hf_result decode_group(const char *text, size_t pad, uint8_t bytes[3], struct hf_err *err)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++) {
        int d = i >= 4 - pad ? 0 : base64_digit(text[i]);
        if (d < 0) {
            return hf_fail(err, HF_E_INVALID, "not base64: a character outside the alphabet");
        }
        v = v << 6 | (uint32_t)d;
    }
    if ((pad == 1 && (v & 0xffU) != 0) || (pad == 2 && (v & 0xffffU) != 0)) {
        return hf_fail(err, HF_E_INVALID, "not base64: bits set after the end");
    }
    bytes[0] = (uint8_t)(v >> 16);
    bytes[1] = (uint8_t)(v >> 8);
    bytes[2] = (uint8_t)v;
    return hf_done();
}

hf_result hf_base64_decode(const char *text, uint8_t *ret, size_t room, size_t *ret_len,
                           struct hf_err *err)
{
    size_t len = strlen(text);
    if (len % 4 != 0) {
        return hf_fail(err, HF_E_INVALID, "not base64: the length is no multiple of 4");
    }
    size_t pad = 0;
    while (pad < 2 && pad < len && text[len - 1 - pad] == '=') {
        pad++;
    }
    size_t n = len / 4 * 3 - pad;
    if (n > room) {
        return hf_fail(err, HF_E_LIMIT, "base64 text of %zu bytes, at most %zu are allowed", n,
                       room);
    }
    size_t o = 0;
    for (size_t i = 0; i < len; i += 4) {
        uint8_t bytes[3];
        size_t group_pad = i + 4 == len ? pad : 0;
        HF_TRY(decode_group(text + i, group_pad, bytes, err));
        memcpy(ret + o, bytes, 3 - group_pad);
        o += 3 - group_pad;
    }
    *ret_len = n;
    return hf_done();
}
