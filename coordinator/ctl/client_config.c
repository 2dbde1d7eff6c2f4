/* SPDX-License-Identifier: Apache-2.0
 *
 * client.yaml: where the coordinators are, and the user's certificate.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/config.h"
#include "coordinator/ctl/client.h"
#include "coordinator/ctl/client_config.h"

static const char *const SCHEMES[] = {"https", "http", NULL};

#define END                                                                                        \
    {                                                                                              \
        .type = HF_OPTION_END                                                                      \
    }

static const struct hf_option URL[] = {
    {.key = "", .type = HF_OPTION_URL, .values = SCHEMES, .size = HF_CTL_URL_SIZE}, END};

const struct hf_option HF_CTL_CLIENT_OPTIONS[] = {
    {.key = "api",
     .type = HF_OPTION_LIST,
     .sub = URL,
     .doc = "addresses of the coordinators, asked in this order",
     HF_OPTION_ARRAY(struct hf_ctl_client_config, urls, url_count)},
    {.key = "ca",
     .type = HF_OPTION_PATH,
     .doc = "certificate authority (PEM) of the coordinators",
     HF_OPTION_AT(struct hf_ctl_client_config, ca)},
    {.key = "certificate",
     .type = HF_OPTION_PATH,
     .doc = "own certificate (PEM): holdfast ca issue user",
     HF_OPTION_AT(struct hf_ctl_client_config, certificate)},
    {.key = "key",
     .type = HF_OPTION_PATH,
     .doc = "its private key (PEM, mode 0600)",
     HF_OPTION_AT(struct hf_ctl_client_config, key)},
    {.key = "cluster",
     .type = HF_OPTION_TEXT,
     .doc = "TENANT/CLUSTER that commands are about when they name none",
     HF_OPTION_AT(struct hf_ctl_client_config, cluster)},
    END};

/* http carries no identity: only to a proxy on this host. */
static bool url_allowed(const char *url)
{
    return strncmp(url, "https://", 8) == 0 || strncmp(url, "http://127.", 11) == 0 ||
           strncmp(url, "http://localhost", 16) == 0 || strncmp(url, "http://[::1]", 12) == 0;
}

static hf_result check_urls(const struct hf_ctl_client_config *config, struct hf_err *err)
{
    for (size_t i = 0; i < config->url_count; i++) {
        if (!url_allowed(config->urls[i])) {
            return hf_fail(err, HF_E_INVALID,
                           "\"%.128s\"; allowed: https, or http to this host's loopback",
                           config->urls[i]);
        }
    }
    return hf_done();
}

/* The path by environment; *ret_named when somebody named it. */
static bool default_path(char *ret, size_t size, bool *ret_named)
{
    const char *named = secure_getenv("HOLDFAST_CONFIG");
    const char *xdg = secure_getenv("XDG_CONFIG_HOME");
    const char *home = secure_getenv("HOME");
    int n = -1;
    *ret_named = named != NULL && named[0] != '\0';
    if (*ret_named) {
        n = snprintf(ret, size, "%s", named);
    } else if (xdg != NULL && xdg[0] == '/') {
        n = snprintf(ret, size, "%s/holdfast/client.yaml", xdg);
    } else if (home != NULL && home[0] == '/') {
        n = snprintf(ret, size, "%s/.config/holdfast/client.yaml", home);
    }
    return n > 0 && (size_t)n < size;
}

hf_result hf_ctl_client_config_load(const char *path, struct hf_ctl_client_config *ret,
                                    struct hf_err *err)
{
    char found[HF_PATH_SIZE];
    bool named = path != NULL;
    if (path == NULL) {
        if (!default_path(found, sizeof found, &named)) {
            memset(ret, 0, sizeof *ret);
            return hf_done();
        }
        path = found;
    }
    if (!named && access(path, F_OK) != 0) {
        memset(ret, 0, sizeof *ret);
        return hf_done();
    }
    HF_AUTOCONFIG struct hf_config *file = NULL;
    HF_AUTOFREE struct hf_ctl_client_config *config = hf_alloc(sizeof *config);
    HF_TRY(hf_config_load(path, HF_CTL_CLIENT_OPTIONS, config, sizeof *config, &file, err));
    struct hf_err why;
    if (!hf_ok(check_urls(config, &why))) {
        return hf_config_fail(file, "api", err, "%s", why.text);
    }
    memcpy(ret, config, sizeof *config);
    return hf_done();
}

hf_result hf_ctl_client_config_urls(const char *list, struct hf_ctl_client_config *config,
                                    struct hf_err *err)
{
    size_t count = 0;
    for (const char *p = list;;) {
        size_t n = strcspn(p, ",");
        if (count == HF_CTL_MAX_URLS || n == 0 || n >= HF_CTL_URL_SIZE) {
            return hf_fail(err, HF_E_INVALID, "--api: allowed: 1 to %d URLs with commas between",
                           HF_CTL_MAX_URLS);
        }
        memcpy(config->urls[count], p, n);
        config->urls[count][n] = '\0';
        count++;
        p += n;
        if (*p == '\0') {
            break;
        }
        p++;
    }
    config->url_count = count;
    return check_urls(config, err);
}
