/* SPDX-License-Identifier: Apache-2.0
 *
 * One DNS message to one server over TCP and its answer (RFC 7766), asynchronous.
 * Invariants: it ends within its timeout; a connection is used once; what came is not looked into,
 * its length is bounded. Loop thread only.
 */
#ifndef HF_COORDINATOR_DNS_TCP_H
#define HF_COORDINATOR_DNS_TCP_H

#include "common/io/loop.h"

enum { HF_DNS_TCP_MAX = 65535 };

struct hf_dns_tcp;
/* HF_OK with the answer (borrowed, may be changed in place); HF_E_UNREACHABLE (nothing was sent),
 * HF_E_TIMEOUT (sent, and no whole answer: outcome unknown). */
typedef void (*hf_dns_tcp_done)(void *arg, hf_result result, uint8_t *packet, size_t len,
                                const struct hf_err *err);
/* server: "127.0.0.8:5300"; packet is copied. done is called once, later; freed after it. */
hf_result hf_dns_tcp_start(struct hf_loop *loop, const char *server, const uint8_t *packet,
                           size_t len, hf_dur timeout, hf_dns_tcp_done done, void *arg,
                           struct hf_dns_tcp **ret, struct hf_err *err) HF_MUST_USE;
void hf_dns_tcp_cancel(struct hf_dns_tcp *t); /* frees; done is not called; NULL allowed */

#endif
