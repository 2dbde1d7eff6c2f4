/* SPDX-License-Identifier: Apache-2.0
 *
 * A small certificate authority in a directory: ca.pem, ca.key, and NAME.pem, NAME.key for each
 * certificate issued. ECDSA P-256 (accepted by OpenSSL, libwebsockets, Go's etcd alike); identities
 * are URI SANs (common/core/identity.h).
 * Invariants: private keys are made 0600 and never overwritten without renew; a certificate is
 * written after its key; nothing is printed that is secret.
 */
#ifndef HF_IO_X509_H
#define HF_IO_X509_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/core/identity.h"

enum { HF_X509_MAX_HOSTS = 16 };

/* Makes ca.key, ca.pem and trust-domain (a text file) in dir, which is created 0700 when missing.
 * HF_E_EXISTS when there is an authority already. days: 0 = ten years. */
hf_result hf_x509_ca_init(const char *dir, const char *trust_domain, int days,
                          struct hf_err *err) HF_MUST_USE;
/* Of an authority's directory. */
hf_result hf_x509_ca_trust_domain(const char *dir, char ret[HF_TRUST_DOMAIN_SIZE],
                                  struct hf_err *err) HF_MUST_USE;

struct hf_x509_request {
    const char *file;         /* base name of the two files */
    const char *common_name;  /* for people */
    const char *uri;          /* identity, NULL for etcd's own */
    const char *const *hosts; /* IP addresses and DNS names for the SAN */
    size_t host_count;
    bool server; /* extended key usage serverAuth */
    bool client; /* clientAuth */
    int days;    /* 0 = 825 */
    bool renew;  /* replace files that are there; a new key is made */
};
/* Issues dir/FILE.key and dir/FILE.pem. HF_E_EXISTS when there and not renew; HF_E_NOT_FOUND when
 * dir has no authority. */
hf_result hf_x509_issue(const char *dir, const struct hf_x509_request *request,
                        struct hf_err *err) HF_MUST_USE;

struct hf_x509_info {
    char uri[HF_IDENTITY_URI_SIZE]; /* "" = none; two URI SANs are refused */
    char common_name[128];
    char hosts[512]; /* SAN's DNS names and addresses, separated by spaces */
    hf_wall not_before, not_after;
    bool server, client;
};
/* Of a PEM file's first certificate. HF_E_NOT_FOUND, HF_E_INVALID. */
hf_result hf_x509_read(const char *path, struct hf_x509_info *ret, struct hf_err *err) HF_MUST_USE;
/* Does the certificate's chain end at the authority (PEM), now, for the use named? HF_E_DENIED with
 * the reason. */
hf_result hf_x509_verify(const char *ca_path, const char *path, bool as_server,
                         struct hf_err *err) HF_MUST_USE;
/* Does the private key (PEM) belong to the certificate (PEM)? HF_E_INVALID. */
hf_result hf_x509_matches(const char *path, const char *key_path, struct hf_err *err) HF_MUST_USE;

#endif
