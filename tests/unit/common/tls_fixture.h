/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests: a directory with a CA, certificates with URI and IP names, and a second, foreign CA,
 * all made by the openssl command. Test programs only.
 */
#ifndef HF_TEST_TLS_FIXTURE_H
#define HF_TEST_TLS_FIXTURE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io/files.h"
#include "common/io/process.h"
#include "common/io/tls.h"

struct tls_fixture {
    char dir[64];
};

static inline bool fixture_openssl(const struct tls_fixture *f, const char *const *args)
{
    const char *argv[32] = {"/usr/bin/openssl"};
    size_t n = 1;
    for (; args[n - 1] != NULL && n < 31; n++) {
        argv[n] = args[n - 1];
    }
    struct hf_process_spec spec = {.argv = argv, .directory = f->dir, .capture = true};
    struct hf_process_output out;
    struct hf_err err = {0};
    if (!hf_ok(hf_process_run(&spec, HF_SEC(30), &out, &err))) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    if (out.status != 0) {
        fprintf(stderr, "openssl %s: %s\n", args[0], hf_buf_text(&out.errout));
    }
    bool ok = out.status == 0 && !out.signaled;
    hf_process_output_free(&out);
    return ok;
}

static inline bool fixture_ca(const struct tls_fixture *f, const char *name)
{
    char key[64], crt[64], subject[80];
    snprintf(key, sizeof(key), "%s.key", name);
    snprintf(crt, sizeof(crt), "%s.pem", name);
    snprintf(subject, sizeof(subject), "/CN=%s", name);
    const char *args[] = {
        "req",    "-x509",   "-newkey", "ec",   "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-keyout", key,       "-out", crt,        "-days",
        "2",      "-subj",   subject,   NULL};
    return fixture_openssl(f, args);
}

/* name.pem and name.key, signed by ca, with these subject alternative names ("URI:...,IP:..."). */
static inline bool fixture_cert(const struct tls_fixture *f, const char *ca, const char *name,
                                const char *sans)
{
    char key[64], csr[64], crt[64], cacrt[64], cakey[64], ext[64], subject[80], path[160],
        text[512];
    snprintf(key, sizeof(key), "%s.key", name);
    snprintf(csr, sizeof(csr), "%s.csr", name);
    snprintf(crt, sizeof(crt), "%s.pem", name);
    snprintf(cacrt, sizeof(cacrt), "%s.pem", ca);
    snprintf(cakey, sizeof(cakey), "%s.key", ca);
    snprintf(ext, sizeof(ext), "%s.ext", name);
    snprintf(subject, sizeof(subject), "/CN=%s", name);
    snprintf(path, sizeof(path), "%s/%s", f->dir, ext);
    snprintf(text, sizeof(text), "subjectAltName=%s\n", sans);
    if (!hf_ok(hf_file_write_durable(path, text, strlen(text), 0600, NULL))) {
        return false;
    }
    const char *req[] = {"req",    "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                         "-nodes", "-keyout", key,  "-out",     csr,
                         "-subj",  subject,   NULL};
    const char *sign[] = {
        "x509", "-req", "-in",   csr, "-CA",      cacrt, "-CAkey", cakey, "-CAcreateserial",
        "-out", crt,    "-days", "2", "-extfile", ext,   NULL};
    return fixture_openssl(f, req) && fixture_openssl(f, sign);
}

static inline const char *fixture_path(struct tls_fixture *f, const char *name, const char *suffix)
{
    static char paths[24][160];
    static size_t used;
    char *p = paths[used++ % 24];
    snprintf(p, sizeof(paths[0]), "%s/%s%s", f->dir, name, suffix);
    return p;
}

static inline struct hf_tls_files fixture_files(struct tls_fixture *f, const char *ca,
                                                const char *name)
{
    return (struct hf_tls_files){.ca = fixture_path(f, ca, ".pem"),
                                 .certificate = fixture_path(f, name, ".pem"),
                                 .key = fixture_path(f, name, ".key")};
}

static inline bool fixture_make(struct tls_fixture *f)
{
    snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/hf-tls-XXXXXX");
    return mkdtemp(f->dir) != NULL;
}

static inline void fixture_drop(struct tls_fixture *f)
{
    HF_IGNORE(hf_dir_remove_tree(f->dir, NULL), "a temporary directory");
}

#endif
