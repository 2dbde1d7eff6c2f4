/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate authority in a directory: making it, issuing from it.
 */
#include "common/io/x509.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/files.h"
#include "common/io/x509_internal.h"

enum {
    CA_DAYS = 3650,
    LEAF_DAYS = 825,
    SKEW_S = 300, /* valid a little earlier: clocks differ */
    SERIAL_BYTES = 16,
    PEM_MAX = 65536,
    PATH_ROOM = 1024
};

static hf_result path_in(const char *dir, const char *file, const char *suffix, char ret[PATH_ROOM],
                         struct hf_err *err)
{
    int n = snprintf(ret, PATH_ROOM, "%s/%s%s", dir, file, suffix);
    if (n < 0 || n >= PATH_ROOM) {
        return hf_fail(err, HF_E_LIMIT, "path longer than %d bytes: %.64s/%s", PATH_ROOM - 1, dir,
                       file);
    }
    return hf_done();
}

/* --- certificates --- */

static hf_result add_extension(X509 *cert, X509 *issuer, int nid, const char *value,
                               struct hf_err *err)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    int done = extension == NULL ? 0 : X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return done == 1 ? hf_done() : hf_x509_openssl_error(err, "certificate extension");
}

static hf_result random_serial(X509 *cert, struct hf_err *err)
{
    unsigned char bytes[SERIAL_BYTES];
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
        return hf_x509_openssl_error(err, "random serial number");
    }
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, fixed length (RFC 5280) */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    ASN1_INTEGER *serial = number == NULL ? NULL : BN_to_ASN1_INTEGER(number, NULL);
    int done = serial == NULL ? 0 : X509_set_serialNumber(cert, serial);
    ASN1_INTEGER_free(serial);
    BN_free(number);
    return done == 1 ? hf_done() : hf_x509_openssl_error(err, "serial number");
}

/* A version 3 certificate with serial, name, times and key, without extensions and signature. */
static hf_result blank(const char *common_name, int days, EVP_PKEY *key, X509 **ret,
                       struct hf_err *err)
{
    HF_AUTO_X509 X509 *cert = X509_new();
    if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1) {
        return hf_x509_openssl_error(err, "new certificate");
    }
    HF_TRY(random_serial(cert, err));
    X509_NAME *name = X509_get_subject_name(cert);
    if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                   -1, -1, 0) != 1) {
        return hf_x509_openssl_error(err, "common name (at most 64 characters)");
    }
    if (X509_gmtime_adj(X509_getm_notBefore(cert), -SKEW_S) == NULL ||
        X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) == NULL ||
        X509_set_pubkey(cert, key) != 1) {
        return hf_x509_openssl_error(err, "certificate");
    }
    *ret = cert;
    cert = NULL;
    return hf_done();
}

static hf_result sign(X509 *cert, X509 *issuer, EVP_PKEY *issuer_key, struct hf_err *err)
{
    if (X509_set_issuer_name(cert, X509_get_subject_name(issuer)) != 1 ||
        X509_sign(cert, issuer_key, EVP_sha256()) <= 0) {
        return hf_x509_openssl_error(err, "signature");
    }
    return hf_done();
}

/* --- subject alternative names, by the API: no text of the caller is parsed as configuration ---
 */

static GENERAL_NAME *text_name(int type, const char *text)
{
    ASN1_IA5STRING *string = ASN1_IA5STRING_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (string == NULL || name == NULL || ASN1_STRING_set(string, text, -1) != 1) {
        ASN1_IA5STRING_free(string);
        GENERAL_NAME_free(name);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, type, string);
    return name;
}

static GENERAL_NAME *address_name(const unsigned char *bytes, int len)
{
    ASN1_OCTET_STRING *string = ASN1_OCTET_STRING_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (string == NULL || name == NULL || ASN1_OCTET_STRING_set(string, bytes, len) != 1) {
        ASN1_OCTET_STRING_free(string);
        GENERAL_NAME_free(name);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, GEN_IPADD, string);
    return name;
}

static bool dns_valid(const char *host)
{
    size_t len = strlen(host);
    return len > 0 && len < 254 && host[0] != '-' && host[0] != '.' &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*_") ==
               len;
}

static hf_result host_name(const char *host, GENERAL_NAME **ret, struct hf_err *err)
{
    unsigned char bytes[16];
    if (inet_pton(AF_INET, host, bytes) == 1) {
        *ret = address_name(bytes, 4);
    } else if (inet_pton(AF_INET6, host, bytes) == 1) {
        *ret = address_name(bytes, 16);
    } else if (dns_valid(host)) {
        *ret = text_name(GEN_DNS, host);
    } else {
        return hf_fail(err, HF_E_INVALID, "host \"%.64s\"; allowed: an IP address or a DNS name",
                       host);
    }
    return *ret == NULL ? hf_x509_openssl_error(err, "alternative name") : hf_done();
}

