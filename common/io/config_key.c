/* SPDX-License-Identifier: Apache-2.0
 *
 * Key-encryption keys by file, credential or command.
 */
#include <string.h>

#include "common/base/mem.h"
#include "common/io/config_agent.h"
#include "common/io/process.h"
#include "common/io/secret.h"

enum { KEY_TEXT_MAX = 256, COMMAND_TIMEOUT_S = 10 };

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool from_hex(const struct hf_secret *s, unsigned char ret[HF_CONFIG_KEY_BYTES])
{
    size_t len = s->len;
    while (len > 0 && (s->data[len - 1] == '\n' || s->data[len - 1] == '\r')) {
        len--;
    }
    if (len != 2 * HF_CONFIG_KEY_BYTES) {
        return false;
    }
    for (size_t i = 0; i < HF_CONFIG_KEY_BYTES; i++) {
        int high = hex_digit(s->data[2 * i]);
        int low = hex_digit(s->data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static hf_result decode(const struct hf_config_key *key, const struct hf_secret *s,
                        unsigned char ret[HF_CONFIG_KEY_BYTES], struct hf_err *err)
{
    unsigned char bytes[HF_CONFIG_KEY_BYTES];
    if (s->len == sizeof bytes) {
        memcpy(bytes, s->data, sizeof bytes);
    } else if (!from_hex(s, bytes)) {
        hf_wipe(bytes, sizeof bytes);
        return hf_fail(err, HF_E_INVALID,
                       "key \"%s\" has %zu bytes; allowed: 32 bytes, or 64 hexadecimal digits",
                       key->name.s, s->len);
    }
    memcpy(ret, bytes, sizeof bytes);
    hf_wipe(bytes, sizeof bytes);
    return hf_done();
}

static hf_result run_command(const struct hf_config_key *key, struct hf_secret *ret,
                             struct hf_err *err)
{
    const char *argv[HF_CONFIG_MAX_ARGV + 1] = {NULL};
    for (size_t i = 0; i < key->command_count; i++) {
        argv[i] = key->command[i];
    }
    struct hf_process_spec spec = {.argv = argv, .capture = true, .capture_max = KEY_TEXT_MAX};
    struct hf_process_output out = {0};
    HF_TRY(hf_process_run(&spec, HF_SEC(COMMAND_TIMEOUT_S), &out, err));
    hf_result r = hf_done();
    if (out.signaled || out.status != 0) {
        r = hf_fail(err, HF_E_IO, "key \"%s\": %s ended with %s %d", key->name.s, argv[0],
                    out.signaled ? "signal" : "status", out.status);
    } else {
        hf_secret_set(ret, hf_buf_text(&out.out), out.out.len);
    }
    if (out.out.data != NULL) {
        hf_wipe(out.out.data, out.out.capacity);
    }
    hf_process_output_free(&out);
    return r;
}

hf_result hf_config_key_read(const struct hf_config_key *key,
                             unsigned char ret[HF_CONFIG_KEY_BYTES], struct hf_err *err)
{
    HF_AUTOSECRET struct hf_secret s = {0};
    if (key->command_count > 0) {
        HF_TRY(run_command(key, &s, err));
    } else if (key->credential[0] != '\0') {
        char path[HF_PATH_SIZE];
        HF_TRY(hf_config_credential_path(key->credential, path, sizeof path, err));
        HF_TRY(hf_secret_read_file(path, KEY_TEXT_MAX, &s, err));
    } else {
        HF_TRY(hf_secret_read_file(key->file, KEY_TEXT_MAX, &s, err));
    }
    return decode(key, &s, ret, err);
}
