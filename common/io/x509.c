/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and verifying certificates.
 */
#include "common/io/x509.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/secret.h"
#include "common/io/x509_internal.h"

enum { PEM_MAX = 256 * 1024, KEY_MAX = 16384 };

void hf_x509_free_certificate(X509 **cert)
{
    X509_free(*cert);
    *cert = NULL;
}

void hf_x509_free_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
    *key = NULL;
}

hf_result hf_x509_openssl_error(struct hf_err *err, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    hf_result r = hf_fail(err, HF_E_INVALID, "%s: %s", what,
                          reason == NULL ? "OpenSSL gives no reason" : reason);
    ERR_clear_error();
    return r;
}

hf_result hf_x509_load_certificate(const char *path, X509 **ret, struct hf_err *err)
{
    HF_BUF(pem, PEM_MAX);
    HF_TRY(hf_file_read(path, &pem, err));
    BIO *bio = BIO_new_mem_buf(hf_buf_text(&pem), (int)pem.len);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (cert == NULL) {
        return hf_x509_openssl_error(err, path);
    }
    *ret = cert;
    return hf_done();
}

hf_result hf_x509_load_key(const char *path, EVP_PKEY **ret, struct hf_err *err)
{
    HF_AUTOSECRET struct hf_secret pem = {0};
    HF_TRY(hf_secret_read_file(path, KEY_MAX, &pem, err));
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (key == NULL) {
        return hf_x509_openssl_error(err, path);
    }
    *ret = key;
    return hf_done();
}

/* --- reading --- */

static bool append(char *text, size_t size, const char *more)
{
    size_t len = strlen(text);
    int n = snprintf(text + len, size - len, "%s%s", len == 0 ? "" : " ", more);
    return n > 0 && (size_t)n < size - len;
}

/* An IA5 string without NUL inside: a NUL would hide what follows it. */
static const char *plain(const ASN1_STRING *s)
{
    const char *text = (const char *)ASN1_STRING_get0_data(s);
    return strlen(text) == (size_t)ASN1_STRING_length(s) ? text : NULL;
}

static hf_result read_one_name(const GENERAL_NAME *name, const char *path,
                               struct hf_x509_info *info, struct hf_err *err)
{
    int type = 0;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type == GEN_URI) {
        const char *uri = plain(value);
        if (uri == NULL || info->uri[0] != '\0' || strlen(uri) >= sizeof info->uri) {
            return hf_fail(err, HF_E_INVALID, "%s: not exactly one URI that fits", path);
        }
        memcpy(info->uri, uri, strlen(uri) + 1);
        return hf_done();
    }
    char text[INET6_ADDRSTRLEN] = "";
    const char *host = text;
    if (type == GEN_DNS) {
        host = plain(value);
    } else if (type == GEN_IPADD) {
        int family = ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6;
        host = inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof text);
    } else {
        return hf_done();
    }
    if (host == NULL || !append(info->hosts, sizeof info->hosts, host)) {
        return hf_fail(err, HF_E_INVALID, "%s: host names do not fit", path);
    }
    return hf_done();
}

static hf_result read_names(X509 *cert, const char *path, struct hf_x509_info *info,
                            struct hf_err *err)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    hf_result r = hf_done();
    for (int i = 0; names != NULL && hf_ok(r) && i < sk_GENERAL_NAME_num(names); i++) {
        r = read_one_name(sk_GENERAL_NAME_value(names, i), path, info, err);
    }
    GENERAL_NAMES_free(names);
    return r;
}

static hf_result read_time(const ASN1_TIME *at, hf_wall *ret, struct hf_err *err)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1) {
        return hf_x509_openssl_error(err, "time");
    }
    ret->us = (int64_t)timegm(&tm) * 1000000;
    return hf_done();
}

hf_result hf_x509_read(const char *path, struct hf_x509_info *ret, struct hf_err *err)
{
    HF_AUTO_X509 X509 *cert = NULL;
    struct hf_x509_info info = {0};
    HF_TRY(hf_x509_load_certificate(path, &cert, err));
    HF_TRY(read_names(cert, path, &info, err));
    HF_TRY(read_time(X509_get0_notBefore(cert), &info.not_before, err));
    HF_TRY(read_time(X509_get0_notAfter(cert), &info.not_after, err));
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, info.common_name,
                                    sizeof info.common_name);
    uint32_t usage = X509_get_extended_key_usage(cert);
    info.server = usage != UINT32_MAX && (usage & XKU_SSL_SERVER) != 0;
    info.client = usage != UINT32_MAX && (usage & XKU_SSL_CLIENT) != 0;
    *ret = info;
    return hf_done();
}

/* --- verifying --- */

static hf_result verify_chain(X509_STORE *store, X509 *cert, bool as_server, const char *path,
                              struct hf_err *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx == NULL || X509_STORE_CTX_init(ctx, store, cert, NULL) != 1 ||
        X509_STORE_CTX_set_purpose(ctx, as_server ? X509_PURPOSE_SSL_SERVER
                                                  : X509_PURPOSE_SSL_CLIENT) != 1) {
        X509_STORE_CTX_free(ctx);
        return hf_x509_openssl_error(err, "verification");
    }
    hf_result r = hf_done();
    if (X509_verify_cert(ctx) != 1) {
        r = hf_fail(err, HF_E_DENIED, "%s: %s", path,
                    X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        ERR_clear_error();
    }
    X509_STORE_CTX_free(ctx);
    return r;
}

hf_result hf_x509_verify(const char *ca_path, const char *path, bool as_server, struct hf_err *err)
{
    HF_AUTO_X509 X509 *ca = NULL;
    HF_AUTO_X509 X509 *cert = NULL;
    HF_TRY(hf_x509_load_certificate(ca_path, &ca, err));
    HF_TRY(hf_x509_load_certificate(path, &cert, err));
    X509_STORE *store = X509_STORE_new();
    if (store == NULL || X509_STORE_add_cert(store, ca) != 1) {
        X509_STORE_free(store);
        return hf_x509_openssl_error(err, "certificate store");
    }
    hf_result r = verify_chain(store, cert, as_server, path, err);
    X509_STORE_free(store);
    return r;
}

hf_result hf_x509_matches(const char *path, const char *key_path, struct hf_err *err)
{
    HF_AUTO_X509 X509 *cert = NULL;
    HF_AUTO_KEY EVP_PKEY *key = NULL;
    HF_TRY(hf_x509_load_certificate(path, &cert, err));
    HF_TRY(hf_x509_load_key(key_path, &key, err));
    if (X509_check_private_key(cert, key) != 1) {
        ERR_clear_error();
        return hf_fail(err, HF_E_INVALID, "%s is not the key of %s", key_path, path);
    }
    return hf_done();
}