static hf_result fill_names(GENERAL_NAMES *names, const struct hf_x509_request *request,
                            struct hf_err *err)
{
    if (request->uri != NULL) {
        GENERAL_NAME *name = text_name(GEN_URI, request->uri);
        if (name == NULL || sk_GENERAL_NAME_push(names, name) == 0) {
            GENERAL_NAME_free(name);
            return hf_x509_openssl_error(err, "identity");
        }
    }
    for (size_t i = 0; i < request->host_count; i++) {
        GENERAL_NAME *name = NULL;
        HF_TRY(host_name(request->hosts[i], &name, err));
        if (sk_GENERAL_NAME_push(names, name) == 0) {
            GENERAL_NAME_free(name);
            return hf_x509_openssl_error(err, "alternative name");
        }
    }
    return hf_done();
}

static hf_result add_names(X509 *cert, const struct hf_x509_request *request, struct hf_err *err)
{
    if (request->uri == NULL && request->host_count == 0) {
        return hf_done();
    }
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (names == NULL) {
        return hf_x509_openssl_error(err, "alternative names");
    }
    hf_result r = fill_names(names, request, err);
    if (hf_ok(r) && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) != 1) {
        r = hf_x509_openssl_error(err, "alternative names");
    }
    GENERAL_NAMES_free(names);
    return r;
}

/* --- files --- */

/* What an operator sees: keys only for the owner, certificates for all. */
static hf_result save(const char *path, BIO *pem, mode_t mode, bool renew, struct hf_err *err)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(pem, &bytes);
    HF_ASSERT(len > 0 && len < PEM_MAX);
    if (renew) {
        return hf_file_write_durable(path, bytes, (size_t)len, mode, err);
    }
    hf_result r = hf_file_create_once(path, bytes, (size_t)len, mode, err);
    if (r.code == HF_E_EXISTS) {
        return hf_fail(err, HF_E_EXISTS, "%s is there already; --renew replaces it", path);
    }
    return r;
}

static hf_result save_key(const char *path, EVP_PKEY *key, bool renew, struct hf_err *err)
{
    BIO *pem = BIO_new(BIO_s_secmem());
    if (pem == NULL || PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(pem);
        return hf_x509_openssl_error(err, "private key");
    }
    hf_result r = save(path, pem, 0600, renew, err);
    BIO_free(pem);
    return r;
}

static hf_result save_certificate(const char *path, X509 *cert, bool renew, struct hf_err *err)
{
    BIO *pem = BIO_new(BIO_s_mem());
    if (pem == NULL || PEM_write_bio_X509(pem, cert) != 1) {
        BIO_free(pem);
        return hf_x509_openssl_error(err, "certificate");
    }
    hf_result r = save(path, pem, 0644, renew, err);
    BIO_free(pem);
    return r;
}

static hf_result new_key(EVP_PKEY **ret, struct hf_err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL) {
        return hf_x509_openssl_error(err, "new key");
    }
    *ret = key;
    return hf_done();
}

/* --- the authority --- */

