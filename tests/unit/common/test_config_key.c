/* SPDX-License-Identifier: Apache-2.0
 *
 * Key-encryption keys by file, credential and command.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/io/config_agent.h"

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    memcpy(directory, "/tmp/hf-key-XXXXXX", sizeof "/tmp/hf-key-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static void in_directory(const char *name, char path[128])
{
    int n = snprintf(path, 128, "%s/%s", directory, name);
    assert_true(n > 0 && n < 128);
}

static int remove_directory(void **state)
{
    (void)state;
    char path[128];
    in_directory("k.key", path);
    (void)unlink(path);
    return rmdir(directory);
}

static void write_file(const char *path, const void *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static void keys(void **state)
{
    (void)state;
    struct hf_config_key key = {.name = {"k1"}};
    struct hf_err err = {0};
    unsigned char got[HF_CONFIG_KEY_BYTES];
    unsigned char raw[HF_CONFIG_KEY_BYTES];
    for (size_t i = 0; i < sizeof raw; i++) {
        raw[i] = (unsigned char)(i * 7);
    }
    char path[128];
    in_directory("k.key", path);
    memcpy(key.file, path, sizeof path);
    write_file(path, raw, sizeof raw, 0600);
    assert_true(hf_ok(hf_config_key_read(&key, got, &err)));
    assert_memory_equal(got, raw, sizeof raw);
    char hex[2 * HF_CONFIG_KEY_BYTES + 2];
    for (size_t i = 0; i < sizeof raw; i++) {
        assert_int_equal(snprintf(hex + 2 * i, 3, "%02X", raw[i]), 2);
    }
    hex[sizeof hex - 2] = '\n';
    write_file(path, hex, sizeof hex - 1, 0600);
    memset(got, 0, sizeof got);
    assert_true(hf_ok(hf_config_key_read(&key, got, &err)));
    assert_memory_equal(got, raw, sizeof raw);
    write_file(path, hex, sizeof hex - 1, 0644);
    assert_int_equal(hf_config_key_read(&key, got, &err).code, HF_E_DENIED);
    write_file(path, hex, 10, 0600);
    assert_int_equal(hf_config_key_read(&key, got, &err).code, HF_E_INVALID);
    assert_non_null(strstr(err.text, "32 bytes, or 64 hexadecimal digits"));
    /* by command: the program's output is the key */
    write_file(path, hex, sizeof hex - 1, 0600);
    struct hf_config_key command = {.name = {"k2"}, .command_count = 2};
    memcpy(command.command[0], "/bin/cat", sizeof "/bin/cat");
    memcpy(command.command[1], path, sizeof path);
    memset(got, 0, sizeof got);
    if (!hf_ok(hf_config_key_read(&command, got, &err))) {
        fail_msg("%s", err.text);
    }
    assert_memory_equal(got, raw, sizeof raw);
    memcpy(command.command[0], "/bin/false", sizeof "/bin/false");
    assert_int_equal(hf_config_key_read(&command, got, &err).code, HF_E_IO);
    /* by credential */
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
    struct hf_config_key credential = {.name = {"k3"}, .credential = "k.key"};
    memset(got, 0, sizeof got);
    assert_true(hf_ok(hf_config_key_read(&credential, got, &err)));
    assert_memory_equal(got, raw, sizeof raw);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys)};
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
