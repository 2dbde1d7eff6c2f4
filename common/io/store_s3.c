/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/store_s3.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static void s3_close(struct hf_store *store)
{
    struct hf_s3_store *s = hf_s3_of(store);
    hf_http_sync_free(s->http);
    hf_aws_credentials_free(&s->credentials);
    hf_free(s->credentials_path);
    (void)pthread_mutex_destroy(&s->lock);
    hf_free(s);
}

static void s3_cleanup(struct hf_s3_store **s)
{
    if (*s != NULL) {
        s3_close(&(*s)->base);
    }
}

static hf_result s3_remove(struct hf_store *store, const char *key, struct hf_err *err)
{
    char full[HF_STORE_FULL_SIZE];
    hf_store_full_key(store, key, full);
    HF_AUTOCALL struct hf_s3_call call = HF_S3_CALL_INIT("DELETE", full);
    hf_result r = hf_s3_perform(hf_s3_of(store), &call, err);
    return r.code == HF_E_NOT_FOUND ? hf_done() : r;
}

static const struct hf_store_driver S3_DRIVER = {
    .close = s3_close,
    .conditional = hf_s3_conditional,
    .put = hf_s3_put,
    .writer_open = hf_s3_writer_open,
    .writer_write = hf_s3_writer_write,
    .writer_commit = hf_s3_writer_commit,
    .writer_abort = hf_s3_writer_abort,
    .get = hf_s3_get,
    .head = hf_s3_head,
    .list = hf_s3_list,
    .remove = s3_remove,
};

static hf_dur or_default(hf_dur d, int64_t seconds)
{
    return d.us > 0 ? d : HF_SEC(seconds);
}

static bool bucket_valid(const char *bucket)
{
    size_t len = bucket == NULL ? 0 : strlen(bucket);
    return len >= 3 && len <= 63 &&
           strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len && bucket[0] != '.' &&
           bucket[0] != '-';
}

static bool host_valid(const char *host)
{
    size_t len = strlen(host);
    return len > 0 && len < HF_ADDRESS_SIZE &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") ==
               len;
}

/* Takes the endpoint apart into what goes into the URL and what into the Host header, which has no
 * default port. */
static hf_result set_endpoint(struct hf_s3_store *s, const struct hf_store_config *c,
                              struct hf_err *err)
{
    const char *host = NULL;
    if (c->endpoint != NULL && strncmp(c->endpoint, "https://", 8) == 0) {
        s->tls = true;
        host = c->endpoint + 8;
    } else if (c->endpoint != NULL && strncmp(c->endpoint, "http://", 7) == 0) {
        host = c->endpoint + 7;
    }
    char bare[HF_ADDRESS_SIZE];
    size_t len = host == NULL ? 0 : strcspn(host, "/");
    if (len == 0 || len >= sizeof bare || strcmp(host + len, host[len] == '/' ? "/" : "") != 0) {
        return hf_fail(err, HF_E_INVALID, "endpoint \"%.80s\": allowed is http[s]://host[:port]",
                       c->endpoint == NULL ? "" : c->endpoint);
    }
    (void)snprintf(bare, sizeof bare, "%.*s", (int)len, host);
    if (!host_valid(bare)) {
        return hf_fail(err, HF_E_INVALID,
                       "endpoint \"%.80s\": the host has other characters than "
                       "letters, digits, '.', '-', ':'",
                       c->endpoint);
    }
    const char *port = s->tls ? ":443" : ":80";
    size_t port_len = strlen(port);
    if (len > port_len && strcmp(bare + len - port_len, port) == 0) {
        bare[len - port_len] = '\0';
    }
    (void)snprintf(s->host, sizeof s->host, "%s%s%s", c->host_addressing ? c->bucket : "",
                   c->host_addressing ? "." : "", bare);
    (void)snprintf(s->url, sizeof s->url, "%s://%s", s->tls ? "https" : "http", s->host);
    (void)snprintf(s->root, sizeof s->root, "%s%s", c->host_addressing ? "" : "/",
                   c->host_addressing ? "" : c->bucket);
    return hf_done();
}

static hf_result configure(struct hf_s3_store *s, const struct hf_store_config *c,
                           struct hf_err *err)
{
    if (!bucket_valid(c->bucket)) {
        return hf_fail(
            err, HF_E_INVALID,
            "bucket \"%.80s\": allowed are 3 to 63 of [a-z0-9.-], a letter or digit first",
            c->bucket == NULL ? "" : c->bucket);
    }
    const char *region = c->signing_region == NULL ? "us-east-1" : c->signing_region;
    if (region[0] == '\0' || strlen(region) >= sizeof s->region ||
        strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
            strlen(region)) {
        return hf_fail(err, HF_E_INVALID, "signing_region \"%.80s\": allowed are [A-Za-z0-9_-]",
                       region);
    }
    if (c->credentials == NULL) {
        return hf_fail(err, HF_E_INVALID, "credentials: a file is needed");
    }
    HF_TRY(set_endpoint(s, c, err));
    (void)snprintf(s->bucket, sizeof s->bucket, "%s", c->bucket);
    (void)snprintf(s->region, sizeof s->region, "%s", region);
    s->connect_timeout = or_default(c->connect_timeout, 3);
    s->stall_timeout = or_default(c->stall_timeout, 15);
    s->total_timeout = or_default(c->total_timeout, 120);
    s->attempts = c->attempts > 0 ? c->attempts : 5;
    s->credentials_path = hf_strdup(c->credentials);
    HF_TRY(hf_aws_credentials_read(c->credentials, &s->credentials, err));
    return hf_http_sync_new(c->ca, &s->http, err);
}

hf_result hf_store_s3_open(const struct hf_store_config *config, struct hf_store **ret,
                           struct hf_err *err)
{
    __attribute__((cleanup(s3_cleanup))) struct hf_s3_store *s = hf_alloc(sizeof *s);
    s->base.driver = &S3_DRIVER;
    HF_ASSERT(pthread_mutex_init(&s->lock, NULL) == 0);
    HF_TRY(configure(s, config, err));
    *ret = &s->base;
    s = NULL;
    return hf_done();
}