static hf_result make_authority(const char *trust_domain, int days, EVP_PKEY *key, X509 **ret,
                                struct hf_err *err)
{
    char name[96];
    int n = snprintf(name, sizeof name, "Holdfast %.48s", trust_domain);
    HF_ASSERT(n > 0);
    HF_AUTO_X509 X509 *cert = NULL;
    HF_TRY(blank(name, days == 0 ? CA_DAYS : days, key, &cert, err));
    if (X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1) {
        return hf_x509_openssl_error(err, "issuer");
    }
    HF_TRY(add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0", err));
    HF_TRY(add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign", err));
    HF_TRY(add_extension(cert, cert, NID_subject_key_identifier, "hash", err));
    HF_TRY(sign(cert, cert, key, err));
    *ret = cert;
    cert = NULL;
    return hf_done();
}

hf_result hf_x509_ca_init(const char *dir, const char *trust_domain, int days, struct hf_err *err)
{
    if (!hf_trust_domain_valid(trust_domain)) {
        return hf_fail(err, HF_E_INVALID, "trust domain \"%.64s\"; allowed: a-z, 0-9, . and -",
                       trust_domain);
    }
    char key_path[PATH_ROOM];
    char cert_path[PATH_ROOM];
    char domain_path[PATH_ROOM];
    HF_TRY(path_in(dir, "ca", ".key", key_path, err));
    HF_TRY(path_in(dir, "ca", ".pem", cert_path, err));
    HF_TRY(path_in(dir, "trust-domain", "", domain_path, err));
    if (hf_file_exists(key_path) || hf_file_exists(cert_path)) {
        return hf_fail(err, HF_E_EXISTS, "%s has a certificate authority already", dir);
    }
    HF_TRY(hf_dir_make(dir, 0700, err));
    HF_AUTO_KEY EVP_PKEY *key = NULL;
    HF_AUTO_X509 X509 *cert = NULL;
    HF_TRY(new_key(&key, err));
    HF_TRY(make_authority(trust_domain, days, key, &cert, err));
    HF_TRY(save_key(key_path, key, false, err));
    HF_TRY(hf_file_write_durable(domain_path, trust_domain, strlen(trust_domain), 0644, err));
    return save_certificate(cert_path, cert, false, err);
}

hf_result hf_x509_ca_trust_domain(const char *dir, char ret[HF_TRUST_DOMAIN_SIZE],
                                  struct hf_err *err)
{
    char path[PATH_ROOM];
    HF_TRY(path_in(dir, "trust-domain", "", path, err));
    HF_BUF(text, HF_TRUST_DOMAIN_SIZE);
    hf_result r = hf_file_read(path, &text, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s has no certificate authority (holdfast ca init)",
                       dir);
    }
    HF_TRY(r);
    while (text.len > 0 && text.data[text.len - 1] == '\n') {
        text.data[--text.len] = '\0';
    }
    if (!hf_trust_domain_valid(hf_buf_text(&text))) {
        return hf_fail(err, HF_E_CORRUPT, "%s: no trust domain in it", path);
    }
    memcpy(ret, hf_buf_text(&text), text.len + 1);
    return hf_done();
}

/* --- issuing --- */

static hf_result make_leaf(const struct hf_x509_request *request, EVP_PKEY *key, X509 *ca,
                           EVP_PKEY *ca_key, X509 **ret, struct hf_err *err)
{
    HF_AUTO_X509 X509 *cert = NULL;
    HF_TRY(blank(request->common_name, request->days == 0 ? LEAF_DAYS : request->days, key, &cert,
                 err));
    const char *usage = request->server && request->client ? "serverAuth,clientAuth"
                        : request->server                  ? "serverAuth"
                                                           : "clientAuth";
    HF_TRY(add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE", err));
    HF_TRY(add_extension(cert, ca, NID_key_usage, "critical,digitalSignature", err));
    HF_TRY(add_extension(cert, ca, NID_ext_key_usage, usage, err));
    HF_TRY(add_extension(cert, ca, NID_subject_key_identifier, "hash", err));
    HF_TRY(add_extension(cert, ca, NID_authority_key_identifier, "keyid", err));
    HF_TRY(add_names(cert, request, err));
    HF_TRY(sign(cert, ca, ca_key, err));
    *ret = cert;
    cert = NULL;
    return hf_done();
}

static hf_result check_request(const struct hf_x509_request *request, struct hf_err *err)
{
    if (!request->server && !request->client) {
        return hf_fail(err, HF_E_INVALID, "a certificate for neither server nor client");
    }
    size_t len = strlen(request->file);
    if (len == 0 || len > 128 || strcmp(request->file, "ca") == 0 ||
        strspn(request->file, "abcdefghijklmnopqrstuvwxyz0123456789-") != len) {
        return hf_fail(err, HF_E_INVALID,
                       "file name \"%.64s\"; allowed: a-z, 0-9 and -, and not ca", request->file);
    }
    if (request->host_count > HF_X509_MAX_HOSTS) {
        return hf_fail(err, HF_E_LIMIT, "%zu hosts; allowed: at most %d", request->host_count,
                       HF_X509_MAX_HOSTS);
    }
    return hf_done();
}

hf_result hf_x509_issue(const char *dir, const struct hf_x509_request *request, struct hf_err *err)
{
    HF_TRY(check_request(request, err));
    char path[PATH_ROOM];
    HF_AUTO_X509 X509 *ca = NULL;
    HF_AUTO_KEY EVP_PKEY *ca_key = NULL;
    HF_TRY(path_in(dir, "ca", ".pem", path, err));
    hf_result r = hf_x509_load_certificate(path, &ca, err);
    if (r.code == HF_E_NOT_FOUND) {
        return hf_fail(err, HF_E_NOT_FOUND, "%s has no certificate authority (holdfast ca init)",
                       dir);
    }
    HF_TRY(r);
    HF_TRY(path_in(dir, "ca", ".key", path, err));
    HF_TRY(hf_x509_load_key(path, &ca_key, err));
    HF_AUTO_KEY EVP_PKEY *key = NULL;
    HF_AUTO_X509 X509 *cert = NULL;
    HF_TRY(new_key(&key, err));
    HF_TRY(make_leaf(request, key, ca, ca_key, &cert, err));
    char cert_path[PATH_ROOM];
    HF_TRY(path_in(dir, request->file, ".pem", cert_path, err));
    if (!request->renew && hf_file_exists(cert_path)) {
        return hf_fail(err, HF_E_EXISTS, "%s is there already; --renew replaces it", cert_path);
    }
    HF_TRY(path_in(dir, request->file, ".key", path, err));
    HF_TRY(save_key(path, key, request->renew, err));
    return save_certificate(cert_path, cert, request->renew, err);
}
