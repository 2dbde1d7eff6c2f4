/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of x509 share over OpenSSL. Internal to common/io/x509*.c.
 */
#ifndef HF_IO_X509_INTERNAL_H
#define HF_IO_X509_INTERNAL_H

#include "common/base/err.h"

/* OpenSSL's X509 and EVP_PKEY */
struct x509_st;
struct evp_pkey_st;

void hf_x509_free_certificate(struct x509_st **cert);
void hf_x509_free_key(struct evp_pkey_st **key);
#define HF_AUTO_X509 __attribute__((cleanup(hf_x509_free_certificate)))
#define HF_AUTO_KEY  __attribute__((cleanup(hf_x509_free_key)))

/* Fails with OpenSSL's newest reason, and empties its queue. */
hf_result hf_x509_openssl_error(struct hf_err *err, const char *what);

/* First certificate, or private key, of a PEM file. HF_E_NOT_FOUND, HF_E_INVALID, HF_E_DENIED. */
hf_result hf_x509_load_certificate(const char *path, struct x509_st **ret,
                                   struct hf_err *err) HF_MUST_USE;
hf_result hf_x509_load_key(const char *path, struct evp_pkey_st **ret,
                           struct hf_err *err) HF_MUST_USE;

#endif
