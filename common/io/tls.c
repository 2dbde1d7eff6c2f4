/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/tls.h"

#include <pthread.h>
#include <string.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/io/fault.h"

static void context_free(SSL_CTX **ctx)
{
    SSL_CTX_free(*ctx);
}

static hf_result tls_fail(struct hf_err *err, const char *what, const char *path)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    hf_result r =
        hf_fail(err, HF_E_INVALID, "%s %s: %s", what, path, reason == NULL ? "unreadable" : reason);
    ERR_clear_error();
    return r;
}

hf_result hf_tls_files_check(const struct hf_tls_files *files, struct hf_err *err)
{
    HF_FAULT("tls.files", err);
    __attribute__((cleanup(context_free))) SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    if (ctx == NULL) {
        return hf_fail(err, HF_E_INTERNAL, "OpenSSL gives no context");
    }
    ERR_clear_error();
    if ((files->certificate == NULL) != (files->key == NULL)) {
        return hf_fail(err, HF_E_INVALID, "a certificate and its key are given together");
    }
    if (files->ca != NULL && SSL_CTX_load_verify_file(ctx, files->ca) != 1) {
        return tls_fail(err, "CA", files->ca);
    }
    if (files->certificate == NULL) {
        return hf_done();
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1) {
        return tls_fail(err, "certificate", files->certificate);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, files->key, SSL_FILETYPE_PEM) != 1) {
        return tls_fail(err, "key", files->key);
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        return tls_fail(err, "key does not belong to the certificate:", files->key);
    }
    return hf_done();
}

static pthread_once_t system_once = PTHREAD_ONCE_INIT;
static X509_STORE *system_store;

static void load_system(void)
{
    X509_STORE *store = X509_STORE_new();
    if (store != NULL && X509_STORE_set_default_paths(store) == 1) {
        system_store = store;
    } else {
        X509_STORE_free(store);
    }
    ERR_clear_error();
}

void hf_tls_system_load(void)
{
    pthread_once(&system_once, load_system);
}

bool hf_tls_system_use(void *ssl_ctx)
{
    hf_tls_system_load();
    return system_store != NULL && SSL_CTX_set1_verify_cert_store(ssl_ctx, system_store) == 1;
}

long hf_tls_options(void)
{
    return (long)(SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_COMPRESSION |
                  SSL_OP_NO_RENEGOTIATION);
}

static void names_free(GENERAL_NAMES **names)
{
    GENERAL_NAMES_free(*names);
}
static void certificate_free(X509 **c)
{
    X509_free(*c);
}

hf_result hf_tls_peer_uri(void *ssl, char *ret, size_t size, struct hf_err *err)
{
    __attribute__((cleanup(certificate_free))) X509 *cert =
        ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);
    if (cert == NULL) {
        return hf_fail(err, HF_E_DENIED, "the peer shows no certificate");
    }
    long verified = SSL_get_verify_result(ssl);
    if (verified != X509_V_OK) {
        return hf_fail(err, HF_E_DENIED, "the peer's certificate does not verify: %s",
                       X509_verify_cert_error_string(verified));
    }
    __attribute__((cleanup(names_free))) GENERAL_NAMES *names =
        X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const ASN1_IA5STRING *uri = NULL;
    int found = 0;
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI) {
            uri = name->d.uniformResourceIdentifier;
            found++;
        }
    }
    if (found != 1) {
        return hf_fail(err, HF_E_DENIED, "the peer's certificate has %d URI names, needed is 1",
                       found);
    }
    const unsigned char *text = ASN1_STRING_get0_data(uri);
    size_t len = (size_t)ASN1_STRING_length(uri);
    if (len == 0 || len >= size || memchr(text, '\0', len) != NULL) {
        return hf_fail(err, HF_E_DENIED, "the peer's URI name is empty, too long or malformed");
    }
    memcpy(ret, text, len);
    ret[len] = '\0';
    return hf_done();
}

bool hf_tls_peer_is_host(void *ssl, const char *host)
{
    __attribute__((cleanup(certificate_free))) X509 *cert =
        ssl == NULL ? NULL : SSL_get1_peer_certificate(ssl);
    if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK) {
        return false;
    }
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        return X509_check_ip_asc(cert, host, 0) == 1;
    }
    return X509_check_host(cert, host, strlen(host), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) ==
           1;
}
