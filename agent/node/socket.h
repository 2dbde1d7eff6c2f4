/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's UNIX socket (docs/protocol.md, section 3): frames of a 4-byte little-endian length
 * and a JSON object, one request a connection at a time.
 * Invariants: at most HF_SOCKET_CONNECTIONS; a frame is at most HF_SOCKET_FRAME_MAX bytes; a
 * request that breaks a bound is answered by an error and ends its connection; each request is
 * answered once, or never when its client has gone. Loop thread only.
 */
#ifndef HF_NODE_SOCKET_H
#define HF_NODE_SOCKET_H

#include <stdint.h>

#include "common/core/json.h"
#include "common/io/loop.h"

enum { HF_SOCKET_CONNECTIONS = 64, HF_SOCKET_FRAME_MAX = 4096 };

struct hf_socket;

/* `ticket` names the request for hf_socket_answer, now or later. request is borrowed. */
typedef void (*hf_socket_request)(void *arg, uint64_t ticket, const char *verb,
                                  const hf_json *request);

/* Listens at the path (mode 0660; a file that an earlier agent left is replaced). */
hf_result hf_socket_new(struct hf_loop *loop, const char *path, hf_socket_request fn, void *arg,
                        struct hf_socket **ret, struct hf_err *err) HF_MUST_USE;
void hf_socket_free(struct hf_socket *s); /* removes the file; NULL allowed */
/* result HF_OK: {"ok":true, members}; else {"ok":false,"code":...,"message":err->text}. members: an
 * object whose members are copied, or NULL. Borrowed. */
void hf_socket_answer(struct hf_socket *s, uint64_t ticket, hf_result result,
                      const hf_json *members, const struct hf_err *err);

/* Client side, blocking: one request, one answer, for command lines. HF_E_UNREACHABLE: no agent
 * listens there. *ret is the whole answer. */
hf_result hf_socket_ask(const char *path, const hf_json *request, hf_dur timeout, hf_json **ret,
                        struct hf_err *err) HF_MUST_USE;

#endif
