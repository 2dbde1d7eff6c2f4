/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

void hf_secret_set(struct hf_secret *s, const void *bytes, size_t n)
{
    HF_ASSERT(n <= HF_SECRET_MAX);
    uint8_t *copy = hf_alloc(n + 1);
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    hf_secret_free(s);
    s->data = copy;
    s->len = n;
}

void hf_secret_copy(struct hf_secret *to, const struct hf_secret *from)
{
    hf_secret_set(to, from->data, from->len);
}

void hf_secret_free(struct hf_secret *s)
{
    if (s->data != NULL) {
        hf_wipe(s->data, s->len);
        hf_free(s->data);
    }
    s->data = NULL;
    s->len = 0;
}

const char *hf_secret_text(const struct hf_secret *s)
{
    return s->data == NULL ? "" : (const char *)s->data;
}

hf_result hf_secret_check_fd(int fd, const char *path, struct hf_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return hf_fail_errno(err, errno, "secret file %s: stat", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return hf_fail(err, HF_E_DENIED, "secret file %s: not a regular file", path);
    }
    unsigned others = st.st_mode & 077U;
    if (others == 0 || (st.st_uid == 0 && others == 040U)) {
        return hf_done();
    }
    return hf_fail(err, HF_E_DENIED,
                   "secret file %s: mode %04o lets others use it; allowed are 0600 (chmod 600 %s) "
                   "and, for a file of root's, 0640",
                   path, st.st_mode & 07777U, path);
}

/* Reads to the end or until room is full. */
static hf_result read_all(int fd, const char *path, uint8_t *room, size_t size, size_t *ret_len,
                          struct hf_err *err)
{
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, room + have, size - have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hf_fail_errno(err, errno, "secret file %s: read", path);
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    *ret_len = have;
    return hf_done();
}

hf_result hf_secret_read_file(const char *path, size_t max_bytes, struct hf_secret *ret,
                              struct hf_err *err)
{
    HF_ASSERT(max_bytes <= HF_SECRET_MAX);
    /* O_NONBLOCK: a FIFO in its place must not hang us before the check refuses it */
    HF_AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int saved = errno;
        if (saved == ENOENT) {
            return hf_fail(err, HF_E_NOT_FOUND, "secret file %s: does not exist", path);
        }
        return hf_fail_errno(err, saved, "secret file %s: open", path);
    }
    HF_TRY(hf_secret_check_fd(fd, path, err));
    HF_AUTOSECRET struct hf_secret room = {.data = hf_alloc(max_bytes + 2), .len = max_bytes + 1};
    size_t len = 0;
    HF_TRY(read_all(fd, path, room.data, max_bytes + 1, &len, err));
    if (len > max_bytes) {
        return hf_fail(err, HF_E_LIMIT, "secret file %s: longer than %zu bytes", path, max_bytes);
    }
    hf_secret_set(ret, room.data, len);
    return hf_done();
}

void hf_secret_trim(struct hf_secret *s)
{
    while (s->len > 0 && strchr(" \t\r\n", s->data[s->len - 1]) != NULL &&
           s->data[s->len - 1] != '\0') {
        s->data[--s->len] = '\0';
    }
}
