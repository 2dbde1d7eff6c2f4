/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS identities of peers: who is it, by the URI subject alternative name of its certificate
 * (`spiffe://<trust domain>/tenant/T/region/R/agent/A`, `.../coordinator/NAME`, `.../user/U`).
 * Invariant: a name is reported only from a certificate whose chain OpenSSL verified; no URI, two
 * URIs, or a URI with an embedded NUL is no identity.
 */
#ifndef HF_IO_TLS_H
#define HF_IO_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

enum { HF_TLS_URI_SIZE = 256 };

/* Paths of PEM files. Strings are borrowed for the duration of the call that takes them. */
struct hf_tls_files {
    const char *ca;          /* trust anchors */
    const char *certificate; /* own chain, leaf first; NULL = none */
    const char *key;         /* NULL = none */
};

/* Reads each file that is given and checks that the key belongs to the certificate: an error at
 * start with the path, rather than a handshake that fails for ever. HF_E_INVALID, HF_E_IO. */
hf_result hf_tls_files_check(const struct hf_tls_files *files, struct hf_err *err) HF_MUST_USE;

/* The system's trust anchors, read once per process (some 20 ms: too long for the event loop, so
 * call it at start) and shared by reference. hf_tls_system_use puts them into an OpenSSL context
 * (an SSL_CTX pointer); false when there are none. Thread safe. */
void hf_tls_system_load(void);
bool hf_tls_system_use(void *ssl_ctx);

/* OpenSSL's option bits of our servers: TLS 1.2 and newer, no renegotiation, no compression. */
long hf_tls_options(void);

/* The URI name of the verified peer of an OpenSSL connection (an SSL pointer). HF_E_DENIED when
 * there is no certificate, it is not verified, or it has not exactly one URI. */
hf_result hf_tls_peer_uri(void *ssl, char *ret, size_t size, struct hf_err *err) HF_MUST_USE;
/* True when the verified peer's certificate has this host (DNS name or IP address) as a subject
 * alternative name. */
bool hf_tls_peer_is_host(void *ssl, const char *host);

#endif
