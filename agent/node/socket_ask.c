/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/node/socket.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/fault.h"

enum { HEADER = 4 };

static hf_result connect_to(const char *path, hf_dur timeout, int *ret, struct hf_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    HF_FAULT("socket.ask", err);
    if (strlen(path) >= sizeof(address.sun_path)) {
        return hf_fail(err, HF_E_LIMIT, "socket \"%s\": at most %zu bytes", path,
                       sizeof(address.sun_path) - 1);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    HF_AUTOCLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return hf_fail_errno(err, errno, "socket");
    }
    const struct timeval limit = {.tv_sec = timeout.us / 1000000, .tv_usec = timeout.us % 1000000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return hf_fail(err, HF_E_UNREACHABLE, "no agent at %s: %s", path, strerror(errno));
    }
    *ret = fd;
    fd = -1;
    return hf_done();
}

static hf_result send_all(int fd, const void *bytes, size_t len, struct hf_err *err)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return hf_fail_errno(err, errno, "send to the agent");
        }
        p += n;
        len -= (size_t)n;
    }
    return hf_done();
}

static hf_result receive_all(int fd, void *ret, size_t len, struct hf_err *err)
{
    char *p = ret;
    while (len > 0) {
        ssize_t n = recv(fd, p, len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return hf_fail(err, HF_E_TIMEOUT, "no answer of the agent in time");
        }
        if (n <= 0) {
            return hf_fail(err, HF_E_AGAIN, "the agent closed the connection");
        }
        p += n;
        len -= (size_t)n;
    }
    return hf_done();
}

hf_result hf_socket_ask(const char *path, const hf_json *request, hf_dur timeout, hf_json **ret,
                        struct hf_err *err)
{
    HF_BUF(text, HF_SOCKET_FRAME_MAX);
    HF_AUTOCLOSE int fd = -1;
    unsigned char h[HEADER];
    char answer[HF_SOCKET_FRAME_MAX];
    HF_TRY(hf_json_write(request, &text, err));
    HF_TRY(connect_to(path, timeout, &fd, err));
    for (int i = 0; i < HEADER; i++) {
        h[i] = (unsigned char)(text.len >> (8 * i));
    }
    HF_TRY(send_all(fd, h, sizeof(h), err));
    HF_TRY(send_all(fd, text.data, text.len, err));
    HF_TRY(receive_all(fd, h, sizeof(h), err));
    size_t len = h[0] | (size_t)h[1] << 8 | (size_t)h[2] << 16 | (size_t)h[3] << 24;
    if (len == 0 || len > sizeof(answer)) {
        return hf_fail(err, HF_E_LIMIT, "answer of the agent: %zu bytes", len);
    }
    HF_TRY(receive_all(fd, answer, len, err));
    return hf_json_parse(answer, len, sizeof(answer), ret, err);
}
